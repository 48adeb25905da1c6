/* tensor_index.c: x[key] and x[key] = value. A key is a position, a list with one item per dim
 * (position, {first, last, step} or {} for all), or a tensor that picks. Positions count from 1;
 * what stands in a tensor is data and counts from 0. */
#include <math.h>

#include "autograd/op.h"
#include "autograd/tape.h"
#include "bind/args.h"
#include "kernels/kern.h"
#include "module/open.h"

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

/* What picks along one dim, positions counted from 0. */
typedef struct item {
  enum { ITEM_AT, ITEM_RANGE, ITEM_ALL, ITEM_TENSOR } kind;
  int64_t first, count, step; /* AT: first */
  sq_tensor *picks;
} item;

/* --- reading a key -------------------------------------------------------------------------- */

/* A position of dim `dim` (from 0) as an offset; `at` is the stack index of the number. */
static int64_t offset_at(lua_State *L, const sq_tensor *t, int dim, int at) {
  int64_t n = bind_args_int(L, at, "index", "position"), size = t->shape[dim];
  if (n == 0)
    bind_error(L, "[index] position 0 in dim %d: positions count from 1 (or from -1, at the end)",
               dim + 1);
  if (n > size || n < -size)
    bind_error(L, "[index] position %lld is out of range: dim %d of x %s has size %lld",
               (long long)n, dim + 1, sq_tensor_shape_text(t, SQ_SHAPE_BUF), (long long)size);
  return n > 0 ? n - 1 : n + size;
}

/* One end of a range: item `which` of the list at `at`, which may lie one outside for an empty
 * range. */
static int64_t range_end(lua_State *L, const sq_tensor *t, int dim, int at, int which) {
  lua_rawgeti(L, at, which);
  int64_t n = bind_args_int(L, lua_gettop(L), "index", "range"), size = t->shape[dim];
  lua_pop(L, 1);
  if (n == 0 && which == 1)
    bind_error(L, "[index] position 0 in dim %d: positions count from 1 (or from -1, at the end)",
               dim + 1);
  int64_t from_1 = n < 0 ? n + size + 1 : n;
  int64_t low = which == 1 ? 1 : 0, high = which == 1 ? size + 1 : size;
  if (from_1 < low || from_1 > high)
    bind_error(L, "[index] a range to or from %lld is out of range: dim %d of x %s has size %lld",
               (long long)n, dim + 1, sq_tensor_shape_text(t, SQ_SHAPE_BUF), (long long)size);
  return from_1;
}

/* {}, {a}, {a, b} or {a, b, step} */
static item read_range(lua_State *L, const sq_tensor *t, int dim, int at) {
  lua_Unsigned n = lua_rawlen(L, at);
  if (n == 0) return (item){.kind = ITEM_ALL};
  if (n > 3)
    bind_error(L, "[index] a range is {first, last} or {first, last, step}, got %d numbers",
               (int)n);
  int64_t first = range_end(L, t, dim, at, 1), last = n > 1 ? range_end(L, t, dim, at, 2) : first;
  int64_t step = 1;
  if (n == 3) {
    lua_rawgeti(L, at, 3);
    step = bind_args_int(L, lua_gettop(L), "index", "step");
    lua_pop(L, 1);
  }
  if (step < 1)
    bind_error(L, "[index] a range's step is %lld: it must be at least 1 (x:flip turns round)",
               (long long)step);
  if (last < first - 1)
    bind_error(L, "[index] a range from %lld to %lld in dim %d: the end lies before the start",
               (long long)first, (long long)last, dim + 1);
  int64_t count = last < first ? 0 : (last - first) / step + 1;
  return (item){.kind = ITEM_RANGE, .first = first - 1, .count = count, .step = step};
}

