import assert from "node:assert/strict";
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import {
  assertDone,
  assertFails,
  gpt2,
  MICRO,
  micro,
  type Outcome,
  ROOT,
  start,
  TEMPORARY,
} from "../support/spawn.js";

/** Values that no whole-number option accepts. */
const NO_NUMBERS = [
  "",
  " ",
  "x",
  "1.5",
  "1e3",
  "0x10",
  "-1",
  "NaN",
  "Infinity",
  "1_000",
  "99999999999999999999",
];

/** Values that are refused, for every option that parses its value. */
const WRONG: Readonly<Record<string, readonly string[]>> = {
  seed: [...NO_NUMBERS, "9007199254740992"],
  nsamples: [...NO_NUMBERS, "0"],
  batch_size: [...NO_NUMBERS, "0", "1025"],
  length: [...NO_NUMBERS, "0"],
  temperature: ["", "x", "-0.1", "NaN", "Infinity", "-Infinity", "1,5", "1e999", "0x1"],
  top_k: NO_NUMBERS,
  top_p: ["", "x", "0", "-0.5", "1.01", "NaN", "Infinity", "50%"],
  min_p: ["", "x", "-0.01", "1.01", "NaN", "Infinity", "5%", "0,1", "0x1"],
  repetition_penalty: ["", "x", "0", "0.009", "-1.2", "100.1", "NaN", "Infinity", "1,2"],
  presence_penalty: ["", "x", "-2.01", "2.1", "NaN", "Infinity", "1,2"],
  frequency_penalty: ["", "x", "-2.01", "2.1", "NaN", "Infinity", "1,2"],
  logit_bias: [
    ...["", "x", "3", "=1", "3=", "3:1", "-1=1", "1.5=1", "x=1", "3=x", "3=1=2", "3=NaN"],
    ...["3=inf", "3=+inf", "3=Infinity", "3=1e10", "3=-1000000001", "3=1,5", "1234567890=1", "3=1 4=2"],
  ],
  penalty_window: NO_NUMBERS,
  dry_multiplier: ["", "x", "-0.1", "100.1", "NaN"],
  dry_base: ["", "x", "0.9", "10.1", "NaN"],
  dry_allowed_length: [...NO_NUMBERS, "0"],
  dry_breaker: [""],
  no_repeat_ngram_size: NO_NUMBERS,
  typical_p: ["", "x", "0", "-0.5", "1.01", "NaN", "Infinity", "50%"],
  mirostat_tau: ["", "x", "-1", "100.1", "NaN"],
  logprobs: [...NO_NUMBERS, "101"],
  first_sample: [...NO_NUMBERS, "0", "1000000001"],
  shard: ["", "x", "1", "0/2", "3/2", "1/0", "-1/2", "1/-2", "1/2/3", "1.5/2", "1 / 2", "/2", "1/"],
  format: ["", "json", "TEXT", "jsonl "],
  backend: ["", "cuda", "tfjs-webgl", "constructor"],
  precision: ["", "bfloat16", "INT8"],
  threads: [...NO_NUMBERS, "0", "65"],
  stop: [""],
};

/** Options that interactive does not have. */
const NOT_INTERACTIVE = ["first_sample", "shard"];

