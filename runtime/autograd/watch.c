/* watch.c: what looks on while ops run; op.c and tape.c come here only while sq__watching. */
#include "autograd/watch.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "autograd/tape_priv.h"
#include "base/text.h"
#include "tensor/reduce.h"

bool sq__watching;

static bool checking;
static const sq_observer *observer;

static void update_watching(void) { sq__watching = checking || observer; }

bool sq_anomaly_enabled(void) { return checking; }

bool sq_anomaly_enable(bool on) {
  bool was = checking;
  checking = on;
  update_watching();
  return was;
}

void sq_observe(const sq_observer *next) {
  observer = next;
  update_watching();
}

/* --- counting ------------------------------------------------------------------------------- */

/* What a tensor holds that is not finite, and the range of the rest. */
typedef struct census {
  int64_t nan, inf, finite;
  double lo, hi;
} census;

static void count_elements(const sq_tensor *t, census *c) {
  *c = (census){.lo = INFINITY, .hi = -INFINITY};
  for (int64_t i = 0; i < t->numel; i++) {
    double v = sq_tensor_get(t, i);
    if (isnan(v)) {
      c->nan++;
    } else if (isinf(v)) {
      c->inf++;
    } else {
      c->finite++;
      c->lo = fmin(c->lo, v);
      c->hi = fmax(c->hi, v);
    }
  }
}

/* Counts only where a sum of squares, which is quick, is not finite: NaN and Inf never vanish in
 * it, though float64 may overflow. True when something was found. */
static sq_status look_at(sq_tensor *t, census *c, bool *found) {
  *found = false;
  if (!t || !sq_is_float(t->dtype)) return SQ_OK;
  double sum;
  SQ_TRY(sq_sumsq(t, &sum));
  if (isfinite(sum)) return SQ_OK;
  count_elements(t, c);
  *found = c->nan || c->inf;
  return SQ_OK;
}

/* --- telling -------------------------------------------------------------------------------- */

/* A text being put together; what does not fit is cut. */
typedef struct text {
  char s[768];
  size_t n;
} text;

static void add_text(text *t, const char *format, ...) SQ_PRINTF(2, 3);

static void add_text(text *t, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = sq_vformat(t->s + t->n, sizeof t->s - t->n, format, args);
  va_end(args);
  if (n > 0) t->n += (size_t)n;
  if (t->n > sizeof t->s - 1) t->n = sizeof t->s - 1;
}

static const char *census_kind(const census *c) { return c->nan ? "NaN" : "Inf"; }

static void add_census(text *t, const census *c) {
  if (c->nan) add_text(t, "%lld NaN", (long long)c->nan);
  if (c->inf) add_text(t, "%s%lld Inf", c->nan ? " and " : "", (long long)c->inf);
}

/* The name of the argument that tensor input `at` came from. */
static const char *input_name(const sq_op *op, const sq_arg *arg, int at) {
  const sq_signature *s;
  if (op->impl == sq_op_at(SQ_OP_function)->impl) op = sq_op_at(SQ_OP_function);
  if (sq_op_signature(op, &s) != SQ_OK) return "?";
  for (int i = 0, n = 0; i < s->params; i++) {
    sq_arg_kind kind = s->param[i].kind;
    if (kind == SQ_ARG_TENSOR || kind == SQ_ARG_OPERAND) n++;
    if (kind == SQ_ARG_TENSORS) n += arg ? arg[i].tensors.n : SQ_MAX_PARAMS;
    if (n > at) return s->param[i].name;
  }
  return "?";
}

enum { SHOWN = 4 };

/* "x (2,3) goes from -1 to 4, weight (4,3) from 0 to 1" */
static void add_inputs(text *out, const sq_call *c) {
  int shown = 0;
  for (int i = 0; i < c->nin && shown < SHOWN; i++) {
    census n;
    if (!c->in[i] || !sq_is_float(c->in[i]->dtype) || c->in[i]->numel == 0) continue;
    count_elements(c->in[i], &n);
    if (n.finite == 0) continue;
    add_text(out, "%s%s %s%s from %.4g to %.4g", shown ? ", " : ": ", input_name(c->op, c->arg, i),
             sq_tensor_shape_text(c->in[i], SQ_SHAPE_BUF), shown ? "" : " goes", n.lo, n.hi);
    shown++;
  }
}

/* --- forward -------------------------------------------------------------------------------- */

/* What the arguments held before the op ran. */
typedef struct before {
  bool inf, nan_number; /* a number, which the script wrote itself */
  int nan_input;        /* -1: none */
  census nan;
} before;

