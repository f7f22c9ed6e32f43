/** Continues a draft: one continuation, or several to choose from. */
import { type Call, complete, Fault } from "./completions.js";
import { Continuation, type Draft } from "./draft.js";
import { PieceReader } from "./pieces.js";
import { type Settings, seedAfter } from "./settings.js";
import type { Candidate, Step } from "./step.js";

/** What a run gave. */
export interface Outcome {
  /** What each candidate added to the draft. */
  readonly texts: readonly string[];
  readonly seeds: readonly number[];
  /** Tokens in all of them together; 0 if the server does not say. */
  readonly tokens: number;
  /** How much of the end of the draft the model read, in UTF-16 units; undefined for all of it. */
  readonly read?: number;
  /** Why it failed: a Fault, or a bug of the page's. */
  readonly error?: unknown;
  /** Whether the user stopped it. */
  readonly isStopped: boolean;
}

/** How one continuation ended. */
interface Ending {
  readonly tokens: number;
  readonly read?: number;
  readonly error?: unknown;
}

/**
 * Asks for `count` continuations, each with the next seed.
 * @param onStep called with the step as the continuations grow
 */
export async function run(
  before: Draft,
  settings: Settings,
  count: number,
  call: Call,
  onStep: (step: Step) => void,
): Promise<Outcome> {
  const seeds = Array.from({ length: count }, (_, i) => seedAfter(settings.seed, i));
  const made = { before, settings, next: seedAfter(settings.seed, count) };
  const candidates: Candidate[] = seeds.map((seed) => ({ seed, draft: before }));
  const tell = (i: number, candidate: Candidate): void => {
    candidates[i] = candidate;
    const { draft, length } = candidate;
    if (count > 1) onStep({ draft: before, made, candidates: [...candidates] });
    else onStep({ draft, made: { ...made, settings: stoppedAfter(settings, length) } });
  };

  const one = async (seed: number, i: number): Promise<Ending> => {
    const continuation = new Continuation(before);
    const reader = new PieceReader();
    let tokens = 0;
    try {
      const { read } = await complete(before.text, { ...settings, seed }, call, ({ text, logprobs }) => {
        tokens += logprobs?.tokens.length ?? 0;
        continuation.push(text, logprobs ? reader.push(logprobs) : []);
        tell(i, { seed, draft: continuation.draft, length: tokens });
      });
      continuation.push("", reader.end());
      tell(i, { seed, draft: continuation.draft }); // as long as asked for
      return { tokens, read };
    } catch (error) {
      return { tokens, error };
    }
  };

  tell(0, candidates[0]);
  const endings = await Promise.all(seeds.map(one));
  const errors = endings.map(({ error }) => error).filter((error) => error !== undefined);
  return {
    texts: candidates.map(({ draft }) => draft.text.slice(before.text.length)),
    seeds,
    tokens: endings.reduce((sum, ending) => sum + ending.tokens, 0),
    read: endings.find(({ read }) => read !== undefined && read < before.text.length)?.read,
    error: errors.find((error) => error instanceof Fault) ?? errors.find((error) => !isAbort(error)),
    isStopped: errors.some(isAbort),
  };
}

/** The settings that reproduce a continuation stopped after `length` tokens; 0 or undefined if it was not stopped. */
export function stoppedAfter(settings: Settings, length: number | undefined): Settings {
  return length ? { ...settings, max_tokens: length } : settings;
}

const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError";

/** The outcome in one line, and for a screen reader: the words themselves. */
export function summary({ texts, seeds, tokens, read }: Outcome): { shown: string; aloud: string } {
  if (texts.every((text) => text === "")) return { shown: "", aloud: "" };
  const isChoice = texts.length > 1;
  const choice = isChoice ? `${texts.length} candidates: take one. ` : "";
  const length = tokens === 0 ? "" : `${tokens} ${tokens === 1 ? "token" : "tokens"}, `;
  const cut = read === undefined ? "" : ` The model read the last ${read} characters, all that it can.`;
  const words = isChoice ? texts.map((text, i) => `${i + 1}: ${text}`).join(". ") : texts[0];
  return {
    shown: `${choice}${length}${isChoice ? "seeds" : "seed"} ${seeds.join(", ")}.${cut}`,
    aloud: `${choice}${words}${cut}`,
  };
}
