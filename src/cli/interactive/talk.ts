import { EXIT } from "../../system/errors.js";
import { tell } from "../terminal/output.js";
import { attempt, obey, prompting } from "./commands.js";
import { History, historyPath } from "./history.js";
import { PROMPT, type Session } from "./session.js";
import { Terminal } from "./terminal.js";

/** The line that begins and ends a prompt of several lines. */
const FENCE = '"""';
const CONTINUED = "... ";

/** Something that was typed or pasted. */
interface Entry {
  readonly text: string;
  /** Whether it is a prompt even if it begins with a slash. */
  readonly isPrompt: boolean;
}

/** Reads a line, pasted lines or a block; undefined when the user leaves. */
async function readEntry(terminal: Terminal): Promise<Entry | undefined> {
  for (;;) {
    const reply = await terminal.ask(PROMPT);
    if (reply.type !== "line") return undefined;
    if (reply.text.trim() !== FENCE) return { text: reply.text, isPrompt: reply.text.includes("\n") };
    const block = await readBlock(terminal);
    if (block === "end") return undefined;
    if (block !== "dropped") return { text: block.join("\n"), isPrompt: true };
  }
}

/** Reads lines up to the one that ends the block; Ctrl-C drops it. */
async function readBlock(terminal: Terminal): Promise<string[] | "dropped" | "end"> {
  const lines: string[] = [];
  for (;;) {
    const reply = await terminal.ask(CONTINUED);
    if (reply.type === "end") return "end";
    if (reply.type === "interrupt") {
      tell("");
      return "dropped";
    }
    if (reply.text.trim() === FENCE) return lines;
    lines.push(reply.text);
  }
}

/** An entry as typed on one line, to be recalled later. */
function typed({ text, isPrompt }: Entry): string {
  return isPrompt && text.startsWith("/") && !text.includes("\n") ? `/${text}` : text;
}

/** The history, kept between sessions unless the user does not want that. */
function openHistory(isKept: boolean): History {
  return new History(isKept ? historyPath() : undefined, (line) => tell(`warning: ${line}`));
}

/**
 * A session on a terminal: asks, answers, asks again. Ctrl-C stops a sample; a second one before it has stopped leaves
 * at once; at the prompt, Ctrl-C or Ctrl-D leaves.
 * @param closed aborted when nobody reads the output any longer
 * @returns the exit code
 */
export async function talk(session: Session, wantsHistory: boolean, closed: AbortSignal): Promise<number> {
  const history = openHistory(wantsHistory);
  let current: AbortController | undefined;
  const terminal = new Terminal(history.entries, () => {
    if (!current) return terminal.close();
    if (current.signal.aborted) {
      terminal.close();
      tell("");
      process.exit(EXIT.interrupted);
    }
    current.abort();
  });
  closed.addEventListener("abort", () => terminal.close());
  try {
    for (;;) {
      const entry = await readEntry(terminal);
      if (!entry) break;
      history.add(typed(entry));
      terminal.remember(history.entries);
      const next = entry.isPrompt ? prompting(entry.text) : await obey(entry.text, session);
      if (next === "leave") return EXIT.done;
      if (next === "ask") continue;
      current = new AbortController();
      await attempt(next, session, { signal: current.signal, terminal });
      current = undefined;
    }
  } finally {
    terminal.close();
  }
  if (!closed.aborted) tell("");
  return EXIT.done;
}
