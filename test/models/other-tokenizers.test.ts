/** Models whose tokenizer is not byte-level BPE, from import to export, as a user runs the program. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { loadFolder } from "../../dist/src/models/folder.js";
import { writeModel } from "../support/huggingface.js";
import { assertDone, assertFails, gpt2, ROOT, TEMPORARY } from "../support/spawn.js";

const FIXTURES = join(ROOT, "test/fixtures/tokenizers");
const SIZES = { n_positions: 48, n_embd: 12, n_layer: 2, n_head: 3 };
const fixture = (name: string): string => readFileSync(join(FIXTURES, name), "utf8");
const BERT = JSON.stringify({ tokenizer_class: "BertTokenizer", do_lower_case: false });

/** A kind of tokenizer: its files, rows of the embedding, options of the architecture, and a prompt as it is read. */
const KINDS: readonly (readonly [string, Readonly<Record<string, string>>, object, string, string])[] = [
  [
    "WordPiece of a vocab.txt",
    { "vocab.txt": fixture("vocab.txt"), "tokenizer_config.json": BERT },
    { vocab_size: fixture("vocab.txt").trimEnd().split("\n").length, tokenizer_class: "BertTokenizer" },
    "the 3 words,  \u4e2d!",
    "the 3",
  ],
  ["Unigram", { "tokenizer.json": fixture("unigram.json") }, { vocab_size: 600 }, "he said so", "he said so"],
  [
    "BPE of characters, an activation, epsilon and output matrix of its own",
    { "tokenizer.json": fixture("character-bpe.json") },
    {
      vocab_size: 700,
      activation_function: "relu",
      layer_norm_epsilon: 1e-3,
      tie_word_embeddings: false,
      eos_token_id: 0,
    },
    "The Sea",
    "the sea",
  ],
];

describe("from import to export", { concurrency: 2 }, () => {
  for (const [i, [kind, files, config, prompt, start]] of KINDS.entries()) {
    test(kind, async () => {
      const cwd = join(TEMPORARY, `other ${i}`);
      const source = join(cwd, "theirs");
      const n_vocab = (config as { vocab_size: number }).vocab_size;
      writeModel(source, { ...SIZES, ...config }, files);
      const run = async (...args: readonly string[]) => {
        const outcome = await gpt2(args, { cwd });
        assertDone(outcome);
        return outcome;
      };
      const dir = ["--models_dir", "models"];
      await run("import", "theirs", ...dir);
      const folder = join(cwd, "models/theirs");
      assert.ok(existsSync(join(folder, "tokenizer.json")) && !existsSync(join(folder, "encoder.json")));
      const { encoder, engine } = await loadFolder(folder);
      await engine.dispose();
      assert.ok(encoder.n_vocab <= n_vocab);

      const model = ["--model_name", "theirs", ...dir];
      const sampling = ["--length", "12", "--seed", "1", "--temperature", "0.9"];
      const { stdout: sample } = await run("generate", prompt, ...sampling, ...model, "--format", "jsonl");
      const { text } = JSON.parse(sample) as { text: string };
      // What is streamed is what the library makes of all ids at once, the prompt's among them.
      const spoken = await run("generate", prompt, ...sampling, ...model);
      assert.ok(spoken.stdout.includes(text.trim()), `${spoken.stdout} ${text}`);
      await run("unconditional", "--nsamples", "1", ...sampling, ...model);
      const asked = await gpt2(["interactive", ...sampling, ...model], {
        cwd,
        stdin: `${prompt}\n${prompt}\n`,
      });
      assertDone(asked);
      assert.equal(asked.stdout.split("SAMPLE 1").length, 3);

      const ids = (await run("tokenize", prompt, ...model)).stdout;
      assert.deepEqual(ids.trim().split(" ").map(Number), [
        ...encoder.special.begin,
        ...encoder.encode(prompt),
      ]);
      assert.ok((await run("tokenize", "--decode", ids, ...model)).stdout.includes(start));
      writeFileSync(join(cwd, "text.txt"), `${prompt} and he said the same thing.\n`.repeat(30));
      const scored = await run("score", "text.txt", ...model);
      assert.match(scored.stdout, /\d+ tokens, total -\d/);
      assert.match((await run("verify", "theirs", ...dir)).stdout, /a tokenizer that may change a text/);

      // Trained further, it keeps its tokenizer and options.
      const training = ["--steps", "2", "--seed", "1", "--sample_every", "1", "--learning_rate", "0.02"];
      await run("finetune", "text.txt", ...training, ...model);
      const trained = join(cwd, "checkpoint/run1");
      for (const name of ["tokenizer.json", "tokens.json", "hparams.json"])
        if (existsSync(join(folder, name)))
          assert.ok(readFileSync(join(trained, name)).equals(readFileSync(join(folder, name))), name);
      await run("generate", prompt, ...sampling, "--run_name", "run1");
      await run("export", "run1", "--format", "huggingface");
      await run("import", "export/run1", "--name", "again", ...dir);
      const own = ["--run_name", "run1"];
      const again = ["--model_name", "again", ...dir];
      const [a, b] = [
        await run("generate", prompt, ...sampling, ...own),
        await run("generate", prompt, ...sampling, ...again),
      ];
      assert.equal(a.stdout, b.stdout);
      assert.notEqual(a.stdout, spoken.stdout);

      for (const format of ["tensorflow", "gguf"]) {
        assertFails(
          await gpt2(["export", "models/theirs", "--format", format, "--out", "no"], { cwd }),
          1,
          /supports only byte-level BPE, and this model has another tokenizer: pass --format huggingface/,
        );
      }
      assert.ok(!readdirSync(cwd).includes("no"));
    });
  }
});
