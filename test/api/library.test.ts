import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import * as library from "../../dist/src/index.js";
import {
  type GenerateOptions,
  generate,
  generateSamples,
  loadModel,
  logits,
  type Model,
  type Sample,
  type SamplesOptions,
  score,
  UserError,
} from "../../dist/src/index.js";
import { assertDone, gpt2, MICRO, micro, parseLines, ROOT, start, TEMPORARY } from "../support/spawn.js";

let model: Model;
before(async () => {
  model = await loadModel(MICRO);
});
after(() => model.dispose());

async function textOf(
  prompt: string | readonly number[],
  options: GenerateOptions,
  of = model,
): Promise<string> {
  let text = "";
  for await (const piece of generate(of, prompt, options)) text += piece;
  return text;
}

async function samplesOf(prompt: string, options: SamplesOptions, of = model): Promise<Sample[]> {
  const samples: Sample[] = [];
  for await (const each of generateSamples(of, prompt, options)) samples.push(each);
  return samples;
}

/** A project that has gpt2 among its dependencies. */
async function project(): Promise<string> {
  const folder = join(TEMPORARY, "project");
  await mkdir(join(folder, "node_modules", "@types"), { recursive: true });
  await symlink(ROOT, join(folder, "node_modules", "gpt2"), "junction").catch(() => {});
  const types = join(ROOT, "node_modules", "@types", "node");
  await symlink(types, join(folder, "node_modules", "@types", "node"), "junction").catch(() => {});
  await writeFile(join(folder, "package.json"), '{"type":"module"}');
  return folder;
}

describe("what the library promises", () => {
  test("the exported names", async () => {
    assert.deepEqual(Object.keys(library).sort(), [
      "Conversation",
      "UserError",
      "attention",
      "generate",
      "generateSamples",
      "loadModel",
      "logits",
      "score",
    ]);
    const source = await readFile(join(ROOT, "src", "index.ts"), "utf8");
    const lists = [...source.matchAll(/^export (type )?\{([^}]*)\}/gm)];
    const types = lists.flatMap(([, isType, names]) =>
      names.split(",").flatMap((name) => {
        const [, prefix, bare] = /^\s*(type )?(\w+)\s*$/.exec(name) ?? [];
        return bare && (isType || prefix) ? [bare] : [];
      }),
    );
    assert.deepEqual(types.sort(), [
      "Attention",
      "Encoder",
      "FinishReason",
      "GenerateOptions",
      "Hparams",
      "LikelyToken",
      "LoadOptions",
      "Model",
      "Sample",
      "SamplesOptions",
      "ScoreOptions",
      "TextScore",
      "TokenLogprob",
    ]);
  });

  test("the example of its description runs, and prints what the command line prints", async () => {
    const source = await readFile(join(ROOT, "src", "index.ts"), "utf8");
    const [, block] = /```js\n([\s\S]*?)```/.exec(source) ?? [];
    assert.ok(block);
    const folder = await project();
    await writeFile(join(folder, "example.js"), block.replace(/^ \* ?/gm, ""));
    const outcome = await start(process.execPath, ["example.js"], { cwd: folder }).ended;
    assertDone(outcome);
    assert.equal(outcome.stderr, "");
    const options = ["--model_name", "stories", "--seed", "1", "--top_k", "40", "--length", "40"];
    const prompt = "Once upon a time";
    assert.equal(`${prompt}${outcome.stdout}\n`, (await gpt2(["generate", prompt, ...options])).stdout);
  });

  test("its types: a program that uses everything compiles, wrong ones do not", async () => {
    const folder = await project();
    const program = `
import {
  type Encoder, type FinishReason, type GenerateOptions, generate, generateSamples, type Hparams, type LoadOptions,
  loadModel, logits, type Model, type Sample, type SamplesOptions, type ScoreOptions, score, type TextScore, UserError,
} from "gpt2";
const load: LoadOptions = { models_dir: "models", backend: "wasm", precision: "int8", threads: 2, onNotice: console.log };
const model: Model = await loadModel("117M", load);
const { n_ctx }: Hparams = model.hparams;
const encoder: Encoder = model.encoder;
const ids: number[] = encoder.encode("a");
const options: GenerateOptions = { seed: 1, temperature: 0.7, stop: "x", length: n_ctx, signal: AbortSignal.timeout(9) };
for await (const piece of generate(model, ids, options)) piece.toUpperCase();
const many: SamplesOptions = { ...options, nsamples: 3, batch_size: 2, stop: ["a", "b"] };
for await (const { sample, text, finish_reason } of generateSamples(model, "a", many)) {
  const reason: FinishReason = finish_reason;
  console.log(sample.toFixed(), text.length, reason);
}
const found: Sample | undefined = (await generateSamples(model, "").next()).value ?? undefined;
const how: ScoreOptions = { stride: 8 };
const { perplexity, logprobs }: TextScore = await score(model, "a", how);
const [first]: Float32Array = await logits(model, [1, 2]);
const error: Error = new UserError("x");
console.log(found, perplexity, logprobs, first, error, model.backend, model.path, encoder.decode(ids));
// @ts-expect-error: no such option
generate(model, "a", { topK: 40 });
// @ts-expect-error: not a number
generate(model, "a", { seed: "1" });
// @ts-expect-error: an engine is no part of the promise
model.engine;
await model.dispose();
`;
    await writeFile(join(folder, "program.ts"), program);
    const compilerOptions = {
      ...{ module: "NodeNext", target: "ES2022", strict: true, noEmit: true, types: ["node"] },
      ...{ skipLibCheck: false, noUnusedLocals: true },
    };
    await writeFile(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["program.ts"] }),
    );
    const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
    const { stdout, status } = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
    assert.equal(stdout, "");
    assert.equal(status, 0);
  });

  test("importing it loads neither the command line nor its packages", async () => {
    const seen = new Set<string>();
    const outside = new Set<string>();
    const follow = async (file: string): Promise<void> => {
      if (seen.has(file)) return;
      seen.add(file);
      const code = await readFile(file, "utf8");
      for (const [, name] of code.matchAll(/^(?:import|export) (?:.* from )?"([^"]+)"/gm)) {
        if (name.startsWith(".")) await follow(resolve(dirname(file), name));
        else outside.add(name);
      }
    };
    await follow(join(ROOT, "dist", "src", "index.js"));
    assert.ok(seen.size > 20);
    assert.deepEqual(
      [...seen].filter((file) => file.includes(`${join("src", "cli")}`)),
      [],
    );
    for (const name of ["commander", "cli-progress", "undici"]) assert.ok(!outside.has(name), name);
  });

  test("package.json: import, types, package.json itself; nothing deeper", async () => {
    const folder = await project();
    const script = `
      const { generate } = await import("gpt2");
      const { createRequire } = await import("node:module");
      console.log(typeof generate, createRequire(import.meta.url)("gpt2/package.json").name);
      await import("gpt2/dist/src/sampling/sample.js").catch((error) => console.log(error.code));`;
    await writeFile(join(folder, "deep.js"), script);
    const outcome = await start(process.execPath, ["deep.js"], { cwd: folder }).ended;
    assert.equal(outcome.stdout, "function gpt2\nERR_PACKAGE_PATH_NOT_EXPORTED\n");
  });
});

