import { messageOf, UserError } from "./errors.js";

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/**
 * Parses a file's text.
 * @param next the next step if it is not JSON, e.g. "download the model again"
 * @throws UserError
 */
export function parseJson(text: string, path: string, next?: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new UserError(`${path} is not valid JSON (${messageOf(cause)})`, { next, cause });
  }
}

/** The value of a text; undefined if it is not JSON, which has no such value. */
export function tryJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Whether a value is a JSON object: not null, not an array. */
export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether it is a size, count or id: a whole number from 0 to 2^53 - 1. */
export function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Deeper than any valid file's. */
const DEPTH = 64;

/**
 * Refuses a value nested so deeply that recursion over it would overflow the stack.
 * @throws UserError
 */
export function refuseDeep(value: unknown, path: string, next?: string): void {
  if (isDeeper(value, DEPTH)) throw new UserError(`${path} is nested too deeply`, { next });
}

function isDeeper(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return depth === 0 || Object.values(value).some((each) => isDeeper(each, depth - 1));
}
