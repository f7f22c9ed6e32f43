#!/bin/sh
# What the words after the image's name mean: a command or an option of gpt2, or nothing at all, is for gpt2;
# the name of another program (bash, sh, node) runs that program; whatever is left, gpt2 explains.
# exec: the program takes this shell's place, and with it the signals, the terminal and the exit code.
case "${1-}" in
  "" | -*) exec gpt2 "$@" ;;
  interactive | unconditional | generate | download | convert) exec gpt2 "$@" ;;
  import | export | models | verify | finetune | score | tokenize | bench | completion) exec gpt2 "$@" ;;
esac
if command -v "$1" > /dev/null; then exec "$@"; fi
exec gpt2 "$@"
