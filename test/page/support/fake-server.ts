/** A server that answers the page as `gpt2 serve` does, with words out of a hat, and fails as it is told to. */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { ROOT } from "../../support/spawn.js";

/** What the page is served with. */
export const CSP = [
  ...[
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
  ],
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join("; ");

const TYPES: Readonly<Record<string, string>> = {
  "/": "text/html; charset=utf-8",
  "/page.js": "text/javascript; charset=utf-8",
  "/page.css": "text/css; charset=utf-8",
};

const WORDS = [" the", " little", " cat", " sat", " in", " a", " warm", " garden", ",", "."];

/** A token as the API names it, and the bytes that it is. */
export interface FakeToken {
  readonly name: string;
  readonly probability: number;
  readonly top: Readonly<Record<string, number>>;
}

/** What the page asked for. */
export interface Asked {
  readonly prompt: string;
  readonly seed: number;
  readonly max_tokens: number;
  readonly stop?: string[];
  readonly [name: string]: unknown;
}

/** Token number i after a prompt: the same for the same prompt and seed. */
function wordAt({ prompt, seed }: Asked, i: number): FakeToken {
  let hash = seed * 31 + i * 7919;
  for (const letter of prompt) hash = (hash * 33 + letter.charCodeAt(0)) % 1_000_003;
  const rank = hash % 5;
  const shares = [0.55, 0.25, 0.08, 0.03, 0.004];
  const words = shares.map((_, n) => WORDS[(hash + n * 3) % WORDS.length]);
  const top = Object.fromEntries(words.map((word, n) => [word, Math.log(shares[n])]));
  return { name: words[rank], probability: shares[rank], top };
}

export class FakeServer {
  readonly asked: Asked[] = [];
  /** Connections that the page closed before its answer was over. */
  cancelled = 0;
  /** Answers a request for a completion in another way: true: it did. */
  instead: (asked: Asked, response: ServerResponse) => boolean = () => false;
  /** The tokens of an answer; undefined: out of the hat. */
  tokens: readonly FakeToken[] | undefined;
  /** After so many tokens it says nothing more. */
  holdAfter = Number.POSITIVE_INFINITY;
  key = "";
  model = "hat";

  private constructor(private readonly server: Server) {}

  static async start(): Promise<FakeServer> {
    const server = createServer();
    const fake = new FakeServer(server);
    server.on("request", (request, response) => void fake.answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "/";
    const type = TYPES[path];
    if (type !== undefined) {
      const file = path === "/" ? "index.html" : path.slice(1);
      response.writeHead(200, { "Content-Type": type, "Content-Security-Policy": CSP });
      response.end(readFileSync(join(ROOT, "dist", "page", file)));
    } else if (this.key && request.headers.authorization !== `Bearer ${this.key}`) {
      fail(response, 401, { message: "wrong API key", code: "invalid_api_key" });
    } else if (path === "/v1/models") {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ object: "list", data: [{ id: this.model, object: "model" }] }));
    } else if (path === "/v1/completions") {
      const asked = JSON.parse(Buffer.concat(await request.toArray()).toString()) as Asked;
      this.asked.push(asked);
      if (!this.instead(asked, response)) this.complete(asked, response);
    } else fail(response, 404, { message: `no such path: ${path}` });
  }

  private complete(asked: Asked, response: ServerResponse): void {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const count = Math.min(this.tokens?.length ?? asked.max_tokens, this.holdAfter);
    const decoder = new TextDecoder();
    for (let i = 0; i < count; i++) {
      const { name, probability, top } = this.tokens?.[i] ?? wordAt(asked, i);
      const escaped = [...name.matchAll(/\\x(..)/g)].map(([, byte]) => Number.parseInt(byte, 16));
      const bytes = name.startsWith("bytes:") ? Uint8Array.from(escaped) : Buffer.from(name);
      send(response, {
        text: decoder.decode(bytes, { stream: true }),
        logprobs: {
          tokens: [name],
          token_logprobs: [Math.log(probability)],
          top_logprobs: [top],
          text_offset: [0],
        },
        finish_reason: null,
      });
    }
    if (this.holdAfter < Number.POSITIVE_INFINITY) {
      response.on("close", () => this.cancelled++);
      return;
    }
    send(response, { text: "", logprobs: null, finish_reason: "length" });
    response.end("data: [DONE]\n\n");
  }
}

export function send(response: ServerResponse, choice: object): void {
  response.write(
    `data: ${JSON.stringify({ object: "text_completion", choices: [{ index: 0, ...choice }] })}\n\n`,
  );
}

export function fail(response: ServerResponse, status: number, error: object, headers = {}): true {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify({ error }));
  return true;
}
