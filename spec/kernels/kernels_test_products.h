/* kernels_test_products.h: packing and products by panels. Each element of a product is one sum in
 * the order of k by fused multiply-adds: that is compared to the bit, on every ISA that has them. */

static void test_pack(const sq_kern *kern, sq_dtype t) {
  const int64_t columns = SQ_PANEL_BYTES / (int64_t)sq_dtype_size(t);
  for (int64_t k = 0; k < 40; k += k < 18 ? 1 : 7) {
    for (int64_t n = 0; n < 40; n += n < 18 ? 1 : 5) {
      for (int order = 0; order < 3; order++) { /* rows, columns, neither side by side */
        const int64_t rs = order == 0 ? n + 2 : order == 1 ? 1 : 2;
        const int64_t cs = order == 0 ? 1 : order == 1 ? k + 3 : 2 * k + 1;
        const int64_t next = k + order, panels = sq_tiles(n, columns);
        fill(t, IN(0), k * rs + n * cs + 1, -1, 1);
        memset(OUT(0), CANARY, ROOM);
        memset(OUT(1), CANARY, ROOM);
        kern->pack(k, n, IN(0), rs, cs, OUT(0), next);
        for (int64_t i = 0; i < panels * columns * k; i++) {
          const int64_t panel = i / (columns * k), row = i / columns % k;
          const int64_t j = panel * columns + i % columns;
          set(t, OUT(1), (panel * next + row) * columns + i % columns,
              j < n ? get(t, IN(0), row * rs + j * cs) : 0);
        }
        check(memcmp(OUT(0), OUT(1), ROOM) == 0, "(%" PRId64 ",%" PRId64 ") order %d", k, n, order);
      }
    }
  }
}

/* a b + c as the ISA does it. */
static real times_plus(const sq_kern *kern, sq_dtype t, real a, real b, real c) {
  const bool fused = kern != sq_kern_of_isa(SQ_ISA_BASE, t);
  if (t == SQ_F32) {
    const volatile float product = (float)a * (float)b;
    return fused ? fmaf((float)a, (float)b, (float)c) : product + (float)c;
  }
  const volatile double product = (double)a * (double)b;
  return fused ? fma((double)a, (double)b, (double)c) : product + (double)c;
}

static bool same_number(sq_dtype t, real a, real b) { /* to the bit, but for the bits of NaN */
  return isnan(a) ? isnan(b) : round_to(t, a) == round_to(t, b) && signbit(a) == signbit(b);
}

/* Where element (i,k) of A is. */
static int64_t left_at(const sq_product *p, int64_t i, int64_t k) {
  return p->rows ? p->rows[i] + p->columns[k] : i * p->rs + k * p->cs;
}

static void test_one_product(const sq_kern *kern, sq_dtype t, const sq_product *shape) {
  sq_product p = *shape;
  const int64_t cells = p.m * p.ldc;
  p.a = IN(0), p.panels = OUT(2), p.c = OUT(0);
  kern->pack(p.k, p.n, IN(1), p.n, 1, OUT(2), p.k);
  memcpy(OUT(0), IN(2), (size_t)cells * sq_dtype_size(t));
  kern->product(&p);
  for (int64_t i = 0; i < cells; i++) {
    const int64_t row = i / p.ldc, column = i % p.ldc;
    real want = column >= p.n || p.add ? get(t, IN(2), i) : 0;
    for (int64_t l = 0; column < p.n && l < p.k; l++)
      want = times_plus(kern, t, get(t, IN(0), left_at(&p, row, l)),
                        get(t, IN(1), l * p.n + column), want);
    check(same_number(t, get(t, OUT(0), i), want), "(%" PRId64 ",%" PRId64 ",%" PRId64 ") [%" PRId64
          "] is %.20Lg, not %.20Lg", p.m, p.n, p.k, i, get(t, OUT(0), i), want);
  }
}

/* The same A, found by tables: its rows and columns in an order of their own. */
static void test_by_tables(const sq_kern *kern, sq_dtype t, const sq_product *shape) {
  static int64_t rows[SQ_PRODUCT_ROWS + 8], columns[SQ_PRODUCT_DEPTH + 8];
  sq_product p = *shape;
  for (int64_t i = 0; i < p.m; i++) rows[i] = (p.m - 1 - i) * p.rs;
  for (int64_t k = 0; k < p.k; k++) columns[k] = (k + p.k / 2) % p.k * p.cs;
  p.rows = rows, p.columns = columns, p.rs = p.cs = 0;
  test_one_product(kern, t, &p);
}

/* The same A, laid out anew: the same bits as from where it lies, and nothing behind it is written. */
static void test_pack_turned(const sq_kern *kern, sq_dtype t) {
  static const int64_t sizes[] = {1, 2, 3, 5, 6, 7, 11, 12, 13, 24, 31, SQ_TURNED_ROWS};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    if (sizes[i] > SQ_TURNED_ROWS) continue;
    for (int64_t k = 0; k <= SQ_PRODUCT_DEPTH; k += k < 3 ? 1 : SQ_PRODUCT_DEPTH - 3) {
      const int64_t m = sizes[i], n = 1 + (m * 5 + k) % 40;
      const int64_t size = (int64_t)sq_dtype_size(t), bytes = m * k * size;
      if (bytes >= ROOM) continue;
      sq_product p = {.m = m, .n = n, .k = k, .a = IN(0), .rs = 1, .cs = m + 2, .ldc = n};
      fill(t, IN(0), k * (m + 2) + 1, -1, 1);
      fill(t, IN(1), k * n + 1, -1, 1);
      kern->pack(k, n, IN(1), n, 1, OUT(2), k);
      p.panels = OUT(2), p.c = OUT(0);
      kern->product(&p);
      memset(OUT(3), CANARY, ROOM);
      kern->pack_turned(m, k, IN(0), m + 2, OUT(3));
      check(((unsigned char *)OUT(3))[bytes] == CANARY, "(%" PRId64 ",%" PRId64 ") writes more than its tiles", m, k);
      p.turned = true, p.a = OUT(3), p.c = OUT(1);
      kern->product(&p);
      check(memcmp(OUT(0), OUT(1), (size_t)(m * n * size)) == 0, "(%" PRId64 ",%" PRId64 ",%" PRId64
            ") other bits", m, n, k);
    }
  }
}

