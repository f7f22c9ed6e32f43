/** The process's exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (128 + SIGINT). */
export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** How a message writes an option; `value` is true for an option without a value. */
export type OptionWriter = (name: string, value?: string | number | true) => string;

/** As a property of the library's options: `precision`, `precision: "int8"`. */
let written: OptionWriter = (name, value) =>
  value === undefined ? name : `${name}: ${JSON.stringify(value)}`;

/** Writes an option as the message's reader knows it; every message uses this. On the command line: as a flag. */
export const option: OptionWriter = (name, value) => written(name, value);

/** Sets how option() writes in this process; only src/cli calls it, before it loads or runs anything else. */
export function writeOptionsAs(writer: OptionWriter): void {
  written = writer;
}

/** A UserError's properties besides its reason. */
export interface ErrorDetails {
  /** The next step, as an imperative without a full stop: "choose another name". */
  readonly next?: string;
  readonly exitCode?: number;
  readonly cause?: unknown;
}

/**
 * A failure that the user can act on: the reason names the thing, `next` the next step. The message is one line,
 * "reason: next", which the command line prints without a stack. Any other error is a bug of ours.
 * No module edits another's message: it takes the reason and adds its own next step.
 */
export class UserError extends Error {
  override name = "UserError";
  readonly exitCode: number;
  readonly reason: string;
  readonly next: string | undefined;

  constructor(reason: string, { next, exitCode, cause }: ErrorDetails = {}) {
    super(printable(next === undefined ? reason : `${reason}: ${next}`, MESSAGE_LIMIT), { cause });
    this.reason = printable(reason, MESSAGE_LIMIT);
    this.next = next === undefined ? undefined : printable(next, MESSAGE_LIMIT);
    this.exitCode = exitCode ?? EXIT.failed;
  }
}

/** The next step where a file of a model is damaged. */
export const DOWNLOAD_AGAIN = "download the model again";
/** The same where the folder may be the wrong one. */
export const DOWNLOAD_OR_RENAME = `${DOWNLOAD_AGAIN}, or name another model folder`;
/** The same for a file that the user brought. */
export const FETCH_AGAIN = "fetch the model again";

/** A UserError for wrong options or arguments: exit code 2. */
export class UsageError extends UserError {
  override name = "UsageError";

  constructor(reason: string, details: Omit<ErrorDetails, "exitCode"> = {}) {
    super(reason, { ...details, exitCode: EXIT.usage });
  }
}

/** Why something failed, without a UserError's next step, for a message with its own. */
export function reasonOf(error: unknown): string {
  return error instanceof UserError ? error.reason : messageOf(error);
}

/** The message of anything that was thrown, on one line. */
export function messageOf(error: unknown): string {
  return oneLine(error instanceof Error ? error.message : String(error));
}

/** A message may quote any file, whose text must not fill the screen. */
const MESSAGE_LIMIT = 1500;
/** Characters that move a terminal's cursor, colour text or reverse its direction; and lone surrogates. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A text on one line: line breaks become spaces, other invisible characters are escaped. */
function oneLine(text: string): string {
  return text
    .replace(/\s*\n\s*/g, " ")
    .replace(UNPRINTABLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A text cut to at most `limit` characters, keeping its beginning and end. */
export function shorten(text: string, limit = 80): string {
  if (text.length <= limit) return text;
  const end = Math.floor(limit / 3);
  // Never cut a character in half.
  const head = text.slice(0, limit - end - 3).replace(/[\ud800-\udbff]$/, "");
  return `${head}...${text.slice(text.length - end).replace(/^[\udc00-\udfff]/, "")}`;
}

/** "1 row", "2 rows". */
export function countOf(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

/** Any text, shortened to one line. */
function printable(text: string, limit: number): string {
  return shorten(oneLine(shorten(text, 8 * limit)), limit); // escaping makes it longer
}

/**
 * Quotes any JSON value of a file for a message, shortened to one line.
 * @param limit the most characters
 */
export function quote(value: unknown, limit = 80): string {
  if (value === undefined) return "nothing";
  try {
    return printable(JSON.stringify(value), limit);
  } catch {
    return "a deeply nested value"; // JSON.stringify recurses on the stack; JSON.parse goes deeper
  }
}
