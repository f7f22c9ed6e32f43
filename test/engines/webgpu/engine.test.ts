import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { findGpu, isSoftwareAdapter, parseAdapterNames } from "../../../dist/src/engines/webgpu/adapter.js";
import { Device } from "../../../dist/src/engines/webgpu/device.js";
import {
  createWebgpuEngine,
  type WebgpuEngine,
  type WebgpuOptions,
} from "../../../dist/src/engines/webgpu/engine.js";
import { orderOf, placeOf } from "../../../dist/src/engines/webgpu/order.js";
import { cutColumns } from "../../../dist/src/engines/webgpu/weights.js";
import type { Engine, Step } from "../../../dist/src/model/engine.js";
import type { Hparams } from "../../../dist/src/model/hparams.js";
import { inOrder, type SampleOptions, sample } from "../../../dist/src/sampling/sample.js";
import { UserError } from "../../../dist/src/system/errors.js";
import { difference, readInPieces } from "../../support/conformance.js";
import { MICRO, withSource } from "../../support/models.js";
import { randomParameters, referenceLogits, sourceOf } from "../../support/wasm-reference.js";
import { ANY_GPU, IS_SOFTWARE, NO_GPU } from "../../support/webgpu.js";

/** No size is a multiple of a panel's, a page's or a vector's. */
const ODD: Hparams = { n_vocab: 317, n_ctx: 70, n_embd: 35, n_head: 5, n_layer: 2 };
const TINY: Hparams = { n_vocab: 33, n_ctx: 64, n_embd: 16, n_head: 2, n_layer: 1 };
const someIds = (n: number, n_vocab: number, seed = 3): number[] =>
  Array.from({ length: n }, (_, i) => (seed + i * 79) % n_vocab);

test("the order of inputs: every input has a place of its own, and a thread's follow each other", () => {
  for (const [n, most] of [
    [35, 256],
    [140, 256],
    [768, 256],
    [1600, 256],
    [6400, 256],
    [100, 8],
    [3, 8],
  ]) {
    const order = orderOf(n, most);
    assert.ok(order.slices <= most && order.slices % 8 === 0 && order.size >= n, JSON.stringify(order));
    assert.ok(order.size < n + order.slices, "no more room than a row of threads is left empty");
    const places = Array.from({ length: n }, (_, k) => placeOf(k, order));
    assert.equal(new Set(places).size, n);
    assert.ok(Math.max(...places) < order.size);
    for (let k = 1; k < n; k++)
      if (k % order.chunk > 0) assert.equal(places[k] - places[k - 1], order.slices);
  }
});

test("a matrix is cut into slices of whole panels that buffers can hold", () => {
  const order = orderOf(1600, 256);
  const slices = cutColumns(50257, order, "float32", 128 << 20);
  assert.equal(slices.length, 3);
  let next = 0;
  for (const { first, columns } of slices) {
    assert.equal(first, next);
    assert.equal(first % 8, 0);
    assert.ok(Math.ceil(columns / 8) * 8 * order.size * 4 <= 128 << 20);
    next = first + columns;
  }
  assert.equal(next, 50257);
  assert.equal(cutColumns(50257, order, "float16", 1 << 30).length, 1);
});

test("software that plays a GPU is told from a GPU by what it says of itself", () => {
  const info = { vendor: "", architecture: "", device: "", description: "" };
  assert.ok(isSoftwareAdapter({ ...info, vendor: "google", architecture: "swiftshader" }));
  assert.ok(isSoftwareAdapter({ ...info, description: "llvmpipe (LLVM 15.0.6, 256 bits)" }));
  assert.ok(isSoftwareAdapter({ ...info, device: "Microsoft Basic Render Driver" }));
  assert.ok(isSoftwareAdapter({ ...info, isFallbackAdapter: true }));
  assert.ok(!isSoftwareAdapter({ ...info, vendor: "nvidia", description: "NVIDIA: 580.159.04 580.159.4.0" }));
  assert.ok(!isSoftwareAdapter({ ...info, vendor: "apple", architecture: "metal-3", device: "Warpath" }));
});

