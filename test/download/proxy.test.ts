import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { type DownloadEvent, type DownloadOptions, downloadModel } from "../../dist/src/download/download.js";
import { proxyFor } from "../../dist/src/download/proxy.js";
import { OPENAI_FILES } from "../../dist/src/models/files.js";
import { UserError } from "../../dist/src/system/errors.js";
import { CERTIFICATE, FileServer } from "../support/file-server.js";
import { ProxyServer } from "../support/proxy-server.js";
import { gpt2, MICRO, type Outcome } from "../support/spawn.js";

const DATA = "model.ckpt.data-00000-of-00001";
const VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"].flatMap((name) => [
  name,
  name.toLowerCase(),
]);

describe("which proxy", () => {
  const shown = (address: string, env: Record<string, string>): string | undefined =>
    proxyFor(new URL(address), env)?.shown;

  test("HTTPS_PROXY for https, HTTP_PROXY for http, ALL_PROXY for what is left; lower case wins; empty is none", () => {
    const env = { HTTPS_PROXY: "http://s:1", HTTP_PROXY: "http://h:2" };
    assert.equal(shown("https://x.org/a", env), "s:1 (from HTTPS_PROXY)");
    assert.equal(shown("http://x.org/a", env), "h:2 (from HTTP_PROXY)");
    assert.equal(shown("http://x.org/a", { HTTPS_PROXY: "http://s:1" }), undefined);
    assert.equal(shown("https://x.org/a", { HTTP_PROXY: "http://h:2" }), undefined);
    assert.equal(shown("https://x.org/a", { ALL_PROXY: "http://a:3" }), "a:3 (from ALL_PROXY)");
    assert.equal(
      shown("https://x.org/a", { ...env, https_proxy: "http://low:4" }),
      "low:4 (from https_proxy)",
    );
    assert.equal(shown("https://x.org/a", { ...env, https_proxy: "" }), undefined);
    assert.equal(shown("https://x.org/a", {}), undefined);
  });

  test("an address without http:// before it will do; a kind that is not known is told without the value", () => {
    assert.equal(
      shown("https://x.org", { HTTPS_PROXY: " proxy.example:3128 " }),
      "proxy.example:3128 (from HTTPS_PROXY)",
    );
    assert.equal(shown("https://x.org", { HTTPS_PROXY: "[::1]:3128" }), "[::1]:3128 (from HTTPS_PROXY)");
    for (const value of ["socks5://me:secret@s:1", "http://me:secret@s:port", "http://"]) {
      assert.throws(
        () => shown("https://x.org", { HTTPS_PROXY: value }),
        (error: unknown) => {
          assert.ok(error instanceof UserError);
          assert.match(error.message, /^HTTPS_PROXY .*http:\/\/HOST:PORT, or set NO_PROXY to x\.org$/);
          return !/secret|me/.test(error.message.replace(/^.*?:/, ""));
        },
        value,
      );
    }
  });

  test("a login goes into a header and nowhere else", () => {
    const login = (value: string): string => {
      const proxy = proxyFor(new URL("https://x.org"), { HTTPS_PROXY: value });
      assert.ok(proxy && !/secret|me\b/.test(proxy.url.href + proxy.shown));
      return Buffer.from((proxy.token ?? "").replace("Basic ", ""), "base64").toString();
    };
    assert.equal(login("http://me:secret@s:1"), "me:secret");
    assert.equal(login("me:sec%40ret@s:1"), "me:sec@ret");
    assert.equal(login("http://me@s:1"), "me:");
    assert.equal(login("http://me:100%secret@s:1"), "me:100%secret");
  });

  test("NO_PROXY", () => {
    const excepted: readonly (readonly [string, string, boolean])[] = [
      ["https://x.org/a", "x.org", true],
      ["https://X.org/a", "a.com, x.ORG", true],
      ["https://x.org/a", "a.com b.com", false],
      ["https://files.x.org/a", "x.org", true],
      ["https://files.x.org/a", ".x.org", true],
      ["https://files.x.org/a", "*.x.org", true],
      ["https://notx.org/a", "x.org", false],
      ["https://x.org/a", "files.x.org", false],
      ["https://x.org/a", "*", true],
      ["https://x.org/a", "x.org:443", true],
      ["http://x.org/a", "x.org:443", false],
      ["http://x.org:8080/a", "x.org:8080", true],
      ["http://127.0.0.1:8080/a", "localhost,127.0.0.1", true],
      ["http://[::1]:8080/a", "::1", true],
      ["http://[::1]:8080/a", "[::1]", true],
      ["http://[::1]:8080/a", "[::1]:8081", false],
      ["https://x.org/a", ",, ,", false],
    ];
    for (const [address, list, isExcepted] of excepted) {
      const env = { ALL_PROXY: "http://a:3", no_proxy: list };
      assert.equal(shown(address, env) === undefined, isExcepted, `${address} with ${list}`);
    }
  });
});

