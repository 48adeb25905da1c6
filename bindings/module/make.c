/* make.c: constructors: tensors out of tables, numbers, ranges and chance. */
#include <math.h>
#include <string.h>

#include "autograd/tape.h"
#include "kernels/kern.h"
#include "module/open.h"
#include "tensor/promote.h"

/* --- what all of them share ----------------------------------------------------------------- */

/* A new contiguous tensor in a new box; `name` names the function in errors. */
static sq_tensor *make_tensor(lua_State *L, const char *name, sq_dtype dtype, int ndim,
                              const int64_t *shape) {
  int64_t numel;
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_shape_numel(name, ndim, shape, &numel));
  BIND_TRY(L, sq_fail_in(sq_tensor_new(dtype, ndim, shape, slot), "[%s] ", name));
  return *slot;
}

/* The end of a constructor: requires_grad as asked. */
static int finish_tensor(lua_State *L, sq_tensor *t, const sq_arg *requires_grad) {
  if (requires_grad->flag) BIND_TRY(L, sq_set_requires_grad(t, true));
  return 1;
}

/* --- from Lua values ------------------------------------------------------------------------ */

/* Nested tables being read. `path` is where we are, for errors. */
typedef struct nest {
  lua_State *L;
  sq_dtype dtype;
  int ndim;
  int64_t shape[SQ_MAX_DIMS], path[SQ_MAX_DIMS];
  char *to;
} nest;

/* "data[2][1]" */
static const char *path_text(const nest *n, int depth, char *buf, size_t size) {
  size_t used = (size_t)snprintf(buf, size, "data");
  for (int i = 0; i < depth && used < size; i++)
    used += (size_t)snprintf(buf + used, size - used, "[%lld]", (long long)n->path[i]);
  return buf;
}

static int wrong_item(const nest *n, int depth, int at, const char *expected) {
  char path[256];
  const char *got = bind_describe(n->L, at);
  return bind_error(n->L, "[tensor] %s: expected %s, got %s",
                    path_text(n, depth, path, sizeof path), expected, got);
}

/* The shape is that of the first item of each level; leaves the first element on the stack. */
static void measure_nest(nest *n) {
  lua_State *L = n->L;
  while (lua_type(L, -1) == LUA_TTABLE) {
    if (n->ndim == SQ_MAX_DIMS)
      bind_error(L,
                 "[tensor] the table is nested deeper than %d levels, the most dims a tensor has",
                 (int)SQ_MAX_DIMS);
    n->path[n->ndim] = 1;
    n->shape[n->ndim++] = (int64_t)lua_rawlen(L, -1);
    luaL_checkstack(L, 4, NULL);
    lua_rawgeti(L, -1, 1);
    if (n->shape[n->ndim - 1] == 0) return;
  }
}

static sq_number read_item(const nest *n, int depth) {
  lua_State *L = n->L;
  if (lua_type(L, -1) == LUA_TBOOLEAN) return sq_whole(lua_toboolean(L, -1));
  if (lua_type(L, -1) != LUA_TNUMBER) {
    bool is_tensor = bind_test(L, -1, bind_tensor_class) != NULL;
    wrong_item(n, depth, -1,
               is_tensor ? "a number (sq.stack joins Tensors)" : "a number or a boolean");
  }
  return bind_number(L, -1);
}

/* Writes the value on the stack's top. */
static void put_item(nest *n, int depth) {
  char path[256];
  sq_number value = read_item(n, depth);
  if (!sq_number_fits(n->dtype, value))
    bind_error(n->L, "[tensor] %s is %.14g: that is no %s", path_text(n, depth, path, sizeof path),
               value.real, sq_dtype_name(n->dtype));
  sq_number_put(n->dtype, value, n->to);
  n->to += sq_dtype_size(n->dtype);
}

/* The dtype that the values on the stack's top meet in: bool, int64, float32. */
static sq_dtype infer_dtype(lua_State *L, int depth) {
  if (lua_type(L, -1) == LUA_TBOOLEAN) return SQ_BOOL;
  if (lua_type(L, -1) != LUA_TTABLE || depth == SQ_MAX_DIMS)
    return lua_isinteger(L, -1) ? SQ_I64 : SQ_F32;
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  sq_dtype dtype = n == 0 ? SQ_F32 : SQ_BOOL;
  luaL_checkstack(L, 4, NULL);
  for (lua_Integer i = 1; i <= n && dtype != SQ_F32; i++) {
    lua_rawgeti(L, -1, i);
    dtype = sq_promote(dtype, infer_dtype(L, depth + 1));
    lua_pop(L, 1);
  }
  return dtype;
}

