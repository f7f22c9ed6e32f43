import { join } from "node:path";
import type { Hparams } from "../../model/hparams.js";
import { showShape } from "../../model/parameters.js";
import type { WeightSource } from "../../model/weight-source.js";
import { quote, UserError } from "../../system/errors.js";
import { openTorchFile } from "../pytorch/torch-file.js";
import { type StoredTensor, storedTensors } from "../stored-tensors.js";
import { readJson } from "./json.js";
import { openSafetensors } from "./safetensors.js";

export const ADAPTER_CONFIG = "adapter_config.json";
const FILES = ["adapter_model.safetensors", "adapter_model.bin"];
const NEXT = "merge it with PEFT (merge_and_unload), and import what that saves";

/** The matrices that LoRA adds to a linear layer: w + scale a b. */
interface LoraPair {
  a?: StoredTensor;
  b?: StoredTensor;
}

/** Whether an option of adapter_config.json is off. */
const isUnused = (value: unknown): boolean =>
  value == null ||
  value === false ||
  (typeof value === "object" && Object.keys(value as object).length === 0);

/** Options that make an adapter compute something other than w + scale a b. */
const OTHER = [
  "use_dora",
  "modules_to_save",
  "rank_pattern",
  "alpha_pattern",
  "layer_replication",
  "lora_bias",
];

/**
 * The base model with PEFT's LoRA adapter from the same folder merged into its linear layers.
 * Source: peft's tuners/lora/layer.py, get_delta_weight and its scaling.
 * @param names the folder's files
 * @returns the base itself if the folder has no adapter
 * @throws UserError when the adapter is of another kind or for another base
 */
export async function withAdapter(
  folder: string,
  names: readonly string[],
  { n_layer }: Hparams,
  base: WeightSource,
): Promise<{ source: WeightSource; notices: readonly string[] }> {
  if (!names.includes(ADAPTER_CONFIG)) return { source: base, notices: [] };
  const path = join(folder, ADAPTER_CONFIG);
  const { scale, r } = scaleOf(await readJson(path), path);
  const name = FILES.find((each) => names.includes(each));
  if (name === undefined) throw new UserError(`${path} has no ${FILES.join(" or ")} next to it`);
  const pairs = await openPairs(join(folder, name), n_layer);
  const read = async (key: string, target: Float32Array): Promise<void> => {
    await base.read(key, target);
    const pair = pairs.get(key);
    if (pair) await add(pair, scale, target);
  };
  for (const [key, { a, b }] of pairs) {
    const [, n_in, n_out] = base.tensors.get(key)?.shape ?? [];
    const fits = `${a?.shape}` === `${[r, n_in]}` && `${b?.shape}` === `${[n_out, r]}`;
    if (!fits) {
      const shapes = [a, b].map((each) => (each ? showShape(each.shape) : "nothing")).join(" and ");
      throw new UserError(
        `${join(folder, name)}: ${key} has LoRA of ${shapes}, which does not match its base`,
      );
    }
  }
  const notices = [`LoRA of ${pairs.size} matrices is merged`];
  const { path: at, tensors } = base;
  return { source: { path: at, tensors, read, close: () => base.close() }, notices };
}

/** LoRA's rank r and its scale, alpha / r or alpha / sqrt(r). @throws UserError for any other adapter */
function scaleOf(json: unknown, path: string): { scale: number; r: number } {
  const config = (typeof json === "object" && json !== null ? json : {}) as Readonly<Record<string, unknown>>;
  const refuse = (what: string): never => {
    throw new UserError(`${path}: ${what}`, { next: NEXT });
  };
  const { peft_type, r, lora_alpha, bias, use_rslora } = config;
  if (peft_type !== "LORA") refuse(`peft_type is ${quote(peft_type ?? null, 60)}, not "LORA"`);
  if (bias != null && bias !== "none") refuse(`bias is ${quote(bias, 60)}`);
  const other = OTHER.find((name) => !isUnused(config[name]));
  if (other !== undefined) refuse(`${other} is ${quote(config[other], 60)}`);
  if (typeof r !== "number" || !Number.isInteger(r) || r < 1 || typeof lora_alpha !== "number")
    return refuse("it has no r and lora_alpha");
  return { r, scale: lora_alpha / (use_rslora === true ? Math.sqrt(r) : r) };
}

/** LoRA's matrices, by the name of the weights they change. */
async function openPairs(path: string, n_layer: number): Promise<Map<string, LoraPair>> {
  const file = await (path.endsWith(".bin") ? openTorchFile(path) : openSafetensors(path));
  const pairs = new Map<string, LoraPair>();
  for (const [name, tensor] of file.tensors) {
    const found =
      /^(?:base_model\.model\.)?(?:transformer\.)?h\.(\d+)\.((?:attn|mlp)\.c_(?:attn|proj|fc))\.lora_([AB])\.(?:default\.)?weight$/.exec(
        name,
      );
    if (!found || Number(found[1]) >= n_layer) {
      const shown = quote(name, 60);
      throw new UserError(`${path}: ${shown} is not LoRA for a linear layer of this model`, { next: NEXT });
    }
    const key = `model/h${Number(found[1])}/${found[2].replace(".", "/")}/w`;
    const pair = pairs.get(key) ?? {};
    pair[found[3] === "A" ? "a" : "b"] = tensor;
    pairs.set(key, pair);
  }
  return pairs;
}

/** target += scale (b a)^T, each value rounded once. target [n_in, n_out], a [r, n_in], b [n_out, r] */
async function add({ a, b }: LoraPair, scale: number, target: Float32Array): Promise<void> {
  const [rank, n_in] = (a as StoredTensor).shape;
  const n_out = target.length / n_in;
  const pair = storedTensors(
    "the adapter",
    new Map([
      ["a", a as StoredTensor],
      ["b", b as StoredTensor],
    ]),
  );
  const [left, right] = [new Float32Array(rank * n_in), new Float32Array(n_out * rank)];
  await pair.read("a", left);
  await pair.read("b", right);
  const row = new Float64Array(n_out);
  for (let i = 0; i < n_in; i++) {
    row.fill(0);
    for (let k = 0; k < rank; k++) {
      const value = left[k * n_in + i] * scale;
      for (let j = 0; j < n_out; j++) row[j] += value * right[j * rank + k];
    }
    for (let j = 0; j < n_out; j++) target[i * n_out + j] += row[j];
  }
}
