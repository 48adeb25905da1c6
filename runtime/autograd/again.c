/* again.c: the steps that the rules of recorded backwards are written in. */
#include "autograd/again_priv.h"

#include <string.h>

#include "autograd/tape_priv.h"
#include "base/mem.h"

/* --- what is made on the way ---------------------------------------------------------------- */

bool sq__failed(sq_again *r, sq_status st) {
  if (r->st == SQ_OK) r->st = st;
  return r->st != SQ_OK;
}

static sq_status room_for_step(sq_again *r) {
  void *list = r->made;
  SQ_TRY(sq_grow(r->n + 1, sizeof *r->made, &list, &r->room));
  r->made = list;
  return SQ_OK;
}

sq_tensor *sq__own(sq_again *r, sq_status st, sq_tensor *t) {
  if (sq__failed(r, st) || sq__failed(r, room_for_step(r))) {
    if (st == SQ_OK) sq_tensor_drop(t);
    return NULL;
  }
  r->made[r->n++] = t;
  return t;
}

sq_tensor *sq__do(sq_again *r, sq_op_id op, int nargs, const sq_arg *args) {
  if (r->st != SQ_OK) return NULL;
  sq_tensor *out[SQ_MAX_OUT] = {0};
  sq_status st = sq_apply(op, nargs, args, out);
  for (int k = 1; k < SQ_MAX_OUT; k++) sq_tensor_drop(out[k]);
  return sq__own(r, st, out[0]);
}

void sq__has_none(sq_again *r) {
  if (r->st != SQ_OK) return;
  r->st = sq_fail(SQ_ESTATE,
                  "[%s] it has no second derivative: its backward can't be recorded, leave "
                  "create_graph away",
                  r->b->node->op->name);
}

/* --- where a rule begins and ends ----------------------------------------------------------- */

static sq_tensor *attached(sq_again *r, int i, sq_tensor *kept) {
  sq_tensor *t = NULL;
  if (r->st != SQ_OK) return NULL;
  sq_status st = sq_tensor_alias(kept, &t);
  if (!(t = sq__own(r, st, t))) return NULL;
  return sq__failed(r, sq__attach(&r->b->node->edge[i], t)) ? NULL : t;
}

/* In a composition each input stands for itself: what is asked for is the way back to it. */
static sq_tensor *composed_input(sq_again *r, int i, sq_tensor *kept) {
  const sq_arg dtype = {.kind = SQ_ARG_DTYPE, .dtype = sq__in_dtype(r->b, i)};
  if (!r->in[i]) r->in[i] = SQ_DO(to, sq__arg(attached(r, i, kept)), dtype);
  return r->in[i];
}

sq_tensor *sq__input(sq_again *r, int i, sq_tensor *kept) {
  if (!kept) return NULL;
  if (r->in && sq__needs(r->b, i)) return composed_input(r, i, kept);
  return attached(r, i, kept);
}

sq_tensor *sq__result(sq_again *r, int k, sq_tensor *kept) {
  sq_tensor *t = NULL;
  if (r->st != SQ_OK) return NULL;
  sq_status st = sq_tensor_alias(kept, &t);
  if (!(t = sq__own(r, st, t))) return NULL;
  return sq__failed(r, sq__set_node(t, r->b->node, k)) ? NULL : t;
}

sq_tensor *sq__input_slope(sq_again *r, int i) {
  sq_tensor *zeros = NULL;
  if (r->st != SQ_OK) return NULL;
  sq_status st = sq__zeros(r->b, i, &zeros);
  return sq__input(r, i, sq__own(r, st, zeros));
}

/* t summed to the shape of input i. */
static sq_tensor *summed_to(sq_again *r, int i, sq_tensor *t) {
  const int64_t *shape = sq__in_shape(r->b, i);
  int ndim = sq__in_ndim(r->b, i), more = t->ndim - ndim;
  if (sq_shape_equal(t->ndim, t->shape, ndim, shape)) return t;
  unsigned mask = 0;
  for (int d = 0; d < t->ndim; d++)
    if (d < more || (shape[d - more] == 1 && t->shape[d] != 1)) mask |= 1u << d;
  return sq__shaped(r, mask ? sq__sum_dims(r, t, mask, true) : t, ndim, shape);
}

