import { shorten, UserError } from "../system/errors.js";
import { architectureOf, type Hparams } from "./hparams.js";
import type { WeightSource } from "./weight-source.js";

/** The output matrix of a model that has one of its own. */
export const LM_HEAD = "model/lm_head";

/**
 * Every parameter of a GPT-2 with its shape, named as in OpenAI's checkpoints, in the order the network uses them.
 * Weights of linear layers are [1, n_in, n_out] (a convolution of width 1 there). An output matrix of its own, which
 * OpenAI's models do not have, is model/lm_head.
 * Source: openai/gpt-2 src/model.py.
 */
export function parameterShapes(hparams: Hparams): Map<string, readonly number[]> {
  const { n_vocab, n_ctx, n_embd, n_layer } = hparams;
  const { n_inner, tie_word_embeddings } = architectureOf(hparams);
  const shapes = new Map<string, readonly number[]>();
  const linear = (name: string, n_in: number, n_out: number): void => {
    shapes.set(`${name}/w`, [1, n_in, n_out]);
    shapes.set(`${name}/b`, [n_out]);
  };
  const norm = (name: string): void => {
    shapes.set(`${name}/g`, [n_embd]);
    shapes.set(`${name}/b`, [n_embd]);
  };
  shapes.set("model/wte", [n_vocab, n_embd]);
  shapes.set("model/wpe", [n_ctx, n_embd]);
  for (let layer = 0; layer < n_layer; layer++) {
    const h = `model/h${layer}`;
    norm(`${h}/ln_1`);
    linear(`${h}/attn/c_attn`, n_embd, 3 * n_embd);
    linear(`${h}/attn/c_proj`, n_embd, n_embd);
    norm(`${h}/ln_2`);
    linear(`${h}/mlp/c_fc`, n_embd, n_inner);
    linear(`${h}/mlp/c_proj`, n_inner, n_embd);
  }
  norm("model/ln_f");
  if (!tie_word_embeddings) shapes.set(LM_HEAD, [n_vocab, n_embd]);
  return shapes;
}

/** Number of values in a tensor of this shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** A shape for a message: all of it, unless it has more sizes than any tensor of a GPT-2. */
export function showShape(shape: readonly number[]): string {
  const rest = shape.length > 8 ? `, ... (${shape.length} sizes)` : "";
  return `[${shape.slice(0, 8).join(", ")}${rest}]`;
}

/** Number of parameters of a model, e.g. 124,439,808 for 117M. */
export function countParameters(hparams: Hparams): number {
  // Not summed over parameterShapes(): an hparams.json with a billion layers must not be expanded first.
  const { n_vocab, n_ctx, n_embd, n_layer } = hparams;
  const { n_inner, tie_word_embeddings } = architectureOf(hparams);
  const layer = 4 * n_embd * n_embd + 9 * n_embd + 2 * n_embd * n_inner + n_inner;
  return ((tie_word_embeddings ? 1 : 2) * n_vocab + n_ctx + 2) * n_embd + n_layer * layer;
}

/**
 * Checks that a source holds exactly a model's parameters: number, names and shapes.
 * @throws UserError that names the first mismatch
 */
export function checkParameters(hparams: Hparams, source: WeightSource): void {
  const hint = "hparams.json and the weights belong to different models";
  let stored = 0;
  for (const { shape } of source.tensors.values()) stored += sizeOf(shape);
  const wanted = countParameters(hparams);
  if (stored !== wanted) {
    throw new UserError(`${source.path} holds ${stored} parameters where hparams.json describes ${wanted}`, {
      next: hint,
    });
  }
  // Before making a list of names: tensors of no size, or of one number each, could stand for millions of layers.
  const tensors = 12 * hparams.n_layer + (architectureOf(hparams).tie_word_embeddings ? 4 : 5);
  if (source.tensors.size !== tensors) {
    throw new UserError(
      `${source.path} holds ${source.tensors.size} tensors where hparams.json describes ${tensors}`,
      { next: hint },
    );
  }
  const shapes = parameterShapes(hparams);
  for (const [name, shape] of shapes) {
    const found = source.tensors.get(name);
    if (!found) throw new UserError(`${source.path} has no tensor ${name}`, { next: hint });
    if (found.shape.length !== shape.length || found.shape.some((n, axis) => n !== shape[axis])) {
      throw new UserError(
        `${source.path}: ${name} has shape ${showShape(found.shape)} where hparams.json describes ${showShape(shape)}`,
        { next: hint },
      );
    }
  }
  for (const name of source.tensors.keys()) {
    if (!shapes.has(name))
      throw new UserError(`${source.path}: ${shorten(name)} is not a parameter of a GPT-2`, { next: hint });
  }
}
