/* bind.h: how C functions and classes become Lua's: arguments by signature, boxes, errors, the list
 * that help and editors read. */
#ifndef SQ_BINDINGS_BIND_H
#define SQ_BINDINGS_BIND_H

#include <lauxlib.h>
#include <lua.h>

#include "base/signature.h"
#include "tensor/tensor.h"

/* `require "seqrt"`: leaves the module's table. [Lua thread] */
int luaopen_seqrt(lua_State *L);

/* --- errors ----------------------------------------------------------------------------------- */

/* Raises the text with `script.lua:line: ` of the innermost function of a script in front. */
int bind_error(lua_State *L, const char *format, ...) SQ_PRINTF(2, 3);

/* Raises the runtime's last failure likewise; SQ_EINTR becomes "interrupted!". */
int bind_raise(lua_State *L, sq_status status);

/* A full collection of garbage, to be followed by one more try. Always true. */
bool bind_collect(lua_State *L);

/* Calls the runtime. Without memory: a full collection and a second try. Any failure raises: what
 * is owned must be in boxes by then. `call` may be evaluated twice. */
#define BIND_TRY(L, call)                                            \
  do {                                                               \
    sq_status bind_st_ = (call);                                     \
    if (bind_st_ == SQ_ENOMEM && bind_collect(L)) bind_st_ = (call); \
    if (bind_st_ != SQ_OK) bind_raise(L, bind_st_);                  \
  } while (0)

/* "nil", "the number 3", "a Tensor (2,3)": the value as an error names it. Pushes the text and
 * returns it. */
const char *bind_describe(lua_State *L, int at);

/* --- functions -------------------------------------------------------------------------------- */

/* One function. `call` gets one argument per parameter, checked and with defaults filled in (kind
 * SQ_ARG_NIL where nil was allowed and given); dims and positions count from 0. The first argument
 * is at stack index 1 in every form of call. It pushes its results and returns their number. */
typedef struct bind_fn {
  const char *name, *signature, *doc;
  int (*call)(lua_State *L, const sq_arg *arg);
} bind_fn;

/* Sets the functions, ended by a name of NULL, in the table on the stack's top, and lists them
 * under `owner` ("sq", "sq.optim"). Both live for ever. */
void bind_functions(lua_State *L, const char *owner, const bind_fn *fns);

/* Pushes one function, without listing it. */
void bind_push_function(lua_State *L, const bind_fn *fn);

/* The name and the number of parameters of the function that runs. [borrow] */
const char *bind_running(lua_State *L);
int bind_running_params(lua_State *L);

/* Pushes an op of the menu, or its in-place form; takes at most `most` arguments and ignores the
 * others (for metamethods), 0: all are read. */
void bind_push_op(lua_State *L, int op, bool inplace, int most);

/* --- classes and boxes ------------------------------------------------------------------------ */

typedef struct bind_field {
  const char *name, *type, *doc;
  int (*get)(lua_State *L, void *self);             /* pushes the value, returns 1; self is at 1 */
  void (*set)(lua_State *L, void *self, int value); /* `value`: its stack index; NULL: read only */
} bind_field;

/* A class of userdata. Arrays end with a name of NULL; NULL stands for an empty one. */
typedef struct bind_class {
  const char *name, *doc;
  const struct bind_class *base;
  const bind_fn *methods; /* the first parameter is the object */
  const bind_field *fields;
  const luaL_Reg *meta;          /* further metamethods, as plain C functions */
  lua_CFunction index, newindex; /* for keys that are no strings; NULL: an error */
  void (*drop)(void *object);    /* frees what a box holds */
  /* String keys that are neither method nor field; the key is at 2. lookup pushes the value and
   * returns 1, or 0; assign returns false for a key it does not know. NULL: there are none. */
  int (*lookup)(lua_State *L, void *self);
  bool (*assign)(lua_State *L, void *self, int value);
} bind_class;

/* What the userdata holds. Born closed (object NULL); filled after the resource is made. */
typedef struct bind_box {
  const bind_class *class;
  union {
    void *object;
    sq_tensor *tensor;
  };
} bind_box;

extern const bind_class bind_tensor_class, bind_generator_class;

/* Makes the class's metatable and lists the class. Leaves nothing on the stack. */
void bind_class_open(lua_State *L, const bind_class *class);

/* Adds a method that stands on the stack's top to an open class, and pops it. */
void bind_class_add(lua_State *L, const bind_class *class, const char *name);

/* Pushes an empty box with `uservalues` user values. */
bind_box *bind_new(lua_State *L, const bind_class *class, int uservalues);

/* The box at a stack index if it is of that class (or one below it), open or closed; else NULL. */
bind_box *bind_test(lua_State *L, int at, const bind_class *class);

/* The box at a stack index, of any class of ours, or NULL. */
bind_box *bind_box_at(lua_State *L, int at);

/* The object in the box at a stack index; anything else, or a closed box, raises. */
void *bind_check(lua_State *L, int at, const bind_class *class);
sq_tensor *bind_tensor(lua_State *L, int at);

/* Pushes an empty box for a tensor and returns where to put it. */
sq_tensor **bind_new_tensor(lua_State *L);

/* Pushes t in a new box, which keeps a reference; nil for NULL. */
void bind_push_tensor(lua_State *L, sq_tensor *t);

/* Pushes the userdata among the running function's arguments that holds this object, nil without
 * one: for keeping it alive in a user value. */
void bind_push_argument(lua_State *L, const void *object);

/* --- tables ----------------------------------------------------------------------------------- */

/* A value of a table that a Lua part makes at its first use. */
typedef struct bind_lazy_row {
  const char *key, *part; /* the part's value, or its field `key` if that is a table with one */
} bind_lazy_row;

/* Gives the table on the stack's top an __index that loads the parts and that raises on names that
 * do not exist, with the nearest one. `owner` is the table's name in the error. */
void bind_lazy(lua_State *L, const char *owner, const bind_lazy_row *rows);

/* Pushes what the Lua part of that name returns: require "seqrt.<part>". */
void bind_require_part(lua_State *L, const char *part);

/* The generator of an argument, the default one where it is nil. [borrow] */
sq_rng *bind_rng(const sq_arg *arg);

/* Says which state calls the runtime now; reading arguments does it too. */
void bind_enter(lua_State *L);

/* The line of a script (none of the module's own parts) that calls the runtime now, and its
 * source's name, which lives for ever; 0 and NULL without one. */
int bind_locate(const char **source);

/* From now on recorded ops note that line. */
void bind_note_lines(void);

/* Tells the collector what was allocated since; runs a step when it is much. The results must be on
 * the stack. */
void bind_account(lua_State *L);

#endif
