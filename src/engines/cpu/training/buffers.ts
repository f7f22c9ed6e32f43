import type { Hparams } from "../../../model/hparams.js";
import type { Heap } from "../runtime/heap.js";
import { type Operations, ownBytes, sharedBytes } from "./operations.js";

/** What a layer keeps of the way forward, for the way back. */
export interface LayerBuffers {
  /** [rows, n_embd] its input */
  readonly x: number;
  /** [rows, 3 n_embd] */
  readonly qkv: number;
  /** [sequences, n_head, t, 2] of attention's rows: largest score, 1 / sum */
  readonly rows: number;
  /** [rows, n_embd] attention's output */
  readonly a: number;
  /** [rows, n_embd] the input of ln_2 */
  readonly middle: number;
  /** [rows, 4 n_embd] before GELU */
  readonly hidden: number;
}

/** Room for one batch on its way through the network. */
export interface Buffers {
  readonly ids: number;
  readonly targets: number;
  /** [rows] float64 */
  readonly losses: number;
  readonly layers: readonly LayerBuffers[];
  /** [rows, n_embd] the input of ln_f */
  readonly last: number;
  /** [rows, n_embd] each: what a norm gave; the gradient of the residual stream; that of a norm's output. */
  readonly normed: number;
  readonly dx: number;
  readonly dy: number;
  /** [rows, 2] */
  readonly moments: number;
  /** [rows, 4 n_embd] each: GELU's output; the gradient of hidden or of qkv */
  readonly activated: number;
  readonly wide: number;
  /** Rows of logits at a time, their values from row to row, and their place. */
  readonly chunk: number;
  readonly logits_row: number;
  readonly logits: number;
  /** [rows, rank] and [4 n_embd, rank], for LoRA */
  readonly thin: number;
  readonly thin_w: number;
}

/** Logits at a time at most: every part of them goes through all of wte. Fewer where memory is dear. */
const LOGITS = 1 << 26;
const FEWER_LOGITS = 1 << 24;

const up = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** Owns the room for batches: as large as the largest so far. */
export class BufferRoom {
  private at = 0;
  private rows = 0;
  private t = 0;
  private buffers: Buffers | undefined;

  constructor(
    private readonly heap: Heap,
    private readonly hparams: Hparams,
    private readonly operations: Operations,
    private readonly options: {
      readonly threads: number;
      readonly recompute: boolean;
      readonly rank: number;
    },
  ) {}

  /** Room for so many rows in sequences of t each. @throws UserError when it cannot be had */
  reserve(rows: number, t: number): Buffers {
    if (this.buffers && rows <= this.rows && t <= this.t) return this.buffers;
    const most = { rows: Math.max(rows, this.rows), t: Math.max(t, this.t) };
    this.buffers = undefined;
    if (this.at) this.heap.release(this.at);
    this.at = 0;
    const measure = new Cutter(0);
    this.cut(measure, most.rows, most.t);
    this.at = this.heap.allocate(measure.end);
    this.buffers = this.cut(new Cutter(this.at), most.rows, most.t);
    this.rows = most.rows;
    this.t = most.t;
    return this.buffers;
  }

  private cut(cutter: Cutter, rows: number, t: number): Buffers {
    const { n_embd, n_head, n_layer, n_vocab } = this.hparams;
    const { threads, recompute, rank } = this.options;
    const floats = (n: number): number => cutter.take(n * 4);
    const kept = (): Omit<LayerBuffers, "x"> => ({
      qkv: floats(rows * 3 * n_embd),
      rows: floats(rows * n_head * 2),
      a: floats(rows * n_embd),
      middle: floats(rows * n_embd),
      hidden: floats(rows * 4 * n_embd),
    });
    const shared = recompute ? kept() : undefined;
    const layers = Array.from({ length: n_layer }, () => ({
      x: floats(rows * n_embd),
      ...(shared ?? kept()),
    }));
    const logits_row = up(n_vocab, 8);
    const most = Math.floor((recompute ? FEWER_LOGITS : LOGITS) / logits_row);
    const chunks = Math.ceil(rows / Math.max(1, most));
    const chunk = Math.ceil(rows / chunks);
    const longest = Math.max(rows, 4 * n_embd, n_vocab, rank);
    const own_bytes = ownBytes(longest, t, n_embd / n_head);
    this.operations.panels = {
      shared: cutter.take(sharedBytes(longest)),
      own: cutter.take(own_bytes * threads),
      own_bytes,
    };
    return {
      ids: floats(rows),
      targets: floats(rows),
      losses: floats(rows * 2),
      layers,
      last: floats(rows * n_embd),
      normed: floats(rows * n_embd),
      dx: floats(rows * n_embd),
      dy: floats(rows * n_embd),
      moments: floats(rows * 2),
      activated: floats(rows * 4 * n_embd),
      wide: floats(rows * 4 * n_embd),
      chunk,
      logits_row,
      logits: floats(chunk * logits_row),
      thin: floats(rows * rank),
      thin_w: floats(4 * n_embd * rank),
    };
  }
}

/** Hands out places one after the other, each on a cache line of its own. */
class Cutter {
  constructor(public end: number) {}

  take(bytes: number): number {
    const at = this.end;
    this.end += Math.max(64, up(bytes, 64));
    return at;
  }
}
