/* bind.h: how C functions and classes become Lua's: arguments by signature, boxes, errors, the list
 * that help and editors read. */
#ifndef SQ_BIND_BIND_H
#define SQ_BIND_BIND_H

#include <lauxlib.h>
#include <lua.h>

#include "signature/signature.h"
#include "tensor/tensor.h"

/* --- errors --------------------------------------------------------------------------------- */

/* Raises the text with `script.lua:line: ` of the innermost function of a script in front. */
int bind_error(lua_State *L, const char *format, ...) SQ_PRINTF(2, 3);

/* The same with a text of any length. */
int bind_raise_text(lua_State *L, const char *text);

/* Says "script.lua:42: warning: text" on standard error. [Lua thread] */
void bind_warn(lua_State *L, const char *text);

/* Raises the runtime's last failure likewise; SQ_EINTR becomes "interrupted!", SQ_EHOST what was
 * kept. */
int bind_raise(lua_State *L, sq_status status);

/* Pops an error that a script raised inside the runtime, for bind_raise, and gives SQ_EHOST. It
 * allocates, and may raise, the first time only: who needs it calls it once while opening. */
sq_status bind_keep_error(lua_State *L);

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

/* Raises: `owner` has no such name as the string at index 2; the nearest key of the table at
 * `members` is suggested. */
int bind_unknown_member(lua_State *L, const char *owner, int members);

/* The string key of a table that is nearest to a misspelt one; NULL without one. [borrow, while the
 * table stands] */
const char *bind_nearest_key(lua_State *L, int table, const char *word);

/* "nil", "the number 3", "a Tensor (2,3)": the value as an error names it. Pushes the text and
 * returns it. */
const char *bind_describe(lua_State *L, int at);

/* The number at a stack index, whole where Lua has an integer; and back. */
sq_number bind_number(lua_State *L, int at);
void bind_push_number(lua_State *L, sq_number x);

/* Pushes an argument that is nil, a number, a boolean, a string or a dtype; false, and nothing
 * pushed, for any other kind. */
bool bind_push_plain(lua_State *L, const sq_arg *arg);

/* The boolean at a stack index; anything else raises, with `what` in front. */
bool bind_flag(lua_State *L, int at, const char *what);

/* The path at a stack index; what is no string, or holds a 0 byte, where the system would cut the
 * name, raises. */
const char *bind_path(lua_State *L, int at);

/* table[key] = text, for the table on the stack's top; nothing for NULL. */
void bind_set_string(lua_State *L, const char *key, const char *text);

/* The number as Lua's tostring gives it, with a point under every locale. Pushes the text and
 * returns it. */
const char *bind_push_number_text(lua_State *L, double value);

/* Pushes string.format, and the environment of the Lua parts: Lua's globals, with `format`,
 * tostring, tonumber, table.concat and table.sort that know no locale. */
void bind_push_format(lua_State *L);
void bind_push_environment(lua_State *L);

/* --- functions ------------------------------------------------------------------------------ */

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

/* What stands behind one function of the module: upvalue 1 of its closure. */
typedef struct bind_entry {
  const char *name, *signature, *doc;
  int (*call)(lua_State *L, const sq_arg *arg);
  const bind_fn *fn;       /* the row it was made from, NULL for an op */
  const sq_signature *sig; /* read at the first call */
  int op;                  /* -1: none */
  int with_tensor;         /* the op where a Tensor stands behind the first argument, 0: none */
  bool inplace;
  int most; /* arguments looked at, 0: all */
} bind_entry;

/* The entry of a function of ours, else NULL. [borrow] */
const bind_entry *bind_entry_of(lua_State *L, int at);

/* The name, the row and the number of parameters of the function that runs. [borrow] */
const char *bind_running(lua_State *L);
const bind_fn *bind_running_fn(lua_State *L);
int bind_running_params(lua_State *L);

/* Pushes an op of the menu, or its in-place form; takes at most `most` arguments and ignores the
 * others (for metamethods), 0: all are read. */
void bind_push_op(lua_State *L, int op, bool inplace, int most);

/* --- classes and boxes ---------------------------------------------------------------------- */

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
  const luaL_Reg *meta;        /* further metamethods, as plain C functions */
  const char *call, *call_doc; /* for lists: what a call of an object takes and gives; NULL: none */
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

/* The two classes that arguments of a signature know; they who define them set these. */
extern const bind_class *bind_tensor_class, *bind_generator_class;

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

/* For methods that give their object back, so that calls chain: the value at 1 is the result. */
int bind_give_self(lua_State *L);

/* Pushes `bytes`, which came from sq_alloc, as a string; they are freed whatever happens. Needs 4
 * free slots of the stack. [take | Lua thread] */
int bind_give_bytes(lua_State *L, void *bytes, int64_t size);

/* --- around a call -------------------------------------------------------------------------- */

/* Says which state calls the runtime now; reading arguments does it too. */
void bind_enter(lua_State *L);

/* The state that bind_enter was last told. [borrow] */
lua_State *bind_state(void);

/* From now on bind_enter calls fn too; NULL: nothing. */
void bind_on_enter(void (*fn)(lua_State *L));

/* The line of a script (none of the module's own parts) that calls the runtime now, and its
 * source's name, which lives for ever; 0 and NULL without one. */
int bind_locate(const char **source);

/* From now on recorded ops note that line. */
void bind_note_lines(void);

/* Tells the collector what was allocated since; runs a step when it is much. The results must be on
 * the stack. */
void bind_account(lua_State *L);

#endif
