import type { CommandDefinition } from "./describe.js";
import { HELP, hyphened, kindsOf, quoted } from "./rules.js";

/**
 * What does not depend on the commands. bash 3.2 (macOS) has no mapfile, no associative arrays and no compopt, and
 * cuts COMP_WORDS otherwise than later versions do, at `=` and `:` or not: so the line itself is read. Nothing that
 * was typed and no name of a model is ever expanded or evaluated.
 */
const FUNCTIONS = `# Takes what stands before the cursor apart as the shell would, but expands nothing.
# words: without their quotes, the last one is to be completed; quote: the one that is open in it;
# kept: what stands in the last word before the part that readline replaces. prefix: what it must begin with.
__gpt2_split() {
  local line=\${COMP_LINE:0:COMP_POINT} backslash='\\' escapable='\\"$\`' word= isword= i c
  words=() quote= kept=
  for ((i = 0; i < \${#line}; i++)); do
    c=\${line:i:1}
    if [[ $quote == "'" ]]; then
      if [[ $c == "'" ]]; then quote=; else word+=$c; fi
    elif [[ $c == "$backslash" ]]; then
      i=$((i + 1)) c=\${line:i:1} isword=1
      if [[ $quote == '"' && $escapable != *"$c"* ]]; then word+=$backslash; fi
      word+=$c
    elif [[ $quote == '"' ]]; then
      if [[ $c == '"' ]]; then quote=; else word+=$c; fi
    elif [[ $c == "'" || $c == '"' ]]; then
      quote=$c isword=1 kept=$word
    elif [[ $c == [[:space:]] ]]; then
      if [[ $isword ]]; then words+=("$word"); fi
      word= isword= kept=
    else
      word+=$c isword=1
      if [[ \${COMP_WORDBREAKS-} == *"$c"* ]]; then kept=$word; fi
    fi
  done
  words+=("$word")
}

# Offers a text as the whole of the word, if it begins as typed, in the quotes that the word has or needs.
__gpt2_offer() {
  local text=$1 escaped= backslash='\\' escapable='\\"$\`' i c
  if [[ $isflag ]]; then c=\${text//-/_}; else c=$text; fi
  if [[ "\${c:0:\${#current}}" != "$current" ]]; then return; fi
  text=\${text:\${#kept}}
  if [[ $quote ]]; then
    for ((i = 0; i < \${#text}; i++)); do
      c=\${text:i:1}
      if [[ $quote == "'" && $c == "'" ]]; then c="'$backslash''"
      elif [[ $quote == '"' && $escapable == *"$c"* ]]; then c=$backslash$c
      elif [[ $quote == '"' && $c == '!' ]]; then c="\\"'!'\\""
      fi
      escaped+=$c
    done
    text=$escaped
  elif [[ $text ]]; then
    printf -v text %q "$text"
  fi
  COMPREPLY+=("$prefix$text")
}

# The value of an option on the line, however it is spelled; else a default.
__gpt2_typed() {
  local value=$2 name i
  for ((i = 1; i < \${#words[@]} - 1; i++)); do
    __gpt2_name "\${words[i]}"
    case $name in
      "$1") if ((i + 2 < \${#words[@]})); then value=\${words[i + 1]}; fi ;;
      "$1"=*) value=\${words[i]#*=} ;;
    esac
  done
  printf '%s\\n' "$value"
}

__gpt2_models() {
  local folder
  folder=$(__gpt2_typed --models_dir '')
  command gpt2 models --format names \${folder:+"--models_dir=$folder"} 2> /dev/null < /dev/null
}

# Runs are folders with a model in the checkpoint folder.
__gpt2_runs() (
  folder=$(__gpt2_typed --checkpoint_dir checkpoint)
  case $folder in "~"/*) folder=$HOME/\${folder#*/} ;; esac
  shopt -u failglob nullglob
  for path in "$folder"/*/hparams.json; do
    path=\${path%/hparams.json}
    if [[ -f $path/hparams.json ]]; then printf '%s\\n' "\${path##*/}"; fi
  done
)

# readline's own completion of paths for what is not offered here. bash 3.2 cannot be asked: it completes files.
__gpt2_paths() {
  compopt +o bashdefault +o default 2> /dev/null
  if (($# > 0)); then compopt "$@" 2> /dev/null; fi
}

# Offers what a value can be: any of models, runs, files, folders, words WORD...
__gpt2_values() {
  local name
  __gpt2_paths
  while (($# > 0)); do
    case $1 in
      models | runs)
        while IFS= read -r name; do __gpt2_offer "$name"; done < <("__gpt2_$1")
        __gpt2_paths -o dirnames
        ;;
      files) __gpt2_paths -o default ;;
      folders) __gpt2_paths -o plusdirs ;;
      words)
        while (($# > 1)); do __gpt2_offer "$2"; shift; done
        ;;
    esac
    shift
  done
}

_gpt2() {
  local words quote kept current prefix= command name i place=0 isend= isflag=
  COMPREPLY=()
  __gpt2_split
  while [[ \${#words[@]} -gt 2 && \${words[0]} == *=* ]]; do words=("\${words[@]:1}"); done
  current=\${words[\${#words[@]} - 1]} command=\${words[1]}
  if ((\${#words[@]} <= 2)); then
    __gpt2_paths
    if [[ $current == -* ]]; then current=\${current//-/_} isflag=1; __gpt2_flags ''; else __gpt2_values words $(__gpt2_commands); fi
    return
  fi
  if [[ $command == help ]]; then
    __gpt2_paths
    if ((\${#words[@]} == 3)); then __gpt2_values words $(__gpt2_commands); fi
    return
  fi
  for ((i = 2; i < \${#words[@]} - 1; i++)); do
    __gpt2_name "\${words[i]}"
    if [[ ! $isend && $name == -- ]]; then isend=1
    elif [[ $isend || $name != -?* ]]; then place=$((place + 1))
    elif __gpt2_takes "$command" "$name"; then
      i=$((i + 1))
      if ((i == \${#words[@]} - 1)); then __gpt2_option "$command" "$name"; return; fi
    fi
  done
  __gpt2_name "$current"
  if [[ ! $isend && $current == --*=* ]]; then
    prefix=\${current%%=*}= current=\${current#*=}
    if [[ \${#kept} -lt \${#prefix} ]]; then kept=; else kept=\${kept#"$prefix"} prefix=; fi
    __gpt2_option "$command" "\${name%%=*}"
  elif [[ ! $isend && $current == -* ]]; then
    __gpt2_paths
    current=\${current//-/_} isflag=1
    __gpt2_flags "$command"
  else
    __gpt2_argument "$command" "$place"
  fi
}

complete -o bashdefault -o default -F _gpt2 gpt2
`;

