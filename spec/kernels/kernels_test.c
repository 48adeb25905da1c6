/* kernels_test.c: every kernel of every ISA and type against the plainest loop that says the same,
 * in long double. Expanded from kern.def: a kernel without a test does not compile. Prints failures
 * and a count; the exit status is the verdict. --isa: only whether SEQRT_ISA can run here.
 * --exhaustive: the transcendental functions of all 2^32 floats against the double libm. */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "kernels/blas.h"
#include "kernels/gemm.h"
#include "kernels/kern.h"
#include "kernels_oracle.h"

enum { ROOM = 1 << 16, SHOWN = 40 };

/* --- verdict -------------------------------------------------------------------------------- */

static int64_t checks, failures;
static char context[128]; /* which kernel, ISA and type is on trial */

static void check(bool ok, const char *format, ...) SQ_PRINTF(2, 3);
static void check(bool ok, const char *format, ...) {
  checks++;
  if (ok || failures++ >= SHOWN) return;
  printf("FAIL %s: ", context);
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  printf("\n");
}

/* --- numbers of any dtype ------------------------------------------------------------------- */

static real get(sq_dtype t, const void *x, int64_t i) {
  switch (t) {
    case SQ_F32:
      return (real)((const float *)x)[i];
    case SQ_F64:
      return (real)((const double *)x)[i];
    case SQ_I64:
      return (real)((const int64_t *)x)[i];
    default:
      return (real)((const uint8_t *)x)[i];
  }
}

static void set(sq_dtype t, void *x, int64_t i, real v) {
  switch (t) {
    case SQ_F32:
      ((float *)x)[i] = (float)v;
      break;
    case SQ_F64:
      ((double *)x)[i] = (double)v;
      break;
    case SQ_I64:
      ((int64_t *)x)[i] = (int64_t)v;
      break;
    default:
      ((uint8_t *)x)[i] = (uint8_t)v;
  }
}

static real round_to(sq_dtype t, real v) { return t == SQ_F32 ? (real)(float)v : (real)(double)v; }
static real eps(sq_dtype t) { return t == SQ_F32 ? 0x1p-23L : 0x1p-52L; }

static bool near(sq_dtype t, real got, real want, double tolerance, real scale) {
  if (isnan(want)) return isnan(got);
  if (isinf(round_to(t, want)) || isinf(got)) return got == round_to(t, want);
  const real least = t == SQ_F32 ? 0x1p-149L : 0x1p-1074L;
  return fabsl(got - want) <= tolerance * (eps(t) * (fabsl(want) + scale) + least);
}

static void check_near(sq_dtype t, const void *x, int64_t i, real want, double tolerance,
                       real scale) {
  const real got = get(t, x, i);
  check(near(t, got, want, tolerance, scale), "[%" PRId64 "] is %.20Lg, not %.20Lg", i, got, want);
}

