import assert from "node:assert/strict";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { readRanges } from "../../dist/src/formats/byte-ranges.js";
import { UserError } from "../../dist/src/system/errors.js";

const TEMPORARY = mkdtempSync(join(tmpdir(), "gpt2-byte-ranges-"));
const CHUNK = 4 << 20;
/** Bytes that are different after any shift by a chunk, a page or a file. */
const content = (length: number, salt: number): Buffer =>
  Buffer.from(Uint32Array.from({ length: length / 4 }, (_, i) => Math.imul(i + salt, 0x9e3779b1)).buffer);
const FILES = [content(CHUNK + 4096, 1), content(CHUNK, 2), content(64, 3)].map((bytes, i) => {
  const path = join(TEMPORARY, `file ${i}`);
  writeFileSync(path, bytes);
  return { path, bytes };
});
const range = (file: number, offset: number, length: number) => ({ path: FILES[file]!.path, offset, length });
const expected = (ranges: readonly ReturnType<typeof range>[]): Buffer =>
  Buffer.concat(
    ranges.map(({ path, offset, length }) =>
      FILES.find((file) => file.path === path)!.bytes.subarray(offset, offset + length),
    ),
  );

suite("readRanges", () => {
  after(() => rmSync(TEMPORARY, { recursive: true }));

  const cases = {
    "no range": [],
    "empty ranges": [range(2, 0, 0), range(2, 64, 0)],
    "one byte": [range(2, 63, 1)],
    "one chunk": [range(1, 0, CHUNK)],
    "one chunk and a byte": [range(0, 5, CHUNK + 1)],
    "files one after the other": [range(0, 17, CHUNK), range(2, 1, 62), range(1, 3, CHUNK - 3)],
    "the same file twice, backwards, an empty range between": [
      range(0, 4096, CHUNK),
      range(2, 9, 0),
      range(0, 0, 4096),
    ],
  };
  for (const [what, ranges] of Object.entries(cases)) {
    test(`${what}: the bytes in order, in chunks of 4 MiB`, async () => {
      const all = expected(ranges);
      for (const isInto of [false, true]) {
        const into = isInto ? new Uint8Array(all.length) : undefined;
        const parts: Buffer[] = [];
        let total = 0;
        await readRanges(ranges, into, (chunk, before) => {
          assert.equal(before, total);
          assert.equal(chunk.length, Math.min(CHUNK, all.length - before));
          total += chunk.length;
          parts.push(Buffer.from(chunk)); // a copy: its memory is used again
        });
        assert.ok(Buffer.concat(parts).equals(all));
        if (into) assert.ok(all.equals(into));
      }
    });
  }

  test("a file that ends early or is gone is named; what visit() throws is passed on", async () => {
    const short = join(TEMPORARY, "short");
    writeFileSync(short, Buffer.alloc(CHUNK + 8));
    const ranges = [range(1, 0, CHUNK), { path: short, offset: 0, length: CHUNK + 8 }];
    await readRanges(ranges, undefined, () => undefined);
    truncateSync(short, CHUNK + 7);
    const fails = (wanted: RegExp) =>
      assert.rejects(
        readRanges(ranges, undefined, () => undefined),
        (error) => error instanceof UserError && wanted.test(error.message),
      );
    await fails(/short ends early: /);
    rmSync(short);
    await fails(/cannot read .*short: no such file/);
    // The chunk that is being read meanwhile fails too: the first error is the one that counts.
    const first = new Error("the first");
    await assert.rejects(
      readRanges(ranges, undefined, () => {
        throw first;
      }),
      (error) => error === first,
    );
  });
});
