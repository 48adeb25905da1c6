/* recurrent.c: RNN, LSTM and GRU: layers and directions stacked from the fused sequence ops. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/op_args.h"
#include "base/mem.h"
#include "layers/recurrent_priv.h"

typedef struct recurrent {
  sq_layer base;
  int64_t I, H, layers;
  int gates;      /* rows of a weight in units of H */
  int directions; /* 2 when bidirectional */
  bool bias, batch_first, relu;
  double dropout, forget_bias; /* forget_bias: NaN where it is left to the draw */
} recurrent;

static const char *class_name(const recurrent *r) { return r->base.class->name; }

static sq_status check_recurrent(const recurrent *r) {
  SQ_TRY(sq_layer_want_size(class_name(r), "input_size", r->I, 1));
  SQ_TRY(sq_layer_want_size(class_name(r), "hidden_size", r->H, 1));
  SQ_TRY(sq_layer_want_size(class_name(r), "num_layers", r->layers, 1));
  if (!(r->dropout >= 0 && r->dropout <= 1)) {
    return sq_fail(SQ_EARG, "[nn.%s] dropout is %g: it must be 0 to 1", class_name(r), r->dropout);
  }
  if (r->layers > 1000000 || r->H > INT32_MAX / 4) {
    return sq_fail(SQ_EARG, "[nn.%s] %" PRId64 " layers of %" PRId64 ": too large", class_name(r),
                   r->layers, r->H);
  }
  return SQ_OK;
}

/* weight_ih_l0 (GH,I), weight_hh_l0 (GH,H), bias_ih_l0, bias_hh_l0 (GH), then _reverse, then the
 * next layer. */
