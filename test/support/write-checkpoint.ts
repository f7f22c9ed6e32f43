/** Writes TensorFlow checkpoint indexes byte by byte, sound or not, sharing no code with the reader. */

/** CRC-32C one bit at a time, straight from its definition. */
export function slowCrc32c(bytes: Uint8Array): number {
  let register = 0xffffffff;
  for (const byte of bytes) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? 0x82f63b78 : 0);
  }
  return ~register >>> 0;
}

export function maskedCrc(bytes: Uint8Array): number {
  const crc = slowCrc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

export function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}

const fixed32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
export const number = (field: number, value: number | bigint): Buffer =>
  Buffer.concat([varint(field * 8), varint(value)]);
export const bytes = (field: number, content: Uint8Array): Buffer =>
  Buffer.concat([varint(field * 8 + 2), varint(content.length), content]);
export const fixed = (field: number, value: number): Buffer =>
  Buffer.concat([varint(field * 8 + 5), fixed32(value)]);

export function header({ shards = 1, bigEndian = false, minConsumer = 0 } = {}): Buffer {
  return Buffer.concat([
    number(1, shards),
    number(2, bigEndian ? 1 : 0),
    bytes(3, Buffer.concat([number(1, 1), number(2, minConsumer)])),
  ]);
}

export interface EntryFields {
  dtype?: number;
  shape?: readonly (number | bigint)[];
  shard?: number;
  offset?: number | bigint;
  size?: number | bigint;
  crc?: number;
  extra?: Uint8Array;
}

export function entry({
  dtype = 1,
  shape = [],
  shard = 0,
  offset = 0,
  size = 4,
  crc = 0,
  extra,
}: EntryFields): Buffer {
  const dimensions = Buffer.concat(shape.map((n) => bytes(2, number(1, n))));
  return Buffer.concat([
    number(1, dtype),
    bytes(2, dimensions),
    number(3, shard),
    number(4, offset),
    number(5, size),
    fixed(6, crc),
    extra ?? Buffer.alloc(0),
  ]);
}

function block(entries: readonly (readonly [Uint8Array, Uint8Array])[]): Buffer {
  const parts = entries.map(([key, value]) =>
    Buffer.concat([varint(0), varint(key.length), varint(value.length), key, value]),
  );
  return Buffer.concat([...parts, fixed32(0), fixed32(1)]);
}

/** The stored form of a block: its bytes, its type (0 plain, 1 snappy), its check. */
export function sealed(content: Uint8Array, type = 0): Buffer {
  const checked = Buffer.concat([content, Buffer.from([type])]);
  return Buffer.concat([checked, fixed32(maskedCrc(checked))]);
}

/** An index file with one data block; `stored` replaces that block as it stands in the file. */
export function indexFile(entries: Readonly<Record<string, Uint8Array>>, stored?: Buffer): Buffer {
  const rows = Object.entries(entries).map(([key, value]) => [Buffer.from(key), value] as const);
  rows.sort(([a], [b]) => Buffer.compare(a, b));
  const data = stored ?? sealed(block(rows));
  const meta = sealed(block([]));
  const handle = (offset: number, size: number): Buffer => Buffer.concat([varint(offset), varint(size - 5)]);
  const index = sealed(block([[Buffer.from("\xff", "latin1"), handle(0, data.length)]]));
  const footer = Buffer.alloc(48);
  handle(data.length, meta.length).copy(footer);
  const at = handle(data.length, meta.length).length;
  handle(data.length + meta.length, index.length).copy(footer, at);
  Buffer.from("57fb808b247547db", "hex").copy(footer, 40);
  return Buffer.concat([data, meta, index, footer]);
}
