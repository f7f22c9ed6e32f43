import { STATUS_CODES } from "node:http";
import { messageOf } from "../system/errors.js";
import { dispatcherFor, type HttpProxy, proxyFor } from "./proxy.js";

// Every request goes through get(), with undici's own fetch: Node 20's knows no proxies.

/** An address to show: without its query, which may hold a secret. */
export function showUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** How long to wait, in milliseconds. */
export interface Timeouts {
  /** From the request to the response's headers, including connecting. */
  readonly headers: number;
  /** Between two chunks of the body. */
  readonly idle: number;
}

/** Why a transfer failed, and what may help. */
export class TransferError extends Error {
  override name = "TransferError";
  /** Whether the same request may succeed a little later. */
  readonly again: boolean;
  /** Whether the host has no such file. */
  readonly missing: boolean;
  /** Whether no connection could be made. */
  readonly unreachable: boolean;
  /** How long the host asked to wait, in milliseconds. */
  readonly retryAfter: number | undefined;
  /** The response's status, if there was one. */
  readonly status: number | undefined;
  /** The Hugging Face hub's word for a refusal, e.g. "GatedRepo". */
  readonly code: string | undefined;

  constructor(
    message: string,
    facts: {
      again?: boolean;
      missing?: boolean;
      unreachable?: boolean;
      retryAfter?: number;
      status?: number;
      code?: string;
      cause?: unknown;
    } = {},
  ) {
    super(message, { cause: facts.cause });
    this.again = facts.again ?? false;
    this.missing = facts.missing ?? false;
    this.unreachable = facts.unreachable ?? false;
    this.retryAfter = facts.retryAfter;
    this.status = facts.status;
    this.code = facts.code;
  }
}

/** An answer's headers, names in any case. */
export type AnswerHeaders = Pick<Headers, "get" | "has">;

/** An HTTP answer whose body is still to be read. */
export interface Answer {
  readonly status: number;
  readonly headers: AnswerHeaders;
  /** The body in chunks. Stopping early closes the connection. Throws TransferError. */
  chunks(): AsyncGenerator<Uint8Array, void>;
  /** Closes the connection without reading the body. */
  cancel(): void;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const MOST_REDIRECTS = 10;

/**
 * Sends a GET request and follows redirects, never from https to http; a token is not sent on to another host.
 * @returns the response, whatever its status, with its body still to be read
 * @throws TransferError, or the signal's reason when it aborts
 */
export async function get(
  url: URL,
  headers: Record<string, string>,
  timeouts: Timeouts,
  signal: AbortSignal,
): Promise<Answer> {
  let target = url;
  let sent = headers;
  for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
    const answer = await request(target, sent, timeouts, signal);
    if (!REDIRECTS.has(answer.status)) return answer;
    answer.cancel();
    const location = answer.headers.get("location");
    const next =
      location !== null && URL.canParse(location, target.href) ? new URL(location, target) : undefined;
    if (!next || (next.protocol !== "https:" && next.protocol !== "http:")) {
      throw new TransferError(`a redirect (HTTP ${answer.status}) that leads nowhere`);
    }
    if (target.protocol === "https:" && next.protocol === "http:") {
      throw new TransferError(
        `a redirect from https to ${showUrl(next)}, which is not safe and so is not followed`,
      );
    }
    if (next.origin !== target.origin) {
      const { Authorization: _, ...rest } = sent;
      sent = rest;
    }
    target = next;
  }
  throw new TransferError(`more than ${MOST_REDIRECTS} redirects`);
}

