import type { Encoder } from "../encoder/encoder.js";
import type { Hparams } from "../model/hparams.js";
import { UserError } from "../system/errors.js";
import { fitPrompt } from "./sample.js";

/**
 * The tokens that a prompt becomes: never none, never more than the context.
 * @param prompt a text, "" to begin from the end-of-text token; or ids
 * @param onNotice told when the prompt is longer than the context
 * @throws UserError when there is nothing to begin from
 */
export function promptIds(
  {
    encoder,
    hparams,
  }: { readonly encoder: Pick<Encoder, "encode" | "startOfText">; readonly hparams: Hparams },
  prompt: string | readonly number[],
  onNotice: (line: string) => void,
): readonly number[] {
  const ids = typeof prompt === "string" ? encoder.encode(prompt) : prompt;
  if (ids.length === 0) {
    if (encoder.startOfText === undefined) {
      throw new UserError("the model's vocabulary has no <|endoftext|> to begin from", {
        next: "give it a prompt",
      });
    }
    return [encoder.startOfText];
  }
  const fitting = fitPrompt(ids, hparams.n_ctx);
  if (fitting.length < ids.length) {
    onNotice(
      `the prompt's ${ids.length} tokens are more than the context's ${hparams.n_ctx}: only the newest ${fitting.length} are read`,
    );
  }
  return fitting;
}
