// Folders of Hugging Face's GPT-2 with random weights.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseConfig } from "../../dist/src/formats/huggingface/config.js";
import { HEAD, huggingFaceName, huggingFaceShape } from "../../dist/src/formats/huggingface/names.js";
import type { Hparams } from "../../dist/src/model/hparams.js";
import { parameterShapes } from "../../dist/src/model/parameters.js";
import { joinSafetensors, type Parts } from "./safetensors.js";
import type { Tensors } from "./torch.js";
import { randomParameters } from "./wasm-reference.js";

/** The weights, which are random numbers, under Hugging Face's names. */
export function randomWeights(hparams: Hparams, seed: number): Tensors {
  const parameters = randomParameters(hparams, seed);
  return new Map(
    [...parameterShapes(hparams)].map(([name, shape]) => {
      const bare = huggingFaceName(name);
      const values = parameters.get(name) as Float32Array;
      return [
        bare === HEAD ? bare : `transformer.${bare}`,
        { shape: [...huggingFaceShape(shape)], values },
      ] as const;
    }),
  );
}

/** The bytes of a model.safetensors. */
export function asSafetensors(weights: Tensors): Buffer {
  const header: Parts["header"] = {};
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const [name, { shape, values }] of weights) {
    header[name] = { dtype: "F32", shape: [...shape], data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
    parts.push(new Uint8Array(values.buffer));
  }
  return joinSafetensors(header, Buffer.concat(parts));
}

/** PyTorch's files of a model whose output matrix is the embedding have that twice, in one storage. */
export function withHead(weights: Tensors): Tensors {
  const wte = weights.get("transformer.wte.weight");
  return new Map([[HEAD, wte], ...weights] as [string, NonNullable<typeof wte>][]);
}

/**
 * Writes a folder as a hub has it: config.json, model.safetensors and other files.
 * @param config of config.json
 * @param files texts of the tokenizer's files, by their names
 */
export function writeModel(
  folder: string,
  config: Readonly<Record<string, unknown>>,
  files: Readonly<Record<string, string>>,
): void {
  mkdirSync(folder, { recursive: true });
  const json = JSON.stringify({ model_type: "gpt2", ...config });
  const { hparams } = parseConfig(json, "config.json");
  writeFileSync(join(folder, "config.json"), json);
  writeFileSync(join(folder, "model.safetensors"), asSafetensors(randomWeights(hparams, 5)));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
}
