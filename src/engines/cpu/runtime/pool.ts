import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { messageOf, UserError } from "../../../system/errors.js";

/** Jobs of the engine; assembly/inference/index.ts has the same numbers. Every program knows `stop`. */
export const JOB = {
  stop: 0,
  forward: 1,
  packLinear: 2,
  packRows: 3,
  quantizeLinear: 4,
  quantizeRows: 5,
} as const;

/** Words of class Control in assembly/threads.ts. */
const CONTROL = {
  job: 0,
  kind: 1,
  argument: 2,
  threads: 3,
  generation: 5,
  failed: 7,
  spins: 8,
  patience: 9,
} as const;
/** Where the control words stand: address 0 means "none", and from 1024 on the modules have constants of theirs. */
const CONTROL_AT = 2048;
/** The control words and a counter a thread, one cache line each. */
export const HEAP_START = (threads: number): number => CONTROL_AT + 64 * (threads + 1);

/**
 * How often a thread looks whether the others have come before it sleeps: some ten microseconds. Shorter costs
 * an idle machine speed, longer takes time from whoever else uses a busy one.
 */
const SPINS = 4000;
/** A thread gives up when nothing has happened for so many seconds: the thread that it waits for is gone. */
const PATIENCE = 30;

/** What the compiled module exports. */
export interface Exports {
  join(control: number, thread: number): void;
  serve(seen: number): void;
  run(): void;
}

/** What a worker is given. */
export interface WorkerData {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly control: number;
  readonly thread: number;
}

export interface PoolOptions {
  /** The module's file, beside this one, or the module itself. */
  readonly program: string | WebAssembly.Module;
  readonly threads: number;
  readonly memory: WebAssembly.Memory;
  /** For tests: how long to wait for a thread that does not answer. */
  readonly patience?: number;
}

/** The bytes of a module, from its file beside this one. */
export async function readProgram(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await readFile(new URL(name, import.meta.url)));
}

/** An instance of a module over a shared memory, as one of several threads. */
export function instantiate({ module, memory, control, thread }: WorkerData): Exports {
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  exports.join(control, thread);
  return exports;
}

/** The threads over one memory: this one, and workers that sleep between jobs and never keep the process alive. */
export class Pool {
  private broken: UserError | undefined;
  private stopping = false;

  private constructor(
    private readonly words: Int32Array,
    private readonly own: Exports,
    private readonly workers: readonly Worker[],
  ) {
    for (const worker of workers) {
      worker.on("error", (error) => this.fail(`a worker thread failed (${messageOf(error)})`));
      worker.on("exit", () => this.fail("a worker thread ended"));
      worker.unref();
    }
  }

  /** @throws UserError when a thread cannot be started */
  static async start({ program, threads, memory, patience = PATIENCE }: PoolOptions): Promise<Pool> {
    const module =
      typeof program === "string" ? await WebAssembly.compile(await readProgram(program)) : program;
    const words = new Int32Array(memory.buffer, CONTROL_AT, 16);
    words[CONTROL.threads] = threads;
    words[CONTROL.spins] = SPINS;
    words[CONTROL.patience] = patience;
    const data = { module, memory, control: CONTROL_AT };
    const started = await Promise.allSettled(
      Array.from({ length: threads - 1 }, (_, i) => startWorker({ ...data, thread: i + 1 })),
    );
    const workers = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const failure = started.find((result) => result.status === "rejected");
    if (failure) {
      await Promise.all(workers.map((worker) => worker.terminate()));
      throw new UserError(
        `cannot start ${threads} threads (${messageOf(failure.reason)}): use a smaller --threads`,
      );
    }
    return new Pool(words, instantiate({ ...data, thread: 0 }), workers);
  }

  /**
   * Runs a job on all threads, this one among them.
   * @param argument the address that the job is about
   * @throws UserError when a thread has failed
   */
  run(kind: number, argument: number): void {
    if (this.broken) throw this.broken;
    this.begin(kind, argument);
    try {
      this.own.run();
    } catch (error) {
      this.fail("the worker threads do not answer", error);
      throw this.broken;
    }
  }

  /** Ends the workers. */
  async stop(): Promise<void> {
    this.stopping = true;
    if (!this.broken) this.begin(JOB.stop, 0);
    this.broken ??= new UserError("the engine has been disposed of");
    // A worker in an endless wait ends by itself when it is told to; terminate() is for one that cannot listen.
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }

  private begin(kind: number, argument: number): void {
    this.words[CONTROL.kind] = kind;
    this.words[CONTROL.argument] = argument;
    Atomics.add(this.words, CONTROL.job, 1);
    Atomics.notify(this.words, CONTROL.job);
  }

  private fail(what: string, cause?: unknown): void {
    if (this.stopping || this.broken) return;
    this.broken = new UserError(`${what}: start the command again, with --threads 1 if it happens again`, {
      cause,
    });
    // Whoever waits at a barrier must not wait for ever.
    Atomics.store(this.words, CONTROL.failed, 1);
    Atomics.notify(this.words, CONTROL.generation);
  }
}

/** Starts one worker and waits until it is ready. */
function startWorker(workerData: WorkerData): Promise<Worker> {
  return new Promise((resolve, reject) => {
    // Not the program's own options: `node --input-type=module -e` would end every worker.
    const worker = new Worker(new URL("worker.js", import.meta.url), { workerData, execArgv: [] });
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`it ended with code ${code}`)));
    worker.once("message", () => {
      worker.removeAllListeners();
      resolve(worker);
    });
  });
}
