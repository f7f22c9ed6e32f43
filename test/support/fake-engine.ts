import assert from "node:assert/strict";
import type { Engine, LogitsWanted, Sequence, Step } from "../../dist/src/model/engine.js";
import type { Hparams } from "../../dist/src/model/hparams.js";

export const HPARAMS: Hparams = { n_vocab: 27, n_ctx: 16, n_embd: 1, n_head: 1, n_layer: 1 };
export const EOS = 26;

interface FakeSequence extends Sequence {
  ids: number[];
}

/**
 * An engine whose logits depend on all ids of the sequence and on nothing else, by a hash: any slip of the
 * sampler in what it feeds to which sequence changes the text. Counts what it is asked to do.
 */
export class FakeEngine implements Engine {
  readonly name = "fake";
  readonly precision = "float32";
  readonly open = new Set<FakeSequence>();
  readonly passes: number[] = [];
  tokensRead = 0;
  mostOpen = 0;
  onForward = (_steps: readonly Step[]): void | Promise<void> => {};
  private results: Float32Array[] = [];

  constructor(readonly hparams: Hparams = HPARAMS) {}

  createSequence(ids: number[] = []): FakeSequence {
    const sequence = {
      ids,
      get length() {
        return this.ids.length;
      },
    };
    this.open.add(sequence);
    this.mostOpen = Math.max(this.mostOpen, this.open.size);
    return sequence;
  }

  fork(sequence: Sequence, length = sequence.length): Sequence {
    assert.ok(this.open.has(sequence as FakeSequence));
    assert.ok(length <= sequence.length);
    return this.createSequence((sequence as FakeSequence).ids.slice(0, length));
  }

  free(sequence: Sequence): void {
    assert.ok(this.open.delete(sequence as FakeSequence), "freed twice, or never made");
  }

  async forward(steps: readonly Step[], wanted: LogitsWanted = "last"): Promise<Float32Array[]> {
    await this.onForward(steps);
    this.passes.push(steps.length);
    for (const old of this.results) old.fill(Number.NaN); // the arrays are valid until the next call
    this.results = steps.map(({ sequence, ids }) => {
      const own = sequence as FakeSequence;
      assert.ok(this.open.has(own));
      assert.ok(ids.length > 0);
      const { n_vocab, n_ctx } = this.hparams;
      const rows = Array.from(ids, (id) => {
        own.ids.push(id);
        return this.logits(own.ids);
      });
      this.tokensRead += ids.length;
      assert.ok(own.ids.length <= n_ctx);
      const kept = wanted === "all" ? rows : wanted === "last" ? rows.slice(-1) : [];
      const result = new Float32Array(kept.length * n_vocab);
      for (const [i, row] of kept.entries()) result.set(row, i * n_vocab);
      return result;
    });
    return this.results;
  }

  private logits(ids: readonly number[]): number[] {
    let hash = 17;
    for (const id of ids) hash = (Math.imul(hash, 31) + id + 1) | 0;
    return Array.from({ length: this.hparams.n_vocab }, (_, id) => {
      const mixed = Math.imul(hash ^ (id * 0x9e3779b1), 0x85ebca6b) >>> 8;
      return (mixed % 1000) / 250 - (id === EOS ? 2 : 0);
    });
  }

  async dispose(): Promise<void> {}
}

/** Token n is the n-th letter. */
export const LETTERS = {
  endOfText: EOS,
  decoder: () => ({ push: (id: number) => (id === EOS ? "#" : String.fromCharCode(97 + id)), end: () => "" }),
};
