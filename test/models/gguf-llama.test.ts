/**
 * llama.cpp itself reads what `gpt2 export --format gguf` writes. It is no dependency of this package:
 *
 *     npm install --no-save --ignore-scripts node-llama-cpp
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { messageOf } from "../../dist/src/system/errors.js";
import { assertDone, gpt2, TEMPORARY } from "../support/spawn.js";

/** As much of node-llama-cpp as is used here. */
interface LlamaModel {
  tokenize(text: string, special: boolean): number[];
  detokenize(tokens: readonly number[]): string;
  isEogToken(token: number): boolean;
  createContext(options: object): Promise<{
    getSequence(): { evaluate(tokens: readonly number[], options: object): AsyncIterable<number> };
  }>;
  dispose(): Promise<void>;
}
interface Llama {
  loadModel(options: object): Promise<LlamaModel>;
  dispose(): Promise<void>;
}
interface Module {
  getLlama(options: object): Promise<Llama>;
}

const PACKAGE = "node-llama-cpp"; // a name that the compiler does not look for
const llama = await import(PACKAGE)
  .then((module: Module) =>
    module.getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error" }),
  )
  .catch((error: unknown) => messageOf(error));
const skip = typeof llama === "string" && `llama.cpp cannot be tested here: ${llama}`;
after(async () => {
  if (typeof llama !== "string") await llama.dispose();
});

const PROMPTS = ["Once upon a time", "The king", "  Naïve \u{1f600}\n\nHe said: \"I'll", "x"];
const LENGTH = 40;

/** What llama.cpp goes on with when it always takes the likeliest token. */
async function likeliest(model: LlamaModel, prompt: string): Promise<string> {
  const context = await model.createContext({ contextSize: 256, threads: 1, flashAttention: false });
  const tokens: number[] = [];
  const options = { temperature: 0, yieldEogToken: true };
  for await (const token of context.getSequence().evaluate(model.tokenize(prompt, false), options)) {
    if (model.isEogToken(token)) break;
    tokens.push(token);
    if (tokens.length === LENGTH) break;
  }
  return model.detokenize(tokens);
}

for (const name of ["stories", "shakespeare"]) {
  test(`${name}: llama.cpp splits texts and chooses tokens as this program does`, { skip }, async () => {
    const ids = await Promise.all(PROMPTS.map((prompt) => gpt2(["tokenize", prompt, "--model_name", name])));
    const ours: string[] = [];
    for (const prompt of PROMPTS) {
      const options = ["--model_name", name, "--top_k", "1", "--seed", "1", "--length", `${LENGTH}`];
      const outcome = await gpt2(["generate", prompt, ...options, "--format", "jsonl"]);
      assertDone(outcome);
      ours.push((JSON.parse(outcome.stdout) as { text: string }).text);
    }
    for (const dtype of ["float32", "float16"]) {
      const out = join(TEMPORARY, `${name}-${dtype}.gguf`);
      assertDone(await gpt2(["export", name, "--format", "gguf", "--dtype", dtype, "--out", out]));
      const model = await (llama as Llama).loadModel({ modelPath: out, gpuLayers: 0 });
      for (const [i, prompt] of PROMPTS.entries()) {
        assert.equal(model.tokenize(prompt, false).join(" "), ids[i]?.stdout.trim(), prompt);
        assert.equal(await likeliest(model, prompt), ours[i], `${dtype}: ${prompt}`);
      }
      await model.dispose();
    }
  });
}
