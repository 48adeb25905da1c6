/* args.c: arguments by signature: by position, optional ones in a trailing table, or all in one
 * table by name. Positions and dims are turned from 1-based to 0-based here and nowhere else. */
#include "bind/args.h"

#include <math.h>
#include <string.h>

/* --- errors --------------------------------------------------------------------------------- */

/* "it is called as sum(x: Tensor, ...) -> Tensor", pushed. */
static const char *usage_text(const bind_args *a) {
  return lua_pushfstring(a->L, "it is called as %s%s", a->name, a->sig->text);
}

static int wrong_kind(const bind_args *a, int p, int at, const char *expected) {
  const char *got = bind_describe(a->L, at);
  return bind_error(a->L, "[%s] %s: expected %s, got %s; %s", a->name, a->sig->param[p].name,
                    expected, got, usage_text(a));
}

/* --- memory for lists ----------------------------------------------------------------------- */

static void *list_room(bind_args *a, int64_t n) {
  if (n <= SQ_FEW_WORDS - a->used) {
    void *at = a->few + a->used;
    a->used += (int)n;
    return at;
  }
  luaL_checkstack(a->L, 1, NULL);
  return lua_newuserdatauv(a->L, (size_t)n * sizeof(int64_t), 0);
}

/* --- numbers -------------------------------------------------------------------------------- */

int64_t bind_args_int(lua_State *L, int at, const char *op, const char *what) {
  int whole;
  lua_Integer n = lua_tointegerx(L, at, &whole);
  if (whole && lua_type(L, at) == LUA_TNUMBER) return n;
  if (lua_type(L, at) != LUA_TNUMBER) {
    const char *got = bind_describe(L, at);
    bind_error(L, "[%s] %s: expected a whole number, got %s", op, what, got);
  }
  lua_Number x = lua_tonumber(L, at);
  if (x == floor(x)) bind_error(L, "[%s] %s is %.14g: that is out of range", op, what, x);
  if (isnan(x)) bind_error(L, "[%s] %s is nan: it must be a whole number", op, what);
  return bind_error(L, "[%s] %s is %.14g: it must be a whole number", op, what, x);
}

/* A position that a script counts from 1, or from -1 at the end. */
static int64_t position_at(const bind_args *a, int at, const char *what) {
  int64_t n = bind_args_int(a->L, at, a->name, what);
  if (n == 0) {
    bind_error(a->L, "[%s] %s is 0: positions count from 1 (or from -1, at the end)", a->name,
               what);
  }
  return n > 0 ? n - 1 : n;
}

/* True for an int64 tensor without dims, which holds a position that counts from 0. */
static bool is_index(lua_State *L, int at) {
  const bind_box *box = bind_test(L, at, bind_tensor_class);
  return box && box->tensor && box->tensor->ndim == 0 && box->tensor->dtype == SQ_I64;
}

static sq_number number_at(const bind_args *a, int p, int at) {
  if (lua_type(a->L, at) != LUA_TNUMBER) {
    bool one = bind_test(a->L, at, bind_tensor_class) != NULL;
    wrong_kind(a, p, at, one ? "a number (a Tensor's is x:item())" : "a number");
  }
  return bind_number(a->L, at);
}

/* --- lists ---------------------------------------------------------------------------------- */

static int64_t int_at(const bind_args *a, int at, const sq_param *p) {
  bool counts_from_1 = p->kind == SQ_ARG_DIMS;
  return counts_from_1 ? position_at(a, at, p->name) : bind_args_int(a->L, at, a->name, p->name);
}

/* The integers of a list, or of `count` arguments. */
static void read_ints(bind_args *a, int p, int at, int count) {
  const sq_param *param = &a->sig->param[p];
  lua_State *L = a->L;
  bool list = lua_type(L, at) == LUA_TTABLE;
  if (!list && lua_type(L, at) != LUA_TNUMBER)
    wrong_kind(a, p, at, param->kind == SQ_ARG_SHAPE ? "sizes" : "a whole number or a list");
  lua_Unsigned n = list ? lua_rawlen(L, at) : (lua_Unsigned)count;
  if (n > 1 << 24) bind_error(L, "[%s] %s: the list is too long", a->name, param->name);
  int64_t *v = list_room(a, (int64_t)n);
  for (lua_Unsigned i = 0; i < n; i++) {
    if (list) {
      lua_rawgeti(L, at, (lua_Integer)i + 1);
      v[i] = int_at(a, lua_gettop(L), param);
      lua_pop(L, 1);
    } else {
      v[i] = int_at(a, at + (int)i, param);
    }
  }
  a->arg[p].kind = param->kind;
  a->arg[p].ints.n = (int)n;
  a->arg[p].ints.list = list;
  a->arg[p].ints.v = v;
}

