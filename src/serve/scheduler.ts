import { setImmediate as nextTurn } from "node:timers/promises";
import type { Engine, Sequence, Step } from "../model/engine.js";
import type { Advance, Continuation } from "../sampling/continuation.js";
import { commonLength, PrefixCache } from "./prefix-cache.js";

/** One sequence that is asked for: a continuation of a prompt, or what the model makes of the prompt itself. */
export interface Task {
  /** 1 to n_ctx token ids. */
  readonly prompt: readonly number[];
  /** Begins the sample, once, when the prompt has been read; undefined: the prompt is all that is read. */
  readonly begin?: () => Continuation;
  /** Told the logits [n_vocab] behind each token of the prompt, in order; valid during the call. */
  readonly onLogits?: (position: number, logits: Float32Array) => void;
  /** Told what each token adds, the last time with a finish_reason. */
  readonly onAdvance?: (advance: Advance) => void;
  /** It is over, and nothing more is told. @param error why it was given up; undefined: it is done */
  readonly onEnd: (error?: unknown) => void;
}

export interface SchedulerOptions {
  /** Sequences that are computed at once. */
  readonly max_batch: number;
  /** Sequences that may wait for a place. */
  readonly queue: number;
  /** Memory for keys and values of sequences that are over, in case the next one begins alike. */
  readonly cache_megabytes: number;
}

/** What has been computed since the start. */
export interface SchedulerCounts {
  /** Tokens of prompts that were read. */
  prompt: number;
  /** Tokens of prompts that another sequence had read before. */
  reused: number;
  /** Tokens that were drawn. */
  drawn: number;
  /** Passes, and the sequences in them: their quotient is the batch. */
  passes: number;
  rows: number;
}

/**
 * Tokens of prompts that a pass reads: so few beside texts that are being written that a pass takes about twice as
 * long as without them; more where nobody waits for the next token.
 */
const BESIDE = 32;
const ALONE = 128;
/** Of a prompt whose every logit is looked at: [SCORED, n_vocab] floats are in memory at a time. */
const SCORED = 32;
/** A copy of a sequence costs as much as reading a few tokens. */
const WORTH_COPYING = 8;
/**
 * Turns of the event loop between passes. One turn accepts a connection, the next reads from it: with one turn a
 * pass, a request would wait for two or three passes before it is heard.
 */
const TURNS = 4;

/** A task that waits or runs. */
class Entry {
  /** Undefined until it has begun to be read. */
  sequence: Sequence | undefined;
  /** Undefined while its prompt is read. */
  sample: Continuation | undefined;
  /** The tokens that are to be read before the next one is drawn, those that the sequence has read among them. */
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
 * Continuous batching: computes the tasks of many requests side by side. A sequence joins at the next token and
 * leaves when it is done; prompts are read in pieces between tokens, beginning where a sequence that runs or was
 * kept has read the same tokens. First come, first served. It knows engines and samples, nothing of requests.
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
    const tokenBytes = 2 * n_layer * n_embd * 4; // a key and a value a layer
    this.#engine = engine;
    this.#options = options;
    this.#cache = new PrefixCache(engine, Math.floor((options.cache_megabytes * 1e6) / tokenBytes));
    this.#places = options.max_batch;
    this.#ended = this.#loop();
  }

  /** The most sequences that are taken at a time. */
  get capacity(): number {
    return this.#options.max_batch + this.#options.queue;
  }

  /** Sequences that are being computed. */
  get running(): number {
    return this.#running.length;
  }

  /** Sequences that wait for a place. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Tokens whose keys and values are kept for those that begin alike. */
  get cached(): number {
    return this.#cache.tokens;
  }

  /** Why the engine could not compute a single sequence the last time it tried. */
  get failure(): unknown {
    return this.#failure;
  }

  /**
   * Takes tasks, all or none.
   * @returns what gives them up: within a token they are gone, and told nothing more; undefined where the queue is full
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

  /** Gives up every task for this reason, and frees all sequences. */
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

  /** Lets aborted tasks go, and the first that wait take the free places. */
  #admit(): void {
    for (const entry of this.#running.filter(({ isAborted }) => isAborted)) this.#leave(entry);
    this.#running.push(...this.#waiting.splice(0, Math.max(0, this.#places - this.#running.length)));
    for (const entry of this.#running) if (!entry.sequence) this.#start(entry);
  }

  /**
   * Gives an entry its sequence, from where its tokens have been read before. Where one that runs is about to read
   * more of them than any has read, it waits for that one.
   */
  #start(entry: Entry): void {
    const { task, context } = entry;
    if (task.onLogits && !entry.sample) {
      entry.sequence = this.#engine.createSequence(); // every position's logits are wanted
      return;
    }
    const most = context.length - 1; // the last token is read for its logits
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

  /** Cuts the next pass: a token of each text, and pieces of the prompts, shared evenly among them. */
  #share(): Share[] {
    const ready = this.#running.filter(({ sequence, unread }) => sequence && unread > 0);
    const isWriting = ready.some(({ sample, unread }) => sample && unread === 1);
    let budget = isWriting ? BESIDE : ALONE;
    // Those with little left first: what they do not need is the others'.
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

  /** One pass over all sequences that run; a second one for prompts of which every logit is looked at. */
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

  /** Computes shares and draws what follows from them; whether it could. */
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

  /** Ends an entry; its sequence is kept for those that begin alike. */
  #leave(entry: Entry, error?: unknown): void {
    this.#running = this.#running.filter((other) => other !== entry);
    const { sequence, context, isAborted, task } = entry;
    if (sequence) this.#cache.keep(sequence, context.slice(0, sequence.length));
    entry.sequence = undefined;
    this.#places = Math.min(this.#options.max_batch, this.#places + 1);
    if (!isAborted) task.onEnd(error);
  }

  /**
   * A pass failed: most likely there is no memory for so many keys and values. What was kept goes first, then the
   * youngest sequence, which is read again when another has left; one that cannot be computed alone is given up.
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
