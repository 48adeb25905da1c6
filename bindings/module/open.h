/* open.h: what each file of the module adds when it is opened. */
#ifndef SQ_MODULE_OPEN_H
#define SQ_MODULE_OPEN_H

#include "bind/bind.h"
#include "tensor/draw.h"

/* `require "seqrt"`: leaves the module's table. [Lua thread] */
int luaopen_seqrt(lua_State *L);

/* Each adds to the module's table, which is on the stack's top. [Lua thread] */
void open_tensor(lua_State *L);   /* the class Tensor and its functions */
void open_make(lua_State *L);     /* constructors */
void open_random(lua_State *L);   /* Generator, manual_seed, default_generator */
void open_autograd(lua_State *L); /* no_grad and its kin, sq.autograd */
void open_files(lua_State *L);    /* save, load, Checkpoint */

/* Each leaves a table, which becomes sq.<name>. [Lua thread] */
void open_nn(lua_State *L);
void open_optim(lua_State *L);
void open_data(lua_State *L);
void open_plot(lua_State *L);
void open_image(lua_State *L);
void open_npy(lua_State *L);

/* Adds gradient clipping to the table on the top: nn.utils. [Lua thread] */
void open_clip(lua_State *L);

/* require "seqrt.layer" and its kin: what the Lua parts module, function, optim, data and files
 * build on.
 * [Lua thread] */
int luaopen_seqrt_layer(lua_State *L);
int luaopen_seqrt_recorder(lua_State *L);
int luaopen_seqrt_optimizer(lua_State *L);
int luaopen_seqrt_dataset(lua_State *L);
int luaopen_seqrt_store(lua_State *L);

/* Classes that others derive from or look for. */
extern const bind_class layer_class, optim_class;

/* What two arguments retain_graph (nil: as create_graph) and create_graph ask of backward. */
unsigned autograd_flags(const sq_arg *retain, const sq_arg *create);

/* Indexing, for the class Tensor. */
int tensor_index(lua_State *L);    /* x[key]: pushes one result */
int tensor_newindex(lua_State *L); /* x[key] = value */

/* The same for the two keys that are strings: "..." and sq.newaxis; 0 and false for any other. */
int tensor_lookup(lua_State *L, void *self);
bool tensor_assign(lua_State *L, void *self, int value);

/* Methods that give several windows: each a result. */
int tensor_chunk(lua_State *L, const sq_arg *arg);
int tensor_split(lua_State *L, const sq_arg *arg);
int tensor_unbind(lua_State *L, const sq_arg *arg);

/* Pushes element `at` of contiguous data as a Lua number or boolean. */
void tensor_push_element(lua_State *L, sq_dtype dtype, const void *data, int64_t at);

/* Pushes sizes as a list that prints like "(2,3)". */
void tensor_push_shape(lua_State *L, int n, const int64_t *shape);

/* The generator of an argument, the default one where it is nil. [borrow] */
sq_rng *random_generator(const sq_arg *arg);

/* sq_tensor_draw into a tensor that requires no gradient. [fails: as that, state | Lua thread] */
SQ_CHECKED sq_status random_draw(const char *what, sq_tensor *t, sq_law law, sq_number a,
                                 sq_number b, sq_rng *rng);

#endif
