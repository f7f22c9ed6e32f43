import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { assertDone, assertFails, gpt2, MICRO, type Outcome, ROOT, TEMPORARY } from "../support/spawn.js";

let places = 0;

/** A folder to start in and one for the user's own settings. */
class Place {
  readonly cwd = join(TEMPORARY, `place ${++places}`);
  readonly config = join(this.cwd, "own config");
  readonly userFile = join(this.config, "gpt2", "config.yaml");

  constructor({ user, local }: { user?: string; local?: string }) {
    mkdirSync(join(this.config, "gpt2"), { recursive: true });
    if (user !== undefined) writeFileSync(this.userFile, user);
    if (local !== undefined) writeFileSync(join(this.cwd, ".gpt2.yaml"), local);
  }

  run(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
    return gpt2(args, { cwd: this.cwd, env: { XDG_CONFIG_HOME: this.config, APPDATA: this.config, ...env } });
  }

  /** What holds for an option of a command, and where it comes from. */
  async held(option: string, command: string, args: string[] = [], env = {}): Promise<[string, string]> {
    const outcome = await this.run(["config", command, "--format", "jsonl", ...args], env);
    assertDone(outcome);
    const rows = outcome.stdout.split("\n").slice(0, -1);
    const row = rows
      .map((line) => JSON.parse(line) as Record<string, string>)
      .find((each) => each["option"] === option);
    return [row?.["value"] ?? "", row?.["from"] ?? ""];
  }
}

const USER = `# mine
temperature: 0.9
top_k: 11
generate:
  top_k: 12
presets:
  careful:
    top_k: 13
    temperature: 0.25
`;

