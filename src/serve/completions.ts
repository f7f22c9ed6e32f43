import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import {
  type Continuation,
  Continuations,
  type Decoding,
  type FinishReason,
} from "../sampling/continuation.js";
import { quote } from "../system/errors.js";
import { ApiError, toApiError } from "./api-error.js";
import type { Metrics } from "./metrics.js";
import { type CompletionRequest, type Prompt, readRequest, type ServedModel } from "./request.js";
import type { Scheduler, Task } from "./scheduler.js";

/** What answers requests for completions. */
export interface Service {
  /** The name by which requests ask for the model. */
  readonly name: string;
  readonly model: ServedModel & { readonly encoder: Decoding };
  readonly scheduler: Scheduler;
  readonly metrics: Metrics;
}

/** OpenAI's word for why a text ended. */
const FINISH: Readonly<Record<FinishReason, string>> = {
  eos: "stop",
  stop: "stop",
  length: "length",
  context: "length",
  interrupted: "length",
};

/** One of a request's texts. */
class Choice {
  text = "";
  finish: string | null = null;
  sample: Continuation | undefined;
  private lastToken: number | undefined;

  constructor(
    readonly index: number,
    readonly prompt: Prompt,
    private readonly begin: (() => Continuation) | undefined,
  ) {}

  /**
   * What the scheduler is to do for it.
   * @param onText told each piece of its text, last with why it ended
   */
  task(
    metrics: Metrics,
    started: number,
    onText: (choice: Choice, text: string) => void,
    onEnd: Task["onEnd"],
  ): Task {
    const { begin } = this;
    return {
      prompt: this.prompt.ids,
      begin:
        begin &&
        (() => {
          this.sample = begin();
          return this.sample;
        }),
      onAdvance: ({ text, finish_reason }) => {
        const now = performance.now();
        if (this.lastToken === undefined) metrics.firstToken.observe((now - started) / 1000);
        else metrics.perToken.observe((now - this.lastToken) / 1000);
        this.lastToken = now;
        if (finish_reason) this.finish = FINISH[finish_reason];
        this.#tell(text, onText);
      },
      onEnd: (error) => {
        if (error === undefined && this.finish === null) {
          this.finish = "length"; // nothing was to be written
          this.#tell("", onText);
        }
        onEnd(error);
      },
    };
  }

  #tell(text: string, onText: (choice: Choice, text: string) => void): void {
    if (text === "" && this.finish === null) return;
    this.text += text;
    onText(this, text);
  }
}

/** The texts that a request asks for, in OpenAI's order: all of the first prompt, then those of the second... */
function choicesOf({ prompts, n, sampling, max_tokens }: CompletionRequest, { model }: Service): Choice[] {
  return prompts.flatMap((prompt, p) => {
    let shared: Continuations | undefined; // made when the first of them begins: it takes memory
    const begin = (number: number) => (): Continuation => {
      shared ??= new Continuations(model.hparams, model.encoder, prompt.ids, sampling);
      return shared.begin(number);
    };
    return Array.from(
      { length: n },
      (_, i) => new Choice(p * n + i, prompt, max_tokens > 0 ? begin(i) : undefined),
    );
  });
}

/** A completion in OpenAI's words, whole or in pieces. */
class Answer {
  readonly #head: object;

  constructor(
    private readonly request: CompletionRequest,
    private readonly choices: readonly Choice[],
    model: string,
  ) {
    const created = Math.floor(Date.now() / 1000);
    const id = `cmpl-${randomBytes(12).toString("hex")}`;
    this.#head = { id, object: "text_completion", created, model, seed: request.sampling.seed };
  }

  whole(): object {
    const choices = this.choices.map((choice) => this.#choice(choice, this.#echo(choice) + choice.text));
    return { ...this.#head, choices, usage: this.#usage() };
  }

  /** A piece of one choice's text. */
  piece(choice: Choice, text: string): object {
    const isFirst = choice.text.length === text.length;
    const piece = this.#choice(choice, (isFirst ? this.#echo(choice) : "") + text);
    return { ...this.#head, choices: [piece], ...(this.request.include_usage && { usage: null }) };
  }

  /** The last piece, where it was asked for. */
  usage(): object | undefined {
    return this.request.include_usage ? { ...this.#head, choices: [], usage: this.#usage() } : undefined;
  }

  #echo({ prompt }: Choice): string {
    return this.request.echo ? prompt.text : "";
  }

  #choice({ index, finish }: Choice, text: string): object {
    return { text, index, logprobs: null, finish_reason: finish };
  }

  #usage(): object {
    const prompt_tokens = this.request.prompts.reduce((sum, { ids }) => sum + ids.length, 0);
    const completion_tokens = this.choices.reduce((sum, { sample }) => sum + (sample?.tokens ?? 0), 0);
    return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
  }
}

/**
 * Answers a request for completions, and gives it up when the client goes away.
 * @param body as JSON has it
 * @throws ApiError where nothing has been sent yet
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
  const choices = choicesOf(request, service);
  const answer = new Answer(request, choices, name);
  const send = (data: object): void => void response.write(`data: ${JSON.stringify(data)}\n\n`);
  try {
    await new Promise<void>((resolve, reject) => {
      let left = choices.length;
      const onText = (choice: Choice, text: string): void => {
        if (request.stream) send(answer.piece(choice, text));
      };
      const onEnd = (error: unknown): void => {
        if (error !== undefined) reject(error);
        else if (--left === 0) resolve();
      };
      const abort = scheduler.add(choices.map((choice) => choice.task(metrics, started, onText, onEnd)));
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

/** Server-sent events; a proxy is asked not to hold them back. */
function beginStream(response: ServerResponse): void {
  response.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
  });
  response.flushHeaders();
}

/** The queue is full: when to try again, by what requests have taken so far. */
function tooBusy({ scheduler, metrics }: Service): ApiError {
  const { running, waiting } = scheduler;
  const seconds = (metrics.request.mean * (running + waiting)) / Math.max(1, running);
  return new ApiError(429, "too many requests are waiting: try again later", {
    type: "requests",
    code: "rate_limit_exceeded",
    headers: { "retry-after": String(Math.min(60, Math.max(1, Math.ceil(seconds)))) },
  });
}