describe("downloads through a proxy", () => {
  let server: FileServer;
  let proxy: ProxyServer;
  let temporary: string;
  let folder: string;
  const files: Record<string, Buffer> = {};
  const saved = new Map<string, string | undefined>();

  before(async () => {
    temporary = await mkdtemp(join(tmpdir(), "gpt2-proxy-"));
    for (const name of VARIABLES) saved.set(name, process.env[name]);
    for (const file of OPENAI_FILES) files[file] = await readFile(join(MICRO, file));
  });
  after(() => rm(temporary, { recursive: true, force: true }));
  beforeEach(async () => {
    for (const name of VARIABLES) delete process.env[name];
    [server, proxy] = [await FileServer.start(), await ProxyServer.start()];
    folder = await mkdtemp(join(temporary, "model "));
    serve(server);
  });
  afterEach(async () => {
    for (const [name, value] of saved) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    await server.stop();
    await proxy.stop();
  });

  function serve(on: FileServer): void {
    for (const [file, body] of Object.entries(files)) on.files.set(`/own/${file}`, { body, etag: '"1"' });
  }
  const own = (options: DownloadOptions = {}) =>
    downloadModel("own", folder, {
      baseUrl: server.url,
      retries: 2,
      retryDelay: 5,
      timeouts: { headers: 1000, idle: 1000 },
      ...options,
    });
  async function assertComplete(): Promise<void> {
    assert.deepEqual((await readdir(folder)).sort(), [...OPENAI_FILES].sort());
    for (const [file, body] of Object.entries(files)) {
      assert.ok(body.equals(await readFile(join(folder, file))), file);
    }
  }

  test("http: the proxy is asked for whole addresses; cut in the middle, it goes on there; redirects too", async () => {
    process.env["HTTP_PROXY"] = `http://127.0.0.1:${proxy.port}`;
    proxy.fault = { kind: "cut-after", bytes: 150_000 };
    server.files.set("/elsewhere", { body: files["vocab.bpe"], etag: '"1"' });
    server.fault("/own/vocab.bpe", { kind: "redirect", to: "/elsewhere" });
    const events: DownloadEvent[] = [];
    await own({ onFile: (event) => events.push(event) });
    await assertComplete();
    assert.equal(proxy.log.length, server.log.length);
    assert.ok(proxy.log.includes(`GET ${server.url}/own/${DATA}`), String(proxy.log));
    assert.ok(proxy.log.includes(`GET ${server.url}/elsewhere`), String(proxy.log));
    const ranges = server.log.filter(({ path }) => path.endsWith(DATA)).map(({ range }) => range);
    assert.equal(ranges.length, 2);
    assert.match(ranges[1] ?? "", /^bytes=[1-9]\d*-$/);
    const retries = events.flatMap((event) => (event.type === "retry" ? [event.reason] : []));
    assert.match(
      String(retries),
      new RegExp(`^the proxy 127\\.0\\.0\\.1:${proxy.port} \\(from HTTP_PROXY\\): .*cut`),
    );
  });

  test("NO_PROXY: the host is asked straight, a redirect to another host is not", async () => {
    const other = await FileServer.start();
    try {
      serve(other);
      process.env["http_proxy"] = `127.0.0.1:${proxy.port}`;
      process.env["no_proxy"] = `127.0.0.1:${new URL(server.url).port}`;
      server.fault("/own/hparams.json", { kind: "redirect", to: `${other.url}/own/hparams.json` });
      await own();
      await assertComplete();
      assert.deepEqual(proxy.log, [`GET ${other.url}/own/hparams.json`]);
    } finally {
      await other.stop();
    }
  });

  test("a proxy that is not there, that says nothing, that cuts: one line that names it", async () => {
    const at = `the proxy 127.0.0.1:${proxy.port} (from HTTP_PROXY): `;
    process.env["HTTP_PROXY"] = `http://me:secret@127.0.0.1:${proxy.port}`;
    const fails = async (pattern: RegExp): Promise<void> => {
      await assert.rejects(own(), (error: unknown) => {
        assert.ok(error instanceof UserError, String(error));
        assert.match(error.message, pattern);
        assert.doesNotMatch(error.message, /secret|\n/);
        return true;
      });
    };
    proxy.fault = { kind: "cut" };
    await fails(new RegExp(`${at.replace(/[().]/g, "\\$&")}the connection was (cut|reset)`));
    assert.equal(proxy.log.length, 3, "tried again twice");
    proxy.fault = { kind: "silent" };
    await fails(/no answer for 1 seconds?/);
    await proxy.stop();
    await fails(new RegExp(`${at.replace(/[().]/g, "\\$&")}the connection was refused`));
    proxy = await ProxyServer.start();
  });

  test("an abort during a tunnelled or forwarded download stops at once", async () => {
    process.env["HTTP_PROXY"] = `http://127.0.0.1:${proxy.port}`;
    server.fault(`/own/${DATA}`, { kind: "stall", after: 100_000 });
    const controller = new AbortController();
    const onFile = (event: DownloadEvent): void => {
      if (event.type === "progress" && event.bytes >= 100_000) controller.abort();
    };
    const stopped = own({ onFile, signal: controller.signal, timeouts: { headers: 90_000, idle: 90_000 } });
    await assert.rejects(stopped, /interrupted: run the same command again/);
  });
});

