/** Ctrl-C, and the signals with which a system that shuts down and a terminal that is closed end a program. */
export const ENDING: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/**
 * Calls a function at Ctrl-C (SIGINT) while a piece of work runs; a second Ctrl-C during the same work ends the
 * process at once, for the case that the work does not come to an end.
 * @param signals that count as a Ctrl-C
 */
export async function whileInterruptible<T>(
  onInterrupt: () => void,
  work: () => Promise<T>,
  signals: readonly NodeJS.Signals[] = ["SIGINT"],
): Promise<T> {
  let count = 0;
  const listener = (): void => {
    if (++count > 1) process.exit(130);
    onInterrupt();
  };
  for (const signal of signals) process.on(signal, listener);
  try {
    return await work();
  } finally {
    for (const signal of signals) process.off(signal, listener);
  }
}
