import { readFileSync } from "node:fs";
import { loadAddon } from "../../../system/addon.js";
import { option, UserError } from "../../../system/errors.js";

const PAGE = 65536;
/**
 * The most pages of one WebAssembly memory: one less than 4 GiB, so that the end of every allocation is a 32-bit address
 * too. At exactly 4 GiB it would be 0, and loops up to it would do nothing.
 */
export const LIMIT_PAGES = 65535;
/** A cache line: threads that write to different allocations never share one. */
const ALIGN = 64;

/**
 * A memory that threads share, as small as possible; it grows when it must.
 * @param start bytes in use from the beginning
 * @throws UserError when there is not even address space for it
 */
export function createMemory(start: number, maximum = LIMIT_PAGES): WebAssembly.Memory {
  try {
    const memory = new WebAssembly.Memory({ initial: Math.ceil(start / PAGE), maximum, shared: true });
    adviseHugePages(memory, maximum * PAGE);
    return memory;
  } catch (error) {
    throw new UserError("out of memory: no address space for the model", {
      next: "is `ulimit -v` set?",
      cause: error,
    });
  }
}

/** Pages of 2 MiB. Those of other sizes, 512 MiB on some arm64 systems, would waste more than they save. */
const HUGE_PAGE = 2 ** 21;
const HUGE_PAGE_SIZE = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";

/**
 * Linux hands out memory 4 KiB at a time, and each first touch costs a trap: on a virtual machine more than reading
 * the weights into it. Huge pages cost far fewer, but only native code can ask for them; all works without them, too.
 */
function adviseHugePages(memory: WebAssembly.Memory, bytes: number): void {
  const addon = loadAddon();
  if (typeof addon === "string" || !addon.hugePages) return;
  try {
    if (Number(readFileSync(HUGE_PAGE_SIZE, "utf8")) !== HUGE_PAGE) return;
  } catch {
    return; // a kernel without them
  }
  addon.hugePages(new Uint8Array(memory.buffer), bytes);
}

/** Allocates parts of a WebAssembly memory, which grows when it must. What is released is used again. */
export class Heap {
  /** Free parts in order of address; no two touch. */
  private readonly free: { at: number; size: number }[] = [];
  private readonly sizes = new Map<number, number>();
  private end: number;

  /**
   * @param start the first byte to hand out
   * @param advice for the message when memory runs out: what to do
   */
  constructor(
    readonly memory: WebAssembly.Memory,
    start: number,
    private readonly advice = `use ${option("precision", "int8")}, a smaller batch, or a smaller model`,
  ) {
    this.end = memory.buffer.byteLength;
    if (this.end > start) this.free.push({ at: start, size: this.end - start });
  }

  /**
   * @returns the address of `size` bytes, a multiple of 64; they are not cleared
   * @throws UserError when the memory cannot grow
   */
  allocate(bytes: number): number {
    const size = Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN);
    let index = this.free.findIndex((part) => part.size >= size);
    if (index < 0) {
      this.grow(size);
      index = this.free.length - 1;
    }
    const part = this.free[index];
    const at = part.at;
    part.at += size;
    part.size -= size;
    if (part.size === 0) this.free.splice(index, 1);
    this.sizes.set(at, size);
    return at;
  }

  /** Frees what allocate() returned. */
  release(at: number): void {
    const size = this.sizes.get(at);
    if (size === undefined) throw new RangeError(`nothing is allocated at ${at}`);
    this.sizes.delete(at);
    let index = this.free.findIndex((part) => part.at > at);
    if (index < 0) index = this.free.length;
    this.free.splice(index, 0, { at, size });
    this.join(index);
    this.join(index - 1);
  }

  /** Joins a free part with the one after it if they touch. */
  private join(index: number): void {
    const part = this.free[index];
    const next = this.free[index + 1];
    if (part && next && part.at + part.size === next.at) {
      part.size += next.size;
      this.free.splice(index + 1, 1);
    }
  }

  /** Grows the memory, so that its last free part has this size. */
  private grow(size: number): void {
    const last = this.free.at(-1);
    const open = last && last.at + last.size === this.end ? last.size : 0;
    const bytes = Math.ceil((size - open) / PAGE) * PAGE;
    try {
      this.memory.grow(bytes / PAGE);
    } catch (error) {
      const megabytes = Math.ceil((this.end + bytes) / 2 ** 20);
      throw new UserError(`out of memory: ${megabytes} MB are needed`, {
        next: this.advice,
        cause: error,
      });
    }
    if (open && last) last.size += bytes;
    else this.free.push({ at: this.end, size: bytes });
    this.end += bytes;
  }
}
