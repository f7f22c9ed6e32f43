import assert from "node:assert/strict";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { randomWeights } from "../../dist/src/cli/benchmark.js";
import { buildProgram } from "../../dist/src/cli/main.js";
import { Output } from "../../dist/src/cli/terminal/output.js";
import { writeWeights } from "../../dist/src/formats/tfjs/write.js";
import {
  assertDone,
  gpt2,
  MICRO,
  NO_SHELL,
  type Outcome,
  ROOT,
  startGpt2,
  TEMPORARY,
} from "../support/spawn.js";

/** A command at work, and when the signal comes. */
interface Work {
  /** @param folder an empty one, for what it writes */
  readonly args: (folder: string) => readonly string[];
  readonly stdin?: string | "open";
  /** The moment: a step on the disk (see signal-at-step.mjs), a text that it prints, or its connection. */
  readonly at: number | { readonly text: RegExp } | "connection";
  /** What it is doing then, for the test's name. */
  readonly doing: string;
  /** It saves what it has: true for a training. */
  readonly saves?: true;
}

const HOOK = pathToFileURL(join(ROOT, "test", "support", "signal-at-step.mjs")).href;
const STORE = join(TEMPORARY, "store");
/** Its weights take 484 reads or more. */
const SHAPE = { n_vocab: 400, n_ctx: 64, n_embd: 64, n_head: 4, n_layer: 40 };
const LARGE = join(STORE, "large");
const CHECKPOINT = join(TEMPORARY, "tensorflow");
const TEXT = join(TEMPORARY, "text.txt");
/** Reads that may still end or begin after the signal: those ahead, and those of the files that tidying looks at. */
const STEPS_AFTER = 20;
/** Seconds: far more than it takes, as the machine may be busy. What computes here has no end in sight. */
const LIMIT = 60;

const LOADING = { at: 60, doing: "loading a model" };
const writing = { at: { text: /./ }, doing: "writing samples" } as const;

/** By command: what it is doing when the signal comes. None may be missing. */
const WORKS: Readonly<Record<string, readonly Work[]>> = {
  interactive: [{ args: () => ["--model_name", LARGE], stdin: "open", ...LOADING }],
  unconditional: [
    { args: () => ["--model_name", LARGE], ...LOADING },
    { args: () => ["--model_name", MICRO, "--nsamples", "1000000"], ...writing },
  ],
  generate: [
    { args: () => ["x", "--model_name", LARGE], ...LOADING },
    { args: () => ["x", "--model_name", MICRO, "--nsamples", "1000000"], ...writing },
  ],
  serve: [{ args: () => ["--model_name", LARGE, "--port", "0"], ...LOADING }],
  finetune: [
    { args: (folder) => [TEXT, "--model_name", LARGE, "--checkpoint_dir", folder], ...LOADING },
    {
      args: (folder) => [TEXT, "--model_name", MICRO, "--checkpoint_dir", folder, "--sample_every", "0"],
      at: { text: /\[10 \|/ },
      doing: "training",
      saves: true,
    },
  ],
  download: [
    {
      args: (folder) => ["own", "--models_dir", folder, "--base_url"],
      at: "connection",
      doing: "waiting for a silent host",
    },
  ],
  convert: [{ args: (folder) => [CHECKPOINT, "--out", join(folder, "new")], at: 60, doing: "converting" }],
  import: [{ args: (folder) => [CHECKPOINT, "--models_dir", folder], at: 60, doing: "importing" }],
  export: [{ args: (folder) => [LARGE, "--out", join(folder, "new")], at: 60, doing: "exporting" }],
  models: [{ args: () => ["--models_dir", STORE], at: 3, doing: "listing" }],
  verify: [{ args: () => [LARGE], at: 60, doing: "reading" }],
  score: [{ args: () => [TEXT, "--model_name", LARGE], ...LOADING }],
  evaluate: [{ args: () => [TEXT, "--model_name", LARGE], ...LOADING }],
  tokenize: [{ args: () => ["--model_name", LARGE], stdin: "x", at: 1, doing: "reading a vocabulary" }],
  bench: [{ args: () => ["--model_name", LARGE], ...LOADING }],
  config: [{ args: () => [], at: 0, doing: "starting" }],
  completion: [{ args: () => ["bash"], at: 0, doing: "starting" }],
};

describe("every command ends soon after SIGINT and SIGTERM, whatever it is doing", {
  skip: NO_SHELL,
  concurrency: 2,
}, () => {
  /** Accepts connections and never answers. */
  const silent = createServer(() => {});
  before(async () => {
    mkdirSync(LARGE, { recursive: true });
    const companions = new Map([["hparams.json", Buffer.from(JSON.stringify(SHAPE))]]);
    await writeWeights(LARGE, randomWeights(SHAPE), { dtype: "float32", companions });
    for (const name of ["encoder.json", "vocab.bpe"]) copyFileSync(join(MICRO, name), join(LARGE, name));
    writeFileSync(TEXT, "Once upon a time there was a signal. ".repeat(2000));
    assertDone(await gpt2(["export", LARGE, "--out", CHECKPOINT]));
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
  });
  after(() => silent.close());

  test("the works are those of every command that the program has", async () => {
    const program = await buildProgram(new Output(), () => {});
    assert.deepEqual(Object.keys(WORKS).sort(), program.commands.map((each) => each.name()).sort());
  });

  for (const [command, works] of Object.entries(WORKS)) {
    for (const work of works) {
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        test(`${command}, ${work.doing}: ${signal}`, async () => {
          const folder = mkdtempSync(join(TEMPORARY, `${command}-`));
          const { outcome, stepsAfter } = await interrupt(command, work, signal, folder);
          assert.doesNotMatch(outcome.stderr, /unexpected error/);
          if (outcome.signal !== null) {
            assert.equal(outcome.signal, signal); // nothing to tidy: the system ended it
            return;
          }
          assert.equal(outcome.code, 130, outcome.stderr);
          if (work.saves) assert.deepEqual(readdirSync(folder), ["run1"]);
          else assert.deepEqual(readdirSync(folder), [], "something was left");
          if (typeof work.at === "number") assert.ok(stepsAfter <= STEPS_AFTER, `${stepsAfter} more reads`);
        });
      }
    }
  }

  /** Sends the signal at the work's moment and waits for the end. */
  async function interrupt(
    command: string,
    { args, stdin, at }: Work,
    signal: NodeJS.Signals,
    folder: string,
  ): Promise<{ outcome: Outcome; stepsAfter: number }> {
    const { port } = silent.address() as AddressInfo;
    const host = at === "connection" ? [`http://127.0.0.1:${port}/`] : [];
    const log = `${folder}.log`;
    const env =
      typeof at === "number"
        ? {
            NODE_OPTIONS: `--import=${HOOK}`,
            SIGNAL: signal,
            SIGNAL_STEP: String(at),
            SIGNAL_IN: TEMPORARY,
            SIGNAL_LOG: log,
          }
        : {};
    const connection = at === "connection" ? once(silent, "connection") : undefined;
    const running = startGpt2([command, ...args(folder), ...host], { stdin, env, limit: LIMIT });
    await connection;
    if (typeof at === "object") await running.until(at.text);
    if (typeof at !== "number") running.child.kill(signal);
    const outcome = await running.ended;
    return { outcome, stepsAfter: existsSync(log) ? Number(readFileSync(log, "utf8")) : 0 };
  }
});
