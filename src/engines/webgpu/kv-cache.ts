import type { Hparams } from "../../model/hparams.js";
import { option, UserError } from "../../system/errors.js";
import { type CachedSequence, PagedCache } from "../paged-cache.js";
import { type Device, USAGE } from "./device.js";
import { PAGE } from "./shaders/wgsl.js";

/** The cache's initial number of pages. */
const FIRST_PAGES = 4;

/**
 * The key/value cache: one buffer per layer, divided into numbered pages [2, H, ...]. Programs write keys and
 * values in place. It doubles when it is full, and never shrinks.
 */
export class Cache extends PagedCache {
  /** One per layer; replaced when the cache grows (see `generation`). */
  layers: GPUBuffer[] = [];
  /** Rises whenever the buffers are replaced. */
  generation = 0;
  private readonly pageBytes: number;
  private capacity = 0;
  private readonly unused: number[] = [];
  /** Holds a page being copied, because a buffer cannot be copied to itself. */
  private readonly between: GPUBuffer;

  constructor(
    private readonly device: Device,
    private readonly hparams: Hparams,
  ) {
    super(PAGE);
    const { n_embd, n_head } = hparams;
    this.pageBytes = 2 * n_head * PAGE * Math.ceil(n_embd / n_head / 4) * 4 * 4;
    this.between = device.createBuffer(this.pageBytes, USAGE.copyFrom | USAGE.copyTo, "a page of the cache");
    this.grow(FIRST_PAGES);
  }

  /** Whether sequences can grow to these lengths without new buffers. */
  hasRoom(wanted: readonly { readonly sequence: CachedSequence; readonly length: number }[]): boolean {
    const pages = wanted.map(({ sequence, length }) => this.missing(sequence, length));
    return pages.reduce((sum, n) => sum + n, 0) <= this.unused.length;
  }

  override reserve(sequence: CachedSequence, length: number): void {
    const wanted = this.missing(sequence, length) - this.unused.length;
    if (wanted > 0) this.grow(this.capacity + wanted);
    super.reserve(sequence, length);
  }

  protected allocate(): number {
    return this.unused.pop()!;
  }

  protected release(page: number): void {
    this.unused.push(page);
  }

  protected copy(from: number, to: number): void {
    const { device, pageBytes, between } = this;
    const encoder = device.gpuDevice.createCommandEncoder();
    for (const layer of this.layers) {
      device.copy(encoder, layer, from * pageBytes, between, 0, pageBytes);
      device.copy(encoder, between, 0, layer, to * pageBytes, pageBytes);
    }
    device.gpuDevice.queue.submit([encoder.finish()]);
  }

  /** Grows to at least this many pages, and to twice the present number if they fit. */
  private grow(wanted: number): void {
    const { device, pageBytes, capacity } = this;
    const most = Math.floor(device.largestBuffer / pageBytes);
    if (wanted > most) {
      throw new UserError(
        `${device.name} has memory for the keys and values of ${most * PAGE} tokens, not ${wanted * PAGE}`,
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
    // The lowest numbers are used first.
    for (let page = next - 1; page >= capacity; page--) this.unused.push(page);
    this.capacity = next;
    this.generation++;
  }
}
