import type { CommandDefinition, OptionDefinition, Values } from "./describe.js";
import { HELP, kindsOf } from "./rules.js";

/** A text as fish takes it literally. */
const quoted = (text: string): string =>
  `'${text.replace(/\s+/g, " ").replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** What does not depend on the commands. fish gives the words without quotes; nothing in them is expanded. */
const FUNCTIONS = `# Whether the command is one of these.
function __gpt2_is
    set -l words (commandline -opc)
    contains -- "$words[2]" $argv
end

# Whether no command has been typed yet.
function __gpt2_begins
    test (count (commandline -opc)) -eq 1
end

# Whether the command is the first one, and the argument at the cursor has the second one as its number, from 0.
function __gpt2_at
    __gpt2_is $argv[1]; or return
    set -l words (commandline -opc)
    set -l place 0
    set -l isvalue
    set -l isend
    for word in $words[3..-1]
        if test -n "$isvalue"
            set isvalue
        else if test -z "$isend" -a "$word" = --
            set isend 1
        else if test -n "$isend"; or not string match -q -- '-?*' $word
            set place (math $place + 1)
        else if contains -- (string replace -ra -- '(?<=.)-(?!-)' _ (string sub -s 2 -- $word)) $__gpt2_valued
            set isvalue 1
        end
    end
    test $place -eq $argv[2]; or test "$argv[3]" = more -a $place -gt $argv[2]
end

# The value of an option on the line; else a default.
function __gpt2_typed
    set -l words (commandline -opc)
    set -l value $argv[2]
    for i in (seq (count $words))
        if test "$words[$i]" = $argv[1] -a $i -lt (count $words)
            set value $words[(math $i + 1)]
        else if string match -q -- "$argv[1]=*" $words[$i]
            set value (string replace -- "$argv[1]=" '' $words[$i])
        end
    end
    string replace -r '^~(?=/)' -- $HOME $value
end

function __gpt2_models
    set -l folder (__gpt2_typed --models_dir '')
    if test -n "$folder"
        command gpt2 models --format names "--models_dir=$folder" 2>/dev/null </dev/null
    else
        command gpt2 models --format names 2>/dev/null </dev/null
    end
    # A model folder's path: typed so that it cannot be a name.
    if string match -qr -- '^[.~]|/' (commandline -ct | string replace -r '^--\\w+=' '')
        __fish_complete_directories (commandline -ct | string replace -r '^--\\w+=' '') ''
    end
end

# Runs are folders with a model in the checkpoint folder.
function __gpt2_runs
    set -l folder (__gpt2_typed --checkpoint_dir checkpoint)
    for path in $folder/*/hparams.json
        string replace -r '^.*/(.*)/hparams.json$' '$1' -- $path
    end
end

function __gpt2_folders
    __fish_complete_directories (commandline -ct | string replace -r '^--\\w+=' '') ''
end
`;

/** The rest of a \`complete\` line that completes a value. */
function rest(values: Values): string {
  const kinds = kindsOf(values);
  if (kinds.includes("files")) return " -r -F";
  const words = kinds.includes("words") ? kinds.slice(kinds.indexOf("words") + 1) : [];
  const calls = ["models", "runs", "folders"].filter((kind) => kinds.includes(kind));
  const offered = [...words, ...calls.map((kind) => `(__gpt2_${kind})`)];
  return offered.length === 0 ? " -x" : ` -x -a ${quoted(offered.join(" "))}`;
}

function optionLine(
  condition: string,
  { names, description, placeholder, values }: OptionDefinition,
): string {
  const flags = names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const value = placeholder === undefined ? "" : rest(values);
  return `complete -c gpt2 -n ${quoted(condition)} ${flags.join(" ")} -d ${quoted(description)}${value}\n`;
}

function commandLines({ name, options, arguments: all }: CommandDefinition): string {
  const places = all.map(({ values, isVariadic }, i) => {
    const condition = `__gpt2_at ${name} ${i}${isVariadic ? " more" : ""}`;
    return `complete -c gpt2 -n ${quoted(condition)}${rest(values).replace(" -r -F", " -F").replace(" -x", " -f")}\n`;
  });
  return [...places, ...options.map((option) => optionLine(`__gpt2_is ${name}`, option))].join("");
}

/** The completion script for fish. */
export function fishScript(program: CommandDefinition, commands: readonly CommandDefinition[]): string {
  const valued = commands.flatMap(({ options }) =>
    options.filter(({ placeholder }) => placeholder !== undefined).flatMap(({ names }) => names),
  );
  const starts = [...commands, HELP].map(({ name, summary }) => ({ name, summary }));
  return `# Completion of gpt2's commands and options for fish, written by \`gpt2 completion fish\`.

# Options that take a value, without their first hyphen.
set -g __gpt2_valued ${[...new Set(valued)].map((name) => name.slice(1)).join(" ")}

${FUNCTIONS}
complete -c gpt2 -e
complete -c gpt2 -f
${starts.map(({ name, summary }) => `complete -c gpt2 -n __gpt2_begins -a ${name} -d ${quoted(summary)}\n`).join("")}${starts
  .slice(0, -1)
  .map(({ name, summary }) => `complete -c gpt2 -n '__gpt2_at help 0' -a ${name} -d ${quoted(summary)}\n`)
  .join("")}${program.options.map((option) => optionLine("__gpt2_begins", option)).join("")}
${commands.map(commandLines).join("\n")}`;
}
