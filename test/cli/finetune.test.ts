import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { lossRows, someText, weightBytes, writeText } from "../support/finetuning.js";
import {
  assertDone,
  assertFails,
  BIN,
  gpt2,
  MICRO,
  micro,
  NO_SHELL,
  shell,
  start,
  startGpt2,
  TEMPORARY,
} from "../support/spawn.js";
import { CTRL_C, NO_TERMINAL, Terminal } from "../support/terminal.js";

/** A new folder with text.txt in it, to run in. */
function place(text?: string): string {
  const folder = mkdtempSync(join(TEMPORARY, "ft-"));
  writeText(folder, "text.txt", text);
  return folder;
}

/** Short steps of micro, seed 5, no samples. */
const training = (...rest: string[]): string[] => [
  "finetune",
  "text.txt",
  ...micro("--seed", "5", "--context_length", "24", "--accumulate_gradients", "2", "--sample_every", "0"),
  ...rest,
];
const runOf = (folder: string, name = "run1"): string => join(folder, "checkpoint", name);
const counterOf = (folder: string): string => readFileSync(join(runOf(folder), "counter"), "utf8");
const withoutValidation = (folder: string) =>
  lossRows(runOf(folder)).map(({ step, loss, average }) => [step, loss, average]);

async function assertSame(folder: string, other: string): Promise<void> {
  assert.deepEqual(withoutValidation(folder), withoutValidation(other));
  assert.deepEqual(await weightBytes(runOf(folder)), await weightBytes(runOf(other)));
}

