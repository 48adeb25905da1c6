/* gemm.c: the only caller of a BLAS, which is loaded at the first product: its threads off, its
 * kernels those of the ISA in use. OpenBLAS is not bit-stable across its own thread counts, so work
 * is cut into tiles here. */
#include "kernels/gemm.h"

#include <cblas.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "kernels/kern_priv.h"

/* --- loading -------------------------------------------------------------------------------- */

typedef void sgemm_fn(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE ta, enum CBLAS_TRANSPOSE tb,
                      int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                      int ldb, float beta, float *c, int ldc);
typedef void dgemm_fn(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE ta, enum CBLAS_TRANSPOSE tb,
                      int m, int n, int k, double alpha, const double *a, int lda, const double *b,
                      int ldb, double beta, double *c, int ldc);

static sgemm_fn *sgemm;
static dgemm_fn *dgemm;
static char name[96] = "not loaded yet";

/* Read by OpenBLAS (threads, kernels), MKL and BLIS as they load; a value set by the user stays,
 * but for threads. */
enum { VARS = 5, CORETYPE = 4 };
static const char *const vars[VARS] = {"OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS",
                                       "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OPENBLAS_CORETYPE"};

static void free_all(char *old[VARS]) {
  for (int i = 0; i < VARS; i++) sq_free(old[i]);
}

static sq_status save_environment(char *old[VARS]) {
  for (int i = 0; i < VARS; i++) old[i] = NULL;
  for (int i = 0; i < VARS; i++) {
    const char *value = getenv(vars[i]);
    sq_status status = value ? sq_strdup(value, &old[i]) : SQ_OK;
    if (status != SQ_OK) {
      free_all(old);
      return status;
    }
  }
  return SQ_OK;
}

static void set_environment(sq_isa isa, char *const old[VARS]) {
  static const char *const cores[SQ_ISAS] = {"Nehalem", "Haswell", "SkylakeX"};
  for (int i = 0; i < CORETYPE; i++) setenv(vars[i], "1", 1);
  if (!old[CORETYPE]) setenv(vars[CORETYPE], cores[isa], 1);
}

static void restore_environment(char *old[VARS]) {
  for (int i = 0; i < VARS; i++) {
    if (old[i])
      setenv(vars[i], old[i], 1);
    else
      unsetenv(vars[i]);
  }
  free_all(old);
}

/* A function of the library; POSIX lets a data pointer hold it, C does not say so. */
static void find(void *library, const char *symbol, void *function) {
  void *address = dlsym(library, symbol);
  memcpy(function, &address, sizeof address);
}

static void one_thread(void *library) {
  static const char *const setters[] = {"openblas_set_num_threads", "bli_thread_set_num_threads",
                                        "MKL_Set_Num_Threads"};
  for (size_t i = 0; i < sizeof setters / sizeof *setters; i++) {
    void (*set)(int);
    find(library, setters[i], &set);
    if (set) set(1);
  }
}

static void make_name(void *library) {
  char *(*core)(void);
  find(library, "openblas_get_corename", &core);
  if (core)
    snprintf(name, sizeof name, "%s (%s)", SQ_BLAS_LIB, core());
  else
    snprintf(name, sizeof name, "%s", SQ_BLAS_LIB);
}

