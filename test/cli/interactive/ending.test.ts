import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  ENDLESS,
  Interactive,
  OPTIONS,
  PASTE_OFF,
  PASTE_ON,
  PROMPT,
  pause,
  posix,
  started,
} from "../../support/interactive.js";
import { gpt2, micro, TEMPORARY } from "../../support/spawn.js";
import { CTRL_C, CTRL_D, Terminal } from "../../support/terminal.js";

describe("status line and --quiet", posix, () => {
  test("after each sample: tokens, speed, seed, and each reason to end", async () => {
    const session = await started(["--seed", "6", "--nsamples", "3", "--batch_size", "2", "--length", "3"]);
    const status = (shown: string): string[] =>
      [...shown.matchAll(/^(\d+) tokens?, \d+\.\d tokens per second, (.*)\r$/gm)].map(
        ([, n, rest]) => `${n} ${rest}`,
      );
    const shown = await session.line("of");
    assert.deepEqual(status(shown), new Array(3).fill("3 seed 6, length reached"));
    assert.match(shown, /SAMPLE 1 [^\n]+\n[\s\S]*length reached\r\n=+ SAMPLE 2 /);
    await session.line("/set length default");
    await session.line("/set nsamples 1");
    assert.match(status(await session.line("a"))[0], /seed 6, (context full|the model ended the text)/);
    await session.line("/set ignore_eos true");
    assert.match(status(await session.line("a"))[0], /^64 seed 6, context full/);
    await session.line("/set temperature 0");
    await session.line("/set stop e");
    assert.match(status(await session.line("of"))[0], /seed 6, stop text reached/);
    await session.leave();
  });

  test("--quiet: neither seed nor status; answers to commands and warnings stay; /set switches it", async () => {
    const session = await started(["--length", "4", "--quiet"]);
    const shown = await session.line("of");
    assert.match(shown, /^={40} SAMPLE 1 ={40}\r\n[\s\S]+\r\n={80}\r\n$/);
    assert.doesNotMatch(shown, /tokens|seed/);
    assert.deepEqual(await session.command("/set top_k 3"), []);
    assert.match((await session.command("/set top_k x"))[0], /must be/);
    assert.match((await session.command("/show")).join("\n"), /^quiet +true/m);
    assert.match(await session.line("the ".repeat(80)), /warning: the prompt's \d+ tokens/);
    await session.command("/set quiet false");
    assert.match(await session.line("of"), /4 tokens, .* seed \d+, length reached/);
    assert.doesNotMatch(session.raw.slice(0, 200), /--seed/);
    await session.leave();
  });

  test("generate and unconditional --quiet: stderr is empty, stdout is the same", async () => {
    for (const command of [
      ["generate", "of"],
      ["unconditional", "--nsamples", "1"],
    ]) {
      const args = [...command, ...micro("--length", "5", "--seed", "3")];
      const [plain, quiet, random] = await Promise.all([
        gpt2(args),
        gpt2([...args, "--quiet"]),
        gpt2([...command, ...micro("--length", "5", "--quiet")]),
      ]);
      assert.match(plain.stderr, /tokens per second/);
      assert.deepEqual([quiet.stdout, quiet.stderr], [plain.stdout, ""]);
      assert.equal(random.stderr, "");
    }
    const long = await gpt2([
      "generate",
      "!".repeat(65),
      ...micro("--length", "5", "--seed", "3", "--quiet"),
    ]);
    assert.match(long.stderr, /^warning: [^\n]+\n$/);
  });
});

describe("leaving", posix, () => {
  const onlyOff = (stdout: string): void => {
    assert.ok(stdout.includes(PASTE_ON));
    assert.ok(stdout.lastIndexOf(PASTE_OFF) > stdout.lastIndexOf(PASTE_ON), "pastes are still marked");
  };

  test("the terminal is given back by every way out: /quit, Ctrl-C, Ctrl-D, signals, an error", async () => {
    const ways: [string, (session: Interactive) => void, number][] = [
      ["/quit", (session) => session.type("/quit\r"), 0],
      ["Ctrl-C", (session) => session.type(CTRL_C), 0],
      ["Ctrl-D", (session) => session.type(CTRL_D), 0],
      ["SIGINT", (session) => session.signal("SIGINT"), 0],
      ["SIGTERM", (session) => session.signal("SIGTERM"), 256 - 15],
      ["SIGHUP", (session) => session.signal("SIGHUP"), 256 - 1],
    ];
    for (const [name, leave, code] of ways) {
      const session = await started();
      assert.ok(session.raw.includes(PASTE_ON));
      leave(session);
      const outcome = await session.ends();
      assert.deepEqual([name, outcome.code, outcome.stderr], [name, code, "echo on"]);
      onlyOff(session.raw);
    }
  });

  test("SIGTERM during a sample ends at once", async () => {
    const session = await started(["--seed", "1", ...ENDLESS]);
    session.type("a\r");
    await session.shows(/SAMPLE 1 =+\r\n[\s\S]{10}/);
    session.signal("SIGTERM");
    const { code, stderr } = await session.ends();
    assert.deepEqual([code, stderr], [256 - 15, "echo on"]);
    onlyOff(session.raw);
  });

  test("the second Ctrl-C leaves a sample that does not come to its end, with 130", async () => {
    // Its standard output is a full pipe that nobody reads: the sample waits for ever.
    const stuck = `
import os, sys
reading, writing = os.pipe()
os.set_inheritable(reading, True)
os.set_blocking(writing, False)
try:
    while True: os.write(writing, b"x" * 4096)
except BlockingIOError: pass
os.set_blocking(writing, True)
os.dup2(writing, 1)
os.execvp(sys.argv[1], sys.argv[1:])`;
    // Many short samples, so that what Node itself holds back is full soon, too: no status line comes any more.
    const args = ["--no_history", ...micro("--length", "1", "--nsamples", "1000000")];
    const session = new Terminal(["interactive", ...args], {}, ["python3", "-c", stuck]);
    await session.shows(PROMPT);
    session.type("a\r");
    await session.shows(/1 token, /);
    await session.isSilent();
    session.type(CTRL_C);
    await session.isSilent();
    assert.ok(!session.raw.includes(PASTE_OFF), "the first one only asks it to end");
    session.type(CTRL_C);
    const { code, stderr } = await session.ends();
    assert.deepEqual([code, stderr], [130, "echo on"]);
    onlyOff(session.raw);
  });

  test("TERM=dumb: no control sequences at all", async () => {
    const session = new Interactive(OPTIONS, { TERM: "dumb" });
    await session.shows(PROMPT);
    session.type("of\r");
    await session.shows(/={80}\r\nModel prompt >>> $/);
    session.type(CTRL_D);
    assert.equal((await session.ends()).code, 0);
    assert.ok(!session.raw.includes("\x1b"), JSON.stringify(session.raw));
  });

  test("stderr in a file: commands and blocks still work", async () => {
    const log = join(TEMPORARY, "stderr.txt");
    const session = new Terminal(["interactive", "--no_history", ...micro(...OPTIONS)], {}, [
      "sh",
      "-c",
      'exec "$@" 2>"$0"',
      log,
    ]);
    while (!PROMPT.test(await readFile(log, "utf8").catch(() => ""))) await pause(20);
    session.type('/set length 2\r"""\ra\r"""\r/quit\r');
    assert.equal((await session.ends()).code, 0);
    assert.match(await readFile(log, "utf8"), /length 2\n[\s\S]*2 tokens, .* length reached/);
  });
});
