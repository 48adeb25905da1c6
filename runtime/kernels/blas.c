/* blas.c: the only caller of a BLAS, which is loaded at the first product that asks for it: its
 * threads off, its kernels those of the ISA in use. */
#include "kernels/blas.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/mem.h"

/* --- loading -------------------------------------------------------------------------------- */

typedef void sgemm_fn(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE ta, enum CBLAS_TRANSPOSE tb,
                      int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                      int ldb, float beta, float *c, int ldc);
typedef void dgemm_fn(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE ta, enum CBLAS_TRANSPOSE tb,
                      int m, int n, int k, double alpha, const double *a, int lda, const double *b,
                      int ldb, double beta, double *c, int ldc);

static sgemm_fn *sgemm;
static dgemm_fn *dgemm;
static char name[96] = "not loaded";

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

void sq_blas_gemm(const sq_gemm *g) {
  const enum CBLAS_TRANSPOSE ta = g->ta ? CblasTrans : CblasNoTrans;
  const enum CBLAS_TRANSPOSE tb = g->tb ? CblasTrans : CblasNoTrans;
  const int m = (int)g->m, n = (int)g->n, k = (int)g->k;
  const int lda = (int)g->lda, ldb = (int)g->ldb, ldc = (int)g->ldc;
  if (g->dtype == SQ_F32) {
    sgemm(CblasRowMajor, ta, tb, m, n, k, 1, g->a, lda, g->b, ldb, g->add, g->c, ldc);
  } else {
    dgemm(CblasRowMajor, ta, tb, m, n, k, 1, g->a, lda, g->b, ldb, g->add, g->c, ldc);
  }
}
