/// <reference path="../../../../src/engines/cpu/runtime/webassembly.d.ts" />
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { createMemory, Heap, LIMIT_PAGES } from "../../../../dist/src/engines/cpu/runtime/heap.js";
import { UserError } from "../../../../dist/src/system/errors.js";

const PAGE = 65536;

test("what is handed out lies apart, on cache lines, within the memory", () => {
  const heap = new Heap(createMemory(1000), 1000);
  const parts = [1, 64, 65, 1000, 70_000, 0].map((bytes) => ({ at: heap.allocate(bytes), bytes }));
  const sorted = [...parts].sort((a, b) => a.at - b.at);
  let end = 1000;
  for (const { at, bytes } of sorted) {
    assert.ok(at >= end, `${at} after ${end}`);
    end = at + Math.max(1, bytes);
  }
  assert.ok(end <= heap.memory.buffer.byteLength);
  const lines = new Set(parts.map(({ at }) => at % 64));
  assert.equal(lines.size, 1);
});

test("what is given back is used again, neighbours as one, and twice is refused", () => {
  const heap = new Heap(createMemory(0), 0);
  const parts = Array.from({ length: 4 }, () => heap.allocate(8192));
  const rest = heap.allocate(PAGE - 4 * 8192);
  const size = heap.memory.buffer.byteLength;
  assert.equal(size, PAGE);
  for (const i of [0, 2, 1]) heap.release(parts[i]); // the last one joins both neighbours
  assert.equal(heap.allocate(3 * 8192), parts[0]);
  assert.equal(heap.memory.buffer.byteLength, size);
  assert.throws(() => heap.release(parts[1]), RangeError);
  heap.release(rest);
  assert.throws(() => heap.release(rest), RangeError);
});

test("the memory grows by what its last free part lacks", () => {
  const heap = new Heap(createMemory(PAGE), 0);
  heap.allocate(PAGE / 2);
  const at = heap.allocate(PAGE);
  assert.equal(at, PAGE / 2);
  assert.equal(heap.memory.buffer.byteLength, 2 * PAGE);
});

test("a memory that cannot grow: one line with the advice, and the heap is as before", () => {
  const heap = new Heap(createMemory(PAGE, 2), 0, "try something smaller");
  assert.throws(
    () => heap.allocate(3 * PAGE),
    (error: Error) =>
      error instanceof UserError && /^out of memory: .*try something smaller$/.test(error.message),
  );
  assert.equal(heap.allocate(2 * PAGE), 0);
});

test("no allocation ends at 4 GiB: its end is an address of 32 bits", () => {
  const heap = new Heap(createMemory(PAGE), 64);
  // Address space alone: nothing is written, so no memory is taken.
  const bytes = LIMIT_PAGES * PAGE - 64;
  const at = heap.allocate(bytes);
  assert.ok(at + bytes < 2 ** 32, `${at} + ${bytes}`);
  assert.throws(() => heap.allocate(1), UserError);
  assert.throws(() => new Heap(createMemory(PAGE), 64).allocate(bytes + PAGE), UserError);
});

/** The address spaces of this process for which huge pages were asked (Linux: proc(5), VmFlags, hg). */
function advisedKilobytes(): number {
  const areas = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return areas
    .filter((area) => /^VmFlags:.*\bhg\b/m.test(area))
    .reduce((sum, area) => sum + Number(area.match(/^Size: +(\d+)/m)?.[1]), 0);
}

test("on Linux the whole space that a memory may grow into asks for huge pages", {
  skip: !existsSync("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size") && "this kernel has none",
}, () => {
  const before = advisedKilobytes();
  const heap = new Heap(createMemory(0, 1024), 0);
  assert.ok(advisedKilobytes() - before >= 64 * 1024, "not asked for");
  heap.allocate(1000 * PAGE);
  assert.ok(advisedKilobytes() - before >= 64 * 1024, "forgotten when it grew");
});
