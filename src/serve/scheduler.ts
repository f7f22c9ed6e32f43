import { setImmediate as nextTurn } from "node:timers/promises";
import type { Engine, Sequence, Step } from "../model/engine.js";
import type { Advance, Continuation } from "../sampling/continuation.js";
import { commonLength, PrefixCache } from "./prefix-cache.js";

/** A sequence to compute: a prompt's continuation, or the logits of the prompt itself. */
export interface Task {
  /** 1 to n_ctx token ids. */
  readonly prompt: readonly number[];
  /** Begins the sample, once the prompt has been read; undefined: only the prompt is read. */
  readonly begin?: () => Continuation;
  /** Called with the logits [n_vocab] after each token of the prompt, in order; valid during the call. */
  readonly onLogits?: (position: number, logits: Float32Array) => void;
  /** Called with what each token adds, the last time with a finish_reason. */
  readonly onAdvance?: (advance: Advance) => void;
  /** Called last. @param error why the task was abandoned; undefined: it is done */
  readonly onEnd: (error?: unknown) => void;
}

/** How much is computed and kept at a time. */
export interface SchedulerOptions {
  /** The most sequences computed at once. */
  readonly max_batch: number;
  /** The most sequences that wait for a place. */
  readonly queue: number;
  /** Memory for keys and values of finished sequences, in case the next one begins alike. */
  readonly cache_megabytes: number;
}

/** Work done since the start. */
export interface SchedulerCounts {
  /** Tokens of prompts read. */
  prompt: number;
  /** Tokens of prompts that another sequence had read before. */
  reused: number;
  /** Tokens drawn. */
  drawn: number;
  /** Passes, and the sequences in them: rows / passes is the mean batch. */
  passes: number;
  rows: number;
}

/**
 * Tokens of prompts that a pass reads while texts are being written: so few that the pass takes about twice as long as
 * without them. When nobody waits for the next token, it reads more.
 */
const BESIDE = 32;
const ALONE = 128;
/** Tokens that a pass reads of a prompt with all logits wanted: [SCORED, n_vocab] floats are in memory at a time. */
const SCORED = 32;
/** A copy of a sequence costs as much as reading a few tokens. */
const WORTH_COPYING = 8;
/**
 * Turns of the event loop between passes. One turn accepts a connection, the next reads from it: with one turn per
 * pass, a request would wait for two or three passes.
 */
const TURNS = 4;

/** A waiting or running task. */
class Entry {
  /** Undefined until reading begins. */
  sequence: Sequence | undefined;
  /** Undefined while its prompt is read. */
  sample: Continuation | undefined;
  /** All tokens to read before the next is drawn, including those already read. */
  context: number[];
  isAborted = false;

  constructor(readonly task: Task) {
    this.context = task.prompt.slice();
  }

  get unread(): number {
    return this.context.length - (this.sequence?.length ?? 0);
  }
}

/** An entry's share of a pass. */
interface Share {
  readonly entry: Entry;
  readonly sequence: Sequence;
  readonly ids: readonly number[];
}

/**
 * Continuous batching: computes the tasks of many requests side by side, first come, first served. A sequence joins at
 * the next token and leaves when it is done. Prompts are read in pieces between tokens, starting after the prefix that a
 * running or kept sequence has read. Knows engines and samples, not requests.
 */
export class Scheduler {
  readonly counts: SchedulerCounts = { prompt: 0, reused: 0, drawn: 0, passes: 0, rows: 0 };
  readonly #engine: Engine;
  readonly #options: SchedulerOptions;
  readonly #cache: PrefixCache;
  #waiting: Entry[] = [];
  #running: Entry[] = [];
  /** Fewer than max_batch while there is no memory for more. */
  #places: number;
  #failure: unknown;
  #closing: Error | undefined;
  #wake: () => void = () => {};
  readonly #ended: Promise<void>;

  constructor(engine: Engine, options: SchedulerOptions) {
    const { n_layer, n_embd } = engine.hparams;
    const tokenBytes = 2 * n_layer * n_embd * 4; // a key and a value per layer
    this.#engine = engine;
    this.#options = options;
    this.#cache = new PrefixCache(engine, Math.floor((options.cache_megabytes * 1e6) / tokenBytes));
    this.#places = options.max_batch;
    this.#ended = this.#loop();
  }

