import type { Hparams } from "./hparams.js";

/** OpenAI's sizes by name, for `gpt2 bench --shape`: only width and depth differ. */
export const SHAPES: Readonly<Record<string, Hparams>> = Object.fromEntries(
  (
    [
      ["124M", 12, 12, 768],
      ["355M", 24, 16, 1024],
      ["774M", 36, 20, 1280],
      ["1558M", 48, 25, 1600],
    ] as const
  ).map(([name, n_layer, n_head, n_embd]) => [
    name,
    { n_vocab: 50257, n_ctx: 1024, n_embd, n_head, n_layer },
  ]),
);
