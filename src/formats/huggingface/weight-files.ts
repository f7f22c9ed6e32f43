import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { FETCH_AGAIN, quote, UserError } from "../../system/errors.js";
import { LLMC_MAGIC, readLlmc } from "../llmc.js";
import { readFormat } from "../open-file.js";
import type { OwnConfig } from "../own-config.js";
import { nanoGptConfig } from "../pytorch/nanogpt.js";
import { openTorchFile } from "../pytorch/torch-file.js";
import { type StoredTensors, storedTensors } from "../stored-tensors.js";
import { readJson } from "./json.js";
import { openSafetensors } from "./safetensors.js";

/** A model's weight files. */
export interface WeightFiles {
  /** Its name in messages. */
  readonly path: string;
  readonly files: readonly StoredTensors[];
  readonly own?: OwnConfig | undefined;
}

/** How a model's tensors are stored: in one file, or in shards with or without an index. */
interface Form {
  readonly single: string;
  readonly index: string;
  readonly shard: RegExp;
  /** The only file names accepted from an index, which may come from anywhere. */
  readonly named: RegExp;
  readonly open: (path: string) => Promise<StoredTensors>;
}

/** safetensors first: a folder that also has PyTorch's files has the same weights in them. */
const FORMS: readonly Form[] = [
  {
    single: "model.safetensors",
    index: "model.safetensors.index.json",
    shard: /^model-(\d{5})-of-(\d{5})\.safetensors$/,
    named: /^[\w.-]{1,200}\.safetensors$/,
    open: openSafetensors,
  },
  {
    single: "pytorch_model.bin",
    index: "pytorch_model.bin.index.json",
    shard: /^pytorch_model-(\d{5})-of-(\d{5})\.bin$/,
    named: /^pytorch_model[\w.-]{0,200}\.bin$/,
    open: openTorchFile,
  },
];

/** Opens a folder's weight files. @throws UserError when there are none, or one is damaged or missing */
export async function openFiles(folder: string): Promise<WeightFiles> {
  const names = await readdir(folder);
  for (const form of FORMS) {
    const { single, index, shard, open } = form;
    const shards = names.filter((name) => shard.test(name)).sort();
    if (names.includes(single))
      return { path: join(folder, single), files: [await open(join(folder, single))] };
    if (names.includes(index)) return openIndex(folder, form);
    if (shards.length > 0) return openShards(folder, shards, shard, open);
  }
  throw missing(folder, names);
}

/** The shards that an index names. */
async function openIndex(folder: string, { index, named, open }: Form): Promise<WeightFiles> {
  const path = join(folder, index);
  const map = ((await readJson(path)) as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null) {
    throw new UserError(`${path} has no weight_map`, { next: FETCH_AGAIN });
  }
  const shards = new Map<string, StoredTensors>();
  for (const [tensor, name] of Object.entries(map)) {
    if (typeof name !== "string" || !named.test(name)) {
      throw new UserError(`${path}: ${quote(name)} is not the name of a file beside it`);
    }
    const shard = shards.get(name) ?? (await open(join(folder, name)));
    shards.set(name, shard);
    if (!shard.tensors.has(tensor)) {
      throw new UserError(`${shard.path} has no tensor ${quote(tensor).slice(1, -1)}, which ${index} names`);
    }
  }
  return { path, files: [...shards.values()] };
}

/** Shards without an index: their names say how many there are. */
async function openShards(
  folder: string,
  names: readonly string[],
  shard: RegExp,
  open: Form["open"],
): Promise<WeightFiles> {
  const [, , total] = shard.exec(names[0]) as RegExpExecArray;
  const missing = Array.from({ length: Math.min(Number(total), 100_000) }, (_, i) =>
    names[0].replace(/\d{5}-of-\d{5}/, `${String(i + 1).padStart(5, "0")}-of-${total}`),
  ).find((name) => !names.includes(name));
  if (missing !== undefined)
    throw new UserError(`${join(folder, missing)} is missing`, { next: "fetch it, too" });
  const files: StoredTensors[] = [];
  for (const name of names) files.push(await open(join(folder, name)));
  return { path: folder, files };
}

/** The error for a folder without weights that can be read. */
function missing(folder: string, names: readonly string[]): UserError {
  const other = names.find((name) => /\.(pt|pth|ckpt|h5|msgpack|onnx)$/.test(name));
  const found = other === undefined ? "" : ` (${other} cannot be read here)`;
  return new UserError(
    `${folder} has a config.json but neither model.safetensors nor pytorch_model.bin${found}`,
    { next: "fetch one of them, too" },
  );
}

/**
 * Opens a weight file, telling its format by its first bytes: safetensors, PyTorch's, nanoGPT's ckpt.pt or llm.c's .bin.
 * @throws UserError when it is missing, damaged or none of these
 */
export async function openFile(path: string): Promise<WeightFiles> {
  const head = await readFormat(path, "a weight file", (file) => file.bytes(0, Math.min(file.size, 9)));
  if (head.length >= 4 && head.readUInt32LE() === LLMC_MAGIC) {
    return readFormat(path, "an llm.c file", async (file) => {
      const { hparams, n_tokens, tensors } = await readLlmc(file);
      const own = { hparams, n_tokens, hasBiases: true, origin: "llm.c", place: "its header", notices: [] };
      return { path, files: [storedTensors(path, tensors)], own };
    });
  }
  // safetensors has its JSON header after 8 bytes of length; archives and pickles have no brace there.
  if (head[8] === 0x7b || path.endsWith(".safetensors"))
    return { path, files: [await openSafetensors(path)] };
  const file = await openTorchFile(path);
  return { path, files: [file], own: nanoGptConfig(file) };
}
