/**
 * Causal attention over whole sequences, and its gradient: one head of one sequence at a time, in the thread's own
 * memory. The backward pass recomputes probabilities from each row's largest score and 1 / the sum of its exponentials
 * (Dao et al., FlashAttention, arXiv 2205.14135). Features and positions are padded with zeros.
 */

/** Rows done together in the backward pass. */
enum { BACK_ROWS = 96 };

/** Where one head's rows lie. */
typedef struct {
  const float *q, *k, *v;
  size_t step, out, at, dat;
  float *rows;
} Head;

static Head head_of(const Attention *p, u32 unit) {
  const u32 n_state = p->n_embd / p->n_head;
  const size_t sequence = (size_t)(unit / p->n_head) * p->t, head = (size_t)(unit % p->n_head) * n_state;
  Head h = {.step = 3 * (size_t)p->n_embd, .out = p->n_embd};
  h.dat = sequence * h.step + head;
  h.at = sequence * h.out + head;
  h.q = p->qkv + h.dat;
  h.k = h.q + p->n_embd;
  h.v = h.k + p->n_embd;
  h.rows = p->rows + (size_t)unit * p->t * 2;
  return h;
}

/** [t, n_state] -> panels of COLUMNS positions [n_state, COLUMNS] */
static void by_positions(const float *from, size_t step, u32 t, u32 n_state, float *to) {
  for (u32 i = 0; i < t; i += COLUMNS, to += (size_t)n_state * COLUMNS)
    panel_of_rows(from + i * step, step, min_u32(COLUMNS, t - i), n_state, to, COLUMNS);
}

/** [t, n_state] -> panels of COLUMNS features [t, COLUMNS] */
static void by_features(const float *from, size_t step, u32 t, u32 n_state, float *to) {
  for (u32 i = 0; i < n_state; i += COLUMNS, to += (size_t)t * COLUMNS)
    panel_of_columns(from + i, step, min_u32(COLUMNS, n_state - i), t, to, COLUMNS);
}

/** x [rows, n_state] by panels of positions -> s [rows, n], ss values from row to row */
static void scores_of(const float *x, size_t xs, u32 rows, const float *panels, u32 n, u32 n_state, float *s, size_t ss) {
  for (u32 j = 0; j < n; j += COLUMNS, panels += (size_t)n_state * COLUMNS)
    for (u32 r = 0; r < rows; r += TILE)
      tile_rows(min_u32(TILE, rows - r), panels, COLUMNS, x + r * xs, xs, n_state, s + r * ss + j, ss, 0);
}

/** [rows, n], step values from row to row -> the same, line values from row to row */
static void copy_rows(const float *from, size_t step, u32 rows, u32 n, float *to, size_t line) {
  for (u32 r = 0; r < rows; r++)
    for (u32 i = 0; i < n; i++) to[r * line + i] = from[r * step + i];
}

static void attention_forward(Thread *thread, const Attention *p) {
  const u32 t = p->t, n_state = p->n_embd / p->n_head, width = up(n_state, COLUMNS) * COLUMNS;
  const float scale = p->scale;
  const size_t ss = (size_t)up(t, 32) * 32;
  float *const keys = p->own, *const values = keys + ss * n_state, *const s = values + (size_t)t * width, *const mixed = s + TILE * ss;
  for (int64_t unit = first(thread, p->n * p->n_head); unit >= 0; unit = next(thread)) {
    const Head h = head_of(p, unit);
    by_positions(h.k, h.step, t, n_state, keys);
    by_features(h.v, h.step, t, n_state, values);
    for (u32 i = 0; i < t; i += TILE) {
      const u32 count = min_u32(TILE, t - i), n = i + count;
      float inverse[TILE];
      scores_of(h.q + i * h.step, h.step, count, keys, n, n_state, s, ss);
      for (u32 r = 0; r < count; r++) {
        float *row = s + r * ss;
        for (u32 j = 0; j < i + r + 1; j += 16) store16(row + j, load16(row + j) * scale);
        h.rows[2 * (i + r)] = largest(row, i + r + 1);
        inverse[r] = h.rows[2 * (i + r) + 1] = softmax(row, i + r + 1, n);
      }
      for (u32 c = 0; c < width; c += COLUMNS)
        tile_rows(count, values + (size_t)c * t, COLUMNS, s, ss, n, mixed + c, width, 0);
      for (u32 r = 0; r < count; r++) {
        float *a = p->a + h.at + (i + r) * h.out;
        for (u32 f = 0; f < n_state; f++) a[f] = mixed[r * width + f] * inverse[r];
      }
    }
  }
}

