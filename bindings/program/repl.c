/* repl.c: lines for the prompt, from readline or from plain standard input. Knows nothing of what
 * they mean. */
#include "program/repl.h"

#include <errno.h>
#include <lauxlib.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef SQ_READLINE
#include <readline/history.h>
#include <readline/readline.h>
#endif

#include "base/limits.h"
#include "program/pause.h"
#include "program/trace.h"

/* --- plain input ---------------------------------------------------------------------------- */

/* Pushes one line without its newline; nothing and false at the end of input. */
static bool push_plain_line(lua_State *L) {
  char piece[SQ_LINE_BYTES];
  bool any = false;
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  while (fgets(piece, sizeof piece, stdin) != NULL) {
    size_t n = strlen(piece);
    bool whole = n > 0 && piece[n - 1] == '\n';
    any = true;
    luaL_addlstring(&line, piece, whole ? n - 1 : n);
    if (whole) break;
  }
  luaL_pushresult(&line);
  if (!any) lua_pop(L, 1);
  return any;
}

/* nil, "interrupt" or nil, "eof": what read returns without a line. */
static int push_no_line(lua_State *L) {
  bool interrupted = pause_seen();
  pause_reset();
  clearerr(stdin);
  if (interrupted) {
    fputs("\n", stdout);
    fflush(stdout);
  }
  lua_pushnil(L);
  lua_pushstring(L, interrupted ? "interrupt" : "eof");
  return 2;
}

/* Whether a read goes on after Ctrl-C; at the prompt it must not. */
static void set_restart(bool on) {
  struct sigaction act;
  if (sigaction(SIGINT, NULL, &act) != 0) return;
  act.sa_flags = on ? act.sa_flags | SA_RESTART : act.sa_flags & ~SA_RESTART;
  sigaction(SIGINT, &act, NULL);
}

static int read_plain(lua_State *L, const char *prompt) {
  fputs(prompt, stdout);
  fflush(stdout);
  set_restart(false);
  bool any = push_plain_line(L);
  set_restart(true);
  return any ? 1 : push_no_line(L);
}

/* --- readline ------------------------------------------------------------------------------- */
#ifdef SQ_READLINE

enum { HISTORY_LINES = 5000 };

static struct {
  lua_State
      *L; /* whose completer is asked; its function is in the registry under the address of this */
  char *line;
  bool done;
} term;

static void take_typed_line(char *line) {
  term.line = line;
  term.done = true;
  rl_callback_handler_remove();
}

/* Readline's own loop would take SIGINT for itself; this one waits with the signal let in and reads
 * with it kept out, so that Ctrl-C is seen between keys and never inside readline. */
static void read_typed_keys(void) {
  sigset_t interrupt, before;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  sigprocmask(SIG_BLOCK, &interrupt, &before);
  while (!term.done && !pause_seen()) {
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    if (ppoll(&in, 1, NULL, &before) > 0) {
      rl_callback_read_char();
    } else {
      rl_check_signals(); /* a resized window */
    }
  }
  sigprocmask(SIG_SETMASK, &before, NULL);
}

static int push_term_line(lua_State *L) {
  lua_pushstring(L, term.line);
  return 1;
}

static int read_term(lua_State *L, const char *prompt) {
  term.L = L;
  term.line = NULL;
  term.done = false;
  rl_callback_handler_install(prompt, take_typed_line);
  read_typed_keys();
  if (!term.done) {
    rl_free_line_state();
    rl_callback_handler_remove();
    fputs("^C", stdout);
    return push_no_line(L);
  }
  if (term.line == NULL) {
    fputs("\n", stdout);
    return push_no_line(L);
  }
  lua_pushcfunction(L, push_term_line);
  int status = lua_pcall(L, 0, 1, 0);
  free(term.line);
  return status == LUA_OK ? 1 : lua_error(L);
}

/* True when an opening quote stands before `end` on the line: then a word is a file name. */
static bool in_string(const char *line, int end) {
  char quote = 0;
  for (int i = 0; i < end && line[i] != '\0'; i++) {
    if (quote != 0 && line[i] == '\\') {
      i++;
    } else if (quote != 0 ? line[i] == quote : line[i] == '"' || line[i] == '\'') {
      quote = quote != 0 ? 0 : line[i];
    }
  }
  return quote != 0;
}

