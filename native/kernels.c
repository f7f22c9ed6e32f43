/** All kernels for one kind of processor: compiled once for each, with LANES and KERNELS given. */
#include "memory.h"
#include "vector.h"
#include "norm.h"
#include "linear.h"
#include "int8.h"
#include "attention.h"
#include "pack.h"

const Kernels KERNELS = {
  embed, prepare, linear_float32, linear_float16, linear_int8, remember, attention,
  pack_linear, pack_rows, quantize_linear, quantize_rows, pack_linear_float16, pack_rows_float16,
};
