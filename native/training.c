/** The functions for training: reads the records, checks every range, then runs the kernel. */
#include "border.h"

/** Words of the records of src/engines/cpu/runtime/records.ts. */
enum { P_M, P_N, P_K, P_A, P_A_ROW, P_A_K, P_B, P_B_K, P_B_COLUMN, P_C, P_C_ROW, P_BIAS, P_ADD, P_SHARED, P_OWN, P_OWN_BYTES, P_WORDS };
enum { N_ROWS, N_N, N_G, N_B, N_X, N_Y, N_DX, N_DG, N_DB, N_MOMENTS, N_EPSILON, N_WORDS };
enum { A_N, A_T, A_N_HEAD, A_N_EMBD, A_QKV, A_A, A_ROWS, A_DA, A_DQKV, A_OWN, A_OWN_BYTES, A_SCALE, A_WORDS };
enum { V_N, V_ROWS, V_X, V_Y, V_Z, V_SCALE, V_ACTIVATION, V_WORDS };
enum { C_ROWS, C_N_VOCAB, C_ROW, C_LOGITS, C_TARGETS, C_LOSSES, C_SCALE, C_WORDS };
enum { S_N, S_VALUES, S_GRADIENTS, S_M, S_V, S_MEAN, S_RATE, S_CORRECTION, S_WORDS };

static const char OUTSIDE[] = "an array lies outside the memory";

static const u32 *record(Call *c, u32 words) { return at(c, c->a[0], words * 4, "no record there"); }

/** One factor of a product, `rows` by `columns`. */
static void *side(Call *c, u32 address, u32 rows, u32 row, u32 columns, u32 column) {
  require(c, rows > 0 && columns > 0 && row < 1u << 30 && column < 1u << 30, "a product of nothing");
  return at(c, address, ((u64)(rows - 1) * row + (u64)(columns - 1) * column + 1) * 4, "a matrix lies outside the memory");
}

static float *own_memory(Call *c, u32 own, u32 own_bytes, u64 needed) {
  require(c, needed <= own_bytes && own_bytes % 4 == 0, "a thread's own memory is too small");
  const u64 address = own + (u64)c->t.thread * own_bytes;
  require(c, own != 0 && own % 4 == 0 && address + own_bytes <= c->t.size, "a thread's own memory lies outside the memory");
  return c->fault ? NULL : (float *)(c->t.base + address);
}

static Product read_product(Call *c) {
  Product p = {0};
  const u32 *r = record(c, P_WORDS);
  if (!r) return p;
  p = (Product){
    .m = r[P_M], .n = r[P_N], .k = r[P_K], .add = r[P_ADD], .a_row = r[P_A_ROW], .a_k = r[P_A_K],
    .b_k = r[P_B_K], .b_column = r[P_B_COLUMN], .c_row = r[P_C_ROW],
  };
  require(c, p.m < 1u << 30 && p.n < 1u << 30 && p.k < 1u << 30, "a product of nothing");
  require(c, (p.a_row == 1 || p.a_k == 1) && (p.b_k == 1 || p.b_column == 1), "a factor without rows");
  p.a = side(c, r[P_A], p.m, r[P_A_ROW], p.k, r[P_A_K]);
  p.b = side(c, r[P_B], p.k, r[P_B_K], p.n, r[P_B_COLUMN]);
  p.c = side(c, r[P_C], p.m, r[P_C_ROW], p.n, 1);
  if (r[P_BIAS]) p.bias = at(c, r[P_BIAS], (u64)p.n * 4, OUTSIDE);
  p.shared = at(c, r[P_SHARED], product_shared_bytes(p.m, p.k), "shared panels lie outside the memory");
  p.own = own_memory(c, r[P_OWN], r[P_OWN_BYTES], PRODUCT_OWN_BYTES);
  return p;
}

