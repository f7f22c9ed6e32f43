/** The process's exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (128 + SIGINT). */
export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/**
 * A failure that the user can act on. Its message is one line that names the thing and the next step; the
 * command line prints it without a stack. Anything else that is thrown is a fault of ours.
 */
export class UserError extends Error {
  override name = "UserError";
  readonly exitCode: number;

  constructor(message: string, options: { exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.exitCode = options.exitCode ?? EXIT.failed;
  }
}

/** A UserError for wrong options or arguments: exit code 2. */
export class UsageError extends UserError {
  override name = "UsageError";

  constructor(message: string) {
    super(message, { exitCode: EXIT.usage });
  }
}

/** The message of anything that was thrown, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s*\n\s*/g, " ");
}
