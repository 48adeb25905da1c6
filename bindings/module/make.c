/* make.c: constructors: tensors out of tables, numbers, ranges and chance. */
#include <math.h>
#include <string.h>

#include "autograd/tape.h"
#include "kernels/kern.h"
#include "module/open.h"

/* --- what all of them share ----------------------------------------------------------------- */

/* A new contiguous tensor in a new box; `name` names the function in errors. */
static sq_tensor *make(lua_State *L, const char *name, sq_dtype dtype, int ndim,
                       const int64_t *shape) {
  int64_t numel;
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_shape_numel(name, ndim, shape, &numel));
  BIND_TRY(L, sq_fail_in(sq_tensor_new(dtype, ndim, shape, slot), "[%s] ", name));
  return *slot;
}

/* The end of a constructor: requires_grad as asked. */
static int finish(lua_State *L, sq_tensor *t, const sq_arg *requires_grad) {
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
static void measure(nest *n) {
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

static double read_number(const nest *n, int depth) {
  lua_State *L = n->L;
  if (lua_type(L, -1) == LUA_TBOOLEAN) return lua_toboolean(L, -1);
  if (lua_type(L, -1) != LUA_TNUMBER) {
    bool is_tensor = bind_test(L, -1, bind_tensor_class) != NULL;
    wrong_item(n, depth, -1,
               is_tensor ? "a number (sq.stack joins Tensors)" : "a number or a boolean");
  }
  return lua_tonumber(L, -1);
}

/* Writes the value on the stack's top. */
static void put(nest *n, int depth) {
  lua_State *L = n->L;
  if (n->dtype == SQ_I64 && lua_isinteger(L, -1)) {
    int64_t whole = lua_tointeger(L, -1);
    memcpy(n->to, &whole, sizeof whole);
  } else {
    double value = read_number(n, depth);
    char path[256];
    double top = n->dtype == SQ_BOOL ? 1 : n->dtype == SQ_U8 ? 255 : 9223372036854774784.0;
    double low = n->dtype == SQ_I64 ? -top : 0;
    if (!sq_is_float(n->dtype) && !(value == floor(value) && value >= low && value <= top))
      bind_error(L, "[tensor] %s is %.14g: that is no %s", path_text(n, depth, path, sizeof path),
                 value, sq_dtype_name(n->dtype));
    sq_kern_cast(1, SQ_F64, &value, 1, n->dtype, n->to, 1);
  }
  n->to += sq_dtype_size(n->dtype);
}

/* Writes the table (or, at the last level, the value) on the stack's top. Depth is at most 8. */
static void fill(nest *n, int depth) {
  lua_State *L = n->L;
  char path[256];
  if (depth == n->ndim) {
    put(n, depth);
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
    fill(n, depth + 1);
    lua_pop(L, 1);
  }
}

/* A copy of a tensor, without its graph. */
static int tensor_from_tensor(lua_State *L, sq_tensor *from, const sq_arg *arg) {
  sq_tensor **slot = bind_new_tensor(L);
  sq_dtype dtype = arg[1].kind == SQ_ARG_NIL ? from->dtype : arg[1].dtype;
  BIND_TRY(L, sq_tensor_new_like(from, dtype, slot));
  BIND_TRY(L, sq_tensor_copy(*slot, from));
  return finish(L, *slot, &arg[2]);
}

static int tensor(lua_State *L, const sq_arg *arg) {
  if (arg[0].kind == SQ_ARG_NIL)
    return bind_error(L, "[tensor] data is nil: expected a table or a number");
  bind_box *box = bind_test(L, arg[0].stack, bind_tensor_class);
  if (box) return tensor_from_tensor(L, bind_tensor(L, arg[0].stack), arg);
  nest n = {.L = L};
  lua_pushvalue(L, arg[0].stack);
  measure(&n);
  n.dtype = arg[1].kind == SQ_ARG_DTYPE       ? arg[1].dtype
            : lua_type(L, -1) == LUA_TBOOLEAN ? SQ_BOOL
                                              : SQ_F32;
  sq_tensor *t = make(L, "tensor", n.dtype, n.ndim, n.shape);
  lua_pushvalue(L, arg[0].stack);
  n.to = sq_data(t);
  fill(&n, 0);
  lua_pop(L, 1);
  return finish(L, t, &arg[2]);
}

/* --- of one value --------------------------------------------------------------------------- */

static int fill_with(lua_State *L, sq_tensor *t, double value, const sq_arg *requires_grad) {
  if (!sq_is_float(t->dtype) && value != floor(value))
    return bind_error(L, "[full] fill_value is %.14g: that is no %s", value,
                      sq_dtype_name(t->dtype));
  if (value == 0 && !signbit(value)) {
    memset(sq_data(t), 0, (size_t)t->storage->bytes);
  } else {
    BIND_TRY(L, sq_fail_in(sq_tensor_fill(t, value), "[full] "));
  }
  return finish(L, t, requires_grad);
}

static int zeros(lua_State *L, const sq_arg *arg) {
  sq_tensor *t = make(L, "zeros", arg[1].dtype, arg[0].ints.n, arg[0].ints.v);
  return fill_with(L, t, 0, &arg[2]);
}

static int ones(lua_State *L, const sq_arg *arg) {
  sq_tensor *t = make(L, "ones", arg[1].dtype, arg[0].ints.n, arg[0].ints.v);
  return fill_with(L, t, 1, &arg[2]);
}

static int full(lua_State *L, const sq_arg *arg) {
  sq_tensor *t = make(L, "full", arg[2].dtype, arg[0].ints.n, arg[0].ints.v);
  return fill_with(L, t, arg[1].number, &arg[3]);
}

/* Memory of a tensor is never handed out with another's content in it. */
static int empty(lua_State *L, const sq_arg *arg) {
  sq_tensor *t = make(L, "empty", arg[1].dtype, arg[0].ints.n, arg[0].ints.v);
  return fill_with(L, t, 0, &arg[2]);
}

static sq_dtype like_dtype(const sq_arg *arg, int at) {
  return arg[at].kind == SQ_ARG_DTYPE ? arg[at].dtype : arg[0].tensor->dtype;
}

static sq_tensor *make_like(lua_State *L, const char *name, const sq_arg *arg, int dtype_at) {
  const sq_tensor *x = arg[0].tensor;
  return make(L, name, like_dtype(arg, dtype_at), x->ndim, x->shape);
}

static int zeros_like(lua_State *L, const sq_arg *arg) {
  return fill_with(L, make_like(L, "zeros_like", arg, 1), 0, &arg[2]);
}

static int ones_like(lua_State *L, const sq_arg *arg) {
  return fill_with(L, make_like(L, "ones_like", arg, 1), 1, &arg[2]);
}

static int empty_like(lua_State *L, const sq_arg *arg) {
  return fill_with(L, make_like(L, "empty_like", arg, 1), 0, &arg[2]);
}

static int full_like(lua_State *L, const sq_arg *arg) {
  return fill_with(L, make_like(L, "full_like", arg, 2), arg[1].number, &arg[3]);
}

/* --- ranges --------------------------------------------------------------------------------- */

/* first + i step in double, then the dtype. */
static void write_range(sq_tensor *t, double first, double step) {
  char *to = sq_data(t);
  size_t size = sq_dtype_size(t->dtype);
  for (int64_t i = 0; i < t->numel; i++) {
    double value = first + (double)i * step;
    sq_kern_cast(1, SQ_F64, &value, 1, t->dtype, to + (size_t)i * size, 1);
  }
}

static bool whole(double x) { return x == floor(x) && fabs(x) < 9007199254740992.0; }

static int arange(lua_State *L, const sq_arg *arg) {
  bool one = arg[1].kind == SQ_ARG_NIL;
  double start = one ? 0 : arg[0].number, stop = one ? arg[0].number : arg[1].number;
  double step = arg[2].number;
  if (isnan(start) || isnan(stop) || isnan(step))
    return bind_error(L, "[arange] an end or the step is nan");
  if (!isfinite(start) || !isfinite(stop) || !isfinite(step) || step == 0)
    return bind_error(
        L, "[arange] from %.14g to %.14g by %.14g: the step must not be 0, all must be finite",
        start, stop, step);
  double n = ceil((stop - start) / step);
  if (n < 0)
    return bind_error(L, "[arange] from %.14g to %.14g by %.14g: the step leads away from the end",
                      start, stop, step);
  if (n > (double)SQ_MAX_NUMEL) return bind_error(L, "[arange] %.14g elements are too many", n);
  sq_dtype dtype = whole(start) && whole(stop) && whole(step) ? SQ_I64 : SQ_F32;
  if (arg[3].kind == SQ_ARG_DTYPE) dtype = arg[3].dtype;
  sq_tensor *t = make(L, "arange", dtype, 1, (int64_t[]){(int64_t)n});
  write_range(t, start, step);
  return finish(L, t, &arg[4]);
}

/* The upper half is counted from the end, so that both ends are exact. */
static int linspace(lua_State *L, const sq_arg *arg) {
  double start = arg[0].number, stop = arg[1].number;
  int64_t n = arg[2].integer;
  sq_dtype dtype = arg[3].dtype;
  if (n < 0) return bind_error(L, "[linspace] steps is %d: it must be at least 0", (int)n);
  sq_tensor *t = make(L, "linspace", dtype, 1, &n);
  double step = n > 1 ? (stop - start) / (double)(n - 1) : 0;
  if (dtype == SQ_F32) step = (double)(float)step;
  char *to = sq_data(t);
  size_t size = sq_dtype_size(dtype);
  for (int64_t i = 0; i < n; i++) {
    double value =
        i < n / 2 || n == 1 ? start + step * (double)i : stop - step * (double)(n - 1 - i);
    sq_kern_cast(1, SQ_F64, &value, 1, dtype, to + (size_t)i * size, 1);
  }
  return finish(L, t, &arg[4]);
}

static int eye(lua_State *L, const sq_arg *arg) {
  int64_t rows = arg[0].integer, columns = arg[1].kind == SQ_ARG_NIL ? rows : arg[1].integer;
  sq_tensor *t = make(L, "eye", arg[2].dtype, 2, (int64_t[]){rows, columns});
  fill_with(L, t, 0, &arg[3]);
  char *to = sq_data(t);
  size_t size = sq_dtype_size(t->dtype);
  double one = 1;
  for (int64_t i = 0; i < rows && i < columns; i++)
    sq_kern_cast(1, SQ_F64, &one, 1, t->dtype, to + (size_t)(i * columns + i) * size, 1);
  return 1;
}

/* --- chance --------------------------------------------------------------------------------- */

static int draw(lua_State *L, const char *name, sq_tensor *t, tensor_law law, double a, double b,
                const sq_arg *generator, const sq_arg *requires_grad) {
  if (!sq_is_float(t->dtype) && law != LAW_INTEGERS)
    return bind_error(L, "[%s] dtype is %s: it must be float32 or float64", name,
                      sq_dtype_name(t->dtype));
  BIND_TRY(L, tensor_draw(t, law, a, b, bind_rng(generator)));
  return finish(L, t, requires_grad);
}

static int rand_(lua_State *L, const sq_arg *arg) {
  sq_tensor *t = make(L, "rand", arg[1].dtype, arg[0].ints.n, arg[0].ints.v);
  return draw(L, "rand", t, LAW_UNIFORM, 0, 1, &arg[3], &arg[2]);
}

static int randn(lua_State *L, const sq_arg *arg) {
  sq_tensor *t = make(L, "randn", arg[1].dtype, arg[0].ints.n, arg[0].ints.v);
  return draw(L, "randn", t, LAW_NORMAL, 0, 1, &arg[3], &arg[2]);
}

static int rand_like(lua_State *L, const sq_arg *arg) {
  sq_tensor *t = make_like(L, "rand_like", arg, 1);
  return draw(L, "rand_like", t, LAW_UNIFORM, 0, 1, &arg[3], &arg[2]);
}

static int randn_like(lua_State *L, const sq_arg *arg) {
  sq_tensor *t = make_like(L, "randn_like", arg, 1);
  return draw(L, "randn_like", t, LAW_NORMAL, 0, 1, &arg[3], &arg[2]);
}

static int randint(lua_State *L, const sq_arg *arg) {
  bool one = arg[1].kind == SQ_ARG_NIL;
  int64_t low = one ? 0 : arg[0].integer, high = one ? arg[0].integer : arg[1].integer;
  if (low >= high)
    return bind_error(L, "[randint] low is %lld, high is %lld: low must be below high",
                      (long long)low, (long long)high);
  sq_dtype dtype = arg[3].dtype;
  sq_tensor *whole_numbers = make(L, "randint", SQ_I64, arg[2].ints.n, arg[2].ints.v);
  sq_rng_randint(bind_rng(&arg[4]), low, high, whole_numbers->numel, sq_data(whole_numbers));
  if (dtype == SQ_I64) return 1;
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_tensor_cast(whole_numbers, dtype, slot));
  return 1;
}

static int randperm(lua_State *L, const sq_arg *arg) {
  sq_dtype dtype = arg[2].dtype;
  if (!sq_number_fits(dtype, sq_whole(arg[0].integer - 1))) {
    return bind_error(L, "[randperm] n is %lld: %s does not hold such numbers",
                      (long long)arg[0].integer, sq_dtype_name(dtype));
  }
  sq_tensor *t = make(L, "randperm", SQ_I64, 1, (int64_t[]){arg[0].integer});
  sq_rng_randperm(bind_rng(&arg[1]), t->numel, sq_data(t));
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
     "A tensor of the values in a number, a boolean, nested tables or a tensor, copied. Numbers "
     "make "
     "float32, booleans bool, unless dtype says otherwise.",
     tensor},
    {"zeros", "(size: shape, " MAKE ") -> Tensor", "All 0.", zeros},
    {"ones", "(size: shape, " MAKE ") -> Tensor", "All 1.", ones},
    {"full", "(size: shape, fill_value: number, " MAKE ") -> Tensor", "All fill_value.", full},
    {"empty", "(size: shape, " MAKE ") -> Tensor", "For content that is still to come; all 0.",
     empty},
    {"zeros_like", "(x: Tensor, " LIKE ") -> Tensor", "All 0, of x's shape and dtype.", zeros_like},
    {"ones_like", "(x: Tensor, " LIKE ") -> Tensor", "All 1, of x's shape and dtype.", ones_like},
    {"empty_like", "(x: Tensor, " LIKE ") -> Tensor", "As empty, of x's shape and dtype.",
     empty_like},
    {"full_like", "(x: Tensor, fill_value: number, " LIKE ") -> Tensor",
     "All fill_value, of x's shape and dtype.", full_like},
    {"arange", "(start: number, stop: number? = nil, step: number = 1, " LIKE ") -> Tensor",
     "start, start + step, ... below stop; with one number 0 to that number - 1. Whole numbers "
     "make "
     "int64, others float32.",
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
