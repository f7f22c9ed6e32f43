import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { before, describe, test } from "node:test";
import { answer, DEFINITIONS } from "../../dist/src/cli/completion/answer.js";
import { gpt2Words, splitLine } from "../../dist/src/cli/completion/bash.js";
import { complete } from "../../dist/src/cli/completion/complete.js";
import { describeProgram } from "../../dist/src/cli/completion/describe.js";
import { buildProgram } from "../../dist/src/cli/main.js";
import { Output } from "../../dist/src/cli/terminal/output.js";
import { assertDone, assertFails, BIN, gpt2, NO_SHELL, start, TEMPORARY } from "../support/spawn.js";
import { NO_TERMINAL, Terminal } from "../support/terminal.js";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

/** Why a shell cannot be tested here; false where it can. */
const isMissing = (shell: Shell): string | false =>
  NO_SHELL || (spawnSync(shell, ["--version"], { stdio: "ignore" }).status !== 0 && `needs ${shell}`);

const BOTH = ["-h", "--help"];
const program = await buildProgram(new Output(), () => {});
/** The options of every command, from the definitions. */
const OPTIONS = new Map(
  program.commands.map((command) => [
    command.name(),
    [...command.options.flatMap(({ short, long }) => [short, long]), ...BOTH].filter(
      (name) => name !== undefined,
    ),
  ]),
);
const COMMANDS = [...OPTIONS.keys(), "help"];

const CWD = join(TEMPORARY, "here");
const MODELS = join(TEMPORARY, "some models");
const SCRIPTS = join(TEMPORARY, "scripts");
/** Names that a model's folder can have; nothing in them may be run. */
const NAMES = [
  "$(touch pwned)",
  "`touch pwned`",
  "semi;touch pwned",
  "my model",
  "it's",
  'a"b',
  "ex!cl\\ $HOME",
  "mödel 東京",
  "co:lon=x",
  "~tilde",
  "whole",
];
const ENV = {
  PATH: `${join(TEMPORARY, "bin")}${delimiter}${process.env["PATH"]}`,
  GPT2_MODELS_DIR: MODELS,
  LC_ALL: "C.UTF-8",
  SHELL: "/bin/sh",
};

function modelFolder(...path: string[]): void {
  mkdirSync(join(...path), { recursive: true });
  writeFileSync(join(...path, "hparams.json"), "{}");
}

before(async () => {
  if (NO_SHELL) return;
  for (const name of NAMES) modelFolder(MODELS, name);
  modelFolder(MODELS, "two\nlines");
  for (const folder of [join(TEMPORARY, "bin"), SCRIPTS, join(CWD, "a folder"), join(TEMPORARY, "home")])
    mkdirSync(folder, { recursive: true });
  writeFileSync(join(CWD, "a file.txt"), "");
  modelFolder(CWD, "checkpoint", "run1");
  modelFolder(CWD, "checkpoint", "my run");
  modelFolder(CWD, "other runs", "run9");
  modelFolder(TEMPORARY, "home", "runs", "at $(touch pwned) home");
  mkdirSync(join(CWD, "checkpoint", "no run"));
  const path = join(TEMPORARY, "bin", "gpt2");
  writeFileSync(path, `#!/bin/sh\nexec '${process.execPath}' '${BIN}' "$@"\n`);
  chmodSync(path, 0o755);
  for (const shell of SHELLS) {
    const { stdout } = await gpt2(["completion", shell]);
    writeFileSync(join(SCRIPTS, shell), stdout);
  }
});

const nothingWasRun = (): void => {
  assert.deepEqual(readdirSync(CWD).sort(), ["a file.txt", "a folder", "checkpoint", "other runs"]);
  assert.ok(!existsSync(join(MODELS, "pwned")));
};

/** What a shell's own script offers for each of these lines, with the cursor at the end. */
async function offers(shell: Shell, script: string, lines: readonly string[]): Promise<string[][]> {
  const outcome = await start(shell, ["-c", script, shell, join(SCRIPTS, shell), ...lines], {
    cwd: CWD,
    env: ENV,
  }).ended;
  assertDone(outcome);
  const [, ...parts] = outcome.stdout.split("\0\n");
  return parts.map((part) => part.split("\n").filter((line) => line !== ""));
}