describe("generate", () => {
  const CASES: readonly (readonly [string, GenerateOptions, readonly string[]])[] = [
    ["a", { seed: 1, length: 20 }, []],
    ["Speak, speak", { seed: 7, length: 30, top_k: 5 }, ["--top_k", "5"]],
    [
      "Speak",
      { seed: 7, length: 30, top_p: 0.5, temperature: 1.5 },
      ["--top_p", "0.5", "--temperature", "1.5"],
    ],
    ["Speak", { seed: 0, length: 10, temperature: 0 }, ["--temperature", "0"]],
    ["a b", { seed: 3, length: 100 }, []], // beyond the context of 64
    [
      "of",
      { seed: 5, length: 60, ignore_eos: true, stop: ["e", "o"] },
      ["--ignore_eos", "--stop", "e", "--stop", "o"],
    ],
    ["of", { seed: 5 }, []], // until the context is full
    ["Speak", { seed: 4, length: 20, min_p: 0.3 }, ["--min_p", "0.3"]],
    ["Speak", { seed: 4, length: 20, repetition_penalty: 1.5 }, ["--repetition_penalty", "1.5"]],
    [
      "Speak",
      { seed: 4, length: 20, presence_penalty: 1.5, frequency_penalty: -0.5 },
      ["--presence_penalty", "1.5", "--frequency_penalty", "-0.5"],
    ],
    [
      "Speak",
      {
        seed: 4,
        length: 20,
        logit_bias: new Map([
          [70, 20],
          [71, -Infinity],
        ]),
      },
      ["--logit_bias", "70=20", "--logit_bias", "71=-inf"],
    ],
  ];

  test("writes what the command line writes with the same options and seed", async () => {
    for (const [prompt, options, args] of CASES) {
      const shared = [
        "--seed",
        `${options.seed}`,
        ...(options.length ? ["--length", `${options.length}`] : []),
      ];
      const outcome = await gpt2(["generate", prompt, ...micro(...shared, ...args)]);
      assertDone(outcome);
      assert.equal(`${prompt}${await textOf(prompt, options)}\n`, outcome.stdout, args.join(" "));
    }
  });

  test("a prompt may be ids; none of them begins from nothing; undefined means the default", async () => {
    const options = { seed: 2, length: 12 };
    const text = await textOf("Speak, speak", options);
    assert.equal(await textOf(model.encoder.encode("Speak, speak"), options), text);
    assert.equal(await textOf("Speak, speak", { ...options, top_k: undefined, stop: undefined }), text);
    const [line] = parseLines(
      (
        await gpt2([
          "unconditional",
          ...micro("--seed", "2", "--length", "12", "--nsamples", "1", "--format", "jsonl"),
        ])
      ).stdout,
    );
    assert.equal(await textOf("", options), line.text);
    assert.equal(await textOf([], options), line.text);
  });

  test("comes piece by piece; leaving early and beginning again is no trouble", async () => {
    const pieces: string[] = [];
    for await (const piece of generate(model, "a", { seed: 1, length: 20 })) {
      pieces.push(piece);
      if (pieces.length === 5) break;
    }
    const text = await textOf("a", { seed: 1, length: 20 });
    assert.ok(text.startsWith(pieces.join("")) && text.length > pieces.join("").length);
    assert.ok(pieces.every((piece) => piece !== ""));
  });

  test("several at once on one model write what each writes alone", async () => {
    const options = [1, 2, 3].map((seed) => ({ seed, length: 40, ignore_eos: true }));
    const alone: string[] = [];
    for (const each of options) alone.push(await textOf("Speak", each));
    const lone = await score(model, "Speak, speak");
    const [together, scored] = await Promise.all([
      Promise.all(options.map((each) => textOf("Speak", each))),
      score(model, "Speak, speak"),
    ]);
    assert.deepEqual(together, alone);
    assert.deepEqual(scored, lone);
    assert.equal(new Set(alone).size, 3);
  });

  test("an abort throws the signal's reason, at once, before and during", async () => {
    const reason = new Error("enough");
    await assert.rejects(textOf("a", { signal: AbortSignal.abort(reason) }), reason);
    const controller = new AbortController();
    const endless = { length: 1e9, ignore_eos: true, signal: controller.signal };
    const writing = (async () => {
      for await (const _ of generate(model, "a", endless)) controller.abort(reason);
    })();
    await assert.rejects(writing, reason);
    await assert.rejects(samplesOf("a", endless), reason);
    assert.ok((await textOf("a", { seed: 1, length: 4 })).length > 0, "the model is still good");
  });

  test("a prompt longer than the context: its newest part, and the notice says so", async () => {
    const notices: string[] = [];
    const long = "Speak, speak. ".repeat(40);
    await textOf(long, { length: 1, onNotice: (line) => notices.push(line) });
    assert.equal(notices.length, 1);
    assert.match(
      notices[0],
      /^the prompt's \d+ tokens are more than the context's 64: only the newest 32 are read$/,
    );
  });

  test("wrong options are named, misspelt ones too", async () => {
    const wrong: readonly (readonly [object, RegExp])[] = [
      [{ temperature: -1 }, /^temperature must be a number from 0, not -1$/],
      [{ temperature: Number.NaN }, /^temperature/],
      [{ top_k: 1.5 }, /^top_k/],
      [{ top_p: 0 }, /^top_p must be a number above 0, up to 1, not 0: 1 turns it off$/],
      [{ length: 0 }, /^length/],
      [{ seed: "1" }, /^seed must be a whole number from 0 to 9007199254740991, not 1$/],
      [{ stop: ["a", ""] }, /^stop/],
      [{ ignore_eos: 1 }, /^ignore_eos/],
      [{ signal: {} }, /^signal/],
      [{ min_p: 2 }, /^min_p must be a number from 0 to 1, not 2$/],
      [
        { repetition_penalty: 0 },
        /^repetition_penalty must be a number from 0.01 to 100, not 0: 1 turns it off$/,
      ],
      [{ logit_bias: { 1: 2 } }, /^logit_bias must be a Map/],
      [{ logit_bias: new Map([[1, Number.NaN]]) }, /^logit_bias must be a Map/],
      [{ logit_bias: new Map([[400, 1]]) }, /^logit_bias: the model has no token 400/],
      [
        { logit_bias: new Map(Array.from({ length: 400 }, (_, id) => [id, Number.NEGATIVE_INFINITY])) },
        /^logit_bias must leave/,
      ],
      [{ numberOf: () => 1 }, /^unknown option "numberOf"/],
      [{ topK: 40 }, /^unknown option "topK": the options are .*top_k/],
      [{ nsamples: 2 }, /^unknown option "nsamples"/],
      [{ logprobs: 2 }, /^unknown option "logprobs"/],
      [{ constructor: 1 }, /^unknown option "constructor"/],
    ];
    for (const [options, message] of wrong) {
      await assert.rejects(textOf("a", options), { name: "RangeError", message }, JSON.stringify(options));
    }
    await assert.rejects(samplesOf("a", { nsamples: 0 }), { name: "RangeError", message: /^nsamples/ });
    await assert.rejects(samplesOf("a", { batch_size: 1025 }), {
      name: "RangeError",
      message: /^batch_size/,
    });
    await assert.rejects(textOf([400], { length: 1 }), { name: "RangeError", message: /400/ });
    await assert.rejects(textOf("a", {}, {} as Model), { name: "TypeError", message: /not a model/ });
  });
});

