/** What `auto` chooses by, with engines that stand in for a GPU's and the processor's. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Choice, describeTrials, fasterEngine } from "../../../dist/src/engines/webgpu/trial.js";
import type { Engine, Sequence } from "../../../dist/src/model/engine.js";
import { UserError } from "../../../dist/src/system/errors.js";

const HPARAMS = { n_vocab: 10, n_ctx: 1e9, n_embd: 4, n_head: 1, n_layer: 1 };
const SLOW_MS = 30;

/** An engine whose every pass takes so long; none of its logits is looked at. */
class Timed implements Engine {
  readonly precision = "float32";
  readonly hparams = HPARAMS;
  passes = 0;
  sequences = 0;
  isDisposed = false;

  constructor(
    readonly name: string,
    private readonly ms: number,
    private readonly onPass = (): void => {},
  ) {}

  createSequence(): Sequence {
    this.sequences++;
    return { length: 0 };
  }
  fork(): Sequence {
    throw new Error("not needed");
  }
  async forward(): Promise<Float32Array[]> {
    assert.ok(!this.isDisposed);
    this.passes++;
    this.onPass();
    await sleep(this.ms);
    return [new Float32Array(10)];
  }
  free(): void {
    this.sequences--;
  }
  async dispose(): Promise<void> {
    this.isDisposed = true;
  }
}

describe("auto, where WebGPU is installed", () => {
  const folder = mkdtempSync(join(tmpdir(), "gpt2-trial-"));
  const file = join(folder, "below", "gpu-trials.json");
  beforeEach(() => rmSync(join(folder, "below"), { recursive: true, force: true }));
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** What was made for one choice, and said. */
  async function choose(
    gpuMs: number,
    cpuMs: number,
    changes: Partial<Choice> = {},
  ): Promise<{ engine: Engine; made: Timed[]; notices: string[] }> {
    const made: Timed[] = [];
    const notices: string[] = [];
    const make = (name: string, ms: number) => async () => {
      made.push(new Timed(name, ms));
      return made[made.length - 1];
    };
    const engine = await fasterEngine({
      hparams: HPARAMS,
      backend: "native",
      threads: 2,
      precision: { gpu: "float32", cpu: "float32" },
      find: async () => ({ name: "Card 9", driver: "driver 1" }),
      onGpu: make("gpu", gpuMs),
      onCpu: make("cpu", cpuMs),
      onNotice: (line) => notices.push(line),
      file,
      ...changes,
    });
    return { engine, made, notices };
  }

  test("a faster GPU is measured once, and taken from then on", async () => {
    const first = await choose(0, SLOW_MS);
    assert.equal(first.engine.name, "gpu");
    assert.deepEqual(
      first.made.map(({ name, isDisposed, sequences }) => [name, isDisposed, sequences]),
      [
        ["gpu", false, 0],
        ["cpu", true, 0],
      ],
    );
    assert.match(
      first.notices.join("\n"),
      /^Card 9 and the processor were compared .*: GPU \d+, processor \d+ tokens/,
    );
    const second = await choose(0, SLOW_MS);
    assert.deepEqual(
      second.made.map(({ name, passes }) => [name, passes]),
      [["gpu", 0]],
    );
    assert.deepEqual(second.notices, []);
    const [line, ...others] = await describeTrials("Card 9", "driver 1", file);
    assert.match(
      line,
      /^Card 9 \(driver 1\) float32; .*n_layer 1, n_embd 4, .*: GPU \d+, processor \d+ tokens/,
    );
    assert.deepEqual(others, []);
    assert.deepEqual(await describeTrials("Card 9", "driver 2", file), []);
  });

  test("a slower GPU is measured once, and not started again", async () => {
    const first = await choose(SLOW_MS, 0);
    assert.equal(first.engine.name, "cpu");
    assert.deepEqual(
      first.made.map(({ name, isDisposed }) => [name, isDisposed]),
      [
        ["gpu", true],
        ["cpu", false],
      ],
    );
    const second = await choose(SLOW_MS, 0);
    assert.deepEqual(
      second.made.map(({ name, passes }) => [name, passes]),
      [["cpu", 0]],
    );
  });

  test("another driver, model, precision or number of threads is measured anew", async () => {
    await choose(0, SLOW_MS);
    const changes: Partial<Choice>[] = [
      { find: async () => ({ name: "Card 9", driver: "driver 2" }) },
      { hparams: { ...HPARAMS, n_layer: 2 } },
      { precision: { gpu: "float16", cpu: "int8" } },
      { threads: 3 },
      { backend: "wasm" },
    ];
    for (const change of changes) {
      const { made } = await choose(SLOW_MS, 0, change);
      assert.equal(made.length, 2, JSON.stringify(change));
    }
    assert.equal((await choose(0, SLOW_MS)).made.length, 1); // the first one is still known
  });

  test("a damaged file is as none, and is written anew", async () => {
    await choose(0, SLOW_MS);
    const whole = readFileSync(file, "utf8");
    for (const damaged of [
      "",
      "[]",
      '{"a":1}',
      whole.slice(0, -9),
      whole.replace(/"gpu": [\d.]+/, '"gpu": null'),
    ]) {
      writeFileSync(file, damaged);
      assert.equal((await choose(0, SLOW_MS)).made.length, 2, damaged);
      assert.equal((await choose(0, SLOW_MS)).made.length, 1);
    }
  });

  test("without a GPU the processor computes, and nothing is said or kept", async () => {
    const find = (): never => {
      throw new UserError("WebGPU finds no GPU here");
    };
    const { engine, notices } = await choose(0, 0, { find });
    assert.equal(engine.name, "cpu");
    assert.deepEqual(notices, []);
    assert.deepEqual(await describeTrials("Card 9", "driver 1", file), []);
  });

  test("a GPU that fails, at once or in the trial: the processor computes, and one line says so", async () => {
    const small = new UserError("the GPU has too little memory for the weights");
    const lost = new Timed("gpu", 0, () => {
      throw new UserError("the GPU was lost");
    });
    const failing: [Choice["onGpu"], string][] = [
      [() => Promise.reject(small), "the GPU has too little memory for the weights"],
      [async () => lost, "the GPU was lost"],
    ];
    for (const [onGpu, reason] of failing) {
      const { engine, notices } = await choose(0, 0, { onGpu });
      assert.equal(engine.name, "cpu");
      assert.deepEqual(notices, [`${reason}: the processor computes instead`]);
    }
    assert.ok(lost.isDisposed);
  });

  test("a model that only the GPU can hold runs there", async () => {
    const onCpu = (): Promise<never> => Promise.reject(new UserError("too large for one memory"));
    const { engine, made } = await choose(0, 0, { onCpu });
    assert.equal(engine.name, "gpu");
    assert.ok(!made[0].isDisposed);
  });

  test("an abort ends it with its reason, and leaves no engine behind", async () => {
    for (const at of ["gpu", "cpu"]) {
      const controller = new AbortController();
      const reason = new Error("enough");
      const made: Timed[] = [];
      const make = (name: string) => async () => {
        made.push(new Timed(name, 1, () => name === at && controller.abort(reason)));
        return made[made.length - 1];
      };
      const changes = { onGpu: make("gpu"), onCpu: make("cpu"), signal: controller.signal };
      await assert.rejects(choose(0, 0, changes), (error) => error === reason);
      assert.ok(
        made.every(({ isDisposed }) => isDisposed),
        at,
      );
    }
  });
});
