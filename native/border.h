/** The border: everything JavaScript and WebAssembly pass in is checked here, before a kernel sees an address. */
#ifndef BORDER_H
#define BORDER_H
#include <node_api.h>
#include "memory.h"

enum { MOST_ARGUMENTS = 11 };

/** Shared by the functions of one instance; freed with the last of them. */
typedef struct {
  Thread thread;
  const Kernels *kernels;
  napi_ref memory;
  u32 uses;
} Binding;

/** One call. */
typedef struct {
  const char *fault;
  const Kernels *kernels;
  Thread t;
  u32 a[MOST_ARGUMENTS];
} Call;

/** A function as JavaScript sees it. `call` records a fault, or does the work. @returns the result, if there is one */
typedef struct {
  const char *name;
  u32 arguments;
  u32 (*call)(Call *);
  int returns;
} Function;

extern const Function inference_functions[], training_functions[];

/** The address of this many bytes, or a fault. Everything is aligned to 4. */
static inline void *at(Call *c, u32 address, u64 bytes, const char *fault) {
  if (address == 0 || address % 4 != 0 || address + bytes > c->t.size) {
    if (!c->fault) c->fault = fault;
    return NULL;
  }
  return c->t.base + address;
}

/** The same for rows of n values (of 4 bytes), `stride` values apart. */
static inline void *rows_at(Call *c, u32 address, u32 rows, u32 stride, u32 n, const char *fault) {
  return at(c, address, rows == 0 ? 0 : ((u64)(rows - 1) * stride + n) * 4, fault);
}

static inline void require(Call *c, int holds, const char *fault) {
  if (!holds && !c->fault) c->fault = fault;
}

static inline float as_float(u32 word) {
  union { u32 word; float value; } u = {.word = word};
  return u.value;
}
#endif
