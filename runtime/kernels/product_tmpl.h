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

/* --- tiles ----------------------------------------------------------------------------------- */

/* The heights of the tiles that so many rows are cut into: as few tiles as there can be, and as
 * even as they can be, since a low one waits for its own sums. */
typedef struct S(cut) {
  int64_t low, end; /* tiles that begin before row `end` have a row more */
} S(cut);

INLINE S(cut) S(cut_rows)(int64_t rows) {
  const int64_t tiles = (rows + STAMP_ROWS - 1) / STAMP_ROWS, low = rows / (tiles ? tiles : 1);
  return (S(cut)){low, (rows - low * tiles) * (low + 1)};
}

INLINE int64_t S(height)(S(cut) c, int64_t i) { return c.low + (i < c.end); }

INLINE void S(copy_rows)(int64_t rows, const T *from, T *to) {
  if (rows == STAMP_ROWS) {
    memcpy(to, from, STAMP_ROWS * sizeof(T));
  } else if (rows == STAMP_ROWS - 1) {
    memcpy(to, from, (STAMP_ROWS - 1) * sizeof(T));
  } else {
    for (int64_t r = 0; r < rows; r++) to[r] = from[r];
  }
}

/* The rows of a tile lie side by side; those of the next tile follow when all k of these are
 * through. */
static void S(pack_turned)(int64_t m, int64_t k, const void *a, int64_t cs, void *to) {
  const S(cut) cut = S(cut_rows)(m);
  const T *from = a;
  for (int64_t j = 0; j < k; j++, from += cs) {
    for (int64_t r = 0; r < m; r += S(IN_PANEL)) __builtin_prefetch(from + AHEAD * cs + r);
    for (int64_t i = 0, rows; i < m; i += rows) {
      rows = S(height)(cut, i);
      S(copy_rows)(rows, from + i, (T *)to + i * k + j * rows);
    }
  }
}

/* How A lies: by strides, by tables, or as pack_turned has laid it out. */
enum { S(PLAIN), S(BY_TABLE), S(TURNED) };

/* What a walk over the rows of a block needs: a piece of A, of one or two panels, and of C. */
typedef struct S(strip) {
  int manner;
  int64_t rs, cs;                 /* of A where it lies by strides */
  int64_t rows, depth, next, ldc; /* next: elements from one panel to the next */
  const T *a, *b;
  const int64_t *row, *column; /* the tables, from this piece on */
  T *c;
  bool add;
} S(strip);

/* Where the tile begins that has row i of A. */
INLINE const T *S(tile_of_a)(const S(strip) * s, int64_t i, int manner) {
  return manner == S(BY_TABLE) ? s->a : s->a + i * (manner == S(TURNED) ? s->depth : s->rs);
}

