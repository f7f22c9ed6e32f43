/** What a number must be. */
export interface NumberRule {
  readonly type: "whole" | "decimal";
  readonly min: number;
  /** Infinity: there is no limit. */
  readonly max: number;
  /** Whether `min` itself is too small. */
  readonly isAboveMin?: boolean;
  /** What a refused number may have been meant for. */
  readonly hint?: string;
}

/** What a number must be, in words: "a whole number from 1 to 1024". */
export function wanted({ type, min, max, isAboveMin }: NumberRule): string {
  const kind = type === "whole" ? "a whole number" : "a number";
  const from = isAboveMin ? `above ${min}, up` : `from ${min}`;
  return max === Number.POSITIVE_INFINITY ? `${kind} from ${min}` : `${kind} ${from} to ${max}`;
}

/** Whether a value is a number that the rule allows. */
export function obeys(value: unknown, { type, min, max, isAboveMin }: NumberRule): value is number {
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  if (type === "whole" && !Number.isSafeInteger(value)) return false;
  return (isAboveMin ? value > min : value >= min) && value <= max;
}
