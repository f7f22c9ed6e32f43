import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { openCheckpoint } from "../../dist/src/formats/tensorflow/checkpoint.js";
import { writeCheckpoint } from "../../dist/src/formats/tensorflow/write-checkpoint.js";
import { writeWeights } from "../../dist/src/formats/tfjs/write.js";
import { MICRO, SHAKESPEARE } from "../support/models.js";
import {
  changed,
  converted,
  copyMicro,
  DATA,
  flip,
  knownMicro,
  named,
  verified,
} from "../support/verifying.js";

const SHARD = "group1-shard1of1.bin";

/** Makes a copy of micro and changes it. */
const spoilt = (change: (folder: string) => void) => (): string => {
  const folder = copyMicro();
  change(folder);
  return folder;
};

/** A way to spoil a model, and the checks that fail then, each with what it says. */
type Damage = [string, () => Promise<string> | string, Readonly<Record<string, RegExp>>];

const AT_ODDS = /hparams\.json and the weights belong to different models/;
const damages: Damage[] = [
  [
    "one flipped bit in the checkpoint's data",
    spoilt((folder) => {
      flip(join(folder, DATA), 100_000);
    }),
    {
      "checkpoint: checksums":
        /^1 of 40: .*data-00000-of-00001 is damaged: the checksum of model\/\S+ does not match/,
    },
  ],
  [
    "flipped bits in three tensors of the checkpoint",
    spoilt((folder) => {
      for (const at of [0, 100_000, -1]) flip(join(folder, DATA), at);
    }),
    { "checkpoint: checksums": /^3 of 40: / },
  ],
  [
    "one flipped bit in the checkpoint's index",
    spoilt((folder) => {
      flip(join(folder, "model.ckpt.index"), 200);
    }),
    { "checkpoint: tensors": /model\.ckpt\.index as a checkpoint index: .*checksum/ },
  ],
  [
    "one flipped bit in converted weights",
    async () => {
      const folder = await converted("float32", false);
      flip(join(folder, SHARD), 100_000);
      return folder;
    },
    {
      "weights: checksums":
        /^1 of 40: .*shard1of1\.bin is damaged: the checksum of model\/\S+ does not match/,
    },
  ],
  [
    "one flipped bit in converted weights of float16",
    async () => {
      const folder = await converted("float16");
      flip(join(folder, SHARD), -1);
      return folder;
    },
    { "weights: checksums": /^1 of 40: / },
  ],
  [
    "cut data",
    spoilt((folder) => {
      truncateSync(join(folder, DATA), 212_095);
    }),
    { "checkpoint: tensors": /data-00000-of-00001 has 212095 bytes where its index describes 212096/ },
  ],
  [
    "a cut index",
    spoilt((folder) => {
      truncateSync(join(folder, "model.ckpt.index"), 1000);
    }),
    { "checkpoint: tensors": /cannot read .*model\.ckpt\.index/ },
  ],
  [
    "a cut shard",
    async () => {
      const folder = await converted("float32", false);
      truncateSync(join(folder, SHARD), 212_095);
      return folder;
    },
    { "weights: tensors": /shard1of1\.bin is cut off or altered/ },
  ],
  [
    "another model's vocabulary",
    spoilt((folder) => {
      for (const name of ["encoder.json", "vocab.bpe"])
        cpSync(join(SHAKESPEARE.folder, name), join(folder, name));
    }),
    { vocabulary: /encoder\.json has 1024 tokens and hparams\.json 400: they belong to different models/ },
  ],
  [
    "another model's merges",
    spoilt((folder) => {
      cpSync(join(SHAKESPEARE.folder, "vocab.bpe"), join(folder, "vocab.bpe"));
    }),
    { vocabulary: /vocab\.bpe.*encoder\.json has no token|has no merge/ },
  ],
  [
    "no vocab.bpe beside encoder.json",
    spoilt((folder) => {
      rmSync(join(folder, "vocab.bpe"));
    }),
    { "vocab.bpe": /^missing, although there is encoder\.json$/, vocabulary: /vocab\.bpe: no such file/ },
  ],
  [
    "no vocabulary at all, and OpenAI's does not fit",
    spoilt((folder) => {
      for (const name of ["encoder.json", "vocab.bpe"]) rmSync(join(folder, name));
    }),
    {
      vocabulary:
        /no encoder\.json and vocab\.bpe, and cannot use OpenAI's 50257 tokens: its hparams\.json says 400/,
    },
  ],
  [
    "no hparams.json",
    spoilt((folder) => {
      rmSync(join(folder, "hparams.json"));
    }),
    { "hparams.json": /^it is missing$/ },
  ],
  [
    "no data",
    spoilt((folder) => {
      rmSync(join(folder, DATA));
    }),
    { "checkpoint: tensors": /cannot read .*data-00000-of-00001: no such file/ },
  ],
  [
    "no index",
    spoilt((folder) => {
      rmSync(join(folder, "model.ckpt.index"));
    }),
    { "checkpoint: tensors": /model\.ckpt\.index: no such file/ },
  ],
  [
    "no model.json above its files",
    async () => {
      const folder = await converted("float32", false);
      rmSync(join(folder, "model.json"));
      return folder;
    },
    { "weights: tensors": /model\.json: no such file/ },
  ],
  [
    "no weights of any kind",
    spoilt((folder) => {
      for (const name of ["checkpoint", DATA, "model.ckpt.index", "model.ckpt.meta"])
        rmSync(join(folder, name));
    }),
    { "weights: tensors": /^there is neither model\.json nor a checkpoint$/ },
  ],
  [
    "a folder in a file's place",
    spoilt((folder) => {
      rmSync(join(folder, "encoder.json"));
      mkdirSync(join(folder, "encoder.json"));
    }),
    { "encoder.json": /^it is not a file$/, vocabulary: /encoder\.json: it is a folder/ },
  ],
  [
    "hparams of another model",
    spoilt((folder) => {
      const path = join(folder, "hparams.json");
      writeFileSync(path, readFileSync(path, "utf8").replace('"n_layer": 3', '"n_layer": 2'));
    }),
    { "checkpoint: tensors": AT_ODDS },
  ],
  [
    "hparams that cannot be",
    spoilt((folder) => {
      const path = join(folder, "hparams.json");
      writeFileSync(path, readFileSync(path, "utf8").replace('"n_head": 4', '"n_head": 5'));
    }),
    { "hparams.json": /n_embd 32 is not a multiple of n_head 5/ },
  ],
  [
    "a NaN in a tensor of the checkpoint, its checksum right",
    async () => {
      const folder = copyMicro();
      const source = changed(await openCheckpoint(MICRO.folder), (name, values) => {
        if (name === "model/wpe") values[9] = Number.NaN;
      });
      await writeCheckpoint(folder, "model.ckpt", source);
      return folder;
    },
    { "checkpoint: numbers": /^model\/wpe has NaN \(1 of 2,048 values\)$/ },
  ],
  [
    "infinities in tensors of converted weights, their checksums right",
    async () => {
      const folder = await converted("float32", false);
      const source = changed(await openCheckpoint(MICRO.folder), (name, values) => {
        if (name.endsWith("/ln_1/g")) values.fill(Number.NEGATIVE_INFINITY, 1, 3);
      });
      await writeWeights(folder, source, { dtype: "float32" });
      return folder;
    },
    {
      "weights: numbers": /^model\/h0\/ln_1\/g has -Infinity \(2 of 32 values\); model\/h1.*; model\/h2.*\)$/,
    },
  ],
  [
    "converted weights that are not the checkpoint's",
    async () => {
      const folder = await converted("float16");
      const source = changed(await openCheckpoint(MICRO.folder), (name, values) => {
        if (name === "model/wte") values[0]! += 0.5;
      });
      await writeWeights(folder, source, { dtype: "float16" });
      return folder;
    },
    { "weights: conversion": /^they differ from the numbers of the checkpoint$/ },
  ],
];

