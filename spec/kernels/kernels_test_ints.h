/* kernels_test_ints.h: tests of the int64, uint8 and bool kernels and of the casts; a part of
 * kernels_test.c. */

/* What a kernel gives for integers, in 128 bits before it wraps. */
typedef __int128 wide;
typedef wide int_fn(wide a, wide b);
static wide i_copy(wide a, wide b) { return (void)b, a; }
static wide i_zero(wide a, wide b) { return (void)a, (void)b, 0; }
static wide i_one(wide a, wide b) { return (void)a, (void)b, 1; }
static wide i_neg(wide a, wide b) { return (void)b, -a; }
static wide i_add(wide a, wide b) { return a + b; }
static wide i_sub(wide a, wide b) { return a - b; }
static wide i_mul(wide a, wide b) { return a * b; }
static wide i_add3(wide a, wide b) { return a + 3 * b; }
static wide i_scale3(wide a, wide b) { return (void)b, 3 * a; }
static wide i_square(wide a, wide b) { return (void)b, a * a; }
static wide i_abs(wide a, wide b) { return (void)b, a < 0 ? -a : a; }
static wide i_sign(wide a, wide b) { return (void)b, (a > 0) - (a < 0); }
static wide i_max(wide a, wide b) { return a > b ? a : b; }
static wide i_min(wide a, wide b) { return a < b ? a : b; }
static wide i_clamp(wide a, wide b) { return (void)b, a < 3 ? 3 : a > 5 ? 5 : a; }
static wide i_relu(wide a, wide b) { return (void)b, a < 0 ? 0 : a; }
static wide i_or(wide a, wide b) { return a || b; }
static wide i_and(wide a, wide b) { return a && b; }
static wide i_eq(wide a, wide b) { return a == b; }
static wide i_ne(wide a, wide b) { return a != b; }
static wide i_lt(wide a, wide b) { return a < b; }
static wide i_le(wide a, wide b) { return a <= b; }
static wide i_gt(wide a, wide b) { return a > b; }
static wide i_ge(wide a, wide b) { return a >= b; }
static wide i_not(wide a, wide b) { return (void)b, a == 0; }
static wide i_set(wide a, wide b) { return (void)b, a != 0; }

static wide i_mod(wide a, wide b) {
  const wide m = b == 0 ? 0 : a % b;
  return m != 0 && (m < 0) != (b < 0) ? m + b : m;
}
static wide i_fmod(wide a, wide b) { return b == 0 ? 0 : a % b; }
static wide i_floor(wide a, wide b) { return b == 0 ? 0 : (a - i_mod(a, b)) / b; }
static wide i_trunc(wide a, wide b) { return b == 0 ? 0 : a / b; }
static wide i_bit_and(wide a, wide b) { return a & b; }
static wide i_bit_or(wide a, wide b) { return a | b; }
static wide i_bit_xor(wide a, wide b) { return a ^ b; }
static wide i_bit_not(wide a, wide b) { return (void)b, ~a; }
static wide i_flip(wide a, wide b) { return (void)b, !a; }
static wide i_left64(wide a, wide b) { return b < 0 || b > 63 ? 0 : (wide)((uint64_t)a << b); }
static wide i_right64(wide a, wide b) { return a >> (b < 0 || b > 63 ? 63 : b); }
static wide i_left8(wide a, wide b) { return b > 7 ? 0 : a << b; }
static wide i_right8(wide a, wide b) { return b > 7 ? 0 : a >> b; }

/* a^b, multiplied out and wrapped as it goes; PyTorch's answer for b < 0. */
static wide i_pow(wide a, wide b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
  if (b > 1000) b = 1000 + b % 2; /* even factors are long 0, odd ones are not tried */
  uint64_t y = 1;
  for (wide i = 0; i < b; i++) y *= (uint64_t)a;
  return (int64_t)y;
}
static wide i_cube(wide a, wide b) { return (void)b, i_pow(a, 3); }

