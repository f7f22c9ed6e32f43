import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { isIPv6 } from "node:net";
import type { LoadedModel } from "../models/folder.js";
import { messageOf } from "../system/errors.js";
import { Access, type AccessOptions } from "./access.js";
import { ApiError, toApiError } from "./api-error.js";
import { complete, type Service } from "./completions.js";
import { listenError, PATIENCE, type Patience, readJson, sendJson, watchReader } from "./http.js";
import { type Measured, Metrics, processMetrics } from "./metrics.js";
import { PAGE_HEADERS, readPage } from "./page.js";
import { Scheduler, type SchedulerOptions } from "./scheduler.js";

/** How the server is set up. */
export interface ServerOptions extends AccessOptions, SchedulerOptions {
  /** The model's name in requests. */
  readonly name: string;
  /** 0 lets the system choose one. */
  readonly port: number;
  /** Seconds that requests have to finish when the server closes. */
  readonly grace: number;
  readonly patience?: Partial<Patience>;
  /** Called with internal errors, of which clients are told little. */
  readonly onFault?: (line: string) => void;
}

const CONNECTIONS = 2048;

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** A model behind HTTP: OpenAI's completions API, and a page. */
export class ModelServer {
  readonly #service: Service;
  readonly #options: ServerOptions;
  readonly #access: Access;
  readonly #server: Server;
  readonly #page = readPage();
  readonly #created = Math.floor(Date.now() / 1000);
  readonly #completing = new Set<Promise<void>>();
  #isClosing = false;

