import { UserError } from "../system/errors.js";
import { AddedTokens } from "./added-tokens.js";
import type { Codec, EncodeOptions, StreamDecoder } from "./codec.js";
import { Merger } from "./merge.js";
import type { SpecialTokens } from "./special-tokens.js";
import { pieceEnd } from "./split.js";
import type { Vocabulary } from "./vocabulary.js";

/** V8 copies slices of up to 12 UTF-16 units; a longer one in the cache would keep its whole text in memory. */
const CACHED_LENGTH = 12;
const CACHED_PIECES = 1 << 15;
/** Pieces of up to this many bytes are merged in reused memory. */
const SCRATCH = 1024;

/**
 * Text <-> ids by byte-level BPE, with the ids of OpenAI's encoder (openai/gpt-2 src/encoder.py), in nearly linear time
 * for any text.
 */
export class ByteLevel implements Codec {
  readonly n_vocab: number;
  readonly #added: AddedTokens;
  readonly #addsSpace: boolean;
  readonly #bytes: Uint8Array;
  readonly #offsets: Uint32Array;
  readonly #byteIds: Int32Array;
  readonly #merger: Merger;
  readonly #cache = new Map<string, readonly number[]>();
  readonly #utf8 = new TextEncoder();
  readonly #scratchBytes = new Uint8Array(SCRATCH);
  readonly #scratchTokens = new Int32Array(SCRATCH);

  constructor(vocabulary: Vocabulary, { added, add_prefix_space }: SpecialTokens) {
    this.n_vocab = vocabulary.offsets.length - 1;
    this.#added = new AddedTokens(added);
    this.#addsSpace = add_prefix_space;
    this.#bytes = vocabulary.bytes;
    this.#offsets = vocabulary.offsets;
    this.#byteIds = vocabulary.byteIds;
    this.#merger = new Merger(vocabulary.merges);
  }

  encode(text: string, { special, continues }: Required<EncodeOptions>): number[] {
    const ids: number[] = [];
    let isFirst = !continues;
    for (const part of special ? this.#added.cut(text) : [text]) {
      if (typeof part === "number") ids.push(part);
      else this.#encodePlain(this.#addsSpace && isFirst && !part.startsWith(" ") ? ` ${part}` : part, ids);
      isFirst = true;
    }
    return ids;
  }

  #encodePlain(text: string, ids: number[]): void {
    for (let start = 0; start < text.length; ) {
      const end = pieceEnd(text, start);
      this.#encodePiece(text.slice(start, end), ids);
      start = end;
    }
  }

  /** Appends a piece's ids one at a time: as arguments of a single push, a million would overflow the stack. */
  #encodePiece(piece: string, ids: number[]): void {
    const cached = this.#cache.get(piece);
    if (cached) {
      for (const id of cached) ids.push(id);
      return;
    }
    const room = 3 * piece.length; // UTF-8 takes at most three bytes per UTF-16 unit
    const bytes = room <= SCRATCH ? this.#scratchBytes : new Uint8Array(room);
    const n = this.#utf8.encodeInto(piece, bytes).written;
    const tokens = room <= SCRATCH ? this.#scratchTokens : new Int32Array(n);
    for (let i = 0; i < n; i++) tokens[i] = this.#byteIds[bytes[i]!]!;
    const length = this.#merger.merge(tokens, n);
    const first = ids.length;
    for (let i = 0; i < length; i++) ids.push(tokens[i]!);
    if (piece.length <= CACHED_LENGTH) {
      if (this.#cache.size >= CACHED_PIECES) this.#cache.clear();
      this.#cache.set(piece, ids.slice(first));
    }
  }

  decode(ids: Iterable<number>): string {
    let bytes = new Uint8Array(1024);
    let length = 0;
    for (const id of ids) {
      const token = this.#token(id);
      if (length + token.length > bytes.length) {
        const larger = new Uint8Array(2 * (length + token.length));
        larger.set(bytes);
        bytes = larger;
      }
      bytes.set(token, length);
      length += token.length;
    }
    return newTextDecoder().decode(bytes.subarray(0, length));
  }

  decoder(): StreamDecoder {
    const text = newTextDecoder();
    return {
      push: (id) => text.decode(this.#token(id), { stream: true }),
      end: () => text.decode(),
    };
  }

  tokenBytes(id: number): Uint8Array {
    return this.#token(id).slice();
  }

  /** The bytes of an id, a view into the memory of all tokens. */
  #token(id: number): Uint8Array {
    if (Number.isInteger(id) && id >= 0 && id < this.n_vocab) {
      return this.#bytes.subarray(this.#offsets[id]!, this.#offsets[id + 1]!);
    }
    throw new UserError(`there is no token ${id}: the ids of this vocabulary are 0 to ${this.n_vocab - 1}`);
  }
}

/** Replaces invalid bytes as Python does; ignoreBOM keeps a leading U+FEFF. */
function newTextDecoder(): InstanceType<typeof TextDecoder> {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}
