#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

/** What the system saves for each thread: XCR0. */
static u32 kept(void) {
  u32 low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

const Choice *choices(void) {
  static Choice all[] = {
    {"avx512+vnni", &kernels_avx512vnni, 0},
    {"avx512", &kernels_avx512, 0},
    {"avx2+vnni", &kernels_avxvnni, 0},
    {"avx2", &kernels_avx2, 0},
    {0},
  };
  u32 a, b = 0, c = 0, d, b7 = 0, c7 = 0, a71 = 0, most;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return all;
  const u32 fma = 1u << 12, xsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
  if (~c & (fma | xsave | avx | f16c) || (kept() & 0x06) != 0x06) return all;
  most = __get_cpuid_max(0, 0);
  if (most < 7) return all;
  __cpuid_count(7, 0, a, b7, c7, d);
  if (a >= 1) {
    u32 b71, c71, d71;
    __cpuid_count(7, 1, a71, b71, c71, d71);
  }
  const u32 avx2 = 1u << 5, avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; // F, DQ, BW, VL
  if (~b7 & avx2) return all;
  const int has_avx512 = !(~b7 & avx512) && (kept() & 0xe6) == 0xe6;
  all[0].here = has_avx512 && (c7 >> 11 & 1);
  all[1].here = has_avx512;
  all[2].here = a71 >> 4 & 1;
  all[3].here = 1;
  return all;
}
#else
/** Every arm64 has vectors of four, fused multiply-add, and conversion of 16-bit floats. */
const Choice *choices(void) {
  static const Choice all[] = {{"neon", &kernels_neon, 1}, {0}};
  return all;
}
#endif