static item read_tensor(lua_State *L, const sq_tensor *t, int dim, sq_tensor *picks) {
  if (picks->dtype == SQ_I64 && picks->ndim == 0) {
    int64_t at = sq_tensor_get_int(picks, 0), size = t->shape[dim];
    if (at < -size || at >= size)
      bind_error(L,
                 "[index] index %lld (a tensor's content counts from 0) is out of range: dim %d of "
                 "x %s has size %lld",
                 (long long)at, dim + 1, sq_tensor_shape_text(t, SQ_SHAPE_BUF), (long long)size);
    return (item){.kind = ITEM_AT, .first = at < 0 ? at + size : at};
  }
  if (picks->dtype != SQ_I64 && picks->dtype != SQ_BOOL)
    bind_error(
        L,
        "[index] a %s tensor can't be an index: it must be int64 (indices from 0) or bool (a mask)",
        sq_dtype_name(picks->dtype));
  return (item){.kind = ITEM_TENSOR, .picks = picks};
}

/* The item at a stack index, for dim `dim` of t. */
static item read_item(lua_State *L, const sq_tensor *t, int dim, int at) {
  if (lua_type(L, at) == LUA_TNUMBER)
    return (item){.kind = ITEM_AT, .first = offset_at(L, t, dim, at)};
  if (lua_type(L, at) == LUA_TTABLE) return read_range(L, t, dim, at);
  if (bind_test(L, at, bind_tensor_class)) return read_tensor(L, t, dim, bind_tensor(L, at));
  const char *got = bind_describe(L, at);
  bind_error(L,
             "[index] item %d is %s: an item is a position, a range {first, last}, {} for all, or "
             "a tensor",
             dim + 1, got);
  return (item){0};
}

/* The items of the key at stack index 2, one per dim from the first on; returns how many. */
static int read_key(lua_State *L, const sq_tensor *t, item *items) {
  if (lua_type(L, 2) != LUA_TTABLE) {
    if (lua_type(L, 2) != LUA_TNUMBER && !bind_test(L, 2, bind_tensor_class)) {
      const char *got = bind_describe(L, 2);
      bind_error(
          L, "[index] the key is %s: x[i], x[{i, {first, last}, {}}] and x[tensor] are the forms",
          got);
    }
    if (t->ndim == 0) bind_error(L, "[index] x is 0-d: it has no positions; x:item() is its value");
    items[0] = read_item(L, t, 0, 2);
    return 1;
  }
  lua_Unsigned n = lua_rawlen(L, 2);
  if (n > (lua_Unsigned)t->ndim)
    bind_error(L, "[index] %d items for x of shape %s: at most one per dim", (int)n,
               sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  for (int i = 0; i < (int)n; i++) {
    lua_rawgeti(L, 2, i + 1);
    items[i] = read_item(L, t, i, lua_gettop(L));
    lua_pop(L, 1); /* the key holds it */
  }
  return (int)n;
}

/* The item that is a tensor, -1 without one; *dim is its dim once positions are gone. */
static int tensor_item(lua_State *L, int n, const item *items, int *dim) {
  int found = -1, d = 0;
  for (int i = 0; i < n; i++) {
    if (items[i].kind == ITEM_TENSOR) {
      if (found >= 0)
        bind_error(L, "[index] two tensors in one key: pick along one dim, then along the other");
      found = i;
      *dim = d;
    }
    d += items[i].kind != ITEM_AT;
  }
  return found;
}

/* --- taking --------------------------------------------------------------------------------- */

/* Pushes a box with op(args). */
static sq_tensor *apply(lua_State *L, sq_op_id op, int n, const sq_arg *arg) {
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_apply(op, n, arg, slot));
  return *slot;
}

static sq_arg at_arg(int64_t n) { return (sq_arg){.kind = SQ_ARG_POSITION, .integer = n}; }

static sq_tensor *take_range(lua_State *L, sq_tensor *t, int dim, const item *it) {
  if (it->step == 1 || it->count == 0)
    return apply(L, SQ_OP_narrow, 4,
                 (sq_arg[]){SQ_T(t), SQ_D(dim), at_arg(it->first), SQ_I(it->count)});
  int64_t last = it->first + (it->count - 1) * it->step;
  return apply(L, SQ_OP_slice, 5,
               (sq_arg[]){SQ_T(t), SQ_D(dim), at_arg(it->first), at_arg(last), SQ_I(it->step)});
}