static u32 matmul_blocks(Call *c) {
  const Product p = read_product(c);
  return c->fault ? 0 : c->kernels->matmul_blocks(&p);
}
static u32 matmul_pack(Call *c) {
  const Product p = read_product(c);
  require(c, c->fault || c->a[1] < c->kernels->matmul_blocks(&p), "no such block");
  if (!c->fault) c->kernels->matmul_pack(&c->t, &p, c->a[1]);
  return 0;
}
static u32 matmul_block(Call *c) {
  const Product p = read_product(c);
  require(c, c->fault || c->a[1] < c->kernels->matmul_blocks(&p), "no such block");
  if (!c->fault) c->kernels->matmul_block(&c->t, &p, c->a[1]);
  return 0;
}

static NormRows read_norm(Call *c, int back) {
  NormRows p = {0};
  const u32 *r = record(c, N_WORDS);
  if (!r) return p;
  p.rows = r[N_ROWS];
  p.n = r[N_N];
  p.epsilon = as_float(r[N_EPSILON]);
  require(c, p.n > 0 && p.rows < 1u << 30, "no rows there");
  const u64 row = (u64)p.n * 4, all = p.rows * row;
  p.x = at(c, r[N_X], all, OUTSIDE);
  p.y = at(c, r[N_Y], all, OUTSIDE);
  if (back) p.moments = at(c, r[N_MOMENTS], (u64)p.rows * 8, OUTSIDE);
  if (back != 2) p.g = at(c, r[N_G], row, OUTSIDE);
  if (back == 0) p.b = at(c, r[N_B], row, OUTSIDE);
  if (back == 1) p.dx = at(c, r[N_DX], all, OUTSIDE);
  if (back == 2) {
    p.dg = at(c, r[N_DG], row, OUTSIDE);
    p.db = at(c, r[N_DB], row, OUTSIDE);
  }
  return p;
}
#define NORMS(NAME, BACK)                            \
  static u32 NAME(Call *c) {                         \
    const NormRows p = read_norm(c, BACK);           \
    if (!c->fault) c->kernels->NAME(&c->t, &p);      \
    return 0;                                        \
  }
NORMS(layernorm_forward, 0)
NORMS(layernorm_backward_rows, 1)
NORMS(layernorm_backward_columns, 2)

static Attention read_attention(Call *c, int back) {
  Attention p = {0};
  const u32 *r = record(c, A_WORDS);
  if (!r) return p;
  p = (Attention){.n = r[A_N], .t = r[A_T], .n_head = r[A_N_HEAD], .n_embd = r[A_N_EMBD], .scale = as_float(r[A_SCALE])};
  require(c, p.n_head > 0 && p.n_embd > 0 && p.n_embd < 1u << 20 && p.n_embd % p.n_head == 0 && p.t > 0 && p.t < 1u << 20, "no heads there");
  require(c, (u64)p.n * p.n_head < 1u << 30, "too many heads");
  if (c->fault) return p;
  const u64 rows = (u64)p.n * p.t;
  require(c, rows < 1u << 30, "too many rows");
  p.qkv = at(c, r[A_QKV], rows * p.n_embd * 12, OUTSIDE);
  p.a = at(c, r[A_A], rows * p.n_embd * 4, OUTSIDE);
  p.rows = at(c, r[A_ROWS], rows * p.n_head * 8, OUTSIDE);
  if (back) {
    p.da = at(c, r[A_DA], rows * p.n_embd * 4, OUTSIDE);
    p.dqkv = at(c, r[A_DQKV], rows * p.n_embd * 12, OUTSIDE);
  }
  p.own = own_memory(c, r[A_OWN], r[A_OWN_BYTES], attention_own_bytes(p.t, p.n_embd / p.n_head));
  return p;
}
static u32 attention_forward(Call *c) {
  const Attention p = read_attention(c, 0);
  if (!c->fault) c->kernels->attention_forward(&c->t, &p);
  return 0;
}
static u32 attention_backward(Call *c) {
  const Attention p = read_attention(c, 1);
  if (!c->fault) c->kernels->attention_backward(&c->t, &p);
  return 0;
}

