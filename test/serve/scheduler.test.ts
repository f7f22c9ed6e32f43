import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Hparams } from "../../dist/src/model/hparams.js";
import { uniform } from "../../dist/src/random.js";
import { type ContinuationOptions, Continuations } from "../../dist/src/sampling/continuation.js";
import { sample } from "../../dist/src/sampling/sample.js";
import { Scheduler, type SchedulerOptions, type Task } from "../../dist/src/serve/scheduler.js";
import { UserError } from "../../dist/src/system/errors.js";
import { EOS, FakeEngine, LETTERS } from "../support/fake-engine.js";

const HPARAMS: Hparams = { n_vocab: 27, n_ctx: 64, n_embd: 1, n_head: 1, n_layer: 1 };
const OPTIONS: SchedulerOptions = { max_batch: 8, queue: 1000, cache_megabytes: 0.004 };
const SAMPLING: ContinuationOptions = { seed: 1, temperature: 1, top_k: 0, top_p: 1 };

interface Result {
  text: string;
  tokens: number;
  finish_reason: string;
}

interface Wish {
  readonly prompt: readonly number[];
  readonly number: number;
  readonly options: ContinuationOptions;
}

/** What sample() writes. */
async function alone({ prompt, number, options }: Wish): Promise<Result> {
  const all = { ...options, nsamples: 1, batch_size: 1, numberOf: () => number };
  let text = "";
  for await (const event of sample(new FakeEngine(HPARAMS), LETTERS, prompt, all)) {
    if (event.type === "text") text += event.text;
    else if (event.type === "end") return { text, tokens: event.tokens, finish_reason: event.finish_reason };
  }
  throw new Error("no end");
}

/** A wish as a task; `result` settles at its end. */
function taskOf({ prompt, number, options }: Wish): Task & { result: Promise<Result> } {
  const continuation = new Continuations(HPARAMS, LETTERS, prompt, options).begin(number);
  let text = "";
  let finish_reason = "";
  let onEnd: Task["onEnd"] = () => {};
  const result = new Promise<Result>((resolve, reject) => {
    onEnd = (error) => {
      if (error === undefined) resolve({ text, tokens: continuation.tokens, finish_reason });
      else reject(error);
    };
  });
  result.catch(() => {});
  return {
    prompt,
    begin: () => continuation,
    onAdvance: (advance) => {
      assert.equal(finish_reason, "", "nothing follows the end");
      text += advance.text;
      finish_reason = advance.finish_reason ?? "";
    },
    onEnd: (error) => onEnd(error),
    result,
  };
}

/** Whole numbers below n, the same at every run. */
function dice(seed: number): (n: number) => number {
  let drawn = 0;
  return (n) => Math.floor(uniform(seed, 0, drawn++) * n);
}

/** Many kinds of wishes: prompts of all lengths that share beginnings, texts that slide, stop and end. */
function wishes(count: number, seed: number): Wish[] {
  const below = dice(seed);
  const letters = (length: number): number[] => Array.from({ length }, () => below(EOS));
  const beginnings = [letters(12), letters(40)];
  return Array.from({ length: count }, (_, i) => {
    const beginning = [[], ...beginnings][below(3)];
    const prompt = [...beginning, ...letters(below(64 - beginning.length))];
    return {
      prompt: prompt.length > 0 ? prompt : [EOS],
      number: below(3),
      options: {
        ...SAMPLING,
        seed: below(4),
        length: [undefined, 1, 5, 30, 150][below(5)],
        ...(below(3) === 0 && { stop: ["ab", "qz"] }),
        ...(below(3) === 0 && { ignore_eos: true }),
        ...(below(4) === 0 && { repetition_penalty: 1.3 }),
        top_k: [0, 5][i % 2],
      },
    };
  });
}

const CLOSED = new Error("closed");