static void read_pair(bind_args *a, int p, int at, int count) {
  read_ints(a, p, at, count);
  sq_arg *arg = &a->arg[p];
  if (arg->ints.n == 2) return;
  if (arg->ints.n != 1) {
    bind_error(a->L, "[%s] %s: expected one number or two, got %d", a->name, a->sig->param[p].name,
               arg->ints.n);
  }
  int64_t *v = list_room(a, 2);
  v[0] = v[1] = arg->ints.v[0];
  arg->ints.n = 2;
  arg->ints.v = v;
}

/* A number, or a list of one. */
static void read_lone(bind_args *a, int p, int at) {
  read_ints(a, p, at, 1);
  sq_arg *arg = &a->arg[p];
  if (arg->ints.n != 1) {
    bind_error(a->L, "[%s] %s: expected one number, got %d", a->name, a->sig->param[p].name,
               arg->ints.n);
  }
  *arg = SQ_I(arg->ints.v[0]);
}

static void read_numbers(bind_args *a, int p, int at, int count) {
  lua_State *L = a->L;
  bool list = lua_type(L, at) == LUA_TTABLE;
  if (!list) number_at(a, p, at);
  lua_Unsigned n = list ? lua_rawlen(L, at) : (lua_Unsigned)count;
  if (n > 1 << 24) bind_error(L, "[%s] %s: the list is too long", a->name, a->sig->param[p].name);
  double *v = list_room(a, (int64_t)n);
  for (lua_Unsigned i = 0; i < n; i++) {
    if (list) {
      lua_rawgeti(L, at, (lua_Integer)i + 1);
      v[i] = number_at(a, p, lua_gettop(L)).real;
      lua_pop(L, 1);
    } else {
      v[i] = number_at(a, p, at + (int)i).real;
    }
  }
  a->arg[p].kind = SQ_ARG_NUMBERS;
  a->arg[p].numbers.n = (int)n;
  a->arg[p].numbers.v = v;
}

/* --- tensors and other objects -------------------------------------------------------------- */

static sq_tensor *tensor_at(const bind_args *a, int p, int at, const char *expected) {
  bind_box *box = bind_test(a->L, at, bind_tensor_class);
  if (!box) wrong_kind(a, p, at, expected);
  if (!box->tensor)
    bind_error(a->L, "[%s] %s: this Tensor was closed", a->name, a->sig->param[p].name);
  return box->tensor;
}

/* A list of Tensors, or `count` arguments: one stands for a list of one. */
static void read_tensors(bind_args *a, int p, int at, int count) {
  lua_State *L = a->L;
  a->arg[p].kind = SQ_ARG_TENSORS;
  if (count > 1 || bind_test(L, at, bind_tensor_class)) {
    sq_tensor **some = list_room(a, count);
    for (int i = 0; i < count; i++) some[i] = tensor_at(a, p, at + i, "a list of Tensors");
    a->arg[p].tensors.n = count;
    a->arg[p].tensors.v = some;
    return;
  }
  if (lua_type(L, at) != LUA_TTABLE) wrong_kind(a, p, at, "a list of Tensors");
  lua_Unsigned n = lua_rawlen(L, at);
  if (n > 1 << 24) bind_error(L, "[%s] %s: the list is too long", a->name, a->sig->param[p].name);
  sq_tensor **v = list_room(a, (int64_t)n);
  for (lua_Unsigned i = 0; i < n; i++) {
    lua_rawgeti(L, at, (lua_Integer)i + 1);
    v[i] = tensor_at(a, p, lua_gettop(L), "a list of Tensors");
    lua_pop(L, 1); /* the list holds it */
  }
  a->arg[p].tensors.n = (int)n;
  a->arg[p].tensors.v = v;
}

static bool field_is(lua_State *L, int at, const char *field, const char *text) {
  if (luaL_getmetafield(L, at, field) == LUA_TNIL) return false;
  const char *value = lua_tostring(L, -1);
  bool same = value && strcmp(value, text) == 0;
  lua_pop(L, 1);
  return same;
}

