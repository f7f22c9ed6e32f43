/**
 * Random bytes in hexadecimal, for a name that nothing else has. Node loads its cryptography when the first one is
 * needed, which importing it would do at every start.
 */
export const randomHex = (bytes: number): string =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
