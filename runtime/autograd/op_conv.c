/* op_conv.c: convolutions, forwards and transposed, and pooling, over images (B,C,Y,X) or one
 * (C,Y,X). */
#include <inttypes.h>

#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "base/limits.h"
#include "base/parallel.h"
#include "tensor/conv.h"
#include "tensor/map.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

/* --- convolutions --------------------------------------------------------------------------- */

/* What a call of any of the three says; kept. */
typedef struct settings {
  bool lone; /* x is one image, without a batch */
  bool row;  /* conv1d: images of one row */
  int64_t stride[2], padding[2], dilation[2], more[2], groups;
  bool same; /* y has x's sizes: padding is what lies before x, one more may lie behind */
} settings;

/* The tensors that are kept. */
enum { CONV_X, CONV_WEIGHT };

SQ_ALIKE(IN_CONV1D_WEIGHT, IN_CONV2D_WEIGHT);
SQ_ALIKE(IN_CONV1D_BIAS, IN_CONV2D_BIAS);
SQ_ALIKE(IN_CONV_TRANSPOSE2D_WEIGHT, IN_CONV2D_WEIGHT);
SQ_ALIKE(IN_CONV_TRANSPOSE2D_BIAS, IN_CONV2D_BIAS);
SQ_ALIKE(CONV1D_STRIDE, CONV2D_STRIDE);
SQ_ALIKE(CONV1D_PADDING, CONV2D_PADDING);
SQ_ALIKE(CONV1D_DILATION, CONV2D_DILATION);
SQ_ALIKE(CONV1D_GROUPS, CONV2D_GROUPS);

/* An int stands for across, down being 1 (or 0, for padding). */
static void read_lone_or_pair(const sq_arg *a, int64_t down, int64_t *pair) {
  pair[0] = a->kind == SQ_ARG_PAIR ? a->ints.v[0] : down;
  pair[1] = a->kind == SQ_ARG_PAIR ? a->ints.v[1] : a->integer;
}

/* t as images of a batch: a batch of one put in front, rows of height 1. */
static sq_status lift_to_images(const settings *s, sq_tensor *t, bool batch, sq_tensor **out) {
  SQ_OWN sq_tensor *wide = NULL;
  if (s->row) {
    SQ_TRY(sq_unsqueeze(t, t->ndim - 1, &wide));
  } else {
    wide = sq_tensor_keep(t);
  }
  if (batch && s->lone) return sq_unsqueeze(wide, 0, out);
  *out = sq_tensor_give(&wide);
  return SQ_OK;
}

/* The way back, for a contiguous result. */
static sq_status lower_from_images(const settings *s, sq_tensor *t, sq_tensor **out) {
  unsigned mask = (s->lone ? 1u : 0u) | (s->row ? 1u << (t->ndim - 2) : 0u);
  return sq_squeeze(t, mask, out);
}

/* y += bias, by channel. */
static sq_status add_channel_bias(sq_tensor *y, sq_tensor *bias) {
  if (!bias) return SQ_OK;
  SQ_OWN sq_tensor *wide = NULL;
  SQ_TRY(sq_reshape(bias, 3, (int64_t[]){bias->numel, 1, 1}, &wide));
  return sq_map_into(SQ_ELEM_add, (sq_tensor *[]){y, wide}, NULL, y);
}

