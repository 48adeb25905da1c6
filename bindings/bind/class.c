/* class.c: classes of userdata: metatables, members, fields, and the end of an object. */
#include <string.h>

#include "bind/bind.h"
#include "bind/registry.h"

/* __index: members by name (a method is a function, a field its row), other keys by the class.
 * Upvalues: members, class. */
static int class_index(lua_State *L) {
  if (lua_type(L, 2) != LUA_TSTRING) {
    const bind_class *class = lua_touserdata(L, lua_upvalueindex(2));
    if (class->index) {
      bind_enter(L);
      int n = class->index(L);
      bind_account(L);
      return n;
    }
    const char *key = bind_describe(L, 2);
    return bind_error(L, "a %s has no field %s", class->name, key);
  }
  lua_pushvalue(L, 2);
  int type = lua_rawget(L, lua_upvalueindex(1));
  if (type == LUA_TFUNCTION) return 1;
  const bind_class *class = lua_touserdata(L, lua_upvalueindex(2));
  if (type == LUA_TNIL) {
    if (class->lookup && class->lookup(L, bind_check(L, 1, class))) return 1;
    return bind_unknown_member(L, class->name, lua_upvalueindex(1));
  }
  const bind_field *field = lua_touserdata(L, -1);
  return field->get(L, bind_check(L, 1, class));
}

static int class_newindex(lua_State *L) {
  const bind_class *class = lua_touserdata(L, lua_upvalueindex(2));
  if (lua_type(L, 2) != LUA_TSTRING) {
    if (class->newindex) {
      bind_enter(L);
      class->newindex(L);
      bind_account(L);
      return 0;
    }
    const char *key = bind_describe(L, 2);
    return bind_error(L, "a %s has no field %s", class->name, key);
  }
  lua_pushvalue(L, 2);
  int type = lua_rawget(L, lua_upvalueindex(1));
  if (type == LUA_TNIL) {
    if (class->assign && class->assign(L, bind_check(L, 1, class), 3)) return 0;
    return bind_unknown_member(L, class->name, lua_upvalueindex(1));
  }
  const bind_field *field = type == LUA_TLIGHTUSERDATA ? lua_touserdata(L, -1) : NULL;
  if (!field || !field->set)
    return bind_error(L, "%s.%s can't be assigned", class->name, lua_tostring(L, 2));
  field->set(L, bind_check(L, 1, class), 3);
  return 0;
}

/* __gc and __close. Upvalue 1: the class. */
static int class_close(lua_State *L) {
  const bind_class *class = lua_touserdata(L, lua_upvalueindex(1));
  bind_box *box = bind_test(L, 1, class);
  if (!box || !box->object) return 0;
  void *object = box->object;
  box->object = NULL;
  class->drop(object);
  return 0;
}

/* Fills the table on the top with what the class and those it is based on offer. */
static void add_members(lua_State *L, const bind_class *class) {
  if (class->base) add_members(L, class->base);
  for (const bind_fn *f = class->methods; f && f->name; f++) {
    bind_push_function(L, f);
    lua_setfield(L, -2, f->name);
  }
  for (const bind_field *f = class->fields; f && f->name; f++) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)f);
    lua_setfield(L, -2, f->name);
  }
}

/* The names of the members as a list, for completion; the metatable is on the top. */
static void push_member_names(lua_State *L) {
  lua_newtable(L);
  lua_getfield(L, -2, "__members");
  lua_Integer n = 0;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    lua_pushvalue(L, -2);
    lua_rawseti(L, -5, ++n);
  }
  lua_pop(L, 1);
}

/* Sets a metamethod whose upvalues are members and class. */
static void set_accessor(lua_State *L, const char *name, lua_CFunction f, const bind_class *class) {
  lua_getfield(L, -1, "__members");
  lua_pushlightuserdata(L, (void *)(uintptr_t) class);
  lua_pushcclosure(L, f, 2);
  lua_setfield(L, -2, name);
}

void bind_class_open(lua_State *L, const bind_class *class) {
  BIND_TRY(L, registry_add_class(class));
  lua_createtable(L, 0, 16);
  lua_pushstring(L, class->name);
  lua_setfield(L, -2, "__name");
  lua_newtable(L);
  add_members(L, class);
  lua_setfield(L, -2, "__members");
  set_accessor(L, "__index", class_index, class);
  set_accessor(L, "__newindex", class_newindex, class);
  lua_pushlightuserdata(L, (void *)(uintptr_t) class);
  lua_pushcclosure(L, class_close, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__gc");
  lua_setfield(L, -2, "__close");
  if (class->meta) luaL_setfuncs(L, class->meta, 0);
  push_member_names(L);
  lua_setfield(L, -2, "__dir");
  lua_rawsetp(L, LUA_REGISTRYINDEX, class);
}

void bind_class_add(lua_State *L, const bind_class *class, const char *name) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, class);
  if (strncmp(name, "__", 2) != 0) {
    lua_getfield(L, -1, "__dir");
    lua_pushstring(L, name);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
    lua_getfield(L, -1, "__members");
    lua_replace(L, -2);
  }
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, name);
  lua_pop(L, 2);
}
