/* tensor_index.c: x[key] and x[key] = value. Positions and ranges leave a window on x; tensors in
 * the key then pick from it, by PyTorch's rules of advanced indexing: what they pick stands where
 * they stand, or in front when other dims lie between them. */
#include <string.h>

#include "autograd/op.h"
#include "autograd/tape.h"
#include "kernels/kern.h"
#include "module/open.h"
#include "module/tensor_key.h"
#include "tensor/pick.h"
#include "tensor/promote.h"

void tensor_push_element(lua_State *L, sq_dtype dtype, const void *data, int64_t at) {
  switch (dtype) {
    case SQ_F32:
      lua_pushnumber(L, (double)((const float *)data)[at]);
      break;
    case SQ_F64:
      lua_pushnumber(L, ((const double *)data)[at]);
      break;
    case SQ_I64:
      lua_pushinteger(L, ((const int64_t *)data)[at]);
      break;
    case SQ_U8:
      lua_pushinteger(L, ((const uint8_t *)data)[at]);
      break;
    default:
      lua_pushboolean(L, ((const uint8_t *)data)[at] != 0);
      break;
  }
}

/* --- windows ---------------------------------------------------------------------------------- */

/* Pushes a box with op(args). */
static sq_tensor *apply_op(lua_State *L, sq_op_id op, int n, const sq_arg *arg) {
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_apply(op, n, arg, slot));
  return *slot;
}

static sq_arg at_arg(int64_t n) { return (sq_arg){.kind = SQ_ARG_POSITION, .integer = n}; }

static sq_arg list_arg(sq_arg_kind kind, int n, const int64_t *v) {
  return (sq_arg){.kind = kind, .ints = {n, v}};
}

/* Pushes t in another shape. */
static sq_tensor *apply_shape_op(lua_State *L, sq_op_id op, sq_tensor *t, int n,
                                 const int64_t *shape) {
  return apply_op(L, op, 2, (sq_arg[]){SQ_T(t), list_arg(SQ_ARG_SHAPE, n, shape)});
}

static sq_tensor *apply_range(lua_State *L, sq_tensor *t, int dim, const tensor_item *it) {
  if (it->step == 1 || it->count == 0)
    return apply_op(L, SQ_OP_narrow, 4,
                    (sq_arg[]){SQ_T(t), SQ_D(dim), at_arg(it->first), SQ_I(it->count)});
  int64_t last = it->first + (it->count - 1) * it->step;
  return apply_op(L, SQ_OP_slice, 5,
                  (sq_arg[]){SQ_T(t), SQ_D(dim), at_arg(it->first), at_arg(last), SQ_I(it->step)});
}

/* The tensors of a key, in order, and the dim of the window that each picks from on. */
typedef struct tensors {
  int n, dim[SQ_MAX_DIMS];
  sq_tensor *by[SQ_MAX_DIMS];
} tensors;

/* Pushes the window on t that positions, ranges and new dims leave; dims that tensors pick from
 * stay whole. t itself where there is nothing to do. */
static sq_tensor *take_window(lua_State *L, sq_tensor *t, const tensor_key *key, tensors *picks) {
  luaL_checkstack(L, 4 * SQ_MAX_DIMS, NULL);
  int dim = 0;
  picks->n = 0;
  for (const tensor_item *it = key->item; it < key->item + key->n; it++) {
    if (it->kind == ITEM_AT) {
      t = apply_op(L, SQ_OP_select, 3, (sq_arg[]){SQ_T(t), SQ_D(dim), at_arg(it->first)});
      continue;
    }
    if (it->kind == ITEM_RANGE) t = apply_range(L, t, dim, it);
    if (it->kind == ITEM_NEW) t = apply_op(L, SQ_OP_unsqueeze, 2, (sq_arg[]){SQ_T(t), SQ_D(dim)});
    if (it->kind == ITEM_TENSOR) {
      picks->by[picks->n] = it->picks;
      picks->dim[picks->n++] = dim;
      dim += sq_pick_dims(it->picks) - 1;
    }
    dim++;
  }
  return t;
}

/* --- what tensors pick ------------------------------------------------------------------------ */

/* Where the picked dims of a window lie, together or brought to the front, and what stands for
 * them. */
typedef struct place {
  sq_pick pick;
  sq_tensor *window, *at; /* at: the row of places */
  int dim;                /* of window, from 0 */
} place;

/* True when no other dim lies between the dims that are picked from. */
static bool lie_together(const tensors *p) {
  for (int i = 1; i < p->n; i++)
    if (p->dim[i - 1] + sq_pick_dims(p->by[i - 1]) != p->dim[i]) return false;
  return true;
}

