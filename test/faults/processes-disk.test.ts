import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { FileServer } from "../support/file-server.js";
import { assertDone, gpt2, MICRO, NO_SHELL, type Outcome, shell, TEMPORARY } from "../support/spawn.js";
import { NO_DISK, SmallDisk } from "./support/disk.js";
import { assertPlainEnd, chance, contents, loading } from "./support/folders.js";
import { microFiles, Served } from "./support/served.js";
import { isWeights, type Original, original, weightsIn } from "./support/weights.js";

const KB = 1024;
const META = "model.ckpt.meta";

/** One line says that the disk is full, with the exit code 1. */
function assertFull(outcome: Outcome, line = /cannot write \S+: the disk is full\n$/): void {
  assert.equal(outcome.code, 1, outcome.stderr);
  assertPlainEnd(outcome);
  assert.match(outcome.stderr, line);
}

describe("a full disk", { concurrency: 2, skip: NO_DISK }, () => {
  const disks: SmallDisk[] = [];
  const newDisk = async (name: string): Promise<SmallDisk> => {
    const disk = await SmallDisk.make(join(TEMPORARY, `disk-${name}`));
    disks.push(disk);
    return disk;
  };
  let server: FileServer;
  let small: Original;
  before(async () => {
    server = await FileServer.start();
    small = await original(MICRO, "disk");
  });
  after(async () => {
    for (const disk of disks) disk.end();
    await server.stop();
  });

  test("download: before, while a file comes, in the conversion; then there is room", async () => {
    const disk = await newDisk("download");
    const model = new Served(server, "disk", microFiles());
    const folder = disk.at("models", "disk");
    const args = ["download", "disk", "--models_dir", "models", "--base_url", server.url];
    const download = (): Promise<Outcome> => disk.gpt2(args, { env: loading("quick-clock.mjs") });
    /** Whatever has its final name is right. */
    const assertRight = (): void => {
      for (const name of existsSync(folder) ? readdirSync(folder) : []) {
        if (/\.part(\.json)?$/.test(name)) continue;
        assert.ok(model.files[name]?.equals(readFileSync(join(folder, name))), `${name} should not be there`);
      }
    };
    disk.leave(0);
    assertFull(await download());
    assertRight();
    disk.leave(150 * KB);
    assertFull(
      await download(),
      /disk needs 1 MB more and its disk has 1 MB left: free some space, or .*--models_dir\n$/,
    );
    assertRight();
    disk.leave(250 * KB);
    // Without Content-Length nobody knows beforehand.
    model.fault(META, { kind: "chunked", body: model.files[META] }, 9);
    assertFull(await download(), /cannot write \S+model\.ckpt\.meta\.part: the disk is full\n$/);
    assertRight();
    model.mend();
    disk.clear();
    const room = 300 * KB + 100 * KB - (existsSync(join(folder, `${META}.part`)) ? 250 * KB : 0);
    disk.leave(room);
    assertFull(await download(), /cannot write \S+group1-shard1of1\.bin\S*: the disk is full\n$/);
    assertRight();
    assert.deepEqual(readdirSync(folder).sort(), Object.keys(model.files).sort());
    disk.clear();
    assertDone(await download());
    model.assertWhole(folder);
  });

  test("convert: the old weights stay, whatever room there is; then there is enough", async () => {
    const disk = await newDisk("convert");
    const convert = (dtype: string): Promise<Outcome> =>
      disk.gpt2(["convert", MICRO, "--out", "model", "--overwrite", "--dtype", dtype]);
    assertDone(await convert("float16"));
    const before = contents(disk.at("model"));
    const random = chance("room for convert");
    for (const room of [0, 8 * KB, ...Array.from({ length: 3 }, () => 220 * KB * random())]) {
      disk.leave(room);
      assertFull(await convert("float32"));
      assert.deepEqual(contents(disk.at("model")), before);
    }
    disk.clear();
    assertDone(await convert("float32"));
    assert.equal(weightsIn(disk.at("model"), small), "float32");
    assert.deepEqual(Object.keys(contents(disk.at("model"))), Object.keys(before));
  });

  test("generate --out, --overwrite and --resume: nothing half under its name, the old file stays", async () => {
    const disk = await newDisk("generate");
    const long = [
      "generate",
      "Speak",
      "--model_name",
      MICRO,
      "--seed",
      "1",
      "--length",
      "3000",
      "--ignore_eos",
    ];
    const generate = (...rest: string[]): Promise<Outcome> => disk.gpt2([...long, ...rest]);
    const whole = await gpt2(long);
    disk.leave(4 * KB);
    const kept =
      /the samples so far are in \S*story\.unfinished(-2)?\.txt\ngpt2: cannot write \S+: the disk is full\n$/;
    assertFull(await generate("--out", "story.txt"), kept);
    assert.equal(existsSync(disk.at("story.txt")), false);
    disk.clear();
    writeFileSync(disk.at("story.txt"), "what was there before");
    disk.leave(4 * KB);
    assertFull(await generate("--out", "story.txt", "--overwrite"), kept);
    assert.equal(readFileSync(disk.at("story.txt"), "utf8"), "what was there before");
    disk.clear();
    assertDone(await generate("--out", "story.txt", "--overwrite"));
    assert.equal(readFileSync(disk.at("story.txt"), "utf8"), whole.stdout);
    const resume = ["--nsamples", "5", "--resume", "samples.jsonl"];
    disk.leave(16 * KB);
    assertFull(await generate(...resume));
    const some = readFileSync(disk.at("samples.jsonl"), "utf8").split("\n").length - 1;
    assert.ok(some > 0 && some < 5, `${some} samples on a full disk`);
    disk.clear();
    assertDone(await generate(...resume));
    const all = await gpt2([...long, "--nsamples", "5", "--format", "jsonl"]);
    assert.equal(readFileSync(disk.at("samples.jsonl"), "utf8"), all.stdout);
  });

  test("finetune: the save before stays whole and can be used; then it goes on", async () => {
    const disk = await newDisk("finetune");
    const text = join(TEMPORARY, "disk.txt");
    writeFileSync(
      text,
      "The lamp was lit before the rain began, and nobody asked who carried the oil. ".repeat(9),
    );
    const finetune = (steps: string): Promise<Outcome> =>
      disk.gpt2(
        [
          "finetune",
          text,
          "--model_name",
          MICRO,
          "--steps",
          steps,
          "--seed",
          "1",
          "--sample_every",
          "0",
        ].concat(["--optimizer", "sgd", "--batch_size", "1", "--accumulate_gradients", "1"]),
      );
    disk.leave(0);
    assertFull(await finetune("1"), /the disk is full/);
    assert.equal(existsSync(disk.at("checkpoint", "run1", "counter")), false);
    disk.clear();
    assertDone(await finetune("1"));
    disk.leave(90 * KB);
    assertFull(
      await finetune("1"),
      /a save takes 1 MB and the disk of .* has 1 MB free: free some space, or .*--checkpoint_dir\n$/,
    );
    disk.leave(212 * KB); // enough for the weights, not for the other files
    assertFull(
      await finetune("1"),
      /step 2 could not be saved: .*disk is full; the save of step 1 is intact\n$/,
    );
    assert.equal(readFileSync(disk.at("checkpoint", "run1", "counter"), "utf8").trim(), "1");
    const write = ["generate", "The", "--run_name", "run1", "--seed", "1", "--length", "5"];
    assertDone(await disk.gpt2(write));
    disk.clear();
    const again = await finetune("1");
    assertDone(again);
    assert.match(again.stderr, /step 2 is saved in/);
    const left = readdirSync(disk.at("checkpoint", "run1")).filter((name) => /part|lock/.test(name));
    assert.deepEqual(left, []);
  });

  test("import and export: nothing that looks like a model", async () => {
    const disk = await newDisk("import");
    disk.leave(100 * KB);
    assertFull(await disk.gpt2(["import", MICRO, "--name", "own", "--models_dir", "models"]));
    assertFull(await disk.gpt2(["export", MICRO, "--out", "tf"]));
    assertFull(await disk.gpt2(["export", MICRO, "--out", "hf", "--format", "huggingface"]));
    for (const folder of ["models/own", "tf", "hf"].map((name) => disk.at(name)).filter(existsSync)) {
      assert.deepEqual(
        readdirSync(folder).filter((name) => name.includes("part") || isWeights(name)),
        [],
      );
    }
    disk.clear();
    assertDone(await disk.gpt2(["import", MICRO, "--name", "own", "--models_dir", "models"]));
    assertDone(await disk.gpt2(["export", "models/own", "--out", "hf", "--format", "huggingface"]));
    assert.equal(weightsIn(disk.at("models", "own"), small), "float32");
  });
});

describe("standard output on a full disk: one line, exit code 1", {
  concurrency: 3,
  skip: NO_SHELL || (existsSync("/dev/full") ? false : "needs /dev/full"),
}, () => {
  for (const line of [
    'generate a --model_name "$MICRO" --length 3 --seed 1',
    'generate a --model_name "$MICRO" --length 3 --seed 1 --format jsonl',
    'unconditional --model_name "$MICRO" --seed 1 --nsamples 2 --length 3 --batch_size 2',
    'score --model_name "$MICRO"',
    'score --model_name "$MICRO" --format jsonl',
    "tokenize",
    "tokenize --count",
    "models",
    "models path shakespeare",
    "bench --help",
  ]) {
    test(line, async () => {
      const outcome = await shell(`echo speak | gpt2 ${line} > /dev/full`);
      assertFull(outcome, /gpt2: cannot write to standard output: the disk is full\n$/);
    });
  }
});
