/** Training's other operations, value by value and row by row, forward and backward. */

/** Rows, columns and values per unit. */
enum { NORM_ROWS = 16, NORM_COLUMNS = 32, VALUES = 4096 };

/** y = LayerNorm(x). x, y [rows, n] */
static void layernorm_forward(Thread *t, const NormRows *p) {
  for (int64_t unit = first(t, up(p->rows, NORM_ROWS)); unit >= 0; unit = next(t))
    for (u32 r = unit * NORM_ROWS; r < min_u32(unit * NORM_ROWS + NORM_ROWS, p->rows); r++)
      norm_row(p->x + (size_t)r * p->n, p->g, p->b, p->y + (size_t)r * p->n, p->n, p->epsilon);
}

/** With h = (x - mean) / deviation: dx += (g dy - mean(g dy) - h mean(g dy h)) / deviation. x, dy, g, dx [n], moments [2] */
static void norm_row_back(const float *x, const float *dy, const float *g, float *dx, u32 n, float *moments, float epsilon) {
  const Moments m = moments_of(x, n, epsilon);
  moments[0] = m.mean;
  moments[1] = m.inverse;
  f16 t1 = (f16)(0), t2 = t1;
  u32 i = 0;
  for (; i + 16 <= n; i += 16) {
    const f16 d = load16(g + i) * load16(dy + i);
    t1 += d;
    t2 = fma16(d, (load16(x + i) - m.mean) * m.inverse, t2);
  }
  for (u32 j = 0; i + j < n; j++) {
    const float d = g[i + j] * dy[i + j];
    t1[j] += d;
    t2[j] = fma1(d, (x[i + j] - m.mean) * m.inverse, t2[j]);
  }
  const float one = sum16(t1) / (float)n, two = sum16(t2) / (float)n;
  for (i = 0; i + 16 <= n; i += 16) {
    const f16 h = (load16(x + i) - m.mean) * m.inverse;
    const f16 v = fma16(-h, (f16)(two), load16(g + i) * load16(dy + i) - one);
    store16(dx + i, fma16(v, (f16)(m.inverse), load16(dx + i)));
  }
  for (; i < n; i++) {
    const float h = (x[i] - m.mean) * m.inverse;
    dx[i] = fma1(fma1(-h, two, g[i] * dy[i] - one), m.inverse, dx[i]);
  }
}

/** dx += the gradient of x; stores the rows' moments. x, y, dx [rows, n] -> moments [rows, 2] */
static void layernorm_backward_rows(Thread *t, const NormRows *p) {
  for (int64_t unit = first(t, up(p->rows, NORM_ROWS)); unit >= 0; unit = next(t))
    for (u32 r = unit * NORM_ROWS; r < min_u32(unit * NORM_ROWS + NORM_ROWS, p->rows); r++) {
      const size_t at = (size_t)r * p->n;
      norm_row_back(p->x + at, p->y + at, p->g, p->dx + at, p->n, p->moments + 2 * (size_t)r, p->epsilon);
    }
}

/** dg and db, once all moments are stored. x, y [rows, n] -> dg, db [n] */
static void layernorm_backward_columns(Thread *t, const NormRows *p) {
  for (int64_t unit = first(t, up(p->n, NORM_COLUMNS)); unit >= 0; unit = next(t)) {
    const u32 end = min_u32(unit * NORM_COLUMNS + NORM_COLUMNS, p->n);
    u32 i = unit * NORM_COLUMNS;
    for (; i + 16 <= end; i += 16) {
      f16 g = (f16)(0), b = g;
      for (u32 r = 0; r < p->rows; r++) {
        const f16 d = load16(p->y + (size_t)r * p->n + i);
        g = fma16(d, (load16(p->x + (size_t)r * p->n + i) - p->moments[2 * r]) * p->moments[2 * r + 1], g);
        b += d;
      }
      store16(p->dg + i, load16(p->dg + i) + g);
      store16(p->db + i, load16(p->db + i) + b);
    }
    for (; i < end; i++) {
      float g = 0, b = 0;
      for (u32 r = 0; r < p->rows; r++) {
        const float d = p->y[(size_t)r * p->n + i];
        g = fma1(d, (p->x[(size_t)r * p->n + i] - p->moments[2 * r]) * p->moments[2 * r + 1], g);
        b += d;
      }
      p->dg[i] += g;
      p->db[i] += b;
    }
  }
}

