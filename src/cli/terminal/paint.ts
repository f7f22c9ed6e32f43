import { LEVELS } from "../../probability-scale.js";
import { printable } from "./printable.js";

export const COLOR_WORDS = ["auto", "always", "never"] as const;
/** When a text is painted: `--color`. */
export type ColorWhen = (typeof COLOR_WORDS)[number];

/**
 * Whether what goes to a stream is painted. `auto` is for terminals that can show it, and obeys $FORCE_COLOR and
 * $NO_COLOR, in this order, as Node does.
 */
export function isPainted(
  when: ColorWhen,
  { isTTY }: Pick<NodeJS.WriteStream, "isTTY">,
  env: NodeJS.ProcessEnv = process.env,
): boolean {
  if (when !== "auto") return when === "always";
  const [force, none, terminal] = [env["FORCE_COLOR"], env["NO_COLOR"], env["TERM"]];
  if (force) return force !== "0" && force !== "false";
  return !none && isTTY === true && terminal !== "dumb";
}

const RESET = "\x1b[0m";

/**
 * A text in its level's colours, which end with every line: else a terminal fills the rest of the row. Its own control
 * characters become signs.
 */
export function painted(text: string, level: number): string {
  const { ink, ground } = LEVELS[level].terminal;
  const begin = `\x1b[38;5;${ink};48;5;${ground}m`;
  return printable(text).replace(/[^\n]+/g, (line) => begin + line + RESET);
}

/** What the levels' colours mean, in a line. */
export function legend(): string {
  const levels = LEVELS.map(({ words }, level) => painted(` ${words} `, level));
  return `probability of each token: ${levels.join("")}`;
}
