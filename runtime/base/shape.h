/* shape.h: dtypes, and the one place where sizes are multiplied. */
#ifndef SQ_BASE_SHAPE_H
#define SQ_BASE_SHAPE_H

#include "base/status.h"

typedef enum sq_dtype { SQ_F32, SQ_F64, SQ_I64, SQ_U8, SQ_BOOL, SQ_DTYPES } sq_dtype;

/* A number as a script writes it: 2 is whole and exact, 2.0 is not whole. `real` always holds its
 * value, rounded where `whole` has more digits. */
typedef struct sq_number {
  double real;
  int64_t whole;
  bool is_whole;
} sq_number;

/* 2.0 */
static inline sq_number sq_real(double x) { return (sq_number){.real = x}; }

/* 2 */
static inline sq_number sq_whole(int64_t n) { return (sq_number){(double)n, n, true}; }

enum { SQ_MAX_DIMS = 8 };
#define SQ_MAX_NUMEL ((int64_t)1 << 47)

/* Bytes of one element: 4, 8, 8, 1, 1. [any thread] */
size_t sq_dtype_size(sq_dtype dtype);

/* "float32", "float64", "int64", "uint8", "bool". [borrow | any thread] */
const char *sq_dtype_name(sq_dtype dtype);

/* The dtype of that name (also "float", "double", "long").
 * [fails: arg, with the list of names | any thread] */
SQ_CHECKED sq_status sq_dtype_parse(const char *name, sq_dtype *out);

/* True for float32 and float64, which carry gradients. [any thread] */
static inline bool sq_is_float(sq_dtype dtype) { return dtype <= SQ_F64; }

/* out = a b, for counts.
 * [fails: shape, when the product passes 2^63-1 or a factor is negative | any thread] */
SQ_CHECKED sq_status sq_size_mul(int64_t a, int64_t b, int64_t *out);

/* out = the product of shape[0..ndim), 1 for ndim 0. ndim 0..8, every size >= 0, the product at
 * most 2^47. [fails: shape, naming `what` | any thread] */
SQ_CHECKED sq_status sq_shape_numel(const char *what, int ndim, const int64_t *shape, int64_t *out);

/* The shape as Lua users write it: "(32,64)", "()" for ndim 0; cut to fit n bytes. Returns buf.
 * [any thread] */
const char *sq_shape_text(int ndim, const int64_t *shape, char *buf, size_t n);

/* A buffer for sq_shape_text that lives to the end of the enclosing block. */
#define SQ_SHAPE_BUF ((char[128]){0}), 128

/* The shape both broadcast to (NumPy's rule). `what` names the op in the error. `shape` has room
 * for 8. [fails: shape | any thread] */
SQ_CHECKED sq_status sq_shape_broadcast(const char *what, int adim, const int64_t *a, int bdim,
                                        const int64_t *b, int *ndim, int64_t *shape);

/* Row-major strides, in elements, of a contiguous tensor of that shape. [any thread] */
void sq_shape_strides(int ndim, const int64_t *shape, int64_t *stride);

/* True when both have the same number of dims and the same sizes. [any thread] */
bool sq_shape_equal(int adim, const int64_t *a, int bdim, const int64_t *b);

/* Turns a dim that may be negative (-1 is the last) into 0..ndim-1. `what` names the op. A dim
 * written in a script is a position from 1; the error says it that way.
 * [fails: shape | any thread] */
SQ_CHECKED sq_status sq_dim_resolve(const char *what, int64_t dim, int ndim, int *out);

#endif
