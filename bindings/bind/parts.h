/* parts.h: the Lua parts of the module as the Makefile embeds them from bindings/lua. */
#ifndef SQ_BIND_PARTS_H
#define SQ_BIND_PARTS_H

#include <stddef.h>

/* One file: its name without ".lua", its text (no 0 byte after it is promised), its bytes. */
typedef struct part_file {
  const char *name, *text;
  size_t size;
} part_file;

/* What a part defines for scripts: owner.name ("sq.nn", "Module"), which is the part's value, or
 * the field of that name where the value is a table with one. Read off `owner = "sq.nn", name =
 * "Module"` on one line of the part; by `owner = "sq.nn.init", name = name` the part itself is the
 * table sq.nn.init. */
typedef struct part_value {
  const char *owner, *name, *part;
} part_value;

/* All of them, ended by an owner of NULL. */
extern const part_value part_values[];

/* All parts, ended by a name of NULL. */
extern const part_file part_files[];

#endif