static sq_status check_conv(const sq_call *c, int dims, int64_t channels) {
  const sq_tensor *x = c->in[IN_X], *w = c->in[IN_CONV2D_WEIGHT], *b = c->in[IN_CONV2D_BIAS];
  SQ_TRY(sq__want_float(c, IN_X));
  if ((x->ndim != dims + 1 && x->ndim != dims + 2) || w->ndim != dims + 2) {
    return sq_fail(SQ_ESHAPE,
                   "[%s] x is %s, weight is %s: x has %d dims, or %d without a batch, "
                   "weight has %d",
                   c->op->name, sq_tensor_shape_text(x, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(w, SQ_SHAPE_BUF), dims + 2, dims + 1, dims + 2);
  }
  if (b && (b->ndim != 1 || b->shape[0] != channels)) {
    return sq_fail(SQ_ESHAPE, "[%s] bias is %s, weight is %s: bias must be (%" PRId64 ")",
                   c->op->name, sq_tensor_shape_text(b, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(w, SQ_SHAPE_BUF), channels);
  }
  return SQ_OK;
}

/* padding = "same": half of what the kernel reaches lies before x. */
static sq_status pad_same(const sq_call *c, const sq_tensor *w, settings *s) {
  s->same = true;
  for (int i = 0; i < 2; i++) {
    if (s->stride[i] != 1) {
      return sq_fail(SQ_EARG, "[%s] padding \"same\" needs a stride of 1, got %" PRId64,
                     c->op->name, s->stride[i]);
    }
    s->padding[i] = s->dilation[i] * (w->shape[2 + i] - 1) / 2;
  }
  return SQ_OK;
}

static sq_status conv_shape(const char *what, const settings *s, const sq_tensor *x,
                            const sq_tensor *w, sq_conv *g) {
  int64_t padding[2];
  for (int i = 0; i < 2; i++) {
    int64_t reach = s->dilation[i] * (w->shape[2 + i] - 1);
    padding[i] = s->same ? reach - s->padding[i] : s->padding[i];
  }
  SQ_TRY(sq_conv_shape(what, x, w, s->stride, padding, s->dilation, s->groups, g));
  if (!s->same) return SQ_OK;
  g->w.PY = s->padding[0], g->w.PX = s->padding[1];
  g->w.OY = x->shape[2], g->w.OX = x->shape[3];
  return SQ_OK;
}

static sq_status save_conv(sq_call *c, const settings *s) {
  sq__save_values(c, s, sizeof *s);
  SQ_TRY(sq__save(c, CONV_X, c->in[IN_X]));
  return sq__save(c, CONV_WEIGHT, c->in[IN_CONV2D_WEIGHT]);
}

/* y[b][o] = sum over c, ky, kx of w[o][c][ky][kx] x[b][c][oy S - P + ky D][...] + bias[o]
 * dx: the transposed convolution of dy; dw: of x and dy; dbias = sum dy */
static sq_status conv_forward(sq_call *c, int dims) {
  const sq_tensor *w = c->in[IN_CONV2D_WEIGHT];
  SQ_TRY(check_conv(c, dims, w->ndim > 0 ? w->shape[0] : 0));
  settings s = {.lone = c->in[IN_X]->ndim == dims + 1,
                .row = dims == 1,
                .groups = c->arg[CONV2D_GROUPS].integer};
  read_lone_or_pair(&c->arg[CONV2D_STRIDE], 1, s.stride);
  read_lone_or_pair(&c->arg[CONV2D_DILATION], 1, s.dilation);
  SQ_OWN sq_tensor *x4 = NULL, *w4 = NULL, *y = NULL;
  sq_conv g;
  SQ_TRY(lift_to_images(&s, c->in[IN_X], true, &x4));
  SQ_TRY(lift_to_images(&s, c->in[IN_CONV2D_WEIGHT], false, &w4));
  if (c->arg[CONV2D_PADDING].kind == SQ_ARG_STRING) {
    SQ_TRY(pad_same(c, w4, &s));
  } else {
    read_lone_or_pair(&c->arg[CONV2D_PADDING], 0, s.padding);
  }
  SQ_TRY(conv_shape(c->op->name, &s, x4, w4, &g));
  SQ_TRY(sq_conv_forward(&g, x4, w4, &y));
  SQ_TRY(add_channel_bias(y, c->in[IN_CONV2D_BIAS]));
  SQ_TRY(save_conv(c, &s));
  return lower_from_images(&s, y, &c->out[0]);
}

static sq_status conv1d_forward(sq_call *c) { return conv_forward(c, 1); }
static sq_status conv2d_forward(sq_call *c) { return conv_forward(c, 2); }

static sq_status give_bias(sq_back *b, sq_tensor *dy) {
  return sq__needs(b, IN_CONV2D_BIAS) ? sq_sum(dy, 0xdu, false, &b->dx[IN_CONV2D_BIAS]) : SQ_OK;
}

static sq_status conv_backward(sq_back *b) {
  const settings *s = sq__values(b);
  SQ_OWN sq_tensor *x = NULL, *w = NULL, *dy = NULL, *dx = NULL, *dw = NULL;
  sq_conv g;
  SQ_TRY(lift_to_images(s, sq__saved(b, CONV_X), true, &x));
  SQ_TRY(lift_to_images(s, sq__saved(b, CONV_WEIGHT), false, &w));
  SQ_TRY(lift_to_images(s, b->dy[0], true, &dy));
  SQ_TRY(conv_shape("conv", s, x, w, &g));
  SQ_TRY(give_bias(b, dy));
  if (sq__needs(b, IN_X)) {
    SQ_TRY(sq_conv_input(&g, dy, w, &dx));
    SQ_TRY(lower_from_images(s, dx, &b->dx[IN_X]));
  }
  if (!sq__needs(b, IN_CONV2D_WEIGHT)) return SQ_OK;
  SQ_TRY(sq_conv_weight(&g, x, dy, &dw));
  return sq_reshape(dw, sq__in_ndim(b, IN_CONV2D_WEIGHT), sq__in_shape(b, IN_CONV2D_WEIGHT),
                    &b->dx[IN_CONV2D_WEIGHT]);
}
/* --- convolutions, recorded ----------------------------------------------------------------- */

static sq_arg pair_of(const int64_t *v) { return sq__ints(SQ_ARG_PAIR, 2, v); }

/* lift_to_images, recorded: of input i in the shape of `kept`, or of dy. */
static sq_tensor *lifted(sq_again *r, const settings *s, sq_tensor *t, int ndim, bool batch) {
  if (s->row) t = SQ_DO(unsqueeze, sq__arg(t), SQ_D(ndim - 1));
  return batch && s->lone ? SQ_DO(unsqueeze, sq__arg(t), SQ_D(0)) : t;
}

/* The sizes of a window operand as an image: (B,C,Y,X) of x, (O,C,KY,KX) of a weight. */
static void image_shape(const settings *s, const sq_back *b, int i, bool batch, int64_t *shape) {
  const int64_t *from = sq__in_shape(b, i);
  int n = 0, lone = batch && s->lone;
  if (lone) shape[n++] = 1;
  shape[n++] = *from++;
  if (!lone) shape[n++] = *from++;
  shape[n++] = s->row ? 1 : *from++;
  shape[n] = *from;
}

/* dw of a convolution of `large` (B,C,Y,X), with the gradient `small` (B,O,OY,OX): a convolution
 * whose batch are the channels of a group, and whose channels are the images: taps take the place
 * of places. */
static sq_tensor *weight_again(sq_again *r, const settings *s, sq_tensor *large, sq_tensor *small,
                               const int64_t *size, const int64_t *small_size,
                               const int64_t *taps) {
  int64_t B = size[0], G = s->groups, C = size[1] / (G > 0 ? G : 1), O = small_size[1];
  if (B == 0) return sq__filled(r, 4, (int64_t[]){O, C, taps[0], taps[1]}, 0);
  sq_tensor *x = sq__shaped(r, large, 5, (int64_t[]){B, G, C, size[2], size[3]});
  x = sq__turned(r, x, 5, (const int[]){2, 1, 0, 3, 4});
  x = sq__shaped(r, x, 4, (int64_t[]){C, G * B, size[2], size[3]});
  sq_tensor *g = sq__swapped(r, small, 0, 1);
  sq_tensor *w = SQ_DO(conv2d, sq__arg(x), sq__arg(g), (sq_arg){0}, pair_of(s->dilation),
                       pair_of(s->padding), pair_of(s->stride), SQ_I(G));
  w = sq__part(r, sq__part(r, w, 2, 0, taps[0]), 3, 0, taps[1]);
  return sq__swapped(r, w, 0, 1);
}

/* What a padding on one side more than on the other leaves of y: dy with zeros in front, and the
 * settings of both sides alike. */
static sq_tensor *evened(sq_again *r, settings *s, sq_tensor *dy, int64_t *size,
                         const int64_t *taps) {
  for (int i = 0; s->same && i < 2; i++) {
    int64_t behind = s->dilation[i] * (taps[i] - 1) - s->padding[i], more = behind - s->padding[i];
    s->padding[i] = behind;
    if (more == 0) continue;
    int64_t shape[] = {size[0], size[1], size[2], size[3]};
    shape[2 + i] = more;
    dy = sq__joined(r, 2, (sq_tensor *[]){sq__filled(r, 4, shape, 0), dy}, 2 + i);
    size[2 + i] += more;
  }
  return dy;
}

/* dx of a convolution, (B,C,Y,X): the transposed one of dy. */
static sq_tensor *image_again(sq_again *r, const settings *s, sq_tensor *dy, sq_tensor *w,
                              const int64_t *size, const int64_t *dy_size, const int64_t *taps) {
  int64_t more[2];
  if (size[0] == 0) return sq__filled(r, 4, size, 0);
  for (int i = 0; i < 2; i++)
    more[i] = size[2 + i] - ((dy_size[2 + i] - 1) * s->stride[i] - 2 * s->padding[i] +
                             s->dilation[i] * (taps[i] - 1) + 1);
  return SQ_DO(conv_transpose2d, sq__arg(dy), sq__arg(w), (sq_arg){0}, pair_of(s->stride),
               pair_of(s->padding), pair_of(more), SQ_I(s->groups), pair_of(s->dilation));
}

/* Sizes of dy (B,O,OY,OX) as an image. */
static void dy_shape(const settings *s, const sq_tensor *dy, int64_t *shape) {
  int n = 0, at = 0;
  if (s->lone) shape[n++] = 1;
  for (; n < 2; n++) shape[n] = dy->shape[at++];
  shape[2] = s->row ? 1 : dy->shape[at++];
  shape[3] = dy->shape[at];
}

static void conv_again(sq_again *r) {
  settings s = *(const settings *)sq__values(r->b);
  int64_t size[4], w_size[4], dy_size[4];
  sq_tensor *kept = sq__saved(r->b, CONV_X), *w_kept = sq__saved(r->b, CONV_WEIGHT);
  image_shape(&s, r->b, IN_X, true, size);
  image_shape(&s, r->b, IN_CONV2D_WEIGHT, false, w_size);
  dy_shape(&s, sq__dy(r, 0), dy_size);
  sq_tensor *dy = lifted(r, &s, sq__dy(r, 0), kept->ndim, true);
  if (sq__needs(r->b, IN_CONV2D_BIAS))
    sq__gives(r, IN_CONV2D_BIAS, sq__sum_dims(r, dy, 0xdu, false));
  dy = evened(r, &s, dy, dy_size, w_size + 2);
  if (sq__needs(r->b, IN_X)) {
    sq_tensor *w = lifted(r, &s, sq__input(r, IN_CONV2D_WEIGHT, w_kept), w_kept->ndim, false);
    sq__gives(r, IN_X,
              sq__like_input(r, image_again(r, &s, dy, w, size, dy_size, w_size + 2), IN_X));
  }
  if (!sq__needs(r->b, IN_CONV2D_WEIGHT)) return;
  sq_tensor *x = lifted(r, &s, sq__input(r, IN_X, kept), kept->ndim, true);
  sq_tensor *dw = weight_again(r, &s, x, dy, size, dy_size, w_size + 2);
  sq__gives(r, IN_CONV2D_WEIGHT, sq__like_input(r, dw, IN_CONV2D_WEIGHT));
}
const sq_op_impl sq__op_conv1d = {
    .forward = conv1d_forward, .backward = conv_backward, .again = conv_again, .functional = true};
const sq_op_impl sq__op_conv2d = {
    .forward = conv2d_forward, .backward = conv_backward, .again = conv_again, .functional = true};

/* The convolution whose gradient a transposed one computes: its x is our y, its dy our x. */
static sq_status transposed_shape(const settings *s, const sq_tensor *x, const sq_tensor *w,
                                  sq_conv *g) {
  sq_tensor y = {.ndim = 4, .shape = {x->shape[0], w->shape[1] * s->groups, 0, 0}};
  if (x->shape[1] != w->shape[0]) {
    return sq_fail(SQ_ESHAPE,
                   "[conv_transpose2d] x is %s, weight is %s: they have %" PRId64 " and %" PRId64
                   " channels",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF), sq_tensor_shape_text(w, SQ_SHAPE_BUF),
                   x->shape[1], w->shape[0]);
  }
  for (int i = 0; i < 2; i++) {
    int64_t room = s->stride[i] > s->dilation[i] ? s->stride[i] : s->dilation[i];
    if (s->more[i] < 0 || s->more[i] >= room || x->shape[2 + i] < 1) {
      return sq_fail(SQ_EARG,
                     "[conv_transpose2d] output_padding %" PRId64
                     " must be at least 0 and less than stride or dilation",
                     s->more[i]);
    }
    y.shape[2 + i] = (x->shape[2 + i] - 1) * s->stride[i] - 2 * s->padding[i] +
                     s->dilation[i] * (w->shape[2 + i] - 1) + s->more[i] + 1;
    if (y.shape[2 + i] < 1)
      return sq_fail(SQ_ESHAPE, "[conv_transpose2d] the result would have size %" PRId64,
                     y.shape[2 + i]);
  }
  SQ_TRY(
      sq_conv_shape("conv_transpose2d", &y, w, s->stride, s->padding, s->dilation, s->groups, g));
  g->w.OY = x->shape[2]; /* output_padding beyond the stride would count one position more */
  g->w.OX = x->shape[3];
  return SQ_OK;
}

/* y = the gradient, at its input, of the convolution with w, for the output gradient x; + bias.
 * dx = that convolution of dy; dw: of dy and x; dbias = sum dy */
static sq_status conv_transpose2d_forward(sq_call *c) {
  const sq_tensor *w = c->in[IN_CONV_TRANSPOSE2D_WEIGHT];
  int64_t groups = c->arg[CONV_TRANSPOSE2D_GROUPS].integer;
  SQ_TRY(check_conv(c, 2, w->ndim == 4 ? w->shape[1] * groups : 0));
  settings s = {.lone = c->in[IN_X]->ndim == 3, .groups = groups};
  read_lone_or_pair(&c->arg[CONV_TRANSPOSE2D_STRIDE], 1, s.stride);
  read_lone_or_pair(&c->arg[CONV_TRANSPOSE2D_PADDING], 0, s.padding);
  read_lone_or_pair(&c->arg[CONV_TRANSPOSE2D_OUTPUT_PADDING], 0, s.more);
  read_lone_or_pair(&c->arg[CONV_TRANSPOSE2D_DILATION], 1, s.dilation);
  SQ_OWN sq_tensor *x = NULL, *y = NULL;
  sq_conv g;
  SQ_TRY(lift_to_images(&s, c->in[IN_X], true, &x));
  SQ_TRY(transposed_shape(&s, x, c->in[IN_CONV_TRANSPOSE2D_WEIGHT], &g));
  SQ_TRY(sq_conv_input(&g, x, c->in[IN_CONV_TRANSPOSE2D_WEIGHT], &y));
  SQ_TRY(add_channel_bias(y, c->in[IN_CONV_TRANSPOSE2D_BIAS]));
  SQ_TRY(save_conv(c, &s));
  return lower_from_images(&s, y, &c->out[0]);
}

static sq_status conv_transpose2d_backward(sq_back *b) {
  const settings *s = sq__values(b);
  SQ_OWN sq_tensor *x = NULL, *dy = NULL, *dx = NULL;
  sq_tensor *w = sq__saved(b, CONV_WEIGHT);
  sq_conv g;
  SQ_TRY(lift_to_images(s, sq__saved(b, CONV_X), true, &x));
  SQ_TRY(lift_to_images(s, b->dy[0], true, &dy));
  SQ_TRY(transposed_shape(s, x, w, &g));
  SQ_TRY(give_bias(b, dy));
  if (sq__needs(b, IN_X)) {
    SQ_TRY(sq_conv_forward(&g, dy, w, &dx));
    SQ_TRY(lower_from_images(s, dx, &b->dx[IN_X]));
  }
  return sq__needs(b, IN_CONV_TRANSPOSE2D_WEIGHT)
             ? sq_conv_weight(&g, dy, x, &b->dx[IN_CONV_TRANSPOSE2D_WEIGHT])
             : SQ_OK;
}

/* dx is a convolution of dy, and dw that of one from dy to x. */
static void conv_transpose2d_again(sq_again *r) {
  const settings *s = sq__values(r->b);
  int64_t size[4], dy_size[4];
  const int64_t *taps = sq__in_shape(r->b, IN_CONV_TRANSPOSE2D_WEIGHT) + 2;
  sq_tensor *kept = sq__saved(r->b, CONV_X), *w_kept = sq__saved(r->b, CONV_WEIGHT);
  image_shape(s, r->b, IN_X, true, size);
  dy_shape(s, sq__dy(r, 0), dy_size);
  sq_tensor *dy = lifted(r, s, sq__dy(r, 0), kept->ndim, true);
  if (sq__needs(r->b, IN_CONV2D_BIAS))
    sq__gives(r, IN_CONV2D_BIAS, sq__sum_dims(r, dy, 0xdu, false));
  if (sq__needs(r->b, IN_X)) {
    sq_tensor *w = sq__input(r, IN_CONV_TRANSPOSE2D_WEIGHT, w_kept);
    sq_tensor *dx = SQ_DO(conv2d, sq__arg(dy), sq__arg(w), (sq_arg){0}, pair_of(s->stride),
                          pair_of(s->padding), pair_of(s->dilation), SQ_I(s->groups));
    dx = sq__part(r, sq__part(r, dx, 2, 0, size[2]), 3, 0, size[3]);
    sq__gives(r, IN_X, sq__like_input(r, dx, IN_X));
  }
  if (!sq__needs(r->b, IN_CONV_TRANSPOSE2D_WEIGHT)) return;
  sq_tensor *x = lifted(r, s, sq__input(r, IN_X, kept), kept->ndim, true);
  sq__gives(r, IN_CONV_TRANSPOSE2D_WEIGHT, weight_again(r, s, dy, x, dy_size, size, taps));
}
const sq_op_impl sq__op_conv_transpose2d = {.forward = conv_transpose2d_forward,
                                            .backward = conv_transpose2d_backward,
                                            .again = conv_transpose2d_again,
                                            .functional = true};

/* --- pooling -------------------------------------------------------------------------------- */

/* How many windows fit; with ceil also one that begins inside and ends outside. */
static int64_t count_windows(int64_t size, int64_t taps, int64_t stride, int64_t padding,
                             int64_t dilation, bool ceil) {
  int64_t room = size + 2 * padding - dilation * (taps - 1) - 1;
  if (room < 0) return 0;
  int64_t n = (room + (ceil ? stride - 1 : 0)) / stride + 1;
  return ceil && (n - 1) * stride >= size + padding ? n - 1 : n;
}

/* Planes of x (..,Y,X) and the windows of (x, kernel_size, stride, padding). */
static sq_status read_windows(const sq_call *c, const int64_t *dilation, bool ceil, sq_window *w) {
  const sq_tensor *x = c->in[IN_X];
  const int64_t *k = c->arg[MAX_POOL2D_KERNEL_SIZE].ints.v, *p = c->arg[MAX_POOL2D_PADDING].ints.v;
  const int64_t *s =
      c->arg[MAX_POOL2D_STRIDE].kind == SQ_ARG_PAIR ? c->arg[MAX_POOL2D_STRIDE].ints.v : k;
  SQ_TRY(sq__want_float(c, IN_X));
  if (x->ndim != 3 && x->ndim != 4) {
    return sq_fail(SQ_ESHAPE, "[%s] x is %s: it must be (B,C,Y,X) or (C,Y,X)", c->op->name,
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF));
  }
  for (int i = 0; i < 2; i++) {
    bool fits = k[i] >= 1 && s[i] >= 1 && dilation[i] >= 1 && p[i] >= 0 && 2 * p[i] <= k[i] &&
                k[i] < INT32_MAX && s[i] < INT32_MAX && dilation[i] < INT32_MAX;
    if (!fits) {
      return sq_fail(SQ_EARG,
                     "[%s] kernel_size %" PRId64 ", stride %" PRId64 ", padding %" PRId64
                     ": sizes must be at least 1, padding at most half of kernel_size",
                     c->op->name, k[i], s[i], p[i]);
    }
  }
  int n = x->ndim;
  int64_t Y = x->shape[n - 2], X = x->shape[n - 1],
          C = n == 4 ? x->shape[0] * x->shape[1] : x->shape[0];
  *w = (sq_window){C, Y, X, k[0], k[1], s[0], s[1], p[0], p[1], dilation[0], dilation[1], 0, 0};
  w->OY = count_windows(Y, k[0], s[0], p[0], dilation[0], ceil);
  w->OX = count_windows(X, k[1], s[1], p[1], dilation[1], ceil);
  /* taps further apart than the plane is long could all miss it */
  bool hits = (k[0] == 1 || dilation[0] <= Y) && (k[1] == 1 || dilation[1] <= X);
  if (w->OY > 0 && w->OX > 0 && hits) return SQ_OK;
  return sq_fail(SQ_ESHAPE, "[%s] x is %s: a window of %" PRId64 " by %" PRId64 " does not fit",
                 c->op->name, sq_tensor_shape_text(x, SQ_SHAPE_BUF), k[0], k[1]);
}

