import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { type DownloadEvent, type DownloadOptions, downloadModel } from "../../dist/src/download/download.js";
import { sourcesOf } from "../../dist/src/download/hosts.js";
import { parseRetryAfter } from "../../dist/src/download/http.js";
import { type Catalog, canonicalName, MODELS } from "../../dist/src/models/catalog.js";
import { OPENAI_FILES } from "../../dist/src/models/files.js";
import { UsageError, UserError } from "../../dist/src/system/errors.js";
import { type Fault, FileServer } from "../support/file-server.js";

const DATA = "model.ckpt.data-00000-of-00001";
const MB = 1 << 20;

/** Reproducible bytes without repetitions. */
function bytesOf(seed: string, size: number): Buffer {
  const key = createHash("md5").update(seed).digest();
  return createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** The files of a model that is not OpenAI's. */
function modelOf(seed: string, dataSize = 400_000): Record<string, Buffer> {
  return Object.fromEntries(
    OPENAI_FILES.map((file) => [file, bytesOf(`${seed} ${file}`, file === DATA ? dataSize : 900)]),
  );
}

const FILES = modelOf("first");

let server: FileServer;
let second: FileServer;
let temporary: string;
let folder: string;
let count = 0;

/** A catalog whose model "117M" is FILES and lies on both servers. */
function catalogOf(hosts = [server.url, second.url]): Catalog {
  const files = Object.fromEntries(
    Object.entries(FILES).map(([file, body]) => [file, { bytes: body.length, sha256: sha256(body) }]),
  );
  return { models: [{ name: "117M", alias: "124M", remoteName: "124M", parameters: 1, files }], hosts };
}

function serve(on: FileServer, name: string, files: Record<string, Buffer>, etag = true): void {
  for (const [file, body] of Object.entries(files)) {
    on.files.set(`/${name}/${file}`, { body, etag: etag ? `"${sha256(body).slice(0, 12)}"` : undefined });
  }
}

const QUICK: DownloadOptions = { retries: 2, retryDelay: 5, timeouts: { headers: 400, idle: 300 } };

/** QUICK and the test's options; both servers learn what has arrived. */
function quick(options: DownloadOptions): DownloadOptions {
  const onFile = (event: DownloadEvent): void => {
    options.onFile?.(event);
    if (event.type !== "progress") return;
    server.received(event.file, event.bytes);
    second.received(event.file, event.bytes);
  };
  return { ...QUICK, ...options, onFile };
}

/** Downloads the model "own" from the first server. */
function own(options: DownloadOptions = {}) {
  return downloadModel("own", folder, { baseUrl: server.url, ...quick(options) });
}

/** Downloads "117M" of the test's catalog. */
function known(options: DownloadOptions = {}) {
  return downloadModel("117M", folder, { catalog: catalogOf(), ...quick(options) });
}

async function assertComplete(files = FILES): Promise<void> {
  for (const [file, body] of Object.entries(files)) {
    assert.ok(body.equals(await readFile(join(folder, file))), `${file} is not what the server has`);
  }
  assert.deepEqual(
    (await readdir(folder)).sort(),
    Object.keys(files).sort(),
    "something else is in the folder",
  );
}

/** The download must fail with one clear line and leave no bad file under a final name. */
async function assertFails(download: Promise<unknown>, ...patterns: RegExp[]): Promise<UserError> {
  let caught: unknown;
  try {
    await download;
  } catch (error) {
    caught = error;
  }
  assert.ok(caught instanceof UserError, `no UserError but ${String(caught)}`);
  assert.doesNotMatch(caught.message, /[\n\r]|undefined|\[object/);
  for (const pattern of patterns) assert.match(caught.message, pattern);
  for (const file of existsSync(folder) ? await readdir(folder) : []) {
    if (/\.part(\.json)?$/.test(file)) continue;
    assert.ok(FILES[file], `${file} was left behind`);
    assert.ok(FILES[file].equals(await readFile(join(folder, file))), `a bad ${file} under its good name`);
  }
  return caught;
}

const ranges = (): (string | undefined)[] =>
  server.log.filter(({ path }) => path.endsWith(DATA)).map(({ range }) => range);
const statuses = (): number[] =>
  server.log.filter(({ path }) => path.endsWith(DATA)).map(({ status }) => status);
const dataPart = (): string => join(folder, `${DATA}.part`);

before(async () => {
  temporary = await mkdtemp(join(tmpdir(), "gpt2-download-"));
});
after(() => rm(temporary, { recursive: true, force: true }));
beforeEach(async () => {
  [server, second] = [await FileServer.start(), await FileServer.start()];
  folder = join(temporary, `model ${count++}`);
  serve(server, "own", FILES);
  serve(server, "124M", FILES);
  serve(second, "124M", FILES, false);
});
afterEach(async () => {
  await server.stop();
  await second.stop();
});

describe("catalog", () => {
  test("names, aliases and addresses", () => {
    assert.deepEqual(["117M", "124M", "345M", "355M", "774M", "1558M", "own"].map(canonicalName), [
      "117M",
      "117M",
      "345M",
      "345M",
      "774M",
      "1558M",
      undefined,
    ]);
    assert.equal(
      sourcesOf("117M", undefined)[0].href,
      "https://openaipublic.blob.core.windows.net/gpt-2/models/124M",
    );
    assert.deepEqual(sourcesOf("own", "http://x.org/a/?sig=1").map(String), ["http://x.org/a/own?sig=1"]);
    for (const { parameters, files } of MODELS) {
      assert.equal(files[DATA]?.bytes, 4 * parameters, "the data file is the parameters in float32");
    }
  });

  test("names and addresses that will not do are a usage error", async () => {
    const bad = ["", ".", "..", "../own", "a/b", "a\\b", ".hidden", "-x", "a..", "a\u0000b", "ä", "C:"];
    for (const name of bad) assert.throws(() => sourcesOf(name, "http://x.org"), UsageError, name);
    for (const url of ["", "x", "ftp://x.org", "file:///etc", "http://me:secret@x.org"]) {
      assert.throws(
        () => sourcesOf("own", url),
        (error: unknown) => {
          assert.ok(error instanceof UsageError, "another class of error");
          return !error.message.includes("secret");
        },
      );
    }
    await assert.rejects(downloadModel("own", folder), /not one of OpenAI's models.*117M \(= 124M\)/);
    assert.equal(existsSync(folder), false);
  });
});

describe("a download that goes well", () => {
  test("fetches all files, says so, and skips them the second time", async () => {
    const events: DownloadEvent[] = [];
    const result = await own({ onFile: (event) => events.push(event) });
    await assertComplete();
    assert.deepEqual(
      result.files.map(({ file, skipped }) => [file, skipped]),
      OPENAI_FILES.map((f) => [f, false]),
    );
    assert.equal(result.bytes, 400_000 + 6 * 900);
    const ofData = events.filter(({ file }) => file === DATA);
    assert.deepEqual([ofData[0].type, ofData.at(-1)?.type], ["start", "done"]);
    assert.ok(
      ofData[0].type === "start" && ofData[0].total === 400_000 && ofData[0].resumedAt === 0,
      "wrong start event",
    );
    const seen = ofData.flatMap((event) => (event.type === "progress" ? [event.bytes] : []));
    assert.equal(
      seen.length > 1 && seen.every((n, i) => i === 0 || n > seen[i - 1]) && seen.at(-1) === 400_000,
      true,
    );
    assert.equal(
      server.log.every(({ acceptEncoding }) => acceptEncoding === "identity"),
      true,
    );
    const again = await own();
    assert.equal(again.bytes === 0 && again.files.every(({ skipped }) => skipped), true);
    await assertComplete();
  });

  test("files of the catalog are skipped without asking any host", async () => {
    await known();
    server.clear();
    const { bytes } = await known();
    assert.equal(bytes, 0);
    assert.equal(server.log.length, 0);
    await assertComplete();
  });

  test("a model that was trained on has the same sizes: it is fetched again when the host's is newer", async () => {
    await own();
    const later = modelOf("later");
    serve(server, "own", later);
    for (const served of server.files.values())
      served.lastModified = new Date(Date.now() + 9e6).toUTCString();
    await own();
    await assertComplete(later);
  });

  test("a redirect is followed, with the range", async () => {
    server.files.set("/elsewhere", { body: FILES[DATA], etag: '"x"' });
    server.fault(`/own/${DATA}`, { kind: "redirect", to: "/elsewhere" }, 9);
    server.fault("/elsewhere", { kind: "cut", after: 1000 });
    await own();
    await assertComplete();
    assert.deepEqual(
      server.log.filter(({ path }) => path === "/elsewhere").map(({ range }) => range !== undefined),
      [false, true],
    );
  });

  test("one's own copy may use the old folder name", async () => {
    for (const [path, file] of [...server.files]) server.files.set(path.replace("/124M/", "/117M/"), file);
    for (const file of OPENAI_FILES) server.files.delete(`/124M/${file}`);
    await known({ baseUrl: server.url });
    await assertComplete();
  });

  test("a host without model.ckpt.meta will do, with a warning", async () => {
    server.files.delete("/own/model.ckpt.meta");
    const events: DownloadEvent[] = [];
    const { files } = await own({ onFile: (event) => events.push(event) });
    assert.equal(files.length, 6);
    assert.deepEqual(
      events.filter(({ type }) => type === "warning").map(({ file }) => file),
      ["model.ckpt.meta"],
    );
  });

  test("a chunked answer without Content-Length is taken, one that ends with the connection is not", async () => {
    server.fault("/own/hparams.json", { kind: "chunked", body: FILES["hparams.json"] });
    server.fault("/own/vocab.bpe", { kind: "chunked", body: FILES["vocab.bpe"], close: true }, 9);
    await assertFails(own(), /vocab\.bpe.*no Content-Length/);
    server.clear();
    await own();
    await assertComplete();
  });

  test("a chunked answer that does not end is cut where no such file goes on", async () => {
    server.fault("/own/hparams.json", { kind: "chunked", body: Buffer.alloc((1 << 20) + 1, " ") }, 9);
    await assertFails(own(), /hparams\.json: more than the 1048576 bytes that the file may have/);
    server.clear();
    server.fault("/own/hparams.json", { kind: "headers", headers: { "content-length": "1048577" } }, 9);
    await assertFails(own(), /the host announces 1048577 bytes, and such a file has at most 1048576/);
    server.clear();
  });
});

describe("a download that is cut", () => {
  test("goes on where it stopped, again and again", async () => {
    for (const after of [100_000, 70_000]) server.fault(`/own/${DATA}`, { kind: "cut", after });
    const reasons: string[] = [];
    await own({ onFile: (event) => event.type === "retry" && reasons.push(event.reason) });
    await assertComplete();
    assert.deepEqual(ranges(), [undefined, "bytes=100000-", "bytes=170000-"]);
    assert.deepEqual(statuses(), [200, 206, 206]);
    assert.equal(reasons.length === 2 && reasons.every((reason) => /connection was cut/.test(reason)), true);
  });

  test("keeps what came for the next run when the retries are used up", async () => {
    server.fault(`/own/${DATA}`, { kind: "cut", after: 100_000 }, 3);
    await assertFails(own(), new RegExp(`own/${DATA}: the connection was cut: run the same command again`));
    assert.equal(FILES[DATA].subarray(0, 300_000).equals(await readFile(dataPart())), true);
    server.clear();
    const starts: number[] = [];
    const result = await own({
      onFile: (e) => e.type === "start" && e.file === DATA && starts.push(e.resumedAt),
    });
    await assertComplete();
    assert.deepEqual([starts, ranges()], [[300_000], ["bytes=300000-"]]);
    assert.equal(server.log.find(({ range }) => range)?.ifRange, server.files.get(`/own/${DATA}`)?.etag);
    assert.equal(result.bytes, 100_000 + 3 * 900);
  });

  test("forgets failures after progress, so that a long download may be cut many times", async () => {
    const long = modelOf("long", 4 * MB);
    serve(server, "own", long);
    server.fault(`/own/${DATA}`, { kind: "cut", after: MB + 1 }, 3);
    await own({ retries: 1 });
    await assertComplete(long);
    assert.equal(ranges().length, 4);
  });

  test("is bounded when the host never gets further", async () => {
    server.fault(`/own/${DATA}`, { kind: "cut", after: 0 }, 99);
    await assertFails(own(), /connection was cut/);
    assert.equal(ranges().length, 3);
  });

  for (const [what, change] of [
    ["entity tag", (path: string) => serve(server, path, modelOf("changed"))],
    [
      "entity tag, at a host that does not know If-Range",
      (path: string) => {
        serve(server, path, modelOf("changed"));
        server.fault(`/${path}/${DATA}`, { kind: "ignore-if-range" });
      },
    ],
    ["size", (path: string) => serve(server, path, modelOf("changed", 350_000))],
  ] as const) {
    test(`starts over when the file has another ${what} by now`, async () => {
      server.fault(`/own/${DATA}`, { kind: "cut", after: 300_000 }, 1);
      await assertFails(own({ retries: 0 }));
      server.clear();
      change("own");
      await own();
      const now = server.files.get(`/own/${DATA}`)?.body;
      assert.equal(now?.equals(await readFile(join(folder, DATA))), true);
      assert.equal(ranges()[0], "bytes=300000-");
    });
  }

  test("starts over when the host ignores Range", async () => {
    server.fault(`/own/${DATA}`, { kind: "cut", after: 300_000 });
    server.fault(`/own/${DATA}`, { kind: "ignore-range" });
    const progress: number[] = [];
    await own({ onFile: (e) => e.type === "progress" && e.file === DATA && progress.push(e.bytes) });
    await assertComplete();
    assert.deepEqual(statuses(), [200, 200]);
    assert.ok(progress.includes(0), "progress did not go back to 0");
  });

  test("starts over once when the host has no such range (416)", async () => {
    server.fault(`/own/${DATA}`, { kind: "cut", after: 300_000 });
    server.fault(`/own/${DATA}`, { kind: "status", status: 416 });
    await own();
    await assertComplete();
    assert.deepEqual(ranges(), [undefined, "bytes=300000-", undefined]);
    server.fault("/own/hparams.json", { kind: "status", status: 416 }, 99);
    await rm(join(folder, "hparams.json"));
    server.log.length = 0;
    await assertFails(own(), /HTTP 416/);
    assert.equal(server.log.filter(({ path }) => path.endsWith("hparams.json")).length, 1);
  });

  test("without an entity tag or date, only a sha256 allows to go on", async () => {
    serve(server, "own", FILES, false);
    server.fault(`/own/${DATA}`, { kind: "cut", after: 300_000 });
    await own();
    await assertComplete();
    assert.deepEqual(ranges(), [undefined, undefined]);
    await rm(folder, { recursive: true });
    serve(server, "124M", FILES, false);
    server.clear();
    server.fault(`/124M/${DATA}`, { kind: "cut", after: 300_000 });
    await known();
    await assertComplete();
    assert.deepEqual(ranges(), [undefined, "bytes=300000-"]);
  });

  test("goes on from the mirror with what the first host sent", async () => {
    server.fault(`/124M/${DATA}`, { kind: "cut", after: 100_000 });
    server.fault(`/124M/${DATA}`, { kind: "status", status: 503 }, 99);
    await known();
    await assertComplete();
    assert.deepEqual(
      second.log.map(({ path, range }) => [path, range]),
      [
        [`/124M/${DATA}`, "bytes=100000-"],
        ["/124M/model.ckpt.index", undefined],
        ["/124M/model.ckpt.meta", undefined],
        ["/124M/vocab.bpe", undefined],
      ],
    );
  });

  test("a part with wrong bytes, too many bytes, or all of them", async () => {
    await mkdir(folder);
    for (const part of [
      bytesOf("wrong", 200_000),
      bytesOf("wrong", 400_000),
      Buffer.concat([FILES[DATA], Buffer.from("more")]),
      FILES[DATA],
    ]) {
      await rm(join(folder, DATA), { force: true });
      await writeFile(dataPart(), part);
      server.clear();
      await known({ catalog: catalogOf([server.url]) });
      await assertComplete();
      if (part === FILES[DATA]) assert.deepEqual(ranges(), []);
    }
  });

  test("a complete part of unknown sha256 is vouched for by its last byte's entity tag", async () => {
    server.fault(`/own/${DATA}`, { kind: "cut", after: 399_000 });
    await assertFails(own({ retries: 0 }));
    await writeFile(dataPart(), FILES[DATA]);
    server.clear();
    await own();
    await assertComplete();
    assert.deepEqual(ranges(), ["bytes=399999-"]);
  });

  test("a note that was cut short is as good as none", async () => {
    server.fault(`/own/${DATA}`, { kind: "cut", after: 300_000 });
    await assertFails(own({ retries: 0 }));
    await truncate(`${dataPart()}.json`, 20);
    server.clear();
    await own();
    await assertComplete();
    assert.deepEqual(ranges(), [undefined]);
  });
});

describe("a host that does not do what it should", () => {
  test("wrong hash: the part is deleted, the next host asked, then one clear line", async () => {
    serve(server, "124M", modelOf("altered"));
    await known();
    await assertComplete();
    await rm(folder, { recursive: true });
    serve(second, "124M", modelOf("altered"));
    await assertFails(
      known(),
      /checkpoint of 117M: .*sha256 is not that of OpenAI's 117M.*name of its own.*; http/,
    );
    assert.ok(!existsSync(folder), "the empty folder was left behind");
    await assertFails(known({ baseUrl: server.url }), /sha256 is not that of OpenAI's 117M/);
  });

  test("wrong length: too short, too long, and never saved", async () => {
    for (const size of [399_999, 400_001]) {
      serve(server, "124M", { [DATA]: bytesOf("x", size) });
      serve(second, "124M", { [DATA]: bytesOf("x", size) });
      await assertFails(known(), new RegExp(`${size} bytes there, not the 400000 of OpenAI's 117M`));
    }
  });

  test("wrong length of a chunked answer, which says no length", async () => {
    const baseUrl = server.url;
    const short = FILES[DATA].subarray(0, 399_999);
    server.fault(`/124M/${DATA}`, { kind: "chunked", body: short }, 99);
    await assertFails(known({ baseUrl }), /ended after 399999 of 400000 bytes/);
    await rm(folder, { recursive: true });
    server.clear();
    const long = Buffer.concat([FILES[DATA], Buffer.from("x")]);
    server.fault(`/124M/${DATA}`, { kind: "chunked", body: long }, 99);
    await assertFails(known({ baseUrl }), /more than the 400000 bytes/);
    assert.ok(!existsSync(dataPart()), "the part was kept");
  });

  test("less and more than the Content-Length that it announces", async () => {
    const path = "/own/vocab.bpe";
    server.fault(path, { kind: "cut", after: 500 }, 99);
    server.files.get(path)!.etag = undefined;
    await assertFails(own(), /vocab\.bpe: the connection was cut/);
    server.clear();
    server.fault(path, { kind: "headers", headers: { "content-length": "0" } }, 99);
    await assertFails(own(), /an empty file/);
  });

  const html = "<!doctype html><h1>Log in to the hotel</h1>";
  const page = { "content-type": "text/html; charset=utf-8" };
  for (const [what, fault, pattern] of [
    ["404", { kind: "status", status: 404 }, /HTTP 404 \(Not Found\): check the name and base_url/],
    ["403 with a page", { kind: "status", status: 403, headers: page, body: html }, /HTTP 403 \(Forbidden\)/],
    ["200 with a page", { kind: "status", status: 200, headers: page, body: html }, /a web page instead/],
    ["500 for ever", { kind: "status", status: 500 }, /HTTP 500 \(Internal Server Error\)/],
    ["a compressed answer", { kind: "gzip" }, /compresses the file \("gzip"\)/],
    ["a stall before the headers", { kind: "stall", after: -1 }, /no answer for 0\.4 seconds/],
    ["a stall in the body", { kind: "stall", after: 100 }, /no data came for 0\.3 seconds/],
    ["a reset", { kind: "reset" }, /connection was (reset|cut)/],
    ["a redirect to itself", { kind: "redirect", to: "?again" }, /more than 10 redirects/],
    ["a redirect to nowhere", { kind: "redirect", to: "file:///etc/passwd" }, /leads nowhere/],
    ["a 206 nobody asked for", { kind: "status", status: 206, body: html }, /HTTP 206/],
  ] as [string, Fault, RegExp][]) {
    test(`${what}: one line, nothing saved`, async () => {
      server.fault("/own/encoder.json", fault, 99);
      await assertFails(
        own({ retries: 1 }),
        /^cannot download encoder\.json of own: http:\/\/127\.0\.0\.1:\d+\/own\/encoder\.json: /,
        pattern,
      );
      assert.equal(existsSync(join(folder, "encoder.json")), false);
      server.clear();
      await own();
      await assertComplete();
    });
  }

  test("500 and a stall, then good", async () => {
    server.fault("/own/encoder.json", { kind: "status", status: 500 });
    server.fault(`/own/${DATA}`, { kind: "stall", after: 100_000 });
    await own();
    await assertComplete();
    assert.deepEqual(ranges(), [undefined, "bytes=100000-"]);
  });

  test("429: waits as long as the host asks, up to a bound", async () => {
    assert.equal(parseRetryAfter("2"), 2000);
    assert.equal(parseRetryAfter("soon"), undefined);
    const inAMinute = parseRetryAfter(new Date(Date.now() + 60_000).toUTCString()) ?? 0;
    assert.equal(inAMinute > 58_000 && inAMinute <= 60_000, true);
    server.fault("/own/checkpoint", { kind: "status", status: 429, headers: { "retry-after": "3600" } });
    server.fault("/own/encoder.json", { kind: "status", status: 503, headers: { "retry-after": "0" } });
    const delays: number[] = [];
    await own({
      retryDelay: 77,
      maxRetryAfter: 50,
      onFile: (e) => e.type === "retry" && delays.push(e.delay),
    });
    await assertComplete();
    assert.deepEqual(delays, [50, 0]);
  });

  test("server gone: one retry, then the mirror; with no host left, one line", async () => {
    const gone = server.url;
    await server.stop();
    const delays: number[] = [];
    const onFile = (event: DownloadEvent): void => void (event.type === "retry" && delays.push(event.delay));
    await known({ catalog: catalogOf([gone, second.url]), onFile });
    await assertComplete();
    assert.deepEqual(delays, [5, 0]); // one retry, then the next host, and that one for all files
    await rm(folder, { recursive: true });
    await assertFails(known({ catalog: catalogOf([gone]) }), /refused: run the same command again/);
    await assertFails(known({ baseUrl: gone }), /refused: run the same command again/);
    assert.equal(existsSync(folder), false);
    server = await FileServer.start();
  });

  test("server gone in the middle of it", async () => {
    const { url } = server;
    server.fault(`/own/${DATA}`, { kind: "stall", after: 200_000 });
    const gone = (event: DownloadEvent): void => {
      if (event.type === "progress" && event.bytes >= 200_000) void server.stop();
    };
    await assertFails(own({ onFile: gone }), /refused/);
    server = await FileServer.start(Number(new URL(url).port));
    serve(server, "own", FILES);
    await own();
    await assertComplete();
    assert.deepEqual(ranges(), ["bytes=200000-"]);
  });

  test("a redirect from https to http is refused, a bad certificate named", async () => {
    const secure = await FileServer.start(0, "https");
    try {
      const from = { baseUrl: secure.url };
      await assertFails(own(from), /certificate is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT;/);
      assert.equal(secure.log.length, 0);
      secure.fault("/own/checkpoint", { kind: "redirect", to: "http://x.org/own/checkpoint" });
      process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
      await assertFails(
        own(from),
        /checkpoint: a redirect from https to http:\/\/x\.org\/own\/checkpoint, which/,
      );
      assert.equal(secure.log.length, 1);
    } finally {
      delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      await secure.stop();
    }
  });

  test("a port that fetch never asks is said at once", async () => {
    const events: DownloadEvent[] = [];
    await assertFails(
      downloadModel("own", folder, { baseUrl: "http://127.0.0.1:1", onFile: (event) => events.push(event) }),
      /127\.0\.0\.1:1\/own\/checkpoint: port 1 is blocked.*another port/,
    );
    assert.deepEqual(events, [], "it was tried again");
  });

  test("a query of the base_url goes along and is never shown", async () => {
    await assertFails(
      downloadModel("none", folder, { baseUrl: `${server.url}/?sig=secret`, ...QUICK }),
      /^[^?]*$/,
    );
    assert.equal(server.log.length, 1);
  });
});

describe("what is there already", () => {
  test("an error page under a good name is replaced, and only by a good file", async () => {
    const page = "<html>404</html>";
    await mkdir(folder);
    for (const file of ["encoder.json", DATA]) await writeFile(join(folder, file), page);
    server.fault("/124M/encoder.json", { kind: "status", status: 403 }, 99);
    await assert.rejects(known({ catalog: catalogOf([server.url]) }), UserError);
    assert.equal(await readFile(join(folder, "encoder.json"), "utf8"), page);
    server.clear();
    await known();
    await assertComplete();
    await writeFile(join(folder, DATA), page);
    await own();
    await assertComplete();
  });

  test("a file of the right size with wrong bytes is replaced", async () => {
    await known();
    await writeFile(join(folder, DATA), bytesOf("altered", 400_000));
    const { bytes } = await known();
    await assertComplete();
    assert.equal(bytes, 400_000);
  });

  test("where only the size is known, it decides", async () => {
    const [model] = catalogOf().models;
    const files = { [DATA]: { bytes: 400_000 } };
    const catalog: Catalog = { models: [{ ...model, files }], hosts: [server.url] };
    await mkdir(folder);
    await writeFile(join(folder, DATA), FILES[DATA].subarray(1));
    await known({ catalog });
    await assertComplete();
    server.clear();
    await known({ catalog });
    assert.deepEqual(ranges(), []);
    serve(server, "124M", { [DATA]: bytesOf("x", 400_001) });
    await rm(join(folder, DATA));
    await assertFails(known({ catalog }), /400001 bytes there, not the 400000/);
  });

  test("a folder in the file's place, a file in the folder's place", async () => {
    await mkdir(join(folder, "encoder.json"), { recursive: true });
    await assert.rejects(own(), /encoder\.json is in the way and is not a file/);
    const file = join(temporary, "a file");
    await writeFile(file, "mine");
    await assert.rejects(downloadModel("own", file, { baseUrl: server.url }), UserError);
    await assert.rejects(downloadModel("own", join(file, "below"), { baseUrl: server.url }), UserError);
    assert.equal(await readFile(file, "utf8"), "mine");
  });
});

describe("this side of the wire", () => {
  test("abort stops at once and keeps the part", async () => {
    server.fault(`/own/${DATA}`, { kind: "stall", after: 150_000 });
    const controller = new AbortController();
    const abort = (event: DownloadEvent): void => {
      if (event.type === "progress" && event.bytes >= 150_000) controller.abort();
    };
    const error = await assertFails(
      own({ signal: controller.signal, onFile: abort, timeouts: { idle: 60_000 } }),
      /download of own was interrupted: run the same command again/,
    );
    assert.equal(error.exitCode, 130);
    assert.equal((await stat(dataPart())).size, 150_000);
    server.clear();
    await own();
    await assertComplete();
    assert.deepEqual(ranges(), ["bytes=150000-"]);
    await assertFails(own({ signal: AbortSignal.abort() }), /interrupted/);
  });

  test("abort ends the wait before a retry", { timeout: 60_000 }, async () => {
    server.fault("/own/checkpoint", { kind: "status", status: 500 }, 99);
    const controller = new AbortController();
    const onFile = ({ type }: DownloadEvent): void => {
      if (type === "retry") queueMicrotask(() => controller.abort()); // the wait has begun by then
    };
    await assertFails(own({ signal: controller.signal, retryDelay: 600_000, onFile }), /interrupted/);
    assert.equal(existsSync(folder), false);
  });

  test("two at once: the second gets a clear line, the first a good model", async () => {
    server.fault(`/own/${DATA}`, { kind: "stall", after: 100_000 });
    const results = await Promise.allSettled([own(), own()]);
    const failed = results.filter((result) => result.status === "rejected");
    assert.equal(failed.length, 1);
    assert.ok(failed[0].reason instanceof UserError, "another class of error");
    assert.match(
      failed[0].reason.message,
      new RegExp(`another download is running in .* \\(process ${process.pid} on `),
    );
    await assertComplete();
  });

  test("a lock of a dead process or an old one is taken over, a fresh one of another machine is not", async () => {
    const lock = join(folder, ".download.lock");
    const dead = spawnSync(process.execPath, ["-e", ""]).pid;
    await mkdir(folder);
    await writeFile(lock, JSON.stringify({ pid: dead, host: hostname() }));
    await own();
    await assertComplete();
    // In a restarted container, a new process may have the number of the killed one.
    await writeFile(lock, JSON.stringify({ pid: process.pid, host: hostname() }));
    await own();
    await assertComplete();
    await writeFile(lock, JSON.stringify({ pid: dead, host: "another machine" }));
    await assert.rejects(own(), /process \d+ on another machine/);
    const old = new Date(Date.now() - 60_000);
    await utimes(lock, old, old);
    await own();
    await assertComplete();
  });

  test("a process that lost its lock does not put its file in place", async () => {
    const lock = join(folder, ".download.lock");
    let taken: Promise<void> | undefined;
    const take = (event: DownloadEvent): void => {
      if (event.type === "start" && event.file === DATA) taken = writeFile(lock, "another's");
    };
    server.fault(`/own/${DATA}`, { kind: "cut", after: 100_000 });
    await assert.rejects(own({ onFile: take }), /another download has taken over/);
    await taken;
    assert.equal(existsSync(join(folder, DATA)), false);
    assert.equal(await readFile(lock, "utf8"), "another's");
  });

  test("a killed process leaves nothing that looks whole, and the next one goes on", async () => {
    server.fault(`/own/${DATA}`, { kind: "stall", after: 200_000 });
    const module = pathToFileURL(join(import.meta.dirname, "../../dist/src/download/download.js")).href;
    const code = `
      const { downloadModel } = await import(${JSON.stringify(module)});
      await downloadModel("own", ${JSON.stringify(folder)}, {
        baseUrl: ${JSON.stringify(server.url)},
        onFile: (event) => event.type === "progress" && event.bytes >= 200_000 && console.log("now"),
      });`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    assert.equal(existsSync(join(folder, DATA)), false);
    server.clear();
    await own();
    await assertComplete();
    assert.deepEqual(ranges(), ["bytes=200000-"]);
  });

  test("too little room is said before the download", async () => {
    server.fault(`/own/${DATA}`, { kind: "headers", headers: { "content-length": "9000000000000000" } }, 99);
    await assertFails(
      own(),
      /needs 9000000000 MB more and its disk has \d+ MB left: free some space, or .* models_dir/,
    );
    assert.equal(existsSync(dataPart()), false);
  });

  test("a full disk is one line", { skip: !existsSync("/dev/full") }, async () => {
    await mkdir(folder);
    await symlink("/dev/full", dataPart());
    await assertFails(own(), /cannot write .*\.part: the disk is full/);
  });

  test("random cuts, statuses and stalls never end in a wrong file", async () => {
    for (let round = 0; round < 12; round++) {
      await rm(folder, { recursive: true, force: true });
      server.clear();
      const random = randomBytes(64);
      for (let i = 0; i < 16; i++) {
        const after = random.readUInt16LE(2 * i + 32) % 65_536;
        const fault: Fault[] = [
          { kind: "cut", after },
          { kind: "reset" },
          { kind: "status", status: 503 },
          { kind: "ignore-range" },
          { kind: "status", status: 416 },
          { kind: "ignore-if-range" },
        ];
        server.fault(`/${round % 2 ? "own" : "124M"}/${DATA}`, fault[random[i] % fault.length]);
      }
      const run = () => (round % 2 ? own({ retryDelay: 0 }) : known({ retryDelay: 0, baseUrl: server.url }));
      for (let i = 0; ; i++) {
        assert.ok(i < 20, `no end: ${random.toString("hex")}`);
        try {
          await run();
          break;
        } catch (error) {
          assert.ok(error instanceof UserError, String(error));
          assert.equal(existsSync(join(folder, DATA)), false);
        }
      }
      await assertComplete();
    }
  });
});
