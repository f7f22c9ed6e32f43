import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Engine } from "../../dist/src/model/engine.js";
import { loadFolder } from "../../dist/src/models/folder.js";
import {
  type BeamOptions,
  type BeamSamplesOptions,
  beamSamples,
  searchBeams,
} from "../../dist/src/sampling/beam-search.js";
import { BeamSearch } from "../../dist/src/sampling/beams.js";
import type { Decoding } from "../../dist/src/sampling/continuation.js";
import type { SampleEvent } from "../../dist/src/sampling/sample.js";
import { EOS, FakeEngine, HPARAMS, LETTERS } from "../support/fake-engine.js";
import { inProject, MICRO } from "../support/models.js";

interface Setting {
  readonly num_beams: number;
  readonly num_return: number;
  readonly length_penalty: number;
  readonly length: number | null;
  readonly eos: readonly number[];
  readonly logit_bias?: Readonly<Record<string, number>>;
}

/** What test/fixtures/beams/make.py found over the micro model, in float64. */
const { prompts, cases } = JSON.parse(readFileSync(inProject("test/fixtures/beams/beams.json"), "utf8")) as {
  readonly prompts: readonly (readonly number[])[];
  readonly cases: readonly {
    readonly setting: Setting;
    readonly found: readonly (readonly { readonly ids: readonly number[]; readonly score: number }[])[];
  }[];
};

const decodingOf = (eos: readonly number[]): Decoding => ({
  ...LETTERS,
  endOfText: undefined,
  special: { eos },
});

/** The texts found for each prompt. */
async function search(
  engine: Engine,
  decoding: Decoding,
  options: BeamOptions,
  of = prompts,
  batch_size = 1,
) {
  const texts = [];
  const jobs = of.map((prompt) => ({ prompt, options }));
  for await (const found of searchBeams(engine, decoding, jobs, { batch_size })) {
    assert.equal(found.job, jobs[texts.length], "in order");
    texts.push(found.texts.map(({ ids, score }) => ({ ids, score })));
  }
  return texts;
}

for (const [backend, some] of [
  ["wasm", cases],
  ["tfjs-cpu", cases.filter(({ setting }) => setting.length === 12)],
] as const) {
  test(`${backend}: texts and scores equal those of transformers' search`, async () => {
    const { engine } = await loadFolder(MICRO.folder, { backend });
    try {
      for (const { setting, found } of some) {
        const { eos, length, logit_bias = {}, ...options } = setting;
        const biases = Object.entries(logit_bias).map(([id, bias]) => [Number(id), bias] as const);
        const given = { ...options, length: length ?? undefined, logit_bias: new Map(biases) };
        const texts = await search(engine, decodingOf(eos), given, prompts, 3);
        for (const [i, wanted] of found.entries()) {
          const what = `${JSON.stringify(setting)}, prompt ${i}`;
          assert.deepEqual(
            texts[i].map(({ ids }) => ids),
            wanted.map(({ ids }) => ids),
            what,
          );
          for (const [rank, { score }] of wanted.entries()) {
            const difference = Math.abs(texts[i][rank].score / score - 1);
            assert.ok(difference < 1e-5, `${what}: ${texts[i][rank].score}, not ${score}`);
          }
        }
      }
    } finally {
      await engine.dispose();
    }
  });
}

const OPTIONS: BeamOptions = { num_beams: 4, num_return: 3, length_penalty: 1, length: 9 };
const PROMPT = [3, 1, 4];

test("searches of several prompts at once find what each finds alone, and free every sequence", async () => {
  const many = [...Array(40).keys()].map((n) =>
    Array.from({ length: 1 + (n % 5) }, (_, i) => (7 * n + i) % 26),
  );
  const options = { ...OPTIONS, length: undefined };
  const alone = await search(new FakeEngine(), LETTERS, options, many);
  assert.ok(new Set(alone.map((texts) => texts[0].ids.length)).size > 2, "they end at different steps");
  for (const batch_size of [2, 3, 64]) {
    const engine = new FakeEngine();
    assert.deepEqual(await search(engine, LETTERS, options, many, batch_size), alone);
    assert.equal(engine.open.size, 0);
    assert.ok(engine.mostOpen <= 4 * batch_size, `${engine.mostOpen} sequences`);
  }
});

