/* main.c: the `seqrt` program. Takes what `lua` takes, with the module at hand and readline at the
 * prompt. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autograd/watch.h"
#include "bind/bind.h"
#include "bind/profile.h"
#include "module/open.h"
#include "module/sys.h"
#include "program/pause.h"
#include "program/repl.h"
#include "program/trace.h"

/* What the command line asks for. Options are read twice: first all are checked, then -e, -l and -W
 * run in order. */
typedef struct command {
  int argc;
  char **argv;
  int script; /* its index in argv; argc without one */
  bool interactive, version, no_env, runs_code, help, profile, detect_anomaly;
  const char *reference; /* "markdown" or "luacats": what --api or --luacats prints */
} command;

static const char *program = "seqrt";

static void print_complaint(const char *text) {
  sys_leave_lines();
  fprintf(stderr, "%s: %s\n", program, text);
}

static const char usage_text[] =
    "usage: %s [options] [script [args]]\n"
    "  -e stat    run a statement\n"
    "  -l mod     require a module into the global of its name\n"
    "  -l g=mod   require a module into the global g\n"
    "  -i         open the prompt after the script; on an error, in the frame that failed\n"
    "  -v         print the version\n"
    "  -E         ignore LUA_INIT, LUA_PATH and LUA_CPATH\n"
    "  -W         turn warnings on\n"
    "  --         end of options\n"
    "  -          run standard input\n"
    "  -h, --help     this text\n"
    "  --version      print the version\n"
    "  --profile          at the end: time and memory of every op and every line\n"
    "  --portable         no BLAS: the same bits on every processor with fused multiply-add\n"
    "  --detect-anomaly   stop at the op that makes the first NaN or Inf\n"
    "  --api          print all functions and classes as Markdown\n"
    "  --luacats      print them for lua-language-server\n"
    "Without a script: the prompt on a terminal, else standard input is run.\n"
    "A script's own options: seqrt script.lua --help\n";

static void print_version(void) {
  printf("seqrt %s (%s)\n", SQ_VERSION, LUA_RELEASE);
  fflush(stdout);
}

/* --- the command line ----------------------------------------------------------------------- */

/* The value of -e or -l: the rest of this argument, or the next one; NULL when there is none. */
static const char *option_value(const command *c, int *i) {
  const char *rest = c->argv[*i] + 2;
  if (*rest != '\0') return rest;
  if (*i + 1 < c->argc && c->argv[*i + 1][0] != '-') return c->argv[++*i];
  return NULL;
}

/* Takes the option at *i; false when it is none that we know. */
static bool take_option(command *c, int *i) {
  const char *arg = c->argv[*i];
  if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) return c->help = true;
  if (strcmp(arg, "--version") == 0) return c->version = c->runs_code = true;
  if (strcmp(arg, "--profile") == 0) return c->profile = true;
  if (strcmp(arg, "--portable") == 0) return !setenv("SEQRT_PORTABLE", "1", 1);
  if (strcmp(arg, "--detect-anomaly") == 0) return c->detect_anomaly = true;
  if (strcmp(arg, "--api") == 0) return (c->reference = "markdown") != NULL;
  if (strcmp(arg, "--luacats") == 0) return (c->reference = "luacats") != NULL;
  if (arg[1] == 'e' || arg[1] == 'l') {
    c->runs_code |= arg[1] == 'e';
    return option_value(c, i) != NULL;
  }
  if (arg[2] != '\0') return false;
  switch (arg[1]) {
    case 'i':
      return c->interactive = c->version = true;
    case 'v':
      return c->version = c->runs_code = true;
    case 'E':
      return c->no_env = true;
    case 'W':
      return true;
    default:
      return false;
  }
}

/* Fills c from argv; false, and *bad the argument at fault, when an option is wrong. */
static bool read_command(command *c, int argc, char **argv, const char **bad) {
  *c = (command){.argc = argc, .argv = argv, .script = argc};
  for (int i = 1; i < argc; i++) {
    *bad = argv[i];
    if (argv[i][0] != '-' || argv[i][1] == '\0') {
      c->script = i;
      return true;
    }
    if (strcmp(argv[i], "--") == 0) {
      c->script = i + 1;
      return true;
    }
    if (!take_option(c, &i)) return false;
  }
  return true;
}

