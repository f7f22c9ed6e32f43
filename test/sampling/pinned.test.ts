import assert from "node:assert/strict";
import { test } from "node:test";
import { Continuations } from "../../dist/src/sampling/continuation.js";
import { fitPrompt, pinnedPrompt } from "../../dist/src/sampling/prompt.js";

const HPARAMS = { n_ctx: 8, n_vocab: 32, n_embd: 4, n_head: 1, n_layer: 1 };
const decoding = { decoder: () => ({ push: () => "x", end: () => "" }) };
/** Logits of which greedy takes one token. */
const saying = (id: number): Float32Array => Float32Array.from({ length: 32 }, (_, i) => (i === id ? 9 : 0));

/** What is read before each of the drawn tokens 10, 11, ...: the pieces that begin a context afresh. */
function contexts(pinned: number, count: number): number[][] {
  const options = { seed: 1, temperature: 0, top_k: 0, top_p: 1, length: 100, pinned };
  const sample = new Continuations(HPARAMS, decoding, [1, 2, 3, 4], options).begin(0);
  const found: number[][] = [];
  for (let k = 0; k < count; k++) {
    sample.advance(saying(10 + k));
    const { ids, afresh } = sample.next();
    if (afresh) found.push([...ids]);
    else assert.deepEqual(ids, [10 + k]);
  }
  return found;
}

test("what is pinned stays at the front of every context that is begun afresh", () => {
  assert.deepEqual(contexts(0, 10), [
    [11, 12, 13, 14],
    [16, 17, 18, 19],
  ]);
  assert.deepEqual(contexts(2, 10), [
    [1, 2, 13, 14],
    [1, 2, 18, 19],
  ]);
});

test("a repetition penalty knows what is pinned, and forgets what has left the context", () => {
  const options = {
    seed: 1,
    temperature: 0,
    top_k: 0,
    top_p: 1,
    length: 100,
    pinned: 1,
    repetition_penalty: 100,
  };
  // The context is 1, 12, 13, 14: of two tokens wanted alike, the one that is not in it is drawn.
  const both = (a: number, b: number): Float32Array =>
    Float32Array.from({ length: 32 }, (_, i) => (i === a || i === b ? 9 : 0));
  const drawn = (logits: Float32Array): number => {
    const sample = new Continuations(HPARAMS, decoding, [1, 2, 3, 4], { ...options, keepIds: true }).begin(0);
    for (let k = 0; k < 5; k++) {
      sample.advance(saying(10 + k));
      sample.next();
    }
    sample.advance(logits);
    return sample.ids?.at(-1) ?? -1;
  };
  assert.equal(drawn(both(1, 20)), 20); // pinned: it is said
  assert.equal(drawn(both(2, 20)), 2); // it has left
  assert.equal(drawn(both(12, 20)), 20);
});

test("a prompt that is too long keeps its pinned text and its newest tokens", () => {
  assert.deepEqual(fitPrompt([1, 2, 3, 4, 5, 6, 7, 8, 9], 8, 2), [1, 2, 8, 9]);
  assert.deepEqual(fitPrompt([1, 2, 3, 4, 5, 6, 7, 8], 8, 2), [1, 2, 3, 4, 5, 6, 7, 8]);
  const encoder = {
    encode: (text: string) => [...text].map((each) => each.charCodeAt(0) - 96),
    special: { begin: [30], eos: [] },
    startOfText: undefined,
  } as unknown as Parameters<typeof pinnedPrompt>[0]["encoder"];
  const notices: string[] = [];
  const reading = { onNotice: (line: string) => void notices.push(line) };
  const found = pinnedPrompt({ encoder, hparams: HPARAMS }, "a", "bcdefg", reading);
  assert.deepEqual(found, { ids: [30, 1, -86, 7], pinned: 3 }); // the newline's number here is -86
  assert.match(
    notices[0],
    /^the prompt's 9 tokens are more than the context's 8: only the newest 1 are read$/,
  );
});
