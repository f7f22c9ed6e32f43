import assert from "node:assert/strict";
import { test } from "node:test";
import { uniform } from "../../dist/src/random.js";
import { type DrawOptions, makeDraw } from "../../dist/src/sampling/draw.js";
import type { MirostatState } from "../../dist/src/sampling/mirostat.js";
import { shares } from "../support/shares.js";

// Each sampler beside a plain one that follows its source's definition, on random logits, contexts and vocabularies.

const PLAIN: DrawOptions = { temperature: 1, top_k: 0, top_p: 1 };
const N = 40;

/** Random numbers, the same ones every time. */
const random = (
  (t) => () =>
    uniform(97, 5, t++)
)(0);
const below = (n: number): number => Math.floor(random() * n);
const someLogits = (): Float32Array => Float32Array.from({ length: N }, () => 10 * random() - 5);
/** A context that repeats itself: of few tokens. */
const someContext = (): number[] => {
  const kinds = 2 + below(6);
  return Array.from({ length: below(60) }, () => below(kinds));
};
/** One to so many letters of four, of which one has two bytes, and one ends a line. */
const someWord = (most: number): string =>
  Array.from({ length: 1 + below(most) }, () => "abé\n"[below(4)]).join("");
/** Tokens of one to three letters; the last is a mark. */
const someTexts = (): string[] => Array.from({ length: N }, () => someWord(3));
const END = N - 1;
/** The same context with a mark for one of its kinds. */
const withEnds = (context: readonly number[]): number[] => context.map((id) => (id === 1 ? END : id));
const tokensOf = (texts: readonly string[]) => ({
  ends: new Set([END]),
  texts: { tokenBytes: (id: number) => Buffer.from(texts[id]), marks: new Map([[END, "<end>"]]) },
});

