import assert from "node:assert/strict";
import { test } from "node:test";
import { uniform } from "../../dist/src/random.js";
import { type DrawOptions, makeDraw } from "../../dist/src/sampling/draw.js";
import type { Past } from "../../dist/src/sampling/penalties.js";
import { shares } from "../support/shares.js";

const PLAIN: DrawOptions = { temperature: 1, top_k: 0, top_p: 1 };
const N = 20_000;

/** The distribution that the options describe, computed the simple way: sort everything, then cut. */
function reference(
  logits: ArrayLike<number>,
  { temperature, top_k, top_p, min_p, logit_bias, ...penalties }: DrawOptions,
  { context, drawn }: Past = { context: [], drawn: 0 },
): number[] {
  const { repetition_penalty = 1, presence_penalty = 0, frequency_penalty = 0 } = penalties;
  const own = context.slice(context.length - drawn);
  const weakened = Array.from(logits, (logit, id) => {
    const biased = logit + (logit_bias?.get(id) ?? 0);
    const factor = context.includes(id) ? (biased < 0 ? repetition_penalty : 1 / repetition_penalty) : 1;
    const count = own.filter((each) => each === id).length;
    return biased * factor - count * frequency_penalty - (count > 0 ? presence_penalty : 0);
  });
  const scaled = weakened.map((logit) => logit / temperature);
  const kth = top_k > 0 ? [...scaled].sort((a, b) => b - a)[Math.min(top_k, scaled.length) - 1] : -Infinity;
  const max = Math.max(...scaled);
  let p = scaled.map((x) => (x >= kth ? Math.exp(x - max) : 0));
  const norm = (values: number[]): number[] => {
    const sum = values.reduce((a, b) => a + b, 0);
    return values.map((value) => value / sum);
  };
  p = norm(p);
  const order = p.map((_, id) => id).sort((a, b) => p[b] - p[a] || a - b);
  const kept = new Set<number>();
  let reached = 0;
  for (const id of order) {
    if (reached >= top_p && kept.size > 0) break;
    kept.add(id);
    reached += p[id];
  }
  p = norm(p.map((value, id) => (kept.has(id) ? value : 0)));
  const least = (min_p ?? 0) * Math.max(...p);
  return norm(p.map((value) => (value >= least ? value : 0)));
}

/** Fixed logits of a peaked, long-tailed shape, with ties. */
function someLogits(n: number): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => Math.round(8 * Math.sin(i * 12.9898) * Math.cos(i)) / 4);
}

/** The 99.9 % point of chi-square with that many degrees of freedom (Wilson and Hilferty 1931). */
function critical(df: number): number {
  return df * (1 - 2 / (9 * df) + 3.0902 * Math.sqrt(2 / (9 * df))) ** 3;
}

/** What stands before: some of the likeliest tokens, some of them twice, and unlikely ones; the last nine were drawn. */
const PAST: Past = { context: [0, 3, 3, 5, 17, 18, 20, 25, 25, 25, 40, 41, 59], drawn: 9 };
const BIAS = new Map([
  [2, 1.5],
  [3, -0.75],
  [20, -Infinity],
  [58, 4],
]);

const CASES: [string, DrawOptions][] = [
  ["plain", PLAIN],
  ["temperature 0.7", { ...PLAIN, temperature: 0.7 }],
  ["temperature 1.5", { ...PLAIN, temperature: 1.5 }],
  ["top_k 10", { ...PLAIN, top_k: 10 }],
  ["top_p 0.8", { ...PLAIN, top_p: 0.8 }],
  ["all three", { temperature: 0.9, top_k: 40, top_p: 0.9 }],
  ["min_p 0.1", { ...PLAIN, min_p: 0.1 }],
  ["repetition penalty", { ...PLAIN, repetition_penalty: 1.3 }],
  ["repetition bonus", { ...PLAIN, repetition_penalty: 0.8 }],
  ["presence penalty", { ...PLAIN, presence_penalty: 1.5 }],
  ["frequency penalty", { ...PLAIN, frequency_penalty: 0.8 }],
  ["frequency bonus", { ...PLAIN, presence_penalty: -0.5, frequency_penalty: -0.3 }],
  ["logit bias", { ...PLAIN, logit_bias: BIAS }],
  [
    "all eight",
    {
      temperature: 0.9,
      top_k: 40,
      top_p: 0.9,
      min_p: 0.05,
      repetition_penalty: 1.2,
      presence_penalty: 0.3,
      frequency_penalty: 0.2,
      logit_bias: BIAS,
    },
  ],
];

