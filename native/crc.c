/** CRC-32C by the processor's own instruction, for reading TensorFlow checkpoints: 8 bytes a step. */
#include "crc.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <nmmintrin.h>
#define STEP8 _mm_crc32_u64
#define STEP1 _mm_crc32_u8
typedef unsigned long long Register;

int has_crc32c(void) {
  u32 a, b, c = 0, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c >> 20 & 1); // SSE4.2
}
#else
#define STEP8 __builtin_arm_crc32cd
#define STEP1 __builtin_arm_crc32cb
typedef u32 Register;

#if defined(__linux__)
unsigned long getauxval(unsigned long type); // from the C library inside node

int has_crc32c(void) { return getauxval(16) >> 7 & 1; } // AT_HWCAP, HWCAP_CRC32
#elif defined(__APPLE__)
int has_crc32c(void) { return 1; } // every Mac has it: armv8.4 and later
#else
int has_crc32c(void) { return 0; } // Windows: JavaScript does it
#endif
#endif

u32 crc32c(const uint8_t *bytes, size_t n, u32 crc) {
  Register r = (u32)~crc;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    u64 word;
    __builtin_memcpy(&word, bytes + i, 8);
    r = STEP8(r, word);
  }
  for (; i < n; i++) r = STEP1((u32)r, bytes[i]);
  return ~(u32)r;
}