/* All planes, in tiles of some. */
typedef struct pool_job {
  const sq_kern *kern;
  size_t size;
  sq_window w;
  int64_t planes, per_tile;
  bool average, pads;
  char *x, *y; /* x or dx, y or dy */
  int64_t *where;
} pool_job;

static pool_job pool_of(const sq_window *w, sq_dtype dtype) {
  pool_job j = {.kern = sq_kern_of(dtype), .size = sq_dtype_size(dtype), .w = *w, .planes = w->C};
  j.per_tile = sq_per_tile(w->OY * w->OX * w->KY * w->KX, SQ_TILE);
  return j;
}

static sq_status run_pool(pool_job *j, sq_tile_fn *tile) {
  int64_t work = j->planes * j->w.OY * j->w.OX * j->w.KY * j->w.KX;
  sq_parallel(sq_tiles(j->planes, j->per_tile), work, tile, j);
  return sq_interrupt_check();
}

static void pool_tile(int64_t tile, void *context) {
  const pool_job *j = context;
  int64_t first = tile * j->per_tile, area = j->w.OY * j->w.OX;
  sq_window w = j->w;
  w.C = sq_tile_size(j->planes, j->per_tile, tile);
  const char *x = j->x + (size_t)(first * w.Y * w.X) * j->size;
  char *y = j->y + (size_t)(first * area) * j->size;
  if (j->average) {
    j->kern->avg_pool(&w, j->pads, x, y);
  } else {
    j->kern->max_pool(&w, x, y, j->where + first * area);
  }
}

