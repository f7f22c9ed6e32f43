import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
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
});
