import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { architectureOf, type Hparams } from "../../model/hparams.js";
import { LM_HEAD, parameterShapes, showShape } from "../../model/parameters.js";
import type { WeightSource } from "../../model/weight-source.js";
import { quote, UserError } from "../../system/errors.js";
import { FLOAT32 } from "../floats.js";
import { firstRows, type StoredTensor, storedTensors, transposed } from "../stored-tensors.js";
import { HEAD, huggingFaceName, huggingFaceShape, isMask, isOtherHead, PREFIXES } from "./names.js";
import type { WeightFiles } from "./weight-files.js";

/** A tensor, and the file that has it. */
interface Found extends StoredTensor {
  readonly file: string;
}

/** The weights of a folder, under OpenAI's names. */
export interface OpenedWeights {
  /** tie_word_embeddings says what the weights show. */
  readonly hparams: Hparams;
  readonly source: WeightSource;
  readonly notices: readonly string[];
}

/**
 * Finds the parameters of a GPT-2 in its files, with or without a head.
 * @param hparams from config.json or the file itself
 * @param n_vocab rows of the embedding to read, at most hparams.n_vocab
 * @throws UserError when a tensor is missing, has another shape, or does not belong to a GPT-2
 */
export async function openParameters(
  { path, files, own }: WeightFiles,
  hparams: Hparams,
  n_vocab: number,
): Promise<OpenedWeights> {
  const describedBy = own?.place ?? "config.json";
  const found = new Map<string, Found>();
  for (const file of files) {
    for (const [stored, tensor] of file.tensors) {
      const name = stored.replace(PREFIXES, "");
      if (found.has(name)) throw new UserError(`${file.path} has the tensor ${show(name)} twice`);
      found.set(name, { ...tensor, file: file.path });
    }
  }
  const tensors = new Map<string, Found>();
  // Checked before names are listed: a config.json may claim millions of layers.
  if (found.size < (own?.hasBiases === false ? 6 : 12) * hparams.n_layer) {
    throw new UserError(
      `${path} has ${found.size} tensors, too few for the ${hparams.n_layer} layers of ${describedBy}`,
    );
  }
  const heads: string[] = [];
  const tie_word_embeddings = await checkHead(found, hparams, path, heads);
  const asStored = { ...hparams, tie_word_embeddings };
  const isLinear = hasLinear(found, hparams);
  const names = [...parameterShapes(asStored)].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, shape] of names) {
    const theirs = huggingFaceName(name);
    const wanted = huggingFaceShape(shape);
    const stored =
      found.get(theirs) ?? (own?.hasBiases === false && name.endsWith("/b") ? zeros(path, shape) : undefined);
    if (!stored)
      throw new UserError(`${path} has no tensor ${theirs}: ${describedBy} describes another model`);
    const tensor =
      isLinear && shape.length === 3 && stored.shape.length === 2
        ? { ...stored, ...transposed(stored) }
        : stored;
    if (tensor.shape.length !== wanted.length || tensor.shape.some((n, axis) => n !== wanted[axis])) {
      throw new UserError(
        `${tensor.file}: ${theirs} has the shape ${showShape(tensor.shape)} where ${describedBy} describes ${showShape(wanted)}`,
      );
    }
    found.delete(theirs);
    const isTokens = name === "model/wte" || name === LM_HEAD;
    tensors.set(name, isTokens ? firstRows(tensor, n_vocab) : reshaped(tensor, shape));
  }
  const notices = [...heads, ...leftOut(found, path)];
  return { hparams: asStored, source: storedTensors(path, tensors), notices };
}

/**
 * Whether the embedding is also the output matrix: there is no other, or it is equal.
 * @param found loses a head that equals the embedding
 * @param notices gets a line if the head is missing
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
    if (!tie_word_embeddings) notices.push(`it has no ${HEAD}: wte.weight is used as the output matrix`);
    return true;
  }
  const isSame = `${head.shape}` === `${wte.shape}` && (await areEqual(head, wte));
  if (!isSame && tie_word_embeddings) {
    throw new UserError(`${path}: ${HEAD} differs from wte.weight, and tie_word_embeddings is true`, {
      next: "if the model has its own output matrix, set tie_word_embeddings to false in config.json",
    });
  }
  if (isSame) found.delete(HEAD);
  return isSame;
}

/** Checks that what is left are masks and other heads. @returns a line about the heads */
function leftOut(rest: ReadonlyMap<string, Found>, path: string): string[] {
  const heads = [...rest.keys()].filter((name) => !isMask(name));
  const other = heads.find((name) => !isOtherHead(name));
  if (other !== undefined)
    throw new UserError(`${path}: ${show(other)} is not a parameter of a GPT-2`, {
      next: "this model cannot be imported",
    });
  return heads.length > 0
    ? [`left out, as generating text does not need it: ${heads.map(show).join(", ")}`]
    : [];
}

/** Whether linear weights are [n_out, n_in], as in nn.Linear; OpenAI's and Hugging Face's GPT-2 have [n_in, n_out]. */
function hasLinear(found: ReadonlyMap<string, Found>, { n_embd, n_inner = 4 * n_embd }: Hparams): boolean {
  const shapeOf = (name: string): string => `${found.get(`h.0.${name}.weight`)?.shape}`;
  return (
    shapeOf("attn.c_attn") === `${[3 * n_embd, n_embd]}` && shapeOf("mlp.c_fc") === `${[n_inner, n_embd]}`
  );
}

/** A missing bias, which is 0. */
function zeros(file: string, shape: readonly number[]): Found {
  return { file, shape, dtype: FLOAT32.name, type: FLOAT32, ranges: [] };
}

/** The tensor with OpenAI's shape, which adds a leading 1 to linear layers. [n_in, n_out] -> [1, n_in, n_out] */
function reshaped(tensor: Found, shape: readonly number[]): Found {
  const strides = tensor.strides && [
    ...Array<number>(shape.length - tensor.shape.length).fill(0),
    ...tensor.strides,
  ];
  return { ...tensor, shape, ...(strides && { strides }) };
}

/** Whether two tensors have the same values; in PyTorch's files they mostly share their bytes. */
async function areEqual(a: StoredTensor, b: StoredTensor): Promise<boolean> {
  const isSame = isDeepStrictEqual([a.ranges, a.strides, a.type], [b.ranges, b.strides, b.type]);
  return isSame || (await digest(a)) === (await digest(b));
}

/** The hash of a matrix's values as float32, whatever the type they are stored in. */
async function digest(tensor: StoredTensor): Promise<string> {
  const hash = createHash("sha256");
  await storedTensors("", new Map([["", tensor]])).scan("", (values) =>
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  );
  return hash.digest("hex");
}

function show(name: string): string {
  return quote(name).slice(1, -1);
}
