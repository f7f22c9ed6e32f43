/**
 * Training GPT-2 in WebAssembly: the program that every thread runs, one operation per job. The slow parts are
 * kernels, which it imports.
 */
import { TrainingJob as Job } from "../abi";
import { barrier, beginJob, endJob, jobArgument, jobKind, leaveJob, nextJob } from "../threads";
import { Update } from "./adam";
import { Attention } from "./attention";
import { CrossEntropy } from "./crossentropy";
import {
  bias_backward,
  copy,
  Embedding,
  embedding_backward,
  embedding_forward,
  residual,
  scale,
  Values,
} from "./elementwise";
import { LayerNorm } from "./layernorm";
import { Matmul } from "./matmul";
import { sgd } from "./sgd";

export { join } from "../threads";

// @ts-ignore: decorator
@external("kernels", "matmul_blocks")
declare function matmul_blocks(p: Matmul): u32;
// @ts-ignore: decorator
@external("kernels", "matmul_pack")
declare function matmul_pack(p: Matmul, block: u32): void;
// @ts-ignore: decorator
@external("kernels", "matmul_block")
declare function matmul_block(p: Matmul, block: u32): void;
// @ts-ignore: decorator
@external("kernels", "layernorm_forward")
declare function layernorm_forward(p: LayerNorm): void;
// @ts-ignore: decorator
@external("kernels", "layernorm_backward_rows")
declare function layernorm_backward_rows(p: LayerNorm): void;
// @ts-ignore: decorator
@external("kernels", "layernorm_backward_columns")
declare function layernorm_backward_columns(p: LayerNorm): void;
// @ts-ignore: decorator
@external("kernels", "attention_forward")
declare function attention_forward(p: Attention): void;
// @ts-ignore: decorator
@external("kernels", "attention_backward")
declare function attention_backward(p: Attention): void;
// @ts-ignore: decorator
@external("kernels", "activation_forward")
declare function activation_forward(p: Values): void;
// @ts-ignore: decorator
@external("kernels", "activation_backward")
declare function activation_backward(p: Values): void;
// @ts-ignore: decorator
@external("kernels", "crossentropy")
declare function crossentropy(p: CrossEntropy): void;
// @ts-ignore: decorator
@external("kernels", "adam")
declare function adam(p: Update): void;

/** A worker's life: one job after another, until it is told to stop. */
export function serve(seen: i32): void {
  for (;;) {
    seen = nextJob(seen);
    if (jobKind() == Job.STOP) return;
    work();
    leaveJob();
  }
}

/** The current job, on its first thread. */
export function run(): void {
  work();
  endJob();
}

/** This thread's share of the current job. */
function work(): void {
  beginJob();
  const kind = jobKind();
  const p = jobArgument();
  if (kind == Job.MATMUL) return matmul(changetype<Matmul>(p));
  if (kind == Job.LAYERNORM_FORWARD) layernorm_forward(changetype<LayerNorm>(p));
  else if (kind == Job.LAYERNORM_BACKWARD) return layernorm_backward(changetype<LayerNorm>(p));
  else if (kind == Job.ATTENTION_FORWARD) attention_forward(changetype<Attention>(p));
  else if (kind == Job.ATTENTION_BACKWARD) attention_backward(changetype<Attention>(p));
  else if (kind == Job.ACTIVATION_FORWARD) activation_forward(changetype<Values>(p));
  else if (kind == Job.ACTIVATION_BACKWARD) activation_backward(changetype<Values>(p));
  else if (kind == Job.BIAS_BACKWARD) bias_backward(changetype<Values>(p));
  else if (kind == Job.RESIDUAL) residual(changetype<Values>(p));
  else if (kind == Job.SCALE) scale(changetype<Values>(p));
  else if (kind == Job.COPY) copy(changetype<Values>(p));
  else if (kind == Job.EMBEDDING_FORWARD) embedding_forward(changetype<Embedding>(p));
  else if (kind == Job.EMBEDDING_BACKWARD) embedding_backward(changetype<Embedding>(p));
  else if (kind == Job.CROSSENTROPY) crossentropy(changetype<CrossEntropy>(p));
  else if (kind == Job.ADAM) adam(changetype<Update>(p));
  else if (kind == Job.SGD) sgd(changetype<Update>(p));
  barrier();
}

/** C = A B, block by block of A: all threads pack a block into panels, then multiply it. */
function matmul(p: Matmul): void {
  const blocks = matmul_blocks(p);
  for (let block: u32 = 0; block < blocks; block++) {
    matmul_pack(p, block);
    barrier();
    matmul_block(p, block);
    barrier();
  }
}

function layernorm_backward(p: LayerNorm): void {
  layernorm_backward_rows(p);
  barrier();
  if (!p.dg) return;
  layernorm_backward_columns(p);
  barrier();
}