void sq__gives(sq_again *r, int i, sq_tensor *t) {
  if (r->st != SQ_OK || !t || !sq__needs(r->b, i)) return;
  const sq_arg dtype = {.kind = SQ_ARG_DTYPE, .dtype = sq__in_dtype(r->b, i)};
  if (t->dtype != dtype.dtype) t = SQ_DO(to, sq__arg(t), dtype);
  if (t) t = summed_to(r, i, t);
  if (t) r->b->dx[i] = sq_tensor_keep(t);
}

/* --- steps ---------------------------------------------------------------------------------- */

/* The dtype of the gradients that came. */
static sq_dtype dtype_of(const sq_again *r) {
  for (int k = 0; k < SQ_MAX_OUT; k++)
    if (r->b->dy[k]) return r->b->dy[k]->dtype;
  return SQ_F32;
}

sq_tensor *sq__filled(sq_again *r, int ndim, const int64_t *shape, double value) {
  sq_tensor *t = NULL;
  if (r->st != SQ_OK) return NULL;
  sq_status st = sq_tensor_full(dtype_of(r), ndim, shape, value, &t);
  return sq__own(r, st, t);
}

sq_tensor *sq__number(sq_again *r, double value) { return sq__filled(r, 0, NULL, value); }

sq_tensor *sq__positions(sq_again *r, int64_t start, int64_t n, int64_t step) {
  sq_tensor *t = NULL;
  if (r->st != SQ_OK) return NULL;
  sq_status st = sq_tensor_new(SQ_I64, 1, &n, &t);
  if (!(t = sq__own(r, st, t))) return NULL;
  int64_t *v = sq_data(t);
  for (int64_t i = 0; i < n; i++) v[i] = start + i * step;
  return t;
}

sq_tensor *sq__add(sq_again *r, sq_tensor *a, sq_tensor *b) {
  return SQ_DO(add, sq__arg(a), sq__arg(b));
}

sq_tensor *sq__sub(sq_again *r, sq_tensor *a, sq_tensor *b) {
  return SQ_DO(sub, sq__arg(a), sq__arg(b));
}

sq_tensor *sq__mul(sq_again *r, sq_tensor *a, sq_tensor *b) {
  return SQ_DO(mul, sq__arg(a), sq__arg(b));
}

sq_tensor *sq__div(sq_again *r, sq_tensor *a, sq_tensor *b) {
  return SQ_DO(div, sq__arg(a), sq__arg(b));
}

sq_tensor *sq__scale(sq_again *r, sq_tensor *a, double factor) {
  return factor == 1 ? a : SQ_DO(mul, sq__arg(a), SQ_N(factor));
}

sq_tensor *sq__shift(sq_again *r, sq_tensor *a, double by) {
  return by == 0 ? a : SQ_DO(add, sq__arg(a), SQ_N(by));
}

sq_tensor *sq__power(sq_again *r, sq_tensor *a, double p) {
  return SQ_DO(pow, sq__arg(a), SQ_N(p));
}

sq_tensor *sq__matmul(sq_again *r, sq_tensor *a, sq_tensor *b) {
  return SQ_DO(matmul, sq__arg(a), sq__arg(b));
}

sq_tensor *sq__of(sq_again *r, sq_op_id op, sq_tensor *a) {
  return sq__do(r, op, 1, (sq_arg[]){sq__arg(a)});
}

sq_tensor *sq__choose(sq_again *r, sq_tensor *mask, sq_tensor *a, sq_tensor *b) {
  return SQ_DO(where, sq__arg(mask), sq__arg(a), sq__arg(b));
}

