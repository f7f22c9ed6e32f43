import { join } from "node:path";
import type { Hparams, TensorInfo, WeightSource } from "../../model/hparams.js";
import { configJson } from "./config.js";
import { huggingFaceName, huggingFaceShape, PREFIX } from "./names.js";
import { type WriteSafetensorsOptions, writeSafetensors } from "./write-safetensors.js";

/** What is written. */
export interface ToWrite {
  readonly hparams: Hparams;
  /** Parameters under OpenAI's names. */
  readonly source: WeightSource;
  /** The text of encoder.json. */
  readonly encoderJson: Uint8Array;
  /** The text of vocab.bpe. */
  readonly vocabBpe: Uint8Array;
  readonly encoder: { readonly endOfText: number | undefined };
}

const WEIGHTS = "model.safetensors";
const END_OF_TEXT = "<|endoftext|>";

/**
 * Writes a model as Hugging Face's transformers loads it (GPT2LMHeadModel, GPT2Tokenizer), all or nothing.
 * The head is not written: it is the embedding.
 * @returns the file of weights and the bytes of its tensors
 */
export async function writeHuggingFace(
  out: string,
  { hparams, source, encoderJson, vocabBpe, encoder }: ToWrite,
  options: Pick<WriteSafetensorsOptions, "onProgress" | "signal">,
): Promise<{ path: string; bytes: number }> {
  const { endOfText } = encoder;
  const json = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`);
  // Left out, transformers would add <|endoftext|> to a vocabulary that lacks it.
  const special = endOfText === undefined ? null : END_OF_TEXT;
  const companions = new Map<string, Uint8Array>([
    ["config.json", Buffer.from(configJson(hparams, endOfText))],
    ["generation_config.json", json({ bos_token_id: endOfText ?? null, eos_token_id: endOfText ?? null })],
    [
      "tokenizer_config.json",
      json({
        tokenizer_class: "GPT2Tokenizer",
        model_max_length: hparams.n_ctx,
        add_prefix_space: false,
        bos_token: special,
        eos_token: special,
        unk_token: special,
      }),
    ],
    ["vocab.json", encoderJson],
    ["merges.txt", vocabBpe],
  ]);
  const bytes = await writeSafetensors(out, WEIGHTS, renamed(source), { ...options, companions });
  return { path: join(out, WEIGHTS), bytes };
}

/** The same tensors under Hugging Face's names. */
function renamed(source: WeightSource): WeightSource {
  const ours = new Map<string, string>();
  const tensors = new Map<string, TensorInfo>();
  for (const [name, { shape }] of source.tensors) {
    const theirs = PREFIX + huggingFaceName(name);
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
