import type { SomeLogits } from "../model/engine.js";
import type { Hparams } from "../model/hparams.js";
import { uniform } from "../random.js";
import { type Draw, type DrawOptions, makeDraw } from "./draw.js";
import { type DrawnToken, tokenLogprob } from "./logprobs.js";
import type { MirostatState } from "./mirostat.js";
import type { Past } from "./penalties.js";
import { pinnedAndNewest } from "./prompt.js";
import { ShownText } from "./stop.js";
import type { TokenTexts } from "./token-texts.js";

/** How a prompt is continued. Names and meaning are the command line's. */
export interface ContinuationOptions extends DrawOptions {
  readonly seed: number;
  /** Most new tokens of a sample, at least 1; undefined = until the model ends the text or the context is full. */
  readonly length?: number;
  /** Texts that end a sample; they are not part of it. */
  readonly stop?: readonly string[];
  /** Treat the end-of-text token as text. */
  readonly ignore_eos?: boolean;
  /** Special tokens are part of the text, as they are written. */
  readonly show_special?: boolean;
  /** Report how likely the model found each token, with this many of the likeliest in its place; undefined = off. */
  readonly logprobs?: number;
  /** Keep the sample's tokens: see Continuation.ids. */
  readonly keepIds?: boolean;
  /** How many tokens at the start of the prompt stay there when a full context is begun again. */
  readonly pinned?: number;
}

/**
 * Why a sample ended: the model ended it (eos), a stop text came (stop), it has `length` tokens (length), it had
 * none to end it and the context is full (context), or its signal was aborted (interrupted).
 */
export type FinishReason = "eos" | "stop" | "length" | "context" | "interrupted";

/** What a token adds to its sample. */
export interface Advance {
  /** The token, where logprobs are asked for; not the one that ends a text. */
  readonly token?: DrawnToken;
  /** What can be shown now: often nothing, or the text of several tokens. */
  readonly text: string;
  /** The sample ends here. */
  readonly finish_reason?: FinishReason;
}

/** What sampling needs of an encoder: to turn ids into text, and to know the token that ends a text. */
export interface Decoding extends Partial<TokenTexts> {
  readonly endOfText?: number;
  /** The tokens that end a text, where there are several. */
  readonly special?: { readonly eos: readonly number[] };
  /** @param before the prompt */
  decoder(before: readonly number[]): { push(id: number): string; end(): string };
}

const NO_MARKS: ReadonlyMap<number, string> = new Map();

/** The marks except those shown: where a text does not stop at its end, the end is seen. */
function marksBut(marks = NO_MARKS, shown: readonly number[]): ReadonlyMap<number, string> {
  return new Map([...marks].filter(([id]) => !shown.includes(id)));
}

/** What a model's tokens stand for: text, or the end of one. */
export interface TokenRoles {
  /** The tokens that end a text. */
  readonly ends: ReadonlySet<number>;
  /** Tokens that are not shown, and how each is written in a stop text. */
  readonly hidden: ReadonlyMap<number, string>;
}

/** The roles that tokens have under these options. */
export function tokenRoles(
  { endOfText, special, marks }: Decoding,
  { ignore_eos, show_special }: Pick<ContinuationOptions, "ignore_eos" | "show_special">,
): TokenRoles {
  const allEnds = [endOfText, ...(special?.eos ?? [])].filter((id) => id !== undefined);
  return {
    ends: new Set(ignore_eos ? [] : allEnds),
    hidden: show_special ? NO_MARKS : marksBut(marks, ignore_eos ? allEnds : []),
  };
}

/** What all continuations of one prompt share. */
export class Continuations implements TokenRoles {
  readonly draw: Draw;
  /** How many of the largest logits advance() needs; 0 = all logits. */
  readonly largest: number;
  readonly n_ctx: number;
  readonly ends: ReadonlySet<number>;
  readonly hidden: ReadonlyMap<number, string>;

  /**
   * @param prompt token ids, at least one, at most n_ctx (see fitPrompt)
   * @throws RangeError when the prompt's length is out of bounds, or options need the tokens' bytes and decoding has none
   */
  constructor(
    { n_ctx, n_vocab }: Hparams,
    readonly decoding: Decoding,
    readonly prompt: readonly number[],
    readonly options: ContinuationOptions,
  ) {
    if (prompt.length < 1 || prompt.length > n_ctx) {
      throw new RangeError(`a prompt has 1 to ${n_ctx} tokens, not ${prompt.length}`);
    }
    if (options.logprobs !== undefined && !decoding.tokenBytes)
      throw new RangeError("logprobs need the tokens' bytes");
    const { ends, hidden } = tokenRoles(decoding, options);
    this.n_ctx = n_ctx;
    this.ends = ends;
    this.hidden = hidden;
    const texts = decoding.tokenBytes && (decoding as Decoding & TokenTexts);
    this.draw = makeDraw(n_vocab, options, { ends: this.ends, texts });
    this.largest = options.logprobs === undefined ? this.draw.largest : 0;
  }

