// What test-platforms.mjs runs on each system: prints a checksum of logits and texts that must be the same for 1 to 3
// threads, batches of 1 to 9 and a prompt cut in any way, and fails where they are not.
//   node scripts/platform-matrix.mjs MODEL native|wasm float32|float16|int8
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { generateSamples, loadModel } from "../dist/src/index.js";
import { loadFolder } from "../dist/src/models/folder.js";

const [folder, backend, precision] = process.argv.slice(2);
const PROMPT = "ROMEO: what light is this that breaks through yonder window? It is the east, and";

/** Lengths that add up to `total`, from a fixed sequence of numbers. */
function cut(total, seed) {
  const parts = [];
  let state = seed;
  for (let left = total; left > 0; left -= parts.at(-1)) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Numerical Recipes' linear congruence
    parts.push(Math.min(left, 1 + ((state >>> 16) % 9)));
  }
  return parts;
}

/** The logits behind the prompt, read whole and then in four other ways. */
async function promptLogits(threads) {
  const { encoder, engine } = await loadFolder(folder, { backend, precision, threads });
  try {
    const ids = encoder.encode(PROMPT);
    const found = [];
    for (const parts of [
      [ids.length],
      ids.map(() => 1),
      cut(ids.length, 1),
      cut(ids.length, 2),
      cut(ids.length, 3),
    ]) {
      const sequence = engine.createSequence();
      let last;
      let at = 0;
      for (const n of parts) {
        [last] = await engine.forward([{ sequence, ids: ids.slice(at, at + n) }]);
        at += n;
      }
      found.push(Buffer.from(last.slice().buffer));
      engine.free(sequence);
    }
    return found;
  } finally {
    await engine.dispose();
  }
}

/** Nine samples, computed in batches of 1 to 9. */
async function texts(threads) {
  const model = await loadModel(folder, { backend, precision, threads });
  try {
    const found = [];
    for (let batch_size = 1; batch_size <= 9; batch_size++) {
      const options = { seed: 4, nsamples: 9, length: 6, top_k: 40, batch_size };
      let whole = "";
      for await (const { text } of generateSamples(model, PROMPT, options)) whole += `${text}\0`;
      found.push(Buffer.from(whole));
    }
    return found;
  } finally {
    await model.dispose();
  }
}

const hash = createHash("sha256");
for (const results of [promptLogits, texts]) {
  const found = [];
  for (const threads of [1, 2, 3]) found.push(...(await results(threads)));
  for (const [i, bytes] of found.entries())
    assert.ok(bytes.equals(found[0]), `${results.name}, the ${i + 1}th`);
  hash.update(found[0]);
}
console.log(hash.digest("hex"));
