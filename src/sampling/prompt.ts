import type { Encoder } from "../encoder/encoder.js";
import type { Hparams } from "../model/hparams.js";
import { UserError } from "../system/errors.js";

/** What reading a prompt needs of an encoder. */
export type PromptEncoder = Pick<Encoder, "encode" | "startOfText" | "special">;

/** What is read again when the context is full: half a context, the pinned tokens and the newest of the rest. */
export function pinnedAndNewest(pinned: readonly number[], ids: readonly number[], n_ctx: number): number[] {
  return [...pinned, ...ids.slice(-Math.max(1, Math.floor(n_ctx / 2) - pinned.length))];
}

/**
 * The part of a prompt that is read: all of it or, if it is longer than the context, half a context.
 * @param pinned how many of its first tokens are always read; less than half a context
 */
export function fitPrompt(ids: readonly number[], n_ctx: number, pinned = 0): readonly number[] {
  return ids.length <= n_ctx ? ids : pinnedAndNewest(ids.slice(0, pinned), ids, n_ctx);
}

/**
 * A text's tokens as a prompt: after those that begin the model's texts.
 * @param special whether special tokens in it are read as such; undefined: the encoder's default
 */
export function textIds(encoder: PromptEncoder, text: string, special?: boolean): number[] {
  return text === "" ? [] : [...encoder.special.begin, ...encoder.encode(text, { special })];
}

/**
 * A prompt's tokens: at least one, and no more than the context holds.
 * @param prompt a text, "" to begin from the token that the model begins texts from; or ids
 * @param special see textIds()
 * @param onNotice called when the prompt is longer than the context
 * @throws UserError when there is nothing to begin from
 */
export function promptIds(
  { encoder, hparams }: { readonly encoder: PromptEncoder; readonly hparams: Hparams },
  prompt: string | readonly number[],
  { special, onNotice }: { readonly special?: boolean; readonly onNotice: (line: string) => void },
): readonly number[] {
  const ids = typeof prompt === "string" ? textIds(encoder, prompt, special) : prompt;
  if (ids.length === 0) {
    const { begin } = encoder.special;
    if (begin.length > 0) return begin;
    if (encoder.startOfText === undefined) {
      throw new UserError("the model's vocabulary has no <|endoftext|> to begin from", {
        next: "give it a prompt",
      });
    }
    return [encoder.startOfText];
  }
  return fitted(ids, hparams, 0, onNotice);
}

/** A prompt with a text pinned before it, on lines of its own. */
export interface PinnedPrompt {
  readonly ids: readonly number[];
  /** How many of them are the pinned text's. */
  readonly pinned: number;
}

/** The same with a text before the prompt, which stays in front when the context is full. */
export function pinnedPrompt(
  { encoder, hparams }: { readonly encoder: PromptEncoder; readonly hparams: Hparams },
  pin: string,
  prompt: string,
  { special, onNotice }: { readonly special?: boolean; readonly onNotice: (line: string) => void },
): PinnedPrompt {
  const front = textIds(encoder, `${pin}\n`, special);
  const ids = [...front, ...encoder.encode(prompt, { special })];
  return { ids: fitted(ids, hparams, front.length, onNotice), pinned: front.length };
}

function fitted(
  ids: readonly number[],
  { n_ctx }: Hparams,
  pinned: number,
  onNotice: (line: string) => void,
): readonly number[] {
  const fitting = fitPrompt(ids, n_ctx, pinned);
  if (fitting.length < ids.length) {
    onNotice(
      `the prompt's ${ids.length} tokens are more than the context's ${n_ctx}: only the newest ${fitting.length - pinned} are read`,
    );
  }
  return fitting;
}
