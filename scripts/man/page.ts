import type { Command } from "commander";
import { bold, escaped, filled, italic, item, section, typed } from "./roff.js";
import { DESCRIPTION, ENVIRONMENT, EXIT_STATUS, FILES, SEE_ALSO } from "./text.js";

/** `--top_k <k>` with the names bold and the placeholder in italics. */
function terms(text: string): string {
  return text
    .split(/(<[^>]+>|\[[^\]]+\]|, )/)
    .filter((part) => part !== "")
    .map((part) => {
      if (part === ", ") return part;
      const value = /^<(.+)>$/.exec(part)?.[1];
      return value === undefined ? bold(part.trimEnd()) + (part.endsWith(" ") ? " " : "") : italic(value);
    })
    .join("");
}

/** The line of a command's help that begins with "Example: ". */
function exampleOf(command: Command): string | undefined {
  let shown = "";
  const before = command.configureOutput();
  command.configureOutput({ writeOut: (text) => (shown += text) }).outputHelp();
  command.configureOutput(before);
  return /^Example: (.*)$/m.exec(shown)?.[1];
}

/** A command: its usage, what it does, its arguments and options as in its help. */
function commandLines(command: Command): string[] {
  const help = command.createHelp();
  const usage = help.commandUsage(command);
  return [
    `.SS ${escaped(usage)}`,
    filled(help.commandDescription(command)),
    ...help
      .visibleArguments(command)
      .flatMap((each) => item(italic(help.argumentTerm(each)), help.argumentDescription(each))),
    ...optionLines(command),
  ];
}

function optionLines(command: Command): string[] {
  const help = command.createHelp();
  return help
    .visibleOptions(command)
    .flatMap((option) => item(terms(help.optionTerm(option)), help.optionDescription(option)));
}

const items = (rows: readonly (readonly [string, string])[]): string[] =>
  rows.flatMap(([term, text]) => item(bold(term), text));

/**
 * The manual page of the program in roff, with man's macros.
 * @param program with its commands defined
 * @param date of the page, e.g. 2026-11-22
 */
export function manualPage(program: Command, version: string, date: string): string {
  const commands = program.createHelp().visibleCommands(program);
  const summary = program.description().replace(/\.$/, "");
  const lines = [
    `.TH GPT2 1 ${date} ${escaped(`gpt2-${version}`)} ${escaped('"User Commands"').replaceAll("\\(dq", '"')}`,
    ...section("NAME", [`gpt2 \\- ${escaped(summary)}`]),
    ...section("SYNOPSIS", [
      `${bold("gpt2")} ${italic("command")} [${italic("option")} ...] [${italic("argument")} ...]`,
    ]),
    ...section("DESCRIPTION", DESCRIPTION.flatMap((text) => [".PP", filled(text)]).slice(1)),
    ...section("OPTIONS", optionLines(program)),
    ...section("COMMANDS", [
      filled("gpt2 help COMMAND and gpt2 COMMAND --help show what follows, one command at a time."),
      ...commands.flatMap(commandLines),
    ]),
    ...section("EXIT STATUS", items(EXIT_STATUS)),
    ...section("ENVIRONMENT", items(ENVIRONMENT)),
    ...section("FILES", items(FILES)),
    ...section(
      "EXAMPLES",
      commands
        .flatMap((command) => {
          const example = exampleOf(command);
          const does = command.createHelp().subcommandDescription(command);
          return example === undefined ? [] : [".PP", `${filled(does)}:`, ...typed(example)];
        })
        .slice(1),
    ),
    ...section("SEE ALSO", [
      SEE_ALSO.map((name) =>
        name.replace(/^(.*)(\(\d\))$/, (_, page: string, n: string) => bold(page) + n),
      ).join(", "),
    ]),
  ];
  return `${lines.join("\n")}\n`;
}
