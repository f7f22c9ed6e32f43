/** LayerNorm, the embedding, and rounding rows to int16: one row at a time, so a row's bits depend on that row alone. */

typedef struct { float mean, inverse; } Moments;

/** A row's mean and 1 / sqrt(variance + epsilon), the variance divided by n: openai/gpt-2 src/model.py, norm(). */
static Moments moments_of(const float *x, u32 n, float epsilon) {
  f16 s = (f16)(0);
  u32 i = 0;
  for (; i + 16 <= n; i += 16) s += load16(x + i);
  for (u32 j = 0; i + j < n; j++) s[j] += x[i + j];
  const float mean = sum16(s) / (float)n;
  s = (f16)(0);
  for (i = 0; i + 16 <= n; i += 16) {
    const f16 d = load16(x + i) - mean;
    s = fma16(d, d, s);
  }
  for (u32 j = 0; i + j < n; j++) {
    const float d = x[i + j] - mean;
    s[j] = fma1(d, d, s[j]);
  }
  return (Moments){mean, 1.0f / __builtin_sqrtf(sum16(s) / (float)n + epsilon)};
}

/** y = LayerNorm(x). x, g, b, y [n] */
static void norm_row(const float *x, const float *g, const float *b, float *y, u32 n, float epsilon) {
  const Moments m = moments_of(x, n, epsilon);
  u32 i = 0;
  for (; i + 16 <= n; i += 16)
    store16(y + i, fma16((load16(x + i) - m.mean) * m.inverse, load16(g + i), load16(b + i)));
  for (; i < n; i++) y[i] = fma1((x[i] - m.mean) * m.inverse, g[i], b[i]);
}

/** Rounds a row to int16; with n odd, a zero follows. @returns the row's scale */
static float round_row(const float *x, int16_t *q, u32 n, float limit) {
  f16 top = (f16)(0);
  i16 bad = (i16)(0);
  u32 i = 0;
  for (; i + 16 <= n; i += 16) {
    const f16 v = __builtin_elementwise_abs(load16(x + i));
    bad |= (i16)(v != v);
    top = v > top ? v : top;
  }
  for (u32 j = 0; i + j < n; j++) {
    const float v = __builtin_fabsf(x[i + j]);
    if (v != v) bad[j] = -1;
    if (v > top[j]) top[j] = v;
  }
  float most = 0;
  for (u32 j = 0; j < 16; j++) {
    if (bad[j]) most = __builtin_nanf("");
    else if (top[j] > most) most = top[j];
  }
  const float inverse = most > 0 ? limit / most : 0;
  typedef int16_t s16 __attribute__((ext_vector_type(16), aligned(2)));
  for (i = 0; i + 16 <= n; i += 16) {
    f16 v = __builtin_elementwise_roundeven(load16(x + i) * inverse);
    // limit / most may be infinite, and so may its product with x: values out of range are clamped, NaN becomes 0.
    v = v > 32767.0f ? (f16)(32767.0f) : v;
    v = v < -32768.0f ? (f16)(-32768.0f) : v;
    v = v != v ? (f16)(0) : v;
    *(s16 *)(q + i) = __builtin_convertvector(__builtin_convertvector(v, i16), s16);
  }
  for (; i < n; i++) {
    const float v = __builtin_roundevenf(x[i] * inverse);
    q[i] = v != v ? 0 : v > 32767.0f ? 32767 : v < -32768.0f ? -32768 : (int16_t)v;
  }
  if (n & 1) q[n] = 0;
  return most / limit;
}

/** A matrix's input: LayerNorm of x, if there is a norm, as int16, if the matrix is int8. x [rows, n] -> q [rows, n rounded up to even], scales [rows] */
static void prepare(Thread *t, const Prepare *p) {
  const size_t pairs = (p->n + 1) / 2;
  for (int64_t r = p->alone ? 0 : first(t, p->rows); r >= 0;) {
    const float *x = p->x + r * p->xs;
    if (p->g) {
      norm_row(x, p->g, p->b, p->a + r * p->as, p->n, p->epsilon);
      x = p->a + r * p->as;
    }
    if (p->q) p->scales[r] = round_row(x, p->q + r * 2 * pairs, p->n, p->limit);
    if (p->alone) r = r + 1 < p->rows ? r + 1 : -1;
    else r = next(t);
  }
}

/** x = wte[id] + wpe[position]: the token's row is gathered from the panels that the logits use. */
static void embed(Thread *t, const Model *m) {
  const Linear *wte = m->wte;
  const u32 n = m->n_embd;
  for (int64_t row = first(t, m->rows); row >= 0; row = next(t)) {
    const u32 id = m->ids[row], lane = id % PANEL;
    const size_t panel = id / PANEL;
    const float *wpe = m->wpe + (size_t)m->positions[row] * n;
    float *x = m->x + row * m->embd_stride;
    if (wte->type == INT8) {
      const int8_t *w = (const int8_t *)wte->w + panel * ((n + 1) / 2) * 16 + lane * 2; // [n / 2, 8, 2]
      const float scale = wte->scale[id];
      for (u32 i = 0; i < n; i++) x[i] = fma1((float)w[(size_t)(i / 2) * 16 + (i & 1)], scale, wpe[i]);
    } else if (wte->type == FLOAT16) {
      const _Float16 *w = (const _Float16 *)wte->w + panel * n * 8 + lane; // [n, 8]
      for (u32 i = 0; i < n; i++) x[i] = (float)w[(size_t)i * 8] + wpe[i];
    } else {
      const float *w = (const float *)wte->w + panel * n * 8 + lane; // [n, 8]
      for (u32 i = 0; i < n; i++) x[i] = w[(size_t)i * 8] + wpe[i];
    }
  }
}
