import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { unmaskCrc } from "../../dist/src/formats/crc.js";
import { readIndex } from "../../dist/src/formats/tensorflow/bundle.js";
import { openCheckpoint } from "../../dist/src/formats/tensorflow/checkpoint.js";
import { writeCheckpoint } from "../../dist/src/formats/tensorflow/write-checkpoint.js";
import { openWeights } from "../../dist/src/formats/tfjs/read.js";
import { countParameters, sizeOf } from "../../dist/src/model/parameters.js";
import { catalogEntry } from "../../dist/src/models/catalog.js";
import { exportModel } from "../../dist/src/models/export.js";
import { importModel } from "../../dist/src/models/import.js";
import { fingerprint } from "../../dist/src/verify/tensors.js";
import { faultOf } from "../../dist/src/verify/vocabulary.js";
import { MICRO, SHAKESPEARE, STORIES } from "../support/models.js";
import { ROOT } from "../support/spawn.js";
import {
  changed,
  converted,
  copyMicro,
  DATA,
  fresh,
  knownMicro,
  microReference,
  named,
  slowFingerprint,
  verified,
} from "../support/verifying.js";

const OPENAI = join(ROOT, "test/fixtures/openai-124M");

describe("a model by its numbers", () => {
  test("the fingerprint of OpenAI's 124M, from its index's checksums without their mask", async () => {
    const { entries } = await readIndex(join(OPENAI, "model.ckpt.index"));
    const checks = new Map([...entries].map(([name, { maskedCrc }]) => [name, unmaskCrc(maskedCrc)]));
    assert.equal(checks.size, 148);
    const wanted = "70ecca8178653c1e4c14e27247690288c4d7ee9d12430afdf8475171867d3d1d";
    assert.equal(fingerprint(checks), wanted);
    assert.equal(fingerprint(new Map([...checks].reverse())), wanted, "in any order");
    assert.equal(catalogEntry("117M")?.fingerprint, wanted);
  });

  test("the catalog's sizes and parameters fit each other and OpenAI's own file", () => {
    for (const name of ["117M", "345M", "774M", "1558M"]) {
      const known = catalogEntry(name)!;
      assert.equal(countParameters(known.hparams!), known.parameters, name);
      assert.equal(known.files[DATA]?.bytes, 4 * known.parameters, name);
    }
    assert.deepEqual(
      JSON.parse(readFileSync(join(OPENAI, "hparams.json"), "utf8")),
      catalogEntry("117M")?.hparams,
    );
  });

  test("micro is the same as a checkpoint, converted, exported to Hugging Face and imported", async () => {
    const known = await knownMicro();
    const imported = fresh();
    const exported = fresh();
    await exportModel(MICRO.folder, exported, { format: "huggingface" });
    await importModel(exported, imported, { dtype: "float32" });
    for (const folder of [
      MICRO.folder,
      await converted("float32"),
      await converted("float32", false),
      imported,
    ]) {
      const checks = await verified(folder, { known });
      assert.deepEqual(named(checks, "failed"), []);
      assert.equal(checks.get("recognition")?.detail, "these are the weights of the micro model");
      assert.equal([...checks.values()].filter(({ part }) => part === "reference").length, 9, "results");
    }
  });

  test("one number that changes by one bit makes another model of it", async () => {
    const folder = fresh();
    const other = changed(await openCheckpoint(MICRO.folder), (name, values) => {
      if (name === "model/h1/ln_2/b") new Uint32Array(values.buffer, values.byteOffset)[3] ^= 1;
    });
    cpSync(MICRO.folder, folder, { recursive: true });
    await writeCheckpoint(folder, "model.ckpt", other);
    const checks = await verified(folder, { known: await knownMicro() });
    assert.deepEqual(named(checks, "failed"), []);
    assert.deepEqual(named(checks, "left out"), ["recognition", "reference results"]);
    assert.match(checks.get("recognition")!.detail, /these are not the weights of the micro model/);
  });

  test("float16: not recognised; with its checkpoint it is seen that the numbers are that one's", async () => {
    const known = await knownMicro();
    const both = await verified(await converted("float16"), { known });
    assert.deepEqual(named(both, "failed"), []);
    assert.equal(
      both.get("weights: conversion")?.detail,
      "the numbers are the checkpoint's, rounded to float16",
    );
    const alone = await verified(await converted("float16", false), { known });
    for (const checks of [both, alone]) {
      assert.deepEqual(named(checks, "left out"), ["recognition", "reference results"]);
    }
    assert.ok(!alone.has("weights: conversion"));
  });

  for (const [{ name, folder }, prompt, word] of [
    [STORIES, "Once upon a time", "Once"],
    [SHAKESPEARE, "ROMEO:", "To"],
  ] as const) {
    test(`the demo model ${name} is recognised, and computes what it should`, async () => {
      const checks = await verified(folder);
      assert.deepEqual([named(checks, "failed"), named(checks, "left out")], [[], []]);
      assert.equal(checks.get("recognition")?.detail, `these are the weights of the demo model ${name}`);
      assert.match(checks.get(`"${prompt}"`)!.detail, /^continues with the same 40 tokens as/);
      assert.match(
        checks.get("logits at position 6")!.detail,
        /^at most \d\.\de-\d from .* \(0\.001 is allowed\)$/,
      );
      assert.match(
        checks.get(`log P("${word}") at the beginning`)!.detail,
        /^at most \d\.\de-\d from .* \(0\.0001 is allowed\)$/,
      );
    });
  }
});