static void pool_back_tile(int64_t tile, void *context) {
  const pool_job *j = context;
  int64_t first = tile * j->per_tile, area = j->w.OY * j->w.OX, plane = j->w.Y * j->w.X;
  sq_window w = j->w;
  w.C = sq_tile_size(j->planes, j->per_tile, tile);
  char *x = j->x + (size_t)(first * plane) * j->size, *y = j->y + (size_t)(first * area) * j->size;
  if (j->average) {
    j->kern->avg_pool_back(&w, j->pads, y, x);
    return;
  }
  for (int64_t c = 0; c < w.C; c++) {
    j->kern->add_at(area, 1, j->where + (first + c) * area, y + (size_t)(c * area) * j->size,
                    x + (size_t)(c * plane) * j->size);
  }
}

/* What both keep: of max_pool2d the places of the greatest. */
enum { POOL_WHERE };

typedef struct pooled {
  sq_window w;
  bool pads;
} pooled;

SQ_ALIKE(AVG_POOL2D_KERNEL_SIZE, MAX_POOL2D_KERNEL_SIZE);
SQ_ALIKE(AVG_POOL2D_STRIDE, MAX_POOL2D_STRIDE);
SQ_ALIKE(AVG_POOL2D_PADDING, MAX_POOL2D_PADDING);

