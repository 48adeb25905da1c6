/* product_tmpl.h: matrix products of our own: C = A B, or C += A B, with B packed beforehand.
 *
 * Packing lays B (k,n) out in panels of one cache line of columns, so that what the inner loop
 * reads next always lies next; the last panel is filled up with zeros. A is read where it lies, in
 * any order: its numbers are broadcast one at a time. So whoever multiplies by the same B again, a
 * recurrent layer at every step, packs it once. Only a transposed A, whose next column is a whole
 * row of memory further on, is packed too: lines that far apart drive each other out of the first
 * cache.
 *
 * The inner loop holds a tile of C in registers, `rows` rows of one or two panels, and adds one
 * column of A times one row of B at a time. Each element of C is one sum, added up by fused
 * multiply-adds in the order of k, whatever the width of a vector and the height of a tile are: all
 * instruction sets with FMA give the same bits. k is cut by a constant (SQ_PRODUCT_DEPTH) so that a
 * piece of a panel stays in the first cache, and the rows by another, so that a block of A stays in
 * the second; C carries the sum from one piece to the next. */

/* gcc fuses where it optimises, so these functions are optimised in every build: a product has the
 * same bits under a debugger and a sanitizer. */
#if defined(__clang__)
#pragma clang fp contract(fast)
#else
#pragma GCC push_options
#pragma GCC optimize("O3", "fp-contract=fast")
#endif

/* A vector that may lie at any multiple of its elements' size. */
typedef T S(vector) __attribute__((vector_size(STAMP_VECTOR), aligned(sizeof(T)), may_alias));
typedef U S(lanes) __attribute__((vector_size(STAMP_VECTOR)));
enum {
  S(IN_VECTOR) = STAMP_VECTOR / sizeof(T),
  S(IN_PANEL) = SQ_PANEL_BYTES / sizeof(T), /* columns of a panel */
  S(VECTORS) = SQ_PANEL_BYTES / STAMP_VECTOR
};

/* How many rows of memory ahead of a copy are asked for: they lie too far apart for the processor
 * to see where it goes. */
#define AHEAD 6

/* A piece of B whose rows lie side by side: whole lines of panels, k rows of them. */
static void S(pack_lines)(int64_t k, const T *from, int64_t rs, T *to) {
  for (int64_t i = 0; i < k; i++) {
    __builtin_prefetch(from + (i + AHEAD) * rs);
    memcpy(to + i * S(IN_PANEL), from + i * rs, SQ_PANEL_BYTES);
  }
}

/* Any piece, element by element; columns that B has not are 0. */
static void S(pack_plain)(int64_t k, int64_t columns, const T *from, int64_t rs, int64_t cs,
                          T *to) {
  for (int64_t i = 0; i < k; i++, from += rs, to += S(IN_PANEL)) {
    for (int64_t v = 0; v < columns; v++) to[v] = from[v * cs];
    for (int64_t v = columns; v < S(IN_PANEL); v++) to[v] = 0;
  }
}

/* low[from], high[from], low[from + 1], ...: half as many pairs as a vector has elements. */
#define PAIR(i) (i), (i) + STAMP_VECTOR * 8 / BITS
#if STAMP_VECTOR * 8 / BITS == 2
#define PAIRS(i) PAIR(i)
#elif STAMP_VECTOR * 8 / BITS == 4
#define PAIRS(i) PAIR(i), PAIR((i) + 1)
#elif STAMP_VECTOR * 8 / BITS == 8
#define PAIRS(i) PAIR(i), PAIR((i) + 1), PAIR((i) + 2), PAIR((i) + 3)
#else
#define PAIRS(i)                                                                      \
  PAIR(i), PAIR((i) + 1), PAIR((i) + 2), PAIR((i) + 3), PAIR((i) + 4), PAIR((i) + 5), \
      PAIR((i) + 6), PAIR((i) + 7)
#endif
#if defined(__clang__)
#define DEAL(low, high, from) __builtin_shufflevector(low, high, PAIRS(from))
#else
#define DEAL(low, high, from) __builtin_shuffle(low, high, (S(lanes)){PAIRS(from)})
#endif

/* A square of as many rows as a vector has elements, from columns of B that lie `cs` apart: turned
 * in registers by log2 rounds, each of which deals the upper half's elements between those of the
 * lower. */
