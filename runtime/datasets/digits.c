/* digits.c: digits from strokes: points of a glyph, moved about at random, joined by curves, and
 * drawn as distance to the pen's path. Arithmetic is + - * / and roots only: the same bits
 * everywhere. */
#include "datasets/digits.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/parallel.h"

enum {
  SIDE = SQ_DIGITS_SIDE,
  CLASSES = 10,
  WAYS = 3, /* of writing one digit */
  MOST_POINTS = 16,
  CUTS = 6 /* straight pieces of a curve between two points */
};

/* --- glyphs --------------------------------------------------------------------------------- */

/* x, y of points in hundredths of the glyph's box, y down. LIFT ends a stroke, END the glyph; a
 * corner ends a stroke and begins the next at the same point. */
enum { LIFT = -128, END = -127 };

static const int8_t zero_a[] = {58, 2,  25, 8,  3,  45, 15, 88, 50, 100,
                                85, 85, 98, 48, 80, 8,  50, 1,  END};
static const int8_t zero_b[] = {72, 8,  45, 0,  12, 22, 4, 65, 28, 98, 68,
                                95, 96, 62, 92, 22, 62, 4, 38, 8,  END};
static const int8_t zero_c[] = {50, 0, 14, 20, 12, 75, 48, 100, 86, 78, 88, 24, 52, 0, END};
static const int8_t one_a[] = {52, 0, 50, 50, 48, 100, END};
static const int8_t one_b[] = {28, 24, 55, 0, LIFT, 55, 0, 53, 50, 52, 100, END};
static const int8_t one_c[] = {30, 20,   52, 0,  LIFT, 52, 0,  51, 50, 50,
                               98, LIFT, 22, 99, 50,   98, 80, 99, END};
static const int8_t two_a[] = {6,  24, 24, 4,    60, 0,  90, 20, 82,  46, 45,
                               76, 6,  98, LIFT, 6,  98, 50, 96, 100, 97, END};
static const int8_t two_b[] = {8,  20, 42, 0,  82, 14, 76, 48, 42, 84, 14,
                               98, 5,  86, 24, 78, 56, 92, 98, 94, END};
static const int8_t two_c[] = {12, 12,   52, 0,  86, 18, 72, 48, 34, 76, 4,
                               99, LIFT, 4,  99, 40, 90, 70, 98, 98, 90, END};
static const int8_t three_a[] = {10, 12, 45, 0,  84, 12, 78, 36, 42,  47, LIFT, 42,
                                 47, 86, 56, 96, 78, 70, 98, 34, 100, 5,  88,   END};
static const int8_t three_b[] = {8,  4,  46, 4,  90, 2,  LIFT, 90, 2,  64,  22, 42, 42, LIFT,
                                 42, 42, 82, 52, 94, 76, 68,   97, 34, 100, 6,  90, END};
static const int8_t three_c[] = {14, 8,  52, 0,  86, 18, 66,  42, 36, 48, 70,
                                 52, 92, 72, 72, 96, 40, 100, 8,  92, END};
static const int8_t four_a[] = {26, 2,  14,   30, 6, 56, LIFT, 6,  56,  50, 58,
                                98, 52, LIFT, 76, 4, 72, 50,   68, 100, END};
static const int8_t four_b[] = {66, 0,  34,   34, 4, 66, LIFT, 4,  66,  50, 66,
                                98, 65, LIFT, 66, 0, 67, 50,   66, 100, END};
static const int8_t four_c[] = {18, 0,    12, 28, 20, 50, 52, 52,  80,
                                40, LIFT, 84, 2,  80, 50, 74, 100, END};
static const int8_t five_a[] = {92, 2,  54, 3,  20, 4,  LIFT, 20, 4,  15, 24,  11, 44, LIFT, 11,
                                44, 44, 34, 82, 44, 94, 68,   74, 94, 40, 100, 6,  92, END};
static const int8_t five_b[] = {22, 4,  18, 26, 14, 46,   LIFT, 14, 46, 50, 40, 86, 54, 88,
                                80, 58, 99, 8,  95, LIFT, 22,   4,  56, 6,  94, 0,  END};
static const int8_t five_c[] = {88, 0,  42, 4,  24, 12,  20, 40, 52, 46,
                                84, 60, 78, 88, 44, 100, 8,  94, END};
static const int8_t six_a[] = {74, 0,  40, 18, 14, 48, 8,  76, 30, 98, 68,
                               98, 92, 76, 76, 56, 42, 56, 12, 74, END};
static const int8_t six_b[] = {52, 0,  24, 26, 12, 62, 24, 94, 58, 100,
                               84, 82, 76, 62, 48, 58, 20, 72, END};
static const int8_t six_c[] = {86, 6,  56, 4,  22, 32, 8,  68, 26, 96, 62,
                               99, 86, 80, 66, 60, 34, 64, 16, 80, END};
