/** A vocabulary as the two files of a model's folder. */
export interface TrainedVocabulary {
  /** The text of encoder.json. */
  readonly encoderJson: string;
  /** The text of vocab.bpe. */
  readonly vocabBpe: string;
  /** How many tokens it has: fewer than were asked for where the texts have no more pairs to merge. */
  readonly n_vocab: number;
}

export interface TrainVocabularyOptions {
  readonly signal?: AbortSignal;
  /** Called now and then with the tokens that there are, of how many. */
  readonly onProgress?: (tokens: number, n_vocab: number) => void;
}

/**
 * Makes a byte-level BPE vocabulary from texts.
 * @param texts no token crosses from one to the next
 * @param n_vocab how many tokens, the 256 bytes and `<|endoftext|>` among them
 * @throws UsageError when n_vocab is below 257
 */
export async function trainVocabulary(
  _texts: AsyncIterable<string> | Iterable<string>,
  _n_vocab: number,
  _options: TrainVocabularyOptions = {},
): Promise<TrainedVocabulary> {
  throw new Error("not written yet");
}
