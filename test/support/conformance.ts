import assert from "node:assert/strict";
import { test } from "node:test";
import { loadEncoder } from "../../dist/src/encoder/encoder.js";
import type { Engine } from "../../dist/src/model/engine.js";
import type { Hparams } from "../../dist/src/model/hparams.js";
import type { WeightSource } from "../../dist/src/model/weight-source.js";
import { sample } from "../../dist/src/sampling/sample.js";
import { type Fixture, MICRO, SHAKESPEARE, withSource } from "./models.js";
import { randomParameters, referenceLogits, sourceOf } from "./wasm-reference.js";

/** How a test makes an engine. */
export type CreateEngine = (hparams: Hparams, source: WeightSource) => Promise<Engine>;

/** float32 against float64, relative to the largest logit. */
const TOLERANCE = 2e-5;

const largest = (logits: ArrayLike<number>): number =>
  Array.from(logits).reduce((max, x) => Math.max(max, Math.abs(x)), 0);

/** The largest difference between two arrays of logits, relative to the largest logit. */
export function difference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(actual[i] - expected[i]));
  return worst / largest(expected);
}

/** Compares logits with the fixture's. */
function checkLogits(
  logits: Float32Array,
  known: Fixture["expected"]["sequences"][number],
  what: string,
): void {
  const scale = largest(known.top8_logits.concat(known.last_logits_first_16));
  const check = (actual: number, expected: number, name: string): void =>
    assert.ok(
      Math.abs(actual - expected) <= TOLERANCE * scale,
      `${what}: ${name} is ${actual}, expected ${expected} within ${TOLERANCE * scale}`,
    );
  for (const [i, logit] of known.last_logits_first_16.entries()) check(logits[i], logit, `logit ${i}`);
  for (const [i, id] of known.top8_ids.entries()) check(logits[id], known.top8_logits[i], `logit ${id}`);
  const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a]);
  assert.deepEqual(order.slice(0, 8), known.top8_ids, `${what}: the eight likeliest tokens`);
  const mean = logits.reduce((sum, x) => sum + x, 0) / logits.length;
  check(mean, known.last_logits_mean, "mean");
  const variance = logits.reduce((sum, x) => sum + (x - mean) ** 2, 0) / logits.length;
  check(Math.sqrt(variance), known.last_logits_std, "standard deviation");
}

/**
 * A model that magnifies GELU's error: the state is GELU's values less what float64 gives for them, rounding
 * errors of 1e-7, and ln_f multiplies so small a state by 316. A constant of GELU that is wrong in its fourth
 * digit changes these logits by 1e-3; in a usual model it is lost below every tolerance.
 */
export async function checkGelu(create: CreateEngine, what: string): Promise<void> {
  const hparams: Hparams = { n_vocab: 9, n_ctx: 4, n_embd: 8, n_head: 1, n_layer: 1 };
  const inputs = [0, 0.25, 0.5, 1, 1.5, 2, 3, -1.5].map(Math.fround);
  const gelu = (x: number): number =>
    0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  const parameters = randomParameters(hparams, 1);
  for (const values of parameters.values()) values.fill(0);
  const put = (name: string, set: (values: Float32Array) => void): void => set(parameters.get(name)!);
  put("model/h0/mlp/c_fc/b", (b) => b.set(inputs));
  // Hidden value i goes to feature i; the bias takes away what it should be.
  put("model/h0/mlp/c_proj/w", (w) => {
    for (const i of inputs.keys()) w[i * 9] = 1;
  });
  put("model/h0/mlp/c_proj/b", (b) => b.set(inputs.map((x) => -gelu(x))));
  put("model/ln_f/g", (g) => g.fill(1));
  put("model/wte", (wte) =>
    Array.from({ length: 8 }, (_, i) => wte.fill(1, (i + 1) * 8 + i, (i + 1) * 8 + i + 1)),
  );
  const engine = await create(hparams, sourceOf(hparams, parameters));
  const logits = await readInPieces(engine, [0], 1);
  await engine.dispose();
  for (const [i, expected] of referenceLogits(hparams, parameters, [0])[0].entries()) {
    const found = logits[i];
    assert.ok(
      Math.abs(found - expected) < 5e-4,
      `${what}: GELU off, logit ${i} is ${found}, not ${expected}`,
    );
  }
}

