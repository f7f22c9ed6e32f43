import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, cp, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { OPENAI_FILES } from "../../dist/src/models/files.js";
import { FileServer } from "../support/file-server.js";
import {
  assertDone,
  assertFails,
  BIN,
  gpt2,
  MICRO,
  micro,
  NO_SHELL,
  type Outcome,
  parseLines,
  ROOT,
  type SpawnOptions,
  shell,
  start,
  TEMPORARY,
} from "../support/spawn.js";

const ONE = ["--seed", "4", "--length", "6"];
const generate = (args: readonly string[], options?: SpawnOptions): Promise<Outcome> =>
  gpt2(["generate", ...ONE, ...args], options);

describe("texts from Windows", { concurrency: 2 }, () => {
  test("a prompt's CRLF is a line end like any other: file, standard input, interactive", async () => {
    const path = join(TEMPORARY, "crlf prompt.txt");
    await writeFile(path, "\ufeffSpeak, speak\r\nAll\r\n");
    const wanted = await generate(micro("Speak, speak\nAll"));
    assertDone(wanted);
    assert.ok(wanted.stdout.startsWith("Speak, speak\nAll"));
    for (const outcome of [
      await generate(micro("--prompt_file", path)),
      await generate(micro(), { stdin: "Speak, speak\r\nAll\r\n" }),
    ]) {
      assertDone(outcome);
      assert.equal(outcome.stdout, wanted.stdout);
    }
    const lines = await gpt2(["interactive", ...micro(...ONE, "--format", "jsonl")], {
      stdin: "a\r\nb c\r\n",
    });
    assert.deepEqual(
      parseLines(lines.stdout).map(({ prompt }) => prompt),
      ["a", "b c"],
    );
  });

  test("score and tokenize count every byte; score warns", async () => {
    const [unix, windows] = await Promise.all(
      ["a\nb\n", "a\r\nb\r\n"].map((stdin) => gpt2(["tokenize", "--count"], { stdin })),
    );
    assert.deepEqual([unix.stdout, windows.stdout], ["4\n", "6\n"]);
    const [quiet, warned] = await Promise.all(
      ["a\nb\n", "a\r\nb\r\n"].map((stdin) => gpt2(["score", ...micro()], { stdin })),
    );
    assertDone(quiet);
    assertDone(warned);
    assert.equal(quiet.stderr, "");
    assert.match(warned.stderr, /^warning: 2 line ends are \\r\\n, [^\n]+\n$/);
  });

  test("ids in a file with CRLF; a model folder whose text files have CRLF", async () => {
    const ids = join(TEMPORARY, "ids.txt");
    await writeFile(ids, "15496\r\n11\r\n995\r\n");
    assert.equal((await gpt2(["tokenize", "--decode", "--file", ids])).stdout, "Hello, world");
    const folder = join(TEMPORARY, "crlf model");
    await cp(MICRO, folder, { recursive: true });
    for (const file of ["checkpoint", "encoder.json", "hparams.json", "vocab.bpe"]) {
      const text = await readFile(join(folder, file), "utf8");
      await writeFile(join(folder, file), text.replace(/\r?\n/g, "\r\n"));
    }
    const [there, here] = await Promise.all([generate(["a", "--model_name", folder]), generate(micro("a"))]);
    assertDone(there);
    assert.equal(there.stdout, here.stdout);
  });
});

describe("names with spaces and Unicode", { concurrency: 2 }, () => {
  const NAME = "mödel – 東京 'x' & $y";

  test("every file and folder that a command takes", async () => {
    const dir = join(TEMPORARY, NAME);
    const model = join(dir, `${NAME} 2`);
    await cp(MICRO, model, { recursive: true });
    const prompt = join(dir, `${NAME}.txt`);
    await writeFile(prompt, "Speak");
    const wanted = (await generate(micro("Speak"))).stdout;
    const options = ["--model_name", `${NAME} 2`, "--models_dir", dir];
    assert.equal((await generate([...options, "--prompt_file", prompt])).stdout, wanted);
    assertDone(await gpt2(["score", prompt, ...options]));
    assertDone(await gpt2(["tokenize", "--file", prompt, ...options]));
    const out = join(dir, `out ${NAME}`);
    assertDone(await gpt2(["convert", model, "--out", out]));
    assert.equal((await generate(["Speak", "--model_name", out])).stdout, wanted);
    const listed = await gpt2(["models", "--models_dir", dir, "--format", "jsonl"]);
    assert.ok(listed.stdout.includes(JSON.stringify(model)), listed.stdout);
    assert.equal((await gpt2(["models", "path", `${NAME} 2`, "--models_dir", dir])).stdout, `${model}\n`);
    assertDone(await gpt2(["models", "rm", "--yes", `${NAME} 2`, "--models_dir", dir]));
    assert.deepEqual(await readdir(model), ["expected.json"]); // no file of a model
  });
});

describe("a folder as standard input", { skip: NO_SHELL }, () => {
  for (const line of ["interactive", "generate", "score", "tokenize"]) {
    test(`gpt2 ${line} < folder: one line, exit code 1`, async () => {
      const model = line === "tokenize" ? "" : '--model_name "$MICRO" ';
      const outcome = await shell(`gpt2 ${line} ${model}< "$MICRO"`);
      assertFails(outcome, 1, /cannot read standard input: it is a folder/);
    });
  }
});

