/** GGUF files taken apart and put together again, sound or not, without the reader's own code. Source: ggml/docs/gguf.md. */
export interface Value {
  name: string;
  type: number;
  /** As they stand in the file. */
  bytes: Buffer;
}

export interface Tensor {
  name: string;
  /** In the file's order, the fastest first. */
  dims: bigint[];
  type: number;
  offset: bigint;
}

export interface Parts {
  version: number;
  values: Value[];
  tensors: Tensor[];
  data: Buffer;
}

const ALIGNMENT = 32;
const WIDTHS = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const TEXT = 8;
const LIST = 9;

export function splitGguf(file: Buffer): Parts {
  let at = 4;
  const take = (length: number): number => {
    at += length;
    return at - length;
  };
  const u32 = (): number => file.readUInt32LE(take(4));
  const u64 = (): bigint => file.readBigUInt64LE(take(8));
  const text = (): string => {
    const from = take(Number(u64()));
    return file.toString("utf8", from, at);
  };
  const skip = (type: number): void => {
    if (type === TEXT) text();
    else if (type !== LIST) take(WIDTHS[type] as number);
    else {
      const of = u32();
      for (let n = u64(); n > 0n; n--) skip(of);
    }
  };
  const version = u32();
  const [n_tensors, n_values] = [u64(), u64()];
  const values = Array.from({ length: Number(n_values) }, (): Value => {
    const [name, type] = [text(), u32()];
    const from = at;
    skip(type);
    return { name, type, bytes: file.subarray(from, at) };
  });
  const tensors = Array.from({ length: Number(n_tensors) }, (): Tensor => {
    const name = text();
    const dims = Array.from({ length: u32() }, u64);
    return { name, dims, type: u32(), offset: u64() };
  });
  return { version, values, tensors, data: file.subarray(Math.ceil(at / ALIGNMENT) * ALIGNMENT) };
}

export const u32 = (n: number): Buffer => Buffer.from(Uint32Array.of(n).buffer);
export const u64 = (n: bigint): Buffer => Buffer.from(BigUint64Array.of(n).buffer);
export const textBytes = (text: string): Buffer =>
  Buffer.concat([u64(BigInt(Buffer.byteLength(text))), Buffer.from(text)]);
/** A list of texts. */
export const listBytes = (texts: readonly string[]): Buffer =>
  Buffer.concat([u32(TEXT), u64(BigInt(texts.length)), ...texts.map(textBytes)]);

export function joinGguf({ version, values, tensors, data }: Parts): Buffer {
  const head = Buffer.concat([
    Buffer.from("GGUF"),
    u32(version),
    u64(BigInt(tensors.length)),
    u64(BigInt(values.length)),
    ...values.flatMap(({ name, type, bytes }) => [textBytes(name), u32(type), bytes]),
    ...tensors.flatMap(({ name, dims, type, offset }) => [
      textBytes(name),
      u32(dims.length),
      ...dims.map(u64),
      u32(type),
      u64(offset),
    ]),
  ]);
  const padding = Buffer.alloc((ALIGNMENT - (head.length % ALIGNMENT)) % ALIGNMENT);
  return Buffer.concat([head, padding, data]);
}
