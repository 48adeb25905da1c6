/* tensor.c: the class Tensor: fields, and the methods that are no ops. */
#include <math.h>
#include <string.h>

#include "autograd/op.h"
#include "autograd/tape.h"
#include "base/mem.h"
#include "module/open.h"
#include "tensor/compare.h"

/* --- elements as Lua values ----------------------------------------------------------------- */

static const char shape_key;

void tensor_push_shape(lua_State *L, int n, const int64_t *shape) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, shape[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &shape_key);
  lua_setmetatable(L, -2);
}

static int shape_tostring(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
  luaL_addchar(&b, '(');
  for (lua_Integer i = 1; i <= n; i++) {
    if (i > 1) luaL_addchar(&b, ',');
    lua_rawgeti(L, 1, i);
    luaL_tolstring(L, -1, NULL);
    lua_remove(L, -2);
    luaL_addvalue(&b);
  }
  luaL_addchar(&b, ')');
  luaL_pushresult(&b);
  return 1;
}

static int shape_eq(lua_State *L) {
  bool same = lua_rawlen(L, 1) == lua_rawlen(L, 2);
  for (lua_Integer i = 1; same && i <= (lua_Integer)lua_rawlen(L, 1); i++) {
    lua_rawgeti(L, 1, i);
    lua_rawgeti(L, 2, i);
    same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  lua_pushboolean(L, same);
  return 1;
}

static void open_shape(lua_State *L) {
  static const luaL_Reg meta[] = {{"__tostring", shape_tostring}, {"__eq", shape_eq}, {NULL, NULL}};
  luaL_newlib(L, meta);
  lua_pushliteral(L, "shape");
  lua_setfield(L, -2, "__name");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &shape_key);
}

/* --- fields --------------------------------------------------------------------------------- */

static int get_shape(lua_State *L, void *self) {
  const sq_tensor *t = self;
  tensor_push_shape(L, t->ndim, t->shape);
  return 1;
}

static int get_dtype(lua_State *L, void *self) {
  lua_pushstring(L, sq_dtype_name(((const sq_tensor *)self)->dtype));
  return 1;
}

static int get_grad(lua_State *L, void *self) {
  bind_push_tensor(L, sq_grad(self));
  return 1;
}

/* The Tensor that is assigned to a field. */
static sq_tensor *assigned_tensor(lua_State *L, const char *field, int value) {
  if (!bind_test(L, value, bind_tensor_class)) {
    const char *got = bind_describe(L, value);
    bind_error(L, "[%s] expected a Tensor, got %s", field, got);
  }
  return bind_tensor(L, value);
}

static void set_grad(lua_State *L, void *self, int value) {
  sq_tensor *grad = lua_isnil(L, value) ? NULL : assigned_tensor(L, "grad", value);
  BIND_TRY(L, sq_set_grad(self, grad));
}

static int get_requires_grad(lua_State *L, void *self) {
  lua_pushboolean(L, sq_requires_grad(self));
  return 1;
}

static void set_requires_grad(lua_State *L, void *self, int value) {
  BIND_TRY(L, sq_set_requires_grad(self, bind_flag(L, value, "requires_grad")));
}

static int get_data(lua_State *L, void *self) {
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_tensor_alias(self, slot));
  return 1;
}

static void set_data(lua_State *L, void *self, int value) {
  BIND_TRY(L, sq_set_data(self, assigned_tensor(L, "data", value)));
}

static int get_is_leaf(lua_State *L, void *self) {
  lua_pushboolean(L, sq_is_leaf(self));
  return 1;
}

static int get_grad_fn(lua_State *L, void *self) {
  lua_pushstring(L, sq_grad_fn(self)); /* nil for NULL */
  return 1;
}

static int get_T(lua_State *L, void *self) {
  sq_tensor *t = self;
  if (t->ndim > 2)
    return bind_error(L,
                      "[T] x is %s: T is for at most 2 dims; x.mT exchanges the last two, "
                      "x:permute(...) any",
                      sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_apply(SQ_OP_t, 1, (sq_arg[]){SQ_T(t)}, slot));
  return 1;
}

static int get_mT(lua_State *L, void *self) {
  sq_tensor *t = self;
  if (t->ndim < 2)
    return bind_error(L, "[mT] x is %s: it must have 2 dims or more",
                      sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_apply(SQ_OP_transpose, 3, (sq_arg[]){SQ_T(t), SQ_D(-2), SQ_D(-1)}, slot));
  return 1;
}

