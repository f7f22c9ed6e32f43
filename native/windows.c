/** What Windows' compilers expect of a C runtime: the addon is linked without one. */
#if defined(_WIN32)
#include <stddef.h>

typedef char c16 __attribute__((ext_vector_type(16), aligned(1)));

void *memcpy(void *to, const void *from, size_t n) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) *(c16 *)((char *)to + i) = *(const c16 *)((const char *)from + i);
  for (; i < n; i++) ((char *)to)[i] = ((const char *)from)[i];
  return to;
}
void *memset(void *to, int value, size_t n) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) *(c16 *)((char *)to + i) = (c16)((char)value);
  for (; i < n; i++) ((char *)to)[i] = (char)value;
  return to;
}

/* Touches each page of a large stack frame in order: Windows commits the stack page by page. */
#if defined(__x86_64__)
__asm__(
  ".globl ___chkstk_ms\n"
  "___chkstk_ms:\n" /* rax: bytes; nothing changes */
  "  pushq %rax\n"
  "  pushq %rcx\n"
  "  leaq 24(%rsp), %rcx\n"
  "1: subq $4096, %rax\n"
  "  jbe 2f\n"
  "  subq $4096, %rcx\n"
  "  orq $0, (%rcx)\n"
  "  jmp 1b\n"
  "2: popq %rcx\n"
  "  popq %rax\n"
  "  ret\n"
);
#else
__asm__(
  ".globl __chkstk\n"
  "__chkstk:\n" /* x15: bytes / 16; x16 and x17 are free */
  "  lsl x16, x15, #4\n"
  "  mov x17, sp\n"
  "1: subs x16, x16, #4096\n"
  "  b.ls 2f\n"
  "  sub x17, x17, #4096\n"
  "  ldr xzr, [x17]\n"
  "  b 1b\n"
  "2: ret\n"
);
#endif
#endif
