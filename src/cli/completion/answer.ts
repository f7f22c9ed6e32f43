import { bashOffers, gpt2Words, splitLine } from "./bash.js";
import { type Completion, complete, type Definitions } from "./complete.js";
import type { Shell } from "./stubs.js";

const oneLine = (text = ""): string => text.replace(/\s+/g, " ");

/**
 * The answer to `gpt2 __complete SHELL ...`, which a shell's stub (stubs.ts) calls: first a line `files`, `folders` or
 * `none`, for the paths that fit too, then one line per offer.
 * @param typed bash: the line up to the cursor, and $COMP_WORDBREAKS; zsh and fish: the words after gpt2, the last one
 *   up to the cursor
 * @param define returns the definitions, including the options of the command named
 */
export async function answer(
  shell: Shell,
  typed: readonly string[],
  define: (command: string) => Promise<Definitions>,
): Promise<string> {
  const line = splitLine(typed[0] ?? "", typed[1]);
  // fish passes the word at the cursor with its quotes.
  const words =
    shell === "bash"
      ? gpt2Words(line)
      : shell === "zsh"
        ? typed
        : [...typed.slice(0, -1), splitLine(typed.at(-1) ?? "").words.at(-1) ?? ""];
  const found = complete(await define(words[0] ?? ""), words);
  const lines: Record<Shell, () => string[]> = {
    bash: () => bashOffers(found, line),
    zsh: () => zshOffers(found),
    fish: () =>
      found.offers.map(({ text, description }) => `${found.prefix}${text}\t${oneLine(description)}`),
  };
  const paths = `${found.paths ?? "none"}${shell === "zsh" && found.prefix !== "" ? "=" : ""}`;
  return [paths, ...lines[shell]()].map((each) => `${each}\n`).join("");
}

/** In the form _describe expects: a colon separates an offer from its description. */
function zshOffers({ offers }: Completion): string[] {
  return offers.map(({ text, description }) => {
    const escaped = text.replace(/[\\:]/g, "\\$&");
    return description === undefined ? escaped : `${escaped}:${oneLine(description)}`;
  });
}
