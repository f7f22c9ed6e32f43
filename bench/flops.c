/* Fused multiply-adds per second of this machine's cores, all at once, on values in their L1 cache: the most that
 * prompts and training can reach.
 *   gcc -O3 -march=native -pthread bench/flops.c -o FOLDER/flops && FOLDER/flops 2
 * Prints the median of five measurements on 1 to T threads, the least and the most, in 10^9 operations per second
 * (a multiplication and an addition are two).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 12 };
#elif defined(__AVX2__)
enum { LANES = 8, ROWS = 6 };
#else
enum { LANES = 4, ROWS = 12 };
#endif
enum { DEPTH = 128, RUNS = 20000, MEASUREMENTS = 5, MOST_THREADS = 256 };

typedef float vector __attribute__((vector_size(LANES * 4)));

/* Rows of x by two vectors of weights: as native/product.h does it. The compiler fuses a * b + c. */
static __attribute__((noinline)) void tile(const vector *w, const float *x, vector *y) {
  vector sums[ROWS][2];
  memcpy(sums, y, sizeof sums);
  for (int k = 0; k < DEPTH; k++)
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) {
      sums[r][0] += w[2 * k] * x[k * ROWS + r];
      sums[r][1] += w[2 * k + 1] * x[k * ROWS + r];
    }
  memcpy(y, sums, sizeof sums);
}

static void *work(void *argument) {
  static const vector zero;
  vector *w = aligned_alloc(64, sizeof *w * 2 * DEPTH), y[ROWS * 2];
  float *x = aligned_alloc(64, sizeof *x * DEPTH * ROWS);
  if (w == NULL || x == NULL) exit(1);
  for (int i = 0; i < 2 * DEPTH; i++) w[i] = zero + 0.01f;
  for (int i = 0; i < DEPTH * ROWS; i++) x[i] = 0.01f;
  memset(y, 0, sizeof y);
  for (int run = 0; run < RUNS; run++) tile(w, x, y);
  *(float *)argument = y[0][0]; /* kept, so that the work is not optimised away */
  free(w);
  free(x);
  return NULL;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double measure(int threads) {
  static float results[MOST_THREADS];
  pthread_t handles[MOST_THREADS];
  double started = seconds();
  for (int t = 1; t < threads; t++)
    if (pthread_create(&handles[t], NULL, work, &results[t]) != 0) {
      fprintf(stderr, "flops: thread %d of %d could not be started\n", t + 1, threads);
      exit(1);
    }
  work(&results[0]);
  for (int t = 1; t < threads; t++) pthread_join(handles[t], NULL);
  return 2.0 * ROWS * 2 * LANES * DEPTH * RUNS * threads / (seconds() - started) / 1e9;
}

int main(int argc, char **argv) {
  int most = argc > 1 ? atoi(argv[1]) : 2;
  if (argc > 2 || most < 1 || most > MOST_THREADS) {
    fprintf(stderr, "usage: flops [THREADS], 1 to %d\n", MOST_THREADS);
    return 2;
  }
  for (int threads = 1; threads <= most; threads++) {
    double rates[MEASUREMENTS];
    for (int i = 0; i < MEASUREMENTS; i++) rates[i] = measure(threads);
    qsort(rates, MEASUREMENTS, sizeof *rates, ascending);
    printf("%d thread%s  %.0f GFLOP/s (%.0f to %.0f)\n", threads, threads == 1 ? "" : "s", rates[MEASUREMENTS / 2],
           rates[0], rates[MEASUREMENTS - 1]);
  }
  return 0;
}