/* Pushes t with the picked dims in front. */
static sq_tensor *picked_first(lua_State *L, sq_tensor *t, const tensors *p) {
  int64_t order[SQ_MAX_DIMS];
  bool picked[SQ_MAX_DIMS] = {false};
  int n = 0;
  for (int i = 0; i < p->n; i++) {
    for (int k = 0; k < sq_pick_dims(p->by[i]); k++) {
      order[n++] = p->dim[i] + k;
      picked[p->dim[i] + k] = true;
    }
  }
  for (int i = 0; i < t->ndim; i++)
    if (!picked[i]) order[n++] = i;
  return apply_op(L, SQ_OP_permute, 2, (sq_arg[]){SQ_T(t), list_arg(SQ_ARG_DIMS, n, order)});
}

static place find_places(lua_State *L, sq_tensor *window, const tensors *p) {
  place at = {.window = window, .dim = p->dim[0]};
  sq_tensor **row = bind_new_tensor(L);
  BIND_TRY(L, sq_read_pick("index", window, p->n, p->by, p->dim, &at.pick, row));
  at.at = *row;
  if (window->ndim - at.pick.dims + at.pick.ndim > SQ_MAX_DIMS)
    bind_error(L, "[index] the index is %s, x is %s: the result would have more than %d dims",
               sq_shape_text(at.pick.ndim, at.pick.shape, SQ_SHAPE_BUF),
               sq_tensor_shape_text(window, SQ_SHAPE_BUF), (int)SQ_MAX_DIMS);
  if (lie_together(p)) return at;
  at.dim = 0;
  at.window = picked_first(L, window, p);
  return at;
}

/* The sizes of the window with the picked dims replaced by `n` sizes; returns how many. */
static int replaced_shape(const place *at, int n, const int64_t *sizes, int64_t *shape) {
  const sq_tensor *t = at->window;
  int k = 0;
  for (int i = 0; i < at->dim; i++) shape[k++] = t->shape[i];
  for (int i = 0; i < n; i++) shape[k++] = sizes[i];
  for (int i = at->dim + at->pick.dims; i < t->ndim; i++) shape[k++] = t->shape[i];
  return k;
}

