/* sys.c: clock, terminal and files for the Lua parts. Functions that touch files return nil and a
 * message on failure. */
#include "module/sys.h"

#include <errno.h>
#include <glob.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "bind/bind.h"

enum { DEFAULT_WIDTH = 80, DEFAULT_HEIGHT = 24, MAX_READ = 1 << 30 };

/* true, or nil and the text of the failure. */
static int push_status(lua_State *L, sq_status status) {
  if (status == SQ_OK) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, sq_error_text());
  return 2;
}

static int sys_clock(lua_State *L, const sq_arg *arg) {
  (void)arg;
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec * 1e-9);
  return 1;
}

/* Seconds since 1970 with their fraction, for records of when something happened. */
static int sys_time(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec * 1e-9);
  return 1;
}

static int sys_isatty(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* Columns and rows of the terminal behind a descriptor; 80 and 24 when it does not say. */
static int sys_width(lua_State *L) {
  struct winsize size = {0};
  int fd = (int)luaL_checkinteger(L, 1);
  bool known = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  lua_pushinteger(L, known ? size.ws_col : DEFAULT_WIDTH);
  lua_pushinteger(L, known && size.ws_row > 0 ? size.ws_row : DEFAULT_HEIGHT);
  return 2;
}

/* columns(text, most = all) -> the columns that text takes on a terminal, or its longest beginning
 * that takes at most `most`; and the bytes of that. */
static int sys_columns(lua_State *L) {
  size_t n, bytes;
  const char *text = luaL_checklstring(L, 1, &n);
  lua_pushinteger(L, sq_text_columns(text, n, luaL_optinteger(L, 2, INT64_MAX), &bytes));
  lua_pushinteger(L, (lua_Integer)bytes);
  return 2;
}

/* Open lines on the terminal that the Lua parts draw over and over, the cursor on the first. */
static int held_lines;

void sys_leave_lines(void) {
  while (held_lines > 0) held_lines = write(STDERR_FILENO, "\n", 1) == 1 ? held_lines - 1 : 0;
}

/* hold_lines(n = as it is) -> how many were held; what is held at the end of the process is left.
 */
static int sys_hold_lines(lua_State *L) {
  static bool registered;
  lua_pushinteger(L, held_lines);
  held_lines = (int)luaL_optinteger(L, 1, held_lines);
  if (!registered) registered = atexit(sys_leave_lines) == 0;
  return 1;
}

static int fs_mkdir_p(lua_State *L, const sq_arg *arg) {
  (void)arg;
  return push_status(L, sq_dir_make(bind_path(L, 1)));
}

static int fs_exists(lua_State *L, const sq_arg *arg) {
  (void)arg;
  lua_pushboolean(L, access(bind_path(L, 1), F_OK) == 0);
  return 1;
}

/* join("a", "b/", "c") is "a/b/c"; an absolute part starts over, an empty one is left out. */
static int fs_join(lua_State *L, const sq_arg *arg) {
  (void)arg;
  int n = lua_gettop(L);
  lua_pushliteral(L, "");
  for (int i = 1; i <= n; i++) {
    const char *part = bind_path(L, i);
    size_t length;
    const char *so_far = lua_tolstring(L, -1, &length);
    if (part[0] == '\0') continue;
    bool fresh = length == 0 || part[0] == '/';
    bool slash = !fresh && so_far[length - 1] != '/';
    lua_pushfstring(L, "%s%s%s", fresh ? "" : so_far, slash ? "/" : "", part);
    lua_remove(L, -2);
  }
  return 1;
}

/* The results of glob(3) as a table; the struct is freed before anything here can raise. */
static int push_matches(lua_State *L) {
  const glob_t *found = lua_touserdata(L, 1);
  lua_createtable(L, (int)found->gl_pathc, 0);
  for (size_t i = 0; i < found->gl_pathc; i++) {
    lua_pushstring(L, found->gl_pathv[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* Names that match a shell pattern, sorted by byte; an empty table when none does. */
static int fs_glob(lua_State *L, const sq_arg *arg) {
  (void)arg;
  glob_t found = {0};
  const char *pattern = bind_path(L, 1);
  lua_settop(L, 1);
  lua_pushcfunction(L, push_matches);
  lua_pushlightuserdata(L, &found);
  int status = glob(pattern, GLOB_TILDE_CHECK, NULL, &found);
  if (status == GLOB_NOSPACE || status == GLOB_ABORTED) {
    globfree(&found);
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", pattern, strerror(status == GLOB_NOSPACE ? ENOMEM : EIO));
    return 2;
  }
  int failed = lua_pcall(L, 1, 1, 0);
  globfree(&found);
  return failed ? lua_error(L) : 1;
}

/* append(path, text): complete, or nil and why. */
static int sys_append(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 2, &n);
  return push_status(L, sq_file_append(bind_path(L, 1), text, (int64_t)n));
}

/* write(path, text): the file is old or new, never torn. */
static int sys_write(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 2, &n);
  return push_status(L, sq_file_write(bind_path(L, 1), text, (int64_t)n));
}

/* read(path): the whole file. */
static int sys_read(lua_State *L) {
  void *data = NULL;
  int64_t size = 0;
  const char *path = bind_path(L, 1);
  sq_status status = sq_file_read(path, MAX_READ, &data, &size);
  if (status != SQ_OK) return push_status(L, status);
  return bind_give_bytes(L, data, size);
}

/* probe(folder): can files be made there? */
static int sys_probe(lua_State *L) { return push_status(L, sq_dir_probe(bind_path(L, 1))); }

static int sys_pid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

static const bind_fn fs_functions[] = {
    {"mkdir_p", "(path: string) -> bool, string?",
     "Makes a folder and those above it; true, or nil and why not.", fs_mkdir_p},
    {"exists", "(path: string) -> bool", "True when something of that name is there.", fs_exists},
    {"join", "(...: any? = nil) -> string",
     "\"a\", \"b/\", \"c\" is \"a/b/c\"; an absolute part starts over, an empty one is left out.",
     fs_join},
    {"glob", "(pattern: string) -> any, string?",
     "The names that match a shell pattern, sorted; nil and why where that failed.", fs_glob},
    {0}};

static const bind_fn clock_function[] = {
    {"clock", "() -> number", "Seconds from some moment on, never backwards.", sys_clock}, {0}};

static int sys_hostname(lua_State *L) {
  char name[256] = "localhost";
  gethostname(name, sizeof name - 1);
  lua_pushstring(L, name);
  return 1;
}

int luaopen_seqrt_sys(lua_State *L) {
  static const luaL_Reg sys[] = {
      {"time", sys_time},       {"isatty", sys_isatty},     {"width", sys_width},
      {"columns", sys_columns}, {"append", sys_append},     {"hold_lines", sys_hold_lines},
      {"write", sys_write},     {"read", sys_read},         {"probe", sys_probe},
      {"pid", sys_pid},         {"hostname", sys_hostname}, {NULL, NULL}};
  luaL_newlib(L, sys);
  bind_functions(L, "sq", clock_function);
  lua_newtable(L);
  bind_functions(L, "sq.fs", fs_functions);
  lua_setfield(L, -2, "fs");
  return 1;
}
