/* elem_run_tmpl.h: strides for elementwise kernels. A core computes n contiguous elements; here
 * operands with another stride pass through blocks on the stack, so that each kernel is written,
 * and vectorised, once. */

#ifndef RUN_ELEM

typedef void elem_core(int64_t n, const void *const *in, void *out, const double *p);

/* The sq_elem_fn S(name), from the core S(core_name). */
#define RUN_ELEM(name, inputs, out_size)                                                     \
  static void S(name)(int64_t n, const void *const *in, const int64_t *in_stride, void *out, \
                      int64_t out_stride, const double *p) {                                 \
    S(run)(S(core_##name), inputs, out_size, n, in, in_stride, out, out_stride, p);          \
  }

/* The core of a kernel from one expression of a, b, c, d (the inputs) and p0, p1 (the numbers). */
/* `prep` declares what is the same for all elements. */
#define CORE(R, name, prep, load, expr)                                                           \
  static void S(core_##name)(int64_t n, const void *const *in, void *out, const double *p) {      \
    R *y = out;                                                                                   \
    (void)p;                                                                                      \
    prep load##_POINTERS SIMD for (int64_t i = 0; i < n; i++) { load##_VALUES y[i] = (R)(expr); } \
  }
#define LOAD1_POINTERS const T *x0 = in[0];
#define LOAD2_POINTERS LOAD1_POINTERS const T *x1 = in[1];
#define LOAD3_POINTERS LOAD2_POINTERS const T *x2 = in[2];
#define LOAD4_POINTERS LOAD3_POINTERS const T *x3 = in[3];
#define LOAD1_VALUES const T a = x0[i];
#define LOAD2_VALUES LOAD1_VALUES const T b = x1[i];
#define LOAD3_VALUES LOAD2_VALUES const T c = x2[i];
#define LOAD4_VALUES LOAD3_VALUES const T d = x3[i];
#define P0 const T p0 = (T)p[0];
#define P1 P0 const T p1 = (T)p[1];
#define NONE

#define CORE1(name, expr) CORE(T, name, NONE, LOAD1, expr)
#define CORE2(name, expr) CORE(T, name, NONE, LOAD2, expr)
#define CORE3(name, expr) CORE(T, name, NONE, LOAD3, expr)
#define CORE4(name, expr) CORE(T, name, NONE, LOAD4, expr)
#define CORE1P(name, prep, expr) CORE(T, name, prep, LOAD1, expr)
#define CORE2P(name, prep, expr) CORE(T, name, prep, LOAD2, expr)
#define CORE3P(name, prep, expr) CORE(T, name, prep, LOAD3, expr)
#define TEST1(name, expr) CORE(uint8_t, name, NONE, LOAD1, expr)
#define TEST2(name, expr) CORE(uint8_t, name, NONE, LOAD2, expr)
#endif

static void S(gather)(int64_t n, const T *x, int64_t stride, T *y) {
  for (int64_t i = 0; i < n; i++) y[i] = x[i * stride];
}

static void S(scatter)(int64_t n, const void *block, size_t size, void *out, int64_t stride) {
  if (size == 1) {
    for (int64_t i = 0; i < n; i++) ((uint8_t *)out)[i * stride] = ((const uint8_t *)block)[i];
  } else {
    for (int64_t i = 0; i < n; i++) ((T *)out)[i * stride] = ((const T *)block)[i];
  }
}

/* All of a block is read before any of it is written: out may be an input. */
static void S(run_blocks)(elem_core *core, int inputs, size_t out_size, int64_t n,
                          const void *const *in, const int64_t *in_stride, void *out,
                          int64_t out_stride, const double *p) {
  T block[4][SQ_ELEM_BLOCK], result[SQ_ELEM_BLOCK];
  const void *from[4];
  for (int k = 0; k < inputs; k++) {
    from[k] = block[k];
    if (in_stride[k] == 0) S(gather)(n < SQ_ELEM_BLOCK ? n : SQ_ELEM_BLOCK, in[k], 0, block[k]);
  }
  for (int64_t i = 0; i < n; i += SQ_ELEM_BLOCK) {
    int64_t size = n - i < SQ_ELEM_BLOCK ? n - i : SQ_ELEM_BLOCK;
    for (int k = 0; k < inputs; k++) {
      const T *x = (const T *)in[k] + i * in_stride[k];
      if (in_stride[k] == 1)
        from[k] = x;
      else if (in_stride[k] != 0)
        S(gather)(size, x, in_stride[k], block[k]);
    }
    char *to = (char *)out + i * out_stride * (int64_t)out_size;
    core(size, from, out_stride == 1 ? (void *)to : result, p);
    if (out_stride != 1) S(scatter)(size, result, out_size, to, out_stride);
  }
}

static void S(run)(elem_core *core, int inputs, size_t out_size, int64_t n, const void *const *in,
                   const int64_t *in_stride, void *out, int64_t out_stride, const double *p) {
  bool flat = out_stride == 1;
  for (int k = 0; k < inputs; k++) flat = flat && in_stride[k] == 1;
  if (flat || n == 1) {
    core(n, in, out, p);
  } else {
    S(run_blocks)(core, inputs, out_size, n, in, in_stride, out, out_stride, p);
  }
}
