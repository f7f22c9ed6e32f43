import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, beforeEach, describe, test } from "node:test";
import type { DownloadEvent } from "../../dist/src/download/download.js";
import { type Fetched, type FetchOptions, fetchModel } from "../../dist/src/download/fetch.js";
import { cachedSnapshot } from "../../dist/src/download/hub-cache.js";
import { neededFiles } from "../../dist/src/download/hub-files.js";
import { findModelFolder, findStored, missingModel } from "../../dist/src/models/find.js";
import { loadFolder } from "../../dist/src/models/folder.js";
import { parseHubName, readHubRecord } from "../../dist/src/models/hub-name.js";
import { UserError } from "../../dist/src/system/errors.js";
import { FileServer } from "../support/file-server.js";
import {
  COMMIT,
  huggingFaceFiles,
  resolvePath,
  SAFETENSORS,
  serveRepository,
} from "../support/hub-server.js";
import { writeModel } from "../support/huggingface.js";
import { joinSafetensors, splitSafetensors } from "../support/safetensors.js";
import { assertDone, gpt2, ROOT, TEMPORARY } from "../support/spawn.js";
import { NO_TERMINAL, Terminal } from "../support/terminal.js";

const NAME = "someone/tiny";
const TOKEN = "hf_s3cretTokenOfATest";
const FILES = huggingFaceFiles();
const VARIABLES = ["HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_HUB_OFFLINE", "HF_HUB_CACHE"];

let hub: FileServer;
let storage: FileServer;
let models: string;
let home: string;
let events: DownloadEvent[] = [];

beforeEach(async () => {
  [hub, storage] = [await FileServer.start(), await FileServer.start()];
  models = await mkdtemp(join(TEMPORARY, "models "));
  home = await mkdtemp(join(TEMPORARY, "home "));
  for (const name of [...VARIABLES, "HUGGINGFACE_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN"])
    delete process.env[name];
  process.env["HF_ENDPOINT"] = `${hub.url}/`;
  process.env["HF_HOME"] = home;
  events = [];
});
afterEach(async () => {
  await hub.stop();
  await storage.stop();
});
after(() => {
  for (const name of VARIABLES) delete process.env[name];
});

/** Fetches a model into this test's folder. */
function fetch(name = NAME, options: Partial<FetchOptions> = {}): Promise<Fetched> {
  const onFile = (event: DownloadEvent): void => {
    events.push(event);
    if (event.type !== "progress") return;
    hub.received(event.file, event.bytes);
    storage.received(event.file, event.bytes);
  };
  return fetchModel(name, {
    models_dir: models,
    dtype: "float32",
    retries: 2,
    retryDelay: 1,
    timeouts: { headers: 2000, idle: 2000 },
    onFile,
    ...options,
  });
}