function softmax(logits: ArrayLike<number>): number[] {
  const max = Math.max(...Array.from(logits));
  const weights = Array.from(logits, (logit) => Math.exp(logit - max));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

function normalized(p: readonly number[]): number[] {
  const sum = p.reduce((a, b) => a + b, 0);
  return p.map((each) => each / sum);
}

function assertShares(actual: readonly number[], expected: readonly number[], what: string): void {
  for (const [id, share] of expected.entries()) {
    assert.ok(Math.abs(actual[id] - share) < 1e-12, `${what}: token ${id} has ${actual[id]}, not ${share}`);
  }
}

/** Draws after a context as options say and compares the distribution with that of other logits. */
function assertLogits(
  options: Partial<DrawOptions>,
  context: readonly number[],
  adjust: (logits: Float64Array) => void,
  texts = someTexts(),
): void {
  const logits = someLogits();
  const wanted = Float64Array.from(logits);
  adjust(wanted);
  const draw = makeDraw(N, { ...PLAIN, ...options }, tokensOf(texts));
  const past = { context, drawn: Math.min(3, context.length) };
  assertShares(
    shares((u) => draw(logits, u, past), N),
    softmax(wanted),
    JSON.stringify({ options, context }),
  );
}

test("no_repeat_ngram_size: every n-gram of the context, listed and looked up", () => {
  let banned = 0;
  for (let round = 0; round < 300; round++) {
    const n = 1 + below(5);
    const context = round % 2 === 0 ? someContext() : withEnds(someContext());
    assertLogits({ no_repeat_ngram_size: n }, context, (logits) => {
      const grams = context.slice(n - 1).map((_, i) => context.slice(i, i + n).join());
      for (let id = 0; id < N; id++) {
        const tail = n > 1 ? context.slice(-(n - 1)) : [];
        if (tail.length < n - 1 || !grams.includes([...tail, id].join()) || id === END) continue;
        logits[id] = -Infinity;
        banned++;
      }
    });
  }
  assert.ok(banned > 200, `${banned}`);
});

test("DRY: the longest suffix that stands in the context with the token behind it", () => {
  let penalised = 0;
  for (let round = 0; round < 300; round++) {
    const texts = someTexts();
    const dry = {
      dry_multiplier: 0.2 + random(),
      dry_base: 1 + random() / (round % 4 === 3 ? 20 : 1),
      dry_allowed_length: 1 + below(4),
      dry_breaker: [[], ["\n"], ["é"]][round % 3],
    };
    const isBreaker = (id: number): boolean =>
      id === END || dry.dry_breaker.some((each) => texts[id].includes(each));
    const context = [someContext, () => withEnds(someContext()), () => [3, 3], () => Array(60).fill(3)][
      round % 4
    ]();
    if (dry.dry_breaker.some((each) => !texts.some((text) => text.includes(each)))) continue;
    assertLogits(
      dry,
      context,
      (logits) => {
        for (let id = 0; id < N; id++) {
          let longest = 0;
          for (let n = 1; n < context.length && !isBreaker(id); n++) {
            const suffix = context.slice(-n);
            if (suffix.some(isBreaker)) break;
            const wanted = [...suffix, id].join();
            if (context.some((_, at) => context.slice(at, at + n + 1).join() === wanted)) longest = n;
          }
          if (longest < dry.dry_allowed_length) continue;
          logits[id] -= dry.dry_multiplier * dry.dry_base ** (Math.min(longest, 50) - dry.dry_allowed_length);
          penalised++;
        }
      },
      texts,
    );
  }
  assert.ok(penalised > 100, `${penalised}`);
  const draw = (options: Partial<DrawOptions>) =>
    makeDraw(N, { ...PLAIN, ...options }, tokensOf(someTexts()));
  assert.throws(
    () => draw({ dry_multiplier: 1, dry_breaker: ["###"] }),
    /no token holds the text of dry_breaker/,
  );
});

test("bad_words: every token that would write one, with what stands before it", () => {
  let banned = 0;
  for (let round = 0; round < 200; round++) {
    const texts = someTexts();
    const words = Array.from({ length: 1 + below(3) }, () => someWord(5));
    const context = [
      ...someContext(),
      ...(round % 4 === 0 ? [END] : []),
      ...someContext().slice(0, round % 8),
    ];
    const before = context
      .slice(context.lastIndexOf(END) + 1)
      .map((id) => texts[id])
      .join("");
    assertLogits(
      { bad_words: words },
      context,
      (logits) => {
        for (let id = 0; id < N - 1; id++) {
          const all = before + texts[id];
          // Written anew: it ends within the token.
          if (
            !words.some((word) => all.lastIndexOf(word) + word.length > before.length && all.includes(word))
          )
            continue;
          logits[id] = -Infinity;
          banned++;
        }
      },
      texts,
    );
  }
  assert.ok(banned > 300, `${banned}`);
});

test("bad_words: a character whose bytes lie in several tokens", () => {
  const bytes = [Buffer.from([0xe2]), Buffer.from([0x82]), Buffer.from([0xac]), Buffer.from("a")]; // € is the three
  const tokens = { ends: new Set<number>(), texts: { tokenBytes: (id: number) => bytes[id] } };
  const draw = makeDraw(4, { ...PLAIN, temperature: 0, bad_words: ["€"] }, tokens);
  assert.equal(draw(Float32Array.of(0, 0, 5, 1), 0.5, { context: [0, 1], drawn: 2 }), 3);
  assert.equal(draw(Float32Array.of(0, 0, 5, 1), 0.5, { context: [3, 1], drawn: 2 }), 2);
});

test("penalty_window: the penalties and DRY see the newest tokens alone", () => {
  for (let round = 0; round < 60; round++) {
    const context = someContext();
    const window = 1 + below(20);
    const options = {
      repetition_penalty: 1.3,
      presence_penalty: 0.4,
      frequency_penalty: 0.2,
      dry_multiplier: 0.5,
    };
    const tokens = tokensOf(someTexts());
    const logits = someLogits();
    const wide = makeDraw(N, { ...PLAIN, ...options, dry_breaker: [] }, tokens);
    const narrow = makeDraw(N, { ...PLAIN, ...options, dry_breaker: [], penalty_window: window }, tokens);
    const cut = context.slice(-window);
    const drawn = below(context.length + 1);
    assertShares(
      shares((u) => narrow(logits, u, { context, drawn }), N),
      shares((u) => wide(logits, u, { context: cut, drawn: Math.min(drawn, cut.length) }), N),
      `${window} of ${context.length}`,
    );
  }
  // Bans see all of the context.
  const texts = someTexts().map((text, id) => (id < 3 ? "abé"[id] : text));
  const banned = makeDraw(
    N,
    { ...PLAIN, penalty_window: 1, no_repeat_ngram_size: 2, bad_words: ["aaab"] },
    tokensOf(texts),
  );
  const p = shares((u) => banned(new Float32Array(N), u, { context: [5, 0, 0, 0], drawn: 0 }), N);
  assert.ok(p[0] === 0 && p[1] === 0 && p[2] > 0, String(p.slice(0, 3)));
});

/** Meister et al., section 4: sorted by the distance of surprise and entropy. */
function typical(p: readonly number[], mass: number): number[] {
  const entropy = p.reduce((sum, each) => (each > 0 ? sum - each * Math.log(each) : sum), 0);
  const order = [...p.keys()].filter((id) => p[id] > 0);
  const distance = (id: number): number => Math.abs(-Math.log(p[id]) - entropy);
  order.sort((a, b) => distance(a) - distance(b));
  const kept = new Set<number>();
  let reached = 0;
  for (const id of order) {
    if (reached >= mass) break;
    kept.add(id);
    reached += p[id];
  }
  return normalized(p.map((each, id) => (kept.has(id) ? each : 0)));
}

test("typical_p: sorted whole by the distance of a token's surprise and the entropy", () => {
  for (let round = 0; round < 200; round++) {
    const logits = someLogits();
    if (round % 5 === 0) logits[below(N)] = -Infinity;
    const typical_p = 0.05 + 0.94 * random();
    const draw = makeDraw(N, { ...PLAIN, typical_p });
    assertShares(
      shares((u) => draw(logits, u), N),
      typical(softmax(logits), typical_p),
      `${typical_p}`,
    );
  }
  // Of two tokens alike both stay, as in Hugging Face's warper: 0.4, 0.4, 0.2, whose entropy is nearest to 0.4.
  const draw = makeDraw(3, { ...PLAIN, typical_p: 0.3 });
  assertShares(
    shares((u) => draw(Float32Array.of(1, 1, 0), u), 3),
    [0.5, 0.5, 0],
    "equals",
  );
  // All of them, the furthest too; and as many as just reach p, no more: 1, two halves, eight quarters of 4.
  const all = makeDraw(3, { ...PLAIN, typical_p: 0.99 });
  const tenths = Float32Array.of(6, 3, 1).map(Math.log);
  assertShares(
    shares((u) => all(tenths, u), 3),
    softmax(tenths),
    "all",
  );
  const exact = makeDraw(11, { ...PLAIN, typical_p: 0.25, temperature: 1 / Math.LN2 });
  const powers = Float32Array.of(0, -1, -1, ...Array(8).fill(-2));
  assertShares(
    shares((u) => exact(powers, u), 11),
    [0, 0.5, 0.5, ...Array(8).fill(0)],
    "exactly p",
  );
});

test("typical_p over a vocabulary of GPT-2's size equals the plain way", () => {
  const logits = Float32Array.from({ length: 50257 }, () => -12 * random());
  for (const typical_p of [0.2, 0.95]) {
    const p = typical(softmax(logits), typical_p);
    const draw = makeDraw(logits.length, { ...PLAIN, typical_p });
    let cumulative = 0;
    for (const [id, share] of p.entries()) {
      if (share > 1e-9 && id % 331 === 0) assert.equal(draw(logits, cumulative + share / 2), id);
      cumulative += share;
    }
  }
});

test("Mirostat 2: each draw and each bound of a long sample, worked out by sorting", () => {
  for (const tau of [0.5, 2, 5]) {
    const state: MirostatState = {};
    const draw = makeDraw(N, { ...PLAIN, mirostat_tau: tau, temperature: 0.8 });
    let mu = 2 * tau;
    for (let t = 0; t < 200; t++) {
      const logits = someLogits();
      const p = softmax(Array.from(logits, (logit) => logit / 0.8));
      const order = [...p.keys()].sort((a, b) => p[b] - p[a]);
      const kept = order.filter((id, i) => i === 0 || -Math.log2(p[id]) <= mu);
      const q = normalized(p.map((each, id) => (kept.includes(id) ? each : 0)));
      const before = state.mirostat_mu;
      assertShares(
        shares((u) => draw(logits, u, { context: [], drawn: 0, state: { mirostat_mu: before } }), N),
        q,
        `tau ${tau}, token ${t}`,
      );
      const id = draw(logits, random(), { context: [], drawn: 0, state });
      mu -= 0.1 * (-Math.log2(q[id]) - tau);
      assert.ok(
        Math.abs((state.mirostat_mu ?? Number.NaN) - mu) < 1e-9,
        `mu ${state.mirostat_mu}, not ${mu}`,
      );
      mu = state.mirostat_mu as number;
    }
  }
});

test("order: bans come after penalties, typical_p after top_k and before top_p, Mirostat last", () => {
  const logits = Float32Array.from([0.3, 0.25, 0.2, 0.15, 0.1], Math.log);
  const draw = makeDraw(5, { ...PLAIN, top_k: 4, typical_p: 0.7, top_p: 0.5, mirostat_tau: 5 });
  let p = normalized(softmax(logits).map((each, id) => (id < 4 ? each : 0))); // top_k
  p = typical(p, 0.7);
  const order = [...p.keys()].sort((a, b) => p[b] - p[a]);
  const kept = order.filter((_, i) => order.slice(0, i).reduce((sum, id) => sum + p[id], 0) < 0.5);
  p = normalized(p.map((each, id) => (kept.includes(id) ? each : 0)));
  assertShares(
    shares((u) => draw(logits, u), 5),
    p,
    "all",
  );
  const banned = makeDraw(
    5,
    { ...PLAIN, temperature: 0, no_repeat_ngram_size: 1, repetition_penalty: 0.01 },
    { ends: new Set() },
  );
  assert.equal(banned(Float32Array.of(5, 4, 3, 2, 1), 0, { context: [0, 1], drawn: 0 }), 2);
  // DRY after the penalties: 4 / 2 - 1.5, not (4 - 1.5) / 2.
  const dry = { dry_multiplier: 1.5, dry_allowed_length: 1, dry_breaker: [] };
  const both = makeDraw(2, { ...PLAIN, ...dry, repetition_penalty: 2 }, { ends: new Set() });
  assertShares(
    shares((u) => both(Float32Array.of(4, -9), u, { context: [0, 0], drawn: 0 }), 2),
    softmax([0.5, -9]),
    "DRY",
  );
});

test("bans that leave nothing: one line that names them", () => {
  const draw = makeDraw(2, { ...PLAIN, no_repeat_ngram_size: 1 });
  assert.throws(() => draw(Float32Array.of(1, 2), 0.5, { context: [0, 1], drawn: 2 }), {
    name: "UserError",
    message: /^logit_bias, bad_words and no_repeat_ngram_size leave the model no token to write$/,
  });
});

test("with all of them off each draw is the same", () => {
  const off = {
    ...{ no_repeat_ngram_size: 0, typical_p: 1, dry_multiplier: 0, dry_base: 1.75, dry_allowed_length: 2 },
    ...{ mirostat_tau: 0, bad_words: [], penalty_window: 0 },
  };
  for (const options of [
    PLAIN,
    { temperature: 0.7, top_k: 5, top_p: 0.9, min_p: 0.01, repetition_penalty: 1.2 },
  ]) {
    const plain = makeDraw(N, options);
    const draw = makeDraw(N, { ...options, ...off });
    for (let t = 0; t < 500; t++) {
      const logits = someLogits();
      const past = { context: someContext(), drawn: 0 };
      const u = random();
      assert.equal(draw(logits, u, past), plain(logits, u, past));
    }
  }
});