static sq_status pool_windows(sq_call *c, const sq_window *w, bool average, bool pads) {
  SQ_OWN sq_tensor *x = NULL, *y = NULL, *where = NULL;
  int64_t shape[SQ_MAX_DIMS];
  int n = c->in[IN_X]->ndim;
  for (int i = 0; i < n; i++) shape[i] = c->in[IN_X]->shape[i];
  shape[n - 2] = w->OY, shape[n - 1] = w->OX;
  SQ_TRY(sq_tensor_contiguous(c->in[IN_X], &x));
  SQ_TRY(sq_tensor_new(x->dtype, n, shape, &y));
  if (!average) SQ_TRY(sq_tensor_new(SQ_I64, n, shape, &where));
  pool_job j = pool_of(w, x->dtype);
  j.average = average, j.pads = pads;
  j.x = sq_data(x), j.y = sq_data(y), j.where = where ? sq_data(where) : NULL;
  SQ_TRY(run_pool(&j, pool_tile));
  SQ_SAVE_VALUES(c, pooled, *w, pads);
  SQ_TRY(sq__save(c, POOL_WHERE, where));
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}

static sq_status pool_backward(sq_back *b) {
  SQ_OWN sq_tensor *dy = NULL, *dx = NULL;
  const pooled *v = sq__values(b);
  sq_tensor *where = sq__saved(b, POOL_WHERE);
  SQ_TRY(sq_tensor_contiguous(b->dy[0], &dy));
  SQ_TRY(sq_tensor_full(dy->dtype, sq__in_ndim(b, IN_X), sq__in_shape(b, IN_X), 0, &dx));
  pool_job j = pool_of(&v->w, dy->dtype);
  j.average = !where, j.pads = v->pads;
  j.x = sq_data(dx), j.y = sq_data(dy), j.where = where ? sq_data(where) : NULL;
  SQ_TRY(run_pool(&j, pool_back_tile));
  b->dx[IN_X] = sq_tensor_give(&dx);
  return SQ_OK;
}

