#!/bin/sh
# What comes after the image's name: a command or option of gpt2, or nothing at all, goes to gpt2; the name of another
# program (bash, sh, node) runs that program; gpt2 explains whatever is left.
# exec: the program replaces this shell, and so gets the signals, the terminal and the exit code.
case "${1-}" in
  "" | -*) exec gpt2 "$@" ;;
  */*) ;;
  *)
    # Every command of gpt2 has a file of its name; `import` and `convert` are also other programs' names.
    commands=$(dirname "$(readlink -f "$(command -v gpt2)")")/../dist/src/cli/commands
    if [ -f "$commands/$1.js" ]; then exec gpt2 "$@"; fi
    ;;
esac
if command -v "$1" > /dev/null; then exec "$@"; fi
exec gpt2 "$@"