/* True for a table whose metatable says that it is of that class, or based on it. */
static bool is_lua_object(lua_State *L, int at, const char *type) {
  return lua_type(L, at) == LUA_TTABLE &&
         (field_is(L, at, "__name", type) || field_is(L, at, "__base", type));
}

static void *object_at(const bind_args *a, int p, int at, const char *type) {
  bind_box *box = bind_box_at(a->L, at);
  bool fits = false;
  for (const bind_class *c = box ? box->class : NULL; c && !fits; c = c->base)
    fits = strcmp(c->name, type) == 0;
  if (!fits) {
    const char *expected = lua_pushfstring(a->L, "a %s", type);
    wrong_kind(a, p, at, expected);
  }
  if (!box->object)
    bind_error(a->L, "[%s] %s: this %s was closed", a->name, a->sig->param[p].name, type);
  return box->object;
}

/* --- strings -------------------------------------------------------------------------------- */

static const char *string_at(const bind_args *a, int p, int at, const char *expected) {
  if (lua_type(a->L, at) != LUA_TSTRING) wrong_kind(a, p, at, expected);
  return lua_tostring(a->L, at);
}

static sq_dtype dtype_at(const bind_args *a, int p, int at) {
  sq_dtype found;
  const char *name = string_at(a, p, at, "a dtype, as \"float32\"");
  if (sq_dtype_parse(name, &found) != SQ_OK)
    bind_error(a->L, "[%s] %s: %s", a->name, a->sig->param[p].name, sq_error_text());
  return found;
}

/* Numbers as they are, "valid" as 0, "same" as itself. */
static void read_padding(bind_args *a, int p, int at, int count) {
  bool lone = a->sig->param[p].kind == SQ_ARG_LONE_PADDING;
  if (lua_type(a->L, at) != LUA_TSTRING) {
    if (lone) {
      read_lone(a, p, at);
    } else {
      read_pair(a, p, at, count);
      a->arg[p].kind = SQ_ARG_PAIR;
    }
    return;
  }
  static const int64_t none[2] = {0, 0};
  const char *given = lua_tostring(a->L, at);
  if (strcmp(given, "same") == 0) {
    a->arg[p] = SQ_S("same");
  } else if (strcmp(given, "valid") == 0) {
    a->arg[p] = lone ? SQ_I(0) : (sq_arg){.kind = SQ_ARG_PAIR, .ints = {2, none}};
  } else {
    bind_error(a->L, "[%s] %s is \"%s\": it must be numbers, \"same\" or \"valid\"", a->name,
               a->sig->param[p].name, given);
  }
}

/* --- one argument --------------------------------------------------------------------------- */

