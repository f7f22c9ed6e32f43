/** The functions for inference: reads the records, checks every range, then runs the kernel. */
#include "border.h"

/** Words of the records of src/engines/cpu/runtime/records.ts. */
enum { L_N_IN, L_N_OUT, L_W, L_B, L_SCALE, L_LIMIT, L_TYPE, L_WORDS };
enum { N_G, N_B, N_EPSILON, N_WORDS };
enum { Y_LN_1, Y_C_ATTN, Y_C_PROJ, Y_LN_2, Y_C_FC, Y_C_PROJ_MLP, Y_ATTENTION_SCALE, Y_WORDS };
enum { B_ROW, B_COUNT, B_POSITION, B_PAGES, B_OUT, B_WORDS };
enum { P_FROM, P_TO, P_SCALE, P_N_IN, P_N_OUT, P_MOST, P_OWN, P_OWN_BYTES, P_WORDS };
enum {
  M_N_EMBD, M_N_HEAD, M_N_LAYER, M_LAYERS, M_WTE, M_WPE, M_LN_F, M_LM_HEAD, M_ACTIVATION,
  M_EMBD_STRIDE, M_QKV_STRIDE, M_HIDDEN_STRIDE, M_PAGE_LAYER,
  M_X, M_LAST_X, M_A, M_QKV, M_HIDDEN, M_QUANTIZED, M_ROW_SCALE, M_OWN, M_OWN_BYTES,
  M_ROWS, M_IDS, M_POSITIONS, M_ROW_PAGES, M_BLOCKS, M_N_BLOCKS,
  M_LAST_BLOCKS, M_N_LAST_BLOCKS, M_N_LAST, M_LOGITS, M_WORDS
};

static u64 padded(u32 n) { return ((u64)n + 1) / 2 * 2; }

static Linear read_linear(Call *c, u32 address) {
  Linear l = {0};
  const u32 *r = at(c, address, L_WORDS * 4, "no matrix there");
  if (!r) return l;
  l = (Linear){.n_in = r[L_N_IN], .n_out = r[L_N_OUT], .type = r[L_TYPE], .limit = as_float(r[L_LIMIT])};
  require(c, l.type <= INT8 && l.n_in > 0 && l.n_out > 0 && l.n_out % PANEL == 0, "no matrix there");
  const u64 values = l.n_out * (l.type == INT8 ? padded(l.n_in) : l.n_in);
  require(c, values < (u64)1 << 32, "a matrix lies outside the memory");
  l.w = at(c, r[L_W], l.type == FLOAT32 ? values * 4 : l.type == FLOAT16 ? values * 2 : values, "a matrix lies outside the memory");
  if (r[L_B]) l.b = at(c, r[L_B], (u64)l.n_out * 4, "a bias lies outside the memory");
  if (l.type == INT8) l.scale = at(c, r[L_SCALE], (u64)l.n_out * 4, "scales lie outside the memory");
  return l;
}

/** This thread's own memory. */
static void *own_memory(Call *c, u32 own, u32 own_bytes, u64 needed) {
  require(c, needed <= own_bytes, "a thread's own memory is too small");
  const u64 address = own + (u64)c->t.thread * own_bytes;
  require(c, own != 0 && address + own_bytes <= c->t.size, "a thread's own memory lies outside the memory");
  return c->fault ? NULL : c->t.base + address;
}

/* l, rows, x, xs, y, ys, mode */
static u32 linear_float(Call *c, u32 type) {
  const Linear l = read_linear(c, c->a[0]);
  const u32 rows = c->a[1], mode = c->a[6];
  require(c, l.type == type, "a matrix of another type");
  require(c, mode <= QUICK_GELU, "no such mode");
  const float *x = rows_at(c, c->a[2], rows, c->a[3], l.n_in, "x lies outside the memory");
  float *y = rows_at(c, c->a[4], rows, c->a[5], l.n_out, "y lies outside the memory");
  if (c->fault || rows == 0) return 0;
  (type == FLOAT16 ? c->kernels->linear_float16 : c->kernels->linear_float32)(&c->t, &l, rows, x, c->a[3], y, c->a[5], mode);
  return 0;
}
static u32 linear_float32(Call *c) { return linear_float(c, FLOAT32); }
static u32 linear_float16(Call *c) { return linear_float(c, FLOAT16); }

/* l, rows, q, scales, y, ys, mode, own */
static u32 linear_int8(Call *c) {
  const Linear l = read_linear(c, c->a[0]);
  const u32 rows = c->a[1], mode = c->a[6];
  require(c, l.type == INT8, "a matrix of another type");
  require(c, mode <= QUICK_GELU, "no such mode");
  const int16_t *q = at(c, c->a[2], rows * padded(l.n_in) * 2, "x lies outside the memory");
  const float *scales = at(c, c->a[3], (u64)rows * 4, "a row's scale lies outside the memory");
  float *y = rows_at(c, c->a[4], rows, c->a[5], l.n_out, "y lies outside the memory");
  if (c->fault || rows == 0) return 0;
  c->kernels->linear_int8(&c->t, &l, rows, q, scales, y, c->a[5], mode);
  return 0;
}