/* Writes the table (or, at the last level, the value) on the stack's top. Depth is at most 8. */
static void fill_from_nest(nest *n, int depth) {
  lua_State *L = n->L;
  char path[256];
  if (depth == n->ndim) {
    put_item(n, depth);
    return;
  }
  if (lua_type(L, -1) != LUA_TTABLE) wrong_item(n, depth, -1, "a table, as its neighbours are");
  lua_Unsigned length = lua_rawlen(L, -1);
  if ((int64_t)length != n->shape[depth])
    bind_error(
        L, "[tensor] %s has length %d, the first of its level has %d: rows must be equally long",
        path_text(n, depth, path, sizeof path), (int)length, (int)n->shape[depth]);
  for (int64_t i = 1; i <= n->shape[depth]; i++) {
    n->path[depth] = i;
    lua_rawgeti(L, -1, i);
    fill_from_nest(n, depth + 1);
    lua_pop(L, 1);
  }
}

/* A copy of a tensor, without its graph. */
static int tensor_from_tensor(lua_State *L, sq_tensor *from, const sq_arg *arg) {
  enum { DATA, DTYPE, REQUIRES_GRAD };
  sq_tensor **slot = bind_new_tensor(L);
  sq_dtype dtype = arg[DTYPE].kind == SQ_ARG_NIL ? from->dtype : arg[DTYPE].dtype;
  BIND_TRY(L, sq_tensor_new_like(from, dtype, slot));
  BIND_TRY(L, sq_tensor_copy(*slot, from));
  return finish_tensor(L, *slot, &arg[REQUIRES_GRAD]);
}

static int tensor(lua_State *L, const sq_arg *arg) {
  enum { DATA, DTYPE, REQUIRES_GRAD };
  if (lua_isnil(L, arg[DATA].stack))
    return bind_error(L, "[tensor] data is nil: expected a table or a number");
  bind_box *box = bind_test(L, arg[DATA].stack, bind_tensor_class);
  if (box) return tensor_from_tensor(L, bind_tensor(L, arg[DATA].stack), arg);
  nest n = {.L = L};
  lua_pushvalue(L, arg[DATA].stack);
  measure_nest(&n);
  lua_pushvalue(L, arg[DATA].stack);
  n.dtype = arg[DTYPE].kind == SQ_ARG_DTYPE ? arg[DTYPE].dtype : infer_dtype(L, 0);
  sq_tensor *t = make_tensor(L, "tensor", n.dtype, n.ndim, n.shape);
  lua_pushvalue(L, arg[DATA].stack);
  n.to = sq_data(t);
  fill_from_nest(&n, 0);
  lua_pop(L, 1);
  return finish_tensor(L, t, &arg[REQUIRES_GRAD]);
}

/* --- of one value --------------------------------------------------------------------------- */

/* Raises unless the dtype holds the number. */
static void check_holds(lua_State *L, const char *op, const char *what, sq_dtype dtype,
                        sq_number x) {
  if (sq_number_fits(dtype, x)) return;
  bind_error(L, "[%s] %s is %.14g: that is no %s", op, what, x.real, sq_dtype_name(dtype));
}

static int fill_with(lua_State *L, const char *name, sq_tensor *t, sq_number value,
                     const sq_arg *requires_grad) {
  check_holds(L, name, "fill_value", t->dtype, value);
  if (value.real == 0 && !signbit(value.real)) {
    memset(sq_data(t), 0, (size_t)t->storage->bytes);
  } else {
    BIND_TRY(L, sq_tensor_fill_number(t, value));
  }
  return finish_tensor(L, t, requires_grad);
}

static int zeros(lua_State *L, const sq_arg *arg) {
  enum { SIZE, DTYPE, REQUIRES_GRAD };
  sq_tensor *t = make_tensor(L, "zeros", arg[DTYPE].dtype, arg[SIZE].ints.n, arg[SIZE].ints.v);
  return fill_with(L, "zeros", t, sq_whole(0), &arg[REQUIRES_GRAD]);
}