static bool is_callable(lua_State *L, int at) {
  if (lua_type(L, at) == LUA_TFUNCTION) return true;
  if (luaL_getmetafield(L, at, "__call") == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

/* Kinds that stay on Lua's stack. */
static void read_value(bind_args *a, int p, int at) {
  sq_arg_kind kind = a->sig->param[p].kind;
  if (kind == SQ_ARG_FUNCTION && !is_callable(a->L, at)) wrong_kind(a, p, at, "a function");
  if (kind == SQ_ARG_TABLE && lua_type(a->L, at) != LUA_TTABLE) wrong_kind(a, p, at, "a table");
  a->arg[p].kind = kind;
  a->arg[p].stack = at;
}

static void read_operand(bind_args *a, int p, int at) {
  if (lua_type(a->L, at) == LUA_TNUMBER) {
    a->arg[p].kind = SQ_ARG_NUMBER;
    a->arg[p].value = bind_number(a->L, at);
  } else {
    a->arg[p].kind = SQ_ARG_TENSOR;
    a->arg[p].tensor = tensor_at(a, p, at, "a Tensor or a number");
  }
}

static void read_parameter(bind_args *a, int p) {
  const sq_param *param = &a->sig->param[p];
  sq_arg *arg = &a->arg[p];
  int at = a->place[p];
  arg->kind = param->kind;
  switch (param->kind) {
    case SQ_ARG_TENSOR:
      arg->tensor = tensor_at(a, p, at, "a Tensor");
      break;
    case SQ_ARG_OPERAND:
      read_operand(a, p, at);
      break;
    case SQ_ARG_TENSORS:
      read_tensors(a, p, at, a->count[p]);
      break;
    case SQ_ARG_NUMBER:
      arg->value = number_at(a, p, at);
      break;
    case SQ_ARG_INT:
      arg->integer = bind_args_int(a->L, at, a->name, param->name);
      break;
    case SQ_ARG_POSITION:
      if (is_index(a->L, at)) {
        arg->integer = sq_tensor_get_int(bind_tensor(a->L, at), 0);
        break;
      }
      /* fall through */
    case SQ_ARG_DIM:
      arg->integer = position_at(a, at, param->name);
      break;
    case SQ_ARG_BOOL:
      if (lua_type(a->L, at) != LUA_TBOOLEAN) wrong_kind(a, p, at, "true or false");
      arg->flag = lua_toboolean(a->L, at);
      break;
    case SQ_ARG_STRING:
      arg->string = string_at(a, p, at, "a string");
      break;
    case SQ_ARG_CHOICE:
      arg->string = string_at(a, p, at, param->type);
      arg->kind = SQ_ARG_STRING;
      break;
    case SQ_ARG_DTYPE:
      arg->dtype = dtype_at(a, p, at);
      break;
    case SQ_ARG_GENERATOR:
      arg->generator = object_at(a, p, at, "Generator");
      break;
    case SQ_ARG_OBJECT:
      if (a->in_lua && is_lua_object(a->L, at, param->type)) {
        arg->kind = SQ_ARG_ANY;
        arg->stack = at;
      } else {
        arg->object = object_at(a, p, at, param->type);
      }
      break;
    case SQ_ARG_LONE:
      read_lone(a, p, at);
      break;
    case SQ_ARG_PADDING:
    case SQ_ARG_LONE_PADDING:
      read_padding(a, p, at, a->count[p]);
      break;
    case SQ_ARG_PAIR:
      read_pair(a, p, at, a->count[p]);
      break;
    case SQ_ARG_DIMS:
    case SQ_ARG_SHAPE:
    case SQ_ARG_INTS:
      read_ints(a, p, at, a->count[p]);
      break;
    case SQ_ARG_NUMBERS:
      read_numbers(a, p, at, a->count[p]);
      break;
    case SQ_ARG_NIL:
    case SQ_ARG_FUNCTION:
    case SQ_ARG_TABLE:
    case SQ_ARG_ANY:
      read_value(a, p, at);
      break;
  }
}

/* --- which argument goes where ----------------------------------------------------------------
 * Each argument of a call is given to a parameter before any is read: place[p] is the stack index
 * where parameter p's value stands, count[p] how many values from there on belong to it.
 *
 * Without a table at the end it is simple: arguments fill the parameters from the left. Two things
 * bend that. Numbers in a row may be one list (x:view(2, 3)), and a list that stands where a number
 * with a default is expected skips it (randint(10, {2, 3}) leaves out low).
 *
 * A table at the end may be a value, options by name, or both. use_of_table says which, by the
 * parameter whose turn it is:
 *   - it has a metatable, so it is somebody's object: a value;
 *   - no parameter is left, or one that no table can be (a number, a Tensor): options;
 *   - a list: items 1..n are the list, names are options, and x:sum{1, keepdim = true} has both;
 *     an empty table is an empty list, or no argument where the list may be left out;
 *   - one that takes any table: a value, but for the two cases where only names of parameters
 *     stand in it: the call gives all by name ({fn = f}), or a last free value is left out.
 * Names are checked against the signature before anything is placed, and giving a parameter by
 * position and by name is an error. */

static bool is_list(sq_arg_kind kind) {
  return kind == SQ_ARG_DIMS || kind == SQ_ARG_SHAPE || kind == SQ_ARG_INTS ||
         kind == SQ_ARG_NUMBERS || kind == SQ_ARG_PAIR || kind == SQ_ARG_TENSORS ||
         kind == SQ_ARG_LONE || kind == SQ_ARG_PADDING || kind == SQ_ARG_LONE_PADDING;
}

/* A last parameter called "..." takes all that is left, of any type. */
static bool is_open(const bind_args *a, int p) { return a->sig->param[p].name[0] == '.'; }

/* True when the argument is one of several that may all belong to parameter p: the numbers of
 * x:view(2, 3), the Tensors of einsum("ij,jk", a, b). */
static bool is_one_of_many(const bind_args *a, int p, int at) {
  sq_arg_kind kind = a->sig->param[p].kind;
  bool number = lua_type(a->L, at) == LUA_TNUMBER;
  if (kind == SQ_ARG_SHAPE) return number;
  if (p < a->sig->params - 1) return false;
  if (kind == SQ_ARG_TENSORS) return lua_type(a->L, at) != LUA_TTABLE;
  return number && (kind == SQ_ARG_DIMS || kind == SQ_ARG_INTS || kind == SQ_ARG_NUMBERS);
}

/* True when a list stands where an optional parameter may be left out before a list:
 * randint(10, {2, 3}). */
static bool skips_to_list(const bind_args *a, int p, int at) {
  if (lua_type(a->L, at) != LUA_TTABLE || !a->sig->param[p].has_default) return false;
  return p + 1 < a->sig->params && a->sig->param[p].kind == SQ_ARG_INT &&
         is_list(a->sig->param[p + 1].kind);
}

/* True for the flag of x:std(false), which leaves the dims out. */
static bool skips_to_flag(const bind_args *a, int p, int at) {
  return lua_type(a->L, at) == LUA_TBOOLEAN && a->sig->param[p].kind == SQ_ARG_DIMS &&
         p + 1 < a->sig->params && strcmp(a->sig->param[p + 1].name, "unbiased") == 0;
}

/* Gives arguments 1..n to parameters in order; returns the first parameter that got none, or
 * params + 1 when there are too many arguments. */
static int place_in_order(bind_args *a, int n) {
  int p = 0;
  for (int at = 1; at <= n; p++) {
    if (p == a->sig->params) return p + 1;
    int count = is_open(a, p) ? n - at + 1 : 1;
    while (skips_to_list(a, p, at) || skips_to_flag(a, p, at)) p++;
    if (is_one_of_many(a, p, at))
      while (at + count <= n && is_one_of_many(a, p, at + count)) count++;
    a->place[p] = at;
    a->count[p] = count;
    at += count;
  }
  return p;
}

static void raise_too_many(const bind_args *a) {
  bind_error(a->L, "[%s] takes %d argument%s, got %d; %s", a->name, a->sig->params,
             a->sig->params == 1 ? "" : "s", a->given, usage_text(a));
}

/* Raises unless each name in the table is a parameter's; items 1..n are left to a list. */
static void check_names(const bind_args *a, int table, bool list) {
  lua_State *L = a->L;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TNUMBER && list) continue;
    if (lua_type(L, -2) != LUA_TSTRING) {
      const char *key = bind_describe(L, -2);
      bind_error(L, "[%s] the options table has %s as a key: options go by name; %s", a->name, key,
                 usage_text(a));
    }
    size_t length;
    const char *name = lua_tolstring(L, -2, &length);
    if (sq_signature_find(a->sig, name, length) >= 0) continue;
    const char *names[SQ_MAX_PARAMS + 1] = {0};
    for (int i = 0; i < a->sig->params; i++) names[i] = a->sig->param[i].name;
    const char *near = sq_nearest(name, names);
    const char *hint = near ? lua_pushfstring(L, " (did you mean '%s'?)", near) : "";
    bind_error(L, "[%s] there is no option '%s'%s; %s", a->name, name, hint, usage_text(a));
  }
}

