import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { uniform } from "../../dist/src/random.js";
import { BEAM_OPTIONS, SAMPLING_OPTIONS, type SamplingOption } from "../../dist/src/sampling/options.js";
import {
  assertDone,
  assertFails,
  gpt2,
  micro,
  NO_SHELL,
  type Outcome,
  parseLines,
  startGpt2,
  TEMPORARY,
} from "../support/spawn.js";

const ARGS = ["generate", "Speak", ...micro("--seed", "5", "--length", "12")];

let count = 0;
function fresh(): string {
  const folder = join(TEMPORARY, `resume ${count++} é`);
  mkdirSync(folder);
  return folder;
}
const read = (...path: string[]): string => readFileSync(join(...path), "utf8");

/** The first five samples, as lines of jsonl. */
const ALL = await (async () => {
  const outcome = await gpt2([...ARGS, "--nsamples", "5", "--format", "jsonl"]);
  assertDone(outcome);
  return outcome.stdout;
})();
const LINES = ALL.split(/(?<=\n)/);

const resume = (cwd: string, ...rest: string[]): Promise<Outcome> =>
  gpt2([...ARGS, "--nsamples", "5", "--resume", "x.jsonl", ...rest], { cwd });

suite("--resume", { concurrency: 2 }, () => {
  test("a line that is no sample is set aside, and the good ones behind it stay", async () => {
    const odd = '{"sample":9,"seed":5,"pro{"sample":3}\n';
    const cwd = fresh();
    writeFileSync(join(cwd, "x.jsonl"), [LINES[0], odd, LINES[3], LINES[0], LINES[4], "a note"].join(""));
    const outcome = await resume(cwd);
    assertDone(outcome);
    assert.match(outcome.stderr, /warning: moved lines of .*x\.jsonl that are not samples to .*odd-lines/);
    assert.equal(read(cwd, "x.jsonl"), [LINES[0], LINES[3], LINES[4], LINES[1], LINES[2]].join(""));
    assert.equal(read(cwd, "x.jsonl.odd-lines"), `${odd}${LINES[0]}a note\n`);
    assert.deepEqual(readdirSync(cwd).sort(), ["x.jsonl", "x.jsonl.odd-lines", "x.jsonl.run.json"]);
    const again = await resume(cwd);
    assertDone(again);
    assert.doesNotMatch(again.stderr, /warning/);
  });

  test("an unfinished sample between whole ones is written again, and through a link", {
    skip: NO_SHELL,
  }, async () => {
    const cwd = fresh();
    const begun = LINES[1].replace(/"finish_reason":"\w+"/, '"finish_reason":"interrupted"');
    writeFileSync(join(cwd, "real.jsonl"), LINES[0] + begun + LINES[2]);
    symlinkSync("real.jsonl", join(cwd, "x.jsonl"));
    assertDone(await resume(cwd));
    assert.equal(read(cwd, "real.jsonl"), [0, 2, 1, 3, 4].map((i) => LINES[i]).join(""));
    assert.ok(!existsSync(join(cwd, "x.jsonl.odd-lines")) && !existsSync(join(cwd, "real.jsonl.odd-lines")));
  });

  test("samples of other options or another model are refused by name, and the file stays", async () => {
    const cwd = fresh();
    const both = ["--stop", "z", "--logit_bias", "7=-inf"];
    assertDone(await resume(cwd, ...both));
    const before = read(cwd, "x.jsonl");
    const differing: readonly (readonly [readonly string[], RegExp])[] = [
      [[...both, "--temperature", "0.7"], /temperature was 1, is 0\.7/],
      [[...both, "--top_k", "40", "--top_p", "0.9"], /top_k was 0, is 40; top_p was 1, is 0\.9/],
      [
        [...both, "--min_p", "0.1", "--repetition_penalty", "1.2"],
        /min_p .*repetition_penalty was 1, is 1\.2/,
      ],
      [[...both, "--ignore_eos"], /ignore_eos was not given, is true/],
      [[...both, "--length", "13"], /length was 12, is 13/],
      [[...both, "--truncate", "y"], /stop was \["z"\], is \["y","z"\]/],
      [["--stop", "z"], /logit_bias was \["7=-Infinity"\], is not given/],
      [[...both, "--precision", "int8"], /another model, or .*--precision/],
      [[...both, "--model_name", "shakespeare"], /another model/],
    ];
    for (const [options, pattern] of differing) {
      assertFails(await resume(cwd, "--quiet", ...options), 1, pattern, /choose another file/);
    }
    assertDone(await resume(cwd, ...both, "--batch_size", "3", "--threads", "1", "--nsamples", "6"));
    assert.ok(read(cwd, "x.jsonl").startsWith(before));
  });

  test("a file that nothing tells of is gone on with, and said to be taken on trust", async () => {
    const cwd = fresh();
    writeFileSync(join(cwd, "x.jsonl"), LINES[0]);
    const outcome = await resume(cwd);
    assertDone(outcome);
    assert.match(outcome.stderr, /warning: .*x\.jsonl\.run\.json is missing/);
    assert.equal(read(cwd, "x.jsonl"), ALL);
    assertFails(await resume(cwd, "--top_k", "3"), 1, /top_k was 0, is 3/);
  });

  test("a file of the record's name that is something else is refused and stays", async () => {
    const cwd = fresh();
    for (const text of ["{}", "not json", "null", '{"options":null,"model":"x"}']) {
      writeFileSync(join(cwd, "x.jsonl.run.json"), text);
      assertFails(await resume(cwd), 1, /x\.jsonl\.run\.json is not a record written by --resume/);
      assert.equal(read(cwd, "x.jsonl.run.json"), text);
    }
  });

  test("two processes cannot write one file; when the first has ended, by SIGTERM too, the next goes on", {
    skip: NO_SHELL,
  }, async () => {
    const cwd = fresh();
    const endless = [...ARGS, "--nsamples", "1000000", "--resume", "x.jsonl"];
    for (const signal of ["SIGTERM", "SIGINT", "SIGKILL"] as const) {
      const first = startGpt2(endless, { cwd });
      const lock = join(cwd, ".x.jsonl.lock");
      while (!existsSync(lock)) await sleep(5);
      assertFails(
        await gpt2([...endless, "--quiet"], { cwd }),
        1,
        /another run with --resume x\.jsonl is running in .* \(process \d+ on .*\)/,
      );
      first.child.kill(signal);
      await first.ended;
      assert.equal(existsSync(lock), signal === "SIGKILL", signal);
    }
    const numbers = read(cwd, "x.jsonl")
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line).sample as number);
    assert.equal(new Set(numbers).size, numbers.length);
  });

  test("a lock that another machine has touched just now holds; one of this machine's dead does not", async () => {
    const cwd = fresh();
    const lock = join(cwd, ".x.jsonl.lock");
    writeFileSync(lock, JSON.stringify({ pid: 4, host: "another", token: "x" }));
    assertFails(await resume(cwd), 1, /process 4 on another/);
    writeFileSync(lock, JSON.stringify({ pid: 2 ** 22 + 5, host: hostname(), token: "x" }));
    assertDone(await resume(cwd));
    assert.equal(read(cwd, "x.jsonl"), ALL);
    rmSync(cwd, { recursive: true });
  });
});