static uint64_t seed = 1;
static double uniform(double lo, double hi) { /* SplitMix64 */
  uint64_t z = (seed += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return lo + (hi - lo) * (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static void fill(sq_dtype t, void *x, int64_t n, double lo, double hi) {
  for (int64_t i = 0; i < n; i++) set(t, x, i, uniform(lo, hi));
}

/* `big`: how far from 0 a finite number may be without a product on the way leaving float. */
static void fill_special(sq_dtype t, void *x, int64_t n, double big) {
  const double special[] = {0, -0.0, 1, -1, 0.5, INFINITY, -INFINITY, NAN, 1e-3, big, -big};
  fill(t, x, n, -3, 3);
  for (int64_t i = 0; i < n; i++) {
    if (uniform(0, 1) < 0.15) set(t, x, i, special[(int)uniform(0, 10.999)]);
  }
}

static _Alignas(64) char in_room[5][ROOM * 8], out_room[6][ROOM * 8];
#define IN(k) ((void *)in_room[k])
#define OUT(k) ((void *)out_room[k])
enum { CANARY = 0x5a };

/* --- elementwise ---------------------------------------------------------------------------- */

typedef oracle_result oracle_fn(const real *v, const double *p);
static oracle_fn *const oracles[SQ_ELEMS] = {
#define ELEM(name, inputs) oracle_##name,
#define TEST(name, inputs) oracle_##name,
#define WHOLE(name, inputs) NULL,
#define KERN(name, args)
#include "kernels/kern.def"
#undef ELEM
#undef TEST
#undef WHOLE
#undef KERN
};

typedef struct trial {
  sq_dtype dtype, out;
  sq_elem elem;
  int inputs;
  int64_t n, in_stride[4], out_stride;
  double p[2];
} trial;

static void judge(const trial *t, const void *const *before, const void *y) {
  for (int64_t i = 0; i < t->n; i++) {
    real v[4] = {0};
    for (int k = 0; k < t->inputs; k++) v[k] = get(t->dtype, before[k], i * t->in_stride[k]);
    const oracle_result want = oracles[t->elem](v, t->p);
    const real got = get(t->out, y, i * t->out_stride);
    const bool ok = t->out == SQ_BOOL ? got == want.value
                                      : near(t->dtype, got, want.value, want.tolerance, want.scale);
    check(ok, "(%.9Lg, %.9Lg, %.9Lg, %.9Lg; %g, %g) n %" PRId64 " is %.20Lg, not %.20Lg", v[0],
          v[1], v[2], v[3], t->p[0], t->p[1], t->n, got, want.value);
  }
}

/* Nothing but the n results may have changed. */
static void judge_rest(const trial *t, const void *y) {
  const int64_t size = (int64_t)sq_dtype_size(t->out);
  const unsigned char *byte = y;
  bool ok = true;
  for (int64_t i = 0; i < t->n * t->out_stride + 64; i++) {
    if (i % t->out_stride == 0 && i / t->out_stride < t->n) continue;
    for (int64_t b = 0; b < size; b++) ok = ok && byte[i * size + b] == CANARY;
  }
  check(ok, "n %" PRId64 ", stride %" PRId64 ": wrote outside", t->n, t->out_stride);
}

static void run_trial(const sq_kern *kern, const trial *t) {
  const void *in[4] = {IN(0), IN(1), IN(2), IN(3)};
  memset(OUT(0), CANARY, (size_t)(t->n * t->out_stride + 64) * 8);
  kern->elem[t->elem](t->n, in, t->in_stride, OUT(0), t->out_stride, t->p);
  judge(t, in, OUT(0));
  judge_rest(t, OUT(0));
  if (t->out != t->dtype || t->in_stride[0] != t->out_stride) return;
  const size_t bytes = (size_t)(t->n * t->out_stride) * sq_dtype_size(t->dtype);
  memcpy(OUT(1), IN(0), bytes); /* once more, in place of the first input */
  const void *inside[4] = {OUT(1), IN(1), IN(2), IN(3)};
  kern->elem[t->elem](t->n, inside, t->in_stride, OUT(1), t->out_stride, t->p);
  judge(t, in, OUT(1));
}

static void each_stride(const sq_kern *kern, trial *t) {
  for (int zero = -1; zero < t->inputs; zero++) { /* which input is one repeated number */
    for (int k = 0; k < 4; k++) t->in_stride[k] = k == zero ? 0 : 1;
    t->out_stride = 1;
    run_trial(kern, t);
  }
  for (int k = 0; k < 4; k++) t->in_stride[k] = 2 - k % 2;
  run_trial(kern, t);
  t->out_stride = 2;
  run_trial(kern, t);
}

static void test_elem(const sq_kern *kern, sq_dtype dtype, sq_elem elem) {
  static const int64_t sizes[] = {0, 1, 2, 7, 63, 64, 65, 513, 1000};
  static const double numbers[][2] = {{0.5, 2}, {0, 1}, {-0.5, 1}, {2, 3},  {3, 4},
                                      {-1, 1},  {1, 1}, {1.5, 2},  {-2, -1}};
  trial t = {.dtype = dtype, .elem = elem, .inputs = sq_elem_inputs(elem)};
  t.out = sq_elem_is_test(elem) ? SQ_BOOL : dtype;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    memcpy(t.p, numbers[i], sizeof t.p);
    for (int k = 0; k < 4; k++) {
      if (i % 3 == 2)
        fill(dtype, IN(k), 2200, -6, 6);
      else
        fill_special(dtype, IN(k), 2200, t.inputs == 1 ? 100 : 9);
    }
    t.n = sizes[i];
    each_stride(kern, &t);
    t.n = 200;
    each_stride(kern, &t);
  }
}

/* --- the rest of kern.def: test_<name>(kern, dtype) ----------------------------------------- */

#include "kernels_test_images.h"
#include "kernels_test_norm.h"
#include "kernels_test_products.h"
#include "kernels_test_rows.h"

static void test_floats(sq_isa isa, sq_dtype dtype) {
  const sq_kern *kern = sq_kern_of_isa(isa, dtype);
  for (sq_elem e = 0; e < SQ_ELEMS; e++) {
    snprintf(context, sizeof context, "%s %s %s", sq_elem_name(e), sq_dtype_name(dtype),
             sq_isa_name(isa));
    check((kern->elem[e] != NULL) == (oracles[e] != NULL), "missing, or there without a test");
    if (kern->elem[e] && oracles[e]) test_elem(kern, dtype, e);
  }
#define ELEM(name, inputs)
#define TEST(name, inputs)
#define WHOLE(name, inputs)
#define KERN(name, args)                                                                        \
  snprintf(context, sizeof context, "%s %s %s", #name, sq_dtype_name(dtype), sq_isa_name(isa)); \
  test_##name(kern, dtype);
#include "kernels/kern.def"
#undef ELEM
#undef TEST
#undef WHOLE
#undef KERN
}

/* --- integers ------------------------------------------------------------------------------- */

#include "kernels_test_ints.h"

/* --- products ------------------------------------------------------------------------------- */

static real gemm_cell(sq_dtype t, bool ta, bool tb, int64_t k, const void *a, int64_t lda,
                      const void *b, int64_t ldb, int64_t i, int64_t j, real *size) {
  real sum = 0;
  *size = 0;
  for (int64_t l = 0; l < k; l++) {
    const real p =
        get(t, a, ta ? l * lda + i : i * lda + l) * get(t, b, tb ? j * ldb + l : l * ldb + j);
    sum += p;
    *size += fabsl(p);
  }
  return sum;
}

static void test_gemm_of(sq_dtype t, bool ta, bool tb, int64_t m, int64_t n, int64_t k, bool add,
                         bool biased) {
  const int64_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 2, cells = (m + 1) * ldc;
  const size_t bytes = (size_t)cells * sq_dtype_size(t);
  fill(t, IN(0), (ta ? k : m) * lda + 1, -1, 1);
  fill(t, IN(1), (tb ? n : k) * ldb + 1, -1, 1);
  fill(t, IN(2), cells, -1, 1);
  fill(t, IN(3), n, -1, 1);
  for (int64_t i = 0; !add && i < m; i++) { /* without it no C is read */
    for (int64_t j = 0; j < n; j++) set(t, IN(2), i * ldc + j, NAN);
  }
  memcpy(OUT(0), IN(2), bytes);
  sq_gemm g = {.dtype = t, .ta = ta, .tb = tb, .add = add, .m = m, .n = n, .k = k};
  g.a = IN(0), g.lda = lda, g.b = IN(1), g.ldb = ldb, g.c = OUT(0), g.ldc = ldc;
  if (biased) g.bias = IN(3);
  check(sq_gemm_run(&g) == SQ_OK, "%s", sq_error_text());
  for (int64_t i = 0; i < m; i++) {
    for (int64_t j = 0; j < ldc; j++) {
      const real old = get(t, IN(2), i * ldc + j);
      real size = 0, sum = old;
      if (j < n) sum = gemm_cell(t, ta, tb, k, IN(0), lda, IN(1), ldb, i, j, &size);
      if (j < n && add) sum += old;
      if (j < n && biased) sum += get(t, IN(3), j);
      check_near(t, OUT(0), i * ldc + j, sum, j < n ? 2 * sqrt((double)k + 1) : 0, size + 1);
    }
  }
}

static void test_threads(sq_dtype t, int64_t m, int64_t n, int64_t k, bool ta, bool tb) {
  fill(t, IN(0), m * k, -1, 1);
  fill(t, IN(1), k * n, -1, 1);
  for (int threads = 1; threads <= 4; threads++) {
    check(sq_set_threads(threads) == SQ_OK, "%s", sq_error_text());
    sq_gemm g = {.dtype = t, .ta = ta, .tb = tb, .m = m, .n = n, .k = k, .a = IN(0), .b = IN(1)};
    g.lda = ta ? m : k, g.ldb = tb ? k : n, g.c = OUT(threads), g.ldc = n;
    check(sq_gemm_run(&g) == SQ_OK, "%s", sq_error_text());
    const bool same = memcmp(OUT(1), OUT(threads), (size_t)(m * n) * sq_dtype_size(t)) == 0;
    check(same, "(%" PRId64 ",%" PRId64 ",%" PRId64 "): other bits with %d threads", m, n, k,
          threads);
  }
}

static void test_batch(sq_dtype t) {
  enum { BATCH = 5, M = 7, N = 9, DEPTH = 11 };
  fill(t, IN(0), BATCH * M * DEPTH, -1, 1);
  fill(t, IN(1), BATCH * DEPTH * N, -1, 1);
  for (int64_t sb = 0; sb <= DEPTH * N; sb += DEPTH * N) { /* 0: one B for all */
    sq_gemm g = {.dtype = t, .m = M, .n = N, .k = DEPTH, .a = IN(0), .b = IN(1), .c = OUT(0)};
    g.lda = DEPTH, g.ldb = g.ldc = N;
    g.batch = BATCH, g.sa = M * DEPTH, g.sb = sb, g.sc = M * N;
    check(sq_gemm_run(&g) == SQ_OK, "%s", sq_error_text());
    for (int64_t i = 0; i < BATCH * M * N; i++) {
      const int64_t item = i / (M * N), cell = i % (M * N), size = (int64_t)sq_dtype_size(t);
      real scale;
      const real want =
          gemm_cell(t, false, false, DEPTH, in_room[0] + item * M * DEPTH * size, DEPTH,
                    in_room[1] + item * sb * size, N, cell / N, cell % N, &scale);
      check_near(t, OUT(0), i, want, 8, scale);
    }
  }
}

static void test_gemm(sq_dtype t) {
  static const int64_t shapes[][3] = {{1, 1, 1},    {2, 3, 4},     {1, 10, 128},   {10, 1, 7},
                                      {17, 33, 65}, {129, 5, 31},  {64, 64, 0},    {0, 5, 3},
                                      {5, 0, 3},    {3, 130, 200}, {150, 40, 9},   {1, 1, 600},
                                      {40, 300, 2}, {130, 257, 3}, {65, 130, 128}, {130, 65, 128},
                                      {101, 40, 390}, {20, 260, 30}};
  snprintf(context, sizeof context, "gemm %s", sq_dtype_name(t));
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    for (int mode = 0; mode < 4; mode++) {
      for (int end = 0; end < 4; end++)
        test_gemm_of(t, mode & 1, mode & 2, shapes[i][0], shapes[i][1], shapes[i][2], end & 1,
                     end & 2);
    }
  }
  test_threads(t, 128, 400, 128, false, true);
  test_threads(t, 250, 250, 200, true, false);
  test_threads(t, 64, 784, 83, false, false);
  test_threads(t, 20, 24, 2500, true, false);
  test_batch(t);
  void *none = OUT(0);
  const int64_t big = (int64_t)1 << 31;
  sq_gemm g = {.dtype = t, .m = big, .n = 1, .k = 1, .a = none, .b = none, .c = none};
  check(sq_gemm_run(&g) == SQ_ESHAPE, "2^31 rows were taken");
}

/* --- all floats ----------------------------------------------------------------------------- */

typedef double math_fn(double);
static double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }

/* |y - want| in units in the last place of want's float; infinite where one is NaN or Inf and the
 * other is not. */
static double ulps(float y, double want) {
  const float rounded = (float)want;
  if (isnan(rounded) || isnan(y)) return isnan(rounded) && isnan(y) ? 0 : INFINITY;
  if (isinf(rounded) || isinf(y)) return rounded == y ? 0 : INFINITY;
  uint32_t bits;
  memcpy(&bits, &rounded, sizeof bits);
  uint64_t exponent = bits >> 23 & 0xff;
  if (exponent == 0) exponent = 1;
  const uint64_t unit_bits = (1023 + 150 - exponent)
                             << 52; /* 2^(150 - exponent): one over the unit */
  double per_unit;
  memcpy(&per_unit, &unit_bits, sizeof per_unit);
  return fabs((double)y - want) * per_unit;
}

enum { CHUNK = 1 << 16 };

static void scan_chunk(sq_elem e, math_fn *f, int64_t chunk, double worst[SQ_ISAS],
                       float at[SQ_ISAS]) {
  static _Thread_local float x[CHUNK], y[CHUNK];
  static _Thread_local double want[CHUNK];
  const void *in[1] = {x};
  const int64_t stride = 1;
  for (int64_t i = 0; i < CHUNK; i++) {
    const uint32_t u = (uint32_t)(chunk * CHUNK + i);
    memcpy(x + i, &u, 4);
    want[i] = f((double)x[i]);
  }
  for (sq_isa isa = 0; isa < SQ_ISAS; isa++) {
    const sq_kern *kern = sq_kern_of_isa(isa, SQ_F32);
    if (!kern) continue;
    kern->elem[e](CHUNK, in, &stride, y, 1, NULL);
    for (int64_t i = 0; i < CHUNK; i++) {
      const double u = ulps(y[i], want[i]);
      if (u > worst[isa]) worst[isa] = u, at[isa] = x[i];
    }
  }
}

typedef struct scan_job {
  sq_elem elem;
  math_fn *f;
  pthread_mutex_t lock;
  double worst[SQ_ISAS];
  float at[SQ_ISAS];
} scan_job;

static void scan_tile(int64_t chunk, void *context_) {
  scan_job *s = context_;
  double w[SQ_ISAS] = {0};
  float a[SQ_ISAS] = {0};
  scan_chunk(s->elem, s->f, chunk, w, a);
  pthread_mutex_lock(&s->lock);
  for (int isa = 0; isa < SQ_ISAS; isa++) {
    if (w[isa] > s->worst[isa]) s->worst[isa] = w[isa], s->at[isa] = a[isa];
  }
  pthread_mutex_unlock(&s->lock);
}

static void scan(sq_elem e, math_fn *f) {
  scan_job job = {.elem = e, .f = f, .lock = PTHREAD_MUTEX_INITIALIZER};
  const double *worst = job.worst;
  const float *at = job.at;
  sq_parallel_all(((int64_t)1 << 32) / CHUNK, INT64_MAX, scan_tile, &job);
  for (sq_isa isa = 0; isa < SQ_ISAS; isa++) {
    if (!sq_isa_supported(isa)) continue;
    snprintf(context, sizeof context, "%s %s", sq_elem_name(e), sq_isa_name(isa));
    printf("%-14s at most %.4f ULP, at %a\n", context, worst[isa], (double)at[isa]);
    check(worst[isa] <= 2, "%.4f ULP", worst[isa]);
  }
  fflush(stdout);
}

static void test_exhaustive(void) {
  scan(SQ_ELEM_exp, exp);
  scan(SQ_ELEM_log, log);
  scan(SQ_ELEM_tanh, tanh);
  scan(SQ_ELEM_sigmoid, sigmoid);
  scan(SQ_ELEM_log1p, log1p);
  scan(SQ_ELEM_expm1, expm1);
  scan(SQ_ELEM_erf, erf);
  scan(SQ_ELEM_sin, sin);
  scan(SQ_ELEM_cos, cos);
  scan(SQ_ELEM_atan, atan);
}

int main(int argc, char **argv) {
  if (sq_kern_init() != SQ_OK || sq_blas_load() != SQ_OK) {
    printf("%s\n", sq_error_text());
    return 1;
  }
  if (argc > 1 && strcmp(argv[1], "--isa") == 0) return 0;
  if (argc > 1 && strcmp(argv[1], "--exhaustive") == 0) {
    test_exhaustive();
  } else {
    for (sq_isa isa = 0; isa < SQ_ISAS; isa++) {
      if (!sq_isa_supported(isa)) continue;
      test_floats(isa, SQ_F32);
      test_floats(isa, SQ_F64);
    }
    test_ints();
    test_cast();
    test_gemm(SQ_F32);
    test_gemm(SQ_F64);
  }
  printf("%" PRId64 " checks, %" PRId64 " failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