/** A `case` of patterns and what each does; those that do the same stand together. */
function cases(rows: readonly (readonly [pattern: string, body: string])[]): string {
  const bodies = new Map<string, string[]>();
  for (const [pattern, body] of rows) bodies.set(body, [...(bodies.get(body) ?? []), pattern]);
  return [...bodies].map(([body, patterns]) => `    ${patterns.join(" | ")}) ${body} ;;\n`).join("");
}

/**
 * What the value of each option is completed with, by a pattern for "COMMAND OPTION": where it is the same for every
 * command, the pattern names the option alone.
 */
function optionValues(commands: readonly CommandDefinition[]): (readonly [pattern: string, body: string])[] {
  const byOption = new Map<string, Map<string, string>>();
  for (const { name, options } of commands) {
    for (const option of options.filter(({ placeholder }) => placeholder !== undefined)) {
      for (const each of option.names) {
        const bodies = byOption.get(each) ?? new Map<string, string>();
        byOption.set(each, bodies.set(name, values(kindsOf(option.values))));
      }
    }
  }
  return [...byOption].flatMap(([option, bodies]) => {
    const [body, ...others] = new Set(bodies.values());
    if (others.length === 0) return [[`*${quoted(` ${option}`)}`, body] as const];
    return [...bodies].map(([command, own]) => [quoted(`${command} ${option}`), own] as const);
  });
}

/** The completion script for bash 3.2 and newer. */
export function bashScript(program: CommandDefinition, commands: readonly CommandDefinition[]): string {
  const all = [{ ...program, name: "" }, ...commands];
  const names = (command: CommandDefinition): string =>
    command.options.flatMap((option) => option.names).join(" ");
  const options = optionValues(commands);
  const places = commands.flatMap(({ name, arguments: all }) =>
    all.map(({ values: what, isVariadic }, i): [string, string] => [
      isVariadic ? `${quoted(`${name} `)}*` : quoted(`${name} ${i}`),
      values(kindsOf(what)),
    ]),
  );
  return `# Completion of gpt2's commands and options for bash, written by \`gpt2 completion bash\`.

__gpt2_commands() {
  printf '%s\\n' ${[...commands, HELP].map(({ name }) => name).join(" ")}
}

# The options of a command.
__gpt2_flags() {
  case $1 in
${cases(all.map((command) => [quoted(command.name), `__gpt2_values words ${names(command)}`]))}  esac
}

# Whether an option of a command takes a value.
__gpt2_takes() {
  case "$1 $2" in
${cases(options.map(([pattern]) => [pattern, "return 0"]))}    *) return 1 ;;
  esac
}

# Offers what the value of an option can be.
__gpt2_option() {
  case "$1 $2" in
${cases(options)}    *) __gpt2_paths ;;
  esac
}

# Offers what an argument can be; the first has the number 0.
__gpt2_argument() {
  case "$1 $2" in
${cases(places)}    *) __gpt2_paths ;;
  esac
}

# Sets name to an option as it is defined: --top-k=40 is --top_k=40.
__gpt2_name() {
  local value=\${1#"\${1%%=*}"}
  name=\${1%%=*}
  case $name in
    ${hyphened(commands).join(" | ") || "--"}) ;;
    --?*) name=\${name#--} name=--\${name//-/_} ;;
  esac
  name+=$value
}

${FUNCTIONS}`;
}

/** The call that offers values of these kinds. */
const values = (kinds: readonly string[]): string => ["__gpt2_values", ...kinds].join(" ");
