/* tensor_key.c: reading a key: a position, a list with one item per dim (position, {first, last,
 * step}, {} for all, a tensor), "..." for the dims that are left, sq.newaxis for one of size 1.
 * Positions count from 1; what stands in a tensor is data and counts from 0. */
#include "module/tensor_key.h"

#include <string.h>

#include "bind/args.h"
#include "tensor/pick.h"

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
static tensor_item read_range(lua_State *L, const sq_tensor *t, int dim, int at) {
  lua_Unsigned n = lua_rawlen(L, at);
  if (n == 0) return (tensor_item){.kind = ITEM_ALL};
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
  return (tensor_item){.kind = ITEM_RANGE, .first = first - 1, .count = count, .step = step};
}

static tensor_item read_tensor(lua_State *L, const sq_tensor *t, int dim, sq_tensor *picks) {
  if (picks->dtype != SQ_I64 || picks->ndim > 0)
    return (tensor_item){.kind = ITEM_TENSOR, .picks = picks};
  int64_t at = sq_tensor_get_int(picks, 0), size = t->shape[dim];
  if (at < -size || at >= size)
    bind_error(L,
               "[index] index %lld (a tensor's content counts from 0) is out of range: dim %d of x "
               "%s has size %lld",
               (long long)at, dim + 1, sq_tensor_shape_text(t, SQ_SHAPE_BUF), (long long)size);
  return (tensor_item){.kind = ITEM_AT, .first = at < 0 ? at + size : at};
}

static bool is_word(lua_State *L, int at, const char *word) {
  return lua_type(L, at) == LUA_TSTRING && strcmp(lua_tostring(L, at), word) == 0;
}

static bool is_rest(lua_State *L, int at) { return is_word(L, at, "..."); }
static bool is_new(lua_State *L, int at) { return is_word(L, at, "newaxis"); }

/* Item `place` of the key, at a stack index, for dim `dim` of t. */
static tensor_item read_key_item(lua_State *L, const sq_tensor *t, int dim, int at, int place) {
  if (is_new(L, at)) return (tensor_item){.kind = ITEM_NEW};
  if (lua_type(L, at) == LUA_TNUMBER)
    return (tensor_item){.kind = ITEM_AT, .first = offset_at(L, t, dim, at)};
  if (lua_type(L, at) == LUA_TTABLE) return read_range(L, t, dim, at);
  if (bind_test(L, at, bind_tensor_class)) return read_tensor(L, t, dim, bind_tensor(L, at));
  const char *got = bind_describe(L, at);
  bind_error(L,
             "[index] item %d is %s: an item is a position, a range {first, last}, {} for all, a "
             "tensor, \"...\" for all dims left, or sq.newaxis",
             place, got);
  return (tensor_item){0};
}

/* How many dims the item at a stack index takes. */
static int dims_taken(lua_State *L, int at) {
  if (is_rest(L, at) || is_new(L, at)) return 0;
  return bind_test(L, at, bind_tensor_class) ? sq_pick_dims(bind_tensor(L, at)) : 1;
}

/* How many dims of t the list at index 2 leaves to "..."; raises where it takes too many. */
static int dims_left(lua_State *L, const sq_tensor *t, int n) {
  int items = 0, taken = 0, rests = 0;
  for (int i = 1; i <= n; i++, lua_pop(L, 1)) {
    lua_rawgeti(L, 2, i);
    int at = lua_gettop(L);
    rests += is_rest(L, at);
    items += !is_rest(L, at) && !is_new(L, at);
    taken += dims_taken(L, at);
  }
  if (rests > 1) bind_error(L, "[index] \"...\" stands twice in one key: it is all dims left");
  if (items > t->ndim)
    bind_error(L, "[index] %d items for x of shape %s: at most one per dim", items,
               sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  if (taken > t->ndim)
    bind_error(L, "[index] the key takes %d dims, x is %s: a mask takes as many dims as it has",
               taken, sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  return t->ndim - taken;
}

static void add_item(lua_State *L, tensor_key *key, tensor_item item) {
  if (key->n == (int)(sizeof key->item / sizeof *key->item))
    bind_error(L, "[index] the key has too many items: a tensor has at most %d dims",
               (int)SQ_MAX_DIMS);
  key->item[key->n++] = item;
}

static void read_list(lua_State *L, const sq_tensor *t, tensor_key *key) {
  enum { MANY = 1 << 10 };
  lua_Unsigned count = lua_rawlen(L, 2);
  int n = count > MANY ? MANY : (int)count, left = dims_left(L, t, n), dim = 0;
  for (int i = 1; i <= n; i++, lua_pop(L, 1)) { /* the key holds what is popped */
    lua_rawgeti(L, 2, i);
    int at = lua_gettop(L);
    if (is_rest(L, at)) {
      for (int k = 0; k < left; k++) add_item(L, key, (tensor_item){.kind = ITEM_ALL});
      dim += left;
    } else {
      add_item(L, key, read_key_item(L, t, dim, at, i));
      dim += dims_taken(L, at);
    }
  }
}

void tensor_read_key(lua_State *L, const sq_tensor *t, tensor_key *key) {
  luaL_checkstack(L, 8, NULL);
  key->n = 0;
  if (lua_type(L, 2) == LUA_TTABLE) {
    read_list(L, t, key);
  } else if (is_new(L, 2)) {
    add_item(L, key, (tensor_item){.kind = ITEM_NEW});
  } else if (!is_rest(L, 2)) {
    if (lua_type(L, 2) != LUA_TNUMBER && !bind_test(L, 2, bind_tensor_class)) {
      const char *got = bind_describe(L, 2);
      bind_error(
          L, "[index] the key is %s: x[i], x[{i, {first, last}, {}}] and x[tensor] are the forms",
          got);
    }
    if (t->ndim == 0) bind_error(L, "[index] x is 0-d: it has no positions; x:item() is its value");
    add_item(L, key, read_key_item(L, t, 0, 2, 1));
  }
}