#define BOTH (1 << SQ_I64 | 1 << SQ_U8)
#define ALL (BOTH | 1 << SQ_BOOL)
static const struct {
  sq_elem elem;
  int dtypes;
  int_fn *f;
} int_elems[] = {
    {SQ_ELEM_copy, ALL, i_copy},
    {SQ_ELEM_zero, ALL, i_zero},
    {SQ_ELEM_neg, BOTH, i_neg},
    {SQ_ELEM_add, BOTH, i_add},
    {SQ_ELEM_sub, BOTH, i_sub},
    {SQ_ELEM_mul, BOTH, i_mul},
    {SQ_ELEM_add, 1 << SQ_BOOL, i_or},
    {SQ_ELEM_mul, 1 << SQ_BOOL, i_and},
    {SQ_ELEM_relu, BOTH, i_relu},
    {SQ_ELEM_add_scaled, BOTH, i_add3},
    {SQ_ELEM_scale, BOTH, i_scale3},
    {SQ_ELEM_square, BOTH, i_square},
    {SQ_ELEM_abs, BOTH, i_abs},
    {SQ_ELEM_sign, ALL, i_sign},
    {SQ_ELEM_floor, BOTH, i_copy},
    {SQ_ELEM_ceil, BOTH, i_copy},
    {SQ_ELEM_round, BOTH, i_copy},
    {SQ_ELEM_maximum, ALL, i_max},
    {SQ_ELEM_minimum, ALL, i_min},
    {SQ_ELEM_clamp, BOTH, i_clamp},
    {SQ_ELEM_pow, BOTH, i_pow},
    {SQ_ELEM_pow_scalar, BOTH, i_cube},
    {SQ_ELEM_remainder, BOTH, i_mod},
    {SQ_ELEM_fmod, BOTH, i_fmod},
    {SQ_ELEM_div_floor, BOTH, i_floor},
    {SQ_ELEM_div_trunc, BOTH, i_trunc},
    {SQ_ELEM_bit_and, ALL, i_bit_and},
    {SQ_ELEM_bit_or, ALL, i_bit_or},
    {SQ_ELEM_bit_xor, ALL, i_bit_xor},
    {SQ_ELEM_bit_not, BOTH, i_bit_not},
    {SQ_ELEM_bit_not, 1 << SQ_BOOL, i_flip},
    {SQ_ELEM_shift_left, 1 << SQ_I64, i_left64},
    {SQ_ELEM_shift_right, 1 << SQ_I64, i_right64},
    {SQ_ELEM_shift_left, 1 << SQ_U8, i_left8},
    {SQ_ELEM_shift_right, 1 << SQ_U8, i_right8},
    {SQ_ELEM_eq, ALL, i_eq},
    {SQ_ELEM_ne, ALL, i_ne},
    {SQ_ELEM_lt, ALL, i_lt},
    {SQ_ELEM_le, ALL, i_le},
    {SQ_ELEM_gt, ALL, i_gt},
    {SQ_ELEM_ge, ALL, i_ge},
    {SQ_ELEM_isnan, ALL, i_zero},
    {SQ_ELEM_isinf, ALL, i_zero},
    {SQ_ELEM_isfinite, ALL, i_one},
    {SQ_ELEM_logical_not, ALL, i_not},
    {SQ_ELEM_nonzero_mask, ALL, i_set},
};

static int64_t int_at(sq_dtype t, const void *x, int64_t i) {
  return t == SQ_I64 ? ((const int64_t *)x)[i] : ((const uint8_t *)x)[i];
}

static int64_t wrap(sq_dtype t, wide v) { return t == SQ_I64 ? (int64_t)(uint64_t)v : (uint8_t)v; }

static void fill_ints(sq_dtype t, void *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const double v = t == SQ_BOOL ? uniform(0, 2) : t == SQ_U8 ? uniform(0, 256) : uniform(-9, 10);
    set(t, x, i, floor(v));
    if (t == SQ_I64 && i % 11 == 0) ((int64_t *)x)[i] = INT64_MIN + i % 2;
    if (t == SQ_I64 && i % 11 == 5) ((int64_t *)x)[i] = INT64_MAX;
  }
}

static void test_int_elem(const sq_kern *kern, sq_dtype t, sq_elem e, int_fn *f) {
  const double p[2] = {3, 5};
  const sq_dtype out = sq_elem_is_test(e) ? SQ_BOOL : t;
  for (int64_t mode = 0; mode < 18; mode++) {
    const int64_t stride[2] = {mode % 3, mode / 3 % 3}, os = 1 + mode / 9, n = mode == 17 ? 0 : 601;
    const void *in[2] = {IN(0), IN(1)};
    kern->elem[e](n, in, stride, OUT(0), os, p);
    for (int64_t i = 0; i < n; i++) {
      const int64_t a = int_at(t, IN(0), i * stride[0]), b = int_at(t, IN(1), i * stride[1]);
      if (e == SQ_ELEM_pow && b > 1000 && a % 2) continue;
      const int64_t got = int_at(out, OUT(0), i * os), want = wrap(out, f(a, b));
      check(got == want, "(%" PRId64 ", %" PRId64 ") is %" PRId64 ", not %" PRId64, a, b, got,
            want);
    }
  }
}

