import assert from "node:assert/strict";
import { test } from "node:test";
import { uniform } from "../../dist/src/random.js";
import { fitPrompt } from "../../dist/src/sampling/prompt.js";
import { inOrder, type SampleEvent, type SampleOptions, sample } from "../../dist/src/sampling/sample.js";
import { StopMatcher } from "../../dist/src/sampling/stop.js";
import { EOS, FakeEngine, HPARAMS, LETTERS } from "../support/fake-engine.js";

/** The same, with the tokens' bytes. */
const SPELT = { ...LETTERS, tokenBytes: (id: number) => Uint8Array.of(id === EOS ? 35 : 97 + id) };

const OPTIONS: SampleOptions = { seed: 5, nsamples: 5, batch_size: 1, temperature: 1, top_k: 0, top_p: 1 };
const PROMPT = [3, 1, 4];

interface Result {
  text: string;
  tokens: number;
  finish_reason: string;
}

async function collect(events: AsyncIterable<SampleEvent>): Promise<Result[]> {
  const results: Result[] = [];
  for await (const event of events) {
    results[event.sample] ??= { text: "", tokens: -1, finish_reason: "" };
    const result = results[event.sample];
    assert.equal(result.finish_reason, "", "nothing follows a sample's end");
    if (event.type === "text") {
      assert.notEqual(event.text, "");
      result.text += event.text;
    } else if (event.type === "end") {
      Object.assign(result, { tokens: event.tokens, finish_reason: event.finish_reason });
    }
  }
  return results;
}

const run = async (options: Partial<SampleOptions> = {}, engine = new FakeEngine()): Promise<Result[]> => {
  const results = await collect(sample(engine, LETTERS, PROMPT, { ...OPTIONS, ...options }));
  assert.equal(engine.open.size, 0, "every sequence is given back");
  return results;
};

test("batch size never changes a text, whatever ends it", async () => {
  for (const options of [{}, { length: 40 }, { length: 9, stop: ["e"] }, { length: 30, ignore_eos: true }]) {
    const alone = await run({ ...options, nsamples: 12 });
    assert.ok(new Set(alone.map(({ text }) => text)).size > 6, "samples differ");
    for (const batch_size of [2, 3, 5, 8, 64]) {
      assert.deepEqual(await run({ ...options, nsamples: 12, batch_size }), alone);
    }
    assert.notDeepEqual(await run({ ...options, nsamples: 12, seed: 6 }), alone);
  }
});

/** A sample worked out by hand, token by token, in float64; `length` beyond the context slides the window. */
async function byHand(
  number: number,
  prompt: readonly number[],
  length: number,
  weigh: (logits: Float32Array, context: readonly number[], drawn: number) => number[],
  eos: number | undefined = EOS,
): Promise<string> {
  const ids = [...prompt];
  let context = [...prompt];
  let text = "";
  for (let t = 0; t < length; t++) {
    const engine = new FakeEngine();
    const [logits] = await engine.forward([{ sequence: engine.createSequence(), ids: context }]);
    const weights = weigh(logits, context, Math.min(t, context.length));
    const target = uniform(OPTIONS.seed, number, t) * weights.reduce((a, b) => a + b, 0);
    let id = 0;
    for (let sum = weights[0]; sum <= target; sum += weights[id]) id++;
    if (id === eos) break;
    ids.push(id);
    text += LETTERS.decoder().push(id);
    context = context.length < HPARAMS.n_ctx ? [...context, id] : ids.slice(-HPARAMS.n_ctx / 2);
  }
  return text;
}

