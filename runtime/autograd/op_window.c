/* op_window.c: as_strided and copy_slices: gradients through a window on a tensor and through the
 * change of one. Scripts don't call them: the tape makes their nodes. */
#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "tensor/map.h"
#include "tensor/view.h"

/* Gradients of the viewed tensor, laid out as it lies in its storage. */
typedef struct layout {
  sq_tensor *all;    /* the elements from its first to its last; drop it */
  sq_tensor *viewed; /* the viewed tensor's place in them; drop it */
  sq_tensor *window; /* the window's; drop it */
} layout;

static void drop_layout(layout *l) {
  sq_tensor_drop(l->all);
  sq_tensor_drop(l->viewed);
  sq_tensor_drop(l->window);
}

static sq_status lay_out(const sq_back *b, sq_dtype dtype, layout *l) {
  const sq_geometry *g = sq__values(b);
  const int64_t *shape = sq__in_shape(b, IN_X);
  int64_t n = 1;
  for (int i = 0; i < sq__in_ndim(b, IN_X); i++) n += (shape[i] - 1) * g->viewed_stride[i];
  if (n < 0) n = 0; /* no elements */
  SQ_TRY(sq_tensor_full(dtype, 1, &n, 0, &l->all));
  SQ_TRY(sq_tensor_window(l->all, sq__in_ndim(b, IN_X), shape, g->viewed_stride, 0, &l->viewed));
  return sq_tensor_window(l->all, g->ndim, g->shape, g->stride, g->offset - g->viewed_offset,
                          &l->window);
}

/* window += g, position by position where it looks at one element many times. */
static sq_status add_to_window(sq_tensor *window, sq_tensor *g) {
  for (int i = 0; i < window->ndim; i++) {
    if (window->stride[i] != 0 || window->shape[i] <= 1) continue;
    for (int64_t at = 0; at < window->shape[i]; at++) {
      SQ_OWN sq_tensor *one = NULL, *value = NULL;
      SQ_TRY(sq_select(window, i, at, &one));
      SQ_TRY(sq_select(g, i, at, &value));
      SQ_TRY(add_to_window(one, value));
    }
    return SQ_OK;
  }
  return sq_map_into(SQ_ELEM_add, (sq_tensor *[]){window, g}, NULL, window);
}

/* as_strided: the window w of x.
 * dx = 0 with dy added where w looks (an expanded window adds up). */
static sq_status as_strided_backward(sq_back *b) {
  layout l = {0};
  sq_status st = lay_out(b, b->dy[0]->dtype, &l);
  if (st == SQ_OK) st = add_to_window(l.window, b->dy[0]);
  if (st == SQ_OK) st = sq_tensor_clone(l.viewed, &b->dx[IN_X]);
  drop_layout(&l);
  return st;
}

/* Where each element of the window stands among the viewed tensor's, in row-major order. */
static sq_status read_window(const sq_back *b, sq_tensor **out) {
  SQ_OWN sq_tensor *numbers = NULL, *shaped = NULL, *places = NULL;
  int64_t n = 1;
  for (int i = 0; i < sq__in_ndim(b, IN_X); i++) n *= sq__in_shape(b, IN_X)[i];
  SQ_TRY(sq_tensor_new(SQ_I64, 1, &n, &numbers));
  for (int64_t i = 0; i < n; i++) ((int64_t *)sq_data(numbers))[i] = i;
  SQ_TRY(sq_view(numbers, sq__in_ndim(b, IN_X), sq__in_shape(b, IN_X), &shaped));
  layout l = {0};
  sq_status st = lay_out(b, SQ_I64, &l);
  if (st == SQ_OK) st = sq_tensor_copy(l.viewed, shaped);
  if (st == SQ_OK) st = sq_tensor_clone(l.window, &places);
  if (st == SQ_OK) st = sq_reshape(places, 1, &places->numel, out);
  drop_layout(&l);
  return st;
}

static sq_tensor *window_places(sq_again *r) {
  sq_tensor *places = NULL;
  if (r->st != SQ_OK) return NULL;
  sq_status st = read_window(r->b, &places);
  return sq__own(r, st, places);
}

static void as_strided_again(sq_again *r) {
  sq_tensor *dy = sq__dy(r, 0), *flat = sq__shaped(r, dy, 1, &dy->numel);
  int64_t n = 1;
  for (int i = 0; i < sq__in_ndim(r->b, IN_X); i++) n *= sq__in_shape(r->b, IN_X)[i];
  sq__gives(r, IN_X, sq__like_input(r, sq__placed(r, 1, &n, 0, window_places(r), flat), IN_X));
}
const sq_op_impl sq__op_as_strided = {.forward = sq__never_called,
                                      .backward = as_strided_backward,
                                      .again = as_strided_again,
                                      .mixed = true,
                                      .hidden = true};

/* copy_slices: x with its window replaced by v.
 * dx = dy, 0 at the window; dv = dy at the window. */
static sq_status copy_slices_backward(sq_back *b) {
  layout l = {0};
  sq_status st = lay_out(b, b->dy[0]->dtype, &l);
  if (st == SQ_OK) st = sq_tensor_copy(l.viewed, b->dy[0]);
  if (st == SQ_OK && sq__needs(b, IN_COPY_SLICES_V))
    st = sq_tensor_clone(l.window, &b->dx[IN_COPY_SLICES_V]);
  if (st == SQ_OK) st = sq_tensor_fill(l.window, 0);
  if (st == SQ_OK) st = sq_tensor_clone(l.viewed, &b->dx[IN_X]);
  drop_layout(&l);
  return st;
}

static void copy_slices_again(sq_again *r) {
  sq_tensor *dy = sq__dy(r, 0), *flat = sq__shaped(r, dy, 1, &dy->numel);
  sq_arg places = sq__arg(window_places(r));
  if (sq__needs(r->b, IN_COPY_SLICES_V)) {
    sq_tensor *there = SQ_DO(index_select, sq__arg(flat), SQ_D(0), places);
    sq__gives(r, IN_COPY_SLICES_V, sq__like_input(r, there, IN_COPY_SLICES_V));
  }
  if (!sq__needs(r->b, IN_X)) return;
  sq_tensor *rest = SQ_DO(index_fill, sq__arg(flat), SQ_D(0), places, SQ_N(0));
  sq__gives(r, IN_X, sq__like_input(r, rest, IN_X));
}
const sq_op_impl sq__op_copy_slices = {.forward = sq__never_called,
                                       .backward = copy_slices_backward,
                                       .again = copy_slices_again,
                                       .mixed = true,
                                       .hidden = true};