static int ones(lua_State *L, const sq_arg *arg) {
  enum { SIZE, DTYPE, REQUIRES_GRAD };
  sq_tensor *t = make_tensor(L, "ones", arg[DTYPE].dtype, arg[SIZE].ints.n, arg[SIZE].ints.v);
  return fill_with(L, "ones", t, sq_whole(1), &arg[REQUIRES_GRAD]);
}

static int full(lua_State *L, const sq_arg *arg) {
  enum { SIZE, FILL_VALUE, DTYPE, REQUIRES_GRAD };
  sq_dtype dtype = arg[FILL_VALUE].value.is_whole ? SQ_I64 : SQ_F32;
  if (arg[DTYPE].kind == SQ_ARG_DTYPE) dtype = arg[DTYPE].dtype;
  sq_tensor *t = make_tensor(L, "full", dtype, arg[SIZE].ints.n, arg[SIZE].ints.v);
  return fill_with(L, "full", t, arg[FILL_VALUE].value, &arg[REQUIRES_GRAD]);
}

/* Memory of a tensor is never handed out with another's content in it. */
static int empty(lua_State *L, const sq_arg *arg) {
  enum { SIZE, DTYPE, REQUIRES_GRAD };
  sq_tensor *t = make_tensor(L, "empty", arg[DTYPE].dtype, arg[SIZE].ints.n, arg[SIZE].ints.v);
  return fill_with(L, "empty", t, sq_whole(0), &arg[REQUIRES_GRAD]);
}

static sq_dtype like_dtype(const sq_arg *arg, int at) {
  return arg[at].kind == SQ_ARG_DTYPE ? arg[at].dtype : arg[0].tensor->dtype;
}

static sq_tensor *make_like(lua_State *L, const char *name, const sq_arg *arg, int dtype_at) {
  const sq_tensor *x = arg[0].tensor;
  return make_tensor(L, name, like_dtype(arg, dtype_at), x->ndim, x->shape);
}

static int zeros_like(lua_State *L, const sq_arg *arg) {
  enum { X, DTYPE, REQUIRES_GRAD };
  return fill_with(L, "zeros_like", make_like(L, "zeros_like", arg, DTYPE), sq_whole(0),
                   &arg[REQUIRES_GRAD]);
}

static int ones_like(lua_State *L, const sq_arg *arg) {
  enum { X, DTYPE, REQUIRES_GRAD };
  return fill_with(L, "ones_like", make_like(L, "ones_like", arg, DTYPE), sq_whole(1),
                   &arg[REQUIRES_GRAD]);
}

static int empty_like(lua_State *L, const sq_arg *arg) {
  enum { X, DTYPE, REQUIRES_GRAD };
  return fill_with(L, "empty_like", make_like(L, "empty_like", arg, DTYPE), sq_whole(0),
                   &arg[REQUIRES_GRAD]);
}

static int full_like(lua_State *L, const sq_arg *arg) {
  enum { X, FILL_VALUE, DTYPE, REQUIRES_GRAD };
  return fill_with(L, "full_like", make_like(L, "full_like", arg, DTYPE), arg[FILL_VALUE].value,
                   &arg[REQUIRES_GRAD]);
}

/* --- ranges --------------------------------------------------------------------------------- */

/* Element i of a range. */
typedef sq_number element_fn(const void *range, int64_t i);

static void write_range(sq_tensor *t, element_fn *element, const void *range) {
  char *to = sq_data(t);
  size_t size = sq_dtype_size(t->dtype);
  for (int64_t i = 0; i < t->numel; i++)
    sq_number_put(t->dtype, element(range, i), to + (size_t)i * size);
}

typedef struct steps {
  sq_number start, stop, step;
  double n; /* how many */
} steps;

/* first + i step: in int64 where both are whole, else in double. */
static sq_number step_at(const void *range, int64_t i) {
  const steps *s = range;
  if (!s->start.is_whole || !s->step.is_whole)
    return sq_real(s->start.real + (double)i * s->step.real);
  return sq_whole((int64_t)((uint64_t)s->start.whole + (uint64_t)i * (uint64_t)s->step.whole));
}

