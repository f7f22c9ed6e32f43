import assert from "node:assert/strict";
import { test } from "node:test";
import { uniform } from "../../dist/src/random.js";
import { rankAndTop, tokenLogprob } from "../../dist/src/sampling/logprobs.js";

/** Token n is the byte n + 97. */
const TOKENS = { tokenBytes: (id: number) => Uint8Array.of(id + 97) };

/** Random logits, of which some are equal and some -Infinity. */
function someLogits(round: number, n: number): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => {
    const u = uniform(71, round, i);
    return u < 0.05 ? -Infinity : round % 2 === 0 ? Math.floor(8 * u) : 30 * u - 15;
  });
}

test("log-probability, rank and the likeliest are those of a softmax that is sorted whole, of equals by id", () => {
  for (let round = 0; round < 60; round++) {
    const logits = someLogits(round, 26);
    const largest = Math.max(...logits);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
    const expected = Array.from(logits, (logit) => logit - largest - Math.log(sum));
    const order = [...expected.keys()].sort((a, b) => expected[b] - expected[a] || a - b);
    for (const top of [0, 1, 5, 26, 40]) {
      for (const id of [0, 7, 25]) {
        const token = tokenLogprob(TOKENS, logits, id, top);
        assert.equal(token.rank, order.indexOf(id) + 1);
        assert.equal(token.text, String.fromCharCode(id + 97));
        assert.deepEqual(token.bytes, [id + 97]);
        const listed = token.top.map((each) => each.id);
        assert.deepEqual(listed, order.slice(0, top));
        for (const { id: each, logprob } of [token, ...token.top]) {
          assert.ok(logprob === expected[each] || Math.abs(logprob - expected[each]) < 2e-7);
        }
        if (token.rank <= top) assert.equal(token.top[token.rank - 1].logprob, token.logprob);
      }
    }
  }
});

test("the likeliest of a vocabulary of GPT-2's size", () => {
  const logits = someLogits(1, 50257);
  const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b);
  for (const place of [0, 1, 99, 100, 4000, 50256]) {
    assert.deepEqual(rankAndTop(logits, order[place], 100), { rank: place + 1, top: order.slice(0, 100) });
  }
});

test("half a character: its bytes, and U+FFFD as text", () => {
  const tokens = { tokenBytes: () => Uint8Array.of(0xe2, 0x82) };
  const { text, bytes } = tokenLogprob(tokens, Float32Array.of(1, 2), 0, 0);
  assert.equal(text, "\ufffd");
  assert.deepEqual(bytes, [0xe2, 0x82]);
});