describe("precedence: file, preset, environment, command line", { concurrency: 2 }, () => {
  test("each source beats those behind it; gpt2 config says which one it was", async () => {
    const place = new Place({ user: USER, local: "top_k: 14\n" });
    const far = new Place({ user: USER });
    const none = new Place({});
    assert.deepEqual(await none.held("top_k", "generate"), ["0", "default"]);
    assert.deepEqual(await far.held("top_k", "interactive"), ["11", `${far.userFile}:3`]);
    assert.deepEqual(await far.held("top_k", "generate"), ["12", `${far.userFile}:5`]);
    assert.deepEqual(await place.held("top_k", "generate"), ["14", ".gpt2.yaml:1"]);
    const careful = ["--preset", "careful"];
    assert.deepEqual(await place.held("top_k", "generate", careful), ["13", `${place.userFile}:8`]);
    const env = { GPT2_TOP_K: "15" };
    assert.deepEqual(await place.held("top_k", "generate", careful, env), ["15", "$GPT2_TOP_K"]);
    assert.deepEqual(await place.held("temperature", "generate", careful, env), [
      "0.25",
      `${place.userFile}:9`,
    ]);
    assert.deepEqual(await place.held("temperature", "generate"), ["0.9", `${place.userFile}:2`]);
    const off = { GPT2_NO_CONFIG: "1" };
    assert.deepEqual(await place.held("top_k", "generate", [], off), ["0", "default"]);
  });

  test("a text is written as each source has it: the file, the environment, the command line", async () => {
    const base = ["generate", "hi", "--seed", "1"];
    const text = async (...args: string[]): Promise<string> => {
      const outcome = await gpt2([...base, "--model_name", MICRO, ...args]);
      assertDone(outcome);
      return outcome.stdout;
    };
    const [three, five, seven] = [
      await text("--length", "3"),
      await text("--length", "5"),
      await text("--length", "7"),
    ];
    const place = new Place({ user: `model_name: ${JSON.stringify(MICRO)}\nlength: 3\n` });
    assert.equal((await place.run(base)).stdout, three);
    assert.equal((await place.run(base, { GPT2_LENGTH: "5" })).stdout, five);
    assert.equal((await place.run([...base, "--length", "7"], { GPT2_LENGTH: "5" })).stdout, seven);
    assert.equal(new Set([three, five, seven]).size, 3);
  });

  test("lists and flags: the nearer source's replace the farther one's", async () => {
    const user = `stop: [" the", "\\n"]\nignore_eos: true\nmodel_name: ${JSON.stringify(MICRO)}\n`;
    const place = new Place({ user, local: "ignore_eos: false\n" });
    assert.deepEqual(await place.held("stop", "generate"), ['" the" "\\n"', `${place.userFile}:1`]);
    assert.deepEqual(await place.held("ignore_eos", "generate"), ["false", ".gpt2.yaml:1"]);
    const args = ["generate", "hi", "--seed", "1", "--length", "40", "--format", "jsonl"];
    const typed = await place.run([...args, "--stop", "e"]);
    const alone = await gpt2([...args, "--model_name", MICRO, "--stop", "e"]);
    assertDone(typed);
    assert.equal(typed.stdout, alone.stdout);
    const listed = await place.run(args);
    assert.equal(
      listed.stdout,
      (await gpt2([...args, "--model_name", MICRO, "--stop", " the", "--stop", "\n"])).stdout,
    );
  });

  test("what names the same thing another way gives way: a run's name to a typed model", async () => {
    const place = new Place({ user: "run_name: nowhere\nout_dir: elsewhere\n" });
    const typed = [
      "generate",
      "hi",
      "--model_name",
      MICRO,
      "--seed",
      "1",
      "--length",
      "2",
      "--out",
      "here.txt",
    ];
    assertDone(await place.run(typed));
    assert.deepEqual(readdirSync(place.cwd).sort(), ["here.txt", "own config"]);
    assertFails(await place.run(["generate", "hi"]), 1, /there is no run nowhere/);
  });

  test("a search gives way to a typed draw, and a draw to a typed search", async () => {
    const model = `model_name: ${JSON.stringify(MICRO)}\n`;
    const args = ["generate", "hi", "--length", "6"];
    const alone = async (...typed: string[]): Promise<string> => {
      const outcome = await gpt2([...args, "--model_name", MICRO, ...typed]);
      assertDone(outcome);
      return outcome.stdout;
    };
    const drawing = new Place({ user: `${model}top_k: 40\ntemperature: 0.7\nseed: 3\nnsamples: 2\n` });
    const searched = await drawing.run([...args, "--num_beams", "3"]);
    assertDone(searched);
    assert.equal(searched.stdout, await alone("--num_beams", "3"));
    const drawn = await drawing.run([...args, "--num_beams", "1"]);
    const sampled = ["--top_k", "40", "--temperature", "0.7", "--seed", "3", "--nsamples", "2"];
    assert.equal(drawn.stdout, await alone(...sampled));

    const searching = new Place({ user: `${model}num_beams: 3\nnum_return: 2\nlength_penalty: 2\n` });
    const typed = ["--top_k", "40", "--seed", "3"];
    const shown = await searching.run([...args, ...typed]);
    assertDone(shown);
    assert.equal(shown.stdout, await alone(...typed));
    const kept = await searching.run([...args, "--top_k", "0"]); // shapes nothing
    assert.equal(kept.stdout, await alone("--num_beams", "3", "--num_return", "2", "--length_penalty", "2"));
    assertFails(await searching.run([...args, "--num_beams", "3", ...typed]), 2, /draws nothing at random/);
  });

  test("what stands at the top is for texts; a section is for its command", async () => {
    const place = new Place({
      user: "batch_size: 4\nmodels_dir: m\nlearning_rate: 0.5\nfinetune:\n  steps: 3\n",
    });
    assert.deepEqual(await place.held("batch_size", "generate"), ["4", `${place.userFile}:1`]);
    assert.deepEqual(await place.held("batch_size", "finetune"), ["1", "default"]);
    assert.deepEqual(await place.held("models_dir", "finetune"), ["m", `${place.userFile}:2`]);
    assert.deepEqual(await place.held("learning_rate", "finetune"), ["0.5", `${place.userFile}:3`]);
    assert.deepEqual(await place.held("steps", "finetune"), ["3", `${place.userFile}:5`]);
    const env = { GPT2_BATCH_SIZE: "9", GPT2_LEARNING_RATE: "0.25" };
    assert.deepEqual(await place.held("batch_size", "finetune", [], env), ["1", "default"]);
    assert.deepEqual(await place.held("learning_rate", "finetune", [], env), ["0.25", "$GPT2_LEARNING_RATE"]);
  });
});