/** Whether a model's text depends on an option: each such one must be here, as it is typed, with what it needs. */
const isDeciding = ([, { keepsText }]: [string, SamplingOption]): boolean => !keepsText;
const WAYS: Readonly<Record<string, readonly string[]>> = {
  length: ["9"],
  temperature: ["0.7"],
  top_k: ["5"],
  top_p: ["0.6"],
  min_p: ["0.1"],
  repetition_penalty: ["1.6"],
  presence_penalty: ["1.5"],
  frequency_penalty: ["1.2"],
  penalty_window: ["3", "--repetition_penalty", "1.6"],
  dry_multiplier: ["2"],
  dry_base: ["3", "--dry_multiplier", "2"],
  dry_allowed_length: ["1", "--dry_multiplier", "2"],
  dry_breaker: ["e", "--dry_breaker", "a", "--dry_multiplier", "2"],
  no_repeat_ngram_size: ["1"],
  typical_p: ["0.4"],
  mirostat_tau: ["3"],
  bad_words: ["bad words.txt"],
  logit_bias: ["5=4", "--logit_bias", "6=-inf"],
  stop: ["e", "--stop", "\\n"],
  ignore_eos: [],
  special: ["off"],
  show_special: [],
  num_beams: ["3", "--num_return", "3"],
  length_penalty: ["2", "--num_beams", "3", "--num_return", "3"],
};

