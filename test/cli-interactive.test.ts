import assert from "node:assert/strict";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { assertDone, gpt2, type JsonLine, micro, parseLines, TEMPORARY } from "./support/spawn.js";
import { CTRL_C, CTRL_D, NO_TERMINAL, Terminal } from "./support/terminal.js";

const PROMPT = /Model prompt >>> $/;
const OPTIONS = ["--seed", "1", "--length", "8"];
const ENDLESS = ["--length", "100000000", "--ignore_eos"];
const [PASTE_ON, PASTE_OFF] = ["\x1b[?2004h", "\x1b[?2004l"];
const pasted = (text: string): string => `\x1b[200~${text}\x1b[201~`;
const UP = "\x1b[A";
const LEFT = "\x1b[D";

let sessions = 0;

/** A session of the micro model with a data folder of its own, or the given one. */
class Interactive extends Terminal {
  readonly data: string;

  constructor(args: readonly string[] = OPTIONS, env: Record<string, string> = {}) {
    const data = env["XDG_DATA_HOME"] ?? join(TEMPORARY, `data ${++sessions}`);
    super(["interactive", ...micro(...args)], { env: { ...env, XDG_DATA_HOME: data } });
    this.data = data;
  }

  /** Types a line and waits for the next prompt; what was shown between. */
  async line(text: string): Promise<string> {
    this.type(`${text}\r`);
    const shown = await this.shows(/\r\n[\s\S]*Model prompt >>> $/);
    return shown.slice(shown.indexOf("\r\n") + 2, shown.lastIndexOf("Model prompt >>> "));
  }

  /** What a command says: every line of it. */
  async command(text: string): Promise<string[]> {
    return (await this.line(text)).split("\r\n").slice(0, -1);
  }

  /** What the session holds, through /save. */
  async records(): Promise<JsonLine[]> {
    const file = join(TEMPORARY, `saved ${++sessions}.jsonl`);
    await this.line(`/save ${file}`);
    return parseLines(await readFile(file, "utf8"));
  }

  async leave(): Promise<void> {
    this.type("/quit\r");
    const { code, stdout, stderr } = await this.ends();
    assert.equal(code, 0, stdout);
    assert.equal(stderr, "echo on");
  }
}

const started = async (...args: ConstructorParameters<typeof Interactive>): Promise<Interactive> => {
  const session = new Interactive(...args);
  await session.shows(PROMPT);
  return session;
};

/** The text of what `generate` writes. */
async function generated(prompt: string, ...args: string[]): Promise<string> {
  const outcome = await gpt2(["generate", prompt, ...micro("--format", "jsonl", ...args)]);
  assertDone(outcome);
  return parseLines(outcome.stdout)[0].text;
}

const posix = { concurrency: 2, skip: NO_TERMINAL };

