import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { manualPage } from "../../dist/scripts/man/page.js";
import { escaped, filled } from "../../dist/scripts/man/roff.js";
import { buildProgram } from "../../dist/src/cli/main.js";
import { Output } from "../../dist/src/cli/terminal/output.js";
import { EXIT } from "../../dist/src/system/errors.js";
import { packageVersion } from "../../dist/src/system/package.js";
import { ROOT } from "../support/spawn.js";

const {
  man: [man],
  files,
} = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  man: string[];
  files: string[];
};
const PATH = join(ROOT, man);
const program = await buildProgram(new Output(), () => {});

const isMissing = (command: string, ...args: string[]): string | false =>
  spawnSync(command, args, { stdio: "ignore" }).status !== 0 && `needs ${command}`;

/** What a reader sees, without bold and italics, every run of spaces one space. */
function shown(): string {
  const { stdout } = spawnSync("mandoc", ["-T", "utf8", "-O", "width=300", PATH], { encoding: "utf8" });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a character struck twice is bold, one on _ underlined
  return stdout.replace(/.\x08/gu, "").replace(/[^\S\n]+/g, " ");
}

/** The part of the source between a heading and the next one like it. */
function part(source: string, heading: string): string {
  const at = source.indexOf(`\n${heading}`);
  assert.ok(at >= 0, heading);
  const rest = source.slice(at + 1);
  return rest.slice(0, rest.slice(1).search(/^\.S[HS] /m) + 1 || undefined);
}

const SOURCE = readFileSync(PATH, "utf8");

describe("the manual page in the package", () => {
  test("it is the one that the definitions give now, and npm publishes it", () => {
    const [, date] = /^\.TH GPT2 1 (\d{4}-\d\d-\d\d) /.exec(SOURCE) ?? [];
    assert.equal(SOURCE, manualPage(program, packageVersion(), date));
    assert.ok(files.includes(man.replace(/^\.\//, "").split("/")[0]));
    assert.match(man, /\/gpt2\.1$/);
  });

  test("every command, argument and option with its text", () => {
    for (const command of [program, ...program.commands]) {
      const help = command.createHelp();
      const heading = command === program ? ".SH OPTIONS" : `.SS gpt2 ${command.name()} `;
      const text = part(SOURCE, heading).replace(/\n/g, " ");
      for (const option of help.visibleOptions(command)) {
        for (const name of [option.short, option.long]) {
          if (name)
            assert.ok(
              text.includes(` \\fB${escaped(name)}\\fR`) || text.includes(`, \\fB${escaped(name)}\\fR`),
              `${heading}${name}`,
            );
        }
        assert.ok(text.includes(escaped(help.optionDescription(option))), `${heading}${option.long}`);
      }
      for (const argument of help.visibleArguments(command))
        assert.ok(text.includes(escaped(argument.description)));
    }
    assert.ok(program.commands.length >= 13);
  });

  test("every environment variable that the program reads, and every exit code", () => {
    const folder = join(ROOT, "src");
    const read = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .flatMap((name) => [...readFileSync(join(folder, name), "utf8").matchAll(/process\.env\["(\w+)"\]/g)])
      .map(([, name]) => name);
    assert.ok(read.includes("GPT2_MODELS_DIR") && read.includes("DEBUG"));
    const environment = part(SOURCE, ".SH ENVIRONMENT");
    const proxies = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];
    for (const name of [...read, ...proxies, "NO_COLOR", "XDG_CACHE_HOME", "XDG_DATA_HOME"]) {
      assert.match(environment, new RegExp(`^\\\\fB(.*, )?${name}(,.*)?\\\\fR$`, "m"), name);
    }
    for (const code of Object.values(EXIT))
      assert.ok(part(SOURCE, ".SH EXIT STATUS").includes(`\n\\fB${code}\\fR\n`));
  });

  test("every command has an example", () => {
    const examples = part(SOURCE, ".SH EXAMPLES");
    for (const command of program.commands) assert.match(examples, new RegExp(`gpt2 ${command.name()}\\b`));
  });

  test("mandoc has nothing to complain of", { skip: isMissing("mandoc", "-T", "utf8", PATH) }, () => {
    const { stdout, stderr, status } = spawnSync("mandoc", ["-T", "lint", PATH], { encoding: "utf8" });
    assert.deepEqual([stdout, stderr, status], ["", "", 0]);
  });

  test("groff has no warnings", { skip: isMissing("groff", "--version") }, () => {
    const { stderr, status } = spawnSync("groff", ["-man", "-ww", "-T", "utf8", PATH], { encoding: "utf8" });
    assert.deepEqual([stderr, status], ["", 0]);
  });

  test("what is read is what was written: hyphens, quotes, backslashes, dots", {
    skip: isMissing("mandoc", "-T", "utf8", PATH),
  }, () => {
    const text = shown();
    assert.match(text, / ~\/\.cache\/gpt2\/models$/m);
    assert.match(text, /%LOCALAPPDATA%\\gpt2\\Cache\\models /);
    assert.match(text, / eval "\$\(gpt2 completion bash\)"/);
    assert.match(text, / end a sample before this text; \\n is a newline; /);
    assert.match(text, /^ --no-recompute$/m);
    assert.match(text, /^ --top_k k$/m);
    assert.match(text, / echo 'Once upon a time' \| gpt2 score /);
    for (const section of [
      "NAME",
      "SYNOPSIS",
      "DESCRIPTION",
      "COMMANDS",
      "EXIT STATUS",
      "ENVIRONMENT",
      "FILES",
      "EXAMPLES",
      "SEE ALSO",
    ])
      assert.match(text, new RegExp(`^${section}$`, "m"));
  });
});

test("roff's own characters are escaped, at the beginning of a line too", () => {
  assert.equal(
    escaped(".TH a-b\n\\n 'x' `y` ~ ^ \"é→😀"),
    "\\&.TH a\\-b \\en \\(aqx\\(aq \\(gay\\(ga \\(ti \\(ha \\(dq\\[u00E9]\\[u2192]\\[u1F600]",
  );
  const long = filled(`${"word ".repeat(15)}.hidden ${"x".repeat(100)} end`).split("\n");
  assert.deepEqual(long.slice(-3), ["\\&.hidden", "x".repeat(100), "end"]);
  assert.ok(long[0].length <= 79);
});
