#!/bin/sh
# What the words after the image's name mean: a command or an option of gpt2, or nothing at all, is for gpt2;
# the name of another program (bash, sh, node) runs that program; whatever is left, gpt2 explains.
# exec: the program takes this shell's place, and with it the signals, the terminal and the exit code.
case "${1-}" in
  "" | -*) exec gpt2 "$@" ;;
  */*) ;;
  *)
    # Every command of gpt2 is a file of its name; `import` and `convert` are other programs' names, too.
    commands=$(dirname "$(readlink -f "$(command -v gpt2)")")/../dist/src/cli/commands
    if [ -f "$commands/$1.js" ]; then exec gpt2 "$@"; fi
    ;;
esac
if command -v "$1" > /dev/null; then exec "$@"; fi
exec gpt2 "$@"
