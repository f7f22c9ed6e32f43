import {
  type Continuation,
  Continuations,
  type Decoding,
  type FinishReason,
} from "../sampling/continuation.js";
import { NOT_NUMBERS } from "../sampling/draw.js";
import { tokenLogprob } from "../sampling/logprobs.js";
import type { TokenTexts } from "../sampling/token-texts.js";
import { UserError } from "../system/errors.js";
import { type LogprobLists, TokenCollector } from "./logprobs.js";
import type { CompletionRequest, Prompt, ServedModel } from "./request.js";
import type { Task } from "./scheduler.js";

/** The parts of a model that writing a text needs. */
export interface WritingModel extends ServedModel {
  readonly encoder: ServedModel["encoder"] & Decoding & TokenTexts;
}

/** A part of a text, sent at once. */
export interface Piece {
  readonly text: string;
  /** The tokens whose text begins in it, if requested. */
  readonly logprobs: LogprobLists | null;
  /** OpenAI's word for why the text ends after it. */
  readonly finish_reason: string | null;
}

/** Called while a text is written. */
export interface ChoiceListener {
  /** Called when a token was drawn. */
  readonly onToken: () => void;
  readonly onPiece: (piece: Piece) => void;
  readonly onEnd: Task["onEnd"];
}

const FINISH: Readonly<Record<FinishReason, string>> = {
  eos: "stop",
  stop: "stop",
  length: "length",
  context: "length",
  interrupted: "length",
};

/** One of the texts that a request wants. */
export class Choice {
  #sample: Continuation | undefined;
  /** Collects its tokens, if log-probabilities are requested. */
  readonly #collector: TokenCollector | undefined;
  /** UTF-16 units of its text that have been sent. */
  #told = 0;
  /** The prompt's text, until it has been sent. */
  #echo: string;

  constructor(
    readonly index: number,
    private readonly prompt: Prompt,
    private readonly request: CompletionRequest,
    private readonly model: WritingModel,
    private readonly begin: () => Continuation,
  ) {
    this.#echo = request.echo ? prompt.text : "";
    this.#collector = request.logprobs === undefined ? undefined : new TokenCollector();
  }

  /** New tokens. */
  get tokens(): number {
    return this.#sample?.tokens ?? 0;
  }

  /** The task for the scheduler that writes it. */
  task({ onToken, onPiece, onEnd }: ChoiceListener): Task {
    const { prompt, request, begin } = this;
    let isOver = false;
    const tell = (text: string, finish: FinishReason | undefined): void => {
      const piece = this.#piece(text, finish);
      isOver = finish !== undefined;
      if (piece.text !== "" || isOver || piece.logprobs?.tokens.length) onPiece(piece);
    };
    return {
      prompt: request.max_tokens === 0 && prompt.ids.length > 1 ? prompt.ids.slice(0, -1) : prompt.ids,
      ...(request.max_tokens > 0 && {
        begin: () => {
          this.#sample = begin();
          return this.#sample;
        },
      }),
      ...(this.#collector && request.echo && { onLogits: this.#promptReader(this.#collector) }),
      onAdvance: ({ text, finish_reason, token }) => {
        onToken();
        if (token) this.#collector?.push(token, token.added);
        tell(text, finish_reason);
      },
      onEnd: (error) => {
        if (error === undefined && !isOver) tell("", "length"); // the prompt was all that was wanted
        onEnd(error);
      },
    };
  }

  #piece(text: string, finish: FinishReason | undefined): Piece {
    const all = this.#echo + text;
    this.#echo = "";
    this.#told += all.length;
    // A token that begins within a stop text is cut off with it; at any other end all are sent.
    const isWhole = finish !== undefined && finish !== "stop";
    return {
      text: all,
      logprobs: this.#collector?.take(isWhole ? Number.POSITIVE_INFINITY : this.#told) ?? null,
      finish_reason: finish === undefined ? null : FINISH[finish],
    };
  }

  /** Collects the prompt's tokens, each from the logits after the token before it. */
  #promptReader(collector: TokenCollector): NonNullable<Task["onLogits"]> {
    const { ids, first } = this.prompt;
    const { encoder } = this.model;
    const decoder = encoder.decoder([]);
    if (first === 0) collector.push({ bytes: [...encoder.tokenBytes(ids[0])] }, decoder.push(ids[0]));
    return (position, logits) => {
      const next = position + 1;
      if (next < first || next >= ids.length) return;
      const token = tokenLogprob(encoder, logits, ids[next], this.request.logprobs ?? 0);
      if (!Number.isFinite(token.logprob)) throw new UserError(NOT_NUMBERS);
      collector.push(token, decoder.push(ids[next]));
    };
  }
}

/** A request's texts, in OpenAI's order: all of the first prompt, then those of the second ... */
export function choicesOf(request: CompletionRequest, model: WritingModel): Choice[] {
  const { prompts, n, sampling } = request;
  return prompts.flatMap((prompt, p) => {
    let shared: Continuations | undefined; // made when the first of them begins, because it takes memory
    const begin = (number: number) => (): Continuation => {
      shared ??= new Continuations(model.hparams, model.encoder, prompt.ids, sampling);
      return shared.begin(number);
    };
    return Array.from({ length: n }, (_, i) => new Choice(p * n + i, prompt, request, model, begin(i)));
  });
}