  /** Begins the continuation with this number in the seed's stream. */
  begin(number: number): Continuation {
    return new Continuation(this, number);
  }
}

/**
 * One sample being written: draws token after token, says which text can be shown and when it ends. It has no
 * engine: its caller reads the prompt, then by turns gives logits to advance() and reads next().
 */
export class Continuation {
  /** New tokens drawn, without the one that ends a text. */
  tokens = 0;
  /** The new tokens, with keepIds. */
  readonly ids: number[] | undefined;
  readonly #shared: Continuations;
  readonly #number: number;
  readonly #decoder: ReturnType<Decoding["decoder"]>;
  readonly #shown: ShownText;
  /** The newest tokens, prompt included: what a full context is begun again with. */
  readonly #recent: number[];
  /** What stays at the front of every context. */
  readonly #pinned: readonly number[];
  /** What samplers remember from token to token. */
  readonly #state: MirostatState = {};
  /** Tokens in the context when the next one is drawn. */
  #read: number;

  constructor(shared: Continuations, number: number) {
    const { decoding, prompt, options, hidden } = shared;
    this.#shared = shared;
    this.#number = number;
    this.#decoder = decoding.decoder(prompt);
    this.#shown = new ShownText(options.stop ?? [], hidden);
    this.#recent = prompt.slice();
    this.#pinned = prompt.slice(0, options.pinned ?? 0);
    this.#read = prompt.length;
    this.ids = options.keepIds ? [] : undefined;
  }

  /**
   * Draws the next token.
   * @param logits [n_vocab] of the last position read, or the largest of them: see Continuations.largest
   * @throws UserError when they are not numbers
   */
  advance(logits: Float32Array | SomeLogits): Advance {
    const { draw, ends, n_ctx, options } = this.#shared;
    const id = draw(logits, uniform(options.seed, this.#number, this.tokens), this.#past());
    if (ends.has(id)) return this.end("eos");
    this.tokens++;
    this.ids?.push(id);
    this.#recent.push(id);
    if (this.#recent.length >= 2 * n_ctx) this.#recent.splice(0, this.#recent.length - n_ctx);
    let added = "";
    const { text, stopped } = this.#shown.push(id, (token) => {
      added = this.#decoder.push(token);
      return added;
    });
    const token = this.#tell(logits, id, added);
    if (stopped) return { token, text, finish_reason: "stop" };
    const isFull = options.length === undefined && this.#read >= n_ctx;
    if (this.tokens !== options.length && !isFull) return { token, text };
    const end = this.end(isFull ? "context" : "length");
    return { token, ...end, text: text + end.text };
  }

  /** How likely a token was, with logprobs. */
  #tell(logits: Float32Array | SomeLogits, id: number, added: string): DrawnToken | undefined {
    const { decoding, options } = this.#shared;
    if (options.logprobs === undefined || !(logits instanceof Float32Array)) return undefined;
    const token = tokenLogprob(decoding as Decoding & TokenTexts, logits, id, options.logprobs);
    return { ...token, added };
  }

  /**
   * What to read for the next token; call it once after each advance() that did not end the sample.
   * @returns afresh: into an empty sequence, because the context is full
   */
  next(): { readonly ids: readonly number[]; readonly afresh: boolean } {
    const afresh = this.#read >= this.#shared.n_ctx;
    const ids = afresh
      ? pinnedAndNewest(this.#pinned, this.#recent, this.#shared.n_ctx)
      : this.#recent.slice(-1);
    this.#read = afresh ? ids.length : this.#read + 1;
    return { ids, afresh };
  }

  /** Ends the sample and returns the text held back, in which a stop text may still be found. */
  end(finish_reason: FinishReason): Advance & { readonly finish_reason: FinishReason } {
    const { text, stopped } = this.#shown.text(this.#decoder.end());
    return stopped ? { text, finish_reason: "stop" } : { text: text + this.#shown.end(), finish_reason };
  }

  /** What the next token follows. */
  #past(): Past {
    const others = this.#read - this.#pinned.length;
    return {
      context: this.#pinned.concat(this.#recent.slice(-others)),
      drawn: Math.min(this.tokens, others),
      state: this.#state,
    };
  }
}