/* Pushes the window on t that positions and ranges leave. The dims that tensors pick along stay
 * whole; *picked gets the number of tensors. */
static sq_tensor *take_window(lua_State *L, sq_tensor *t, int n, const item *items) {
  luaL_checkstack(L, 2 * SQ_MAX_DIMS + 4, NULL);
  int dim = 0;
  for (int i = 0; i < n; i++) {
    if (items[i].kind == ITEM_AT) {
      t = apply(L, SQ_OP_select, 3, (sq_arg[]){SQ_T(t), SQ_D(dim), at_arg(items[i].first)});
      continue;
    }
    if (items[i].kind == ITEM_RANGE) t = take_range(L, t, dim, &items[i]);
    dim++;
  }
  return t;
}

/* True when every item is a position and none is left over: the result is one element. */
static bool is_element(const sq_tensor *t, int n, const item *items, int64_t *offset) {
  if (n != t->ndim) return false;
  int64_t at = t->offset;
  for (int i = 0; i < n; i++) {
    if (items[i].kind != ITEM_AT) return false;
    at += items[i].first * t->stride[i];
  }
  *offset = at;
  return true;
}

static sq_arg shape_arg(int n, const int64_t *shape) {
  return (sq_arg){.kind = SQ_ARG_SHAPE, .ints = {n, shape}};
}

/* Pushes t in another shape. */
static sq_tensor *reshape(lua_State *L, sq_op_id op, sq_tensor *t, int n, const int64_t *shape) {
  return apply(L, op, 2, (sq_arg[]){SQ_T(t), shape_arg(n, shape)});
}

/* What a tensor picks from `dims` dims of t, from `dim` on: the dims before and after stay. */
typedef struct pick {
  int dim, dims;      /* a mask covers several dims */
  sq_tensor *indices; /* a row of int64 */
  int ndim;           /* what stands for those dims in the result */
  int64_t shape[SQ_MAX_DIMS];
} pick;