for (const [name, options] of CASES) {
  test(`20,000 draws follow the softmax: ${name}`, () => {
    const logits = someLogits(60);
    const p = reference(logits, options, PAST);
    const draw = makeDraw(logits.length, options);
    const counts = new Array<number>(logits.length).fill(0);
    for (let t = 0; t < N; t++) counts[draw(logits, uniform(11, 0, t), PAST)]++;
    assert.deepEqual(logits, someLogits(60), "the logits stay as they are");
    let chi2 = 0;
    let bins = 0;
    let rareExpected = 0;
    let rareCount = 0;
    for (const [id, share] of p.entries()) {
      if (share === 0) assert.equal(counts[id], 0, `token ${id} must never be drawn`);
      if (share * N < 5) {
        rareExpected += share * N; // too rare for a bin of its own
        rareCount += counts[id];
      } else {
        chi2 += (counts[id] - share * N) ** 2 / (share * N);
        bins++;
      }
    }
    if (rareExpected >= 1) {
      chi2 += (rareCount - rareExpected) ** 2 / rareExpected;
      bins++;
    }
    assert.ok(
      bins > 4 && chi2 < critical(bins - 1),
      `chi-square ${chi2} with ${bins - 1} degrees of freedom`,
    );
  });
}

test("a draw walks the cumulative probability in order of id", () => {
  const logits = Float32Array.from([Math.log(0.5), Math.log(0.125), Math.log(0.375)]);
  const draw = makeDraw(3, PLAIN);
  assert.deepEqual(
    [0, 0.49, 0.51, 0.62, 0.63, 0.999999].map((u) => draw(logits, u)),
    [0, 0, 1, 1, 2, 2],
  );
});

test("temperature 0 takes the likeliest token, the first of equals", () => {
  const draw = makeDraw(4, { temperature: 0, top_k: 3, top_p: 0.5 });
  assert.equal(draw(Float32Array.from([1, 3, 3, 2]), 0.999), 1);
});

test("top_k keeps everything that ties with the k-th", () => {
  const draw = makeDraw(5, { ...PLAIN, top_k: 2 });
  const logits = Float32Array.from([1, 5, 1, 0, 1]);
  const seen = new Set(Array.from({ length: 2000 }, (_, t) => draw(logits, t / 2000)));
  assert.deepEqual([...seen].sort(), [0, 1, 2, 4]);
});

test("top_p keeps the token that crosses p, and at least one", () => {
  const logits = Float32Array.from([0.5, 0.3, 0.2].map(Math.log));
  const seen = (top_p: number): number[] => {
    const draw = makeDraw(3, { ...PLAIN, top_p });
    return [...new Set(Array.from({ length: 1000 }, (_, t) => draw(logits, t / 1000)))].sort();
  };
  assert.deepEqual(seen(1e-9), [0]);
  assert.deepEqual(seen(0.4), [0]);
  assert.deepEqual(seen(0.6), [0, 1]);
  assert.deepEqual(seen(0.9), [0, 1, 2]);
});

test("top_p: a set that just reaches p is enough: 1, a half, a half", () => {
  const draw = makeDraw(3, { ...PLAIN, top_p: 0.5, temperature: 1 / Math.LN2 });
  const p = shares((u) => draw(Float32Array.of(0, -1, -1), u), 3);
  assert.deepEqual(p, [1, 0, 0]);
});