/* l, norm, rows, x, xs, a, as, q, scales, alone */
static u32 prepare(Call *c) {
  const Linear l = read_linear(c, c->a[0]);
  Prepare p = {.rows = c->a[2], .n = l.n_in, .xs = c->a[4], .as = c->a[6], .alone = c->a[9], .limit = l.limit};
  p.x = rows_at(c, c->a[3], p.rows, c->a[4], p.n, "x lies outside the memory");
  if (c->a[1]) {
    const u32 *norm = at(c, c->a[1], N_WORDS * 4, "no norm there");
    if (norm) {
      p.g = at(c, norm[N_G], (u64)p.n * 4, "a norm lies outside the memory");
      p.b = at(c, norm[N_B], (u64)p.n * 4, "a norm lies outside the memory");
      p.epsilon = as_float(norm[N_EPSILON]);
      p.a = rows_at(c, c->a[5], p.rows, c->a[6], p.n, "a lies outside the memory");
    }
  }
  if (l.type == INT8) {
    p.q = at(c, c->a[7], p.rows * padded(p.n) * 2, "rounded rows lie outside the memory");
    p.scales = at(c, c->a[8], (u64)p.rows * 4, "a row's scale lies outside the memory");
  }
  if (!c->fault && p.rows) c->kernels->prepare(&c->t, &p);
  return 0;
}

static Model read_model(Call *c, u32 address, const u32 **words) {
  Model m = {0};
  const u32 *r = *words = at(c, address, M_WORDS * 4, "no model there");
  if (!r) return m;
  m = (Model){
    .n_embd = r[M_N_EMBD], .n_head = r[M_N_HEAD], .n_layer = r[M_N_LAYER], .rows = r[M_ROWS],
    .embd_stride = r[M_EMBD_STRIDE], .qkv_stride = r[M_QKV_STRIDE], .page_layer = r[M_PAGE_LAYER],
  };
  require(c, m.n_head > 0 && m.n_embd > 0 && m.n_embd % m.n_head == 0 && m.n_embd < 1u << 24, "no model there");
  return m;
}

static u32 embed(Call *c) {
  const u32 *r;
  Model m = read_model(c, c->a[0], &r);
  if (c->fault) return 0;
  const Linear wte = read_linear(c, r[M_WTE]);
  require(c, wte.n_in == m.n_embd, "an embedding of another width");
  m.wte = &wte;
  m.ids = at(c, r[M_IDS], (u64)m.rows * 4, "ids lie outside the memory");
  m.positions = at(c, r[M_POSITIONS], (u64)m.rows * 4, "positions lie outside the memory");
  m.x = rows_at(c, r[M_X], m.rows, m.embd_stride, m.n_embd, "x lies outside the memory");
  m.wpe = at(c, r[M_WPE], 0, "an embedding lies outside the memory");
  for (u32 i = 0; i < m.rows && !c->fault; i++) {
    require(c, m.ids[i] < wte.n_out, "an id beyond the vocabulary");
    at(c, r[M_WPE], ((u64)m.positions[i] + 1) * m.n_embd * 4, "a position lies outside the memory");
  }
  if (!c->fault && m.rows) c->kernels->embed(&c->t, &m);
  return 0;
}

static u64 layer_bytes(const Model *m) {
  const u64 n_state = m->n_embd / m->n_head;
  return m->n_head * (u64)PAGE * (n_state + (n_state + PANEL - 1) / PANEL * PANEL) * 4;
}

/** Checks the pages of this many positions. */
static void check_pages(Call *c, const Model *m, u32 pages, u32 from, u32 positions, u32 layer) {
  const u32 last = (u32)(((u64)positions + PAGE - 1) / PAGE);
  const u32 *table = at(c, pages, (u64)last * 4, "a table of pages lies outside the memory");
  for (u32 i = from; i < last && table && !c->fault; i++)
    at(c, table[i], ((u64)layer + 1) * m->page_layer, "a page lies outside the memory");
}

/* m, layer */
static u32 remember(Call *c) {
  const u32 *r, layer = c->a[1];
  Model m = read_model(c, c->a[0], &r);
  if (c->fault) return 0;
  require(c, layer < m.n_layer && layer_bytes(&m) <= m.page_layer && m.page_layer % 4 == 0, "no such layer");
  m.positions = at(c, r[M_POSITIONS], (u64)m.rows * 4, "positions lie outside the memory");
  m.row_pages = at(c, r[M_ROW_PAGES], (u64)m.rows * 4, "pages lie outside the memory");
  m.qkv = rows_at(c, r[M_QKV], m.rows, m.qkv_stride, 3 * m.n_embd, "qkv lies outside the memory");
  for (u32 i = 0; i < m.rows && !c->fault; i++) {
    require(c, m.positions[i] < UINT32_MAX - PAGE, "a position lies outside the memory");
    check_pages(c, &m, m.row_pages[i], m.positions[i] / PAGE, m.positions[i] + 1, layer);
  }
  if (!c->fault && m.rows) c->kernels->remember(&c->t, &m, layer);
  return 0;
}

