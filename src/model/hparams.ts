import { messageOf, quote, shorten, UserError } from "../system/errors.js";

/** A model's sizes, with the names of OpenAI's hparams.json. */
export interface Hparams {
  readonly n_vocab: number;
  readonly n_ctx: number;
  readonly n_embd: number;
  readonly n_head: number;
  readonly n_layer: number;
}

const HPARAM_NAMES = ["n_vocab", "n_ctx", "n_embd", "n_head", "n_layer"] as const;
/** Far above any GPT-2, low enough that no product of sizes leaves the exact integers of a double. */
const HPARAM_LIMIT = 10_000_000;
/** An hparams.json has a hundred bytes. */
export const HPARAMS_BYTES = 1 << 20;

/**
 * Reads hparams.json.
 * @param json the file's text
 * @param file the file's path, for messages
 * @throws UserError when a value is missing, is no positive integer, or n_head does not divide n_embd
 */
export function parseHparams(json: string, file: string): Hparams {
  const next = "download the model again, or name another model folder";
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new UserError(`${file} is not valid JSON (${messageOf(error)}): ${next}`, { cause: error });
  }
  if (typeof value !== "object" || value === null) throw new UserError(`${file} holds no hparams: ${next}`);
  const hparams: Partial<Record<keyof Hparams, number>> = {};
  for (const name of HPARAM_NAMES) {
    const n: unknown = (value as Record<string, unknown>)[name];
    if (n === undefined) throw new UserError(`${file} has no ${name}: ${next}`);
    if (typeof n !== "number" || !Number.isInteger(n) || n < 1 || n > HPARAM_LIMIT) {
      throw new UserError(`${file}: ${name} must be a positive whole number, not ${quote(n)}: ${next}`);
    }
    hparams[name] = n;
  }
  const { n_embd, n_head } = hparams as Hparams;
  if (n_embd % n_head !== 0) {
    throw new UserError(`${file}: n_embd ${n_embd} is not a multiple of n_head ${n_head}: ${next}`);
  }
  return hparams as Hparams;
}

/** The text of an hparams.json, its keys in OpenAI's order. */
export function hparamsJson({ n_vocab, n_ctx, n_embd, n_head, n_layer }: Hparams): string {
  return `${JSON.stringify({ n_vocab, n_ctx, n_embd, n_head, n_layer }, undefined, 2)}\n`;
}

/**
 * Every parameter of a GPT-2 with its shape, under the names of OpenAI's checkpoints, in the order in which
 * the network uses them. Weights of linear layers are [1, n_in, n_out] (a convolution of width 1 there).
 * Source: openai/gpt-2 src/model.py.
 */
export function parameterShapes(hparams: Hparams): Map<string, readonly number[]> {
  const { n_vocab, n_ctx, n_embd, n_layer } = hparams;
  const shapes = new Map<string, readonly number[]>();
  const linear = (name: string, n_in: number, n_out: number): void => {
    shapes.set(`${name}/w`, [1, n_in, n_out]);
    shapes.set(`${name}/b`, [n_out]);
  };
  const norm = (name: string): void => {
    shapes.set(`${name}/g`, [n_embd]);
    shapes.set(`${name}/b`, [n_embd]);
  };
  shapes.set("model/wte", [n_vocab, n_embd]);
  shapes.set("model/wpe", [n_ctx, n_embd]);
  for (let layer = 0; layer < n_layer; layer++) {
    const h = `model/h${layer}`;
    norm(`${h}/ln_1`);
    linear(`${h}/attn/c_attn`, n_embd, 3 * n_embd);
    linear(`${h}/attn/c_proj`, n_embd, n_embd);
    norm(`${h}/ln_2`);
    linear(`${h}/mlp/c_fc`, n_embd, 4 * n_embd);
    linear(`${h}/mlp/c_proj`, 4 * n_embd, n_embd);
  }
  norm("model/ln_f");
  return shapes;
}

/** Number of values in a tensor of this shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** A shape in a message: all of it, where it has no more sizes than a tensor of a GPT-2 might. */
export function showShape(shape: readonly number[]): string {
  const rest = shape.length > 8 ? `, ... (${shape.length} sizes)` : "";
  return `[${shape.slice(0, 8).join(", ")}${rest}]`;
}

/** Number of parameters of a model, e.g. 124,439,808 for 117M. */
export function countParameters(hparams: Hparams): number {
  // Not summed over parameterShapes: an hparams.json with a billion layers must not be built up first.
  const { n_vocab, n_ctx, n_embd, n_layer } = hparams;
  return (n_vocab + n_ctx + 2) * n_embd + n_layer * (12 * n_embd * n_embd + 13 * n_embd);
}

