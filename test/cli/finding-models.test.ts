import assert from "node:assert/strict";
import { chmod, cp, mkdir, readdir, readFile, rm, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { OPENAI_FILES } from "../../dist/src/models/files.js";
import { FileServer } from "../support/file-server.js";
import {
  assertDone,
  assertFails,
  gpt2,
  MICRO,
  type Outcome,
  ROOT,
  type SpawnOptions,
  start,
  TEMPORARY,
} from "../support/spawn.js";

const OPTIONS = ["--seed", "4", "--length", "10"];
const generate = (args: readonly string[], options?: SpawnOptions): Promise<Outcome> =>
  gpt2(["generate", "a", ...OPTIONS, ...args], options);

/** What micro writes with these options. */
let wanted: string;
/** A models folder that holds micro under the name "own" and under one of OpenAI's. */
const MODELS = join(TEMPORARY, "models");
const IS_ROOT = process.getuid?.() === 0;

before(async () => {
  await cp(MICRO, join(MODELS, "own"), { recursive: true });
  await cp(MICRO, join(MODELS, "117M"), { recursive: true });
  const outcome = await generate(["--model_name", MICRO]);
  assertDone(outcome);
  wanted = outcome.stdout;
  assert.ok(wanted.length > 5);
});

async function assertWrites(outcome: Promise<Outcome>, text = wanted): Promise<void> {
  assertDone(await outcome);
  assert.equal((await outcome).stdout, text);
}

describe("where models are found", { concurrency: 2 }, () => {
  test("--models_dir, $GPT2_MODELS_DIR, the first before the second", async () => {
    const env = { GPT2_MODELS_DIR: MODELS };
    await assertWrites(generate(["--model_name", "own", "--models_dir", MODELS]));
    await assertWrites(generate(["--model_name", "own"], { env }));
    const other = await generate(["--model_name", "own", "--models_dir", TEMPORARY], { env });
    assertFails(other, 2, /unknown model "own"/);
  });

  test("`~` and $VAR, with and without braces, in --models_dir and in a model's path", async () => {
    const env = { HOME: TEMPORARY, USERPROFILE: TEMPORARY, WHERE: TEMPORARY };
    for (const dir of ["~/models", "$WHERE/models", "$" + "{WHERE}/models"]) {
      await assertWrites(generate(["--model_name", "own", "--models_dir", dir], { env }));
    }
    await assertWrites(generate(["--model_name", "~/models/own"], { env }));
    await assertWrites(generate(["--model_name", "own"], { env: { ...env, GPT2_MODELS_DIR: "~/models" } }));
  });

  test("./models of the working directory, and the user's cache folder", async () => {
    await assertWrites(generate(["--model_name", "own"], { cwd: TEMPORARY }));
    const cwd = join(TEMPORARY, "empty");
    await mkdir(cwd);
    if (process.platform !== "linux") return; // elsewhere the folder has another name
    const cache = join(TEMPORARY, "cache");
    await cp(MODELS, join(cache, "gpt2", "models"), { recursive: true });
    await assertWrites(generate(["--model_name", "own"], { cwd, env: { XDG_CACHE_HOME: cache } }));
  });

  test("124M is found under the name 117M, and the other way round", async () => {
    await assertWrites(generate(["--model_name", "124M", "--models_dir", MODELS]));
    const newer = join(TEMPORARY, "newer");
    await cp(MICRO, join(newer, "124M"), { recursive: true });
    await assertWrites(gpt2(["generate", "a", ...OPTIONS, "--models_dir", newer])); // 117M is the default
  });

  test("a path relative to the working directory, with spaces and Unicode, a link, a closing slash", async () => {
    const name = "mödel – 東京 'x' & $y";
    await cp(MICRO, join(MODELS, name), { recursive: true });
    await assertWrites(generate(["--model_name", `./${name}`], { cwd: MODELS }));
    await assertWrites(generate(["--model_name", `${join(MODELS, name)}/`]));
    await assertWrites(generate(["--model_name", name, "--models_dir", MODELS]));
    if (process.platform === "win32") return;
    await symlink(join(MODELS, "own"), join(TEMPORARY, "link"));
    await assertWrites(generate(["--model_name", "./link"], { cwd: TEMPORARY }));
  });

  test("the demo model is found from any folder, whatever --models_dir says", async () => {
    const cwd = join(TEMPORARY, "elsewhere");
    await mkdir(cwd);
    const args = ["generate", "ROMEO:", "--model_name", "shakespeare", "--seed", "1", "--length", "20"];
    const [plain, given] = await Promise.all([
      gpt2(args, { cwd }),
      gpt2([...args, "--models_dir", MODELS], { cwd }),
    ]);
    assertDone(plain);
    assert.match(plain.stdout, /^ROMEO:\n?[A-Za-z ,.;:'?!\n-]{20,}$/);
    assert.equal(given.stdout, plain.stdout);
  });

  test("a read-only models folder: it works, and nothing is written there", async () => {
    const folder = join(TEMPORARY, "read-only", "own");
    await cp(MICRO, folder, { recursive: true });
    const before = await readdir(folder);
    await chmod(folder, 0o555);
    try {
      await assertWrites(generate(["--model_name", folder]));
      if (!IS_ROOT && process.platform !== "win32") {
        assertFails(await gpt2(["convert", folder]), 1, /permission denied/);
      }
    } finally {
      await chmod(folder, 0o755);
    }
    assert.deepEqual(await readdir(folder), before);
  });
});

describe("gpt2 convert", { concurrency: 2 }, () => {
  async function copyOfMicro(name: string): Promise<string> {
    const folder = join(TEMPORARY, "convert", name);
    await cp(MICRO, folder, { recursive: true });
    return folder;
  }
  const SHARD = "group1-shard1of1.bin";

  /** Removes the checkpoint, so that only the converted weights can be loaded. */
  async function removeCheckpoint(folder: string): Promise<void> {
    for (const file of await readdir(folder)) {
      if (/ckpt|^checkpoint$/.test(file)) await rm(join(folder, file));
    }
  }

  test("the converted model writes the same text; stdout stays empty", async () => {
    const folder = await copyOfMicro("plain");
    const outcome = await gpt2(["convert", folder]);
    assertDone(outcome);
    assert.equal(outcome.stdout, "");
    assert.match(outcome.stderr, /^\S+model\.json: 40 tensors, 53024 parameters, 212\.1 kB in float32\n$/);
    await removeCheckpoint(folder);
    await assertWrites(generate(["--model_name", folder]));
  });

  test("--dtype float16 halves the size; the likeliest tokens stay", async () => {
    const folder = await copyOfMicro("half");
    assertDone(await gpt2(["convert", folder, "--dtype", "float16"]));
    assert.equal((await stat(join(folder, SHARD))).size, 2 * 53024);
    await removeCheckpoint(folder);
    const greedy = ["generate", "a", "--temperature", "0", "--length", "5", "--model_name"];
    await assertWrites(gpt2([...greedy, folder]), (await gpt2([...greedy, MICRO])).stdout);
  });

  test("--out writes a whole model elsewhere and leaves the checkpoint's folder alone", async () => {
    const folder = await copyOfMicro("from");
    const before = await readdir(folder);
    const out = join(TEMPORARY, "convert", "a new folder");
    assertDone(await gpt2(["convert", folder, "--out", out]));
    assert.deepEqual(await readdir(folder), before);
    await assertWrites(generate(["--model_name", out]));
  });

  test("by a model's name; through scripts/convert_checkpoint; twice", async () => {
    await copyOfMicro("named");
    const dir = join(TEMPORARY, "convert");
    const script = join(ROOT, "dist", "scripts", "convert_checkpoint.js");
    const run = (): Promise<Outcome> => start(process.execPath, [script, "named", "--models_dir", dir]).ended;
    assertDone(await run());
    const first = await readFile(join(dir, "named", SHARD));
    assertDone(await run());
    assert.ok(first.equals(await readFile(join(dir, "named", SHARD))));
    await assertWrites(generate(["--model_name", join(dir, "named")]));
  });

  test("no checkpoint, a damaged one: one line, exit code 1, nothing changed", async () => {
    assertFails(await gpt2(["convert", TEMPORARY]), 1, /cannot read|checkpoint/);
    assertFails(await gpt2(["convert", "shakespeare"]), 1, /shakespeare holds no TensorFlow checkpoint/);
    assertFails(await gpt2(["convert", join(TEMPORARY, "gone")]), 1, /gone/);
    const folder = await copyOfMicro("damaged");
    await rm(join(folder, "model.ckpt.data-00000-of-00001"));
    const before = await readdir(folder);
    assertFails(await gpt2(["convert", folder]), 1, /model\.ckpt\.data-00000-of-00001/);
    assert.deepEqual(await readdir(folder), before);
  });
});

describe("gpt2 download", { concurrency: 2 }, () => {
  let server: FileServer;
  const dir = join(TEMPORARY, "downloads");

  before(async () => {
    server = await FileServer.start();
    for (const name of ["own", "second", "third", "altered", "missing"]) {
      for (const file of OPENAI_FILES) {
        server.files.set(`/base/${name}/${file}`, { body: await readFile(join(MICRO, file)), etag: '"1"' });
      }
    }
    server.files.delete("/base/missing/encoder.json");
    const data = "/base/altered/model.ckpt.data-00000-of-00001";
    const body = Buffer.from(server.files.get(data)?.body ?? "");
    body[99_999] ^= 4;
    server.files.set(data, { body });
  });
  after(() => server.stop());

  const download = (name: string, rest: string[], env: Record<string, string> = {}): Promise<Outcome> =>
    gpt2(["download", name, "--models_dir", dir, ...rest], { env });

  test("--base_url: seven files, converted, and the model writes", async () => {
    const outcome = await download("own", ["--base_url", `${server.url}/base`]);
    assertDone(outcome);
    assert.equal(outcome.stdout, "");
    for (const file of OPENAI_FILES) assert.match(outcome.stderr, new RegExp(`^${file}: [\\d.]+ k?B$`, "m"));
    assert.match(outcome.stderr, /model\.json: 40 tensors, 53024 parameters/);
    assert.ok(
      !outcome.stderr.includes("\x1b") && !outcome.stderr.includes("\r"),
      "escape codes without a terminal",
    );
    await assertWrites(generate(["--model_name", "own", "--models_dir", dir]));
    const again = await download("own", ["--base_url", `${server.url}/base`]);
    assertDone(again);
    assert.match(again.stderr, /own is complete\n$/);
  });

  test("$GPT2_BASE_URL, --dtype float16, scripts/download_model", async () => {
    const env = { GPT2_BASE_URL: `${server.url}/base/` };
    assertDone(await download("second", ["--dtype", "float16"], env));
    assert.equal((await stat(join(dir, "second", "group1-shard1of1.bin"))).size, 2 * 53024);
    const script = join(ROOT, "dist", "scripts", "download_model.js");
    const outcome = await start(process.execPath, [script, "third", "--models_dir", dir], { env }).ended;
    assertDone(outcome);
    await assertWrites(generate(["--model_name", "third", "--models_dir", dir]));
  });

  /** The files in a model's folder; none if it does not exist. */
  const left = (name: string): Promise<string[]> => readdir(join(dir, name)).catch(() => []);
  /** The last line says what failed; the lines before it are about files that arrived. */
  function assertFailed(outcome: Outcome, pattern: RegExp): void {
    assert.equal(outcome.code, 1, outcome.stderr);
    const lines = outcome.stderr.split("\n").slice(0, -1);
    assert.match(lines.at(-1) ?? "", /^gpt2: /);
    assert.match(lines.at(-1) ?? "", pattern);
    assert.equal(lines.filter((line) => line.startsWith("gpt2: ")).length, 1);
    assert.doesNotMatch(outcome.stderr, /^ +at |undefined|\[object/m);
    assert.equal(outcome.stdout, "");
  }

  test("404: one line, exit code 1, nothing that could be loaded is left", async () => {
    assertFailed(await download("missing", ["--base_url", `${server.url}/base`]), /encoder\.json.*404/);
    assert.ok(!(await left("missing")).some((file) => /^(encoder\.json|model\.json)$/.test(file)));
    assertFailed(await download("nowhere", ["--base_url", `${server.url}/base`]), /404/);
    assert.deepEqual(
      (await left("nowhere")).filter((file) => !file.endsWith(".part")),
      [],
    );
    const outcome = await generate(["--model_name", "missing", "--models_dir", dir]);
    assertFails(outcome, 2, /unknown model "missing"/);
  });

  test("altered on the way: the tensors' checksums find it when it is converted", async () => {
    const outcome = await download("altered", ["--base_url", `${server.url}/base`]);
    assertFailed(outcome, /model\.ckpt\.data-00000-of-00001|model\//);
    assert.ok(!(await left("altered")).includes("model.json"));
    const loaded = await generate(["--model_name", "altered", "--models_dir", dir]);
    assert.equal(loaded.code, 1, "numbers from a damaged file");
  });

  test("nobody answers: one line, exit code 1", async () => {
    const gone = await FileServer.start();
    await gone.stop();
    const outcome = await download("gone", ["--base_url", gone.url]);
    assertFailed(outcome, /127\.0\.0\.1|connect/);
    assert.deepEqual(await left("gone"), []);
  });

  test("an address that is none: exit code 2", async () => {
    assertFails(await download("own", ["--base_url", "not an address"]), 2, /not an address/);
  });

  test("a demo model needs no download", async () => {
    for (const name of ["stories", "shakespeare"]) {
      assertFails(await download(name, []), 1, new RegExp(`${name} comes with gpt2.*--model_name ${name}`));
    }
  });
});
