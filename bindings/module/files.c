/* files.c: pictures, NumPy's files and safetensors read into tensors and written from them, folders
 * kept for one process; what bindings/lua/files.lua, image.lua and checkpoint.lua build on. */
#include "base/file.h"

#include <string.h>

#include "base/lock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/part.h"
#include "files/events.h"
#include "files/npy.h"
#include "files/png.h"
#include "files/safetensors.h"
#include "module/open.h"
#include "tensor/view.h"

static sq_status read_array(const sq_array *from, sq_tensor **out) {
  SQ_OWN sq_tensor *t = NULL;
  sq_dtype dtype = sq_wire_dtype(from->type);
  SQ_TRY(sq_tensor_new(dtype, from->ndim, from->shape, &t));
  SQ_TRY(sq_array_read(from, dtype, sq_data(t)));
  *out = sq_tensor_give(&t);
  return SQ_OK;
}

/* --- npy ------------------------------------------------------------------------------------ */

static sq_status load_npy(const char *path, sq_tensor **out) {
  void *bytes = NULL;
  int64_t size;
  sq_array array;
  SQ_TRY(sq_file_read(path, INT64_MAX, &bytes, &size));
  sq_status st = sq_npy_parse(bytes, size, &array);
  if (st == SQ_OK) st = read_array(&array, out);
  sq_free(bytes);
  return sq_fail_in(st, "'%s': ", path);
}

static int npy_load(lua_State *L, const sq_arg *arg) {
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, load_npy(arg[0].string, slot));
  return 1;
}

static int npy_save(lua_State *L, const sq_arg *arg) {
  enum { PATH, TENSOR };
  SQ_OWN sq_tensor *t = NULL;
  sq_status st = sq_tensor_contiguous(arg[TENSOR].tensor, &t);
  if (st == SQ_OK) st = sq_npy_save(arg[PATH].string, t->dtype, t->ndim, t->shape, sq_data(t));
  sq_tensor_drop(sq_tensor_give(&t)); /* the next line may not return */
  if (st != SQ_OK) return bind_raise(L, st);
  return 0;
}

static const bind_fn npy_functions[] = {
    {"load", "(path: string) -> Tensor",
     "The array of a .npy file; other types of numbers become the tensor type that holds them.",
     npy_load},
    {"save", "(path: string, tensor: Tensor)", "Writes a .npy file, whole or not at all.",
     npy_save},
    {0}};

void open_npy(lua_State *L) {
  lua_newtable(L);
  bind_functions(L, "sq.npy", npy_functions);
  part_open_table(L, "sq.npy");
}

/* --- pictures ------------------------------------------------------------------------------- */

/* (Y,X,C) as a tensor (C,Y,X): uint8, or float32 with whole numbers up to 65535. */
static sq_status to_planes(const sq_png *p, sq_tensor **out) {
  SQ_OWN sq_tensor *t = NULL, *view = NULL;
  SQ_TRY(sq_tensor_new(p->bytes == 1 ? SQ_U8 : SQ_F32, 3,
                       (int64_t[]){p->height, p->width, p->channels}, &t));
  if (p->bytes == 1) {
    memcpy(sq_data(t), p->pixels, (size_t)t->numel);
  } else {
    const uint16_t *from = p->pixels;
    float *to = sq_data(t);
    for (int64_t i = 0; i < t->numel; i++) to[i] = from[i];
  }
  SQ_TRY(sq_permute(t, (int[]){2, 0, 1}, &view));
  return sq_tensor_contiguous(view, out);
}

static sq_status load_png(const char *path, bool deep, sq_tensor **out) {
  void *bytes = NULL;
  int64_t size;
  sq_png picture = {0};
  SQ_TRY(sq_file_read(path, INT64_MAX, &bytes, &size));
  sq_status st = sq_png_decode(bytes, size, deep, &picture);
  sq_free(bytes);
  if (st == SQ_OK) st = to_planes(&picture, out);
  sq_free(picture.pixels);
  return sq_fail_in(st, "'%s': ", path);
}

/* Whole numbers up to 65535 in place as uint16: each lands before the next float is read. */
static void narrow_to_bytes(void *pixels, int64_t n) {
  char *bytes = pixels;
  for (int64_t i = 0; i < n; i++) {
    float v;
    memcpy(&v, bytes + i * 4, sizeof v);
    uint16_t whole = v > 0 ? (uint16_t)v : 0; /* of NaN too */
    memcpy(bytes + i * 2, &whole, sizeof whole);
  }
}

