/**
 * clang's vector types: 16 floats for everything summed in 16 sums, 8 for a panel. The compiler splits them into
 * what the processor has (1 x 16, 2 x 8, 4 x 4), so the bits are the same everywhere. Multiplications and additions are
 * fused where fma() says so and nowhere else (-ffp-contract=off).
 */
#ifndef VECTOR_H
#define VECTOR_H
#include "memory.h"
#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

typedef float f4 __attribute__((ext_vector_type(4)));
typedef float f8 __attribute__((ext_vector_type(8)));
typedef float f16 __attribute__((ext_vector_type(16)));
typedef int32_t i8 __attribute__((ext_vector_type(8)));
typedef int32_t i16 __attribute__((ext_vector_type(16)));
typedef _Float16 h8 __attribute__((ext_vector_type(8)));
typedef _Float16 h16 __attribute__((ext_vector_type(16)));
typedef f4 f4u __attribute__((aligned(4)));
typedef f8 f8u __attribute__((aligned(4)));
typedef f16 f16u __attribute__((aligned(4)));
typedef i8 i8u __attribute__((aligned(4)));
typedef i16 i16u __attribute__((aligned(4)));
typedef h8 h8u __attribute__((aligned(2)));

#define INLINE static inline __attribute__((always_inline))

INLINE f8 load8(const float *p) { return *(const f8u *)p; }
INLINE f16 load16(const float *p) { return *(const f16u *)p; }
INLINE void store8(float *p, f8 v) { *(f8u *)p = v; }
INLINE void store16(float *p, f16 v) { *(f16u *)p = v; }
INLINE f8 fma8(f8 a, f8 b, f8 c) { return __builtin_elementwise_fma(a, b, c); }
INLINE f16 fma16(f16 a, f16 b, f16 c) { return __builtin_elementwise_fma(a, b, c); }
INLINE float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

/** Widened from 16 bits. */
INLINE f8 load8h(const _Float16 *p) { return __builtin_convertvector(*(const h8u *)p, f8); }

/** Adds up the 16 sums, always in this tree. */
INLINE float sum16(f16 s) {
  const f8 a = s.lo + s.hi;
  const f4 b = a.lo + a.hi;
  return (b.x + b.z) + (b.y + b.w);
}

/**
 * e^x, within 2e-7 of its value; exactly 0 below -87, NaN stays NaN: the operations of assembly/vector.ts.
 * One definition serves vectors of 8 and of 16.
 */
#define DEFINE_EXP(F, I, NAME)                                    \
  INLINE F NAME(F x) {                                            \
    F y = x < -87.0f ? (F)(-87.0f) : x;                           \
    y = y > 88.0f ? (F)(88.0f) : y;                               \
    const F rounded = __builtin_elementwise_fma(y, (F)(1.44269504088896341f), (F)(12582912.0f)); \
    const F n = rounded - 12582912.0f;                            \
    F r = __builtin_elementwise_fma(n, (F)(-0.693359375f), y);    \
    r = __builtin_elementwise_fma(n, (F)(2.12194440054690583e-4f), r); \
    F p = __builtin_elementwise_fma((F)((float)(1.0 / 5040.0)), r, (F)((float)(1.0 / 720.0))); \
    p = __builtin_elementwise_fma(p, r, (F)((float)(1.0 / 120.0))); \
    p = __builtin_elementwise_fma(p, r, (F)((float)(1.0 / 24.0))); \
    p = __builtin_elementwise_fma(p, r, (F)((float)(1.0 / 6.0))); \
    p = __builtin_elementwise_fma(p, r, (F)(0.5f));               \
    p = __builtin_elementwise_fma(p, r, (F)(1.0f));               \
    p = __builtin_elementwise_fma(p, r, (F)(1.0f));               \
    union { F f; I i; } power = {.f = rounded};                   \
    power.i = (power.i + (127 - 0x4b400000)) << 23;               \
    union { F f; I i; } result = {.f = p * power.f};              \
    result.i &= ~(I)(x < -87.0f);                                 \
    return result.f;                                              \
  }
DEFINE_EXP(f8, i8, exp8)
DEFINE_EXP(f16, i16, exp16)

/** The largest of n values, NaN if there is one. Reads no more than n values. */
static float largest(const float *x, u32 n) {
  f16 top = (f16)(-__builtin_inff());
  i16 bad = (i16)(0);
  u32 i = 0;
  for (; i + 16 <= n; i += 16) {
    const f16 v = load16(x + i);
    bad |= (i16)(v != v);
    top = v > top ? v : top;
  }
  float most = -__builtin_inff();
  for (u32 j = 0; j < 16; j++) {
    if (bad[j]) return __builtin_nanf("");
    if (top[j] > most) most = top[j];
  }
  for (; i < n; i++) {
    if (x[i] != x[i]) return x[i];
    if (x[i] > most) most = x[i];
  }
  return most;
}

INLINE u32 min_u32(u32 a, u32 b) { return a < b ? a : b; }

/** Vectors as wide as the processor's: LANES values, WIDE panels side by side. */
#if LANES == 16
typedef f16 V;
INLINE V loadv(const float *p) { return load16(p); }
INLINE void storev(float *p, V v) { store16(p, v); }
/** The first 8 values of two panels. */
INLINE V load_panels(const float *p, size_t distance) {
  V v;
  v.lo = load8(p);
  v.hi = load8(p + distance);
  return v;
}
#else
typedef f8 V;
INLINE V loadv(const float *p) { return load8(p); }
INLINE void storev(float *p, V v) { store8(p, v); }
INLINE V load_panels(const float *p, size_t distance) { (void)distance; return load8(p); }
#endif
INLINE V fmav(V a, V b, V c) { return __builtin_elementwise_fma(a, b, c); }
#endif
