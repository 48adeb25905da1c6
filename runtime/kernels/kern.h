/* kern.h: tables of kernels, loops over raw pointers that know no tensors. One table per dtype, for
 * this machine's ISA. */
#ifndef SQ_KERNELS_KERN_H
#define SQ_KERNELS_KERN_H

#include "base/cpu.h"
#include "base/limits.h"
#include "base/shape.h"

/* y[i] = f(in[0][i], in[1][i], ...; p) for i in 0..n-1, each operand with its stride in elements (0
 * repeats one value). `out` may be one of the inputs with the same stride; otherwise it overlaps
 * none. */
typedef void sq_elem_fn(int64_t n, const void *const *in, const int64_t *in_stride, void *out,
                        int64_t out_stride, const double *p);

typedef enum sq_elem {
#define ELEM(name, inputs) SQ_ELEM_##name,
#define TEST(name, inputs) SQ_ELEM_##name,
#define WHOLE(name, inputs) SQ_ELEM_##name,
#define KERN(name, args)
#include "kernels/kern.def"
#undef ELEM
#undef TEST
#undef WHOLE
#undef KERN
  SQ_ELEMS
} sq_elem;

/* Windows over C planes (Y,X): taps (KY,KX) in steps of (DY,DX), windows in steps of (SY,SX),
 * planes padded by (PY,PX), results (OY,OX). */
typedef struct sq_window {
  int64_t C, Y, X, KY, KX, SY, SX, PY, PX, DY, DX, OY, OX;
} sq_window;

/* A matrix: where it begins, and how many elements its rows are apart. */
typedef struct sq_mat {
  void *at;
  int64_t step;
} sq_mat;

/* One time step of an LSTM for B rows, gates in the order i f g o. Gates (B,4H): in forward
 * pre-activations go in, activations come out. c_prev, c, h, tanh_c (B,H); c_prev.at NULL: 0. */
typedef struct sq_lstm {
  int64_t B, H;
  sq_mat gates, c_prev, c, h, tanh_c;
} sq_lstm;

/* Its gradient. dh: dL/dh, all paths; dc: in dL/dc from the later step, out dL/dc_prev. */
typedef struct sq_lstm_back {
  int64_t B, H;
  sq_mat gates, c_prev, tanh_c, dh, dc, dgates;
} sq_lstm_back;

/* One time step of a GRU, gates r z n: gates (B,3H) as above; hn (B,H): W_hn h + b_hn. */
typedef struct sq_gru {
  int64_t B, H;
  sq_mat gates, hn, h_prev, h;
} sq_gru;

/* Its gradient: dgates at the input pre-activations, dhn at hn; dh: in dL/dh, out z dh, the direct
 * path. */
typedef struct sq_gru_back {
  int64_t B, H;
  sq_mat gates, hn, h_prev, dh, dgates, dhn;
} sq_gru_back;

/* Cross-entropy of logits x (B,C) with classes t (B), from 0; p (B,C): softmax, loss (B). weight
 * (C) or NULL. Backward reads p and g (B), gs elements apart (0: one for all), and writes dx. */
typedef struct sq_cross_entropy {
  int64_t B, C, ignore, gs;
  double smoothing;
  const int64_t *t;
  const void *x, *weight, *g;
  void *p, *loss, *dx;
} sq_cross_entropy;

/* Normalisation of C channels of x (N,C,L), samples `step` elements apart; w, b (C) or NULL. In
 * training forward writes mean and the biased var (C). Backward reads g, x, w, mean and var, and
 * writes dx, dw and db, each or NULL. */
typedef struct sq_batch_norm {
  int64_t N, C, L, step;
  bool training;
  double eps, *mean, *var;
  const void *x, *w, *b, *g;
  void *y, *dx, *dw, *db;
} sq_batch_norm;

/* Normalisation of each (D,L) of x (N,G,D,L); w, b (G,D) or NULL; mean and rstd (N,G). Backward
 * writes dx or NULL, and dw, db (G,D) over these N. An RMS norm has D alone and no mean. */
typedef struct sq_norm_rows {
  int64_t N, G, D, L;
  double eps, *mean, *rstd, *dw, *db;
  const void *x, *w, *b, *g;
  void *y, *dx;
} sq_norm_rows;

/* A block of attention: scores s (R,C) of queries and keys, rows `step` apart. z = scale s + mask,
 * or -Inf where a mask of truths is 0; row r sees its first seen + r columns, and z = -Inf behind.
 * Forward: s = e^(z - max), max and sum (R) take this block in, and what the earlier blocks made is
 * to be multiplied by factor (R). Backward: s = e^(z - lse), in ds goes dL/dweights, out comes
 * scale dL/dz; dmask or NULL: dL/dz, rows dmask_row apart. Strides in elements. */
