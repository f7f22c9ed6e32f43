/**
 * Causal attention over the key/value cache: pages of 32 positions, keys [n_head, 4, n_state, 8], values
 * [n_head, ceil(n_state / 8), 32, 8]. Scores add products in feature order, outputs in position order.
 */

/** Writes the rows' keys and values to their pages. k, v [n_head, n_state] -> [n_head, 4, n_state, 8], [n_head, ceil(n_state / 8), 32, 8] */
static void remember(Thread *t, const Model *m, u32 layer) {
  const u32 n_state = m->n_embd / m->n_head, panels = (n_state + PANEL - 1) / PANEL;
  for (int64_t row = first(t, m->rows); row >= 0; row = next(t)) {
    const u32 position = m->positions[row], in_page = position % PAGE;
    const u32 *pages = (const u32 *)(t->base + m->row_pages[row]);
    float *keys = (float *)(t->base + pages[position / PAGE] + (size_t)layer * m->page_layer);
    float *values = keys + (size_t)m->n_head * n_state * PAGE;
    const float *key = m->qkv + row * m->qkv_stride + m->n_embd, *value = key + m->n_embd;
    keys += (size_t)(in_page / PANEL) * n_state * PANEL + in_page % PANEL;
    values += (size_t)in_page * PANEL;
    for (u32 head = 0; head < m->n_head; head++) {
      for (u32 i = 0; i < n_state; i++) keys[i * PANEL] = key[i];
      u32 i = 0;
      for (; i + PANEL <= n_state; i += PANEL) store8(values + (size_t)(i / PANEL) * PAGE * PANEL, load8(value + i));
      for (; i < n_state; i++) values[(size_t)(i / PANEL) * PAGE * PANEL + i % PANEL] = value[i];
      keys += (size_t)n_state * PAGE;
      values += (size_t)panels * PAGE * PANEL;
      key += n_state;
      value += n_state;
    }
  }
}

/** Most rows in a block. */
enum { BLOCK_ROWS = 4 };

/** Scores of a few rows against the 32 positions of a page. q [rows, n_state], keys [4, n_state, 8] -> s [rows, 32], ss values from row to row */
INLINE void page_scores(int rows, const float *keys, const float *q, size_t qs, u32 n_state, float *s, size_t ss, float scale) {
  const size_t panel = (size_t)n_state * PANEL;
#pragma clang loop unroll(disable)
  for (int half = 0; half < PAGE / (2 * LANES); half++) {
    const float *k = keys + half * 2 * WIDE * panel;
    V s0[BLOCK_ROWS], s1[BLOCK_ROWS];
    for (int r = 0; r < rows; r++) s0[r] = s1[r] = (V)(0);
    for (u32 i = 0; i < n_state; i++) {
      const V k0 = load_panels(k + i * PANEL, panel), k1 = load_panels(k + WIDE * panel + i * PANEL, panel);
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
        const V x = (V)(q[r * qs + i]);
        s0[r] = fmav(k0, x, s0[r]);
        s1[r] = fmav(k1, x, s1[r]);
      }
    }
    for (int r = 0; r < rows; r++) {
      storev(s + r * ss + half * 2 * LANES, s0[r] * scale);
      storev(s + r * ss + half * 2 * LANES + LANES, s1[r] * scale);
    }
  }
}

/** One row: all 32 positions side by side, to keep enough sums in flight. q [n_state], keys [4, n_state, 8] -> s [32] */
INLINE void page_scores1(const float *keys, const float *q, u32 n_state, float *s, float scale) {
  const size_t panel = (size_t)n_state * PANEL;
  f8 s0 = (f8)(0), s1 = s0, s2 = s0, s3 = s0;
  for (u32 i = 0; i < n_state; i++) {
    const f8 x = (f8)(q[i]);
    s0 = fma8(load8(keys + i * PANEL), x, s0);
    s1 = fma8(load8(keys + panel + i * PANEL), x, s1);
    s2 = fma8(load8(keys + 2 * panel + i * PANEL), x, s2);
    s3 = fma8(load8(keys + 3 * panel + i * PANEL), x, s3);
  }
  store8(s, s0 * scale);
  store8(s + 8, s1 * scale);
  store8(s + 16, s2 * scale);
  store8(s + 24, s3 * scale);
}

/** n scores become e^(s - largest), 0 from there to `end`. s is padded to a multiple of 32. @returns 1 / sum */
static float softmax(float *s, u32 n, u32 end) {
  const u32 whole = (n + 15) & ~15u;
  const float most = largest(s, n);
  for (u32 i = n; i < whole; i++) s[i] = -__builtin_inff();
  f16 sum = (f16)(0);
  for (u32 i = 0; i < whole; i += 16) {
    const f16 e = exp16(load16(s + i) - most);
    store16(s + i, e);
    sum += e;
  }
  for (u32 i = n; i < end; i++) s[i] = 0;
  return 1.0f / sum16(sum);
}

/** Weighted sums of a few rows' values, `vectors` vectors of features side by side. */
INLINE void values_sum(
  int rows, int vectors, const uint8_t *base, const u32 *pages, size_t offset, u32 n, const float *s, size_t ss, V sums[][2]
) {
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < vectors; c++) sums[r][c] = (V)(0);
  for (u32 done = 0; done < n; done += PAGE) {
    const float *v = (const float *)(base + pages[done / PAGE]) + offset;
    const u32 count = min_u32(PAGE, n - done);
    for (u32 i = 0; i < count; i++) {
      V value[2];
      for (int c = 0; c < vectors; c++) value[c] = load_panels(v + (size_t)(c * WIDE) * PAGE * PANEL + i * PANEL, PAGE * PANEL);
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
        const V x = (V)(s[r * ss + done + i]);
        for (int c = 0; c < vectors; c++) sums[r][c] = fmav(value[c], x, sums[r][c]);
      }
    }
  }
}

