/* op_rnn.c: recurrent layers over a whole sequence, one layer in one direction.
 *
 * Steps in time depend on each other and rows of the batch do not, so the batch is what is cut,
 * into slices of rows, by shape alone. Each slice runs all its time steps on one thread and meets
 * no other slice until the end, so threads wait for each other once a call and not once a step.
 *
 * A step would need three products: h_prev with w_hh, x with w_ih, and the bias. They are made one.
 * Beside each other in memory each row holds [h_prev | 1 | x], K numbers, and the weights are
 * stacked in the same order and packed once a call; the product of the two is all gates'
 * pre-activations. The x and 1 of every step are laid down before the first (pack), and what a step
 * computes is copied into the h place of the next (pass_on).
 *
 * A GRU's new gate needs what h brings and what x brings apart, since r multiplies the first alone.
 * So a cell says which blocks of columns its stack has and whether each reads h, x or both; the GRU
 * has three, with a fourth group of columns u for what r multiplies. For the other cells the stack
 * is one block.
 *
 * Forward keeps the activated gates of every step. Backward walks the steps from the last to the
 * first: it adds dy to dh, a cell's step_back turns dh (and dc) into the gradients at the
 * pre-activations, and a product with w_hh gives dh of the step before. The gates' gradients of all
 * steps are kept side by side, so that the gradient of the weights is one product over all time
 * steps of a slice, and that of x another. Each slice sums into weights of its own; those are added
 * in the order of slices, and so the bits do not depend on who ran which. */
#include <string.h>

#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "kernels/gemm.h"
#include "tensor/map.h"

/* Inputs are x, h0, (c0,) and four weights in a row; results y, h and c. */
enum { IN_H0 = IN_LSTM_H0, IN_C0 = IN_LSTM_C0 };
enum { W_IH, W_HH, B_IH, B_HH, WEIGHTS };
enum { Y, HN, CN };