/* A reduction over the dims in mask, 0: all. */
static sq_tensor *over_dims(sq_again *r, sq_op_id op, sq_tensor *t, unsigned mask, bool keepdim) {
  int64_t dims[SQ_MAX_DIMS];
  int n = 0;
  for (int d = 0; d < SQ_MAX_DIMS; d++)
    if (mask >> d & 1) dims[n++] = d;
  sq_arg arg[] = {sq__arg(t), sq__ints(SQ_ARG_DIMS, n, dims), SQ_B(keepdim)};
  if (mask == 0) arg[1] = (sq_arg){0};
  return sq__do(r, op, 3, arg);
}

sq_tensor *sq__sum_dims(sq_again *r, sq_tensor *t, unsigned mask, bool keepdim) {
  return over_dims(r, SQ_OP_sum, t, mask, keepdim);
}

sq_tensor *sq__mean_dims(sq_again *r, sq_tensor *t, unsigned mask, bool keepdim) {
  return over_dims(r, SQ_OP_mean, t, mask, keepdim);
}

sq_tensor *sq__shaped(sq_again *r, sq_tensor *t, int ndim, const int64_t *shape) {
  return SQ_DO(reshape, sq__arg(t), sq__ints(SQ_ARG_SHAPE, ndim, shape));
}

sq_tensor *sq__like_input(sq_again *r, sq_tensor *t, int i) {
  return sq__shaped(r, t, sq__in_ndim(r->b, i), sq__in_shape(r->b, i));
}

sq_tensor *sq__expanded(sq_again *r, sq_tensor *t, int ndim, const int64_t *shape) {
  return SQ_DO(expand, sq__arg(t), sq__ints(SQ_ARG_SHAPE, ndim, shape));
}

sq_tensor *sq__swapped(sq_again *r, sq_tensor *t, int dim0, int dim1) {
  return SQ_DO(transpose, sq__arg(t), SQ_D(dim0), SQ_D(dim1));
}

sq_tensor *sq__turned(sq_again *r, sq_tensor *t, int ndim, const int *order) {
  int64_t dims[SQ_MAX_DIMS];
  for (int d = 0; d < ndim; d++) dims[d] = order[d];
  return SQ_DO(permute, sq__arg(t), sq__ints(SQ_ARG_DIMS, ndim, dims));
}

static sq_arg position(int64_t at) { return (sq_arg){.kind = SQ_ARG_POSITION, .integer = at}; }

sq_tensor *sq__part(sq_again *r, sq_tensor *t, int dim, int64_t start, int64_t length) {
  return SQ_DO(narrow, sq__arg(t), SQ_D(dim), position(start), SQ_I(length));
}

sq_tensor *sq__at(sq_again *r, sq_tensor *t, int dim, int64_t at) {
  return SQ_DO(select, sq__arg(t), SQ_D(dim), position(at));
}

static sq_arg list(int n, sq_tensor *const *t) {
  return (sq_arg){.kind = SQ_ARG_TENSORS, .tensors = {.n = n, .v = t}};
}

sq_tensor *sq__joined(sq_again *r, int n, sq_tensor *const *t, int dim) {
  return SQ_DO(cat, list(n, t), SQ_D(dim));
}

sq_tensor *sq__stacked(sq_again *r, int n, sq_tensor *const *t, int dim) {
  return SQ_DO(stack, list(n, t), SQ_D(dim));
}

sq_tensor *sq__spread(sq_again *r, int i, sq_tensor *t, unsigned mask) {
  int ndim = sq__in_ndim(r->b, i);
  int64_t shape[SQ_MAX_DIMS];
  for (int d = 0; d < ndim; d++)
    shape[d] = mask == 0 || mask >> d & 1 ? 1 : sq__in_shape(r->b, i)[d];
  return sq__shaped(r, t, ndim, shape);
}

sq_tensor *sq__placed(sq_again *r, int ndim, const int64_t *shape, int dim, sq_tensor *positions,
                      sq_tensor *t) {
  sq_tensor *zeros = sq__filled(r, ndim, shape, 0);
  return SQ_DO(index_add, sq__arg(zeros), SQ_D(dim), sq__arg(positions), sq__arg(t));
}