test("presence and frequency penalties count what the sample drew of its context, for every batch size", async () => {
  const penalties = { presence_penalty: 0.6, frequency_penalty: 0.35 };
  const weigh = (logits: Float32Array, context: readonly number[], drawn: number): number[] =>
    Array.from(logits, (logit, id) => {
      const count = context.slice(context.length - drawn).filter((each) => each === id).length;
      return Math.exp(logit - 0.35 * count - (count > 0 ? 0.6 : 0));
    });
  const options = { nsamples: 7, length: 40, ...penalties };
  const alone = await run(options);
  for (const [number, { text }] of alone.entries()) {
    assert.equal(text, await byHand(number, PROMPT, 40, weigh), `sample ${number}`);
  }
  assert.ok(
    alone.some(({ text }) => text.length > HPARAMS.n_ctx),
    "some slide",
  );
  assert.notDeepEqual(alone, await run({ ...options, presence_penalty: 0 }));
  assert.notDeepEqual(alone, await run({ ...options, frequency_penalty: 0 }));
  for (const batch_size of [2, 3, 8]) assert.deepEqual(await run({ ...options, batch_size }), alone);
});

test("a repetition penalty counts the sample's own context, prompt included, for every batch size", async () => {
  const penalty = 1.4;
  const weigh = (logits: Float32Array, context: readonly number[]): number[] =>
    Array.from(logits, (logit, id) => {
      const isSaid = context.includes(id) && id !== EOS;
      return Math.exp(isSaid ? (logit < 0 ? logit * penalty : logit / penalty) : logit);
    });
  const options = { nsamples: 7, length: 40, repetition_penalty: penalty };
  const alone = await run(options);
  for (const [number, { text }] of alone.entries()) {
    assert.equal(text, await byHand(number, PROMPT, 40, weigh), `sample ${number}`);
  }
  assert.ok(
    alone.some(({ text }) => text.length > HPARAMS.n_ctx),
    "some slide",
  );
  assert.notDeepEqual(alone, await run({ ...options, repetition_penalty: 1 }));
  for (const batch_size of [2, 3, 8]) assert.deepEqual(await run({ ...options, batch_size }), alone);
  // From nothing: the token that a text begins from is not penalised, or no text would end.
  const nothing = await collect(sample(new FakeEngine(), LETTERS, [EOS], { ...OPTIONS, ...options }));
  for (const [number, { text }] of nothing.entries()) {
    assert.equal(text, await byHand(number, [EOS], 40, weigh), `sample ${number} from nothing`);
  }
  assert.ok(nothing.some(({ finish_reason }) => finish_reason === "eos"));
});

test("min_p and logit bias reach the draw", async () => {
  const bias = new Map([
    [3, -Infinity],
    [7, 2],
  ]);
  const weigh = (logits: Float32Array): number[] => {
    const weights = Array.from(logits, (logit, id) => Math.exp(logit + (bias.get(id) ?? 0)));
    const least = 0.2 * Math.max(...weights);
    return weights.map((weight) => (weight < least ? 0 : weight));
  };
  const results = await run({ nsamples: 6, length: 30, min_p: 0.2, logit_bias: bias, batch_size: 4 });
  for (const [number, { text }] of results.entries()) {
    assert.equal(text, await byHand(number, PROMPT, 30, weigh), `sample ${number}`);
    assert.ok(!text.includes("d"));
  }
});

test("with ignore_eos a penalty weakens the token that ends a text like any other", async () => {
  const penalty = 3;
  const weigh = (logits: Float32Array, context: readonly number[]): number[] =>
    Array.from(logits, (logit, id) =>
      Math.exp(!context.includes(id) ? logit : logit < 0 ? logit * penalty : logit / penalty),
    );
  const options = { ...OPTIONS, nsamples: 9, length: 30, repetition_penalty: penalty, ignore_eos: true };
  const results = await collect(sample(new FakeEngine(), LETTERS, [EOS], options));
  for (const [number, { text }] of results.entries()) {
    assert.equal(text, await byHand(number, [EOS], 30, weigh, -1), `sample ${number}`);
  }
  assert.ok(results.some(({ text }) => text.includes("#")));
});

