import type { Encoder } from "../../encoder/encoder.js";
import { inByteCharacters } from "../../encoder/vocabulary.js";
import { architectureOf, type Hparams, unlikeOpenAi } from "../../model/hparams.js";
import { quote, UserError } from "../../system/errors.js";
import { GGUF_MAGIC } from "./gguf-file.js";
import { ENDS, TOKEN_TYPE } from "./tokenizer.js";

/** What a file's header says of its model. */
export interface ModelToDescribe {
  readonly hparams: Hparams;
  /** The vocabulary's files; vocab.bpe has the merges. */
  readonly vocabulary: ReadonlyMap<string, Uint8Array>;
  readonly encoder: Pick<
    Encoder,
    "n_vocab" | "endOfText" | "startOfText" | "special" | "marks" | "tokenBytes"
  >;
}

/** A tensor to list in the header. */
export interface TensorToDescribe {
  readonly name: string;
  /** [rows, columns], the reverse of the file's order. */
  readonly shape: readonly number[];
  /** ggml's number of the type. */
  readonly type: number;
  readonly bytes: number;
}

/** Tensors begin at a multiple of this. */
const GGUF_ALIGNMENT = 32;

/** Options that a GGUF file of a GPT-2 cannot state: llama.cpp assumes OpenAI's values. */
const FIXED = ["activation_function", "scale_attn_weights", "scale_attn_by_inverse_layer_idx"] as const;

const VERSION = 3;
/** The second layout of ggml's blocks. */
const QUANTIZATION_VERSION = 2;

/** Zero bytes that pad `length` bytes to the alignment. */
export function padding(length: number): Buffer {
  return Buffer.alloc((GGUF_ALIGNMENT - (length % GGUF_ALIGNMENT)) % GGUF_ALIGNMENT);
}

/**
 * A file's bytes before its first tensor, with the metadata that llama.cpp's convert_hf_to_gguf.py writes for a GPT-2.
 * @param fileType llama.cpp's number for the type of most tensors
 * @throws UserError when the model has more tokens that end a text than the format has places for
 */
export function ggufHead(
  model: ModelToDescribe,
  name: string,
  fileType: number,
  tensors: readonly TensorToDescribe[],
): Buffer {
  const values = [...networkValues(model.hparams, name, fileType), ...tokenizerValues(model)];
  const infos: Buffer[] = [];
  let offset = 0;
  for (const { name: tensor, shape, type, bytes } of tensors) {
    infos.push(text(tensor), u32(shape.length), ...[...shape].reverse().map(u64), u32(type), u64(offset));
    offset += bytes + padding(bytes).length;
  }
  const head = Buffer.concat([
    GGUF_MAGIC,
    u32(VERSION),
    u64(tensors.length),
    u64(values.length),
    ...values,
    ...infos,
  ]);
  return Buffer.concat([head, padding(head.length)]);
}

/**
 * The metadata of the network.
 * @throws UserError when llama.cpp cannot compute this variant of GPT-2
 */
function networkValues(hparams: Hparams, name: string, fileType: number): Buffer[] {
  const { n_ctx, n_embd, n_head, n_layer } = hparams;
  const { n_inner, layer_norm_epsilon } = architectureOf(hparams);
  const unlike = unlikeOpenAi(hparams);
  const other = FIXED.find((each) => unlike[each] !== undefined);
  if (other !== undefined) {
    throw new UserError(
      `the model's ${other} is ${quote(unlike[other])}, which llama.cpp does not compute: choose another format`,
    );
  }
  return [
    textValue("general.architecture", "gpt2"),
    textValue("general.type", "model"),
    textValue("general.name", name),
    u32Value("gpt2.block_count", n_layer),
    u32Value("gpt2.context_length", n_ctx),
    u32Value("gpt2.embedding_length", n_embd),
    u32Value("gpt2.feed_forward_length", n_inner),
    u32Value("gpt2.attention.head_count", n_head),
    f32Value("gpt2.attention.layer_norm_epsilon", layer_norm_epsilon),
    u32Value("general.file_type", fileType),
    u32Value("general.quantization_version", QUANTIZATION_VERSION),
  ];
}

function tokenizerValues({ encoder, vocabulary }: ModelToDescribe): Buffer[] {
  const { n_vocab, special, endOfText, startOfText } = encoder;
  const ends = special.eos.length > 0 ? special.eos : endOfText === undefined ? [] : [endOfText];
  if (ends.length > ENDS.length) {
    throw new UserError(
      `the model has ${ends.length} tokens that end a text, and a GGUF file holds at most ${ENDS.length}`,
    );
  }
  if (special.begin.length > 1 || (special.begin.length === 1 && special.begin[0] !== startOfText)) {
    throw new UserError(
      `the model puts the tokens ${quote(special.begin, 60)} before every prompt, and a GGUF file can name only bos`,
      { next: "choose another format" },
    );
  }
  const control = new Set([...ends, ...encoder.marks.keys()]);
  if (startOfText !== undefined) control.add(startOfText);
  const added = new Map([...special.added].map(([word, { id }]) => [id, word]));
  const tokens: string[] = [];
  const types: number[] = [];
  for (let id = 0; id < n_vocab; id++) {
    const bytes = encoder.tokenBytes(id);
    const isControl = control.has(id);
    types.push(isControl ? TOKEN_TYPE.control : added.has(id) ? TOKEN_TYPE.userDefined : TOKEN_TYPE.normal);
    if (isControl || added.has(id)) tokens.push(added.get(id) ?? Buffer.from(bytes).toString());
    else tokens.push(inByteCharacters(bytes));
  }
  const merges = Buffer.from(vocabulary.get("vocab.bpe") as Uint8Array)
    .toString()
    .split(/\r?\n/)
    .slice(1)
    .filter((line) => line !== "");
  return [
    textValue("tokenizer.ggml.model", "gpt2"),
    textValue("tokenizer.ggml.pre", "gpt-2"),
    listValue("tokenizer.ggml.tokens", TEXT, tokens.map(text)),
    listValue("tokenizer.ggml.token_type", I32, types.map(u32)),
    listValue("tokenizer.ggml.merges", TEXT, merges.map(text)),
    ...(startOfText === undefined ? [] : [u32Value("tokenizer.ggml.bos_token_id", startOfText)]),
    ...ends.map((id, i) => u32Value(ENDS[i], id)),
    ...(special.begin.length > 0 ? [value("tokenizer.ggml.add_bos_token", BOOL, Buffer.of(1))] : []),
    ...(special.add_prefix_space ? [value("tokenizer.ggml.add_space_prefix", BOOL, Buffer.of(1))] : []),
  ];
}

/** Types of metadata values. */
const U32 = 4;
const I32 = 5;
const F32 = 6;
const BOOL = 7;
const TEXT = 8;
const LIST = 9;

const u32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n);
  return bytes;
};
const u64 = (n: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(n));
  return bytes;
};
const f32 = (x: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(x);
  return bytes;
};
const text = (string: string): Buffer => {
  const bytes = Buffer.from(string);
  return Buffer.concat([u64(bytes.length), bytes]);
};

const value = (name: string, type: number, bytes: Buffer): Buffer =>
  Buffer.concat([text(name), u32(type), bytes]);
const textValue = (name: string, string: string): Buffer => value(name, TEXT, text(string));
const u32Value = (name: string, n: number): Buffer => value(name, U32, u32(n));
const f32Value = (name: string, x: number): Buffer => value(name, F32, f32(x));
const listValue = (name: string, type: number, items: readonly Buffer[]): Buffer =>
  value(name, LIST, Buffer.concat([u32(type), u64(items.length), ...items]));