/** Here and below, arrays are padded to a multiple of 16. */
static void activation_forward(Thread *t, const Values *p) {
  const int mode = p->activation;
  for (int64_t unit = first(t, up(p->n, VALUES)); unit >= 0; unit = next(t))
    for (u32 i = unit * VALUES; i < min_u32(unit * VALUES + VALUES, p->n); i += 16) {
      const f16 x = load16(p->x + i);
      store16(p->y + i, mode == GELU_NEW ? gelu_new16(x) : activate16(x, mode));
    }
}

/** z = z times the derivative at x, y = the activation of x */
static void activation_backward(Thread *t, const Values *p) {
  for (int64_t unit = first(t, up(p->n, VALUES)); unit >= 0; unit = next(t))
    for (u32 i = unit * VALUES; i < min_u32(unit * VALUES + VALUES, p->n); i += 16)
      activate_back(load16(p->x + i), p->y + i, p->z + i, p->activation);
}

/** Kingma and Ba, "Adam", arXiv 1412.6980, algorithm 1, as in PyTorch; then zeroes the gradients. */
static void adam(Thread *t, const Step *p) {
  const float keep1 = (float)0.9, take1 = (float)(1 - 0.9), keep2 = (float)0.999, take2 = (float)(1 - 0.999);
  for (int64_t unit = first(t, up(p->n, 2 * VALUES)); unit >= 0; unit = next(t))
    for (u32 i = unit * 2 * VALUES; i < min_u32(unit * 2 * VALUES + 2 * VALUES, p->n); i += 16) {
      const f16 g = load16(p->gradients + i) * p->mean;
      const f16 m = fma16(load16(p->m + i), (f16)(keep1), g * take1);
      const f16 v = fma16(load16(p->v + i), (f16)(keep2), (g * g) * take2);
      const f16 size = fma16(__builtin_elementwise_sqrt(v), (f16)(p->correction), (f16)(1e-8f));
      store16(p->m + i, m);
      store16(p->v + i, v);
      store16(p->values + i, load16(p->values + i) - (m * p->rate) / size);
      store16(p->gradients + i, (f16)(0));
    }
}

/** Values whose exponentials are summed in float32 before the sum is added up in float64. */
enum { STRETCH = 512 };

/** As in assembly/training/crossentropy.ts: nothing is fused. */
static double log_of(double x) {
  if (!(x < __builtin_inf())) return x;
  union { double value; u64 bits; } u = {.value = x};
  int e = (int)(u.bits >> 52) - 1023;
  u.bits = (u.bits & 0x000fffffffffffff) | 0x3ff0000000000000;
  double m = u.value;
  if (m > 1.4142135623730951) {
    m *= 0.5;
    e += 1;
  }
  const double s = (m - 1) / (m + 1), square = s * s;
  double series = 0;
  for (int k = 23; k > 0; k -= 2) series = series * square + 1.0 / (double)k;
  return (double)e * 0.6931471805599453 + 2 * s * series;
}

/** Rows of logits [rows, n_vocab] -> losses [rows] and, unless scale is 0, the logits' gradient in their place. */
static void crossentropy(Thread *t, const Loss *p) {
  const u32 n = p->n_vocab;
  for (int64_t row = first(t, p->rows); row >= 0; row = next(t)) {
    float *x = p->logits + row * p->row;
    const u32 target = p->targets[row];
    const double wanted = x[target];
    const float most = largest(x, n);
    double total = 0;
    for (u32 begin = 0; begin < n; begin += STRETCH) {
      const u32 end = min_u32(begin + STRETCH, n);
      f16 sum = (f16)(0);
      u32 i = begin;
      for (; i + 16 <= end; i += 16) {
        const f16 e = exp16(load16(x + i) - most);
        store16(x + i, e);
        sum += e;
      }
      if (i < end) {
        f16 v = (f16)(-__builtin_inff());
        for (u32 j = 0; i + j < end; j++) v[j] = x[i + j];
        v = exp16(v - most);
        for (u32 j = 0; i + j < end; j++) x[i + j] = v[j];
        sum += v;
      }
      total += (double)sum16(sum);
    }
    if (p->scale != 0) {
      const float factor = (float)((double)p->scale / total);
      u32 i = 0;
      for (; i + 16 <= n; i += 16) store16(x + i, load16(x + i) * factor);
      for (; i < n; i++) x[i] *= factor;
      x[target] -= p->scale;
    }
    p->losses[row] = log_of(total) + (double)most - wanted;
  }
}
