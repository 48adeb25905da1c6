/* data.c: datasets that C makes, and what bindings/lua/data.lua builds the others on. */
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/part.h"
#include "datasets/digits.h"
#include "datasets/idx.h"
#include "datasets/loader.h"
#include "datasets/palindrome.h"
#include "module/open.h"

/* --- Palindrome ----------------------------------------------------------------------------- */

/* Its length, and the generator (user value 1, nil for the default one). */
typedef struct palindrome {
  int64_t length;
  bool one_hot;
  sq_rng *generator;
} palindrome;

static const bind_class palindrome_class;

static void drop_palindrome(void *object) { sq_free(object); }

static int new_palindrome(lua_State *L, const sq_arg *arg) {
  enum { LENGTH, ONE_HOT, GENERATOR };
  if (arg[LENGTH].integer < 2) {
    return bind_error(L,
                      "[Palindrome] length is %lld: a palindrome to complete has at least 2 digits",
                      (long long)arg[LENGTH].integer);
  }
  bind_box *box = bind_new(L, &palindrome_class, 1);
  BIND_TRY(L, sq_alloc_zero(sizeof(palindrome), &box->object));
  palindrome *p = box->object;
  *p = (palindrome){arg[LENGTH].integer, arg[ONE_HOT].flag, random_generator(&arg[GENERATOR])};
  if (arg[GENERATOR].kind == SQ_ARG_GENERATOR) { /* the box keeps it alive */
    bind_push_argument(L, arg[GENERATOR].generator);
    lua_setiuservalue(L, -2, 1);
  }
  return 1;
}

static int palindrome_batch(lua_State *L, const sq_arg *arg) {
  enum { SELF, N };
  const palindrome *p = arg[SELF].object;
  sq_tensor **x = bind_new_tensor(L), **y = bind_new_tensor(L);
  BIND_TRY(L, sq_palindrome_batch(p->generator, p->length, arg[N].integer, p->one_hot, x, y));
  return 2;
}

/* A set that draws from the default generator has no state of its own. */
static int palindrome_state(lua_State *L, const sq_arg *arg) {
  (void)arg;
  lua_createtable(L, 0, 1);
  if (lua_getiuservalue(L, 1, 1) == LUA_TNIL) {
    lua_pop(L, 1);
    return 1;
  }
  lua_getfield(L, -1, "state_dict");
  lua_insert(L, -2);
  lua_call(L, 1, 1);
  lua_setfield(L, -2, "generator");
  return 1;
}

static int palindrome_load(lua_State *L, const sq_arg *arg) {
  enum { SELF, STATE_DICT };
  bool saved = lua_getfield(L, arg[STATE_DICT].stack, "generator") == LUA_TTABLE;
  bool own = lua_getiuservalue(L, 1, 1) != LUA_TNIL;
  if (saved != own)
    return bind_error(L, "[load_state_dict] the state is of a Palindrome %s a generator of its own",
                      saved ? "with" : "without");
  if (own) {
    lua_getfield(L, -1, "load_state_dict");
    lua_insert(L, -2);
    lua_pushvalue(L, -3);
    lua_call(L, 2, 0);
  }
  lua_settop(L, 1);
  return 1;
}

static const bind_fn methods[] = {
    {"batch", "(self: Palindrome, n: int) -> Tensor, Tensor",
     "n fresh palindromes: x (n,T-1,10) float32 one-hot (or (n,T-1,1) digits), y (n) int64, the "
     "last digit.",
     palindrome_batch},
    {"state_dict", "(self: Palindrome) -> table", "Where its generator stands, for a checkpoint.",
     palindrome_state},
    {"load_state_dict", "(self: Palindrome, state_dict: table) -> Palindrome",
     "Goes on from a state_dict.", palindrome_load},
    {0}};

static const bind_class palindrome_class = {
    .name = "Palindrome",
    .doc = "Random palindromes of T digits: T-1 go in, the last is asked for.",
    .methods = methods,
    .drop = drop_palindrome,
};

/* --- what data.lua does --------------------------------------------------------------------- */

static int in_lua(lua_State *L, const sq_arg *arg) { return part_call(L, "data", arg); }

static int in_lua_open(lua_State *L, const sq_arg *arg) {
  (void)arg;
  return part_call_open(L, "data");
}

#define PLACE "(root: string? = nil, split: \"train\"|\"test\" = train, range: numbers? = nil)"

