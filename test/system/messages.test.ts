import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { globSync } from "tinyglobby";
import ts from "typescript";
import { buildProgram } from "../../dist/src/cli/main.js";
import { Output } from "../../dist/src/cli/terminal/output.js";
import { ROOT } from "../support/spawn.js";

/** V8's own, and how worker threads are started. */
const NOT_OURS = ["--experimental-wasm-relaxed-simd"];

interface Texts {
  /** Pieces of text in quotes, with their place. */
  readonly quoted: readonly string[];
  /** The names that option() is called with. */
  readonly options: readonly string[];
}

/** What the sources outside the command line can say. */
async function textsOf(path: string): Promise<Texts> {
  const file = ts.createSourceFile(
    path,
    await readFile(join(ROOT, path), "utf8"),
    ts.ScriptTarget.Latest,
    true,
  );
  const quoted: string[] = [];
  const options: string[] = [];
  const visit = (node: ts.Node): void => {
    // A property of a style is no text.
    if (ts.isCallExpression(node) && node.expression.getText().endsWith(".style.setProperty")) return;
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      const line = file.getLineAndCharacterOfPosition(node.getStart()).line + 1;
      quoted.push(`${path}:${line}: ${node.text}`);
    }
    if (ts.isCallExpression(node) && node.expression.getText() === "option") {
      const [name] = node.arguments;
      if (name && ts.isStringLiteral(name)) options.push(name.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return { quoted, options };
}

const sources = globSync("src/**/*.ts", { cwd: ROOT, ignore: ["src/cli/**", "**/*.d.ts"] });
const texts = await Promise.all(sources.map(textsOf));

test("outside the command line no text names a flag: option() does, as whoever reads it types it", () => {
  const flags = texts
    .flatMap(({ quoted }) => quoted)
    .filter(
      (text) => /(^|[^\w-])(?<!var\()--[a-z]/.test(text) && !NOT_OURS.some((flag) => text.includes(flag)),
    );
  assert.deepEqual(flags, []);
});

test("option() is given names of options that the program has", async () => {
  const program = await buildProgram(new Output(), () => {});
  const known = new Set(program.commands.flatMap((command) => command.options.map(({ long }) => long)));
  const named = texts.flatMap(({ options }) => options);
  assert.ok(named.length > 20);
  assert.deepEqual(
    [...new Set(named)].filter((name) => !known.has(`--${name}`)),
    [],
  );
});