test("each reason to end, and what is counted", async () => {
  const ends = await run({ nsamples: 40 });
  const reasons = new Set(ends.map(({ finish_reason }) => finish_reason));
  assert.deepEqual([...reasons].sort(), ["context", "eos"]);
  for (const { text, tokens, finish_reason } of ends) {
    assert.equal(text.length, tokens);
    assert.ok(!text.includes("#"));
    // The context holds the prompt and all new tokens but the last, which is not read.
    if (finish_reason === "context") assert.equal(tokens, HPARAMS.n_ctx - PROMPT.length + 1);
  }
  const long = await run({ length: 50, ignore_eos: true });
  assert.ok(long.every(({ text, finish_reason }) => text.length === 50 && finish_reason === "length"));
  assert.ok(
    long.some(({ text }) => text.includes("#")),
    "--ignore_eos prints the token",
  );
});

test("a stop text ends the sample before it and is never shown by half", async () => {
  const [whole] = await run({ nsamples: 1, length: 30, ignore_eos: true });
  const stop = whole.text.slice(11, 14);
  const [result] = await run({ nsamples: 1, length: 30, ignore_eos: true, stop: ["zzzz", stop] });
  assert.equal(result.finish_reason, "stop");
  assert.equal(result.text, whole.text.slice(0, whole.text.indexOf(stop)));
  assert.equal(result.tokens, result.text.length + 3);
});

test("the window slides to the newest half of the context and goes on", async () => {
  const engine = new FakeEngine();
  const [result] = await run({ nsamples: 1, length: 60, ignore_eos: true, temperature: 0 }, engine);
  assert.equal(result.tokens, 60);
  // The same by hand: read, take the likeliest, and when 16 are read begin again with the newest 8.
  const byHand = new FakeEngine();
  const ids = [...PROMPT];
  let sequence = byHand.createSequence();
  let unread = [...PROMPT];
  while (ids.length < PROMPT.length + 60) {
    if (sequence.length + unread.length > HPARAMS.n_ctx) {
      sequence = byHand.createSequence();
      unread = ids.slice(-8);
    }
    const [logits] = await byHand.forward([{ sequence, ids: unread }]);
    unread = [logits.indexOf(Math.max(...logits))];
    ids.push(unread[0]);
  }
  const expected = ids.slice(PROMPT.length).map((id) => LETTERS.decoder().push(id));
  assert.equal(result.text, expected.join(""));
});

test("the prompt is computed once for all samples, and finished places are taken", async () => {
  const engine = new FakeEngine();
  const results = await run({ nsamples: 20, batch_size: 4 }, engine);
  const fed = results.map(({ tokens, finish_reason }) => tokens - (finish_reason === "context" ? 1 : 0));
  assert.equal(engine.tokensRead, PROMPT.length + fed.reduce((a, b) => a + b, 0));
  assert.ok(engine.mostOpen <= 5, "no more sequences than the batch and the shared prompt");
  const decoding = engine.passes.slice(1);
  assert.ok(decoding.filter((n) => n === 4).length > decoding.length / 2, `batches were ${decoding}`);
});

test("an interruption ends every sample that began, with what it has", async () => {
  const controller = new AbortController();
  const engine = new FakeEngine();
  let passes = 0;
  engine.onForward = () => {
    if (++passes === 6) controller.abort();
  };
  const whole = await run({ nsamples: 3, batch_size: 3, length: 200, ignore_eos: true });
  const cut = await run(
    { nsamples: 3, batch_size: 3, length: 200, ignore_eos: true, signal: controller.signal },
    engine,
  );
  assert.equal(engine.passes.length, 6, "not one pass more");
  for (const [i, { text, finish_reason, tokens }] of cut.entries()) {
    assert.equal(finish_reason, "interrupted");
    assert.equal(text, whole[i].text.slice(0, tokens));
    assert.ok(tokens > 0);
  }
  assert.deepEqual(await run({ signal: AbortSignal.abort() }), []);
});

test("timers and signals get their turn while samples are drawn", async () => {
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const engine = new FakeEngine();
  engine.onForward = () => {
    const until = performance.now() + 2;
    while (performance.now() < until);
  };
  await run({ nsamples: 1, length: 30, ignore_eos: true }, engine);
  clearInterval(timer);
  assert.ok(turns >= 10, `${turns} turns`);
});