static const bind_fn functions[] = {
    {"Palindrome", "(length: int, one_hot: bool = true, generator: Generator? = nil) -> Palindrome",
     "Random digit palindromes of that length.", new_palindrome},
    {"MNIST", PLACE " -> Dataset",
     "Handwritten digits: pictures (n,1,28,28) in `range` (0 to 1 if nil), labels 0 to 9. The "
     "files "
     "lie in mnist/ under root, else under $SEQRT_DATA, else under data/ beside the scripts.",
     in_lua},
    {"FashionMNIST", PLACE " -> Dataset", "Pictures of clothes, as MNIST; in fashion-mnist/ there.",
     in_lua},
    {"Digits", "(n: int = 60000, generator: Generator? = nil, range: numbers? = nil) -> Dataset",
     "n digits drawn from strokes, as MNIST: a set that needs no files.", in_lua},
    {"find", "(name: \"mnist\"|\"fashion-mnist\", root: string? = nil) -> any",
     "The folder that holds a set's files; nil and where it was looked for.", in_lua},
    {"TensorDataset", "(...: any? = nil) -> Dataset",
     "Tensors of one length: item i is {row i of each}.", in_lua_open},
    {"DataLoader",
     "(dataset: any, batch_size: int = 1, shuffle: bool = false, drop_last: bool = false, "
     "generator: Generator? = nil) -> DataLoader",
     "Batches of a dataset: for x, y in loader:epoch() do. Shuffled, the order is that of "
     "PyTorch's DataLoader with this generator.",
     in_lua},
    {0}};

void open_data(lua_State *L) {
  lua_newtable(L);
  bind_class_open(L, &palindrome_class);
  bind_functions(L, "sq.data", functions);
  part_open_table(L, "sq.data");
}

/* --- seqrt.dataset: what data.lua needs of C ------------------------------------------------ */

static sq_rng *generator_at(lua_State *L, int at) {
  return lua_isnoneornil(L, at) ? sq_rng_default() : bind_check(L, at, bind_generator_class);
}

/* digits(n, generator or nil) -> images, labels */
static int core_digits(lua_State *L) {
  sq_rng *g = generator_at(L, 2);
  sq_tensor **images = bind_new_tensor(L), **labels = bind_new_tensor(L);
  BIND_TRY(L, sq_digits_draw(g, luaL_checkinteger(L, 1), images, labels));
  bind_account(L);
  return 2;
}

static sq_status read_idx(const char *path, sq_tensor **out) {
  void *owned = NULL;
  sq_array array;
  SQ_TRY(sq_idx_load(path, &owned, &array));
  SQ_OWN sq_tensor *t = NULL;
  sq_dtype dtype = sq_wire_dtype(array.type);
  sq_status st = sq_tensor_new(dtype, array.ndim, array.shape, &t);
  if (st == SQ_OK) st = sq_array_read(&array, dtype, sq_data(t));
  sq_free(owned);
  SQ_TRY(st);
  *out = sq_tensor_give(&t);
  return SQ_OK;
}

/* idx(path) -> tensor */
static int core_idx(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, read_idx(path, slot));
  bind_account(L);
  return 1;
}

/* The order's numbers `first`.. as rows; without an order rows first, first + 1, ... */
static sq_rows rows_at(lua_State *L, int order, int64_t first, int64_t n) {
  sq_rows rows = {.n = n, .first = first};
  if (lua_isnoneornil(L, order)) return rows;
  const sq_tensor *t = bind_tensor(L, order);
  if (t->dtype != SQ_I64 || t->ndim != 1 || !sq_tensor_is_contiguous(t) || first < 0 || n < 0 ||
      first > t->numel - n)
    bind_error(L, "[batch] the order must be int64 (n), and hold what is asked for");
  rows.at = (const int64_t *)sq_data(t) + first;
  return rows;
}

/* batch(x, order or nil, first, n [, lo, hi]) -> tensor; first counts from 0 */
static int core_batch(lua_State *L) {
  sq_tensor *x = bind_tensor(L, 1);
  sq_rows rows = rows_at(L, 2, luaL_checkinteger(L, 3), luaL_checkinteger(L, 4));
  bool scaled = !lua_isnoneornil(L, 5);
  double lo = scaled ? luaL_checknumber(L, 5) : 0, hi = scaled ? luaL_checknumber(L, 6) : 0;
  sq_tensor **slot = bind_new_tensor(L);
  if (scaled) {
    BIND_TRY(L, sq_batch_scaled(x, rows, lo, hi, slot));
  } else {
    BIND_TRY(L, sq_batch(x, rows, slot));
  }
  bind_account(L);
  return 1;
}

/* draw(generator or nil) -> 63 bits: torch.empty((), dtype=torch.int64).random_() */
static int core_draw(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)(sq_rng_u64(generator_at(L, 1)) & INT64_MAX));
  return 1;
}

int luaopen_seqrt_dataset(lua_State *L) {
  static const luaL_Reg core[] = {{"digits", core_digits},
                                  {"idx", core_idx},
                                  {"batch", core_batch},
                                  {"draw", core_draw},
                                  {NULL, NULL}};
  luaL_newlib(L, core);
  return 1;
}
