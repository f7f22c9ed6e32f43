/**
 * What a shell needs to complete `gpt2`: it asks the program, `gpt2 __complete SHELL ...`, whose first line says which
 * paths fit too (files, folders or none); each other line is an offer (answer.ts).
 * bash 3.2 (macOS) has no compopt, and splits COMP_WORDS differently from later versions: so it passes the whole line.
 * Nothing typed, and no name, is ever evaluated.
 */
export const STUBS = {
  bash: `# Completion of gpt2 for bash, written by \`gpt2 completion bash\`.
_gpt2() {
  local line paths=
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $paths ]]; then COMPREPLY+=("$line"); else paths=$line; fi
  done < <(command gpt2 __complete bash "\${COMP_LINE:0:COMP_POINT}" "\${COMP_WORDBREAKS-}" 2> /dev/null < /dev/null)
  compopt +o bashdefault +o default 2> /dev/null
  case $paths in
    files) compopt -o default 2> /dev/null ;;
    folders) compopt -o plusdirs 2> /dev/null ;;
  esac
}
complete -o bashdefault -o default -F _gpt2 gpt2
`,
  zsh: `#compdef gpt2
# Completion of gpt2 for zsh, written by \`gpt2 completion zsh\`.
_gpt2() {
  local -a lines offers
  lines=("\${(@f)$(command gpt2 __complete zsh "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2> /dev/null < /dev/null)}")
  offers=("\${(@)lines[2,-1]}")
  if [[ $lines[1] == *= ]]; then compset -P '*='; fi
  if (( $#offers )); then _describe -t values value offers -M 'm:{-_}={_-}'; fi
  case $lines[1] in
    files*) _files ;;
    folders*) _files -/ ;;
  esac
}
if [[ $funcstack[1] == _gpt2 ]]; then
  _gpt2 "$@"
elif (( $+functions[compdef] )); then
  compdef _gpt2 gpt2
else
  print -u2 'gpt2: completion needs "autoload -Uz compinit && compinit" before it in ~/.zshrc'
fi
`,
  fish: `# Completion of gpt2 for fish, written by \`gpt2 completion fish\`.
function __gpt2_complete
    set -l words (commandline -opc)
    set -l token (commandline -ct)
    set -l lines (command gpt2 __complete fish $words[2..-1] "$token" 2>/dev/null </dev/null)
    string join -- \\n $lines[2..-1]
    set -l token (string unescape -- $token; or echo -- $token)
    set -l option (string match -r -- '^--[\\w-]+=' $token)
    set -l path (string sub -s (math (string length -- "$option") + 1) -- $token)
    switch "$lines[1]"
        case files
            printf "$option%s\\n" (__fish_complete_path $path)
        case folders
            printf "$option%s\\n" (__fish_complete_directories $path '')
    end
end
complete -c gpt2 -e
complete -c gpt2 -f -a '(__gpt2_complete)'
`,
} as const;

export type Shell = keyof typeof STUBS;
