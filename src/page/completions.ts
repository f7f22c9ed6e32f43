/** The server that this page came from: OpenAI's completions API. */
import { EventReader } from "./events.js";
import type { Logprobs } from "./pieces.js";
import { type Settings, unescaped } from "./settings.js";

/** How many alternatives to a token are asked for. */
const ALTERNATIVES = 5;

/** What the page can do about a failure. */
export type FaultKind = "key" | "busy" | "gone" | "too-long" | "refused";

/** A failure, described in one line: what happened, then what to do. */
export class Fault extends Error {
  constructor(
    readonly kind: FaultKind,
    message: string,
  ) {
    super(message);
  }
}

/** What arrived: text, and the tokens it is made of. */
export interface Chunk {
  readonly text: string;
  readonly logprobs?: Logprobs | null;
}

/** What every request needs. */
export interface Call {
  /** "" if the server needs none. */
  readonly key: string;
  readonly signal?: AbortSignal;
}

const GONE = "The server does not answer. Is gpt2 serve still running? Your text is safe here.";
const BROKEN = "The server stopped in the middle. What it wrote is kept: continue from there, or try again.";

/** The name of the model that is served. */
export async function modelName({ key, signal }: Call): Promise<string> {
  const response = await ask("v1/models", { headers: headers(key), signal });
  const { data } = (await response.json()) as { data?: { id?: unknown }[] };
  return String(data?.[0]?.id ?? "");
}

/** How a continuation ended. */
export interface Ended {
  /** "length" or "stop". */
  readonly reason: string;
  /** How much of the end of the prompt the model read, in UTF-16 units: all of it, if it fits. */
  readonly read: number;
}

/** A prompt shorter than this is not cut. */
const SHORTEST = 16;

/** A text without its first quarter, from the beginning of a word on. */
export function shorter(text: string): string {
  const cut = Math.ceil(text.length / 4);
  const space = text.slice(cut).search(/\s/);
  return text.slice(cut + (space >= 0 && space < 40 ? space : 0)).replace(/^[\udc00-\udfff]/, "");
}

/**
 * Asks for a continuation and passes it on as it arrives. A prompt longer than the model's context loses its beginning,
 * always the same part of the same prompt.
 * @throws Fault, or the signal's reason
 */
export async function complete(
  prompt: string,
  settings: Settings,
  call: Call,
  take: (chunk: Chunk) => void,
): Promise<Ended> {
  for (let end = prompt; ; end = shorter(end)) {
    try {
      return { reason: await request(end, settings, call, take), read: end.length };
    } catch (error) {
      const isTooLong = error instanceof Fault && error.kind === "too-long";
      if (!isTooLong || end.length <= SHORTEST) throw error;
    }
  }
}

/** @returns why it ended */
async function request(
  prompt: string,
  settings: Settings,
  { key, signal }: Call,
  take: (chunk: Chunk) => void,
): Promise<string> {
  const { stop, ...numbers } = settings;
  const body = {
    prompt,
    ...numbers,
    ...(stop ? { stop: [unescaped(stop)] } : {}),
    logprobs: ALTERNATIVES,
    stream: true,
  };
  const response = await ask("v1/completions", {
    method: "POST",
    headers: { ...headers(key), "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  const reader = response.body?.getReader();
  if (reader === undefined) throw new Fault("gone", BROKEN);
  const decoder = new TextDecoder();
  const events = new EventReader();
  let reason = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Fault("gone", BROKEN); // [DONE] did not come
      for (const data of events.push(decoder.decode(value, { stream: true }))) {
        if (data === "[DONE]") return reason;
        const { choices, error } = JSON.parse(data) as StreamEvent;
        if (error) throw new Fault("refused", sentence(error.message));
        const [choice] = choices ?? [];
        if (choice) take({ text: choice.text ?? "", logprobs: choice.logprobs });
        reason = choice?.finish_reason ?? reason;
      }
    }
  } catch (error) {
    if (error instanceof Fault || signal?.aborted) throw error;
    throw new Fault("gone", BROKEN);
  } finally {
    reader.cancel().catch(() => {}); // it has ended already
  }
}

interface StreamEvent {
  readonly choices?: readonly {
    readonly text?: string;
    readonly logprobs?: Logprobs | null;
    readonly finish_reason?: string | null;
  }[];
  readonly error?: ApiError;
}

interface ApiError {
  readonly message?: string;
  readonly code?: string | null;
}

const headers = (key: string): Record<string, string> => (key ? { Authorization: `Bearer ${key}` } : {});

/** Makes a request. @throws Fault unless the answer is a success */
async function ask(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Fault("gone", GONE);
  }
  if (response.ok) return response;
  throw faultOf(response.status, response.headers.get("Retry-After"), await errorIn(response));
}

async function errorIn(response: Response): Promise<ApiError> {
  try {
    return ((await response.json()) as { error?: ApiError }).error ?? {};
  } catch {
    return {}; // not JSON: a proxy wrote it
  }
}

/** What an error response means, and what to do. */
export function faultOf(status: number, retryAfter: string | null, { message, code }: ApiError): Fault {
  if (status === 401) return new Fault("key", "This server needs its API key.");
  if (status === 429) {
    const seconds = Number(retryAfter);
    const when = seconds >= 1 ? `in ${seconds} second${seconds === 1 ? "" : "s"}` : "in a moment";
    return new Fault("busy", `The server is busy. Try again ${when}.`);
  }
  if (code === "context_length_exceeded") return new Fault("too-long", sentence(message));
  if (status === 502 || status === 503 || status === 504) {
    return new Fault("gone", "The server is starting or stopping. Try again in a moment.");
  }
  return new Fault(
    "refused",
    sentence(message) || `The server answered with error ${status}. Its log says more.`,
  );
}

/** The server's message as a sentence. */
function sentence(message: string | undefined): string {
  const text = (message ?? "").trim();
  return text === "" ? "" : `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}