static int get_ndim(lua_State *L, void *self) {
  lua_pushinteger(L, ((const sq_tensor *)self)->ndim);
  return 1;
}

static const bind_field fields[] = {
    {"shape", "shape", "Its sizes as a list, which prints like (2,3).", get_shape, NULL},
    {"dtype", "string", "\"float32\", \"float64\", \"int64\", \"uint8\" or \"bool\".", get_dtype,
     NULL},
    {"ndim", "int", "How many dims it has.", get_ndim, NULL},
    {"T", "Tensor", "The transpose of a tensor of at most 2 dims.", get_T, NULL},
    {"mT", "Tensor", "x with its last two dims exchanged.", get_mT, NULL},
    {"grad", "Tensor?", "The gradient that backward() left, nil before; may be assigned.", get_grad,
     set_grad},
    {"requires_grad", "bool",
     "True when backward() brings it a gradient; may be assigned on a leaf.", get_requires_grad,
     set_requires_grad},
    {"data", "Tensor",
     "The same elements without the graph; assigning copies into it, and gives a leaf the value's "
     "dtype and shape.",
     get_data, set_data},
    {"is_leaf", "bool", "True unless a recorded op made it.", get_is_leaf, NULL},
    {"grad_fn", "string?", "The op that made it, nil for a leaf.", get_grad_fn, NULL},
    {NULL, NULL, NULL, NULL, NULL}};

/* --- sizes ---------------------------------------------------------------------------------- */

static int tensor_size(lua_State *L, const sq_arg *arg) {
  enum { X, DIM };
  const sq_tensor *t = arg[X].tensor;
  if (arg[DIM].kind == SQ_ARG_NIL) return get_shape(L, arg[X].tensor);
  int dim;
  if (t->ndim == 0) return bind_error(L, "[size] x is 0-d: it has no dim");
  BIND_TRY(L, sq_dim_resolve("size", arg[DIM].integer, t->ndim, &dim));
  lua_pushinteger(L, t->shape[dim]);
  return 1;
}

static int tensor_dim(lua_State *L, const sq_arg *arg) {
  lua_pushinteger(L, arg[0].tensor->ndim);
  return 1;
}

static int tensor_numel(lua_State *L, const sq_arg *arg) {
  lua_pushinteger(L, arg[0].tensor->numel);
  return 1;
}

static int tensor_is_contiguous(lua_State *L, const sq_arg *arg) {
  lua_pushboolean(L, sq_tensor_is_contiguous(arg[0].tensor));
  return 1;
}

static int tensor_length(lua_State *L) {
  const sq_tensor *t = bind_tensor(L, 1);
  if (t->ndim == 0) return bind_error(L, "[#] x is 0-d: it has no length");
  lua_pushinteger(L, t->shape[0]);
  return 1;
}

/* --- values --------------------------------------------------------------------------------- */

static int tensor_item_value(lua_State *L, const sq_arg *arg) {
  const sq_tensor *t = arg[0].tensor;
  if (t->numel != 1)
    return bind_error(L,
                      "[item] x is %s: only a tensor with one element has a value; x:tolist() "
                      "gives all",
                      sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  tensor_push_element(L, t->dtype, sq_data(t), 0);
  return 1;
}

/* Pushes the values behind one position of the dims before `depth`, nested; depth is at most 8. */
static void push_nested(lua_State *L, const sq_tensor *t, int depth, int64_t at, int64_t step) {
  if (depth == t->ndim) {
    tensor_push_element(L, t->dtype, sq_data(t), at);
    return;
  }
  luaL_checkstack(L, 2, NULL);
  int64_t n = t->shape[depth], inner = n > 0 ? step / n : 0;
  lua_createtable(L, n < 1 << 20 ? (int)n : 0, 0);
  for (int64_t i = 0; i < n; i++) {
    push_nested(L, t, depth + 1, at + i * inner, inner);
    lua_rawseti(L, -2, i + 1);
  }
}

static int tensor_tolist(lua_State *L, const sq_arg *arg) {
  sq_tensor **flat = bind_new_tensor(L);
  BIND_TRY(L, sq_tensor_contiguous(arg[0].tensor, flat));
  push_nested(L, *flat, 0, 0, (*flat)->numel);
  return 1;
}

/* Text of the runtime's while it is copied. */
static const bind_class text_class = {.name = "text", .drop = sq_free};

static int tensor_to_string(lua_State *L) {
  bind_box *box = bind_test(L, 1, bind_tensor_class);
  if (!box || !box->tensor) {
    lua_pushliteral(L, "Tensor (closed)");
    return 1;
  }
  bind_box *text = bind_new(L, &text_class, 0);
  char *out;
  BIND_TRY(L, sq_tensor_format(box->tensor, &out));
  text->object = out;
  lua_pushstring(L, out);
  return 1;
}

/* --- gradients ------------------------------------------------------------------------------ */

static int tensor_requires_grad_(lua_State *L, const sq_arg *arg) {
  enum { X, REQUIRES_GRAD };
  BIND_TRY(L, sq_set_requires_grad(arg[X].tensor, arg[REQUIRES_GRAD].flag));
  return bind_give_self(L);
}

static int tensor_retain_grad(lua_State *L, const sq_arg *arg) {
  BIND_TRY(L, sq_retain_grad(arg[0].tensor));
  return bind_give_self(L);
}

static int tensor_backward(lua_State *L, const sq_arg *arg) {
  enum { X, GRADIENT, RETAIN_GRAPH, CREATE_GRAPH };
  sq_tensor *gradient = arg[GRADIENT].kind == SQ_ARG_NIL ? NULL : arg[GRADIENT].tensor;
  /* not tried again without memory: what is done is done */
  sq_status st =
      sq_backward(arg[X].tensor, gradient, autograd_flags(&arg[RETAIN_GRAPH], &arg[CREATE_GRAPH]));
  return st == SQ_OK ? 0 : bind_raise(L, st);
}

static int tensor_detach(lua_State *L, const sq_arg *arg) {
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_tensor_alias(arg[0].tensor, slot));
  return 1;
}

