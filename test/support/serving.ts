import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after } from "node:test";
import type { Engine, LogitsWanted, Sequence, Step } from "../../dist/src/model/engine.js";
import { type LoadedModel, loadFolder } from "../../dist/src/models/folder.js";
import { ModelServer, type ServerOptions } from "../../dist/src/serve/server.js";
import { MICRO } from "./models.js";

/** An engine that counts the sequences that are held, and lets a test look at each pass. */
export class WatchedEngine implements Engine {
  readonly open = new Set<Sequence>();
  onForward: (steps: readonly Step[]) => void = () => {};

  constructor(private readonly engine: Engine) {}

  get name(): string {
    return this.engine.name;
  }

  get precision(): string {
    return this.engine.precision;
  }

  get hparams(): Engine["hparams"] {
    return this.engine.hparams;
  }

  /** Pages of keys and values that are in use: the engine tells nobody, but this is what may not grow. */
  get pages(): number {
    return (this.engine as unknown as { cache: { holders: Map<number, number> } }).cache.holders.size;
  }

  createSequence(): Sequence {
    return this.#opened(this.engine.createSequence());
  }

  fork(sequence: Sequence, length?: number): Sequence {
    return this.#opened(this.engine.fork(sequence, length));
  }

  forward(steps: readonly Step[], wanted?: LogitsWanted): Promise<Float32Array[]> {
    this.onForward(steps);
    return this.engine.forward(steps, wanted);
  }

  free(sequence: Sequence): void {
    assert.ok(this.open.delete(sequence), "freed twice, or never made");
    this.engine.free(sequence);
  }

  dispose(): Promise<void> {
    return this.engine.dispose();
  }

  #opened(sequence: Sequence): Sequence {
    this.open.add(sequence);
    return sequence;
  }
}

let loading: Promise<LoadedModel> | undefined;

/** The model of random weights: n_ctx 64, n_vocab 400. */
export function microModel(): Promise<LoadedModel> {
  loading ??= loadFolder(MICRO.folder, { backend: "wasm", threads: 1 });
  return loading;
}

after(async () => {
  await (await loading)?.engine.dispose();
});

/** What a test has of a server. */
export interface Served {
  readonly server: ModelServer;
  readonly engine: WatchedEngine;
  readonly url: string;
  readonly port: number;
  readonly post: (body: unknown, init?: RequestInit) => Promise<Response>;
}

const OPTIONS: ServerOptions = {
  name: "micro",
  host: "127.0.0.1",
  port: 0,
  max_batch: 8,
  queue: 2000,
  cache_megabytes: 0,
  grace: 10,
};

/** Serves the micro model for the length of a call; nothing may be left behind. */
export async function serving(
  options: Partial<ServerOptions>,
  use: (served: Served) => Promise<void>,
): Promise<void> {
  const model = await microModel();
  const engine = new WatchedEngine(model.engine);
  const server = await ModelServer.start({ ...model, engine }, { ...OPTIONS, ...options });
  const { url } = server;
  const post = (body: unknown, init: RequestInit = {}): Promise<Response> =>
    fetch(`${url}/v1/completions`, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...init,
      headers: { "content-type": "application/json", ...init.headers },
    });
  try {
    await use({ server, engine, url, port: Number(new URL(url).port), post });
  } finally {
    await server.close();
  }
  assert.equal(engine.open.size, 0, "every sequence is given back");
  assert.equal(engine.pages, 0, "no page is left");
}

/** A choice of an answer. */
export interface AnsweredChoice {
  readonly text: string;
  readonly index: number;
  readonly finish_reason: string | null;
  readonly logprobs: {
    readonly tokens: string[];
    readonly token_logprobs: (number | null)[];
    readonly top_logprobs: (Record<string, number> | null)[];
    readonly text_offset: number[];
  } | null;
}

/** An answer, or an error. */
export interface Answered {
  readonly choices: readonly AnsweredChoice[];
  readonly usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number } | null;
  readonly seed: number;
  readonly error?: { message: string; type: string; param: string | null; code: string | null };
}

/** The answer to a request that is good. */
export async function answered(response: Response): Promise<Answered> {
  const body = (await response.json()) as Answered;
  assert.equal(response.status, 200, JSON.stringify(body));
  return body;
}

/** The error of a request that is not. */
export async function refused(response: Response, status: number): Promise<NonNullable<Answered["error"]>> {
  const { error } = (await response.json()) as Answered;
  assert.equal(response.status, status, JSON.stringify(error));
  assert.ok(error);
  assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"]);
  assert.doesNotMatch(error.message, /undefined|\[object|\n/);
  return error;
}

/** The data of server-sent events, [DONE] included. */
export function eventsOf(text: string): string[] {
  return text
    .split("\n\n")
    .filter((each) => each !== "")
    .map((each) => {
      assert.ok(each.startsWith("data: "), each);
      return each.slice("data: ".length);
    });
}

/** Waits until something holds; whoever waits in vain is told by the test's own limit. */
export async function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A connection that says what it is told to, and keeps what comes back. */
export class Client {
  received = "";
  isClosed = false;
  readonly closed: Promise<void>;

  private constructor(readonly socket: Socket) {
    socket.setEncoding("latin1").on("data", (text: unknown) => {
      this.received += text as string;
    });
    socket.on("error", () => {}); // it may be reset
    this.closed = new Promise((resolve) =>
      socket.once("close", () => {
        this.isClosed = true;
        resolve();
      }),
    );
  }

  static async open(port: number): Promise<Client> {
    const socket = connect(port, "127.0.0.1");
    const client = new Client(socket);
    await new Promise((resolve) => socket.once("connect", resolve).once("error", resolve));
    return client;
  }

  send(text: string | Uint8Array): this {
    this.socket.write(text);
    return this;
  }

  /** Sends a request for completions whole. */
  ask(body: unknown): this {
    const text = JSON.stringify(body);
    return this.send(
      `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
  }

  until(pattern: RegExp): Promise<void> {
    return eventually(() => {
      assert.ok(pattern.test(this.received) || !this.isClosed, `closed before ${pattern}: ${this.received}`);
      return pattern.test(this.received);
    });
  }
}