async function withScheduler<T>(
  options: Partial<SchedulerOptions>,
  use: (scheduler: Scheduler, engine: FakeEngine) => Promise<T>,
): Promise<T> {
  const engine = new FakeEngine(HPARAMS);
  const scheduler = new Scheduler(engine, { ...OPTIONS, ...options });
  try {
    return await use(scheduler, engine);
  } finally {
    await scheduler.close(CLOSED);
    assert.equal(engine.open.size, 0, "every sequence is given back");
  }
}

describe("texts are sample()'s, whatever joins and leaves", () => {
  for (const max_batch of [1, 5, 32]) {
    test(`${max_batch} at once`, () =>
      withScheduler({ max_batch }, async (scheduler) => {
        const all = wishes(64, max_batch);
        const tasks = all.map(taskOf);
        for (const task of tasks) scheduler.add([task]);
        for (const [i, wish] of all.entries())
          assert.deepEqual(await tasks[i].result, await alone(wish), `wish ${i}`);
        assert.ok(max_batch === 1 || scheduler.counts.reused > 0, "prefixes were shared");
      }));
  }

  test("joining at any token, beside others that are given up", () =>
    withScheduler({}, async (scheduler, engine) => {
      const below = dice(9);
      const all = wishes(200, 7);
      const tasks = all.map(taskOf);
      const aborted = new Set<number>();
      const aborts = new Map<number, () => void>();
      let next = 0;
      engine.onForward = () => {
        while (next < tasks.length && below(3) > 0) aborts.set(next, scheduler.add([tasks[next++]])!);
        const i = below(next);
        if (below(4) > 0) return;
        aborts.get(i)?.();
        aborted.add(i);
      };
      const first = taskOf({
        prompt: [EOS],
        number: 0,
        options: { ...SAMPLING, length: 5000, ignore_eos: true },
      });
      scheduler.add([first]);
      await first.result;
      assert.equal(next, tasks.length, "all joined while the first was written");
      assert.ok(aborted.size > 50, `${aborted.size} given up`);
      for (const [i, wish] of all.entries()) {
        if (!aborted.has(i)) assert.deepEqual(await tasks[i].result, await alone(wish), `wish ${i}`);
      }
    }));
});

const ENDLESS: ContinuationOptions = { ...SAMPLING, length: 1_000_000, ignore_eos: true };
const prompt = (length: number, first = 0): number[] =>
  Array.from({ length }, (_, i) => (first + i * 7) % EOS);
const wish = (ids: number[], options: Partial<ContinuationOptions> = {}, number = 0): Wish => ({
  prompt: ids,
  number,
  options: { ...SAMPLING, ignore_eos: true, ...options },
});

/** Calls back before each pass with what it is to read; resolves when the callback says true. */
function watch(engine: FakeEngine, onPass: (lengths: number[]) => boolean): Promise<void> {
  return new Promise((resolve) => {
    engine.onForward = (steps) => {
      if (onPass(steps.map(({ ids }) => ids.length))) resolve();
    };
  });
}

test("prompts are read in pieces beside texts that are written, and share what a pass reads of them", () =>
  withScheduler({ cache_megabytes: 0 }, async (scheduler, engine) => {
    const writers = [0, 1, 2].map((number) => taskOf({ prompt: [1], number, options: ENDLESS }));
    const stop = scheduler.add(writers)!;
    await watch(engine, (lengths) => lengths.length === 3);
    const passes: number[][] = [];
    const long = [1, 2].map((first) => taskOf(wish(prompt(60, first), { length: 1 })));
    const short = taskOf(wish(prompt(6, 3), { length: 1 }));
    scheduler.add([...long, short]);
    let isOver = false;
    const over = watch(engine, (lengths) => {
      passes.push(lengths);
      return isOver;
    });
    await Promise.all([...long, short].map(({ result }) => result));
    isOver = true;
    await over;
    const busy = passes.filter((lengths) => lengths.length > 3);
    assert.deepEqual(
      busy[0],
      [1, 1, 1, 13, 13, 6],
      "the short one needs no more, the long ones share the rest",
    );
    assert.deepEqual(busy[1], [1, 1, 1, 16, 16]);
    for (const lengths of busy) assert.ok(lengths.reduce((a, b) => a + b) <= 3 + 32, String(lengths));
    stop();
  }));

