/* wire.c: element types of files. Elements are gathered a block at a time into native order, then
 * converted. */
#include "base/wire.h"

#include "base/limits.h"

#include <inttypes.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are written as memory lies");

static const struct {
  const char *name;
  int size;
  sq_dtype dtype;
} types[SQ_WIRES] = {
    [SQ_WIRE_BOOL] = {"bool", 1, SQ_BOOL},    [SQ_WIRE_U8] = {"uint8", 1, SQ_U8},
    [SQ_WIRE_I8] = {"int8", 1, SQ_I64},       [SQ_WIRE_U16] = {"uint16", 2, SQ_I64},
    [SQ_WIRE_I16] = {"int16", 2, SQ_I64},     [SQ_WIRE_U32] = {"uint32", 4, SQ_I64},
    [SQ_WIRE_I32] = {"int32", 4, SQ_I64},     [SQ_WIRE_U64] = {"uint64", 8, SQ_I64},
    [SQ_WIRE_I64] = {"int64", 8, SQ_I64},     [SQ_WIRE_F16] = {"float16", 2, SQ_F32},
    [SQ_WIRE_BF16] = {"bfloat16", 2, SQ_F32}, [SQ_WIRE_F32] = {"float32", 4, SQ_F32},
    [SQ_WIRE_F64] = {"float64", 8, SQ_F64},
};

int64_t sq_wire_size(sq_wire type) { return types[type].size; }
const char *sq_wire_name(sq_wire type) { return types[type].name; }
sq_dtype sq_wire_dtype(sq_wire type) { return types[type].dtype; }

sq_wire sq_dtype_wire(sq_dtype dtype) {
  static const sq_wire wires[SQ_DTYPES] = {[SQ_F32] = SQ_WIRE_F32,
                                           [SQ_F64] = SQ_WIRE_F64,
                                           [SQ_I64] = SQ_WIRE_I64,
                                           [SQ_U8] = SQ_WIRE_U8,
                                           [SQ_BOOL] = SQ_WIRE_BOOL};
  return wires[dtype];
}

static bool is_real(sq_wire type) { return type >= SQ_WIRE_F16; }

/* --- gathering ------------------------------------------------------------------------------ */

/* Walks the elements in row-major order, wherever they lie. */
typedef struct walk {
  const sq_array *a;
  int64_t at; /* elements from the start of data */
  int64_t index[SQ_MAX_DIMS], stride[SQ_MAX_DIMS];
} walk;

static void walk_start(walk *w, const sq_array *a) {
  *w = (walk){.a = a};
  sq_shape_strides(a->ndim, a->shape, w->stride);
  int64_t step = 1;
  for (int i = 0; a->fortran && i < a->ndim; i++) {
    w->stride[i] = step;
    step *= a->shape[i];
  }
}

static void walk_next(walk *w) {
  for (int i = w->a->ndim - 1; i >= 0; i--) {
    w->at += w->stride[i];
    if (++w->index[i] < w->a->shape[i]) return;
    w->at -= w->stride[i] * w->a->shape[i];
    w->index[i] = 0;
  }
}

static void gather_elements(walk *w, int64_t from, int64_t n, uint8_t *raw) {
  const sq_array *a = w->a;
  size_t size = (size_t)types[a->type].size;
  if (!a->fortran) memcpy(raw, a->data + (size_t)from * size, (size_t)n * size);
  for (int64_t i = 0; a->fortran && i < n; i++, walk_next(w))
    memcpy(raw + (size_t)i * size, a->data + (size_t)w->at * size, size);
  for (int64_t i = 0; a->big_endian && i < n; i++) {
    uint8_t *e = raw + (size_t)i * size;
    for (size_t k = 0; k < size / 2; k++) {
      uint8_t kept = e[k];
      e[k] = e[size - 1 - k];
      e[size - 1 - k] = kept;
    }
  }
}

/* --- decoding: a block to int64 or to double, both exact ------------------------------------ */

