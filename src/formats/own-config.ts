import type { Hparams } from "../model/hparams.js";

/** What a file says about its own model, which then needs no config.json. */
export interface OwnConfig {
  readonly hparams: Hparams;
  /** Tokens in the vocabulary; the embedding may have more rows. */
  readonly n_tokens: number;
  /** Whether linear layers and LayerNorms have biases. */
  readonly hasBiases: boolean;
  /** The program that wrote the file. */
  readonly origin: string;
  /** The part of the file that says so, for messages. */
  readonly place: string;
  readonly notices: readonly string[];
  /** nanoGPT's name of the training text; a folder of that name may list its characters. */
  readonly dataset?: unknown;
}