static int tensor_detach_(lua_State *L, const sq_arg *arg) {
  BIND_TRY(L, sq_detach(arg[0].tensor));
  return bind_give_self(L);
}

/* --- other dtypes --------------------------------------------------------------------------- */

static int convert_to(lua_State *L, sq_tensor *t, sq_dtype dtype) {
  sq_tensor **slot = bind_new_tensor(L);
  sq_arg to = {.kind = SQ_ARG_DTYPE, .dtype = dtype};
  BIND_TRY(L, sq_apply(SQ_OP_to, 2, (sq_arg[]){SQ_T(t), to}, slot));
  return 1;
}

static int to_float(lua_State *L, const sq_arg *arg) {
  return convert_to(L, arg[0].tensor, SQ_F32);
}
static int to_double(lua_State *L, const sq_arg *arg) {
  return convert_to(L, arg[0].tensor, SQ_F64);
}
static int to_long(lua_State *L, const sq_arg *arg) { return convert_to(L, arg[0].tensor, SQ_I64); }
static int to_byte(lua_State *L, const sq_arg *arg) { return convert_to(L, arg[0].tensor, SQ_U8); }
static int to_bool(lua_State *L, const sq_arg *arg) {
  return convert_to(L, arg[0].tensor, SQ_BOOL);
}

static int tensor_type_as(lua_State *L, const sq_arg *arg) {
  enum { X, OTHER };
  return convert_to(L, arg[X].tensor, arg[OTHER].tensor->dtype);
}

/* --- two tensors as a whole ----------------------------------------------------------------- */

static int tensor_equal(lua_State *L, const sq_arg *arg) {
  enum { X, OTHER };
  bool same;
  BIND_TRY(L, sq_equal(arg[X].tensor, arg[OTHER].tensor, &same));
  lua_pushboolean(L, same);
  return 1;
}

static int tensor_allclose(lua_State *L, const sq_arg *arg) {
  enum { X, OTHER, RTOL, ATOL, EQUAL_NAN };
  bool close;
  BIND_TRY(L, sq_allclose(arg[X].tensor, arg[OTHER].tensor, arg[RTOL].number, arg[ATOL].number,
                          arg[EQUAL_NAN].flag, &close));
  lua_pushboolean(L, close);
  return 1;
}

/* --- draws in place ------------------------------------------------------------------------- */

static int draw_into(lua_State *L, const char *what, const sq_arg *x, sq_law law, sq_number a,
                     sq_number b, const sq_arg *generator) {
  BIND_TRY(L, random_draw(what, x->tensor, law, a, b, random_generator(generator)));
  return bind_give_self(L);
}

static int tensor_uniform_(lua_State *L, const sq_arg *arg) {
  enum { X, FROM, TO, GENERATOR };
  return draw_into(L, "uniform_", arg, SQ_LAW_UNIFORM, arg[FROM].value, arg[TO].value,
                   &arg[GENERATOR]);
}

