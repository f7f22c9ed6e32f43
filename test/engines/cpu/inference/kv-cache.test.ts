import assert from "node:assert/strict";
import { test } from "node:test";
import { PAGE } from "../../../../dist/assembly/abi.js";
import { Cache } from "../../../../dist/src/engines/cpu/inference/kv-cache.js";
import { createMemory, Heap } from "../../../../dist/src/engines/cpu/runtime/heap.js";
import type { CachedSequence } from "../../../../dist/src/engines/paged-cache.js";
import { UserError } from "../../../../dist/src/system/errors.js";

const HPARAMS = { n_vocab: 11, n_ctx: 200, n_embd: 10, n_head: 2, n_layer: 3 };

function makeCache(maximumPages = 100): { cache: Cache; heap: Heap; bytes: () => Uint8Array } {
  const heap = new Heap(createMemory(64, maximumPages), 64);
  return { cache: new Cache(heap, HPARAMS), heap, bytes: () => new Uint8Array(heap.memory.buffer) };
}

/** 32 positions of keys [n_head, 4, 5, 8] and values [n_head, 1, 32, 8], for every layer. */
const PAGE_BYTES = 3 * (2 * 32 * 5 + 2 * 32 * 8) * 4;

test("pages are taken as they are needed, of the size that the kernels read", () => {
  const { cache } = makeCache();
  assert.equal(cache.layerBytes * 3, PAGE_BYTES);
  const sequence = cache.create();
  for (const [length, pages] of [
    [0, 0],
    [1, 1],
    [PAGE, 1],
    [PAGE + 1, 2],
    [200, 7],
    [5, 7],
  ]) {
    cache.reserve(sequence, length);
    assert.equal(sequence.pages.length, pages, `${length} positions`);
  }
  const sorted = [...sequence.pages].sort((a, b) => a - b);
  for (let i = 1; i < sorted.length; i++) assert.ok(sorted[i] - sorted[i - 1] >= PAGE_BYTES);
});

for (const length of [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE]) {
  test(`a fork at ${length} shares full pages and copies the one that is written to`, () => {
    const { cache, bytes } = makeCache();
    const from = cache.create();
    cache.reserve(from, length);
    from.length = length;
    for (const page of from.pages) bytes().fill(7, page, page + PAGE_BYTES);
    const fork = cache.fork(from);
    const full = Math.floor(length / PAGE);
    assert.equal(fork.length, length);
    assert.deepEqual(fork.pages.slice(0, full), from.pages.slice(0, full));
    assert.equal(fork.pages.length, Math.ceil(length / PAGE));
    for (const page of fork.pages.slice(full)) {
      assert.ok(!from.pages.includes(page));
      assert.ok(
        bytes()
          .subarray(page, page + PAGE_BYTES)
          .every((byte) => byte === 7),
      );
      bytes().fill(9, page, page + PAGE_BYTES);
    }
    for (const page of from.pages)
      assert.ok(
        bytes()
          .subarray(page, page + PAGE_BYTES)
          .every((byte) => byte === 7),
      );
  });
}

test("a shared page is given back with its last holder", () => {
  const { cache, heap } = makeCache();
  const from = cache.create();
  cache.reserve(from, PAGE);
  from.length = PAGE;
  const [page] = from.pages;
  const fork = cache.fork(from);
  cache.free(from);
  const other = cache.create();
  cache.reserve(other, PAGE);
  assert.notEqual(other.pages[0], page, "a fork still holds it");
  cache.free(fork);
  assert.throws(() => heap.release(page), RangeError, "it has been given back");
});

test("sequences that were freed, or are another cache's, are refused", () => {
  const { cache } = makeCache();
  const sequence = cache.create();
  assert.equal(cache.check(sequence), sequence);
  cache.free(sequence);
  assert.throws(() => cache.check(sequence), RangeError);
  assert.throws(() => cache.check(makeCache().cache.create()), RangeError);
  assert.throws(() => cache.check({ length: 0 }), RangeError);
});

test("a fork that finds no memory leaves nothing behind", () => {
  const { cache } = makeCache(1);
  const from = cache.create();
  cache.reserve(from, 1);
  from.length = 1;
  const held: CachedSequence[] = [];
  assert.throws(() => {
    for (;;) held.push(cache.fork(from));
  }, UserError);
  const [last] = held.splice(-1);
  cache.free(last);
  held.push(cache.fork(from)); // the failed fork holds no page: one is free again, and one alone
  assert.throws(() => cache.fork(from), UserError);
});
