/* cell.c: RNNCell, LSTMCell and GRUCell: one time step, as a sequence of one. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "layers/recurrent_priv.h"

typedef struct cell {
  sq_layer base;
  int64_t I, H;
  int gates; /* rows of a weight in units of H */
  bool relu;
} cell;

/* weight_ih (GH,I), weight_hh (GH,H), bias_ih, bias_hh (GH). */
static sq_status init_cell(sq_layer *l, int gates, const sq_args *a) {
  cell *self = (cell *)l;
  const sq_arg *nonlinearity = sq_args_get(a, "nonlinearity");
  sq_dtype dtype = sq_args_get(a, "dtype")->dtype;
  self->I = sq_args_get(a, "input_size")->integer;
  self->H = sq_args_get(a, "hidden_size")->integer;
  self->relu = nonlinearity->kind == SQ_ARG_STRING && strcmp(nonlinearity->string, "relu") == 0;
  self->gates = gates;
  SQ_TRY(sq_layer_want_size(l->class->name, "input_size", self->I, 1));
  SQ_TRY(sq_layer_want_size(l->class->name, "hidden_size", self->H, 1));
  static const char *const names[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
  for (int i = 0; i < (sq_args_get(a, "bias")->flag ? 4 : 2); i++) {
    sq_tensor *t;
    int64_t rows, columns = i == 0 ? self->I : self->H;
    SQ_TRY(sq_size_mul(gates, self->H, &rows));
    SQ_TRY(sq_tensor_new(dtype, i < 2 ? 2 : 1, (int64_t[]){rows, columns}, &t));
    SQ_TRY(sq_layer_add(l, t, false, "%s", names[i]));
  }
  return SQ_OK;
}

/* All ~ U(-1/sqrt H, 1/sqrt H), as nn.RNNCellBase.reset_parameters. */
static sq_status reset(sq_layer *l) {
  double bound = 1 / sqrt((double)((const cell *)l)->H);
  for (int i = 0; i < l->entries; i++) sq_init_uniform(l->entry[i].tensor, bound);
  return SQ_OK;
}

static void describe(const sq_layer *l, char *buf, size_t n) {
  const cell *self = (const cell *)l;
  snprintf(buf, n, "%" PRId64 " -> %" PRId64 "%s%s", self->I, self->H, self->relu ? ", relu" : "",
           l->entries > 2 ? "" : ", bias=false");
}

/* Of the calls. */
enum { X, H, C };

/* --- forward -------------------------------------------------------------------------------- */

static sq_status check_input(const cell *self, const sq_tensor *x) {
  if ((x->ndim == 1 || x->ndim == 2) && x->shape[x->ndim - 1] == self->I) return SQ_OK;
  return sq_fail(SQ_ESHAPE, "[nn.%s] x is %s: it must be (batch,%" PRId64 ")",
                 self->base.class->name, sq_tensor_shape_text(x, SQ_SHAPE_BUF), self->I);
}

/* x (I) -> (1,I): what an input without a batch is in one. */
static sq_status as_batch(const sq_arg *x, sq_tensor **out) {
  if (x->kind != SQ_ARG_TENSOR) return SQ_OK;
  if (x->tensor->ndim != 1) {
    *out = sq_tensor_keep(x->tensor);
    return SQ_OK;
  }
  return SQ_APPLY(unsqueeze, out, *x, SQ_D(0));
}

/* result[0..1] = h and c of a batch, without it where x had none. */
static sq_status give_states(bool single, sq_tensor *const *result, sq_tensor **out) {
  for (int i = 0; i < 2 && result[i]; i++) {
    if (!single) {
      out[i] = sq_tensor_keep(result[i]);
      continue;
    }
    sq_arg first = {.kind = SQ_ARG_POSITION, .integer = 0};
    sq_status st = SQ_APPLY(select, &out[i], SQ_T(result[i]), SQ_D(0), first);
    if (st != SQ_OK && i == 1) sq_tensor_drop(out[0]);
    SQ_TRY(st);
  }
  return SQ_OK;
}

static sq_status forward(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const cell *self = (const cell *)l;
  SQ_TRY(check_input(self, arg[X].tensor));
  SQ_OWN sq_tensor *x = NULL, *h = NULL, *c = NULL, *step = NULL;
  SQ_TRY(as_batch(&arg[X], &x));
  SQ_TRY(as_batch(&arg[H], &h));
  if (self->gates == LSTM_GATES) SQ_TRY(as_batch(&arg[C], &c));
  SQ_TRY(SQ_APPLY(unsqueeze, &step, SQ_T(x), SQ_D(0)));
  sq_tensor *result[SQ_MAX_OUT] = {NULL, NULL, NULL};
  sq_sequence s = {.gates = self->gates,
                   .relu = self->relu,
                   .bias = l->entries == 4,
                   .x = step,
                   .h = h,
                   .c = c,
                   .weights = l->entry};
  SQ_TRY(sq__run_sequence(&s, result));
  sq_status st = give_states(arg[X].tensor->ndim == 1, result + 1, out);
  for (int k = 0; k < SQ_MAX_OUT; k++) sq_tensor_drop(result[k]);
  return st;
}

/* --- the classes ---------------------------------------------------------------------------- */

static sq_status init_rnn(sq_layer *l, const sq_args *a) { return init_cell(l, RNN_GATES, a); }
static sq_status init_lstm(sq_layer *l, const sq_args *a) { return init_cell(l, LSTM_GATES, a); }
static sq_status init_gru(sq_layer *l, const sq_args *a) { return init_cell(l, GRU_GATES, a); }

#define CELL(id, class_name, options, takes, text)                                              \
  const sq_layer_class sq__layer_##id##_cell = {                                                \
      .name = class_name,                                                                       \
      .signature = "(input_size: int, hidden_size: int, bias: bool = true, " options            \
                   "dtype: dtype = float32) -> " class_name,                                    \
      .call = takes,                                                                            \
      .call_doc = "One step; h (and c), or a list of them, is the state before it, 0 without.", \
      .doc = text,                                                                              \
      .size = sizeof(cell),                                                                     \
      .optional = "bias_ih bias_hh",                                                            \
      .init = init_##id,                                                                        \
      .forward = forward,                                                                       \
      .describe = describe,                                                                     \
      .reset = reset,                                                                           \
  }

CELL(rnn, "RNNCell", "nonlinearity: \"tanh\"|\"relu\" = tanh, ",
     "(x: Tensor, h: Tensor? = nil) -> Tensor",
     "h' = tanh(W_ih x + b_ih + W_hh h + b_hh): x (B,I), h (B,H) -> h' (B,H).");
CELL(lstm, "LSTMCell", "", "(x: Tensor, h: Tensor? = nil, c: Tensor? = nil) -> Tensor, Tensor",
     "c' = f c + i g, h' = o tanh c': x (B,I), h and c (B,H) -> h', c'.");
CELL(gru, "GRUCell", "", "(x: Tensor, h: Tensor? = nil) -> Tensor",
     "h' = (1 - z) n + z h: x (B,I), h (B,H) -> h' (B,H).");
