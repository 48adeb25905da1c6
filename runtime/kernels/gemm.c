/* gemm.c: who multiplies, and in which pieces. Work is cut into tiles of C; a tile packs the piece
 * of B that it is about to use (product_tmpl.h) into a buffer of its thread, goes through all its
 * rows with it, and takes the next. What both operands of are large is left to the BLAS, whose
 * blocks for each cache are then worth more. */
#include "kernels/gemm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "kernels/blas.h"
#include "kernels/kern_priv.h"

/* --- who multiplies ------------------------------------------------------------------------- */

bool sq_gemm_portable(void) {
  static int portable = -1; /* not known yet */
  if (portable < 0) {
    const char *value = getenv("SEQRT_PORTABLE");
    portable = value && *value && strcmp(value, "0") != 0;
  }
  return portable;
}

static bool blas_had_part; /* in a product since the start */

const char *sq_gemm_engine(void) {
  static char text[160];
  sq_isa isa;
  if (sq_isa_select(&isa) != SQ_OK) return "none";
  const char *rest = sq_gemm_portable() ? ", portable" : "";
  if (blas_had_part) rest = ", large ones by ";
  snprintf(text, sizeof text, "own panels (%s)%s%s", sq_isa_name(isa), rest,
           blas_had_part ? sq_blas_name() : "");
  return text;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Whether the BLAS is faster: where no side is short. */
static bool is_for_blas(const sq_gemm *g) {
  if (!sq_is_float(g->dtype) || g->k == 0 || sq_gemm_portable()) return false;
  return least(least(g->m, g->n), g->k) >= SQ_BLAS_SIDE;
}

/* --- one product by panels ------------------------------------------------------------------ */

/* Bytes of the panels of B (k,n), cut at so many columns and at SQ_PRODUCT_DEPTH. */
static int64_t panels_bytes(sq_dtype dtype, int64_t k, int64_t n, int64_t most) {
  const int64_t columns = SQ_PANEL_BYTES / (int64_t)sq_dtype_size(dtype);
  return sq_tiles(least(n, most), columns) * SQ_PANEL_BYTES * least(k, SQ_PRODUCT_DEPTH);
}

int64_t sq_piece_bytes(sq_dtype dtype, int64_t k, int64_t n) {
  return panels_bytes(dtype, k, n, SQ_PRODUCT_COLUMNS);
}

/* Bytes of a block of a transposed A; what follows begins a line. */
static int64_t turned_bytes(const sq_gemm *g) {
  const int64_t elements = least(g->m, SQ_TURNED_ROWS) * least(g->k, SQ_PRODUCT_DEPTH);
  return sq_lines(elements * (int64_t)sq_dtype_size(g->dtype));
}

int64_t sq_gemm_scratch(const sq_gemm *g) {
  if (!g->ta) return sq_piece_bytes(g->dtype, g->k, g->n);
  return turned_bytes(g) + panels_bytes(g->dtype, g->k, g->n, SQ_TURNED_COLUMNS);
}

static void *element(const sq_gemm *g, const void *base, int64_t i) {
  return (char *)base + i * (int64_t)sq_dtype_size(g->dtype);
}

/* Packs n columns of B from column j on, of the piece of k that begins at `from`. */
static void pack_piece(const sq_gemm *g, int64_t from, int64_t k, int64_t j, int64_t n,
                       void *panels) {
  const int64_t rs = g->tb ? 1 : g->ldb, cs = g->tb ? g->ldb : 1;
  sq_kern_of(g->dtype)->pack(k, n, element(g, g->b, from * rs + j * cs), rs, cs, panels, k);
}

/* A piece of k where A lies by rows: a few columns of C at a time. */
static void multiply_piece(const sq_gemm *g, sq_product p, int64_t from, void *panels) {
  p.a = element(g, g->a, from), p.rs = g->lda, p.cs = 1;
  p.m = g->m, p.panels = panels;
  for (int64_t j = 0; j < g->n; j += SQ_PRODUCT_COLUMNS) {
    p.n = least(g->n - j, SQ_PRODUCT_COLUMNS);
    p.c = element(g, g->c, j);
    pack_piece(g, from, p.k, j, p.n, panels);
    sq_kern_of(g->dtype)->product(&p);
  }
}

/* Columns of C that are made at a time where A is laid out anew for each: as few pieces as there
 * can be, and even ones. */
static int64_t turned_columns(const sq_gemm *g) {
  const int64_t panel = SQ_PANEL_BYTES / (int64_t)sq_dtype_size(g->dtype);
  const int64_t pieces = sq_tiles(g->n, SQ_TURNED_COLUMNS);
  return pieces > 0 ? sq_tiles(sq_tiles(g->n, pieces), panel) * panel : panel;
}

/* The same where A lies by columns: many columns of C at a time, and a block of rows. */
static void multiply_turned(const sq_gemm *g, sq_product p, int64_t from, char *scratch) {
  const sq_kern *kern = sq_kern_of(g->dtype);
  char *panels = scratch + turned_bytes(g);
  const int64_t columns = turned_columns(g);
  p.turned = true, p.a = scratch, p.panels = panels;
  for (int64_t j = 0; j < g->n; j += columns) {
    p.n = least(g->n - j, columns);
    pack_piece(g, from, p.k, j, p.n, panels);
    for (int64_t i = 0; i < g->m; i += SQ_TURNED_ROWS) {
      p.m = least(g->m - i, SQ_TURNED_ROWS);
      p.c = element(g, g->c, i * g->ldc + j);
      kern->pack_turned(p.m, p.k, element(g, g->a, from * g->lda + i), g->lda, scratch);
      kern->product(&p);
    }
  }
}

void sq_gemm_tile(const sq_gemm *g, void *scratch) {
  for (int64_t from = 0; from == 0 || from < g->k; from += SQ_PRODUCT_DEPTH) {
    sq_product p = {.k = least(g->k - from, SQ_PRODUCT_DEPTH), .ldc = g->ldc};
    p.add = g->add || from > 0;
    if (g->ta) {
      multiply_turned(g, p, from, scratch);
    } else {
      multiply_piece(g, p, from, scratch);
    }
  }
  if (g->bias) sq_kern_of(g->dtype)->add_row(g->m, g->n, g->ldc, g->bias, g->c);
}

/* --- tiles ---------------------------------------------------------------------------------- */

typedef struct job {
  sq_gemm g;
  bool blas;
  int64_t tm, tn, rows, columns; /* tile size; tiles down and across */
  sq_scratch scratch;            /* panels */
} job;

/* The product that a tile is. */
static sq_gemm tile_of(const job *j, int64_t tile) {
  sq_gemm g = j->g;
  const int64_t per = j->rows * j->columns, item = tile / per;
  const int64_t row = tile % per / j->columns * j->tm, column = tile % per % j->columns * j->tn;
  g.m = least(j->tm, g.m - row), g.n = least(j->tn, g.n - column);
  g.a = element(&g, g.a, item * g.sa + (g.ta ? row : row * g.lda));
  g.b = element(&g, g.b, item * g.sb + (g.tb ? column * g.ldb : column));
  g.c = element(&g, g.c, item * g.sc + row * g.ldc + column);
  if (g.bias) g.bias = element(&g, g.bias, column);
  return g;
}

static void run_tile(int64_t tile, void *context) {
  const job *j = context;
  const sq_gemm g = tile_of(j, tile);
  if (!sq_is_float(g.dtype)) {
    sq__gemm_int(&g);
  } else if (j->blas) {
    sq_blas_gemm(&g);
    if (g.bias) sq_kern_of(g.dtype)->add_row(g.m, g.n, g.ldc, g.bias, g.c);
  } else {
    sq_gemm_tile(&g, sq_scratch_mine(&j->scratch));
  }
}

/* How many tiles a job of so many multiplications is worth: 2 from about 10 us on, and at most 16,
 * since each tile packs its part of B anew. */
static int64_t worth(double products) {
  const double times = products / SQ_GEMM_WORK;
  return times < 1 ? 1 : times < 16 ? 2 : times < 64 ? 4 : times < 256 ? 8 : 16;
}

static int64_t part_of(int64_t size, int64_t parts) { /* in whole cache lines */
  return sq_tiles(size, parts * SQ_GEMM_SIDE) * SQ_GEMM_SIDE;
}

/* Halves the longer side until there are tiles enough; more than two have to be wide. Shapes alone
 * decide, so that the bits are those of every thread count. */
static void cut_tiles(job *j) {
  const sq_gemm *g = &j->g;
  const double products = (double)g->m * (double)g->n * (double)g->k;
  const int64_t tiles = worth(products * (double)g->batch) / g->batch;
  int64_t rows = 1, columns = 1;
  j->tm = g->m, j->tn = g->n;
  while (rows * columns < tiles &&
         j->tm * j->tn >= 2 * (rows * columns > 1 ? SQ_GEMM_WIDE : SQ_GEMM_TILE)) {
    if (j->tn >= j->tm) {
      j->tn = part_of(g->n, columns *= 2);
    } else {
      j->tm = part_of(g->m, rows *= 2);
    }
  }
  j->rows = sq_tiles(g->m, j->tm);
  j->columns = sq_tiles(g->n, j->tn);
}

static sq_status check_sizes(const sq_gemm *g) {
  const int64_t sizes[] = {g->m, g->n, g->k, g->lda, g->ldb, g->ldc};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    if (sizes[i] < 0 || sizes[i] > INT32_MAX) {
      return sq_fail(SQ_ESHAPE, "[matmul] a size of %" PRId64 " is over 2^31-1", sizes[i]);
    }
  }
  return SQ_OK;
}

sq_status sq_gemm_run(const sq_gemm *g) {
  job j = {.g = *g, .blas = is_for_blas(g)};
  if (j.g.batch == 0) j.g.batch = 1;
  if (g->m == 0 || g->n == 0) return SQ_OK;
  SQ_TRY(check_sizes(g));
  if (j.blas) SQ_TRY(sq_blas_load());
  blas_had_part |= j.blas;
  if (sq_is_float(g->dtype) && !j.blas) j.scratch.each = sq_gemm_scratch(g);
  cut_tiles(&j);
  const double flops = 2.0 * (double)g->m * (double)g->n * (double)(g->k + 1) * (double)j.g.batch;
  return sq_parallel_scratch(&j.scratch, j.g.batch * j.rows * j.columns, (int64_t)(flops / 100),
                             run_tile, &j);
}
