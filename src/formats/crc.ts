import * as zlib from "node:zlib";
import { loadAddon } from "../system/addon.js";

/**
 * Extends a 32-bit cyclic redundancy check (CRC) by some bytes.
 * @param crc the CRC of the bytes before these; 0 at the start
 * @returns the CRC of all bytes so far, unsigned
 */
export type Crc = (bytes: Uint8Array, crc?: number) => number;

const LANES = 16;

/**
 * A reflected 32-bit CRC with its register and result inverted, as zlib, PNG and iSCSI use.
 * Takes 16 bytes per step, each through its own table (Kounavis and Berry, "Novel Table
 * Lookup-Based Algorithms for High-Performance CRC Generation", 2008).
 * @param polynomial in reversed bit order, e.g. 0x82f63b78 for CRC-32C
 */
export function createCrc(polynomial: number): Crc {
  // tables[256 * k + b]: what byte b does to the register when k more bytes follow it.
  const tables = new Int32Array(256 * LANES);
  for (let byte = 0; byte < 256; byte++) {
    let register = byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? polynomial : 0);
    tables[byte] = register;
  }
  for (let i = 256; i < tables.length; i++) {
    const before = tables[i - 256];
    tables[i] = (before >>> 8) ^ tables[before & 255];
  }

  const byByte = (bytes: Uint8Array, from: number, to: number, register: number): number => {
    for (let i = from; i < to; i++) register = (register >>> 8) ^ tables[(register ^ bytes[i]) & 255];
    return register;
  };

  const byWord = (words: Int32Array, register: number): number => {
    const t = tables;
    for (let i = 0; i < words.length; i += 4) {
      const a = words[i] ^ register;
      const b = words[i + 1];
      const c = words[i + 2];
      const d = words[i + 3];
      // Words that do not wait for the register come first: JavaScript evaluates from left to right.
      register =
        t[2816 + (b & 255)] ^
        t[2560 + ((b >>> 8) & 255)] ^
        t[2304 + ((b >>> 16) & 255)] ^
        t[2048 + (b >>> 24)] ^
        t[1792 + (c & 255)] ^
        t[1536 + ((c >>> 8) & 255)] ^
        t[1280 + ((c >>> 16) & 255)] ^
        t[1024 + (c >>> 24)] ^
        t[768 + (d & 255)] ^
        t[512 + ((d >>> 8) & 255)] ^
        t[256 + ((d >>> 16) & 255)] ^
        t[d >>> 24] ^
        t[3840 + (a & 255)] ^
        t[3584 + ((a >>> 8) & 255)] ^
        t[3328 + ((a >>> 16) & 255)] ^
        t[3072 + (a >>> 24)];
    }
    return register;
  };

  return (bytes, crc = 0) => {
    let register = ~crc;
    const head = Math.min(bytes.length, -bytes.byteOffset & 3);
    register = byByte(bytes, 0, head, register);
    const middle = (bytes.length - head) & -LANES;
    if (middle > 0) {
      register = byWord(new Int32Array(bytes.buffer, bytes.byteOffset + head, middle / 4), register);
    }
    register = byByte(bytes, head + middle, bytes.length, register);
    return ~register >>> 0;
  };
}

/** zlib.crc32 came with Node 20.15 and 22.2; our @types/node lacks it. */
const native = (zlib as { crc32?: (bytes: Uint8Array, crc?: number) => number }).crc32;

/** CRC-32 as in zlib, gzip and PNG: extends `crc` by the bytes. */
export const crc32 = native ?? createCrc(0xedb88320);

const bySoftware = createCrc(0x82f63b78);
let byInstruction: Crc | undefined;
/** Below this many bytes, loading the addon costs more than it saves. */
const WORTH_LOADING = 2 ** 20;

/** CRC-32C (Castagnoli): the checksum of blocks and tensors in a TensorFlow checkpoint. */
export function crc32c(bytes: Uint8Array, crc = 0): number {
  if (bytes.length >= WORTH_LOADING) byInstruction ??= findInstruction();
  return (byInstruction ?? bySoftware)(bytes, crc);
}

/** The processor's own CRC-32C, if it gets the known one of "123456789" right; else ours. */
function findInstruction(): Crc {
  const addon = loadAddon();
  if (typeof addon === "string" || !addon.crc32c) return bySoftware;
  const native = addon.crc32c;
  const digits = new TextEncoder().encode("123456789");
  return native(digits, 0) === 0xe3069283 ? (bytes, crc = 0) => native(bytes, crc) : bySoftware;
}

/**
 * Undoes the masking that TensorFlow and LevelDB apply to a CRC before storing it.
 * Source: LevelDB's doc/log_format.md and util/crc32c.h.
 */
export function unmaskCrc(masked: number): number {
  const rotated = (masked - 0xa282ead8) | 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** Masks a CRC for storage: a plain CRC over bytes that contain CRCs would be weak. */
export function maskCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
