import { countOf, quote, UsageError, UserError } from "../../system/errors.js";
import { expandPath } from "../../system/paths.js";
import { likelier, tokenLine } from "../samples/token-line.js";
import { readTextFile, withoutLastNewline, withUnixLines } from "../terminal/input.js";
import { note, tell } from "../terminal/output.js";
import type { Ask, Session } from "./session.js";
import {
  choose,
  edit,
  ending,
  lastText,
  MOST_CANDIDATES,
  noteText,
  pin,
  refuseTurns,
  type Stage,
  showTokens,
  type Work,
} from "./writing.js";

/** What happens next: work, leaving, or another prompt. */
export type Next = Work | "leave" | "ask";

interface Command {
  readonly usage: string;
  readonly help: string;
  /** @throws UserError, which is shown; the session continues */
  run(argument: string, session: Session): Next | Promise<Next>;
}

/** Answers a prompt. */
export const prompting =
  (prompt: string, ask: Partial<Ask> = {}): Work =>
  (session, { signal }) =>
    session.answer({ ...ask, prompt }, signal);

/** @throws UsageError when a command without arguments gets one */
function takesNothing(command: string, argument: string): void {
  if (argument !== "") throw new UsageError(`/${command} takes no arguments`);
}

function set(name: string, value: string, { settings }: Session): Next {
  settings.set(name, value);
  note(`${name} ${settings.show(name)}`);
  return "ask";
}

const COMMANDS: Readonly<Record<string, Command>> = {
  help: {
    usage: "/help",
    help: "this",
    run: (argument) => {
      takesNothing("help", argument);
      for (const line of help()) tell(line);
      return "ask";
    },
  },
  more: {
    usage: "/more",
    help: "continue the last text",
    run: (argument, session) => {
      takesNothing("more", argument);
      refuseTurns("more", session);
      return prompting(lastText(session));
    },
  },
  undo: {
    usage: "/undo",
    help: "undo the last step: a prompt and its sample, a /load, an /edit",
    run: async (argument, session): Promise<Next> => {
      takesNothing("undo", argument);
      await session.undo();
      const { lastText: text } = session;
      note(text === undefined ? "nothing left: type a prompt" : `back to: ${ending(text)}`);
      return "ask";
    },
  },
  retry: {
    usage: "/retry [N]",
    help: "write the last sample again with the next seed; -1: with the one before",
    run: (argument, session) => {
      if (!/^([+-]?\d{1,9})?$/.test(argument))
        throw new UsageError(`/retry takes a whole number, such as /retry -1, not ${quote(argument)}`);
      if (!session.lastSample)
        throw new UsageError("there is no sample to write again", { next: "type a prompt" });
      const distance = argument === "" ? 1 : Number(argument);
      return async (_, { signal }) => session.answer(await session.retry(distance), signal);
    },
  },
  choose: {
    usage: "/choose N",
    help: "N candidates for the last sample, side by side; a key takes one",
    run: (argument, session) => {
      const count = /^[1-9]$/.test(argument) ? Number(argument) : 0;
      if (count < 2)
        throw new UsageError(`/choose takes a number from 2 to ${MOST_CANDIDATES}, such as /choose 3`);
      refuseTurns("choose", session);
      lastText(session);
      return choose(count);
    },
  },
  edit: {
    usage: "/edit",
    help: "change the last text in $VISUAL or $EDITOR",
    run: (argument, session) => {
      takesNothing("edit", argument);
      refuseTurns("edit", session);
      return edit;
    },
  },
  load: {
    usage: "/load FILE",
    help: "use a file's text as the last text; /more continues it",
    run: async (argument, session): Promise<Next> => {
      refuseTurns("load", session);
      if (argument === "") throw new UsageError("/load needs a file name, such as /load FILE");
      const path = expandPath(argument);
      const text = withoutLastNewline(withUnixLines(await readTextFile(path)));
      if (text === "") throw new UsageError(`${path} is empty`, { next: "choose another file" });
      await session.begin(text);
      noteText(`loaded ${path}`, text, session);
      return "ask";
    },
  },
  pin: {
    usage: "/pin TEXT",
    help: "keep TEXT before every prompt, even when the context is full; alone: pin nothing",
    run: async (argument, session): Promise<Next> => {
      refuseTurns("pin", session);
      await pin(argument, session);
      return "ask";
    },
  },
  tokens: {
    usage: "/tokens",
    help: "show the last text's tokens",
    run: (argument, session) => {
      takesNothing("tokens", argument);
      showTokens(session, lastText(session, "there is no text yet"));
      return "ask";
    },
  },
  why: {
    usage: "/why",
    help: "show the last sample's tokens with their logprobs, ranks and alternatives",
    run: (argument, session) => {
      takesNothing("why", argument);
      const { lastSample, lastTokens } = session;
      if (!lastSample) throw new UsageError("there is no sample yet", { next: "type a prompt" });
      if (!lastTokens)
        throw new UsageError("only the sample that was written last is explained", {
          next: "/retry 0 writes it again",
        });
      for (const token of lastTokens) {
        tell(`${tokenLine(token.logprob, token.id, token.text)}  ${likelier(token)}`);
      }
      return "ask";
    },
  },
  set: {
    usage: "/set NAME VALUE",
    help: "change an option that /show lists; VALUE may be default",
    run: (argument, session) => {
      const [, name, value] = /^(\S*)\s*(.*)$/.exec(argument) ?? ["", "", ""];
      if (name === "")
        throw new UsageError("/set takes a name and a value, such as /set top_k 40; /show lists all");
      return set(name, value, session);
    },
  },
  show: {
    usage: "/show",
    help: "show the current options, what is pinned, and where the session is kept",
    run: (argument, session) => {
      takesNothing("show", argument);
      const { settings, model, pin: pinned, file, length } = session;
      tell(`${settings.options.model_name}, ${model.engine.name}, ${model.engine.precision}`);
      if (file) tell(`session ${file.path}: ${countOf(length, "step")}`);
      if (pinned !== "") tell(`pinned: ${pinned}`);
      for (const line of settings.list()) tell(line);
      return "ask";
    },
  },
  seed: {
    usage: "/seed N",
    help: "the same as /set seed N; without N, a random seed",
    run: (argument, session) => set("seed", argument || "default", session),
  },
  forget: {
    usage: "/forget",
    help: "with --turns: begin a new conversation",
    run: async (argument, session): Promise<Next> => {
      takesNothing("forget", argument);
      if (!session.turns)
        throw new UsageError("every prompt stands alone here", {
          next: "gpt2 interactive --turns keeps a conversation",
        });
      await session.forget();
      note("a new conversation");
      return "ask";
    },
  },
  save: {
    usage: "/save FILE",
    help: "write prompts and samples to a new file; FILE.jsonl: as JSON lines",
    run: async (argument, session): Promise<Next> => {
      if (argument === "" && session.file) {
        note(`the session is kept in ${session.file.path}; /save FILE writes it as text`);
        return "ask";
      }
      if (argument === "") throw new UsageError("/save needs a file name, such as /save FILE");
      lastText(session, "there is nothing to save yet");
      const path = expandPath(argument);
      const count = await session.save(path);
      note(`wrote ${path}: ${countOf(count, "sample")}`);
      return "ask";
    },
  },
  quit: {
    usage: "/quit",
    help: "leave; so do Ctrl-D and, at the prompt, Ctrl-C",
    run: (argument) => {
      takesNothing("quit", argument);
      return "leave";
    },
  },
};

