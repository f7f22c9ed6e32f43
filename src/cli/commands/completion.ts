import type { Command } from "commander";
import { bashScript } from "../completion/bash.js";
import { describeProgram } from "../completion/describe.js";
import { fishScript } from "../completion/fish.js";
import { zshScript } from "../completion/zsh.js";
import { oneOf } from "../options/parse.js";
import { Output } from "../terminal/output.js";

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };
type Shell = keyof typeof SCRIPTS;

/** `gpt2 completion`: a script that lets a shell complete commands, options and names of models. */
export function addCompletion(program: Command): void {
  program
    .command("completion")
    .description(
      'Prints a completion script. bash: eval "$(gpt2 completion bash)" in ~/.bashrc. zsh: the same with zsh in ~/.zshrc,\nbehind compinit. fish: gpt2 completion fish > ~/.config/fish/completions/gpt2.fish',
    )
    .argument(
      "<shell>",
      "bash, zsh or fish",
      oneOf("the shell of gpt2 completion", Object.keys(SCRIPTS) as Shell[]),
    )
    .addHelpText("before", 'Example: eval "$(gpt2 completion bash)"\n')
    .action(async (shell: Shell) => {
      const { buildProgram } = await import("../main.js");
      const { program: own, commands } = describeProgram(await buildProgram(new Output(), () => {}));
      const output = new Output();
      await output.write(SCRIPTS[shell](own, commands));
      await output.finish();
    });
}
