import { join } from "node:path";
import type { Encoder } from "../../encoder/encoder.js";
import { addedToken, type SpecialTokens, TOKENIZER_FILE } from "../../encoder/special-tokens.js";
import type { Hparams } from "../../model/hparams.js";
import type { TensorInfo, WeightSource } from "../../model/weight-source.js";
import { isObject } from "../../system/json.js";
import type { WriteSetOptions } from "../file-set.js";
import { configJson } from "./config.js";
import { HEAD, huggingFaceName, huggingFaceShape, PREFIX } from "./names.js";
import { writeSafetensors } from "./safetensors.js";
import { templateOf } from "./tokenizer-files.js";

/** A model to write. */
export interface ToWrite {
  readonly hparams: Hparams;
  /** Parameters under OpenAI's names. */
  readonly source: WeightSource;
  /** The vocabulary's files, by their names in our model folders. */
  readonly vocabulary: ReadonlyMap<string, Uint8Array>;
  readonly encoder: Pick<Encoder, "endOfText" | "startOfText" | "special" | "decode">;
}

const WEIGHTS = "model.safetensors";
const THEIR_NAMES: ReadonlyMap<string, string> = new Map([
  ["encoder.json", "vocab.json"],
  ["vocab.bpe", "merges.txt"],
]);

/** The token that ends a text, or a list of several, for config.json. */
function eosOf({ endOfText, special }: ToWrite["encoder"]): number | readonly number[] | null {
  return special.eos.length > 1 ? special.eos : (endOfText ?? null);
}

/** The tokens that transformers recognizes in a text, OpenAI's `<|endoftext|>` included. */
function addedTokens(encoder: ToWrite["encoder"]): SpecialTokens["added"] {
  const { special, endOfText } = encoder;
  if (special.added.size > 0 || endOfText === undefined) return special.added;
  return new Map([[encoder.decode([endOfText]), addedToken(endOfText, { special: true })]]);
}

/** Whether tokenizer.json itself puts tokens before a text. */
function hasTemplate(tokenizer: Uint8Array | undefined): boolean {
  const json: unknown = tokenizer && JSON.parse(Buffer.from(tokenizer).toString());
  return isObject(json) && templateOf(json.post_processor).begin.length > 0;
}

/**
 * Writes a model for Hugging Face's transformers (GPT2LMHeadModel, GPT2Tokenizer), all or nothing.
 * A head tied to the embedding is not written.
 * @returns the file of weights and the bytes of its tensors
 */
export async function writeHuggingFace(
  out: string,
  { hparams, source, vocabulary, encoder }: ToWrite,
  options: Pick<WriteSetOptions, "onProgress" | "signal" | "isOld">,
): Promise<{ path: string; bytes: number }> {
  const { endOfText, startOfText, special: tokens } = encoder;
  const other = vocabulary.get(TOKENIZER_FILE);
  const json = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`);
  // Without these, transformers adds <|endoftext|> to a vocabulary that lacks it.
  const added = [...addedTokens(encoder)];
  const text = (id: number | undefined): string | null =>
    added.find(([, token]) => token.id === id)?.[0] ?? null;
  const ids = { bos_token_id: startOfText ?? null, eos_token_id: eosOf(encoder) };
  const companions = new Map<string, Uint8Array>([
    ["config.json", Buffer.from(configJson(hparams, ids))],
    ["generation_config.json", json(ids)],
    [
      "tokenizer_config.json",
      json({
        tokenizer_class: other ? "PreTrainedTokenizerFast" : "GPT2Tokenizer",
        model_max_length: hparams.n_ctx,
        ...(!other && { add_prefix_space: tokens.add_prefix_space }),
        bos_token: text(startOfText),
        eos_token: text(endOfText),
        ...(!other && { unk_token: text(endOfText) }),
        ...(tokens.begin.length === 1 &&
          tokens.begin[0] === startOfText &&
          !hasTemplate(other) && { add_bos_token: true }),
        added_tokens_decoder: Object.fromEntries(
          added.map(([content, { id, ...flags }]) => [id, { content, ...flags }]),
        ),
      }),
    ],
  ]);
  for (const [name, content] of vocabulary) companions.set(THEIR_NAMES.get(name) ?? name, content);
  const bytes = await writeSafetensors(out, WEIGHTS, renamed(source), { ...options, companions });
  return { path: join(out, WEIGHTS), bytes };
}

/** The same tensors under Hugging Face's names. */
function renamed(source: WeightSource): WeightSource {
  const ours = new Map<string, string>();
  const tensors = new Map<string, TensorInfo>();
  for (const [name, { shape }] of source.tensors) {
    const bare = huggingFaceName(name);
    const theirs = bare === HEAD ? HEAD : PREFIX + bare;
    ours.set(theirs, name);
    tensors.set(theirs, { shape: huggingFaceShape(shape), dtype: "float32" });
  }
  return {
    path: source.path,
    tensors,
    read: (name, target) => source.read(ours.get(name) ?? name, target),
    close: async () => undefined, // whoever opened the source closes it
  };
}
