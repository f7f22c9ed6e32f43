import { type ErrorDetails, option } from "../system/errors.js";
import {
  BEAM_OPTIONS,
  type BeamOptionName,
  SAMPLING_OPTIONS,
  type SamplingOption,
  type SamplingOptionName,
} from "./options.js";

/** Options that shape a draw: a search has none. */
export const DRAWING = [
  "seed",
  "temperature",
  "top_k",
  "top_p",
  "min_p",
  "typical_p",
  "mirostat_tau",
] as const;

type Given = Readonly<Partial<Record<BeamOptionName | SamplingOptionName, unknown>>>;

const isInitial = (value: unknown, { initial }: SamplingOption): boolean =>
  value === undefined || value === initial;

/** Whether texts are found by a beam search, not drawn. */
export const searchesBeams = ({ num_beams = 1 }: { readonly num_beams?: number }): boolean => num_beams > 1;

/** What is wrong with a beam search's options, or with options that need one; undefined if nothing is. */
export function faultOfBeams(options: Given): { reason: string; next: ErrorDetails["next"] } | undefined {
  const { num_beams, num_return } = options as { num_beams?: number; num_return?: number };
  if (!searchesBeams({ num_beams })) {
    const stray = (["length_penalty", "num_return"] as const).find(
      (name) => !isInitial(options[name], BEAM_OPTIONS[name]),
    );
    return (
      stray && {
        reason: `${option(stray)} goes with a beam search`,
        next: `pass ${option("num_beams")}, 2 or more`,
      }
    );
  }
  if (num_return! > num_beams!) {
    return {
      reason: `${option("num_return", num_return)} is more than ${option("num_beams", num_beams)}`,
      next: "a search finds as many texts as it has beams",
    };
  }
  if (!isInitial(options.nsamples, SAMPLING_OPTIONS.nsamples)) {
    return {
      reason: `${option("num_beams")} takes no ${option("nsamples")}`,
      next: `pass ${option("num_return")} for more texts`,
    };
  }
  const drawing = DRAWING.find((name) => !isInitial(options[name], SAMPLING_OPTIONS[name]));
  if (drawing === undefined) return undefined;
  const { initial }: SamplingOption = SAMPLING_OPTIONS[drawing];
  return {
    reason: `${option("num_beams")} draws nothing at random`,
    next: initial === undefined ? `drop ${option(drawing)}` : `leave ${option(drawing)} at ${initial}`,
  };
}