test("a short prompt is read in the first pass after it came, whoever is written", () =>
  withScheduler({}, async (scheduler, engine) => {
    const stop = scheduler.add(
      Array.from({ length: 7 }, (_, number) => taskOf({ prompt: [1], number, options: ENDLESS })),
    )!;
    await watch(engine, (lengths) => lengths.length === 7);
    const late = taskOf(wish(prompt(32), { length: 1 }));
    const before = scheduler.counts.passes;
    scheduler.add([late]);
    await late.result;
    assert.ok(scheduler.counts.passes - before <= 2, "the pass that ran, and its own");
    stop();
  }));

test("what begins alike is computed once: beside each other, from what is kept, and at no cost for none", () =>
  withScheduler({}, async (scheduler, engine) => {
    const ids = prompt(50);
    const tasks = [0, 1, 2, 3].map((number) => taskOf(wish(ids, { length: 2 }, number)));
    scheduler.add(tasks);
    await Promise.all(tasks.map(({ result }) => result));
    // The prompt once; of each other one its last token; of each the first of two tokens drawn.
    assert.equal(engine.tokensRead, 50 + 3 + 4);
    const again = taskOf(wish([...ids.slice(0, 45), ...prompt(8, 4)], { length: 1 }));
    scheduler.add([again]);
    await again.result;
    assert.equal(engine.tokensRead, 57 + 8);
    assert.equal(scheduler.counts.reused, 3 * 49 + 45);
  }));

test("sequences are kept within --cache_megabytes, the least recently used are freed", async () => {
  // A token takes 8 bytes; sequences are counted in pages of 32 tokens: room for two.
  await withScheduler({ cache_megabytes: (2 * 32 * 8) / 1e6 }, async (scheduler, engine) => {
    const run = async (first: number): Promise<number> => {
      const before = engine.tokensRead;
      const task = taskOf(wish(prompt(20, first), { length: 1 }));
      scheduler.add([task]);
      await task.result;
      return engine.tokensRead - before;
    };
    assert.equal(await run(1), 20);
    assert.equal(await run(2), 20);
    assert.equal(await run(1), 1, "still there");
    assert.equal(await run(3), 20, "takes the place of the second");
    assert.equal(await run(1), 1);
    assert.equal(await run(2), 20, "is gone");
    assert.equal(engine.open.size, 2);
    assert.equal(scheduler.cached, 64);
  });
  await withScheduler({ cache_megabytes: 0 }, async (scheduler, engine) => {
    const task = taskOf(wish(prompt(20), { length: 1 }));
    scheduler.add([task]);
    await task.result;
    assert.equal(engine.open.size, 0);
  });
});

test("first come, first served; a full queue takes nothing, and no part of a request", () =>
  withScheduler({ max_batch: 2, queue: 3 }, async (scheduler, engine) => {
    const order: number[] = [];
    const tasks = Array.from({ length: 5 }, (_, i) => {
      const task = taskOf(wish(prompt(3, i), { length: 3 }, i));
      void task.result.then(() => order.push(i));
      return task;
    });
    assert.ok(scheduler.add(tasks.slice(0, 4)));
    assert.equal(scheduler.add([taskOf(wish([1])), taskOf(wish([1]))]), undefined);
    assert.ok(scheduler.add(tasks.slice(4)));
    assert.equal(scheduler.add([taskOf(wish([1]))]), undefined);
    await Promise.all(tasks.map(({ result }) => result));
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
    assert.ok(Math.max(...engine.passes) <= 2);
    assert.ok(scheduler.add([taskOf(wish([1], { length: 1 }))]));
  }));

