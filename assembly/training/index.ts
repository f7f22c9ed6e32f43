/** Training GPT-2 in WebAssembly: the program that every thread runs, one operation a job. */
import { jobArgument, jobKind, join, nextJob } from "../threads";
import { attend, Attention } from "./attention";
import { attendBack } from "./attention_backward";
import { crossEntropy, Loss } from "./crossentropy";
import { NormRows, normRows, normRowsBack } from "./layernorm";
import { Step, step } from "./adam";
import { multiply, Product } from "./matmul";
import { tile5x8, tile6x16 } from "./tile";
import {
  columnSums,
  copyAll,
  Embedding,
  embedRows,
  embedRowsBack,
  geluAll,
  geluBack,
  scaleAll,
  Values,
} from "./elementwise";

/** The tiles: to be tried (src/engines/cpu/runtime/trial.ts). */
export { join, tile5x8, tile6x16 };

/** Jobs. src/engines/cpu/training/operations.ts has the same numbers. */
const STOP: i32 = 0;
const PRODUCT: i32 = 1;
const NORM: i32 = 2;
const NORM_BACK: i32 = 3;
const ATTEND: i32 = 4;
const ATTEND_BACK: i32 = 5;
const GELU: i32 = 6;
const GELU_BACK: i32 = 7;
const COLUMN_SUMS: i32 = 8;
const SCALE: i32 = 9;
const COPY: i32 = 10;
const EMBED: i32 = 11;
const EMBED_BACK: i32 = 12;
const CROSS_ENTROPY: i32 = 13;
const STEP: i32 = 14;

/** A worker's life: one job after the other, until it is told to stop. */
export function serve(seen: i32): void {
  for (;;) {
    seen = nextJob(seen);
    if (jobKind() == STOP) return;
    run();
  }
}

/** This thread's part of the current job. */
export function run(): void {
  const kind = jobKind();
  const p = jobArgument();
  if (kind == PRODUCT) multiply(changetype<Product>(p));
  else if (kind == NORM) normRows(changetype<NormRows>(p));
  else if (kind == NORM_BACK) normRowsBack(changetype<NormRows>(p));
  else if (kind == ATTEND) attend(changetype<Attention>(p));
  else if (kind == ATTEND_BACK) attendBack(changetype<Attention>(p));
  else if (kind == GELU) geluAll(changetype<Values>(p));
  else if (kind == GELU_BACK) geluBack(changetype<Values>(p));
  else if (kind == COLUMN_SUMS) columnSums(changetype<Values>(p));
  else if (kind == SCALE) scaleAll(changetype<Values>(p));
  else if (kind == COPY) copyAll(changetype<Values>(p));
  else if (kind == EMBED) embedRows(changetype<Embedding>(p));
  else if (kind == EMBED_BACK) embedRowsBack(changetype<Embedding>(p));
  else if (kind == CROSS_ENTROPY) crossEntropy(changetype<Loss>(p));
  else if (kind == STEP) step(changetype<Step>(p));
}
