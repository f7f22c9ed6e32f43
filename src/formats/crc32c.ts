import { createCrc } from "./crc.js";

/** CRC-32C (Castagnoli): the check of blocks and tensors in a TensorFlow checkpoint. */
export const crc32c = createCrc(0x82f63b78);

/**
 * Undoes the masking that TensorFlow and LevelDB apply to a check before storing it.
 * Source: LevelDB's doc/log_format.md and util/crc32c.h.
 */
export function unmaskCrc(masked: number): number {
  const rotated = (masked - 0xa282ead8) | 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** The masking that unmaskCrc() undoes: a check of bytes that hold checks would be weak without it. */
export function maskCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
