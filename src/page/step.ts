/** A step of the work: what is on the page at one time. Undo and redo go from one to another. */
import { type Draft, EMPTY } from "./draft.js";
import { readSettings, type Settings } from "./settings.js";

/** How a draft came to be: all that is needed to make it again, or to try the next seed. */
export interface Made {
  readonly before: Draft;
  /** The seed is that of the continuation, or of the first candidate. */
  readonly settings: Settings;
  /** The seed after the last that was tried. */
  readonly next: number;
}

/** A continuation to choose. */
export interface Candidate {
  readonly seed: number;
  /** With the text before it. */
  readonly draft: Draft;
  /** It was stopped after so many tokens. */
  readonly length?: number;
}

export interface Step {
  readonly draft: Draft;
  /** Undefined: someone wrote the end of it. */
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

/** About what a browser keeps for a site, in UTF-16 units, with room to spare. */
const MOST = 2_000_000;

/** As text, with as many earlier steps as there is room for. */
export function keep(kept: Kept): string {
  for (let past = kept.past.slice(-20); ; past = past.slice(Math.ceil(past.length / 2))) {
    const text = JSON.stringify({ ...kept, past });
    if (text.length <= MOST || past.length === 0) return text;
  }
}

/** Undefined: nothing is kept, or it is damaged. */
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
