/* again_priv.h: a backward that is itself recorded (create_graph), written in ops.
 *
 * A block's `again` makes the same gradients as its `backward`, but of recorded ops: it builds dx
 * from dy and from what the node kept, each back at its place on the tape. A block whose forward is
 * one fused kernel may have `compose` instead, its forward written in ops: that is recorded anew on
 * the inputs and gone back through. For neither does the forward keep anything, but for the biases
 * of recurrent layers, which nothing else tells.
 *
 * Every step below returns a tensor that belongs to the sq_again until its rule ends. After the
 * first failure steps return NULL and do nothing, so a rule reads on as a formula and checks
 * nothing; it must only not look into a tensor that a step made. What the node kept and the shapes
 * of inputs are always there. */
#ifndef SQ_AUTOGRAD_AGAIN_PRIV_H
#define SQ_AUTOGRAD_AGAIN_PRIV_H

#include "autograd/op_priv.h"

struct sq_again {
  sq_back *b;
  sq_status st;   /* of the first failure */
  int input;      /* the one that an elementwise op's slope is asked for */
  sq_tensor **in; /* of a composition: what stands for each input; else NULL */
  sq_tensor **made;
  int64_t n, room; /* of made */
};

/* Notes a failure, unless there was one; true after one. */
bool sq__failed(sq_again *r, sq_status st);

/* Fails the rule: the op has no second derivative. */
void sq__has_none(sq_again *r);

/* --- where a rule begins and ends ----------------------------------------------------------- */

/* The gradient of result k. [borrow] */
static inline sq_tensor *sq__dy(const sq_again *r, int k) { return r->b->dy[k]; }

/* A kept tensor as input i or as result k, on the tape again; of another shape it can be neither.
 * NULL for one left out. [borrow] */
sq_tensor *sq__input(sq_again *r, int i, sq_tensor *kept);
sq_tensor *sq__result(sq_again *r, int k, sq_tensor *kept);

/* Input i, whose value is not known and does not matter: zeros on the tape. [borrow] */
sq_tensor *sq__input_slope(sq_again *r, int i);

/* dx[i] = t, summed to the shape of input i and in its dtype. Does nothing where none is wanted. */
void sq__gives(sq_again *r, int i, sq_tensor *t);

/* --- steps ---------------------------------------------------------------------------------- */

/* The first result of an op. [borrow] */
sq_tensor *sq__do(sq_again *r, sq_op_id op, int nargs, const sq_arg *args);
#define SQ_DO(op, ...)                                                           \
  sq__do(r, SQ_OP_##op, (int)(sizeof((sq_arg[]){__VA_ARGS__}) / sizeof(sq_arg)), \
         (sq_arg[]){__VA_ARGS__})

/* A tensor as an argument; SQ_T reads it twice. */
static inline sq_arg sq__arg(sq_tensor *t) { return SQ_T(t); }

/* Several ints as an argument of that kind: a shape, dims, a pair. */
static inline sq_arg sq__ints(sq_arg_kind kind, int n, const int64_t *v) {
  return (sq_arg){.kind = kind, .ints = {.n = n, .v = v}};
}

/* What another function made: `sq__own(r, st, t)`. [take t, borrow] */
sq_tensor *sq__own(sq_again *r, sq_status st, sq_tensor *t);

/* A constant in dy's dtype: of no dims, or of a shape. [borrow] */
sq_tensor *sq__number(sq_again *r, double value);
sq_tensor *sq__filled(sq_again *r, int ndim, const int64_t *shape, double value);

/* 0, 1, ... as positions: start, start + step, ... (n), int64. [borrow] */
sq_tensor *sq__positions(sq_again *r, int64_t start, int64_t n, int64_t step);

sq_tensor *sq__add(sq_again *r, sq_tensor *a, sq_tensor *b);
sq_tensor *sq__sub(sq_again *r, sq_tensor *a, sq_tensor *b);
sq_tensor *sq__mul(sq_again *r, sq_tensor *a, sq_tensor *b);
sq_tensor *sq__div(sq_again *r, sq_tensor *a, sq_tensor *b);
sq_tensor *sq__scale(sq_again *r, sq_tensor *a, double factor);
sq_tensor *sq__shift(sq_again *r, sq_tensor *a, double by);
sq_tensor *sq__power(sq_again *r, sq_tensor *a, double p);
sq_tensor *sq__matmul(sq_again *r, sq_tensor *a, sq_tensor *b);

/* An op of one tensor: exp, log, neg, square, ... */
sq_tensor *sq__of(sq_again *r, sq_op_id op, sq_tensor *a);

/* a where the mask holds, else b. */
sq_tensor *sq__choose(sq_again *r, sq_tensor *mask, sq_tensor *a, sq_tensor *b);

/* Over the dims in mask, 0: all. */
sq_tensor *sq__sum_dims(sq_again *r, sq_tensor *t, unsigned mask, bool keepdim);
sq_tensor *sq__mean_dims(sq_again *r, sq_tensor *t, unsigned mask, bool keepdim);

sq_tensor *sq__shaped(sq_again *r, sq_tensor *t, int ndim, const int64_t *shape);
sq_tensor *sq__like_input(sq_again *r, sq_tensor *t, int i); /* in the shape of input i */
sq_tensor *sq__expanded(sq_again *r, sq_tensor *t, int ndim, const int64_t *shape);
sq_tensor *sq__swapped(sq_again *r, sq_tensor *t, int dim0, int dim1);
sq_tensor *sq__turned(sq_again *r, sq_tensor *t, int ndim, const int *order);
sq_tensor *sq__part(sq_again *r, sq_tensor *t, int dim, int64_t start, int64_t length);
sq_tensor *sq__at(sq_again *r, sq_tensor *t, int dim, int64_t position);
sq_tensor *sq__joined(sq_again *r, int n, sq_tensor *const *t, int dim);
sq_tensor *sq__stacked(sq_again *r, int n, sq_tensor *const *t, int dim);

/* t, the result of a reduction of input i over the dims in mask, so that it broadcasts over it. */
sq_tensor *sq__spread(sq_again *r, int i, sq_tensor *t, unsigned mask);

/* Zeros of a shape with t added at positions (int64, 1 dim) of `dim`. */
sq_tensor *sq__placed(sq_again *r, int ndim, const int64_t *shape, int dim, sq_tensor *positions,
                      sq_tensor *t);

#endif