static const int8_t seven_a[] = {4, 6, 50, 4, 97, 3, LIFT, 97, 3, 68, 44, 46, 100, END};
static const int8_t seven_b[] = {4,  8,   50,   4,  96, 4,  LIFT, 96, 4,  72, 42,
                                 48, 100, LIFT, 34, 52, 60, 50,   88, 50, END};
static const int8_t seven_c[] = {6,    18, 12, 4,  LIFT, 12, 4,  52, 8,   94, 2,
                                 LIFT, 94, 2,  58, 40,   44, 72, 44, 100, END};
static const int8_t eight_a[] = {84, 14,  50, 0,  16, 14, 28, 38, 70, 58, 90, 80,
                                 52, 100, 10, 82, 28, 58, 72, 38, 84, 15, END};
static const int8_t eight_b[] = {52, 46, 18, 30, 22, 6,   54, 0,  82, 14, 76, 34, 48, 48,
                                 18, 66, 14, 90, 50, 100, 86, 88, 84, 64, 52, 46, END};
static const int8_t eight_c[] = {78, 4,   40, 4,  22, 22, 44, 44, 78, 68, 74, 94,
                                 40, 100, 18, 82, 34, 60, 66, 36, 88, 2,  END};
static const int8_t nine_a[] = {90, 20, 56, 0,    16, 12, 10, 38, 38, 52,  74,
                                44, 90, 20, LIFT, 90, 20, 86, 60, 74, 100, END};
static const int8_t nine_b[] = {86, 16, 50,   0,  14, 18, 18, 44, 50, 50, 82, 32,
                                88, 14, LIFT, 88, 14, 90, 56, 68, 94, 22, 96, END};
static const int8_t nine_c[] = {82, 28, 68, 4,    32, 4, 14, 28, 30, 48,  60,
                                44, 82, 24, LIFT, 84, 6, 70, 52, 50, 100, END};

static const int8_t *const glyphs[CLASSES][WAYS] = {
    {zero_a, zero_b, zero_c},    {one_a, one_b, one_c},       {two_a, two_b, two_c},
    {three_a, three_b, three_c}, {four_a, four_b, four_c},    {five_a, five_b, five_c},
    {six_a, six_b, six_c},       {seven_a, seven_b, seven_c}, {eight_a, eight_b, eight_c},
    {nine_a, nine_b, nine_c}};

/* --- chance --------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014): one stream an image, so that images can be drawn in any
 * order. */
static uint64_t next_bits(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/* In lo..hi; mostly near the middle: the mean of two. */
static float draw_near(uint64_t *state, float lo, float hi) {
  uint64_t bits = next_bits(state);
  float a = (float)(uint32_t)(bits >> 40) * 0x1p-24f,
        b = (float)(uint32_t)(bits & 0xffffff) * 0x1p-24f;
  return lo + (hi - lo) * 0.5f * (a + b);
}

/* --- the hand ------------------------------------------------------------------------------- */

/* How one image is written: p -> (m p + bend y^2 e_x) + c, in pixels. */
typedef struct hand {
  float m[4], bend, cx, cy;
  float radius; /* of the pen */
  float wobble; /* how far a point strays, in parts of the box */
} hand;

static hand take_hand(uint64_t *chance) {
  float height = draw_near(chance, 16, 21), width = height * draw_near(chance, 0.45f, 0.95f);
  float slant = draw_near(chance, -0.15f, 0.5f);
  /* a turn by the angle whose half has tangent t */
  float t = draw_near(chance, -0.1f, 0.1f);
  float c = (1 - t * t) / (1 + t * t), s = 2 * t / (1 + t * t);
  return (hand){.m = {c * width, -c * slant * height - s * height, s * width,
                      -s * slant * height + c * height},
                .bend = draw_near(chance, -0.15f, 0.15f) * height,
                .cx = 0.5f * SIDE + draw_near(chance, -1.5f, 1.5f),
                .cy = 0.5f * SIDE + draw_near(chance, -1.5f, 1.5f),
                .radius = draw_near(chance, 0.7f, 1.7f),
                .wobble = draw_near(chance, 0.02f, 0.075f)};
}

typedef struct point {
  float x, y;
} point;

static point place_point(const hand *h, uint64_t *chance, int x, int y) {
  float px = (float)x * 0.01f - 0.5f + draw_near(chance, -h->wobble, h->wobble) * 1.4f;
  float py = (float)y * 0.01f - 0.5f + draw_near(chance, -h->wobble, h->wobble);
  return (point){h->m[0] * px + h->m[1] * py + h->bend * py * py + h->cx,
                 h->m[2] * px + h->m[3] * py + h->cy};
}

/* --- drawing -------------------------------------------------------------------------------- */

/* near[y][x]: the squared distance of the pixel's centre to the path, far away where the pen's edge
 * does not come. */
typedef struct canvas {
  float near[SIDE][SIDE];
  float reach; /* radius and half a pixel of soft edge */
} canvas;

static int clip_to_side(float v) { return v < 0 ? 0 : v > SIDE ? SIDE : (int)v; }

static void draw_segment(canvas *c, point a, point b) {
  float dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
  float scale = length > 0 ? 1 / length : 0;
  int x0 = clip_to_side(fminf(a.x, b.x) - c->reach),
      x1 = clip_to_side(fmaxf(a.x, b.x) + c->reach + 1);
  int y0 = clip_to_side(fminf(a.y, b.y) - c->reach),
      y1 = clip_to_side(fmaxf(a.y, b.y) + c->reach + 1);
  for (int y = y0; y < y1; y++) {
    for (int x = x0; x < x1; x++) {
      float px = (float)x + 0.5f - a.x, py = (float)y + 0.5f - a.y;
      float t = (px * dx + py * dy) * scale;
      t = t < 0 ? 0 : t > 1 ? 1 : t;
      px -= t * dx;
      py -= t * dy;
      float d = px * px + py * py;
      if (d < c->near[y][x]) c->near[y][x] = d;
    }
  }
}

/* Catmull and Rom's curve from b to c, with neighbours a and d, at t in 0..1. */
static float curve_at(float a, float b, float c, float d, float t) {
  return b + 0.5f * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
}

static void draw_stroke(canvas *page, const point *p, int n) {
  for (int i = 0; i + 1 < n; i++) {
    point a = p[i > 0 ? i - 1 : 0], d = p[i + 2 < n ? i + 2 : n - 1], from = p[i];
    for (int k = 1; k <= CUTS; k++) {
      float t = (float)k / CUTS;
      point to = {curve_at(a.x, p[i].x, p[i + 1].x, d.x, t),
                  curve_at(a.y, p[i].y, p[i + 1].y, d.y, t)};
      draw_segment(page, from, to);
      from = to;
    }
  }
}

static void clear_canvas(canvas *c, float radius) {
  c->reach = radius + 0.5f;
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) c->near[y][x] = c->reach * c->reach;
}

