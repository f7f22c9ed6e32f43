import { maskedCrc, varint } from "../../support/write-checkpoint.js";

/**
 * Sorted string tables taken apart and put together again, sound or not, without the reader's own code.
 * Source: LevelDB's doc/table_format.md.
 */
export interface Block {
  /** As it stands in the file: compressed where the type is 1. */
  stored: Buffer;
  type: number;
  /** What is added to the right check of the block. */
  crcError?: number;
}

export interface Table {
  readonly data: Block[];
  metadata: Block;
  /** The last keys of the blocks of data. */
  readonly keys: Buffer[];
}

export type Row = readonly [key: Buffer, value: Buffer];

function readVarint(bytes: Buffer, at: number): [value: number, next: number] {
  let value = 0;
  let next = at;
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[next++]!;
    value += (byte & 127) * scale;
    if (byte < 128) return [value, next];
  }
}

/** Strict: everything must be as the format has it. Source: google/snappy's format_description.txt. */
export function referenceUncompress(stored: Buffer): Buffer | undefined {
  let length = 0;
  let at = 0;
  for (let shift = 0; ; shift += 7) {
    if (at >= stored.length || shift > 28) return undefined;
    const byte = stored[at++]!;
    length += (byte & 127) * 2 ** shift;
    if (byte < 128) break;
  }
  if (length >= 2 ** 32 || length > 22 * stored.length) return undefined;
  const out = Buffer.alloc(length);
  let filled = 0;
  const little = (bytes: number): number => {
    if (at + bytes > stored.length) return Number.NaN;
    const value = stored.readUIntLE(at, bytes);
    at += bytes;
    return value;
  };
  while (at < stored.length) {
    const tag = stored[at++]!;
    const kind = tag & 3;
    if (kind === 0) {
      const short = tag >> 2;
      const size = short < 60 ? short + 1 : little(short - 59) + 1;
      if (!(at + size <= stored.length) || filled + size > length) return undefined;
      stored.copy(out, filled, at, at + size);
      at += size;
      filled += size;
    } else {
      const size = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
      const back = kind === 1 ? (tag >> 5) * 256 + little(1) : little(kind === 2 ? 2 : 4);
      if (!(back > 0 && back <= filled) || filled + size > length) return undefined;
      for (let i = 0; i < size; i++, filled++) out[filled] = out[filled - back]!;
    }
  }
  return filled === length ? out : undefined;
}

/** A block compressed: copies of at most 64 bytes from where the same four bytes stood last, the rest as it is. */
export function compress(plain: Buffer): Buffer {
  const parts = [varint(plain.length)];
  const seen = new Map<number, number>();
  let literal = 0;
  const endLiteral = (end: number): void => {
    for (; literal < end; literal += 60) {
      const part = plain.subarray(literal, Math.min(end, literal + 60));
      parts.push(Buffer.of((part.length - 1) << 2), part);
    }
    literal = end;
  };
  for (let at = 0; at + 4 <= plain.length; ) {
    const four = plain.readUInt32LE(at);
    const from = seen.get(four);
    seen.set(four, at);
    if (from === undefined || at - from > 0xffff) {
      at++;
      continue;
    }
    endLiteral(at);
    let size = 4;
    while (size < 64 && at + size < plain.length && plain[at + size] === plain[from + size]) size++;
    parts.push(Buffer.of(((size - 1) << 2) | 2, (at - from) & 255, (at - from) >> 8));
    at += size;
    literal = at;
  }
  endLiteral(plain.length);
  return Buffer.concat(parts);
}

export function plainOf({ stored, type }: Block): Buffer {
  const plain = type === 0 ? stored : referenceUncompress(stored);
  if (!plain) throw new Error("the fixture's block cannot be read");
  return plain;
}

/** The rows of a block of a sound file. */
export function rowsOf(block: Buffer): Row[] {
  const end = block.length - 4 * (block.readUInt32LE(block.length - 4) + 1);
  const rows: Row[] = [];
  let key = Buffer.alloc(0);
  for (let at = 0; at < end; ) {
    let shared: number;
    let unshared: number;
    let length: number;
    [shared, at] = readVarint(block, at);
    [unshared, at] = readVarint(block, at);
    [length, at] = readVarint(block, at);
    key = Buffer.concat([key.subarray(0, shared), block.subarray(at, at + unshared)]);
    at += unshared;
    rows.push([key, block.subarray(at, at + length)]);
    at += length;
  }
  return rows;
}

/** A block of rows, each key whole. */
export function blockOf(rows: readonly Row[]): Buffer {
  const parts = rows.map(([key, value]) =>
    Buffer.concat([varint(0), varint(key.length), varint(value.length), key, value]),
  );
  return Buffer.concat([...parts, Buffer.from([0, 0, 0, 0, 1, 0, 0, 0])]);
}

/** Takes a sound file apart. */
export function takeApart(file: Buffer): Table {
  const footer = file.length - 48;
  const block = (handle: Buffer, at: number): [Block, number] => {
    const [offset, middle] = readVarint(handle, at);
    const [size, next] = readVarint(handle, middle);
    return [{ stored: file.subarray(offset, offset + size), type: file[offset + size]! }, next];
  };
  const [metadata, next] = block(file, footer);
  const [index] = block(file, next);
  const rows = rowsOf(plainOf(index));
  return { data: rows.map(([, value]) => block(value, 0)[0]), metadata, keys: rows.map(([key]) => key) };
}

export interface Tampering {
  /** Changes the places of the blocks of data before they are written down. */
  readonly handles?: (handles: { offset: number; size: number }[]) => void;
  /** Changes the block of places. */
  readonly index?: (rows: Buffer) => Buffer;
  readonly indexType?: number;
}

/** Puts a file together; every check is right where a block does not say otherwise. */
export function putTogether({ data, metadata, keys }: Table, tampering: Tampering = {}): Buffer {
  const parts: Buffer[] = [];
  let end = 0;
  const append = ({ stored, type, crcError = 0 }: Block): { offset: number; size: number } => {
    const place = { offset: end, size: stored.length };
    const checked = Buffer.concat([stored, Buffer.from([type])]);
    const check = Buffer.alloc(4);
    check.writeUInt32LE((maskedCrc(checked) + crcError) >>> 0);
    parts.push(checked, check);
    end += stored.length + 5;
    return place;
  };
  const handles = data.map(append);
  tampering.handles?.(handles);
  const handle = ({ offset, size }: { offset: number; size: number }): Buffer =>
    Buffer.concat([varint(offset), varint(size)]);
  const footer = Buffer.alloc(48);
  const places = [handle(append(metadata))];
  const rows = blockOf(handles.map((place, i): Row => [keys[i] ?? Buffer.from([255, i]), handle(place)]));
  const index = tampering.index?.(rows) ?? rows;
  places.push(handle(append({ stored: index, type: tampering.indexType ?? 0 })));
  Buffer.concat(places).copy(footer);
  Buffer.from("57fb808b247547db", "hex").copy(footer, 40);
  return Buffer.concat([...parts, footer]);
}