const IN_BASH = `
source "$1"; shift
COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:'
for COMP_LINE; do
  COMP_POINT=\${#COMP_LINE} COMPREPLY=()
  _gpt2 gpt2
  printf '\\0\\n'
  printf '%s\\n' "\${COMPREPLY[@]}"
done`;
const IN_FISH = `
set -e argv[1]
source $argv[1]
for line in $argv[2..-1]
  printf '\\0\\n'
  complete -C "$line"
end`;

const inBash = (...lines: string[]): Promise<string[][]> => offers("bash", IN_BASH, lines);
/** Without the descriptions. */
const inFish = async (...lines: string[]): Promise<string[][]> => {
  const script = IN_FISH.replace("set -e argv[1]", ""); // fish -c gives the words alone
  const outcome = await start("fish", ["--no-config", "-c", script, "--", join(SCRIPTS, "fish"), ...lines], {
    cwd: CWD,
    env: ENV,
  }).ended;
  assertDone(outcome);
  const [, ...parts] = outcome.stdout.split("\0\n");
  return parts.map((part) =>
    part
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.replace(/\t.*/, ""))
      .sort(),
  );
};

/** Lines and what is offered at their end. */
const TABLE: Readonly<Record<string, readonly string[]>> = {
  "gpt2 ": COMMANDS,
  "gpt2 comp": ["completion"],
  "gpt2 help gen": ["generate"],
  "gpt2 help generate ": [],
  "gpt2 completion ": [...SHELLS],
  "gpt2 completion bash ": [],
  "gpt2 models ": ["list", "path", "rm"],
  "gpt2 models --yes rm w": ["whole"],
  "gpt2 models rm whole ": [],
  "gpt2 export whole ": [],
  "gpt2 download 3": ["345M"],
  "gpt2 generate --precision ": ["auto", "float16", "float32", "int8"],
  "gpt2 generate --backend tfjs-n": ["tfjs-node", "tfjs-node-gpu"],
  "gpt2 generate --include_prefix ": ["true", "false"],
  "gpt2 bench --shape ": ["124M", "355M", "774M", "1558M"],
  "gpt2 models --format ": ["text", "jsonl", "names"],
  "gpt2 export --format ": ["tensorflow", "huggingface", "gguf"],
  "gpt2 generate --nsamples ": [],
  "gpt2 generate --stop ": [],
  "gpt2 generate --run_name run": ["run1"],
  "gpt2 generate --checkpoint_dir 'other runs' --run_name ": ["run9"],
  "gpt2 generate x --models_dir /nowhere --model_name ": ["shakespeare", "stories"],
  "gpt2 generate --models_dir=/nowhere --model_name ": ["shakespeare", "stories"],
  "gpt2 score --model_name wh": ["whole"],
  "gpt2 tokenize generate --str": [],
  "gpt2 unknown ": [],
  "gpt2 generate --stop --model_name --back": ["--backend"],
  "gpt2 generate -- --back": [],
  "gpt2 models -- -x w": ["whole"],
  "gpt2 models --format text ": ["list", "path", "rm"],
};

/** Some of them, for the shells themselves. */
const SOME = [
  "gpt2 ",
  "gpt2 help gen",
  "gpt2 models --yes rm w",
  "gpt2 generate --nsamples ",
  "gpt2 generate --checkpoint_dir 'other runs' --run_name ",
  "gpt2 tokenize generate --str",
  "gpt2 models -- -x w",
];