/* Pushes what the tensors pick. */
static void take_picked(lua_State *L, sq_tensor *window, const tensors *p) {
  place at = find_places(L, window, p);
  int64_t shape[SQ_MAX_DIMS];
  sq_tensor *flat = at.window;
  if (at.pick.dims > 1) {
    int n = replaced_shape(&at, 1, &at.pick.size, shape);
    flat = apply_shape_op(L, SQ_OP_reshape, flat, n, shape);
  }
  sq_tensor *y =
      apply_op(L, SQ_OP_index_select, 3, (sq_arg[]){SQ_T(flat), SQ_D(at.dim), SQ_T(at.at)});
  if (at.pick.ndim == 1) return;
  int n = replaced_shape(&at, at.pick.ndim, at.pick.shape, shape);
  apply_shape_op(L, SQ_OP_view, y, n, shape);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* True when every item is a position and none is left over: the result is one element. */
static bool is_element(const sq_tensor *t, const tensor_key *key, int64_t *offset) {
  if (key->n != t->ndim) return false;
  *offset = t->offset;
  for (int i = 0; i < key->n; i++) {
    if (key->item[i].kind != ITEM_AT) return false;
    *offset += key->item[i].first * t->stride[i];
  }
  return true;
}

/* True for the position just behind the last, where ipairs ends. */
static bool is_behind(lua_State *L, const sq_tensor *t) {
  return t->ndim > 0 && lua_isinteger(L, 2) && lua_tointeger(L, 2) == t->shape[0] + 1;
}

int tensor_index(lua_State *L) {
  sq_tensor *t = bind_tensor(L, 1);
  if (is_behind(L, t)) {
    lua_pushnil(L);
    return 1;
  }
  tensor_key key;
  tensors picks;
  int64_t offset;
  tensor_read_key(L, t, &key);
  bool recorded = sq_grad_enabled() && sq_requires_grad(t);
  if (!recorded && is_element(t, &key, &offset)) {
    tensor_push_element(L, t->dtype, t->storage->data, offset);
    return 1;
  }
  sq_tensor *window = take_window(L, t, &key, &picks);
  if (picks.n > 0) {
    take_picked(L, window, &picks);
  } else if (window == t) {
    apply_shape_op(L, SQ_OP_view, t, t->ndim, t->shape);
  }
  return 1;
}

/* "..." and sq.newaxis are strings, which look for members first. */
int tensor_lookup(lua_State *L, void *self) {
  (void)self;
  const char *key = lua_tostring(L, 2);
  if (strcmp(key, "...") != 0 && strcmp(key, "newaxis") != 0) return 0;
  bind_enter(L);
  return tensor_index(L);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Reads the number or boolean at stack index 3; false for anything else. */
static bool number_value(lua_State *L, sq_arg *out) {
  bool flag = lua_type(L, 3) == LUA_TBOOLEAN, number = lua_type(L, 3) == LUA_TNUMBER;
  if (number || flag) *out = SQ_V(flag ? sq_whole(lua_toboolean(L, 3)) : bind_number(L, 3));
  return number || flag;
}

/* The tensor at stack index 3 in t's dtype; raises for anything else, and where it would be cast
 * down. */
static sq_tensor *tensor_value(lua_State *L, const sq_tensor *t) {
  if (!bind_test(L, 3, bind_tensor_class)) {
    const char *got = bind_describe(L, 3);
    bind_error(L, "[index] x[...] = %s: the value must be a number or a Tensor", got);
  }
  sq_tensor *v = bind_tensor(L, 3);
  if (v->dtype == t->dtype) return v;
  if (!sq_promotes_into(v->dtype, t->dtype))
    bind_error(L, "[index] x is %s, the value is %s: convert it with :to(\"%s\")",
               sq_dtype_name(t->dtype), sq_dtype_name(v->dtype), sq_dtype_name(t->dtype));
  const sq_arg dtype = {.kind = SQ_ARG_DTYPE, .dtype = t->dtype};
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_apply(SQ_OP_to, 2, (sq_arg[]){SQ_T(v), dtype}, slot));
  return *slot;
}

/* v without the dims of size 1 in front that make it longer than `ndim`. */
static sq_tensor *trim_front(lua_State *L, sq_tensor *v, int ndim) {
  int extra = 0;
  while (v->ndim - extra > ndim && v->shape[extra] == 1) extra++;
  return extra ? apply_shape_op(L, SQ_OP_view, v, v->ndim - extra, v->shape + extra) : v;
}

static void apply_op_inplace(lua_State *L, sq_op_id op, int n, const sq_arg *arg) {
  BIND_TRY(L, sq_apply_inplace(op, n, arg));
}

/* window[mask] = number, where the mask picks from dim on: without rows of places. */
static void fill_masked(lua_State *L, sq_tensor *window, int dim, sq_tensor *mask, sq_arg value) {
  int64_t shape[SQ_MAX_DIMS];
  int n = 0;
  for (int i = 0; i < mask->ndim; i++) shape[n++] = mask->shape[i];
  for (int i = dim + mask->ndim; i < window->ndim; i++) shape[n++] = 1;
  sq_tensor *wide = apply_shape_op(L, SQ_OP_reshape, mask, n, shape);
  apply_op_inplace(L, SQ_OP_masked_fill, 3, (sq_arg[]){SQ_T(window), SQ_T(wide), value});
}

/* The value as it is picked, expanded, with what stands for the picked dims in front. */
static sq_tensor *value_in_front(lua_State *L, const place *at, sq_tensor *v) {
  int64_t shape[SQ_MAX_DIMS], order[SQ_MAX_DIMS];
  int n = replaced_shape(at, at->pick.ndim, at->pick.shape, shape), k = 0;
  v = trim_front(L, v, n);
  if (at->dim == 0) return v;
  v = apply_shape_op(L, SQ_OP_expand, v, n, shape);
  for (int i = at->dim; i < at->dim + at->pick.ndim; i++) order[k++] = i;
  for (int i = 0; i < n; i++)
    if (i < at->dim || i >= at->dim + at->pick.ndim) order[k++] = i;
  return apply_op(L, SQ_OP_permute, 2, (sq_arg[]){SQ_T(v), list_arg(SQ_ARG_DIMS, n, order)});
}

/* window[tensors] = value */
static void put_picked(lua_State *L, sq_tensor *window, const tensors *p, sq_arg value) {
  place at = find_places(L, window, p);
  bool number = value.kind == SQ_ARG_NUMBER;
  if (number && p->n == 1 && p->by[0]->dtype == SQ_BOOL) {
    fill_masked(L, window, at.dim, p->by[0], value);
    return;
  }
  if (!number) value = SQ_T(value_in_front(L, &at, value.tensor));
  sq_tensor *front = at.dim > 0 ? picked_first(L, window, p) : at.window;
  sq_arg indices = {.kind = SQ_ARG_TENSORS, .tensors = {p->n, p->by}};
  apply_op_inplace(L, SQ_OP_index_put, 3, (sq_arg[]){SQ_T(front), indices, value});
}

int tensor_newindex(lua_State *L) {
  sq_tensor *t = bind_tensor(L, 1);
  tensor_key key;
  tensors picks;
  sq_arg value;
  tensor_read_key(L, t, &key);
  bool number = number_value(L, &value);
  if (!number) value = SQ_T(tensor_value(L, t));
  sq_tensor *window = take_window(L, t, &key, &picks);
  luaL_checkstack(L, 16, NULL);
  if (picks.n > 0) {
    put_picked(L, window, &picks, value);
  } else if (number) {
    apply_op_inplace(L, SQ_OP_fill, 2, (sq_arg[]){SQ_T(window), value});
  } else {
    sq_tensor *from = trim_front(L, value.tensor, window->ndim);
    apply_op_inplace(L, SQ_OP_copy, 2, (sq_arg[]){SQ_T(window), SQ_T(from)});
  }
  return 0;
}

bool tensor_assign(lua_State *L, void *self, int value) {
  (void)self;
  (void)value;
  const char *key = lua_tostring(L, 2);
  if (strcmp(key, "...") != 0 && strcmp(key, "newaxis") != 0) return false;
  bind_enter(L);
  tensor_newindex(L);
  return true;
}
