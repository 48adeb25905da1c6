/* pause.h: what Ctrl-C and SIGTERM do to a running script. */
#ifndef SQ_PROGRAM_PAUSE_H
#define SQ_PROGRAM_PAUSE_H

#include <lua.h>
#include <stdbool.h>

/* What an interrupt does when it meets running Lua code. */
typedef enum pause_mode {
  PAUSE_SAVE, /* a script off the terminal: waits for the next safe point of a checkpoint that
                  * has one (30 s at most; the next signal does not wait), else calls what
                  * sq.on_stop registered, then raises */
  PAUSE_OPEN, /* a script on the terminal: Ctrl-C opens the prompt, SIGTERM saves and raises */
  PAUSE_STOP  /* a chunk typed at the prompt: raises, at once also in long C calls */
} pause_mode;

/* What the user wants of the paused script. */
typedef enum pause_action { PAUSE_CONT, PAUSE_STEP, PAUSE_ABORT } pause_action;

/* The prompt that a pause opens: runs inside a hook of L until the user goes on; never raises. */
typedef pause_action pause_prompt(lua_State *L, bool stepping);

/* Takes over SIGINT (unless the process was started with it ignored), SIGTERM and SIGUSR1, which
 * saves as the others do and lets the script go on, and replaces
 * coroutine.resume and coroutine.wrap by equals that note which coroutine runs, so that a loop
 * inside one can be stopped. `L` is the main state. [Lua thread] */
void pause_install(lua_State *L, pause_prompt *opened);

/* Sets the mode and returns the one before. [Lua thread] */
pause_mode pause_set_mode(pause_mode mode);

/* Says which state runs now and returns the one before. [Lua thread] */
lua_State *pause_set_running(lua_State *L);

/* Pushes the coroutines (and the main one) that wait for the running one, the one that resumed it
 * first, at most `most`; returns how many. [Lua thread] */
int pause_push_resumers(lua_State *L, int most);

/* Forgets an interrupt that has been dealt with; what a top level calls after each chunk it ran.
 * [Lua thread] */
void pause_reset(void);

/* The signal that has come since the last reset: SIGINT, SIGTERM, or 0. [any thread] */
int pause_seen(void);

#endif