describe("--resume with every option that decides a text", { concurrency: 2 }, () => {
  const random = (
    (t) => (below: number) =>
      Math.floor(below * uniform(17, 2, t++))
  )(0);
  /** A folder with the words that are not to be written. */
  function place(): string {
    const cwd = fresh();
    writeFileSync(join(cwd, "bad words.txt"), "e\na\n");
    return cwd;
  }
  const LENGTH = ["--length", "12"];
  const isSearch = (args: readonly string[]): boolean => args.includes("--num_beams");
  const drawn = (args: readonly string[]): string[] =>
    isSearch(args) ? [] : ["--seed", "5", "--nsamples", "3"];

  test("none is missing", () => {
    const names = Object.entries<SamplingOption>({ ...SAMPLING_OPTIONS, ...BEAM_OPTIONS })
      .filter(isDeciding)
      .map(([name]) => name);
    assert.deepEqual(Object.keys(WAYS).sort(), names.sort());
  });

  for (const [name, [value, ...others]] of Object.entries(WAYS)) {
    test(`--${name}: cut anywhere, it goes on to the same bytes; another value is refused`, async () => {
      const cwd = place();
      const way = [`--${name}`, ...(value === undefined ? [] : [value]), ...others];
      const generate = (...options: readonly string[]): Promise<Outcome> =>
        gpt2(["generate", "the the the king", ...micro(...options, "--resume", "x.jsonl")], { cwd });
      const args = [...way, ...drawn(way), ...(name === "length" ? [] : LENGTH)];
      assertDone(await generate(...args));
      const whole = readFileSync(join(cwd, "x.jsonl"));
      assert.equal(parseLines(whole.toString()).length, 3);
      writeFileSync(join(cwd, "x.jsonl"), whole.subarray(0, 1 + random(whole.length - 1)));
      assertDone(await generate(...args));
      assert.deepEqual(readFileSync(join(cwd, "x.jsonl")), whole);
      // Without the option: a search that is none is refused as such.
      const [code, said] = name === "num_beams" ? [2, "num_return goes with"] : [1, `${name} was `];
      const without = [...others, ...drawn(others), ...(name === "length" ? [] : LENGTH)];
      assertFails(await generate(...without, "--quiet"), code as number, new RegExp(said as string));
      assert.deepEqual(readFileSync(join(cwd, "x.jsonl")), whole);
    });
  }

  test("--prompts with a line for each of them", async () => {
    const cwd = place();
    const lines = Object.entries(WAYS).map(([name, [value, ...others]]) => {
      const own: Record<string, unknown> = { [name]: value ?? true };
      for (let i = 0; i < others.length; i += 2) {
        const [key, added] = [others[i].slice(2), others[i + 1]];
        own[key] = key in own ? [own[key], added] : added;
      }
      return { prompt: "the the the king", ...own };
    });
    writeFileSync(join(cwd, "lines.jsonl"), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    const args = ["generate", "--prompts", "lines.jsonl", "--length", "12", "--seed", "5", "--nsamples", "2"];
    const out = [...args, ...micro("--batch_size", "5", "--resume", "x.jsonl")];
    const whole = await gpt2([...args, ...micro("--format", "jsonl")], { cwd });
    assertDone(whole);
    for (let cut = 0; cut < 6; cut++) {
      writeFileSync(
        join(cwd, "x.jsonl"),
        whole.bytes.subarray(0, cut === 0 ? 0 : random(whole.bytes.length)),
      );
      assertDone(await gpt2(out, { cwd }));
      assert.equal(read(cwd, "x.jsonl"), whole.stdout);
    }
  });
});
