/** Gathers bytes that become a part of a file. Integers are little-endian; see ByteReader for the other way. */
export class ByteWriter {
  private bytes = Buffer.alloc(256);
  /** Number of bytes so far. */
  length = 0;

  /** A base-128 number, 0 to 2^53 - 1. */
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

  /** A copy of everything. */
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

/** Writes the fields of a protocol buffer message; as proto3 has it, a field that is 0 is left out. */
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

  /** A message within the message; an empty one is written too. */
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
