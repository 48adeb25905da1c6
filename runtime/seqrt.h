/* seqrt.h: the public headers of every floor, and the start of the library. */
#ifndef SQ_SEQRT_H
#define SQ_SEQRT_H

#include "autograd/function.h"
#include "autograd/op.h"
#include "autograd/tape.h"
#include "autograd/watch.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/normal.h"
#include "base/parallel.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/shape.h"
#include "base/status.h"
#include "base/text.h"
#include "base/wire.h"
#include "datasets/digits.h"
#include "datasets/idx.h"
#include "datasets/loader.h"
#include "datasets/palindrome.h"
#include "files/events.h"
#include "files/npy.h"
#include "files/png.h"
#include "files/safetensors.h"
#include "kernels/blas.h"
#include "kernels/gemm.h"
#include "kernels/kern.h"
#include "layers/layer.h"
#include "optim/clip.h"
#include "optim/optim.h"
#include "plot/plot.h"
#include "signature/signature.h"
#include "tensor/compare.h"
#include "tensor/conv.h"
#include "tensor/draw.h"
#include "tensor/einsum.h"
#include "tensor/gather.h"
#include "tensor/map.h"
#include "tensor/pick.h"
#include "tensor/product.h"
#include "tensor/promote.h"
#include "tensor/reduce.h"
#include "tensor/sort.h"
#include "tensor/tensor.h"
#include "tensor/view.h"

/* Chooses the kernels for this processor, or those that SEQRT_ISA names. Call it once, before all
 * else: until then no tensor can be made, and what needs one fails with SQ_ESTATE. A second call
 * changes nothing. Where a contract says "Lua thread", a C program calls from one thread at a time;
 * the library's own threads start when there is work for them. [fails: arg, SEQRT_ISA is unknown or
 * more than this processor has | Lua thread] */
SQ_CHECKED sq_status sq_init(void);

#endif
