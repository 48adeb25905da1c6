/* seqrt.c: the module's table: ops, tensors, the process-wide switches, and where the Lua parts are
 * found. */
#include <string.h>

#include "autograd/op.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "bind/api.h"
#include "bind/part.h"
#include "bind/parts.h"
#include "bind/registry.h"
#include "kernels/blas.h"
#include "module/open.h"
#include "module/process.h"
#include "module/sys.h"
#include "seqrt.h"

/* --- switches ------------------------------------------------------------------------------- */

static int is_tensor(lua_State *L, const sq_arg *arg) {
  lua_pushboolean(L, bind_test(L, arg[0].stack, bind_tensor_class) != NULL);
  return 1;
}

static void set_count_field(lua_State *L, const char *key, int64_t n) {
  lua_pushinteger(L, n);
  lua_setfield(L, -2, key);
}

static int memory_stats(lua_State *L, const sq_arg *arg) {
  (void)arg;
  sq_mem_stats s;
  sq_mem_get_stats(&s);
  lua_createtable(L, 0, 6);
  set_count_field(L, "live_bytes", s.live_bytes);
  set_count_field(L, "live_blocks", s.live_blocks);
  set_count_field(L, "peak_bytes", s.peak_bytes);
  set_count_field(L, "cached_bytes", s.cached_bytes);
  set_count_field(L, "limit_bytes", s.limit_bytes);
  set_count_field(L, "total_blocks", s.total_blocks);
  set_count_field(L, "total_bytes", s.total_bytes);
  set_count_field(L, "system_calls", s.system_calls);
  return 1;
}

static int reset_peak_memory_stats(lua_State *L, const sq_arg *arg) {
  (void)L, (void)arg;
  sq_mem_reset_peak();
  return 0;
}

static int set_memory_limit(lua_State *L, const sq_arg *arg) {
  if (arg[0].integer < 0)
    return bind_error(L, "[set_memory_limit] bytes is negative: 0 restores the default");
  sq_mem_set_limit(arg[0].integer);
  return 0;
}

static int set_num_threads(lua_State *L, const sq_arg *arg) {
  BIND_TRY(L, sq_fail_in(sq_set_threads(arg[0].integer), "[set_num_threads] "));
  return 0;
}

static int get_num_threads(lua_State *L, const sq_arg *arg) {
  (void)arg;
  lua_pushinteger(L, sq_threads());
  return 1;
}

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

static int info(lua_State *L, const sq_arg *arg) {
  (void)arg;
  sq_isa isa;
  BIND_TRY(L, sq_isa_select(&isa));
  lua_createtable(L, 0, 8);
  bind_set_string(L, "version", SQ_VERSION);
  bind_set_string(L, "lua", LUA_RELEASE);
  bind_set_string(L, "compiler", COMPILER);
  bind_set_string(L, "isa", sq_isa_name(isa));
  bind_set_string(L, "cpu", sq_cpu_name());
  bind_set_string(L, "blas", sq_blas_name());
  bind_set_string(L, "products", sq_gemm_engine());
  set_count_field(L, "threads", sq_threads());
  return 1;
}

/* For tests: lets n allocations through, then fails `count` (-1: all); n < 0 turns it off. */
static int fail_allocations(lua_State *L, const sq_arg *arg) {
  enum { AFTER, COUNT };
  (void)L;
  sq_mem_fail_after(arg[AFTER].integer, arg[COUNT].integer);
  return 0;
}

static const bind_fn functions[] = {
    {"is_tensor", "(value: any) -> bool", "True for a Tensor.", is_tensor},
    {"memory_stats", "() -> table",
     "live_bytes, live_blocks, peak_bytes, cached_bytes, limit_bytes, total_blocks, total_bytes "
     "and system_calls (that map large blocks or give them back) of the runtime's memory.",
     memory_stats},
    {"reset_peak_memory_stats", "()", "From now on peak_bytes is the most that lives from now on.",
     reset_peak_memory_stats},
    {"set_memory_limit", "(bytes: int)",
     "The most bytes that tensors may take; 0: 80 % of what the machine or its cgroup has.",
     set_memory_limit},
    {"set_num_threads", "(n: int)", "How many threads kernels use; results do not depend on it.",
     set_num_threads},
    {"get_num_threads", "() -> int", "How many threads kernels use.", get_num_threads},
    {"info", "() -> table",
     "version, lua, compiler, isa, cpu, threads, and who has multiplied so far: products, blas.",
     info},
    {"fail_allocations", "(after: int, count: int = 1)",
     "For tests: lets `after` allocations through, then fails `count` (-1: all); after = -1 ends "
     "it.",
     fail_allocations},
    {NULL, NULL, NULL, NULL}};

/* --- ops ------------------------------------------------------------------------------------ */

