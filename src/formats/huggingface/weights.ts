import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { architectureOf, type Hparams } from "../../model/hparams.js";
import { LM_HEAD, parameterShapes, showShape } from "../../model/parameters.js";
import type { WeightSource } from "../../model/weight-source.js";
import { quote, UserError } from "../../system/errors.js";
import { openTorchFile } from "../pytorch/torch-file.js";
import { firstRows, type StoredTensor, type StoredTensors, storedTensors } from "../stored-tensors.js";
import { readJson } from "./json.js";
import { HEAD, huggingFaceName, huggingFaceShape, isMask, isOtherHead, PREFIXES } from "./names.js";
import { openSafetensors } from "./safetensors.js";

/** A tensor, and the file that has it. */
interface Found extends StoredTensor {
  readonly file: string;
}

/** The weights of a folder, under OpenAI's names. */
export interface OpenedWeights {
  /** With tie_word_embeddings as the weights have it. */
  readonly hparams: Hparams;
  readonly source: WeightSource;
  readonly notices: readonly string[];
}

/**
 * Opens the weights of a Hugging Face GPT-2: safetensors or PyTorch's files, one or several, with or without a head.
 * @param hparams as config.json has them
 * @param n_vocab so many rows of the embedding are read, at most hparams.n_vocab
 * @throws UserError when a tensor is missing, has another shape, or is no part of a GPT-2
 */
export async function openHuggingFaceWeights(
  folder: string,
  hparams: Hparams,
  n_vocab: number,
): Promise<OpenedWeights> {
  const { path, files } = await openFiles(folder);
  const found = new Map<string, Found>();
  for (const file of files) {
    for (const [stored, tensor] of file.tensors) {
      const name = stored.replace(PREFIXES, "");
      if (found.has(name)) throw new UserError(`${file.path} has the tensor ${show(name)} twice`);
      found.set(name, { ...tensor, file: file.path });
    }
  }
  const tensors = new Map<string, Found>();
  // Before a list of names is made: a config.json may speak of millions of layers.
  if (found.size < 12 * hparams.n_layer) {
    throw new UserError(
      `${path} has ${found.size} tensors, too few for the ${hparams.n_layer} layers of config.json`,
    );
  }
  const heads: string[] = [];
  const isTied = await checkHead(found, hparams, path, heads);
  const own = { ...hparams, tie_word_embeddings: isTied };
  const names = [...parameterShapes(own)].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, shape] of names) {
    const theirs = huggingFaceName(name);
    const tensor = found.get(theirs);
    if (!tensor)
      throw new UserError(`${path} has no tensor ${theirs}: it is not of the model of config.json`);
    const wanted = huggingFaceShape(shape);
    if (tensor.shape.length !== wanted.length || tensor.shape.some((n, axis) => n !== wanted[axis])) {
      throw new UserError(
        `${tensor.file}: ${theirs} has the shape ${showShape(tensor.shape)} where config.json describes ${showShape(wanted)}`,
      );
    }
    found.delete(theirs);
    const isTokens = name === "model/wte" || name === LM_HEAD;
    tensors.set(name, isTokens ? firstRows(tensor, n_vocab) : reshaped(tensor, shape));
  }
  const notices = [...heads, ...leftOut(found, path)];
  return { hparams: own, source: storedTensors(path, tensors), notices };
}

/**
 * Whether the embedding is the output matrix, too: where config.json says so, and where a matrix of its own is not
 * there or the same.
 * @param found a head that is none of its own is taken out @param notices is told what is missing
 * @throws UserError when config.json and the weights contradict each other
 */
async function checkHead(
  found: Map<string, Found>,
  hparams: Hparams,
  path: string,
  notices: string[],
): Promise<boolean> {
  const { tie_word_embeddings } = architectureOf(hparams);
  const [head, wte] = [found.get(HEAD), found.get("wte.weight")];
  if (!head || !wte) {
    if (!tie_word_embeddings) notices.push(`it has no ${HEAD}: wte.weight is the output matrix, too`);
    return true;
  }
  const isSame = `${head.shape}` === `${wte.shape}` && (await areEqual(head, wte));
  if (!isSame && tie_word_embeddings) {
    throw new UserError(`${path}: ${HEAD} differs from wte.weight, and tie_word_embeddings is true`, {
      next: "if the model has an output matrix of its own, set tie_word_embeddings to false in config.json",
    });
  }
  if (isSame) found.delete(HEAD);
  return isSame;
}

