import { PAGE, PANEL } from "../../../../assembly/abi.js";
import type { Hparams } from "../../../model/hparams.js";
import { PagedCache } from "../../paged-cache.js";
import type { Heap } from "../runtime/heap.js";

/** The key/value cache on the heap that the threads share: a page is its address. */
export class Cache extends PagedCache {
  /** Bytes of one layer in a page: keys [n_head, 4, n_state, 8], values [n_head, ceil(n_state / 8), 32, 8]. */
  readonly layerBytes: number;
  private readonly pageBytes: number;

  constructor(
    private readonly heap: Heap,
    { n_embd, n_head, n_layer }: Hparams,
  ) {
    super(PAGE);
    const n_state = n_embd / n_head;
    this.layerBytes = n_head * PAGE * (n_state + Math.ceil(n_state / PANEL) * PANEL) * 4;
    this.pageBytes = n_layer * this.layerBytes;
  }

  protected allocate(): number {
    return this.heap.allocate(this.pageBytes);
  }

  protected release(page: number): void {
    this.heap.release(page);
  }

  protected copy(from: number, to: number): void {
    new Uint8Array(this.heap.memory.buffer).copyWithin(to, from, from + this.pageBytes);
  }
}
