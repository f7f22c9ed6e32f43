// Reads two prompts beside each other and prints the hashes of the logits' bits; run by wasm-wide.test.ts.
import { createHash } from "node:crypto";
import { createWasmEngine } from "../../dist/src/engines/cpu/inference/engine.js";
import type { Hparams } from "../../dist/src/model/hparams.js";
import { randomParameters, sourceOf } from "./wasm-reference.js";

/** No size of the first is a multiple of a panel's; those of the second fill some. */
const SHAPES: [Hparams, number][] = [
  [{ n_vocab: 317, n_ctx: 24, n_embd: 35, n_head: 5, n_layer: 2 }, 11],
  [{ n_vocab: 480, n_ctx: 64, n_embd: 96, n_head: 3, n_layer: 2 }, 30],
];
const hashes: string[] = [];
for (const [hparams, length] of SHAPES) {
  const source = sourceOf(hparams, randomParameters(hparams, 7));
  const engine = await createWasmEngine(hparams, source, { threads: 2, ...JSON.parse(process.argv[2]) });
  const ids = (seed: number, n: number): number[] =>
    Array.from({ length: n }, (_, i) => (seed + i * 79) % hparams.n_vocab);
  const steps = [length, 3].map((n, i) => ({ sequence: engine.createSequence(), ids: ids(i, n) }));
  const hash = createHash("sha256");
  for (const logits of await engine.forward(steps, "all")) hash.update(new Uint8Array(logits.slice().buffer));
  hashes.push(hash.digest("hex"));
  await engine.dispose();
}
console.log(hashes.join(" "));