describe("wrong options: one line that names the option and the value, exit code 2", {
  concurrency: 3,
}, () => {
  for (const [option, values] of Object.entries(WRONG)) {
    // The first and the last through the built program, all of them in one process below.
    for (const [i, value] of [...new Set([values[0], values[values.length - 1]])].entries()) {
      const spelling = i === 0 ? [`--${option}`, value] : [`--${option.replaceAll("_", "-")}=${value}`];
      const other = NOT_INTERACTIVE.includes(option) ? "unconditional" : "interactive";
      const command = i === 0 ? "generate" : other;
      test(`${command} ${spelling.join(" ")}`, async () => {
        const outcome = await gpt2([command, ...(i === 0 ? ["a"] : []), ...micro(), ...spelling]);
        assertFails(outcome, 2, new RegExp(`^gpt2: --${option} must`), new RegExp(value === "" ? "" : value));
      });
    }
  }

  test("every wrong value of every option", async () => {
    const script = `
      const { main } = await import(process.argv[1]);
      process.stdout.setMaxListeners(0); // each run adds one
      for (const args of JSON.parse(process.argv[2])) {
        process.exitCode = undefined;
        await main(args);
        process.stderr.write("exit code " + process.exitCode + "\\n");
      }
      process.exitCode = 0;`;
    const lines = Object.entries(WRONG).flatMap(([option, values]) =>
      values.map((value) => ({ option, value, args: ["generate", "a", ...micro(), `--${option}=${value}`] })),
    );
    const main = pathToFileURL(join(ROOT, "dist", "src", "cli", "main.js")).href;
    const all = JSON.stringify(lines.map(({ args }) => args));
    const { stdout, stderr } = await start(process.execPath, ["--input-type=module", "-e", script, main, all])
      .ended;
    assert.equal(stdout, "");
    const told = stderr.split("\n");
    assert.equal(told.length, 2 * lines.length + 1, stderr);
    for (const [i, { option, value }] of lines.entries()) {
      const line = told[2 * i];
      assert.ok(line.startsWith(`gpt2: --${option} must`), `${option}=${value}: ${line}`);
      if (option !== "stop" && option !== "dry_breaker")
        assert.ok(line.replace(/: 1 turns it off$/, "").endsWith(`not ${JSON.stringify(value)}`), line);
      assert.equal(told[2 * i + 1], "exit code 2", line);
    }
  });

  test("unconditional --nsamples -1", async () => {
    const outcome = await gpt2(["unconditional", ...micro("--nsamples", "-1")]);
    assertFails(outcome, 2, /--nsamples must be a whole number from 0 /);
  });
  for (const command of ["convert", "download"]) {
    test(`${command} --dtype int8`, async () => {
      assertFails(await gpt2([command, "x", "--dtype", "int8"]), 2, /--dtype .*float32, float16.*"int8"/);
    });
  }
});

describe("wrong commands and arguments: one line, exit code 2", { concurrency: 3 }, () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [["sample"], /unknown command "sample".*interactive, unconditional, generate.*gpt2 --help/],
    [["--frobnicate"], /unknown option '--frobnicate'.*gpt2 --help/],
    [["generate", "a", "--topk", "3"], /unknown option '--topk' .*--top_k/],
    [["generate", "a", "--top_k"], /--top_k.*missing/],
    [["generate", "a", "--resume"], /--resume.*missing/],
    [["interactive", "--shard", "1/2"], /unknown option '--shard'/],
    [["interactive", "--resume", "x"], /unknown option '--resume'/],
    [["interactive", "a"], /too many arguments/],
    [["unconditional", "a", "b"], /too many arguments/],
    [["generate", "a", "b"], /too many arguments/],
    [["convert"], /missing.*model/],
    [["convert", "no-such-model"], /no-such-model/],
    [["download", "no-such-model"], /no-such-model.*117M.*--base_url/],
    [
      ["generate", "a", "--model_name", "no-such-model"],
      /unknown model "no-such-model".*117M.*stories and shakespeare/,
    ],
    [["generate", "a", "--model_name", "__proto__"], /unknown model "__proto__"/],
    [["generate", "a", "--model_name", ""], /unknown model ""/],
    [["generate", "-x"], /unknown option '-x'/],
    [["generate", "- item one"], /unknown option '- item one': put -- before text that begins with -/],
    [["tokenize", "-5 degrees"], /put -- before text/],
    [["generate", "--tempature", "1"], /'--tempature' \(Did you mean --temperature\?\); see gpt2 --help$/m],
    [
      ["generate", "a", "--top_p", "0.0"],
      /--top_p must be a number above 0, up to 1, not "0\.0": 1 turns it off/,
    ],
  ];
  for (const [args, pattern] of wrong) {
    test(args.join(" "), async () => assertFails(await gpt2(args), 2, pattern));
  }
  test("--resume: a folder, one that is not there, a device", async () => {
    const resume = (path: string) => gpt2(["generate", "a", ...micro("--seed", "1", "--resume", path)]);
    assertFails(await resume(TEMPORARY), 1, /cannot write .*: it is a folder/);
    assertFails(await resume(join(TEMPORARY, "gone", "x.jsonl")), 1, /cannot write .*x\.jsonl: no such file/);
    if (process.platform !== "win32") assertFails(await resume("/dev/null"), 1, /is not a regular file/);
  });
  test("the error's words stay one line when an argument has several", async () => {
    assertFails(await gpt2(["sam\nple"]), 2, /unknown command "sam\\nple"/);
    assertFails(await gpt2(["generate", "--x\ny"]), 2, /unknown option/);
  });
});

