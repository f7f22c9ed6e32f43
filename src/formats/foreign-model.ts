import type { SpecialTokens } from "../encoder/special-tokens.js";
import type { Hparams } from "../model/hparams.js";
import type { WeightSource } from "../model/weight-source.js";

/** A GPT-2 that another program wrote, in OpenAI's terms: what each foreign format's reader returns. */
export interface ForeignModel {
  readonly hparams: Hparams;
  /** Parameters under OpenAI's names; the embedding has exactly one row per token. */
  readonly source: WeightSource;
  /** encoder.json and vocab.bpe, by their names. */
  readonly vocabulary: ReadonlyMap<string, Buffer>;
  /** What its special tokens are for. */
  readonly special: SpecialTokens;
  /** What the user should know, one line each. */
  readonly notices: readonly string[];
  /** The program or format it comes from, for messages. */
  readonly origin: string;
}