describe("what is wrong is named, and the other checks go on", { concurrency: 2 }, () => {
  for (const [what, make, expected] of damages) {
    test(what, async () => {
      const checks = await verified(await make());
      assert.deepEqual(named(checks, "failed").sort(), Object.keys(expected).sort());
      for (const [name, detail] of Object.entries(expected)) assert.match(checks.get(name)!.detail, detail);
      assert.ok(named(checks, "left out").includes("reference results"));
    });
  }

  test("weights without checksums, as another program writes them, and begun files are no failure", async () => {
    const folder = await converted("float32", false);
    const path = join(folder, "model.json");
    const { userDefinedMetadata: _, ...manifest } = JSON.parse(readFileSync(path, "utf8")) as Record<
      string,
      unknown
    >;
    writeFileSync(path, JSON.stringify(manifest));
    writeFileSync(join(folder, `${DATA}.part`), "12345");
    const checks = await verified(folder, { known: await knownMicro() });
    assert.deepEqual(named(checks, "failed"), []);
    assert.deepEqual(named(checks, "left out"), [`${DATA}.part`, "weights: checksums"]);
    assert.equal(checks.get("recognition")?.result, "ok");
  });

  test("bytes changed, cut and added anywhere: something fails, nothing is thrown", async () => {
    const folder = await converted("float32");
    let seed = 7;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % below;
    };
    const names = [
      "encoder.json",
      "hparams.json",
      DATA,
      "model.ckpt.index",
      SHARD,
      "model.json",
      "vocab.bpe",
    ];
    for (let i = 0; i < 6 * names.length; i++) {
      const path = join(folder, names[i % names.length]!);
      const whole = readFileSync(path);
      const at = random(whole.length);
      const [before, after] = [whole.subarray(0, at), whole.subarray(at)];
      const changed = Buffer.from(whole);
      changed[at]! ^= 1 + random(255);
      const ways = [changed, before, Buffer.concat([before, Buffer.from([random(256)]), after])];
      writeFileSync(path, ways[i % 3]!);
      const failed = named(await verified(folder), "failed");
      assert.ok(failed.length > 0, `${path}: way ${i % 3} at ${at} of ${whole.length}`);
      writeFileSync(path, whole);
    }
    assert.deepEqual(named(await verified(folder), "failed"), []);
  });
});