describe("prompts of several lines", posix, () => {
  test("pasted lines are one prompt, sent by Enter; the paste can be cut anywhere", async () => {
    const session = await started();
    session.type(pasted("one\rtwo\r\n/three\nfour\r"));
    await session.shows(/four$/);
    const answer = await session.line("");
    assert.match(answer, /^={40} SAMPLE 1 ={40}\r\n/);
    for (const piece of ["x\x1b", "[20", "0~a\tb\x1b[31m\x07", "\rc\x1b[2", "01~y"]) {
      session.type(piece);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await session.line("");
    // In the middle of a line; a short paste waits for Enter, too.
    session.type(`ab${LEFT}`);
    session.type(pasted("é\r東"));
    session.type(`Z${LEFT}${LEFT}Y`);
    await session.shows(/Y東Zb/);
    await session.line("");
    session.type(pasted("single\r"));
    await session.shows(/single$/);
    await session.line("");
    assert.deepEqual(
      (await session.records()).map(({ prompt }) => prompt),
      ["one\ntwo\n/three\nfour", "xa\tb[31m\ncy", "aé\nY東Zb", "single"],
    );
    const { text } = (await session.records())[0];
    assert.equal(text, await generated("one\ntwo\n/three\nfour", ...OPTIONS));
    await session.leave();
  });

  test("a paste whose end never comes does not lock the person out", async () => {
    const session = await started();
    session.type("\x1b[200~never ended");
    await new Promise((resolve) => setTimeout(resolve, 200));
    session.type(CTRL_C);
    assert.equal((await session.ends()).code, 0);
  });

  test("pasting while a sample runs waits for the prompt", async () => {
    const session = await started(["--seed", "1", ...ENDLESS]);
    session.type("a\r");
    await session.shows(/SAMPLE 1 =+\r\n[\s\S]{10}/);
    session.type(`z${pasted("p\rq")}y`);
    await session.shows(/[\s\S]{40}/);
    session.type(CTRL_C);
    const rest = await session.shows(/zp\r\nqy$/);
    assert.match(rest, /interrupted\r\n={80}\r\nModel prompt >>> /);
    session.type("\r");
    await session.shows(/SAMPLE 1 =+\r\n[\s\S]{10}/);
    session.type(CTRL_C);
    await session.shows(PROMPT);
    assert.deepEqual(
      (await session.records()).map(({ prompt }) => prompt),
      ["a", "zp\nqy"],
    );
    await session.leave();
  });

  test('a block between lines of """: no command in it; Ctrl-C drops it, Ctrl-D leaves', async () => {
    const session = await started();
    session.type('"""\r');
    await session.shows(/\.\.\. $/);
    session.type("/quit\r\r  two\r");
    await session.shows(/\.\.\. $/);
    await session.line(' """ ');
    session.type('"""\r');
    await session.shows(/\.\.\. $/);
    session.type("dropped");
    await session.shows(/dropped$/);
    session.type(CTRL_C);
    await session.shows(PROMPT);
    await session.line("after");
    session.type('"""\r"""\r');
    await session.shows(/Prompt should not be empty!\r\nModel prompt >>> $/);
    session.type('"""\r/help\r"""\r');
    await session.shows(/={80}\r\nModel prompt >>> $/);
    assert.deepEqual(
      (await session.records()).map(({ prompt }) => prompt),
      ["/quit\n\n  two", "after", "/help"],
    );
    session.type('"""\rx\r');
    await session.shows(/\.\.\. $/);
    session.type(CTRL_D);
    assert.equal((await session.ends()).code, 0);
  });
});

describe("commands", posix, () => {
  test("/help names each; an unknown one, and one with too much behind it, are told in a line", async () => {
    const session = await started();
    const help = (await session.command("/help")).join("\n");
    for (const name of ["help", "set NAME VALUE", "show", "seed N", "more", "save FILE", "quit", "/..."])
      assert.match(help, new RegExp(`^/${name.replaceAll(".", "\\.")} `, "m"));
    assert.match(help, /"""/);
    for (const line of help.split("\n")) assert.ok(line.length <= 100, line);
    for (const wrong of ["/nonsense", "/", "/ help", "/constructor"]) {
      const said = await session.command(wrong);
      assert.equal(said.length, 1, said.join("\n"));
      assert.match(said[0], /^there is no command \/.*\/help.*\/quit.*slash/);
    }
    for (const name of ["help", "show", "more", "quit"]) {
      assert.deepEqual(await session.command(`/${name} x`), [`/${name} takes nothing behind it`]);
    }
    assert.deepEqual(await session.command("/more"), ["there is nothing to go on from yet: type a prompt"]);
    assert.match((await session.command("/save"))[0], /^\/save takes/);
    assert.match((await session.command(`/save ${join(TEMPORARY, "nothing")}`))[0], /nothing to save yet/);
    await session.leave();
  });

  test("/set changes every option that needs no loading, as the command line would; /show shows it", async () => {
    const session = await started();
    const settings = {
      seed: "7",
      nsamples: "2",
      batch_size: "3",
      length: "5",
      temperature: "0.7",
      top_k: "40",
      top_p: "0.9",
      min_p: "0.05",
      repetition_penalty: "1.2",
      logit_bias: "3=-inf 5=1.5",
      stop: '"one" "two\\n"',
      ignore_eos: "true",
      format: "jsonl",
    };
    for (const [name, value] of Object.entries(settings)) {
      assert.deepEqual(await session.command(`/set ${name} ${value}`), [`${name} ${value}`]);
    }
    const shown = (await session.command("/show")).join("\n");
    assert.match(shown, /micro.*, wasm, float32\n/);
    for (const [name, value] of Object.entries(settings)) {
      assert.ok(
        shown.split("\n").some((line) => line.replace(/ +/, " ") === `${name} ${value}`),
        name,
      );
    }
    const samples = (await session.line("of")).split("\r\n").filter((line) => line.startsWith("{"));
    const args = Object.entries(settings).flatMap(([name, value]) =>
      name === "logit_bias"
        ? ["--logit_bias=3=-inf", "--logit_bias=5=1.5"]
        : name === "stop"
          ? ["--stop", "one", "--stop", "two\n"]
          : name === "ignore_eos"
            ? ["--ignore_eos"]
            : [`--${name}`, value],
    );
    const { stdout } = await gpt2(["generate", "of", ...micro(...args)]);
    assert.deepEqual(`${samples.join("\n")}\n`, stdout);
    await session.leave();
  });

  test("/set NAME default is the value in --help; hyphens and dashes may stand in a name", async () => {
    const session = await started([...OPTIONS, "--top_k", "3", "--stop", "x"]);
    assert.deepEqual(await session.command("/set --top-k default"), ["--top-k 0"]);
    assert.deepEqual(await session.command("/set length default"), [
      "length until the text ends or the context is full",
    ]);
    assert.deepEqual(await session.command("/set stop The end"), ['stop "The end"']);
    assert.deepEqual(await session.command("/set stop default"), ["stop none"]);
    const [, seed] = /^seed (\d+)$/.exec((await session.command("/set seed default"))[0]) ?? [];
    assert.notEqual(Number(seed), 1);
    await session.leave();
  });

  test("an unknown name or a bad value: one line, nothing changes", async () => {
    const session = await started();
    const before = await session.command("/show");
    const wrong: [string, RegExp][] = [
      ["top_k -1", /^--top_k must be a whole number.*"-1"$/],
      ["top_p 0", /^--top_p must be.*"0"$/],
      ["temperature x", /^--temperature must be.*"x"$/],
      ["min_p 2", /^--min_p must be/],
      ["repetition_penalty 0", /^--repetition_penalty must be/],
      ["logit_bias 3", /^--logit_bias must be ID=VALUE/],
      ["logit_bias 400=1", /^--logit_bias: the model has no token 400, its ids are 0 to 399/],
      ["length 0", /^--length must be/],
      ["nsamples 0", /^--nsamples must be a whole number from 1 /],
      ["batch_size 1025", /^--batch_size must be/],
      ["seed x", /^--seed must be/],
      ["format xml", /^--format must be one of text, jsonl/],
      ["ignore_eos maybe", /^ignore_eos must be true or false, not "maybe"/],
      ['stop "a', /quotes/],
      ['stop "\\q"', /quotes/],
      ["topk 3", /^there is no "topk" to set: there are seed, .*top_k/],
      ["constructor 3", /^there is no "constructor" to set/],
      ["model_name 345M", /^model_name cannot change.*--model_name/],
      ["threads 2", /^threads cannot change/],
      ["top_k", /^top_k is 0: \/set top_k VALUE changes it/],
      ["", /^\/set takes a name and a value/],
    ];
    for (const [typed, pattern] of wrong) {
      const said = await session.command(`/set ${typed}`);
      assert.equal(said.length, 1, said.join("\n"));
      assert.match(said[0], pattern);
    }
    assert.match((await session.command("/seed 1.5"))[0], /^--seed must be a whole number/);
    assert.deepEqual(await session.command("/show"), before);
    await session.leave();
  });

  test("/seed: another seed, another text; without a number a random one", async () => {
    const session = await started();
    const first = await session.line("of");
    assert.deepEqual(await session.command("/seed 2"), ["seed 2"]);
    assert.match(await session.line("of"), /, seed 2, length reached\r\n/);
    assert.deepEqual(await session.command("/seed 1"), ["seed 1"]);
    const rate = /[\d.]+ tokens per second/;
    assert.equal((await session.line("of")).replace(rate, ""), first.replace(rate, ""));
    const [one] = await session.command("/seed");
    const [two] = await session.command("/seed");
    assert.match(one, /^seed \d+$/);
    assert.notEqual(one, two);
    await session.leave();
  });

  test("/more goes on from the last sample: its prompt is the last one and its text", async () => {
    const session = await started([...OPTIONS, "--nsamples", "2"]);
    await session.line("of");
    await session.line("/more");
    await session.line("/more");
    const records = await session.records();
    assert.equal(records.length, 6);
    const [, a, , b, c] = records;
    assert.deepEqual([a.sample, b.sample], [2, 2]);
    assert.equal(b.prompt, a.prompt + a.text);
    assert.equal(c.prompt, b.prompt + b.text);
    assert.equal(c.text, await generated(c.prompt, ...OPTIONS));
    await session.leave();
  });

  test("/save writes what was shown, or JSON lines, and never over a file that is there", async () => {
    const session = await started([...OPTIONS, "--nsamples", "2"]);
    await session.line("of");
    await session.line("//see");
    const path = join(TEMPORARY, "a session – ü.txt");
    assert.deepEqual(await session.command(`/save ${path}`), [`${path} is written: 4 samples`]);
    const outcome = await gpt2(["interactive", ...micro(...OPTIONS, "--nsamples", "2")], {
      stdin: "of\n/see\n",
    });
    const [, one, two] = /^([\s\S]*?={80}\n)([\s\S]*)$/.exec(outcome.stdout) ?? [];
    const saved = await readFile(path, "utf8");
    assert.equal(saved, `Model prompt >>> of\n${one}Model prompt >>> /see\n${two}`);
    await session.line("a");
    assert.deepEqual(await session.command(`/save ${path}`), [
      `${path} is there already: choose another name`,
    ]);
    assert.equal(await readFile(path, "utf8"), saved);
    assert.match((await session.command(`/save ${TEMPORARY}`))[0], /is there already/);
    const missing = join(TEMPORARY, "no folder", "x");
    assert.match((await session.command(`/save ${missing}`))[0], /^cannot write .*no such file or folder$/);
    const prompts = (await session.records()).map(({ prompt }) => prompt);
    assert.deepEqual(prompts, ["of", "of", "/see", "/see", "a", "a"]);
    await session.leave();
  });

  test("from a pipe every line is a prompt, whatever it begins with", async () => {
    const lines = ["/quit", "//x", '"""', "/set top_k 3", "\x1b[200~a\x1b[201~"];
    const outcome = await gpt2(["interactive", ...micro(...OPTIONS, "--format", "jsonl")], {
      stdin: `${lines.join("\n")}\n`,
    });
    assertDone(outcome);
    assert.deepEqual(
      parseLines(outcome.stdout).map(({ prompt }) => prompt),
      lines,
    );
    const help = await gpt2(["interactive", "--help"]);
    assert.match(help.stdout, /From a\s+pipe\s+or\s+a\s+file\s+every\s+line\s+is\s+a\s+prompt/);
  });
});

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

describe("editing and history", posix, () => {
  const file = (session: Interactive): string => join(session.data, "gpt2", "history");

  test("lines are edited and recalled; kept between runs, for the user alone; blocks and pastes whole", async () => {
    const first = await started();
    first.type(`bd${LEFT}c${LEFT}${LEFT}a\x1b[F!`);
    await first.line("");
    await first.line('"""\rx\ry\r"""');
    await first.line("//slash");
    first.type(`${UP}${UP}`);
    await first.shows(/x\r\ny$/);
    first.type(`${UP}`);
    await first.shows(/abcd!$/);
    await first.line("");
    const prompts = (await first.records()).map(({ prompt }) => prompt);
    assert.deepEqual(prompts, ["abcd!", "x\ny", "/slash", "abcd!"]);
    await first.leave();
    assert.equal((await stat(file(first))).mode & 0o777, 0o600);
    assert.equal((await stat(join(first.data, "gpt2"))).mode & 0o777, 0o700);

    const second = await started(OPTIONS, { XDG_DATA_HOME: first.data });
    second.type(UP);
    await second.shows(/\/quit$/);
    second.type(`${UP}${UP}${UP}${UP}`);
    await second.shows(/x\r\ny$/);
    await second.line("");
    assert.deepEqual((await second.records())[0].prompt, "x\ny");
    await second.leave();
  });

  test("--no_history and $GPT2_NO_HISTORY: nothing is read or kept, arrows still recall this session", async () => {
    const data = join(TEMPORARY, "kept");
    await mkdir(join(data, "gpt2"), { recursive: true });
    const kept = '"an old line"\n';
    await writeFile(join(data, "gpt2", "history"), kept);
    for (const [args, env] of [
      [["--no_history"], {}],
      [["--no-history"], {}],
      [[], { GPT2_NO_HISTORY: "1" }],
    ] as const) {
      const session = await started([...OPTIONS, ...args], { ...env, XDG_DATA_HOME: data });
      await session.line("new");
      session.type(UP);
      await session.shows(/new$/);
      session.type(UP); // beyond the oldest line there is an empty one
      assert.match(await session.line(""), /Prompt should not be empty!/);
      await session.leave();
      assert.equal(await readFile(join(data, "gpt2", "history"), "utf8"), kept);
    }
  });

  test("a history that cannot be read or written is told once and stops nothing", async () => {
    const data = join(TEMPORARY, "no data");
    await writeFile(data, "a file where a folder should be");
    const session = new Interactive(OPTIONS, { XDG_DATA_HOME: data });
    await session.shows(PROMPT);
    await session.line("one");
    await session.line("two");
    session.type(UP);
    await session.shows(/two$/);
    await session.line("");
    const stdout = session.raw;
    assert.equal((stdout.match(/warning: cannot keep the history in [^\n]*--no_history/g) ?? []).length, 1);
    await session.leave();
    assert.equal(await readFile(data, "utf8"), "a file where a folder should be");
  });

  test("the last 1000 are kept; lines that are not ours are no obstacle; ~/.local/share without XDG", async () => {
    const home = join(TEMPORARY, "a home");
    const folder = join(home, ".local", "share", "gpt2");
    await mkdir(folder, { recursive: true });
    const lines = Array.from({ length: 1500 }, (_, i) => `"line ${i}"`);
    lines[1490] = "not JSON";
    lines[1495] = '{"a":1}';
    await writeFile(join(folder, "history"), lines.join("\n")); // and no end of the last line
    const session = new Terminal(["interactive", ...micro(...OPTIONS)], { env: { HOME: home } });
    await session.shows(PROMPT);
    session.type(`${UP}`);
    await session.shows(/line 1499$/);
    session.type(" again\r");
    await session.shows(PROMPT);
    session.type(CTRL_D);
    await session.ends();
    const after = (await readFile(join(folder, "history"), "utf8")).split("\n");
    assert.deepEqual([after.length, after[999], after[1000]], [1001, '"line 1499 again"', ""]);
    assert.equal(after[0], '"line 501"');
    assert.equal((await stat(join(folder, "history"))).mode & 0o777, 0o600);
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
    // Its standard output is a pipe that is full and that nobody reads: the sample waits for ever.
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
    // Many short samples, so that what Node itself holds back is full soon, too.
    const args = ["--no_history", "--quiet", ...micro("--length", "1", "--nsamples", "1000000")];
    const session = new Terminal(["interactive", ...args], {}, ["python3", "-c", stuck]);
    await session.shows(PROMPT);
    session.type("a\r");
    await new Promise((resolve) => setTimeout(resolve, 2000));
    session.type(CTRL_C);
    await new Promise((resolve) => setTimeout(resolve, 500));
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
    await new Promise((resolve) => setTimeout(resolve, 1500));
    session.type('/set length 2\r"""\ra\r"""\r/quit\r');
    assert.equal((await session.ends()).code, 0);
    assert.match(await readFile(log, "utf8"), /length 2\n[\s\S]*2 tokens, .* length reached/);
  });
});
