/* op_priv.h: what the blocks of op_<family>.c and the tape share. */
#ifndef SQ_AUTOGRAD_OP_PRIV_H
#define SQ_AUTOGRAD_OP_PRIV_H

#include "autograd/op.h"
#include "autograd/op_args.h"
#include "autograd/tape.h"
#include "kernels/kern.h"

/* Arguments and inputs go by names that the build makes of op.def: c->arg[SUM_DIM] is sum's `dim`,
 * c->in[IN_EMBEDDING_WEIGHT] embedding's `weight`. The first input of most ops is called x. */
enum { IN_X };

/* Stops the build where two ops that share code have a parameter in different places. */
#define SQ_ALIKE(a, b) _Static_assert((int)(a) == (int)(b), #a " and " #b " are one place")

typedef struct sq_node sq_node;

/* A call on its way forward. */
typedef struct sq_call {
  const sq_op *op;
  const sq_signature *signature;
  const sq_arg *arg; /* complete: one per parameter */
  int nin;
  sq_tensor **in; /* tensor arguments in order, lists laid flat, numbers made tensors; NULL for one
                     left out */
  sq_tensor *out[SQ_MAX_OUT];
  sq_node *node; /* NULL when nothing is recorded */
} sq_call;

/* A node on its way backward. dy[k] is NULL where no gradient arrived. dx[i] is to be set, to a new
 * reference, where sq_needs says so; NULL stands for 0. */
typedef struct sq_back {
  sq_node *node;
  sq_tensor **dy, **dx;
  uint8_t lane; /* of a run that goes to some inputs only: the bit that leads there; 0: all */
  sq_tensor
      *sum; /* for a block with `adds`: what input 0's gradient is to be added to, in place; or
                     NULL, and it is given in dx as always */
} sq_back;

/* A backward that is itself recorded, on its way (again_priv.h). */
typedef struct sq_again sq_again;

/* dy/dx of one input of an elementwise op, of recorded ops; sq__flat: what its kernel makes of
 * dy = 1, a constant, for slopes that do not change. */
typedef sq_tensor *sq_slope(sq_again *r);
sq_tensor *sq__flat(sq_again *r);

/* How an elementwise op is made of kernels. `grad[i]` gives the gradient of input i: the kernel and
 * its operands by letter: g = dy, y = the output, a b c d = the inputs. SQ_ELEM_copy of "g" passes
 * dy through. */
typedef struct sq_elem_rule {
  sq_elem kernel;
  bool promote; /* where the inputs meet in whole numbers or bool, they become float32 */
  struct {
    sq_elem kernel;
    const char *operands; /* NULL: no gradient */
    sq_slope *slope;      /* for a backward that is recorded */
  } grad[4];
} sq_elem_rule;

/* The results of the node's call written into y, of recorded ops. */
typedef void sq_compose(sq_again *r, sq_tensor **y);

/* An op's block: forward, backward, and what the engine must know. */
typedef struct sq_op_impl {
  sq_status (*forward)(sq_call *c);
  sq_status (*backward)(sq_back *b); /* NULL: results never require a gradient */
  void (*again)(sq_again *r);        /* backward of recorded ops; or instead of it: */
  sq_compose *compose;               /* forward of recorded ops */
  sq_elem_rule elem;                 /* for sq__elem_forward */
  sq_status (*into)(sq_call *c);     /* name_ when nothing is recorded: writes into in[0], all or
                                        nothing; NULL: forward, then a copy */
  bool inplace;                      /* name_ exists */
  unsigned promotes;                 /* bit i: input i is taken in the dtype all of these meet in
                                        (bit 31: all from 31 on); the others, and all where it is 0,
                                        must have one dtype */
  bool in_dtype;                     /* input 0 is taken in its argument `dtype`, where given */
  bool numbers;                      /* its numbers, such as bounds, take part in promotes */
  bool mixed;                        /* inputs may differ in dtype: the op checks for itself */
  bool view;                         /* the result is a window on input 0 */
  bool adds;                         /* its backward can add to sq_back.sum; one input */
  bool hidden;                       /* the tape's own: scripts do not call it */
  int with_tensor;                   /* the op that scripts get where they give a Tensor for its dim
                                        or numbers; 0: none */
  bool functional;                   /* it stands for a layer or a loss: nn.functional has it too */
} sq_op_impl;

#define SQ_ALL_INPUTS ~0u /* for promotes */

#define OP(name, signature, doc, lo, hi) extern const sq_op_impl sq__op_##name;
#include "autograd/op.def"
#undef OP

/* --- looking on (watch.c) ------------------------------------------------------------------- */

/* True while forward and backward are to go through the two below. */
extern bool sq__watching;

/* forward(c), looked at before and after; a forward other than the op's own writes into in[0].
 * [fails: as forward, state on NaN and Inf] */
SQ_CHECKED sq_status sq__watch_forward(sq_call *c, sq_status (*forward)(sq_call *c));

/* backward(b), looked at likewise. [fails: as backward, state] */
SQ_CHECKED sq_status sq__watch_backward(sq_back *b, sq_status (*backward)(sq_back *b));

/* --- forward: what is kept for backward (all do nothing when nothing is recorded) ----------- */

/* Keeps a tensor, NULL for one left out, in a slot of the block's own naming, 0 to 5; an output is
 * kept without its graph, so that no cycle arises. [keep | fails: nomem] */
SQ_CHECKED sq_status sq__save(sq_call *c, int slot, sq_tensor *t);

/* Keeps plain values, a struct of the block's own, once a call: SQ_SAVE_VALUES(c, spread, .dim = 1)
 * keeps a struct `spread`. */
