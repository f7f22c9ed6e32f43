/** Token ids in as few bytes as the vocabulary allows. */
export type Tokens = Uint16Array | Uint32Array;

/** Ids are kept in blocks of so many, so that growing copies nothing. */
const BLOCK = 1 << 20;

/** A list of token ids that grows. */
export class TokenStore {
  readonly #create: (n: number) => Tokens;
  #full: Tokens[] = [];
  #last: Tokens;
  #used = 0;

  /** @param n_vocab every id is below it: up to 65,536 two bytes an id are enough */
  constructor(n_vocab: number) {
    this.#create = (n) => (n_vocab <= 1 << 16 ? new Uint16Array(n) : new Uint32Array(n));
    this.#last = this.#create(BLOCK);
  }

  get length(): number {
    return this.#full.length * BLOCK + this.#used;
  }

  push(id: number): void {
    if (this.#used === BLOCK) {
      this.#full.push(this.#last);
      this.#last = this.#create(BLOCK);
      this.#used = 0;
    }
    this.#last[this.#used++] = id;
  }

  /** Moves all ids into one array: [length]. The store is empty afterwards. */
  take(): Tokens {
    const all = this.#create(this.length);
    this.#full.forEach((block, i) => {
      all.set(block, i * BLOCK);
    });
    all.set(this.#last.subarray(0, this.#used), this.#full.length * BLOCK);
    this.#full = [];
    this.#used = 0;
    return all;
  }
}
