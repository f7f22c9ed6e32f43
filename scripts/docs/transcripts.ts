// The console blocks of README.md and docs/: what a reader is told to type, and what it prints.
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PACKAGE_ROOT } from "../../src/system/package.js";

const PROMPT = "Model prompt >>> ";
const BLOCK = /(?<=```console\n)[\s\S]*?(?=```)/g;

/** One command of a console block. */
export interface Step {
  /** The line after `$ `. */
  readonly line: string;
  readonly args: readonly string[];
  /** What is piped in, or typed at an interactive prompt. */
  readonly stdin: string;
  /** What the page says it prints. */
  readonly output: string;
}

/** The words of a command line; they may be in double quotes. */
const words = (line: string): string[] =>
  [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare);

function parseStep(shown: string): Step {
  const [line, ...printed] = shown.replace(/\n$/, "").split("\n");
  const [command, echo] = line.split(" | ").reverse();
  const typed = printed.filter((each) => each.startsWith(PROMPT) && each.length > PROMPT.length);
  const stdin = echo ? words(echo).at(-1)! : typed.map((each) => `${each.slice(PROMPT.length)}\n`).join("");
  return { line, args: words(command.replace(/^npx /, "")).slice(1), stdin, output: printed.join("\n") };
}

/** The console blocks of a page, each a list of commands that share a working folder. */
export function consoleBlocks(markdown: string): Step[][] {
  return [...markdown.matchAll(BLOCK)].map(([block]) => block.split(/^\$ /m).slice(1).map(parseStep));
}

/**
 * Runs the commands of a block, one after another in one new folder.
 * @returns what each printed: stdout, and for finetune, whose report goes to both, stderr too
 * @throws Error if a command fails
 */
export async function runBlock(steps: readonly Step[]): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "gpt2-docs-"));
  const file = join(folder, "printed.txt");
  try {
    const printed: string[] = [];
    for (const step of steps) {
      const fd = openSync(file, "w");
      const stderr = step.args[0] === "finetune" ? fd : "ignore";
      const program = [join(PACKAGE_ROOT, "bin", "gpt2.js"), ...step.args];
      const child = spawn(process.execPath, program, { cwd: folder, stdio: ["pipe", fd, stderr] });
      child.stdin?.end(step.stdin);
      const code = await new Promise((resolve) => child.on("close", resolve));
      closeSync(fd);
      if (code !== 0) throw new Error(`${step.line}: exit code ${code}\n${readFileSync(file, "utf8")}`);
      printed.push(asShown(step, readFileSync(file, "utf8").replace(/\n+$/, "")));
    }
    return printed;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A terminal also shows the prompts and what was typed; the package's path becomes an example's. */
function asShown({ args, stdin }: Step, output: string): string {
  const printed = output.replaceAll(PACKAGE_ROOT, "/home/me/gpt2");
  return args[0] === "interactive" ? `${PROMPT}${stdin}${printed}\n${PROMPT.trimEnd()}` : printed;
}

/** Removes from printed text what differs from run to run and from reader to reader: times, speeds, paths. */
export function masked(text: string): string {
  return text
    .replace(/^\[(\d+) \| [\d.]+\]/gm, "[$1 | seconds]")
    .replace(/[\d.]+ tokens per second/g, "N tokens per second")
    .replace(/trained by \w+/g, "trained by this machine")
    .replace(/(yes|no) +\S*[/\\]models[/\\]\S+$/gm, "$1 place")
    .trimEnd();
}

/** The page with its console blocks run again; they change only if more than times and paths differ. */
export async function updateTranscripts(markdown: string): Promise<string> {
  const results: string[] = [];
  for (const steps of consoleBlocks(markdown)) {
    const printed = await runBlock(steps);
    const shown = steps.map(({ line, output }, i) => {
      const text = masked(output) === masked(printed[i]) ? output : printed[i];
      return `$ ${line}\n${text && `${text}\n`}`;
    });
    results.push(shown.join(""));
  }
  return markdown.replace(BLOCK, () => results.shift()!);
}
