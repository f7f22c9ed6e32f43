/**
 * GPT-2s with the settings of public models, made small, beside what test/fixtures/huggingface/make_settings.py says of
 * them: imported from safetensors, run, written again by export and imported once more.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseConfig } from "../../../dist/src/formats/huggingface/config.js";
import { huggingFaceName, huggingFaceShape } from "../../../dist/src/formats/huggingface/names.js";
import type { Hparams } from "../../../dist/src/model/hparams.js";
import { parameterShapes } from "../../../dist/src/model/parameters.js";
import { exportModel } from "../../../dist/src/models/export.js";
import { loadFolder } from "../../../dist/src/models/folder.js";
import { importModel } from "../../../dist/src/models/import.js";
import { difference } from "../../support/conformance.js";
import { joinSafetensors, type Parts } from "../../support/safetensors.js";
import { randomParameters } from "../../support/wasm-reference.js";

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

/** A folder as a hub has it: config.json, weights that are random numbers, and a tokenizer of 400 tokens. */
function makeFolder(config: Settings["config"], hparams: Hparams, seed: number): string {
  const folder = fresh();
  mkdirSync(folder);
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  for (const name of ["vocab.json", "merges.txt"]) cpSync(join(FIXTURES, "f32", name), join(folder, name));
  const parameters = randomParameters(hparams, seed);
  const header: Parts["header"] = {};
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const [name, shape] of parameterShapes(hparams)) {
    const values = parameters.get(name) as Float32Array;
    const bare = huggingFaceName(name);
    header[bare.startsWith("lm_head") ? bare : `transformer.${bare}`] = {
      dtype: "F32",
      shape: [...huggingFaceShape(shape)],
      data_offsets: [end, end + values.byteLength],
    };
    end += values.byteLength;
    parts.push(new Uint8Array(values.buffer));
  }
  writeFileSync(join(folder, "model.safetensors"), joinSafetensors(header, Buffer.concat(parts)));
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
    const folder = makeFolder(config, hparams, seed);
    const imported = fresh();
    await importModel(folder, imported, { dtype: "float32" });
    const logits = await logitsOf(imported);
    const found = difference(logits, wanted);
    assert.ok(found < TOLERANCE, `${found}`);

    const exported = fresh();
    await exportModel(imported, exported, { format: "huggingface" });
    const again = fresh();
    await importModel(exported, again, { dtype: "float32" });
    for (const file of ["hparams.json", "group1-shard1of1.bin"])
      assert.ok(readFileSync(join(again, file)).equals(readFileSync(join(imported, file))), file);
  });
}