static u32 crossentropy(Call *c) {
  const u32 *r = record(c, C_WORDS);
  if (!r) return 0;
  Loss p = {.rows = r[C_ROWS], .n_vocab = r[C_N_VOCAB], .row = r[C_ROW], .scale = as_float(r[C_SCALE])};
  require(c, p.n_vocab > 0 && p.row >= p.n_vocab, "no logits there");
  p.logits = rows_at(c, r[C_LOGITS], p.rows, p.row, p.row, OUTSIDE);
  p.targets = at(c, r[C_TARGETS], (u64)p.rows * 4, OUTSIDE);
  p.losses = at(c, r[C_LOSSES], (u64)p.rows * 8, OUTSIDE);
  require(c, r[C_LOSSES] % 8 == 0, OUTSIDE);
  for (u32 i = 0; i < p.rows && !c->fault; i++) require(c, p.targets[i] < p.n_vocab, "a target beyond the vocabulary");
  if (!c->fault) c->kernels->crossentropy(&c->t, &p);
  return 0;
}

/** Bytes of n values with their padding. */
static u64 roomy(u32 n) { return ((u64)n + 15) / 16 * 64; }

static Values read_values(Call *c, int back) {
  Values p = {0};
  const u32 *r = record(c, V_WORDS);
  if (!r) return p;
  const u64 bytes = roomy(r[V_N]);
  p = (Values){.n = r[V_N], .activation = r[V_ACTIVATION], .x = at(c, r[V_X], bytes, OUTSIDE), .y = at(c, r[V_Y], bytes, OUTSIDE)};
  require(c, p.activation >= GELU_NEW && p.activation <= QUICK_GELU, "no such activation");
  if (back) p.z = at(c, r[V_Z], bytes, OUTSIDE);
  return p;
}
static u32 activation_forward(Call *c) {
  const Values p = read_values(c, 0);
  if (!c->fault) c->kernels->activation_forward(&c->t, &p);
  return 0;
}
static u32 activation_backward(Call *c) {
  const Values p = read_values(c, 1);
  if (!c->fault) c->kernels->activation_backward(&c->t, &p);
  return 0;
}

static u32 adam(Call *c) {
  const u32 *r = record(c, S_WORDS);
  if (!r) return 0;
  const u64 bytes = roomy(r[S_N]);
  const Step p = {
    .n = r[S_N], .values = at(c, r[S_VALUES], bytes, OUTSIDE), .gradients = at(c, r[S_GRADIENTS], bytes, OUTSIDE),
    .m = at(c, r[S_M], bytes, OUTSIDE), .v = at(c, r[S_V], bytes, OUTSIDE),
    .mean = as_float(r[S_MEAN]), .rate = as_float(r[S_RATE]), .correction = as_float(r[S_CORRECTION]),
  };
  if (!c->fault) c->kernels->adam(&c->t, &p);
  return 0;
}

/* longest, t, n_state */
static u32 own_bytes(Call *c) {
  require(c, c->a[1] < 1u << 20 && c->a[2] < 1u << 20, "a model that large has no room");
  const u64 heads = attention_own_bytes(c->a[1], c->a[2]);
  const u64 bytes = heads > PRODUCT_OWN_BYTES ? heads : PRODUCT_OWN_BYTES;
  require(c, bytes < 1u << 31, "a model that large has no room");
  return (u32)((bytes + 63) / 64 * 64);
}

/* longest */
static u32 shared_bytes(Call *c) { return (u32)((product_shared_bytes(c->a[0], c->a[0]) + 63) / 64 * 64); }

const Function training_functions[] = {
  {"layernorm_forward", 1, layernorm_forward, 0},
  {"layernorm_backward_rows", 1, layernorm_backward_rows, 0},
  {"layernorm_backward_columns", 1, layernorm_backward_columns, 0},
  {"matmul_blocks", 1, matmul_blocks, 1},
  {"matmul_pack", 2, matmul_pack, 0},
  {"matmul_block", 2, matmul_block, 0},
  {"attention_forward", 1, attention_forward, 0},
  {"attention_backward", 1, attention_backward, 0},
  {"crossentropy", 1, crossentropy, 0},
  {"activation_forward", 1, activation_forward, 0},
  {"activation_backward", 1, activation_backward, 0},
  {"adam", 1, adam, 0},
  {"training_own_bytes", 3, own_bytes, 1},
  {"training_shared_bytes", 1, shared_bytes, 1},
  {0},
};