/* How many steps lie before stop; exact for whole numbers. */
static double count_steps(const steps *s) {
  if (!s->start.is_whole || !s->stop.is_whole || !s->step.is_whole)
    return ceil((s->stop.real - s->start.real) / s->step.real);
  bool up = s->step.whole > 0;
  if (up ? s->stop.whole < s->start.whole : s->stop.whole > s->start.whole) return -1;
  uint64_t low = (uint64_t)(up ? s->start.whole : s->stop.whole);
  uint64_t high = (uint64_t)(up ? s->stop.whole : s->start.whole);
  uint64_t size = up ? (uint64_t)s->step.whole : -(uint64_t)s->step.whole;
  return (double)((high - low) / size) + ((high - low) % size != 0);
}

static steps read_steps(lua_State *L, const sq_arg *arg) {
  enum { START, STOP, STEP };
  bool one = arg[STOP].kind == SQ_ARG_NIL;
  steps s = {one ? sq_whole(0) : arg[START].value, one ? arg[START].value : arg[STOP].value,
             arg[STEP].value, 0};
  double start = s.start.real, stop = s.stop.real, step = s.step.real;
  if (isnan(start) || isnan(stop) || isnan(step))
    bind_error(L, "[arange] an end or the step is nan");
  if (!isfinite(start) || !isfinite(stop) || !isfinite(step) || step == 0)
    bind_error(L,
               "[arange] from %.14g to %.14g by %.14g: the step must not be 0, all must be finite",
               start, stop, step);
  s.n = count_steps(&s);
  if (s.n < 0)
    bind_error(L, "[arange] from %.14g to %.14g by %.14g: the step leads away from the end", start,
               stop, step);
  if (s.n > (double)SQ_MAX_NUMEL) bind_error(L, "[arange] %.14g elements are too many", s.n);
  return s;
}

static int arange(lua_State *L, const sq_arg *arg) {
  enum { START, STOP, STEP, DTYPE, REQUIRES_GRAD };
  steps s = read_steps(L, arg);
  int64_t n = (int64_t)s.n;
  sq_dtype dtype = s.start.is_whole && s.stop.is_whole && s.step.is_whole ? SQ_I64 : SQ_F32;
  if (arg[DTYPE].kind == SQ_ARG_DTYPE) dtype = arg[DTYPE].dtype;
  if (!sq_is_float(dtype) && n > 1 && s.step.real != floor(s.step.real))
    return bind_error(L, "[arange] step is %.14g: that is no %s", s.step.real,
                      sq_dtype_name(dtype));
  if (n > 0) check_holds(L, "arange", "the first element", dtype, s.start);
  if (n > 0) check_holds(L, "arange", "the last element", dtype, step_at(&s, n - 1));
  sq_tensor *t = make_tensor(L, "arange", dtype, 1, &n);
  write_range(t, step_at, &s);
  return finish_tensor(L, t, &arg[REQUIRES_GRAD]);
}

typedef struct span {
  double start, stop, step;
  int64_t n;
} span;

/* The upper half is counted from the end, so that both ends are exact. */
static sq_number span_at(const void *range, int64_t i) {
  const span *s = range;
  bool lower = i < s->n / 2 || s->n == 1;
  return sq_real(lower ? s->start + s->step * (double)i
                       : s->stop - s->step * (double)(s->n - 1 - i));
}

static int linspace(lua_State *L, const sq_arg *arg) {
  enum { START, STOP, STEPS, DTYPE, REQUIRES_GRAD };
  span s = {arg[START].number, arg[STOP].number, 0, arg[STEPS].integer};
  sq_dtype dtype = arg[DTYPE].dtype;
  if (s.n < 0) return bind_error(L, "[linspace] steps is %d: it must be at least 0", (int)s.n);
  if (s.n > 1) s.step = (s.stop - s.start) / (double)(s.n - 1);
  if (dtype == SQ_F32) s.step = (double)(float)s.step;
  if (!sq_is_float(dtype) && s.step != floor(s.step))
    return bind_error(L, "[linspace] the step from %.14g to %.14g is %.14g: that is no %s", s.start,
                      s.stop, s.step, sq_dtype_name(dtype));
  check_holds(L, "linspace", "start", dtype, arg[START].value);
  check_holds(L, "linspace", "stop", dtype, arg[STOP].value);
  sq_tensor *t = make_tensor(L, "linspace", dtype, 1, &s.n);
  write_range(t, span_at, &s);
  return finish_tensor(L, t, &arg[REQUIRES_GRAD]);
}

