/* random.c: the class Generator, the default one, and draws into tensors. */
#include <inttypes.h>
#include <lualib.h>
#include <string.h>

#include "autograd/tape.h"
#include "base/mem.h"
#include "module/open.h"

/* PyTorch's seed where none is given. */
#define DEFAULT_SEED 67280421310721u

sq_rng *random_generator(const sq_arg *arg) {
  return arg && arg->kind == SQ_ARG_GENERATOR ? arg->generator : sq_rng_default();
}

/* --- draws ---------------------------------------------------------------------------------- */

sq_status random_draw(const char *what, sq_tensor *t, sq_law law, sq_number a, sq_number b,
                      sq_rng *rng) {
  if (sq_grad_enabled() && sq_requires_grad(t)) {
    return sq_fail(SQ_ESTATE,
                   "[%s] x requires a gradient: drawing into it would break its graph; do it under "
                   "sq.no_grad()",
                   what);
  }
  return sq_tensor_draw(what, t, law, a, b, rng);
}

/* --- the class ------------------------------------------------------------------------------ */

static int generator_manual_seed(lua_State *L, const sq_arg *arg) {
  enum { SELF, SEED };
  sq_rng_seed(arg[SELF].generator, (uint64_t)arg[SEED].integer);
  return bind_give_self(L);
}

static int generator_initial_seed(lua_State *L, const sq_arg *arg) {
  lua_pushinteger(L, (lua_Integer)arg[0].generator->seed);
  return 1;
}

static void push_state(lua_State *L, const sq_rng *rng) {
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_tensor_new(SQ_U8, 1, (int64_t[]){SQ_RNG_BYTES}, slot));
  sq_rng_save(rng, sq_data(*slot));
}

static sq_status load_state(sq_rng *rng, sq_tensor *state) {
  if (state->dtype != SQ_U8 || state->numel != SQ_RNG_BYTES)
    return sq_fail(SQ_EARG, "[set_state] state is %s %s: a generator's is uint8 (%d)",
                   sq_dtype_name(state->dtype), sq_tensor_shape_text(state, SQ_SHAPE_BUF),
                   (int)SQ_RNG_BYTES);
  SQ_OWN sq_tensor *flat = NULL;
  SQ_TRY(sq_tensor_contiguous(state, &flat));
  return sq_rng_load(rng, sq_data(flat));
}

static int generator_get_state(lua_State *L, const sq_arg *arg) {
  push_state(L, arg[0].generator);
  return 1;
}

static int generator_set_state(lua_State *L, const sq_arg *arg) {
  enum { SELF, STATE };
  BIND_TRY(L, load_state(arg[SELF].generator, arg[STATE].tensor));
  return bind_give_self(L);
}

static int generator_state_dict(lua_State *L, const sq_arg *arg) {
  lua_createtable(L, 0, 1);
  push_state(L, arg[0].generator);
  lua_setfield(L, -2, "state");
  return 1;
}

static int generator_load_state_dict(lua_State *L, const sq_arg *arg) {
  enum { SELF, STATE_DICT };
  lua_getfield(L, arg[STATE_DICT].stack, "state");
  bind_box *box = bind_test(L, -1, bind_tensor_class);
  if (!box || !box->tensor)
    return bind_error(L, "[load_state_dict] state_dict.state: expected a Tensor");
  BIND_TRY(L, load_state(arg[SELF].generator, box->tensor));
  return bind_give_self(L);
}

static sq_rng *push_generator(lua_State *L) {
  bind_box *box = bind_new(L, bind_generator_class, 0);
  void *block;
  BIND_TRY(L, sq_alloc(sizeof(sq_rng), &block));
  box->object = block;
  return block;
}

static int generator_clone(lua_State *L, const sq_arg *arg) {
  sq_rng *copy = push_generator(L);
  *copy = *arg[0].generator;
  return 1;
}

static void drop_generator(void *object) {
  if (object != sq_rng_default()) sq_free(object);
}

static int generator_tostring(lua_State *L) {
  bind_box *box = bind_test(L, 1, bind_generator_class);
  if (!box || !box->object) {
    lua_pushliteral(L, "Generator (closed)");
  } else {
    const sq_rng *rng = box->object;
    lua_pushfstring(L, "Generator (seed %I)", (lua_Integer)rng->seed);
  }
  return 1;
}

