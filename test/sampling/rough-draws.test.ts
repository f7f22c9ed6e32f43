import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { uniform } from "../../dist/src/random.js";
import { type CutOptions, cut } from "../../dist/src/sampling/cut.js";
import { makeDraw } from "../../dist/src/sampling/draw.js";
import { ADJUSTED, LOGITS } from "../../dist/src/sampling/kernels/kernels.js";
import { vectorKernels } from "../../dist/src/sampling/kernels/vector.js";
import type { Known } from "../../dist/src/sampling/known.js";
import { Mirostat } from "../../dist/src/sampling/mirostat.js";
import { boundaries, type ExactOptions, exactDraw } from "../support/exact-draw.js";

const N = 1200;

/** Numbers of a bell curve around 0. */
const bell = (round: number, i: number): number => {
  const [u, v] = [uniform(5, round, 2 * i), uniform(5, round, 2 * i + 1)];
  return Math.sqrt(-2 * Math.log(1 - u)) * Math.cos(2 * Math.PI * v);
};

const KINDS: Record<string, (i: number) => number> = {
  "as a trained model's": (i) => -35 + 4 * bell(1, i),
  flat: (i) => 0.01 * bell(2, i),
  "all equal": () => 2,
  "with ties": (i) => Math.round(2 * bell(3, i)),
  "one token and little else": (i) => (i === 77 ? 0 : -20 + bell(4, i)),
  "at the edge of float32's range": (i) => -86 * uniform(5, 5, i),
};

const OFF: ExactOptions = { temperature: 1, typical_p: 1, top_p: 1, min_p: 0, mu: Infinity };
const CASES: readonly ExactOptions[] = [
  OFF,
  { ...OFF, temperature: 0.7 },
  { ...OFF, temperature: 7.3 },
  { ...OFF, top_p: 0.9 },
  { ...OFF, top_p: 0.5, temperature: 1.3 },
  { ...OFF, top_p: 0.9999 },
  { ...OFF, min_p: 0.05 },
  { ...OFF, min_p: 1e-5 },
  { ...OFF, min_p: 1.1e-3 },
  { ...OFF, min_p: 1.1e-6, temperature: 2 },
  { ...OFF, typical_p: 0.95 },
  { ...OFF, typical_p: 0.5, temperature: 0.8 },
  { ...OFF, typical_p: 0.2 },
  { ...OFF, mu: 6 },
  { ...OFF, mu: 0.1 },
  { ...OFF, mu: 16 },
  { temperature: 0.9, typical_p: 0.9, top_p: 0.95, min_p: 0.02, mu: 8 },
  { temperature: 0.9, typical_p: 1, top_p: 0.95, min_p: 0.02, mu: 8 },
];

/** Uniform numbers, and such as lie on a boundary between two tokens or a hair beside it. */
function* numbers(logits: readonly number[], temperature: number): Generator<number> {
  yield 0;
  yield 1 - 2 ** -53;
  for (let t = 0; t < 50; t++) yield uniform(9, 0, t);
  const all = boundaries(logits, temperature);
  for (let t = 0; t < 40; t++) {
    const u = all[Math.floor(uniform(9, 1, t) * N)];
    for (const beside of [-1e-6, -1e-9, -1e-15, 0, 1e-15, 1e-9, 1e-6])
      if (u + beside >= 0 && u + beside < 1) yield u + beside;
  }
}

describe("draws by rough sums are those of exact ones", () => {
  for (const [kind, logit] of Object.entries(KINDS)) {
    test(kind, () => {
      const logits = Float32Array.from({ length: N }, (_, i) => logit(i));
      const biased = new Map([
        [5, 3.5],
        [77, -0.3],
        [901, -Infinity],
      ]);
      for (const logit_bias of [undefined, biased]) {
        const seen = Array.from(logits, (value, id) => value + (logit_bias?.get(id) ?? 0));
        const all = boundaries(seen, 1);
        // Mirostat's bound at a token's own surprise, or a hair beside it.
        const bounds = [3, 400, 800].flatMap((id) => {
          const mu = -Math.log2(all[id] - all[id - 1]);
          return [mu - 1e-6, mu - 1e-12, mu, mu + 1e-6].map((near) => ({ ...OFF, mu: near }));
        });
        for (const options of [...CASES, ...bounds.filter(({ mu }) => mu < 40)]) {
          const { mu, ...shape } = options;
          const mirostat_tau = mu === Infinity ? 0 : mu / 2;
          const draw = makeDraw(N, { ...shape, mirostat_tau, logit_bias, top_k: 0 });
          for (const u of numbers(seen, options.temperature)) {
            const past = { context: [], drawn: 0, state: { mirostat_mu: mu } };
            const what = `${JSON.stringify(options)}, bias ${logit_bias !== undefined}, u ${u}`;
            assert.equal(draw(logits, u, past), exactDraw(seen, options, u), what);
          }
        }
      }
    });
  }
});

