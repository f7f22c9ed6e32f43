import type { Tensor, Tensor2D, Tensor4D } from "@tensorflow/tfjs-core";
import type { Engine, LogitsWanted, Sequence, Step } from "../../model/engine.js";
import type { Hparams } from "../../model/hparams.js";
import type { WeightSource } from "../../model/weight-source.js";
import type { TfjsBackend } from "../backends.js";
import { checkLength, checkSteps } from "../steps.js";
import { loadTf, type Tf } from "./backend.js";
import { type Loading, loadParameters, Network, type Past } from "./model.js";

/** The past of sequences that were read together. Freed when the last of its sequences moves on. */
interface Block {
  readonly past: Past;
  readonly n_rows: number;
  users: number;
}

/** A sequence has one row of a block: the rightmost positions, except those after its own. */
class TfjsSequence implements Sequence {
  length = 0;
  block: Block | undefined;
  row = 0;
  /** Positions at the right end that are another's: it was forked from a longer one. */
  behind = 0;
  isFreed = false;
}

/** Runs GPT-2 on TensorFlow.js. Results may differ in the last bits between backends and batch sizes. */
class TfjsEngine implements Engine {
  readonly precision = "float32";
  private readonly sequences = new Set<TfjsSequence>();

  constructor(
    readonly name: string,
    readonly hparams: Hparams,
    private readonly tf: Tf,
    private readonly network: Network,
    private readonly parameters: ReadonlyMap<string, Tensor>,
  ) {}

  createSequence(): Sequence {
    const sequence = new TfjsSequence();
    this.sequences.add(sequence);
    return sequence;
  }

  fork(sequence: Sequence, length = sequence.length): Sequence {
    const from = this.own(sequence);
    checkLength(from, length);
    const copy = this.createSequence() as TfjsSequence;
    this.move(copy, from.block, from.row);
    copy.length = length;
    copy.behind = from.behind + from.length - length;
    return copy;
  }

  free(sequence: Sequence): void {
    const own = this.own(sequence);
    this.move(own, undefined, 0);
    own.isFreed = true;
    this.sequences.delete(own);
  }

  async dispose(): Promise<void> {
    for (const sequence of [...this.sequences]) this.free(sequence);
    for (const tensor of this.parameters.values()) tensor.dispose();
  }

  async forward(steps: readonly Step[], wanted: LogitsWanted = "last"): Promise<Float32Array[]> {
    const results = new Array<Float32Array>(steps.length);
    // One pass for each number of new tokens: within a pass, all sequences read equally many.
    const groups = new Map<number, number[]>();
    for (const [i, { ids }] of checkSteps(this.hparams, steps, (each) => this.own(each)).entries()) {
      groups.set(ids.length, [...(groups.get(ids.length) ?? []), i]);
    }
    for (const [n_new, members] of groups) {
      const logits = await this.pass(
        members.map((i) => steps[i]),
        n_new,
        wanted,
      );
      for (const [row, i] of members.entries()) {
        const size = logits.length / members.length;
        results[i] = logits.subarray(row * size, (row + 1) * size); // [n_vocab], [n_new, n_vocab] or [0]
      }
    }
    return results;
  }

  /** Reads n_new tokens of each step; returns the logits of all steps, in order. */
  private async pass(steps: readonly Step[], n_new: number, wanted: LogitsWanted): Promise<Float32Array> {
    const { tf, network } = this;
    const sequences = steps.map(({ sequence }) => this.own(sequence));
    const block = this.join(sequences);
    const n_past = block ? block.past.k[0].shape[2] : 0;
    const ids = new Int32Array(steps.length * n_new);
    for (const [b, step] of steps.entries()) ids.set(Array.from(step.ids), b * n_new);
    const pads = sequences.map(({ length }) => n_past - length);
    const { x, past } = network.forward(ids, n_new, block?.past, pads);
    const next: Block = { past, n_rows: steps.length, users: 0 };
    if (block && block.users === 0) this.disposeBlock(block);
    for (const [row, sequence] of sequences.entries()) {
      this.move(sequence, next, row);
      sequence.length += n_new;
      sequence.behind = 0;
    }
    let logits: Tensor2D | undefined;
    try {
      if (wanted === "none") return new Float32Array(0);
      logits = tf.tidy(() => network.logits(wanted === "all" ? x : this.lastRows(x, steps.length, n_new)));
      return (await logits.data()) as Float32Array;
    } finally {
      x.dispose();
      logits?.dispose();
    }
  }

