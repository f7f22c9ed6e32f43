import { MAX_COUNT } from "../../sampling/options.js";
import type { Deciding } from "./resume-record.js";

/** A run's prompts: one, or those of a file. */
export interface RunPrompts {
  /** How many samples all of them get together, of `nsamples` each where a prompt has no number of its own. */
  countSamples(nsamples: number): number;
  /** Finds a prompt by its number in the file (undefined: the only one): its place in the run, and any seed it sets. */
  find(
    prompt_number: number | undefined,
  ): { readonly index: number; readonly prompt: string; readonly seed?: number } | undefined;
  /** What determines the texts besides the run's options. */
  readonly deciding?: Deciding;
}

/** A run of one prompt. */
export const onePrompt = (prompt: string): RunPrompts => ({
  countSamples: (nsamples) => nsamples,
  find: (number) => (number === undefined ? { index: 0, prompt } : undefined),
});

/** A sample's place among those of all prompts; for a single prompt, its number from 0. */
export const placeOf = (index: number, sample: number): number => index * MAX_COUNT + sample;

/** The sample numbers, from 0, in such places, by prompt index. */
export function samplesByPrompt(places: ReadonlySet<number> = new Set()): ReadonlyMap<number, Set<number>> {
  const samples = new Map<number, Set<number>>();
  for (const place of places) {
    const index = Math.floor(place / MAX_COUNT);
    const own = samples.get(index) ?? new Set();
    samples.set(index, own.add(place % MAX_COUNT));
  }
  return samples;
}
