/* parts.h: the Lua parts of the module as the Makefile embeds them from bindings/lua. */
#ifndef SQ_BIND_PARTS_H
#define SQ_BIND_PARTS_H

#include <stddef.h>

/* One file: its name without ".lua", its text (no 0 byte after it is promised), its bytes. */
typedef struct lua_part {
  const char *name, *text;
  size_t size;
} lua_part;

/* All parts, ended by a name of NULL. */
extern const lua_part lua_parts[];

#endif