enum { SQ_MAX_VALUES = 256 }; /* bytes */
void sq__save_values(sq_call *c, const void *values, size_t size);
#define SQ_SAVE_VALUES(c, type, ...)       \
  sq__save_values(c, &(type){__VA_ARGS__}, \
                  sizeof(type) + 0 * sizeof(char[sizeof(type) <= SQ_MAX_VALUES ? 1 : -1]))

/* Makes room for what the tape hangs on a result, so that nothing fails behind forward: for ops
 * that change their inputs. [fails: nomem] */
SQ_CHECKED sq_status sq__reserve(sq_call *c, sq_tensor *y);

/* --- backward: reading it ------------------------------------------------------------------- */

bool sq__needs(const sq_back *b, int input);
int sq__inputs(const sq_back *b);                 /* how many inputs the call had */
sq_tensor *sq__saved(const sq_back *b, int slot); /* [borrow] */
const void *sq__values(const sq_back *b);         /* the struct that was kept [borrow] */

/* A node of as_strided or copy_slices keeps where a window and the tensor it looks at lie in their
 * storage. */
typedef struct sq_geometry {
  int ndim; /* the window's */
  int64_t offset, shape[SQ_MAX_DIMS], stride[SQ_MAX_DIMS];
  int64_t viewed_offset, viewed_stride[SQ_MAX_DIMS];
} sq_geometry;

/* The shape and dtype input i had. */
int sq__in_ndim(const sq_back *b, int i);
const int64_t *sq__in_shape(const sq_back *b, int i);
sq_dtype sq__in_dtype(const sq_back *b, int i);

/* dx[i] = value summed to the shape of input i (the gradient of broadcasting). [take | fails:
 * nomem, intr] */
SQ_CHECKED sq_status sq__give(sq_back *b, int i, sq_tensor *value);

/* --- the elementwise engine ----------------------------------------------------------------- */

SQ_CHECKED sq_status sq__elem_forward(sq_call *c);
SQ_CHECKED sq_status sq__elem_backward(sq_back *b);
SQ_CHECKED sq_status sq__elem_inplace(sq_call *c); /* as forward, written into in[0] */
void sq__elem_again(sq_again *r);

/* For a slope: the result and the inputs, as the rule's operands keep them, and number k.
 * [borrow] */
sq_tensor *sq__elem_y(sq_again *r);
sq_tensor *sq__elem_a(sq_again *r);
sq_tensor *sq__elem_b(sq_again *r);
sq_tensor *sq__elem_c(sq_again *r);
double sq__elem_number(const sq_again *r, int k);

/* in[0] = kernel(in...; p), the others broadcast to it: an `into`.
 * [fails: shape, type, nomem, intr] */
SQ_CHECKED sq_status sq__elem_into(sq_call *c, sq_elem kernel, const double *p);

/* An elementwise op's block in one line: its kernel, then the gradient of each input as {kernel,
 * operands, slope}. An activation is one that nn.functional has. */
#define SQ_ELEMENTWISE(op, ...) SQ__ELEMENTWISE(op, false, __VA_ARGS__)
#define SQ_ACTIVATION(op, ...) SQ__ELEMENTWISE(op, true, __VA_ARGS__)
#define SQ__ELEMENTWISE(op, in_functional, ...)                  \
  const sq_op_impl sq__op_##op = {.forward = sq__elem_forward,   \
                                  .backward = sq__elem_backward, \
                                  .again = sq__elem_again,       \
                                  .inplace = true,               \
                                  .promotes = SQ_ALL_INPUTS,     \
                                  .functional = in_functional,   \
                                  .elem = {__VA_ARGS__}}

/* --- dims (op_common.c) --------------------------------------------------------------------- */

/* The dims of argument `arg` as bits (bit i: dim i); 0, which means all, when it is nil or x has no
 * dims. [fails: shape, out of range or twice] */
SQ_CHECKED sq_status sq__dims_mask(const sq_call *c, int arg, int ndim, unsigned *mask);

/* The bit of one dim; 0 where x has no dims. */
static inline unsigned sq__dim_bit(int ndim, int dim) { return ndim ? 1u << dim : 0; }

/* A position in a dim of that size, which may be negative, as 0..size-1. [fails: shape] */
SQ_CHECKED sq_status sq__position(const sq_call *c, int64_t at, int dim, int64_t size,
                                  int64_t *out);

/* What a reduction of input `i` over the dims in mask made, as a view that broadcasts over that
 * input. [new | fails: nomem] */
SQ_CHECKED sq_status sq__unreduce(const sq_back *b, int i, sq_tensor *t, unsigned mask,
                                  sq_tensor **out);

/* t laid in row-major order, and where its elements lie; NULL for one left out.
 * [new | fails: nomem], [borrow] */
SQ_CHECKED sq_status sq__contiguous_or_null(sq_tensor *t, sq_tensor **out);
void *sq__data_or_null(const sq_tensor *t);

/* So many elements of `size` bytes further; NULL stays NULL. */
static inline void *sq__offset(const void *base, int64_t elements, size_t size) {
  return base ? (char *)base + (size_t)elements * size : NULL;
}

/* 0 in the shape and dtype of input i. [new | fails: nomem] */
SQ_CHECKED sq_status sq__zeros(const sq_back *b, int i, sq_tensor **out);

/* x in float: itself, or float32 for integers and bool. [new | fails: nomem] */
SQ_CHECKED sq_status sq__to_float(sq_tensor *x, sq_tensor **out);

/* The forward of a hidden op, whose nodes the tape makes. [fails: arg, always] */
SQ_CHECKED sq_status sq__never_called(sq_call *c);

/* Fails unless input i is float32 or float64. [fails: type] */
SQ_CHECKED sq_status sq__want_float(const sq_call *c, int i);

#endif
