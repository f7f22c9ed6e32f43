import { SingleBar } from "cli-progress";
import { EXIT, UserError } from "../../system/errors.js";
import { ENDING, whileInterruptible } from "./interrupt.js";
import { note } from "./output.js";

const UNITS = ["B", "kB", "MB", "GB"];

/** A number of bytes for people, in powers of 1000: "497.8 MB". */
export function showBytes(bytes: number): string {
  let unit = 0;
  let n = bytes;
  while (n >= 999.5 && unit < UNITS.length - 1) {
    n /= 1000;
    unit++;
  }
  return unit === 0 ? `${n} B` : `${n.toFixed(1)} ${UNITS[unit]}`;
}

/** Seconds for people: "4s", "1m05s", "2h03m". */
export function showSeconds(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s}s`;
  const two = (n: number): string => String(Math.floor(n)).padStart(2, "0");
  return s < 3600
    ? `${Math.floor(s / 60)}m${two(s % 60)}s`
    : `${Math.floor(s / 3600)}h${two((s % 3600) / 60)}m`;
}

/** How every bar looks. */
export const BAR_OPTIONS = {
  barsize: 24,
  barCompleteChar: "█",
  barIncompleteChar: "░",
  stream: process.stderr,
  hideCursor: true,
  clearOnComplete: true,
  fps: 10,
  gracefulExit: false,
};

/** The bar of a piece of work that moves bytes, or counts something else. */
export interface Bar {
  /** This many are done; may go back when something starts over. */
  update(done: number): void;
  /** Replaces the bar with a line. */
  stop(line: string): void;
  /** Removes the bar. */
  clear(): void;
}

/**
 * Draws a bar with size, speed and time left on stderr; if stderr is not a terminal, or one that cannot draw, only the
 * line at the end.
 * @param total bytes, undefined if unknown
 * @param resumedAt bytes there before, which do not count towards the speed
 * @param unit what is counted, if not bytes: "tokens"
 */
export function startBar(title: string, total: number | undefined, resumedAt = 0, unit?: string): Bar {
  const show = unit === undefined ? showBytes : (n: number): string => `${n} ${unit}`;
  const isDrawn = process.stderr.isTTY && process.env["TERM"] !== "dumb";
  if (!isDrawn) return { update: () => {}, stop: note, clear: () => {} };
  const started = performance.now();
  const size = total === undefined ? "" : ` of ${show(total)}`;
  const bar = new SingleBar({
    format:
      total === undefined
        ? "{title}  {done}  {speed}"
        : "{title} {bar} {percentage}%  {done}  {speed}  {left}",
    ...BAR_OPTIONS,
  });
  const payload = (done: number): Record<string, string> => {
    const speed = (done - resumedAt) / Math.max(0.001, (performance.now() - started) / 1000);
    const left = total === undefined || speed <= 0 ? "" : `${showSeconds((total - done) / speed)} left`;
    return {
      title,
      done: (unit === undefined ? showBytes(done) : String(done)) + size,
      speed: `${show(Math.max(0, Math.round(speed)))}/s`,
      left,
    };
  };
  let isOver = false;
  const clear = (): void => {
    isOver = true;
    bar.stop();
  };
  bar.start(total ?? 1, resumedAt, payload(resumedAt));
  return {
    update: (done) => {
      // Reads already under way when the work stopped report late: the bar would be drawn again.
      if (!isOver) bar.update(Math.min(done, total ?? 1), payload(done));
    },
    stop: (line) => {
      clear();
      note(line);
    },
    clear,
  };
}

/**
 * Does work under a bar. Ctrl-C or a signal ends it with exit code 130, and then nothing has changed.
 * @param name of the work, for the line that says so, e.g. "import"
 * @param title shown before the bar, e.g. "importing"
 * @param line what stays on the screen when it is done
 */
export async function withBar<T>(
  { name, title }: { readonly name: string; readonly title: string },
  work: (options: { signal: AbortSignal; onProgress: (done: number, total: number) => void }) => Promise<T>,
  line: (result: T) => string,
): Promise<T> {
  const controller = new AbortController();
  const stop = (): void =>
    controller.abort(new UserError(`${name} stopped; nothing was changed`, { exitCode: EXIT.interrupted }));
  let bar: Bar | undefined;
  const onProgress = (done: number, total: number): void => {
    bar ??= startBar(title, total);
    bar.update(done);
  };
  try {
    const result = await whileInterruptible(
      stop,
      () => work({ signal: controller.signal, onProgress }),
      ENDING,
    );
    bar?.clear();
    note(line(result));
    return result;
  } finally {
    bar?.clear();
  }
}
