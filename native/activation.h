/**
 * The activation between an MLP's two matrices, and its derivative: the same operations as assembly/activation.ts,
 * which names the formulas and their sources. One definition serves vectors of 8 and of 16.
 */
#ifndef ACTIVATION_H
#define ACTIVATION_H
#include "vector.h"

#define DEFINE_ACTIVATION(F, I, EXP, N)                                                                  \
  INLINE F gelu_new_exp##N(F x) {                                                                                   \
    return EXP(__builtin_elementwise_fma((x * x) * x, (F)(0.044715f), x) * -1.5957691216057308f);                   \
  }                                                                                                                 \
  /** OpenAI's. */                                                                                                  \
  INLINE F gelu_new##N(F x) { return x / (1.0f + gelu_new_exp##N(x)); }                                             \
  INLINE F bell##N(F x) { return EXP((x * x) * -0.5f); }                                                            \
  INLINE F below##N(F x, F e) {                                                                                     \
    static const float terms[] = {                                                                                  \
      -0.07226832050331564f, 0.2866112061728086f, -0.3366367998641952f, 0.35691991474271545f, -0.09932081318049032f, \
      0.12728533293767003f, 0.06853641184364917f, 0.0851678390008958f, 0.083705226416392f,                          \
    };                                                                                                              \
    const F s = 1.0f / __builtin_elementwise_fma(__builtin_elementwise_abs(x), (F)(0.21f), (F)(1.0f));              \
    F p = (F)(terms[0]);                                                                                            \
    for (u32 i = 1; i < sizeof terms / sizeof *terms; i++) p = __builtin_elementwise_fma(p, s, (F)(terms[i]));      \
    const F tail = (p * s) * e;                                                                                     \
    return x < 0.0f ? tail : 1.0f - tail;                                                                           \
  }                                                                                                                 \
  INLINE F relu##N(F x) {                                                                                           \
    union { F f; I i; } y = {.f = x};                                                                               \
    y.i &= ~(I)(x < 0.0f);                                                                                          \
    return y.f;                                                                                                     \
  }                                                                                                                 \
  /** Any activation but OpenAI's. */                                                                               \
  static __attribute__((noinline)) F activate##N(F x, int mode) {                                                   \
    if (mode == GELU) return x * below##N(x, bell##N(x));                                                           \
    if (mode == RELU) return relu##N(x);                                                                            \
    return x / (1.0f + EXP(x * (mode == SILU ? -1.0f : -1.702f)));                                                  \
  }

DEFINE_ACTIVATION(f8, i8, exp8, 8)
DEFINE_ACTIVATION(f16, i16, exp16, 16)

/** y = the activation of x, z = z times its derivative: 16 values. */
INLINE void activate_back(f16 x, float *y, float *z, int mode) {
  const f16 dy = load16(z);
  if (mode == RELU) {
    union { f16 f; i16 i; } on = {.f = dy};
    on.i &= (i16)(x > 0.0f);
    store16(y, relu16(x));
    store16(z, on.f);
    return;
  }
  if (mode == GELU) {
    const f16 e = bell16(x), p = below16(x, e);
    store16(y, x * p);
    store16(z, dy * fma16(x * e, (f16)(0.3989422804014327f), p));
    return;
  }
  /* x s with s = 1 / (1 + e^-v): the derivative is s + x s (1 - s) v'. */
  const f16 e = mode == GELU_NEW ? gelu_new_exp16(x) : exp16(x * (mode == SILU ? -1.0f : -1.702f));
  const f16 slope = mode == GELU_NEW ? fma16(x * x, (f16)(0.134145f), (f16)(1.0f)) * 1.5957691216057308f
                                     : (f16)(mode == SILU ? 1.0f : 1.702f);
  const f16 s = 1.0f / (1.0f + e), value = x * s;
  store16(y, value);
  store16(z, dy * fma16(value * (1.0f - s), slope, s));
}
#endif