/* Every op is a function; one on a tensor is a method too, and name_ where it can work in place. */
static void open_ops(lua_State *L) {
  for (int i = 0; i < SQ_OPS; i++) {
    const sq_op *op = sq_op_at((sq_op_id)i);
    if (sq_op_is_hidden(op)) continue;
    bind_push_op(L, i, false, 0);
    if (sq_op_is_method(op)) {
      lua_pushvalue(L, -1);
      bind_class_add(L, bind_tensor_class, op->name);
    }
    lua_setfield(L, -2, op->name);
    if (!sq_op_has_inplace(op)) continue;
    bind_push_op(L, i, true, 0);
    lua_pushvalue(L, -1);
    bind_class_add(L, bind_tensor_class, registry_inplace_name(i));
    lua_setfield(L, -2, registry_inplace_name(i));
  }
}

static void open_operators(lua_State *L) {
  static const struct {
    const char *event;
    int op, operands;
  } rows[] = {{"__add", SQ_OP_add, 2},
              {"__sub", SQ_OP_sub, 2},
              {"__mul", SQ_OP_mul, 2},
              {"__div", SQ_OP_div, 2},
              {"__pow", SQ_OP_pow, 2},
              {"__unm", SQ_OP_neg, 1},
              {"__idiv", SQ_OP_floor_divide, 2},
              {"__mod", SQ_OP_remainder, 2},
              {"__band", SQ_OP_bitwise_and, 2},
              {"__bor", SQ_OP_bitwise_or, 2},
              {"__bxor", SQ_OP_bitwise_xor, 2},
              {"__bnot", SQ_OP_bitwise_not, 1},
              {"__shl", SQ_OP_bitwise_left_shift, 2},
              {"__shr", SQ_OP_bitwise_right_shift, 2}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    bind_push_op(L, rows[i].op, false, rows[i].operands);
    bind_class_add(L, bind_tensor_class, rows[i].event);
  }
}

static void open_dtypes(lua_State *L) {
  for (int i = 0; i < SQ_DTYPES; i++) {
    lua_pushstring(L, sq_dtype_name((sq_dtype)i));
    lua_setfield(L, -2, sq_dtype_name((sq_dtype)i));
  }
}

/* --- Lua parts ------------------------------------------------------------------------------ */

/* The loader of a part. Upvalue: its row. */
static int load_part(lua_State *L) {
  const part_file *part = lua_touserdata(L, lua_upvalueindex(1));
  const char *chunk = lua_pushfstring(L, "=seqrt:%s", part->name);
  if (luaL_loadbufferx(L, part->text, part->size, chunk, "t") != LUA_OK) return lua_error(L);
  bind_push_environment(L);
  lua_setupvalue(L, -2, 1);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* Modules in C that the parts require. */
static const luaL_Reg modules[] = {{"seqrt.sys", luaopen_seqrt_sys},
                                   {"seqrt.process", luaopen_seqrt_process},
                                   {"seqrt.layer", luaopen_seqrt_layer},
                                   {"seqrt.optimizer", luaopen_seqrt_optimizer},
                                   {"seqrt.dataset", luaopen_seqrt_dataset},
                                   {"seqrt.store", luaopen_seqrt_store},
                                   {"seqrt.recorder", luaopen_seqrt_recorder},
                                   {"seqrt.api", luaopen_seqrt_api},
                                   {NULL, NULL}};

static void open_parts(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (const part_file *part = part_files; part->name; part++) {
    lua_pushfstring(L, "seqrt.%s", part->name);
    lua_pushlightuserdata(L, (void *)(uintptr_t)part);
    lua_pushcclosure(L, load_part, 1);
    lua_settable(L, -3);
  }
  luaL_setfuncs(L, modules, 0);
  lua_pop(L, 1);
}

/* --- the module ----------------------------------------------------------------------------- */

/* Those that add to the module's table, which is on the stack's top. A new file's opener goes
 * here. */
static void (*const openers[])(lua_State *L) = {open_tensor,    open_make,  open_random,
                                                open_autograd,  open_files, open_ops,
                                                open_operators, open_dtypes};

/* Sub-tables `sq.<name>`: each opener leaves its table. */
static const struct {
  const char *name;
  void (*opener)(lua_State *L);
} tables[] = {{"nn", open_nn},       {"optim", open_optim}, {"data", open_data},
              {"image", open_image}, {"npy", open_npy},     {"plot", open_plot}};

static void open_tables(lua_State *L) {
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    tables[i].opener(L);
    lua_setfield(L, -2, tables[i].name);
  }
}

/* sq.fs and sq.clock. */
static void open_sys(lua_State *L) {
  luaL_requiref(L, "seqrt.sys", luaopen_seqrt_sys, 0);
  lua_getfield(L, -1, "fs");
  lua_setfield(L, -3, "fs");
  lua_getfield(L, -1, "clock");
  lua_setfield(L, -3, "clock");
  lua_pop(L, 1);
}

int __attribute__((visibility("default"))) luaopen_seqrt(lua_State *L) {
  luaL_checkversion(L);
  lua_gc(L, LUA_GCGEN, 0, 0); /* see bind_account */
  BIND_TRY(L, sq_init());
  bind_note_lines();
  lua_createtable(L, 0, 256);
  open_parts(L);
  for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) openers[i](L);
  bind_functions(L, "sq", functions);
  open_tables(L);
  open_sys(L);
  bind_set_string(L, "_VERSION", SQ_VERSION);
  part_open_table(L, "sq");
  return 1;
}
