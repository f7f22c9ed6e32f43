/**
 * GPT-2s with the settings of public models, made small, beside what test/fixtures/huggingface/make_settings.py says of
 * them: imported from safetensors and both forms of PyTorch's files, run, written again by export and imported once more.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseConfig } from "../../../dist/src/formats/huggingface/config.js";
import { exportModel } from "../../../dist/src/models/export.js";
import { loadFolder } from "../../../dist/src/models/folder.js";
import { importModel } from "../../../dist/src/models/import.js";
import { difference } from "../../support/conformance.js";
import { asSafetensors, randomWeights, withHead } from "../../support/huggingface.js";
import { legacyTorchFile, zipTorchFile } from "../../support/torch.js";

const FIXTURES = join(import.meta.dirname, "../../../test/fixtures/huggingface");
const IDS = [5, 399, 17, 200, 201, 42, 42, 7, 311, 0, 128, 64]; // as in make_settings.py
/** float32 against float64, relative to the largest logit. */
const TOLERANCE = 2e-5;

interface Settings {
  readonly source: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly logits?: readonly number[];
  /** What the line says of a model that is not taken. */
  readonly refused?: string;
}

const scratch = mkdtempSync(join(tmpdir(), "gpt2-settings-"));
after(() => rmSync(scratch, { recursive: true }));
let count = 0;
const fresh = (): string => join(scratch, `${count++}`);

/** A folder as a hub has it: config.json, weights, and a tokenizer of 400 tokens. */
function makeFolder(config: Settings["config"], name: string, weights: Buffer): string {
  const folder = fresh();
  mkdirSync(folder);
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  for (const file of ["vocab.json", "merges.txt"]) cpSync(join(FIXTURES, "f32", file), join(folder, file));
  writeFileSync(join(folder, name), weights);
  return folder;
}

/** Every eighth logit of the last position. */
async function logitsOf(folder: string): Promise<number[]> {
  const { engine, hparams } = await loadFolder(folder, { threads: 1 });
  assert.equal(hparams.n_vocab, 400);
  const [logits] = await engine.forward([{ sequence: engine.createSequence(), ids: IDS }]);
  const found = Array.from(logits);
  await engine.dispose();
  return found.filter((_, i) => i % 8 === 0);
}

const all = JSON.parse(readFileSync(join(FIXTURES, "settings.json"), "utf8")) as Settings[];
for (const [seed, { source, config, logits: wanted, refused }] of all.entries()) {
  const [name] = Object.entries(config).filter(([key]) => /^(vocab_size|activation_function)$/.test(key));
  test(`${source}${name ? `, ${name.join(" ")}` : ""}`, async () => {
    if (refused !== undefined || wanted === undefined) {
      const line = new RegExp(`^[^\n]*config\\.json: [^\n]*${refused}[^\n]*$`);
      assert.throws(() => parseConfig(JSON.stringify(config), "config.json"), { message: line });
      return;
    }
    const { hparams } = parseConfig(JSON.stringify(config), "config.json");
    const weights = randomWeights(hparams, seed);
    const import32 = async (folder: string): Promise<string> => {
      const target = fresh();
      await importModel(folder, target, { dtype: "float32" });
      return target;
    };
    const imported = await import32(makeFolder(config, "model.safetensors", asSafetensors(weights)));
    const isSame = (folder: string): void => {
      for (const file of ["hparams.json", "group1-shard1of1.bin"])
        assert.ok(readFileSync(join(folder, file)).equals(readFileSync(join(imported, file))), file);
    };
    const logits = await logitsOf(imported);
    const found = difference(logits, wanted);
    assert.ok(found < TOLERANCE, `${found}`);

    for (const write of [zipTorchFile, legacyTorchFile]) {
      isSame(await import32(makeFolder(config, "pytorch_model.bin", write(withHead(weights)))));
    }
    const exported = fresh();
    await exportModel(imported, exported, { format: "huggingface" });
    isSame(await import32(exported));
  });
}