static int tensor_normal_(lua_State *L, const sq_arg *arg) {
  enum { X, MEAN, STD, GENERATOR };
  return draw_into(L, "normal_", arg, SQ_LAW_NORMAL, arg[MEAN].value, arg[STD].value,
                   &arg[GENERATOR]);
}

static int tensor_random_(lua_State *L, const sq_arg *arg) {
  enum { X, FROM, TO, GENERATOR };
  sq_number from = sq_whole(arg[FROM].integer), to = sq_whole(arg[TO].integer);
  return draw_into(L, "random_", arg, SQ_LAW_INTEGERS, from, to, &arg[GENERATOR]);
}

static int tensor_bernoulli_(lua_State *L, const sq_arg *arg) {
  enum { X, P, GENERATOR };
  return draw_into(L, "bernoulli_", arg, SQ_LAW_BERNOULLI, arg[P].value, sq_whole(0),
                   &arg[GENERATOR]);
}

/* --- the class ------------------------------------------------------------------------------ */

/* Pushes the value of a number or a 0-d tensor as a Lua number, true counting as 1; raises for
 * anything else. */
static void push_comparable(lua_State *L, int at) {
  if (lua_type(L, at) == LUA_TNUMBER) {
    lua_pushvalue(L, at);
    return;
  }
  bind_box *box = bind_test(L, at, bind_tensor_class);
  if (!box) {
    const char *got = bind_describe(L, at);
    bind_error(L, "a Tensor can't be compared with %s", got);
  }
  const sq_tensor *t = bind_tensor(L, at);
  if (t->ndim > 0)
    bind_error(L,
               "tensors have no order: x:lt(y), x:le(y), x:gt(y) and x:ge(y) compare the elements");
  tensor_push_element(L, t->dtype, sq_data(t), 0);
  if (lua_isboolean(L, -1)) lua_pushinteger(L, lua_toboolean(L, -1));
}

static int compare_values(lua_State *L, int op) {
  lua_settop(L, 2);
  push_comparable(L, 1);
  int left = lua_gettop(L);
  push_comparable(L, 2);
  lua_pushboolean(L, lua_compare(L, left, -1, op));
  return 1;
}

static int tensor_less(lua_State *L) { return compare_values(L, LUA_OPLT); }
static int tensor_less_or_equal(lua_State *L) { return compare_values(L, LUA_OPLE); }

/* Lua asks here for two boxes only, and never for a tensor beside a number. */
static int tensor_same(lua_State *L) {
  bind_box *a = bind_test(L, 1, bind_tensor_class), *b = bind_test(L, 2, bind_tensor_class);
  if (a && b && a->tensor != b->tensor)
    return bind_error(
        L,
        "== of two tensors is one boolean, so it does not compare elements: x:eq(y) "
        "does, x:equal(y) tells whether all are equal, rawequal(x, y) whether x is y");
  lua_pushboolean(L, a && b);
  return 1;
}

static int tensor_no_concat(lua_State *L) {
  return bind_error(L,
                    "a Tensor can't be joined to a string: use tostring(x), or x:item() for one "
                    "element");
}

static const luaL_Reg meta[] = {{"__len", tensor_length},
                                {"__tostring", tensor_to_string},
                                {"__lt", tensor_less},
                                {"__le", tensor_less_or_equal},
                                {"__eq", tensor_same},
                                {"__concat", tensor_no_concat},
                                {NULL, NULL}};

