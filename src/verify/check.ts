/** What a check is about. */
export type CheckedPart = "files" | "checkpoint" | "weights" | "vocabulary" | "recognition" | "reference";

/** The outcome of one check. */
export interface Check {
  readonly part: CheckedPart;
  /** What was checked, e.g. a file's name. */
  readonly check: string;
  readonly result: "ok" | "failed" | "left out";
  /** What was found, or why it was left out: one line. */
  readonly detail: string;
}

/** Makes the checks of one part. */
export function checksOf(part: CheckedPart): {
  ok: (check: string, detail: string) => Check;
  failed: (check: string, detail: string) => Check;
  leftOut: (check: string, detail: string) => Check;
} {
  const make =
    (result: Check["result"]) =>
    (check: string, detail: string): Check => ({ part, check, result, detail });
  return { ok: make("ok"), failed: make("failed"), leftOut: make("left out") };
}

/** Called with the progress of a longer piece of work, in bytes. */
export type OnProgress = (title: string, done: number, total: number) => void;

/** A number with commas: "124,439,808". */
export function showCount(n: number): string {
  return n.toLocaleString("en-US");
}
