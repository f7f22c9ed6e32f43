import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Hparams } from "../../dist/src/model/hparams.js";
import type { WeightSource } from "../../dist/src/model/weight-source.js";
import { loadHparams, openModel } from "../../dist/src/models/folder.js";

const root = new URL("../../", import.meta.url);
/** A path inside the project. */
export const inProject = (path: string): string => fileURLToPath(new URL(path, root));

/** What an independent float64 implementation computed: logits, log-probabilities, greedy continuations. */
export interface Expected {
  readonly sequences: readonly {
    readonly ids: readonly number[];
    readonly last_logits_first_16: readonly number[];
    readonly last_logits_mean: number;
    readonly last_logits_std: number;
    readonly top8_ids: readonly number[];
    readonly top8_logits: readonly number[];
  }[];
  readonly prompts: readonly {
    readonly prompt: string;
    readonly prompt_ids: readonly number[];
    readonly greedy_ids: readonly number[];
    readonly greedy_text: string;
  }[];
  readonly texts: readonly {
    readonly text: string;
    readonly ids: readonly number[];
    readonly logprobs: readonly number[];
    readonly total: number;
    readonly perplexity: number;
  }[];
}

/** A model about which the tests know everything. */
export interface Fixture {
  readonly name: string;
  readonly folder: string;
  readonly expected: Expected;
}

const fixture = (name: string, folder: string, expected: string): Fixture => ({
  name,
  folder: inProject(folder),
  expected: JSON.parse(readFileSync(inProject(expected), "utf8")) as Expected,
});

export const MICRO = fixture("micro", "test/fixtures/micro", "test/fixtures/micro/expected.json");
export const SHAKESPEARE = fixture(
  "shakespeare",
  "models/shakespeare",
  "test/fixtures/shakespeare-expected.json",
);
export const STORIES = fixture("stories", "models/stories", "test/fixtures/stories-expected.json");

/** Opens a fixture's weights for the length of a call. */
export async function withSource<T>(
  { folder }: Fixture,
  use: (hparams: Hparams, source: WeightSource) => Promise<T>,
): Promise<T> {
  const hparams = await loadHparams(folder);
  const source = await openModel(folder);
  try {
    return await use(hparams, source);
  } finally {
    await source.close();
  }
}
