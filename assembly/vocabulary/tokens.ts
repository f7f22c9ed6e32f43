/** The tokens by id, and their ids by their bytes. */
import { BASIS, PRIME } from "./characters";
import { reserve } from "./memory";

/** Number of tokens. */
export let n_vocab: u32 = 0;
/** The bytes of all tokens; those of an id are at offsets[id] to offsets[id + 1]: [n_vocab + 1]. */
export let bytes: usize = 0;
export let offsets: usize = 0;
/** Open addressing: the bits of the hash above the mask, and id + 1; 0 in a free slot. */
let slots: usize = 0;
let mask: u32 = 0;

/** Sets the tokens: n of them, the bytes of all in turn at `text`, offsets [n + 1] at `ends`. */
export function setTokens(n: u32, text: usize, ends: usize): void {
  n_vocab = n;
  bytes = text;
  offsets = ends;
}

/** Indexes all tokens for slotOf. @returns false if two are the same */
export function index(hashes: usize): bool {
  let length: u32 = 16;
  while (length < 2 * n_vocab) length *= 2;
  mask = length - 1;
  slots = reserve(<usize>length << 2);
  for (let id: u32 = 0; id < n_vocab; id++) {
    const start = load<u32>(offsets + (<usize>id << 2));
    const hash = load<u32>(hashes + (<usize>id << 2));
    const slot = slotOf(bytes + start, load<u32>(offsets + (<usize>id << 2) + 4) - start, hash);
    if (load<u32>(slot) != 0) return false;
    store<u32>(slot, (hash & ~mask) | (id + 1));
  }
  return true;
}

/** Whether a token has these bytes. */
export function isToken(id: u32, text: usize, length: u32): bool {
  const start = load<u32>(offsets + (<usize>id << 2));
  if (load<u32>(offsets + (<usize>id << 2) + 4) - start != length) return false;
  const own = bytes + start;
  for (let i: u32 = 0; i < length; i++) if (load<u8>(own + i) != load<u8>(text + i)) return false;
  return true;
}

/** The slot of the token with these bytes and this hash, or the free slot where it belongs. */
export function slotOf(text: usize, length: u32, hash: u32): usize {
  let place = (hash ^ (hash >>> 15)) & mask;
  for (;;) {
    const slot = slots + (<usize>place << 2);
    const found = load<u32>(slot);
    if (found == 0) return slot;
    if (((found ^ hash) & ~mask) == 0 && isToken((found & mask) - 1, text, length)) return slot;
    place = (place + 1) & mask;
  }
  return 0;
}

/** The id in a slot, -1 if it is free. */
export function idAt(slot: usize): i32 {
  return <i32>(load<u32>(slot) & mask) - 1;
}

/** The id of the token with these bytes, -1 if there is none. */
export function idOf(text: usize, length: u32): i32 {
  let hash = BASIS;
  for (let i: u32 = 0; i < length; i++) hash = (hash ^ load<u8>(text + i)) * PRIME;
  return idAt(slotOf(text, length, hash));
}