describe("gpt2 finetune", { concurrency: 2 }, () => {
  test("prints the log and nothing else on stdout; its model can be used at once", async () => {
    const folder = place();
    const outcome = await gpt2(training("--steps", "25", "--validate_every", "20"), { cwd: folder });
    assertDone(outcome);
    assert.match(
      outcome.stdout,
      /^\[10 \| \d+\.\d\d\] loss=\d\.\d\d avg=\d\.\d\d\n\[20 \| \d+\.\d\d\] loss=\d\.\d\d avg=\d\.\d\d val=\d\.\d\d\n\[25 \| \d+\.\d\d\] loss=\d\.\d\d avg=\d\.\d\d val=\d\.\d\d\n$/,
    );
    assert.match(
      outcome.stderr,
      /^\S*micro: 53,024 parameters trained by \w+ on 1,\d\d\d tokens, \d+ held out; a step reads 2 x 24 = 48 tokens; until step 25\n/,
    );
    assert.match(
      outcome.stderr,
      /━ training {2}● validation\n1,200 tokens, [\d.]+ tokens per second\nstep 25 is saved in /,
    );
    assert.doesNotMatch(outcome.stderr, /warning|seed/);
    assert.ok(!outcome.stderr.includes("\x1b"));
    const prompt = ["generate", "The king", "--seed", "1", "--length", "5"];
    const byRun = await gpt2([...prompt, "--run_name", "run1"], { cwd: folder });
    const byPath = await gpt2([...prompt, "--model_name", "checkpoint/run1"], { cwd: folder });
    const elsewhere = await gpt2([...prompt, "--checkpoint_dir", join(folder, "checkpoint")]);
    const base = await gpt2([...prompt, ...micro()], { cwd: folder });
    for (const each of [byRun, byPath, elsewhere, base]) assertDone(each);
    assert.equal(byPath.stdout, byRun.stdout);
    assert.equal(elsewhere.stdout, byRun.stdout);
    assert.notEqual(base.stdout, byRun.stdout);
  });

  test("a short text learned by heart by a model from scratch is repeated", async () => {
    const poem =
      "The lamp was lit before the rain began, and nobody had asked who carried the oil up the hill. A dog slept under the table. Two chairs faced the window; the third faced the wall. At nine the clock stopped, as it did each winter, and my aunt wound it with a key that fitted nothing else in the house. We ate bread with honey. Then the post came. It was from my sister. She had sold the boat, and would be home by Friday.";
    const folder = place(poem);
    const sizes = ["--from_scratch", "--n_layer", "2", "--n_embd", "64"];
    const options = [
      "--learning_rate",
      "0.003",
      "--accumulate_gradients",
      "1",
      "--validation",
      "0",
      "--steps",
      "120",
    ];
    const args = ["finetune", "text.txt", ...micro("--seed", "1"), ...sizes, ...options];
    assertDone(await gpt2(args, { cwd: folder }));
    assert.ok(lossRows(runOf(folder)).at(-1)!.loss < 0.1);
    const greedy = ["generate", "The lamp was lit", "--run_name", "run1", "--temperature", "0"];
    const { stdout } = await gpt2(greedy, { cwd: folder });
    assert.equal(stdout, `${poem}\n`);
  });

  test("several columns of a table that is written in another way; what was recognised is said", async () => {
    const folder = place();
    const table = 'title; "comment, or none"; n\nA king; "he said \\"no\\"; twice"; 1\nA queen; ; 2\n'.repeat(
      20,
    );
    writeFileSync(join(folder, "t.csv"), table);
    const columns = ["--column", "title", "--column", "2", "--validation", "0"];
    const args = ["finetune", "t.csv", ...training().slice(2), ...columns, "--steps", "1"];
    const first = await gpt2(args, { cwd: folder });
    assertDone(first);
    assert.match(
      first.stderr,
      /^warning: t\.csv is read with semicolons between columns, \\" for a quote inside a text, spaces before quotes, as its first rows show$/m,
    );
    // With the same columns it is the same dataset; with only one of them it is not.
    const again = await gpt2(args, { cwd: folder });
    assertDone(again);
    assert.doesNotMatch(again.stderr, /column title/);
    const other = await gpt2(args.toSpliced(args.indexOf("--column"), 2), { cwd: folder });
    assertDone(other);
    assert.match(other.stderr, /column title,2 -> 2/);
  });

  test("records in JSON: a line that is not JSON ends it, and nothing is left", async () => {
    const folder = place();
    writeFileSync(join(folder, "r.jsonl"), '\ufeff{"text": "one"}\n{"text": "two}\n');
    const args = ["finetune", "r.jsonl", ...training().slice(2), "--steps", "1"];
    assertFails(await gpt2(args, { cwd: folder }), 1, /r\.jsonl, line 2 is not JSON: /);
    assert.ok(!existsSync(join(folder, "checkpoint")));
  });

  test("the command that it ends with works, also without <|endoftext|>", { skip: NO_SHELL }, async () => {
    for (const ending of ["<|endoftext|>", "<|nothing|>"]) {
      const folder = place();
      const model = join(folder, "model");
      cpSync(MICRO, model, { recursive: true });
      const vocabulary = readFileSync(join(MICRO, "encoder.json"), "utf8");
      assert.ok(vocabulary.includes('"<|endoftext|>"'));
      writeFileSync(join(model, "encoder.json"), vocabulary.replace("<|endoftext|>", ending));
      const args = [
        "finetune",
        "text.txt",
        "--model_name",
        "./model",
        "--steps",
        "1",
        "--context_length",
        "8",
      ];
      const { stderr } = await gpt2([...args, "--sample_every", "0"], { cwd: folder });
      const [, command] = /^write with it: gpt2 (.*)$/m.exec(stderr) ?? [];
      assert.equal(command?.split(" ")[0], ending === "<|endoftext|>" ? "unconditional" : "generate");
      const outcome = await shell(`gpt2 ${command} --length 4`, { cwd: folder });
      assertDone(outcome);
      assert.notEqual(outcome.stdout.trim(), "");
    }
  });

  test("a model from scratch with a vocabulary of its own", async () => {
    const folder = place();
    const sizes = ["--from_scratch", "--n_layer", "1", "--n_head", "2", "--n_embd", "8", "--n_ctx", "16"];
    assertDone(
      await gpt2(["finetune", "text.txt", ...sizes, "--n_vocab", "280", "--steps", "2"], { cwd: folder }),
    );
    const hparams = JSON.parse(readFileSync(join(runOf(folder), "hparams.json"), "utf8"));
    assert.deepEqual(hparams, { n_vocab: 280, n_ctx: 16, n_embd: 8, n_head: 2, n_layer: 1 });
    assertDone(await gpt2(["generate", "a king", "--run_name", "run1", "--length", "9"], { cwd: folder }));
    // A continued run keeps its sizes; others are refused.
    assertDone(await gpt2(["finetune", "text.txt", ...sizes, "--steps", "1"], { cwd: folder }));
    const other = ["finetune", "text.txt", "--from_scratch", "--n_layer", "2", "--steps", "1"];
    assertFails(await gpt2(other, { cwd: folder }), 2, /run1 has n_layer 1, not 2/);
  });

  test("samples go to stdout and into files", async () => {
    const folder = place();
    const args = training("--steps", "2", "--print_every", "1", "--sample_every", "2", "--sample_num", "2");
    const outcome = await gpt2([...args, "--sample_length", "4"], { cwd: folder });
    assertDone(outcome);
    const text = readFileSync(join(folder, "samples", "run1", "samples-2"), "utf8");
    assert.match(text, /^======== SAMPLE 1 ========\n[\s\S]+\n======== SAMPLE 2 ========\n/);
    assert.ok(outcome.stdout.includes(`\n[2 | `) && outcome.stdout.endsWith(text));
  });

  test("a seed that was drawn is told; with it the same weights come again; a .csv has rows", async () => {
    const [a, b] = [place(), place()];
    for (const folder of [a, b])
      writeText(folder, "rows.csv", 'id,text\n1,"a king, a queen"\n2,"my ""rose"""\n');
    const args = ["finetune", "rows.csv", "--column", "text", ...micro("--steps", "2")];
    const first = await gpt2(args, { cwd: a });
    assertDone(first);
    const [, seed] = /^seed (\d+) \(--seed \1 reproduces this\)$/m.exec(first.stderr) ?? [];
    assertDone(await gpt2([...args, "--seed", seed], { cwd: b }));
    await assertSame(a, b);
  });

  test("a reader that has gone: what was trained is saved, quietly", { skip: NO_SHELL }, async () => {
    const folder = place();
    const line = 'gpt2 finetune text.txt --model_name "$MICRO" --print_every 1 --sample_every 0 | head -n 1';
    const outcome = await shell(line, { cwd: folder });
    assertDone(outcome);
    assert.match(outcome.stdout, /^\[1 \|[^\n]+\n$/);
    assert.ok(Number(counterOf(folder)) >= 1);
    assert.doesNotMatch(outcome.stderr, /EPIPE|unexpected/);
  });
});

describe("interrupted", { concurrency: 2, skip: NO_SHELL }, () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    test(`${signal}: the run is saved, exit code 130, and the line it prints goes on`, async () => {
      const folder = place();
      const running = startGpt2(training("--steps", "100000", "--print_every", "1"), { cwd: folder });
      await running.until(/^\[9 /m);
      running.child.kill(signal);
      const { code, stderr } = await running.ended;
      assert.equal(code, 130, stderr);
      const step = Number(counterOf(folder));
      assert.ok(step >= 9 && step < 100_000, `step ${step}`);
      const [, line] = /^continue with: (gpt2 finetune text\.txt .*)$/m.exec(stderr) ?? [];
      const rest = ` --steps ${100_000 - step}`;
      assert.ok(line?.endsWith(rest) && !line.includes("model_name"), stderr);
      if (signal !== "SIGINT") return;
      const whole = place();
      assertDone(await shell(line.replace(rest, " --steps 20"), { cwd: folder }));
      assertDone(await gpt2(training("--steps", String(step + 20)), { cwd: whole }));
      assert.equal(counterOf(folder), `${step + 20}\n`);
      await assertSame(folder, whole);
    });
  }

  test("a second one leaves at once; the last save is whole", async () => {
    const folder = place();
    assertDone(await gpt2(training("--steps", "3"), { cwd: folder }));
    const before = await weightBytes(runOf(folder));
    // Such a batch is not finished within the test.
    const running = startGpt2(training("--batch_size", "20000", "--accumulate_gradients", "9"), {
      cwd: folder,
    });
    await running.until(/until Ctrl-C\n/, "stderr");
    running.child.kill("SIGINT");
    await running.until(/stopping/, "stderr");
    running.child.kill("SIGINT");
    const { code, stderr } = await running.ended;
    assert.equal(code, 130);
    assert.doesNotMatch(stderr, /is saved/);
    assert.deepEqual(await weightBytes(runOf(folder)), before);
  });

  test("killed at any moment, it goes on to the same end", async () => {
    const [folder, whole] = [place(), place()];
    const last = 40;
    const options = ["--print_every", "1", "--save_every", "1", "--validation", "0"];
    assertDone(await gpt2(training("--steps", String(last), ...options), { cwd: whole }));
    let kills = 0;
    for (let session = 0; session < 40; session++) {
      const saves = existsSync(runOf(folder)) ? readdirSync(runOf(folder)) : [];
      const done = Math.max(0, ...saves.map((name) => Number(/^step-(\d+)$/.exec(name)?.[1] ?? 0)));
      if (done === last) break;
      const running = startGpt2(training("--steps", String(last - done), ...options), { cwd: folder });
      const lines = 1 + Math.floor(Math.random() * 4); // on a busy machine it is some steps further when it is killed
      if (kills < 6) {
        await Promise.race([running.until((text) => text.split("\n").length > lines), running.ended]).catch(
          () => {},
        );
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
        running.child.kill("SIGKILL");
        kills++;
      }
      const { stderr, signal } = await running.ended;
      assert.doesNotMatch(stderr, /gpt2: |cannot be used|not as before/, stderr);
      if (signal !== "SIGKILL") assert.match(stderr, new RegExp(`step ${last} is saved`));
    }
    assert.ok(kills >= 4, `${kills} kills`);
    assert.equal(counterOf(folder), `${last}\n`);
    await assertSame(folder, whole);
    const left = readdirSync(runOf(folder)).filter((name) => /part|lock/.test(name));
    assert.deepEqual(left, []);
  });
});