test("top_p goes down to tokens far less likely than the first, where it takes them", () => {
  const many = (share: number): Float32Array =>
    Float32Array.from({ length: 301 }, (_, id) => (id === 0 ? 0 : Math.log(share)));
  for (const share of [5e-4, 5e-7]) {
    const top_p = (1 + 200.5 * share) / (1 + 300 * share); // the first and 201 of the others
    const draw = makeDraw(301, { ...PLAIN, top_p });
    const p = shares((u) => draw(many(share), u), 301);
    assert.equal(p.filter((each) => each > 0).length, 202);
  }
});

test("top_p over a flat vocabulary of GPT-2's size equals the plain way", () => {
  const logits = Float32Array.from({ length: 50257 }, (_, i) => ((i * 7919) % 1000) / 4000);
  const options = { ...PLAIN, top_p: 0.37 };
  const p = reference(logits, options);
  const draw = makeDraw(logits.length, options);
  let cumulative = 0;
  for (const [id, share] of p.entries()) {
    if (share > 0 && id % 997 === 0) assert.equal(draw(logits, cumulative + share / 2), id);
    cumulative += share;
  }
});

test("the shares of all tokens equal float64's, for many logits and options", () => {
  const next = (
    (t) => () =>
      uniform(23, 1, t++)
  )(0);
  const one = (...values: number[]): number => values[Math.floor(next() * values.length)];
  for (let round = 0; round < 300; round++) {
    const n_vocab = one(3, 30, 90);
    const logits = Float32Array.from({ length: n_vocab }, () => one(-40, 0, 3) + 8 * next());
    const context = Array.from({ length: one(0, 5, 60) }, () => Math.floor(next() * n_vocab));
    const past = { context, drawn: Math.floor(next() * (context.length + 1)) };
    const biases = Array.from(
      { length: one(0, 4) },
      () => [1 + Math.floor(next() * (n_vocab - 1)), one(-Infinity, 3, -2.5)] as const,
    );
    const options: DrawOptions = {
      temperature: one(0.3, 1, 1.7),
      top_k: one(0, 0, 1, 7),
      top_p: one(1, 1, 0.6),
      min_p: one(0, 0.02, 0.3, 1),
      repetition_penalty: one(1, 1.1, 1.3, 5, 0.7),
      presence_penalty: one(0, 0.4, 2, -1),
      frequency_penalty: one(0, 0.25, 2, -1),
      logit_bias: new Map(biases),
    };
    const expected = reference(logits, options, past);
    const draw = makeDraw(n_vocab, options);
    const p = shares((u) => draw(logits, u, past), n_vocab);
    for (const [id, share] of expected.entries()) {
      assert.ok(
        Math.abs(p[id] - share) < 1e-12,
        `token ${id}: ${p[id]}, not ${share}, ${JSON.stringify(options)}`,
      );
    }
  }
});

/** The shares of three tokens with logits 2, 1 and -1 are those of other logits. */
function assertWeighed(
  options: Partial<DrawOptions>,
  past: Past,
  weighed: number[],
  spared: Set<number> = new Set(),
): void {
  const draw = makeDraw(3, { ...PLAIN, ...options }, { ends: spared });
  const p = shares((u) => draw(Float32Array.of(2, 1, -1), u, past), 3);
  const weights = weighed.map(Math.exp);
  const sum = weights[0] + weights[1] + weights[2];
  // With a message: without one, Node looks for the words of the call in the source, and may look for minutes.
  for (const [id, weight] of weights.entries()) {
    assert.ok(Math.abs(p[id] - weight / sum) < 1e-12, `token ${id}: ${p[id]}, not ${weight / sum}`);
  }
}

test("repetition: divides what is positive, multiplies what is negative, once, however often it stands there", () => {
  // CTRL, section 4.1, by hand: 2 / 1.25, 1 and -1 * 1.25.
  const past = { context: [0, 2, 0, 0, 2], drawn: 2 };
  assertWeighed({ repetition_penalty: 1.25 }, past, [1.6, 1, -1.25]);
  assertWeighed({ repetition_penalty: 1.25 }, past, [1.6, 1, -1], new Set([2]));
});

