/* watch.h: looking on while ops run: for the first NaN or Inf, and for a profile. Off, it costs one
 * test of a flag per op. */
#ifndef SQ_AUTOGRAD_WATCH_H
#define SQ_AUTOGRAD_WATCH_H

#include "autograd/op.h"

/* Whether each op's numbers are checked; and the switch, which returns what it was. While on, an op
 * fails (state) when its result holds NaN, or Inf that none of its arguments held; backward fails
 * when NaN or Inf arrives at an op's result or comes out of its backward. The text names the op,
 * what it read, and for backward the script's line where the op ran. Windows (views) are not
 * checked: they make no numbers. [Lua thread] */
bool sq_anomaly_enabled(void);
bool sq_anomaly_enable(bool on);

/* Called around each forward and each backward of an op, the two strictly nested. `source` and
 * `line` say where a backward's op ran (NULL: not known); for a forward they are NULL and 0.
 * Neither may call ops. */
typedef struct sq_observer {
  void (*begin)(const sq_op *op, bool backward, const char *source, int line);
  void (*end)(void);
} sq_observer;

/* Sets the observer, which must live as long; NULL: none. [keep | Lua thread] */
void sq_observe(const sq_observer *observer);

#endif