test("the sum of what is not kept, and of each times its exponent: as far from the exact ones as it says at most", () => {
  const kernels = vectorKernels(N);
  for (const [kind, logit] of Object.entries(KINDS)) {
    const logits = Float32Array.from({ length: N }, (_, i) => logit(i));
    const max = logits.reduce((a, b) => Math.max(a, b));
    kernels.logits.set(logits);
    kernels.widen(N);
    for (const source of [LOGITS, ADJUSTED] as const) {
      for (const temperature of [1, 0.6, 3]) {
        for (const depth of [0.3, 4, 40]) {
          const bound = Math.fround(max - depth * temperature);
          kernels.sumOfRest(source, N, max, temperature, bound);
          let [sum, moment] = [0, 0];
          for (const value of logits) {
            if (value >= bound) continue;
            const x = (value - max) / temperature;
            sum += Math.exp(x);
            moment += x * Math.exp(x);
          }
          const what = `${kind}, ${temperature}, ${depth}`;
          assert.ok(Math.abs(kernels.rest - sum) <= kernels.error, what);
          assert.ok(Math.abs(kernels.restMoment - moment) <= kernels.momentError, what);
          assert.ok(kernels.error <= 4e-6 * sum + 1e-8 && kernels.momentError <= 5e-6 * -moment + 1e-7, what);
        }
      }
    }
  }
});

test("where too little is known, a cut says so", () => {
  const kernels = vectorKernels(6);
  const exact = { floor: 1e-9, total: 0, error: 0, moment: 0, momentError: 0 };
  /** How many of six tokens are kept; weights 1, 1/2, 1/4 ... 1/32. */
  const kept = (options: Partial<CutOptions>, given: Partial<Known>): number | undefined => {
    kernels.logits.set(Float32Array.from({ length: 6 }, (_, i) => -i));
    kernels.keepAll(6);
    kernels.weigh(LOGITS, 6, 0, 1 / Math.LN2, true);
    const { total, moment } = kernels;
    const known = { ...exact, total, moment, ...given };
    return cut(kernels, 6, known, { typical_p: 1, top_p: 1, min_p: 0, ...options });
  };
  const share = (1 + 1 / 2 + 1 / 4) / (2 - 1 / 32);
  assert.equal(kept({ top_p: share - 0.01 }, { error: 0.01 }), 3);
  assert.equal(kept({ top_p: share - 0.001 }, { error: 0.01 }), undefined, "the sum is too rough for 3 or 4");
  assert.equal(
    kept({ top_p: share - 0.01 }, { floor: 0.6 }),
    undefined,
    "what is not here may be in the nucleus",
  );
  assert.equal(kept({ min_p: 0.3 }, { floor: 0.2 }), 2);
  assert.equal(kept({ min_p: 0.3 }, { floor: 0.4 }), undefined);
  // In units of ln 2 the mean is -0.9: distances 0.9, 0.1, 1.1, 2.1 ...
  const typical_p = (1 / 2 + 1) / (2 - 1 / 32) - 0.01;
  assert.equal(kept({ typical_p }, { momentError: 0.01 }), 2);
  assert.equal(kept({ typical_p: typical_p + 0.0095 }, { error: 0.01 }), undefined, "the sum");
  assert.equal(
    kept({ typical_p }, { momentError: 0.3 }),
    undefined,
    "the third token is 0.2 further than the first",
  );
  assert.equal(kept({ typical_p }, { floor: 0.35 }), undefined, "what is not here may be as near");
  const mirostat = new Mirostat(0.9); // all of at least 2^-1.8 of the sum, 0.56
  assert.equal(kept({ mirostat }, { error: 0.01 }), 1);
  assert.equal(
    kept({ mirostat: new Mirostat(1) }, { error: 0.1 }),
    undefined,
    "the bound is 0.49, the second token weighs 0.5",
  );
  assert.equal(kept({ mirostat }, { floor: 0.6 }), undefined, "what is not here may be within the bound");
});

test("rough sums tell the token nearly always, and never another than the exact ones", () => {
  const n = 50257;
  const kernels = vectorKernels(n);
  const logits = Float32Array.from({ length: n }, (_, i) => KINDS["as a trained model's"](i));
  const max = logits.reduce((a, b) => Math.max(a, b));
  const exact = { ...OFF, temperature: 0.8 };
  let told = 0;
  for (let t = 0; t < 300; t++) {
    const u = uniform(10, 0, t);
    kernels.logits.set(logits);
    const id = kernels.drawRoughly(LOGITS, n, max, 0.8, u);
    if (id < 0) continue;
    told++;
    if (t < 30) assert.equal(id, exactDraw([...logits], exact, u));
  }
  assert.ok(told > 250, String(told));
});
