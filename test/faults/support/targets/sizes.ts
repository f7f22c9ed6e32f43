import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseConfig } from "../../../../dist/src/formats/huggingface/config.js";
import { openHuggingFace } from "../../../../dist/src/formats/huggingface/open.js";
import { checkParameters } from "../../../../dist/src/model/parameters.js";
import { loadHparams, loadVocabulary, openModel } from "../../../../dist/src/models/folder.js";
import { MICRO } from "../../../support/models.js";
import { changeBytes } from "../bytes.js";
import { hostilePaths, JsonMutator } from "../json.js";
import { checkSource, type Files, filesIn, type Target } from "../target.js";

/** hparams.json of a model folder. */
export function hparamsTarget(): Target {
  const NAME = "hparams.json";
  const base = filesIn(
    "test/fixtures/micro",
    /^(hparams\.json|checkpoint|encoder\.json|vocab\.bpe|model\.ckpt\.(index|data-.*))$/,
  );
  const text = readFileSync(join(MICRO.folder, NAME));
  const mutator = new JsonMutator(text.toString());
  return {
    bases: [base],
    mutate: (draw) => new Map([[NAME, draw.once(4) ? changeBytes(text, draw) : mutator.mutate(draw)]]),
    run: async (folder, files) => {
      const hparams = await loadHparams(folder);
      const sizes = Object.values(hparams);
      assert.ok(
        sizes.length === 5 && sizes.every((n) => Number.isSafeInteger(n) && n > 0),
        JSON.stringify(hparams),
      );
      assert.equal(hparams.n_embd % hparams.n_head, 0);
      const source = await openModel(folder);
      await checkSource(source, files, 0);
      checkParameters(hparams, source);
      await loadVocabulary(folder, hparams);
    },
    reached: [
      /is not valid JSON/,
      /holds no hparams/,
      /must be a positive whole number/,
      /is not a multiple of n_head/,
      /parameters where hparams.json describes/,
    ],
  };
}

/** config.json and the list of files of a Hugging Face model. */
export function configTarget(folder: string): Target {
  const wanted = /\.(json|safetensors)$|^merges\.txt$/;
  const base = filesIn("test/fixtures/huggingface/bf16", wanted);
  const LIST = "model.safetensors.index.json";
  const names = [...base.keys()].filter((name) => name.endsWith(".safetensors"));
  const paths = [...hostilePaths(folder, names[0] ?? ""), ...names, "gpt2", "gelu_new"];
  const mutators = new Map(
    ["config.json", LIST].map((name) => [name, new JsonMutator(String(base.get(name)), paths)]),
  );
  return {
    bases: [base],
    mutate: (draw) => {
      const name = draw.pick(["config.json", "config.json", LIST]);
      const mutated = draw.once(6)
        ? changeBytes(base.get(name) as Buffer, draw)
        : mutators.get(name)?.mutate(draw);
      return new Map([[name, mutated as Buffer]]) as Files;
    },
    run: async (model, files) => {
      // All of it takes its time: config.json alone is half of the mutations' concern.
      const config = files.get("config.json") as Buffer;
      if (config !== base.get("config.json") && config.length % 2 === 0) {
        parseConfig(config.toString(), join(model, "config.json"));
        return;
      }
      const { hparams, source } = await openHuggingFace(model);
      await checkSource(source, files, 1);
      checkParameters(hparams, source);
    },
    reached: [
      /is not valid JSON/,
      /describes no model/,
      /only a GPT-2 can be imported/,
      /must be a positive whole number/,
      /is not a multiple of n_head/,
      /has no weight_map/,
      /is not the name of a file beside it/,
      /has no tensor .*, which/,
      /where config.json describes/,
    ],
  };
}