describe("gpt2 download through a proxy", { concurrency: 2 }, () => {
  let plain: FileServer;
  let secure: FileServer;
  let temporary: string;
  const proxies: ProxyServer[] = [];

  before(async () => {
    temporary = await mkdtemp(join(tmpdir(), "gpt2-proxy-"));
    [plain, secure] = [await FileServer.start(), await FileServer.start(0, "https")];
    for (const server of [plain, secure]) {
      for (const file of OPENAI_FILES) {
        server.files.set(`/own/${file}`, { body: await readFile(join(MICRO, file)), etag: '"1"' });
      }
    }
  });
  after(async () => {
    for (const server of [plain, secure, ...proxies]) await server.stop();
    await rm(temporary, { recursive: true, force: true });
  });

  /** A proxy of the test's own. */
  async function startProxy(change: Partial<ProxyServer> = {}): Promise<ProxyServer> {
    const proxy = Object.assign(await ProxyServer.start(), change);
    proxies.push(proxy);
    return proxy;
  }
  async function download(
    server: FileServer,
    env: Record<string, string>,
  ): Promise<Outcome & { dir: string }> {
    const dir = await mkdtemp(join(temporary, "models "));
    const args = ["download", "own", "--models_dir", dir, "--base_url", server.url];
    const outcome = await gpt2(args, { env: { NODE_EXTRA_CA_CERTS: CERTIFICATE, ...env } });
    assert.doesNotMatch(
      outcome.stderr,
      /secret|c2VjcmV0|Warning|^ +at /m,
      "a password, or a warning of undici's",
    );
    assert.equal(outcome.stdout, "");
    return { ...outcome, dir };
  }
  function assertOneLine(outcome: Outcome, pattern: RegExp): void {
    assert.equal(outcome.code, 1, outcome.stderr);
    const lines = outcome.stderr.split("\n").filter((line) => !/; retrying$/.test(line));
    assert.equal(lines.length, 2, outcome.stderr);
    assert.match(lines[0], /^gpt2: /);
    assert.match(lines[0], pattern);
  }

  test("https goes through a tunnel; the password is sent and not shown, with DEBUG=gpt2 either", async () => {
    const proxy = await startProxy({ login: "me:secret" });
    const env = { HTTPS_PROXY: `http://me:secret@127.0.0.1:${proxy.port}`, DEBUG: "gpt2" };
    const outcome = await download(secure, env);
    assert.equal(outcome.code, 0, outcome.stderr);
    const host = new URL(secure.url).host;
    assert.ok(
      proxy.log.length >= 1 && proxy.log.every((line) => line === `CONNECT ${host}`),
      String(proxy.log),
    );
    assert.ok((await readdir(join(outcome.dir, "own"))).includes("model.json"));
  });

  for (const [scheme, variable] of [
    ["http", "HTTP_PROXY"],
    ["https", "HTTPS_PROXY"],
  ]) {
    const server = (): FileServer => (scheme === "http" ? plain : secure);

    test(`${scheme}: a proxy that asks for a password: one line, at once`, async () => {
      const proxy = await startProxy({ login: "me:other" });
      for (const login of ["", "me:secret@"]) {
        const env = { [variable]: `http://${login}127.0.0.1:${proxy.port}`, DEBUG: login && "none" };
        const outcome = await download(server(), env);
        const where = `the proxy 127\\.0\\.0\\.1:${proxy.port} \\(from ${variable}\\): it asks for a user name`;
        assertOneLine(outcome, new RegExp(`${where}.*http://NAME:PASSWORD@HOST:PORT`));
      }
      assert.equal(proxy.log.length, 2);
    });

    test(`${scheme}: a proxy that refuses: one line`, async () => {
      const proxy = await startProxy({ fault: { kind: "status", status: 403 } });
      const outcome = await download(server(), { [variable]: `127.0.0.1:${proxy.port}` });
      assertOneLine(outcome, /HTTP 403 \(Forbidden\)/);
      if (scheme === "https")
        assertOneLine(outcome, /the proxy 127\.0\.0\.1:\d+ \(from HTTPS_PROXY\): it answers/);
    });

    test(`${scheme}: no proxy at the address: one line`, async () => {
      const proxy = await ProxyServer.start();
      await proxy.stop();
      const outcome = await download(server(), { [variable]: `http://me:secret@127.0.0.1:${proxy.port}` });
      assertOneLine(
        outcome,
        new RegExp(`the proxy 127.0.0.1:${proxy.port} \\(from ${variable}\\): the connection was refused`),
      );
    });
  }

  test("a value that names no proxy: one line", async () => {
    assertOneLine(
      await download(plain, { HTTP_PROXY: "socks5://me:secret@h:1" }),
      /^gpt2: HTTP_PROXY names .*socks5/,
    );
  });

  test("--base_url with a port that fetch never asks: one line, at once", async () => {
    const outcome = await gpt2([
      "download",
      "own",
      "--models_dir",
      temporary,
      "--base_url",
      "http://127.0.0.1:1",
    ]);
    assertOneLine(outcome, /127\.0\.0\.1:1\/own\/checkpoint: port 1 is blocked/);
    assert.doesNotMatch(outcome.stderr, /retrying/);
  });
});