/* A mask becomes the indices where it holds. */
static pick pick_by_mask(lua_State *L, const sq_tensor *t, int dim, sq_tensor *mask) {
  if (mask->ndim == 0 || dim + mask->ndim > t->ndim ||
      !sq_shape_equal(mask->ndim, mask->shape, mask->ndim, t->shape + dim))
    bind_error(L, "[index] the mask is %s, x is %s: a mask has the sizes of the dims it picks from",
               sq_tensor_shape_text(mask, SQ_SHAPE_BUF), sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  sq_tensor *row = reshape(L, SQ_OP_reshape, mask, 1, &mask->numel);
  sq_tensor *at = apply(L, SQ_OP_nonzero, 1, (sq_arg[]){SQ_T(row)});
  pick p = {.dim = dim, .dims = mask->ndim, .ndim = 1, .shape = {at->numel}};
  p.indices = reshape(L, SQ_OP_reshape, at, 1, &at->numel);
  return p;
}

/* Negative indices count from the end, as PyTorch's. */
static pick pick_by_index(lua_State *L, const sq_tensor *t, int dim, sq_tensor *index) {
  pick p = {.dim = dim, .dims = 1, .ndim = index->ndim};
  if (t->ndim - 1 + index->ndim > SQ_MAX_DIMS)
    bind_error(L, "[index] the index is %s, x is %s: the result would have more than %d dims",
               sq_tensor_shape_text(index, SQ_SHAPE_BUF), sq_tensor_shape_text(t, SQ_SHAPE_BUF),
               (int)SQ_MAX_DIMS);
  for (int i = 0; i < index->ndim; i++) p.shape[i] = index->shape[i];
  sq_tensor **copy = bind_new_tensor(L);
  BIND_TRY(L, sq_tensor_clone(index, copy));
  int64_t *v = sq_data(*copy), size = t->shape[dim];
  for (int64_t i = 0; i < index->numel; i++) {
    if (v[i] < -size || v[i] >= size)
      bind_error(L,
                 "[index] index %lld (a tensor's content counts from 0) is out of range: dim %d of "
                 "x %s has size %lld",
                 (long long)v[i], dim + 1, sq_tensor_shape_text(t, SQ_SHAPE_BUF), (long long)size);
    if (v[i] < 0) v[i] += size;
  }
  p.indices = reshape(L, SQ_OP_view, *copy, 1, &index->numel);
  return p;
}

static pick read_pick(lua_State *L, const sq_tensor *t, int dim, sq_tensor *by) {
  return by->dtype == SQ_BOOL ? pick_by_mask(L, t, dim, by) : pick_by_index(L, t, dim, by);
}

/* The sizes of t with the picked dims replaced by `n` sizes; returns how many. */
static int replaced_shape(const sq_tensor *t, const pick *p, int n, const int64_t *sizes,
                          int64_t *shape) {
  int k = 0;
  for (int i = 0; i < p->dim; i++) shape[k++] = t->shape[i];
  for (int i = 0; i < n; i++) shape[k++] = sizes[i];
  for (int i = p->dim + p->dims; i < t->ndim; i++) shape[k++] = t->shape[i];
  return k;
}

/* t with the dims a mask covers laid flat. */
static sq_tensor *flatten_picked(lua_State *L, sq_op_id op, sq_tensor *t, const pick *p) {
  if (p->dims == 1) return t;
  int64_t shape[SQ_MAX_DIMS], flat = 1;
  for (int i = 0; i < p->dims; i++) flat *= t->shape[p->dim + i];
  int n = replaced_shape(t, p, 1, &flat, shape);
  return reshape(L, op, t, n, shape);
}

/* Pushes what the tensor picks. */
static void take_picked(lua_State *L, sq_tensor *t, int dim, sq_tensor *by) {
  pick p = read_pick(L, t, dim, by);
  sq_tensor *flat = flatten_picked(L, SQ_OP_reshape, t, &p);
  sq_tensor *y =
      apply(L, SQ_OP_index_select, 3, (sq_arg[]){SQ_T(flat), SQ_D(dim), SQ_T(p.indices)});
  if (p.ndim == 1) return;
  int64_t shape[SQ_MAX_DIMS];
  int n = replaced_shape(t, &p, p.ndim, p.shape, shape);
  reshape(L, SQ_OP_view, y, n, shape);
}

/* True for the position just past the end, which is nil: there ipairs stops. */
static bool is_end(lua_State *L, const sq_tensor *t) {
  return lua_isinteger(L, 2) && t->ndim > 0 && lua_tointeger(L, 2) == t->shape[0] + 1;
}

int tensor_index(lua_State *L) {
  sq_tensor *t = bind_tensor(L, 1);
  if (is_end(L, t)) {
    lua_pushnil(L);
    return 1;
  }
  item items[SQ_MAX_DIMS];
  int n = read_key(L, t, items), dim = 0;
  int64_t offset;
  if (is_element(t, n, items, &offset)) {
    tensor_push_element(L, t->dtype, t->storage->data, offset);
    return 1;
  }
  int by = tensor_item(L, n, items, &dim);
  sq_tensor *window = take_window(L, t, n, items);
  if (by >= 0) {
    take_picked(L, window, dim, items[by].picks);
  } else if (window == t) {
    reshape(L, SQ_OP_view, t, t->ndim, t->shape);
  }
  return 1;
}

/* --- writing -------------------------------------------------------------------------------- */

/* The number or boolean at stack index 3; false for anything else. */
static bool number_value(lua_State *L, sq_number *out) {
  if (lua_type(L, 3) == LUA_TNUMBER) *out = bind_number(L, 3);
  if (lua_type(L, 3) == LUA_TBOOLEAN) *out = sq_whole(lua_toboolean(L, 3));
  return lua_type(L, 3) == LUA_TNUMBER || lua_type(L, 3) == LUA_TBOOLEAN;
}

/* The tensor at stack index 3 in t's dtype; raises for anything else. */
static sq_tensor *tensor_value(lua_State *L, const sq_tensor *t) {
  if (!bind_test(L, 3, bind_tensor_class)) {
    const char *got = bind_describe(L, 3);
    bind_error(L, "[index] x[...] = %s: the value must be a number or a Tensor", got);
  }
  sq_tensor *v = bind_tensor(L, 3);
  if (v->dtype != t->dtype)
    bind_error(L, "[index] x is %s, the value is %s: convert it with :to(\"%s\")",
               sq_dtype_name(t->dtype), sq_dtype_name(v->dtype), sq_dtype_name(t->dtype));
  return v;
}

static void inplace(lua_State *L, sq_op_id op, int n, const sq_arg *arg) {
  BIND_TRY(L, sq_apply_inplace(op, n, arg));
}

/* t[by] = value, for a number: index_fill_, or masked_fill_ for a mask, which needs no view. */
static void put_number(lua_State *L, sq_tensor *t, int dim, sq_tensor *by, sq_number value) {
  pick p = read_pick(L, t, dim, by);
  if (by->dtype != SQ_BOOL) {
    inplace(L, SQ_OP_index_fill, 4, (sq_arg[]){SQ_T(t), SQ_D(dim), SQ_T(p.indices), SQ_V(value)});
    return;
  }
  int64_t shape[SQ_MAX_DIMS];
  int n = 0;
  for (int i = 0; i < by->ndim; i++) shape[n++] = by->shape[i];
  for (int i = dim + by->ndim; i < t->ndim; i++) shape[n++] = 1;
  sq_tensor *mask = reshape(L, SQ_OP_reshape, by, n, shape);
  inplace(L, SQ_OP_masked_fill, 3, (sq_arg[]){SQ_T(t), SQ_T(mask), SQ_V(value)});
}

/* t[by] = v: the value is broadcast to what the tensor picks, then copied along a row. */
static void put_tensor(lua_State *L, sq_tensor *t, int dim, sq_tensor *by, sq_tensor *v) {
  pick p = read_pick(L, t, dim, by);
  int64_t shape[SQ_MAX_DIMS];
  int n = replaced_shape(t, &p, p.ndim, p.shape, shape);
  sq_tensor *wide = reshape(L, SQ_OP_expand, v, n, shape);
  n = replaced_shape(t, &p, 1, &p.indices->numel, shape);
  sq_tensor *row = reshape(L, SQ_OP_reshape, wide, n, shape);
  sq_tensor *flat = flatten_picked(L, SQ_OP_view, t, &p);
  inplace(L, SQ_OP_index_copy, 4, (sq_arg[]){SQ_T(flat), SQ_D(dim), SQ_T(p.indices), SQ_T(row)});
}

int tensor_newindex(lua_State *L) {
  sq_tensor *t = bind_tensor(L, 1);
  item items[SQ_MAX_DIMS];
  int n = read_key(L, t, items), dim = 0;
  sq_number value = {0};
  bool number = number_value(L, &value);
  sq_tensor *from = number ? NULL : tensor_value(L, t);
  int by = tensor_item(L, n, items, &dim);
  sq_tensor *window = take_window(L, t, n, items);
  luaL_checkstack(L, 16, NULL);
  if (by >= 0 && number) {
    put_number(L, window, dim, items[by].picks, value);
  } else if (by >= 0) {
    put_tensor(L, window, dim, items[by].picks, from);
  } else if (number) {
    inplace(L, SQ_OP_fill, 2, (sq_arg[]){SQ_T(window), SQ_V(value)});
  } else {
    inplace(L, SQ_OP_copy, 2, (sq_arg[]){SQ_T(window), SQ_T(from)});
  }
  return 0;
}
