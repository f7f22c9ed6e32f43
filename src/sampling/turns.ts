import type { Encoder } from "../encoder/encoder.js";
import type { Hparams } from "../model/hparams.js";
import { UserError } from "../system/errors.js";

/** What a conversation needs of a model. */
export interface TurningModel {
  readonly encoder: Pick<Encoder, "encode" | "endOfText" | "special">;
  readonly hparams: Hparams;
}

/**
 * A conversation as DialoGPT was trained: turns one after another, each followed by the token that ends a text.
 * All that was said is read again before each answer; if it leaves too little room, the oldest turns go.
 * Source: microsoft/DialoGPT-medium's model card.
 */
export class Turns {
  readonly #model: TurningModel;
  readonly #end: number;
  /** Whole turns, each with its end. */
  #said: (readonly number[])[] = [];

  /** @throws UserError when the model has no token that ends a text */
  constructor(model: TurningModel) {
    if (model.encoder.endOfText === undefined) {
      throw new UserError(
        "the model has no token that ends a text, which parts the turns of a conversation",
        {
          next: "choose another model",
        },
      );
    }
    this.#model = model;
    this.#end = model.encoder.endOfText;
  }

  /**
   * Adds what the user says.
   * @param length the most tokens of the answer: room is kept for them, up to half the context
   * @param special whether special tokens in the line are read as such
   * @returns what the model continues: as much of what was said as the context holds, and always the line itself
   */
  ask(line: string, { length, special }: { length?: number; special?: boolean } = {}): readonly number[] {
    const { encoder, hparams } = this.#model;
    this.#said.push([...encoder.encode(line, { special }), this.#end]);
    const { begin } = encoder.special;
    const half = Math.floor(hparams.n_ctx / 2);
    const room = hparams.n_ctx - Math.min(length ?? half, half) - begin.length;
    let size = this.#said.reduce((sum, turn) => sum + turn.length, 0);
    while (this.#said.length > 1 && size > room) size -= this.#said.shift()?.length ?? 0;
    return [...begin, ...this.#said.flat()];
  }

  /** Adds the model's answer: its tokens or, where it was cut at a stop text, what is left of it. */
  answer(answer: string | readonly number[]): void {
    const ids = typeof answer === "string" ? this.#model.encoder.encode(answer) : answer;
    this.#said.push([...ids, this.#end]);
  }

  /** Whole turns, each with its end: what was asked, what was answered, and so on. */
  get said(): readonly (readonly number[])[] {
    return this.#said;
  }

  /** Continues an earlier conversation. */
  restore(said: readonly (readonly number[])[]): void {
    this.#said = [...said];
  }

  /** Begins a new conversation. */
  forget(): void {
    this.#said = [];
  }
}
