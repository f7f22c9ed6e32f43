/** What the writer's commands do with the last text: see docs/writing.md. */
import { textIds } from "../../sampling/prompt.js";
import { countOf, UsageError } from "../../system/errors.js";
import { note, tell } from "../terminal/output.js";
import { sideBySide } from "./columns.js";
import { editText } from "./editor.js";
import type { Session } from "./session.js";
import type { Terminal } from "./terminal.js";

/** What a session's work may use: a signal to stop, and the terminal to ask questions. */
export interface Stage {
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly terminal: Terminal;
}

/** Work that takes a while. @throws UserError, which is shown; the session continues */
export type Work = (session: Session, stage: Stage) => Promise<void>;

/** @throws UsageError in a conversation, for commands that change a text */
export function refuseTurns(command: string, { turns }: Session): void {
  if (turns)
    throw new UsageError(`/${command} continues a text, not a conversation`, { next: "say something" });
}

const NOTHING = "there is nothing to continue yet";

/** The last text. @throws UsageError if there is none */
export function lastText({ lastText }: Session, reason = NOTHING): string {
  if (lastText === undefined) throw new UsageError(reason, { next: "type a prompt" });
  return lastText;
}

/** The end of a text, on one line, to show where one is. */
export function ending(text: string): string {
  const LENGTH = 60;
  const characters = [...text.replace(/\s+/g, " ")];
  return characters.length > LENGTH ? `...${characters.slice(-LENGTH).join("")}` : characters.join("");
}

/** Notes the length of the text that the model will continue. */
export function noteText(what: string, text: string, { model, settings }: Session): void {
  const count = textIds(model.encoder, text, settings.options.special).length;
  note(`${what}: ${countOf(count, "token")}, the context has ${model.hparams.n_ctx}; /more continues it`);
}

/** The most tokens shown, the last of a text. */
const SHOWN_TOKENS = 200;

/** Shows a text's last tokens. */
export function showTokens({ model, settings }: Session, text: string): void {
  const { encoder, hparams } = model;
  const ids = textIds(encoder, text, settings.options.special);
  const shown = ids.slice(-SHOWN_TOKENS);
  const left = ids.length - shown.length;
  if (left > 0) tell(`(${countOf(left, "token")} before these)`);
  let row = "";
  for (const id of shown) {
    const token = `${id} ${JSON.stringify(encoder.decode([id]))}`;
    if (row !== "" && row.length + token.length + 2 > (process.stderr.columns ?? 80)) {
      tell(row);
      row = "";
    }
    row += row === "" ? token : `  ${token}`;
  }
  if (row !== "") tell(row);
  tell(`${countOf(ids.length, "token")}; the context has ${hparams.n_ctx}`);
}

/** So that one digit chooses. */
export const MOST_CANDIDATES = 9;

/** Shows candidates for the last sample, of which a key takes one. */
export const choose =
  (count: number): Work =>
  async (session, { signal, terminal }) => {
    const records = await session.candidates(count, signal);
    if (signal.aborted || records.length < count) return note("nothing was changed");
    const texts = records.map(({ text }) => text);
    for (const line of sideBySide(texts, process.stderr.columns ?? 80)) tell(line);
    for (;;) {
      const key = await terminal.key(`1-${count} takes one, Escape none: `);
      if (key === undefined || key.startsWith("\x1b") || key === "q") return note("nothing was changed");
      const record = /^[1-9]$/.test(key) ? records[Number(key) - 1] : undefined;
      if (record) return session.take(record);
    }
  };

/** Opens the last text in the user's editor. */
export const edit: Work = async (session, { terminal }) => {
  const before = lastText(session, "there is nothing to edit yet");
  const after = await terminal.lend(() => editText(before));
  if (after === undefined) return note("the editor failed: nothing was changed");
  if (after === before) return note("nothing was changed");
  if (after === "") throw new UsageError("the text is empty", { next: "/undo takes steps back" });
  await session.begin(after);
  noteText("edited", after, session);
};

/** A pinned text may take a quarter of the context. */
const PINNED_PART = 4;

/** Pins a text; "" for none. */
export async function pin(text: string, session: Session): Promise<void> {
  const { model, settings } = session;
  const count = textIds(model.encoder, `${text}\n`, settings.options.special).length;
  const most = Math.floor(model.hparams.n_ctx / PINNED_PART);
  if (text !== "" && count > most) {
    throw new UsageError(`the text has ${count} tokens`, {
      next: `pin at most ${most}, a quarter of the context`,
    });
  }
  await session.setPin(text);
  note(
    text === ""
      ? "nothing is pinned"
      : `pinned before every prompt (${countOf(count, "token")}); /pin alone removes it`,
  );
}
