import type { Engine } from "../model/engine.js";
import type { Hparams } from "../model/hparams.js";
import { countParameters, parameterShapes } from "../model/parameters.js";
import type { WeightSource } from "../model/weight-source.js";
import { uniform } from "../random.js";
import { argmax } from "../sampling/draw.js";

/**
 * Random weights made in memory, one tensor at a time: as much arithmetic as real ones, without a file.
 * Gains are around 1, everything else within 0.035 (the spread of a freshly initialised GPT-2).
 */
export function randomWeights(hparams: Hparams): WeightSource {
  const tensors = new Map(
    [...parameterShapes(hparams)].map(([name, shape]) => [name, { shape, dtype: "float32" }]),
  );
  const names = [...tensors.keys()];
  return {
    path: "random weights",
    tensors,
    read: async (name, target) => {
      const base = name.endsWith("/g") ? 1 : 0;
      let state = Math.floor(uniform(1, names.indexOf(name), 0) * 2 ** 32) | 1;
      for (let i = 0; i < target.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) | 0; // a linear congruential generator is good enough here
        target[i] = base + state * (0.035 / 2 ** 31);
      }
    },
    close: async () => {},
  };
}

/** What to measure, in tokens. */
export interface BenchSizes {
  /** Tokens read before decoding starts. */
  readonly prompt: number;
  /** New tokens at batch 1. */
  readonly decode: number;
  /** Sequences in the batched run, and new tokens of each. */
  readonly batch: number;
  readonly batchDecode: number;
  /** Tokens of the long prompt. */
  readonly prefill: number;
}

/** One round's rates, in tokens per second. */
export interface BenchRound {
  readonly decode: number;
  readonly batch: number;
  readonly prefill: number;
}

const MADE_UP_STEP = 7919; // a prime, so that the ids are spread over the vocabulary

function madeUpIds(n: number, n_vocab: number, from = 0): number[] {
  return Array.from({ length: n }, (_, i) => (from + i * MADE_UP_STEP) % n_vocab);
}

async function decodeRate(engine: Engine, batch: number, prompt: number, n: number): Promise<number> {
  const { n_vocab } = engine.hparams;
  const first = engine.createSequence();
  await engine.forward([{ sequence: first, ids: madeUpIds(prompt, n_vocab) }], "none");
  const sequences = [first, ...Array.from({ length: batch - 1 }, () => engine.fork(first))];
  let next = madeUpIds(batch, n_vocab, 5);
  const started = performance.now();
  for (let i = 0; i < n; i++) {
    const logits = await engine.forward(sequences.map((sequence, b) => ({ sequence, ids: [next[b]] })));
    next = logits.map(argmax);
  }
  const seconds = (performance.now() - started) / 1000;
  for (const sequence of sequences) engine.free(sequence);
  return (batch * n) / seconds;
}

async function prefillRate(engine: Engine, n: number): Promise<number> {
  const sequence = engine.createSequence();
  const started = performance.now();
  await engine.forward([{ sequence, ids: madeUpIds(n, engine.hparams.n_vocab) }]);
  const seconds = (performance.now() - started) / 1000;
  engine.free(sequence);
  return n / seconds;
}

/** Shrinks the sizes to fit a small model's context. */
export function fitSizes(sizes: BenchSizes, { n_ctx }: Hparams): BenchSizes {
  const prompt = Math.min(sizes.prompt, Math.ceil(n_ctx / 4));
  const decode = Math.min(sizes.decode, n_ctx - prompt);
  return {
    ...sizes,
    prompt,
    decode,
    batchDecode: Math.min(sizes.batchDecode, n_ctx - prompt),
    prefill: Math.min(sizes.prefill, n_ctx),
  };
}

/** One round: decoding alone, decoding in a batch, reading a long prompt. Tokens are chosen greedily. */
export async function benchRound(engine: Engine, sizes: BenchSizes): Promise<BenchRound> {
  return {
    decode: await decodeRate(engine, 1, sizes.prompt, sizes.decode),
    batch: await decodeRate(engine, sizes.batch, sizes.prompt, sizes.batchDecode),
    prefill: await prefillRate(engine, sizes.prefill),
  };
}

/** Reads one token and decodes a few, so that code is compiled before it is timed. */
export async function warmUp(engine: Engine): Promise<void> {
  await decodeRate(engine, 2, 4, 4);
}

/** The middle value; with an even number of them, the lower of the two. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1];
}

/** Millions of parameters, for a title. */
export function millions(hparams: Hparams): string {
  return (countParameters(hparams) / 1e6).toFixed(1);
}
