import type { Hparams } from "../model/hparams.js";
import { option, UserError } from "../system/errors.js";
import { type AdjustOptions, type DrawTokens, makeAdjust } from "./adjust.js";
import { NONE_LEFT, NOT_NUMBERS } from "./draw.js";
import { logSumExp } from "./logprobs.js";

/** What is searched for. Names and meaning are the command line's. */
export interface BeamSearchOptions extends AdjustOptions {
  /** How many texts are kept at each step, at least 1. */
  readonly num_beams: number;
  /** A text of n new tokens scores the sum of their log-probabilities / n ** length_penalty. */
  readonly length_penalty: number;
  /** How many texts are found, at most num_beams. */
  readonly num_return: number;
  /** Most new tokens of a text; undefined = until the context is full. */
  readonly length?: number;
}

/** A text that is being written, or was found. */
export interface Beam<Told> {
  /** Its new tokens, the one that ends it included. */
  readonly ids: readonly number[];
  /** While it is written, the sum of its tokens' log-probabilities; once found, what it is ranked by. */
  readonly score: number;
  /** What `tell` said of each of its tokens: see BeamSearch. */
  readonly told: readonly Told[];
}

/** A new beam: which of the old ones it continues, and with which token. */
export interface Move {
  readonly from: number;
  readonly id: number;
}

/** A token that may continue one of the beams. */
interface Candidate extends Move {
  readonly score: number;
}

/**
 * Beam search, as transformers' generate() does it with do_sample=False and early_stopping=False (GenerationMixin.
 * _beam_search): it keeps the num_beams texts of the largest sum of log-probabilities, and ends when no text being
 * written could, ended now, beat the worst of num_beams finished ones. It has no engine: its caller reads the prompt,
 * then by turns gives each beam's logits to advance() and reads the moves.
 *
 * Penalties and bans change log-probabilities, not logits; the result is not renormalised.
 * @param Told what `tell` says of a token
 */
export class BeamSearch<Told = undefined> {
  /** The texts being written, best first; one without tokens at the beginning. */
  beams: readonly Beam<Told>[] = [{ ids: [], score: 0, told: [] }];
  /** Most new tokens of a text. */
  readonly most: number;
  #finished: Beam<Told>[] = [];
  readonly #adjust: ReturnType<typeof makeAdjust>;
  readonly #logProbabilities: Float64Array;
  readonly #ends: ReadonlySet<number>;

  /**
   * @param prompt token ids, at least one, at most n_ctx
   * @param tell called for each token that continues a beam, with the logits that it was chosen from
   * @throws UserError when length goes beyond the context; RangeError as makeAdjust()
   */
  constructor(
    { n_ctx, n_vocab }: Hparams,
    tokens: DrawTokens,
    private readonly prompt: readonly number[],
    private readonly options: BeamSearchOptions,
    private readonly tell?: (logits: Float32Array, id: number) => Told,
  ) {
    const room = n_ctx - prompt.length + 1; // the last token is not read
    this.most = options.length ?? room;
    if (this.most > room) {
      throw new UserError(
        `${option("num_beams")} cannot write beyond the context's ${n_ctx} tokens, of which the prompt takes ${prompt.length}`,
        { next: `pass ${option("length", room)} or less` },
      );
    }
    this.#ends = tokens.ends;
    this.#adjust = makeAdjust(n_vocab, options, tokens);
    this.#logProbabilities = new Float64Array(n_vocab);
  }

  /**
   * Takes the logits after each beam and chooses the next beams.
   * @param logits [n_vocab] for each of `beams`, in their order
   * @returns where the new beams come from, in their order; none when the search is over
   * @throws UserError when logits are not numbers, or bans leave nothing to write
   */
  advance(logits: readonly Float32Array[]): readonly Move[] {
    const { num_beams, length_penalty } = this.options;
    const before = this.beams;
    const candidates = this.#candidates(logits);
    const length = before[0].ids.length + 1;
    const divisor = length ** length_penalty;
    const isLast = length === this.most;
    const grown = ({ from, id, score }: Candidate): Beam<Told> => {
      const { ids, told } = before[from];
      return { ids: [...ids, id], score, told: this.tell ? [...told, this.tell(logits[from], id)] : told };
    };
    const going: Candidate[] = [];
    for (const [rank, candidate] of candidates.entries()) {
      if (!isLast && !this.#ends.has(candidate.id)) {
        if (going.length < num_beams) going.push(candidate);
      } else if (rank < num_beams) {
        // Others that end are behind num_beams better texts.
        this.#finish({ ...grown(candidate), score: candidate.score / divisor });
      }
    }
    this.beams = going.map(grown);
    const isFull = this.#finished.length === num_beams;
    const isHopeless = isFull && !(going[0]?.score / divisor > this.#finished[num_beams - 1].score);
    if (going.length > 0 && !isHopeless) return going;
    if (this.#finished.length === 0) throw new UserError(NONE_LEFT);
    return [];
  }

  /** The texts found, best first, when the search is over. @throws UserError when there are fewer than num_return */
  found(): readonly Beam<Told>[] {
    const { num_return } = this.options;
    if (this.#finished.length < num_return) {
      throw new UserError(
        `the search found ${this.#finished.length} texts, not the ${num_return} of ${option("num_return")}`,
        { next: "ask for fewer" },
      );
    }
    return this.#finished.slice(0, num_return);
  }

  /** The best text so far. */
  best(): Beam<Told> {
    return this.#finished[0] ?? this.beams[0];
  }

  /** Adds a text to those found; of equal scores the earlier one comes first. */
  #finish(beam: Beam<Told>): void {
    const at = this.#finished.findIndex(({ score }) => score < beam.score);
    this.#finished.splice(at < 0 ? this.#finished.length : at, 0, beam);
    this.#finished.splice(this.options.num_beams);
  }

  /** The best-scoring tokens over all beams, best first: enough that num_beams of them do not end a text. */
  #candidates(logits: readonly Float32Array[]): Candidate[] {
    const most = Math.max(2, 1 + this.#ends.size) * this.options.num_beams;
    const best: Candidate[] = [];
    let least = -Infinity; // of the best, once they are complete
    for (const [from, { score: sum }] of this.beams.entries()) {
      const row = this.#row(logits[from], from);
      for (let id = 0; id < row.length; id++) {
        const score = sum + row[id];
        if (!(score > least)) continue;
        let at = best.length < most ? best.length : most - 1;
        for (; at > 0 && best[at - 1].score < score; at--) best[at] = best[at - 1];
        best[at] = { from, id, score };
        if (best.length === most) least = best[most - 1].score;
      }
    }
    return best;
  }

  /** A beam's log-probabilities of the next token [n_vocab], adjusted. */
  #row(logits: Float32Array, from: number): Float64Array {
    const [max, rest] = logSumExp(logits);
    if (!Number.isFinite(max + rest)) throw new UserError(NOT_NUMBERS);
    const row = this.#logProbabilities;
    for (let id = 0; id < row.length; id++) row[id] = logits[id] - max - rest;
    if (!this.#adjust) return row;
    const { ids } = this.beams[from];
    this.#adjust(row, { context: [...this.prompt, ...ids], drawn: ids.length });
    return row;
  }
}