INLINE void S(turn)(const T *from, int64_t cs, T *to) {
  S(vector) now[S(IN_VECTOR)], next[S(IN_VECTOR)];
#pragma GCC unroll 16
  for (int v = 0; v < S(IN_VECTOR); v++) now[v] = *(const S(vector) *)(const void *)(from + v * cs);
#pragma GCC unroll 4
  for (int round = 1; round < S(IN_VECTOR); round *= 2) {
#pragma GCC unroll 8
    for (int v = 0; v < S(IN_VECTOR) / 2; v++) {
      const S(vector) low = now[v], high = now[v + S(IN_VECTOR) / 2];
      next[2 * v] = DEAL(low, high, 0);
      next[2 * v + 1] = DEAL(low, high, STAMP_VECTOR * 4 / BITS);
    }
#pragma GCC unroll 16
    for (int v = 0; v < S(IN_VECTOR); v++) now[v] = next[v];
  }
#pragma GCC unroll 16
  for (int v = 0; v < S(IN_VECTOR); v++) *(S(vector) *)(void *)(to + v * S(IN_PANEL)) = now[v];
}

/* A piece of B whose columns lie side by side, `cs` apart. */
static void S(pack_columns)(int64_t k, const T *from, int64_t cs, T *to) {
  int64_t i = 0;
  for (; k - i >= S(IN_VECTOR); i += S(IN_VECTOR))
    for (int v = 0; v < S(VECTORS); v++)
      S(turn)(from + v * S(IN_VECTOR) * cs + i, cs, to + i * S(IN_PANEL) + v * S(IN_VECTOR));
  S(pack_plain)(k - i, S(IN_PANEL), from + i, 1, cs, to + i * S(IN_PANEL));
}

static void S(pack)(int64_t k, int64_t n, const void *b, int64_t rs, int64_t cs, void *panels,
                    int64_t next) {
  T *to = panels;
  for (int64_t j = 0; j < n; j += S(IN_PANEL), to += next * S(IN_PANEL)) {
    const T *from = (const T *)b + j * cs;
    if (n - j < S(IN_PANEL)) {
      S(pack_plain)(k, n - j, from, rs, cs, to);
    } else if (cs == 1) {
      S(pack_lines)(k, from, rs, to);
    } else if (rs == 1) {
      S(pack_columns)(k, from, cs, to);
    } else {
      S(pack_plain)(k, S(IN_PANEL), from, rs, cs, to);
    }
  }
}

/* The rows of a tile lie side by side; those of the next tile follow when all k of these are
 * through. */
static void S(pack_turned)(int64_t m, int64_t k, const void *a, int64_t cs, void *to) {
  const T *from = a;
  for (int64_t j = 0; j < k; j++, from += cs) {
    T *at = (T *)to + j * STAMP_ROWS;
    int64_t i = 0;
    for (int64_t r = 0; r < m; r += S(IN_PANEL)) __builtin_prefetch(from + AHEAD * cs + r);
    for (; m - i >= STAMP_ROWS; i += STAMP_ROWS, at += k * STAMP_ROWS)
      memcpy(at, from + i, STAMP_ROWS * sizeof(T));
    for (int64_t r = 0; r < m - i; r++) at[r] = from[i + r];
  }
}

_Static_assert(STAMP_ROWS <= SQ_TILE_ROWS, "a tile is higher than its scratch");
_Static_assert(SQ_TURNED_ROWS <= SQ_PRODUCT_ROWS, "a block laid out anew is cut again");

/* What a walk over the rows of a block needs: a piece of A, of one or two panels, and of C. */
typedef struct S(strip) {
  const sq_product *p;
  int64_t rs, cs, group;          /* of A: from row to row, from k to k, from tile to tile */
  int64_t rows, depth, next, ldc; /* next: elements from one panel to the next */
  const T *a, *b;
  const int64_t *row, *column; /* the tables, from this piece on */
  T *c;
  bool add;
} S(strip);

INLINE const T *S(row_of_a)(const S(strip) * s, int64_t i) {
  return s->a + i / STAMP_ROWS * s->group + i % STAMP_ROWS * s->rs;
}

/* One tile: `rows` rows from row i on, of `panels` whole panels; table: whether A is read by it. */
INLINE void S(tile)(const S(strip) * s, int64_t i, int rows, int panels, bool table) {
  const int vectors = panels * S(VECTORS);
  const int64_t rs = s->rs, cs = s->cs, ldc = s->ldc;
  const T *a = table ? s->a : S(row_of_a)(s, i), *b = s->b, *row[STAMP_ROWS];
  T *c = s->c + i * ldc;
  S(vector) sum[STAMP_ROWS][2 * S(VECTORS)];
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++) {
    row[r] = table ? a + s->row[i + r] : a;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
      const T *from = c + r * ldc + v * S(IN_VECTOR);
      sum[r][v] = s->add ? *(const S(vector) *)(const void *)from : (S(vector)){0};
    }
  }
  for (int64_t k = 0; k < s->depth; k++, a += cs, b += S(IN_PANEL)) {
    S(vector) line[2 * S(VECTORS)];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
      const T *from = b + v / S(VECTORS) * s->next + v % S(VECTORS) * S(IN_VECTOR);
      line[v] = *(const S(vector) *)(const void *)from;
    }
    const int64_t column = table ? s->column[k] : 0;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
      const T x = table ? row[r][column] : a[r * rs];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; v++) sum[r][v] += x * line[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++)
      *(S(vector) *)(void *)(c + r * ldc + v * S(IN_VECTOR)) = sum[r][v];
}

