/* plain.c: Dropout and Unflatten: layers without parameters that are more than an op's
 * arguments. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "layers/layer.h"

typedef struct dropout {
  sq_layer base;
  double p;
} dropout;

/* Of the calls. */
enum { X };

static sq_status init_dropout(sq_layer *l, const sq_args *a) {
  double p = ((dropout *)l)->p = sq_args_get(a, "p")->number;
  if (p >= 0 && p <= 1) return SQ_OK;
  return sq_fail(SQ_EARG, "[nn.Dropout] p is %g: it must be 0 to 1", p);
}

static sq_status forward_dropout(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  double p = ((const dropout *)l)->p;
  if (l->training && p > 0) return SQ_APPLY(dropout, out, arg[X], SQ_N(p));
  out[0] = sq_tensor_keep(arg[X].tensor);
  return SQ_OK;
}

static void describe_dropout(const sq_layer *l, char *buf, size_t n) {
  sq_format(buf, n, "p=%g", ((const dropout *)l)->p);
}

const sq_layer_class sq__layer_dropout = {
    .name = "Dropout",
    .signature = "(p: number = 0.5) -> Dropout",
    .call = "(x: Tensor) -> Tensor",
    .doc = "In training each element is 0 with probability p, the others are divided by 1 - p.",
    .size = sizeof(dropout),
    .init = init_dropout,
    .forward = forward_dropout,
    .describe = describe_dropout,
};

typedef struct unflatten {
  sq_layer base;
  int64_t dim;
  int n;
  int64_t sizes[SQ_MAX_DIMS];
} unflatten;

static sq_status init_unflatten(sq_layer *l, const sq_args *a) {
  unflatten *u = (unflatten *)l;
  const sq_arg *sizes = sq_args_get(a, "unflattened_size");
  u->dim = sq_args_get(a, "dim")->integer;
  u->n = sizes->ints.n;
  if (u->n < 1 || u->n > SQ_MAX_DIMS)
    return sq_fail(SQ_EARG, "[nn.Unflatten] unflattened_size has %d sizes: it must have 1 to %d",
                   u->n, SQ_MAX_DIMS);
  for (int i = 0; i < u->n; i++) u->sizes[i] = sizes->ints.v[i];
  return SQ_OK;
}

static sq_status forward_unflatten(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const unflatten *u = (const unflatten *)l;
  sq_arg sizes = {.kind = SQ_ARG_SHAPE, .ints = {u->n, u->sizes}};
  return SQ_APPLY(unflatten, out, arg[X], SQ_D(u->dim), sizes);
}

static void describe_unflatten(const sq_layer *l, char *buf, size_t n) {
  const unflatten *u = (const unflatten *)l;
  snprintf(buf, n, "dim=%" PRId64 " -> %s", u->dim < 0 ? u->dim : u->dim + 1,
           sq_shape_text(u->n, u->sizes, SQ_SHAPE_BUF));
}

const sq_layer_class sq__layer_unflatten = {
    .name = "Unflatten",
    .signature = "(dim: dim, unflattened_size: shape) -> Unflatten",
    .call = "(x: Tensor) -> Tensor",
    .doc = "Dim `dim` of x as several of the given sizes; one may be -1.",
    .size = sizeof(unflatten),
    .init = init_unflatten,
    .forward = forward_unflatten,
    .describe = describe_unflatten,
};