static int bad_command(const char *bad) {
  if (bad[1] == 'e' || bad[1] == 'l') {
    fprintf(stderr, "%s: '%s' needs an argument\n", program, bad);
  } else {
    fprintf(stderr, "%s: unrecognized option '%s'\n", program, bad);
  }
  fprintf(stderr, usage_text, program);
  return EXIT_FAILURE;
}

/* --- running chunks ------------------------------------------------------------------------- */

/* Prints the error on the stack's top, if status says there is one. */
static bool report_error(lua_State *L, int status) {
  if (status == LUA_OK) return true;
  const char *text = lua_tostring(L, -1);
  print_complaint(text != NULL ? text : "(error object is not a string)");
  lua_pop(L, 1);
  return false;
}

/* Calls the function below its args. */
static int call_with(lua_State *L, int args, int results, lua_CFunction handler) {
  int base = lua_gettop(L) - args;
  lua_pushcfunction(L, handler);
  lua_insert(L, base);
  int status = lua_pcall(L, args, results, base);
  lua_remove(L, base);
  return status;
}

static int call_traced(lua_State *L, int args, int results) {
  return call_with(L, args, results, trace_handler);
}

static bool run_chunk(lua_State *L, int load_status) {
  return report_error(L, load_status == LUA_OK ? call_traced(L, 0, 0) : load_status);
}

static bool run_string(lua_State *L, const char *text, const char *name) {
  return run_chunk(L, luaL_loadbufferx(L, text, strlen(text), name, "t"));
}

/* The module that -l names, into its global. */
static bool run_library(lua_State *L, const char *spec) {
  const char *equals = strchr(spec, '=');
  const char *module = equals != NULL ? equals + 1 : spec;
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  int status = call_traced(L, 1, 1);
  if (status != LUA_OK) return report_error(L, status);
  lua_pushglobaltable(L);
  lua_pushlstring(L, spec, equals != NULL ? (size_t)(equals - spec) : strlen(spec));
  lua_pushvalue(L, -3);
  lua_settable(L, -3);
  lua_pop(L, 2);
  return true;
}

static bool run_options(lua_State *L, command *c) {
  for (int i = 1; i < c->argc && i < c->script; i++) {
    char kind = c->argv[i][1];
    if (kind == 'W') lua_warning(L, "@on", 0);
    if (kind != 'e' && kind != 'l') continue;
    const char *value = option_value(c, &i);
    if (!(kind == 'e' ? run_string(L, value, "=(command line)") : run_library(L, value)))
      return false;
  }
  return true;
}

static bool run_init(lua_State *L) {
  const char *name = "=LUA_INIT_5_4", *text = getenv("LUA_INIT_5_4");
  if (text == NULL) text = getenv((name = "=LUA_INIT") + 1);
  if (text == NULL) return true;
  if (text[0] == '@') return run_chunk(L, luaL_loadfilex(L, text + 1, "t"));
  return run_string(L, text, name);
}

/* arg[0] is the script, what follows it counts up from 1, what stands before it down from -1. */
static void set_arg(lua_State *L, const command *c) {
  int zero = c->script < c->argc ? c->script : 0;
  lua_createtable(L, c->argc - zero - 1, zero + 1);
  for (int i = 0; i < c->argc; i++) {
    lua_pushstring(L, c->argv[i]);
    lua_rawseti(L, -2, i - zero);
  }
  lua_setglobal(L, "arg");
}

/* Pushes arg[1], arg[2], ... as the script left them after -e and -l; returns how many. */
static int push_args(lua_State *L) {
  if (lua_getglobal(L, "arg") != LUA_TTABLE) luaL_error(L, "'arg' is not a table");
  int n = (int)luaL_len(L, -1);
  luaL_checkstack(L, n + 3, "too many arguments to script");
  for (int i = 1; i <= n; i++) lua_rawgeti(L, -i, i);
  lua_remove(L, -n - 1);
  return n;
}

static bool run_script(lua_State *L, const command *c) {
  const char *file = c->argv[c->script];
  bool is_stdin = strcmp(file, "-") == 0 && strcmp(c->argv[c->script - 1], "--") != 0;
  int status = luaL_loadfilex(L, is_stdin ? NULL : file, "t");
  if (status != LUA_OK) return report_error(L, status);
  lua_CFunction handler = c->interactive ? repl_keep_handler : trace_handler;
  return report_error(L, call_with(L, push_args(L), 0, handler));
}

/* --- the program ---------------------------------------------------------------------------- */

/* `require "seqrt"` finds the module in the program itself. */
static void preload_module(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_seqrt);
  lua_setfield(L, -2, "seqrt");
  lua_pop(L, 1);
}

