// The blocks in which ggml keeps quantised values, and their values as float32, with the roundings that ggml has.
// Source: ggml/src/ggml-quants.c (dequantize_row_...) and ggml-common.h (the blocks' layouts).
import { decodeFloat16, encodeFloat16 } from "../floats.js";

/** A way to keep values in blocks. */
export interface BlockType {
  readonly name: string;
  /** Values a block. */
  readonly values: number;
  /** Bytes a block. */
  readonly bytes: number;
  /** Writes the values of whole blocks to `target`. */
  decode(blocks: Uint8Array, target: Float32Array): void;
}

const half = new Uint16Array(1);
const single = new Float32Array(1);

/** The float16 at a place, as float32. */
function float16At(bytes: Uint8Array, at: number): number {
  half[0] = bytes[at] | (bytes[at + 1] << 8);
  decodeFloat16(half, single);
  return single[0];
}

const signed = (byte: number): number => (byte << 24) >> 24;

/** 32 values: a float16 scale, 32 signed bytes. */
export const Q8_0: BlockType = {
  name: "Q8_0",
  values: 32,
  bytes: 34,
  decode(blocks, target) {
    for (let b = 0, y = 0; y < target.length; b += 34, y += 32) {
      const d = float16At(blocks, b);
      for (let i = 0; i < 32; i++) target[y + i] = d * signed(blocks[b + 2 + i]);
    }
  },
};

/** 32 values: a float16 scale, 32 numbers of 4 bits, less 8; the low halves of the bytes come first. */
export const Q4_0: BlockType = {
  name: "Q4_0",
  values: 32,
  bytes: 18,
  decode(blocks, target) {
    for (let b = 0, y = 0; y < target.length; b += 18, y += 32) {
      const d = float16At(blocks, b);
      for (let i = 0; i < 16; i++) {
        const q = blocks[b + 2 + i];
        target[y + i] = d * ((q & 15) - 8);
        target[y + 16 + i] = d * ((q >> 4) - 8);
      }
    }
  },
};

/** 256 values: float16 scales of the scales and of the minima, eight of each in 6 bits, 256 numbers of 4 bits. */
export const Q4_K: BlockType = {
  name: "Q4_K",
  values: 256,
  bytes: 144,
  decode(blocks, target) {
    for (let b = 0, y = 0; y < target.length; b += 144, y += 256) {
      const d = float16At(blocks, b);
      const least = float16At(blocks, b + 2);
      const scales = b + 4;
      for (let part = 0; part < 8; part++) {
        const scale = d * scaleOf(blocks, scales, part);
        const minimum = Math.fround(least * minimumOf(blocks, scales, part));
        const from = b + 16 + 32 * (part >> 1);
        const shift = part % 2 === 0 ? 0 : 4;
        for (let i = 0; i < 32; i++) {
          target[y + 32 * part + i] = scale * ((blocks[from + i] >> shift) & 15) - minimum;
        }
      }
    }
  },
};

/** The 6 bits of a scale: the first four whole, the others in two parts. */
const scaleOf = (bytes: Uint8Array, at: number, i: number): number =>
  i < 4 ? bytes[at + i] & 63 : (bytes[at + i + 4] & 15) | ((bytes[at + i - 4] >> 6) << 4);

const minimumOf = (bytes: Uint8Array, at: number, i: number): number =>
  i < 4 ? bytes[at + i + 4] & 63 : (bytes[at + i + 4] >> 4) | ((bytes[at + i] >> 6) << 4);

/** 256 values of 6 bits, less 32: the low 4 bits, the high 2 bits, 16 signed scales, a float16 scale of them. */
export const Q6_K: BlockType = {
  name: "Q6_K",
  values: 256,
  bytes: 210,
  decode(blocks, target) {
    for (let b = 0, y = 0; y < target.length; b += 210, y += 256) {
      const d = float16At(blocks, b + 208);
      for (let half = 0; half < 2; half++) {
        const low = b + 64 * half;
        const high = b + 128 + 32 * half;
        const scales = b + 192 + 8 * half;
        const to = y + 128 * half;
        for (let i = 0; i < 32; i++) {
          for (let part = 0; part < 4; part++) {
            const lowBits = (blocks[low + i + 32 * (part & 1)] >> (part < 2 ? 0 : 4)) & 15;
            const q = (lowBits | (((blocks[high + i] >> (2 * part)) & 3) << 4)) - 32;
            const scale = Math.fround(d * signed(blocks[scales + 2 * part + (i >> 4)]));
            target[to + 32 * part + i] = scale * q;
          }
        }
      }
    }
  },
};

/**
 * Rounds values to Q8_0 as ggml does: scale = largest magnitude / 127, kept as float16; values divided by the scale
 * as it was before, to the nearest, ties away from zero.
 * Source: quantize_row_q8_0_ref.
 * @param values a multiple of 32 of them
 */
export function encodeQ8_0(values: Float32Array, target: Uint8Array): void {
  const scale = new Float32Array(1);
  const bits = new Uint16Array(1);
  for (let y = 0, b = 0; y < values.length; y += 32, b += 34) {
    let most = 0;
    for (let i = 0; i < 32; i++) most = Math.max(most, Math.abs(values[y + i]));
    const d = Math.fround(most / 127);
    const inverse = d === 0 ? 0 : Math.fround(1 / d);
    scale[0] = d;
    if (encodeFloat16(scale, bits) >= 0) throw new RangeError("a value too large for Q8_0");
    target[b] = bits[0] & 255;
    target[b + 1] = bits[0] >> 8;
    for (let i = 0; i < 32; i++) {
      const x = Math.fround(values[y + i] * inverse);
      target[b + 2 + i] = Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
    }
  }
}