describe("a full disk", { skip: NO_SHELL }, () => {
  const inSmallDisk = (script: string): string[] => [
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    `mkdir disk && mount -t tmpfs -o size=1700k tmpfs disk && cd disk && ${script}`,
  ];
  const canMount =
    !NO_SHELL &&
    spawnSync("unshare", inSmallDisk("true"), { cwd: mkdtempSync(join(TEMPORARY, "m-")), stdio: "ignore" })
      .status === 0;

  test("one line, the former save and the model are whole", {
    skip: !canMount && "needs unshare and tmpfs",
  }, async () => {
    const folder = place();
    // Each save takes some 650 kB: the third does not fit.
    const script = `
      "$NODE" "$BIN" finetune ../text.txt --model_name "$MICRO" --seed 5 --steps 9 --sample_every 0 --save_every 3 --max_checkpoints 0 --print_every 1 > log 2> err
      echo "code $?"; cat err >&2; ls checkpoint/run1; cat checkpoint/run1/counter
      "$NODE" "$BIN" generate "The king" --run_name run1 --seed 1 --length 5
      rm -r checkpoint/run1/step-3
      "$NODE" "$BIN" finetune ../text.txt --steps 1 --sample_every 0 2> err; cat err >&2`;
    const env = { NODE: process.execPath, BIN, MICRO, HOME: folder };
    const { stdout, stderr } = await start("unshare", inSmallDisk(script), { cwd: folder, env }).ended;
    assert.match(
      stderr,
      /^gpt2: step 9 could not be saved: cannot write [^\n]+: the disk is full; the save of step 6 is intact$/m,
    );
    assert.match(stdout, /^code 1\n/);
    assert.match(stdout, /\nstep-3\nstep-6\nvocab\.bpe\n6\nThe king/);
    assert.match(stdout, /\n\[7 \| /, "it goes on from the former save when there is room again");
    assert.match(stderr, /step 7 is saved in/);
  });

  test("a folder that cannot be written: one line before anything is computed", async () => {
    const folder = place();
    writeFileSync(join(folder, "checkpoint"), "a file");
    const outcome = await gpt2(training("--steps", "1"), { cwd: folder });
    assertFails(outcome, 1, /cannot create .*checkpoint.*run1/);
  });
});

describe("what cannot be", { concurrency: 2 }, () => {
  const cwd = place();
  writeText(cwd, "empty.txt", "");
  writeText(cwd, "blank.txt", " \n\n");
  writeText(cwd, "tiny.txt", "a");
  writeFileSync(
    join(cwd, "binary.txt"),
    Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) & 255)),
  );
  writeText(cwd, "rows.csv", "id,text\n1,a king\n");
  mkdirSync(join(cwd, "folder"));
  const model = micro("--steps", "1", "--sample_every", "0");
  const cases: [number, RegExp, ...string[]][] = [
    [1, /no-such\.txt/, "no-such.txt", ...model],
    [1, /empty\.txt/, "empty.txt", ...model],
    [1, /blank\.txt/, "blank.txt", ...model],
    [1, /binary\.txt/, "binary.txt", ...model],
    [1, /folder/, "folder", ...model],
    [1, /\*\.md/, "*.md", ...model],
    [2, /column/, "text.txt", "--column", "text", ...model],
    [2, /"?nope"?/, "rows.csv", "--column", "nope", ...model],
    [2, /missing required argument/, ...model],
    [2, /--steps must be a whole number from 1, or -1/, "text.txt", "--steps", "0"],
    [2, /--steps must be/, "text.txt", "--steps", "-2"],
    [2, /--batch_size/, "text.txt", "--batch_size", "0"],
    [2, /--learning_rate must be a number above 0/, "text.txt", "--learning_rate", "0"],
    [2, /--optimizer must be one of adam, sgd/, "text.txt", "--optimizer", "lion"],
    [2, /--validation must be a percentage such as 5%/, "text.txt", "--validation", "5"],
    [2, /--validation must be/, "text.txt", "--validation", "100%"],
    [2, /--save_every/, "text.txt", "--save_every", "0"],
    [
      2,
      /--context_length must be at most the model's context, 64, not 65/,
      "text.txt",
      "--context_length",
      "65",
      ...model,
    ],
    [2, /--n_layer needs --from_scratch/, "text.txt", "--n_layer", "2", ...model],
    [2, /--n_vocab needs --from_scratch/, "text.txt", "--n_vocab", "300", ...model],
    [
      2,
      /--n_embd must be a multiple of --n_head: 130 is not a multiple of 4/,
      "text.txt",
      "--from_scratch",
      "--n_embd",
      "130",
    ],
    [2, /--n_vocab/, "text.txt", "--from_scratch", "--n_vocab", "256"],
    [2, /--n_vocab or --model_name, not both/, "text.txt", "--from_scratch", "--n_vocab", "300", ...micro()],
    [2, /--from_scratch or --restore_from PATH/, "text.txt", "--from_scratch", "--restore_from", "x"],
    [1, /--restore_from x is neither latest, nor fresh/, "text.txt", "--restore_from", "x"],
    [2, /--run_name must be the name of a folder/, "text.txt", "--run_name", "../x", ...model],
    [1, /the model 345M is not on this machine: .*gpt2 download 345M/, "text.txt", "--model_name", "345M"],
    [2, /unknown model "nobody"/, "text.txt", "--model_name", "nobody"],
  ];
  for (const [i, [code, pattern, ...args]] of cases.entries()) {
    test(args.join(" ").replaceAll(MICRO, "MICRO"), async () => {
      const checkpoint_dir = `runs${i}`; // cases run side by side
      assertFails(
        await gpt2(["finetune", ...args, "--checkpoint_dir", checkpoint_dir], { cwd }),
        code,
        pattern,
      );
      assert.ok(!existsSync(join(cwd, checkpoint_dir)), "nothing stays of a run that did not begin");
    });
  }

  test("runs that are not there, and two models at once", async () => {
    const generate = ["generate", "a", "--length", "1"];
    const none = await gpt2([...generate, "--run_name", "run7"], { cwd });
    assertFails(none, 1, /there is no run run7 in checkpoint: gpt2 finetune trains one/);
    const both = await gpt2([...generate, "--run_name", "run1", ...micro()], { cwd });
    assertFails(both, 2, /--model_name or --run_name, not both/);
    const outside = await gpt2([...generate, "--run_name", "../run1"], { cwd });
    assertFails(outside, 2, /--run_name must be the name of a folder/);
    const folder = place();
    assertDone(await gpt2(training("--steps", "1", "--run_name", "mine"), { cwd: folder }));
    const other = await gpt2([...generate, "--run_name", "yours"], { cwd: folder });
    assertFails(other, 1, /there is no run yours in checkpoint: there are mine/);
    const again = await gpt2(training("--steps", "1", "--run_name", "mine", "--restore_from", "fresh"), {
      cwd: folder,
    });
    assertFails(again, 1, /already holds a run.*--overwrite/);
    const hyphens = training(
      "--steps",
      "1",
      "--run-name=mine",
      "--restore-from",
      "fresh",
      "--overwrite",
      "--recompute",
      "--no_recompute",
    );
    assertDone(await gpt2(hyphens, { cwd: folder }));
    assert.match(
      readFileSync(join(runOf(folder, "mine"), "step-1", "run.json"), "utf8"),
      /"recompute": false/,
    );
  });
});

// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's language
const TOKEN = /\x1b\[\??([\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+/g;

/** What a terminal shows in the end: rows without trailing blanks. */
function screen(raw: string): string[] {
  const rows = [""];
  let column = 0;
  for (const [token, count, command] of raw.matchAll(TOKEN)) {
    const row = rows.at(-1)!;
    if (token === "\r") column = 0;
    else if (token === "\n") rows.push("");
    else if (command === "G") column = Number(count || 1) - 1;
    else if (command === "K")
      rows[rows.length - 1] = count === "" || count === "0" ? row.slice(0, column) : "";
    else if (command === undefined) {
      rows[rows.length - 1] = row.padEnd(column).slice(0, column) + token + row.slice(column + token.length);
      column += token.length;
    } else assert.ok("hl".includes(command), `unexpected ${JSON.stringify(token)}`);
  }
  return rows.map((row) => row.trimEnd());
}

describe("on a terminal", { concurrency: 2, skip: NO_TERMINAL }, () => {
  test("a bar with speed and time left stands below the log and leaves no trace", async () => {
    const folder = place(someText().repeat(10));
    const terminal = new Terminal(
      [
        "finetune",
        "text.txt",
        ...micro(
          "--seed",
          "5",
          "--steps",
          "200",
          "--save_every",
          "100",
          "--accumulate_gradients",
          "1",
          "--sample_every",
          "0",
        ),
      ],
      { cwd: folder },
    );
    await terminal.shows(/write with it/);
    const { code, stdout } = await terminal.ends();
    assert.equal(code, 0, stdout);
    assert.match(stdout, /step \d+ {2}[█░]{24} \d+% {2}\d+ tokens\/s {2}\d+s left/);
    const rows = screen(terminal.raw);
    assert.doesNotMatch(rows.join("\n"), /█|░|tokens\/s|saving|measuring/);
    const log = rows.filter((row) => row.includes("loss="));
    assert.equal(log.length, 20);
    for (const row of log)
      assert.match(row, /^\[\d+0 \| \d+\.\d\d\] loss=\d\.\d\d avg=\d\.\d\d( val=\d\.\d\d)?$/);
    assert.equal(rows.filter((row) => row.includes("loss by step:")).length, 2, "a curve at each save");
    assert.ok(
      terminal.raw.lastIndexOf("\x1b[?25h") > terminal.raw.lastIndexOf("\x1b[?25l"),
      "the cursor is back",
    );
  });

  test("Ctrl-C: says that it stops, saves, 130", async () => {
    const folder = place();
    const terminal = new Terminal(["finetune", "text.txt", ...micro("--sample_every", "0")], { cwd: folder });
    await terminal.shows(/\[30 \|/);
    terminal.type(CTRL_C);
    const { code, stdout } = await terminal.ends();
    assert.equal(code, 130);
    const rows = screen(terminal.raw).join("\n");
    assert.match(rows, /(?:\n|\^C)saving and stopping after this batch \(Ctrl-C again quits at once\)\n/);
    assert.match(
      rows,
      /\nstopped: step \d+ is saved in \S+run1\ncontinue with: gpt2 finetune text\.txt --sample_every 0\n/,
    );
    assert.match(stdout, /\r\n$/);
    assert.ok(Number(counterOf(folder)) >= 30);
    assert.ok(
      terminal.raw.lastIndexOf("\x1b[?25h") > terminal.raw.lastIndexOf("\x1b[?25l"),
      "the cursor is back",
    );
  });
});
