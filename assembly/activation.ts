/** The activation between an MLP's two matrices, and its derivative: openai/gpt-2's GELU, and other models'. */
import { Mode } from "./abi";
import { constant, exp, madd, one } from "./vector";

// Where the constants of each begin in vector.ts: tanh GELU, the sigmoid's factors, the normal distribution.
const GELU_NEW: usize = 13;
const SIGMOID: usize = 17;
const NORMAL: usize = 20;
/** Terms of the normal distribution's series. */
const TERMS: usize = 9;

/**
 * e^-2u of GELU's tanh approximation (Hendrycks and Gimpel, arXiv 1606.08415), as openai/gpt-2 has it:
 * 0.5 x (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3).
 */
// @ts-ignore: decorator
@inline
function geluNewExp(x: v128): v128 {
  const cube = f32x4.mul(f32x4.mul(x, x), x);
  return exp(f32x4.mul(madd(cube, constant(GELU_NEW), x), constant(GELU_NEW + 1)));
}

/** OpenAI's. */
// @ts-ignore: decorator
@inline
export function geluNew(x: v128): v128 {
  return f32x4.div(x, f32x4.add(one(), geluNewExp(x)));
}

/** e^(-x^2 / 2) */
// @ts-ignore: decorator
@inline
function bell(x: v128): v128 {
  return exp(f32x4.mul(f32x4.mul(x, x), constant(NORMAL)));
}

/**
 * The normal distribution's P(X <= x) = 0.5 (1 + erf(x / sqrt(2))) to float32's precision: for x < 0 it is
 * e^(-x^2 / 2) (c1 s + c2 s^2 + ... c9 s^9), s = 1 / (1 + 0.21 |x|); otherwise 1 minus that of -x. The form is that of
 * Hastings 1955 (Abramowitz and Stegun 26.2.17); the coefficients fit to 1.2e-8 of the value for |x| < 13.2.
 * @param e bell(x)
 */
function below(x: v128, e: v128): v128 {
  const s = f32x4.div(one(), madd(f32x4.abs(x), constant(NORMAL + 1), one()));
  let p = constant(NORMAL + 2);
  for (let i: usize = 1; i < TERMS; i++) p = madd(p, s, constant(NORMAL + 2 + i));
  const tail = f32x4.mul(f32x4.mul(p, s), e);
  return v128.bitselect(tail, f32x4.sub(one(), tail), f32x4.lt(x, f32x4.splat(0)));
}

/** Any activation but OpenAI's. */
export function activate(x: v128, mode: Mode): v128 {
  if (mode == Mode.GELU) return f32x4.mul(x, below(x, bell(x)));
  if (mode == Mode.RELU) return v128.andnot(x, f32x4.lt(x, f32x4.splat(0)));
  const factor = constant(mode == Mode.SILU ? SIGMOID : SIGMOID + 1);
  return f32x4.div(x, f32x4.add(one(), exp(f32x4.mul(x, factor))));
}

/** Stores the activation y of x, and z times its derivative. */
export function activateBackward(x: v128, y: usize, z: usize, mode: Mode): void {
  const dy = v128.load(z);
  if (mode == Mode.RELU) {
    const isOn = f32x4.gt(x, f32x4.splat(0));
    v128.store(y, activate(x, mode));
    return v128.store(z, v128.and(dy, isOn));
  }
  if (mode == Mode.GELU) {
    const e = bell(x);
    const p = below(x, e);
    v128.store(y, f32x4.mul(x, p));
    return v128.store(z, f32x4.mul(dy, madd(f32x4.mul(x, e), constant(NORMAL + 2 + TERMS), p)));
  }
  // x s with s = 1 / (1 + e^-v): the derivative is s + x s (1 - s) v'.
  const e =
    mode == Mode.GELU_NEW ? geluNewExp(x) : exp(f32x4.mul(x, constant(mode == Mode.SILU ? SIGMOID : SIGMOID + 1)));
  const slope =
    mode == Mode.GELU_NEW
      ? f32x4.mul(madd(f32x4.mul(x, x), constant(GELU_NEW + 2), one()), constant(GELU_NEW + 3)) // 2u'
      : mode == Mode.SILU
        ? one()
        : constant(SIGMOID + 2);
  const s = f32x4.div(one(), f32x4.add(one(), e));
  const value = f32x4.mul(x, s);
  v128.store(y, value);
  v128.store(z, f32x4.mul(dy, madd(f32x4.mul(value, f32x4.sub(one(), s)), slope, s)));
}