test("a consumer that leaves early frees everything", async () => {
  const engine = new FakeEngine();
  const endless = sample(engine, LETTERS, PROMPT, { ...OPTIONS, nsamples: Infinity, batch_size: 3 });
  let seen = 0;
  for await (const _ of endless) if (++seen === 50) break;
  assert.equal(engine.open.size, 0);
});

test("inOrder streams the oldest sample and keeps later ones for their turn", async () => {
  const options = { ...OPTIONS, nsamples: 9, batch_size: 4 };
  const mixed: SampleEvent[] = [];
  for await (const event of sample(new FakeEngine(), LETTERS, PROMPT, options)) mixed.push(event);
  const ordered: SampleEvent[] = [];
  const again = sample(new FakeEngine(), LETTERS, PROMPT, options);
  for await (const event of inOrder(again)) ordered.push(event);
  const numbers = ordered.map((event) => event.sample);
  assert.notDeepEqual(
    mixed.map((event) => event.sample),
    [...mixed.map((event) => event.sample)].sort((a, b) => a - b),
    "there was something to put in order",
  );
  assert.deepEqual(
    numbers,
    [...numbers].sort((a, b) => a - b),
  );
  const replay = async function* (): AsyncGenerator<SampleEvent> {
    yield* ordered;
  };
  assert.deepEqual(await collect(replay()), await run({ nsamples: 9 }));
});

test("a very long sample cannot make later ones pile up behind it without bound", async () => {
  let made = 0;
  const decoding = {
    decoder: () => {
      const text = made++ === 0 ? "x" : "."; // sample 0 goes on, all others end at once
      return { push: () => text, end: () => "" };
    },
  };
  const options = { ...OPTIONS, nsamples: Infinity, batch_size: 2, length: 1000, stop: ["."] };
  let most = 0;
  for await (const event of sample(new FakeEngine(), decoding, PROMPT, options)) {
    if (event.sample === 0 && event.type === "end") break;
    most = Math.max(most, event.sample);
  }
  assert.ok(most >= 10 && most <= 64, `sample ${most} was begun while sample 0 was being written`);
});

test("a prompt that is empty or too long for the engine is refused; fitPrompt makes it fit", async () => {
  const refused = async (prompt: number[]): Promise<void> =>
    assert.rejects(collect(sample(new FakeEngine(), LETTERS, prompt, OPTIONS)), RangeError);
  await refused([]);
  await refused(new Array(17).fill(0));
  const ids = Array.from({ length: 17 }, (_, i) => i);
  assert.deepEqual(fitPrompt(ids, 16), ids.slice(-8));
  assert.deepEqual(fitPrompt(ids, 17), ids);
  assert.deepEqual(fitPrompt([1, 2], 1), [2]);
});

test("a context of one token works", async () => {
  const engine = new FakeEngine({ ...HPARAMS, n_ctx: 1 });
  const results = await collect(sample(engine, LETTERS, [2], { ...OPTIONS, length: 5, ignore_eos: true }));
  assert.ok(results.every(({ tokens }) => tokens === 5));
});

test("StopMatcher: the earliest of several texts, across pieces, nothing lost, nothing early", () => {
  const feed = (stops: string[], pieces: string[]): string => {
    const matcher = new StopMatcher(stops);
    let shown = "";
    for (const piece of pieces) {
      const { text, stopped } = matcher.push(piece);
      shown += text;
      if (stopped) return `${shown}|`;
    }
    return shown + matcher.end();
  };
  assert.equal(feed(["abc"], ["xa", "b", "cd"]), "x|");
  assert.equal(feed(["abc"], ["xab", "ab", "d"]), "xababd");
  assert.equal(feed(["aab"], ["aa", "ab"]), "a|");
  assert.equal(feed(["late", "a"], ["xxlate"]), "xx|");
  assert.equal(feed(["cd", "bcde"], ["ab", "c", "d", "e"]), "ab|");
  assert.equal(feed(["\n\n"], ["one\n", "two\n", "\n", "three"]), "one\ntwo|");
  assert.equal(feed([""], ["a", "b"]), "ab");
  assert.equal(feed(["xyz"], ["xy"]), "xy");
  const matcher = new StopMatcher(["\nEnd"]);
  assert.deepEqual(matcher.push("line\nE"), { text: "line", stopped: false });
  assert.deepEqual(matcher.push("x"), { text: "\nEx", stopped: false });
});

