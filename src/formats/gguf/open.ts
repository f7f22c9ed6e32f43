import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import type { Hparams } from "../../model/hparams.js";
import { LM_HEAD, parameterShapes, showShape, sizeOf } from "../../model/parameters.js";
import type { TensorInfo, WeightSource } from "../../model/weight-source.js";
import { quote, shorten, UserError } from "../../system/errors.js";
import { exists } from "../../system/files.js";
import type { ForeignModel } from "../foreign-model.js";
import { FETCH_AGAIN, type GgufHead, type GgufTensor, readGgufHead, readRows } from "./gguf-file.js";
import { Metadata } from "./metadata.js";
import { ggufName, ggufShape } from "./names.js";
import { readGgufTokenizer } from "./tokenizer.js";
import { transpose } from "./transpose.js";

/** llama.cpp's name for a shard: its stem, its number and how many there are. */
const SHARD = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;
const WTE = "model/wte";

/**
 * Opens a GGUF file of llama.cpp or ollama, whole or in shards. Tensors are read one by one.
 * @param path the file, or any of its shards
 * @throws UserError when it is missing or damaged, or is not a GPT-2
 */
export async function openGguf(path: string): Promise<ForeignModel> {
  const head = await readShards(path);
  const metadata = new Metadata(head);
  const architecture = metadata.text("general.architecture") ?? "";
  if (architecture !== "gpt2") {
    throw new UserError(
      `${path}: general.architecture is ${quote(architecture, 60)}, and only a GPT-2 ("gpt2") can be imported`,
    );
  }
  const { encoder, encoderJson, vocabBpe, n_unused } = await readGgufTokenizer(metadata, path);
  const tied = await withoutRepeatedHead(head);
  const stored = readHparams(tied, metadata, encoder.n_vocab + n_unused);
  const source = openSource(tied, stored, encoder.n_vocab);
  const notices: string[] = [];
  if (n_unused > 0) notices.push(`the last ${n_unused} tokens are unused: their rows are left out`);
  const hparams = { ...stored, n_vocab: encoder.n_vocab };
  const vocabulary = new Map([
    ["encoder.json", encoderJson],
    ["vocab.bpe", vocabBpe],
  ]);
  return { hparams, source, vocabulary, special: encoder.special, notices, origin: "GGUF" };
}

/** Drops the copy of the embedding that files from before 2025 have as their output matrix. */
async function withoutRepeatedHead(head: GgufHead): Promise<GgufHead> {
  const [output, wte] = [LM_HEAD, WTE].map((name) => head.tensors.get(ggufName(name)));
  if (!output || !wte || !(await isSameMatrix(output, wte))) return head;
  const tensors = new Map(head.tensors);
  tensors.delete(ggufName(LM_HEAD));
  return { ...head, tensors };
}

/** The file's header; for shards, the first one's metadata and the tensors of all. */
async function readShards(path: string): Promise<GgufHead> {
  const one = await readGgufHead(path);
  const count = new Metadata(one).number("split.count") ?? 1;
  if (count <= 1) return one; // 0 after shards were joined
  const [, stem, , total] = SHARD.exec(basename(path)) ?? [];
  if (Number(total) !== count) {
    throw new UserError(`${path} is one of ${count} shards`, {
      next: `rename it to NAME-00001-of-${pad(count)}.gguf, next to the others`,
    });
  }
  const tensors = new Map<string, GgufTensor>();
  let first: GgufHead | undefined;
  for (let i = 1; i <= count; i++) {
    const shard = join(dirname(path), `${stem}-${pad(i)}-of-${total}.gguf`);
    if (!(await exists(shard))) throw new UserError(`${shard} is missing`, { next: "fetch it, too" });
    const head = await readGgufHead(shard);
    first ??= head;
    for (const [name, tensor] of head.tensors) {
      if (tensors.has(name))
        throw new UserError(`${shard} has a tensor of another shard, ${quote(name)}`, { next: FETCH_AGAIN });
      tensors.set(name, tensor);
    }
  }
  return { ...(first as GgufHead), tensors };
}

const pad = (n: number): string => String(n).padStart(5, "0");

/**
 * The hyperparameters that the file states. The activation and the scaling of scores are always GPT-2's.
 * Source: llama.cpp's src/llama-model.cpp, LLM_ARCH_GPT2.
 * @param n_tokens tokens in the file's list, one per row of the embedding
 */