/** A tensor as a file describes it. */
export interface TensorInfo {
  readonly shape: readonly number[];
  /** The type of the stored values, e.g. "float32" or "float16". */
  readonly dtype: string;
}

/** Where parameters come from: a TensorFlow checkpoint or tfjs weights. */
export interface WeightSource {
  /** The path, for messages. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * Reads one tensor as float32 into the caller's memory (which may be shared memory).
   * @param target exactly as many values as the tensor has
   * @throws UserError when the file is too short or its checksum does not fit
   */
  read(name: string, target: Float32Array): Promise<void>;
  close(): Promise<void>;
}

/** A source that hands a tensor's values on in pieces too: no tensor need be in memory whole. */
export interface ScannableSource extends WeightSource {
  /** The kind of check that comes with the tensors, e.g. "CRC-32C"; undefined where they have none. */
  readonly checksum: string | undefined;
  /**
   * Hands all values of a tensor on, in order and some at a time.
   * @param visit called with values that are valid during the call; what it throws ends the reading
   * @throws UserError as read(); a checksum that does not fit shows after the last piece
   */
  scan(name: string, visit: (values: Float32Array) => void): Promise<void>;
}

/**
 * Checks that a source holds exactly the parameters of a model: number, names and shapes.
 * @throws UserError that names the first thing that does not fit
 */
export function checkParameters(hparams: Hparams, source: WeightSource): void {
  const hint = "hparams.json and the weights are not of the same model";
  let stored = 0;
  for (const { shape } of source.tensors.values()) stored += sizeOf(shape);
  const wanted = countParameters(hparams);
  if (stored !== wanted) {
    throw new UserError(
      `${source.path} holds ${stored} parameters where hparams.json describes ${wanted}: ${hint}`,
    );
  }
  // Before a list of names is made: tensors of no size, or of one number each, may stand for millions of layers.
  const tensors = 12 * hparams.n_layer + 4;
  if (source.tensors.size !== tensors) {
    throw new UserError(
      `${source.path} holds ${source.tensors.size} tensors where hparams.json describes ${tensors}: ${hint}`,
    );
  }
  const shapes = parameterShapes(hparams);
  for (const [name, shape] of shapes) {
    const found = source.tensors.get(name);
    if (!found) throw new UserError(`${source.path} has no tensor ${name}: ${hint}`);
    if (found.shape.length !== shape.length || found.shape.some((n, axis) => n !== shape[axis])) {
      throw new UserError(
        `${source.path}: ${name} has shape ${showShape(found.shape)} where hparams.json describes ${showShape(shape)}: ${hint}`,
      );
    }
  }
  for (const name of source.tensors.keys()) {
    if (!shapes.has(name))
      throw new UserError(`${source.path}: ${shorten(name)} is no parameter of a GPT-2: ${hint}`);
  }
}

/** A text being written: the tokens an engine has read so far, with its key/value cache. */
export interface Sequence {
  /** Number of tokens read, at most n_ctx. */
  readonly length: number;
}

/** One sequence's share of a forward pass. */
export interface Step {
  readonly sequence: Sequence;
  /** Token ids to append, at least one, each below n_vocab; sequence.length + ids.length <= n_ctx. */
  readonly ids: ArrayLike<number>;
}

/** Which positions forward() returns logits for. */
export type LogitsWanted = "last" | "all" | "none";

/**
 * Runs the network. Knows ids and logits; nothing of text, seeds or terminals.
 * Wrong ids, lengths or sequences are the caller's fault: RangeError.
 */
export interface Engine {
  /** What runs it, e.g. "tfjs-wasm". */
  readonly name: string;
  /** How the weights are held, e.g. "float32" or "int8". */
  readonly precision: string;
  readonly hparams: Hparams;
  /** A new, empty sequence. */
  createSequence(): Sequence;
  /** A copy that goes on by itself: same tokens read, nothing computed again. */
  fork(sequence: Sequence): Sequence;
  /**
   * Appends each step's ids to its sequence and computes the logits of the token that follows.
   * @param steps different sequences; lengths and numbers of ids may differ
   * @param wanted "last" (default): [n_vocab] a step; "all": [ids.length, n_vocab] a step; "none": [0] a step
   * @returns one array a step, in their order; valid until the next call
   */
  forward(steps: readonly Step[], wanted?: LogitsWanted): Promise<Float32Array[]>;
  /** Gives a sequence's cache back; it must not be used again. */
  free(sequence: Sequence): void;
  /** Frees everything. */
  dispose(): Promise<void>;
}
