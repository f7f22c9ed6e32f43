/**
 * Completion, as a shell's stub asks for it: `gpt2 __complete SHELL ...`. A person waits for each Tab, so bin/gpt2.js
 * starts here: neither the commands nor commander are loaded, only what the build wrote about them.
 */
import { readFileSync } from "node:fs";
import { bashOffers, gpt2Words, splitLine } from "./bash.js";
import { type Completion, complete, type Definitions } from "./complete.js";
import { type Shell, STUBS } from "./stubs.js";

/** What describeProgram() says, written by the build (scripts/build-commands.ts). */
export const DEFINITIONS = new URL("definitions.json", import.meta.url);

const oneLine = (text = ""): string => text.replace(/\s+/g, " ");

/**
 * The answer to `gpt2 __complete SHELL ...`: first a line `files`, `folders` or `none`, for the paths that fit too, then
 * one line per offer.
 * @param typed bash: the line up to the cursor, and $COMP_WORDBREAKS; zsh and fish: the words after gpt2, the last one
 *   up to the cursor
 */
export async function answer(
  shell: Shell,
  typed: readonly string[],
  definitions: Definitions,
): Promise<string> {
  const line = splitLine(typed[0] ?? "", typed[1]);
  // fish passes the word at the cursor with its quotes.
  const words =
    shell === "bash"
      ? gpt2Words(line)
      : shell === "zsh"
        ? typed
        : [...typed.slice(0, -1), splitLine(typed.at(-1) ?? "").words.at(-1) ?? ""];
  const found = await complete(definitions, words);
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

/**
 * Answers a shell on stdout.
 * @param args the arguments after `gpt2`, `__complete` among them
 */
export async function main([, shell, ...typed]: readonly string[]): Promise<void> {
  if (!Object.hasOwn(STUBS, shell ?? "")) {
    process.stderr.write("gpt2: __complete is what shells call: see gpt2 completion --help\n");
    process.exitCode = 2;
    return;
  }
  const definitions = JSON.parse(readFileSync(DEFINITIONS, "utf8")) as Definitions;
  process.stdout.on("error", () => {}); // the shell no longer waits
  process.stdout.write(await answer(shell as Shell, typed, definitions));
}
