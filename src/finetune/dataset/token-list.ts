/** Token ids in as few bytes as the vocabulary allows. */
export type Tokens = Uint16Array | Uint32Array;

/** Numbers per block: growing by blocks copies nothing. */
const BLOCK = 1 << 18;

/** A list of whole numbers that grows, in two or four bytes each. */
export class NumberList {
  readonly #create: (n: number) => Tokens;
  #full: Tokens[] = [];
  #last: Tokens;
  #used = 0;

  /** @param limit every number is below it, and it is at most 2^32 */
  constructor(limit: number) {
    this.#create = (n) => (limit <= 1 << 16 ? new Uint16Array(n) : new Uint32Array(n));
    this.#last = this.#create(BLOCK);
  }

  /** How many numbers there are. */
  get length(): number {
    return this.#full.length * BLOCK + this.#used;
  }

  /** Appends a number below the limit. */
  push(n: number): void {
    if (this.#used === BLOCK) {
      this.#full.push(this.#last);
      this.#last = this.#create(BLOCK);
      this.#used = 0;
    }
    this.#last[this.#used++] = n;
  }

  /** Moves all numbers into one array: [length]. The list is empty afterwards. */
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