test("with more beams than texts are possible, it finds the best of all texts", async () => {
  // 5 tokens, at most 3 of them: all 156 texts, scored one by one.
  const hparams = { ...HPARAMS, n_vocab: 5 };
  const engine = new FakeEngine(hparams);
  const all: { ids: number[]; score: number }[] = [];
  const write = async (ids: number[], sum: number): Promise<void> => {
    if (ids.length > 0 && (ids.at(-1) === 0 || ids.length === 3)) {
      all.push({ ids, score: sum / ids.length ** 2 });
      return;
    }
    const sequence = engine.createSequence();
    const logits = (await engine.forward([{ sequence, ids: [...PROMPT, ...ids] }]))[0].slice();
    engine.free(sequence);
    const total = Math.log(logits.reduce((a, b) => a + Math.exp(b), 0));
    for (const [id, logit] of logits.entries()) await write([...ids, id], sum + logit - total);
  };
  await write([], 0);
  all.sort((a, b) => b.score - a.score);
  const options = { num_beams: 200, num_return: 5, length_penalty: 2, length: 3 };
  const [texts] = await search(engine, { ...LETTERS, endOfText: 0 }, options, [PROMPT]);
  assert.deepEqual(
    texts.map(({ ids }) => ids),
    all.slice(0, 5).map(({ ids }) => ids),
  );
  for (const [i, { score }] of texts.entries()) assert.ok(Math.abs(score - all[i].score) < 2e-7);
});

/** A search over a few tokens, whose logits are given: no engine. */
const small = (n_vocab: number, options: Partial<BeamOptions>, ends: readonly number[] = [], prompt = [1]) =>
  new BeamSearch({ ...HPARAMS, n_vocab }, { ends: new Set(ends) }, prompt, {
    ...{ num_beams: 1, num_return: 1, length_penalty: 1, length: 5 },
    ...options,
  });
/** The beams that a step chose. */
const moved = (search: BeamSearch, ...logits: readonly number[][]): number[][] =>
  search.advance(logits.map((each) => Float32Array.from(each))).map(({ from, id }) => [from, id]);

test("of equal texts the one found first comes first: a lower beam, a lower id", () => {
  const two = { num_beams: 2, num_return: 2 };
  const search = small(4, { ...two, length: 2 });
  assert.deepEqual(moved(search, [0, 0, 0, 0]), [
    [0, 0],
    [0, 1],
  ]);
  assert.deepEqual(moved(search, [0, 0, 0, 0], [0, 0, 0, 0]), []);
  assert.deepEqual(
    search.found().map(({ ids }) => ids),
    [
      [0, 0],
      [0, 1],
    ],
  );
});

test("it goes on only for what could still become better; the best text so far may be a finished one", () => {
  const tie = small(3, {}, [0]);
  assert.deepEqual(moved(tie, [0, 0, -9]), [], "as good is not better");
  assert.deepEqual(tie.best().ids, [0]);
  const two = small(3, { num_beams: 2, num_return: 1 }, [0]);
  assert.equal(moved(two, [2, 1, 1]).length, 2);
  assert.deepEqual(two.best().ids, [0]);
});

test("however many tokens end a text, all beams go on", () => {
  const search = small(6, { num_beams: 2 }, [0, 1, 2, 3]);
  assert.deepEqual(moved(search, [5, 4, 3, 2, 6, 1]), [
    [0, 4],
    [0, 5],
  ]);
});