/* dy of the greatest, put where it was in its plane. */
static void max_pool2d_again(sq_again *r) {
  const pooled *v = sq__values(r->b);
  const int64_t C = v->w.C, plane[] = {C, v->w.Y * v->w.X}, area[] = {C, v->w.OY * v->w.OX};
  sq_arg where = sq__arg(sq__shaped(r, sq__saved(r->b, POOL_WHERE), 2, area));
  sq_arg dy = sq__arg(sq__shaped(r, sq__dy(r, 0), 2, area));
  sq_tensor *dx = SQ_DO(scatter_add, sq__arg(sq__filled(r, 2, plane, 0)), SQ_D(1), where, dy);
  sq__gives(r, IN_X, sq__like_input(r, dx, IN_X));
}

/* What the mean of window o has of element i along one dim: (n,size). */
static sq_tensor *shares_along(sq_again *r, int64_t n, int64_t size, int64_t taps, int64_t stride,
                               int64_t padding, bool pads) {
  SQ_OWN sq_tensor *wide = NULL;
  sq_tensor *t = NULL;
  if (sq__failed(r, sq_tensor_full(SQ_F64, 2, (int64_t[]){n, size}, 0, &wide))) return NULL;
  double *row = sq_data(wide);
  for (int64_t o = 0; o < n; o++, row += size) {
    int64_t first = o * stride - padding, last = first + taps;
    if (last > size + padding) last = size + padding;
    double padded = (double)(last - first);
    if (first < 0) first = 0;
    if (last > size) last = size;
    for (int64_t i = first; i < last; i++) row[i] = 1 / (pads ? padded : (double)(last - first));
  }
  sq_status st = sq_tensor_cast(wide, sq__in_dtype(r->b, IN_X), &t);
  return sq__own(r, st, t);
}

