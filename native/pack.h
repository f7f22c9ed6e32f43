/** Packs weights from the checkpoint's order into panels. */

/** Source rows read side by side, and panels rounded together. */
enum { STRIP = 16, ROUNDED = 4 };

/** [n_in, n_out] -> [n_out / 8, n_in, 8] */
INLINE void pack_columns(Thread *t, const Pack *p, int half) {
  const u32 n_in = p->n_in, n_out = p->n_out, panels = (n_out + PANEL - 1) / PANEL;
  for (int64_t unit = first(t, (n_in + STRIP - 1) / STRIP); unit >= 0; unit = next(t)) {
    const u32 begin = unit * STRIP, end = min_u32(begin + STRIP, n_in);
    for (u32 panel = 0; panel < panels; panel++) {
      const u32 count = min_u32(PANEL, n_out - panel * PANEL);
      for (u32 k = begin; k < end; k++) {
        const float *from = p->from + (size_t)k * n_out + panel * PANEL;
        f8 v = (f8)(0);
        if (count == PANEL) v = load8(from);
        else for (u32 i = 0; i < count; i++) v[i] = from[i];
        const size_t to = ((size_t)panel * n_in + k) * PANEL;
        if (half) *(h8u *)((_Float16 *)p->to + to) = __builtin_convertvector(v, h8);
        else store8((float *)p->to + to, v);
      }
    }
  }
}
static void pack_linear(Thread *t, const Pack *p) { pack_columns(t, p, 0); }
static void pack_linear_float16(Thread *t, const Pack *p) { pack_columns(t, p, 1); }

/** [n_out, n_in] -> [n_out / 8, n_in, 8] in place: a panel is exactly as large as the 8 rows it is made from. */
static void pack_rows(Thread *t, const Pack *p) {
  const size_t n_in = p->n_in;
  float *rows = (float *)p->own;
  for (int64_t unit = first(t, (p->n_out + PANEL - 1) / PANEL); unit >= 0; unit = next(t)) {
    float *panel = (float *)p->to + unit * n_in * PANEL;
    __builtin_memcpy(rows, panel, n_in * PANEL * 4);
    for (size_t i = 0; i < n_in; i++)
      for (u32 r = 0; r < PANEL; r++) panel[i * PANEL + r] = rows[r * n_in + i];
  }
}

/** The same into another place, as float16; outputs beyond the last are 0. */
static void pack_rows_float16(Thread *t, const Pack *p) {
  const size_t n_in = p->n_in;
  for (int64_t unit = first(t, (p->n_out + PANEL - 1) / PANEL); unit >= 0; unit = next(t)) {
    const float *rows = p->from + unit * n_in * PANEL;
    _Float16 *panel = (_Float16 *)p->to + unit * n_in * PANEL;
    const u32 count = min_u32(PANEL, p->n_out - unit * PANEL);
    for (size_t i = 0; i < n_in; i++) {
      f8 v = (f8)(0);
      for (u32 r = 0; r < count; r++) v[r] = rows[r * n_in + i];
      *(h8u *)(panel + i * PANEL) = __builtin_convertvector(v, h8);
    }
  }
}

static void raise_most(const Pack *p, u32 value) {
  u32 old = __atomic_load_n(p->most, __ATOMIC_SEQ_CST);
  while (old < value && !__atomic_compare_exchange_n(p->most, &old, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
}

/** x * inverse, rounded by adding 1.5 * 2^23 (rounded twice, on purpose: never fused), clamped to int8. */
INLINE i8 whole8(f8 x, f8 inverse) {
  const float magic = 12582912.0f;
  union { f8 f; i8 i; } v = {.f = x * inverse + magic};
  i8 q = v.i - 0x4b400000;
  q = q > 127 ? (i8)(127) : q;
  return q < -128 ? (i8)(-128) : q;
}

/** 127 / most, or 0: an all-zero output has scale 0 and integers 0. */
INLINE f8 inverse8(f8 most) {
  union { f8 f; i8 i; } v = {.f = 127.0f / most};
  v.i &= most > 0;
  return v.f;
}

INLINE i8 abs8(i8 v) { return v < 0 ? -v : v; }
INLINE f8 larger8(f8 a, f8 b) { return b != b ? b : (b > a ? b : a); }

typedef int8_t c8 __attribute__((ext_vector_type(8), aligned(1)));

/** One panel, an input at a time: from [n_in] lines of `line` values, `count` of them outputs of this panel. */
INLINE void quantize_panel(const Pack *p, size_t panel, const float *from, size_t step, size_t line, u32 count) {
  const u32 n_in = p->n_in;
  f8 most = (f8)(0);
#define LOAD(k)                                                      \
  f8 v = (f8)(0);                                                    \
  if (step == 1 && count == PANEL) v = load8(from + (size_t)(k) * line); \
  else for (u32 i = 0; i < count; i++) v[i] = from[(size_t)(k) * line + i * step];
  for (u32 k = 0; k < n_in; k++) {
    LOAD(k)
    most = larger8(most, __builtin_elementwise_abs(v));
  }
  const f8 inverse = inverse8(most);
  store8(p->scale + panel * PANEL, most / 127.0f);
  int8_t *to = (int8_t *)p->to + panel * ((n_in + 1) / 2) * 16;
  i8 sums = (i8)(0);
  for (u32 k = 0; k < n_in + (n_in & 1); k++) {
    i8 q = (i8)(0);
    if (k < n_in) {
      LOAD(k)
      q = whole8(v, inverse);
    }
    sums += abs8(q);
    for (u32 i = 0; i < PANEL; i++) to[(size_t)(k / 2) * 16 + i * 2 + (k & 1)] = (int8_t)q[i];
  }
#undef LOAD
  u32 raised = 0;
  for (u32 i = 0; i < PANEL; i++) if ((u32)sums[i] > raised) raised = sums[i];
  raise_most(p, raised);
}

/** [n_in, n_out] -> int8 [n_out / 8, n_in / 2, 8, 2] with one scale per output. Reads whole cache lines. */
static void quantize_linear(Thread *t, const Pack *p) {
  const u32 panels = (p->n_out + PANEL - 1) / PANEL;
  for (int64_t unit = first(t, (panels + ROUNDED - 1) / ROUNDED); unit >= 0; unit = next(t))
    for (u32 panel = unit * ROUNDED; panel < min_u32(unit * ROUNDED + ROUNDED, panels); panel++)
      quantize_panel(p, panel, p->from + (size_t)panel * PANEL, 1, p->n_out, min_u32(PANEL, p->n_out - panel * PANEL));
}

/** [n_out, n_in] -> the same */
static void quantize_rows(Thread *t, const Pack *p) {
  const u32 panels = (p->n_out + PANEL - 1) / PANEL;
  for (int64_t panel = first(t, panels); panel >= 0; panel = next(t))
    quantize_panel(p, panel, p->from + (size_t)panel * PANEL * p->n_in, p->n_in, 1, min_u32(PANEL, p->n_out - panel * PANEL));
}