/* t: as to_planes gives, C 1, 3 or 4. [new, *bytes with sq_free] */
static sq_status encode_tensor(sq_tensor *t, void **bytes, int64_t *size) {
  SQ_OWN sq_tensor *view = NULL, *flat = NULL;
  SQ_TRY(sq_permute(t, (int[]){1, 2, 0}, &view));
  SQ_TRY(sq_tensor_clone(view, &flat));
  int64_t width = t->dtype == SQ_U8 ? 1 : 2;
  if (width == 2) narrow_to_bytes(sq_data(flat), flat->numel);
  sq_png picture = {t->shape[1], t->shape[2], t->shape[0], width, sq_data(flat)};
  return sq_png_encode(&picture, bytes, size);
}

static sq_status save_png(const char *path, sq_tensor *t) {
  void *bytes;
  int64_t size;
  SQ_TRY(encode_tensor(t, &bytes, &size));
  sq_status st = sq_file_write(path, bytes, size);
  sq_free(bytes);
  return st;
}

static int in_image(lua_State *L, const sq_arg *arg) { return part_call(L, "image", arg); }

#define GRID                                                                                \
  "nrow: int = 8, padding: int = 2, normalize: bool = false, value_range: numbers? = nil, " \
  "scale_each: bool = false, pad_value: number = 0)"

static const bind_fn image_functions[] = {
    {"load", "(path: string, dtype: dtype = uint8) -> Tensor",
     "A PNG as (C,Y,X): C is 1, 3 or 4; uint8, or floats 0 to 1, which keep 16 bits.", in_image},
    {"save", "(path: string, image: Tensor, bits: int = 8)",
     "Writes (C,Y,X) or (Y,X) as PNG: uint8, or floats 0 to 1 (beyond is cut), of 8 or 16 bits.",
     in_image},
    {"make_grid", "(tensor: any, " GRID " -> Tensor",
     "Pictures (B,C,Y,X), or a list of them, in rows of nrow: torchvision's make_grid.", in_image},
    {"save_grid", "(path: string, tensor: any, " GRID, "make_grid, then save.", in_image},
    {"show", "(image: any)",
     "Shows (C,Y,X), (Y,X) or a batch in the terminal: by Kitty's, iTerm2's or sixel graphics "
     "where "
     "it has them, else in half blocks; prints a file's path where it is no terminal. SEQRT_IMAGES="
     "kitty|iterm|sixel|blocks|none says which.",
     in_image},
    {0}};

void open_image(lua_State *L) {
  lua_newtable(L);
  bind_functions(L, "sq.image", image_functions);
  part_open_table(L, "sq.image");
}

/* --- seqrt.store: what the Lua parts need of C ---------------------------------------------- */

/* png_read(path, deep) -> (C,Y,X) of uint8, or where `deep`, of float32 with the numbers of a file
 * of 16 bits */
static int core_png_read(lua_State *L) {
  const char *path = bind_path(L, 1);
  bool deep = lua_toboolean(L, 2);
  sq_tensor **slot = bind_new_tensor(L);
  BIND_TRY(L, load_png(path, deep, slot));
  bind_account(L);
  return 1;
}