typedef struct sq_attention {
  int64_t R, C, step, seen;
  double scale;
  const void *mask; /* or NULL; uint8_t where `truth` */
  bool truth;
  int64_t mask_row, mask_column;
  void *s, *ds, *dmask;
  int64_t dmask_row;
  double *max, *sum, *factor;
  const double *lse, *dot; /* (R) */
} sq_attention;

/* What a step of an optimizer goes by, with PyTorch's names. */
typedef struct sq_sgd {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, maximize, first; /* first: buf has no value yet */
} sq_sgd;

typedef struct sq_rmsprop {
  double lr, alpha, eps, weight_decay, momentum;
  bool centered, maximize;
} sq_rmsprop;

typedef struct sq_adam {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled, maximize; /* decoupled: the weights decay apart from the gradient */
  int64_t step;             /* from 1 */
} sq_adam;

typedef struct sq_adagrad {
  double lr, lr_decay, eps, weight_decay;
  bool maximize;
  int64_t step; /* from 1 */
} sq_adagrad;

typedef struct sq_adadelta {
  double lr, rho, eps, weight_decay;
  bool maximize;
} sq_adadelta;

/* A product by a packed B: C = A B, or C += A B where `add`. Element (i,k) of A is at i rs + k cs,
 * or, where tables are given, at rows[i] + columns[k], or A is as pack_turned laid it out. C has
 * rows of ldc elements and overlaps neither. k = 0 gives 0. */
typedef struct sq_product {
  int64_t m, n, k;
  const void *a;
  int64_t rs, cs;
  bool turned; /* m <= SQ_TURNED_ROWS and k <= SQ_PRODUCT_DEPTH then; rs and cs are not read */
  const int64_t *rows, *columns; /* both or none */
  const void *panels;            /* of B (k,n), as pack makes them */
  void *c;
  int64_t ldc;
  bool add;
} sq_product;

/* How pictures (C,Y,X) are laid out for products: PY rows and PX columns of zeros before (fewer
 * than none leave some out), and so many after that there are `rows`, and `columns` of each
 * remainder of SX. Element (c,y,x) of that is at ((c rows + y) SX + x % SX) columns + x / SX. */
typedef struct sq_stage {
  int64_t C, Y, X, PY, PX, SX, rows, columns;
} sq_stage;

/* Pictures laid out one after another, `picture` elements each, as B (k,n) of a product: tap i
 * reads taps[i] behind a position. Positions count through OX, OY and pictures; rows of them are
 * `row` elements apart. A line is read behind the last position, and written behind the panels. */
typedef struct sq_patches {
  const void *x;
  const int64_t *taps;
  int64_t k, first, n, OX, OY, row, picture;
  void *panels;
} sq_patches;

typedef struct sq_kern {
  sq_elem_fn *elem[SQ_ELEMS];
#define ELEM(name, inputs)
#define TEST(name, inputs)
#define WHOLE(name, inputs)
#define KERN(name, args) void(*name) args;
#include "kernels/kern.def"
#undef ELEM
#undef TEST
#undef WHOLE
#undef KERN
} sq_kern;

/* Chooses the kernel set; call once before anything else of this header. [fails: arg, a bad
 * SEQRT_ISA | Lua thread] */
SQ_CHECKED sq_status sq_kern_init(void);

/* Fails until sq_kern_init has chosen: what the birth of a tensor asks. [fails: state | any thread]
 */
SQ_CHECKED sq_status sq_kern_check(void);

/* The table of a dtype, NULL before sq_kern_init. An entry a dtype does not have is NULL. [borrow |
 * any thread] */
const sq_kern *sq_kern_of(sq_dtype dtype);

/* The table of a given ISA, for tests and benchmarks; NULL where the processor lacks it.
 * [borrow] */
const sq_kern *sq_kern_of_isa(sq_isa isa, sq_dtype dtype);

/* The bytes that B (k,n) takes when it is packed. [fails: shape, over 2^63-1] */
SQ_CHECKED sq_status sq_panels_bytes(sq_dtype dtype, int64_t k, int64_t n, int64_t *out);

/* "exp": the name in kern.def; true when the kernel's output is bool; how many inputs it takes.
 * [any thread] */
const char *sq_elem_name(sq_elem kernel);
bool sq_elem_is_test(sq_elem kernel);
int sq_elem_inputs(sq_elem kernel);

/* y = x with conversion between any two dtypes, both with a stride in elements. To bool: x != 0;
 * from float to integer: towards 0, saturating, NaN gives 0. */
void sq_kern_cast(int64_t n, sq_dtype from, const void *x, int64_t xs, sq_dtype to, void *y,
                  int64_t ys);

#endif
