import type { EngineOptions } from "../engines/create.js";
import type { Engine, LogitsWanted, Sequence, Step } from "../model/engine.js";
import type { Hparams } from "../model/hparams.js";
import { findModelFolder, missingModel } from "../models/find.js";
import * as load from "../models/folder.js";

/** Text <-> ids, in the model's own vocabulary. */
export interface Encoder {
  /** Number of tokens; ids are 0 to n_vocab - 1. */
  readonly n_vocab: number;
  /** The token that ends a text: `<|endoftext|>`, or what the model has instead. */
  readonly endOfText: number | undefined;
  /** The token that begins a text. */
  readonly startOfText: number | undefined;
  /** Tokens that are marks rather than text, and how each is written. */
  readonly marks: ReadonlyMap<number, string>;
  /** @param options special: whether the spelling of a special or added token is that token; by default not for OpenAI's models */
  encode(text: string, options?: { readonly special?: boolean }): number[];
  /** @throws UserError that names an id the vocabulary does not have */
  decode(ids: Iterable<number>): string;
}

/** A model that is ready to write. It holds memory and threads until dispose(). */
export interface Model {
  /** The folder it was loaded from. */
  readonly path: string;
  readonly hparams: Hparams;
  readonly encoder: Encoder;
  /** What computes, e.g. "wasm". */
  readonly backend: string;
  /** How the weights are held: "float32" or "int8". */
  readonly precision: string;
  /** Frees its memory and ends its threads; anything being generated fails. A second call does nothing. */
  dispose(): Promise<void>;
}

/** How a model is found and run; names and meanings are the command line's. */
export interface LoadOptions extends EngineOptions {
  /** Where models are; default: as for the command line. */
  readonly models_dir?: string;
}

/** What loadModel() makes: a Model, plus what the functions of this library need. */
class LibraryModel implements Model {
  readonly engine: Engine;
  private disposing: Promise<void> | undefined;

  constructor(
    readonly path: string,
    readonly hparams: Hparams,
    readonly encoder: load.LoadedModel["encoder"],
    engine: Engine,
  ) {
    this.engine = new QueuedEngine(engine);
  }

  get backend(): string {
    return this.engine.name;
  }

  get precision(): string {
    return this.engine.precision;
  }

  dispose(): Promise<void> {
    this.disposing ??= this.engine.dispose();
    return this.disposing;
  }

  /** @throws RangeError after dispose() */
  check(): void {
    if (this.disposing) throw new RangeError("the model has been disposed of");
  }
}

/** An engine takes one call at a time: here calls wait for each other, and each gets its own copy of the result. */
class QueuedEngine implements Engine {
  private last: Promise<unknown> = Promise.resolve();
  private isDisposed = false;
  readonly forwardLargest?: Engine["forwardLargest"];
  readonly attention?: Engine["attention"];

  constructor(private readonly engine: Engine) {
    const attention = engine.attention?.bind(engine);
    if (attention) this.attention = (ids, signal) => this.inTurn(() => attention(ids, signal));
    const forwardLargest = engine.forwardLargest?.bind(engine);
    if (forwardLargest) this.forwardLargest = (steps, k) => this.inTurn(() => forwardLargest(steps, k));
  }

  get name(): string {
    return this.engine.name;
  }

  get precision(): string {
    return this.engine.precision;
  }

  get hparams(): Hparams {
    return this.engine.hparams;
  }

  createSequence(): Sequence {
    return this.engine.createSequence();
  }

  fork(sequence: Sequence, length?: number): Sequence {
    return this.engine.fork(sequence, length);
  }

  /** Copies the logits: the next call may come before they are read. */
  forward(steps: readonly Step[], wanted?: LogitsWanted): Promise<Float32Array[]> {
    return this.inTurn(async () =>
      (await this.engine.forward(steps, wanted)).map((logits) => logits.slice()),
    );
  }

  private inTurn<T>(call: () => Promise<T>): Promise<T> {
    const turn = this.last.then(() => {
      if (this.isDisposed) throw new RangeError("the model has been disposed of");
      return call();
    });
    this.last = turn.catch(() => undefined);
    return turn;
  }

  /** There is nothing to free once the engine is gone. */
  free(sequence: Sequence): void {
    if (!this.isDisposed) this.engine.free(sequence);
  }

  /** Waits for the call in progress. */
  async dispose(): Promise<void> {
    this.isDisposed = true;
    await this.last;
    await this.engine.dispose();
  }
}

/**
 * Loads a model by its name, as `--model_name` takes it ("117M", "stories"), or by the path of its folder.
 * @throws UserError when it does not exist or is damaged: its message is one line that says what to do
 */
export async function loadModel(nameOrPath: string, options: LoadOptions = {}): Promise<Model> {
  const { models_dir, ...engineOptions } = options;
  const folder = findModelFolder(nameOrPath, models_dir);
  if (folder === undefined) throw missingModel(nameOrPath, models_dir);
  const { hparams, encoder, engine } = await load.loadFolder(folder, engineOptions);
  return new LibraryModel(folder, hparams, encoder, engine);
}

/**
 * The inside of a model.
 * @throws TypeError for anything not made by loadModel(); RangeError after dispose()
 */
export function insideOf(model: Model): LibraryModel {
  if (!(model instanceof LibraryModel)) throw new TypeError("that is not a model from loadModel()");
  model.check();
  return model;
}
