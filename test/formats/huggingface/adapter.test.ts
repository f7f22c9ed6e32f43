/** PEFT adapters beside their base: LoRA is merged; what is more than LoRA, or of another model, is refused by name. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openModel } from "../../../dist/src/models/folder.js";
import { importModel } from "../../../dist/src/models/import.js";
import { joinSafetensors, type Parts } from "../../support/safetensors.js";
import { readAll } from "../../support/training-reference.js";
import { generator } from "../../support/wasm-reference.js";

const BASE = join(import.meta.dirname, "../../../test/fixtures/huggingface/f32");
const CONFIG = { peft_type: "LORA", r: 2, lora_alpha: 6, bias: "none", fan_in_fan_out: true };
const N_EMBD = 32;
/** As PEFT names them; [n_in, n_out] */
const MATRICES: readonly (readonly [string, string, number, number])[] = [
  ["h.0.attn.c_attn", "model/h0/attn/c_attn/w", N_EMBD, 3 * N_EMBD],
  ["h.2.attn.c_proj", "model/h2/attn/c_proj/w", N_EMBD, N_EMBD],
  ["h.1.mlp.c_fc", "model/h1/mlp/c_fc/w", N_EMBD, 4 * N_EMBD],
  ["h.1.mlp.c_proj", "model/h1/mlp/c_proj/w", 4 * N_EMBD, N_EMBD],
];

const scratch = mkdtempSync(join(tmpdir(), "gpt2-adapter-"));
after(() => rmSync(scratch, { recursive: true }));
let count = 0;
const fresh = (): string => join(scratch, `${count++}`);

/** An adapter's file, and its matrices by name. */
function makeAdapter(rank: number): { file: Buffer; matrices: Map<string, Float32Array> } {
  const random = generator(5);
  const matrices = new Map<string, Float32Array>();
  const header: Parts["header"] = {};
  let end = 0;
  for (const [name, , n_in, n_out] of MATRICES) {
    for (const [part, shape] of [
      ["A", [rank, n_in]],
      ["B", [n_out, rank]],
    ] as const) {
      const values = Float32Array.from({ length: shape[0] * shape[1] }, random);
      const key = `base_model.model.transformer.${name}.lora_${part}.weight`;
      header[key] = { dtype: "F32", shape: [...shape], data_offsets: [end, end + values.byteLength] };
      end += values.byteLength;
      matrices.set(`${name}.${part}`, values);
    }
  }
  const data = Buffer.concat([...matrices.values()].map((values) => new Uint8Array(values.buffer)));
  return { file: joinSafetensors(header, data), matrices };
}

function folderWith(config: object, file: Uint8Array, base = BASE): string {
  const folder = fresh();
  if (base) cpSync(base, folder, { recursive: true });
  else mkdirSync(folder);
  writeFileSync(join(folder, "adapter_config.json"), JSON.stringify(config));
  writeFileSync(join(folder, "adapter_model.safetensors"), file);
  return folder;
}

async function imported(folder: string): Promise<Map<string, Float32Array>> {
  const target = fresh();
  await importModel(folder, target, { dtype: "float32" });
  const source = await openModel(target);
  const tensors = await readAll(source);
  await source.close();
  return tensors;
}

for (const [what, config, scale] of [
  ["alpha / r", CONFIG, 3],
  ["alpha / sqrt(r)", { ...CONFIG, use_rslora: true }, 6 / Math.sqrt(2)],
] as const) {
  test(`LoRA is merged: w + scale a b, scale = ${what}`, async () => {
    const { file, matrices } = makeAdapter(2);
    const [plain, merged] = [await imported(BASE), await imported(folderWith(config, file))];
    for (const [name, key, n_in, n_out] of MATRICES) {
      const [a, b] = ["A", "B"].map((part) => matrices.get(`${name}.${part}`) as Float32Array);
      const [w, found] = [plain, merged].map((tensors) => tensors.get(key) as Float32Array);
      for (let i = 0; i < n_in; i++)
        for (let o = 0; o < n_out; o++) {
          const at = i * n_out + o;
          const wanted = w[at] + scale * (a[i] * b[o * 2] + a[n_in + i] * b[o * 2 + 1]);
          assert.ok(Math.abs(found[at] - wanted) < 1e-6, `${key} ${i} ${o}: ${found[at]}, ${wanted}`);
        }
    }
    for (const [key, values] of plain)
      if (!MATRICES.some(([, changed]) => changed === key)) assert.deepEqual(merged.get(key), values, key);
  });
}

test("what is not LoRA of these layers is refused by name", async () => {
  const { file } = makeAdapter(2);
  const other = joinSafetensors({
    "base_model.model.score.weight": { dtype: "F32", shape: [0], data_offsets: [0, 0] },
  });
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      folderWith({ ...CONFIG, peft_type: "PREFIX_TUNING" }, file),
      /adapter_config\.json: peft_type is "PREFIX_TUNING"/,
    ],
    [folderWith({ ...CONFIG, use_dora: true }, file), /use_dora is true: merge it with PEFT/],
    [folderWith({ ...CONFIG, modules_to_save: ["lm_head"] }, file), /modules_to_save is \["lm_head"\]/],
    [folderWith({ ...CONFIG, bias: "all" }, file), /bias is "all"/],
    [
      folderWith({ ...CONFIG, r: 3 }, file),
      /h0\/attn\/c_attn\/w has LoRA of \[2, 32\] and \[96, 2\], which does not match/,
    ],
    [folderWith(CONFIG, other), /"base_model\.model\.score\.weight" is not LoRA for a linear layer/],
    [folderWith(CONFIG, file, ""), /a PEFT adapter without its base: put config\.json/],
  ];
  for (const [folder, message] of cases)
    await assert.rejects(importModel(folder, fresh(), { dtype: "float32" }), { message });
});
