import assert from "node:assert/strict";
import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FileServer } from "../../support/file-server.js";
import { MICRO, micro, TEMPORARY } from "../../support/spawn.js";
import { CTRL_C, CTRL_D, NO_TERMINAL, Terminal } from "../../support/terminal.js";

const PROMPT = /Model prompt >>> $/;
const ENDLESS = ["--length", "100000000", "--ignore_eos"];

describe("interactive on a terminal", { concurrency: 2, skip: NO_TERMINAL }, () => {
  test("asks, answers, asks again; an empty line is told; Ctrl-C at the prompt leaves with 0", async () => {
    const terminal = new Terminal(["interactive", ...micro("--seed", "1", "--length", "8")]);
    await terminal.shows(PROMPT);
    terminal.type("Speak, speak\r");
    const answer = await terminal.shows(PROMPT);
    assert.match(answer, /^Speak, speak\r+\n={40} SAMPLE 1 ={40}\r\n[\s\S]+\r\n={80}\r\n/);
    assert.match(answer, /\n8 tokens, [\d.]+ tokens per second, seed 1, length reached\r\n/);
    terminal.type("\r");
    assert.match(await terminal.shows(PROMPT), /Prompt should not be empty!\r\n/);
    terminal.type("Speak, speak\r");
    const again = await terminal.shows(PROMPT);
    const rate = /[\d.]+ tokens per second/;
    assert.equal(again.replace(rate, ""), answer.replace(rate, ""), "the same prompt gives the same text");
    terminal.type(CTRL_C);
    assert.equal((await terminal.ends()).code, 0);
  });

  test("an answer streams; Ctrl-C returns to the prompt, again and again; Ctrl-D leaves with 0", async () => {
    const terminal = new Terminal(["interactive", ...micro("--seed", "1", ...ENDLESS)]);
    await terminal.shows(PROMPT);
    for (const prompt of ["a", "of"]) {
      terminal.type(`${prompt}\r`);
      await terminal.shows(/SAMPLE 1 =+\r\n[\s\S]{10}/);
      await terminal.shows(/[\s\S]{10}/);
      terminal.type(CTRL_C);
      assert.match(await terminal.shows(PROMPT), /\r\n={80}\r\n/);
    }
    terminal.type(CTRL_D);
    const { code, stdout } = await terminal.ends();
    assert.equal(code, 0);
    assert.ok(stdout.endsWith("\r\n"), "the shell's prompt begins a line of its own");
  });

  test("what is typed ahead is answered in turn; Ctrl-D during an answer leaves after it", async () => {
    const terminal = new Terminal(["interactive", ...micro("--seed", "1", "--length", "40")]);
    await terminal.shows(PROMPT);
    terminal.type(`one\rtwo\r`);
    await terminal.shows(/SAMPLE 1 [\s\S]*SAMPLE 1 /);
    terminal.type(CTRL_D);
    const { code, stdout } = await terminal.ends();
    assert.equal(code, 0);
    assert.equal((stdout.match(/={80}\r\n/g) ?? []).length, 2);
  });
});

describe("other commands on a terminal", { concurrency: 2, skip: NO_TERMINAL }, () => {
  test("a missing model: the download is offered; n, Ctrl-C and Ctrl-D end with the line and exit code 1", async () => {
    const cwd = join(TEMPORARY, "no models");
    await mkdir(cwd);
    const offer = /The model 345M is not on this machine\. Download it now\? \[Y\/n\] $/;
    for (const answer of ["n\r", "No thanks\r", CTRL_C, CTRL_D]) {
      const terminal = new Terminal(["interactive", "--model_name", "345M"], { cwd });
      await terminal.shows(offer);
      terminal.type(answer);
      const { code, stdout } = await terminal.ends();
      assert.equal(code, 1, stdout);
      assert.match(stdout, /\ngpt2: the model 345M is not on this machine: .*`gpt2 download 345M`/);
    }
  });

  test("yes downloads; a failure is told in a line", async () => {
    const cwd = join(TEMPORARY, "none either");
    await mkdir(cwd);
    const server = await FileServer.start();
    try {
      const env = { GPT2_BASE_URL: server.url }; // it has no file at all
      const terminal = new Terminal(["generate", "a", "--model_name", "345M"], { cwd, env });
      await terminal.shows(/\[Y\/n\] $/);
      terminal.type("\r");
      const { code, stdout } = await terminal.ends();
      assert.equal(code, 1, stdout);
      assert.match(stdout, /\ngpt2: [^\n]*404[^\n]*\r\n$/);
      assert.match(server.log[0].path, /^\/345M|^\/355M/);
    } finally {
      await server.stop();
    }
  });

  test("generate without a prompt says how to give one instead of waiting: exit code 2", async () => {
    const { code, stdout } = await new Terminal(["generate", ...micro()]).ends();
    assert.equal(code, 2);
    assert.match(stdout, /^gpt2: give a prompt: gpt2 generate "[^"]+", or --prompt_file FILE\r\n$/);
  });

  test("unconditional: Ctrl-C ends the line and the program, exit code 130", async () => {
    const terminal = new Terminal(["unconditional", ...micro("--seed", "1")]);
    await terminal.shows(/SAMPLE 1 =+\r\n[\s\S]{10}/);
    terminal.type(CTRL_C);
    const { code, stdout } = await terminal.ends();
    assert.equal(code, 130);
    assert.match(stdout, /\r\n\d+ tokens?, [\d.]+ tokens per second\r\n$/);
  });

  test("convert: a bar that goes away, no colours", async () => {
    const folder = join(TEMPORARY, "micro");
    await cp(MICRO, folder, { recursive: true });
    const { code, stdout } = await new Terminal(["convert", folder]).ends();
    assert.equal(code, 0, stdout);
    assert.match(stdout, /converting/);
    assert.match(stdout, /model\.json: 40 tensors, 53024 parameters, 212\.1 kB in float32\r\n/);
  });
});
