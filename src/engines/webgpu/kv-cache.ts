import type { Sequence } from "../../model/engine.js";
import type { Hparams } from "../../model/hparams.js";
import { option, UserError } from "../../system/errors.js";
import { type Device, USAGE } from "./device.js";
import { PAGE } from "./shaders/wgsl.js";

/** A sequence with the numbers of its pages, each of them 32 positions of keys and values for every layer. */
export class CachedSequence implements Sequence {
  length = 0;
  pages: number[] = [];
}

/** Pages that the cache begins with. */
const FIRST_PAGES = 4;

/**
 * The key/value cache: one buffer a layer, cut into pages [2, H, ...]. Keys and values are written into place by the
 * program that computes them; forks share full pages. It doubles when it is full, and never shrinks.
 */
export class Cache {
  /** One a layer; others after it has grown (see `generation`). */
  layers: GPUBuffer[] = [];
  /** Rises when the buffers are others than before. */
  generation = 0;
  private readonly pageBytes: number;
  private capacity = 0;
  private readonly unused: number[] = [];
  /** How many sequences hold a page. */
  private readonly holders = new Map<number, number>();
  private readonly sequences = new Set<CachedSequence>();
  /** A page on its way from one place to another: a buffer cannot be copied into itself. */
  private readonly between: GPUBuffer;

  constructor(
    private readonly device: Device,
    private readonly hparams: Hparams,
  ) {
    const { n_embd, n_head } = hparams;
    this.pageBytes = 2 * n_head * PAGE * Math.ceil(n_embd / n_head / 4) * 4 * 4;
    this.between = device.createBuffer(this.pageBytes, USAGE.copyFrom | USAGE.copyTo, "a page of the cache");
    this.grow(FIRST_PAGES);
  }

  create(): CachedSequence {
    const sequence = new CachedSequence();
    this.sequences.add(sequence);
    return sequence;
  }

  /** @throws RangeError when the sequence is not of this cache, or has been freed */
  check(sequence: Sequence): CachedSequence {
    if (sequence instanceof CachedSequence && this.sequences.has(sequence)) return sequence;
    throw new RangeError("no sequence of this engine, or one that has been freed");
  }

  /** Whether sequences can have this many positions without new buffers. */
  hasRoom(wanted: readonly { readonly sequence: CachedSequence; readonly length: number }[]): boolean {
    const pages = wanted.map(({ sequence, length }) => Math.ceil(length / PAGE) - sequence.pages.length);
    return pages.reduce((sum, n) => sum + Math.max(0, n), 0) <= this.unused.length;
  }

  /** Allocates pages for this many positions. @throws UserError when a buffer cannot be so large */
  reserve(sequence: CachedSequence, length: number): void {
    const wanted = Math.ceil(length / PAGE) - sequence.pages.length;
    if (wanted > this.unused.length) this.grow(this.capacity + wanted - this.unused.length);
    for (let i = 0; i < wanted; i++) {
      const page = this.unused.pop()!;
      this.holders.set(page, 1);
      sequence.pages.push(page);
    }
  }

  /** @param length how many of its first positions the copy has */
  fork(from: CachedSequence, length = from.length): CachedSequence {
    const copy = this.create();
    copy.length = length;
    const full = Math.floor(length / PAGE); // never written to again
    try {
      for (const page of from.pages.slice(0, full)) {
        this.holders.set(page, this.holders.get(page)! + 1);
        copy.pages.push(page);
      }
      if (full * PAGE < length) {
        this.reserve(copy, length);
        this.copyPage(from.pages[full], copy.pages[full]);
      }
    } catch (error) {
      this.free(copy);
      throw error;
    }
    return copy;
  }

  free(sequence: CachedSequence): void {
    this.sequences.delete(sequence);
    for (const page of sequence.pages) {
      const holders = this.holders.get(page)! - 1;
      if (holders > 0) this.holders.set(page, holders);
      else {
        this.holders.delete(page);
        this.unused.push(page);
      }
    }
    sequence.pages = [];
  }

  private copyPage(from: number, to: number): void {
    const { device, pageBytes, between } = this;
    const encoder = device.gpuDevice.createCommandEncoder();
    for (const layer of this.layers) {
      device.copy(encoder, layer, from * pageBytes, between, 0, pageBytes);
      device.copy(encoder, between, 0, layer, to * pageBytes, pageBytes);
    }
    device.gpuDevice.queue.submit([encoder.finish()]);
  }

  /** At least this many pages; twice as many as now, if they fit. */
  private grow(wanted: number): void {
    const { device, pageBytes, capacity } = this;
    const most = Math.floor(device.largestBuffer / pageBytes);
    if (wanted > most) {
      throw new UserError(
        `${device.name} has room for the keys and values of ${most * PAGE} tokens, not ${wanted * PAGE}`,
        { next: `use a smaller ${option("batch_size")}` },
      );
    }
    const next = Math.min(most, Math.max(wanted, 2 * capacity));
    const usage = USAGE.storage | USAGE.copyFrom | USAGE.copyTo;
    const layers: GPUBuffer[] = [];
    for (let i = 0; i < this.hparams.n_layer; i++) {
      layers.push(device.createBuffer(next * pageBytes, usage, "the keys and values"));
    }
    if (capacity > 0) {
      const encoder = device.gpuDevice.createCommandEncoder();
      for (const [i, layer] of this.layers.entries())
        device.copy(encoder, layer, 0, layers[i], 0, capacity * pageBytes);
      device.gpuDevice.queue.submit([encoder.finish()]);
      for (const layer of this.layers) device.destroyBuffer(layer);
    }
    this.layers = layers;
    // The lowest numbers are handed out first.
    for (let page = next - 1; page >= capacity; page--) this.unused.push(page);
    this.capacity = next;
    this.generation++;
  }
}
