/**
 * No file of a model leads out of its folder: what a manifest, a list of files or a state names lies beside it or
 * is refused with one line, also where the named file is there and would fit.
 */
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { openHuggingFace } from "../../dist/src/formats/huggingface/open.js";
import { openCheckpoint } from "../../dist/src/formats/tensorflow/checkpoint.js";
import { openWeights } from "../../dist/src/formats/tfjs/read.js";
import { sizeOf } from "../../dist/src/model/parameters.js";
import type { WeightSource } from "../../dist/src/model/weight-source.js";
import { convert } from "../../dist/src/models/convert.js";
import { inProject } from "../support/models.js";
import { assertFails, gpt2, MICRO, TEMPORARY } from "../support/spawn.js";
import { hostilePaths } from "./support/json.js";
import { faultOfError } from "./support/target.js";
import { install, strayPath, watch } from "./support/watch.js";

install();

/** Makes a folder "model" with a folder "outside" beside it that holds the same files. */
function beside(name: string, from: string): { model: string; outside: string } {
  const model = join(TEMPORARY, name, "model");
  const outside = join(TEMPORARY, name, "outside");
  for (const folder of [model, outside]) {
    mkdirSync(dirname(folder), { recursive: true });
    cpSync(from, folder, { recursive: true });
  }
  return { model, outside };
}

/** Puts a sound file wherever a path leads, were it followed; backslashes are no separators on this system. */
function plant(model: string, path: string, content: Buffer): void {
  const isOwn = resolve(model, path).startsWith(TEMPORARY) && !path.includes("\0") && path.length < 200;
  const place = resolve(model, path);
  if (!isOwn || /[/\\]$/.test(path) || path.split(/[/\\]/).includes("~")) return;
  if (existsSync(place)) return;
  try {
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, content);
  } catch {
    // No name for this system: there is nothing that could be opened.
  }
}

/** It is refused with one line of this kind, and nothing outside the folder is so much as looked for. */
async function refuses(
  model: string,
  path: string,
  reason: RegExp,
  open: () => Promise<unknown>,
): Promise<void> {
  let error: unknown = new Error("it loads");
  const saw = await watch(async () => {
    await open().catch((thrown: unknown) => {
      error = thrown;
    });
  });
  const what = JSON.stringify(path.slice(0, 100));
  assert.equal(strayPath(saw, model), undefined, what);
  assert.equal(faultOfError(error, model), undefined, what);
  assert.match((error as Error).message, reason, what);
}

async function readAll(source: WeightSource): Promise<number> {
  let sum = 0;
  for (const [name, { shape }] of source.tensors) {
    const values = new Float32Array(sizeOf(shape));
    await source.read(name, values);
    sum = values.reduce((total, value) => total + value, sum);
  }
  return sum;
}

test("model.json: paths that lead elsewhere, on any system", async () => {
  const { model } = beside("manifest", MICRO);
  await convert(model, { dtype: "float32" });
  const file = join(model, "model.json");
  const text = readFileSync(file, "utf8");
  const shard = "group1-shard1of1.bin";
  const values = readFileSync(join(model, shard));
  assert.ok(text.includes(shard));
  writeFileSync(join(dirname(model), "outside", shard), values);
  // A folder, and names that mean nothing but themselves: no shell looks at them.
  const own = ["sub", "~", `~/${shard}`, "n".repeat(255)];
  const paths = hostilePaths(model, shard).filter((path) => !own.includes(path));
  for (const path of paths) {
    plant(model, path, values);
    writeFileSync(
      file,
      text.replace(JSON.stringify(shard), () => JSON.stringify(path)),
    );
    await refuses(model, path, /is not the name of a file beside it/, async () =>
      readAll(await openWeights(model)),
    );
  }
  writeFileSync(file, text.replace(JSON.stringify(shard), '"../outside/group1-shard1of1.bin"'));
  const outcome = await gpt2(["generate", "a", "--model_name", model]);
  assertFails(
    outcome,
    1,
    /model\.json: "\.\.\/outside\/group1-shard1of1\.bin" is not the name of a file beside it/,
  );
  writeFileSync(file, text);
  await readAll(await openWeights(model));
});

test("model.safetensors.index.json: paths that lead elsewhere, on any system", async () => {
  const { model } = beside("list", inProject("test/fixtures/huggingface/bf16"));
  const file = join(model, "model.safetensors.index.json");
  const text = readFileSync(file, "utf8");
  const shard = "model-00001-of-00003.safetensors";
  const values = readFileSync(join(model, shard));
  for (const path of hostilePaths(model, shard)) {
    plant(model, path, values);
    writeFileSync(
      file,
      text.replaceAll(JSON.stringify(shard), () => JSON.stringify(path)),
    );
    await refuses(model, path, /is not the name of a file beside it/, () => openHuggingFace(model));
  }
  writeFileSync(file, text.replaceAll(shard, `../outside/${shard}`));
  const outcome = await gpt2([
    "import",
    model,
    "--name",
    "stolen",
    "--models_dir",
    join(TEMPORARY, "models"),
  ]);
  assertFails(outcome, 1, /is not the name of a file beside it/);
  assert.ok(!existsSync(join(TEMPORARY, "models", "stolen")));
});

test("checkpoint: a path that leads elsewhere stands for a file of that name here, or is refused", async () => {
  const { model, outside } = beside("state", MICRO);
  const own = await readAll(await openCheckpoint(model));
  // The checkpoint outside is a sound one of other values.
  const data = join(outside, "model.ckpt.data-00000-of-00001");
  const index = readFileSync(join(inProject("test/fixtures/checkpoints/types"), "model.ckpt.index"));
  writeFileSync(join(outside, "model.ckpt.index"), index);
  writeFileSync(
    data,
    readFileSync(join(inProject("test/fixtures/checkpoints/types"), "model.ckpt.data-00000-of-00001")),
  );
  const state = join(model, "checkpoint");
  for (const path of hostilePaths(model, "model.ckpt")) {
    plant(model, `${path}.index`, index);
    const escaped = path.replace(/[\\"]/g, "\\$&").replaceAll("\0", "\\000");
    writeFileSync(state, `model_checkpoint_path: "${escaped}"\n`);
    const saw = await watch(async () => {
      await openCheckpoint(model).then(
        async (source) => {
          if (source.path === join(model, "model.ckpt.index")) assert.equal(await readAll(source), own, path);
        },
        (error: unknown) => assert.equal(faultOfError(error, model), undefined, path),
      );
    });
    assert.equal(strayPath(saw, model), undefined, path);
  }
});
