/* process.c: this program started again as a child that reports through a pipe, for sweeps. Nothing
 * here knows what the children are for. */
#include "module/process.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"

enum { REPORT_FD = 3 }; /* where a child finds its end of the pipe */

static const char CLASS[] = "seqrt.Process";

/* pid 0: ended and its status taken; -1: never started. fd -1: closed. */
typedef struct process {
  pid_t pid;
  int fd, status;
} process;

static process *check_process(lua_State *L, int i) { return luaL_checkudata(L, i, CLASS); }

static int push_failure(lua_State *L, const char *what, int code) {
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", what, strerror(code));
  return 2;
}

/* --- starting ------------------------------------------------------------------------------- */

/* The texts of the list at `at` as a vector ended by NULL, in a userdata that is pushed. `extra`
 * places are left free before the NULL. */
static char **push_vector(lua_State *L, int at, size_t extra) {
  luaL_checktype(L, at, LUA_TTABLE);
  size_t n = lua_rawlen(L, at);
  char **v = lua_newuserdatauv(L, (n + extra + 1) * sizeof *v, 1);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, at, (lua_Integer)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "item %d is no string", (int)i + 1);
    v[i] = (char *)(uintptr_t)lua_tostring(L, -1);
    lua_pop(L, 1); /* the list keeps it */
  }
  v[n] = v[n + extra] = NULL;
  return v;
}

/* Whether "NAME=..." is set by one of the n texts. */
static bool is_set(char *const *texts, size_t n, const char *entry) {
  const char *equals = strchr(entry, '=');
  size_t length = equals ? (size_t)(equals - entry) + 1 : strlen(entry);
  for (size_t i = 0; i < n; i++)
    if (strncmp(texts[i], entry, length) == 0) return true;
  return false;
}

/* The environment, with the list's "NAME=value" in place of what it had. */
static char **push_environment(lua_State *L, int at) {
  size_t n = lua_rawlen(L, at), all = 0;
  while (environ[all]) all++;
  char **v = push_vector(L, at, all);
  size_t used = n;
  for (size_t i = 0; i < all; i++)
    if (!is_set(v, n, environ[i])) v[used++] = environ[i];
  v[used] = NULL;
  return v;
}

/* 0 or an error number. The child's input is empty, both its outputs go to the file. */
static int start_child(process *p, char **argv, char **env, const char *output, int report) {
  posix_spawn_file_actions_t a;
  int code = posix_spawn_file_actions_init(&a);
  if (code != 0) return code;
  code = posix_spawn_file_actions_addopen(&a, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  int flags = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND;
  if (code == 0) code = posix_spawn_file_actions_addopen(&a, STDOUT_FILENO, output, flags, 0666);
  if (code == 0) code = posix_spawn_file_actions_adddup2(&a, STDOUT_FILENO, STDERR_FILENO);
  if (code == 0) code = posix_spawn_file_actions_adddup2(&a, report, REPORT_FD);
  pid_t pid = -1;
  /* the link, and not what it points to: the same program even if its file was replaced since */
  if (code == 0) code = posix_spawn(&pid, "/proc/self/exe", &a, NULL, argv, env);
  posix_spawn_file_actions_destroy(&a);
  if (code == 0) p->pid = pid;
  return code;
}

/* spawn(args, environment, output): this program with `args` (the name first), "NAME=value" texts
 * added to its environment, and its output in a file. A Process, or nil and why. */
static int process_spawn(lua_State *L) {
  const char *output = luaL_checkstring(L, 3);
  process *p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = (process){.pid = -1, .fd = -1};
  luaL_setmetatable(L, CLASS);
  int at = lua_gettop(L), ends[2];
  char **argv = push_vector(L, 1, 0);
  char **env = push_environment(L, 2);
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return push_failure(L, "pipe", errno);
  p->fd = ends[0];
  int code = start_child(p, argv, env, output, ends[1]);
  close(ends[1]);
  if (code != 0) return push_failure(L, output, code);
  lua_settop(L, at);
  return 1;
}

/* --- watching ------------------------------------------------------------------------------- */

/* wait(list, seconds): returns when one of these Processes has reported or ended its report, when a
 * signal came, or after the time. */
static int process_wait(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Number seconds = luaL_checknumber(L, 2);
  nfds_t used = 0;
  lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
  struct pollfd *fds = lua_newuserdatauv(L, (size_t)n * sizeof *fds, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, 1, i);
    int fd = check_process(L, -1)->fd;
    if (fd >= 0) fds[used++] = (struct pollfd){.fd = fd, .events = POLLIN};
    lua_pop(L, 1);
  }
  (void)poll(fds, used, (int)(seconds * 1000));
  return 0;
}