describe("what a model computes", () => {
  const copy = () => structuredClone(microReference());
  type Mutable<T> = { -readonly [K in keyof T]: Mutable<T[K]> };
  const wrong: [string, (reference: Mutable<ReturnType<typeof microReference>>) => string, RegExp][] = [
    [
      "an id",
      ({ continuations: [{ ids, prompt }] }) => {
        ids[5] = ids[5] === 7 ? 8 : 7;
        return JSON.stringify(prompt);
      },
      /^continues differently from the test's reference: token 6 is 203 \(".*"\), not 7 \("\("\)$/,
    ],
    [
      "an id too many",
      ({ continuations }) => {
        continuations[2]!.ids.push(7);
        return JSON.stringify(continuations[2]!.prompt);
      },
      /: token 25 is \d+ \(".*"\), not 7 \("\("\)$/,
    ],
    [
      "a logit",
      ({ logits: [{ values }] }) => {
        values[4] += 0.002;
        return "logits at position 1";
      },
      /^logit 4 is -?[\d.]{7}\d*, where the test's reference has -?[\d.]+: more than 0\.001 apart$/,
    ],
    [
      "the mean of the logits",
      ({ logits }) => {
        logits.at(-1)!.mean! -= 0.002;
        return "logits at position 0";
      },
      /^the mean of all logits is -?[\d.]+, where .* has -?[\d.]+: more than 0\.001 apart$/,
    ],
    [
      "a log-probability",
      ({ logprobs: [each] }) => {
        each.logprob += 0.0003;
        return 'log P("H") at the beginning';
      },
      /^it is -5\.8352\d, where .* has -5\.834966: more than 0\.0001 apart$/,
    ],
  ];
  for (const [what, change, detail] of wrong) {
    test(`${what} that is not so fails, and nothing else`, async () => {
      const reference = copy() as Mutable<ReturnType<typeof microReference>>;
      const check = change(reference);
      const checks = await verified(MICRO.folder, { known: await knownMicro(reference) });
      assert.deepEqual(named(checks, "failed"), [check]);
      assert.match(checks.get(check)!.detail, detail);
    });
  }

  test("is left out where a file is damaged, though the weights are recognised", async () => {
    const folder = copyMicro();
    writeFileSync(join(folder, "vocab.bpe"), "#version: 0.2\n");
    const checks = await verified(folder, { known: await knownMicro() });
    assert.deepEqual(named(checks, "failed"), ["vocabulary"]);
    assert.equal(checks.get("reference results")?.detail, "not compared: fix what failed first");
  });

  test("weights of OpenAI's with another vocabulary fail", async () => {
    const [known] = await knownMicro();
    const checks = await verified(MICRO.folder, { known: [{ ...known!, isOpenAi: true }] });
    assert.deepEqual(named(checks, "failed"), ["recognition: vocabulary"]);
    assert.deepEqual(named(checks, "left out"), ["reference results"]);
  });
});

describe("the vocabulary's texts", () => {
  test("hold every byte that UTF-8 has; what comes back otherwise is named", () => {
    const bytes = new Set<number>();
    const encode = (text: string): number[] => [...Buffer.from(text)];
    const decode = (ids: Iterable<number>): string => {
      for (const id of ids) bytes.add(id);
      return Buffer.from([...ids]).toString();
    };
    assert.equal(faultOf({ encode, decode }), undefined);
    assert.equal(bytes.size, 256 - 2 - 11, "all but C0, C1 and F5 to FF");
    for (const lost of bytes) {
      const without = (ids: Iterable<number>): string =>
        Buffer.from([...ids].filter((id) => id !== lost)).toString();
      assert.match(
        faultOf({ encode, decode: without }) ?? "",
        /^a text does not come back as it was: character \d+, U\+[0-9A-F]{4,6}, is the first that differs$/,
      );
    }
  });
});

describe("values in pieces", () => {
  test("scan() gives what read() gives, of every type", async () => {
    const folders = ["types", "blocks", "shards"].map((name) =>
      join(ROOT, "test/fixtures/checkpoints", name),
    );
    const sources = [
      ...(await Promise.all(folders.map(openCheckpoint))),
      await openWeights(await converted("float32")),
      await openWeights(await converted("float16")),
      await openWeights(SHAKESPEARE.folder),
    ];
    for (const source of sources) {
      for (const [name, { shape }] of source.tensors) {
        const whole = new Float32Array(sizeOf(shape));
        await source.read(name, whole);
        const pieces: Float32Array[] = [];
        await source.scan(name, (values) => pieces.push(values.slice()));
        const together = pieces.flatMap((piece) => [...piece]);
        assert.deepEqual(Float32Array.from(together), whole, `${source.path} ${name}`);
      }
    }
  });

  test("the fingerprint is its definition's, whatever the type", async () => {
    const folder = await converted("float16");
    const known = await knownMicro();
    const rounded = [{ ...known[0]!, fingerprint: await slowFingerprint(folder) }];
    assert.notEqual(rounded[0]!.fingerprint, known[0]!.fingerprint);
    assert.equal((await verified(folder, { known: rounded })).get("recognition")?.result, "ok");
  });

  test("an abort ends it at once, with the signal's reason", async () => {
    const reason = new Error("enough");
    await assert.rejects(verified(MICRO.folder, { signal: AbortSignal.abort(reason) }), reason);
    const controller = new AbortController();
    const titles: string[] = [];
    const onProgress = (title: string, done: number, total: number): void => {
      assert.ok(done > 0 && done <= total, title);
      titles.push(title);
      if (title === "loading") controller.abort(reason);
    };
    const known = await knownMicro();
    await assert.rejects(verified(MICRO.folder, { known, onProgress, signal: controller.signal }), reason);
    assert.deepEqual([...new Set(titles)], ["checkpoint", "loading"]);
  });
});