test("penalties see the prompt and what a beam has written; presence_penalty only the latter", () => {
  const repeated = small(3, { repetition_penalty: 5 });
  assert.deepEqual(moved(repeated, [1, 1.1, 0]), [[0, 0]], "the prompt's token is weakened");
  assert.deepEqual(moved(repeated, [1, 1.1, 0.5]), [[0, 2]], "and so is its own");
  const present = small(3, { presence_penalty: 2 });
  assert.deepEqual(moved(present, [1, 1.1, 0]), [[0, 1]]);
  assert.deepEqual(moved(present, [1, 1.1, 0]), [[0, 0]]);
});

test("logits that are not numbers are refused", () => {
  for (const bad of [Number.NaN, Infinity])
    assert.throws(() => moved(small(3, {}), [1, bad, 2]), { name: "UserError", message: /not numbers/ });
});

test("a search that waits for the oldest one does not begin all the others; those that end at once are told", async () => {
  let begun = 0;
  function* jobs() {
    for (let i = 0; i < 200; i++) {
      begun++;
      yield { prompt: PROMPT, options: { ...OPTIONS, length: i === 0 ? 9 : 1 } };
    }
  }
  let told = 0;
  for await (const { texts } of searchBeams(new FakeEngine(), LETTERS, jobs(), { batch_size: 2 })) {
    assert.equal(texts.length, 3);
    if (told++ === 0) assert.ok(begun <= 65, `${begun} were begun`);
  }
  assert.equal(told, 200);
});

test("nothing is read twice: beams fork the cache", async () => {
  const engine = new FakeEngine();
  await search(engine, LETTERS, { ...OPTIONS, ignore_eos: true }, [PROMPT]);
  assert.equal(engine.tokensRead, PROMPT.length + 4 * 8, "the prompt, then a token a beam but for the last");
  assert.deepEqual(engine.passes.slice(1), Array(8).fill(4), "all beams in one pass");
});

test("wrong logits, bans of everything and too long a text are refused; every sequence is freed", async () => {
  const engine = new FakeEngine();
  engine.onForward = (steps) => {
    if (steps.length === 4) throw new Error("out of memory");
  };
  await assert.rejects(search(engine, LETTERS, OPTIONS, [PROMPT]), /out of memory/);
  engine.onForward = () => {};
  const banned = new Map(Array.from({ length: 27 }, (_, id) => [id, -Infinity]));
  await assert.rejects(
    search(engine, LETTERS, { ...OPTIONS, logit_bias: banned }, [PROMPT]),
    /leave the model no token/,
  );
  banned.delete(5);
  await assert.rejects(
    search(engine, LETTERS, { ...OPTIONS, logit_bias: banned }, [PROMPT]),
    /found 1 texts, not the 3 of num_return: ask for fewer/,
  );
  await assert.rejects(
    search(engine, LETTERS, { ...OPTIONS, length: 15 }, [PROMPT]),
    /num_beams cannot write beyond the context's 16 tokens, of which the prompt takes 3: pass length: 14 or less/,
  );
  assert.equal(
    (await search(engine, LETTERS, { ...OPTIONS, length: 14, ignore_eos: true }, [PROMPT]))[0][0].ids.length,
    14,
  );
  const fork = engine.fork.bind(engine);
  for (let last = 1; last < 8; last++) {
    let forks = 0;
    engine.fork = (sequence) => {
      if (++forks === last) throw new Error("no page left");
      return fork(sequence);
    };
    await assert.rejects(search(engine, LETTERS, OPTIONS, [PROMPT]), /no page left/);
    assert.equal(engine.open.size, 0, `fork ${last}`);
  }
});

/** The samples that the events tell. */
async function told(options: Partial<BeamSamplesOptions>, engine = new FakeEngine()) {
  const samples: { text: string; end?: SampleEvent & { type: "end" }; added: string }[] = [];
  const spelt = {
    ...LETTERS,
    decoder: (before: readonly number[]) => {
      assert.deepEqual(before, PROMPT);
      return LETTERS.decoder();
    },
    tokenBytes: (id: number) => Uint8Array.of(id === EOS ? 35 : 97 + id),
  };
  for await (const event of beamSamples(engine, spelt, PROMPT, { ...OPTIONS, nsamples: 3, ...options })) {
    samples[event.sample] ??= { text: "", added: "" };
    const sample = samples[event.sample];
    if (event.type === "text") sample.text += event.text;
    else if (event.type === "token") sample.added += event.token.added;
    else sample.end = event;
  }
  assert.equal(engine.open.size, 0);
  return samples;
}