test("presence and frequency: OpenAI's formula over what was drawn; the prompt costs nothing", () => {
  // mu[j] - c[j] * frequency - (c[j] > 0) * presence, by hand: token 0 was drawn once, token 2 twice, 1 never.
  const past = { context: [1, 0, 1, 2, 0, 2], drawn: 3 };
  assertWeighed({ presence_penalty: 0.5 }, past, [1.5, 1, -1.5]);
  assertWeighed({ frequency_penalty: 0.5 }, past, [1.5, 1, -2]);
  assertWeighed({ presence_penalty: 0.25, frequency_penalty: 0.5 }, past, [1.25, 1, -2.25]);
  assertWeighed({ presence_penalty: 2, frequency_penalty: -1 }, past, [1, 1, -1]);
  assertWeighed({ frequency_penalty: 0.5 }, past, [1.5, 1, -1], new Set([2]));
  assertWeighed({ presence_penalty: 2, frequency_penalty: 2 }, { ...past, drawn: 0 }, [2, 1, -1]);
  // After the repetition penalty: 2 / 2 - 0.5, not (2 - 0.5) / 2.
  assertWeighed({ repetition_penalty: 2, presence_penalty: 0.5 }, past, [0.5, 0.5, -2.5]);
});

test("bias comes before the penalty, both before greedy and top_k", () => {
  const greedy = { ...PLAIN, temperature: 0 };
  const logits = Float32Array.of(4, 3.5, -1);
  const likeliest = (options: Partial<DrawOptions>, context: number[] = []): number =>
    makeDraw(3, { ...greedy, ...options })(logits, 0.5, { context, drawn: 0 });
  assert.equal(likeliest({}), 0);
  assert.equal(likeliest({ repetition_penalty: 1.2 }), 0, "nothing was said yet");
  assert.equal(likeliest({ repetition_penalty: 1.2 }, [0]), 1);
  assert.equal(likeliest({ logit_bias: new Map([[0, -Infinity]]) }), 1);
  // (-1 + 5.5) / 1.2 is less than 4; the other way round -1 * 1.2 + 5.5 would be more.
  assert.equal(likeliest({ repetition_penalty: 1.2, logit_bias: new Map([[2, 5.5]]) }, [2]), 0);
  assert.equal(likeliest({ repetition_penalty: 1.1, logit_bias: new Map([[2, 5.5]]) }, [2]), 2);
  const top_k = makeDraw(3, { ...PLAIN, top_k: 1, logit_bias: new Map([[2, 100]]) });
  assert.deepEqual(
    [0, 0.5, 0.99].map((u) => top_k(logits, u)),
    [2, 2, 2],
  );
});

test("min_p looks at what temperature made of the logits, and keeps its equals", () => {
  const logits = Float32Array.from([8, 4, 4, 1].map(Math.log2), (x) => x * Math.LN2); // 8 : 4 : 4 : 1
  const seen = (options: Partial<DrawOptions>): number[] => {
    const draw = makeDraw(4, { ...PLAIN, ...options });
    return [...new Set(Array.from({ length: 999 }, (_, t) => draw(logits, t / 999)))].sort();
  };
  assert.deepEqual(seen({ min_p: 0.49 }), [0, 1, 2]);
  assert.deepEqual(seen({ min_p: 0.51 }), [0]);
  assert.deepEqual(seen({ min_p: 0.51, temperature: 2 }), [0, 1, 2]);
  assert.deepEqual(seen({ min_p: 1 }), [0]);
  assert.deepEqual(seen({ min_p: 1, top_k: 2 }), [0]);
  assert.deepEqual(seen({ min_p: 0 }), [0, 1, 2, 3]);
  const equals = makeDraw(3, { ...PLAIN, min_p: 1 });
  const drawn = [0, 0.4, 0.6, 0.99].map((u) => equals(Float32Array.of(2, 1, 2), u));
  assert.deepEqual(drawn, [0, 0, 2, 2], "a token as likely as the likeliest is at least as probable");
});