/* Pushes what the table has for a parameter, nil if nothing: for a first one called x under
 * PyTorch's name for it, too. */
static int push_named(const bind_args *a, int table, int p) {
  const char *name = a->sig->param[p].name;
  lua_pushstring(a->L, name);
  int type = lua_rawget(a->L, table);
  if (type != LUA_TNIL || p > 0 || strcmp(name, "x") != 0) return type;
  lua_pop(a->L, 1);
  lua_pushliteral(a->L, "input");
  return lua_rawget(a->L, table);
}

/* Places what the table gives by name; the values stay on the stack. */
static void place_by_name(bind_args *a, int table, bool list) {
  lua_State *L = a->L;
  luaL_checkstack(L, SQ_MAX_PARAMS + 8, NULL);
  check_names(a, table, list);
  for (int p = 0; p < a->sig->params; p++) {
    if (push_named(a, table, p) == LUA_TNIL) {
      lua_pop(L, 1);
      continue;
    }
    if (a->place[p])
      bind_error(L, "[%s] %s is given twice; %s", a->name, a->sig->param[p].name, usage_text(a));
    a->place[p] = lua_gettop(L);
    a->count[p] = 1;
  }
}

/* What a table in the place of parameter p is: its value, options by name, or both. */
typedef struct table_use {
  bool value, options;
} table_use;