/* The picture at a stack index: of bytes, or of whole numbers up to 65535 in float32. */
static sq_tensor *picture_at(lua_State *L, int at) {
  sq_tensor *t = bind_tensor(L, at);
  bool fits = (t->dtype == SQ_U8 || t->dtype == SQ_F32) && t->ndim == 3 &&
              (t->shape[0] == 1 || t->shape[0] == 3 || t->shape[0] == 4);
  if (!fits)
    bind_error(L, "[image.save] the picture is %s %s: it must be (C,Y,X) with C 1, 3 or 4",
               sq_dtype_name(t->dtype), sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  return t;
}

static int core_png_write(lua_State *L) {
  const char *path = bind_path(L, 1);
  BIND_TRY(L, save_png(path, picture_at(L, 2)));
  return 0;
}

/* png_bytes(picture) -> the bytes of a PNG file */
static int core_png_bytes(lua_State *L) {
  sq_tensor *t = picture_at(L, 1);
  void *bytes = NULL;
  int64_t size = 0;
  luaL_checkstack(L, 4, NULL);
  BIND_TRY(L, encode_tensor(t, &bytes, &size));
  return bind_give_bytes(L, bytes, size);
}

/* --- seqrt.store: TensorBoard's records ----------------------------------------------------- */

/* Numbers of a tensor or a list, in a userdata that is pushed. */
static const double *check_values(lua_State *L, int at, int64_t *n) {
  sq_tensor *t = bind_tensor(L, at);
  *n = t->numel;
  double *v = lua_newuserdatauv(L, (size_t)(*n + 1) * sizeof *v, 0);
  for (int64_t i = 0; i < *n; i++) v[i] = sq_tensor_get(t, i);
  return v;
}

/* event(kind, wall, step, tag, value) -> the bytes of a record; value: a number, a picture, a
 * tensor for kind "scalar", "image", "histogram"; none for "version" */
static int core_event(lua_State *L) {
  static const char *const kinds[] = {"version", "scalar", "image", "histogram", NULL};
  sq_event e = {.kind = (sq_event_kind)luaL_checkoption(L, 1, NULL, kinds),
                .wall = luaL_checknumber(L, 2)};
  void *bytes = NULL;
  int64_t size = 0;
  luaL_checkstack(L, 8, NULL);
  if (e.kind != SQ_EVENT_VERSION) {
    e.step = luaL_checkinteger(L, 3);
    e.tag = bind_path(L, 4);
  }
  if (e.kind == SQ_EVENT_SCALAR) e.scalar = luaL_checknumber(L, 5);
  if (e.kind == SQ_EVENT_HISTOGRAM) e.histogram.v = check_values(L, 5, &e.histogram.n);
  if (e.kind == SQ_EVENT_IMAGE) {
    const sq_tensor *t = picture_at(L, 5);
    e.image.channels = t->shape[0];
    e.image.height = t->shape[1];
    e.image.width = t->shape[2];
    lua_pushcfunction(L, core_png_bytes);
    lua_pushvalue(L, 5);
    lua_call(L, 1, 1);
    size_t n;
    e.image.png = lua_tolstring(L, -1, &n);
    e.image.size = (int64_t)n;
  }
  BIND_TRY(L, sq_event_encode(&e, &bytes, &size));
  return bind_give_bytes(L, bytes, size);
}

/* A file being read, so that whatever raises it is freed. */
typedef struct opened {
  const char *path;
  void *bytes;
  int64_t size;
  sq_safetensors file;
} opened;

/* Pushes {name = tensor} and {key = value}. */
static int push_opened(lua_State *L) {
  const opened *o = lua_touserdata(L, 1);
  lua_createtable(L, 0, (int)o->file.arrays);
  for (int64_t i = 0; i < o->file.arrays; i++) {
    const sq_named_array *a = &o->file.array[i];
    sq_tensor **slot = bind_new_tensor(L);
    BIND_TRY(L, sq_fail_in(read_array(&a->array, slot), "'%s': tensor '%s': ", o->path, a->name));
    lua_setfield(L, -2, a->name);
  }
  lua_createtable(L, 0, (int)o->file.pairs);
  for (int64_t i = 0; i < o->file.pairs; i++) {
    lua_pushstring(L, o->file.pair[i].value);
    lua_setfield(L, -2, o->file.pair[i].key);
  }
  return 2;
}

static sq_status open_file(opened *o) {
  SQ_TRY(sq_file_read(o->path, INT64_MAX, &o->bytes, &o->size));
  sq_status st = sq_safetensors_parse(o->bytes, o->size, &o->file);
  return sq_fail_in(st, "'%s': ", o->path);
}

/* read(path) -> {name = tensor}, {key = value} */
static int core_read(lua_State *L) {
  opened o = {.path = bind_path(L, 1)};
  lua_pushcfunction(L, push_opened);
  sq_status st = open_file(&o);
  lua_pushlightuserdata(L, &o);
  int failed = st == SQ_OK ? lua_pcall(L, 1, 2, 0) : 0;
  sq_safetensors_free(&o.file);
  sq_free(o.bytes);
  if (st != SQ_OK) return bind_raise(L, st);
  if (failed) return lua_error(L);
  bind_account(L);
  return 2;
}

static const char *text_at(lua_State *L, int list, lua_Integer i) {
  lua_rawgeti(L, list, i);
  size_t n;
  const char *text = luaL_checklstring(L, -1, &n);
  if (strlen(text) != n) bind_error(L, "[save] the name '%s' has a 0 byte", text);
  lua_pop(L, 1); /* the list keeps it */
  return text;
}

/* write(path, names, tensors, keys, values): lists; the tensors contiguous. */
static int core_write(lua_State *L) {
  const char *path = bind_path(L, 1);
  for (int i = 2; i <= 5; i++) luaL_checktype(L, i, LUA_TTABLE);
  size_t arrays = lua_rawlen(L, 2), pairs = lua_rawlen(L, 4);
  sq_save_array *array = lua_newuserdatauv(L, (arrays + 1) * sizeof *array, 0);
  sq_text_pair *pair = lua_newuserdatauv(L, (pairs + 1) * sizeof *pair, 0);
  for (size_t i = 0; i < arrays; i++) {
    lua_rawgeti(L, 3, (lua_Integer)i + 1);
    const sq_tensor *t = bind_tensor(L, -1);
    lua_pop(L, 1);
    SQ_ASSERT(sq_tensor_is_contiguous(t));
    array[i] =
        (sq_save_array){text_at(L, 2, (lua_Integer)i + 1), t->dtype, t->ndim, t->shape, sq_data(t)};
  }
  for (size_t i = 0; i < pairs; i++)
    pair[i] = (sq_text_pair){text_at(L, 4, (lua_Integer)i + 1), text_at(L, 5, (lua_Integer)i + 1)};
  BIND_TRY(L, sq_safetensors_save(path, (int64_t)arrays, array, (int64_t)pairs, pair));
  return 0;
}

/* same(t) -> a string that all tensors of the same elements and geometry have in common */
static int core_same(lua_State *L) {
  const sq_tensor *t = bind_tensor(L, 1);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addlstring(&b, (const char *)&t->storage, sizeof t->storage);
  luaL_addlstring(&b, (const char *)&t->offset, sizeof t->offset);
  luaL_addlstring(&b, (const char *)&t->dtype, sizeof t->dtype);
  luaL_addlstring(&b, (const char *)t->shape, (size_t)t->ndim * sizeof *t->shape);
  luaL_addlstring(&b, (const char *)t->stride, (size_t)t->ndim * sizeof *t->stride);
  luaL_pushresult(&b);
  return 1;
}

static void drop_lock(void *object) { sq_lock_drop(object); }

static const bind_class lock_class = {.name = "FolderLock",
                                      .drop = drop_lock}; /* no doc: for Lua parts alone */

/* lock(folder) -> a lock that its collection, its closing or the process's end gives up; or nil and
 * why not */
static int core_lock(lua_State *L) {
  const char *folder = bind_path(L, 1);
  bind_box *box = bind_new(L, &lock_class, 0);
  sq_lock *lock = NULL;
  if (sq_lock_take(folder, &lock) == SQ_OK) {
    box->object = lock;
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, sq_error_text());
  return 2;
}

int luaopen_seqrt_store(lua_State *L) {
  static const luaL_Reg core[] = {
      {"png_read", core_png_read}, {"png_write", core_png_write}, {"png_bytes", core_png_bytes},
      {"event", core_event},       {"read", core_read},           {"write", core_write},
      {"same", core_same},         {"lock", core_lock},           {NULL, NULL}};
  bind_class_open(L, &lock_class);
  luaL_newlib(L, core);
  return 1;
}

/* --- sq.save and its kin -------------------------------------------------------------------- */

static int in_files(lua_State *L, const sq_arg *arg) { return part_call(L, "files", arg); }

static const bind_fn functions[] = {
    {"save", "(path: string, value: any, metadata: table? = nil)",
     "Writes a tensor, or nested tables of tensors, numbers, strings and booleans, as safetensors, "
     "whole or not at all. metadata: texts to go with it.",
     in_files},
    {"load", "(path: string) -> any, table",
     "What save wrote, or the tensors by name of any safetensors file; then its metadata.",
     in_files},
    {"Checkpoint", "(dir: string, keep: int = 2, every: int? = nil) -> Checkpoint",
     "A folder of checkpoints: :save(step, {model = model, opt = opt, ...}) keeps the last ones, "
     ":resume{model = model, ...} goes on from the newest and returns its step, or nil; "
     ":step(step, {...}) at the end of a training step saves every `every` steps and when the "
     "script is being stopped.",
     in_files},
    {0}};

void open_files(lua_State *L) { bind_functions(L, "sq", functions); }