describe("models that are missing or damaged: one line, exit code 1", { concurrency: 3 }, () => {
  let converted: string;
  const generate = (model: string, ...rest: string[]): Promise<Outcome> =>
    gpt2(["generate", "a", "--model_name", model, "--seed", "1", "--length", "3", ...rest]);

  before(async () => {
    converted = join(TEMPORARY, "converted");
    await cp(MICRO, converted, { recursive: true });
    assertDone(await gpt2(["convert", converted]));
    for (const file of await readdir(converted)) {
      if (/ckpt|^checkpoint$/.test(file)) await rm(join(converted, file));
    }
  });

  /** A copy of a model folder with something changed. */
  async function damaged(
    name: string,
    from: string,
    damage: (file: (name: string) => string) => Promise<unknown>,
  ) {
    const folder = join(TEMPORARY, "damaged", name);
    await mkdir(join(TEMPORARY, "damaged"), { recursive: true });
    await cp(from, folder, { recursive: true });
    await damage((file) => join(folder, file));
    return folder;
  }

  test("117M without a terminal: the line names the two ways on", async () => {
    for (const args of [[], ["--model_name", "124M"]]) {
      const cwd = await mkdir(join(TEMPORARY, "nowhere", String(args.length)), { recursive: true });
      const outcome = await gpt2(["generate", "a", ...args], { cwd });
      const name = args[1] ?? "117M";
      assertFails(outcome, 1, new RegExp(`the model ${name} .*gpt2 download ${name}.*--model_name stories`));
    }
  });

  test("a folder that is no model, one that is not there, a file", async () => {
    const empty = join(TEMPORARY, "empty");
    await mkdir(empty, { recursive: true });
    assertFails(await generate(empty), 1, /empty is not a model folder.*hparams\.json/);
    assertFails(await generate(join(TEMPORARY, "gone")), 1, /gone is not a model folder/);
    assertFails(
      await generate(join(MICRO, "hparams.json")),
      1,
      /hparams\.json is a file: name the folder that holds it/,
    );
  });

  const DATA = "model.ckpt.data-00000-of-00001";
  const SHARD = "group1-shard1of1.bin";
  type Damage = (file: (name: string) => string) => Promise<unknown>;
  const cut =
    (name: string, by: number): Damage =>
    async (file) =>
      truncate(file(name), (await readFile(file(name))).length - by);
  const flip =
    (name: string, at: number): Damage =>
    async (file) => {
      const bytes = await readFile(file(name));
      bytes[at] ^= 1;
      await writeFile(file(name), bytes);
    };
  const edit =
    (name: string, change: (json: Record<string, number>) => void): Damage =>
    async (file) => {
      const json = JSON.parse(await readFile(file(name), "utf8")) as Record<string, number>;
      change(json);
      await writeFile(file(name), JSON.stringify(json));
    };
  const remove =
    (name: string): Damage =>
    (file) =>
      rm(file(name));
  const write =
    (name: string, text: string): Damage =>
    (file) =>
      writeFile(file(name), text);

  const damages: readonly (readonly [string, "checkpoint" | "converted", Damage, RegExp])[] = [
    ["data file cut by a byte", "checkpoint", cut(DATA, 1), /model\.ckpt\.data-00000-of-00001/],
    ["data file empty", "checkpoint", write(DATA, ""), /model\.ckpt\.data-00000-of-00001/],
    ["data file gone", "checkpoint", remove(DATA), /model\.ckpt\.data-00000-of-00001/],
    ["one bit of the data file changed", "checkpoint", flip(DATA, 100_000), /model\//],
    ["index cut", "checkpoint", cut("model.ckpt.index", 10), /model\.ckpt\.index/],
    [
      "an error page for an index",
      "checkpoint",
      write("model.ckpt.index", "<html>no</html>"),
      /model\.ckpt\.index/,
    ],
    [
      "hparams of another model",
      "checkpoint",
      edit("hparams.json", (h) => (h["n_embd"] = 64)),
      /belong to different models/,
    ],
    [
      "hparams with more layers",
      "converted",
      edit("hparams.json", (h) => (h["n_layer"] = 12)),
      /belong to different models/,
    ],
    [
      "hparams that are no numbers",
      "checkpoint",
      write("hparams.json", '{"n_vocab":"400"}'),
      /hparams\.json.*n_vocab/,
    ],
    [
      "hparams that are no JSON",
      "checkpoint",
      write("hparams.json", "<html>\n</html>"),
      /hparams\.json.*JSON/,
    ],
    [
      "encoder.json without one token",
      "checkpoint",
      edit("encoder.json", (ids) => delete ids["ver"]),
      /encoder\.json/,
    ],
    ["encoder.json cut", "checkpoint", cut("encoder.json", 1), /encoder\.json/],
    [
      "vocab.bpe of another model",
      "checkpoint",
      write("vocab.bpe", "#version: 0.2\nq z\n"),
      /vocab\.bpe|encoder\.json/,
    ],
    ["model.json cut", "converted", cut("model.json", 20), /model\.json/],
    ["model.json with nothing in it", "converted", write("model.json", "{}"), /model\.json/],
    ["shard cut by a byte", "converted", cut(SHARD, 1), /group1-shard1of1\.bin/],
    ["shard gone", "converted", remove(SHARD), /group1-shard1of1\.bin/],
    ["one bit of the shard changed", "converted", flip(SHARD, 100_000), /group1-shard1of1\.bin|model\//],
  ];
  for (const [name, kind, damage, pattern] of damages) {
    test(name, async () => {
      const folder = await damaged(name, kind === "checkpoint" ? MICRO : converted, damage);
      assertFails(await generate(folder), 1, pattern);
    });
  }

  test("the undamaged ones work", async () => {
    const [checkpoint, weights] = await Promise.all([generate(MICRO), generate(converted)]);
    assertDone(checkpoint);
    assertDone(weights);
    assert.equal(weights.stdout, checkpoint.stdout);
  });

  test("DEBUG=gpt2 shows where it failed, and nothing else does", async () => {
    const args = ["generate", "a", "--seed", "x"];
    const [debug, other] = await Promise.all([
      gpt2(args, { env: { DEBUG: "express,gpt2" } }),
      gpt2(args, { env: { DEBUG: "express" } }),
    ]);
    assert.equal(debug.code, 2);
    assert.match(debug.stderr, /^gpt2: --seed must[^\n]+\n/);
    assert.match(debug.stderr, /^ +at .*options\/parse\.js:\d+/m);
    assertFails(other, 2, /--seed/);
  });

  // Node's own recursive mkdir never returns there.
  test("folders that no one can make", { skip: process.platform !== "linux" }, async () => {
    const text = join(TEMPORARY, "a text.txt");
    await writeFile(text, "Once upon a time. ".repeat(100));
    const tries = [
      ["generate", "a", ...micro("--length", "1", "--nsamples", "1", "--folder", "/proc/nope/a")],
      ["export", MICRO, "--out", "/proc/nope/b"],
      ["convert", MICRO, "--out", "/proc/nope"],
      ["import", MICRO, "--name", "x", "--models_dir", "/proc/nope/c"],
      ["finetune", text, ...micro("--steps", "1", "--checkpoint_dir", "/proc/nope/d")],
      ["download", "117M", "--models_dir", "/proc/nope/e", "--base_url", "http://127.0.0.1:9/"],
    ];
    const outcomes = await Promise.all(tries.map((args) => gpt2(args)));
    for (const outcome of outcomes) assertFails(outcome, 1, /cannot create \/proc\/nope/);
  });

  test("a folder below a file: by the name that was typed", async () => {
    await writeFile(join(TEMPORARY, "file"), "Once upon a time. ".repeat(100));
    const tries = [
      ["generate", "a", ...micro("--folder", "file/a")],
      ["export", MICRO, "--out", "file/a"],
      ["convert", MICRO, "--out", "file/a"],
      ["finetune", "file", ...micro("--checkpoint_dir", "file/a")],
    ];
    for (const args of tries)
      assertFails(
        await gpt2(args, { cwd: TEMPORARY }),
        1,
        /^gpt2: cannot create file.a\S*: a part of the path/,
      );
  });

  test("a backend that is not installed", async () => {
    const outcome = await generate(MICRO, "--backend", "tfjs-node-gpu");
    if (outcome.code !== 0) assertFails(outcome, 1, /tfjs-node-gpu/);
  });
});