function readHparams({ path, tensors }: GgufHead, metadata: Metadata, n_tokens: number): Hparams {
  const sizes = {
    n_vocab: n_tokens,
    n_ctx: metadata.neededSize("gpt2.context_length"),
    n_embd: metadata.neededSize("gpt2.embedding_length"),
    n_head: metadata.neededSize("gpt2.attention.head_count"),
    n_layer: metadata.neededSize("gpt2.block_count"),
  };
  const { n_embd, n_head } = sizes;
  if (n_embd % n_head !== 0) {
    throw new UserError(
      `${path}: gpt2.embedding_length ${n_embd} is not a multiple of gpt2.attention.head_count ${n_head}`,
      { next: FETCH_AGAIN },
    );
  }
  const heads = metadata.size("gpt2.attention.head_count_kv") ?? n_head;
  if (heads !== n_head) {
    throw new UserError(
      `${path}: gpt2.attention.head_count_kv is ${heads}, not ${n_head} as in every GPT-2: this model cannot be imported`,
    );
  }
  const epsilon = metadata.number("gpt2.attention.layer_norm_epsilon") ?? 1e-5;
  if (!(epsilon >= 1e-30 && epsilon <= 1)) {
    throw new UserError(`${path}: gpt2.attention.layer_norm_epsilon is ${epsilon}`, { next: FETCH_AGAIN });
  }
  return {
    ...sizes,
    n_inner: metadata.size("gpt2.feed_forward_length") ?? 4 * n_embd,
    layer_norm_epsilon: Number(epsilon.toPrecision(7)), // float32's nearest to 1e-5 is meant as 1e-5
    tie_word_embeddings: !tensors.has(ggufName(LM_HEAD)),
  };
}

/** @param n_vocab rows of the embedding and the output matrix to read */
function openSource(head: GgufHead, hparams: Hparams, n_vocab: number): WeightSource {
  const { path } = head;
  const rest = new Map(head.tensors);
  // Checked before names are listed: a damaged file may claim millions of layers.
  if (rest.size < 12 * hparams.n_layer) {
    throw new UserError(`${path} has ${rest.size} tensors, too few for ${hparams.n_layer} layers`, {
      next: FETCH_AGAIN,
    });
  }
  const found = new Map<string, GgufTensor & { readonly read: TensorInfo }>();
  for (const [name, shape] of parameterShapes(hparams)) {
    const theirs = ggufName(name);
    const tensor = rest.get(theirs);
    if (!tensor) throw new UserError(`${path} has no tensor ${theirs}`, { next: FETCH_AGAIN });
    const wanted = ggufShape(shape);
    if (!isSameShape(tensor.shape, wanted)) {
      throw new UserError(
        `${tensor.path}: ${theirs} has the shape ${showShape(tensor.shape)} where its metadata describes ${showShape(wanted)}`,
        { next: FETCH_AGAIN },
      );
    }
    rest.delete(theirs);
    const isOfTokens = name === WTE || name === LM_HEAD;
    const read = { shape: isOfTokens ? [n_vocab, hparams.n_embd] : shape, dtype: tensor.dtype };
    found.set(name, { ...tensor, read });
  }
  const [other] = rest.keys();
  if (other !== undefined) {
    throw new UserError(
      `${path}: ${shorten(other)} is not a parameter of a GPT-2: this model cannot be imported`,
    );
  }
  return {
    path,
    tensors: new Map([...found].map(([name, { read }]) => [name, read])),
    read: async (name, target) => {
      const tensor = found.get(name);
      if (!tensor) throw new RangeError(`no tensor ${name} in ${path}`);
      if (target.length !== sizeOf(tensor.read.shape)) throw new RangeError(`${name} has another size`);
      await readInto(target, tensor, tensor.read.shape);
    },
    close: async () => undefined, // no file stays open between reads
  };
}

/** @param shape OpenAI's: a linear layer is [1, n_in, n_out], and [n_out, n_in] in the file */
async function readInto(target: Float32Array, tensor: GgufTensor, shape: readonly number[]): Promise<void> {
  if (shape.length === 3) {
    const [, n_in, n_out] = shape;
    await readRows(tensor, n_out, (rows, before) =>
      transpose(rows, n_in, target.subarray(before), n_out, rows.length / n_in, n_in),
    );
  } else {
    const width = tensor.shape.at(-1) ?? 1;
    await readRows(tensor, target.length / width, (rows, before) => target.set(rows, before * width));
  }
}

const isSameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, axis) => n === b[axis]);

/** Whether two matrices have the same values, however stored: compares hashes of their float32 values. */
async function isSameMatrix(a: GgufTensor, b: GgufTensor): Promise<boolean> {
  return isSameShape(a.shape, b.shape) && (await digest(a)) === (await digest(b));
}

async function digest(tensor: GgufTensor): Promise<string> {
  const hash = createHash("sha256");
  await readRows(tensor, tensor.shape[0], (rows) => {
    hash.update(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
  });
  return hash.digest("hex");
}
