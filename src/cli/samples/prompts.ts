import { MAX_COUNT } from "../../sampling/options.js";
import type { Deciding } from "./resume-record.js";

/** The prompts of a run: one, or those of a file. */
export interface RunPrompts {
  readonly count: number;
  /** The prompt with this number in its file, or without one: its place in the run, and its own seed if it has one. */
  find(
    prompt_number: number | undefined,
  ): { readonly index: number; readonly prompt: string; readonly seed?: number } | undefined;
  /** What decides the texts besides the run's options. */
  readonly deciding?: Deciding;
}

/** A run of one prompt. */
export const onePrompt = (prompt: string): RunPrompts => ({
  count: 1,
  find: (number) => (number === undefined ? { index: 0, prompt } : undefined),
});

/** A sample's place among those of all prompts: its own number, from 0, if there is one prompt. */
export const placeOf = (index: number, sample: number): number => index * MAX_COUNT + sample;

/** The numbers, from 0, of the samples in such places, by their prompts' index. */
export function samplesByPrompt(places: ReadonlySet<number> = new Set()): ReadonlyMap<number, Set<number>> {
  const samples = new Map<number, Set<number>>();
  for (const place of places) {
    const index = Math.floor(place / MAX_COUNT);
    const own = samples.get(index) ?? new Set();
    samples.set(index, own.add(place % MAX_COUNT));
  }
  return samples;
}
