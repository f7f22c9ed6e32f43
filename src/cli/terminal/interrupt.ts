/** Ctrl-C, and the signals that end programs when the system shuts down or a terminal is closed. */
export const ENDING: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/**
 * Calls a function at Ctrl-C (SIGINT) while work runs; a second Ctrl-C during the same work ends the process at once, in
 * case the work does not stop.
 * @param signals that count as Ctrl-C
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