static sq_status add_gate_parameters(recurrent *r, sq_dtype dtype) {
  int64_t G = r->gates * r->H;
  for (int64_t k = 0; k < r->layers * r->directions; k++) {
    int64_t layer = k / r->directions, in = layer == 0 ? r->I : r->H * r->directions;
    const char *suffix = k % r->directions ? "_reverse" : "";
    static const char *const names[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
    for (int i = 0; i < (r->bias ? 4 : 2); i++) {
      sq_tensor *t;
      SQ_TRY(sq_tensor_new(dtype, i < 2 ? 2 : 1, (int64_t[]){G, i == 0 ? in : r->H}, &t));
      SQ_TRY(sq_layer_add(&r->base, t, false, "%s_l%" PRId64 "%s", names[i], layer, suffix));
    }
  }
  return SQ_OK;
}

/* forget_bias into the f slice of bias_ih, 0 into that of bias_hh. */
static sq_status set_forget_bias(recurrent *r) {
  if (isnan(r->forget_bias) || !r->bias) return SQ_OK;
  for (int i = 0; i < r->base.entries; i++) {
    sq_tensor *t = r->base.entry[i].tensor;
    if (t->ndim != 1) continue;
    SQ_OWN sq_tensor *slice = NULL;
    SQ_TRY(sq_tensor_window(t, 1, &r->H, t->stride, t->offset + r->H, &slice));
    SQ_TRY(sq_tensor_fill(slice,
                          strncmp(r->base.entry[i].name, "bias_ih", 7) == 0 ? r->forget_bias : 0));
  }
  return SQ_OK;
}

/* All ~ U(-1/sqrt H, 1/sqrt H), as nn.RNNBase.reset_parameters. */
static sq_status reset(sq_layer *l) {
  recurrent *r = (recurrent *)l;
  for (int i = 0; i < l->entries; i++) sq_init_uniform(l->entry[i].tensor, 1 / sqrt((double)r->H));
  return set_forget_bias(r);
}

static void describe(const sq_layer *l, char *buf, size_t n) {
  const recurrent *r = (const recurrent *)l;
  char layers[48] = "";
  if (r->layers > 1) snprintf(layers, sizeof layers, ", num_layers=%" PRId64, r->layers);
  snprintf(buf, n, "%" PRId64 " -> %" PRId64 "%s%s%s%s", r->I, r->H, layers,
           r->relu ? ", relu" : "", r->directions > 1 ? ", bidirectional" : "",
           r->batch_first ? ", batch_first" : "");
}

/* --- forward -------------------------------------------------------------------------------- */

/* Several tensors of a forward pass, dropped together. */
typedef struct pile {
  sq_tensor **t;
  int n;
} pile;

/* State k of h0 or c0 (layers*directions,B,H), or none. */
static sq_status state_of(const sq_arg *state, int64_t k, sq_tensor **out) {
  if (state->kind != SQ_ARG_TENSOR) return SQ_OK;
  return SQ_APPLY(select, out, *state, SQ_D(0), {.kind = SQ_ARG_POSITION, .integer = k});
}

static sq_status check_state(const recurrent *r, const char *what, const sq_arg *state,
                             const sq_tensor *x) {
  if (state->kind != SQ_ARG_TENSOR) return SQ_OK;
  int64_t want[] = {r->layers * r->directions, x->shape[r->batch_first ? 0 : 1], r->H};
  const sq_tensor *t = state->tensor;
  if (sq_shape_equal(t->ndim, t->shape, 3, want)) return SQ_OK;
  return sq_fail(SQ_ESHAPE, "[nn.%s] %s is %s: it must be %s", class_name(r), what,
                 sq_tensor_shape_text(t, SQ_SHAPE_BUF), sq_shape_text(3, want, SQ_SHAPE_BUF));
}

sq_status sq__run_sequence(const sq_sequence *s, sq_tensor **out) {
  const sq_named *e = s->weights;
  const sq_arg x = SQ_T(s->x), h = SQ_T(s->h), w_ih = SQ_T(e[0].tensor), w_hh = SQ_T(e[1].tensor);
  const sq_arg b_ih = SQ_T(s->bias ? e[2].tensor : NULL), b_hh = SQ_T(s->bias ? e[3].tensor : NULL);
  const sq_arg batch_first = SQ_B(s->batch_first), reverse = SQ_B(s->reverse);
  switch (s->gates) {
    case LSTM_GATES:
      return SQ_APPLY(lstm,
                      out, [LSTM_X] = x, [LSTM_H0] = h, [LSTM_C0] = SQ_T(s->c), [LSTM_W_IH] = w_ih,
                      [LSTM_W_HH] = w_hh, [LSTM_B_IH] = b_ih, [LSTM_B_HH] = b_hh,
                      [LSTM_BATCH_FIRST] = batch_first, [LSTM_REVERSE] = reverse);
    case GRU_GATES:
      return SQ_APPLY(
          gru,
          out, [GRU_X] = x, [GRU_H0] = h, [GRU_W_IH] = w_ih, [GRU_W_HH] = w_hh, [GRU_B_IH] = b_ih,
          [GRU_B_HH] = b_hh, [GRU_BATCH_FIRST] = batch_first, [GRU_REVERSE] = reverse);
    default:
      return SQ_APPLY(
          rnn,
          out, [RNN_X] = x, [RNN_H0] = h, [RNN_W_IH] = w_ih, [RNN_W_HH] = w_hh, [RNN_B_IH] = b_ih,
          [RNN_B_HH] = b_hh, [RNN_NONLINEARITY] = SQ_S(s->relu ? "relu" : "tanh"),
          [RNN_BATCH_FIRST] = batch_first, [RNN_REVERSE] = reverse);
  }
}

/* One layer in one direction: out y, h and (for an LSTM) c. */
static sq_status run_one(const recurrent *r, int64_t k, sq_tensor *x, const sq_arg *h0,
                         const sq_arg *c0, sq_tensor **out) {
  SQ_OWN sq_tensor *h = NULL, *c = NULL;
  SQ_TRY(state_of(h0, k, &h));
  SQ_TRY(state_of(c0, k, &c));
  sq_sequence s = {.gates = r->gates,
                   .relu = r->relu,
                   .bias = r->bias,
                   .batch_first = r->batch_first,
                   .reverse = k % r->directions == 1,
                   .x = x,
                   .h = h,
                   .c = c,
                   .weights = r->base.entry + k * (r->bias ? 4 : 2)};
  return sq__run_sequence(&s, out);
}

/* One layer: both directions side by side. Final states go into states[0] (h) and states[1] (c) at
 * place k. */
static sq_status run_layer(const recurrent *r, int64_t layer, sq_tensor *x, const sq_arg *h0,
                           const sq_arg *c0, pile *states, sq_tensor **y) {
  sq_tensor *side[2] = {NULL, NULL};
  sq_status st = SQ_OK;
  for (int d = 0; d < r->directions && st == SQ_OK; d++) {
    sq_tensor *out[SQ_MAX_OUT] = {NULL, NULL, NULL};
    st = run_one(r, layer * r->directions + d, x, h0, c0, out);
    side[d] = out[0];
    for (int i = 0; i < 2; i++) {
      if (out[1 + i]) states[i].t[states[i].n++] = out[1 + i];
    }
  }
  if (st == SQ_OK && r->directions == 2) {
    sq_arg both = {.kind = SQ_ARG_TENSORS, .tensors = {2, side}};
    st = SQ_APPLY(cat, y, both, SQ_D(-1));
  } else if (st == SQ_OK) {
    *y = sq_tensor_keep(side[0]);
  }
  sq_tensor_drop(side[0]);
  sq_tensor_drop(side[1]);
  return st;
}

/* A pile of (B,H) as (n,B,H). */
static sq_status stack_pile(const pile *p, sq_tensor **out) {
  sq_arg all = {.kind = SQ_ARG_TENSORS, .tensors = {p->n, p->t}};
  return SQ_APPLY(stack, out, all, SQ_D(0));
}

static sq_status swap_batch_and_time(sq_tensor *x, sq_tensor **out) {
  return SQ_APPLY(transpose, out, SQ_T(x), SQ_D(0), SQ_D(1));
}

/* Dropout between two layers, in training. The draws go by time, then batch, as PyTorch's do. */
static sq_status drop_some(const recurrent *r, sq_tensor **y) {
  if (!r->base.training || r->dropout == 0) return SQ_OK;
  SQ_OWN sq_tensor *by_time = NULL, *kept = NULL, *turned = NULL;
  sq_tensor *swapped;
  if (r->batch_first) { /* dropout draws in the order of memory */
    SQ_TRY(swap_batch_and_time(*y, &turned));
    SQ_TRY(SQ_APPLY(contiguous, &by_time, SQ_T(turned)));
  } else {
    by_time = sq_tensor_keep(*y);
  }
  SQ_TRY(SQ_APPLY(dropout, &kept, SQ_T(by_time), SQ_N(r->dropout)));
  if (r->batch_first) {
    SQ_TRY(swap_batch_and_time(kept, &swapped));
  } else {
    swapped = sq_tensor_keep(kept);
  }
  sq_tensor_drop(*y);
  *y = swapped;
  return SQ_OK;
}

static sq_status run_layers(const recurrent *r, const sq_arg *x, const sq_arg *h0, const sq_arg *c0,
                            pile *states, sq_tensor **out) {
  SQ_OWN sq_tensor *y = sq_tensor_keep(x->tensor);
  for (int64_t layer = 0; layer < r->layers; layer++) {
    sq_tensor *next = NULL;
    SQ_TRY(run_layer(r, layer, y, h0, c0, states, &next));
    sq_tensor_drop(y);
    y = next;
    if (layer + 1 < r->layers) SQ_TRY(drop_some(r, &y));
  }
  SQ_TRY(stack_pile(&states[0], &out[1]));
  if (r->gates == LSTM_GATES) SQ_TRY(stack_pile(&states[1], &out[2]));
  out[0] = sq_tensor_give(&y);
  return SQ_OK;
}

static sq_status run_sequence(const recurrent *r, const sq_arg *x, const sq_arg *h0,
                              const sq_arg *c0, sq_tensor **out) {
  SQ_TRY(check_state(r, "h0", h0, x->tensor));
  SQ_TRY(check_state(r, "c0", c0, x->tensor));
  int64_t n = r->layers * r->directions;
  void *block;
  SQ_TRY(sq_alloc(2 * n * (int64_t)sizeof(sq_tensor *), &block));
  pile states[2] = {{block, 0}, {(sq_tensor **)block + n, 0}};
  sq_status st = run_layers(r, x, h0, c0, states, out);
  for (int i = 0; i < 2; i++) {
    for (int k = 0; k < states[i].n; k++) sq_tensor_drop(states[i].t[k]);
  }
  sq_free(block);
  return st;
}

/* A sequence without a batch: x (T,I), states (layers,H), as a batch of one; results likewise. */
static sq_status run_single(const recurrent *r, const sq_arg *x, const sq_arg *h0, const sq_arg *c0,
                            sq_tensor **out) {
  SQ_OWN sq_tensor *wx = NULL, *wh = NULL, *wc = NULL;
  sq_tensor **wide[] = {&wx, &wh, &wc};
  const sq_arg *given[] = {x, h0, c0};
  int at[] = {r->batch_first ? 0 : 1, 1, 1};
  for (int i = 0; i < 3; i++) {
    if (given[i]->kind != SQ_ARG_TENSOR) continue;
    SQ_TRY(SQ_APPLY(unsqueeze, wide[i], *given[i], SQ_D(at[i])));
  }
  SQ_TRY(run_sequence(r, &SQ_T(wx), &SQ_T(wh), &SQ_T(wc), out));
  for (int i = 0; i < 3 && out[i]; i++) {
    sq_tensor *narrow, *batch = out[i];
    int64_t dim = at[i];
    sq_arg dims = {.kind = SQ_ARG_DIMS, .ints = {1, &dim}};
    SQ_TRY(SQ_APPLY(squeeze, &narrow, SQ_T(batch), dims));
    sq_tensor_drop(batch);
    out[i] = narrow;
  }
  return SQ_OK;
}

/* Of the calls. */
enum { X, H0, C0 };

static sq_status forward(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const recurrent *r = (const recurrent *)l;
  const sq_arg none = {0}, *h0 = &arg[H0], *c0 = r->gates == LSTM_GATES ? &arg[C0] : &none;
  const sq_tensor *x = arg[X].tensor;
  if ((x->ndim != 3 && x->ndim != 2) || x->shape[x->ndim - 1] != r->I) {
    return sq_fail(SQ_ESHAPE, "[nn.%s] x is %s: it must be (%s,%" PRId64 ")", class_name(r),
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF),
                   r->batch_first ? "batch,time" : "time,batch", r->I);
  }
  sq_tensor *result[SQ_MAX_OUT] = {NULL, NULL, NULL};
  sq_status st = x->ndim == 3 ? run_sequence(r, &arg[X], h0, c0, result)
                              : run_single(r, &arg[X], h0, c0, result);
  for (int k = 0; k < SQ_MAX_OUT; k++) {
    if (st != SQ_OK) {
      sq_tensor_drop(result[k]);
    } else if (result[k]) {
      out[k] = result[k];
    }
  }
  return st;
}

