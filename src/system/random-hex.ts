/**
 * Random bytes in hexadecimal, for a unique name. Uses the global crypto, which Node loads on first use; importing
 * node:crypto would load it at every start.
 */
export const randomHex = (bytes: number): string =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
