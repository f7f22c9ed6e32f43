import { messageOf, quote, UserError } from "../system/errors.js";

/** A model's sizes, with the names of OpenAI's hparams.json. */
export interface Hparams {
  readonly n_vocab: number;
  readonly n_ctx: number;
  readonly n_embd: number;
  readonly n_head: number;
  readonly n_layer: number;
}

const HPARAM_NAMES = ["n_vocab", "n_ctx", "n_embd", "n_head", "n_layer"] as const;
/** Far above any GPT-2, low enough that no product of sizes leaves the exact integers of a double. */
const HPARAM_LIMIT = 10_000_000;
/** An hparams.json has a hundred bytes. */
export const HPARAMS_BYTES = 1 << 20;

/**
 * Reads hparams.json.
 * @param json the file's text
 * @param file the file's path, for messages
 * @throws UserError when a value is missing, is no positive integer, or n_head does not divide n_embd
 */
export function parseHparams(json: string, file: string): Hparams {
  const next = "download the model again, or name another model folder";
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new UserError(`${file} is not valid JSON (${messageOf(error)}): ${next}`, { cause: error });
  }
  if (typeof value !== "object" || value === null) throw new UserError(`${file} holds no hparams: ${next}`);
  const hparams: Partial<Record<keyof Hparams, number>> = {};
  for (const name of HPARAM_NAMES) {
    const n: unknown = (value as Record<string, unknown>)[name];
    if (n === undefined) throw new UserError(`${file} has no ${name}: ${next}`);
    if (typeof n !== "number" || !Number.isInteger(n) || n < 1 || n > HPARAM_LIMIT) {
      throw new UserError(`${file}: ${name} must be a positive whole number, not ${quote(n)}: ${next}`);
    }
    hparams[name] = n;
  }
  const { n_embd, n_head } = hparams as Hparams;
  if (n_embd % n_head !== 0) {
    throw new UserError(`${file}: n_embd ${n_embd} is not a multiple of n_head ${n_head}: ${next}`);
  }
  return hparams as Hparams;
}

/** The text of an hparams.json, its keys in OpenAI's order. */
export function hparamsJson({ n_vocab, n_ctx, n_embd, n_head, n_layer }: Hparams): string {
  return `${JSON.stringify({ n_vocab, n_ctx, n_embd, n_head, n_layer }, undefined, 2)}\n`;
}