/* --- the classes ---------------------------------------------------------------------------- */

/* Of all three: only RNN has a nonlinearity, only LSTM a forget_bias. */
static sq_status init(sq_layer *l, const sq_args *a, int gates) {
  recurrent *r = (recurrent *)l;
  const sq_arg *nonlinearity = sq_args_get(a, "nonlinearity");
  const sq_arg *forget_bias = sq_args_get(a, "forget_bias");
  r->I = sq_args_get(a, "input_size")->integer;
  r->H = sq_args_get(a, "hidden_size")->integer;
  r->layers = sq_args_get(a, "num_layers")->integer;
  r->bias = sq_args_get(a, "bias")->flag;
  r->batch_first = sq_args_get(a, "batch_first")->flag;
  r->dropout = sq_args_get(a, "dropout")->number;
  r->directions = sq_args_get(a, "bidirectional")->flag ? 2 : 1;
  r->gates = gates;
  r->relu = nonlinearity->kind == SQ_ARG_STRING && strcmp(nonlinearity->string, "relu") == 0;
  r->forget_bias = forget_bias->kind == SQ_ARG_NUMBER ? forget_bias->number : NAN;
  SQ_TRY(check_recurrent(r));
  return add_gate_parameters(r, sq_args_get(a, "dtype")->dtype);
}

