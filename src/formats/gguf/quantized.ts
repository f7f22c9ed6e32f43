// ggml's blocks of quantized values, decoded to float32 with ggml's rounding: a float16 scale times a small integer is
// exact in float32, which leaves one rounding per value.
// Source: ggml/src/ggml-common.h (the blocks' layouts) and ggml-quants.c (dequantize_row_...).
import { decodeFloat16, encodeFloat16 } from "../floats.js";

/** A type that stores values in blocks. */
export interface BlockType {
  readonly name: string;
  /** Values per block. */
  readonly values: number;
  /** Bytes per block. */
  readonly bytes: number;
  /** Decodes whole blocks into `target`, target.length values. */
  decode(blocks: Uint8Array, target: Float32Array): void;
}

/** A type that decodes block by block, from byte `b` on to target[y] and on. */
function blockType(
  name: string,
  values: number,
  bytes: number,
  decodeBlock: (blocks: Uint8Array, b: number, target: Float32Array, y: number) => void,
): BlockType {
  return {
    name,
    values,
    bytes,
    decode: (blocks, target) => {
      for (let b = 0, y = 0; y < target.length; b += bytes, y += values) decodeBlock(blocks, b, target, y);
    },
  };
}

const half = new Uint16Array(1);
const single = new Float32Array(1);

/** The float16 at a byte offset, as float32. */
function float16At(bytes: Uint8Array, at: number): number {
  half[0] = bytes[at] | (bytes[at + 1] << 8);
  decodeFloat16(half, single);
  return single[0];
}

const signed = (byte: number): number => (byte << 24) >> 24;

/** A float16 scale, then 32 signed bytes. */
export const Q8_0 = blockType("Q8_0", 32, 34, (blocks, b, target, y) => {
  const d = float16At(blocks, b);
  for (let i = 0; i < 32; i++) target[y + i] = d * signed(blocks[b + 2 + i]);
});

/**
 * 32 values of 4 or 5 bits: a scale, a minimum in some types, four bytes of fifth bits in 5-bit types, then the low 4
 * bits, byte i with those of values i and i + 16. Without a minimum, values are centred on zero.
 */
function smallBlocks(name: string, bits: 4 | 5, hasMinimum: boolean): BlockType {
  const highs = hasMinimum ? 4 : 2;
  const lows = highs + (bits === 5 ? 4 : 0);
  const zero = hasMinimum ? 0 : 1 << (bits - 1);
  return blockType(name, 32, lows + 16, (blocks, b, target, y) => {
    const d = float16At(blocks, b);
    const minimum = hasMinimum ? float16At(blocks, b + 2) : 0;
    for (let i = 0; i < 32; i++) {
      const low = (blocks[b + lows + (i & 15)] >> (i < 16 ? 0 : 4)) & 15;
      const high = bits === 5 ? ((blocks[b + highs + (i >> 3)] >> (i & 7)) & 1) << 4 : 0;
      const value = d * ((low | high) - zero);
      target[y + i] = hasMinimum ? value + minimum : value; // -0 stays -0
    }
  });
}
export const Q4_0 = smallBlocks("Q4_0", 4, false);
export const Q4_1 = smallBlocks("Q4_1", 4, true);
export const Q5_0 = smallBlocks("Q5_0", 5, false);
export const Q5_1 = smallBlocks("Q5_1", 5, true);

/** 16 bytes of 4-bit scales and 4-bit minima, 64 bytes of 2-bit values, float16 scales of the scales and the minima. */
export const Q2_K = blockType("Q2_K", 256, 84, (blocks, b, target, y) => {
  const d = float16At(blocks, b + 80);
  const least = float16At(blocks, b + 82);
  for (let i = 0; i < 256; i++) {
    const scales = blocks[b + (i >> 4)];
    const q = (blocks[b + 16 + 32 * (i >> 7) + (i & 31)] >> (2 * ((i >> 5) & 3))) & 3;
    target[y + i] = d * (scales & 15) * q - least * (scales >> 4);
  }
});

