import type { SpecialTokens } from "../encoder/special-tokens.js";
import type { Hparams } from "../model/hparams.js";
import type { WeightSource } from "../model/weight-source.js";

/** A GPT-2 that another program wrote, in OpenAI's terms: what reading each foreign format gives. */
export interface ForeignModel {
  readonly hparams: Hparams;
  /** Parameters under OpenAI's names; the embedding has a row for each token and no more. */
  readonly source: WeightSource;
  /** encoder.json and vocab.bpe, by their names. */
  readonly vocabulary: ReadonlyMap<string, Buffer>;
  /** How the model means its tokens. */
  readonly special: SpecialTokens;
  /** What the user should know, one line each. */
  readonly notices: readonly string[];
  /** The program or format that it comes from, for messages. */
  readonly origin: string;
}