  /** [n_batch * n_new, n_embd] -> [n_batch, n_embd] */
  private lastRows(x: Tensor2D, n_batch: number, n_new: number): Tensor2D {
    if (n_new === 1) return x;
    const { tf } = this;
    const { n_embd } = this.hparams;
    const rows = tf.reshape(x, [n_batch, n_new, n_embd]); // -> [n_batch, n_new, n_embd]
    const last = tf.slice(rows, [0, n_new - 1, 0], [n_batch, 1, n_embd]); // -> [n_batch, 1, n_embd]
    return tf.reshape(last, [n_batch, n_embd]); // -> [n_batch, n_embd]
  }

  /**
   * One block whose rows are these sequences: the block they already share, or a new one (with no users yet)
   * that holds copies of their rows, moved to the right end. Undefined when nothing has been read.
   */
  private join(sequences: readonly TfjsSequence[]): Block | undefined {
    const first = sequences[0].block;
    if (
      first?.n_rows === sequences.length &&
      sequences.every(({ block, row, behind }, i) => block === first && row === i && behind === 0)
    ) {
      return first;
    }
    const n_past = Math.max(...sequences.map(({ length }) => length));
    if (n_past === 0) return undefined;
    const { n_layer, n_head, n_embd } = this.hparams;
    const d = n_embd / n_head;
    const row = (tensors: (block: Block) => Tensor4D, sequence: TfjsSequence): Tensor4D => {
      const { block, length, behind } = sequence;
      if (!block || length === 0) return this.tf.zeros([1, n_head, n_past, d]);
      const tensor = tensors(block);
      const own = this.tf.slice(
        tensor,
        [sequence.row, 0, tensor.shape[2] - behind - length, 0],
        [1, n_head, length, d],
      ); // [n_rows, ...] -> [1, n_head, length, d]
      if (length === n_past) return own;
      return this.tf.concat([this.tf.zeros([1, n_head, n_past - length, d]), own], 2) as Tensor4D; // length -> n_past positions
    };
    const layers = (of: (past: Past) => readonly Tensor4D[]): Tensor4D[] =>
      Array.from({ length: n_layer }, (_, layer) =>
        this.tf.tidy(() =>
          this.tf.concat(
            sequences.map((sequence) => row(({ past }) => of(past)[layer], sequence)),
            0,
          ),
        ),
      ); // n_batch x [1, n_head, n_past, d] -> [n_batch, n_head, n_past, d]
    return { past: { k: layers(({ k }) => k), v: layers(({ v }) => v) }, n_rows: sequences.length, users: 0 };
  }

  private move(sequence: TfjsSequence, block: Block | undefined, row: number): void {
    const old = sequence.block;
    if (block) block.users++;
    sequence.block = block;
    sequence.row = row;
    if (old && --old.users === 0) this.disposeBlock(old);
  }

  private disposeBlock({ past }: Block): void {
    for (const tensor of [...past.k, ...past.v]) tensor.dispose();
  }

  private own(sequence: Sequence): TfjsSequence {
    if (!(sequence instanceof TfjsSequence) || sequence.isFreed)
      throw new RangeError("the sequence is not this engine's, or freed");
    return sequence;
  }
}

/**
 * Loads a model into TensorFlow.js. The source holds the parameters that hparams describes (checkParameters).
 * @param options backend: which to use, default: the fastest that works here; gpu: the adapter of tfjs-webgpu
 * @throws UserError when the weights cannot be read, or the backend does not work
 */
export async function createTfjsEngine(
  hparams: Hparams,
  source: WeightSource,
  options: { backend?: TfjsBackend; gpu?: string } & Loading = {},
): Promise<Engine> {
  const { tf, backend } = await loadTf(options.backend, options.gpu);
  const parameters = await loadParameters(tf, hparams, source, options);
  return new TfjsEngine(backend, hparams, tf, new Network(tf, hparams, parameters), parameters);
}