/* m, layer, blocks, n_blocks */
static u32 attention(Call *c) {
  const u32 *r, layer = c->a[1], n_blocks = c->a[3];
  Model m = read_model(c, c->a[0], &r);
  if (c->fault) return 0;
  require(c, layer < m.n_layer && layer_bytes(&m) <= m.page_layer && m.page_layer % 4 == 0, "no such layer");
  require(c, (u64)n_blocks * m.n_head < (u64)1 << 32, "too many blocks");
  const u32 *layers = at(c, r[M_LAYERS], (layer + 1ull) * Y_WORDS * 4, "no such layer");
  if (layers) m.scale = as_float(layers[layer * Y_WORDS + Y_ATTENTION_SCALE]);
  const Block *blocks = at(c, c->a[2], (u64)n_blocks * B_WORDS * 4, "blocks lie outside the memory");
  u32 positions = 0;
  for (u32 i = 0; i < n_blocks && !c->fault; i++) {
    const Block *b = blocks + i;
    require(c, b->count >= 1 && b->count <= 4 && b->position < UINT32_MAX - PAGE && b->row < 1u << 28 && b->out < 1u << 28, "no block there");
    if (c->fault) break;
    const u32 n = b->position + b->count;
    if (n > positions) positions = n;
    check_pages(c, &m, b->pages, 0, n, layer);
    rows_at(c, r[M_QKV], b->row + b->count, m.qkv_stride, 3 * m.n_embd, "qkv lies outside the memory");
    rows_at(c, r[M_A], b->out + b->count, m.embd_stride, m.n_embd, "a lies outside the memory");
  }
  m.own = own_memory(c, r[M_OWN], r[M_OWN_BYTES], 4ull * (((u64)positions + PAGE - 1) / PAGE * PAGE) * 4);
  if (c->fault || n_blocks == 0) return 0;
  m.qkv = (const float *)(c->t.base + r[M_QKV]);
  m.a = (float *)(c->t.base + r[M_A]);
  c->kernels->attention(&c->t, &m, layer, blocks, n_blocks);
  return 0;
}

/** @param in_place whether the result overwrites the source */
static Pack read_pack(Call *c, u32 type, int in_place) {
  Pack p = {0};
  u32 *r = at(c, c->a[0], P_WORDS * 4, "nothing to pack there");
  if (!r) return p;
  p = (Pack){.n_in = r[P_N_IN], .n_out = r[P_N_OUT]};
  require(c, p.n_in > 0 && p.n_out > 0 && (u64)p.n_in * p.n_out < (u64)1 << 32, "nothing to pack there");
  const u64 outputs = ((u64)p.n_out + PANEL - 1) / PANEL * PANEL;
  const u64 values = outputs * (type == INT8 ? padded(p.n_in) : p.n_in);
  if (!in_place) p.from = at(c, r[P_FROM], (u64)p.n_in * p.n_out * 4, "a matrix lies outside the memory");
  p.to = at(c, r[P_TO], type == FLOAT32 ? values * 4 : type == FLOAT16 ? values * 2 : values, "a matrix lies outside the memory");
  if (type == INT8) p.scale = at(c, r[P_SCALE], outputs * 4, "scales lie outside the memory");
  if (in_place) p.own = own_memory(c, r[P_OWN], r[P_OWN_BYTES], (u64)p.n_in * PANEL * 4);
  p.most = r + P_MOST;
  return p;
}

#define PACKS(NAME, TYPE, IN_PLACE)                  \
  static u32 NAME(Call *c) {                         \
    const Pack p = read_pack(c, TYPE, IN_PLACE);  \
    if (!c->fault) c->kernels->NAME(&c->t, &p);      \
    return 0;                                        \
  }
PACKS(pack_linear, FLOAT32, 0)
PACKS(pack_rows, FLOAT32, 1)
PACKS(quantize_linear, INT8, 0)
PACKS(quantize_rows, INT8, 0)
PACKS(pack_linear_float16, FLOAT16, 0)
PACKS(pack_rows_float16, FLOAT16, 0)

/* n_ctx, widest */
static u32 own_bytes(Call *c) {
  const u64 bytes = inference_own_bytes(c->a[0], c->a[1]);
  require(c, c->a[0] < 1u << 26 && bytes < 1u << 31, "a model that large has no room");
  return (u32)((bytes + 63) / 64 * 64);
}

const Function inference_functions[] = {
  {"embed", 1, embed, 0},
  {"prepare", 10, prepare, 0},
  {"linear_float32", 7, linear_float32, 0},
  {"linear_float16", 7, linear_float16, 0},
  {"linear_int8", 8, linear_int8, 0},
  {"remember", 2, remember, 0},
  {"attention", 4, attention, 0},
  {"pack_linear", 1, pack_linear, 0},
  {"pack_rows", 1, pack_rows, 0},
  {"quantize_linear", 1, quantize_linear, 0},
  {"quantize_rows", 1, quantize_rows, 0},
  {"pack_linear_float16", 1, pack_linear_float16, 0},
  {"pack_rows_float16", 1, pack_rows_float16, 0},
  {"inference_own_bytes", 2, own_bytes, 1},
  {0},
};