static sq_status init_stacked_rnn(sq_layer *l, const sq_args *a) { return init(l, a, RNN_GATES); }
static sq_status init_stacked_lstm(sq_layer *l, const sq_args *a) { return init(l, a, LSTM_GATES); }
static sq_status init_stacked_gru(sq_layer *l, const sq_args *a) { return init(l, a, GRU_GATES); }

const sq_layer_class sq__layer_rnn = {
    .name = "RNN",
    .signature =
        "(input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: \"tanh\"|\"relu\" "
        "= tanh, "
        "bias: bool = true, batch_first: bool = false, dropout: number = 0, bidirectional: bool = "
        "false, "
        "dtype: dtype = float32) -> RNN",
    .call = "(x: Tensor, h0: Tensor? = nil) -> Tensor, Tensor",
    .call_doc =
        "y (T,B,H), all steps of the last layer, and h (layers,B,H), the last step of all; h0 or "
        "{h0} is the state to begin with, 0 without.",
    .doc = "h' = tanh(W_ih x + b_ih + W_hh h + b_hh): x (T,B,I) -> y (T,B,H), h (layers,B,H).",
    .size = sizeof(recurrent),
    .init = init_stacked_rnn,
    .forward = forward,
    .describe = describe,
    .reset = reset,
};

const sq_layer_class sq__layer_lstm = {
    .name = "LSTM",
    .signature =
        "(input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = true, "
        "batch_first: bool = false, dropout: number = 0, bidirectional: bool = false, "
        "forget_bias: number? = nil, dtype: dtype = float32) -> LSTM",
    .call = "(x: Tensor, h0: Tensor? = nil, c0: Tensor? = nil) -> Tensor, Tensor, Tensor",
    .call_doc =
        "y (T,B,H), all steps of the last layer, h and c (layers,B,H), the last step of all; h0, "
        "c0 "
        "or {h0, c0} is the state to begin with, 0 without.",
    .doc =
        "c' = f c + i g, h' = o tanh c', gates i f g o of W_ih x + b_ih + W_hh h + b_hh: x (T,B,I) "
        "-> y (T,B,H), h and c "
        "(layers,B,H).",
    .size = sizeof(recurrent),
    .init = init_stacked_lstm,
    .forward = forward,
    .describe = describe,
    .reset = reset,
};

const sq_layer_class sq__layer_gru = {
    .name = "GRU",
    .signature =
        "(input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = true, "
        "batch_first: bool = false, dropout: number = 0, bidirectional: bool = false, "
        "dtype: dtype = float32) -> GRU",
    .call = "(x: Tensor, h0: Tensor? = nil) -> Tensor, Tensor",
    .call_doc =
        "y (T,B,H), all steps of the last layer, and h (layers,B,H), the last step of all; h0 or "
        "{h0} is the state to begin with, 0 without.",
    .doc =
        "h' = (1 - z) n + z h, n = tanh(W_in x + b_in + r (W_hn h + b_hn)), gates r z n: x (T,B,I) "
        "-> y (T,B,H), h (layers,B,H).",
    .size = sizeof(recurrent),
    .init = init_stacked_gru,
    .forward = forward,
    .describe = describe,
    .reset = reset,
};