test("the names in Dawn's list of adapters", () => {
  const message =
    "no suitable backends found\nAvailable adapters:\n * backend: 'vulkan', name: 'NVIDIA H200'\n * backend: 'vulkan', name: 'Intel(R) UHD Graphics'\n * backend: 'opengl', name: 'NVIDIA H200'\n";
  assert.deepEqual(parseAdapterNames(message), ["NVIDIA H200", "Intel(R) UHD Graphics"]);
  assert.deepEqual(parseAdapterNames("no suitable backends found"), []);
});

describe("on a GPU", { skip: NO_GPU ?? false }, () => {
  const create = (hparams: Hparams, seed = 7, options: WebgpuOptions = {}): Promise<WebgpuEngine> =>
    createWebgpuEngine(hparams, sourceOf(hparams, randomParameters(hparams, seed)), {
      gpu: ANY_GPU,
      ...options,
    });
  const using = async (engine: WebgpuEngine, use: (engine: WebgpuEngine) => Promise<void>): Promise<void> => {
    try {
      await use(engine);
    } finally {
      await engine.dispose();
    }
  };

  test("odd sizes equal float64, however many threads share a sum and rows a workgroup", async () => {
    const parameters = randomParameters(ODD, 7);
    const ids = someIds(67, ODD.n_vocab);
    const expected = referenceLogits(ODD, parameters, ids);
    for (const tuning of [{}, { slices: 32, attentionThreads: 32, parts: 3 }, { rowsTogether: 1, rows: 5 }]) {
      await using(await create(ODD, 7, { tuning }), async (engine) => {
        const [all] = await engine.forward([{ sequence: engine.createSequence(), ids }], "all");
        const found = difference(all, expected.flat());
        assert.ok(found < 1e-5, `${JSON.stringify(tuning)}: ${found}`);
      });
    }
  });

  test("matrices cut into slices give the same bits", async () => {
    const read = async (largestBuffer?: number): Promise<[Float32Array, number]> => {
      const engine = await create(ODD, 7, { largestBuffer });
      const logits = await readInPieces(engine, someIds(9, ODD.n_vocab), 4);
      const { dispatches } = engine.counts;
      await engine.dispose();
      return [logits, dispatches];
    };
    const [whole, few] = await read();
    const [cut, many] = await read(20_000);
    assert.ok(many > few, `${many} dispatches, ${few} without slices`);
    assert.deepEqual(cut, whole);
  });

  test("no bit depends on how a prompt is cut, on the batch, or on pages that others used before", async () => {
    await using(await create(ODD), async (engine) => {
      const ids = someIds(40, ODD.n_vocab);
      const whole = await readInPieces(engine, ids, 40);
      for (const piece of [1, 7, 33]) assert.deepEqual(await readInPieces(engine, ids, piece), whole);
      const steps = [5, 40, 1, 64, 32, 33].map((n, i) => ({
        sequence: engine.createSequence(),
        ids: n === 40 ? ids : someIds(n, ODD.n_vocab, i),
      }));
      assert.deepEqual((await engine.forward(steps))[1], whole);
    });
  });

  test("float16: the logits are those of the rounded weights", async () => {
    const parameters = randomParameters(ODD, 7);
    for (const [name, values] of parameters) {
      // Numbers that float16 holds exactly: nothing is left to round.
      if (/\/w$|wte/.test(name)) for (const i of values.keys()) values[i] = Math.round(values[i] * 512) / 512;
    }
    const ids = someIds(20, ODD.n_vocab);
    const expected = referenceLogits(ODD, parameters, ids);
    const options = { gpu: ANY_GPU, precision: "float16" } as const;
    await using(await createWebgpuEngine(ODD, sourceOf(ODD, parameters), options), async (engine) => {
      assert.equal(engine.precision, "float16");
      const [all] = await engine.forward([{ sequence: engine.createSequence(), ids }], "all");
      const found = difference(all, expected.flat());
      assert.ok(found < 1e-5, String(found));
    });
  });

  test("a token takes at most 10 dispatches and 7 a layer, and copies its logits alone", async () => {
    await using(await create(ODD), async (engine) => {
      const sequence = engine.createSequence();
      await engine.forward([{ sequence, ids: [1, 2, 3] }]);
      for (const batch of [[sequence], [sequence, engine.fork(sequence), engine.fork(sequence)]]) {
        const before = { ...engine.counts };
        await engine.forward(batch.map((each) => ({ sequence: each, ids: [4] })));
        const { dispatches, copied } = engine.counts;
        assert.ok(dispatches - before.dispatches <= 10 + 7 * ODD.n_layer, String(dispatches));
        assert.equal(copied - before.copied, batch.length * 4 * ODD.n_vocab);
      }
    });
  });

  test("only the largest logits come back where they are enough, and a seed's text stays the same", async () => {
    const WIDE: Hparams = { n_vocab: 3001, n_ctx: 32, n_embd: 16, n_head: 2, n_layer: 1 };
    const decoding = { decoder: () => ({ push: (id: number) => `${id} `, end: () => "" }) };
    const write = async (engine: Engine, options: Partial<SampleOptions>): Promise<string> => {
      const all = { seed: 5, nsamples: 3, batch_size: 2, temperature: 1, top_k: 0, top_p: 1, length: 6 };
      let text = "";
      for await (const event of inOrder(sample(engine, decoding, [1, 2], { ...all, ...options })))
        if (event.type === "text") text += event.text;
      return text;
    };
    await using(await create(WIDE), async (engine) => {
      const whole: Engine = {
        name: engine.name,
        precision: engine.precision,
        hparams: engine.hparams,
        createSequence: () => engine.createSequence(),
        fork: (sequence, length) => engine.fork(sequence, length),
        forward: (steps, wanted) => engine.forward(steps, wanted),
        free: (sequence) => engine.free(sequence),
        dispose: async () => {},
      };
      for (const options of [{ temperature: 0 }, { top_k: 40, top_p: 0.9 }, { top_k: 129 }]) {
        const before = engine.counts.copied;
        const text = await write(engine, options);
        const copied = engine.counts.copied - before;
        assert.equal(text, await write(whole, options), JSON.stringify(options));
        const all = engine.counts.copied - before - copied;
        assert.equal(text.split(" ").length, 19);
        assert.ok(options.top_k === 129 ? copied === all : copied < all / 2, `${copied} of ${all} bytes`);
      }
    });
    const parameters = randomParameters(WIDE, 7);
    parameters.get("model/wte")!.fill(0.5); // every logit is the same: all have to be read
    const equal = await createWebgpuEngine(WIDE, sourceOf(WIDE, parameters), { gpu: ANY_GPU });
    await using(equal, async (engine) => {
      const step = (): Step => ({ sequence: engine.createSequence(), ids: [3] });
      const [all] = await engine.forward([step()]);
      const found = await engine.forwardLargest!([step(), step()], 5);
      for (const logits of found) assert.deepEqual(logits, all);
    });
  });

  test("2,000 tokens in sequences that come and go leave the GPU's buffers as they were", async () => {
    await using(await create(TINY), async (engine) => {
      const rounds = 2000 / 50;
      let after: { buffers: number; bytes: number } | undefined;
      for (let round = 0; round < rounds; round++) {
        const sequence = engine.createSequence();
        for (let i = 0; i < 49; i++) await engine.forward([{ sequence, ids: [i % TINY.n_vocab] }]);
        const fork = engine.fork(sequence);
        await engine.forward([{ sequence: fork, ids: [1] }]);
        engine.free(fork);
        engine.free(sequence);
        const { buffers, bytes } = engine.counts;
        after ??= { buffers, bytes };
        assert.deepEqual({ buffers, bytes }, after);
      }
    });
  });

  test("the cache grows with what is used, and what was in it stays", async () => {
    await using(await create(TINY), async (engine) => {
      const ids = someIds(40, TINY.n_vocab);
      const first = engine.createSequence();
      await engine.forward([{ sequence: first, ids: ids.slice(0, 39) }], "none");
      const { bytes } = engine.counts;
      const others = Array.from({ length: 9 }, () => engine.fork(first));
      assert.ok(engine.counts.bytes > bytes);
      const last = ids.slice(39);
      const logits = await engine.forward([first, ...others].map((sequence) => ({ sequence, ids: last })));
      const expected = referenceLogits(TINY, randomParameters(TINY, 7), ids)[39];
      for (const each of logits) assert.ok(difference(each, expected) < 1e-5);
    });
  });

  test("two models in one process do not disturb each other", async () => {
    const [a, b] = [await create(ODD, 1), await create(TINY, 2)];
    const [x, y] = [a.createSequence(), b.createSequence()];
    const one = someIds(6, ODD.n_vocab);
    const other = someIds(6, TINY.n_vocab);
    let results: Float32Array[] = [];
    for (let i = 0; i < 6; i++) {
      const both = [
        a.forward([{ sequence: x, ids: [one[i]] }]),
        b.forward([{ sequence: y, ids: [other[i]] }]),
      ];
      results = (await Promise.all(both)).map(([logits]) => logits);
    }
    await a.dispose();
    assert.ok(difference(results[0], referenceLogits(ODD, randomParameters(ODD, 1), one)[5]) < 1e-5);
    assert.ok(difference(results[1], referenceLogits(TINY, randomParameters(TINY, 2), other)[5]) < 1e-5);
    await b.forward([{ sequence: y, ids: [1] }]); // the other one's end is not its own
    await b.dispose();
  });

  test("a run that is cancelled ends, and its pages are free again", async () => {
    await using(await create(TINY), async (engine) => {
      const controller = new AbortController();
      const decoding = { decoder: () => ({ push: String, end: () => "" }) };
      const options = { seed: 1, nsamples: 3, batch_size: 3, temperature: 1, top_k: 0, top_p: 1 };
      let events = 0;
      const reasons: string[] = [];
      for await (const event of sample(engine, decoding, [1, 2], { ...options, signal: controller.signal })) {
        if (++events === 9) controller.abort();
        if (event.type === "end") reasons.push(event.finish_reason);
      }
      assert.deepEqual(reasons, ["interrupted", "interrupted", "interrupted"]);
      await readInPieces(engine, someIds(10, TINY.n_vocab), 10);
    });
  });

  test("a GPU that is lost, or refuses, ends the next call in one line", async () => {
    const engine = await create(TINY);
    const sequence = engine.createSequence();
    await engine.forward([{ sequence, ids: [1] }]);
    const running = engine.forward([{ sequence, ids: [2] }]);
    await engine.dispose();
    await assert.rejects(running, UserError);
    await assert.rejects(engine.forward([{ sequence, ids: [3] }]), RangeError);

    const device = await Device.open(await findGpu(ANY_GPU));
    device.gpuDevice.destroy();
    await device.gpuDevice.lost;
    await new Promise(setImmediate);
    assert.throws(() => device.check(), /^UserError: the GPU .+ was lost .+: try again/);
    const other = await Device.open(await findGpu(ANY_GPU));
    other.pipeline("this is no WGSL", "nonsense");
    await assert.rejects(other.finish(), /^UserError: the GPU .+ refused its work .+: use backend: "wasm"/);
    other.close();
  });

  test("a buffer that is too large is named, with what to do", async () => {
    const device = await Device.open(await findGpu(ANY_GPU));
    assert.throws(
      () => device.createBuffer(2 ** 50, 0x80, "the logits"),
      /^UserError: the logits would take 1125899\.9 GB, and a buffer of .+ has at most .+: use backend: "wasm"/,
    );
    assert.equal(device.counts.buffers, 0);
    device.close();
  });

  test("weights that cannot be read end in their own error", async () => {
    await withSource(MICRO, async (hparams, source) => {
      const read = async (name: string, target: Float32Array): Promise<void> => {
        if (name === "model/h1/ln_2/g") throw new UserError("unplugged");
        return source.read(name, target);
      };
      const broken = { ...source, path: source.path, tensors: source.tensors, read };
      await assert.rejects(createWebgpuEngine(hparams, broken, { gpu: ANY_GPU }), /unplugged/);
    });
  });

  test("a GPU is found by part of its name; another name, or none where there is only software, is refused", async () => {
    const { name, isSoftware } = await findGpu(ANY_GPU);
    assert.equal((await findGpu(name.slice(1, -1).toUpperCase())).name, name);
    await assert.rejects(findGpu("Voodoo 2"), (error: Error) => {
      assert.match(error.message, /^no GPU is named "Voodoo 2": there (is|are) "/);
      assert.ok(error.message.includes(JSON.stringify(name)));
      return error instanceof UserError;
    });
    assert.equal(isSoftware, IS_SOFTWARE);
    if (IS_SOFTWARE) await assert.rejects(findGpu(), /only software that emulates one.* gpu /);
    else assert.equal((await findGpu()).isSoftware, false);
  });
});