static float half_value(uint16_t h) {
  uint32_t sign = (uint32_t)(h >> 15) << 31, power = h >> 10 & 31, part = h & 1023, bits;
  if (power == 0) return (sign ? -1.0f : 1.0f) * (float)part * 0x1p-24f;
  bits = sign | (power == 31 ? 255u : power + 112) << 23 | part << 13;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static float bfloat_value(uint16_t b) {
  uint32_t bits = (uint32_t)b << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

#define DECODE(T, value)                               \
  for (int64_t i = 0; i < n; i++) {                    \
    T v;                                               \
    memcpy(&v, raw + i * (int64_t)sizeof v, sizeof v); \
    out[i] = (value);                                  \
  }                                                    \
  break

static void decode_real(sq_wire type, int64_t n, const uint8_t *raw, double *out) {
  switch (type) {
    case SQ_WIRE_F16:
      DECODE(uint16_t, (double)half_value(v));
    case SQ_WIRE_BF16:
      DECODE(uint16_t, (double)bfloat_value(v));
    case SQ_WIRE_F32:
      DECODE(float, (double)v);
    default:
      DECODE(double, v);
  }
}

static void decode_whole(sq_wire type, int64_t n, const uint8_t *raw, int64_t *out) {
  switch (type) {
    case SQ_WIRE_I8:
      DECODE(int8_t, v);
    case SQ_WIRE_U16:
      DECODE(uint16_t, v);
    case SQ_WIRE_I16:
      DECODE(int16_t, v);
    case SQ_WIRE_U32:
      DECODE(uint32_t, v);
    case SQ_WIRE_I32:
      DECODE(int32_t, v);
    case SQ_WIRE_U64:
    case SQ_WIRE_I64:
      DECODE(int64_t, v);
    default:
      DECODE(uint8_t, v);
  }
}

static sq_status check_whole(sq_wire type, int64_t from, int64_t n, const int64_t *v) {
  for (int64_t i = 0; i < n; i++) {
    if (type == SQ_WIRE_BOOL && v[i] > 1)
      return sq_fail(SQ_EFORMAT, "bool element %" PRId64 " is %" PRId64 ": 0 or 1 are", from + i,
                     v[i]);
    if (type == SQ_WIRE_U64 && v[i] < 0)
      return sq_fail(SQ_EFORMAT, "uint64 element %" PRId64 " is %" PRIu64 ", more than int64 holds",
                     from + i, (uint64_t)v[i]);
  }
  return SQ_OK;
}

/* --- encoding ------------------------------------------------------------------------------- */

#define ENCODE(T)                                                 \
  for (int64_t i = 0; i < n; i++) ((T *)out)[from + i] = (T)v[i]; \
  break

static void encode_real(sq_dtype dtype, int64_t from, int64_t n, const double *v, void *out) {
  switch (dtype) {
    case SQ_F32:
      ENCODE(float);
    default:
      ENCODE(double);
  }
}

static void encode_whole(sq_dtype dtype, int64_t from, int64_t n, const int64_t *v, void *out) {
  switch (dtype) {
    case SQ_F32:
      ENCODE(float);
    case SQ_F64:
      ENCODE(double);
    case SQ_I64:
      ENCODE(int64_t);
    default:
      ENCODE(uint8_t);
  }
}

static sq_status check_conversion(sq_wire type, sq_dtype dtype) {
  if (dtype == types[type].dtype || sq_is_float(dtype)) return SQ_OK;
  if (dtype == SQ_I64 && !is_real(type)) return SQ_OK;
  return sq_fail(SQ_ETYPE, "%s in a file cannot be read as %s", types[type].name,
                 sq_dtype_name(dtype));
}

sq_status sq_array_read(const sq_array *a, sq_dtype dtype, void *out) {
  SQ_TRY(check_conversion(a->type, dtype));
  bool plain = !a->big_endian && !a->fortran && a->type != SQ_WIRE_BOOL;
  if (plain && sq_dtype_wire(dtype) == a->type) {
    if (a->numel > 0) memcpy(out, a->data, (size_t)a->numel * (size_t)types[a->type].size);
    return SQ_OK;
  }
  walk w;
  walk_start(&w, a);
  uint8_t raw[SQ_WIRE_BLOCK * 8];
  double real[SQ_WIRE_BLOCK];
  int64_t whole[SQ_WIRE_BLOCK];
  for (int64_t from = 0; from < a->numel; from += SQ_WIRE_BLOCK) {
    int64_t n = a->numel - from < SQ_WIRE_BLOCK ? a->numel - from : SQ_WIRE_BLOCK;
    gather_elements(&w, from, n, raw);
    if (is_real(a->type)) {
      decode_real(a->type, n, raw, real);
      encode_real(dtype, from, n, real, out);
    } else {
      decode_whole(a->type, n, raw, whole);
      SQ_TRY(check_whole(a->type, from, n, whole));
      encode_whole(dtype, from, n, whole, out);
    }
  }
  return SQ_OK;
}
