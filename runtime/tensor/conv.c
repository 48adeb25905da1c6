/* conv.c: convolutions as products of the weights with pictures.
 *
 * The forward product is y (O, positions) = w (O, taps) P (taps, positions), where P holds what
 * each tap of the kernel reads at each position of the result. P is never written: a thread lays
 * its pictures out with zeros around them, and packs pieces of P straight from there into the
 * panels that a product reads (kernels/patch_tmpl.h). Small pictures are taken several at once, so
 * that a panel is full.
 *
 * The gradient of x is such a product too. Where the step S is 1 it is the convolution of dy with
 * the weights turned round, channels in the place of results. Where it is not, the positions of x
 * fall into S phases in each direction, by the remainder of their place; a phase is reached by
 * every S-th tap only, by each from dy at steps of 1. So each phase is a convolution of its own
 * with a share of the taps, and its results go to every S-th place of dx.
 *
 * The gradient of w is dw^T (taps, O) = P (taps, positions) dy^T (positions, O): here P is the
 * first operand, which a product reads in place by tables of where taps and positions are.
 * Pictures are cut into slices by their number alone; each slice sums apart, and the sums are
 * added in order. */
#include "tensor/conv.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/kern.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

static int64_t reach_of(int64_t size, int64_t taps, int64_t stride, int64_t padding,
                        int64_t dilation) {
  int64_t room = size + 2 * padding - dilation * (taps - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

static sq_status check_numbers(const char *what, const int64_t *stride, const int64_t *padding,
                               const int64_t *dilation, int64_t groups) {
  for (int i = 0; i < 2; i++) {
    if (stride[i] < 1 || dilation[i] < 1 || padding[i] < 0)
      return sq_fail(SQ_EARG, "[%s] stride and dilation must be at least 1, padding at least 0",
                     what);
    if (stride[i] > INT32_MAX || dilation[i] > INT32_MAX || padding[i] > INT32_MAX)
      return sq_fail(SQ_EARG, "[%s] stride, dilation or padding is over 2^31-1", what);
  }
  if (groups < 1) return sq_fail(SQ_EARG, "[%s] groups is %" PRId64, what, groups);
  return SQ_OK;
}

sq_status sq_conv_shape(const char *what, const sq_tensor *x, const sq_tensor *weight,
                        const int64_t *stride, const int64_t *padding, const int64_t *dilation,
                        int64_t groups, sq_conv *out) {
  SQ_TRY(check_numbers(what, stride, padding, dilation, groups));
  bool fits = x->ndim == 4 && weight->ndim == 4 && x->shape[1] == weight->shape[1] * groups &&
              weight->shape[0] % groups == 0 && weight->numel > 0;
  if (!fits) {
    return sq_fail(SQ_ESHAPE,
                   "[%s] x is %s, weight is %s with %" PRId64
                   " groups: x must be (B,C,..) and weight (O,C/groups,..), O a multiple of groups",
                   what, sq_tensor_shape_text(x, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(weight, SQ_SHAPE_BUF), groups);
  }
  const int64_t *s = x->shape, *k = weight->shape + 2;
  out->w = (sq_window){s[1],       s[2],       s[3],        k[0],        k[1], stride[0], stride[1],
                       padding[0], padding[1], dilation[0], dilation[1], 0,    0};
  out->w.OY = reach_of(s[2], k[0], stride[0], padding[0], dilation[0]);
  out->w.OX = reach_of(s[3], k[1], stride[1], padding[1], dilation[1]);
  out->B = s[0], out->O = weight->shape[0], out->groups = groups;
  if (out->w.OY < 1 || out->w.OX < 1) {
    return sq_fail(SQ_ESHAPE, "[%s] x is %s, weight is %s: the kernel is larger than the padded x",
                   what, sq_tensor_shape_text(x, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(weight, SQ_SHAPE_BUF));
  }
  int64_t columns;
  SQ_TRY(sq_size_mul(out->w.OY, out->w.OX, &columns));
  return sq_size_mul(s[1] * k[0] * k[1], columns, &columns);
}

/* --- pictures and taps ---------------------------------------------------------------------- */

/* Where the taps of one group read in pictures that are laid out. */
typedef struct patches {
  const sq_kern *kern;
  sq_dtype dtype;
  size_t size;
  sq_stage stage;
  int64_t K, OY, OX;    /* taps of a group, results of a picture */
  int64_t picture, row; /* elements of one laid out; from one row of results to the next */
  int64_t group;        /* and from one group's channels to the next */
  const int64_t *taps;
} patches;

static char *pixel_at(const patches *p, const void *base, int64_t i) {
  return (char *)(uintptr_t)base + (size_t)i * p->size;
}

static int64_t positions_of(const patches *p) { return p->OY * p->OX; }

/* Elements from a staged place to (c,y,x) behind it. */
static int64_t place_of(const sq_stage *s, int64_t c, int64_t y, int64_t x) {
  return ((c * s->rows + y) * s->SX + x % s->SX) * s->columns + x / s->SX;
}

/* Sizes of what follows from the stage; SY: rows of x from one row of results to the next. */
static sq_status set_patches(patches *p, int64_t groups, int64_t SY) {
  sq_stage *s = &p->stage;
  int64_t line;
  SQ_TRY(sq_size_mul(s->SX, s->columns, &line));
  SQ_TRY(sq_size_mul(line, s->rows, &p->group));
  SQ_TRY(sq_size_mul(p->group, s->C, &p->picture));
  p->group *= s->C / groups;
  p->row = SY * line;
  return SQ_OK;
}

/* The largest number of pictures that a tile takes at once: enough for one piece of a product, and
 * four tiles where there are as many pictures. */
static int64_t pictures_at_once(const patches *p, int64_t B) {
  const int64_t full = sq_tiles(SQ_PRODUCT_COLUMNS, positions_of(p)), share = sq_tiles(B, 4);
  return full < share ? full : share < 1 ? 1 : share;
}

/* Bytes of n pictures laid out, a line behind them, in whole cache lines. */
static sq_status staged_bytes(const patches *p, int64_t n, int64_t *out) {
  SQ_TRY(sq_size_mul(p->picture, n * (int64_t)p->size, out));
  *out = sq_lines(*out) + SQ_PANEL_BYTES;
  return SQ_OK;
}

/* n pictures (C,Y,X), laid out one after another. */
static void stage_pictures(const patches *p, const char *x, int64_t n, char *staged) {
  const int64_t plain = p->stage.C * p->stage.Y * p->stage.X;
  for (int64_t b = 0; b < n; b++)
    p->kern->stage(&p->stage, pixel_at(p, x, b * plain), pixel_at(p, staged, b * p->picture));
}

/* --- a correlation -------------------------------------------------------------------------- */

/* y (B, groups M, positions) = w (groups, M, K) patches. Position (oy,ox) of the results goes to
 * (y0 + oy SY, x0 + ox SX) of planes (Y,X). */
typedef struct correlation {
  patches p;
  int64_t B, groups, M, pictures; /* pictures: of a tile */
  const char *x, *w;
  char *y;
  int64_t Y, X, y0, x0, SY, SX;
  sq_scratch scratch; /* pictures, and where behind them panels and results are */
  int64_t panels, results;
} correlation;

/* Whether results lie in y as the product has them. */
static bool is_direct(const correlation *c) {
  return c->pictures == 1 && c->SY == 1 && c->SX == 1 && c->p.OX == c->X;
}

/* n results side by side, to every `step`-th place. */
static void spread_line(const patches *p, const char *from, int64_t n, int64_t step, char *to) {
  if (step == 1) {
    memcpy(to, from, (size_t)n * p->size);
  } else if (p->size == sizeof(float)) {
    for (int64_t i = 0; i < n; i++)
      ((float *)(void *)to)[i * step] = ((const float *)(const void *)from)[i];
  } else {
    for (int64_t i = 0; i < n; i++)
      ((double *)(void *)to)[i * step] = ((const double *)(const void *)from)[i];
  }
}

/* Results (M, n) of positions from..from+n, counted from picture `first` on, to their places. */
static void spread_results(const correlation *c, int64_t first, int64_t group, int64_t from,
                           int64_t n, const char *results) {
  const patches *p = &c->p;
  for (int64_t i = 0, run; i < n; i += run) {
    const int64_t at = from + i, b = first + at / positions_of(p), oy = at / p->OX % p->OY;
    const int64_t ox = at % p->OX, y = c->y0 + oy * c->SY, x = c->x0 + ox * c->SX;
    run = p->OX - ox < n - i ? p->OX - ox : n - i;
    for (int64_t m = 0; m < c->M; m++) {
      const int64_t plane = (b * c->groups + group) * c->M + m;
      spread_line(p, pixel_at(p, results, m * SQ_PRODUCT_COLUMNS + i), run, c->SX,
                  pixel_at(p, c->y, (plane * c->Y + y) * c->X + x));
    }
  }
}

/* Results of one group at positions from..from+n of the pictures that are laid out. */
static void correlate_piece(const correlation *c, int64_t group, int64_t from, int64_t n,
                            char *staged, char *to, int64_t ldc) {
  const patches *p = &c->p;
  char *panels = staged + c->panels;
  sq_patches part = {.x = pixel_at(p, staged, group * p->group), .first = from, .n = n};
  part.OX = p->OX, part.OY = p->OY, part.row = p->row, part.picture = p->picture;
  part.panels = panels;
  sq_product m = {.m = c->M, .n = n, .rs = p->K, .cs = 1, .panels = panels, .c = to, .ldc = ldc};
  for (int64_t k = 0; k == 0 || k < p->K; k += SQ_PRODUCT_DEPTH) {
    part.taps = p->taps + k;
    part.k = m.k = p->K - k < SQ_PRODUCT_DEPTH ? p->K - k : SQ_PRODUCT_DEPTH;
    m.a = pixel_at(p, c->w, group * c->M * p->K + k);
    m.add = k > 0;
    p->kern->pack_patches(&part);
    p->kern->product(&m);
  }
}

static void correlate_tile(int64_t tile, void *context) {
  const correlation *c = context;
  const patches *p = &c->p;
  const int64_t first = tile * c->pictures, pictures = sq_tile_size(c->B, c->pictures, tile);
  const int64_t all = pictures * positions_of(p), plain = p->stage.C * p->stage.Y * p->stage.X;
  char *staged = sq_scratch_mine(&c->scratch), *results = staged + c->results;
  stage_pictures(p, pixel_at(p, c->x, first * plain), pictures, staged);
  for (int64_t group = 0; group < c->groups; group++) {
    const int64_t plane = (first * c->groups + group) * c->M, area = c->Y * c->X;
    for (int64_t from = 0; from < all; from += SQ_PRODUCT_COLUMNS) {
      const int64_t n = all - from < SQ_PRODUCT_COLUMNS ? all - from : SQ_PRODUCT_COLUMNS;
      if (is_direct(c)) {
        char *to = pixel_at(p, c->y, plane * area + c->y0 * c->X + from);
        correlate_piece(c, group, from, n, staged, to, area);
      } else {
        correlate_piece(c, group, from, n, staged, results, SQ_PRODUCT_COLUMNS);
        spread_results(c, first, group, from, n, results);
      }
    }
  }
}

/* The work of products of n pictures, in rough nanoseconds. */
static int64_t work_of_pictures(const patches *p, int64_t n, int64_t M, int64_t groups) {
  return (int64_t)((double)n * (double)(M * groups) * (double)p->K * (double)positions_of(p) / 50) +
         1;
}

static sq_status correlate(correlation *c) {
  const patches *p = &c->p;
  if (c->B * positions_of(p) * c->M == 0) return SQ_OK;
  c->pictures = pictures_at_once(p, c->B);
  int64_t results;
  SQ_TRY(staged_bytes(p, c->pictures, &c->panels));
  c->results = c->panels + sq_piece_bytes(p->dtype, p->K, SQ_PRODUCT_COLUMNS) + SQ_PANEL_BYTES;
  SQ_TRY(sq_size_mul(c->M, is_direct(c) ? 0 : SQ_PRODUCT_COLUMNS * (int64_t)p->size, &results));
  c->scratch.each = c->results + results;
  return sq_parallel_scratch(&c->scratch, sq_tiles(c->B, c->pictures),
                             work_of_pictures(p, c->B, c->M, c->groups), correlate_tile, c);
}

/* --- kernels as large as the picture -------------------------------------------------------- */

/* Whether there is one result a picture, which every pixel takes part in once: then rows of pixels,
 * (B, C Y X), times the weights as they lie, (O, C Y X), is all. */
static bool is_one_product(const sq_conv *g) {
  const sq_window *w = &g->w;
  return g->groups == 1 && w->OY == 1 && w->OX == 1 && w->PY == 0 && w->PX == 0 && w->DY == 1 &&
         w->DX == 1 && w->KY == w->Y && w->KX == w->X;
}

/* y = x w^T, dx = dy w or dw = dy^T x of rows of pixels, by what is transposed. */
static sq_status multiply_pixels(const sq_conv *g, bool ta, bool tb, sq_tensor *a, sq_tensor *b,
                                 sq_tensor *to) {
  const int64_t pixels = g->w.C * g->w.Y * g->w.X;
  sq_gemm m = {.dtype = a->dtype, .ta = ta, .tb = tb, .m = ta ? g->O : g->B};
  m.n = tb ? g->O : pixels;
  m.k = tb ? pixels : ta ? g->B : g->O;
  m.a = sq_data(a), m.lda = tb ? pixels : g->O;
  m.b = sq_data(b), m.ldb = pixels;
  m.c = sq_data(to), m.ldc = m.n;
  return sq_gemm_run(&m);
}

/* --- forward -------------------------------------------------------------------------------- */

/* The taps of one group, in the order of the weights' elements. [new] */
static sq_status forward_patches(const sq_conv *g, sq_dtype dtype, patches *p, sq_tensor **taps) {
  const sq_window *w = &g->w;
  const int64_t channels = w->C / g->groups, last = (w->OX - 1) * w->SX + (w->KX - 1) * w->DX;
  *p = (patches){.kern = sq_kern_of(dtype), .dtype = dtype, .size = sq_dtype_size(dtype)};
  p->stage = (sq_stage){.C = w->C, .Y = w->Y, .X = w->X, .PY = w->PY, .PX = w->PX, .SX = w->SX};
  p->stage.rows = (w->OY - 1) * w->SY + (w->KY - 1) * w->DY + 1;
  p->stage.columns = last / w->SX + 1;
  p->K = channels * w->KY * w->KX, p->OY = w->OY, p->OX = w->OX;
  SQ_TRY(set_patches(p, g->groups, w->SY));
  SQ_TRY(sq_tensor_new(SQ_I64, 1, &p->K, taps));
  int64_t *at = sq_data(*taps);
  p->taps = at;
  for (int64_t c = 0; c < channels; c++)
    for (int64_t ky = 0; ky < w->KY; ky++)
      for (int64_t kx = 0; kx < w->KX; kx++) *at++ = place_of(&p->stage, c, ky * w->DY, kx * w->DX);
  return SQ_OK;
}

sq_status sq_conv_forward(const sq_conv *g, sq_tensor *x, sq_tensor *w, sq_tensor **out) {
  SQ_OWN sq_tensor *xf = NULL, *wf = NULL, *y = NULL, *taps = NULL;
  SQ_TRY(sq_tensor_contiguous(x, &xf));
  SQ_TRY(sq_tensor_contiguous(w, &wf));
  SQ_TRY(sq_tensor_new(x->dtype, 4, (int64_t[]){g->B, g->O, g->w.OY, g->w.OX}, &y));
  if (is_one_product(g)) {
    SQ_TRY(multiply_pixels(g, false, true, xf, wf, y));
    *out = sq_tensor_give(&y);
    return SQ_OK;
  }
  correlation c = {.B = g->B, .groups = g->groups, .M = g->O / g->groups, .SY = 1, .SX = 1};
  SQ_TRY(forward_patches(g, x->dtype, &c.p, &taps));
  c.x = sq_data(xf), c.w = sq_data(wf), c.y = sq_data(y);
  c.Y = g->w.OY, c.X = g->w.OX;
  SQ_TRY(correlate(&c));
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

/* --- the gradient of x ---------------------------------------------------------------------- */

/* One direction of one phase: tap t, which lies at t D in units of x, is in it where t D leaves
 * `rest` by S; it then reads dy (t D - rest) / S before the position's own. */
typedef struct phase {
  int64_t first, n; /* positions q: place q S + rest - P in x; n of them */
  int64_t reach;    /* the most that a tap reads before its position */
} phase;

static bool in_phase(int64_t tap, int64_t D, int64_t S, int64_t rest) {
  return tap * D % S == rest;
}

static phase phase_of(int64_t size, int64_t taps, int64_t S, int64_t P, int64_t D, int64_t rest) {
  phase f = {.reach = 0};
  f.first = P > rest ? sq_tiles(P - rest, S) : 0;
  f.n = sq_tiles(size + P - rest, S) - f.first;
  if (size + P - rest <= 0 || f.n < 0) f.n = 0;
  for (int64_t t = 0; t < taps; t++)
    if (in_phase(t, D, S, rest)) f.reach = t * D / S;
  return f;
}

/* The taps of a phase, by their places in a kernel (KY,KX), and where they read in the first
 * channel. Returns how many they are. */
static int64_t taps_of_phase(const sq_conv *g, const patches *p, int64_t ry, int64_t rx, phase fy,
                             phase fx, int64_t *taps, int64_t *at) {
  const sq_window *v = &g->w;
  int64_t n = 0;
  for (int64_t ky = 0; ky < v->KY; ky++)
    for (int64_t kx = 0; kx < v->KX; kx++) {
      if (!in_phase(ky, v->DY, v->SY, ry) || !in_phase(kx, v->DX, v->SX, rx)) continue;
      const int64_t y = fy.reach - ky * v->DY / v->SY, x = fx.reach - kx * v->DX / v->SX;
      at[n] = place_of(&p->stage, 0, y, x);
      taps[n++] = ky * v->KX + kx;
    }
  return n;
}

/* Those weights (O,C/groups,KY,KX), as (groups, C/groups, O/groups, n taps). */
static void turn_weights(const sq_conv *g, const patches *p, const char *w, int64_t n,
                         const int64_t *taps, char *to) {
  const int64_t O = g->O / g->groups, C = g->w.C / g->groups, area = g->w.KY * g->w.KX;
  for (int64_t c = 0; c < g->groups * C; c++)
    for (int64_t o = 0; o < O; o++) {
      const char *kernel = pixel_at(p, w, ((c / C * O + o) * C + c % C) * area);
      for (int64_t i = 0; i < n; i++, to += p->size)
        memcpy(to, pixel_at(p, kernel, taps[i]), p->size);
    }
}

/* Room for a phase's weights, the places of its taps, and where all channels' taps read. */
typedef struct turned {
  char *weights;
  int64_t *taps, *at;
} turned;

static sq_status correlate_phase(const sq_conv *g, correlation *c, int64_t ry, int64_t rx,
                                 const char *w, const turned *t) {
  const sq_window *v = &g->w;
  const phase fy = phase_of(v->Y, v->KY, v->SY, v->PY, v->DY, ry);
  const phase fx = phase_of(v->X, v->KX, v->SX, v->PX, v->DX, rx);
  patches *p = &c->p;
  if (fy.n == 0 || fx.n == 0) return SQ_OK;
  p->stage = (sq_stage){.C = g->O, .Y = v->OY, .X = v->OX, .SX = 1};
  p->stage.PY = fy.reach - fy.first, p->stage.PX = fx.reach - fx.first;
  p->stage.rows = fy.n + fy.reach, p->stage.columns = fx.n + fx.reach;
  p->OY = fy.n, p->OX = fx.n;
  SQ_TRY(set_patches(p, g->groups, 1));
  const int64_t n = taps_of_phase(g, p, ry, rx, fy, fx, t->taps, t->at);
  p->K = g->O / g->groups * n;
  for (int64_t i = n; i < p->K; i++) t->at[i] = t->at[i - n] + place_of(&p->stage, 1, 0, 0);
  turn_weights(g, p, w, n, t->taps, t->weights);
  p->taps = t->at, c->w = t->weights;
  c->y0 = fy.first * v->SY + ry - v->PY, c->x0 = fx.first * v->SX + rx - v->PX;
  return correlate(c);
}

sq_status sq_conv_input(const sq_conv *g, sq_tensor *dy, sq_tensor *w, sq_tensor **out) {
  SQ_OWN sq_tensor *yf = NULL, *wf = NULL, *dx = NULL, *weights = NULL, *taps = NULL;
  const sq_window *v = &g->w;
  SQ_TRY(sq_tensor_contiguous(dy, &yf));
  SQ_TRY(sq_tensor_contiguous(w, &wf));
  SQ_TRY(sq_tensor_new(dy->dtype, 4, (int64_t[]){g->B, v->C, v->Y, v->X}, &dx));
  if (is_one_product(g)) {
    SQ_TRY(multiply_pixels(g, false, false, yf, wf, dx));
    *out = sq_tensor_give(&dx);
    return SQ_OK;
  }
  SQ_TRY(sq_tensor_new_like(wf, w->dtype, &weights));
  const int64_t area = v->KY * v->KX, places = area + g->O / g->groups * area;
  SQ_TRY(sq_tensor_new(SQ_I64, 1, &places, &taps));
  correlation c = {.B = g->B, .groups = g->groups, .M = v->C / g->groups, .Y = v->Y, .X = v->X};
  c.SY = v->SY, c.SX = v->SX;
  c.p = (patches){
      .kern = sq_kern_of(dy->dtype), .dtype = dy->dtype, .size = sq_dtype_size(dy->dtype)};
  c.x = sq_data(yf), c.y = sq_data(dx);
  int64_t *list = sq_data(taps);
  const turned t = {sq_data(weights), list, list + area};
  for (int64_t ry = 0; ry < v->SY; ry++)
    for (int64_t rx = 0; rx < v->SX; rx++) SQ_TRY(correlate_phase(g, &c, ry, rx, sq_data(wf), &t));
  *out = sq_tensor_give(&dx);
  return SQ_OK;
}

/* --- the gradient of w ---------------------------------------------------------------------- */

typedef struct weight_job {
  patches p;
  const sq_conv *g;
  const char *x, *dy;
  char *parts;              /* (slices, groups, K, O/groups) */
  int64_t slice, pictures;  /* pictures of a slice, and laid out at once */
  const int64_t *positions; /* where those of so many pictures are */
  sq_scratch scratch;       /* pictures, and where behind them panels are */
  int64_t panels;
} weight_job;

/* Columns j..j+n of dy^T at positions from..from+k, counted from picture b on. */
static void pack_gradient(const weight_job *j, int64_t b, int64_t from, int64_t k, int64_t o,
                          int64_t n, char *panels) {
  const patches *p = &j->p;
  const int64_t area = positions_of(p);
  for (int64_t i = 0, run; i < k; i += run) {
    const int64_t at = from + i, picture = b + at / area, place = at % area;
    run = area - place < k - i ? area - place : k - i;
    p->kern->pack(run, n, pixel_at(p, j->dy, (picture * j->g->O + o) * area + place), 1, area,
                  panels + i * SQ_PANEL_BYTES, k);
  }
}

/* to (K, O/groups) += what the pictures that are laid out, from b on, give at from..from+k. */
static void add_weights(const weight_job *j, int64_t b, int64_t group, int64_t from, int64_t k,
                        char *staged, char *to) {
  const patches *p = &j->p;
  const int64_t O = j->g->O / j->g->groups;
  for (int64_t o = 0; o < O; o += SQ_PRODUCT_COLUMNS) {
    const int64_t n = O - o < SQ_PRODUCT_COLUMNS ? O - o : SQ_PRODUCT_COLUMNS;
    pack_gradient(j, b, from, k, group * O + o, n, staged + j->panels);
    sq_product m = {.m = p->K, .n = n, .k = k, .rows = p->taps, .columns = j->positions + from};
    m.a = pixel_at(p, staged, group * p->group), m.panels = staged + j->panels;
    m.c = pixel_at(p, to, o), m.ldc = O, m.add = true;
    p->kern->product(&m);
  }
}

static void weight_tile(int64_t s, void *context) {
  const weight_job *j = context;
  const patches *p = &j->p;
  const int64_t end = s * j->slice + sq_tile_size(j->g->B, j->slice, s);
  const int64_t plain = p->stage.C * p->stage.Y * p->stage.X, O = j->g->O;
  char *staged = sq_scratch_mine(&j->scratch);
  for (int64_t b = s * j->slice, n; b < end; b += n) {
    n = end - b < j->pictures ? end - b : j->pictures;
    stage_pictures(p, pixel_at(p, j->x, b * plain), n, staged);
    for (int64_t group = 0; group < j->g->groups; group++) {
      char *to = pixel_at(p, j->parts, s * p->K * O + group * p->K * (O / j->g->groups));
      const int64_t all = n * positions_of(p);
      for (int64_t from = 0; from < all; from += SQ_PRODUCT_DEPTH)
        add_weights(j, b, group, from,
                    all - from < SQ_PRODUCT_DEPTH ? all - from : SQ_PRODUCT_DEPTH, staged, to);
    }
  }
}

/* Where each position of n pictures is. [new] */
static sq_status positions_table(const patches *p, int64_t n, sq_tensor **out) {
  const int64_t all = n * positions_of(p);
  SQ_TRY(sq_tensor_new(SQ_I64, 1, &all, out));
  int64_t *at = sq_data(*out);
  for (int64_t b = 0; b < n; b++)
    for (int64_t oy = 0; oy < p->OY; oy++)
      for (int64_t ox = 0; ox < p->OX; ox++) *at++ = b * p->picture + oy * p->row + ox;
  return SQ_OK;
}

static sq_status run_weights(weight_job *j, int64_t slices) {
  const patches *p = &j->p;
  const int64_t groups = j->g->groups;
  SQ_TRY(staged_bytes(p, j->pictures, &j->panels));
  j->scratch.each = j->panels + sq_piece_bytes(p->dtype, SQ_PRODUCT_DEPTH, j->g->O);
  return sq_parallel_scratch(
      &j->scratch, slices, work_of_pictures(p, j->g->B, j->g->O / groups, groups), weight_tile, j);
}

/* (groups,K,O/groups), the slices' sums, as (O,C/groups,KY,KX). */
static sq_status turn_back(const sq_conv *g, sq_tensor *parts, sq_tensor **out) {
  SQ_OWN sq_tensor *sum = NULL, *view = NULL;
  const sq_window *w = &g->w;
  SQ_TRY(sq_sum(parts, 1, false, &sum));
  SQ_TRY(sq_transpose(sum, 1, 2, &view));
  return sq_reshape(view, 4, (int64_t[]){g->O, w->C / g->groups, w->KY, w->KX}, out);
}

sq_status sq_conv_weight(const sq_conv *g, sq_tensor *x, sq_tensor *dy, sq_tensor **out) {
  SQ_OWN sq_tensor *xf = NULL, *yf = NULL, *parts = NULL, *taps = NULL, *positions = NULL;
  const int64_t slices = g->B < SQ_CONV_SLICES ? (g->B ? g->B : 1) : SQ_CONV_SLICES;
  SQ_TRY(sq_tensor_contiguous(x, &xf));
  SQ_TRY(sq_tensor_contiguous(dy, &yf));
  if (is_one_product(g)) {
    const sq_window *w = &g->w;
    SQ_TRY(sq_tensor_new(x->dtype, 4, (int64_t[]){g->O, w->C, w->KY, w->KX}, &parts));
    SQ_TRY(multiply_pixels(g, true, false, yf, xf, parts));
    *out = sq_tensor_give(&parts);
    return SQ_OK;
  }
  weight_job j = {.g = g, .x = sq_data(xf), .dy = sq_data(yf), .slice = sq_tiles(g->B, slices)};
  SQ_TRY(forward_patches(g, x->dtype, &j.p, &taps));
  const int64_t shape[] = {slices, g->groups, j.p.K, g->O / g->groups};
  SQ_TRY(sq_tensor_full(x->dtype, 4, shape, 0, &parts));
  j.parts = sq_data(parts);
  if (g->B > 0) {
    j.pictures = sq_tiles(SQ_PRODUCT_DEPTH, positions_of(&j.p));
    if (j.pictures > j.slice) j.pictures = j.slice;
    SQ_TRY(positions_table(&j.p, j.pictures, &positions));
    j.positions = sq_data(positions);
    SQ_TRY(run_weights(&j, sq_tiles(g->B, j.slice)));
  }
  return turn_back(g, parts, out);
}
