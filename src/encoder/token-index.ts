import type { Tokens } from "./scan.js";

/** Finds the id of a token by its bytes. */
export class TokenIndex {
  /** FNV-1a: hash = imul(hash ^ byte, PRIME) for each byte, from BASIS on. */
  static readonly BASIS = 0x811c9dc5 | 0;
  static readonly PRIME = 0x01000193;
  readonly #bytes: Uint8Array;
  readonly #offsets: Uint32Array;
  /** Open addressing: of the hash the bits above those of an id, and id + 1; 0 where it is free. */
  readonly #slots: Int32Array;
  readonly #mask: number;
  /** The bits of a slot that hold an id + 1. */
  readonly #idMask: number;

  private constructor({ bytes, offsets, hashes }: Tokens) {
    this.#bytes = bytes;
    this.#offsets = offsets;
    let slots = 16;
    while (slots < 2 * hashes.length) slots *= 2;
    this.#slots = new Int32Array(slots);
    this.#mask = slots - 1;
    this.#idMask = slots - 1;
  }

  /** An index of the tokens; undefined where two are the same. */
  static of(tokens: Tokens): TokenIndex | undefined {
    const index = new TokenIndex(tokens);
    const slots = index.#slots;
    const { bytes, offsets, hashes } = tokens;
    for (let id = 0; id < hashes.length; id++) {
      const hash = hashes[id]!;
      const slot = index.#slotOf(bytes, offsets[id]!, offsets[id + 1]!, hash);
      if (slots[slot] !== 0) return undefined;
      slots[slot] = (hash & ~index.#idMask) | (id + 1);
    }
    return index;
  }

  /** The slot of the token in text from start to end, whose hash that is, or the free one where it belongs. */
  #slotOf(text: Uint8Array, start: number, end: number, hash: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    const idMask = this.#idMask;
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (;;) {
      const found = slots[slot]!;
      if (found === 0) return slot;
      if (((found ^ hash) & ~idMask) === 0 && this.isToken((found & idMask) - 1, text, start, end))
        return slot;
      slot = (slot + 1) & mask;
    }
  }

  /** Whether a token has the bytes of text from start to end. */
  isToken(id: number, text: Uint8Array, start: number, end: number): boolean {
    const bytes = this.#bytes;
    let own = this.#offsets[id]!;
    if (this.#offsets[id + 1]! - own !== end - start) return false;
    for (let i = start; i < end; i++) if (text[i] !== bytes[own++]) return false;
    return true;
  }

  /** The id of the token with these bytes, -1 where there is none. */
  idOf(token: Uint8Array): number {
    let hash: number = TokenIndex.BASIS;
    for (let i = 0; i < token.length; i++) hash = Math.imul(hash ^ token[i]!, TokenIndex.PRIME);
    return (this.#slots[this.#slotOf(token, 0, token.length, hash)]! & this.#idMask) - 1;
  }

  /** The ids of other tokens: [n]; undefined where one has none. */
  idsOf({ bytes, offsets, hashes }: Tokens): Int32Array | undefined {
    const slots = this.#slots;
    const ids = new Int32Array(hashes.length);
    for (let k = 0; k < ids.length; k++) {
      const found = slots[this.#slotOf(bytes, offsets[k]!, offsets[k + 1]!, hashes[k]!)]!;
      if (found === 0) return undefined;
      ids[k] = (found & this.#idMask) - 1;
    }
    return ids;
  }
}
