import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { assertDone, gpt2, ROOT, start, TEMPORARY } from "../support/spawn.js";

const README = readFileSync(join(ROOT, "README.md"), "utf8");
const PROMPT = "Model prompt >>> ";

/** A command of a transcript, what is piped into it, and what it prints. */
interface Shown {
  readonly line: string;
  readonly args: string[];
  readonly stdin: string;
  readonly output: string;
}

/** The words of a command line, which may stand in double quotes. */
const words = (line: string): string[] =>
  [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare);

/** The commands in the README's console blocks. At an interactive prompt, what was typed becomes the input. */
function transcripts(): Shown[] {
  const blocks = [...README.matchAll(/```console\n([\s\S]*?)```/g)].map(([, block]) => block);
  return blocks
    .flatMap((block) => block.split(/^\$ /m).slice(1))
    .map((shown) => {
      const [line, ...printed] = shown.replace(/\n$/, "").split("\n");
      const [command, piped] = line.split(" | ").reverse();
      const typed = printed.filter((each) => each.startsWith(PROMPT) && each.length > PROMPT.length);
      const stdin = piped
        ? words(piped).at(-1)!
        : typed.map((each) => `${each.slice(PROMPT.length)}\n`).join("");
      const output = printed.filter((each) => !each.startsWith(PROMPT.trim())).join("\n");
      return { line, args: words(command.replace(/^npx /, "")).slice(1), stdin, output: `${output}\n` };
    });
}

suite("README.md", { concurrency: 2 }, () => {
  const shown = transcripts();

  test("there are transcripts of several commands", () => {
    const commands = new Set(shown.map(({ args }) => args[0]));
    for (const name of ["generate", "interactive", "score", "tokenize", "models", "verify"]) {
      assert.ok(commands.has(name), `no transcript of ${name}`);
    }
  });

  for (const { line, args, stdin, output } of shown) {
    test(`shows what is printed: ${line}`, async () => {
      const outcome = await gpt2(args, { stdin, cwd: ROOT });
      assertDone(outcome);
      if (args[0] === "models") {
        // The places are the reader's own, and a checkout may hold other models.
        const [title, demo] = output.split("\n").map((row) => row.replace(/\s+\/.*/, ""));
        assert.ok(outcome.stdout.startsWith(title), "the table's title");
        assert.ok(outcome.stdout.includes(demo.split(" ")[0]), "the demo model");
        return;
      }
      assert.equal(outcome.stdout.trimEnd(), output.trimEnd());
    });
  }

  test("every command and every option of every command is described", async () => {
    const help = await gpt2(["--help"]);
    const commands = [...help.stdout.matchAll(/^ {2}([a-z]+)\b.* {2}/gm)].map(([, name]) => name);
    assert.ok(commands.length >= 9, `commands: ${commands}`);
    const bench = new Set(["--shape", "--prompt", "--prefill", "--rounds"]); // gpt2 bench --help explains them
    for (const name of commands) {
      assert.ok(README.includes(`\`gpt2 ${name}`), `gpt2 ${name}`);
      const { stdout } = await gpt2([name, "--help"]);
      for (const [option] of stdout.matchAll(/(?<=^ {2}(?:-h, )?)--[a-z_]+/gm)) {
        if (option !== "--help" && !bench.has(option))
          assert.ok(README.includes(`\`${option}`), `${name} ${option}`);
      }
    }
  });

  test("the library's example runs as it is printed, and prints what is shown", async () => {
    const [, example, output] = /```js\n([\s\S]*?)```[^`]*```text\n([\s\S]*?)```/.exec(README) ?? [];
    assert.ok(example?.includes('from "gpt2"'), "no example");
    const folder = join(TEMPORARY, "somebody's program");
    mkdirSync(join(folder, "node_modules"), { recursive: true });
    symlinkSync(ROOT, join(folder, "node_modules", "gpt2"), "junction");
    writeFileSync(join(folder, "example.mjs"), example);
    const outcome = await start(process.execPath, ["example.mjs"], { cwd: folder }).ended;
    assertDone(outcome);
    assert.equal(outcome.stderr, "");
    assert.equal(outcome.stdout, `\n${output.replace(/\n$/, "")}`);
  });

  test("every npm script that it names exists", () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { scripts: object };
    for (const [, name] of README.matchAll(/npm run ([a-z_:-]+)/g)) {
      assert.ok(Object.hasOwn(scripts, name), `npm run ${name}`);
    }
  });
});