/** The last panel of a head's features, where there is an odd one. */
INLINE void values_panel(int rows, const uint8_t *base, const u32 *pages, size_t offset, u32 n, const float *s, size_t ss, f8 *sums) {
  for (int r = 0; r < rows; r++) sums[r] = (f8)(0);
  for (u32 done = 0; done < n; done += PAGE) {
    const float *v = (const float *)(base + pages[done / PAGE]) + offset;
    const u32 count = min_u32(PAGE, n - done);
    for (u32 i = 0; i < count; i++)
      for (int r = 0; r < rows; r++) sums[r] = fma8(load8(v + i * PANEL), (f8)(s[r * ss + done + i]), sums[r]);
  }
}

INLINE void store_some(float *a, f8 v, u32 count) {
  if (count >= PANEL) store8(a, v);
  else for (u32 i = 0; i < count; i++) a[i] = v[i];
}

/** One row: up to eight panels side by side, again to keep enough sums in flight. */
INLINE u32 values_row(const uint8_t *base, const u32 *pages, size_t offset, u32 n, const float *s, float *a, u32 n_state, float inverse) {
  u32 feature = 0;
  for (; feature + 8 * PANEL <= n_state; feature += 8 * PANEL) {
    f8 sum[8];
    for (int c = 0; c < 8; c++) sum[c] = (f8)(0);
    for (u32 done = 0; done < n; done += PAGE) {
      const float *v = (const float *)(base + pages[done / PAGE]) + offset + (size_t)feature * PAGE;
      const u32 count = min_u32(PAGE, n - done);
      for (u32 i = 0; i < count; i++) {
        const f8 x = (f8)(s[done + i]);
#pragma clang loop unroll(full)
        for (int c = 0; c < 8; c++) sum[c] = fma8(load8(v + (size_t)c * PAGE * PANEL + i * PANEL), x, sum[c]);
      }
    }
    for (int c = 0; c < 8; c++) store8(a + feature + c * PANEL, sum[c] * inverse);
  }
  return feature;
}

/** Attention of a few consecutive rows of one head. q [rows, n_state] -> a [rows, n_state], as values from row to row; s [rows, ss] is scratch */
INLINE void attend_rows(
  Thread *t, int rows, u32 position, const u32 *pages, size_t keys, size_t values, const float *q, size_t qs, u32 n_state, float scale,
  float *s, size_t ss, float *a, size_t as
) {
  const u32 n = position + rows;
  float inverse[BLOCK_ROWS];
  for (u32 done = 0; done < n; done += PAGE) {
    const float *page = (const float *)(t->base + pages[done / PAGE]) + keys;
    if (rows == 1) page_scores1(page, q, n_state, s + done, scale);
    else page_scores(rows, page, q, qs, n_state, s + done, ss, scale);
  }
  for (int r = 0; r < rows; r++) inverse[r] = softmax(s + r * ss, position + r + 1, n);
  u32 feature = rows == 1 ? values_row(t->base, pages, values, n, s, a, n_state, inverse[0]) : 0;
  for (; feature + 2 * LANES <= n_state; feature += 2 * LANES) {
    V sums[BLOCK_ROWS][2];
    values_sum(rows, 2, t->base, pages, values + (size_t)feature * PAGE, n, s, ss, sums);
    for (int r = 0; r < rows; r++) {
      storev(a + r * as + feature, sums[r][0] * inverse[r]);
      storev(a + r * as + feature + LANES, sums[r][1] * inverse[r]);
    }
  }
  for (; feature < n_state; feature += PANEL) {
    f8 sums[BLOCK_ROWS];
    values_panel(rows, t->base, pages, values + (size_t)feature * PAGE, n, s, ss, sums);
    for (int r = 0; r < rows; r++) store_some(a + r * as + feature, sums[r] * inverse[r], n_state - feature);
  }
}

/** Attention of this thread's share of blocks and heads: rows of qkv -> rows of a. */
static void attention(Thread *t, const Model *m, u32 layer, const Block *blocks, u32 n_blocks) {
  const u32 n_state = m->n_embd / m->n_head;
  const size_t at = (size_t)layer * m->page_layer / 4;
  const size_t keys_head = (size_t)n_state * PAGE, values_head = (size_t)((n_state + PANEL - 1) / PANEL) * PANEL * PAGE;
  float *s = (float *)m->own;
  for (int64_t unit = first(t, n_blocks * m->n_head); unit >= 0; unit = next(t)) {
    const Block *b = blocks + unit / m->n_head;
    const u32 head = unit % m->n_head;
    const u32 *pages = (const u32 *)(t->base + b->pages);
    const float *q = m->qkv + (size_t)b->row * m->qkv_stride + (size_t)head * n_state;
    float *a = m->a + (size_t)b->out * m->embd_stride + (size_t)head * n_state;
    const size_t keys = at + head * keys_head, values = at + m->n_head * keys_head + head * values_head;
    const size_t ss = (b->position + b->count + PAGE - 1) / PAGE * PAGE;
    if (b->count == BLOCK_ROWS)
      attend_rows(t, BLOCK_ROWS, b->position, pages, keys, values, q, m->qkv_stride, n_state, m->scale, s, ss, a, m->embd_stride);
    else
      for (u32 r = 0; r < b->count; r++)
        attend_rows(t, 1, b->position + r, pages, keys, values, q + (size_t)r * m->qkv_stride, 0, n_state, m->scale, s, 0, a + (size_t)r * m->embd_stride, 0);
  }
}