describe("generateSamples", () => {
  test("gives the objects of --format jsonl, in order, whatever batch_size is", async () => {
    const args = micro("--seed", "9", "--length", "30", "--nsamples", "7", "--format", "jsonl");
    const outcome = await gpt2(["generate", "Speak", ...args]);
    const wanted = parseLines(outcome.stdout);
    for (const batch_size of [1, 3, 8]) {
      assert.deepEqual(await samplesOf("Speak", { seed: 9, length: 30, nsamples: 7, batch_size }), wanted);
    }
    assert.equal(new Set(wanted.map(({ text }) => text)).size, 7);
  });

  test("Infinity goes on until one leaves; without a seed each call has another, and says it", async () => {
    const seen: number[] = [];
    for await (const { sample } of generateSamples(model, "a", {
      nsamples: Number.POSITIVE_INFINITY,
      length: 2,
    })) {
      seen.push(sample);
      if (sample === 5) break;
    }
    assert.deepEqual(seen, [1, 2, 3, 4, 5]);
    const [[first], [second]] = [await samplesOf("a", { length: 20 }), await samplesOf("a", { length: 20 })];
    assert.notEqual(first.seed, second.seed);
    assert.deepEqual((await samplesOf("a", { length: 20, seed: first.seed }))[0], first);
  });
});

