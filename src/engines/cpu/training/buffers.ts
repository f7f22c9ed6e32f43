import { architectureOf, type Hparams } from "../../../model/hparams.js";
import type { Heap } from "../runtime/heap.js";
import type { Kernels } from "../runtime/program.js";
import type { Operations } from "./operations.js";

/** What a layer keeps of the forward pass for the backward pass. */
export interface LayerBuffers {
  /** [rows, n_embd] its input */
  readonly x: number;
  /** [rows, 3 n_embd] */
  readonly qkv: number;
  /** [sequences, n_head, t, 2] for attention's rows: largest score, 1 / sum */
  readonly rows: number;
  /** [rows, n_embd] attention's output */
  readonly a: number;
  /** [rows, n_embd] the input of ln_2 */
  readonly middle: number;
  /** [rows, n_inner] before the activation */
  readonly hidden: number;
}

/** Memory for one batch on its way through the network. */
export interface Buffers {
  readonly ids: number;
  readonly targets: number;
  /** [rows] float64 */
  readonly losses: number;
  readonly layers: readonly LayerBuffers[];
  /** [rows, n_embd] the input of ln_f */
  readonly last: number;
  /** [rows, n_embd] each: a norm's output; the gradient of the residual stream; that of a norm's output. */
  readonly normed: number;
  readonly dx: number;
  readonly dy: number;
  /** [rows, 2] */
  readonly moments: number;
  /** [rows, n_inner]: the activation's output; as wide as the widest: the gradient of hidden or of qkv */
  readonly activated: number;
  readonly mlp: number;
  /** How many rows of logits at a time, values from row to row, and where they are. */
  readonly chunk: number;
  readonly logits_row: number;
  readonly logits: number;
  /** [rows, rank] and [the most inputs of a matrix, rank], for LoRA */
  readonly thin: number;
  readonly thin_w: number;
}

/** Most logits at a time: every chunk of them reads all of wte. Fewer where memory is dear. */
const LOGITS = 1 << 26;
const FEWER_LOGITS = 1 << 24;

const up = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** What decides the sizes of buffers, besides the batch. */
export interface BufferOptions {
  readonly threads: number;
  readonly recompute: boolean;
  readonly rank: number;
}

/** Buffers from one address on. */
interface Placed {
  readonly bytes: number;
  readonly buffers: Buffers;
  readonly panels: Operations["panels"];
}

/** Owns the memory for batches: as large as the largest batch so far. */
export class BufferRoom {
  private at = 0;
  private rows = 0;
  private t = 0;
  private buffers: Buffers | undefined;

  constructor(
    private readonly heap: Heap,
    private readonly hparams: Hparams,
    private readonly kernels: Kernels,
    private readonly operations: Operations,
    private readonly options: BufferOptions,
  ) {}

  /** Buffers for `rows` rows in sequences of t each. @throws UserError when there is no memory for them */
  reserve(rows: number, t: number): Buffers {
    if (this.buffers && rows <= this.rows && t <= this.t) return this.buffers;
    this.buffers = undefined;
    if (this.at) this.heap.release(this.at);
    this.at = 0;
    const [mostRows, mostT] = [Math.max(rows, this.rows), Math.max(t, this.t)];
    const { bytes } = layOut(0, this.hparams, this.kernels, this.options, mostRows, mostT);
    this.at = this.heap.allocate(bytes);
    const { buffers, panels } = layOut(this.at, this.hparams, this.kernels, this.options, mostRows, mostT);
    this.operations.panels = panels;
    this.rows = mostRows;
    this.t = mostT;
    this.buffers = buffers;
    return buffers;
  }
}

/** Lays out buffers from an address on, each in its own cache lines; has no other effect. */
function layOut(
  at: number,
  hparams: Hparams,
  kernels: Kernels,
  { threads, recompute, rank }: BufferOptions,
  rows: number,
  t: number,
): Placed {
  const { n_embd, n_head, n_layer, n_vocab } = hparams;
  const { n_inner } = architectureOf(hparams);
  let end = at;
  const take = (bytes: number): number => {
    const place = end;
    end += Math.max(64, up(bytes, 64));
    return place;
  };
  const floats = (n: number): number => take(n * 4);
  const kept = (): Omit<LayerBuffers, "x"> => ({
    qkv: floats(rows * 3 * n_embd),
    rows: floats(rows * n_head * 2),
    a: floats(rows * n_embd),
    middle: floats(rows * n_embd),
    hidden: floats(rows * n_inner),
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
  const longest = Math.max(rows, 3 * n_embd, n_inner, n_vocab, rank);
  const own_bytes = up(kernels.training_own_bytes(longest, t, n_embd / n_head), 64);
  const panels = {
    shared: take(kernels.training_shared_bytes(longest)),
    own: take(own_bytes * threads),
    own_bytes,
  };
  const buffers = {
    ids: floats(rows),
    targets: floats(rows),
    losses: floats(rows * 2),
    layers,
    last: floats(rows * n_embd),
    normed: floats(rows * n_embd),
    dx: floats(rows * n_embd),
    dy: floats(rows * n_embd),
    moments: floats(rows * 2),
    activated: floats(rows * n_inner),
    mlp: floats(rows * Math.max(n_inner, 3 * n_embd)),
    chunk,
    logits_row,
    logits: floats(chunk * logits_row),
    thin: floats(rows * rank),
    thin_w: floats(Math.max(n_embd, n_inner) * rank),
  };
  return { bytes: end - at, buffers, panels };
}