/* p:read() -> what was reported since; nil when nothing more can come. */
static int process_read(lua_State *L) {
  process *p = check_process(L, 1);
  if (p->fd < 0) return 0;
  char buffer[SQ_PIPE_BYTES];
  ssize_t n = read(p->fd, buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    n = 0;
  else if (n <= 0) {
    close(p->fd);
    p->fd = -1;
    return 0;
  }
  lua_pushlstring(L, buffer, (size_t)n);
  return 1;
}

/* p:status() -> nil while it runs, else "exit" and its status, or "signal" and its number. */
static int process_status(lua_State *L) {
  process *p = check_process(L, 1);
  if (p->pid > 0 && waitpid(p->pid, &p->status, WNOHANG) == p->pid) p->pid = 0;
  if (p->pid != 0) return 0;
  bool signaled = WIFSIGNALED(p->status);
  lua_pushstring(L, signaled ? "signal" : "exit");
  lua_pushinteger(L, signaled ? WTERMSIG(p->status) : WEXITSTATUS(p->status));
  return 2;
}

/* p:stop([hard]): SIGTERM, or SIGKILL. */
static int process_stop(lua_State *L) {
  const process *p = check_process(L, 1);
  if (p->pid > 0) kill(p->pid, lua_toboolean(L, 2) ? SIGKILL : SIGTERM);
  return 0;
}

/* Collected or out of scope: the child goes too. */
static int process_close(lua_State *L) {
  process *p = check_process(L, 1);
  if (p->fd >= 0) close(p->fd);
  p->fd = -1;
  if (p->pid > 0) {
    kill(p->pid, SIGKILL);
    while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR) continue;
    p->pid = 0;
  }
  return 0;
}

/* --- in the child --------------------------------------------------------------------------- */

/* Whether the reader of the report has gone: its files close before its children are told. */
static bool reader_gone(void) {
  struct pollfd end = {.fd = REPORT_FD, .events = POLLOUT};
  return poll(&end, 1, 0) == 1 && (end.revents & POLLERR);
}

/* adopt(pid, variable): makes this process a child of `pid`: it ends with it, leaves Ctrl-C to it,
 * and hands neither the pipe nor the environment variable on to its own children. True; false when
 * `pid` is gone; nil when it lives and is not the parent. */
static int process_adopt(lua_State *L) {
  pid_t parent = (pid_t)luaL_checkinteger(L, 1);
  const char *variable = luaL_checkstring(L, 2);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  bool mine = getppid() == parent;
  if (!mine) {
    prctl(PR_SET_PDEATHSIG, 0);
    if (!reader_gone()) return 0;
  } else {
    signal(SIGINT, SIG_IGN);
    fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
    unsetenv(variable);
  }
  lua_pushboolean(L, mine);
  return 1;
}

/* tell(text): to the parent. A full pipe or a parent that is gone loses it. */
static int process_tell(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  lua_pushboolean(L, write(REPORT_FD, text, n) == (ssize_t)n);
  return 1;
}

int luaopen_seqrt_process(lua_State *L) {
  static const luaL_Reg functions[] = {{"spawn", process_spawn},
                                       {"wait", process_wait},
                                       {"adopt", process_adopt},
                                       {"tell", process_tell},
                                       {NULL, NULL}};
  static const luaL_Reg methods[] = {{"read", process_read},
                                     {"status", process_status},
                                     {"stop", process_stop},
                                     {"close", process_close},
                                     {"__close", process_close},
                                     {"__gc", process_close},
                                     {NULL, NULL}};
  luaL_newmetatable(L, CLASS);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
