import type { Command } from "commander";
import { type Shell, STUBS } from "../completion/stubs.js";
import { oneOf } from "../options/parse.js";
import { Output } from "../terminal/output.js";

/** `gpt2 completion`: a script that lets a shell complete commands, options and names of models. */
export function addCompletion(program: Command): void {
  program
    .command("completion")
    .description(
      'Prints a completion script. bash: eval "$(gpt2 completion bash)" in ~/.bashrc. zsh: the same with zsh in ~/.zshrc, after compinit. fish: gpt2 completion fish > ~/.config/fish/completions/gpt2.fish',
    )
    .argument("<shell>", "bash, zsh or fish", oneOf("the shell", Object.keys(STUBS) as Shell[]))
    .addHelpText("before", 'Example: eval "$(gpt2 completion bash)"\n')
    .action(async (shell: Shell) => {
      const output = new Output();
      await output.write(STUBS[shell]);
      await output.finish();
    });
}
