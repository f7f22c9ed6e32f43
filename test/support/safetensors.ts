/** A safetensors file in parts, read and written without the program's own code. */
export interface Parts {
  header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  data: Buffer;
}

export function splitSafetensors(file: Buffer): Parts {
  const end = 8 + Number(file.readBigUInt64LE());
  return { header: JSON.parse(file.toString("utf8", 8, end)) as Parts["header"], data: file.subarray(end) };
}

export function joinSafetensors(header: unknown, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}
