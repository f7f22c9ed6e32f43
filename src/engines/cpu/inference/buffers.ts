import { BLOCK_ROWS, PAGE } from "../../../../assembly/abi.js";
import { architectureOf, type Hparams } from "../../../model/hparams.js";
import type { Heap } from "../runtime/heap.js";
import type { Pool } from "../runtime/pool.js";
import type { ProgramExports } from "../runtime/program.js";
import { BLOCK } from "../runtime/records.js";
import { type Precision, roundUp } from "./weights.js";

/**
 * Most multiplications in one pass, half a second's worth or so, after which the event loop gets a turn; and most rows.
 * Every pass reads all weights anew.
 */
const PASSES = {
  wasm: { work: 12e9, rows: 128 },
  native: { work: 48e9, rows: 512 },
} as const;
const FEWEST_ROWS = 16;

/** What this program exports, besides what every program does. */
export interface InferenceExports extends ProgramExports {
  /** Bytes of a thread's scratch for preparing rows alone; see assembly/inference/index.ts. */
  prepared_bytes(n_embd: number, widest: number): number;
}

/** Where a pass is written. */
export interface PassBuffers {
  readonly model: number;
  readonly passRows: number;
  readonly ids: number;
  readonly positions: number;
  readonly row_pages: number;
  readonly blocks: number;
  readonly last_blocks: number;
  readonly tables: number;
  /** [passRows, qkv_stride], of the layer computed last. */
  readonly qkv: number;
  readonly qkv_stride: number;
}

/** Memory for one pass: activations, the pass's description, and each thread's scratch. */
export function allocateBuffers(
  heap: Heap,
  pool: Pool<InferenceExports>,
  hparams: Hparams,
  threads: number,
  precision: Precision,
  native: boolean,
) {
  const { n_ctx, n_embd, n_layer } = hparams;
  const { n_inner } = architectureOf(hparams);
  const widest = Math.max(n_embd, n_inner); // inputs of the widest matrix
  const work = n_layer * n_embd * (4 * n_embd + 2 * n_inner);
  const most = PASSES[native ? "native" : "wasm"];
  const rows = Math.max(
    FEWEST_ROWS,
    Math.min(most.rows, Math.floor(most.work / work / BLOCK_ROWS) * BLOCK_ROWS),
  );
  const embd_stride = roundUp(n_embd, 8);
  const qkv_stride = roundUp(3 * n_embd, 8);
  const hidden_stride = roundUp(n_inner, 8);
  const { kernels, exports } = pool;
  const own_bytes = roundUp(
    Math.max(kernels.inference_own_bytes(n_ctx, widest), exports.prepared_bytes(n_embd, widest)),
    64,
  );
  const floats = (n: number): number => heap.allocate(n * 4);
  const int8 = precision === "int8";
  const table = Math.ceil(n_ctx / PAGE); // pages in a whole context
  return {
    rows,
    embd_stride,
    qkv_stride,
    hidden_stride,
    own: heap.allocate(own_bytes * threads),
    own_bytes,
    x: floats(rows * embd_stride),
    last_x: floats(rows * embd_stride),
    a: floats(rows * embd_stride),
    qkv: floats(rows * qkv_stride),
    hidden: floats(rows * hidden_stride),
    quantized: int8 ? heap.allocate(rows * roundUp(widest, 8) * 2) : 0,
    row_scale: int8 ? floats(rows) : 0,
    ids: floats(rows),
    positions: floats(rows),
    row_pages: floats(rows),
    blocks: heap.allocate(rows * BLOCK.bytes),
    last_blocks: heap.allocate(rows * BLOCK.bytes),
    tables: floats(rows * table),
  };
}