describe("a file that is wrong: one line that names file, line and name; exit code 2", {
  concurrency: 2,
}, () => {
  const GENERATE = ["generate", "hi", "--model_name", MICRO, "--length", "1"];
  const wrong: Readonly<Record<string, readonly [text: string, line: number, said: RegExp]>> = {
    "an unknown option": ["top_p: 0.5\ntopk: 40\n", 2, /there is no option "topk"/],
    "an unknown option of a section": ["generate:\n  steps: 3\n", 2, /gpt2 generate has no option "steps"/],
    "an unknown command": ["top_k: 1\ngenerates:\n  top_k: 3\n", 2, /there is no command "generates"/],
    "a wrong value": ["\ntop_k: many\n", 2, /--top_k must be a whole number from 0 to .*, not "many"/],
    "a value that YAML would change": ["top_k: 0x10\n", 1, /--top_k must be .*, not "0x10"/],
    "a list for one value": ["top_k: [1, 2]\n", 1, /--top_k takes one value, not 2/],
    "no value": ["seed: 1\ntop_k:\n", 2, /top_k has no value/],
    "a flag with a number": ["quiet: 7\n", 1, /--quiet must be true or false, not "7"/],
    "a name twice": ["top_k: 1\ntop_k: 2\n", 2, /unique/],
    "no YAML": ["top_p: 0.5\n}: {\n", 2, /:2: Unexpected flow-map-end/],
    "a list at the top": ["- top_k\n", 1, /expected lines such as "top_k: 40"/],
    "what is typed alone": [
      "overwrite: true\n",
      1,
      /overwrite is for the command line alone: type --overwrite/,
    ],
    "a bomb of aliases": [
      `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefghi"
        .split("")
        .map((c, i) => `${c}: &${c} [${Array(9).fill(`*${"abcdefghi"[i]}`)}]\n`)
        .join("")}`,
      2,
      /b must be a value or a list of values/,
    ],
  };
  for (const [what, [text, line, said]] of Object.entries(wrong)) {
    test(what, async () => {
      const user = new Place({ user: text });
      const place = `${user.userFile.replaceAll("\\", "\\\\")}:${line}: `;
      assertFails(await user.run(GENERATE), 2, said, new RegExp(`^gpt2: .*${place.replace(/[.]/g, "\\.")}`));
      const local = new Place({ local: text });
      assertFails(await local.run(["config"]), 2, new RegExp(`^gpt2: \\.gpt2\\.yaml:${line}: `));
    });
  }

  test("an unknown preset: those that there are; a wrong variable: its name", async () => {
    const place = new Place({ user: USER });
    assertFails(
      await place.run([...GENERATE, "--preset", "wild"]),
      2,
      /no preset "wild": there are careful\n/,
    );
    assertFails(
      await new Place({}).run([...GENERATE, "--preset", "wild"]),
      2,
      /presets are written into .*config\.yaml/,
    );
    assertFails(await place.run(GENERATE, { GPT2_TOP_K: "x" }), 2, /^gpt2: \$GPT2_TOP_K: --top_k must be/);
    assertFails(
      await place.run(GENERATE, { GPT2_PRESET: "x" }),
      2,
      /^gpt2: \$GPT2_PRESET: there is no preset/,
    );
    assertFails(await place.run(["config", "generates"]), 2, /there is no command "generates"/);
  });

  test("what goes with nothing, or contradicts what was typed: where that was set", async () => {
    const place = async (text: string) => {
      const user = new Place({ user: `# mine\n${text}\n` });
      return { user, where: new RegExp(`^gpt2: ${user.userFile.replace(/[\\.]/g, "\\$&")}:2: --`) };
    };
    for (const [text, typed, said] of [
      ["length_penalty: 2", [], /--length_penalty goes with a beam search: pass --num_beams, 2 or more/],
      ["num_return: 3", ["--num_beams", "2"], /--num_return 3 is more than --num_beams 2/],
      ["logprobs: 2", [], /--logprobs goes with --format jsonl/],
      ["first_sample: 2", ["--num_beams", "2"], /--num_beams has no --first_sample/],
      ["logit_bias: 999=1", ["--seed", "1"], /--logit_bias: the model has no token 999/],
    ] as const) {
      const { user, where } = await place(text);
      assertFails(await user.run([...GENERATE, ...typed]), 2, where, said);
    }
    const variable = await new Place({}).run(GENERATE, { GPT2_LENGTH_PENALTY: "2" });
    assertFails(variable, 2, /^gpt2: \$GPT2_LENGTH_PENALTY: --length_penalty goes with a beam search/);
    const { user } = await place("length_penalty: 2");
    assertFails(await user.run([...GENERATE, "--length_penalty", "3"]), 2, /^gpt2: --length_penalty goes/);
  });

  test("gpt2 config finds what no call has met yet", async () => {
    const section = new Place({ user: "finetune:\n  steps: many\n" });
    assertDone(await section.run(["tokenize", "hi"]));
    assertFails(await section.run(["config"]), 2, /config\.yaml:2: --steps must be/);
    const preset = new Place({ user: "presets:\n  wild:\n    top_k: many\n" });
    assertFails(await preset.run(["config"]), 2, /config\.yaml:3: --top_k must be/);
  });

  test("a folder or a huge file of that name is no file of options", async () => {
    const folder = new Place({});
    mkdirSync(join(folder.cwd, ".gpt2.yaml"));
    assertFails(await folder.run(GENERATE), 1, /cannot read \.gpt2\.yaml: it is a folder/);
    const huge = new Place({ local: "#".repeat(1_000_001) });
    assertFails(await huge.run(GENERATE), 1, /cannot read \.gpt2\.yaml: it has 1000001 bytes/);
  });
});