static const bind_fn methods[] = {
    {"size", "(x: Tensor, dim: dim? = nil) -> int", "The size of a dim, or all sizes as a list.",
     tensor_size},
    {"dim", "(x: Tensor) -> int", "How many dims it has.", tensor_dim},
    {"numel", "(x: Tensor) -> int", "How many elements it has.", tensor_numel},
    {"is_contiguous", "(x: Tensor) -> bool", "True when elements lie in row-major order, no gaps.",
     tensor_is_contiguous},
    {"item", "(x: Tensor) -> number", "The value of a tensor with one element.", tensor_item_value},
    {"tolist", "(x: Tensor) -> table", "The values as nested tables; a number for a 0-d tensor.",
     tensor_tolist},
    {"requires_grad_", "(x: Tensor, requires_grad: bool = true) -> Tensor",
     "Makes it a leaf that collects its gradient.", tensor_requires_grad_},
    {"retain_grad", "(x: Tensor) -> Tensor", "Asks that a result keep its gradient too.",
     tensor_retain_grad},
    {"backward",
     "(x: Tensor, gradient: Tensor? = nil, retain_graph: bool? = nil, create_graph: bool = "
     "false)",
     "Adds dx/dleaf to the .grad of every leaf behind x; `gradient` is what comes from above, 1 "
     "for one element. With create_graph the gradients are recorded and have gradients "
     "themselves; retain_graph is what create_graph is, unless given.",
     tensor_backward},
    {"detach", "(x: Tensor) -> Tensor", "The same elements without the graph.", tensor_detach},
    {"detach_", "(x: Tensor) -> Tensor", "Takes x out of the graph: a leaf without gradient.",
     tensor_detach_},
    {"chunk", "(x: Tensor, chunks: int, dim: dim = 1) -> Tensor, Tensor",
     "That many parts of one size along dim (the last may be smaller), each a result.",
     tensor_chunk},
    {"split", "(x: Tensor, split_size: ints, dim: dim = 1) -> Tensor, Tensor",
     "Parts of that size along dim, or of the sizes in a list, each a result.", tensor_split},
    {"unbind", "(x: Tensor, dim: dim = 1) -> Tensor, Tensor",
     "The slice at every position of dim, each a result.", tensor_unbind},
    {"float", "(x: Tensor) -> Tensor", "x as float32.", to_float},
    {"double", "(x: Tensor) -> Tensor", "x as float64.", to_double},
    {"long", "(x: Tensor) -> Tensor", "x as int64, rounded towards 0.", to_long},
    {"byte", "(x: Tensor) -> Tensor", "x as uint8.", to_byte},
    {"bool", "(x: Tensor) -> Tensor", "x as bool: true where it is not 0.", to_bool},
    {"type_as", "(x: Tensor, other: Tensor) -> Tensor", "x in other's dtype.", tensor_type_as},
    {"equal", "(x: Tensor, other: Tensor) -> bool",
     "True when shapes and all elements are equal; NaN equals nothing.", tensor_equal},
    {"allclose",
     "(x: Tensor, other: Tensor, rtol: number = 1e-05, atol: number = 1e-08, equal_nan: bool = "
     "false) -> bool",
     "True when |x - other| <= atol + rtol |other| for all elements.", tensor_allclose},
    {"random_", "(x: Tensor, from: int, to: int, generator: Generator? = nil) -> Tensor",
     "Draws every element from the whole numbers `from` to `to` - 1.", tensor_random_},
    {"uniform_",
     "(x: Tensor, from: number = 0, to: number = 1, generator: Generator? = nil) -> Tensor",
     "Draws every element uniformly from `from` to `to`.", tensor_uniform_},
    {"normal_",
     "(x: Tensor, mean: number = 0, std: number = 1, generator: Generator? = nil) -> Tensor",
     "Draws every element from a normal distribution.", tensor_normal_},
    {"bernoulli_", "(x: Tensor, p: number = 0.5, generator: Generator? = nil) -> Tensor",
     "1 with probability p, else 0.", tensor_bernoulli_},
    {NULL, NULL, NULL, NULL}};

static void drop_tensor(void *object) { sq_tensor_drop(object); }

static const bind_class tensor_class = {.name = "Tensor",
                                        .doc = "An array of numbers of one dtype, with a gradient.",
                                        .methods = methods,
                                        .fields = fields,
                                        .meta = meta,
                                        .index = tensor_index,
                                        .newindex = tensor_newindex,
                                        .lookup = tensor_lookup,
                                        .assign = tensor_assign,
                                        .drop = drop_tensor};

/* Methods that are functions too: sq.allclose(x, y). */
static void open_functions(lua_State *L) {
  static const char *const names[] = {"equal", "allclose", "numel",  "detach",
                                      "chunk", "split",    "unbind", NULL};
  static bind_fn functions[sizeof names / sizeof *names];
  int n = 0;
  for (const bind_fn *f = methods; f->name; f++) {
    for (const char *const *name = names; *name; name++)
      if (strcmp(f->name, *name) == 0) functions[n++] = *f;
  }
  bind_functions(L, "sq", functions);
}

/* What C functions that want a number call what they got: string.format("%f", x). */
static void open_hint(lua_State *L) {
  lua_pushliteral(L, "Tensor (its number is x:item())");
  bind_class_add(L, bind_tensor_class, "__name");
}

void open_tensor(lua_State *L) {
  open_shape(L);
  bind_class_open(L, &text_class);
  bind_tensor_class = &tensor_class;
  bind_class_open(L, bind_tensor_class);
  open_hint(L);
  open_functions(L);
  lua_pushliteral(L, "newaxis");
  lua_setfield(L, -2, "newaxis");
}