static sq_status look_before(const sq_call *c, before *b) {
  *b = (before){.nan_input = -1};
  const sq_signature *s;
  SQ_TRY(sq_op_signature(c->op, &s));
  for (int i = 0; i < s->params; i++) {
    if (c->arg[i].kind != SQ_ARG_NUMBER) continue;
    b->inf |= isinf(c->arg[i].number) != 0;
    b->nan_number |= isnan(c->arg[i].number) != 0;
  }
  for (int i = 0; i < c->nin; i++) {
    census n;
    bool found;
    SQ_TRY(look_at(c->in[i], &n, &found));
    if (!found) continue;
    b->inf |= n.inf > 0;
    if (n.nan > 0 && b->nan_input < 0) {
      b->nan_input = i;
      b->nan = n;
    }
  }
  return SQ_OK;
}

static sq_status tell_made(const sq_call *c, const sq_tensor *result, const census *n) {
  text t = {0};
  add_text(&t, "[%s] made %s: its result %s holds ", c->op->name, census_kind(n),
           sq_tensor_shape_text(result, SQ_SHAPE_BUF));
  add_census(&t, n);
  add_inputs(&t, c);
  return sq_fail(SQ_ESTATE, "%s", t.s);
}

static sq_status tell_came(const sq_call *c, const before *b) {
  text t = {0};
  add_census(&t, &b->nan);
  return sq_fail(SQ_ESTATE,
                 "[%s] %s %s holds %s that no watched op made: look at the data, and at the last "
                 "step of the optimizer (its gradients, its learning rate)",
                 c->op->name, input_name(c->op, c->arg, b->nan_input),
                 sq_tensor_shape_text(c->in[b->nan_input], SQ_SHAPE_BUF), t.s);
}

/* `in` of an op in place is gone by now: `c` shows what it became. */
static sq_status look_after(const sq_call *c, const before *b, sq_tensor *const *out, int n) {
  for (int k = 0; k < n; k++) {
    census found;
    bool any;
    SQ_TRY(look_at(out[k], &found, &any));
    if (!any || b->nan_number) continue;
    if (b->nan_input >= 0) return tell_came(c, b);
    if (found.nan > 0 || !b->inf) return tell_made(c, out[k], &found);
  }
  return SQ_OK;
}

sq_status sq__watch_forward(sq_call *c, sq_status (*forward)(sq_call *c)) {
  before b;
  bool check = checking && !c->op->impl->view, inplace = forward != c->op->impl->forward;
  const sq_observer *o = observer;
  if (check) SQ_TRY(look_before(c, &b));
  if (o) o->begin(c->op, false, NULL, 0);
  sq_status st = forward(c);
  if (o) o->end();
  if (check && st == SQ_OK) {
    st = look_after(c, &b, inplace ? c->in : c->out, inplace ? 1 : SQ_MAX_OUT);
  }
  return st;
}

/* --- backward ------------------------------------------------------------------------------- */

static sq_status tell_back(const sq_node *n, const char *what, const char *name, const sq_tensor *t,
                           const census *found) {
  text out = {0};
  add_text(&out, "[%s] %s %s: %s %s holds ", n->op->name, what, census_kind(found), name,
           sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  add_census(&out, found);
  if (n->source) add_text(&out, "; the op ran at %s:%d", n->source, n->line);
  return sq_fail(SQ_ESTATE, "%s", out.s);
}

static sq_status look_back(sq_back *b, bool after) {
  const sq_node *n = b->node;
  int many = after ? n->nin : SQ_MAX_OUT;
  for (int i = 0; i < many; i++) {
    census found;
    bool any;
    sq_tensor *t = after ? b->dx[i] : b->dy[i];
    SQ_TRY(look_at(t, &found, &any));
    if (!any) continue;
    if (!after) {
      return tell_back(n, "the gradients that reach its result add up to", "their sum", t, &found);
    }
    char name[64];
    snprintf(name, sizeof name, "the gradient of %s", input_name(n->op, NULL, i));
    return tell_back(n, "its backward made", name, t, &found);
  }
  return SQ_OK;
}

sq_status sq__watch_backward(sq_back *b, sq_status (*backward)(sq_back *b)) {
  const sq_observer *o = observer;
  if (checking) SQ_TRY(look_back(b, false));
  if (o) o->begin(b->node->op, true, b->node->source, b->node->line);
  sq_status st = backward(b);
  if (o) o->end();
  if (checking && st == SQ_OK) st = look_back(b, true);
  return st;
}