/* A mean is one down and one across: dx = down^T dy across, for each plane. */
static void avg_pool2d_again(sq_again *r) {
  const pooled *v = sq__values(r->b);
  const sq_window *w = &v->w;
  sq_tensor *down = shares_along(r, w->OY, w->Y, w->KY, w->SY, w->PY, v->pads);
  sq_tensor *across = shares_along(r, w->OX, w->X, w->KX, w->SX, w->PX, v->pads);
  sq_tensor *rows = sq__matmul(r, sq__dy(r, 0), across);
  sq__gives(r, IN_X, sq__matmul(r, sq__swapped(r, down, 0, 1), rows));
}

/* y = the greatest of each window;  dx = dy where it was */
static sq_status max_pool2d_forward(sq_call *c) {
  sq_window w;
  SQ_TRY(
      read_windows(c, c->arg[MAX_POOL2D_DILATION].ints.v, c->arg[MAX_POOL2D_CEIL_MODE].flag, &w));
  return pool_windows(c, &w, false, false);
}
const sq_op_impl sq__op_max_pool2d = {.forward = max_pool2d_forward,
                                      .backward = pool_backward,
                                      .again = max_pool2d_again,
                                      .functional = true};

/* y = the mean of each window;  dx = dy shared by it */
static sq_status avg_pool2d_forward(sq_call *c) {
  sq_window w;
  SQ_TRY(read_windows(c, (int64_t[]){1, 1}, c->arg[AVG_POOL2D_CEIL_MODE].flag, &w));
  return pool_windows(c, &w, true, c->arg[AVG_POOL2D_COUNT_INCLUDE_PAD].flag);
}
const sq_op_impl sq__op_avg_pool2d = {.forward = avg_pool2d_forward,
                                      .backward = pool_backward,
                                      .again = avg_pool2d_again,
                                      .functional = true};