/* Distance to grey: 255 inside the pen, 0 outside, a pixel of slope between. */
static void develop_canvas(const canvas *c, uint8_t *image) {
  for (int y = 0; y < SIDE; y++) {
    for (int x = 0; x < SIDE; x++) {
      float grey = c->reach - sqrtf(c->near[y][x]);
      grey = grey < 0 ? 0 : grey > 1 ? 1 : grey;
      image[y * SIDE + x] = (uint8_t)(grey * 255 + 0.5f);
    }
  }
}

/* The seed decides everything but the class. */
static void draw_digit(int64_t label, uint64_t seed, uint8_t *image) {
  uint64_t chance = seed;
  const int8_t *g = glyphs[label][next_bits(&chance) % WAYS];
  hand h = take_hand(&chance);
  canvas c;
  clear_canvas(&c, h.radius);
  point p[MOST_POINTS], last = {0, 0};
  for (int lx = END, ly = END; *g != END;) {
    int n = 0;
    for (; *g != LIFT && *g != END; g += 2) {
      bool corner = n == 0 && g[0] == lx && g[1] == ly; /* goes on where the last stroke ended */
      p[n++] = corner ? last : place_point(&h, &chance, g[0], g[1]);
      last = p[n - 1];
      lx = g[0];
      ly = g[1];
    }
    draw_stroke(&c, p, n);
    if (*g == LIFT) g++;
  }
  develop_canvas(&c, image);
}

/* --- the set -------------------------------------------------------------------------------- */

typedef struct job {
  int64_t n;
  const int64_t *labels;
  const uint64_t *seeds;
  uint8_t *images;
} job;

static void draw_tile(int64_t tile, void *context) {
  const job *j = context;
  for (int64_t i = tile * SQ_DIGITS_TILE; i < j->n && i < (tile + 1) * SQ_DIGITS_TILE; i++)
    draw_digit(j->labels[i], j->seeds[i], j->images + i * SIDE * SIDE);
}

sq_status sq_digits_draw(sq_rng *g, int64_t n, sq_tensor **images, sq_tensor **labels) {
  if (n < 0 || n > INT32_MAX)
    return sq_fail(SQ_EARG, "[Digits] n is %" PRId64 ": it must be 0 to 2147483647", n);
  SQ_OWN sq_tensor *x = NULL, *y = NULL;
  SQ_TRY(sq_tensor_new(SQ_U8, 4, (int64_t[]){n, 1, SIDE, SIDE}, &x));
  SQ_TRY(sq_tensor_new(SQ_I64, 1, &n, &y));
  void *seeds;
  SQ_TRY(sq_alloc(n * (int64_t)sizeof(uint64_t), &seeds));
  int64_t *label = sq_data(y);
  for (int64_t i = 0; i < n; i++) {
    label[i] = (int64_t)(sq_rng_u64(g) % CLASSES);
    ((uint64_t *)seeds)[i] = sq_rng_u64(g);
  }
  job j = {n, label, seeds, sq_data(x)};
  sq_parallel(sq_tiles(n, SQ_DIGITS_TILE), n * 10000, draw_tile, &j);
  sq_free(seeds);
  SQ_TRY(sq_interrupt_check());
  *images = sq_tensor_give(&x);
  *labels = sq_tensor_give(&y);
  return SQ_OK;
}
