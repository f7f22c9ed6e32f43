/** The memory that kernels work on, its records, and how threads share work: as in assembly/threads.ts. */
#ifndef MEMORY_H
#define MEMORY_H
#include <stddef.h>
#include <stdint.h>

typedef uint32_t u32;
typedef uint64_t u64;

/** One thread over one memory. */
typedef struct {
  uint8_t *base;
  /** Its size in bytes right now. */
  u64 size;
  u32 control, thread;
  /** The current loop: its units, how many this thread did, and how many threads' shares it has been through. */
  u32 units, done, part;
} Thread;

/** Words of enum Control, and where the threads' own begin; a line for each, with words of enum Own. */
enum { THREADS = 3, PAGES = 10, COUNTERS = 16, LINE = 16, PHASE = 2, ALL = 3, DONE = 4 };

static inline u32 *control_words(const Thread *t) { return (u32 *)(t->base + t->control); }
static inline u32 thread_count(const Thread *t) { return control_words(t)[THREADS]; }
static inline u32 *own_words(const Thread *t, u32 owner) { return control_words(t) + COUNTERS + owner * LINE; }

/** Takes a unit of a thread's share. @returns it, counted from the share's first, or -1 when none is left */
static inline int64_t claim(Thread *t, u32 owner, u32 size) {
  u64 *counter = (u64 *)own_words(t, owner);
  const u32 phase = own_words(t, t->thread)[PHASE];
  u64 seen = __atomic_load_n(counter, __ATOMIC_SEQ_CST);
  for (;;) {
    const int32_t age = (int32_t)((u32)(seen >> 32) - phase);
    const u32 taken = age < 0 ? 0 : (u32)seen;
    if (age > 0 || taken >= size) return -1;
    const u64 now = (u64)phase << 32 | (taken + 1);
    if (__atomic_compare_exchange_n(counter, &seen, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
      t->done++;
      return taken;
    }
  }
}

/** Starts a loop over units that all threads share. */
static inline void begin_units(Thread *t) { t->units = t->done = t->part = 0; }

/** Tells the barrier, when nothing is left to claim: the units of all threads, and those done here. */
static inline void end_units(Thread *t) {
  u32 *own = own_words(t, t->thread);
  own[ALL] = t->units;
  own[DONE] = t->done;
}

/** @returns a unit to do, or -1 when none is left */
static inline int64_t next(Thread *t) {
  const u32 threads = thread_count(t);
  while (t->part < threads) {
    const u32 owner = (t->thread + t->part) % threads;
    const u32 begin = (u64)t->units * owner / threads;
    const u32 end = (u64)t->units * (owner + 1) / threads;
    const int64_t unit = claim(t, owner, end - begin);
    if (unit >= 0) return begin + unit;
    t->part++;
  }
  end_units(t);
  return -1;
}

static inline int64_t first(Thread *t, u32 units) {
  begin_units(t);
  t->units = units;
  return next(t);
}

/** Values side by side in a panel, and positions in a page of the cache. */
enum { PANEL = 8, PAGE = 32 };
/** What happens to a sum: class Mode. */
enum { STORE, ADD, GELU_NEW, GELU, RELU, SILU, QUICK_GELU };
enum { FLOAT32, FLOAT16, INT8 };

/** The records of src/engines/cpu/runtime/records.ts, with addresses resolved. */
typedef struct {
  u32 n_in, n_out, type;
  const void *w;
  /** [n_out], or none */
  const float *b;
  const float *scale;
  float limit;
} Linear;

typedef struct {
  u32 row, count, position, pages, out;
} Block;

typedef struct {
  u32 n_embd, n_head, n_layer, rows, embd_stride, qkv_stride, page_layer;
  /** What the layer's attention scores are multiplied by. */
  float scale;
  const Linear *wte;
  const float *wpe;
  float *x, *a;
  const float *qkv;
  const u32 *ids, *positions, *row_pages;
  uint8_t *own;
} Model;

typedef struct {
  u32 n_in, n_out;
  const float *from;
  void *to;
  float *scale;
  u32 *most;
  uint8_t *own;
} Pack;

typedef struct {
  const float *x, *g, *b; /* g: none where there is no norm */
  size_t xs, as;
  float *a;
  int16_t *q; /* int8 only */
  float *scales;
  float limit, epsilon;
  u32 rows, n, alone;
} Prepare;

/** Training's records. */
typedef struct {
  u32 m, n, k, add;
  const float *a, *b, *bias;
  size_t a_row, a_k, b_k, b_column, c_row;
  float *c;
  float *shared, *own;
} Product;

typedef struct {
  u32 rows, n;
  const float *g, *b, *x;
  float *y, *dx, *dg, *db, *moments;
  float epsilon;
} NormRows;

typedef struct {
  u32 n, t, n_head, n_embd;
  const float *qkv, *da;
  float *a, *rows, *dqkv, *own;
  float scale;
} Attention;

typedef struct {
  u32 rows, n_vocab, row;
  float *logits;
  const u32 *targets;
  double *losses;
  float scale;
} Loss;

typedef struct {
  u32 n, activation;
  const float *x;
  float *y, *z;
} Values;

typedef struct {
  u32 n;
  float *values, *gradients, *m, *v;
  float mean, rate, correction;
} Step;

/** The kernels for one kind of processor. */
typedef struct {
  void (*embed)(Thread *, const Model *);
  void (*prepare)(Thread *, const Prepare *);
  void (*linear_float32)(Thread *, const Linear *, u32 rows, const float *x, size_t xs, float *y, size_t ys, int mode);
  void (*linear_float16)(Thread *, const Linear *, u32 rows, const float *x, size_t xs, float *y, size_t ys, int mode);
  void (*linear_int8)(Thread *, const Linear *, u32 rows, const int16_t *q, const float *scales, float *y, size_t ys, int mode);
  void (*remember)(Thread *, const Model *, u32 layer);
  void (*attention)(Thread *, const Model *, u32 layer, const Block *, u32 n_blocks);
  void (*pack_linear)(Thread *, const Pack *);
  void (*pack_rows)(Thread *, const Pack *);
  void (*quantize_linear)(Thread *, const Pack *);
  void (*quantize_rows)(Thread *, const Pack *);
  void (*pack_linear_float16)(Thread *, const Pack *);
  void (*pack_rows_float16)(Thread *, const Pack *);
  void (*layernorm_forward)(Thread *, const NormRows *);
  void (*layernorm_backward_rows)(Thread *, const NormRows *);
  void (*layernorm_backward_columns)(Thread *, const NormRows *);
  u32 (*matmul_blocks)(const Product *);
  void (*matmul_pack)(Thread *, const Product *, u32 block);
  void (*matmul_block)(Thread *, const Product *, u32 block);
  void (*attention_forward)(Thread *, const Attention *);
  void (*attention_backward)(Thread *, const Attention *);
  void (*crossentropy)(Thread *, const Loss *);
  void (*activation_forward)(Thread *, const Values *);
  void (*activation_backward)(Thread *, const Values *);
  void (*adam)(Thread *, const Step *);
} Kernels;

/** Bytes of scratch memory a thread needs for attention and packing. */
static inline u64 inference_own_bytes(u32 n_ctx, u32 widest) {
  const u64 scores = 4ull * ((n_ctx + PAGE - 1) / PAGE * PAGE) * 4;
  const u64 panel = 8ull * (widest + 16ull) * 4;
  return (scores > panel ? scores : panel) + 1024;
}

/** The same for training's attention and products: enough for the widest vectors. */
static inline u64 attention_own_bytes(u32 t, u32 n_state) {
  const u64 width = (n_state + 31ull) / 32 * 32, length = (t + 31ull) / 32 * 32;
  return 4 * (length * (2 * n_state + 3 * width) + 96 * (3 * width + 2 * length)) + 1024;
}
enum { PRODUCT_OWN_BYTES = (256 * 32 + 12 * 32) * 4 };

/** Bytes of a packed block of A: in panels of 12 rows, or of 6. */
static inline u64 product_shared_bytes(u64 m, u64 k) {
  const u64 rows = m < 1536 ? m : 1536, depth = k < 768 ? k : 768;
  return (rows + 11) / 6 * (depth * 6 + 16) * 4;
}
#endif