/* A table holds what the list says, and NULL for the rest. */
static void test_int_elems(const sq_kern *kern, sq_dtype t) {
  fill_ints(t, IN(0), 1300);
  fill_ints(t, IN(1), 1300);
  for (sq_elem e = 0; e < SQ_ELEMS; e++) {
    int_fn *f = NULL;
    for (size_t i = 0; i < sizeof int_elems / sizeof *int_elems; i++) {
      if (int_elems[i].elem == e && int_elems[i].dtypes >> t & 1) f = int_elems[i].f;
    }
    snprintf(context, sizeof context, "%s %s", sq_elem_name(e), sq_dtype_name(t));
    check((kern->elem[e] != NULL) == (f != NULL), "is %s", f ? "missing" : "there, without a test");
    if (f && kern->elem[e]) test_int_elem(kern, t, e, f);
  }
}

/* Sums are int64 whatever t is; x: the same numbers as int64. */
static void test_int_sums(const sq_kern *kern, sq_dtype t) {
  EACH_EXTENT(extents) {
    const int64_t n = e->outer * e->R * e->inner;
    fill_ints(t, IN(0), n);
    sq_kern_cast(n, t, IN(0), 1, SQ_I64, IN(1), 1);
    const int64_t *x = IN(1), *sum = OUT(0), *prod = OUT(1), *run = OUT(2), *back = OUT(3);
    kern->sum(e->outer, e->R, e->inner, e->inner, IN(0), OUT(0));
    kern->prod(e->outer, e->R, e->inner, IN(0), OUT(1));
    kern->cumsum(e->outer, e->R, e->inner, false, IN(0), OUT(2));
    kern->cumsum(e->outer, e->R, e->inner, true, IN(0), OUT(3));
    EACH_COLUMN {
      uint64_t s = 0, p = 1, rest = 0;
      for (int64_t r = 0; r < e->R; r++) {
        const int64_t at = FIRST + r * e->inner, mirror = FIRST + (e->R - 1 - r) * e->inner;
        s += (uint64_t)x[at], p *= (uint64_t)x[at], rest += (uint64_t)x[mirror];
        check((uint64_t)run[at] == s && (uint64_t)back[mirror] == rest, "running sum at %" PRId64,
              at);
      }
      check((uint64_t)sum[to] == s, "sum %" PRId64, to);
      check((uint64_t)prod[to] == p, "product %" PRId64, to);
    }
  }
}

static void test_ints(void) {
  for (sq_dtype t = SQ_I64; t < SQ_DTYPES; t++) {
    const sq_kern *kern = sq_kern_of(t);
    test_int_elems(kern, t);
    snprintf(context, sizeof context, "max, min, where, sums of %s", sq_dtype_name(t));
    EACH_EXTENT(extents) {
      fill_ints(t, IN(0), e->outer * e->R * e->inner);
      if (t == SQ_I64) { /* long double holds them all */
        ((int64_t *)IN(0))[0] = INT64_MAX;
      }
      extreme_extent(kern->max, true, t, e);
      extreme_extent(kern->min, false, t, e);
    }
    test_where(kern, t);
    if (kern->add_at) test_add_at(kern, t);
    check((kern->add_at != NULL) == (t != SQ_BOOL), "add_at is missing, or there for bool");
    test_int_sums(kern, t);
  }
}

/* --- casts ---------------------------------------------------------------------------------- */

static real cast_want(sq_dtype from, sq_dtype to, real x) {
  if (to == SQ_BOOL) return x != 0;
  if (sq_is_float(to)) return round_to(to, x);
  if (!sq_is_float(from)) return (real)wrap(to, (wide)x);
  if (isnan(x)) return 0;
  const real most = to == SQ_U8 ? 255 : INT64_MAX, least = to == SQ_U8 ? 0 : INT64_MIN;
  return x <= least ? least : x >= most ? most : truncl(x);
}

static void test_cast(void) {
  static const double odd[] = {NAN, INFINITY, -INFINITY, 1e30,    -1e30, 255.9,
                               256, -0.9,     0x1p63,    -0x1p63, 1e-40};
  for (sq_dtype from = 0; from < SQ_DTYPES; from++) {
    if (sq_is_float(from))
      fill(from, IN(0), 700, -300, 300);
    else
      fill_ints(from, IN(0), 700);
    for (int i = 0; sq_is_float(from) && i < 11; i++) set(from, IN(0), 3 * i, odd[i]);
    for (sq_dtype to = 0; to < SQ_DTYPES; to++) {
      snprintf(context, sizeof context, "cast %s to %s", sq_dtype_name(from), sq_dtype_name(to));
      for (int64_t mode = 0; mode < 6; mode++) {
        const int64_t xs = mode % 3, ys = 1 + mode / 3;
        sq_kern_cast(333, from, IN(0), xs, to, OUT(0), ys);
        for (int64_t i = 0; i < 333; i++) {
          const real want = cast_want(from, to, get(from, IN(0), i * xs)),
                     got = get(to, OUT(0), i * ys);
          check(got == want || (isnan(got) && isnan(want)), "%.20Lg is %.20Lg, not %.20Lg",
                get(from, IN(0), i * xs), got, want);
        }
      }
    }
  }
}