  private constructor(model: LoadedModel, options: ServerOptions) {
    this.#options = options;
    this.#access = new Access(options);
    this.#service = {
      name: options.name,
      model,
      scheduler: new Scheduler(model.engine, options),
      metrics: new Metrics(),
    };
    const patience = { ...PATIENCE, ...options.patience };
    this.#server = createServer(
      {
        keepAlive: true, // notices peers that vanish silently
        keepAliveInitialDelay: patience.reading,
        headersTimeout: patience.head,
        requestTimeout: patience.request,
        connectionsCheckingInterval: Math.min(1000, patience.head),
      },
      (request, response) => {
        watchReader(response, patience);
        void this.#answer(request, response);
      },
    );
    this.#server.maxConnections = CONNECTIONS;
  }

  /**
   * Starts listening.
   * @throws UserError when it cannot
   */
  static async start(model: LoadedModel, options: ServerOptions): Promise<ModelServer> {
    const server = new ModelServer(model, options);
    try {
      await new Promise<void>((resolve, reject) => {
        server.#server.once("error", reject).listen(options.port, options.host, resolve);
      });
    } catch (error) {
      await server.#service.scheduler.close(new Error("not started"));
      throw listenError(error, options.host, options.port);
    }
    return server;
  }

  /** The address at which it listens. */
  get url(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `http://${isIPv6(address) ? `[${address}]` : address}:${port}`;
  }

  /** Takes no more requests; gives running ones `grace` seconds, then aborts them. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeIdleConnections();
    let timer: NodeJS.Timeout | undefined;
    const isOver = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.grace * 1000);
    });
    await Promise.race([isOver, Promise.allSettled(this.#completing)]);
    clearTimeout(timer);
    const reason = new ApiError(503, "the server is shutting down");
    await this.#service.scheduler.close(reason);
    await Promise.allSettled(this.#completing);
    this.#server.closeIdleConnections();
    setTimeout(() => this.#server.closeAllConnections(), 1000).unref(); // for clients that do not read the end
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.once("close", () => this.#service.metrics.answered(response.statusCode));
    try {
      const { headers, method = "GET", url = "/" } = request;
      response.setHeader("x-content-type-options", "nosniff");
      for (const [name, value] of Object.entries(this.#access.corsHeaders(headers.origin))) {
        response.setHeader(name, value);
      }
      this.#access.checkSender(headers);
      if (method === "OPTIONS") {
        response.writeHead(204).end();
        return;
      }
      const [path] = url.split("?", 1);
      const handler = this.#route(path, method);
      if (path.startsWith("/v1/")) this.#access.checkKey(headers);
      await handler(request, response);
    } catch (error) {
      this.#fail(response, error);
    }
  }

  #fail(response: ServerResponse, thrown: unknown): void {
    const error = toApiError(thrown);
    if (!(thrown instanceof ApiError)) this.#options.onFault?.(messageOf(thrown));
    if (response.destroyed) return;
    if (response.headersSent) response.destroy();
    else sendJson(response, error.status, error.body, error.details.headers);
  }

  /** The handler for a path. @throws ApiError if there is none */
  #route(path: string, method: string): Handler {
    const isRead = method === "GET" || method === "HEAD";
    const only = (allowed: string, isAllowed: boolean, handler: Handler): Handler => {
      if (isAllowed) return handler;
      throw new ApiError(405, `${path} takes ${allowed}, not ${method}`, { headers: { allow: allowed } });
    };
    const file = this.#page.get(path);
    if (file) {
      return only("GET", isRead, (_, response) => {
        response.writeHead(200, { ...PAGE_HEADERS, "content-type": file.type }).end(file.body);
      });
    }
    switch (path) {
      case "/health":
        return only("GET", isRead, (_, response) => this.#health(response));
      case "/metrics":
        return only("GET", isRead, (_, response) => {
          const type = "text/plain; version=0.0.4; charset=utf-8";
          response.writeHead(200, { "content-type": type }).end(this.#metricsText());
        });
      case "/v1/models":
        return only("GET", isRead, (_, response) => {
          sendJson(response, 200, { object: "list", data: [this.#modelObject()] });
        });
      case "/v1/completions":
        return only("POST", method === "POST", (request, response) => this.#complete(request, response));
      case "/v1/chat/completions":
        throw new ApiError(404, "this model continues texts and cannot chat: use /v1/completions", {
          code: "not_a_chat_model",
        });
    }
    if (path.startsWith("/v1/models/")) {
      return only("GET", isRead, (_, response) =>
        this.#describeModel(path.slice("/v1/models/".length), response),
      );
    }
    throw new ApiError(404, `there is nothing at ${path}`, { code: "unknown_url" });
  }

  async #complete(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readJson(request);
    if (this.#isClosing) throw new ApiError(503, "the server is shutting down");
    const done = complete(this.#service, body, response);
    this.#completing.add(done);
    try {
      await done;
    } finally {
      this.#completing.delete(done);
    }
  }

  /** Answers 200 while requests are taken. */
  #health(response: ServerResponse): void {
    const { failure } = this.#service.scheduler;
    if (this.#isClosing) sendJson(response, 503, { status: "shutting down" });
    else if (failure !== undefined) sendJson(response, 503, { status: messageOf(failure) });
    else sendJson(response, 200, { status: "ok" });
  }

  #describeModel(id: string, response: ServerResponse): void {
    const { name } = this.#service;
    if (id !== name && id !== encodeURIComponent(name)) {
      throw new ApiError(404, `there is no model ${id}: this server has ${name}`, {
        code: "model_not_found",
      });
    }
    sendJson(response, 200, this.#modelObject());
  }

  #modelObject(): object {
    const { name, model } = this.#service;
    const { n_ctx } = model.hparams;
    return { id: name, object: "model", created: this.#created, owned_by: "gpt2", max_model_len: n_ctx };
  }

  #metricsText(): string {
    const { scheduler, metrics } = this.#service;
    const { counts } = scheduler;
    const gauge = (name: string, help: string, value: number): Measured => ({
      name,
      help,
      value,
      type: "gauge",
    });
    const counter = (name: string, help: string, value: number): Measured => ({
      ...gauge(name, help, value),
      type: "counter",
    });
    return metrics.text([
      gauge("gpt2_sequences_running", "Texts being computed.", scheduler.running),
      gauge("gpt2_sequences_waiting", "Texts that wait for a place.", scheduler.waiting),
      gauge("gpt2_cached_tokens", "Tokens kept for texts that begin alike.", scheduler.cached),
      counter("gpt2_prompt_tokens_total", "Tokens of prompts read.", counts.prompt),
      counter("gpt2_reused_tokens_total", "Tokens of prompts that had been read before.", counts.reused),
      counter("gpt2_generated_tokens_total", "Tokens drawn.", counts.drawn),
      counter("gpt2_passes_total", "Passes through the model.", counts.passes),
      counter("gpt2_pass_sequences_total", "Texts in them; by passes: the mean batch.", counts.rows),
      ...processMetrics(),
    ]);
  }
}