/* All rows of a strip, in tiles as high as there are rows for. */
INLINE void S(walk)(const S(strip) * s, int panels, bool table) {
  int64_t i = 0;
  for (; s->rows - i >= STAMP_ROWS; i += STAMP_ROWS) S(tile)(s, i, STAMP_ROWS, panels, table);
  for (; s->rows - i >= STAMP_ROWS / 2; i += STAMP_ROWS / 2)
    S(tile)(s, i, STAMP_ROWS / 2, panels, table);
  for (; s->rows - i >= 2; i += 2) S(tile)(s, i, 2, panels, table);
  for (; s->rows - i >= 1; i += 1) S(tile)(s, i, 1, panels, table);
}

/* By one panel, or by as many as the registers hold. */
static void S(walk_one)(const S(strip) * s) {
  if (s->row) {
    S(walk)(s, 1, true);
  } else {
    S(walk)(s, 1, false);
  }
}

static void S(walk_all)(const S(strip) * s) {
  if (s->row) {
    S(walk)(s, STAMP_PANELS, true);
  } else {
    S(walk)(s, STAMP_PANELS, false);
  }
}

/* The last panel where C ends inside it: through a strip of its own width. */
static void S(walk_edge)(const S(strip) * s, int64_t columns) {
  T apart[STAMP_ROWS * S(IN_PANEL)];
  S(strip) one = *s;
  one.c = apart;
  one.ldc = S(IN_PANEL);
  for (int64_t i = 0; i < s->rows; i += STAMP_ROWS) {
    one.rows = s->rows - i < STAMP_ROWS ? s->rows - i : STAMP_ROWS;
    one.a = s->row ? s->a : S(row_of_a)(s, i);
    one.row = s->row ? s->row + i : NULL;
    for (int64_t r = 0; r < one.rows; r++)
      for (int64_t v = 0; v < S(IN_PANEL); v++)
        apart[r * S(IN_PANEL) + v] = s->add && v < columns ? s->c[(i + r) * s->ldc + v] : 0;
    S(walk_one)(&one);
    for (int64_t r = 0; r < one.rows; r++)
      memcpy(s->c + (i + r) * s->ldc, apart + r * S(IN_PANEL), (size_t)columns * sizeof(T));
  }
}

/* One block of rows, one piece of k: every panel. */
static void S(product_block)(S(strip) * s, T *c) {
  const T *b = s->b;
  for (int64_t j = 0, step; j < s->p->n; j += step) {
    const int64_t left = s->p->n - j;
    s->b = b + j / S(IN_PANEL) * s->next;
    s->c = c + j;
    step = S(IN_PANEL);
    if (left >= STAMP_PANELS * S(IN_PANEL)) {
      step = STAMP_PANELS * S(IN_PANEL);
      S(walk_all)(s);
    } else if (left >= S(IN_PANEL)) {
      S(walk_one)(s);
    } else {
      S(walk_edge)(s, left);
    }
  }
}

static void S(product)(const sq_product *p) {
  const T *a = p->a, *b = p->panels;
  for (int64_t k = 0; k == 0 || k < p->k; k += SQ_PRODUCT_DEPTH) {
    S(strip) s = {.p = p, .next = p->k * S(IN_PANEL), .ldc = p->ldc, .add = p->add || k > 0};
    s.depth = p->k - k < SQ_PRODUCT_DEPTH ? p->k - k : SQ_PRODUCT_DEPTH;
    s.rs = p->turned ? 1 : p->rs, s.cs = p->turned ? STAMP_ROWS : p->cs;
    s.group = p->turned ? s.depth * STAMP_ROWS : STAMP_ROWS * p->rs;
    for (int64_t i = 0; i < p->m; i += SQ_PRODUCT_ROWS) {
      s.rows = p->m - i < SQ_PRODUCT_ROWS ? p->m - i : SQ_PRODUCT_ROWS;
      s.a = p->rows ? a : a + i * s.rs + k * s.cs;
      s.row = p->rows ? p->rows + i : NULL;
      s.column = p->rows ? p->columns + k : NULL;
      s.b = b + k * S(IN_PANEL);
      S(product_block)(&s, (T *)p->c + i * p->ldc);
    }
  }
}

#undef PAIR
#undef PAIRS
#undef DEAL
#undef AHEAD
#if !defined(__clang__)
#pragma GCC pop_options
#endif