  /** The most sequences taken at a time. */
  get capacity(): number {
    return this.#options.max_batch + this.#options.queue;
  }

  /** Sequences being computed. */
  get running(): number {
    return this.#running.length;
  }

  /** Sequences waiting for a place. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Tokens whose keys and values are kept for sequences that begin alike. */
  get cached(): number {
    return this.#cache.tokens;
  }

  /** Why the engine last failed to compute a single sequence. */
  get failure(): unknown {
    return this.#failure;
  }

  /**
   * Takes all tasks or none.
   * @returns a function that abandons them within a token, without further calls; undefined if the queue is full
   */
  add(tasks: readonly Task[]): (() => void) | undefined {
    if (this.#running.length + this.#waiting.length + tasks.length > this.capacity) return undefined;
    if (this.#closing) throw this.#closing;
    const entries = tasks.map((task) => new Entry(task));
    this.#waiting.push(...entries);
    this.#wake();
    return () => {
      for (const entry of entries) entry.isAborted = true;
      this.#waiting = this.#waiting.filter(({ isAborted }) => !isAborted);
      this.#wake();
    };
  }

  /** Abandons every task for this reason, and frees all sequences. */
  async close(reason: Error): Promise<void> {
    this.#closing ??= reason;
    this.#wake();
    await this.#ended;
  }

  async #loop(): Promise<void> {
    while (!this.#closing) {
      this.#admit();
      if (this.#running.length === 0) {
        await new Promise<void>((wake) => {
          this.#wake = wake;
        });
        continue;
      }
      await this.#pass();
      for (let turn = 0; turn < TURNS; turn++) await nextTurn();
    }
    for (const entry of [...this.#running, ...this.#waiting]) this.#leave(entry, this.#closing);
    this.#waiting = [];
    this.#cache.clear();
  }

  /** Drops aborted tasks, and lets waiting ones take the free places. */
  #admit(): void {
    for (const entry of this.#running.filter(({ isAborted }) => isAborted)) this.#leave(entry);
    this.#running.push(...this.#waiting.splice(0, Math.max(0, this.#places - this.#running.length)));
    for (const entry of this.#running) if (!entry.sequence) this.#start(entry);
  }

  /**
   * Gives an entry its sequence, starting after the tokens that another has read. If a running one is about to read more
   * of them than any has, waits for that one.
   */
  #start(entry: Entry): void {
    const { task, context } = entry;
    if (task.onLogits && !entry.sample) {
      entry.sequence = this.#engine.createSequence(); // all positions' logits are wanted
      return;
    }
    const most = context.length - 1; // the last token must be read for its logits
    const kept = this.#cache.find(context, most);
    let read = 0;
    let soon = 0;
    let from: Sequence | undefined;
    for (const { sequence, context: other } of this.#running) {
      if (!sequence) continue;
      const common = Math.min(commonLength(other, context), most);
      soon = Math.max(soon, common);
      if (Math.min(common, sequence.length) <= read) continue;
      read = Math.min(common, sequence.length);
      from = sequence;
    }
    const best = Math.max(read, kept);
    if (soon >= best + WORTH_COPYING) return;
    if (best < WORTH_COPYING) entry.sequence = this.#engine.createSequence();
    else if (kept >= read) entry.sequence = this.#cache.take(context, kept);
    else if (from) entry.sequence = this.#engine.fork(from, read);
    this.counts.reused += entry.sequence?.length ?? 0;
  }

  /** Plans the next pass: a token of each text, and pieces of the prompts in even shares. */
  #share(): Share[] {
    const ready = this.#running.filter(({ sequence, unread }) => sequence && unread > 0);
    const isWriting = ready.some(({ sample, unread }) => sample && unread === 1);
    let budget = isWriting ? BESIDE : ALONE;
    // Those with little left first: the others share what these do not need.
    const readers = ready.filter(({ unread }) => unread > 1).sort((a, b) => a.unread - b.unread);
    const pieces = new Map<Entry, number>();
    for (const [i, entry] of readers.entries()) {
      const most = entry.task.onLogits ? SCORED : ALONE;
      const piece = Math.max(1, Math.min(entry.unread, most, Math.floor(budget / (readers.length - i))));
      pieces.set(entry, piece);
      budget -= piece;
    }
    return ready.map((entry) => {
      const sequence = entry.sequence as Sequence;
      const end = sequence.length + (pieces.get(entry) ?? 1);
      return { entry, sequence, ids: entry.context.slice(sequence.length, end) };
    });
  }

  /** One pass over all running sequences, and a second for prompts with all logits wanted. */
  async #pass(): Promise<void> {
    const shares = this.#share();
    const isScored = ({ entry }: Share): boolean => entry.task.onLogits !== undefined && !entry.sample;
    const plain = shares.filter((share) => !isScored(share));
    const scored = shares.filter(isScored);
    const isDone = (await this.#compute(plain, "last")) && (await this.#compute(scored, "all"));
    if (!isDone) return;
    this.counts.passes++;
    this.counts.rows += shares.length;
  }

  /** Computes shares and draws the next tokens. @returns whether it could */
  async #compute(shares: readonly Share[], wanted: "last" | "all"): Promise<boolean> {
    if (shares.length === 0) return true;
    const before = shares.map(({ sequence }) => sequence.length);
    let logits: Float32Array[];
    try {
      logits = await this.#engine.forward(shares as readonly Step[], wanted);
    } catch (error) {
      this.#makeRoom(error);
      return false;
    }
    this.#failure = undefined;
    const { n_vocab } = this.#engine.hparams;
    for (const [i, { entry, ids }] of shares.entries()) {
      if (entry.isAborted) continue;
      if (!entry.sample) this.counts.prompt += ids.length;
      try {
        for (let row = 0; wanted === "all" && row < ids.length; row++) {
          entry.task.onLogits?.(before[i] + row, logits[i].subarray(row * n_vocab, (row + 1) * n_vocab));
        }
        if (entry.unread === 0) this.#advance(entry, logits[i].subarray(-n_vocab));
      } catch (error) {
        this.#leave(entry, error);
      }
    }
    return true;
  }

  /** Draws an entry's next token. */
  #advance(entry: Entry, logits: Float32Array): void {
    const { task } = entry;
    entry.sample ??= task.begin?.();
    if (!entry.sample) {
      this.#leave(entry);
      return;
    }
    const advance = entry.sample.advance(logits);
    this.counts.drawn++;
    task.onAdvance?.(advance);
    if (advance.finish_reason) {
      this.#leave(entry);
      return;
    }
    const { ids, afresh } = entry.sample.next();
    if (!afresh) {
      entry.context.push(...ids);
      return;
    }
    if (entry.sequence) this.#engine.free(entry.sequence);
    entry.sequence = undefined;
    entry.context = [...ids];
  }

  /** Ends an entry, and keeps its sequence for others that begin alike. */
  #leave(entry: Entry, error?: unknown): void {
    this.#running = this.#running.filter((other) => other !== entry);
    const { sequence, context, isAborted, task } = entry;
    if (sequence) this.#cache.keep(sequence, context.slice(0, sequence.length));
    entry.sequence = undefined;
    this.#places = Math.min(this.#options.max_batch, this.#places + 1);
    if (!isAborted) task.onEnd(error);
  }

  /**
   * Frees memory after a failed pass, which most likely had none left for keys and values: first the kept sequences, then
   * the youngest running one, which is read again once another has left. One that fails alone is abandoned.
   */
  #makeRoom(error: unknown): void {
    if (this.#cache.clear()) return;
    const youngest = this.#running.at(-1);
    if (!youngest) return;
    if (this.#running.length === 1) {
      this.#failure = error;
      if (youngest.sequence) this.#engine.free(youngest.sequence);
      youngest.sequence = undefined;
      this.#leave(youngest, error);
      return;
    }
    if (youngest.sequence) this.#engine.free(youngest.sequence);
    youngest.sequence = undefined;
    this.#running.pop();
    this.#waiting.unshift(youngest);
    this.#places = this.#running.length;
  }
}