/** What is stored beside the parameters: masks, and heads that are left out. @returns a line on these */
function leftOut(rest: ReadonlyMap<string, Found>, path: string): string[] {
  const heads = [...rest.keys()].filter((name) => !isMask(name));
  const other = heads.find((name) => !isOtherHead(name));
  if (other !== undefined)
    throw new UserError(`${path}: ${show(other)} is no parameter of a GPT-2`, {
      next: "this model cannot be imported",
    });
  return heads.length > 0 ? [`left out, as text needs none of it: ${heads.map(show).join(", ")}`] : [];
}

/** The tensor with OpenAI's shape: linear layers have an axis of length 1 before theirs. */
function reshaped(tensor: Found, shape: readonly number[]): Found {
  const strides = tensor.strides && [
    ...Array<number>(shape.length - tensor.shape.length).fill(0),
    ...tensor.strides,
  ];
  return { ...tensor, shape, ...(strides && { strides }) };
}

/** Whether two tensors have the same values; PyTorch's files mostly have one place for both. */
async function areEqual(a: StoredTensor, b: StoredTensor): Promise<boolean> {
  const isSame = isDeepStrictEqual([a.ranges, a.strides, a.type], [b.ranges, b.strides, b.type]);
  return isSame || (await digest(a)) === (await digest(b));
}

/** What tells one matrix from another, whatever the type it is stored in: the hash of its values as float32. */
async function digest(tensor: StoredTensor): Promise<string> {
  const hash = createHash("sha256");
  await storedTensors("", new Map([["", tensor]])).scan("", (values) =>
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  );
  return hash.digest("hex");
}

/** A way in which a model's tensors are stored: in one file, or in shards with or without a list of them. */
interface Form {
  readonly single: string;
  readonly index: string;
  readonly shard: RegExp;
  /** Plain names that a list may give: it may come from anywhere. */
  readonly named: RegExp;
  readonly open: (path: string) => Promise<StoredTensors>;
}

/** safetensors before PyTorch's own files: a folder that has both has the same in both. */
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

/** The folder's files of tensors; `path` is what messages name. */
async function openFiles(folder: string): Promise<{ path: string; files: StoredTensors[] }> {
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

/** Shards as a list names them. */
async function openIndex(
  folder: string,
  { index, named, open }: Form,
): Promise<{ path: string; files: StoredTensors[] }> {
  const path = join(folder, index);
  const map = ((await readJson(path)) as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null) {
    throw new UserError(`${path} has no weight_map`, { next: "fetch the model again" });
  }
  const shards = new Map<string, StoredTensors>();
  for (const [tensor, name] of Object.entries(map)) {
    if (typeof name !== "string" || !named.test(name)) {
      throw new UserError(`${path}: ${quote(name)} is not the name of a file beside it`);
    }
    const shard = shards.get(name) ?? (await open(join(folder, name)));
    shards.set(name, shard);
    if (!shard.tensors.has(tensor)) {
      throw new UserError(`${shard.path} has no tensor ${show(tensor)}, which ${index} names`);
    }
  }
  return { path, files: [...shards.values()] };
}

/** Shards without a list of them: their names say how many there are. */
async function openShards(
  folder: string,
  names: readonly string[],
  shard: RegExp,
  open: Form["open"],
): Promise<{ path: string; files: StoredTensors[] }> {
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

/** The line for a folder without weights that can be read: what is there instead, and the next step. */
function missing(folder: string, names: readonly string[]): UserError {
  const other = names.find((name) => /\.(pt|pth|ckpt|h5|msgpack|onnx)$/.test(name));
  const found = other === undefined ? "" : ` (${other} cannot be read here)`;
  return new UserError(
    `${folder} has a config.json and neither model.safetensors nor pytorch_model.bin${found}`,
    { next: "fetch one of them, too" },
  );
}

function show(name: string): string {
  return quote(name).slice(1, -1);
}