static const bind_fn methods[] = {
    {"manual_seed", "(self: Generator, seed: int) -> Generator", "Starts the stream of that seed.",
     generator_manual_seed},
    {"initial_seed", "(self: Generator) -> int", "The seed it was started with.",
     generator_initial_seed},
    {"get_state", "(self: Generator) -> Tensor", "Its state as a uint8 tensor.",
     generator_get_state},
    {"set_state", "(self: Generator, state: Tensor) -> Generator", "Goes on from such a state.",
     generator_set_state},
    {"state_dict", "(self: Generator) -> table", "{state = uint8 tensor}, for a checkpoint.",
     generator_state_dict},
    {"load_state_dict", "(self: Generator, state_dict: table) -> Generator",
     "Goes on from a state_dict.", generator_load_state_dict},
    {"clone", "(self: Generator) -> Generator", "Another one in the same state.", generator_clone},
    {NULL, NULL, NULL, NULL}};

static const luaL_Reg meta[] = {{"__tostring", generator_tostring}, {NULL, NULL}};

static const bind_class generator_class = {
    .name = "Generator",
    .doc = "A source of random numbers: mt19937, drawing as PyTorch's CPU generator.",
    .methods = methods,
    .meta = meta,
    .drop = drop_generator};

/* --- functions ------------------------------------------------------------------------------ */

static int make_generator(lua_State *L, const sq_arg *arg) {
  sq_rng *rng = push_generator(L);
  sq_rng_seed(rng, arg[0].kind == SQ_ARG_NIL ? DEFAULT_SEED : (uint64_t)arg[0].integer);
  return 1;
}

static const char default_key;

/* Lua's own generator: its state can't be read, but a seed can be given. */
static void seed_math_random(lua_State *L, lua_Integer seed) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, LUA_MATHLIBNAME) != LUA_TTABLE) return;
  if (lua_getfield(L, -1, "randomseed") != LUA_TFUNCTION) return;
  lua_pushinteger(L, seed);
  lua_call(L, 1, 0);
}

static int manual_seed(lua_State *L, const sq_arg *arg) {
  sq_rng_seed(sq_rng_default(), (uint64_t)arg[0].integer);
  seed_math_random(L, arg[0].integer);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &default_key);
  return 1;
}

/* As math.random: () a float in [0, 1), (n) an integer of 1..n, (m, n) of m..n, (0) of all. */
static int random_number(lua_State *L, const sq_arg *arg) {
  enum { M, N, GENERATOR };
  sq_rng *rng = random_generator(&arg[GENERATOR]);
  bool one = arg[N].kind == SQ_ARG_NIL;
  if (arg[M].kind == SQ_ARG_NIL && !one) return bind_error(L, "[random] n is given, m is nil");
  if (arg[M].kind == SQ_ARG_NIL) {
    double x;
    sq_rng_uniform(rng, SQ_F64, 1, 0, 1, &x);
    lua_pushnumber(L, x);
    return 1;
  }
  bool all = one && arg[M].integer == 0;
  int64_t lo = all ? INT64_MIN : one ? 1 : arg[M].integer;
  int64_t hi = all ? INT64_MAX : one ? arg[M].integer : arg[N].integer;
  if (lo > hi)
    return bind_error(L, "[random] there is no integer from %" PRId64 " to %" PRId64, lo, hi);
  lua_pushinteger(L, sq_rng_between(rng, lo, hi));
  return 1;
}

static const bind_fn functions[] = {
    {"Generator", "(seed: int? = nil) -> Generator", "A new generator, PyTorch's default seed.",
     make_generator},
    {"manual_seed", "(seed: int) -> Generator",
     "Seeds the default generator and returns it; seeds Lua's math.random too, whose state no "
     "checkpoint can hold: a run that is to be resumed draws by sq.random.",
     manual_seed},
    {"random", "(m: int? = nil, n: int? = nil, generator: Generator? = nil) -> number",
     "A number as math.random gives it: random() a float in [0, 1), random(n) an integer of 1 to "
     "n, "
     "random(m, n) of m to n. It draws from the default generator, which is in every checkpoint: "
     "use it in place of math.random.",
     random_number},
    {NULL, NULL, NULL, NULL}};

void open_random(lua_State *L) {
  bind_generator_class = &generator_class;
  bind_class_open(L, bind_generator_class);
  bind_functions(L, "sq", functions);
  bind_new(L, bind_generator_class, 0)->object = sq_rng_default();
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &default_key);
  lua_setfield(L, -2, "default_generator");
}