#define FOUR_WEIGHTS(op)                           \
  SQ_ALIKE(IN_##op##_H0, IN_H0);                   \
  SQ_ALIKE(IN_##op##_W_HH, IN_##op##_W_IH + W_HH); \
  SQ_ALIKE(IN_##op##_B_IH, IN_##op##_W_IH + B_IH); \
  SQ_ALIKE(IN_##op##_B_HH, IN_##op##_W_IH + B_HH)

FOUR_WEIGHTS(RNN);
FOUR_WEIGHTS(LSTM);
FOUR_WEIGHTS(GRU);

typedef struct seq seq;

/* Columns from..to (in units of H) of the stacked weights, which read h, x or both of a row; where
 * it reads h, these are the rows of w_hh from `row` on. */
typedef struct block {
  int from, to, row;
  bool h, x;
} block;

enum { MAX_BLOCKS = 3 };

/* What differs between cells. All arrays belong to one slice of n rows. */
typedef struct cell {
  int gates;   /* rows of w_ih, columns 0.. of the stack, in units of H */
  int columns; /* of the stack */
  int blocks;
  block block[MAX_BLOCKS];
  int weights; /* the input that w_ih is */
  bool has_c;
  bool direct; /* step_back leaves in dh what reaches h_prev without the weights */
  void (*step)(const seq *q, int64_t s, int64_t t);
  /* From dh, (and dc), the gradient at the pre-activations, dgates of step t. */
  void (*step_back)(const seq *q, int64_t s, int64_t t);
} cell;

/* One call: sizes, and the arrays of all slices, slice after slice, time after time within. */
struct seq {
  const cell *cell;
  const sq_kern *kern;
  sq_dtype dtype;
  int64_t T, B, I, H, W, G, K, ld; /* W = gates * H, G = columns * H, K = H + 1 + I; ld >= K: rows
                                      of xh are padded to a cache line */
  int64_t S, slices;               /* rows of a slice; the last may have fewer */
  int64_t xb, xt, yb, yt;          /* strides of batch and time in x and y, in rows */
  bool reverse, relu, keep;        /* keep: gates of every step, for backward */
  size_t size;
  char *x, *y, *hn, *cn, *h0, *c0; /* tensors' data; c's NULL without cell state */
  char *
      panels[MAX_BLOCKS + 1]; /* the weights, packed: a block's each; in backward w_hh's and w_ih */
  sq_scratch scratch;         /* for sq_gemm_tile */
  char *xh, *gates, *c,
      *tanh_c; /* (T,n,ld) (T,n,G) (T+1,n,H) (T,n,H); gates: one step unless keep */
  char *dy, *dhn, *dcn, *dx, *dh0, *dc0;   /* NULL where absent or not wanted */
  char *dgates, *dh, *dc, *dweights, *dxs; /* (T,n,G) (n,H) (n,H) (G,K) per slice, (T,n,I) */
};

static int64_t rows_of(const seq *q, int64_t s) {
  int64_t first = s * q->S;
  return q->B - first < q->S ? q->B - first : q->S;
}

/* Where slice s, step t begins in an array of `steps` steps of `width` columns. */
static char *at_step(const seq *q, char *base, int64_t s, int64_t steps, int64_t t, int64_t width) {
  return base + (size_t)((s * q->S * steps + t * rows_of(q, s)) * width) * q->size;
}

static char *gates_at(const seq *q, int64_t s, int64_t t) {
  return at_step(q, q->gates, s, q->keep ? q->T : 1, q->keep ? t : 0, q->G);
}

/* Row `row` of the slice at step t in a tensor of the sequence, `width` columns; step 0 is the last
 * in reverse. */
static char *row_at(const seq *q, char *base, int64_t s, int64_t row, int64_t t, int64_t sb,
                    int64_t st, int64_t width) {
  int64_t time = q->reverse ? q->T - 1 - t : t;
  return base + (size_t)(((s * q->S + row) * sb + time * st) * width) * q->size;
}

static char *y_at(const seq *q, char *y, int64_t s, int64_t row, int64_t t) {
  return row_at(q, y, s, row, t, q->yb, q->yt, q->H);
}

/* Row `row` of a (B,H) tensor. */
static char *state_at(const seq *q, char *base, int64_t s, int64_t row) {
  return base + (size_t)((s * q->S + row) * q->H) * q->size;
}

static void put_one(const seq *q, char *to) {
  if (q->dtype == SQ_F32) {
    *(float *)(void *)to = 1;
  } else {
    *(double *)(void *)to = 1;
  }
}

/* Fills the x and 1 columns of every step, and h of the first. */
static void pack_rows(const seq *q, int64_t s) {
  int64_t n = rows_of(q, s);
  size_t H = (size_t)q->H * q->size, I = (size_t)q->I * q->size, ld = (size_t)q->ld * q->size;
  for (int64_t t = 0; t < q->T; t++) {
    char *to = at_step(q, q->xh, s, q->T, t, q->ld);
    for (int64_t row = 0; row < n; row++, to += ld) {
      put_one(q, to + H);
      memcpy(to + H + q->size, row_at(q, q->x, s, row, t, q->xb, q->xt, q->I), I);
      if (t > 0) continue;
      if (q->h0) {
        memcpy(to, state_at(q, q->h0, s, row), H);
      } else {
        memset(to, 0, H);
      }
    }
  }
}

static void pack_c(const seq *q, int64_t s) {
  char *to = at_step(q, q->c, s, q->T + 1, 0, q->H);
  size_t bytes = (size_t)(rows_of(q, s) * q->H) * q->size;
  if (q->c0) {
    memcpy(to, state_at(q, q->c0, s, 0), bytes);
  } else {
    memset(to, 0, bytes);
  }
}

/* h of step t goes from y to the rows of step t+1. */
static void pass_on(const seq *q, int64_t s, int64_t t) {
  size_t H = (size_t)q->H * q->size, ld = (size_t)q->ld * q->size;
  char *to = at_step(q, q->xh, s, q->T, t + 1, q->ld);
  for (int64_t row = 0; row < rows_of(q, s); row++, to += ld)
    memcpy(to, y_at(q, q->y, s, row, t), H);
}

/* The columns of a row that a block reads: [h | 1], [1 | x] or all. */
static void columns_of(const seq *q, const block *b, int64_t *first, int64_t *n) {
  *first = b->h ? 0 : q->H;
  *n = (b->x ? q->K : q->H + 1) - *first;
}

/* gates = [h | 1 | x] weights, at step t. */
static void multiply_step(const seq *q, int64_t s, int64_t t) {
  char *xh = at_step(q, q->xh, s, q->T, t, q->ld), *gates = gates_at(q, s, t);
  for (int i = 0; i < q->cell->blocks; i++) {
    const block *b = &q->cell->block[i];
    int64_t first, k, from = b->from * q->H, width = (b->to - b->from) * q->H;
    columns_of(q, b, &first, &k);
    sq_product p = {.m = rows_of(q, s), .n = width, .k = k, .panels = q->panels[i]};
    p.a = xh + (size_t)first * q->size, p.rs = q->ld, p.cs = 1;
    p.c = gates + (size_t)from * q->size, p.ldc = q->G;
    q->kern->product(&p);
  }
}

static void forward_slice(int64_t s, void *context) {
  const seq *q = context;
  int64_t n = rows_of(q, s);
  pack_rows(q, s);
  if (q->cell->has_c) pack_c(q, s);
  for (int64_t t = 0; t < q->T && !sq_interrupt_pending(); t++) {
    multiply_step(q, s, t);
    q->cell->step(q, s, t);
    if (t + 1 < q->T) pass_on(q, s, t);
  }
  size_t H = (size_t)q->H * q->size;
  for (int64_t row = 0; row < n; row++)
    memcpy(state_at(q, q->hn, s, row), y_at(q, q->y, s, row, q->T - 1), H);
  if (q->cell->has_c)
    memcpy(state_at(q, q->cn, s, 0), at_step(q, q->c, s, q->T + 1, q->T, q->H), (size_t)n * H);
}

/* dh += dy of step t. */
static void add_dy(const seq *q, int64_t s, int64_t t) {
  if (!q->dy) return;
  char *dh = at_step(q, q->dh, s, 1, 0, q->H);
  for (int64_t row = 0; row < rows_of(q, s); row++, dh += (size_t)q->H * q->size) {
    const void *in[] = {dh, y_at(q, q->dy, s, row, t)};
    q->kern->elem[SQ_ELEM_add](q->H, in, (int64_t[]){1, 1}, dh, 1, NULL);
  }
}

/* A (n,H) scratch set to a state's gradient, or 0. */
static void start_state(const seq *q, int64_t s, char *from, char *to) {
  size_t bytes = (size_t)(rows_of(q, s) * q->H) * q->size;
  if (from) {
    memcpy(to, state_at(q, from, s, 0), bytes);
  } else {
    memset(to, 0, bytes);
  }
}

static void unpack_dx(const seq *q, int64_t s) {
  size_t I = (size_t)q->I * q->size;
  for (int64_t t = 0; t < q->T; t++) {
    char *from = at_step(q, q->dxs, s, q->T, t, q->I);
    for (int64_t row = 0; row < rows_of(q, s); row++, from += I) {
      memcpy(row_at(q, q->dx, s, row, t, q->xb, q->xt, q->I), from, I);
    }
  }
}

/* dh = what the gates' gradients of step t bring to h_prev. */
static void multiply_back(const seq *q, int64_t s, int64_t t, char *dh) {
  char *dgates = at_step(q, q->dgates, s, q->T, t, q->G);
  bool add = q->cell->direct;
  for (int i = 0; i < q->cell->blocks; i++) {
    const block *b = &q->cell->block[i];
    if (!b->h) continue;
    sq_product p = {.m = rows_of(q, s), .n = q->H, .k = (b->to - b->from) * q->H, .add = add};
    p.a = dgates + (size_t)(b->from * q->H) * q->size, p.rs = q->G, p.cs = 1;
    p.panels = q->panels[i], p.c = dh, p.ldc = q->H;
    q->kern->product(&p);
    add = true;
  }
}

/* The gradient of a block's weights, (rows, columns), as a product of `depth`; pointers apart. */
static sq_gemm weights_product(const seq *q, int64_t rows, int64_t columns, int64_t depth) {
  return (sq_gemm){.dtype = q->dtype,
                   .ta = true,
                   .m = rows,
                   .n = columns,
                   .k = depth,
                   .lda = q->G,
                   .ldb = q->ld,
                   .ldc = q->K};
}

/* dweights of a slice (G,K) = dgates^T [h | 1 | x] over all its steps. */
static void multiply_weights(const seq *q, int64_t s) {
  char *dgates = at_step(q, q->dgates, s, q->T, 0, q->G),
       *xh = at_step(q, q->xh, s, q->T, 0, q->ld);
  char *to = q->dweights + (size_t)(s * q->G * q->K) * q->size;
  for (int i = 0; i < q->cell->blocks; i++) {
    const block *b = &q->cell->block[i];
    int64_t first, k, from = b->from * q->H, width = (b->to - b->from) * q->H;
    columns_of(q, b, &first, &k);
    sq_gemm g = weights_product(q, width, k, q->T * rows_of(q, s));
    g.a = dgates + (size_t)from * q->size;
    g.b = xh + (size_t)first * q->size;
    g.c = to + (size_t)(from * q->K + first) * q->size;
    sq_gemm_tile(&g, sq_scratch_mine(&q->scratch));
  }
}

static void backward_slice(int64_t s, void *context) {
  const seq *q = context;
  int64_t n = rows_of(q, s), all = q->T * n;
  char *dh = at_step(q, q->dh, s, 1, 0, q->H),
       *dc = q->cell->has_c ? at_step(q, q->dc, s, 1, 0, q->H) : NULL;
  char *dgates = at_step(q, q->dgates, s, q->T, 0, q->G);
  start_state(q, s, q->dhn, dh);
  if (dc) start_state(q, s, q->dcn, dc);
  for (int64_t t = q->T - 1; t >= 0 && !sq_interrupt_pending(); t--) {
    add_dy(q, s, t);
    q->cell->step_back(q, s, t);
    if (t == 0 && !q->dh0) break;
    multiply_back(q, s, t, dh);
  }
  multiply_weights(q, s);
  if (q->dx) {
    sq_product p = {.m = all, .n = q->I, .k = q->W, .panels = q->panels[MAX_BLOCKS]};
    p.a = dgates, p.rs = q->G, p.cs = 1;
    p.c = at_step(q, q->dxs, s, q->T, 0, q->I), p.ldc = q->I;
    q->kern->product(&p);
    unpack_dx(q, s);
  }
  size_t bytes = (size_t)(n * q->H) * q->size;
  if (q->dh0) memcpy(state_at(q, q->dh0, s, 0), dh, bytes);
  if (q->dc0) memcpy(state_at(q, q->dc0, s, 0), dc, bytes);
}

/* --- the cells ------------------------------------------------------------------------------ */

/* i, f, o = sigmoid, g = tanh of the four gates;  c' = f c + i g;  h = o tanh(c').  Gates in the
 * order i f g o. */
static void lstm_step(const seq *q, int64_t s, int64_t t) {
  int64_t H = q->H, kept = q->keep ? q->T : 1;
  q->kern->lstm_step(&(sq_lstm){
      .B = rows_of(q, s),
      .H = H,
      .gates = {gates_at(q, s, t), q->G},
      .c_prev = {at_step(q, q->c, s, q->T + 1, t, H), H},
      .c = {at_step(q, q->c, s, q->T + 1, t + 1, H), H},
      .h = {y_at(q, q->y, s, 0, t), q->yb * H},
      .tanh_c = {at_step(q, q->tanh_c, s, kept, q->keep ? t : 0, H), H},
  });
}

static void lstm_step_back(const seq *q, int64_t s, int64_t t) {
  int64_t H = q->H;
  q->kern->lstm_step_back(&(sq_lstm_back){
      .B = rows_of(q, s),
      .H = H,
      .gates = {gates_at(q, s, t), q->G},
      .c_prev = {at_step(q, q->c, s, q->T + 1, t, H), H},
      .tanh_c = {at_step(q, q->tanh_c, s, q->T, t, H), H},
      .dh = {at_step(q, q->dh, s, 1, 0, H), H},
      .dc = {at_step(q, q->dc, s, 1, 0, H), H},
      .dgates = {at_step(q, q->dgates, s, q->T, t, q->G), q->G},
  });
}

static const cell lstm_cell = {.gates = 4,
                               .columns = 4,
                               .blocks = 1,
                               .block = {{0, 4, 0, true, true}},
                               .weights = IN_LSTM_W_IH,
                               .has_c = true,
                               .step = lstm_step,
                               .step_back = lstm_step_back};

/* h = tanh(pre) or relu(pre); the activation is kept where the pre-activation was. */
static void rnn_step(const seq *q, int64_t s, int64_t t) {
  int64_t n = rows_of(q, s);
  char *pre = gates_at(q, s, t);
  sq_elem activation = q->relu ? SQ_ELEM_relu : SQ_ELEM_tanh;
  q->kern->elem[activation](n * q->H, (const void *[]){pre}, (int64_t[]){1}, pre, 1, NULL);
  size_t H = (size_t)q->H * q->size;
  for (int64_t row = 0; row < n; row++) memcpy(y_at(q, q->y, s, row, t), pre + (size_t)row * H, H);
}

static void rnn_step_back(const seq *q, int64_t s, int64_t t) {
  const void *in[] = {at_step(q, q->dh, s, 1, 0, q->H), gates_at(q, s, t)};
  sq_elem back = q->relu ? SQ_ELEM_relu_back : SQ_ELEM_tanh_back;
  q->kern->elem[back](rows_of(q, s) * q->H, in, (int64_t[]){1, 1},
                      at_step(q, q->dgates, s, q->T, t, q->G), 1, NULL);
}

static const cell rnn_cell = {.gates = 1,
                              .columns = 1,
                              .blocks = 1,
                              .block = {{0, 1, 0, true, true}},
                              .weights = IN_RNN_W_IH,
                              .step = rnn_step,
                              .step_back = rnn_step_back};

/* r, z = sigmoid;  n = tanh(W_in x + b_in + r (W_hn h + b_hn));  h' = (1 - z) n + z h.  The columns
 * are r z n and what r multiplies, u. */
static void gru_step(const seq *q, int64_t s, int64_t t) {
  char *gates = gates_at(q, s, t);
  q->kern->gru_step(&(sq_gru){
      .B = rows_of(q, s),
      .H = q->H,
      .gates = {gates, q->G},
      .hn = {gates + (size_t)(3 * q->H) * q->size, q->G},
      .h_prev = {at_step(q, q->xh, s, q->T, t, q->ld), q->ld},
      .h = {y_at(q, q->y, s, 0, t), q->yb * q->H},
  });
}

static void gru_step_back(const seq *q, int64_t s, int64_t t) {
  char *gates = gates_at(q, s, t), *dgates = at_step(q, q->dgates, s, q->T, t, q->G);
  size_t u = (size_t)(3 * q->H) * q->size;
  q->kern->gru_step_back(&(sq_gru_back){
      .B = rows_of(q, s),
      .H = q->H,
      .gates = {gates, q->G},
      .hn = {gates + u, q->G},
      .h_prev = {at_step(q, q->xh, s, q->T, t, q->ld), q->ld},
      .dh = {at_step(q, q->dh, s, 1, 0, q->H), q->H},
      .dgates = {dgates, q->G},
      .dhn = {dgates + u, q->G},
  });
}

static const cell gru_cell = {
    .gates = 3,
    .columns = 4,
    .blocks = 3,
    .block = {{0, 2, 0, true, true}, {2, 3, 0, false, true}, {3, 4, 2, true, false}},
    .weights = IN_GRU_W_IH,
    .direct = true,
    .step = gru_step,
    .step_back = gru_step_back};

/* --- a call: tensors in, tensors out -------------------------------------------------------- */

/* Rows of a slice: of a batch that is worth it an even number of slices, as even as can be, so that
 * two cores have the same to do. */
static int64_t slice_rows(int64_t B) {
  int64_t pairs = B < 2 * SQ_RNN_LEAST_ROWS ? 0 : sq_tiles(B, 2 * SQ_RNN_MOST_ROWS);
  return pairs > 0 ? sq_tiles(B, 2 * pairs) : B > 0 ? B : 1;
}

static sq_status set_sizes(const sq_call *c, const cell *kind, bool batch_first, seq *q) {
  const sq_tensor *x = c->in[IN_X];
  int first = batch_first ? 0 : 1;
  q->cell = kind;
  q->dtype = x->dtype;
  q->kern = sq_kern_of(x->dtype);
  q->size = sq_dtype_size(x->dtype);
  q->B = x->shape[first];
  q->T = x->shape[1 - first];
  q->I = x->shape[2];
  q->xb = q->yb = batch_first ? q->T : 1;
  q->xt = q->yt = batch_first ? 1 : q->B;
  q->W = kind->gates * q->H;
  q->G = kind->columns * q->H;
  q->K = q->H + 1 + q->I;
  q->ld = (q->K + 15) / 16 * 16;
  q->S = slice_rows(q->B);
  q->slices = q->B == 0 ? 1 : sq_tiles(q->B, q->S);
  if (q->T == 0)
    return sq_fail(SQ_ESHAPE, "[%s] x is %s: a sequence needs at least one step", c->op->name,
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF));
  return SQ_OK;
}

static sq_status want_shape(const char *op, const char *what, const sq_tensor *t, int ndim,
                            const int64_t *shape) {
  if (!t || sq_shape_equal(t->ndim, t->shape, ndim, shape)) return SQ_OK;
  return sq_fail(SQ_ESHAPE, "[%s] %s is %s: it must be %s", op, what,
                 sq_tensor_shape_text(t, SQ_SHAPE_BUF), sq_shape_text(ndim, shape, SQ_SHAPE_BUF));
}

static sq_status check_call(const sq_call *c, const cell *kind, bool batch_first, seq *q) {
  const char *op = c->op->name;
  const sq_tensor *x = c->in[IN_X];
  sq_tensor *const *w = c->in + kind->weights;
  SQ_TRY(sq__want_float(c, IN_X));
  if (x->ndim != 3) {
    return sq_fail(SQ_ESHAPE, "[%s] x is %s: it must be %s", op,
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF),
                   batch_first ? "(batch,time,input)" : "(time,batch,input)");
  }
  if (w[W_HH]->ndim != 2)
    return sq_fail(SQ_ESHAPE, "[%s] w_hh is %s: it must have 2 dims", op,
                   sq_tensor_shape_text(w[W_HH], SQ_SHAPE_BUF));
  q->H = w[W_HH]->shape[1];
  SQ_TRY(set_sizes(c, kind, batch_first, q));
  if (w[W_IH]->ndim == 2 && w[W_IH]->shape[1] != q->I) {
    return sq_fail(SQ_ESHAPE, "[%s] x is %s, w_ih is %s: x's last dim must be %lld", op,
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(w[W_IH], SQ_SHAPE_BUF), (long long)w[W_IH]->shape[1]);
  }
  SQ_TRY(want_shape(op, "w_ih", w[W_IH], 2, (int64_t[]){q->W, q->I}));
  SQ_TRY(want_shape(op, "w_hh", w[W_HH], 2, (int64_t[]){q->W, q->H}));
  SQ_TRY(want_shape(op, "b_ih", w[B_IH], 1, &q->W));
  SQ_TRY(want_shape(op, "b_hh", w[B_HH], 1, &q->W));
  SQ_TRY(want_shape(op, "h0", c->in[IN_H0], 2, (int64_t[]){q->B, q->H}));
  return kind->has_c ? want_shape(op, "c0", c->in[IN_C0], 2, (int64_t[]){q->B, q->H}) : SQ_OK;
}

/* Panels of k rows and n columns, their content undefined. */
static sq_status new_panels(const seq *q, int64_t k, int64_t n, sq_tensor **out) {
  int64_t bytes;
  SQ_TRY(sq_panels_bytes(q->dtype, k, n, &bytes));
  return sq_tensor_new(q->dtype, 1, (int64_t[]){bytes / (int64_t)q->size}, out);
}

/* The row of ones' weights += n of b from `from` on, at column `right`. */
static sq_status add_bias(sq_tensor *ones, int64_t right, sq_tensor *b, int64_t from, int64_t n) {
  SQ_OWN sq_tensor *part = NULL, *piece = NULL;
  SQ_TRY(sq_tensor_window(ones, 1, &n, ones->stride, right, &part));
  SQ_TRY(sq_tensor_window(b, 1, &n, b->stride, b->offset + from * b->stride[0], &piece));
  return sq_map_into(SQ_ELEM_add, (sq_tensor *[]){part, piece}, NULL, part);
}

/* (G): b_ih + b_hh, each in its columns. */
static sq_status add_biases(const seq *q, sq_tensor *b_ih, sq_tensor *b_hh, sq_tensor **out) {
  SQ_OWN sq_tensor *ones = NULL;
  SQ_TRY(sq_tensor_full(q->dtype, 1, &q->G, 0, &ones));
  if (b_ih) SQ_TRY(add_bias(ones, 0, b_ih, 0, q->W));
  for (int i = 0; b_hh && i < q->cell->blocks; i++) {
    const block *b = &q->cell->block[i];
    if (b->h) SQ_TRY(add_bias(ones, b->from * q->H, b_hh, b->row * q->H, (b->to - b->from) * q->H));
  }
  *out = sq_tensor_give(&ones);
  return SQ_OK;
}

/* One block's panels: w_hh^T over the biases over w_ih^T, as far as it reads them. */
static sq_status pack_block(const seq *q, const block *b, const sq_tensor *w_ih,
                            const sq_tensor *w_hh, const sq_tensor *ones, sq_tensor **out) {
  int64_t first, k, from = b->from * q->H, n = (b->to - b->from) * q->H;
  columns_of(q, b, &first, &k);
  SQ_TRY(new_panels(q, k, n, out));
  char *to = sq_data(*out);
  if (b->h) {
    const char *rows = (char *)sq_data(w_hh) + (size_t)(b->row * q->H * q->H) * q->size;
    q->kern->pack(q->H, n, rows, 1, q->H, to, k);
    to += q->H * SQ_PANEL_BYTES;
  }
  q->kern->pack(1, n, (char *)sq_data(ones) + (size_t)from * q->size, 0, 1, to, k);
  if (b->x) {
    const char *rows = (char *)sq_data(w_ih) + (size_t)(from * q->I) * q->size;
    q->kern->pack(q->I, n, rows, 1, q->I, to + SQ_PANEL_BYTES, k);
  }
  return SQ_OK;
}

/* The panels of every block: w_ih, w_hh, and the biases. */
static sq_status pack_weights(const seq *q, sq_tensor *const *w, const sq_tensor *ones,
                              sq_tensor **panels) {
  SQ_OWN sq_tensor *w_ih = NULL, *w_hh = NULL;
  SQ_TRY(sq_tensor_contiguous(w[W_IH], &w_ih));
  SQ_TRY(sq_tensor_contiguous(w[W_HH], &w_hh));
  for (int i = 0; i < q->cell->blocks; i++)
    SQ_TRY(pack_block(q, &q->cell->block[i], w_ih, w_hh, ones, &panels[i]));
  return SQ_OK;
}

/* What backward multiplies by: w_hh of each block that reads h, and w_ih where dx is wanted. */
static sq_status pack_back(const seq *q, sq_tensor *w_ih, sq_tensor *w_hh, bool dx,
                           sq_tensor **panels) {
  SQ_OWN sq_tensor *ih = NULL, *hh = NULL;
  SQ_TRY(sq_tensor_contiguous(w_ih, &ih));
  SQ_TRY(sq_tensor_contiguous(w_hh, &hh));
  for (int i = 0; i < q->cell->blocks; i++) {
    const block *b = &q->cell->block[i];
    if (!b->h) continue;
    const char *rows = (char *)sq_data(hh) + (size_t)(b->row * q->H * q->H) * q->size;
    const int64_t k = (b->to - b->from) * q->H;
    SQ_TRY(new_panels(q, k, q->H, &panels[i]));
    q->kern->pack(k, q->H, rows, q->H, 1, sq_data(panels[i]), k);
  }
  if (!dx) return SQ_OK;
  SQ_TRY(new_panels(q, q->W, q->I, &panels[MAX_BLOCKS]));
  q->kern->pack(q->W, q->I, sq_data(ih), q->I, 1, sq_data(panels[MAX_BLOCKS]), q->W);
  return SQ_OK;
}

/* The arrays of a call; dropped together. */
typedef struct arrays {
  sq_tensor *x, *h0, *c0, *xh, *gates, *c, *tanh_c, *y, *hn, *cn, *panels[MAX_BLOCKS];
} arrays;

static void drop_arrays(arrays *a) {
  sq_tensor_drop(a->x), sq_tensor_drop(a->h0), sq_tensor_drop(a->c0);
  sq_tensor_drop(a->xh), sq_tensor_drop(a->gates);
  sq_tensor_drop(a->c), sq_tensor_drop(a->tanh_c);
  sq_tensor_drop(a->y), sq_tensor_drop(a->hn), sq_tensor_drop(a->cn);
  for (int i = 0; i < MAX_BLOCKS; i++) sq_tensor_drop(a->panels[i]);
}

static sq_status new_array(const seq *q, int64_t steps, int64_t width, sq_tensor **out) {
  int64_t n;
  SQ_TRY(sq_size_mul(q->B * steps, width, &n));
  return sq_tensor_new(q->dtype, 1, &n, out);
}

/* The gates of every step, and behind them the biases (G), which a recorded backward needs; or of
 * one step alone. */
static sq_status make_gates(const seq *q, const sq_tensor *ones, sq_tensor **out) {
  int64_t n;
  if (!q->keep) return new_array(q, 1, q->G, out);
  SQ_TRY(sq_size_mul(q->B * q->T + 1, q->G, &n));
  SQ_TRY(sq_tensor_new(q->dtype, 1, &n, out));
  memcpy(sq__offset(sq_data(*out), n - q->G, q->size), sq_data(ones), (size_t)q->G * q->size);
  return SQ_OK;
}

static sq_status make_arrays(const sq_call *c, seq *q, arrays *a) {
  SQ_OWN sq_tensor *ones = NULL;
  sq_tensor *const *w = c->in + q->cell->weights;
  int64_t kept = q->keep ? q->T : 1, state[] = {q->B, q->H};
  SQ_TRY(sq_tensor_contiguous(c->in[IN_X], &a->x));
  SQ_TRY(sq__contiguous_or_null(c->in[IN_H0], &a->h0));
  SQ_TRY(add_biases(q, w[B_IH], w[B_HH], &ones));
  SQ_TRY(pack_weights(q, w, ones, a->panels));
  SQ_TRY(new_array(q, q->T, q->ld, &a->xh));
  SQ_TRY(make_gates(q, ones, &a->gates));
  SQ_TRY(sq_tensor_new(q->dtype, 3, (int64_t[]){a->x->shape[0], a->x->shape[1], q->H}, &a->y));
  SQ_TRY(sq_tensor_new(q->dtype, 2, state, &a->hn));
  if (!q->cell->has_c) return SQ_OK;
  SQ_TRY(sq__contiguous_or_null(c->in[IN_C0], &a->c0));
  SQ_TRY(new_array(q, q->T + 1, q->H, &a->c));
  SQ_TRY(new_array(q, kept, q->H, &a->tanh_c));
  return sq_tensor_new(q->dtype, 2, state, &a->cn);
}

static void point_forward(seq *q, const arrays *a) {
  q->x = sq_data(a->x);
  q->h0 = sq__data_or_null(a->h0);
  q->c0 = sq__data_or_null(a->c0);
  for (int i = 0; i < MAX_BLOCKS; i++) q->panels[i] = sq__data_or_null(a->panels[i]);
  q->xh = sq_data(a->xh);
  q->gates = sq_data(a->gates);
  q->c = sq__data_or_null(a->c);
  q->tanh_c = sq__data_or_null(a->tanh_c);
  q->y = sq_data(a->y);
  q->hn = sq_data(a->hn);
  q->cn = sq__data_or_null(a->cn);
}

/* What is kept. */
enum { SAVED_XH, SAVED_GATES, SAVED_C, SAVED_TANH_C, SAVED_W_IH, SAVED_W_HH };

typedef struct manner {
  bool batch_first, reverse, relu;
} manner;

static sq_status save_call(sq_call *c, const seq *q, const arrays *a, const manner *m) {
  sq_tensor *const *w = c->in + q->cell->weights;
  SQ_TRY(sq__save(c, SAVED_XH, a->xh));
  SQ_TRY(sq__save(c, SAVED_GATES, a->gates));
  SQ_TRY(sq__save(c, SAVED_C, a->c));
  SQ_TRY(sq__save(c, SAVED_TANH_C, a->tanh_c));
  SQ_TRY(sq__save(c, SAVED_W_IH, w[W_IH]));
  SQ_TRY(sq__save(c, SAVED_W_HH, w[W_HH]));
  sq__save_values(c, m, sizeof *m);
  return SQ_OK;
}

/* Floating point work of the products in ns at 100 GF/s: what sq_parallel decides by. */
static int64_t work_of(const seq *q) { return q->T * q->B * q->G * q->K / 50 + 1; }

static sq_status run_forward(sq_call *c, seq *q, arrays *a, const manner *m) {
  SQ_TRY(make_arrays(c, q, a));
  point_forward(q, a);
  sq_parallel(q->slices, work_of(q), forward_slice, q);
  SQ_TRY(sq_interrupt_check());
  SQ_TRY(save_call(c, q, a, m));
  c->out[Y] = sq_tensor_give(&a->y);
  c->out[HN] = sq_tensor_give(&a->hn);
  c->out[CN] = sq_tensor_give(&a->cn);
  return SQ_OK;
}

static sq_status sequence_forward(sq_call *c, const cell *kind, manner m) {
  seq q = {.reverse = m.reverse, .relu = m.relu, .keep = c->node != NULL};
  arrays a = {0};
  SQ_TRY(check_call(c, kind, m.batch_first, &q));
  sq_status st = run_forward(c, &q, &a, &m);
  drop_arrays(&a);
  return st;
}

/* --- backward of a call --------------------------------------------------------------------- */

typedef struct grads {
  sq_tensor *dy, *dhn, *dcn, *dgates, *dh, *dc, *dweights, *dxs, *dx, *dh0, *dc0;
  sq_tensor *panels[MAX_BLOCKS + 1];
} grads;

static void drop_grads(grads *g) {
  sq_tensor_drop(g->dy), sq_tensor_drop(g->dhn), sq_tensor_drop(g->dcn);
  sq_tensor_drop(g->dgates), sq_tensor_drop(g->dh), sq_tensor_drop(g->dc);
  sq_tensor_drop(g->dweights), sq_tensor_drop(g->dxs);
  sq_tensor_drop(g->dx), sq_tensor_drop(g->dh0), sq_tensor_drop(g->dc0);
  for (int i = 0; i <= MAX_BLOCKS; i++) sq_tensor_drop(g->panels[i]);
}

static sq_status make_grads(const sq_back *b, const seq *q, grads *g) {
  int64_t state[] = {q->B, q->H};
  SQ_TRY(sq__contiguous_or_null(b->dy[Y], &g->dy));
  SQ_TRY(sq__contiguous_or_null(b->dy[HN], &g->dhn));
  SQ_TRY(sq__contiguous_or_null(q->cell->has_c ? b->dy[CN] : NULL, &g->dcn));
  SQ_TRY(pack_back(q, sq__saved(b, SAVED_W_IH), sq__saved(b, SAVED_W_HH), sq__needs(b, IN_X),
                   g->panels));
  SQ_TRY(new_array(q, q->T, q->G, &g->dgates));
  SQ_TRY(new_array(q, 1, q->H, &g->dh));
  SQ_TRY(sq_tensor_new(q->dtype, 3, (int64_t[]){q->slices, q->G, q->K}, &g->dweights));
  if (sq__needs(b, IN_X)) {
    SQ_TRY(new_array(q, q->T, q->I, &g->dxs));
    SQ_TRY(sq_tensor_new(q->dtype, 3, sq__in_shape(b, IN_X), &g->dx));
  }
  if (sq__needs(b, IN_H0)) SQ_TRY(sq_tensor_new(q->dtype, 2, state, &g->dh0));
  if (!q->cell->has_c) return SQ_OK;
  SQ_TRY(new_array(q, 1, q->H, &g->dc));
  return sq__needs(b, IN_C0) ? sq_tensor_new(q->dtype, 2, state, &g->dc0) : SQ_OK;
}

static void point_backward(const sq_back *b, seq *q, const grads *g) {
  q->xh = sq_data(sq__saved(b, SAVED_XH));
  q->gates = sq_data(sq__saved(b, SAVED_GATES));
  q->c = sq__data_or_null(sq__saved(b, SAVED_C));
  q->tanh_c = sq__data_or_null(sq__saved(b, SAVED_TANH_C));
  for (int i = 0; i <= MAX_BLOCKS; i++) q->panels[i] = sq__data_or_null(g->panels[i]);
  q->dy = sq__data_or_null(g->dy);
  q->dhn = sq__data_or_null(g->dhn);
  q->dcn = sq__data_or_null(g->dcn);
  q->dgates = sq_data(g->dgates);
  q->dh = sq_data(g->dh);
  q->dc = sq__data_or_null(g->dc);
  q->dweights = sq_data(g->dweights);
  q->dxs = sq__data_or_null(g->dxs);
  q->dx = sq__data_or_null(g->dx);
  q->dh0 = sq__data_or_null(g->dh0);
  q->dc0 = sq__data_or_null(g->dc0);
}

/* The slices' (G,K) gradients added in order, in place of the first. */
static sq_status sum_slices(const seq *q, sq_tensor *dweights) {
  int64_t n = q->G * q->K;
  SQ_OWN sq_tensor *sum = NULL;
  SQ_TRY(sq_tensor_window(dweights, 1, &n, (int64_t[]){1}, 0, &sum));
  for (int64_t s = 1; s < q->slices; s++) {
    SQ_OWN sq_tensor *part = NULL;
    SQ_TRY(sq_tensor_window(dweights, 1, &n, (int64_t[]){1}, s * n, &part));
    SQ_TRY(sq_map_into(SQ_ELEM_add, (sq_tensor *[]){sum, part}, NULL, sum));
  }
  return SQ_OK;
}

/* to's rows from `row` on = n rows of the gradients from row `from` on, as many columns as `to` has
 * from `column` on; a 1-d `to` is one column. */
static sq_status cut_gradient(const seq *q, sq_tensor *dweights, int64_t from, int64_t column,
                              sq_tensor *to, int64_t row, int64_t n) {
  SQ_OWN sq_tensor *part = NULL, *target = NULL;
  int64_t shape[] = {n, to->ndim == 2 ? to->shape[1] : 1}, stride[] = {q->K, 1};
  SQ_TRY(sq_tensor_window(dweights, to->ndim, shape, stride, from * q->K + column, &part));
  SQ_TRY(sq_tensor_window(to, to->ndim, shape, to->stride, row * to->stride[0], &target));
  return sq_tensor_copy(target, part);
}

/* The gradient of one weight, which x or h meets, from its column on. */
static sq_status give_weight(const seq *q, sq_tensor *dweights, int i, sq_tensor *to) {
  const int64_t column[WEIGHTS] = {[W_IH] = q->H + 1, [W_HH] = 0, [B_IH] = q->H, [B_HH] = q->H};
  if (i == W_IH || i == B_IH) return cut_gradient(q, dweights, 0, column[i], to, 0, q->W);
  for (int k = 0; k < q->cell->blocks; k++) {
    const block *p = &q->cell->block[k];
    if (!p->h) continue;
    SQ_TRY(cut_gradient(q, dweights, p->from * q->H, column[i], to, p->row * q->H,
                        (p->to - p->from) * q->H));
  }
  return SQ_OK;
}

/* The gradients cut into dw_ih, dw_hh, db_ih, db_hh. */
static sq_status give_weights(sq_back *b, const seq *q, sq_tensor *dweights) {
  SQ_TRY(sum_slices(q, dweights));
  for (int i = 0; i < WEIGHTS; i++) {
    int input = q->cell->weights + i;
    if (!sq__needs(b, input)) continue;
    SQ_OWN sq_tensor *to = NULL;
    SQ_TRY(sq_tensor_new(q->dtype, sq__in_ndim(b, input), sq__in_shape(b, input), &to));
    SQ_TRY(give_weight(q, dweights, i, to));
    b->dx[input] = sq_tensor_give(&to);
  }
  return SQ_OK;
}

static sq_status run_backward(sq_back *b, seq *q, grads *g) {
  SQ_TRY(make_grads(b, q, g));
  point_backward(b, q, g);
  const sq_gemm most = weights_product(q, q->G, q->K, INT64_MAX);
  q->scratch.each = sq_gemm_scratch(&most);
  SQ_TRY(sq_parallel_scratch(&q->scratch, q->slices, 2 * work_of(q), backward_slice, q));
  SQ_TRY(give_weights(b, q, g->dweights));
  b->dx[IN_X] = sq_tensor_give(&g->dx);
  b->dx[IN_H0] = sq_tensor_give(&g->dh0);
  if (q->cell->has_c) b->dx[IN_C0] = sq_tensor_give(&g->dc0);
  return SQ_OK;
}

/* The sizes of the call that is gone back through. */
static sq_status sizes_of_call(const sq_back *b, const cell *kind, seq *q) {
  const manner *m = sq__values(b);
  const sq_tensor *w_hh = sq__saved(b, SAVED_W_HH);
  /* set_sizes reads x's shape only: a stand-in header tells it what x was */
  sq_tensor x = {.dtype = sq__in_dtype(b, IN_X), .ndim = 3};
  memcpy(x.shape, sq__in_shape(b, IN_X), 3 * sizeof *x.shape);
  sq_call c = {.in = (sq_tensor *[]){&x}};
  *q = (seq){.reverse = m->reverse, .relu = m->relu, .keep = true, .H = w_hh->shape[1]};
  return set_sizes(&c, kind, m->batch_first, q);
}

static sq_status sequence_backward(sq_back *b, const cell *kind) {
  seq q;
  SQ_TRY(sizes_of_call(b, kind, &q));
  grads g = {0};
  sq_status st = run_backward(b, &q, &g);
  drop_grads(&g);
  return st;
}

/* --- composed of ops, cell by cell ---------------------------------------------------------- */

/* x, and the h before the first step, out of the rows that were kept; either may be NULL. */
static void unpack_rows(const seq *q, char *xh, char *x, char *h0) {
  size_t H = (size_t)q->H * q->size, I = (size_t)q->I * q->size, ld = (size_t)q->ld * q->size;
  for (int64_t s = 0; s < q->slices; s++) {
    for (int64_t t = 0; t < q->T; t++) {
      const char *from = at_step(q, xh, s, q->T, t, q->ld);
      for (int64_t row = 0; row < rows_of(q, s); row++, from += ld) {
        if (x) memcpy(row_at(q, x, s, row, t, q->xb, q->xt, q->I), from + H + q->size, I);
        if (h0 && t == 0) memcpy(state_at(q, h0, s, row), from, H);
      }
    }
  }
}

static void unpack_c(const seq *q, char *c, char *c0) {
  for (int64_t s = 0; s < q->slices; s++)
    memcpy(state_at(q, c0, s, 0), at_step(q, c, s, q->T + 1, 0, q->H),
           (size_t)(rows_of(q, s) * q->H) * q->size);
}

/* An input, whose content is to be filled in. NULL for one left out. */
static sq_tensor *room_for_input(sq_again *r, int i) {
  sq_tensor *t = NULL;
  if (r->st != SQ_OK || sq__in_ndim(r->b, i) == 0) return NULL;
  sq_status st =
      sq_tensor_new(sq__in_dtype(r->b, i), sq__in_ndim(r->b, i), sq__in_shape(r->b, i), &t);
  return sq__own(r, st, t);
}

/* A composition on its way. */
typedef struct steps {
  sq_again *r;
  const seq *q;
  sq_tensor *x, *h, *c; /* c NULL without cell state */
  sq_tensor *wt, *ut;   /* w_ih^T, w_hh^T */
  sq_tensor *bx, *bh;   /* what is added to x's and to h's products; bh NULL for 0 */
} steps;

static sq_tensor *zero_state(const steps *k) {
  return sq__filled(k->r, 2, (int64_t[]){k->q->B, k->q->H}, 0);
}

/* The states before the first step, zeros where none were given. */
static void read_inputs(steps *k) {
  sq_again *r = k->r;
  sq_tensor *x = room_for_input(r, IN_X), *h0 = room_for_input(r, IN_H0), *c0 = NULL;
  if (k->q->cell->has_c) c0 = room_for_input(r, IN_C0);
  if (r->st != SQ_OK) return;
  unpack_rows(k->q, sq_data(sq__saved(r->b, SAVED_XH)), sq_data(x), sq__data_or_null(h0));
  if (c0) unpack_c(k->q, sq_data(sq__saved(r->b, SAVED_C)), sq_data(c0));
  k->x = sq__input(r, IN_X, x);
  k->h = h0 ? sq__input(r, IN_H0, h0) : zero_state(k);
  if (k->q->cell->has_c) k->c = c0 ? sq__input(r, IN_C0, c0) : zero_state(k);
}

/* Biases were kept as their sums, column by column: their values come from there, and the way back
 * from zeros in their places. */
static void read_weights(steps *k) {
  sq_again *r = k->r;
  const seq *q = k->q;
  const int first = q->cell->weights;
  const sq_tensor *gates = sq__saved(r->b, SAVED_GATES);
  sq_tensor *ones = NULL;
  k->wt = sq__swapped(r, sq__input(r, first + W_IH, sq__saved(r->b, SAVED_W_IH)), 0, 1);
  k->ut = sq__swapped(r, sq__input(r, first + W_HH, sq__saved(r->b, SAVED_W_HH)), 0, 1);
  sq_status st = sq_tensor_window(sq__saved(r->b, SAVED_GATES), 1, &q->G, (int64_t[]){1},
                                  gates->numel - q->G, &ones);
  ones = sq__own(r, st, ones);
  k->bx = sq__part(r, ones, 0, 0, q->W);
  if (sq__needs(r->b, first + B_IH)) k->bx = sq__add(r, k->bx, sq__input_slope(r, first + B_IH));
  if (sq__needs(r->b, first + B_HH)) k->bh = sq__input_slope(r, first + B_HH);
  if (q->G == q->W) return;
  /* a GRU's u stands apart: what h brings to n */
  sq_tensor *parts[] = {sq__filled(r, 1, (int64_t[]){2 * q->H}, 0),
                        sq__part(r, ones, 0, q->W, q->H)};
  sq_tensor *u = sq__joined(r, 2, parts, 0);
  k->bh = k->bh ? sq__add(r, k->bh, u) : u;
}

/* `n` gates from the first on, of (B,W). */
static sq_tensor *gates_part(const steps *k, sq_tensor *t, int first, int n) {
  return sq__part(k->r, t, 1, first * k->q->H, n * k->q->H);
}

static sq_tensor *gate(const steps *k, sq_op_id op, sq_tensor *pre, int at) {
  return sq__of(k->r, op, gates_part(k, pre, at, 1));
}

static void rnn_cell_step(steps *k, sq_tensor *xs, sq_tensor *hs) {
  k->h = sq__of(k->r, k->q->relu ? SQ_OP_relu : SQ_OP_tanh, sq__add(k->r, xs, hs));
}

static void lstm_cell_step(steps *k, sq_tensor *xs, sq_tensor *hs) {
  sq_again *r = k->r;
  sq_tensor *pre = sq__add(r, xs, hs);
  sq_tensor *i = gate(k, SQ_OP_sigmoid, pre, 0), *f = gate(k, SQ_OP_sigmoid, pre, 1);
  sq_tensor *g = gate(k, SQ_OP_tanh, pre, 2), *o = gate(k, SQ_OP_sigmoid, pre, 3);
  k->c = sq__add(r, sq__mul(r, f, k->c), sq__mul(r, i, g));
  k->h = sq__mul(r, o, sq__of(r, SQ_OP_tanh, k->c));
}

static void gru_cell_step(steps *k, sq_tensor *xs, sq_tensor *hs) {
  sq_again *r = k->r;
  sq_tensor *rz =
      sq__of(r, SQ_OP_sigmoid, sq__add(r, gates_part(k, xs, 0, 2), gates_part(k, hs, 0, 2)));
  sq_tensor *inner = sq__mul(r, gates_part(k, rz, 0, 1), gates_part(k, hs, 2, 1));
  sq_tensor *n = sq__of(r, SQ_OP_tanh, sq__add(r, gates_part(k, xs, 2, 1), inner));
  k->h = sq__add(r, n, sq__mul(r, gates_part(k, rz, 1, 1), sq__sub(r, k->h, n)));
}

/* All steps; y gets h of each at its time. */
static void run_steps(steps *k, void (*step)(steps *, sq_tensor *, sq_tensor *), int time,
                      sq_tensor **y) {
  sq_again *r = k->r;
  const seq *q = k->q;
  sq_tensor *xs = sq__add(r, sq__matmul(r, k->x, k->wt), k->bx);
  for (int64_t t = 0; t < q->T && r->st == SQ_OK; t++) {
    int64_t at = q->reverse ? q->T - 1 - t : t;
    sq_tensor *hs = sq__matmul(r, k->h, k->ut);
    if (k->bh) hs = sq__add(r, hs, k->bh);
    step(k, sq__at(r, xs, time, at), hs);
    y[at] = k->h;
  }
}

static void sequence_compose(sq_again *r, const cell *kind,
                             void (*step)(steps *, sq_tensor *, sq_tensor *), sq_tensor **y) {
  const manner *m = sq__values(r->b);
  seq q;
  void *room;
  if (sq__failed(r, sizes_of_call(r->b, kind, &q))) return;
  if (sq__failed(r, sq_alloc_zero(q.T * (int64_t)sizeof(sq_tensor *), &room))) return;
  sq_tensor **all = room;
  steps k = {.r = r, .q = &q};
  read_inputs(&k);
  read_weights(&k);
  run_steps(&k, step, m->batch_first, all);
  y[Y] = sq__stacked(r, (int)q.T, all, m->batch_first);
  y[HN] = k.h;
  y[CN] = k.c;
  sq_free(room);
}

/* --- the blocks ----------------------------------------------------------------------------- */

/* h_t = tanh(w_ih x_t + b_ih + w_hh h_{t-1} + b_hh), or relu */
static sq_status rnn_forward(sq_call *c) {
  manner m = {.batch_first = c->arg[RNN_BATCH_FIRST].flag,
              .reverse = c->arg[RNN_REVERSE].flag,
              .relu = strcmp(c->arg[RNN_NONLINEARITY].string, "relu") == 0};
  return sequence_forward(c, &rnn_cell, m);
}

static sq_status rnn_backward(sq_back *b) { return sequence_backward(b, &rnn_cell); }

static void rnn_compose(sq_again *r, sq_tensor **y) {
  sequence_compose(r, &rnn_cell, rnn_cell_step, y);
}

const sq_op_impl sq__op_rnn = {
    .forward = rnn_forward, .backward = rnn_backward, .compose = rnn_compose};

/* i f g o = sigmoid sigmoid tanh sigmoid (w_ih x_t + b_ih + w_hh h + b_hh);  c = f c + i g;  h = o
 * tanh c */
static sq_status lstm_forward(sq_call *c) {
  manner m = {.batch_first = c->arg[LSTM_BATCH_FIRST].flag, .reverse = c->arg[LSTM_REVERSE].flag};
  return sequence_forward(c, &lstm_cell, m);
}

static sq_status lstm_backward(sq_back *b) { return sequence_backward(b, &lstm_cell); }

static void lstm_compose(sq_again *r, sq_tensor **y) {
  sequence_compose(r, &lstm_cell, lstm_cell_step, y);
}

const sq_op_impl sq__op_lstm = {
    .forward = lstm_forward, .backward = lstm_backward, .compose = lstm_compose};

/* r z = sigmoid (w_ih x_t + b_ih + w_hh h + b_hh);  n = tanh(w_in x_t + b_in + r (w_hn h + b_hn));
 * h = (1 - z) n + z h */
static sq_status gru_forward(sq_call *c) {
  manner m = {.batch_first = c->arg[GRU_BATCH_FIRST].flag, .reverse = c->arg[GRU_REVERSE].flag};
  return sequence_forward(c, &gru_cell, m);
}

static sq_status gru_backward(sq_back *b) { return sequence_backward(b, &gru_cell); }

static void gru_compose(sq_again *r, sq_tensor **y) {
  sequence_compose(r, &gru_cell, gru_cell_step, y);
}

const sq_op_impl sq__op_gru = {
    .forward = gru_forward, .backward = gru_backward, .compose = gru_compose};