static sq_status load(void) {
  sq_isa isa;
  char *old[VARS];
  SQ_TRY(sq_isa_select(&isa));
  SQ_TRY(save_environment(old));
  set_environment(isa, old);
  void *library = dlopen(SQ_BLAS_LIB, RTLD_NOW | RTLD_LOCAL);
  restore_environment(old);
  if (!library) return sq_fail(SQ_EIO, "cannot load the BLAS %s: %s", SQ_BLAS_LIB, dlerror());
  sgemm_fn *s;
  find(library, "cblas_sgemm", &s);
  find(library, "cblas_dgemm", &dgemm);
  if (!s || !dgemm) {
    dlclose(library);
    return sq_fail(SQ_EIO, "%s has no cblas_sgemm and cblas_dgemm", SQ_BLAS_LIB);
  }
  one_thread(library);
  make_name(library);
  sgemm = s;
  return SQ_OK;
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t load_ns;

sq_status sq_blas_load(void) {
  if (sgemm) return SQ_OK;
  int64_t begin = now();
  sq_status status = load();
  load_ns += now() - begin;
  return status;
}

int64_t sq_blas_load_ns(void) { return load_ns; }

const char *sq_blas_name(void) { return name; }

/* --- one product ---------------------------------------------------------------------------- */

/* C = beta C, for k = 0. */
static void scale_rows(sq_dtype dtype, int64_t m, int64_t n, double beta, void *c, int64_t ldc) {
  for (int64_t i = 0; i < m; i++) {
    if (dtype == SQ_F32) {
      float *row = (float *)c + i * ldc;
      for (int64_t j = 0; j < n; j++) row[j] = beta == 0 ? 0 : (float)beta * row[j];
    } else {
      double *row = (double *)c + i * ldc;
      for (int64_t j = 0; j < n; j++) row[j] = beta == 0 ? 0 : beta * row[j];
    }
  }
}

void sq_gemm(sq_dtype dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
             const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c,
             int64_t ldc) {
  if (m == 0 || n == 0) return;
  if (!sq_is_float(dtype)) {
    sq__gemm_int(dtype, ta, tb, m, n, k, a, lda, b, ldb, c, ldc);
    return;
  }
  if (k == 0) {
    scale_rows(dtype, m, n, beta, c, ldc);
    return;
  }
  const enum CBLAS_TRANSPOSE opa = ta ? CblasTrans : CblasNoTrans;
  const enum CBLAS_TRANSPOSE opb = tb ? CblasTrans : CblasNoTrans;
  if (dtype == SQ_F32) {
    sgemm(CblasRowMajor, opa, opb, (int)m, (int)n, (int)k, (float)alpha, a, (int)lda, b, (int)ldb,
          (float)beta, c, (int)ldc);
  } else {
    dgemm(CblasRowMajor, opa, opb, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c,
          (int)ldc);
  }
}

/* --- tiles ---------------------------------------------------------------------------------- */

typedef struct job {
  sq_dtype dtype;
  bool ta, tb;
  int64_t m, n, k, lda, ldb, ldc, sa, sb,
      sc; /* sa, sb, sc: from one product of a batch to the next */
  double alpha, beta;
  const char *a, *b;
  char *c;
  int64_t tm, tn, rows, columns; /* tile size; tiles down and across */
} job;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void run_tile(int64_t tile, void *context) {
  const job *g = context;
  const int64_t size = (int64_t)sq_dtype_size(g->dtype), per = g->rows * g->columns;
  const int64_t item = tile / per, i = tile % per / g->columns * g->tm;
  const int64_t j = tile % per % g->columns * g->tn;
  const int64_t a = item * g->sa + (g->ta ? i : i * g->lda);
  const int64_t b = item * g->sb + (g->tb ? j * g->ldb : j);
  const int64_t c = item * g->sc + i * g->ldc + j;
  sq_gemm(g->dtype, g->ta, g->tb, least(g->tm, g->m - i), least(g->tn, g->n - j), g->k, g->alpha,
          g->a + a * size, g->lda, g->b + b * size, g->ldb, g->beta, g->c + c * size, g->ldc);
}

/* How many tiles a job of so many multiplications is worth: 2 from about 10 us on, and at most 16,
 * since each tile packs its part of the operands anew. */
static int64_t worth(double products) {
  const double times = products / SQ_GEMM_WORK;
  return times < 1 ? 1 : times < 16 ? 2 : times < 64 ? 4 : times < 256 ? 8 : 16;
}

static int64_t part(int64_t size, int64_t parts) { /* in whole cache lines */
  return sq_tiles(size, parts * SQ_GEMM_SIDE) * SQ_GEMM_SIDE;
}

/* Halves the longer side until there are tiles enough; more than two have to be wide. Shapes alone
 * decide, so that the bits are those of every thread count. */
static void cut(job *g, int64_t batch) {
  const double products = (double)g->m * (double)g->n * (double)g->k;
  const int64_t tiles = worth(products * (double)batch) / (batch < 1 ? 1 : batch);
  int64_t rows = 1, columns = 1;
  g->tm = g->m, g->tn = g->n;
  while (rows * columns < tiles &&
         g->tm * g->tn >= 2 * (rows * columns > 1 ? SQ_GEMM_WIDE : SQ_GEMM_TILE)) {
    if (g->tn >= g->tm) {
      g->tn = part(g->n, columns *= 2);
    } else {
      g->tm = part(g->m, rows *= 2);
    }
  }
  g->rows = g->m > 0 ? sq_tiles(g->m, g->tm) : 0;
  g->columns = g->n > 0 ? sq_tiles(g->n, g->tn) : 0;
}

static sq_status check_sizes(const job *g) {
  const int64_t sizes[] = {g->m, g->n, g->k, g->lda, g->ldb, g->ldc};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    if (sizes[i] < 0 || sizes[i] > INT32_MAX) {
      return sq_fail(SQ_ESHAPE, "[matmul] a size of %" PRId64 " is over 2^31-1", sizes[i]);
    }
  }
  return SQ_OK;
}

static sq_status run(job *g, int64_t batch) {
  SQ_TRY(check_sizes(g));
  if (sq_is_float(g->dtype)) SQ_TRY(sq_blas_load());
  cut(g, batch);
  const double flops = 2.0 * (double)g->m * (double)g->n * (double)(g->k + 1) * (double)batch;
  sq_parallel(batch * g->rows * g->columns, (int64_t)(flops / 100), run_tile, g);
  return sq_interrupt_check();
}

sq_status sq_gemm_tiled(sq_dtype dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                        double alpha, const void *a, int64_t lda, const void *b, int64_t ldb,
                        double beta, void *c, int64_t ldc) {
  return sq_gemm_batched(dtype, ta, tb, 1, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0);
}

sq_status sq_gemm_batched(sq_dtype dtype, bool ta, bool tb, int64_t batch, int64_t m, int64_t n,
                          int64_t k, double alpha, const void *a, int64_t lda, int64_t sa,
                          const void *b, int64_t ldb, int64_t sb, double beta, void *c, int64_t ldc,
                          int64_t sc) {
  job g = {.dtype = dtype, .ta = ta, .tb = tb, .m = m, .n = n, .k = k, .lda = lda, .ldb = ldb};
  g.ldc = ldc, g.sa = sa, g.sb = sb, g.sc = sc, g.alpha = alpha, g.beta = beta;
  g.a = a, g.b = b, g.c = c;
  return run(&g, batch);
}
