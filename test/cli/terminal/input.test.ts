import assert from "node:assert/strict";
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { openCheckpoint } from "../../../dist/src/formats/tensorflow/checkpoint.js";
import { writeCheckpoint } from "../../../dist/src/formats/tensorflow/write-checkpoint.js";
import {
  assertDone,
  assertFails,
  gpt2,
  MICRO,
  micro,
  NO_SHELL,
  parseLines,
  ROOT,
  start,
  startGpt2,
  TEMPORARY,
} from "../../support/spawn.js";
import { changed } from "../../support/verifying.js";

const OPTIONS = micro("--seed", "8", "--length", "3", "--format", "jsonl");
const TEXT = "Спеак, 東 👩 é";

const utf16le = (text: string): Buffer => Buffer.from(`\ufeff${text}`, "utf16le");
const utf16be = (text: string): Buffer => utf16le(text).swap16();
const utf8 = (text: string): Buffer => Buffer.from(`\ufeff${text}`);

suite("encodings: UTF-16 and UTF-8 with a byte order mark are read as what they say", {
  concurrency: 2,
}, () => {
  for (const [name, encode] of Object.entries({ utf16le, utf16be, utf8 })) {
    const file = join(TEMPORARY, `${name}.txt`);
    writeFileSync(file, encode(`${TEXT}\r\n`));

    test(`${name}: prompts`, async () => {
      const calls = [
        gpt2(["generate", ...OPTIONS, "--prompt_file", file]),
        gpt2(["generate", ...OPTIONS], { stdin: encode(TEXT) }),
      ];
      for (const outcome of await Promise.all(calls)) {
        assertDone(outcome);
        assert.equal(parseLines(outcome.stdout)[0].prompt, TEXT);
        assert.doesNotMatch(outcome.stderr, /warning/);
      }
    });

    test(`${name}: interactive, in pieces that cut the mark and characters`, async () => {
      const running = startGpt2(["interactive", ...OPTIONS], { stdin: "open" });
      for (const byte of encode(`${TEXT}\r\nsecond\n`)) running.child.stdin?.write(Buffer.of(byte));
      running.child.stdin?.end();
      const outcome = await running.ended;
      assertDone(outcome);
      assert.deepEqual(
        parseLines(outcome.stdout).map(({ prompt }) => prompt),
        [TEXT, "second"],
      );
    });

    test(`${name}: score and tokenize, where every character counts`, async () => {
      const jsonl = ["--format", "jsonl", "--model_name", MICRO];
      const calls = [
        gpt2(["score", file, ...jsonl]),
        gpt2(["score", ...jsonl], { stdin: encode(`${TEXT}\r\n`) }),
        gpt2(["tokenize", "--file", file, ...jsonl]),
        gpt2(["tokenize", ...jsonl], { stdin: encode(`${TEXT}\r\n`) }),
      ];
      for (const outcome of await Promise.all(calls)) {
        assertDone(outcome);
        assert.equal(JSON.parse(outcome.stdout).text, `${TEXT}\r\n`);
      }
    });
  }

  test("half a character of UTF-16 is told of", async () => {
    const outcome = await gpt2(["generate", ...OPTIONS], { stdin: utf16le("ab").subarray(0, 5) });
    assertDone(outcome);
    assert.match(outcome.stderr, /^warning: standard input is not all valid UTF-16LE/m);
    assert.equal(parseLines(outcome.stdout)[0].prompt, "a\ufffd");
  });
});

suite("what is piped in beside a prompt goes before it", { concurrency: 2 }, () => {
  const prompt = async (args: readonly string[], stdin: string): Promise<string> => {
    const outcome = await gpt2(["generate", ...OPTIONS, ...args], { stdin });
    assertDone(outcome);
    return parseLines(outcome.stdout)[0].prompt;
  };
  const file = join(TEMPORARY, "end.txt");
  writeFileSync(file, "the end\n");

  test("an argument, --prefix, a file", async () => {
    assert.equal(await prompt(["ROMEO:"], "KING:\r\n"), "KING:\nROMEO:");
    assert.equal(await prompt(["--prefix", "ROMEO:"], "KING: "), "KING: ROMEO:");
    assert.equal(await prompt(["--prompt_file", file], "one\ntwo\n"), "one\ntwo\nthe end");
    assert.equal(await prompt(["ROMEO:"], ""), "ROMEO:");
  });

  test("it is waited for, and that is said", async () => {
    const running = startGpt2(["generate", ...OPTIONS, "b"], { stdin: "open" });
    await running.until(/^waiting for the end of standard input.*< \/dev\/null/m, "stderr");
    running.child.stdin?.end("a");
    const outcome = await running.ended;
    assertDone(outcome);
    assert.equal(parseLines(outcome.stdout)[0].prompt, "ab");
  });
});

suite("\\n in --stop and --truncate is a newline", { concurrency: 2 }, () => {
  const text = async (...options: string[]): Promise<string> => {
    const args = ["generate", "ROMEO:", "--model_name", "shakespeare", "--seed", "1", "--format", "jsonl"];
    const outcome = await gpt2([...args, "--length", "60", ...options]);
    assertDone(outcome);
    return parseLines(outcome.stdout)[0].text;
  };
  test("--stop, --truncate; two backslashes are one", async () => {
    const whole = await text();
    const [first, ...more] = whole.split("\n");
    assert.ok(more.length > 0, whole);
    assert.equal(await text("--stop", "\\n"), first);
    assert.equal(await text("--truncate", "\\n"), first);
    assert.equal(await text("--stop", "\n"), first);
    assert.equal(await text("--stop", "\\\\n"), whole);
  });
});

test("weights that are not numbers: generate and score fail with a line, and print nothing", async () => {
  const folder = join(TEMPORARY, "nan");
  cpSync(MICRO, folder, { recursive: true });
  const source = changed(await openCheckpoint(MICRO), (name, values) => {
    if (name === "model/ln_f/b") values[3] = Number.NaN;
  });
  await writeCheckpoint(folder, "model.ckpt", source);
  const score = (format: string) =>
    gpt2(["score", "--model_name", folder, "--format", format], { stdin: "abc" });
  for (const outcome of await Promise.all([
    score("text"),
    score("jsonl"),
    gpt2(["generate", "abc", "--model_name", folder, "--seed", "1", "--quiet"]),
  ])) {
    assertFails(outcome, 1, /the model's logits are not numbers: its weights are damaged/);
  }
});

test("a package that is missing is named, and only a program that is not built is said not to be", {
  skip: NO_SHELL,
}, async () => {
  const folder = join(TEMPORARY, "installed");
  mkdirSync(folder);
  for (const part of ["bin", "dist", "package.json"]) {
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  }
  const run = () => start(process.execPath, [join(folder, "bin", "gpt2.js"), "--help"]).ended;
  assertFails(await run(), 1, /the package commander is missing: run `npm install` in .*installed/);
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  assertDone(await run());
  cpSync(join(folder, "bin"), join(folder, "unbuilt", "bin"), { recursive: true });
  cpSync(join(folder, "package.json"), join(folder, "unbuilt", "package.json"));
  assertFails(
    await start(process.execPath, [join(folder, "unbuilt", "bin", "gpt2.js"), "--help"]).ended,
    1,
    /is not built yet: run `npm run build` in .*unbuilt/,
  );
});
