import type { ServerResponse } from "node:http";
import { quote } from "../system/errors.js";
import { randomHex } from "../system/random-hex.js";
import { ApiError, badField, toApiError } from "./api-error.js";
import { type Choice, choicesOf, type Piece, type WritingModel } from "./choice.js";
import { appendLogprobs } from "./logprobs.js";
import type { Metrics } from "./metrics.js";
import { type CompletionRequest, readRequest } from "./request.js";
import type { Scheduler } from "./scheduler.js";

/** What answering requests for completions needs. */
export interface Service {
  /** The model's name in requests. */
  readonly name: string;
  readonly model: WritingModel;
  readonly scheduler: Scheduler;
  readonly metrics: Metrics;
}

/** A completion in OpenAI's format, whole or in pieces. */
class Answer {
  readonly #head: object;
  /** The texts so far, if the answer is sent whole. */
  readonly #whole: Piece[];

  constructor(
    private readonly request: CompletionRequest,
    private readonly choices: readonly Choice[],
    model: string,
  ) {
    const created = Math.floor(Date.now() / 1000);
    const id = `cmpl-${randomHex(12)}`;
    this.#head = { id, object: "text_completion", created, model, seed: request.sampling.seed };
    this.#whole = [];
  }

  /** Adds a piece to the whole. */
  add({ index }: Choice, piece: Piece): void {
    const before = this.#whole[index];
    if (!before) {
      this.#whole[index] = piece;
      return;
    }
    if (before.logprobs && piece.logprobs) appendLogprobs(before.logprobs, piece.logprobs);
    this.#whole[index] = { ...piece, text: before.text + piece.text, logprobs: before.logprobs };
  }

  whole(): object {
    const choices = this.choices.map(({ index }) => ({ index, ...this.#whole[index] }));
    return { ...this.#head, choices, usage: this.#usage() };
  }

  /** A single piece, for a stream. */
  piece({ index }: Choice, piece: Piece): object {
    const usage = this.request.include_usage && { usage: null };
    return { ...this.#head, choices: [{ index, ...piece }], ...usage };
  }

  /** The stream's last piece with the counts of tokens, if requested. */
  usage(): object | undefined {
    return this.request.include_usage ? { ...this.#head, choices: [], usage: this.#usage() } : undefined;
  }

  #usage(): object {
    const prompt_tokens = this.request.prompts.reduce((sum, { tokens }) => sum + tokens, 0);
    const completion_tokens = this.choices.reduce((sum, { tokens }) => sum + tokens, 0);
    return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
  }
}

/** Measures the time to a text's first token and between its tokens. */
function stopwatch({ firstToken, perToken }: Metrics, started: number): () => void {
  let last: number | undefined;
  return () => {
    const now = performance.now();
    if (last === undefined) firstToken.observe((now - started) / 1000);
    else perToken.observe((now - last) / 1000);
    last = now;
  };
}

/**
 * Answers a request for completions; aborts it when the client disconnects.
 * @param body the parsed JSON
 * @throws ApiError if nothing has been sent yet
 */
export async function complete(service: Service, body: unknown, response: ServerResponse): Promise<void> {
  const started = performance.now();
  const { name, model, scheduler, metrics } = service;
  const request = readRequest(body, model);
  if (request.model !== undefined && request.model !== name) {
    throw new ApiError(
      404,
      `there is no model ${quote(request.model, 60)}: this server has ${quote(name, 60)}`,
      {
        param: "model",
        code: "model_not_found",
      },
    );
  }
  const choices = choicesOf(request, model);
  if (choices.length > scheduler.capacity) {
    throw badField("n", `${choices.length} texts at once: this server takes ${scheduler.capacity}`);
  }
  const answer = new Answer(request, choices, name);
  const send = (data: object): void => void response.write(`data: ${JSON.stringify(data)}\n\n`);
  try {
    await new Promise<void>((resolve, reject) => {
      let left = choices.length;
      const onEnd = (error: unknown): void => {
        if (error !== undefined) reject(error);
        else if (--left === 0) resolve();
      };
      const tasks = choices.map((choice) => {
        const onPiece = request.stream
          ? (piece: Piece) => send(answer.piece(choice, piece))
          : (piece: Piece) => answer.add(choice, piece);
        return choice.task({ onToken: stopwatch(metrics, started), onPiece, onEnd });
      });
      const abort = scheduler.add(tasks);
      if (!abort) throw tooBusy(service);
      response.once("close", () => {
        abort();
        resolve();
      });
      if (request.stream) beginStream(response);
    });
  } catch (error) {
    if (!response.headersSent) throw error;
    send(toApiError(error).body);
    response.end();
    return;
  }
  metrics.request.observe((performance.now() - started) / 1000);
  if (response.destroyed) return;
  if (request.stream) {
    const usage = answer.usage();
    if (usage) send(usage);
    response.end("data: [DONE]\n\n");
  } else {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer.whole()));
  }
}

/** Begins a stream of server-sent events, and asks proxies not to buffer it. */
function beginStream(response: ServerResponse): void {
  response.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
  });
  response.flushHeaders();
}

/** The error for a full queue, with a time to retry estimated from the requests so far. */
function tooBusy({ scheduler, metrics }: Service): ApiError {
  const { running, waiting } = scheduler;
  const seconds = (metrics.request.mean * (running + waiting)) / Math.max(1, running);
  return new ApiError(429, "too many requests are waiting: try again later", {
    type: "requests",
    code: "rate_limit_exceeded",
    headers: { "retry-after": String(Math.min(60, Math.max(1, Math.ceil(seconds)))) },
  });
}
