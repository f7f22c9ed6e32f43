import type { Hparams } from "../model/hparams.js";

/** What a file says of its model itself, so that it needs no config.json. */
export interface OwnConfig {
  readonly hparams: Hparams;
  /** Tokens of the vocabulary, which may be fewer than the embedding's rows. */
  readonly n_tokens: number;
  /** Whether linear layers and LayerNorms have one. */
  readonly hasBiases: boolean;
  /** The program that wrote it. */
  readonly origin: string;
  /** Where the file says it, for messages. */
  readonly place: string;
  readonly notices: readonly string[];
  /** What nanoGPT calls the text that it was trained on; its characters may be listed in a folder of that name. */
  readonly dataset?: unknown;
}
