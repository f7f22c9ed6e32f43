import assert from "node:assert/strict";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { createTfjsEngine } from "../../dist/src/engines/tfjs/engine.js";
import { drawCurve, svgCurve } from "../../dist/src/finetune/run/chart.js";
import { Losses, LossLog } from "../../dist/src/finetune/run/losses.js";
import { openWeights } from "../../dist/src/formats/tfjs/read.js";
import { loadFolder } from "../../dist/src/models/folder.js";
import { isModelFolder } from "../../dist/src/models/store.js";
import { UsageError, UserError } from "../../dist/src/system/errors.js";
import { lossRows, someText, train, weightBytes, writeText, xmlFault } from "../support/finetuning.js";

const scratch = mkdtempSync(join(tmpdir(), "gpt2-finetune-"));
after(() => rmSync(scratch, { recursive: true, force: true, maxRetries: 3 }));

/** A new folder with text.txt in it. */
function place(text?: string): string {
  const folder = mkdtempSync(join(scratch, "f-"));
  writeText(folder, "text.txt", text);
  return folder;
}

/** Two runs are the same: losses and, to the bit, weights and optimizer's state. */
async function assertSame(run: string, other: string): Promise<void> {
  assert.deepEqual(lossRows(run), lossRows(other));
  assert.deepEqual(await weightBytes(run), await weightBytes(other));
  const step = Number(readFileSync(join(run, "counter"), "utf8"));
  const states = [run, other].map((folder) => join(folder, `step-${step}`, "state"));
  assert.equal(existsSync(states[0]), existsSync(states[1]));
  if (existsSync(states[0])) assert.deepEqual(await weightBytes(states[0]), await weightBytes(states[1]));
}