static void test_product(const sq_kern *kern, sq_dtype t) {
  static const int64_t depths[] = {0, 1, 2, 7, 30, SQ_PRODUCT_DEPTH, SQ_PRODUCT_DEPTH + 3};
  for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
    for (int64_t m = 1; m < 28; m += m < 14 ? 1 : 5) {
      const int64_t n = 1 + (m * 7 + (int64_t)d * 5) % 70, k = depths[d];
      const bool across = (m + n) % 2;
      sq_product p = {.m = m, .n = n, .k = k, .ldc = n + m % 3, .add = (m + k) % 2};
      p.rs = across ? 1 : k + 1, p.cs = across ? m + 1 : 1;
      fill_special(t, IN(0), m * p.rs + k * p.cs, 1e15);
      fill_special(t, IN(1), k * n, 1e15);
      fill_special(t, IN(2), m * p.ldc, 1e15);
      if (d % 2 == 0) fill(t, IN(0), m * p.rs + k * p.cs, -1, 1);
      if (d % 2 == 0) fill(t, IN(1), k * n, -1, 1);
      test_one_product(kern, t, &p);
      test_by_tables(kern, t, &p);
    }
  }
  sq_product tall = {.m = SQ_PRODUCT_ROWS + 5, .n = 33, .k = 9, .rs = 9, .cs = 1, .ldc = 33};
  fill(t, IN(0), tall.m * 9, -1, 1);
  fill(t, IN(1), 9 * 33, -1, 1);
  test_one_product(kern, t, &tall);
}

/* --- pictures laid out for products --------------------------------------------------------- */

static void test_stage(const sq_kern *kern, sq_dtype t) {
  for (int mode = 0; mode < 60; mode++) {
    sq_stage s = {.C = 1 + mode % 2, .Y = 1 + mode % 5, .X = 1 + mode % 7, .SX = 1 + mode % 3};
    s.PY = mode % 4 - 1, s.PX = mode / 3 % 5 - 2;
    s.rows = 1 + mode / 2 % 6, s.columns = 1 + mode / 5 % 9;
    fill(t, IN(0), s.C * s.Y * s.X, -1, 1);
    memset(OUT(0), CANARY, ROOM);
    memset(OUT(1), CANARY, ROOM);
    kern->stage(&s, IN(0), OUT(0));
    for (int64_t i = 0; i < s.C * s.rows * s.SX * s.columns; i++) {
      const int64_t x = i % s.columns * s.SX + i / s.columns % s.SX - s.PX;
      const int64_t y = i / s.columns / s.SX % s.rows - s.PY, c = i / s.columns / s.SX / s.rows;
      const bool inside = y >= 0 && y < s.Y && x >= 0 && x < s.X;
      set(t, OUT(1), i, inside ? get(t, IN(0), (c * s.Y + y) * s.X + x) : 0);
    }
    check(memcmp(OUT(0), OUT(1), ROOM) == 0, "case %d", mode);
  }
}

static void test_pack_patches(const sq_kern *kern, sq_dtype t) {
  const int64_t line = SQ_PANEL_BYTES / (int64_t)sq_dtype_size(t);
  int64_t taps[30];
  for (int mode = 0; mode < 80; mode++) {
    sq_patches p = {.x = IN(0), .taps = taps, .k = 1 + mode % 30, .panels = OUT(0)};
    p.OX = 1 + mode * 3 % 25, p.OY = 1 + mode % 4, p.row = p.OX + mode % 3;
    p.picture = p.OY * p.row + mode % 2;
    p.first = mode % 11, p.n = 1 + mode * 7 % 50;
    for (int64_t i = 0; i < p.k; i++) taps[i] = i * 13 % 40;
    fill(t, IN(0), ROOM / (int64_t)sq_dtype_size(t), -1, 1);
    memset(OUT(0), CANARY, ROOM);
    kern->pack_patches(&p);
    const int64_t end = sq_tiles(p.n, line) * p.k * line;
    for (int64_t j = 0; j < p.n; j++) {
      const int64_t at = p.first + j, b = at / (p.OX * p.OY);
      const int64_t from = b * p.picture + at / p.OX % p.OY * p.row + at % p.OX;
      for (int64_t i = 0; i < p.k; i++)
        check_near(t, OUT(0), (j / line * p.k + i) * line + j % line, get(t, IN(0), taps[i] + from), 0, 0);
    }
    const unsigned char *behind = (unsigned char *)OUT(0) + (end + line) * (int64_t)sq_dtype_size(t);
    check(*behind == CANARY, "case %d writes more than a line behind its panels", mode);
  }
}