/* --api and --luacats. */
static bool print_reference(lua_State *L, const char *form) {
  const char *text =
      lua_pushfstring(L, "require 'seqrt' print(require('seqrt.reference').%s())", form);
  return run_string(L, text, "=(command line)");
}

static bool run_command(lua_State *L, command *c) {
  if (c->reference != NULL) return print_reference(L, c->reference);
  if (!c->no_env && !run_init(L)) return false;
  if (!run_options(L, c)) return false;
  bool ok = c->script >= c->argc || run_script(L, c);
  if (c->interactive && (ok || pause_seen() == 0)) return (repl_run(L, false) == 0) && ok;
  if (c->script < c->argc || c->runs_code) return ok;
  if (isatty(STDIN_FILENO)) return repl_run(L, true) == 0;
  return run_chunk(L, luaL_loadfilex(L, NULL, "t"));
}

/* On a terminal Ctrl-C pauses a script; SEQRT_PAUSE=0 makes it end there too. */
static bool can_pause(void) {
  const char *wish = getenv("SEQRT_PAUSE");
  if (wish != NULL && strcmp(wish, "0") == 0) return false;
  return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* malloc keeps what was freed, and takes more in large pieces: garbage that grows from step to step
 * until Lua collects it would ask the system for a little each time otherwise. */
static void keep_heap(void) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
  mallopt(M_TOP_PAD, 4 << 20);
#endif
}

static void end_profile(void) { profile_enable(false); }

/* --profile and --detect-anomaly. The profile is printed also when the script calls os.exit. */
static void start_watching(const command *c) {
  if (c->detect_anomaly) sq_anomaly_enable(true);
  if (c->profile && atexit(end_profile) == 0) profile_enable(true);
}

static int protected_main(lua_State *L) {
  command *c = lua_touserdata(L, 1);
  if (c->no_env) {
    lua_pushboolean(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
  }
  luaL_openlibs(L);
  preload_module(L);
  set_arg(L, c);
  lua_gc(L, LUA_GCGEN, 0, 0);
  pause_install(L, repl_pause);
  if (can_pause()) pause_set_mode(PAUSE_OPEN);
  start_watching(c);
  lua_pushboolean(L, run_command(L, c));
  return 1;
}

/* Descriptors 0 to 2 that the caller closed become /dev/null: no file of ours may land on them. */
static void fill_standard_files(void) {
  for (int fd = 0; fd <= 2; fd++) {
    if (fcntl(fd, F_GETFD) == -1 && errno == EBADF && open("/dev/null", O_RDWR) != fd) _exit(1);
  }
}

static void ignore_signal(int sig) { (void)sig; }

/* Exit status 1 when output was lost; that a reader went away is no news to anybody. */
static int finish_output(int status) {
  bool lost = ferror(stdout) != 0;
  lost |= fflush(stdout) != 0;
  if (!lost) return status;
  struct pollfd out = {.fd = STDOUT_FILENO};
  bool reader_gone = poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
  if (!reader_gone) print_complaint("standard output could not be written in full");
  return status == EXIT_SUCCESS ? EXIT_FAILURE : status;
}

int main(int argc, char **argv) {
  command c;
  const char *bad = NULL;
  fill_standard_files();
  /* A lost reader and a file at its size limit are errors of the call that writes. A handler, and
   * not SIG_IGN, which children started by io.popen would inherit. */
  struct sigaction quiet = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
  sigaction(SIGPIPE, &quiet, NULL);
  sigaction(SIGXFSZ, &quiet, NULL);
  if (argc > 0 && argv[0][0] != '\0') program = argv[0];
  if (!read_command(&c, argc, argv, &bad)) return bad_command(bad);
  if (c.help) {
    printf(usage_text, program);
    return finish_output(EXIT_SUCCESS);
  }
  keep_heap();
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    print_complaint("cannot create a Lua state: not enough memory");
    return EXIT_FAILURE;
  }
  if (c.version) print_version();
  lua_pushcfunction(L, protected_main);
  lua_pushlightuserdata(L, &c);
  bool ok = report_error(L, lua_pcall(L, 1, 1, 0)) && lua_toboolean(L, -1);
  int signal = ok ? 0 : pause_seen();
  end_profile();
  lua_close(L);
  return finish_output(ok ? EXIT_SUCCESS : signal != 0 ? 128 + signal : EXIT_FAILURE);
}
