import { setImmediate } from "node:timers/promises";
import { TrainingJob as Job, type Mode } from "../../../../assembly/abi.js";
import type { Heap } from "../runtime/heap.js";
import type { Pool } from "../runtime/pool.js";
import {
  ATTENTION,
  CROSSENTROPY,
  EMBEDDING,
  type FieldValues,
  LAYERNORM,
  MATMUL,
  type RecordType,
  UPDATE,
  VALUES,
  write,
} from "../runtime/records.js";

type Of<T> = T extends RecordType<infer F> ? FieldValues<F> : never;

/** After this many milliseconds of work the event loop gets a turn: signals, timers, a progress bar. */
const TURN = 50;

/** A factor of a product: where it is, and the distance between its rows in values; `transposed` swaps its two sides. */
export interface Factor {
  readonly at: number;
  readonly row: number;
  readonly transposed?: boolean;
}

/** The threads' operations, one job per call. Each returns when all threads are done. */
export class Operations {
  /**
   * Two records, used in turn: a thread may look at one again after the others have finished its job, but not after they
   * have finished the next.
   */
  private readonly records: readonly number[];
  private jobs = 0;
  private turn = performance.now();
  /** The threads' scratch memory for panels. */
  panels = { shared: 0, own: 0, own_bytes: 0 };

  constructor(
    private readonly heap: Heap,
    private readonly pool: Pool,
  ) {
    this.records = [heap.allocate(MATMUL.bytes), heap.allocate(MATMUL.bytes)];
  }

  /**
   * c = a b, or c += a b, whose sums start from c. a [m, k], b [k, n], c [m, n]
   * @param bias [n], or 0 @param c_row values from row to row of c
   */
  matmul(
    [m, k, n]: readonly [number, number, number],
    a: Factor,
    b: Factor,
    c: number,
    { add = false, bias = 0, c_row = n } = {},
  ): Promise<void> {
    const [a_row, a_k] = a.transposed ? [1, a.row] : [a.row, 1];
    const [b_k, b_column] = b.transposed ? [1, b.row] : [b.row, 1];
    const { shared, own, own_bytes } = this.panels;
    const sides = { a: a.at, a_row, a_k, b: b.at, b_k, b_column, c, c_row, bias, add: Number(add) };
    return this.run(Job.MATMUL, MATMUL, { m, n, k, ...sides, shared, own, own_bytes });
  }

  /** y = LayerNorm(x). x, y [rows, n], g, b [n] */
  layernormForward(
    values: Pick<Of<typeof LAYERNORM>, "rows" | "n" | "g" | "b" | "x" | "y" | "epsilon">,
  ): Promise<void> {
    return this.run(Job.LAYERNORM_FORWARD, LAYERNORM, values);
  }

  /**
   * dx += the gradient of x, from that of y; dg and db likewise, where they are not 0.
   * x, y, dx [rows, n], g, dg, db [n], moments [rows, 2], written here
   */
  layernormBackward(values: Omit<Of<typeof LAYERNORM>, "b">): Promise<void> {
    return this.run(Job.LAYERNORM_BACKWARD, LAYERNORM, values);
  }

  /** a = causal attention. qkv [n, t, 3 n_embd], a [n, t, n_embd], rows [n, n_head, t, 2] */
  attentionForward(values: Pick<Of<typeof ATTENTION>, AttentionFields>): Promise<void> {
    const { own, own_bytes } = this.panels;
    return this.run(Job.ATTENTION_FORWARD, ATTENTION, { ...values, own, own_bytes });
  }

  /** dqkv, from da and what attentionForward() left in rows; shapes as there. */
  attentionBackward(values: Pick<Of<typeof ATTENTION>, AttentionFields | "da" | "dqkv">): Promise<void> {
    const { own, own_bytes } = this.panels;
    return this.run(Job.ATTENTION_BACKWARD, ATTENTION, { ...values, own, own_bytes });
  }

  /** y = the activation of x. x, y [n] */
  activationForward(activation: Mode, n: number, x: number, y: number): Promise<void> {
    return this.run(Job.ACTIVATION_FORWARD, VALUES, { activation, n, x, y });
  }

  /** z = z times the derivative at x, y = the activation of x */
  activationBackward(activation: Mode, n: number, x: number, y: number, z: number): Promise<void> {
    return this.run(Job.ACTIVATION_BACKWARD, VALUES, { activation, n, x, y, z });
  }

  /** y += the sum of the rows of x [rows, n] */
  biasBackward(rows: number, n: number, x: number, y: number): Promise<void> {
    return this.run(Job.BIAS_BACKWARD, VALUES, { rows, n, x, y });
  }

  /** y += x */
  residual(n: number, x: number, y: number): Promise<void> {
    return this.run(Job.RESIDUAL, VALUES, { n, x, y });
  }

  /** x = scale x */
  scale(n: number, x: number, scale: number): Promise<void> {
    return this.run(Job.SCALE, VALUES, { n, x, y: x, scale });
  }

  /** y = x. x, y [n] */
  copy(n: number, x: number, y: number): Promise<void> {
    return this.run(Job.COPY, VALUES, { n, x, y });
  }

  /** y = 0. y [n] */
  clear(n: number, y: number): Promise<void> {
    return this.run(Job.COPY, VALUES, { n, x: 0, y });
  }

  /** x = wte[id] + wpe[position]. ids [rows], x [rows, n], in sequences of t rows */
  embeddingForward(values: Of<typeof EMBEDDING>): Promise<void> {
    return this.run(Job.EMBEDDING_FORWARD, EMBEDDING, values);
  }

  /** Adds rows of x to those of wte and wpe: all three are gradients. */
  embeddingBackward(values: Of<typeof EMBEDDING>): Promise<void> {
    return this.run(Job.EMBEDDING_BACKWARD, EMBEDDING, values);
  }

  /** Losses of rows of logits and, unless scale is 0, scale times the logits' gradient in their place. */
  crossentropy(values: Of<typeof CROSSENTROPY>): Promise<void> {
    return this.run(Job.CROSSENTROPY, CROSSENTROPY, values);
  }

  /** One step of Adam over n values; clears their gradients. */
  adam(values: Of<typeof UPDATE>): Promise<void> {
    return this.run(Job.ADAM, UPDATE, values);
  }

  /** values -= rate * mean * gradients; clears the gradients. */
  sgd(values: Omit<Of<typeof UPDATE>, "m" | "v" | "correction">): Promise<void> {
    return this.run(Job.SGD, UPDATE, values);
  }

  private async run<T extends RecordType>(job: Job, type: T, values: Partial<Of<T>>): Promise<void> {
    if (performance.now() - this.turn > TURN) {
      await setImmediate();
      this.turn = performance.now();
    }
    const record = this.records[this.jobs++ % 2];
    write(this.heap.memory, record, type, values);
    this.pool.run(job, record);
  }
}

type AttentionFields = "n" | "t" | "n_head" | "n_embd" | "qkv" | "a" | "rows" | "scale";
