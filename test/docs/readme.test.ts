import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { suite, test } from "node:test";
import { optionsPage } from "../../dist/scripts/docs/options-page.js";
import { consoleBlocks, masked, runBlock } from "../../dist/scripts/docs/transcripts.js";
import { assertDone, gpt2, ROOT, start, TEMPORARY } from "../support/spawn.js";

const DOCS = readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".md"));
const PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", ...DOCS.map((name) => `docs/${name}`)];
const read = (page: string): string => readFileSync(join(ROOT, page), "utf8");
const README = read("README.md");

/** The anchors of a page's headings, as GitHub makes them. */
const anchors = (page: string): Set<string> =>
  new Set(
    [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title
        .toLowerCase()
        .replace(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    ),
  );

suite("README.md and docs/", { concurrency: 2 }, () => {
  const blocks = PAGES.flatMap((page) => consoleBlocks(read(page)).map((steps) => ({ page, steps })));

  test("there are transcripts of several commands", () => {
    const commands = new Set(blocks.flatMap(({ steps }) => steps.map(({ args }) => args[0])));
    for (const name of ["generate", "interactive", "score", "models", "verify", "finetune"]) {
      assert.ok(commands.has(name), `no transcript of ${name}`);
    }
  });

  for (const { page, steps } of blocks) {
    test(`${page} shows what is printed: ${steps.map(({ line }) => line).join("; ")}`, async () => {
      const printed = await runBlock(steps);
      assert.deepEqual(
        printed.map(masked),
        steps.map(({ output }) => masked(output)),
        "`npm run docs` writes what is printed now",
      );
    });
  }

  test("docs/options.md says what the program's definitions say", async () => {
    assert.equal(read("docs/options.md"), await optionsPage(), "`npm run docs` writes it anew");
  });

  test("every command is described on the first page, which is short enough to read", async () => {
    const help = await gpt2(["--help"]);
    const commands = [...help.stdout.matchAll(/^ {2}([a-z]+)\b.* {2}/gm)].map(([, name]) => name);
    assert.ok(commands.length >= 9, `commands: ${commands}`);
    for (const name of commands) assert.ok(README.includes(`\`gpt2 ${name}`), `gpt2 ${name}`);
    assert.ok(README.split("\n").length <= 201, "at most 200 lines");
  });

  test("the library's example runs as it is printed, and prints what is shown", async () => {
    const [, example] = /```js\n([\s\S]*?)```/.exec(README) ?? [];
    assert.ok(example?.includes('from "gpt2"'), "no example");
    const output = [...example.matchAll(/^\/\/ (.+)$/gm)].map(([, line]) => line).join("\n");
    const folder = join(TEMPORARY, "somebody's program");
    mkdirSync(join(folder, "node_modules"), { recursive: true });
    symlinkSync(ROOT, join(folder, "node_modules", "gpt2"), "junction");
    writeFileSync(join(folder, "example.mjs"), example);
    const outcome = await start(process.execPath, ["example.mjs"], { cwd: folder }).ended;
    assertDone(outcome);
    assert.equal(outcome.stderr, "");
    assert.equal(outcome.stdout.trim(), output);
  });

  test("every npm script and every page that is named exists", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: object };
    for (const page of PAGES) {
      for (const [, name] of read(page).matchAll(/npm run ([a-z_:-]+)/g)) {
        assert.ok(Object.hasOwn(scripts, name), `${page}: npm run ${name}`);
      }
      for (const [, target, anchor] of read(page).matchAll(/\]\(([^)#:]+)(?:#([^)]*))?\)/g)) {
        const path = join(dirname(page), target);
        assert.doesNotThrow(() => readFileSync(join(ROOT, path)), `${page}: ${target}`);
        if (anchor) assert.ok(anchors(path).has(anchor), `${page}: ${target}#${anchor}`);
      }
    }
  });
});
