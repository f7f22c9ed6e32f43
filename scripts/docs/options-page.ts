// docs/options.md: every option of every command, from the commands' own definitions.
import type { Command } from "commander";
import { buildProgram } from "../../src/cli/main.js";
import { Output } from "../../src/cli/terminal/output.js";
import { ENVIRONMENT, EXIT_STATUS, FILES } from "../man/text.js";

const INTRODUCTION = `# Options

This page is made from the program's own definitions by \`npm run docs\`; \`gpt2 <command> --help\` says the same.

\`--top_k 40\`, \`--top-k 40\`, \`--top_k=40\` and \`--top-k=40\` mean the same. Everything after \`--\` is an argument:
\`gpt2 generate -- "- item one"\`.
`;

const BIG_JOBS = `## Big jobs

Sample i of a seed is the same wherever it is written, so any number of machines can share a run: \`--shard 2/8\` writes
samples 2, 10, 18 ... of the numbered stream, and what eight machines write is, byte for byte, what one would.
\`--resume FILE\` appends to FILE the samples it lacks: after an interruption the same command continues, and
neither repeats nor loses a sample.

\`\`\`sh
parallel gpt2 unconditional --seed 1 --nsamples 1000 --shard {}/8 --resume samples-{}.jsonl ::: 1 2 3 4 5 6 7 8
\`\`\`

[deploy/kubernetes.yaml](../deploy/kubernetes.yaml) is an Indexed Job, [deploy/slurm.sh](../deploy/slurm.sh) an array of
tasks. The tests run their commands and GNU parallel's on one machine; nobody has tried them on a cluster.
`;

/** Text for a table's cell. */
const cell = (text: string): string =>
  text.replaceAll("|", "\\|").replaceAll("<", "\\<").replace(/\s+/g, " ");

const code = (text: string): string => `\`${text.replaceAll("|", "\\|")}\``;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |\n`).join("");

/** Splits "text (default: x)" in two. */
function splitDefault(description: string): [text: string, value: string] {
  const [, text, value] = /^(.*?)(?: \(default: (.*)\))?$/s.exec(description)!;
  return [text, (value ?? "").replace(/^"(.*)"$/, "$1")];
}

function commandSection(command: Command): string {
  const help = command.createHelp();
  const named = [
    ...help
      .visibleArguments(command)
      .map((each) => [help.argumentTerm(each), help.argumentDescription(each)] as const),
    ...help
      .visibleOptions(command)
      .map((each) => [help.optionTerm(each), help.optionDescription(each)] as const),
  ].filter(([term]) => term !== "-h, --help");
  const rows = named.map(([term, description]) => {
    const [text, value] = splitDefault(description);
    return [code(term), cell(value), cell(text)];
  });
  return [
    `## ${command.name()}\n`,
    `    ${help.commandUsage(command)}\n`,
    `${cell(help.commandDescription(command))}\n`,
    ...(rows.length > 0 ? [table(["option", "default", "meaning"], rows)] : []),
  ].join("\n");
}

const named = (rows: readonly (readonly [string, string])[]): (readonly string[])[] =>
  rows.map(([name, text]) => [code(name), cell(text)]);

/** The text of docs/options.md. */
export async function optionsPage(): Promise<string> {
  const program = await buildProgram(new Output(), () => {});
  const commands = program.createHelp().visibleCommands(program);
  return [
    INTRODUCTION,
    ...commands.map(commandSection),
    BIG_JOBS,
    `## Exit codes\n\n${table(["code", "meaning"], named(EXIT_STATUS))}`,
    `## Environment\n\n${table(["variable", "meaning"], named(ENVIRONMENT))}`,
    `## Files\n\n${table(["place", "what is there"], named(FILES))}`,
  ].join("\n");
}
