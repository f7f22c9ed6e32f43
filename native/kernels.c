/** All kernels for one kind of processor: compiled once per kind, with LANES and KERNELS defined. */
#include "memory.h"
#include "vector.h"
#include "activation.h"
#include "norm.h"
#include "linear.h"
#include "int8.h"
#include "attention.h"
#include "pack.h"
#include "product.h"
#include "train.h"
#include "train_attention.h"

const Kernels KERNELS = {
  embed, prepare, linear_float32, linear_float16, linear_int8, remember, attention,
  pack_linear, pack_rows, quantize_linear, quantize_rows, pack_linear_float16, pack_rows_float16,
  layernorm_forward, layernorm_backward_rows, layernorm_backward_columns,
  matmul_blocks, matmul_pack, matmul_block, attention_forward, attention_backward,
  crossentropy, activation_forward, activation_backward, adam,
};
