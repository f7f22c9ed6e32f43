import { FormatError } from "../open-file.js";

/** Reads integers and byte strings in sequence. Throws FormatError when bytes are missing. */
export class ByteReader {
  position = 0;

  constructor(readonly bytes: Uint8Array) {}

  get atEnd(): boolean {
    return this.position >= this.bytes.length;
  }

  /** A base-128 varint of at most 64 bits. @throws FormatError beyond 2^53, negative numbers included */
  varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 64; scale *= 128) {
      const byte = this.take(1)[0];
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (!Number.isSafeInteger(value)) throw new FormatError("a number is too large");
        return value;
      }
    }
    throw new FormatError("a number has no end");
  }

  /** An unsigned little-endian 32-bit number. */
  fixed32(): number {
    const [a, b, c, d] = this.take(4);
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  }

  /** A view of the next bytes. */
  take(length: number): Uint8Array {
    const end = this.position + length;
    if (end > this.bytes.length) throw new FormatError("it ends in the middle of a value");
    const taken = this.bytes.subarray(this.position, end);
    this.position = end;
    return taken;
  }
}

/** A field of a protocol buffer message: varint and fixed32 fields have a value, the others bytes. */
export interface Field {
  readonly number: number;
  readonly value: number;
  readonly bytes: Uint8Array;
}

const NONE = new Uint8Array(0);

/**
 * The fields of a protocol buffer message, in order. A field of a wire type that its reader does not expect has value
 * 0 or no bytes.
 * Source: protobuf.dev, "Encoding".
 */
export function* messageFields(bytes: Uint8Array): Generator<Field> {
  const reader = new ByteReader(bytes);
  while (!reader.atEnd) {
    const tag = reader.varint();
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (wireType === 0) yield { number, value: reader.varint(), bytes: NONE };
    else if (wireType === 1) yield { number, value: 0, bytes: reader.take(8) };
    else if (wireType === 2) yield { number, value: 0, bytes: reader.take(reader.varint()) };
    else if (wireType === 5) yield { number, value: reader.fixed32(), bytes: NONE };
    else throw new FormatError(`wire type ${wireType} is unknown`);
  }
}

/** Collects bytes to write; ByteReader reads them back. Integers are little-endian. */
export class ByteWriter {
  private bytes = Buffer.alloc(256);
  /** Bytes so far. */
  length = 0;

  /** A base-128 varint, 0 to 2^53 - 1. */
  varint(value: number): this {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.byte((rest % 128) | 128);
    return this.byte(rest);
  }

  fixed32(value: number): this {
    this.reserve(4);
    this.length = this.bytes.writeUInt32LE(value >>> 0, this.length);
    return this;
  }

  append(bytes: Uint8Array): this {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  byte(value: number): this {
    this.reserve(1);
    this.bytes[this.length++] = value;
    return this;
  }

  /** A copy of all bytes. */
  finish(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.length));
  }

  private reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const larger = Buffer.alloc(2 * (this.length + more));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

/** Writes the fields of a protocol buffer message; as in proto3, fields of 0 are left out. */
export class MessageWriter {
  private readonly writer = new ByteWriter();

  varint(field: number, value: number): this {
    if (value !== 0) this.writer.varint(8 * field).varint(value);
    return this;
  }

  fixed32(field: number, value: number): this {
    if (value !== 0) this.writer.varint(8 * field + 5).fixed32(value);
    return this;
  }

  /** A nested message; an empty one is written too. */
  bytes(field: number, content: Uint8Array): this {
    this.writer
      .varint(8 * field + 2)
      .varint(content.length)
      .append(content);
    return this;
  }

  finish(): Buffer {
    return this.writer.finish();
  }
}