/** 32 bytes of third bits, 64 bytes of low 2 bits, 12 bytes with sixteen 6-bit scales, a float16 scale of the scales. */
export const Q3_K = blockType("Q3_K", 256, 110, (blocks, b, target, y) => {
  const d = float16At(blocks, b + 108);
  for (let part = 0; part < 16; part++) {
    const low = (blocks[b + 96 + (part & 7)] >> (part < 8 ? 0 : 4)) & 15;
    const high = (blocks[b + 104 + (part & 3)] >> (2 * (part >> 2))) & 3;
    const scale = d * ((low | (high << 4)) - 32);
    for (let i = 16 * part; i < 16 * part + 16; i++) {
      const q = (blocks[b + 32 + 32 * (i >> 7) + (i & 31)] >> (2 * ((i >> 5) & 3))) & 3;
      const third = (blocks[b + (i & 31)] >> (i >> 5)) & 1;
      target[y + i] = scale * (q + 4 * third - 4);
    }
  }
});

/**
 * 256 values of 4 or 5 bits: float16 scales of the scales and the minima, eight 6-bit scales and eight 6-bit minima, 32
 * bytes of fifth bits in the 5-bit type, then the low 4 bits.
 */
function kBlocks(name: string, bits: 4 | 5): BlockType {
  const lows = bits === 5 ? 48 : 16;
  return blockType(name, 256, lows + 128, (blocks, b, target, y) => {
    const d = float16At(blocks, b);
    const least = float16At(blocks, b + 2);
    for (let part = 0; part < 8; part++) {
      const scale = d * scaleOf(blocks, b + 4, part);
      const minimum = least * minimumOf(blocks, b + 4, part);
      const from = b + lows + 32 * (part >> 1);
      for (let i = 0; i < 32; i++) {
        const low = (blocks[from + i] >> (4 * (part & 1))) & 15;
        const high = bits === 5 ? ((blocks[b + 16 + i] >> part) & 1) << 4 : 0;
        target[y + 32 * part + i] = scale * (low | high) - minimum;
      }
    }
  });
}
export const Q4_K = kBlocks("Q4_K", 4);
export const Q5_K = kBlocks("Q5_K", 5);

/** The i-th 6-bit scale: the first four are whole, the others split in two. */
const scaleOf = (bytes: Uint8Array, at: number, i: number): number =>
  i < 4 ? bytes[at + i] & 63 : (bytes[at + i + 4] & 15) | ((bytes[at + i - 4] >> 6) << 4);

const minimumOf = (bytes: Uint8Array, at: number, i: number): number =>
  i < 4 ? bytes[at + i + 4] & 63 : (bytes[at + i + 4] >> 4) | ((bytes[at + i] >> 6) << 4);

/** 256 values of 6 bits, less 32: the low 4 bits, the high 2 bits, 16 signed scales, a float16 scale of them. */
export const Q6_K = blockType("Q6_K", 256, 210, (blocks, b, target, y) => {
  const d = float16At(blocks, b + 208);
  for (let i = 0; i < 256; i++) {
    const part = (i >> 5) & 3; // of the four quarters of a half
    const low = (blocks[b + 64 * (i >> 7) + (i & 63)] >> (part < 2 ? 0 : 4)) & 15;
    const high = (blocks[b + 128 + 32 * (i >> 7) + (i & 31)] >> (2 * part)) & 3;
    target[y + i] = d * signed(blocks[b + 192 + (i >> 4)]) * ((low | (high << 4)) - 32);
  }
});

/**
 * Quantizes values to Q8_0 as ggml does: scale = largest magnitude / 127, stored as float16; values are divided by the
 * scale before its rounding and rounded to the nearest, ties away from zero.
 * Source: quantize_row_q8_0_ref.
 * @param values their number is a multiple of 32
 * @returns the index of the first value whose block has a scale too large for float16, or -1
 */
export function encodeQ8_0(values: Float32Array, target: Uint8Array): number {
  for (let y = 0, b = 0; y < values.length; y += 32, b += 34) {
    let most = 0;
    for (let i = 0; i < 32; i++) most = Math.max(most, Math.abs(values[y + i]));
    const d = Math.fround(most / 127);
    const inverse = d === 0 ? 0 : Math.fround(1 / d);
    single[0] = d;
    if (encodeFloat16(single, half) >= 0) return values.findIndex((x, i) => i >= y && Math.abs(x) === most);
    target[b] = half[0] & 255;
    target[b + 1] = half[0] >> 8;
    for (let i = 0; i < 32; i++) {
      const x = Math.fround(values[y + i] * inverse);
      target[b + 2 + i] = Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
    }
  }
  return -1;
}