/** It must fail with one line that matches; nothing that looks like a model is there then. */
async function fails(download: Promise<unknown>, ...patterns: RegExp[]): Promise<UserError> {
  const error = await download.then(
    () => assert.fail("it did not fail"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof UserError, String(error));
  assert.doesNotMatch(error.message, new RegExp(`[\\n\\r]|undefined|${TOKEN}|s3cret`));
  for (const pattern of patterns) assert.match(error.message, pattern);
  for (const name of await readdir(models)) assert.ok(!existsSync(join(models, name, "model.json")), name);
  return error;
}

/** The folder holds the fixture's model, and nothing of the download. */
async function assertImported(folder: string): Promise<void> {
  const { engine, hparams } = await loadFolder(folder);
  await engine.dispose();
  assert.deepEqual([hparams.n_layer, hparams.n_ctx], [3, 64]);
  const names = (await readdir(folder)).sort();
  assert.deepEqual(
    names.filter((name) => !name.startsWith("group")),
    ["encoder.json", "hparams.json", "hub.json", "model.json", "tokens.json", "vocab.bpe"],
  );
}

const weightsPath = resolvePath(NAME, SAFETENSORS);
const asked = (server = hub): string[] => server.log.map(({ path }) => path);

/** Refusals of the hub, as its headers say them. */
const refused = (status: number, code = "") => ({
  kind: "status" as const,
  status,
  headers: { "x-error-code": code } as Record<string, string>,
});

describe("names of the hub", () => {
  test("USER/NAME, hf:NAME, the old single names, each with a revision; nothing else", () => {
    const cases: [string, string | undefined, string?][] = [
      ["distilbert/distilgpt2", "distilbert/distilgpt2", "main"],
      ["a/b.c-d@v1.0", "a/b.c-d", "v1.0"],
      ["a/b@refs/pr/3", "a/b", "refs/pr/3"],
      ["hf:anything", "anything", "main"],
      ["hf:a/b@dev", "a/b", "dev"],
      ["gpt2", "gpt2", "main"],
      ["gpt2-xl@x", "gpt2-xl", "x"],
      ["117M", undefined],
      ["mine", undefined],
      ["a/b/c", undefined],
      ["../b", undefined],
      ["/etc/passwd", undefined],
      ["~/models", undefined],
      ["a/..", undefined],
      ["a/b@../../c", undefined],
      ["a/b@", undefined],
      ["a/b?x", undefined],
      ["a--b/c", undefined],
      ["hf:", undefined],
    ];
    for (const [text, repository, revision] of cases) {
      assert.deepEqual(parseHubName(text), repository && { repository, revision }, text);
    }
  });

  test("one form of the weights is chosen, safetensors first; shards count only when all are there", () => {
    const small = ["config.json", "vocab.json", "README.md", "onnx/model.onnx", "tf_model.h5"];
    const weights = (...names: string[]) => neededFiles([...small, ...names])?.weights;
    assert.deepEqual(weights("model.safetensors", "pytorch_model.bin"), ["model.safetensors"]);
    assert.deepEqual(weights("pytorch_model.bin", "model.fp16.safetensors"), ["pytorch_model.bin"]);
    const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    const index = "model.safetensors.index.json";
    assert.deepEqual(weights(...shards, index, "pytorch_model.bin"), [index, ...shards]);
    assert.deepEqual(weights(shards[0], index, "pytorch_model.bin"), ["pytorch_model.bin"]);
    assert.equal(weights(), undefined);
    assert.deepEqual(neededFiles([...small, "model.safetensors"])?.small, ["config.json", "vocab.json"]);
    assert.equal(neededFiles(["model.safetensors"]), undefined);
  });
});

describe("a download from the hub that goes well", () => {
  test("only what is needed is fetched, imported, recorded; the second time nothing is", async () => {
    const extra = new Map([
      ...FILES,
      ["pytorch_model.bin", Buffer.alloc(99)],
      ["README.md", Buffer.from("hi")],
    ]);
    serveRepository(hub, { name: NAME, files: extra });
    const { folder, hub: record, written } = await fetch();
    assert.equal(folder, join(models, "tiny"));
    assert.deepEqual(record, { repository: NAME, revision: "main", commit: COMMIT });
    assert.equal(written?.tensors, 40);
    await assertImported(folder);
    assert.deepEqual(
      asked().sort(),
      [
        `/api/models/${NAME}/revision/main`,
        ...[...FILES.keys()].map((file) => resolvePath(NAME, file)),
      ].sort(),
    );
    assert.ok(hub.log.every(({ authorization }) => authorization === undefined));
    hub.clear();
    const again = await fetch();
    assert.equal(again.written, undefined);
    assert.deepEqual(asked(), [`/api/models/${NAME}/revision/main`]);
    for (const name of ["tiny", NAME, `hf:${NAME}`])
      assert.equal(findModelFolder(name, models), folder, name);
    assert.equal(findModelFolder("someone/other", models), undefined);
    assert.equal(findModelFolder(`${NAME}@v1`, models), undefined);
  });

  test("the token goes to the hub and to no other host; from HF_TOKEN, or the file of the hub's own programs", async () => {
    serveRepository(hub, { name: NAME, files: FILES, storage });
    await writeFile(join(home, "token"), `${TOKEN}\n`);
    await fetch();
    assert.ok(
      hub.log.length > 3 && hub.log.every(({ authorization }) => authorization === `Bearer ${TOKEN}`),
    );
    assert.equal(storage.log.length, 1);
    assert.equal(storage.log[0].authorization, undefined);
    await rm(join(models, "tiny"), { recursive: true });
    hub.log.length = 0;
    process.env["HF_TOKEN"] = ` ${TOKEN}2 `;
    await fetch();
    assert.ok(hub.log.every(({ authorization }) => authorization === `Bearer ${TOKEN}2`));
    assert.ok(storage.log.every(({ authorization }) => authorization === undefined));
  });

  test("a tokenizer of its own: vocab.txt, tokenizer.json of any kind", async () => {
    const folder = join(home, "theirs");
    writeModel(folder, { vocab_size: 640, n_positions: 8, n_embd: 4, n_layer: 1, n_head: 1 }, {});
    const model = new Map<string, Buffer>();
    for (const name of ["config.json", SAFETENSORS]) model.set(name, await readFile(join(folder, name)));
    for (const [fixture, name] of [
      ["vocab.txt", "vocab.txt"],
      ["unigram.json", "tokenizer.json"],
    ] as const) {
      const tokenizer = await readFile(join(ROOT, "test/fixtures/tokenizers", fixture));
      const files = new Map([...model, [name, tokenizer], ["spiece.model", Buffer.from("x")]]);
      serveRepository(hub, { name: `someone/${name}`, files });
      const { folder: imported } = await fetch(`someone/${name}`);
      assert.ok(existsSync(join(imported, "tokenizer.json")));
      assert.ok(!asked().some((path) => path.endsWith("spiece.model")));
    }
  });

  test("a renamed repository: it is said, recorded, and found under both names", async () => {
    serveRepository(hub, { name: "distilbert/distilgpt2", files: FILES });
    const to = "/api/models/distilbert/distilgpt2/revision/main?blobs=true";
    hub.fault("/api/models/distilgpt2/revision/main", { kind: "redirect", to }, 9);
    const { folder } = await fetch("distilgpt2");
    assert.equal(folder, join(models, "distilgpt2"));
    const warnings = events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
    assert.deepEqual(warnings, ["the hub calls it distilbert/distilgpt2 now"]);
    assert.equal(readHubRecord(folder)?.repository, "distilbert/distilgpt2");
    for (const name of ["distilgpt2", "distilbert/distilgpt2"])
      assert.equal(findModelFolder(name, models), folder);
    assert.equal((await fetch("distilbert/distilgpt2")).written, undefined);
    serveRepository(hub, { name: "new/name", files: FILES });
    hub.fault(
      "/api/models/old/name/revision/main",
      { kind: "redirect", to: to.replace("distilbert/distilgpt2", "new/name") },
      9,
    );
    const moved = (await fetch("old/name")).folder;
    assert.equal(findModelFolder("old/name", models), moved);
    assert.equal(findModelFolder("new/name", models), moved);
  });

  test("a revision, a second model of the same name, a name of OpenAI's", async () => {
    const other = "0".repeat(40);
    serveRepository(hub, { name: NAME, files: FILES });
    serveRepository(hub, { name: NAME, files: FILES, revision: "v1", commit: other });
    serveRepository(hub, { name: "another/tiny", files: FILES });
    serveRepository(hub, { name: "another/117M", files: FILES });
    const folders: string[] = [];
    for (const name of [NAME, `${NAME}@v1`, "another/tiny", "another/117M"])
      folders.push((await fetch(name)).folder);
    assert.deepEqual(
      folders.map((folder) => folder.slice(models.length + 1)),
      ["tiny", "tiny@v1", "another--tiny", "another--117M"],
    );
    assert.equal(readHubRecord(folders[1])?.commit, other);
    assert.equal(findModelFolder(`${NAME}@v1`, models), folders[1]);
    for (const place of ["mine", "x--mine"]) {
      await mkdir(join(models, place));
      await writeFile(join(models, place, "notes.txt"), "mine");
    }
    serveRepository(hub, { name: "x/mine", files: FILES });
    await assert.rejects(fetch("x/mine"), /already exist and hold another model/);
  });

  test("a newer commit replaces the older one", async () => {
    serveRepository(hub, { name: NAME, files: FILES });
    await fetch();
    const newer = "1".repeat(40);
    serveRepository(hub, { name: NAME, files: FILES, commit: newer });
    const { folder, written } = await fetch();
    assert.ok(written);
    assert.equal(readHubRecord(folder)?.commit, newer);
    await assertImported(folder);
  });

  test("20 shards and their list", async () => {
    const { header, data } = splitSafetensors(FILES.get(SAFETENSORS) as Buffer);
    const names = Object.keys(header).filter((name) => name !== "__metadata__");
    const files = new Map([...FILES].filter(([name]) => name !== SAFETENSORS));
    const weight_map: Record<string, string> = {};
    for (let shard = 0; shard < 20; shard++) {
      const file = `model-${String(shard + 1).padStart(5, "0")}-of-00020.safetensors`;
      const mine = names.filter((_, i) => i % 20 === shard);
      let at = 0;
      const parts: Buffer[] = [];
      const entries = mine.map((name) => {
        const entry = header[name] as { dtype: string; shape: number[]; data_offsets: [number, number] };
        const bytes = data.subarray(...entry.data_offsets);
        parts.push(Buffer.from(bytes));
        weight_map[name] = file;
        at += bytes.length;
        return [name, { ...entry, data_offsets: [at - bytes.length, at] }] as const;
      });
      files.set(file, Buffer.from(joinSafetensors(Object.fromEntries(entries), Buffer.concat(parts))));
    }
    files.set("model.safetensors.index.json", Buffer.from(JSON.stringify({ weight_map })));
    serveRepository(hub, { name: NAME, files, storage });
    await assertImported((await fetch()).folder);
    assert.equal(storage.log.length, 20);
  });

  test("PyTorch's file where there is no safetensors", async () => {
    const files = new Map([...FILES].filter(([name]) => name !== SAFETENSORS));
    files.set("pytorch_model.bin", await readFile(join(ROOT, "test/fixtures/huggingface/torch/zip.bin")));
    serveRepository(hub, { name: NAME, files });
    await assertImported((await fetch()).folder);
  });
});

describe("the hub's own cache, and no network", () => {
  async function cache(name: string): Promise<void> {
    const place = join(home, "hub", `models--${name.replaceAll("/", "--")}`);
    await mkdir(join(place, "blobs"), { recursive: true });
    await mkdir(join(place, "snapshots", COMMIT), { recursive: true });
    await mkdir(join(place, "refs"));
    await writeFile(join(place, "refs", "main"), COMMIT);
    for (const [file, body] of FILES) {
      await writeFile(join(place, "blobs", file), body);
      await symlink(join("..", "..", "blobs", file), join(place, "snapshots", COMMIT, file));
    }
  }

  test("a repository that is in the cache is read from there, without a request, and left as it is", async () => {
    await cache(NAME);
    const { folder, hub: record } = await fetch();
    assert.equal(hub.log.length, 0);
    assert.equal(record?.commit, COMMIT);
    await assertImported(folder);
    assert.equal((await readdir(join(home, "hub", "models--someone--tiny", "blobs"))).length, FILES.size);
    await cache("distilbert/distilgpt2");
    process.env["HF_HUB_OFFLINE"] = "1";
    assert.equal((await fetch("distilgpt2")).folder, join(models, "distilgpt2"));
    assert.equal((await fetch(`${NAME}@${COMMIT}`)).hub?.commit, COMMIT);
  });

  test("one that is not whole there is fetched; HF_HUB_OFFLINE says that it is not there", async () => {
    await cache(NAME);
    await rm(join(home, "hub", "models--someone--tiny", "blobs", SAFETENSORS));
    assert.equal(cachedSnapshot({ repository: NAME, revision: "main" }), undefined);
    process.env["HF_HUB_OFFLINE"] = "1";
    await fails(fetch(), /^someone\/tiny is not in the hub's cache .*HF_HUB_OFFLINE is set: unset it/);
    assert.equal(hub.log.length, 0);
    delete process.env["HF_HUB_OFFLINE"];
    serveRepository(hub, { name: NAME, files: FILES });
    await assertImported((await fetch()).folder);
    process.env["HF_HUB_OFFLINE"] = "1";
    assert.equal((await fetch()).written, undefined);
  });
});

describe("a hub that refuses", () => {
  const list = `/api/models/${NAME}/revision/main`;
  const config = resolvePath(NAME, "config.json");

  for (const [what, path, fault, token, pattern] of [
    [
      "gated, no token",
      config,
      refused(401, "GatedRepo"),
      "",
      /^someone\/tiny is gated: accept its conditions at http:\S+\/someone\/tiny, then set HF_TOKEN/,
    ],
    [
      "gated, another account",
      config,
      refused(403, "GatedRepo"),
      TOKEN,
      /is gated, and the account of the token from HF_TOKEN has no access: accept/,
    ],
    [
      "a token that is none",
      list,
      refused(401),
      TOKEN,
      /^the hub does not accept the token from HF_TOKEN: make a new one/,
    ],
    [
      "missing or private, no token",
      list,
      refused(401, "RepoNotFound"),
      "",
      /^the hub has no model someone\/tiny, or it is private: check the name; a private one needs HF_TOKEN$/,
    ],
    [
      "missing, with a token",
      list,
      refused(404, "RepoNotFound"),
      TOKEN,
      /^the hub has no model someone\/tiny, or it is private: check the name, and whose token/,
    ],
    [
      "no such revision",
      list,
      refused(404, "RevisionNotFound"),
      "",
      /^someone\/tiny has no revision main: see /,
    ],
    ["disabled", list, refused(403, "DisabledRepo"), "", /^the hub has disabled someone\/tiny/],
    [
      "500 for ever",
      list,
      refused(500),
      "",
      /^cannot ask the hub for someone\/tiny: http\S+: HTTP 500 .*: run the same command again later/,
    ],
  ] as const) {
    test(`${what}: one line, at once, and nothing is left`, async () => {
      serveRepository(hub, { name: NAME, files: FILES });
      hub.fault(path, fault, 99);
      if (token !== "") process.env["HF_TOKEN"] = token;
      await fails(fetch(), pattern);
      assert.equal(asked().filter((each) => each === path).length, fault.status === 500 ? 3 : 1);
      hub.clear();
      await assertImported((await fetch()).folder);
    });
  }

  test("429 with Retry-After, from the list and from a file: it waits and goes on", async () => {
    serveRepository(hub, { name: NAME, files: FILES });
    for (const path of [list, config]) {
      hub.fault(path, { kind: "status", status: 429, headers: { "retry-after": "0" } }, 2);
    }
    await assertImported((await fetch()).folder);
    assert.equal(events.filter(({ type }) => type === "retry").length, 4);
  });

  test("a list that is none, a repository without a model, a model that is no GPT-2", async () => {
    hub.files.set(list, { body: Buffer.from("<html>log in") });
    await fails(fetch(), /^cannot ask the hub .*the answer is not JSON/);
    hub.files.set(list, { body: Buffer.from("[]") });
    await fails(fetch(), /did not answer with the hub's list of a model's files/);
    const without = (...names: string[]) =>
      serveRepository(hub, { name: NAME, files: new Map(names.map((name) => [name, Buffer.from("{}")])) });
    without("config.json", "tf_model.h5");
    await fails(fetch(), /holds no model that can be read: it needs config\.json and model\.safetensors or/);
    without("tiny.Q4_0.gguf");
    await fails(fetch(), /has no model\.safetensors and no pytorch_model\.bin, but tiny\.Q4_0\.gguf/);
    without("config.json", "model.safetensors", "spiece.model");
    await fails(
      fetch(),
      /^someone\/tiny has no tokenizer but SentencePiece's spiece\.model, which cannot be read here: put a tokenizer/,
    );
    without("adapter_config.json", "adapter_model.safetensors");
    await fails(fetch(), /is an adapter, not a model/);
    serveRepository(hub, {
      name: NAME,
      files: new Map([...FILES, ["config.json", Buffer.from('{"model_type": "llama"}')]]),
    });
    await fails(fetch(), /^config\.json of someone\/tiny: model_type is "llama"/);
    assert.ok(!asked().includes(weightsPath), "its weights were fetched");
    assert.deepEqual(await readdir(models), []);
  });

  test("HF_ENDPOINT that is no address, a token that cannot be sent: a line without it", async () => {
    process.env["HF_ENDPOINT"] = "huggingface";
    await fails(fetch(), /^HF_ENDPOINT is not the address of a hub: set it/);
    process.env["HF_ENDPOINT"] = hub.url;
    process.env["HF_TOKEN"] = `${TOKEN}\nx`;
    await fails(fetch(), /^the token from HF_TOKEN has characters that tokens never have/);
    assert.equal(hub.log.length, 0);
  });
});

describe("a download from the hub that breaks", () => {
  test("cut, it goes on where it stopped, in this run and in the next", async () => {
    serveRepository(hub, { name: NAME, files: FILES, storage });
    storage.fault(`/blobs/${SAFETENSORS}`, { kind: "cut", after: 50_000 }, 3);
    await fails(
      fetch(),
      /cannot download model\.safetensors of someone\/tiny: .*the connection was cut: run the same/,
    );
    const [begun] = [findStored(NAME, models)];
    assert.equal(begun?.path, join(models, "tiny"));
    const size = (await stat(join(models, "tiny", ".hub", `${SAFETENSORS}.part`))).size;
    assert.equal(size, 150_000);
    storage.clear();
    await assertImported((await fetch()).folder);
    assert.deepEqual(
      storage.log.map(({ range }) => range),
      [`bytes=${size}-`],
    );
  });

  test("a wrong sha256 and a Git LFS pointer in place of the file are not taken", async () => {
    serveRepository(hub, { name: NAME, files: FILES });
    const served = hub.files.get(weightsPath);
    assert.ok(served);
    const right = served.body;
    served.body = Buffer.from(right.map((byte, i) => (i === right.length - 5 ? byte ^ 1 : byte)));
    await fails(fetch(), /model\.safetensors of someone\/tiny: .*its sha256 is not that of someone\/tiny/);
    served.body = Buffer.from("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 280371\n");
    await fails(fetch(), /the file has \d+ bytes there, not the 280371 of someone\/tiny/);
    served.body = right;
    await assertImported((await fetch()).folder);
  });

  test("begun at one commit and ended at another: no file of the first remains", async () => {
    serveRepository(hub, { name: NAME, files: FILES });
    hub.fault(weightsPath, refused(404), 9);
    await fails(
      fetch(),
      /^cannot download model\.safetensors of someone\/tiny: .*HTTP 404.*: run the same command again/,
    );
    const newer = "1".repeat(40);
    const config = Buffer.from(String(FILES.get("config.json")).replace("0.02", "0.03"));
    assert.equal(config.length, FILES.get("config.json")?.length);
    serveRepository(hub, { name: NAME, files: new Map([...FILES, ["config.json", config]]), commit: newer });
    hub.log.length = 0;
    const { folder } = await fetch();
    assert.equal(readHubRecord(folder)?.commit, newer);
    assert.ok(asked().includes(resolvePath(NAME, "config.json", newer)), "the old config.json was kept");
  });

  test("an abort is exit code 130 and keeps what came", async () => {
    serveRepository(hub, { name: NAME, files: FILES });
    hub.fault(weightsPath, { kind: "stall", after: 100_000 });
    const controller = new AbortController();
    const onFile = (event: DownloadEvent): void => {
      if (event.type === "progress" && event.bytes >= 100_000) controller.abort();
    };
    const error = await fails(
      fetch(NAME, { onFile, signal: controller.signal }),
      /the download of someone\/tiny was interrupted/,
    );
    assert.equal(error.exitCode, 130);
    const before = AbortSignal.abort();
    assert.equal((await fails(fetch("x/y", { signal: before }))).exitCode, 130);
    await assertImported((await fetch()).folder);
  });
});

describe("gpt2 with models of the hub", () => {
  const env = (): Record<string, string> => ({
    HF_ENDPOINT: hub.url,
    HF_HOME: home,
    HF_TOKEN: TOKEN,
    DEBUG: "gpt2",
  });

  test("download, list, use, remove", async () => {
    serveRepository(hub, { name: NAME, files: FILES, storage });
    const dir = ["--models_dir", models];
    const outcome = await gpt2(["download", NAME, ...dir], { env: env() });
    assertDone(outcome);
    assert.equal(outcome.stdout, "");
    assert.match(
      outcome.stderr,
      /tiny\/model\.json: 40 tensors, .* \(someone\/tiny at commit 2290a62682d0\)\n/,
    );
    assert.match(outcome.stderr, /\nuse it with --model_name tiny --models_dir /);
    const rows = await gpt2(["models", "--format", "jsonl", ...dir]);
    const [row] = rows.stdout.split("\n").map((line) => line && JSON.parse(line));
    assert.deepEqual(row.hub, { repository: NAME, revision: "main", commit: COMMIT });
    assert.match((await gpt2(["models", ...dir])).stdout, /hub +where\n[^\n]* someone\/tiny@2290a62682d0 /);
    assertDone(await gpt2(["generate", "a", "--model_name", NAME, "--length", "2", ...dir]));
    assertDone(await gpt2(["models", "rm", NAME, "--yes", ...dir]));
    assert.deepEqual(await readdir(models), []);
  });

  test("a begun download is listed as such, and removed whole", async () => {
    serveRepository(hub, { name: NAME, files: FILES });
    hub.fault(weightsPath, refused(403, "GatedRepo"), 9);
    const dir = ["--models_dir", models];
    const outcome = await gpt2(["download", NAME, ...dir], { env: env() });
    assert.equal(outcome.code, 1);
    assert.match(outcome.stderr, /^gpt2: someone\/tiny is gated/m);
    assert.doesNotMatch(outcome.stderr, /s3cret/);
    assert.match((await gpt2(["models", ...dir])).stdout, /\ntiny .* no .*someone\/tiny@2290a62682d0/);
    assertDone(await gpt2(["models", "rm", "tiny", "--yes", ...dir]));
    assert.deepEqual(await readdir(models), []);
  });

  test("a name of the hub that is not here: what to do; --base_url is not for it", async () => {
    assert.match(
      missingModel("a/b").message,
      /^a\/b is not a folder here: .*`gpt2 download a\/b` fetches it$/,
    );
    const outcome = await gpt2(["generate", "x", "--model_name", NAME], { env: env() });
    assert.equal(outcome.code, 1);
    assert.match(
      outcome.stderr,
      /^gpt2: someone\/tiny is not a folder here: .*`gpt2 download someone\/tiny`/,
    );
    const other = await gpt2(["download", NAME, "--base_url", hub.url], { env: env() });
    assert.equal(other.code, 2);
    assert.match(other.stderr, /--base_url is for OpenAI's files.*HF_ENDPOINT/);
  });

  test("interactive offers to fetch it", { skip: NO_TERMINAL }, async () => {
    serveRepository(hub, { name: NAME, files: FILES });
    const args = ["interactive", "--model_name", NAME, "--models_dir", models, "--length", "2"];
    const terminal = new Terminal(args, { env: env() });
    await terminal.shows(/The model someone\/tiny is not on this machine\. Download it now\? \[Y\/n\] $/);
    terminal.type("\r");
    await terminal.shows(/Model prompt >>> {1,2}$/);
    terminal.type("\x04");
    const { code, stdout } = await terminal.ends();
    assert.equal(code, 0, stdout);
    assert.doesNotMatch(stdout, /s3cret/);
    await cp(join(models, "tiny"), join(models, "copy"), { recursive: true });
    assert.ok(existsSync(join(models, "copy", "model.json")));
  });
});
