/**
 * Exponential, logarithm, cosine, sine and whole powers in float64, made only of additions, multiplications, divisions
 * and square roots. JavaScript engines may differ in the last bit of Math.exp, Math.log, Math.cos and **, but a seed must
 * give the same text in all of them.
 */

const BITS = new DataView(new ArrayBuffer(8));

/** 1/2!, 1/3! ... 1/18! */
const INVERSE_FACTORIALS = [1];
for (let n = 1; n <= 18; n++) INVERSE_FACTORIALS[n] = INVERSE_FACTORIALS[n - 1] / n;

/**
 * The natural logarithm of a positive, finite, normal number, within about 1e-15 of itself or of 1.
 * x = 2^e m with m between sqrt(1/2) and sqrt(2); log m = 2 artanh s, s = (m - 1) / (m + 1), by its series.
 */
export function log(x: number): number {
  BITS.setFloat64(0, x);
  const high = BITS.getUint32(0);
  let e = (high >>> 20) - 1023;
  BITS.setUint32(0, (high & 0x000fffff) | 0x3ff00000);
  let m = BITS.getFloat64(0);
  if (m > Math.SQRT2) {
    m /= 2;
    e++;
  }
  const s = (m - 1) / (m + 1);
  const square = s * s;
  let series = 0;
  for (let k = 23; k > 0; k -= 2) series = series * square + 1 / k;
  return e * Math.LN2 + 2 * s * series;
}

/**
 * Cosine and sine of 2 pi turn, within about 1e-15.
 * @param turn a part of a full turn, 0 to 1; its difference to the nearest quarter is exact
 */
export function cosAndSin(turn: number): readonly [cos: number, sin: number] {
  const quarter = Math.floor(4 * turn + 0.5);
  const x = 2 * Math.PI * (turn - quarter / 4); // -pi / 4 to pi / 4
  const square = x * x;
  let cos = 0;
  let sin = 0;
  for (let k = 16; k >= 0; k -= 2) {
    cos = INVERSE_FACTORIALS[k] - square * cos;
    sin = INVERSE_FACTORIALS[k + 1] - square * sin;
  }
  sin *= x;
  if (quarter % 4 === 1) return [-sin, cos];
  if (quarter % 4 === 2) return [-cos, -sin];
  if (quarter % 4 === 3) return [sin, -cos];
  return [cos, sin];
}

/** base^n for a whole n >= 0, by squaring. */
export function power(base: number, n: number): number {
  let result = 1;
  for (let square = base; n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) result *= square;
    square *= square;
  }
  return result;
}

const LN2_HIGH = 0.6931471803691238; // the first 33 bits of ln 2: exact when multiplied by a small integer
const LN2_LOW = 1.9082149292705877e-10;
const LOWEST_EXPONENT = 1074;
/** 2^-k, made by halving, which is exact. */
const HALVINGS = new Float64Array(LOWEST_EXPONENT + 1);
HALVINGS[0] = 1;
for (let k = 1; k <= LOWEST_EXPONENT; k++) HALVINGS[k] = HALVINGS[k - 1] / 2;
/** 1/n!, the coefficients of the exponential series; |r| <= ln(2)/2 leaves an error below 2^-56 after 13. */
const [, , C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13] = INVERSE_FACTORIALS;

/** e^x for x <= 0, within about one unit in the last place, by additions and multiplications alone. */
export function expNegative(x: number): number {
  if (x < -745.2) return 0; // below half of the smallest double; also -Infinity
  const k = Math.floor(0.5 - x * Math.LOG2E); // x = -k ln 2 + r
  const r = x + k * LN2_HIGH + k * LN2_LOW;
  // Written out, so that processors compute several terms at once: drawing spends most of its time here.
  let sum = C13 * r + C12;
  sum = sum * r + C11;
  sum = sum * r + C10;
  sum = sum * r + C9;
  sum = sum * r + C8;
  sum = sum * r + C7;
  sum = sum * r + C6;
  sum = sum * r + C5;
  sum = sum * r + C4;
  sum = sum * r + C3;
  sum = sum * r + C2;
  sum = sum * r + 1;
  sum = sum * r + 1;
  return k < 1 ? sum : sum * HALVINGS[Math.min(k, LOWEST_EXPONENT)];
}

/** The constants of expNegative() in the order of assembly/sampling/exp.ts, which does the same in vectors. */
export const EXP: readonly number[] = [
  ...[0.5, Math.LOG2E, LN2_HIGH, LN2_LOW],
  ...[C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, 1, 1],
  ...[2 ** 52, 2 ** 52 + 1023, -708],
];

const FLOAT_WHOLE = 1.5 * 2 ** 23;
/** 2^f = 1 + c1 f + ... c5 f^5 for |f| <= 1/2, from c5 to 1: fitted to 1.1e-7 of itself, as float32. */
const FLOAT_TERMS = [
  0.001326472731307149, 0.009671512991189957, 0.05550733581185341, 0.24022242426872253, 0.6931470036506653, 1,
];
const FLOAT_LOWEST = -125.5;

/** log2(e) and the constants of exp2Float(), as EXP. */
export const EXP_FLOAT: readonly number[] = [
  Math.fround(Math.LOG2E),
  FLOAT_WHOLE,
  ...FLOAT_TERMS,
  FLOAT_LOWEST,
];

/** 2^y for a float32 y <= 0, in float32 arithmetic: within 1.6 2^-23 of itself, 0 below -125.5; of NaN comes NaN. */
export function exp2Float(y: number): number {
  if (y < FLOAT_LOWEST) return 0;
  const { fround } = Math;
  const k = fround(fround(y + FLOAT_WHOLE) - FLOAT_WHOLE);
  if (Number.isNaN(k)) return k;
  const f = fround(y - k);
  const [c5, c4, c3, c2, c1, c0] = FLOAT_TERMS;
  let sum = fround(fround(c5 * f) + c4);
  sum = fround(fround(sum * f) + c3);
  sum = fround(fround(sum * f) + c2);
  sum = fround(fround(sum * f) + c1);
  sum = fround(fround(sum * f) + c0);
  return sum * HALVINGS[-k];
}
