import { exp2Float, expNegative } from "../../system/exact-math.js";
import { BINS, KEPT, type Kernels, LOGITS, type Source } from "./kernels.js";

/** The kernels in plain JavaScript: for a Node without WebAssembly, and the reference for assembly/sampling/, bit for bit. */
export class PlainKernels implements Kernels {
  readonly logits: Float32Array;
  readonly adjusted: Float64Array;
  readonly kept: Float64Array;
  readonly ids: Uint32Array;
  readonly weights: Float64Array;
  readonly exponents: Float64Array;
  readonly places: Uint32Array;
  readonly bins = new Float64Array(BINS);
  total = 0;
  moment = 0;
  lowest = 0;
  readonly rest = 0;
  /** No rough sum is to be trusted: without vectors they save nothing. */
  readonly error = Infinity;
  readonly restMoment = 0;
  readonly momentError = Infinity;

  constructor(n_vocab: number) {
    this.logits = new Float32Array(n_vocab);
    this.adjusted = new Float64Array(n_vocab);
    this.kept = new Float64Array(n_vocab);
    this.ids = new Uint32Array(n_vocab);
    this.weights = new Float64Array(n_vocab);
    this.exponents = new Float64Array(n_vocab);
    this.places = new Uint32Array(n_vocab);
  }

  #values(source: Source): Float32Array | Float64Array {
    return source === LOGITS ? this.logits : source === KEPT ? this.kept : this.adjusted;
  }

  argmax(source: Source, n: number): number {
    const values = this.#values(source);
    let best = -1;
    let max = -Infinity;
    for (let i = 0; i < n; i++) {
      if (values[i] <= max) continue;
      if (Number.isNaN(values[i])) return -1;
      max = values[i];
      best = i;
    }
    return max < Infinity ? best : -1;
  }

  widen(n: number): void {
    this.adjusted.set(this.logits.subarray(0, n));
  }

  keepAll(n: number): void {
    for (let i = 0; i < n; i++) this.ids[i] = i;
  }

  keepLargest(source: Source, n: number, k: number): number {
    return this.keepAbove(source, n, this.#values(source).slice(0, n).sort()[n - k]);
  }

  keepAbove(source: Source, n: number, bound: number): number {
    const values = this.#values(source);
    const least = source === LOGITS ? Math.fround(bound) : bound;
    let count = 0;
    for (let i = 0; i < n; i++) {
      if (values[i] < least) continue;
      this.ids[count] = i;
      this.kept[count++] = values[i];
    }
    return count;
  }

  weigh(source: Source, count: number, max: number, temperature: number, isMeasured: boolean): void {
    const values = this.#values(source);
    this.total = 0;
    this.moment = 0;
    this.lowest = 0;
    for (let i = 0; i < count; i++) {
      const exponent = (values[i] - max) / temperature;
      const weight = expNegative(exponent);
      this.weights[i] = weight;
      this.total += weight;
      if (!isMeasured) continue;
      this.exponents[i] = exponent;
      if (weight === 0) continue;
      this.moment += weight * exponent;
      this.lowest = Math.min(this.lowest, exponent);
    }
  }

  findHeavy(count: number, least: number): number {
    return this.#find(count, (i) => this.weights[i] >= least);
  }

  keepPlaces(count: number): void {
    this.total = 0;
    for (let i = 0; i < count; i++) {
      this.ids[i] = this.ids[this.places[i]];
      this.weights[i] = this.weights[this.places[i]];
      this.total += this.weights[i];
    }
  }

  measure(count: number, mean: number, scale: number, bins: number): void {
    this.bins.fill(0, 0, bins);
    for (let i = 0; i < count; i++) {
      this.exponents[i] = Math.abs(this.exponents[i] - mean);
      if (this.weights[i] > 0) this.bins[this.#binOf(i, scale)] += this.weights[i];
    }
  }

  /** distance * scale, rounded to a whole number. */
  #binOf(i: number, scale: number): number {
    return this.exponents[i] * scale + 2 ** 52 - 2 ** 52;
  }

  findBin(count: number, bin: number, scale: number): number {
    return this.#find(count, (i) => this.weights[i] > 0 && this.#binOf(i, scale) === bin);
  }

  countNear(count: number, limit: number): number {
    return this.#find(count, (i) => this.exponents[i] <= limit);
  }

  keepNear(count: number, limit: number): number {
    const kept = this.#find(count, (i) => this.weights[i] > 0 && this.exponents[i] <= limit);
    this.keepPlaces(kept);
    return kept;
  }

  walk(count: number, target: number): number {
    let cumulative = 0;
    for (let i = 0; i < count; i++) {
      cumulative += this.weights[i];
      if (cumulative > target) return i;
    }
    return count;
  }

  drawRoughly(): number {
    return -1;
  }

  sumOfRest(): void {}

  sumOfExp(n: number, max: number): number {
    const { fround } = Math;
    const factor = fround(Math.LOG2E);
    const e = (i: number): number => (i < n ? exp2Float(fround(fround(this.logits[i] - max) * factor)) : 0);
    const sums = [0, 0, 0, 0];
    for (let i = 0; i < n; i += 16) {
      for (let lane = i; lane < i + 4; lane++)
        sums[lane - i] += fround(fround(e(lane) + e(lane + 4)) + fround(e(lane + 8) + e(lane + 12)));
    }
    return sums[0] + sums[2] + (sums[1] + sums[3]);
  }

  rankOf(n: number, id: number): number {
    const own = this.logits[id];
    let rank = 1;
    for (let i = 0; i < n; i++) if (this.logits[i] > own || (this.logits[i] === own && i < id)) rank++;
    return rank;
  }

  #find(count: number, isWanted: (i: number) => boolean): number {
    let found = 0;
    for (let i = 0; i < count; i++) if (isWanted(i)) this.places[found++] = i;
    return found;
  }
}