const NAMES = Object.keys(COMMANDS)
  .map((name) => `/${name}`)
  .join(", ");

/** The lines that /help prints. */
export function help(): string[] {
  const usages = Object.values(COMMANDS);
  const width = Math.max(...usages.map(({ usage }) => usage.length));
  return [
    "A line is a prompt. Ctrl-C stops a sample; arrow keys edit the line and recall earlier ones.",
    'A line of """ begins a prompt of several lines, another one ends it. Pasted lines are one prompt.',
    ...usages.map((command) => `${command.usage.padEnd(width)}  ${command.help}`),
    `${"//...".padEnd(width)}  a prompt that begins with a slash`,
  ];
}

/** Does some work; shows a UserError, and the session continues. */
export async function attempt(work: Work, session: Session, stage: Stage): Promise<void> {
  try {
    await work(session, stage);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    tell(error.message);
  }
}

/** Obeys a typed line: runs a command at once, or returns the work to do, such as answering a prompt. */
export async function obey(line: string, session: Session): Promise<Next> {
  if (!line.startsWith("/")) return prompting(line);
  if (line.startsWith("//")) return prompting(line.slice(1));
  const [, name, argument] = /^\/(\S*)\s*(.*?)\s*$/.exec(line) ?? ["", "", ""];
  try {
    if (!Object.hasOwn(COMMANDS, name)) {
      throw new UsageError(`there is no command /${name}`, {
        next: `there are ${NAMES}; a prompt that begins with a slash is typed /${line}`,
      });
    }
    return await COMMANDS[name].run(argument, session);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    tell(error.message);
    return "ask";
  }
}