static char *word_breaks(void) {
  static char name[] = "\"'/", code[] = " \t\n\"\\'`@$><=;|&{}()[]+-*/^%#~,.:!?";
  return in_string(rl_line_buffer, rl_point) ? name : code;
}

/* The next candidate of the table on the Lua stack's top. Readline frees it, so it comes from
 * malloc. */
static char *next_match(const char *text, int state) {
  static lua_Integer i;
  (void)text;
  if (state == 0) i = 0;
  lua_rawgeti(term.L, -1, ++i);
  const char *name = lua_tostring(term.L, -1);
  char *copy = name != NULL ? strdup(name) : NULL;
  lua_pop(term.L, 1);
  return copy;
}

static char **complete_word(const char *text, int start, int end) {
  lua_State *L = term.L;
  char **matches = NULL;
  rl_attempted_completion_over = 1;
  rl_completion_append_character = '\0';
  rl_completion_suppress_append = 1;
  if (!lua_checkstack(L, 10)) return NULL;
  int top = lua_gettop(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &term) == LUA_TFUNCTION) {
    lua_pushlstring(L, rl_line_buffer, (size_t)start);
    lua_pushstring(L, text);
    lua_pushboolean(L, in_string(rl_line_buffer, end));
    if (lua_pcall(L, 3, 1, 0) == LUA_OK && lua_istable(L, -1)) {
      matches = rl_completion_matches(text, next_match);
    }
  }
  lua_settop(L, top);
  return matches;
}

static int line_completer(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &term);
  rl_attempted_completion_function = complete_word;
  rl_completion_word_break_hook = word_breaks;
  return 0;
}

/* load(path): the lines of earlier sessions; a missing file is fine. */
static int line_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  history_comment_char = '#'; /* with times, an entry of several lines stays one */
  history_write_timestamps = 1;
  if (read_history(path) == 0 && history_length > HISTORY_LINES) {
    history_truncate_file(path, HISTORY_LINES);
    stifle_history(HISTORY_LINES);
  }
  return 0;
}

/* add(line [, path]): into the history, and to the end of its file; an entry equal to the last one
 * is not repeated. */
static int line_add(lua_State *L) {
  const char *line = luaL_checkstring(L, 1), *path = luaL_optstring(L, 2, NULL);
  HIST_ENTRY *last = history_length > 0 ? history_get(history_base + history_length - 1) : NULL;
  if (last != NULL && strcmp(last->line, line) == 0) return 0;
  add_history(line);
  if (path != NULL && append_history(1, path) == ENOENT)
    write_history(path); /* made with mode 0600 */
  return 0;
}

static void prepare_readline(void) {
  rl_readline_name = "seqrt";
  rl_catch_signals = 0;
  rl_persistent_signal_handlers = 1;
}

#else

static int read_term(lua_State *L, const char *prompt) { return read_plain(L, prompt); }
static int line_completer(lua_State *L) { return (void)L, 0; }
static int line_load(lua_State *L) { return (void)L, 0; }
static int line_add(lua_State *L) { return (void)L, 0; }
static void prepare_readline(void) {}

#endif

/* --- the prompt ----------------------------------------------------------------------------- */

/* read(prompt): the next line; nil and "eof" or "interrupt" without one. */
static int line_read(lua_State *L) {
  const char *prompt = luaL_checkstring(L, 1);
  return isatty(STDIN_FILENO) ? read_term(L, prompt) : read_plain(L, prompt);
}

static void push_line_table(lua_State *L) {
  static const luaL_Reg line[] = {{"read", line_read},
                                  {"completer", line_completer},
                                  {"load", line_load},
                                  {"add", line_add},
                                  {NULL, NULL}};
  luaL_newlib(L, line);
}

