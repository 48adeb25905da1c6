/* tensor_split.c: chunk, split and unbind: a tensor as several windows, each a result of its
 * own. */
#include "autograd/op.h"
#include "module/open.h"

/* Pushes `length` positions of dim from `start` on. */
static void push_window(lua_State *L, sq_tensor *t, int dim, int64_t start, int64_t length) {
  sq_arg from = {.kind = SQ_ARG_POSITION, .integer = start};
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_apply(SQ_OP_narrow, 4, (sq_arg[]){SQ_T(t), SQ_D(dim), from, SQ_I(length)}, slot));
}

/* The dim of (x, _, dim), checked; `name` names the function in errors. */
static int dim_of(lua_State *L, const char *name, const sq_tensor *t, int64_t dim) {
  int out;
  if (t->ndim == 0) bind_error(L, "[%s] x is 0-d: it has no dim", name);
  BIND_TRY(L, sq_dim_resolve(name, dim, t->ndim, &out));
  return out;
}

static void reserve_results(lua_State *L, const char *name, int64_t results) {
  if (results > 100000 || !lua_checkstack(L, (int)results + 8))
    bind_error(L, "[%s] %lld results are too many", name, (long long)results);
}

/* Parts of one size, the last one smaller where the size does not divide the dim. */
static int push_equal_parts(lua_State *L, const char *name, sq_tensor *t, int dim, int64_t size) {
  int64_t whole = t->shape[dim], parts = whole / size + (whole % size != 0 || whole == 0);
  reserve_results(L, name, parts);
  for (int64_t i = 0; i < parts; i++) {
    int64_t left = whole - i * size;
    push_window(L, t, dim, i * size, left < size ? left : size);
  }
  return (int)parts;
}

int tensor_chunk(lua_State *L, const sq_arg *arg) {
  enum { X, CHUNKS, DIM };
  sq_tensor *t = arg[X].tensor;
  int64_t chunks = arg[CHUNKS].integer;
  int dim = dim_of(L, "chunk", t, arg[DIM].integer);
  if (chunks < 1)
    return bind_error(L, "[chunk] chunks is %lld: it must be at least 1", (long long)chunks);
  int64_t size = t->shape[dim] / chunks + (t->shape[dim] % chunks != 0);
  return push_equal_parts(L, "chunk", t, dim, size > 0 ? size : 1);
}

static int push_listed_parts(lua_State *L, sq_tensor *t, int dim, int n, const int64_t *sizes) {
  int64_t start = 0;
  bool fits = true;
  for (int i = 0; i < n && fits; i++) {
    fits = sizes[i] >= 0 && sizes[i] <= t->shape[dim] - start;
    if (fits) start += sizes[i];
  }
  if (!fits || start != t->shape[dim])
    return bind_error(L, "[split] the sizes must be at least 0 and add up to %lld, dim %d of x %s",
                      (long long)t->shape[dim], dim + 1, sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  reserve_results(L, "split", n);
  start = 0;
  for (int i = 0; i < n; i++) {
    push_window(L, t, dim, start, sizes[i]);
    start += sizes[i];
  }
  return n;
}

int tensor_split(lua_State *L, const sq_arg *arg) {
  enum { X, SPLIT_SIZE, DIM };
  sq_tensor *t = arg[X].tensor;
  int dim = dim_of(L, "split", t, arg[DIM].integer);
  if (arg[SPLIT_SIZE].ints.list)
    return push_listed_parts(L, t, dim, arg[SPLIT_SIZE].ints.n, arg[SPLIT_SIZE].ints.v);
  if (arg[SPLIT_SIZE].ints.n != 1)
    return bind_error(L, "[split] sizes go in a list: x:split({2, 3}, dim)");
  int64_t size = arg[SPLIT_SIZE].ints.v[0];
  if (size < 1)
    return bind_error(L, "[split] split_size is %lld: it must be at least 1", (long long)size);
  return push_equal_parts(L, "split", t, dim, size);
}

int tensor_unbind(lua_State *L, const sq_arg *arg) {
  enum { X, DIM };
  sq_tensor *t = arg[X].tensor;
  int dim = dim_of(L, "unbind", t, arg[DIM].integer);
  int64_t n = t->shape[dim];
  reserve_results(L, "unbind", n);
  for (int64_t i = 0; i < n; i++) {
    sq_arg at = {.kind = SQ_ARG_POSITION, .integer = i};
    sq_tensor **slot = bind_new_tensor(L);
    BIND_TRY(L, sq_apply(SQ_OP_select, 3, (sq_arg[]){SQ_T(t), SQ_D(dim), at}, slot));
  }
  return (int)n;
}
