import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { crc32, crc32c, createCrc, maskCrc, unmaskCrc } from "../../dist/src/formats/crc.js";
import { loadAddon } from "../../dist/src/system/addon.js";

/** The bit at a time, as the polynomial is defined. */
function byBits(bytes: Uint8Array, polynomial: number, crc = 0): number {
  let register = ~crc;
  for (const byte of bytes) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? polynomial : 0);
  }
  return ~register >>> 0;
}

const CASTAGNOLI = 0x82f63b78;
const bytes = Uint8Array.from({ length: 100 }, (_, i) => (i * i * 37 + 11) & 255);
const addon = loadAddon();
const instruction = typeof addon === "string" ? undefined : addon.crc32c;

describe("CRC", () => {
  test("32C of RFC 3720's examples, and 32 of the digits", () => {
    const text = new TextEncoder().encode("123456789");
    assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
    assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
    assert.equal(crc32c(text), 0xe3069283);
    assert.equal(crc32(text), 0xcbf43926);
  });

  test("tables equal the definition for every length and place, in one piece and in two", () => {
    const tables = createCrc(CASTAGNOLI);
    for (let from = 0; from < 5; from++) {
      for (let to = from; to <= bytes.length; to++) {
        const part = bytes.subarray(from, to);
        const wanted = byBits(part, CASTAGNOLI);
        const middle = (to - from) >> 1;
        assert.equal(tables(part), wanted);
        assert.equal(tables(part.subarray(middle), tables(part.subarray(0, middle))), wanted);
      }
    }
  });

  const absent = instruction ? false : "no instruction for CRC-32C here";
  test("so does the processor's instruction", { skip: absent }, () => {
    for (let from = 0; from < 9; from++) {
      for (let to = from; to <= bytes.length; to++) {
        const part = bytes.subarray(from, to);
        const middle = (to - from) >> 1;
        const first = instruction?.(part.subarray(0, middle), 0) ?? 0;
        assert.equal(instruction?.(part.subarray(middle), first), byBits(part, CASTAGNOLI));
      }
    }
  });

  test("the instruction refuses what is not bytes and a checksum", { skip: absent }, () => {
    const call = instruction as unknown as (...values: unknown[]) => number;
    for (const values of [[], [bytes], ["text", 0], [new Float32Array(4), 0], [bytes, "0"], [undefined, 0]]) {
      assert.throws(() => call(...values), {
        name: "RangeError",
        message: /crc32c: not bytes and a checksum/,
      });
    }
  });

  test("large and small pieces of one file give one check", () => {
    const file = new Uint8Array(3 << 20).map((_, i) => i % 251);
    let crc = crc32c(file.subarray(0, 1000));
    crc = crc32c(file.subarray(1000, 2_500_001), crc);
    crc = crc32c(file.subarray(2_500_001), crc);
    assert.equal(crc, createCrc(CASTAGNOLI)(file));
  });

  test("masking is undone", () => {
    for (const crc of [0, 1, 0x8a9136aa, 2 ** 32 - 1]) assert.equal(unmaskCrc(maskCrc(crc)), crc);
  });
});