/* One tile: `rows` rows from row i on, of `panels` whole panels. */
INLINE void S(tile)(const S(strip) * s, int64_t i, int rows, int panels, int manner) {
  const int vectors = panels * S(VECTORS);
  const int64_t ldc = s->ldc, rs = manner == S(TURNED) ? 1 : s->rs;
  const int64_t cs = manner == S(TURNED) ? rows : manner == S(PLAIN) ? s->cs : 0;
  const T *a = S(tile_of_a)(s, i, manner), *b = s->b, *row[STAMP_ROWS];
  T *c = s->c + i * ldc;
  S(vector) sum[STAMP_ROWS][2 * S(VECTORS)];
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++) {
    row[r] = manner == S(BY_TABLE) ? a + s->row[i + r] : a;
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
    const int64_t column = manner == S(BY_TABLE) ? s->column[k] : 0;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
      const T x = manner == S(BY_TABLE) ? row[r][column] : a[r * rs];
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

/* All rows of a strip. */
#define HEIGHT(rows)                     \
  case rows:                             \
    S(tile)(s, i, rows, panels, manner); \
    break;
INLINE void S(walk)(const S(strip) * s, int panels, int manner) {
  const S(cut) cut = S(cut_rows)(s->rows);
  for (int64_t i = 0, rows; i < s->rows; i += rows) {
    rows = S(height)(cut, i);
    switch (rows) {
      HEIGHT(1)
      HEIGHT(2)
#if STAMP_ROWS > 2
      HEIGHT(3)
      HEIGHT(4)
      HEIGHT(5)
      HEIGHT(6)
#endif
#if STAMP_ROWS > 6
      HEIGHT(7)
      HEIGHT(8)
      HEIGHT(9)
      HEIGHT(10)
      HEIGHT(11)
      HEIGHT(12)
#endif
    }
  }
}
#undef HEIGHT

/* By one panel, or by as many as the registers hold. */
#define WALK(name, panels)                                         \
  static void S(name)(const S(strip) * s) {                        \
    if (s->manner == S(PLAIN)) S(walk)(s, panels, S(PLAIN));       \
    if (s->manner == S(BY_TABLE)) S(walk)(s, panels, S(BY_TABLE)); \
    if (s->manner == S(TURNED)) S(walk)(s, panels, S(TURNED));     \
  }
WALK(walk_one, 1)
WALK(walk_all, STAMP_PANELS)
#undef WALK

/* The last panel where C ends inside it: through a strip of its own width. */
static void S(walk_edge)(const S(strip) * s, int64_t columns) {
  T apart[STAMP_ROWS * S(IN_PANEL)];
  const S(cut) cut = S(cut_rows)(s->rows);
  S(strip) one = *s;
  one.c = apart;
  one.ldc = S(IN_PANEL);
  for (int64_t i = 0; i < s->rows; i += one.rows) {
    one.rows = S(height)(cut, i);
    one.a = S(tile_of_a)(s, i, s->manner);
    one.row = s->row ? s->row + i : NULL;
    for (int64_t r = 0; r < one.rows; r++)
      for (int64_t v = 0; v < S(IN_PANEL); v++)
        apart[r * S(IN_PANEL) + v] = s->add && v < columns ? s->c[(i + r) * s->ldc + v] : 0;
    S(walk_one)(&one);
    for (int64_t r = 0; r < one.rows; r++)
      memcpy(s->c + (i + r) * s->ldc, apart + r * S(IN_PANEL), (size_t)columns * sizeof(T));
  }
}

_Static_assert(SQ_TURNED_ROWS <= SQ_PRODUCT_ROWS, "a block that was laid out anew is cut again");

/* One block of rows, one piece of k: all n columns. */
static void S(product_block)(S(strip) * s, int64_t n, T *c) {
  const T *b = s->b;
  for (int64_t j = 0, step; j < n; j += step) {
    const int64_t left = n - j;
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
  S(strip) s = {.rs = p->rs, .cs = p->cs, .next = p->k * S(IN_PANEL), .ldc = p->ldc};
  s.manner = p->turned ? S(TURNED) : p->rows ? S(BY_TABLE) : S(PLAIN);
  for (int64_t k = 0; k == 0 || k < p->k; k += SQ_PRODUCT_DEPTH) {
    s.add = p->add || k > 0;
    s.depth = p->k - k < SQ_PRODUCT_DEPTH ? p->k - k : SQ_PRODUCT_DEPTH;
    for (int64_t i = 0; i < p->m; i += SQ_PRODUCT_ROWS) {
      s.rows = p->m - i < SQ_PRODUCT_ROWS ? p->m - i : SQ_PRODUCT_ROWS;
      s.a = s.manner == S(PLAIN) ? a + i * s.rs + k * s.cs : a;
      s.row = p->rows ? p->rows + i : NULL;
      s.column = p->rows ? p->columns + k : NULL;
      s.b = b + k * S(IN_PANEL);
      S(product_block)(&s, p->n, (T *)p->c + i * p->ldc);
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
