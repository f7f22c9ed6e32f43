/** The server stays up: real sockets, and clients of every kind. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { uniform } from "../../dist/src/random.js";
import { answered, Client, eventsOf, eventually, refused, type Served, serving } from "../support/serving.js";
import { ROOT, start } from "../support/spawn.js";

const ASKED = { prompt: "The king", seed: 3, max_tokens: 10 } as const;
/** Far longer than any test; 16,000 tokens of log-probabilities are 20 MB. */
const LONG = { prompt: "The king", seed: 1, max_tokens: 16_000, ignore_eos: true, stream: true } as const;

/** A number in /metrics. */
async function metric({ url }: Served, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const [, value] = new RegExp(`^${name} (\\S+)$`, "m").exec(text) ?? [];
  assert.ok(value !== undefined, `no ${name} in ${text}`);
  return Number(value);
}

const isIdle = async (served: Served): Promise<boolean> =>
  (await metric(served, "gpt2_sequences_running")) + (await metric(served, "gpt2_sequences_waiting")) === 0;

describe("clients that go away", () => {
  test("1,000 that disconnect at random leave no sequence and no memory behind; others get their texts", () =>
    serving({}, async (served) => {
      const { port, post, engine } = served;
      const before = (await answered(await post(ASKED))).choices[0].text;
      const body = JSON.stringify(LONG);
      const request = `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
      const leave = async (i: number): Promise<void> => {
        const u = uniform(1, i, 0);
        const client = await Client.open(port);
        if (u < 0.3) client.send(request.slice(0, Math.floor(u * 3 * request.length)));
        else client.send(request);
        if (u > 0.6) await client.until(/^HTTP\/1.1 200/);
        if (u > 0.8) await client.until(/data: /);
        if (u < 0.5) client.socket.resetAndDestroy();
        else client.socket.destroy();
        await client.closed;
      };
      for (let wave = 0; wave < 20; wave++) {
        const [, { choices }] = await Promise.all([
          Promise.all(Array.from({ length: 50 }, (_, i) => leave(wave * 50 + i))),
          post(ASKED).then(answered),
        ]);
        assert.equal(choices[0].text, before);
      }
      await eventually(() => isIdle(served));
      assert.deepEqual([engine.open.size, engine.pages], [0, 0]);
    }));

  test("a client that is killed frees its place", () =>
    serving({ max_batch: 1 }, async (served) => {
      const script = `fetch("${served.url}/v1/completions", { method: "POST", body: ${JSON.stringify(JSON.stringify(LONG))} })
        .then(async (answer) => { for await (const _ of answer.body) console.log("token"); });`;
      const client = start(process.execPath, ["-e", script]);
      await client.until(/token/);
      client.child.kill("SIGKILL");
      await client.ended;
      await answered(await served.post(ASKED)); // there is one place alone
      assert.ok((await metric(served, "gpt2_generated_tokens_total")) < LONG.max_tokens, "it was given up");
    }));

  for (const [bound, patience] of [
    ["time", { reading: 200, unread: Number.POSITIVE_INFINITY }],
    ["bytes", { reading: 1_000_000 }],
  ] as const) {
    test(`one that does not read is dropped: its answer waits within a bound of ${bound}`, () =>
      serving({ patience }, async (served) => {
        const client = await Client.open(served.port);
        client.ask({ ...LONG, n: 4, logprobs: 20 });
        await client.until(/data: /);
        client.socket.pause();
        await eventually(() => isIdle(served));
        const drawn = await metric(served, "gpt2_generated_tokens_total");
        assert.ok(drawn < 4 * LONG.max_tokens, `all ${drawn} tokens were drawn`);
        client.socket.resume();
        await client.closed;
        assert.doesNotMatch(client.received, /\[DONE\]/);
      }));
  }

  test("one that reads slowly gets all of its answer", () =>
    serving({ patience: { reading: 500 } }, async ({ port }) => {
      const client = await Client.open(port);
      client.ask({ ...LONG, max_tokens: 2000, logprobs: 20 });
      const pausing = setInterval(() => {
        client.socket.pause();
        setTimeout(() => client.socket.resume(), 20);
      }, 25);
      await client.until(/\[DONE\]/);
      clearInterval(pausing);
      client.socket.destroy();
    }));

  test("half a request is waited for within a bound, while others are answered", async () => {
    await serving({ patience: { head: 300, request: 1_000_000 } }, async ({ port, post }) => {
      const silent = await Client.open(port);
      const head = (await Client.open(port)).send("POST /v1/completions HTTP/1.1\r\nhost: lo");
      await answered(await post(ASKED));
      await Promise.all([silent.closed, head.closed]);
      assert.match(head.received, /^HTTP\/1.1 408 /);
      await answered(await post(ASKED));
    });
    await serving({ patience: { request: 600, head: 500 } }, async ({ port, post }) => {
      const body = (await Client.open(port)).send(
        'POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{"prompt": "x',
      );
      await answered(await post(ASKED));
      await body.closed;
      assert.match(body.received, /^HTTP\/1.1 408 /);
      await answered(await post(ASKED));
    });
  });
});

describe("what is no request", () => {
  const GARBAGE: Readonly<Record<string, string | Uint8Array>> = {
    "random bytes": Uint8Array.from({ length: 4096 }, (_, i) => Math.floor(uniform(2, i, 0) * 256)),
    "a TLS handshake": Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3),
    "a header of a megabyte": `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${"x".repeat(1 << 20)}\r\n\r\n`,
    "100,000 headers": `GET / HTTP/1.1\r\nhost: localhost\r\n${"x: 1\r\n".repeat(100_000)}\r\n`,
    "no host": "GET / HTTP/1.1\r\n\r\n",
    "two lengths":
      "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n{}",
    "a length and chunks":
      "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
  };
  for (const [what, bytes] of Object.entries(GARBAGE)) {
    test(`${what}: an error for that client alone`, () =>
      serving({}, async ({ port, post }) => {
        const client = (await Client.open(port)).send(bytes);
        await client.closed;
        assert.match(client.received, /^(HTTP\/1.1 4\d\d |$)/);
        await answered(await post(ASKED));
      }));
  }

  test("a body of 10 MB, announced or not, is refused, and others are answered meanwhile", () =>
    serving({}, async ({ port, post }) => {
      const text = JSON.stringify({ prompt: "x".repeat(10_000_000) });
      const [announced, streamed, other] = await Promise.all([
        post(text),
        post("", { body: new Blob([text]).stream(), duplex: "half" } as RequestInit),
        post(ASKED).then(answered),
      ]);
      for (const response of [announced, streamed]) {
        assert.match((await refused(response, 413)).message, /larger than 1 MiB/);
      }
      assert.notEqual(other.choices[0].text, "");
      const expecting = await Client.open(port);
      expecting.send(
        "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10000000\r\nexpect: 100-continue\r\n\r\n",
      );
      await expecting.until(/HTTP\/1.1 413 /);
      expecting.socket.destroy();
    }));

  test("compressed bodies, other methods, unknown addresses", () =>
    serving({}, async ({ url, post }) => {
      await refused(await post(ASKED, { headers: { "content-encoding": "gzip" } }), 415);
      for (const [method, path, allowed] of [
        ["GET", "/v1/completions", "POST"],
        ["POST", "/v1/models", "GET"],
        ["DELETE", "/health", "GET"],
      ]) {
        const response = await fetch(url + path, { method });
        assert.equal(response.headers.get("allow"), allowed);
        await refused(response, 405);
      }
      assert.equal((await refused(await fetch(`${url}/v1/embeddings`), 404)).code, "unknown_url");
      const chat = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: "{}" });
      assert.match((await refused(chat, 404)).message, /use \/v1\/completions/);
    }));

  test("no file can be read", () =>
    serving({}, async ({ port }) => {
      for (const path of [
        "/../package.json",
        "/..%2fpackage.json",
        "/%2e%2e/package.json",
        "/..\\package.json",
        "//etc/passwd",
        "/page.js/../../package.json",
        "/page.js%00.json",
        "file:///etc/passwd",
        "/v1/models/../../../etc/passwd",
      ]) {
        const client = await Client.open(port);
        client.send(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
        await client.closed;
        assert.match(client.received, /^HTTP\/1.1 4\d\d /, path);
        assert.doesNotMatch(client.received, /root:|"name": ?"gpt2"/);
      }
    }));
});

describe("the page", () => {
  test("its files, whole, with their types and a strict policy; none else", () =>
    serving({}, async ({ url }) => {
      for (const [path, name, type] of [
        ["/", "index.html", "text/html; charset=utf-8"],
        ["/page.js", "page.js", "text/javascript; charset=utf-8"],
        ["/page.css", "page.css", "text/css; charset=utf-8"],
      ]) {
        const response = await fetch(url + path);
        assert.equal(await response.text(), readFileSync(join(ROOT, "dist", "page", name), "utf8"));
        assert.equal(response.headers.get("content-type"), type);
        assert.match(
          response.headers.get("content-security-policy")!,
          /^default-src 'none'; script-src 'self';/,
        );
        assert.equal(response.headers.get("x-content-type-options"), "nosniff");
      }
      assert.equal((await fetch(`${url}/?x=1`)).status, 200);
      await refused(await fetch(`${url}/index.html`), 404);
    }));
});

describe("who may ask", () => {
  const ask = async ({ port }: Served, headers: string): Promise<string> => {
    const client = await Client.open(port);
    client.send(`GET /v1/models HTTP/1.1\r\n${headers}\r\nconnection: close\r\n\r\n`);
    await client.closed;
    return client.received;
  };
  const OK = /^HTTP\/1.1 200 /;
  const FORBIDDEN = /^HTTP\/1.1 403 /;

  test("without a key only who calls this machine by a name of its own", () =>
    serving({}, async (served) => {
      for (const host of ["localhost", "LOCALHOST:80", "127.0.0.1:11117", "[::1]:5", "gpt2.localhost"]) {
        assert.match(await ask(served, `host: ${host}`), OK, host);
      }
      for (const host of [
        "evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        hostname(),
        "localhost.",
        "[::2]",
        "a b",
      ]) {
        assert.match(await ask(served, `host: ${host}`), FORBIDDEN, host);
      }
    }));

  test("at all addresses: by any address, and this machine's name; with a key by any name", async () => {
    await serving({ host: "0.0.0.0" }, async (served) => {
      for (const host of ["10.0.0.1:80", "[fe80::1]", hostname(), "localhost"]) {
        assert.match(await ask(served, `host: ${host}`), OK, host);
      }
      assert.match(await ask(served, "host: evil.example"), FORBIDDEN);
    });
    await serving({ api_key: "secret" }, async (served) => {
      assert.match(await ask(served, "host: gpt2.example\r\nauthorization: Bearer secret"), OK);
    });
  });

  test("a key: the right one alone, for /v1/ alone", () =>
    serving({ api_key: "secret" }, async (served) => {
      for (const wrong of [
        "",
        "Bearer",
        "Bearer ",
        "Bearer Secret",
        "Bearer secret2",
        "Basic secret",
        "secret",
      ]) {
        const response = await served.post(ASKED, { headers: { authorization: wrong } });
        assert.equal(response.headers.get("www-authenticate"), "Bearer");
        const error = await refused(response, 401);
        assert.equal(error.code, "invalid_api_key");
        assert.ok(!error.message.includes("secret"));
      }
      await answered(await served.post(ASKED, { headers: { authorization: "Bearer secret" } }));
      for (const path of ["/health", "/metrics", "/"])
        assert.equal((await fetch(served.url + path)).status, 200);
    }));

  test("pages of other origins are refused, unless --cors names theirs", async () => {
    const own = (port: number): string => `http://localhost:${port}`;
    await serving({}, async (served) => {
      assert.match(await ask(served, `host: localhost:${served.port}\r\norigin: ${own(served.port)}`), OK);
      for (const origin of ["https://evil.example", "null", "http://localhost:1", "x"]) {
        const answer = await ask(served, `host: localhost:${served.port}\r\norigin: ${origin}`);
        assert.match(answer, FORBIDDEN, origin);
        assert.doesNotMatch(answer, /access-control/i);
      }
    });
    for (const cors of ["https://app.example", "*"]) {
      await serving({ cors }, async ({ url }) => {
        const origin = "https://app.example";
        const preflight = await fetch(`${url}/v1/completions`, { method: "OPTIONS", headers: { origin } });
        assert.equal(preflight.status, 204);
        const allowed = cors === "*" ? "*" : origin;
        assert.equal(preflight.headers.get("access-control-allow-origin"), allowed);
        assert.match(preflight.headers.get("access-control-allow-headers")!, /authorization/i);
        const response = await fetch(`${url}/v1/models`, { headers: { origin } });
        assert.equal(response.headers.get("access-control-allow-origin"), allowed);
        const other = await fetch(`${url}/v1/models`, { headers: { origin: "https://evil.example" } });
        assert.equal(other.status, cors === "*" ? 200 : 403);
      });
    }
  });
});

describe("load", () => {
  test("a full queue: 429 with Retry-After, then it is served again", () =>
    serving({ max_batch: 1, queue: 1 }, async (served) => {
      const { post, port } = served;
      const running = (await Client.open(port)).ask(LONG);
      await running.until(/data: /);
      const waiting = (await Client.open(port)).ask({ ...ASKED, stream: true });
      await eventually(async () => (await metric(served, "gpt2_sequences_waiting")) === 1);
      const response = await post(ASKED);
      assert.match(response.headers.get("retry-after")!, /^[1-9]\d?$/);
      assert.equal((await refused(response, 429)).code, "rate_limit_exceeded");
      running.socket.destroy();
      await waiting.until(/\[DONE\]/);
      waiting.socket.destroy();
      await eventually(() => isIdle(served));
      await answered(await post(ASKED));
    }));

  test("more texts than can ever be taken are refused at once, not for a while", () =>
    serving({ max_batch: 2, queue: 3 }, async ({ post }) => {
      const error = await refused(await post({ ...ASKED, n: 6 }), 400);
      assert.match(error.message, /6 texts at once: this server takes 5/);
      assert.equal((await answered(await post({ ...ASKED, n: 5 }))).choices.length, 5);
    }));

  test("/metrics is Prometheus's text format and counts what happened", () =>
    serving({ cache_megabytes: 1 }, async (served) => {
      await answered(await served.post({ ...ASKED, n: 2 }));
      await refused(await served.post("{"), 400);
      const text = await (await fetch(`${served.url}/metrics`)).text();
      const types = new Map(
        [...text.matchAll(/^# TYPE (\S+) (counter|gauge|histogram)$/gm)].map((m) => [m[1], m[2]]),
      );
      for (const line of text.trimEnd().split("\n")) {
        if (line.startsWith("# HELP ")) continue;
        if (line.startsWith("# TYPE ")) continue;
        const [, name] = /^([a-z_0-9]+)(?:\{[a-z]+="[^"]+"\})? -?[\d.e+-]+$/.exec(line) ?? [];
        assert.ok(name, line);
        assert.ok(types.has(name) || types.has(name.replace(/_(bucket|sum|count)$/, "")), line);
      }
      for (const [line, value] of [
        ['gpt2_requests_total\\{status="200"\\}', 1],
        ['gpt2_requests_total\\{status="400"\\}', 1],
        ["gpt2_generated_tokens_total", 20],
        ["gpt2_time_to_first_token_seconds_count", 2],
        ["gpt2_time_per_token_seconds_count", 18],
        ['gpt2_time_per_token_seconds_bucket\\{le="\\+Inf"\\}', 18],
        ["gpt2_request_seconds_count", 1],
      ] as const) {
        assert.match(text, new RegExp(`^${line} ${value}$`, "m"));
      }
      assert.ok((await metric(served, "gpt2_cached_tokens")) > 0);
    }));

  test("an engine that fails: an error for its requests, /health tells, and it goes on", () =>
    serving({}, async ({ post, engine, url }) => {
      engine.onForward = () => {
        throw new Error("a thread ended");
      };
      assert.match((await refused(await post(ASKED), 500)).message, /a thread ended/);
      const streamed = await post({ ...ASKED, stream: true });
      const [data] = eventsOf(await streamed.text());
      assert.match(JSON.parse(data).error.message, /a thread ended/);
      assert.equal((await fetch(`${url}/health`)).status, 503);
      engine.onForward = () => {};
      await answered(await post(ASKED));
      assert.equal((await fetch(`${url}/health`)).status, 200);
    }));
});

describe("the end", () => {
  test("requests that run are finished, new ones are not taken", () =>
    serving({}, async ({ server, port, post, engine }) => {
      const running = (await Client.open(port)).ask({ ...LONG, max_tokens: 60 });
      await running.until(/data: /);
      const idle = (await Client.open(port)).send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n");
      await idle.until(/ok/);
      const closed = server.close();
      await assert.rejects(post(ASKED));
      await running.until(/\[DONE\]/);
      await closed;
      assert.equal(engine.open.size, 0);
      await Promise.all([running.closed, idle.closed]);
    }));

  test("those that take longer than the grace are told so", () =>
    serving({ grace: 0.05 }, async (served) => {
      const { server, port, post } = served;
      const running = (await Client.open(port)).ask(LONG);
      const whole = post({ ...LONG, stream: false });
      await eventually(async () => (await metric(served, "gpt2_sequences_running")) === 2);
      await server.close();
      await running.closed;
      assert.match(running.received, /data: \{"error":\{"message":"the server is shutting down"/);
      assert.doesNotMatch(running.received, /\[DONE\]/);
      await refused(await whole, 503);
    }));
});
