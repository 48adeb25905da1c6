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
 * with a share of the taps, and its results go to every S-th place of dx. All phases read dy where
 * it has been laid out once, with room for the one that reaches furthest.
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

/* Results that share their taps: y (B, groups M, OY OX) = w (groups, M, K) patches. Position
 * (oy,ox) goes to (y0 + oy SY, x0 + ox SX) of the planes. */
typedef struct share {
  int64_t K, OY, OX, y0, x0;
  const int64_t *taps;
  const char *w;
} share;

/* All shares of y (B, groups M, Y, X). The patches' own K, OY and OX are the largest of them. */
typedef struct correlation {
  patches p;
  const share *share;
  int64_t shares;
  int64_t B, groups, M, pictures; /* pictures: of a tile */
  const char *x;
  char *y;
  int64_t Y, X, SY, SX;
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
static void spread_results(const correlation *c, const share *s, int64_t first, int64_t group,
                           int64_t from, int64_t n, const char *results) {
  const patches *p = &c->p;
  for (int64_t i = 0, run; i < n; i += run) {
    const int64_t at = from + i, b = first + at / (s->OY * s->OX), oy = at / s->OX % s->OY;
    const int64_t ox = at % s->OX, y = s->y0 + oy * c->SY, x = s->x0 + ox * c->SX;
    run = s->OX - ox < n - i ? s->OX - ox : n - i;
    for (int64_t m = 0; m < c->M; m++) {
      const int64_t plane = (b * c->groups + group) * c->M + m;
      spread_line(p, pixel_at(p, results, m * SQ_PRODUCT_COLUMNS + i), run, c->SX,
                  pixel_at(p, c->y, (plane * c->Y + y) * c->X + x));
    }
  }
}

/* Results of one group at positions from..from+n of the pictures that are laid out. */
static void correlate_piece(const correlation *c, const share *s, int64_t group, int64_t from,
                            int64_t n, char *staged, char *to, int64_t ldc) {
  const patches *p = &c->p;
  char *panels = staged + c->panels;
  sq_patches part = {.x = pixel_at(p, staged, group * p->group), .first = from, .n = n};
  part.OX = s->OX, part.OY = s->OY, part.row = p->row, part.picture = p->picture;
  part.panels = panels;
  sq_product m = {.m = c->M, .n = n, .rs = s->K, .cs = 1, .panels = panels, .c = to, .ldc = ldc};
  for (int64_t k = 0; k == 0 || k < s->K; k += SQ_PRODUCT_DEPTH) {
    part.taps = s->taps + k;
    part.k = m.k = s->K - k < SQ_PRODUCT_DEPTH ? s->K - k : SQ_PRODUCT_DEPTH;
    m.a = pixel_at(p, s->w, group * c->M * s->K + k);
    m.add = k > 0;
    p->kern->pack_patches(&part);
    p->kern->product(&m);
  }
}

/* One share of one group's results for the pictures from `first` on, which are laid out. */
static void correlate_share(const correlation *c, const share *s, int64_t first, int64_t pictures,
                            int64_t group, char *staged) {
  const patches *p = &c->p;
  const int64_t plane = (first * c->groups + group) * c->M, area = c->Y * c->X;
  const int64_t all = pictures * s->OY * s->OX;
  char *results = staged + c->results;
  for (int64_t from = 0; from < all; from += SQ_PRODUCT_COLUMNS) {
    const int64_t n = all - from < SQ_PRODUCT_COLUMNS ? all - from : SQ_PRODUCT_COLUMNS;
    if (is_direct(c)) {
      char *to = pixel_at(p, c->y, plane * area + s->y0 * c->X + from);
      correlate_piece(c, s, group, from, n, staged, to, area);
    } else {
      correlate_piece(c, s, group, from, n, staged, results, SQ_PRODUCT_COLUMNS);
      spread_results(c, s, first, group, from, n, results);
    }
  }
}

static void correlate_tile(int64_t tile, void *context) {
  const correlation *c = context;
  const patches *p = &c->p;
  const int64_t first = tile * c->pictures, pictures = sq_tile_size(c->B, c->pictures, tile);
  const int64_t plain = p->stage.C * p->stage.Y * p->stage.X;
  char *staged = sq_scratch_mine(&c->scratch);
  stage_pictures(p, pixel_at(p, c->x, first * plain), pictures, staged);
  for (int64_t group = 0; group < c->groups; group++)
    for (int64_t i = 0; i < c->shares; i++)
      correlate_share(c, &c->share[i], first, pictures, group, staged);
}

/* The work of products of n pictures, in rough nanoseconds. */
static int64_t work_of_pictures(const patches *p, int64_t n, int64_t M, int64_t groups) {
  return (int64_t)((double)n * (double)(M * groups) * (double)p->K * (double)positions_of(p) / 50) +
         1;
}

static sq_status correlate(correlation *c) {
  const patches *p = &c->p;
  if (c->B * c->M * c->shares == 0) return SQ_OK;
  c->pictures = pictures_at_once(p, c->B);
  int64_t results;
  SQ_TRY(staged_bytes(p, c->pictures, &c->panels));
  c->results = c->panels + sq_piece_bytes(p->dtype, p->K, SQ_PRODUCT_COLUMNS) + SQ_PANEL_BYTES;
  SQ_TRY(sq_size_mul(c->M, is_direct(c) ? 0 : SQ_PRODUCT_COLUMNS * (int64_t)p->size, &results));
  c->scratch.each = c->results + results;
  return sq_parallel_scratch(&c->scratch, sq_tiles(c->B, c->pictures),
                             c->shares * work_of_pictures(p, c->B, c->M, c->groups), correlate_tile,
                             c);
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
  const int64_t SX = w->OX == 1 ? 1 : w->SX; /* a step that is never taken may be any */
  *p = (patches){.kern = sq_kern_of(dtype), .dtype = dtype, .size = sq_dtype_size(dtype)};
  p->stage = (sq_stage){.C = w->C, .Y = w->Y, .X = w->X, .PY = w->PY, .PX = w->PX, .SX = SX};
  p->stage.rows = (w->OY - 1) * w->SY + (w->KY - 1) * w->DY + 1;
  p->stage.columns = last / SX + 1;
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
  const share all = {.K = c.p.K, .OY = c.p.OY, .OX = c.p.OX, .taps = c.p.taps, .w = sq_data(wf)};
  c.share = &all, c.shares = 1;
  c.x = sq_data(xf), c.y = sq_data(y);
  c.Y = g->w.OY, c.X = g->w.OX;
  SQ_TRY(correlate(&c));
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

/* --- the gradient of x ---------------------------------------------------------------------- */

/* One direction of one phase: tap t, which lies at t D in units of x, is in it where t D leaves
 * `rest` by S; position q then reads dy at first + q - t D / S. */
typedef struct phase {
  int64_t rest, first, n; /* positions q: place (first + q) S + rest - P in x; n of them */
  int64_t before; /* places that a tap may reach before dy; negative: none, and so many of dy
                             are never read */
} phase;

static bool in_phase(int64_t tap, int64_t D, int64_t S, int64_t rest) {
  return tap * D % S == rest;
}

/* The phase of place `at` of x, which is its first there: one of the first S. */
static phase phase_of(int64_t size, int64_t taps, int64_t S, int64_t P, int64_t D, int64_t at) {
  phase f = {.rest = (at + P) % S, .first = (at + P) / S, .n = sq_tiles(size - at, S)};
  f.before = -f.first;
  for (int64_t t = 0; t < taps; t++)
    if (in_phase(t, D, S, f.rest)) f.before = t * D / S - f.first;
  return f;
}

/* One direction of all phases: how many there are, the places before dy that any reaches, the
 * places from there to the end of what any reads, and the most positions of one. */
typedef struct phases {
  int64_t count, before, size, most;
} phases;

static phases phases_of(int64_t size, int64_t taps, int64_t S, int64_t P, int64_t D) {
  phases all = {.count = S < size ? S : size, .before = INT64_MIN};
  int64_t end = INT64_MIN;
  for (int64_t at = 0; at < all.count; at++) {
    const phase f = phase_of(size, taps, S, P, D, at);
    all.before = f.before > all.before ? f.before : all.before;
    end = f.first + f.n > end ? f.first + f.n : end;
    all.most = f.n > all.most ? f.n : all.most;
  }
  all.size = end + all.before;
  return all;
}

/* Where dy is laid out for all phases. */
static sq_status phase_patches(const sq_conv *g, sq_dtype dtype, phases y, phases x, patches *p) {
  const sq_window *v = &g->w;
  *p = (patches){.kern = sq_kern_of(dtype), .dtype = dtype, .size = sq_dtype_size(dtype)};
  p->stage = (sq_stage){.C = g->O, .Y = v->OY, .X = v->OX, .SX = 1};
  p->stage.PY = y.before, p->stage.PX = x.before;
  p->stage.rows = y.size, p->stage.columns = x.size;
  p->OY = y.most, p->OX = x.most;
  return set_patches(p, g->groups, 1);
}

/* The taps of a phase, by their places in a kernel (KY,KX), and where they read in the first
 * channel. Returns how many they are. */
static int64_t taps_of_phase(const sq_conv *g, const patches *p, phase fy, phase fx, int64_t *taps,
                             int64_t *at) {
  const sq_window *v = &g->w;
  int64_t n = 0;
  for (int64_t ky = 0; ky < v->KY; ky++)
    for (int64_t kx = 0; kx < v->KX; kx++) {
      if (!in_phase(ky, v->DY, v->SY, fy.rest) || !in_phase(kx, v->DX, v->SX, fx.rest)) continue;
      const int64_t y = p->stage.PY + fy.first - ky * v->DY / v->SY;
      at[n] = place_of(&p->stage, 0, y, p->stage.PX + fx.first - kx * v->DX / v->SX);
      taps[n++] = ky * v->KX + kx;
    }
  return n;
}

/* n elements of a kernel, by their places. */
static void copy_taps(const patches *p, const char *kernel, int64_t n, const int64_t *taps,
                      char *to) {
  if (p->size == sizeof(float)) {
    for (int64_t i = 0; i < n; i++)
      ((float *)(void *)to)[i] = ((const float *)(const void *)kernel)[taps[i]];
  } else {
    for (int64_t i = 0; i < n; i++)
      ((double *)(void *)to)[i] = ((const double *)(const void *)kernel)[taps[i]];
  }
}

/* Those weights of (O,C/groups,KY,KX), as (groups, C/groups, O/groups, n taps). */
static void turn_weights(const sq_conv *g, const patches *p, const char *w, int64_t n,
                         const int64_t *taps, char *to) {
  const int64_t O = g->O / g->groups, C = g->w.C / g->groups, area = g->w.KY * g->w.KX;
  for (int64_t c = 0; c < g->groups * C; c++)
    for (int64_t o = 0; o < O; o++, to += (size_t)n * p->size)
      copy_taps(p, pixel_at(p, w, ((c / C * O + o) * C + c % C) * area), n, taps, to);
}

/* Room for all phases: their weights, where all channels' taps read, and one kernel's taps. */
typedef struct turned {
  char *weights;
  int64_t *at, *taps;
} turned;

/* The share of one phase; what it needs is taken from the front of the room. */
static share share_of(const sq_conv *g, const patches *p, phase fy, phase fx, const char *w,
                      turned *room) {
  const sq_window *v = &g->w;
  const int64_t n = taps_of_phase(g, p, fy, fx, room->taps, room->at);
  share s = {.K = g->O / g->groups * n, .OY = fy.n, .OX = fx.n};
  for (int64_t i = n; i < s.K; i++) room->at[i] = room->at[i - n] + place_of(&p->stage, 1, 0, 0);
  turn_weights(g, p, w, n, room->taps, room->weights);
  s.taps = room->at, s.w = room->weights;
  s.y0 = fy.first * v->SY + fy.rest - v->PY, s.x0 = fx.first * v->SX + fx.rest - v->PX;
  room->at += s.K, room->weights += (size_t)(s.K * v->C) * p->size;
  return s;
}

/* All phases, in the order of their first places in x. */
static void fill_shares(const sq_conv *g, const char *w, turned *room, correlation *c, share *to) {
  const sq_window *v = &g->w;
  c->p.K = 0;
  for (int64_t y = 0; y < v->SY && y < v->Y; y++)
    for (int64_t x = 0; x < v->SX && x < v->X; x++, to++) {
      *to = share_of(g, &c->p, phase_of(v->Y, v->KY, v->SY, v->PY, v->DY, y),
                     phase_of(v->X, v->KX, v->SX, v->PX, v->DX, x), w, room);
      c->p.K = to->K > c->p.K ? to->K : c->p.K;
    }
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
  if (dx->numel == 0) {
    *out = sq_tensor_give(&dx);
    return SQ_OK;
  }
  const phases py = phases_of(v->Y, v->KY, v->SY, v->PY, v->DY);
  const phases px = phases_of(v->X, v->KX, v->SX, v->PX, v->DX);
  correlation c = {.B = g->B, .groups = g->groups, .M = v->C / g->groups, .Y = v->Y, .X = v->X};
  c.shares = py.count * px.count, c.SY = v->SY, c.SX = v->SX;
  c.x = sq_data(yf), c.y = sq_data(dx);
  SQ_TRY(phase_patches(g, dy->dtype, py, px, &c.p));
  SQ_TRY(sq_tensor_new_like(wf, w->dtype, &weights));
  const int64_t area = v->KY * v->KX, places = area + g->O / g->groups * area;
  SQ_TRY(sq_tensor_new(SQ_I64, 1, &places, &taps));
  int64_t *list = sq_data(taps);
  turned room = {sq_data(weights), list + area, list};
  void *shares = NULL;
  SQ_TRY(sq_alloc(c.shares * (int64_t)sizeof(share), &shares));
  fill_shares(g, sq_data(wf), &room, &c, shares);
  c.share = shares;
  const sq_status st = correlate(&c);
  sq_free(shares);
  if (st == SQ_OK) *out = sq_tensor_give(&dx);
  return st;
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

/* A piece of a product's k: positions from..from+k, counted from picture b on. */
typedef struct piece {
  int64_t b, from, k;
} piece;

/* Columns o..o+n of dy^T there. */
static void pack_gradient(const weight_job *j, piece at, int64_t o, int64_t n, char *panels) {
  const patches *p = &j->p;
  const int64_t area = positions_of(p);
  for (int64_t i = 0, run; i < at.k; i += run) {
    const int64_t first = at.from + i, picture = at.b + first / area, place = first % area;
    run = area - place < at.k - i ? area - place : at.k - i;
    p->kern->pack(run, n, pixel_at(p, j->dy, (picture * j->g->O + o) * area + place), 1, area,
                  panels + i * SQ_PANEL_BYTES, at.k);
  }
}

/* to (K, O/groups) = or, where `add`, += what the pictures that are laid out give there. */
static void add_weights(const weight_job *j, piece at, int64_t group, bool add, char *staged,
                        char *to) {
  const patches *p = &j->p;
  const int64_t O = j->g->O / j->g->groups;
  for (int64_t o = 0; o < O; o += SQ_PRODUCT_COLUMNS) {
    const int64_t n = O - o < SQ_PRODUCT_COLUMNS ? O - o : SQ_PRODUCT_COLUMNS;
    pack_gradient(j, at, group * O + o, n, staged + j->panels);
    sq_product m = {.m = p->K, .n = n, .k = at.k, .rows = p->taps};
    m.columns = j->positions + at.from;
    m.a = pixel_at(p, staged, group * p->group), m.panels = staged + j->panels;
    m.c = pixel_at(p, to, o), m.ldc = O, m.add = add;
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
      piece at = {.b = b};
      for (; at.from < all; at.from += SQ_PRODUCT_DEPTH) {
        at.k = all - at.from < SQ_PRODUCT_DEPTH ? all - at.from : SQ_PRODUCT_DEPTH;
        add_weights(j, at, group, b > s * j->slice || at.from > 0, staged, to);
      }
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
  SQ_TRY(sq_tensor_contiguous(x, &xf));
  SQ_TRY(sq_tensor_contiguous(dy, &yf));
  if (is_one_product(g)) {
    const sq_window *w = &g->w;
    SQ_TRY(sq_tensor_new(x->dtype, 4, (int64_t[]){g->O, w->C, w->KY, w->KX}, &parts));
    SQ_TRY(multiply_pixels(g, true, false, yf, xf, parts));
    *out = sq_tensor_give(&parts);
    return SQ_OK;
  }
  weight_job j = {.g = g, .x = sq_data(xf), .dy = sq_data(yf)};
  j.slice = g->B == 0 ? 1 : sq_tiles(g->B, SQ_CONV_SLICES);
  SQ_TRY(forward_patches(g, x->dtype, &j.p, &taps));
  const int64_t shape[] = {sq_tiles(g->B, j.slice), g->groups, j.p.K, g->O / g->groups};
  SQ_TRY(sq_tensor_new(x->dtype, 4, shape, &parts));
  j.parts = sq_data(parts);
  if (g->B > 0) {
    j.pictures = sq_tiles(SQ_PRODUCT_DEPTH, positions_of(&j.p));
    if (j.pictures > j.slice) j.pictures = j.slice;
    SQ_TRY(positions_table(&j.p, j.pictures, &positions));
    j.positions = sq_data(positions);
    SQ_TRY(run_weights(&j, shape[0]));
  }
  return turn_back(g, parts, out);
}