describe("score and logits", () => {
  test("logprobs and top: the same fields, the command line's, and a sample's tokens as its text scores", async () => {
    const options = { seed: 3, length: 25, nsamples: 3, batch_size: 2, top_k: 12, logprobs: 4 };
    const args = ["--seed", "3", "--length", "25", "--nsamples", "3", "--top_k", "12", "--logprobs", "4"];
    const outcome = await gpt2(["unconditional", ...micro(...args, "--format", "jsonl")]);
    assertDone(outcome);
    const samples = await samplesOf("", options);
    assert.deepEqual(parseLines(outcome.stdout), samples);
    assert.ok(!("token_logprobs" in (await samplesOf("", { ...options, logprobs: undefined }))[0]));
    let compared = 0;
    for (const { text, tokens, token_logprobs = [] } of samples) {
      assert.equal(token_logprobs.length, tokens);
      const bytes = token_logprobs.flatMap((token) => token.bytes);
      assert.equal(Buffer.from(bytes).toString(), text);
      // Where the text is cut into the same tokens, they are as likely as when they were drawn.
      const scored = await score(model, text, { top: 4 });
      const same = scored.ids.findIndex((id, i) => id !== token_logprobs[i]?.id);
      const n = same < 0 ? scored.ids.length : same;
      compared += n;
      assert.deepEqual(scored.token_logprobs?.slice(0, n), token_logprobs.slice(0, n));
      assert.deepEqual(scored.logprobs, (await score(model, text)).logprobs);
    }
    assert.ok(compared > 5, `${compared} tokens`);
    const [{ text }] = samples;
    const shown = await gpt2(["score", ...micro("--format", "jsonl", "--top", "2")], { stdin: text });
    assertDone(shown);
    assert.deepEqual(JSON.parse(shown.stdout), await score(model, text, { top: 2 }));
    const lines = (await gpt2(["score", ...micro("--top", "2")], { stdin: text })).stdout.split("\n");
    const [first] = (await score(model, text, { top: 2 })).token_logprobs ?? [];
    const top = first.top.map((each) => `${JSON.stringify(each.text)} ${each.logprob.toFixed(4)}`);
    assert.equal(lines[0].split(/ {2}rank /)[1], `${first.rank}: ${top.join(", ")}`);
    await assert.rejects(
      score(model, "a", { top: 101 }),
      /^RangeError: top must be a whole number from 0 to 100/,
    );
  });

  test("score is what gpt2 score --format jsonl says", async () => {
    for (const text of ["Speak, speak", "First Citizen:\n".repeat(30)]) {
      const { stdout } = await gpt2(["score", ...micro("--format", "jsonl")], { stdin: text });
      assert.deepEqual(await score(model, text), JSON.parse(stdout));
    }
    const strided = await score(model, "a b ".repeat(60), { stride: 16 });
    assert.notEqual(strided.total, (await score(model, "a b ".repeat(60))).total);
    await assert.rejects(score(model, ""), UserError);
    await assert.rejects(score(model, "a", { stride: 65 }), /stride must be at most 64, not 65/);
    await assert.rejects(score(model, "a", { stride: 0 }), /^RangeError: stride/);
  });

  test("logits are the reference's, each call's its own", async () => {
    const { sequences } = JSON.parse(await readFile(join(MICRO, "expected.json"), "utf8")) as {
      sequences: { ids: number[]; last_logits_first_16: number[] }[];
    };
    assert.ok(sequences.length > 3);
    const all = await Promise.all(sequences.map(({ ids }) => logits(model, ids)));
    for (const [i, { last_logits_first_16 }] of sequences.entries()) {
      assert.equal(all[i].length, model.hparams.n_vocab);
      for (const [j, logit] of last_logits_first_16.entries()) {
        assert.ok(Math.abs(all[i][j] - logit) < 1e-4, `${i}, ${j}: ${all[i][j]}, not ${logit}`);
      }
    }
    await assert.rejects(logits(model, []), RangeError);
    await assert.rejects(logits(model, [1.5]), RangeError);
  });
});