test("logprobs: an event a token before its text, for every batch size; the texts stay", async () => {
  const options = {
    ...OPTIONS,
    nsamples: 7,
    length: 30,
    stop: ["ab", "e"],
    temperature: 0.7,
    top_k: 9,
    logprobs: 3,
  };
  const told = async (batch_size: number): Promise<SampleEvent[]> => {
    const events: SampleEvent[] = [];
    const samples = sample(new FakeEngine(), SPELT, PROMPT, { ...options, batch_size });
    for await (const event of inOrder(samples)) events.push(event);
    return events;
  };
  const alone = await told(1);
  const { logprobs: _, ...without } = options;
  assert.deepEqual(
    await collect(sample(new FakeEngine(), LETTERS, PROMPT, without)),
    await collect(each(alone)),
  );
  for (let number = 0; number < options.nsamples; number++) {
    const own = alone.filter((event) => event.sample === number);
    const tokens = own.flatMap((event) => (event.type === "token" ? [event.token] : []));
    const text = own.map((event) => (event.type === "text" ? event.text : "")).join("");
    const end = own.at(-1);
    assert.ok(end?.type === "end" && end.tokens === tokens.length);
    assert.ok(
      tokens
        .map(({ added }) => added)
        .join("")
        .startsWith(text),
    );
    // Under the model's own distribution, whatever shaped the draw.
    const context = [...PROMPT];
    for (const { id, logprob, rank, top } of tokens.slice(0, HPARAMS.n_ctx - PROMPT.length)) {
      const engine = new FakeEngine();
      const [logits] = await engine.forward([{ sequence: engine.createSequence(), ids: context }]);
      const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
      assert.ok(Math.abs(logprob - (logits[id] - Math.log(sum))) < 2e-7);
      assert.equal(
        rank,
        logits.filter((logit, i) => logit > logits[id] || (logit === logits[id] && i < id)).length + 1,
      );
      assert.equal(top.length, 3);
      context.push(id);
    }
  }
  for (const batch_size of [2, 3, 8]) {
    assert.deepEqual(withoutPieces(await told(batch_size)), withoutPieces(alone));
  }
  await assert.rejects(
    async () => collect(sample(new FakeEngine(), LETTERS, PROMPT, options)),
    /tokens' bytes/,
  );
});

async function* each<T>(list: readonly T[]): AsyncGenerator<T, void, void> {
  yield* list;
}

/** Events without the texts, which later samples of a batch have joined. */
const withoutPieces = (events: readonly SampleEvent[]): SampleEvent[] =>
  events.filter(({ type }) => type !== "text");

test("samplers with a memory and those that look at texts: batch size and number change nothing", async () => {
  const options = {
    ...{ ...OPTIONS, nsamples: 9, length: 40, mirostat_tau: 3, typical_p: 0.95, penalty_window: 12 },
    ...{
      dry_multiplier: 3,
      dry_allowed_length: 1,
      dry_breaker: ["q"],
      no_repeat_ngram_size: 3,
      bad_words: ["e", "cd"],
    },
  };
  const write = (own: Partial<SampleOptions>): Promise<Result[]> =>
    collect(sample(new FakeEngine(), SPELT, PROMPT, { ...options, ...own }));
  const alone = await write({});
  for (const batch_size of [2, 3, 8]) assert.deepEqual(await write({ batch_size }), alone);
  assert.deepEqual(await write({ nsamples: 3, numberOf: (k) => k + 4 }), alone.slice(4, 7));
  for (const { text } of alone) assert.ok(!/e|cd/.test(text), text);
  for (const off of [...[{ mirostat_tau: 0 }, { typical_p: 1 }, { dry_multiplier: 0 }], { bad_words: [] }]) {
    assert.notDeepEqual(await write(off), alone, JSON.stringify(off));
  }
});