const clearly =
  (...patterns: RegExp[]) =>
  (error: unknown) => {
    assert.ok(error instanceof UserError, String(error));
    assert.doesNotMatch(error.message, /\n|undefined|\[object/);
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  };

/** A signal sent when a batch has been read. */
function stopAt(step: number, batch: number) {
  const controller = new AbortController();
  const onBatch = (at: number, done: number): void => {
    if (at === step && done === batch) controller.abort(new Error("stopped"));
  };
  return { signal: controller.signal, onBatch };
}

const stepFolders = (run: string): string[] => readdirSync(run).filter((name) => name.startsWith("step"));

describe("a run", () => {
  test("leaves a model folder, a counter, loss.csv and loss.svg", async () => {
    const folder = place();
    const { run, step, told } = await train(folder, {
      steps: 7,
      print_every: 2,
      validate_every: 5,
      save_every: 3,
    });
    assert.equal(step, 7);
    assert.ok(isModelFolder(run));
    assert.deepEqual(readdirSync(run).sort(), [
      "counter",
      "encoder.json",
      "hparams.json",
      "loss.csv",
      "loss.svg",
      "model.json",
      "step-7",
      "vocab.bpe",
    ]);
    assert.equal(readFileSync(join(run, "counter"), "utf8"), "7\n");
    for (const each of [run, join(run, "step-7")]) await (await loadFolder(each)).engine.dispose();
    assert.deepEqual(told.savedSteps, [3, 6, 7]);
    assert.deepEqual(told.notices, []);
    const shown = told.lines.map((line) =>
      /^\[(\d+) \| \d+\.\d\d\] loss=\d+\.\d\d avg=\d+\.\d\d( val=\d+\.\d\d)?$/.exec(line),
    );
    assert.deepEqual(
      shown.map((match) => [match?.[1], match?.[2] !== undefined]),
      [
        ["2", false],
        ["4", false],
        ["5", true],
        ["6", false],
        ["7", true],
      ],
    );
    assert.equal(xmlFault(readFileSync(join(run, "loss.svg"), "utf8")), undefined);
  });

  test("avg is the moving average of the losses, 0.99 in numerator and denominator, also over a break", async () => {
    const folder = place();
    await train(folder, { steps: 4 });
    const { run } = await train(folder, { steps: 3 });
    const rows = lossRows(run);
    assert.deepEqual(
      rows.map(({ step }) => step),
      [1, 2, 3, 4, 5, 6, 7],
    );
    for (const [i, { average }] of rows.entries()) {
      const weights = rows.slice(0, i + 1).map((_, j) => 0.99 ** (i - j));
      const sum = weights.reduce((total, weight, j) => total + weight * rows[j].loss, 0);
      assert.ok(Math.abs(average - sum / weights.reduce((a, b) => a + b)) < 1e-9, `step ${i + 1}`);
    }
  });

  test("validation is the mean loss on the held-out tokens, as the reference engine finds it", async () => {
    const folder = place();
    const { run, told } = await train(folder, { steps: 3, validation: 0.1, batch_size: 4 });
    const { corpus, progress } = told.begin!;
    const { context } = progress;
    const { validation: tokens } = corpus;
    assert.ok(tokens.length > 60 && tokens.length < 250);
    const engine = await createTfjsEngine(told.begin!.trainer.hparams, await openWeights(run), {
      backend: "tfjs-cpu",
    });
    let sum = 0;
    let n = 0;
    const windows = Math.ceil((tokens.length - 1) / context);
    for (let i = 0; i < windows; i++) {
      const start = Math.min(i * context, tokens.length - 1 - context);
      const sequence = engine.createSequence();
      const ids = [...tokens.subarray(start, start + context)];
      const [logits] = await engine.forward([{ sequence, ids }], "all");
      for (let t = 0; t < context; t++) {
        const row = [...logits.subarray(t * 400, (t + 1) * 400)];
        const most = Math.max(...row);
        sum +=
          most +
          Math.log(row.reduce((total, x) => total + Math.exp(x - most), 0)) -
          row[tokens[start + t + 1]];
        n++;
      }
      engine.free(sequence);
    }
    await engine.dispose();
    const { validation } = lossRows(run).at(-1)!;
    assert.ok(Math.abs(validation - sum / n) < 1e-4, `${validation} ${sum / n}`);
  });

  test("the same seed gives the same weights, for any threads and with samples between; another does not", async () => {
    const [a, b, c] = [place(), place(), place()];
    const { run } = await train(a, { steps: 4, accumulate_gradients: 1 });
    const sampled = await train(b, {
      steps: 4,
      accumulate_gradients: 1,
      threads: 2,
      sample_every: 1,
      sample_num: 2,
      sample_length: 9,
      save_every: 1,
    });
    await assertSame(sampled.run, run);
    const other = await train(c, { steps: 4, accumulate_gradients: 1, seed: 6 });
    assert.notDeepEqual(await weightBytes(other.run), await weightBytes(run));
    assert.deepEqual(
      readdirSync(join(b, "samples", "run1")).sort(),
      [1, 2, 3, 4].map((n) => `samples-${n}`),
    );
    for (const [i, text] of sampled.told.samples.entries()) {
      assert.match(text, /^======== SAMPLE 1 ========\n[\s\S]+\n\n======== SAMPLE 2 ========\n[\s\S]+\n$/);
      assert.equal(readFileSync(join(b, "samples", "run1", `samples-${i + 1}`), "utf8"), text);
    }
  });

  test("a dataset smaller than the context is told and trained on; -1 steps go on until the signal", async () => {
    const folder = place("Speak, speak, good night.");
    const stop = stopAt(9, 1);
    const { step, isInterrupted, told, run } = await train(folder, {
      context_length: undefined,
      validation: 0,
      ...stop,
    });
    assert.deepEqual([step, isInterrupted], [8, true]);
    assert.match(told.notices.join(), /there are \d+ tokens to train on: a row has \d+ of them, not 64/);
    assert.equal(lossRows(run).length, 8);
    assert.equal(readFileSync(join(run, "counter"), "utf8"), "8\n");
  });

  test("a loss far above its beginning ends the training, before a save and after many steps; the good save stays", async () => {
    const folder = place();
    const { run } = await train(folder, { steps: 2 });
    const before = await weightBytes(run);
    const far = { learning_rate: 1e6, print_every: 1 };
    const diverged = clearly(
      /diverged at step 4 \(its loss is \S+ and began at \d/,
      /save of step 2 is kept/,
    );
    await assert.rejects(train(folder, { ...far, steps: 2 }), diverged);
    await assert.rejects(
      train(folder, { ...far, steps: 500, save_every: 500 }),
      clearly(/diverged at step 1\d \(/, /save of step 2 is kept/),
    );
    assert.deepEqual(await weightBytes(run), before);
    assert.deepEqual(stepFolders(run), ["step-2"]);
    const on = await train(folder, { steps: 1, learning_rate: 1e-4 });
    assert.equal(on.step, 3);
  });

  test("a training whose folder was taken over saves nothing", async () => {
    const folder = place();
    const { run } = await train(folder, { steps: 2 });
    const before = await weightBytes(run);
    const lock = join(run, ".finetune.lock");
    const onBatch = (): void => writeFileSync(lock, JSON.stringify({ pid: 1, host: "another", token: "x" }));
    await assert.rejects(train(folder, { steps: 2, onBatch }), clearly(/another training has taken over/));
    rmSync(lock);
    assert.deepEqual(await weightBytes(run), before);
    assert.deepEqual(stepFolders(run), ["step-2"]);
  });

  test("a training that diverges is told and not saved", async () => {
    const folder = place();
    const { run } = await train(folder, { steps: 2 });
    const before = await weightBytes(run);
    const diverged = clearly(/diverged at step \d+/, /lower learning_rate/);
    await assert.rejects(train(folder, { steps: 50, learning_rate: 1e30, optimizer: "sgd" }), diverged);
    // Here the weights that are about to be saved are no numbers.
    await assert.rejects(train(folder, { steps: 50, learning_rate: 1e300, save_every: 1 }), diverged);
    assert.deepEqual(await weightBytes(run), before);
    assert.deepEqual(
      readdirSync(run).filter((name) => name.startsWith("step")),
      ["step-2"],
    );
    assert.equal((await train(folder, { steps: 1 })).step, 3);
  });

  test("one training at a time", async () => {
    const folder = place();
    let second: Promise<unknown> | undefined;
    const onBatch = (): void => {
      second ??= assert.rejects(
        train(folder, { steps: 1 }),
        clearly(/another training is running in .*run1/),
      );
    };
    await train(folder, { steps: 30, onBatch });
    await second;
    assert.ok(!existsSync(join(folder, "checkpoint", "run1", ".finetune.lock")));
  });
});

describe("going on", () => {
  const variants = {
    adam: {},
    sgd: { optimizer: "sgd" },
    lora: { lora_rank: 2 },
    "layers alone": { only_train_transformer_layers: true, recompute: true },
  } as const;
  for (const [name, options] of Object.entries(variants)) {
    test(`gives what an unbroken run gives, to the bit: ${name}`, async () => {
      const [broken, whole] = [place(), place()];
      const unbroken = await train(whole, { steps: 9, validate_every: 4, ...options });
      await train(broken, { steps: 4, validate_every: 4, ...options });
      const stop = stopAt(8, 1); // in the midst of step 8
      const middle = await train(broken, { steps: 50, validate_every: 4, ...stop });
      assert.deepEqual([middle.step, middle.isInterrupted], [7, true]);
      const { run, told } = await train(broken, { steps: 2, validate_every: 4, threads: 2 });
      assert.deepEqual(told.notices, []);
      await assertSame(run, unbroken.run);
    });
  }

  test("takes the run's own options where none are given; changes are told", async () => {
    const folder = place();
    const base = { context_length: undefined, accumulate_gradients: undefined, learning_rate: undefined };
    await train(folder, { steps: 2, batch_size: 3, lora_rank: 2, validation: 0.2, context_length: 10 });
    const same = await train(folder, { steps: 1, seed: undefined, ...base });
    const { options, context } = same.told.begin!.progress;
    assert.deepEqual(same.told.notices, []);
    assert.equal(context, 10);
    assert.deepEqual(
      [options.batch_size, options.lora_rank, options.validation, options.seed, options.accumulate_gradients],
      [3, 2, 0.2, 5, 2],
    );
    writeText(folder, "text.txt", someText().toUpperCase());
    const changed = await train(folder, {
      steps: 1,
      batch_size: 1,
      lora_rank: 0,
      context_length: 11,
      seed: 6,
    });
    assert.deepEqual(changed.told.notices, [
      "the run continues, but not as before: batch_size 3 -> 1, seed 5 -> 6, lora_rank 2 -> 0, another dataset, rows of 10 -> 11 tokens; the optimizer starts afresh",
    ]);
    assert.equal(changed.step, 4);
    const run = JSON.parse(readFileSync(join(changed.run, "step-4", "run.json"), "utf8"));
    assert.equal(run.progress.updates, 1);
  });

  test("cuts loss.csv back to the save, and drops a line that was cut off", async () => {
    const [folder, whole] = [place(), place()];
    const { run } = await train(folder, { steps: 3 });
    appendFileSync(join(run, "loss.csv"), "4,1.000,9,9,\n5,1.000,9,9,\n6,1.0");
    await train(folder, { steps: 2 });
    const unbroken = await train(whole, { steps: 5 });
    const lacksValidation = (rows: ReturnType<typeof lossRows>) =>
      rows.map(({ step, loss, average }) => [step, loss, average]);
    assert.deepEqual(lacksValidation(lossRows(run)), lacksValidation(lossRows(unbroken.run)));
  });

  test("sizes that contradict the run are refused", async () => {
    const folder = place();
    await train(folder, { steps: 1 });
    await assert.rejects(train(folder, { steps: 1, sizes: { n_layer: 5 } }), (error) => {
      assert.ok(error instanceof UsageError);
      return clearly(/run1 has n_layer 3, not 5/, /another run_name/)(error);
    });
    await train(folder, { steps: 1, sizes: { n_layer: 3 } });
    const { told } = await train(folder, { steps: 1, baseName: "117M" });
    assert.match(told.notices.join(), /run1 began from micro and continues from its own save, not from 117M/);
  });
});

describe("a damaged save", () => {
  const flip = (path: string): void => {
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1] ^= 4;
    writeFileSync(path, bytes);
  };
  const cut = (path: string): void => truncateSync(path, readFileSync(path).length - 5);
  const damages: Record<string, (save: string) => void> = {
    "a flipped bit in the weights": (save) => flip(join(save, "group1-shard1of1.bin")),
    "a flipped bit in the optimizer's state": (save) => flip(join(save, "state", "group1-shard1of1.bin")),
    "weights cut off": (save) => cut(join(save, "group1-shard1of1.bin")),
    "a state cut off": (save) => cut(join(save, "state", "group1-shard1of1.bin")),
    "weights missing": (save) => rmSync(join(save, "group1-shard1of1.bin")),
    "the state missing": (save) => rmSync(join(save, "state"), { recursive: true }),
    "model.json missing": (save) => rmSync(join(save, "model.json")),
    "run.json altered": (save) => {
      const path = join(save, "run.json");
      writeFileSync(path, readFileSync(path, "utf8").replace('"seed": 5', '"seed": 7'));
    },
    "run.json no JSON": (save) => writeFileSync(join(save, "run.json"), "{"),
    "run.json of something else": (save) => writeFileSync(join(save, "run.json"), "null"),
    "encoder.json altered": (save) => flip(join(save, "encoder.json")),
    "an empty folder": (save) => {
      rmSync(save, { recursive: true });
      mkdirSync(save);
    },
  };
  let made: Promise<{ folder: string; unbroken: string }> | undefined;
  const prepare = async (): Promise<{ folder: string; unbroken: string }> => {
    const [folder, whole] = [place(), place()];
    await train(folder, { steps: 6, save_every: 2, max_checkpoints: 3 });
    const { run: unbroken } = await train(whole, {
      steps: 7,
      save_every: 6,
      max_checkpoints: 2,
      validate_every: 6,
    });
    return { folder, unbroken };
  };
  const copy = async (): Promise<{ folder: string; run: string; unbroken: string }> => {
    made ??= prepare();
    const { folder: original, unbroken } = await made;
    const folder = place();
    cpSync(join(original, "checkpoint"), join(folder, "checkpoint"), { recursive: true });
    return { folder, run: join(folder, "checkpoint", "run1"), unbroken };
  };

  for (const [name, damage] of Object.entries(damages)) {
    test(`${name}: named, and the one before is used`, async () => {
      const { folder, run, unbroken } = await copy();
      damage(join(run, "step-6"));
      const { told, step } = await train(folder, { steps: 3, max_checkpoints: 3, validate_every: 6 });
      assert.equal(step, 7);
      assert.match(
        told.notices.join("\n"),
        /^the save of step 6 cannot be used \([^\n]+\): the one before it is$/,
      );
      assert.doesNotMatch(told.notices.join(), /download|convert/, "a save is no model to download");
      assert.deepEqual(await weightBytes(run), await weightBytes(unbroken));
      await (await loadFolder(run)).engine.dispose();
      assert.ok(!existsSync(join(run, "step-6")), "it went with the next save");
    });
  }

  test("the one before it too: the one before that", async () => {
    const { folder, run } = await copy();
    flip(join(run, "step-6", "group1-shard1of1.bin"));
    flip(join(run, "step-4", "state", "group1-shard1of1.bin"));
    const { told, step } = await train(folder, { steps: 1 });
    assert.equal(step, 3);
    assert.equal(told.notices.length, 2);
  });

  test("all of them: a line that says what to do, and nothing is changed", async () => {
    const { folder, run } = await copy();
    for (const save of ["step-2", "step-4", "step-6"]) flip(join(run, save, "group1-shard1of1.bin"));
    const before = readdirSync(run).sort();
    await assert.rejects(
      train(folder, { steps: 1 }),
      clearly(/no intact save/, /overwrite: true/, /another run_name/),
    );
    assert.deepEqual(readdirSync(run).sort(), before);
  });

  test("a half one, and one that was being replaced, are put right", async () => {
    const { folder, run, unbroken } = await copy();
    cpSync(join(run, "step-6"), join(run, "step-8.part"), { recursive: true });
    rmSync(join(run, "step-8.part", "model.json"));
    cpSync(join(run, "step-6"), join(run, "step-6.old.part"), { recursive: true });
    rmSync(join(run, "step-6"), { recursive: true });
    rmSync(join(run, "model.json")); // a crash in the midst of it
    writeFileSync(join(run, "counter"), "");
    writeFileSync(join(run, "tokens.json.0123abcd.part"), "{");
    const { told, step } = await train(folder, { steps: 1 });
    assert.deepEqual([told.notices, step], [[], 7]);
    assert.deepEqual(await weightBytes(run), await weightBytes(unbroken));
    assert.ok(!readdirSync(run).some((name) => name.endsWith(".part")));
  });

  test("the run's own model is put right when it goes on", async () => {
    const { folder, run } = await copy();
    const sound = readFileSync(join(run, "model.json"));
    for (const name of ["model.json", "hparams.json", "encoder.json", "vocab.bpe", "counter"])
      rmSync(join(run, name));
    await assert.rejects(
      train(folder, {
        steps: 1,
        dataset: [join(folder, "text.txt")],
        signal: AbortSignal.abort(new UserError("x")),
      }),
    );
    const stop = stopAt(7, 1);
    await train(folder, { steps: 1, ...stop }); // nothing new to save
    assert.deepEqual(readFileSync(join(run, "model.json")), sound);
    await (await loadFolder(run)).engine.dispose();
  });

  test("a save that fails leaves the former one, and the run's model", async () => {
    const { folder, run } = await copy();
    const before = await weightBytes(run);
    writeFileSync(join(run, "step-8.part"), "in the way"); // tidied away
    mkdirSync(join(run, "counter.d"));
    rmSync(join(run, "counter"));
    mkdirSync(join(run, "counter")); // the last file cannot be put in its place
    await assert.rejects(train(folder, { steps: 1 }), clearly(/cannot write .*counter/));
    assert.deepEqual(await weightBytes(run), before);
  });
});

describe("saves", () => {
  const saves = (run: string): string[] =>
    readdirSync(run)
      .filter((name) => name.startsWith("step-"))
      .sort();

  test("max_checkpoints stay, 0: all; folders of other names are not touched", async () => {
    const folder = place();
    const run = join(folder, "checkpoint", "run1");
    mkdirSync(join(run, "step-one"), { recursive: true });
    mkdirSync(join(run, "step-01"));
    const options = { save_every: 2 };
    await train(folder, { steps: 8, max_checkpoints: 2, ...options });
    assert.deepEqual(saves(run), ["step-01", "step-6", "step-8", "step-one"]);
    await train(folder, { steps: 4, max_checkpoints: 0, ...options });
    assert.deepEqual(saves(run), ["step-01", "step-10", "step-12", "step-6", "step-8", "step-one"]);
    await train(folder, { steps: 1, max_checkpoints: 1, ...options });
    assert.deepEqual(saves(run), ["step-01", "step-13", "step-one"]);
  });

  test("fresh does not overwrite a run, unless it may; until its first save the old one stays", async () => {
    const folder = place();
    const { run } = await train(folder, { steps: 6, save_every: 3, max_checkpoints: 0 });
    const before = await weightBytes(run);
    const rows = lossRows(run);
    for (const restore_from of ["fresh", run]) {
      await assert.rejects(
        train(folder, { steps: 1, restore_from }),
        clearly(/already holds a run/, /overwrite: true/, /another run_name/),
      );
    }
    const again = { restore_from: "fresh", overwrite: true, save_every: 3, max_checkpoints: 0 };
    const { step } = await train(folder, { steps: 50, ...again, ...stopAt(1, 1) });
    assert.equal(step, 0);
    assert.deepEqual(await weightBytes(run), before);
    assert.deepEqual(lossRows(run), rows);
    assert.deepEqual(saves(run), ["step-3", "step-6"]);

    await train(folder, { steps: 4, ...again, seed: 9 });
    assert.deepEqual(saves(run), ["step-3", "step-4"], "the old step-3 was replaced, the old step-6 is gone");
    assert.notDeepEqual(await weightBytes(join(run, "step-3")), before);
    assert.deepEqual(
      lossRows(run).map((row) => row.step),
      [1, 2, 3, 4],
    );
    const on = await train(folder, { steps: 1, seed: 9 });
    assert.deepEqual([on.step, on.told.notices], [5, []]);
  });

  test("overwrite begins again, also when the same call is made twice", async () => {
    const folder = place();
    const call = { steps: 2, overwrite: true, seed: 3 };
    const first = await train(folder, call);
    const weights = await weightBytes(first.run);
    const second = await train(folder, call);
    assert.deepEqual([first.step, second.step], [2, 2]);
    assert.deepEqual(await weightBytes(second.run), weights);
  });

  test("restore_from takes the path of a run, of one of its saves, of a model", async () => {
    const folder = place();
    const first = await train(folder, { steps: 3 });
    for (const [i, restore_from] of [first.run, join(first.run, "step-3")].entries()) {
      const { run, told, step } = await train(folder, { steps: 1, restore_from, run_name: `next${i}` });
      assert.equal(step, 1);
      assert.equal(told.begin?.base.name, restore_from);
      assert.ok(lossRows(run)[0].loss < lossRows(first.run)[0].loss);
    }
    await assert.rejects(
      train(folder, { steps: 1, run_name: "x", restore_from: join(folder, "nothing") }),
      clearly(/nothing" is neither latest, nor fresh, nor the folder/),
    );
    assert.ok(!existsSync(join(folder, "checkpoint", "x")), "nothing stays of a run that did not begin");
  });
});

describe("loss.csv and curves", () => {
  test("rows that are not ours, twice, or out of order are left out", async () => {
    const folder = mkdtempSync(join(scratch, "csv-"));
    writeFileSync(
      join(folder, "loss.csv"),
      "step,seconds,loss,avg,validation\n1,0.5,3,3,\n2,1,2.5,2.75,2.6\n2,1,9,9,\nx,1,2,3,\n3,1,2\n4,2,2,2.5,\n5,2,2,2,\n",
    );
    const log = await LossLog.open(folder, 4);
    assert.deepEqual(log.losses.steps, [1, 2, 4]);
    assert.deepEqual(log.losses.validations, [{ step: 2, loss: 2.6 }]);
    await log.add({ step: 5, seconds: 2.5, loss: 1 / 3, average: 2, validation: 0.1 });
    await log.close();
    assert.equal(
      readFileSync(join(folder, "loss.csv"), "utf8"),
      "step,seconds,loss,avg,validation\n1,0.5,3,3,\n2,1,2.5,2.75,2.6\n4,2,2,2.5,\n5,2.500,0.3333333333333333,2,0.1\n",
    );
  });

  const losses = (n: number, validations = true): Losses => {
    const all = new Losses();
    for (let step = 1; step <= n; step++) {
      const loss = 8 * Math.exp(-step / n) + (step % 2) / 10;
      const validation = validations && step % Math.ceil(n / 5) === 0 ? loss + 0.2 : undefined;
      all.push({ step, seconds: step, loss, average: loss, validation });
    }
    return all;
  };

  test("the SVG is well-formed whatever the title, and stays small", () => {
    const hostile = `</title><script>alert("1")</script> & 'x' \0 \u001b ]]> \ud800`;
    for (const n of [0, 1, 2, 3, 100_000]) {
      const svg = svgCurve(hostile, losses(n));
      assert.equal(xmlFault(svg), undefined, String(n));
      assert.doesNotMatch(svg, /<script|NaN|undefined|Infinity/);
      assert.ok(svg.length < 60_000, `${svg.length} characters for ${n} steps`);
      assert.match(svg, /^<\?xml [^\n]+\n<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox=/);
    }
    assert.equal((svgCurve("x", losses(100)).match(/<path /g) ?? []).length, 3);
    assert.doesNotMatch(svgCurve("x", losses(100, false)), /validation/);
    const flat = new Losses();
    for (const step of [1, 2]) flat.push({ step, seconds: 1, loss: 2, average: 2 });
    assert.doesNotMatch(svgCurve("x", flat), /NaN|Infinity/);
  });

  test("the SVG's lines stand where the losses are", () => {
    const some = new Losses();
    for (const [step, loss] of [
      [1, 4],
      [2, 2],
      [3, 0],
    ]) {
      some.push({ step, seconds: 1, loss, average: loss });
    }
    // The plot's corners: x from 64 to 776, y from 402 (loss 0) to 44 (loss 4).
    assert.match(svgCurve("x", some), /<path d="M64,44L420,223L776,402"/);
  });

  test("the curve in characters fits its columns", () => {
    assert.equal(drawCurve(losses(1), 80), "");
    for (const columns of [30, 80, 200]) {
      for (const n of [2, 10, 5000]) {
        const curve = drawCurve(losses(n), columns);
        assert.ok(curve.endsWith("\n") && !curve.includes("\x1b"));
        const widest = Math.max(...curve.split("\n").map((line) => line.length));
        assert.ok(widest <= Math.max(columns, 40), `${widest} of ${columns}`);
        assert.match(curve, /━ training {2}● validation\n$/);
      }
    }
  });
});
