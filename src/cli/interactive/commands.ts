import { expandPath } from "../../models/store.js";
import { UsageError, UserError } from "../../system/errors.js";
import { note, tell } from "../terminal/output.js";
import type { Session } from "./session.js";

/** What a command asks the session to do: answer a prompt, leave, or go on. */
export type Next =
  | { readonly type: "prompt"; readonly prompt: string }
  | { readonly type: "leave" }
  | { readonly type: "ask" };

interface Command {
  readonly usage: string;
  readonly help: string;
  /** @throws UserError: its line is shown, and the session goes on */
  run(argument: string, session: Session): Next | Promise<Next>;
}

const ASK: Next = { type: "ask" };

/** For commands that take nothing. */
function takesNothing(command: string, argument: string): void {
  if (argument !== "") throw new UsageError(`/${command} takes no arguments`);
}

function set(name: string, value: string, { settings }: Session): Next {
  settings.set(name, value);
  note(`${name} ${settings.show(name)}`);
  return ASK;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  help: {
    usage: "/help",
    help: "this",
    run: (argument) => {
      takesNothing("help", argument);
      for (const line of help()) tell(line);
      return ASK;
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
    help: "show the current options",
    run: (argument, { settings, model }) => {
      takesNothing("show", argument);
      tell(`${settings.options.model_name}, ${model.engine.name}, ${model.engine.precision}`);
      for (const line of settings.list()) tell(line);
      return ASK;
    },
  },
  seed: {
    usage: "/seed N",
    help: "the same as /set seed N; without N, a random seed",
    run: (argument, session) => set("seed", argument || "default", session),
  },
  more: {
    usage: "/more",
    help: "continue the last sample",
    run: (argument, { lastText, turns }) => {
      takesNothing("more", argument);
      if (turns)
        throw new UsageError("/more continues a text, not a conversation", { next: "say something" });
      if (lastText === undefined)
        throw new UsageError("there is nothing to continue yet", { next: "type a prompt" });
      return { type: "prompt", prompt: lastText };
    },
  },
  forget: {
    usage: "/forget",
    help: "with --turns: begin a new conversation",
    run: (argument, { turns }) => {
      takesNothing("forget", argument);
      if (!turns)
        throw new UsageError("every prompt stands alone here", {
          next: "gpt2 interactive --turns keeps a conversation",
        });
      turns.forget();
      note("a new conversation");
      return ASK;
    },
  },
  save: {
    usage: "/save FILE",
    help: "write prompts and samples to a new file; FILE.jsonl: as JSON lines",
    run: async (argument, session) => {
      if (argument === "") throw new UsageError("/save needs a file name, such as /save FILE");
      if (session.lastText === undefined)
        throw new UsageError("there is nothing to save yet", { next: "type a prompt" });
      const path = expandPath(argument);
      const count = await session.save(path);
      note(`wrote ${path}: ${count} ${count === 1 ? "sample" : "samples"}`);
      return ASK;
    },
  },
  quit: {
    usage: "/quit",
    help: "leave; so do Ctrl-D and, at the prompt, Ctrl-C",
    run: (argument) => {
      takesNothing("quit", argument);
      return { type: "leave" };
    },
  },
};

const NAMES = Object.keys(COMMANDS)
  .map((name) => `/${name}`)
  .join(", ");

/** What can be typed, line by line. */
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

/** What a line that was typed means: a command that is done at once, or a prompt. */
export async function obey(line: string, session: Session): Promise<Next> {
  if (!line.startsWith("/")) return { type: "prompt", prompt: line };
  if (line.startsWith("//")) return { type: "prompt", prompt: line.slice(1) };
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
    return ASK;
  }
}