static int eye(lua_State *L, const sq_arg *arg) {
  enum { N, M, DTYPE, REQUIRES_GRAD };
  int64_t rows = arg[N].integer, columns = arg[M].kind == SQ_ARG_NIL ? rows : arg[M].integer;
  sq_tensor *t = make_tensor(L, "eye", arg[DTYPE].dtype, 2, (int64_t[]){rows, columns});
  fill_with(L, "eye", t, sq_whole(0), &arg[REQUIRES_GRAD]);
  char *to = sq_data(t);
  size_t size = sq_dtype_size(t->dtype);
  double one = 1;
  for (int64_t i = 0; i < rows && i < columns; i++)
    sq_kern_cast(1, SQ_F64, &one, 1, t->dtype, to + (size_t)(i * columns + i) * size, 1);
  return 1;
}

/* --- chance --------------------------------------------------------------------------------- */

static int draw_tensor(lua_State *L, const char *what, sq_tensor *t, sq_law law,
                       const sq_arg *generator, const sq_arg *requires_grad) {
  sq_number a = sq_whole(0), b = sq_whole(1); /* uniform in 0 to 1, normal with mean 0, std 1 */
  if (!sq_is_float(t->dtype))
    return bind_error(L, "[%s] dtype is %s: it must be float32 or float64", what,
                      sq_dtype_name(t->dtype));
  BIND_TRY(L, random_draw(what, t, law, a, b, random_generator(generator)));
  return finish_tensor(L, t, requires_grad);
}

static int rand_(lua_State *L, const sq_arg *arg) {
  enum { SIZE, DTYPE, REQUIRES_GRAD, GENERATOR };
  sq_tensor *t = make_tensor(L, "rand", arg[DTYPE].dtype, arg[SIZE].ints.n, arg[SIZE].ints.v);
  return draw_tensor(L, "rand", t, SQ_LAW_UNIFORM, &arg[GENERATOR], &arg[REQUIRES_GRAD]);
}

static int randn(lua_State *L, const sq_arg *arg) {
  enum { SIZE, DTYPE, REQUIRES_GRAD, GENERATOR };
  sq_tensor *t = make_tensor(L, "randn", arg[DTYPE].dtype, arg[SIZE].ints.n, arg[SIZE].ints.v);
  return draw_tensor(L, "randn", t, SQ_LAW_NORMAL, &arg[GENERATOR], &arg[REQUIRES_GRAD]);
}

/* Drawn in the order of x's elements in memory, as PyTorch's. */
static int draw_like(lua_State *L, const char *what, sq_law law, const sq_arg *arg) {
  enum { X, DTYPE, REQUIRES_GRAD, GENERATOR };
  sq_tensor **laid = bind_new_tensor(L), **like = bind_new_tensor(L), **out = bind_new_tensor(L);
  BIND_TRY(L, sq_tensor_laid_like(arg[X].tensor, laid));
  BIND_TRY(L, sq_tensor_cast(*laid, like_dtype(arg, DTYPE), like));
  BIND_TRY(L, random_draw(what, *like, law, sq_whole(0), sq_whole(1),
                          random_generator(&arg[GENERATOR])));
  BIND_TRY(L, sq_tensor_contiguous(*like, out));
  return finish_tensor(L, *out, &arg[REQUIRES_GRAD]);
}

static int rand_like(lua_State *L, const sq_arg *arg) {
  return draw_like(L, "rand_like", SQ_LAW_UNIFORM, arg);
}

static int randn_like(lua_State *L, const sq_arg *arg) {
  return draw_like(L, "randn_like", SQ_LAW_NORMAL, arg);
}

static int randint(lua_State *L, const sq_arg *arg) {
  enum { LOW, HIGH, SIZE, DTYPE, GENERATOR };
  bool one = arg[HIGH].kind == SQ_ARG_NIL;
  sq_number low = sq_whole(one ? 0 : arg[LOW].integer);
  sq_number high = sq_whole(one ? arg[LOW].integer : arg[HIGH].integer);
  sq_tensor *t = make_tensor(L, "randint", arg[DTYPE].dtype, arg[SIZE].ints.n, arg[SIZE].ints.v);
  BIND_TRY(
      L, random_draw("randint", t, SQ_LAW_INTEGERS, low, high, random_generator(&arg[GENERATOR])));
  return 1;
}

