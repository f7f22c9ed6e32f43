// Trains three small models for some steps and prints the hashes of their weights' bits; run by wasm-wide.test.ts.
import { createHash } from "node:crypto";
import { createWasmTrainer } from "../../dist/src/engines/cpu/training/trainer.js";
import type { Hparams } from "../../dist/src/model/hparams.js";
import { readAll } from "./training-reference.js";
import { generator, randomParameters, sourceOf } from "./wasm-reference.js";

/** No size of the first is a multiple of a panel's; those of the second fill some; the third takes several blocks. */
const SHAPES: [Hparams, number][] = [
  [{ n_vocab: 317, n_ctx: 24, n_embd: 35, n_head: 5, n_layer: 2 }, 23],
  [{ n_vocab: 480, n_ctx: 64, n_embd: 96, n_head: 3, n_layer: 2 }, 64],
  [{ n_vocab: 1541, n_ctx: 260, n_embd: 24, n_head: 2, n_layer: 1 }, 259],
];
const hashes: string[] = [];
for (const [hparams, t] of SHAPES) {
  const source = sourceOf(hparams, randomParameters(hparams, 7));
  const trainer = await createWasmTrainer(hparams, source, { threads: 2, ...JSON.parse(process.argv[2]) });
  const next = generator(1);
  for (let step = 0; step < 3; step++) {
    const row = Array.from({ length: t + 1 }, () => Math.floor(((next() + 1) / 2) * hparams.n_vocab));
    await trainer.accumulate([row]);
    await trainer.update(1e-3);
  }
  const hash = createHash("sha256");
  for (const values of (await readAll(trainer.weights)).values()) hash.update(new Uint8Array(values.buffer));
  hashes.push(hash.digest("hex"));
  await trainer.dispose();
}
console.log(hashes.join(" "));
