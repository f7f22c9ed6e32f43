/* Read bandwidth of this machine with its widest vectors, on 1 to T threads: what decoding can at best reach.
 *   gcc -O3 -march=native -pthread bench/bandwidth.c -o FOLDER/bandwidth && FOLDER/bandwidth 2
 * Every thread reads its own part of 512 MB, about the weights of 124M in float32, again and again: as one stream of
 * addresses, then as two, four and eight at once. Prints what the best of them reached, in 10^9 bytes per second: the
 * median of five measurements, the least and the most.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { VECTOR_BYTES = 64, MOST_STREAMS = 8, MEASUREMENTS = 5, PASSES = 2, MOST_THREADS = 256 };
static const size_t BYTES = (size_t)512 << 20, HUGE_PAGE = (size_t)2 << 20;

/* The compiler turns it into one register of 512 bits, two of 256 or four of 128, depending on the machine. */
typedef uint64_t vector __attribute__((vector_size(VECTOR_BYTES)));

struct part {
  const vector *from;
  size_t vectors;
  int streams;
  uint64_t result; /* kept, so that the reads are not optimised away */
};

/* This many streams at once, in runs of 512 bytes each. */
#define READ(STREAMS)                                                                                       \
  case STREAMS:                                                                                             \
    for (size_t i = 0; i < each; i += MOST_STREAMS)                                                         \
      for (int s = 0; s < STREAMS; s++)                                                                     \
        for (int k = 0; k < MOST_STREAMS; k++) sums[k] ^= part->from[s * each + i + k];                     \
    break;

static void *read_part(void *argument) {
  struct part *part = argument;
  const size_t each = part->vectors / part->streams;
  vector sums[MOST_STREAMS];
  memset(sums, 0, sizeof sums);
  for (int pass = 0; pass < PASSES; pass++) {
    switch (part->streams) { READ(1) READ(2) READ(4) READ(8) }
    __asm__ volatile("" ::: "memory"); /* every pass reads anew */
  }
  for (int k = 1; k < MOST_STREAMS; k++) sums[0] ^= sums[k];
  part->result = sums[0][0];
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

/* GB/s with this many threads, including the calling one, each reading this many streams. */
static double measure(const vector *memory, int threads, int streams) {
  static struct part parts[MOST_THREADS];
  pthread_t handles[MOST_THREADS];
  size_t each = BYTES / VECTOR_BYTES / threads / (MOST_STREAMS * MOST_STREAMS) * (MOST_STREAMS * MOST_STREAMS);
  for (int t = 0; t < threads; t++) parts[t] = (struct part){memory + t * each, each, streams, 0};
  double started = seconds();
  for (int t = 1; t < threads; t++) {
    if (pthread_create(&handles[t], NULL, read_part, &parts[t]) != 0) {
      fprintf(stderr, "bandwidth: thread %d of %d could not be started\n", t + 1, threads);
      exit(1);
    }
  }
  read_part(&parts[0]);
  for (int t = 1; t < threads; t++) pthread_join(handles[t], NULL);
  return (double)each * threads * VECTOR_BYTES * PASSES / (seconds() - started) / 1e9;
}

int main(int argc, char **argv) {
  int most = argc > 1 ? atoi(argv[1]) : 2;
  if (argc > 2 || most < 1 || most > MOST_THREADS) {
    fprintf(stderr, "usage: bandwidth [THREADS], 1 to %d\n", MOST_THREADS);
    return 2;
  }
  vector *memory = aligned_alloc(HUGE_PAGE, BYTES);
  if (memory == NULL) {
    fprintf(stderr, "bandwidth: no memory of %zu bytes\n", BYTES);
    return 1;
  }
#ifdef MADV_HUGEPAGE
  madvise(memory, BYTES, MADV_HUGEPAGE);
#endif
  memset(memory, 1, BYTES); /* untouched memory would be one and the same page */
  for (int threads = 1; threads <= most; threads++) {
    double best[3] = {0};
    int streams_of_best = 0;
    for (int streams = 1; streams <= MOST_STREAMS; streams *= 2) {
      double rates[MEASUREMENTS];
      for (int i = 0; i < MEASUREMENTS; i++) rates[i] = measure(memory, threads, streams);
      qsort(rates, MEASUREMENTS, sizeof *rates, ascending);
      if (rates[MEASUREMENTS / 2] <= best[0]) continue;
      best[0] = rates[MEASUREMENTS / 2];
      best[1] = rates[0];
      best[2] = rates[MEASUREMENTS - 1];
      streams_of_best = streams;
    }
    printf("%d thread%s  %.2f GB/s (%.2f to %.2f), %d stream%s a thread\n", threads, threads == 1 ? "" : "s", best[0],
           best[1], best[2], streams_of_best, streams_of_best == 1 ? "" : "s");
  }
  free(memory);
  return 0;
}
