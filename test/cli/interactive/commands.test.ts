import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { generated, OPTIONS, posix, started } from "../../support/interactive.js";
import { assertDone, gpt2, micro, parseLines, TEMPORARY } from "../../support/spawn.js";

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
      assert.deepEqual(await session.command(`/${name} x`), [`/${name} takes no arguments`]);
    }
    assert.deepEqual(await session.command("/more"), ["there is nothing to continue yet: type a prompt"]);
    assert.match((await session.command("/save"))[0], /^\/save needs/);
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
      presence_penalty: "0.5",
      frequency_penalty: "-0.25",
      penalty_window: "30",
      dry_multiplier: "0.8",
      dry_base: "1.5",
      dry_allowed_length: "3",
      dry_breaker: '"e" "\\n"',
      no_repeat_ngram_size: "4",
      typical_p: "0.95",
      mirostat_tau: "6",
      logit_bias: "3=-inf 5=1.5",
      stop: '"one" "two\\n"',
      ignore_eos: "true",
      logprobs: "2",
      format: "jsonl",
    };
    for (const [name, value] of Object.entries(settings)) {
      assert.deepEqual(await session.command(`/set ${name} ${value}`), [`${name} ${value}`]);
    }
    const shown = (await session.command("/show")).join("\n");
    assert.match(shown, /micro.*, (native|wasm), float32\n/);
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
          : name === "dry_breaker"
            ? ["--dry_breaker", "e", "--dry_breaker", "\n"]
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
      ["top_p 0", /^--top_p must be.*"0": 1 turns it off$/],
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
      ['stop "a', /quote|not a JSON string/],
      ['stop "\\q"', /quote|not a JSON string/],
      ["topk 3", /^there is no option "topk": there are seed, .*top_k/],
      ["constructor 3", /^there is no option "constructor"/],
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
    assert.deepEqual(await session.command(`/save ${path}`), [`wrote ${path}: 4 samples`]);
    const outcome = await gpt2(["interactive", ...micro(...OPTIONS, "--nsamples", "2")], {
      stdin: "of\n/see\n",
    });
    const [, one, two] = /^([\s\S]*?={80}\n)([\s\S]*)$/.exec(outcome.stdout) ?? [];
    const saved = await readFile(path, "utf8");
    assert.equal(saved, `Model prompt >>> of\n${one}Model prompt >>> /see\n${two}`);
    await session.line("a");
    assert.deepEqual(await session.command(`/save ${path}`), [`${path} already exists: choose another name`]);
    assert.equal(await readFile(path, "utf8"), saved);
    assert.match((await session.command(`/save ${TEMPORARY}`))[0], /already exists/);
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
    assert.match(help.stdout, /From a\s+pipe\s+or\s+a\s+file,\s+every\s+line\s+is\s+a\s+prompt/);
  });
});