/** Reads ids into a new sequence in pieces of that size; the last logits, copied. */
export async function readInPieces(
  engine: Engine,
  ids: readonly number[],
  piece: number,
): Promise<Float32Array> {
  const sequence = engine.createSequence();
  let logits = new Float32Array(0);
  for (let start = 0; start < ids.length; start += piece) {
    const isLast = start + piece >= ids.length;
    const step = { sequence, ids: ids.slice(start, start + piece) };
    const result = await engine.forward([step], isLast ? "last" : "none");
    if (isLast) logits = result[0].slice();
    else assert.equal(result[0].length, 0);
  }
  assert.equal(sequence.length, ids.length);
  engine.free(sequence);
  return logits;
}

/** The tests that every engine must pass. */
export function testConformance(
  name: string,
  create: CreateEngine,
  fixtures: readonly Fixture[] = [MICRO, SHAKESPEARE],
): void {
  test(`${name}: GELU to the last digit of its constants`, () => checkGelu(create, name));

  for (const fixture of fixtures) {
    const { expected } = fixture;
    const title = (what: string): string => `${name}, ${fixture.name}: ${what}`;
    const withEngine = async (use: (engine: Engine) => Promise<void>): Promise<void> => {
      const engine = await withSource(fixture, create);
      try {
        await use(engine);
      } finally {
        await engine.dispose();
      }
    };

    test(title("logits equal float64 at every length, whole and in pieces"), () =>
      withEngine(async (engine) => {
        for (const known of expected.sequences) {
          const { length } = known.ids;
          for (const piece of new Set([length, 7, Math.ceil(length / 2)])) {
            checkLogits(await readInPieces(engine, known.ids, piece), known, `${length} tokens by ${piece}`);
          }
        }
        const short = expected.sequences.find(({ ids }) => ids.length === 7)!;
        checkLogits(await readInPieces(engine, short.ids, 1), short, "7 tokens one by one");
      }),
    );

    test(title("logits are the same in a batch of different lengths"), () =>
      withEngine(async (engine) => {
        const { n_ctx, n_vocab } = engine.hparams;
        const steps = expected.sequences.map(({ ids }) => ({ sequence: engine.createSequence(), ids }));
        const before = steps.map(({ sequence, ids }) => ({ sequence, ids: ids.slice(0, -1) }));
        await engine.forward(
          before.filter(({ ids }) => ids.length > 0),
          "none",
        );
        const results = await engine.forward(
          steps.map(({ sequence, ids }) => ({ sequence, ids: ids.slice(-1) })),
        );
        for (const [i, known] of expected.sequences.entries()) {
          assert.equal(results[i].length, n_vocab);
          checkLogits(results[i], known, `${known.ids.length} tokens in a batch`);
        }
        assert.ok(steps.some(({ sequence }) => sequence.length === n_ctx));
        for (const { sequence } of steps) engine.free(sequence);
      }),
    );

    test(title('"all" gives the logits of every position: log-probabilities of texts'), () =>
      withEngine(async (engine) => {
        const encoder = await loadEncoder(fixture.folder);
        for (const { text, ids, logprobs } of expected.texts) {
          assert.deepEqual(encoder.encode(text), ids);
          const sequence = engine.createSequence();
          const read = [encoder.endOfText!, ...ids.slice(0, -1)];
          const [all] = await engine.forward([{ sequence, ids: read }], "all");
          const { n_vocab } = engine.hparams;
          assert.equal(all.length, read.length * n_vocab);
          for (const [i, id] of ids.entries()) {
            const row = all.subarray(i * n_vocab, (i + 1) * n_vocab);
            const max = row.reduce((a, b) => Math.max(a, b));
            const sum = row.reduce((total, x) => total + Math.exp(x - max), 0);
            const logprob = row[id] - max - Math.log(sum);
            assert.ok(
              Math.abs(logprob - logprobs[i]) < 1e-4,
              `${text}: token ${i}: ${logprob}, not ${logprobs[i]}`,
            );
          }
          engine.free(sequence);
        }
      }),
    );

    test(title("greedy continuations equal float64's, alone and in a batch"), () =>
      withEngine(async (engine) => {
        const encoder = await loadEncoder(fixture.folder);
        for (const { prompt, prompt_ids, greedy_ids } of expected.prompts) {
          assert.deepEqual(encoder.encode(prompt), prompt_ids);
          const ids = prompt_ids.length > 0 ? prompt_ids : [encoder.endOfText!];
          for (const batch_size of [1, 3]) {
            const seen: number[][] = [];
            const decoding = {
              decoder: () => {
                const own: number[] = [];
                seen.push(own);
                return { push: (id: number) => String(own.push(id)), end: () => "" };
              },
            };
            const options = { seed: 1, nsamples: batch_size, batch_size, temperature: 0, top_k: 0, top_p: 1 };
            const events = sample(engine, decoding, ids, { ...options, length: greedy_ids.length });
            for await (const _ of events);
            for (const own of seen) assert.deepEqual(own, greedy_ids);
            assert.equal(seen.length, batch_size);
          }
        }
      }),
    );

    test(title("a fork goes on by itself, and freed sequences leave no trace"), () =>
      withEngine(async (engine) => {
        const known = expected.sequences.find(({ ids }) => ids.length >= 32)!;
        const start = engine.createSequence();
        await engine.forward([{ sequence: start, ids: known.ids.slice(0, -5) }], "none");
        const forks = [engine.fork(start), engine.fork(start)];
        const other = engine.fork(forks[0]);
        engine.free(start);
        // The forks read different tokens side by side; one then reads the known ones.
        await engine.forward([
          { sequence: forks[1], ids: [1] },
          { sequence: other, ids: [2] },
        ]);
        const [logits] = await engine.forward([{ sequence: forks[0], ids: known.ids.slice(-5) }]);
        checkLogits(logits, known, "fork");
        for (const sequence of [...forks, other]) engine.free(sequence);
      }),
    );

    test(title("a fork of a sequence's beginning goes on from there, as does what it was taken from"), () =>
      withEngine(async (engine) => {
        const known = expected.sequences.find(
          ({ ids }) => ids.length >= 32 && ids.length < engine.hparams.n_ctx,
        )!;
        const { length } = known.ids;
        const long = engine.createSequence();
        await engine.forward([{ sequence: long, ids: known.ids.slice(0, -1) }], "none");
        const steps = [0, 1, 31, length - 2].map((kept) => ({
          sequence: engine.fork(long, kept),
          ids: known.ids.slice(kept),
        }));
        const results = await engine.forward([{ sequence: long, ids: [1] }, ...steps]);
        for (const [i, { ids }] of steps.entries())
          checkLogits(results[i + 1], known, `fork that reads ${ids.length}`);
        const again = engine.fork(long, length - 1);
        const twice = engine.fork(engine.fork(again), length - 3);
        const [logits] = await engine.forward([{ sequence: again, ids: known.ids.slice(-1) }]);
        checkLogits(logits, known, "fork of a sequence that went on");
        const [last] = await engine.forward([{ sequence: twice, ids: known.ids.slice(-3) }]);
        checkLogits(last, known, "fork of a fork");
        for (const wrong of [-1, length + 1, 1.5]) assert.throws(() => engine.fork(long, wrong), RangeError);
      }),
    );

    test(title("wrong ids, lengths and sequences are refused"), () =>
      withEngine(async (engine) => {
        const { n_ctx, n_vocab } = engine.hparams;
        const sequence = engine.createSequence();
        const refused = (ids: number[], steps = 1): Promise<void> =>
          assert.rejects(
            async () => engine.forward(Array.from({ length: steps }, () => ({ sequence, ids }))),
            RangeError,
          );
        await refused([]);
        await refused([n_vocab]);
        await refused([-1]);
        await refused([1.5]);
        await refused([0], 2);
        await refused(new Array(n_ctx + 1).fill(0));
        const [logits] = await engine.forward([{ sequence, ids: expected.sequences[0].ids }]);
        checkLogits(logits, expected.sequences[0], "after refusals");
        engine.free(sequence);
        await refused([0]);
        assert.throws(() => engine.fork(sequence), RangeError);
      }),
    );
  }
}
