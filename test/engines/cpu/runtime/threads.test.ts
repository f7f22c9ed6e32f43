import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { CONTROL_AT, Control, LINE, Own, TrainingJob } from "../../../../dist/assembly/abi.js";
import { createMemory, Heap } from "../../../../dist/src/engines/cpu/runtime/heap.js";
import { tryNative } from "../../../../dist/src/engines/cpu/runtime/native-trial.js";
import { HEAP_START, Pool } from "../../../../dist/src/engines/cpu/runtime/pool.js";
import { instantiate, loadProgram } from "../../../../dist/src/engines/cpu/runtime/program.js";
import { MATMUL, write } from "../../../../dist/src/engines/cpu/runtime/records.js";

const THREADS = 3;
const [m, k, n] = [61, 800, 53]; // two blocks: four phases

/** A product as a job of three threads, all of them in this test's hands. */
async function product(native: boolean) {
  const program = await loadProgram("train", native);
  const memory = createMemory(HEAP_START(THREADS), 256);
  const heap = new Heap(memory, HEAP_START(THREADS));
  const control = (word: Control): number => CONTROL_AT / 4 + word;
  const words = (): Int32Array => new Int32Array(memory.buffer);
  words()[control(Control.THREADS)] = THREADS;
  words()[control(Control.PATIENCE)] = 1;
  words()[control(Control.PAGES)] = memory.buffer.byteLength / 65536;
  const threads = Array.from({ length: THREADS }, (_, thread) => instantiate(program, memory, thread));
  const { kernels } = threads[0];
  const floats = (length: number, value: (i: number) => number): number => {
    const at = heap.allocate(length * 4);
    new Float32Array(memory.buffer, at, length).set(Float32Array.from({ length }, (_, i) => value(i)));
    return at;
  };
  const own = kernels["training_own_bytes"](k, 1, 8);
  const record = heap.allocate(MATMUL.bytes);
  const c = floats(m * n, () => 0);
  write(memory, record, MATMUL, {
    ...{ m, n, k, c, c_row: n, a_row: k, a_k: 1, b_k: n, b_column: 1 },
    a: floats(m * k, (i) => (i % 7) - 3),
    b: floats(k * n, (i) => (i % 5) - 2),
    own: heap.allocate(own * THREADS),
    own_bytes: own,
    shared: heap.allocate(kernels["training_shared_bytes"](k)),
  });
  words()[control(Control.PAGES)] = memory.buffer.byteLength / 65536;
  words()[control(Control.KIND)] = TrainingJob.MATMUL;
  words()[control(Control.ARGUMENT)] = record;
  return {
    memory,
    program,
    record,
    threads,
    result: () => new Float32Array(memory.buffer, c, m * n),
    word: (index: Control) => words()[control(index)],
    set: (index: Control, value: number): void => {
      words()[control(index)] = value;
    },
    /** Lets threads join in. @param start the phase at which the job began */
    open(start: number): void {
      words()[control(Control.START)] = start;
      Atomics.add(words(), control(Control.JOB), 1);
      Atomics.notify(words(), control(Control.JOB));
    },
  };
}

const expected = Float32Array.from({ length: m * n }, (_, at) => {
  const [row, column] = [Math.floor(at / n), at % n];
  let sum = 0; // whole numbers: exact in any order
  for (let i = 0; i < k; i++) sum += (((row * k + i) % 7) - 3) * (((i * n + column) % 5) - 2);
  return sum;
});

for (const native of [false, true]) {
  const trial = tryNative("train");
  const skip = native && !trial.works ? trial.reason : false;
  describe(`threads that the system holds up: ${native ? "native" : "WebAssembly"}`, { skip }, () => {
    test("a thread that never comes delays nobody: the others do its units", async () => {
      const { threads, result, open, word } = await product(native);
      open(0);
      threads[0].exports.run();
      assert.deepEqual(result(), expected);
      assert.deepEqual([word(Control.JOB), word(Control.GENERATION), word(Control.FAILED)], [2, 4, 0]);
    });

    test("one that comes when the phases are over finds nothing to do, and touches nothing", async () => {
      const { threads, result, open, word } = await product(native);
      open(0);
      threads[0].exports.run();
      result().fill(7);
      open(0);
      threads[1].exports.run();
      assert.ok(
        result().every((value) => value === 7),
        "no unit was done twice",
      );
      assert.deepEqual([word(Control.GENERATION), word(Control.FAILED)], [4, 0]);
      // It is with the others again in the next job.
      result().fill(0);
      open(4);
      threads[1].exports.run();
      assert.deepEqual(result(), expected);
      assert.equal(word(Control.GENERATION), 8);
    });

    test("phases are counted past the end of 32 bits", async () => {
      const { memory, threads, result, open, word, set } = await product(native);
      set(Control.GENERATION, -3);
      const lastTaken = (thread: number): number => (CONTROL_AT + LINE * (thread + 1)) / 4 + Own.TAKEN + 1;
      for (const thread of threads.keys()) new Int32Array(memory.buffer)[lastTaken(thread)] = -4;
      for (const [start, thread] of [
        [-3, 0],
        [1, 2],
      ]) {
        result().fill(0);
        open(start);
        threads[thread].exports.run();
        assert.deepEqual(result(), expected);
        assert.equal(word(Control.GENERATION), start + 4);
      }
    });

    test("a worker that slept joins in, and does all that nobody else does", {
      timeout: 60_000,
    }, async () => {
      const { memory, program, result, open, word } = await product(native);
      const pool = await Pool.start({ program, memory, threads: 2 });
      const phases = 8;
      for (let start = 0; start < phases; start += 4) {
        result().fill(0);
        open(start); // and the first thread stays away
        while (word(Control.GENERATION) !== start + 4) await nextTurn();
        open(start + 4); // it is over
        assert.deepEqual(result(), expected);
      }
      await pool.stop();
    });

    test("threads that never look twice before they sleep", async () => {
      const { memory, program, result, record, set } = await product(native);
      const pool = await Pool.start({ program, memory, threads: THREADS });
      set(Control.SPINS, 0);
      for (let i = 0; i < 100; i++) {
        result().fill(0);
        pool.run(TrainingJob.MATMUL, record);
        assert.deepEqual(result(), expected);
      }
      await pool.stop();
    });
  });
}