async function request(
  url: URL,
  headers: Record<string, string>,
  timeouts: Timeouts,
  signal: AbortSignal,
): Promise<Answer> {
  signal.throwIfAborted();
  const proxy = proxyFor(url);
  const dispatcher = await dispatcherFor(proxy);
  const { fetch } = await import("undici");
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const release = (): void => signal.removeEventListener("abort", onAbort);
  const cancel = (): void => {
    release();
    controller.abort();
  };
  /** Waits for one step of the exchange, at most `ms` milliseconds. */
  const within = async <T>(ms: number, what: string, step: Promise<T>): Promise<T> => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      controller.abort();
    }, ms);
    try {
      return await step;
    } catch (error) {
      cancel();
      signal.throwIfAborted();
      if (late) throw new TransferError(`${what} for ${ms / 1000} seconds`, { again: true, cause: error });
      throw networkError(error, url, proxy);
    } finally {
      clearTimeout(timer);
    }
  };

  const response = await within(
    timeouts.headers,
    "no answer",
    fetch(url, { headers, redirect: "manual", signal: controller.signal, dispatcher }),
  );
  async function* chunks(): AsyncGenerator<Uint8Array, void> {
    const reader = response.body?.getReader();
    try {
      while (reader) {
        const { done, value } = await within(timeouts.idle, "no data came", reader.read());
        if (done) break;
        yield value as Uint8Array;
      }
    } finally {
      cancel();
    }
  }
  return { status: response.status, headers: response.headers, chunks, cancel };
}

/** The error for a response that is not a file. */
export function statusError(status: number, headers: AnswerHeaders): TransferError {
  const words = STATUS_CODES[status];
  return new TransferError(`HTTP ${status}${words ? ` (${words})` : ""}`, {
    again: status >= 500 || status === 408 || status === 425 || status === 429,
    missing: status === 404 || status === 410,
    retryAfter: parseRetryAfter(headers.get("retry-after")),
    status,
    code: headers.get("x-error-code") ?? undefined,
  });
}

/** Retry-After in milliseconds: in the header it is seconds or a date (RFC 9110, 10.2.3). */
export function parseRetryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const ms = /^\s*\d+\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

const UNREACHABLE: Readonly<Record<string, string>> = {
  ENOTFOUND: "host not found (is this machine online?)",
  EAI_AGAIN: "the host name could not be looked up (is this machine online?)",
  ECONNREFUSED: "the connection was refused",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the network cannot be reached",
  ETIMEDOUT: "the connection timed out",
  UND_ERR_CONNECT_TIMEOUT: "the connection timed out",
};

const CUT: Readonly<Record<string, string>> = {
  ECONNRESET: "the connection was reset",
  EPIPE: "the connection was cut",
  UND_ERR_SOCKET: "the connection was cut",
  UND_ERR_BODY_TIMEOUT: "no data came",
  UND_ERR_HEADERS_TIMEOUT: "no answer",
};

function networkError(error: unknown, url: URL, proxy: HttpProxy | undefined): TransferError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = String((cause as NodeJS.ErrnoException | undefined)?.code ?? "");
  // The proxy looks up the host's name, so it is the proxy that cannot be reached.
  const by = proxy ? `the proxy ${proxy.shown}: ` : "";
  const refusal = proxy && proxyStatus(cause);
  if (refusal) return proxyError(refusal, by, cause);
  if (code in UNREACHABLE) {
    return new TransferError(by + UNREACHABLE[code], { again: true, unreachable: true, cause: error });
  }
  if (code in CUT) return new TransferError(by + CUT[code], { again: true, cause: error });
  if (/CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)/.test(code)) {
    return new TransferError(
      `its certificate is not trusted (${code}; behind a company's proxy, set NODE_EXTRA_CA_CERTS)`,
      { cause: error },
    );
  }
  const words = messageOf(cause);
  if (words === "bad port") {
    return new TransferError(
      `port ${url.port} is blocked, because other services than http use it: serve the files at another port`,
      { unreachable: true, cause: error },
    );
  }
  return new TransferError(by + words, { again: true, cause: error });
}

/** The status with which a proxy refused a request; undici only mentions it in the message of a cause's cause. */
function proxyStatus(cause: unknown): number | undefined {
  for (let each = cause; each instanceof Error; each = each.cause) {
    const [, status] = /^Proxy .*\((\d{3})\)/.exec(each.message) ?? [];
    if (status) return Number(status);
  }
  return undefined;
}

function proxyError(status: number, by: string, cause: unknown): TransferError {
  if (status === 407) {
    const wanted = "it asks for a user name and a password, or does not take these";
    return new TransferError(`${by}${wanted}: write them as http://NAME:PASSWORD@HOST:PORT`, {
      unreachable: true,
      cause,
    });
  }
  const { message, again } = statusError(status, new Headers());
  return new TransferError(`${by}it answers ${message}`, { again, unreachable: true, cause });
}