static int randperm(lua_State *L, const sq_arg *arg) {
  enum { N, GENERATOR, DTYPE };
  sq_dtype dtype = arg[DTYPE].dtype;
  if (arg[N].integer > 0 && !sq_number_fits(dtype, sq_whole(arg[N].integer - 1))) {
    return bind_error(L, "[randperm] n is %lld: %s does not hold such numbers",
                      (long long)arg[N].integer, sq_dtype_name(dtype));
  }
  sq_tensor *t = make_tensor(L, "randperm", SQ_I64, 1, (int64_t[]){arg[N].integer});
  sq_rng_randperm(random_generator(&arg[GENERATOR]), t->numel, sq_data(t));
  if (dtype == SQ_I64) return 1;
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_tensor_cast(t, dtype, slot));
  return 1;
}

/* --- the list ------------------------------------------------------------------------------- */

#define MAKE "dtype: dtype = float32, requires_grad: bool = false"
#define LIKE "dtype: dtype? = nil, requires_grad: bool = false"

static const bind_fn functions[] = {
    {"tensor", "(data: any, " LIKE ") -> Tensor",
     "A tensor of the values in a number, a boolean, nested tables or a tensor, copied. Lua "
     "integers make int64, one float among them float32, booleans bool, unless dtype says "
     "otherwise.",
     tensor},
    {"zeros", "(size: shape, " MAKE ") -> Tensor", "All 0.", zeros},
    {"ones", "(size: shape, " MAKE ") -> Tensor", "All 1.", ones},
    {"full", "(size: shape, fill_value: number, " LIKE ") -> Tensor",
     "All fill_value: int64 for a Lua integer, as 1, float32 for a float, as 1.0, unless dtype "
     "says "
     "otherwise.",
     full},
    {"empty", "(size: shape, " MAKE ") -> Tensor", "For content that is still to come; all 0.",
     empty},
    {"zeros_like", "(x: Tensor, " LIKE ") -> Tensor", "All 0, of x's shape and dtype.", zeros_like},
    {"ones_like", "(x: Tensor, " LIKE ") -> Tensor", "All 1, of x's shape and dtype.", ones_like},
    {"empty_like", "(x: Tensor, " LIKE ") -> Tensor", "As empty, of x's shape and dtype.",
     empty_like},
    {"full_like", "(x: Tensor, fill_value: number, " LIKE ") -> Tensor",
     "All fill_value, of x's shape and dtype.", full_like},
    {"arange", "(start: number, stop: number? = nil, step: number = 1, " LIKE ") -> Tensor",
     "start, start + step, ... below stop; with one number 0 to that number - 1. Lua integers make "
     "int64, floats float32.",
     arange},
    {"linspace", "(start: number, stop: number, steps: int, " MAKE ") -> Tensor",
     "`steps` evenly spaced values, both ends included.", linspace},
    {"eye", "(n: int, m: int? = nil, " MAKE ") -> Tensor",
     "The n by m matrix with 1 on its diagonal.", eye},
    {"rand", "(size: shape, " MAKE ", generator: Generator? = nil) -> Tensor",
     "Uniform in 0 to 1, 1 excluded.", rand_},
    {"randn", "(size: shape, " MAKE ", generator: Generator? = nil) -> Tensor",
     "Normal with mean 0 and standard deviation 1.", randn},
    {"rand_like", "(x: Tensor, " LIKE ", generator: Generator? = nil) -> Tensor",
     "As rand, of x's shape and dtype.", rand_like},
    {"randn_like", "(x: Tensor, " LIKE ", generator: Generator? = nil) -> Tensor",
     "As randn, of x's shape and dtype.", randn_like},
    {"randint",
     "(low: int, high: int? = nil, size: shape, dtype: dtype = int64, generator: Generator? = nil) "
     "-> Tensor",
     "Whole numbers from low to high - 1; with one number, from 0: randint(10, {2, 3}).", randint},
    {"randperm", "(n: int, generator: Generator? = nil, dtype: dtype = int64) -> Tensor",
     "The numbers 0 to n - 1 in random order.", randperm},
    {NULL, NULL, NULL, NULL}};

void open_make(lua_State *L) { bind_functions(L, "sq", functions); }
