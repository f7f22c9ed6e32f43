/** The sets of kernels, and what the processor and the system offer. */
#ifndef CPU_H
#define CPU_H
#include "memory.h"

extern const Kernels kernels_avx2, kernels_avxvnni, kernels_avx512, kernels_avx512vnni, kernels_neon;

typedef struct {
  const char *name;
  const Kernels *kernels;
  int here;
} Choice;

/** All sets in this file, best first; a set without a name ends the list. */
const Choice *choices(void);
#endif
