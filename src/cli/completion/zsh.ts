import type { ArgumentDefinition, CommandDefinition, OptionDefinition, Values } from "./describe.js";
import { HELP, hyphened, kindsOf, quoted } from "./rules.js";

/** What does not depend on the commands. */
const FUNCTIONS = `# Sets REPLY to the value of an option on the line, without its quotes, else to a default. Nothing in it is expanded.
_gpt2_typed() {
  integer i
  REPLY=$2
  for ((i = 2; i < CURRENT; i++)); do
    if [[ $words[i] == $1 ]]; then
      (( i + 1 < CURRENT )) && REPLY=\${(Q)words[i+1]}
    elif [[ $words[i] == $1=* ]]; then
      REPLY=\${(Q)words[i]#*=}
    fi
  done
}

_gpt2_models() {
  local REPLY
  local -a names expl
  _gpt2_typed --models_dir ''
  names=("\${(@f)$(command gpt2 models --format names \${REPLY:+--models_dir=$REPLY} 2> /dev/null < /dev/null)}")
  names=("\${(@)names:#}")
  _wanted models expl 'model' compadd -a names
}

# Runs are folders with a model in the checkpoint folder.
_gpt2_runs() {
  local REPLY
  local -a names expl
  _gpt2_typed --checkpoint_dir checkpoint
  names=("\${REPLY/#\\~\\//$HOME/}"/*/hparams.json(N:h:t))
  _wanted runs expl 'run' compadd -a names
}

# Completes what a value can be: any of models, runs, files, folders, words WORD...
_gpt2_values() {
  local what=$1 ret=1
  local -a expl
  shift
  if (( ! $# )); then
    _message -e values "$what"
    return 1
  fi
  while (( $# )); do
    case $1 in
      models)
        _gpt2_models && ret=0
        if [[ ret -ne 0 || $PREFIX == (.|\\~)* || $PREFIX == */* ]]; then _files -/ && ret=0; fi
        ;;
      runs) _gpt2_runs && ret=0 ;;
      files) _files && ret=0 ;;
      folders) _files -/ && ret=0 ;;
      words)
        shift
        _wanted values expl "$what" compadd -- "$@" && ret=0
        break
        ;;
    esac
    shift
  done
  return ret
}
`;

/** A text inside a spec of _arguments or _describe, where `:` and brackets part. */
const escaped = (text: string): string => text.replace(/[\\:[\]]/g, "\\$&").replace(/\s+/g, " ");

/** The action that completes a value; it stands behind a space, so that _arguments adds nothing to it. */
function action(name: string, values: Values): string {
  return `${escaped(name)}: _gpt2_values ${[name, ...kindsOf(values)].map(bare).join(" ")}`;
}

/** A word of an action, which is split as a shell's line. */
const bare = (word: string): string => (/^[\w.-]+$/.test(word) ? word : escaped(quoted(word)));

function optionSpec({ names, description, placeholder, values, isRepeatable }: OptionDefinition): string[] {
  const others = isRepeatable ? "*" : names.length > 1 ? `(${names.join(" ")})` : "";
  return names.map((name) => {
    const equals = placeholder !== undefined && name.startsWith("--") ? "=" : "";
    const value = placeholder === undefined ? "" : `:${action(placeholder, values)}`;
    return quoted(`${others}${name}${equals}[${escaped(description)}]${value}`);
  });
}

function argumentSpec({ name, values, isVariadic }: ArgumentDefinition, index: number): string {
  return quoted(`${isVariadic ? "*" : index + 1}:${action(name, values)}`);
}

function argumentsCall(command: CommandDefinition): string {
  const specs = [...command.options.flatMap(optionSpec), ...command.arguments.map(argumentSpec)];
  return `_arguments -S : \\\n${specs.map((spec) => `        ${spec}`).join(" \\\n")}`;
}

/** The completion script for zsh: for a file _gpt2 in $fpath, or to be evaluated behind compinit. */
export function zshScript(program: CommandDefinition, commands: readonly CommandDefinition[]): string {
  const described = [...commands, HELP].map(({ name, summary }) => quoted(`${name}:${escaped(summary)}`));
  const cases = commands.map(
    (command) => `    ${command.name})\n      ${argumentsCall(command)}\n      ;;\n`,
  );
  return `#compdef gpt2
# Completion of gpt2's commands and options for zsh, written by \`gpt2 completion zsh\`.

${FUNCTIONS}
# --top-k means --top_k.
_gpt2_name() {
  case \${1%%=*} in
    ${hyphened(commands).join(" | ") || "--"}) REPLY=$1 ;;
    --?*) REPLY=\${1%%=*} REPLY="--\${\${REPLY#--}//-/_}\${1#"$REPLY"}" ;;
    *) REPLY=$1 ;;
  esac
}

_gpt2() {
  local curcontext=$curcontext REPLY
  local -a state line commands
  local -A opt_args
  integer i
  commands=(
${described.map((each) => `    ${each}`).join("\n")}
  )
  if (( CURRENT == 2 )); then
    if [[ $PREFIX == -* ]]; then
      ${argumentsCall(program)}
    else
      _describe -t commands 'command of gpt2' commands
    fi
    return
  fi
  for ((i = 3; i < CURRENT; i++)); do
    if [[ $words[i] == -- ]]; then break; fi
    _gpt2_name "$words[i]"
    words[i]=$REPLY
  done
  if (( i == CURRENT )); then
    _gpt2_name "$PREFIX"
    PREFIX=$REPLY words[CURRENT]=$REPLY$SUFFIX
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join("")}    help)
      if (( CURRENT == 2 )); then _describe -t commands 'command of gpt2' commands; fi
      ;;
  esac
}

if [[ $funcstack[1] == _gpt2 ]]; then
  _gpt2 "$@"
elif (( $+functions[compdef] )); then
  compdef _gpt2 gpt2
else
  print -u2 'gpt2: completion needs "autoload -Uz compinit && compinit" before it in ~/.zshrc'
fi
`;
}
