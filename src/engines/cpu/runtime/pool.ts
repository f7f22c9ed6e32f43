import { Worker } from "node:worker_threads";
import { CONTROL_AT, Control, InferenceJob, LINE } from "../../../../assembly/abi.js";
import { messageOf, option, UserError } from "../../../system/errors.js";
import { instantiate, type Kernels, type Program, type ProgramExports } from "./program.js";

/** The first byte after the control words and one counter per thread, a cache line each. */
export const HEAP_START = (threads: number): number => CONTROL_AT + LINE * (threads + 1);

/**
 * How many times a thread looks for the others before it sleeps: some ten microseconds. Fewer costs an idle machine
 * speed; more takes time from whatever else runs on a busy one.
 */
const SPINS = 4000;
/** Seconds without progress after which a thread gives up: the one it waits for is gone. */
const PATIENCE = 30;

/** What a worker gets. */
export interface WorkerData {
  readonly program: Program;
  readonly memory: WebAssembly.Memory;
  readonly thread: number;
}

/** What a pool runs, and on how many threads. */
export interface PoolOptions {
  readonly program: Program;
  readonly threads: number;
  readonly memory: WebAssembly.Memory;
  /** For tests: seconds to wait for a thread that does not answer. */
  readonly patience?: number;
}

/** The threads over one memory: this one, and workers that sleep between jobs and never keep the process alive. */
export class Pool<Exports extends ProgramExports = ProgramExports> {
  private broken: UserError | undefined;
  private stopping = false;

  private constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly words: Int32Array,
    readonly exports: Exports,
    /** This thread's kernels. */
    readonly kernels: Kernels,
    private readonly workers: readonly Worker[],
  ) {
    for (const worker of workers) {
      worker.on("error", (error) => this.fail(`a worker thread failed (${messageOf(error)})`));
      worker.on("exit", () => this.fail("a worker thread ended"));
      worker.unref();
    }
  }

  /** @throws UserError when a thread cannot be started */
  static async start<Exports extends ProgramExports>({
    program,
    threads,
    memory,
    patience = PATIENCE,
  }: PoolOptions): Promise<Pool<Exports>> {
    const words = new Int32Array(memory.buffer, CONTROL_AT, LINE / 4);
    words[Control.THREADS] = threads;
    words[Control.SPINS] = SPINS;
    words[Control.PATIENCE] = patience;
    words[Control.PAGES] = memory.buffer.byteLength / 65536;
    const data = { program, memory };
    const started = await Promise.allSettled(
      Array.from({ length: threads - 1 }, (_, i) => startWorker({ ...data, thread: i + 1 })),
    );
    const workers = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const failure = started.find((result) => result.status === "rejected");
    if (failure) {
      await Promise.all(workers.map((worker) => worker.terminate()));
      throw new UserError(`cannot start ${threads} threads (${messageOf(failure.reason)})`, {
        next: `use fewer ${option("threads")}`,
      });
    }
    const { exports, kernels } = instantiate<Exports>(program, memory, 0);
    return new Pool(memory, words, exports, kernels, workers);
  }

  /**
   * Runs a job on all threads, including this one.
   * @param argument the address of the job's record
   * @throws UserError when a thread has failed
   */
  run(kind: number, argument: number): void {
    if (this.broken) throw this.broken;
    this.begin(kind, argument);
    try {
      this.exports.run();
    } catch (error) {
      this.fail("the worker threads do not answer", error);
      throw this.broken;
    }
  }

  /** Ends the workers. */
  async stop(): Promise<void> {
    this.stopping = true;
    if (!this.broken) this.begin(InferenceJob.STOP, 0);
    this.broken ??= new UserError("the engine has been disposed of");
    // A worker waiting for a job ends by itself when told to; terminate() is for one that cannot listen.
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }

  private begin(kind: number, argument: number): void {
    this.words[Control.PAGES] = this.memory.buffer.byteLength / 65536;
    this.words[Control.KIND] = kind;
    this.words[Control.ARGUMENT] = argument;
    this.words[Control.START] = this.words[Control.GENERATION];
    Atomics.add(this.words, Control.JOB, 1);
    Atomics.notify(this.words, Control.JOB);
  }

  private fail(what: string, cause?: unknown): void {
    if (this.stopping || this.broken) return;
    this.broken = new UserError(what, {
      next: `try again, with ${option("threads", 1)} if it happens again`,
      cause,
    });
    // Whoever waits at a barrier must not wait for ever.
    Atomics.store(this.words, Control.FAILED, 1);
    Atomics.notify(this.words, Control.GENERATION);
  }
}

/** Starts one worker and waits until it is ready. */
function startWorker(workerData: WorkerData): Promise<Worker> {
  return new Promise((resolve, reject) => {
    // Not the program's own options: with `node --input-type=module -e` every worker would fail.
    const worker = new Worker(new URL("worker.js", import.meta.url), { workerData, execArgv: [] });
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`it ended with code ${code}`)));
    worker.once("message", () => {
      worker.removeAllListeners();
      resolve(worker);
    });
  });
}
