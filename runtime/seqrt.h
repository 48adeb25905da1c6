/* seqrt.h: the public headers of every floor, and nothing else. */
#ifndef SQ_SEQRT_H
#define SQ_SEQRT_H

#include "autograd/op.h"
#include "autograd/tape.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/shape.h"
#include "base/signature.h"
#include "base/status.h"
#include "datasets/digits.h"
#include "datasets/idx.h"
#include "datasets/palindrome.h"
#include "files/npy.h"
#include "files/png.h"
#include "files/safetensors.h"
#include "kernels/gemm.h"
#include "kernels/kern.h"
#include "layers/layer.h"
#include "optim/clip.h"
#include "optim/optim.h"
#include "plot/plot.h"
#include "tensor/gather.h"
#include "tensor/map.h"
#include "tensor/product.h"
#include "tensor/reduce.h"
#include "tensor/tensor.h"
#include "tensor/view.h"

#endif
