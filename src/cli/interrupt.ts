/**
 * Calls a function at Ctrl-C (SIGINT) while a piece of work runs; a second Ctrl-C during the same work ends the
 * process at once, for the case that the work does not come to an end.
 */
export async function whileInterruptible<T>(onInterrupt: () => void, work: () => Promise<T>): Promise<T> {
  let count = 0;
  const listener = (): void => {
    if (++count > 1) process.exit(130);
    onInterrupt();
  };
  process.on("SIGINT", listener);
  try {
    return await work();
  } finally {
    process.off("SIGINT", listener);
  }
}