/** Turns a row's scores into probabilities, and the gradient of its probabilities into that of its scores: 0 beyond n. s, ds [end] */
static void slopes(float *s, float *ds, u32 n, u32 end, float scale, float most, float inverse, float product) {
  u32 j = 0;
  for (; j < n; j += 16) {
    const f16 probability = exp16(load16(s + j) * scale - most) * inverse;
    store16(ds + j, (probability * (load16(ds + j) - product)) * scale);
    store16(s + j, probability);
  }
  for (j = n; j < end; j++) s[j] = ds[j] = 0;
}

/** The dot product of x and y [n]. */
static float product16(const float *x, const float *y, u32 n) {
  f16 s = (f16)(0);
  u32 i = 0;
  for (; i + 16 <= n; i += 16) s = fma16(load16(x + i), load16(y + i), s);
  for (u32 j = 0; i + j < n; j++) s[j] = fma1(x[i + j], y[i + j], s[j]);
  return sum16(s);
}

static void attention_backward(Thread *thread, const Attention *p) {
  const u32 t = p->t, n_state = p->n_embd / p->n_head, width = up(n_state, COLUMNS) * COLUMNS;
  const float scale = p->scale;
  const size_t ss = (size_t)up(t, 32) * 32;
  float *const keys = p->own, *const values = keys + ss * n_state; // panels of positions
  float *const key_features = values + ss * n_state; // panels of features, like the next two
  float *const queries = key_features + (size_t)t * width, *const outputs = queries + BACK_ROWS * (size_t)width;
  float *const dkeys = outputs + BACK_ROWS * (size_t)width, *const dvalues = dkeys + ss * width; // [t, width]
  float *const dqueries = dvalues + ss * width; // [BACK_ROWS, width]
  float *const s = dqueries + BACK_ROWS * (size_t)width, *const ds = s + BACK_ROWS * ss; // [BACK_ROWS, t]
  for (int64_t unit = first(thread, p->n * p->n_head); unit >= 0; unit = next(thread)) {
    const Head h = head_of(p, unit);
    const float *a = p->a + h.at, *da = p->da + h.at;
    by_positions(h.k, h.step, t, n_state, keys);
    by_positions(h.v, h.step, t, n_state, values);
    by_features(h.k, h.step, t, n_state, key_features);
    for (u32 begin = 0; begin < t; begin += BACK_ROWS) {
      const u32 count = min_u32(BACK_ROWS, t - begin), n = begin + count;
      const float *q = h.q + begin * h.step, *out = da + begin * h.out;
      by_features(q, h.step, count, n_state, queries);
      by_features(out, h.out, count, n_state, outputs);
      scores_of(q, h.step, count, keys, n, n_state, s, ss);
      scores_of(out, h.out, count, values, n, n_state, ds, ss);
      for (u32 r = 0; r < count; r++) {
        const u32 row = begin + r;
        const float product = product16(a + row * h.out, da + row * h.out, n_state);
        slopes(s + r * ss, ds + r * ss, row + 1, n, scale, h.rows[2 * row], h.rows[2 * row + 1], product);
      }
      for (u32 c = 0; c < width; c += COLUMNS) {
        for (u32 r = 0; r < count; r += TILE)
          tile_rows(min_u32(TILE, count - r), key_features + (size_t)c * t, COLUMNS, ds + r * ss, ss, n, dqueries + r * (size_t)width + c, width, 0);
        for (u32 j = 0; j < n; j += TILE) {
          const u32 some = min_u32(TILE, n - j);
          // Keys that this block of rows is the first to see start from 0; the others continue.
          const u32 old = j >= begin ? 0 : min_u32(some, begin - j);
          for (u32 r = old; r < some; r++)
            for (u32 f = 0; f < COLUMNS; f++) dkeys[(j + r) * (size_t)width + c + f] = dvalues[(j + r) * (size_t)width + c + f] = 0;
          tile_columns(some, queries + (size_t)c * count, COLUMNS, ds + j, ss, count, dkeys + j * (size_t)width + c, width, 1);
          tile_columns(some, outputs + (size_t)c * count, COLUMNS, s + j, ss, count, dvalues + j * (size_t)width + c, width, 1);
        }
      }
      copy_rows(dqueries, width, count, n_state, p->dqkv + h.dat + begin * h.step, h.step);
    }
    copy_rows(dkeys, width, t, n_state, p->dqkv + h.dat + p->n_embd, h.step);
    copy_rows(dvalues, width, t, n_state, p->dqkv + h.dat + 2 * p->n_embd, h.step);
  }
}
