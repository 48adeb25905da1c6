/* data.c: datasets that C makes. */
#include "base/mem.h"
#include "bind.h"
#include "datasets/palindrome.h"
#include "open.h"

/* A Palindrome: its length, and the generator (user value 1, nil for the default one). */
typedef struct palindrome {
  int64_t length;
  bool one_hot;
  sq_rng *generator;
} palindrome;

static const bind_class palindrome_class;

static void drop_palindrome(void *object) { sq_free(object); }

static int new_palindrome(lua_State *L, const sq_arg *arg) {
  if (arg[0].integer < 2) {
    return bind_error(L,
                      "[Palindrome] length is %lld: a palindrome to complete has at least 2 digits",
                      (long long)arg[0].integer);
  }
  bind_box *box = bind_new(L, &palindrome_class, 1);
  BIND_TRY(L, sq_alloc_zero(sizeof(palindrome), &box->object));
  palindrome *p = box->object;
  *p = (palindrome){arg[0].integer, arg[1].flag, bind_rng(&arg[2])};
  if (arg[2].kind == SQ_ARG_GENERATOR) { /* the box keeps it alive */
    bind_push_argument(L, arg[2].generator);
    lua_setiuservalue(L, -2, 1);
  }
  return 1;
}

static int batch(lua_State *L, const sq_arg *arg) {
  const palindrome *p = arg[0].object;
  sq_tensor **x = bind_new_tensor(L), **y = bind_new_tensor(L);
  BIND_TRY(L, sq_palindrome_batch(p->generator, p->length, arg[1].integer, p->one_hot, x, y));
  return 2;
}

static const bind_fn methods[] = {{"batch", "(self: Palindrome, n: int) -> Tensor, Tensor",
                                   "n fresh palindromes: x (n,T-1,10) float32 one-hot (or "
                                   "(n,T-1,1) digits), y (n) int64, the last digit.",
                                   batch},
                                  {0}};

static const bind_class palindrome_class = {
    .name = "Palindrome",
    .doc = "Random palindromes of T digits: T-1 go in, the last is asked for.",
    .methods = methods,
    .drop = drop_palindrome,
};

static const bind_fn functions[] = {
    {"Palindrome", "(length: int, one_hot: bool = true, generator: Generator? = nil) -> Palindrome",
     "Random digit palindromes of that length.", new_palindrome},
    {0}};

void open_data(lua_State *L) {
  lua_newtable(L);
  bind_class_open(L, &palindrome_class);
  bind_functions(L, "sq.data", functions);
  bind_lazy(L, "data", NULL);
}
