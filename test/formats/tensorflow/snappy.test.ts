import assert from "node:assert/strict";
import { test } from "node:test";
import { FormatError } from "../../../dist/src/formats/open-file.js";
import { uncompressBlock } from "../../../dist/src/formats/tensorflow/snappy.js";
import { compress, referenceUncompress } from "../../faults/support/table.js";

test("snappy: a literal that leads back, streams that are shorter or longer than they say", () => {
  const fails = (hex: string, reason: RegExp): void => {
    assert.throws(
      () => uncompressBlock(Buffer.from(hex, "hex"), 100),
      (error) => error instanceof FormatError && reason.test(error.message),
      hex,
    );
  };
  const plain = uncompressBlock(Buffer.from("1400614a0100", "hex"), 100);
  assert.equal(Buffer.from(plain).toString(), "a".repeat(20));
  fails("0afcfaffffff00000000000000", /cut off/); // 2^32 - 5 bytes: -5 as an int32
  fails("1300614a0100", /it has 20 bytes where it says 19/);
  fails("1500614a0100", /it has 20 bytes where it says 21/);
  fails("1400614a0200", /from before its beginning/);
  fails("14006101", /cut off/);
  fails("1400614f01000080", /from before its beginning/); // 2^31 back: ahead as an int32
  fails("ffffffffffff", /its length does not end/);
  fails(`9001${"00".repeat(1)}61fe0100fe0100`, /it has 129 bytes where it says 144/);
  fails("810100" + "61fe0100fe0100", /it has 129 bytes/); // more than 100 are not wanted
});

test("snappy: what was compressed comes back; every form of literal and copy", () => {
  let state = 1;
  const below = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  for (let round = 0; round < 200; round++) {
    const letters = 1 + below(round % 2 ? 3 : 256);
    const plain = Buffer.from(Array.from({ length: below(2000) }, () => below(letters)));
    assert.deepEqual(Buffer.from(uncompressBlock(compress(plain), plain.length)), plain);
  }
  const text = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 7 + (i >> 8)) & 255));
  const forms: [what: string, head: number[], literal: number, tail: number[]][] = [
    ["a literal of 60", [59 << 2], 60, []],
    ["of 61: a byte of length", [60 << 2, 60], 61, []],
    ["of 300: two bytes", [61 << 2, 43, 1], 300, []],
    ["of 70000: three bytes", [62 << 2, 0x6f, 0x11, 1], 70_000, []],
    ["four bytes", [63 << 2, 43, 1, 0, 0], 300, []],
    ["a near copy of 11, 299 back", [61 << 2, 43, 1], 300, [(1 << 5) | (7 << 2) | 1, 43]],
    ["a copy of 64, 300 back", [61 << 2, 43, 1], 300, [(63 << 2) | 2, 44, 1]],
    ["a copy of 5, 70000 back", [62 << 2, 0x6f, 0x11, 1], 70_000, [(4 << 2) | 3, 0x70, 0x11, 1, 0]],
    ["a copy of what it writes itself", [59 << 2], 60, [(63 << 2) | 2, 3, 0]],
  ];
  for (const [what, head, literal, tail] of forms) {
    const copied = tail.length === 0 ? 0 : (tail[0]! & 3) === 1 ? 11 : (tail[0]! >> 2) + 1;
    const length = literal + copied;
    const size = [(length & 127) | 128, ((length >> 7) & 127) | 128, length >> 14];
    const stream = Buffer.from([...size, ...head, ...text.subarray(0, literal), ...tail]);
    const expected = referenceUncompress(stream);
    assert.ok(expected?.length === length, what);
    assert.deepEqual(Buffer.from(uncompressBlock(stream, length)), expected, what);
  }
});