/* Pushes repl.lua's table; the module itself comes first, it says where its parts are. */
static void push_repl_part(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushvalue(L, -1);
  lua_pushliteral(L, "seqrt");
  lua_call(L, 1, 0);
  lua_pushliteral(L, "seqrt.repl");
  lua_call(L, 1, 1);
}

/* Calls a function of repl.lua: name, then arguments; the line table goes first. */
static int call_repl_part(lua_State *L) {
  const char *name = lua_touserdata(L, 1);
  push_repl_part(L);
  lua_getfield(L, -1, name);
  lua_replace(L, 1);
  lua_pop(L, 1);
  push_line_table(L);
  lua_insert(L, 2);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

static void print_error(lua_State *L) {
  fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
  lua_pop(L, 1);
}

static void prepare_prompt(void) {
  setlocale(LC_CTYPE, "");
  prepare_readline();
}

/* The loop is in C: an interrupt cannot end it, only the step that it hit. */
int repl_run(lua_State *L, bool greeting) {
  static char name[] = "start";
  int top = lua_gettop(L);
  bool leave = false;
  prepare_prompt();
  pause_mode before = pause_set_mode(PAUSE_STOP);
  lua_pushcfunction(L, call_repl_part);
  lua_pushlightuserdata(L, name);
  lua_pushboolean(L, greeting);
  if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
    print_error(L);
    lua_settop(L, top);
    return 1;
  }
  while (!leave) {
    pause_set_running(L);
    lua_pushvalue(L, top + 1);
    if (lua_pcall(L, 0, 1, 0) == LUA_OK) {
      leave = !lua_toboolean(L, -1);
    } else {
      pause_reset();
      print_error(L);
    }
    pause_reset();
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
  pause_set_mode(before);
  return 0;
}

/* Runs a function with its arguments, on the stack's top, in a coroutine of its own: hooks are off
 * inside a hook, but on there, so a chunk that never ends can be interrupted. Leaves one result;
 * false and the error's text on a failure. */
static bool call_apart(lua_State *L, int args) {
  lua_State *co = lua_newthread(L), *before = pause_set_running(co);
  int results = 0;
  lua_insert(L, -args - 2);
  lua_xmove(L, co, args + 1);
  int status = lua_resume(co, L, args, &results);
  pause_set_running(before);
  if (status == LUA_YIELD) {
    lua_pushliteral(L, "attempt to yield from the prompt");
  } else if (lua_gettop(co) > 0) {
    lua_xmove(co, L, 1);
  } else {
    lua_pushnil(L);
  }
  lua_remove(L, -2);
  return status == LUA_OK;
}

static pause_action action_of(const char *word) {
  if (strcmp(word, "step") == 0) return PAUSE_STEP;
  return strcmp(word, "abort") == 0 ? PAUSE_ABORT : PAUSE_CONT;
}

enum { MOST_RESUMERS = 8 };

pause_action repl_pause(lua_State *L, bool stepping) {
  static char name[] = "pause";
  pause_action action = PAUSE_CONT;
  int top = lua_gettop(L);
  bool leave = false;
  if (!lua_checkstack(L, 10 + MOST_RESUMERS)) return action;
  prepare_prompt();
  lua_pushcfunction(L, call_repl_part);
  lua_pushlightuserdata(L, name);
  lua_pushthread(L);
  lua_pushboolean(L, stepping);
  if (!call_apart(L, 3 + pause_push_resumers(L, MOST_RESUMERS))) {
    print_error(L);
    leave = true;
  }
  while (!leave) {
    lua_pushvalue(L, top + 1);
    if (!call_apart(L, 0)) {
      print_error(L);
    } else if (lua_type(L, -1) == LUA_TSTRING) {
      action = action_of(lua_tostring(L, -1));
      leave = true;
    } else {
      leave = !lua_toboolean(L, -1);
    }
    pause_reset();
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
  return action;
}

static int keep_frames(lua_State *L) {
  push_repl_part(L);
  lua_getfield(L, -1, "keep");
  lua_call(L, 0, 0);
  return 0;
}

int repl_keep_handler(lua_State *L) {
  lua_pushcfunction(L, keep_frames);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) lua_pop(L, 1);
  return trace_handler(L);
}
