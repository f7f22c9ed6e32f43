import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Finished, finetune } from "../../dist/src/finetune/finetune.js";
import { folderBase } from "../../dist/src/finetune/run/base.js";
import {
  type FinetuneRequest,
  LOOP_DEFAULTS,
  type LoopOptions,
  type TrainingOptions,
} from "../../dist/src/finetune/run/options.js";
import type { FinetuneEvents, Training } from "../../dist/src/finetune/training.js";
import { openWeights } from "../../dist/src/formats/tfjs/read.js";
import { MICRO } from "./models.js";

/** A text of some 1,000 tokens of micro's vocabulary that is no mere repetition. */
export function someText(): string {
  const words = "king queen lord love night sword rose crown speak shall never to my and of".split(" ");
  let state = 7;
  const next = (): string => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return words[(state >>> 16) % words.length];
  };
  return Array.from({ length: 60 }, () => `The ${Array.from({ length: 7 }, next).join(" ")}.\n`).join("");
}

/** Writes a dataset; its path. */
export function writeText(folder: string, name = "text.txt", text = someText()): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** What a training reported. */
export interface Told {
  readonly notices: string[];
  readonly lines: string[];
  readonly samples: string[];
  readonly savedSteps: number[];
  begin?: Training;
}

export type Overrides = Partial<Omit<FinetuneRequest, "given" | "loop">> &
  Partial<TrainingOptions> &
  Partial<LoopOptions> & {
    readonly run_name?: string;
    /** Called after each batch. */
    readonly onBatch?: (step: number, done: number) => void;
  };

const LOOP = [...Object.keys(LOOP_DEFAULTS), "sample_length"];
const TRAINING = [
  "batch_size",
  "learning_rate",
  "accumulate_gradients",
  "optimizer",
  "only_train_transformer_layers",
  "lora_rank",
  "recompute",
  "seed",
  "context_length",
  "validation",
  "column",
];

/** Trains micro in a folder's checkpoint/run1: two short batches a step, nothing printed, seed 5. */
export async function train(
  folder: string,
  overrides: Overrides = {},
): Promise<Finished & { told: Told; run: string }> {
  const told: Told = { notices: [], lines: [], samples: [], savedSteps: [] };
  const events: FinetuneEvents = {
    onNotice: (line) => told.notices.push(line),
    onReading: () => {},
    onBegin: (begin) => {
      told.begin = begin;
    },
    onBatch: (step, done) => overrides.onBatch?.(step, done),
    onLine: async (line) => {
      told.lines.push(line);
    },
    onValidating: () => {},
    onSaving: () => {},
    onSaved: async (step) => {
      told.savedSteps.push(step);
    },
    onSampling: () => {},
    onSamples: async (text) => {
      told.samples.push(text);
    },
  };
  const among = (names: readonly string[]): object =>
    Object.fromEntries(Object.entries(overrides).filter(([name]) => names.includes(name)));
  const request: FinetuneRequest = {
    dataset: [join(folder, "text.txt")],
    folder: join(folder, "checkpoint", overrides.run_name ?? "run1"),
    restore_from: "latest",
    overwrite: false,
    samples_dir: join(folder, "samples"),
    base: () => folderBase(MICRO.folder, "micro"),
    sizes: {},
    threads: 1,
    signal: new AbortController().signal,
    ...overrides,
    given: { seed: 5, context_length: 24, accumulate_gradients: 2, learning_rate: 1e-3, ...among(TRAINING) },
    loop: { ...LOOP_DEFAULTS, sample_every: 0, ...among(LOOP) },
  };
  const finished = await finetune(request, events);
  return { ...finished, told, run: request.folder };
}

/** loss.csv as rows of numbers (validation: NaN where there is none), the seconds left out. */
export function lossRows(run: string): { step: number; loss: number; average: number; validation: number }[] {
  const [header, ...lines] = readFileSync(join(run, "loss.csv"), "utf8").trimEnd().split("\n");
  if (header !== "step,seconds,loss,avg,validation") throw new Error(header);
  return lines.map((line) => {
    const [step, , loss, average, validation] = line.split(",");
    return {
      step: Number(step),
      loss: Number(loss),
      average: Number(average),
      validation: validation === "" ? Number.NaN : Number(validation),
    };
  });
}

/** All tensors of a folder's weights as bytes. */
export async function weightBytes(folder: string): Promise<Map<string, Buffer>> {
  const source = await openWeights(folder);
  const all = new Map<string, Buffer>();
  for (const [name, { shape }] of source.tensors) {
    const values = new Float32Array(shape.reduce((product, n) => product * n, 1));
    await source.read(name, values);
    all.set(name, Buffer.from(values.buffer));
  }
  return all;
}

/** An XML text's fault, or undefined: one root, tags that close in order, no bare & or <, quoted attributes. */
export function xmlFault(text: string): string | undefined {
  const open: string[] = [];
  let roots = 0;
  const body = text.replace(/^<\?xml [^?]*\?>\s*/, "");
  const token = /<(\/?)([A-Za-z][\w:-]*)((?:\s+[\w:-]+="[^"<&]*")*)\s*(\/?)>|([^<]+)|(.)/gsy;
  for (const [whole, closing, name, , empty, content, rest] of body.matchAll(token)) {
    if (rest !== undefined) return `at ${JSON.stringify(whole)}`;
    if (content !== undefined) {
      if (open.length === 0 && content.trim() !== "") return `text outside: ${content}`;
      if (/&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[\da-f]+);)/i.test(content)) return `bare & in ${content}`;
    } else if (closing) {
      if (open.pop() !== name) return `</${name}> does not close what is open`;
    } else {
      if (open.length === 0) roots++;
      if (!empty) open.push(name);
    }
  }
  return open.length === 0 && roots === 1 ? undefined : `${roots} roots, open: ${open}`;
}