describe("the rules, without a shell", () => {
  const definitions = describeProgram(program);
  const inHere = async <T>(run: () => Promise<T>): Promise<T> => {
    const [cwd, folder] = [process.cwd(), process.env["GPT2_MODELS_DIR"]];
    process.chdir(CWD);
    process.env["GPT2_MODELS_DIR"] = MODELS;
    try {
      return await run();
    } finally {
      process.chdir(cwd);
      if (folder === undefined) delete process.env["GPT2_MODELS_DIR"];
      else process.env["GPT2_MODELS_DIR"] = folder;
    }
  };
  const completed = (line: string) => inHere(() => complete(definitions, gpt2Words(splitLine(line))));

  test("the build wrote what the commands define", () => {
    const written = readFileSync(DEFINITIONS, "utf8");
    assert.equal(written, JSON.stringify(definitions), "npm run build writes it anew");
  });

  test("commands, every option of every command, and values", async () => {
    const flags = [...OPTIONS].map(([name, options]) => [`gpt2 ${name} -`, options] as const);
    for (const [line, wanted] of [...Object.entries(TABLE), ...flags]) {
      const offered = (await completed(line)).offers.map(({ text }) => text);
      assert.deepEqual(offered.sort(), [...wanted].sort(), line);
    }
  });

  test("paths, where files or folders fit, and folders of models where no name does", async () => {
    for (const [line, paths] of [
      ["gpt2 score ", "files"],
      ["gpt2 finetune a b ", "files"],
      ["gpt2 import ", "files"],
      ["gpt2 convert m --out ", "folders"],
      ["gpt2 generate --prompt_file=", "files"],
      ["gpt2 generate --model_name ", undefined],
      ["gpt2 generate --model_name ./", "folders"],
      ["gpt2 generate --model_name zzz", "folders"],
      ["gpt2 generate --nsamples ", undefined],
      ["gpt2 generate --no-such=", undefined],
    ] as const)
      assert.equal((await completed(line)).paths, paths, line);
  });

  test("what each shell is told: offers as it takes them, and what they are", async () => {
    assert.equal(await answer("fish", ["generate", "--backend=wa"], definitions), "none\n--backend=wasm\t\n");
    assert.equal(await answer("zsh", ["generate", "--backend=wa"], definitions), "none=\nwasm\n");
    assert.equal(await answer("bash", ["gpt2 generate --backend=wa", "="], definitions), "none\nwasm\n");
    assert.equal(
      await answer("bash", ["gpt2 generate --backend=wa", ""], definitions),
      "none\n--backend=wasm\n",
    );
    assert.equal(
      await answer("zsh", ["sco"], definitions),
      "none\nscore:log-probabilities and perplexity of a text\n",
    );
    const typed = ["score", "--models_dir", MODELS, "--model_name", "co"];
    assert.equal(await answer("zsh", typed, definitions), "none\nco\\:lon=x\n");
  });
});