test("what is off changes no draw", () => {
  const logits = someLogits(500);
  const off = {
    min_p: 0,
    repetition_penalty: 1,
    presence_penalty: 0,
    frequency_penalty: 0,
    logit_bias: new Map<number, number>(),
  };
  for (const [name, { temperature, top_k, top_p }] of CASES) {
    const plain = makeDraw(500, { temperature, top_k, top_p });
    const draw = makeDraw(500, { temperature, top_k, top_p, ...off });
    for (let t = 0; t < 500; t++) {
      const u = uniform(3, 0, t);
      assert.equal(draw(logits, u, PAST), plain(logits, u), name);
    }
  }
});

test("biases that leave nothing to draw are refused", () => {
  const logit_bias = new Map([0, 1, 2].map((id) => [id, -Infinity]));
  for (const temperature of [0, 1]) {
    const draw = makeDraw(3, { ...PLAIN, temperature, logit_bias });
    assert.throws(
      () => draw(Float32Array.of(1, 2, 3), 0.5),
      /logit_bias.* leave the model no token to write/,
    );
  }
});

test("logits that are not numbers are refused, for every way of drawing", () => {
  for (const options of [PLAIN, { ...PLAIN, temperature: 0 }, { ...PLAIN, top_k: 1 }]) {
    for (const bad of [Number.NaN, Infinity]) {
      assert.throws(() => makeDraw(3, options)(Float32Array.from([1, bad, 2]), 0.5), /not numbers/);
    }
    const allMinus = new Float32Array(3).fill(-Infinity);
    assert.throws(() => makeDraw(3, options)(allMinus, 0.5), /not numbers/);
  }
  assert.equal(makeDraw(3, PLAIN)(Float32Array.from([-Infinity, 0, -Infinity]), 0.99), 1);
});

test("a very low temperature neither overflows nor loses the draw", () => {
  const draw = makeDraw(3, { ...PLAIN, temperature: 1e-300 });
  assert.equal(draw(Float32Array.from([1, 2, 1.5]), 0.5), 1);
  assert.equal(makeDraw(3, { ...PLAIN, temperature: 1e300 })(Float32Array.from([1, 2, 1.5]), 0.9), 2);
});

test("the largest logits alone, or with others, give the token that all give", () => {
  const n_vocab = 300;
  const logits = Float32Array.from(
    { length: n_vocab },
    (_, id) => Math.round(uniform(3, 0, id) * 15) / 2 - 3,
  );
  const ways: DrawOptions[] = [
    { ...PLAIN, temperature: 0, top_k: 40 },
    { ...PLAIN, top_k: 7 },
    { ...PLAIN, top_k: 40, temperature: 1.3, top_p: 0.9, min_p: 0.01, typical_p: 0.95 },
  ];
  for (const options of ways) {
    const draw = makeDraw(n_vocab, options);
    assert.equal(draw.largest, options.temperature === 0 ? 1 : options.top_k);
    const border = Float32Array.from(logits).sort().reverse()[draw.largest - 1];
    for (const more of [0, 0.25, 2]) {
      const ids = Uint32Array.from(logits.keys()).filter((id) => logits[id] >= border - more);
      assert.ok(ids.length > draw.largest, "some tie");
      const some = { ids, logits: Float32Array.from(ids, (id) => logits[id]) };
      for (let t = 0; t < 200; t++) {
        const u = uniform(4, 0, t);
        assert.equal(draw(some, u), draw(logits, u), `${JSON.stringify(options)}, ${more} more, ${u}`);
      }
    }
  }
  for (const options of [
    PLAIN,
    { ...PLAIN, top_k: n_vocab },
    { ...PLAIN, top_k: 5, repetition_penalty: 1.1 },
  ])
    assert.equal(makeDraw(n_vocab, options).largest, 0, "all logits count");
});
