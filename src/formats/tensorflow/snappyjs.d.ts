declare module "snappyjs" {
  /** @throws Error when the bytes are no snappy stream, or hold more than maxLength bytes */
  export function uncompress(compressed: Uint8Array, maxLength?: number): Uint8Array;
}
