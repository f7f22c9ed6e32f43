/** What is wrong with some bytes, in a few words; whoever knows the file's name makes a UserError of it. */
export class FormatError extends Error {
  override name = "FormatError";
}

/** Reads integers and byte strings from the front of some bytes. Whatever is missing is a FormatError. */
export class ByteReader {
  position = 0;

  constructor(readonly bytes: Uint8Array) {}

  get atEnd(): boolean {
    return this.position >= this.bytes.length;
  }

  /** A base-128 number of at most 64 bits; beyond 2^53 (negative ones included) it is refused. */
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

  /** A little-endian number of 32 bits, unsigned. */
  fixed32(): number {
    const [a, b, c, d] = this.take(4);
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  }

  /** The next bytes, not copied. */
  take(length: number): Uint8Array {
    const end = this.position + length;
    if (end > this.bytes.length) throw new FormatError("it ends in the middle of a value");
    const taken = this.bytes.subarray(this.position, end);
    this.position = end;
    return taken;
  }
}

/** One field of a protocol buffer message: varint and fixed32 fields have a value, the others bytes. */
export interface Field {
  readonly number: number;
  readonly value: number;
  readonly bytes: Uint8Array;
}

const NONE = new Uint8Array(0);

/**
 * The fields of a protocol buffer message, in order. A field of another wire type than its reader expects
 * comes with value 0 or without bytes.
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
