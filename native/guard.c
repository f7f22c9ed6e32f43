/**
 * Runs every kernel over odd sizes, first with an inaccessible page right after each array, then right before it: a
 * kernel that reads or writes outside crashes this program. build.mjs builds and runs it for each set of kernels.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "cpu.h"

enum { MOST = 256 };
static struct { void *at; size_t bytes; } maps[MOST];
static int count;
static int behind;
static const char *now = "";

/** An array between two inaccessible pages, below 4 GiB so that its address fits the memory's. */
static void *array(size_t bytes) {
  const size_t page = 4096, whole = (bytes + page - 1) / page * page;
  char *at = mmap(NULL, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (at == MAP_FAILED || mprotect(at + page, whole, PROT_READ | PROT_WRITE) || count == MOST) exit(3);
  maps[count].at = at;
  maps[count++].bytes = whole + 2 * page;
  char *array = behind ? at + page + whole - bytes : at + page;
  for (size_t i = 0; i + 4 <= bytes; i += 4) *(float *)(array + i) = (float)(rand() % 2001 - 1000) / 500;
  return array;
}
static void *floats(size_t n) { return array(n * 4); }
/** With the padding that arrays of single values have. */
static void *roomy(size_t n) { return array((n + 15) / 16 * 64); }
static u32 address(const void *p) { return (u32)(uintptr_t)p; }

static void done(u32 *control) {
  while (count > 0) {
    count--;
    munmap(maps[count].at, maps[count].bytes);
  }
  control[COUNTERS] = 0;
}

static void fell(int signal) {
  (void)signal;
  static const char text[] = "outside of an array: ";
  size_t n = 0;
  while (now[n]) n++;
  if (write(2, text, sizeof text - 1) < 0 || write(2, now, n) < 0 || write(2, "\n", 1) < 0) {}
  _exit(1);
}

static u32 most_of(u32 most) { return 1 + (u32)rand() % most; }

static void inference(Thread *t, u32 *control, const Kernels *k) {
  const u32 n_in = most_of(70), n_out = (most_of(70) + 7) / 8 * 8, rows = most_of(20), pairs = (n_in + 1) / 2;
  const int mode = rand() % (QUICK_GELU + 1);
  Linear l = {.n_in = n_in, .n_out = n_out, .w = floats((size_t)n_in * n_out), .b = floats(n_out), .limit = 1000};
  float *x = floats((size_t)rows * n_in), *y = floats((size_t)rows * n_out);
#define RUN(NAME, ...) do { now = #NAME; k->NAME(t, __VA_ARGS__); control[COUNTERS] = 0; } while (0)
  RUN(linear_float32, &l, rows, x, n_in, y, n_out, mode);
  l.w = array((size_t)n_in * n_out * 2);
  l.type = FLOAT16;
  RUN(linear_float16, &l, rows, x, n_in, y, n_out, mode);
  l.w = array((size_t)pairs * 2 * n_out);
  l.scale = floats(n_out);
  l.type = INT8;
  Prepare p = {
    .x = x, .g = floats(n_in), .b = floats(n_in), .xs = n_in, .as = n_in, .a = floats((size_t)rows * n_in),
    .q = array((size_t)rows * pairs * 4), .scales = floats(rows), .limit = 1000, .epsilon = 1e-5f, .rows = rows, .n = n_in,
  };
  RUN(prepare, &p);
  RUN(linear_int8, &l, rows, p.q, p.scales, y, n_out, mode);
  const size_t outputs = n_out;
  const u32 some = n_out - (u32)rand() % 8;
  u32 most = 1;
  Pack pack = {.n_in = n_in, .n_out = some, .from = floats((size_t)n_in * some), .to = floats(n_in * outputs), .most = &most, .own = floats((size_t)n_in * 8)};
  RUN(pack_linear, &pack);
  RUN(pack_rows, &pack);
  pack.to = array(n_in * outputs * 2);
  RUN(pack_linear_float16, &pack);
  RUN(pack_rows_float16, &pack);
  pack.to = array(pairs * 2 * outputs);
  pack.scale = floats(outputs);
  RUN(quantize_linear, &pack);
  RUN(quantize_rows, &pack);
  done(control);
}

static void cache(Thread *t, u32 *control, const Kernels *k) {
  const u32 n_state = most_of(80), n_head = most_of(3), rows = most_of(70), n_embd = n_state * n_head, pages = (rows + 31) / 32;
  const u32 layer = n_head * 32 * (n_state + (n_state + 7) / 8 * 8) * 4;
  u32 *table = array(pages * 4), *positions = array(rows * 4), *tables = array(rows * 4);
  for (u32 i = 0; i < pages; i++) table[i] = address(array(layer));
  Block blocks[70];
  u32 n_blocks = 0;
  for (u32 i = 0; i < rows; i++) {
    positions[i] = i;
    tables[i] = address(table);
  }
  for (u32 i = 0; i < rows; n_blocks++) {
    const u32 some = most_of(4), left = rows - i;
    blocks[n_blocks] = (Block){i, some < left ? some : left, i, address(table), i};
    i += blocks[n_blocks].count;
  }
  const Model m = {
    .n_embd = n_embd, .n_head = n_head, .n_layer = 1, .rows = rows, .embd_stride = n_embd, .qkv_stride = 3 * n_embd, .page_layer = layer,
    .a = floats((size_t)rows * n_embd), .qkv = floats((size_t)rows * 3 * n_embd), .positions = positions, .row_pages = tables,
    .own = array(4 * pages * 32 * 4), .scale = 0.1f,
  };
  RUN(remember, &m, 0);
  RUN(attention, &m, 0, blocks, n_blocks);
  done(control);
}

static void training(Thread *t, u32 *control, const Kernels *k) {
  const u32 rows = most_of(40), n = most_of(70), depth = rand() % 10 ? most_of(70) : 700 + most_of(900), m = rand() % 10 ? rows : 1530 + rows;
  const size_t all = (size_t)rows * n;
  Product p = {
    .m = m, .n = n, .k = depth, .add = rand() % 2, .a = floats((size_t)m * depth), .b = floats((size_t)depth * n), .bias = rand() % 2 ? floats(n) : NULL,
    .c_row = n, .c = floats((size_t)m * n), .shared = array(product_shared_bytes(m, depth)), .own = array(PRODUCT_OWN_BYTES),
  };
  if (rand() % 2) p.a_row = depth, p.a_k = 1; else p.a_row = 1, p.a_k = m;
  if (rand() % 2) p.b_k = n, p.b_column = 1; else p.b_k = 1, p.b_column = depth;
  for (u32 i = 0; i < k->matmul_blocks(&p); i++) {
    RUN(matmul_pack, &p, i);
    RUN(matmul_block, &p, i);
  }
  const NormRows norm = {
    .rows = rows, .n = n, .g = floats(n), .b = floats(n), .x = floats(all), .y = floats(all), .dx = floats(all), .dg = floats(n), .db = floats(n), .moments = floats(2 * rows), .epsilon = 1e-5f,
  };
  RUN(layernorm_forward, &norm);
  RUN(layernorm_backward_rows, &norm);
  RUN(layernorm_backward_columns, &norm);
  const u32 row = (n + 7) / 8 * 8;
  u32 *targets = array(rows * 4);
  for (u32 i = 0; i < rows; i++) targets[i] = (u32)rand() % n;
  const Loss loss = {.rows = rows, .n_vocab = n, .row = row, .logits = floats((size_t)rows * row), .targets = targets, .losses = array(rows * 8), .scale = 0.5f};
  RUN(crossentropy, &loss);
  const Values values = {.n = (u32)all, .activation = GELU_NEW + rand() % 5, .x = roomy(all), .y = roomy(all), .z = roomy(all)};
  RUN(activation_forward, &values);
  RUN(activation_backward, &values);
  const Step step = {.n = (u32)all, .values = roomy(all), .gradients = roomy(all), .m = roomy(all), .v = roomy(all), .mean = 1, .rate = 0.1f, .correction = 1};
  RUN(adam, &step);
  done(control);
  const u32 n_state = most_of(80), n_head = most_of(2), length = most_of(120), sequences = most_of(2);
  const size_t tokens = (size_t)length * sequences, width = (size_t)n_state * n_head;
  const Attention a = {
    .n = sequences, .t = length, .n_head = n_head, .n_embd = (u32)width, .qkv = floats(tokens * width * 3), .da = floats(tokens * width),
    .a = floats(tokens * width), .rows = floats(tokens * n_head * 2), .dqkv = floats(tokens * width * 3), .own = array(attention_own_bytes(length, n_state)), .scale = 0.1f,
  };
  RUN(attention_forward, &a);
  RUN(attention_backward, &a);
  done(control);
}

int main(void) {
  signal(SIGSEGV, fell);
  u32 *control = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (control == MAP_FAILED) return 3;
  control[THREADS] = 1;
  Thread t = {.base = NULL, .size = (u64)1 << 32, .control = address(control)};
  for (const Choice *c = choices(); c->name; c++) {
    if (!c->here) {
      printf("guard: this processor does not run %s\n", c->name);
      continue;
    }
    srand(1);
    for (int i = 0; i < 400; i++) {
      behind = i % 2;
      inference(&t, control, c->kernels);
      cache(&t, control, c->kernels);
      training(&t, control, c->kernels);
    }
    printf("guard: %s kernels stay inside\n", c->name);
  }
  return 0;
}
