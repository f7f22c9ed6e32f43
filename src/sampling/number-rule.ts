/** What a number must be. */
export interface NumberRule {
  readonly type: "whole" | "decimal";
  readonly min: number;
  /** Infinity: there is no most. */
  readonly max: number;
  /** The least is itself too small. */
  readonly isAboveMin?: boolean;
  /** What someone may have meant whose number is refused. */
  readonly hint?: string;
}

/** What a number must be, in words: "a whole number from 1 to 1024". */
export function wanted({ type, min, max, isAboveMin }: NumberRule): string {
  const kind = type === "whole" ? "a whole number" : "a number";
  const from = isAboveMin ? `above ${min}, up` : `from ${min}`;
  return max === Number.POSITIVE_INFINITY ? `${kind} from ${min}` : `${kind} ${from} to ${max}`;
}

/** Whether a value is a number as the rule has it. */
export function obeys(value: unknown, { type, min, max, isAboveMin }: NumberRule): value is number {
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  if (type === "whole" && !Number.isSafeInteger(value)) return false;
  return (isAboveMin ? value > min : value >= min) && value <= max;
}
