/** A step: the state of the page at one time. Undo and redo move between steps. */
import { type Draft, EMPTY } from "./draft.js";
import { readSettings, type Settings } from "./settings.js";

/** How a draft was made: enough to make it again, or to try the next seed. */
export interface Made {
  readonly before: Draft;
  /** The seed is that of the continuation, or of the first candidate. */
  readonly settings: Settings;
  /** The seed after the last one tried. */
  readonly next: number;
}

/** A continuation to choose from. */
export interface Candidate {
  readonly seed: number;
  /** With the text before it. */
  readonly draft: Draft;
  /** Its number of tokens, if it was stopped. */
  readonly length?: number;
}

/** A state of the page: the text, how it came about, and what there is to choose from. */
export interface Step {
  readonly draft: Draft;
  /** Undefined if the end was written by hand. */
  readonly made?: Made;
  /** Continuations to choose from; the draft is the text before them. */
  readonly candidates?: readonly Candidate[];
}

export const FIRST: Step = { draft: EMPTY };

/** What outlives a reload. */
export interface Kept {
  readonly step: Step;
  readonly past: readonly Step[];
  readonly settings: Settings;
  readonly candidates: number;
  readonly showsMarks: boolean;
}

/** About what a browser stores for a site, in UTF-16 units, with room to spare. */
const MOST = 2_000_000;

/** As text, with as many earlier steps as fit. */
export function keep(kept: Kept): string {
  for (let past = kept.past.slice(-20); ; past = past.slice(Math.ceil(past.length / 2))) {
    const text = JSON.stringify({ ...kept, past });
    if (text.length <= MOST || past.length === 0) return text;
  }
}

/** @returns undefined if nothing is stored, or it is damaged */
export function restore(text: string | null): Kept | undefined {
  try {
    const { step, past, settings, candidates, showsMarks } = JSON.parse(text ?? "") as Partial<Kept>;
    if (!isStep(step)) return undefined;
    return {
      step,
      past: Array.isArray(past) ? past.filter(isStep) : [],
      settings: readSettings({ ...settings }),
      candidates: Number(candidates),
      showsMarks: showsMarks !== false,
    };
  } catch {
    return undefined;
  }
}

/** Whether a value can be shown as a step. */
function isStep(value: unknown): value is Step {
  const { draft, made, candidates } = (value ?? {}) as Partial<Step>;
  return (
    isDraft(draft) &&
    (made === undefined || isDraft(made.before)) &&
    (candidates === undefined ||
      (Array.isArray(candidates) && candidates.every((one) => isDraft(one?.draft))))
  );
}

function isDraft(value: unknown): value is Draft {
  const { text, tokens } = (value ?? {}) as Partial<Draft>;
  return (
    typeof text === "string" &&
    Array.isArray(tokens) &&
    tokens.every((token) => text.startsWith(token?.text, token?.start) && Array.isArray(token.alternatives))
  );
}
