import { shorten, UserError } from "../system/errors.js";
import type { Hparams } from "./hparams.js";
import type { WeightSource } from "./weight-source.js";

/**
 * Every parameter of a GPT-2 with its shape, under the names of OpenAI's checkpoints, in the order in which
 * the network uses them. Weights of linear layers are [1, n_in, n_out] (a convolution of width 1 there).
 * Source: openai/gpt-2 src/model.py.
 */
export function parameterShapes(hparams: Hparams): Map<string, readonly number[]> {
  const { n_vocab, n_ctx, n_embd, n_layer } = hparams;
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
    linear(`${h}/mlp/c_fc`, n_embd, 4 * n_embd);
    linear(`${h}/mlp/c_proj`, 4 * n_embd, n_embd);
  }
  norm("model/ln_f");
  return shapes;
}

/** Number of values in a tensor of this shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** A shape in a message: all of it, where it has no more sizes than a tensor of a GPT-2 might. */
export function showShape(shape: readonly number[]): string {
  const rest = shape.length > 8 ? `, ... (${shape.length} sizes)` : "";
  return `[${shape.slice(0, 8).join(", ")}${rest}]`;
}

/** Number of parameters of a model, e.g. 124,439,808 for 117M. */
export function countParameters(hparams: Hparams): number {
  // Not summed over parameterShapes: an hparams.json with a billion layers must not be built up first.
  const { n_vocab, n_ctx, n_embd, n_layer } = hparams;
  return (n_vocab + n_ctx + 2) * n_embd + n_layer * (12 * n_embd * n_embd + 13 * n_embd);
}

/**
 * Checks that a source holds exactly the parameters of a model: number, names and shapes.
 * @throws UserError that names the first thing that does not fit
 */
export function checkParameters(hparams: Hparams, source: WeightSource): void {
  const hint = "hparams.json and the weights are not of the same model";
  let stored = 0;
  for (const { shape } of source.tensors.values()) stored += sizeOf(shape);
  const wanted = countParameters(hparams);
  if (stored !== wanted) {
    throw new UserError(
      `${source.path} holds ${stored} parameters where hparams.json describes ${wanted}: ${hint}`,
    );
  }
  // Before a list of names is made: tensors of no size, or of one number each, may stand for millions of layers.
  const tensors = 12 * hparams.n_layer + 4;
  if (source.tensors.size !== tensors) {
    throw new UserError(
      `${source.path} holds ${source.tensors.size} tensors where hparams.json describes ${tensors}: ${hint}`,
    );
  }
  const shapes = parameterShapes(hparams);
  for (const [name, shape] of shapes) {
    const found = source.tensors.get(name);
    if (!found) throw new UserError(`${source.path} has no tensor ${name}: ${hint}`);
    if (found.shape.length !== shape.length || found.shape.some((n, axis) => n !== shape[axis])) {
      throw new UserError(
        `${source.path}: ${name} has shape ${showShape(found.shape)} where hparams.json describes ${showShape(shape)}: ${hint}`,
      );
    }
  }
  for (const name of source.tensors.keys()) {
    if (!shapes.has(name))
      throw new UserError(`${source.path}: ${shorten(name)} is no parameter of a GPT-2: ${hint}`);
  }
}
