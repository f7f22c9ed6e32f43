import assert from "node:assert/strict";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import {
  Conversation,
  generate,
  generateSamples,
  loadModel,
  type SamplesOptions,
} from "../../dist/src/index.js";
import { assertDone, assertFails, gpt2, MICRO, micro, parseLines, TEMPORARY } from "../support/spawn.js";

const model = await loadModel(MICRO);
after(() => model.dispose());

async function library(prompt: string, options: SamplesOptions) {
  const samples = [];
  for await (const sample of generateSamples(model, prompt, options)) samples.push(sample);
  return samples;
}

const BEAMS = ["--num_beams", "4", "--length", "12"];
const OPTIONS = { num_beams: 4, length: 12 };
const run = (...args: string[]) => gpt2(["generate", ...micro(...args)]);

describe("beam search", { concurrency: 2 }, () => {
  test("the best text is printed; jsonl has each text's score, as the library", async () => {
    const best = await run("the king", ...BEAMS);
    assertDone(best);
    assert.doesNotMatch(best.stderr, /seed/);
    const several = await run(
      "the king",
      ...BEAMS,
      "--num_return",
      "3",
      "--format",
      "jsonl",
      "--logprobs",
      "2",
    );
    assertDone(several);
    const samples = await library("the king", { ...OPTIONS, num_return: 3, logprobs: 2 });
    assert.deepEqual(parseLines(several.stdout), samples);
    assert.equal(best.stdout, `the king${samples[0].text}\n`);
    assert.ok(samples.every(({ score, seed }) => score !== undefined && score < 0 && seed === undefined));
    let text = "";
    for await (const piece of generate(model, "the king", OPTIONS)) text += piece;
    assert.equal(text, samples[0].text);
  });

  test("options that shape a draw are refused, each by a line that says what to do", async () => {
    const refused: [string[], RegExp][] = [
      [["--seed", "1"], /: --num_beams draws nothing at random: drop --seed$/m],
      [["--temperature", "0"], /: --num_beams draws nothing at random: leave --temperature at 1$/m],
      [["--mirostat_tau", "5"], /leave --mirostat_tau at 0$/m],
      [["--nsamples", "2"], /: --num_beams takes no --nsamples: pass --num_return for more texts$/m],
      [["--num_return", "5"], /: --num_return 5 is more than --num_beams 4: /m],
      [["--nfiles", "2"], /: --num_beams has no --nfiles: /m],
      [["--shard", "1/2"], /: --num_beams with --shard needs --prompts: /m],
    ];
    for (const [args, line] of refused) {
      const outcome = await run("of", ...BEAMS, ...args);
      assertFails(outcome, 2, line);
    }
    assertFails(
      await run("of", "--num_return", "2"),
      2,
      /: --num_return goes with a beam search: pass --num_beams, 2 or more$/m,
    );
    assertFails(await run("of", "--num_beams", "2", "--length", "64"), 1, /pass --length 63 or less$/m);
    await assert.rejects(library("of", { num_beams: 2, top_k: 40 }), {
      name: "RangeError",
      message: "num_beams draws nothing at random: leave top_k at 0",
    });
    const said = new Conversation(model).say("of", { num_beams: 2 } as object);
    await assert.rejects(said.next(), /unknown option "num_beams"/);
  });

  test("--prompts: each prompt's texts, whatever the batch; --resume adds the missing ones", async () => {
    const prompts = ["of", "the king", "far", "And then the", "a"];
    const file = join(TEMPORARY, "prompts.txt");
    writeFileSync(file, `${prompts.join("\n")}\n`);
    const args = ["--prompts", file, ...BEAMS, "--num_return", "2", "--batch_size", "3"];
    const out = join(TEMPORARY, "beams.jsonl");
    assertDone(await run(...args, "--resume", out));
    const wanted = [];
    for (const [i, prompt] of prompts.entries()) {
      for (const { sample, ...rest } of await library(prompt, { ...OPTIONS, num_return: 2 }))
        wanted.push({ sample, prompt_number: i + 1, ...rest });
    }
    const whole = readFileSync(out, "utf8");
    assert.deepEqual(parseLines(whole), wanted);
    const lines = whole.trimEnd().split("\n");
    writeFileSync(out, `${[0, 3, 4, 5].map((i) => lines[i]).join("\n")}\n`);
    assertDone(await run(...args, "--resume", out));
    assert.deepEqual(readFileSync(out, "utf8").trimEnd().split("\n").sort(), lines.toSorted());
    const other = await run(...args, "--length_penalty", "2", "--resume", out);
    assertFails(other, 1, /length_penalty was 1, is 2/);
  });

  test("--prompts: a line's own options make it a search, or a draw; each is as it would be alone", async () => {
    const file = join(TEMPORARY, "own beams.jsonl");
    const lines: readonly (SamplesOptions & { readonly prompt: string })[] = [
      { prompt: "of" },
      { prompt: "the king", num_beams: 3, num_return: 2, length_penalty: 2 },
      { prompt: "far", num_beams: 2 },
      { prompt: "a", temperature: 0.5, seed: 8 },
      { prompt: "of", num_beams: 1 },
      { prompt: "And then the", num_beams: 4, num_return: 3, length: 5 },
    ];
    writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    /** What each gets with a run's options for draws and those for searches. */
    async function alone(draws: SamplesOptions, searches: SamplesOptions): Promise<object[]> {
      const all: object[] = [];
      for (const [i, { prompt, ...own }] of lines.entries()) {
        const isSearch = own.temperature === undefined && { ...searches, ...own }.num_beams! > 1;
        const options = { length: 12, ...(isSearch ? searches : draws), ...own };
        for (const { sample, ...rest } of await library(prompt, options))
          all.push({ sample, prompt_number: i + 1, ...rest });
      }
      return all;
    }
    const args = ["--prompts", file, "--length", "12", "--batch_size", "2"];
    const drawing = [...args, "--seed", "3", "--nsamples", "2", "--top_p", "0.9"];
    const out = join(TEMPORARY, "own beams.out.jsonl");
    assertDone(await run(...drawing, "--format", "jsonl", "--out", out));
    const whole = readFileSync(out, "utf8");
    assert.deepEqual(parseLines(whole), await alone({ seed: 3, nsamples: 2, top_p: 0.9 }, { num_beams: 1 }));
    const places = [...whole.matchAll(/^{"sample":(\d+),"prompt_number":(\d+)/gm)];
    const text = await run(...drawing);
    const heads = [...text.stdout.matchAll(/^=+ PROMPT (\d+) SAMPLE (\d+) =+$/gm)];
    assert.deepEqual(
      heads.map(([, prompt, sample]) => [sample, prompt]),
      places.map(([, sample, prompt]) => [sample, prompt]),
    );

    const resumed = join(TEMPORARY, "own beams.resumed.jsonl");
    for (const cut of [0, ...[2, 3, 6].map((n) => whole.indexOf(`"prompt_number":${n}`))]) {
      if (cut > 0) truncateSync(resumed, cut);
      assertDone(await run(...drawing, "--resume", resumed));
      assert.equal(readFileSync(resumed, "utf8"), whole, `cut at ${cut}`);
    }

    const searching = await run(...args, "--num_beams", "2", "--format", "jsonl");
    assertDone(searching);
    const [, seed] = /^seed (\d+) /m.exec(searching.stderr) ?? [];
    const wanted = await alone({ seed: Number(seed) }, { num_beams: 2 });
    assert.deepEqual(parseLines(searching.stdout), wanted);
  });

  test("--prompts: own options that contradict each other are refused with their line", async () => {
    const refused = async (line: object, said: RegExp): Promise<void> => {
      const file = join(TEMPORARY, "contradiction.jsonl");
      writeFileSync(file, `{"prompt":"a"}\n${JSON.stringify({ prompt: "of", ...line })}\n`);
      assertFails(await run("--prompts", file, "--length", "3"), 2, said);
    };
    await refused({ num_return: 2 }, /contradiction\.jsonl:2: --num_return goes with a beam search/);
    await refused({ num_beams: 2, num_return: 3 }, /jsonl:2: --num_return 3 is more than --num_beams 2/);
    await refused(
      { num_beams: 2, top_k: 3 },
      /jsonl:2: --num_beams draws nothing at random: leave --top_k at 0/,
    );
    await refused({ num_beams: 0 }, /jsonl:2: --num_beams must be a whole number from 1/);
  });
});