describe("loadModel", () => {
  test("finds names and paths as the command line does; says what is missing", async () => {
    const demo = await loadModel("shakespeare", { threads: 1, precision: "int8" });
    assert.match(demo.backend, /^(native|wasm)$/);
    assert.deepEqual(
      [demo.precision, demo.path, demo.hparams.n_ctx],
      ["int8", join(ROOT, "models", "shakespeare"), 256],
    );
    await demo.dispose();
    const fails = (name: string, pattern: RegExp): Promise<void> =>
      assert.rejects(loadModel(name, { models_dir: TEMPORARY }), (error: unknown) => {
        assert.ok(error instanceof UserError);
        assert.match(error.message, pattern);
        return true;
      });
    await fails("117M", /^the model 117M is not on this machine: fetch it with `gpt2 download 117M`/);
    await fails("nothing", /^unknown model "nothing"/);
    await fails("./nothing", /nothing is not a model folder/);
  });

  test("dispose: twice is once; what follows, and what is being written, fails clearly", async () => {
    const own = await loadModel(MICRO);
    const pieces = generate(own, "a", { length: 1e9, ignore_eos: true });
    await pieces.next();
    const rest = (async () => {
      for await (const _ of pieces);
    })();
    const failed = assert.rejects(rest, { name: "RangeError", message: "the model has been disposed of" });
    await Promise.all([own.dispose(), own.dispose()]);
    await failed;
    await own.dispose();
    for (const work of [textOf("a", {}, own), score(own, "a"), logits(own, [1])]) {
      await assert.rejects(work, { name: "RangeError", message: "the model has been disposed of" });
    }
  });

  test("a program that disposes of its model ends by itself", async () => {
    const script = `
      const { generate, loadModel } = await import(process.argv[1]);
      const model = await loadModel(process.argv[2]);
      for await (const piece of generate(model, "a", { length: 1e9 })) break;
      await model.dispose();`;
    const index = pathToFileURL(join(ROOT, "dist", "src", "index.js")).href;
    const args = ["--input-type=module", "-e", script, index, MICRO];
    assertDone(await start(process.execPath, args, { limit: 20 }).ended);
  });
});