describe("where files go", () => {
  test("$XDG_CACHE_HOME: downloads land there and are found there", {
    skip: process.platform !== "linux" && "Linux only",
  }, async () => {
    const server = await FileServer.start();
    try {
      for (const file of OPENAI_FILES) {
        server.files.set(`/own/${file}`, { body: await readFile(join(MICRO, file)), etag: '"1"' });
      }
      const [cwd, cache] = [join(TEMPORARY, "no models here"), join(TEMPORARY, "my cache")];
      await mkdir(cwd);
      const options = { cwd, env: { XDG_CACHE_HOME: cache } };
      assertDone(await gpt2(["download", "own", "--base_url", server.url], options));
      assert.ok((await stat(join(cache, "gpt2", "models", "own", "model.json"))).isFile());
      assertDone(await generate(["a", "--model_name", "own"], options));
      const path = await gpt2(["models", "path", "own"], options);
      assert.equal(path.stdout, `${join(cache, "gpt2", "models", "own")}\n`);
    } finally {
      await server.stop();
    }
  });

  test("%LOCALAPPDATA% on Windows, ~/Library/Caches on macOS", async () => {
    const script = `
      Object.defineProperty(process, "platform", { value: process.argv[2] });
      const { modelsDirs } = await import(process.argv[1]);
      process.stdout.write(modelsDirs()[0]);`;
    const store = pathToFileURL(join(ROOT, "dist/src/models/store.js")).href;
    const where = async (platform: string): Promise<string> => {
      const options = { cwd: TEMPORARY, env: { LOCALAPPDATA: join(TEMPORARY, "Local"), HOME: TEMPORARY } };
      const args = ["--input-type=module", "-e", script, store, platform];
      return (await start(process.execPath, args, options).ended).stdout;
    };
    await rm(join(TEMPORARY, "models"), { recursive: true, force: true });
    assert.equal(await where("win32"), join(TEMPORARY, "Local", "gpt2", "Cache", "models"));
    assert.equal(await where("darwin"), join(TEMPORARY, "Library", "Caches", "gpt2", "models"));
  });
});

describe("a models folder that is read-only", () => {
  const isRoot = process.getuid?.() === 0;
  /** Root may write anywhere, so as root the program runs as nobody where possible. */
  const asNobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
  const nobody = (args: readonly string[]): ReturnType<typeof spawnSync> =>
    spawnSync("setpriv", [...asNobody, ...args]);
  const reason =
    process.platform === "win32"
      ? "Windows has other rules"
      : isRoot && nobody([process.execPath, BIN, "--version"]).status !== 0
        ? "needs a user that is not root, or setpriv and a checkout that everyone may read"
        : false;

  test("running from it works; downloading and converting into it: one line with the next step", {
    skip: reason,
  }, async () => {
    const dir = join(TEMPORARY, "read only");
    await cp(MICRO, join(dir, "own"), { recursive: true });
    await chmod(TEMPORARY, 0o755);
    const run = (...args: string[]): Promise<Outcome> => {
      const command = [BIN, ...args, "--models_dir", dir];
      if (!isRoot) return start(process.execPath, command).ended;
      return start("setpriv", [...asNobody, process.execPath, ...command]).ended;
    };
    await chmod(join(dir, "own"), 0o555);
    await chmod(dir, 0o555);
    try {
      const outcome = await run("generate", "a", "--model_name", "own", ...ONE);
      assertDone(outcome);
      assert.equal(outcome.stdout, (await generate(micro("a"))).stdout);
      assertDone(await run("models"));
      const address = ["--base_url", "http://127.0.0.1:9"];
      assertFails(await run("download", "new", ...address), 1, /new: permission denied: .*--models_dir/);
      assertFails(await run("download", "own", ...address), 1, /own.*: permission denied: .*--models_dir/);
      assertFails(await run("convert", "own"), 1, /own.*: permission denied: .*--out FOLDER/);
      assertFails(await run("models", "rm", "own", "--yes"), 1, /own.*: permission denied/);
      assert.deepEqual((await readdir(join(dir, "own"))).sort(), (await readdir(MICRO)).sort());
    } finally {
      await chmod(dir, 0o755);
      await chmod(join(dir, "own"), 0o755);
    }
  });
});

test("nothing that goes through a pipe has colours or moves a cursor, whatever the environment says", async () => {
  const env = {
    FORCE_COLOR: "3",
    CLICOLOR_FORCE: "1",
    TERM: "xterm-256color",
    COLORTERM: "truecolor",
    DEBUG: "gpt2",
  };
  const folder = join(TEMPORARY, "colours");
  await cp(MICRO, folder, { recursive: true });
  const commands = [
    ["--help"],
    ["generate", "a", ...micro(...ONE)],
    ["generate", "--seed", "x"],
    ["convert", folder],
    ["models"],
    ["download", "own", "--base_url", "http://127.0.0.1:1", "--models_dir", TEMPORARY],
    ["score", join(MICRO, "vocab.bpe"), ...micro()],
  ];
  for (const args of commands) {
    const { stdout, stderr } = await gpt2(args, { env });
    assert.ok(
      !stdout.concat(stderr).includes("\x1b") && !stderr.includes("\r"),
      `gpt2 ${args.join(" ")}: ${JSON.stringify(stdout + stderr)}`,
    );
  }
});