/* True when the table has a key that is a string. */
static bool has_names(lua_State *L, int table) {
  bool found = false;
  for (lua_pushnil(L); !found && lua_next(L, table); lua_pop(L, 1))
    found = lua_type(L, -2) == LUA_TSTRING;
  if (found) lua_pop(L, 1);
  return found;
}

static bool has_field(lua_State *L, int table, const char *name) {
  lua_pushstring(L, name);
  bool has = lua_rawget(L, table) != LUA_TNIL;
  lua_pop(L, 1);
  return has;
}

/* True when the table is no list and every key of it names a parameter. */
static bool only_options(const bind_args *a, int table) {
  lua_State *L = a->L;
  int top = lua_gettop(L);
  bool only = lua_rawlen(L, table) == 0 && has_names(L, table);
  for (lua_pushnil(L); only && lua_next(L, table); lua_pop(L, 1)) {
    size_t n = 0;
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &n) : NULL;
    only = name && sq_signature_find(a->sig, name, n) >= 0;
  }
  lua_settop(L, top);
  return only;
}

static table_use use_of_table(const bind_args *a, int p, int table) {
  lua_State *L = a->L;
  if (lua_getmetatable(L, table)) {
    lua_pop(L, 1);
    return (table_use){.value = true};
  }
  if (p >= a->sig->params) return (table_use){.options = true};
  const sq_param *param = &a->sig->param[p];
  if (is_list(param->kind)) {
    bool names = has_names(L, table), items = lua_rawlen(L, table) > 0;
    bool needed = !param->has_default && !param->optional;
    return (table_use){.value = items || (!names && needed), .options = names};
  }
  bool open = param->kind == SQ_ARG_TABLE || param->kind == SQ_ARG_ANY ||
              param->kind == SQ_ARG_OBJECT || param->kind == SQ_ARG_FUNCTION;
  if (!open) return (table_use){.options = true};
  bool by_name = p == 0 && lua_rawlen(L, table) == 0 && has_field(L, table, param->name);
  if (p > 0 && param->kind == SQ_ARG_ANY && param->has_default) by_name = only_options(a, table);
  return (table_use){.value = !by_name, .options = by_name};
}

/* A call whose last argument is a table. */
static void place_with_table(bind_args *a) {
  int last = a->given;
  int p = place_in_order(a, last - 1);
  if (p > a->sig->params) raise_too_many(a);
  while (p < a->sig->params && skips_to_list(a, p, last)) p++;
  table_use use = use_of_table(a, p, last);
  if (use.value && p >= a->sig->params) raise_too_many(a);
  if (use.value) {
    a->place[p] = last;
    a->count[p] = 1;
  }
  if (!use.options) return;
  place_by_name(a, last, use.value);
  if (a->sig->params > 0 && a->place[0] > last) { /* the first argument stands at index 1 */
    lua_copy(a->L, a->place[0], 1);
    a->place[0] = 1;
  }
}

/* True where a value stands for parameter p. A nil does where it may not be left out: `any` takes
 * it, of the other kinds the error says what was expected. */
static bool is_given(const bind_args *a, int p) {
  const sq_param *param = &a->sig->param[p];
  if (!a->place[p]) return false;
  return lua_type(a->L, a->place[p]) > LUA_TNIL || !(param->has_default || param->optional);
}

void bind_args_read(bind_args *a) {
  lua_State *L = a->L;
  const sq_signature *s = a->sig;
  a->used = 0;
  bind_enter(L);
  for (int p = 0; p < s->params; p++) a->place[p] = 0;
  bool open = s->params > 0 && is_open(a, s->params - 1);
  if (!open && !a->plain && a->given > 0 && lua_type(L, a->given) == LUA_TTABLE) {
    place_with_table(a);
  } else if (place_in_order(a, a->given) > s->params) {
    raise_too_many(a);
  }
  for (int p = 0; p < s->params; p++) {
    if (is_given(a, p)) {
      read_parameter(a, p);
    } else {
      a->arg[p] = (sq_arg){.kind = SQ_ARG_NIL};
    }
  }
  BIND_TRY(L, sq_signature_complete(s, a->name, s->params, a->arg, a->arg));
}