describe("bash", { skip: isMissing("bash"), concurrency: 2 }, () => {
  test("commands, options and values", async () => {
    for (const [i, offered] of (await inBash(...SOME)).entries())
      assert.deepEqual(offered.sort(), [...TABLE[SOME[i]]].sort(), SOME[i]);
  });

  test("hyphens, =, quotes, what stands before the command; the cursor in the middle", async () => {
    assert.deepEqual(
      await inBash(
        "gpt2 generate --top-",
        "gpt2 generate --model-name wh",
        "gpt2 generate --backend=wa",
        "gpt2 generate --repetition-p",
        "gpt2 finetune x --no_rec",
        "gpt2 generate --model_name 'my",
        'gpt2 generate --model_name "it',
        "gpt2 generate --model_name='my m",
        "gpt2 generate --model_name my\\ m",
        "gpt2 generate --model_name co:",
        "X=1 gpt2 tok",
        'gpt2 generate "--models_dir" "/now""here" --model_name w',
        'gpt2 generate \'it is\' "a\\"b" --prec',
      ),
      [
        ["--top_k", "--top_p"],
        ["whole"],
        ["wasm"],
        ["--repetition_penalty"],
        ["--no-recompute"],
        ["my model"],
        ["it's"],
        ["my model"],
        ["my\\ model"],
        ["lon=x"],
        ["tokenize"],
        [],
        ["--precision"],
      ],
    );
    const script = IN_BASH.replace(/COMP_POINT=\S+/, "COMP_POINT=7");
    assert.deepEqual(await offers("bash", script, ["gpt2 sc --model_name x"]), [["score"]]);
  });

  test("the script keeps to what bash 3.2 of macOS has", async () => {
    const { stdout } = await gpt2(["completion", "bash"]);
    const later = [
      /mapfile|readarray|coproc/,
      /(declare|local|typeset) -[A-Za-z]*[An]/,
      /\$\{\w+(\[[^\]]*\])?(\^|,|@[A-Z]|: -)/,
      /\[-1\]|\|&|&>>|;;&|;&(?!;)/,
      /\[\[ -v|EPOCH|%\(/,
    ];
    for (const each of later) assert.doesNotMatch(stdout, each);
  });
});

describe("fish", { skip: isMissing("fish"), concurrency: 2 }, () => {
  test("commands, options and values", async () => {
    for (const [i, offered] of (await inFish(...SOME)).entries())
      assert.deepEqual(offered, [...TABLE[SOME[i]]].sort(), SOME[i]);
  });

  test("files and folders; every model's name, as it is; descriptions", async () => {
    const [files, folders, models, value] = await inFish(
      "gpt2 score ",
      "gpt2 convert m --out ",
      "gpt2 convert ",
      "gpt2 generate --backend=wa",
    );
    assert.deepEqual(files, ["a file.txt", "a folder/", "checkpoint/", "other runs/"]);
    assert.deepEqual(folders, ["a folder/", "checkpoint/", "other runs/"]);
    assert.deepEqual(models, [...NAMES, "shakespeare", "stories"].sort());
    assert.deepEqual(value, ["--backend=wasm"]);
    const { stdout } = await start(
      "fish",
      ["--no-config", "-c", 'source $argv[1]; complete -C "gpt2 sco"', "--", join(SCRIPTS, "fish")],
      { env: ENV },
    ).ended;
    assert.equal(stdout, "score\tlog-probabilities and perplexity of a text\n");
    nothingWasRun();
  });
});

describe("zsh", { skip: isMissing("zsh") }, () => {
  test("without compinit it says what is missing", async () => {
    const { stdout, stderr } = await start("zsh", ["-f", "-c", 'source "$1"', "zsh", join(SCRIPTS, "zsh")], {
      env: ENV,
    }).ended;
    assert.equal(stdout, "");
    assert.match(stderr, /^gpt2: completion needs .*compinit[^\n]*\n$/);
  });
});

/** An interactive shell, in which gpt2 is a function that prints its arguments. */
class Interactive extends Terminal {
  static async start(shell: Shell): Promise<Interactive> {
    const script = join(SCRIPTS, shell);
    const how = {
      bash: ["exec bash --norc --noprofile -i", `PS1='> '; source '${script}'`],
      zsh: [
        "exec zsh -f -i",
        `PS1='> '; autoload -Uz compinit; compinit -D -u; eval "$(command gpt2 completion zsh)"`,
      ],
      fish: ["exec fish --no-config -i", `function fish_prompt; echo '> '; end; source '${script}'`],
    }[shell];
    const show = "printf ARGS; printf '<%s>' \"$@\"; echo ' end'";
    const own =
      shell === "fish"
        ? "function gpt2; printf ARGS; printf '<%s>' $argv; echo ' end'; end"
        : `gpt2() { ${show}; }`;
    const env = { ...ENV, HOME: join(TEMPORARY, "home"), XDG_DATA_HOME: join(TEMPORARY, "home") };
    const terminal = new Interactive([], { cwd: CWD, env, limit: 240 }, ["sh", "-c", how[0]]);
    terminal.type(`${how[1]}\r`);
    terminal.type(`${own}; echo READY''\r`);
    await terminal.shows(/READY\r\n/);
    return terminal;
  }

  /** The arguments that gpt2 was given when the line was completed and entered. */
  async enters(line: string): Promise<string[]> {
    this.type(`${line}\r`);
    const pattern = /ARGS<([^\r\n]*)> end\r\n/;
    const [, words] = pattern.exec(await this.shows(pattern)) ?? [];
    return words.split("><");
  }

  async leaves(): Promise<void> {
    this.type("exit\r");
    await this.ends().catch((error) => {
      if (!/colou?r|x1b/i.test(String(error))) throw error; // shells may paint
    });
  }
}

for (const shell of SHELLS) {
  test(`${shell} on a terminal: what is completed arrives as it is called, and is never run`, {
    skip: isMissing(shell) || NO_TERMINAL,
  }, async () => {
    const terminal = await Interactive.start(shell);
    const value = async (typed: string): Promise<string> =>
      (await terminal.enters(`gpt2 generate --model_name ${typed}\t`)).at(-1) ?? "";
    assert.deepEqual(await terminal.enters("gpt2 sco\t"), ["score"]);
    for (const [typed, name] of [
      ["\\$", NAMES[0]],
      ["\\`", NAMES[1]],
      ["sem", NAMES[2]],
      ["my", NAMES[3]],
      ["it", NAMES[4]],
      ["a", NAMES[5]],
      ["ex", NAMES[6]],
      ["m\u00f6", NAMES[7]],
      ["co", NAMES[8]],
      ["co:", NAMES[8]],
      ["\\~t", NAMES[9]],
    ]) {
      assert.equal(await value(typed), name, typed);
    }
    for (const [typed, name] of [
      ['"my', NAMES[3]],
      ["'my", NAMES[3]],
      ['"it', NAMES[4]],
      ["'it", NAMES[4]],
      ["'$", NAMES[0]],
      ['"sem', NAMES[2]],
      ['"ex', NAMES[6]],
      ['"\\$', NAMES[0]],
      ...(shell === "fish" ? [] : [['"\\`', NAMES[1]]]), // fish lets ` stand for itself
    ]) {
      assert.equal((await value(typed)).trim(), name, typed);
    }
    if (shell !== "fish") {
      assert.match((await terminal.enters("gpt2 generate --model-name=my\t"))[1], /=my model$/);
    }
    assert.deepEqual(await terminal.enters("gpt2 generate --model_name=my\t"), [
      "generate",
      "--model_name=my model",
    ]);
    for (const [typed, name] of [
      ["--run_name my", "my run"],
      ["--checkpoint_dir other\\ runs --run_name r", "run9"],
      ["--checkpoint_dir ~/runs --run_name a", "at $(touch pwned) home"],
    ]) {
      assert.equal((await terminal.enters(`gpt2 generate ${typed}\t`)).at(-1), name, typed);
    }
    assert.deepEqual(await terminal.enters("gpt2 score a\\ fi\t"), ["score", "a file.txt"]);
    const folder = await terminal.enters("gpt2 import a\\ fo\t");
    assert.deepEqual(
      folder.map((word) => word.replace(/\/$/, "")),
      ["import", "a folder"],
    );
    assert.deepEqual(await terminal.enters("gpt2 generate --nsamples a\t"), ["generate", "--nsamples", "a"]);
    nothingWasRun();
    await terminal.leaves();
  });
}

test("names for completion: one a line, none with a newline in it, without a look into the files", async () => {
  const { stdout } = await gpt2(["models", "--format", "names"], { env: ENV });
  assert.deepEqual(
    stdout
      .split("\n")
      .filter((line) => line !== "")
      .sort(),
    [...NAMES, "shakespeare", "stories"].sort(),
  );
});

test("completing loads no command, and no package but the one that knows where caches are", async () => {
  const list = join(TEMPORARY, "loaded modules");
  const hooks = `import { appendFileSync } from "node:fs";
    export async function load(url, context, next) {
      appendFileSync(${JSON.stringify(list)}, url + "\\n");
      return next(url, context);
    }`;
  const code = `import { register } from "node:module";
    register("data:text/javascript,${encodeURIComponent(hooks)}");`;
  const flags = ["--import", `data:text/javascript,${encodeURIComponent(code)}`];
  assertDone(
    await start(process.execPath, [...flags, BIN, "__complete", "fish", "generate", "--model_name", "s"])
      .ended,
  );
  const loaded = readFileSync(list, "utf8");
  assert.match(loaded, /completion\/answer\.js/);
  assert.doesNotMatch(loaded, /cli\/(main|commands)|\.wasm$|node_modules\/(?!env-paths|is-safe-filename)/m);
});

test("another shell, or none: a line, exit code 2", async () => {
  assertFails(await gpt2(["completion", "tcsh"]), 2, /one of bash, zsh, fish, not "tcsh"/);
  assertFails(await gpt2(["completion"]), 2, /shell/);
  assertFails(await gpt2(["__complete", "tcsh", "gen"]), 2, /__complete is what shells call/);
});