test("texts found are told as samples: their ends, scores, tokens, and where a stop text cuts them", async () => {
  const logit_bias = new Map([[EOS, 2]]);
  const samples = await told({ logit_bias });
  const [texts] = await search(new FakeEngine(), LETTERS, { ...OPTIONS, logit_bias }, [PROMPT]);
  assert.equal(new Set(texts.map(({ ids }) => ids.at(-1) === EOS)).size, 2, "some end, some do not");
  for (const [i, { text, end, added }] of samples.entries()) {
    assert.equal(added, "", "tokens are told only when asked for");
    const { ids, score } = texts[i];
    const isEnded = ids.at(-1) === EOS;
    assert.deepEqual(end, {
      ...{ type: "end", sample: i, tokens: isEnded ? ids.length - 1 : ids.length, score },
      finish_reason: isEnded ? "eos" : "length",
    });
    assert.equal(
      text,
      ids
        .filter((id) => id !== EOS)
        .map(LETTERS.decoder().push)
        .join(""),
    );
  }
  const second = await told({ logit_bias, nsamples: 1, numberOf: () => 1 });
  assert.deepEqual(
    second.map(({ text }) => text),
    [samples[1].text],
  );
  const stop = samples[0].text.slice(2, 4);
  const [cut] = await told({ logit_bias, stop: [stop], nsamples: 1, logprobs: 2 });
  assert.equal(cut.text, samples[0].text.slice(0, 2));
  assert.equal(cut.added, samples[0].text.slice(0, 4));
  assert.equal(cut.end?.finish_reason, "stop");
  assert.equal(cut.end?.score, samples[0].end?.score, "the search goes on behind it");
  const held = await told({ logit_bias, stop: samples.map(({ text }) => `${text.at(-1)}?`) });
  assert.deepEqual(
    held.map(({ text }) => text),
    samples.map(({ text }) => text),
    "what could have become a stop text is told at the end",
  );
  const [ignored] = await told({ logit_bias: new Map([[EOS, 3]]), length: undefined, ignore_eos: true });
  assert.equal(ignored.end?.finish_reason, "context");
  assert.match(ignored.text, /#./);
});

test("logprobs: a text's tokens add up to its score", async () => {
  let sum = 0;
  let end: SampleEvent | undefined;
  const spelt = { ...LETTERS, tokenBytes: (id: number) => Uint8Array.of(97 + id) };
  const options = { ...OPTIONS, length_penalty: 0, nsamples: 1, logprobs: 3, ignore_eos: true };
  for await (const event of beamSamples(new FakeEngine(), spelt, PROMPT, options)) {
    if (event.type === "token") sum += event.token.logprob;
    end = event;
  }
  assert.ok(end?.type === "end" && Math.abs(sum - (end.score ?? Number.NaN)) < 1e-9, `${sum}`);
});

test("an interruption tells the best text so far", async () => {
  const controller = new AbortController();
  const engine = new FakeEngine();
  engine.onForward = () => {
    if (engine.passes.length === 4) controller.abort();
  };
  const [first, ...others] = await told({ signal: controller.signal, ignore_eos: true }, engine);
  assert.equal(others.length, 0);
  assert.equal(first.end?.finish_reason, "interrupted");
  assert.equal(first.end?.score, undefined);
  assert.equal(first.text.length, 5, "a token of each pass");
  const later = new AbortController();
  const other = new FakeEngine();
  other.onForward = () => {
    if (other.passes.length === 6) later.abort();
  };
  const [ended] = await told({ signal: later.signal, logit_bias: new Map([[EOS, 2]]) }, other);
  assert.equal(ended.end?.finish_reason, "eos", "one that has ended is better than those being written");
  assert.equal(ended.text.length, 4);
});