describe("a .gpt2.yaml that a stranger wrote", { concurrency: 2 }, () => {
  /** Everything that is not named as harmless, so that a new option is none until somebody has thought of it. */
  const harmless = new Set(
    `seed nsamples batch_size length temperature top_k top_p min_p repetition_penalty logit_bias stop ignore_eos special
    show_special model_name run_name checkpoint_dir backend precision threads gpu format quiet turns include_prefix
    sample_delim truncate template stride logprobs top color no_history no_repeat_ngram_size presence_penalty
    frequency_penalty typical_p dry_multiplier dry_base dry_allowed_length dry_breaker mirostat_tau mirostat_eta
    bad_words penalty_window num_beams length_penalty num_return`.split(/\s+/),
  );

  test("sets nothing but how texts are made and shown: all else is refused with its line", async () => {
    const { buildProgram } = await import("../../dist/src/cli/main.js");
    const { refusal } = await import("../../dist/src/cli/config/rules.js");
    const { Output } = await import("../../dist/src/cli/terminal/output.js");
    const program = await buildProgram(new Output(), () => {});
    const names = new Set(
      program.commands.flatMap((command) => command.options.map((option) => option.attributeName())),
    );
    for (const name of names) {
      assert.equal(refusal(name, true) === undefined, harmless.has(name), name);
    }
    for (const name of ["out", "folder", "overwrite", "models_dir", "base_url", "preset", "resume", "yes"]) {
      assert.ok(names.has(name), name);
    }
  });

  test("writes nowhere: neither its options nor its preset count", async () => {
    const place = new Place({
      user: "presets:\n  book:\n    folder: books\n",
      local: "folder: there\n",
    });
    const args = ["generate", "hi", "--model_name", MICRO, "--length", "1"];
    const next = /cannot be set by a file in the current folder: type it, or put it into .*config\.yaml/;
    assertFails(await place.run(args), 2, /^gpt2: \.gpt2\.yaml:1: folder/, next);
    for (const local of ["preset: book\n", "presets:\n  nice:\n    folder: there\n"]) {
      const other = new Place({ user: "presets:\n  book:\n    folder: books\n", local });
      assertFails(await other.run([...args, "--preset", "nice"]), 2, /^gpt2: \.gpt2\.yaml:\d: /, next);
      assert.deepEqual(readdirSync(other.cwd).sort(), [".gpt2.yaml", "own config"]);
    }
    const far = new Place({ local: 'model_name: "//host/share/model"\n' });
    assertFails(await far.run(["generate", "hi"]), 2, /model_name must not be on another machine/);
  });

  test("does not count for commands that write or fetch, however wrong it is", async () => {
    const place = new Place({ local: "finetune:\n  steps: 1\nmodels_dir: elsewhere\n" });
    assertDone(await place.run(["models"]));
    assertDone(await place.run(["completion", "bash"]));
    assert.deepEqual(await place.held("models_dir", "download"), [
      "$GPT2_MODELS_DIR, else ./models if it exists, else the user's cache folder",
      "default",
    ]);
    assertFails(await place.run(["tokenize", "x"]), 2, /\.gpt2\.yaml:1: finetune/);
  });
});

test("gpt2 config without a name lists all that is set, the nearest first", async () => {
  const place = new Place({ user: USER, local: "length: 9\n" });
  const outcome = await place.run(["config"], { GPT2_PRECISION: "int8" });
  assertDone(outcome);
  const rows = outcome.stdout.split("\n").map((line) => line.split(/ {2,}/));
  const file = place.userFile;
  assert.deepEqual(rows, [
    ["precision", "int8", "$GPT2_PRECISION"],
    ["length", "9", ".gpt2.yaml:1"],
    ["temperature", "0.9", `${file}:2`],
    ["top_k", "11", `${file}:3`],
    ["generate: top_k", "12", `${file}:5`],
    ["preset careful: top_k", "13", `${file}:8`],
    ["preset careful: temperature", "0.25", `${file}:9`],
    [""],
  ]);
  const empty = await new Place({}).run(["config"]);
  assert.match(empty.stdout, /^nothing is set: neither in \.gpt2\.yaml, nor in .*config\.yaml/);
});

test("the YAML library is loaded only where there is a file", async () => {
  // test/cli/main.test.ts holds the packages that are not loaded; this holds that the file's reader needs it.
  const { readFileSync } = await import("node:fs");
  const source = readFileSync(join(ROOT, "dist", "src", "cli", "config", "file.js"), "utf8");
  assert.doesNotMatch(source, /^import .* from "yaml"/m);
});