test("what is given up leaves its place before the next pass", () =>
  withScheduler({ max_batch: 2, cache_megabytes: 0 }, async (scheduler, engine) => {
    const gone = taskOf({ prompt: [1], number: 0, options: ENDLESS });
    let told = false;
    void gone.result.finally(() => {
      told = true;
    });
    const stop = scheduler.add([gone, taskOf({ prompt: [2], number: 1, options: ENDLESS })])!;
    const next = taskOf(wish([3], { length: 1 }));
    scheduler.add([next]);
    await watch(engine, (lengths) => lengths.length === 2);
    stop();
    const before = scheduler.counts.passes;
    await next.result;
    assert.ok(scheduler.counts.passes - before <= 2);
    assert.equal(told, false, "nothing is told to who is not there");
  }));

test("the logits behind every token of a prompt, told in order, then the text: both as without", () =>
  withScheduler({}, async (scheduler) => {
    const ids = prompt(50);
    const reference = new FakeEngine(HPARAMS);
    const [expected] = await reference.forward([{ sequence: reference.createSequence(), ids }], "all");
    const seen: number[][] = [];
    const plain = wish(ids, { length: 4 });
    const task = taskOf(plain);
    const only: number[] = [];
    await new Promise<void>((resolve, reject) => {
      scheduler.add([
        { ...task, onLogits: (position, logits) => (seen[position] = [...logits]) },
        {
          prompt: ids,
          onLogits: (position) => only.push(position),
          onEnd: (error) => (error === undefined ? resolve() : reject(error)),
        },
      ]);
    });
    assert.deepEqual(await task.result, await alone(plain));
    assert.deepEqual(seen.flat(), [...expected]);
    assert.deepEqual(only, [...ids.keys()]);
  }));

test("where memory runs out the youngest waits and is read again: texts stay the same", async () => {
  for (const room of [70, 130, 300]) {
    await withScheduler({ max_batch: 16 }, async (scheduler, engine) => {
      let refused = 0;
      engine.onForward = (steps) => {
        const held = [...engine.open].reduce((sum, { length }) => sum + length, 0);
        if (held + steps.reduce((sum, { ids }) => sum + ids.length, 0) <= room) return;
        refused++;
        throw new Error("out of memory");
      };
      const all = wishes(40, 3);
      const tasks = all.map(taskOf);
      for (const task of tasks) scheduler.add([task]);
      for (const [i, each] of all.entries())
        assert.deepEqual(await tasks[i].result, await alone(each), `wish ${i}`);
      assert.ok(refused > 3, `${refused} times`);
    });
  }
});

test("an engine that fails fails every request and says so, and serves again when it works", () =>
  withScheduler({}, async (scheduler, engine) => {
    engine.onForward = () => {
      throw new Error("a thread ended");
    };
    const tasks = wishes(20, 1).map(taskOf);
    scheduler.add(tasks);
    for (const { result } of tasks) await assert.rejects(result, /a thread ended/);
    assert.match(String(scheduler.failure), /a thread ended/);
    engine.onForward = () => {};
    const good = wish(prompt(5), { length: 5 });
    const task = taskOf(good);
    scheduler.add([task]);
    assert.deepEqual(await task.result, await alone(good));
    assert.equal(scheduler.failure, undefined);
  }));

test("a sample that fails ends alone", () =>
  withScheduler({}, async (scheduler) => {
    const bad = taskOf(
      wish(prompt(4), { length: 5, logit_bias: new Map(prompt(27).map((_, id) => [id, -Infinity])) }),
    );
    const good = wish(prompt(4), { length: 5 });
    const task = taskOf(good);
    scheduler.add([bad, task]);
    await assert.rejects(bad.result, UserError);
    assert.deepEqual(await task.result, await alone(good));
  }));

test("close gives up what runs and what waits, and takes nothing more", () =>
  withScheduler({ max_batch: 1 }, async (scheduler, engine) => {
    const tasks = [0, 1].map((number) => taskOf({ prompt: [1], number, options: ENDLESS }));
    scheduler.add(tasks);
    await watch(engine, () => true);
    await scheduler.close(CLOSED);
    for (const { result } of tasks) await assert.rejects(result, CLOSED);
    assert.throws(() => scheduler.add([taskOf(wish([1]))]), CLOSED);
  }));
