/* signature.h: one string that says what a function takes: checks, help and editor types all come
 * from it.
 *
 *   "(x: Tensor, dim: dims? = nil, keepdim: bool = false) -> Tensor"
 *
 * A parameter is `name: type`, with `?` when nil is allowed and `= value` when it may be left out.
 * Types: Tensor  Tensor|number  Tensor[]  number  int  bool  string  "mean"|"sum" (one of)  dtype
 * Generator dim (a position of a dim)  dims (one or a list)  shape (sizes, as arguments or a list)
 * pair (int or two) position (of an element)  ints (a list)  numbers (a list)  function  table any,
 * and any class name.
 */
#ifndef SQ_SIGNATURE_SIGNATURE_H
#define SQ_SIGNATURE_SIGNATURE_H

#include "base/rng.h"

struct sq_tensor;

typedef enum sq_arg_kind {
  SQ_ARG_NIL,
  SQ_ARG_TENSOR,
  SQ_ARG_OPERAND, /* Tensor|number: an argument holds SQ_ARG_TENSOR or SQ_ARG_NUMBER */
  SQ_ARG_TENSORS,
  SQ_ARG_NUMBER,
  SQ_ARG_INT,
  SQ_ARG_BOOL,
  SQ_ARG_STRING,
  SQ_ARG_CHOICE, /* a string out of a list; an argument holds SQ_ARG_STRING */
  SQ_ARG_DTYPE,
  SQ_ARG_GENERATOR,
  SQ_ARG_DIM,          /* from 0, or negative from the end */
  SQ_ARG_DIMS,         /* ints of that kind */
  SQ_ARG_SHAPE,        /* ints */
  SQ_ARG_PAIR,         /* two ints */
  SQ_ARG_LONE,         /* an int, which may stand in a list: an argument holds SQ_ARG_INT */
  SQ_ARG_PADDING,      /* a pair, or "same" or "valid": SQ_ARG_PAIR, "same" as SQ_ARG_STRING */
  SQ_ARG_LONE_PADDING, /* the same with one int: SQ_ARG_INT or SQ_ARG_STRING */
  SQ_ARG_POSITION,     /* from 0, or negative from the end */
  SQ_ARG_INTS,
  SQ_ARG_NUMBERS,
  SQ_ARG_FUNCTION,
  SQ_ARG_TABLE,
  SQ_ARG_ANY,
  SQ_ARG_OBJECT /* an instance of the class named by the type */
} sq_arg_kind;

/* One argument; everything it points to is borrowed for the call. */
typedef struct sq_arg {
  sq_arg_kind kind;
  union {
    struct sq_tensor *tensor;
    struct {
      int n;
      struct sq_tensor *const *v;
    } tensors;
    double number;   /* NUMBER */
    sq_number value; /* the same with what was written: value.real is number */
    int64_t integer; /* INT, DIM, POSITION */
    bool flag;
    const char *string;
    sq_dtype dtype;
    sq_rng *generator;
    struct {
      int n;
      const int64_t *v;
      bool list; /* it was given as a list, not as numbers */
    } ints;      /* DIMS, SHAPE, PAIR, INTS */
    struct {
      int n;
      const double *v;
    } numbers;
    void *object;
    int stack; /* FUNCTION, TABLE, ANY: a place on the caller's stack */
  };
} sq_arg;

typedef struct sq_param {
  const char *name;
  sq_arg_kind kind;
  bool optional;    /* nil is allowed */
  bool has_default; /* may be left out */
  sq_arg fallback;  /* its value then */
  const char *type; /* as written, without ?; for a choice "mean|sum" without quotes */
} sq_param;

typedef struct sq_signature {
  int params, returns;
  sq_param *param;
  const char *text;      /* the whole string */
  const char *result[4]; /* types after ->, as written */
} sq_signature;

enum { SQ_MAX_PARAMS = 16 };

/* The signature of that text, read at its first use and kept, with a copy of the text, as long as
 * the process lives: the same text gives the same signature. [borrow | fails: format, at which
 * letter; nomem | Lua thread] */
SQ_CHECKED sq_status sq_signature_of(const char *text, const sq_signature **out);

/* The kind of the first parameter, SQ_ARG_NIL without one; nothing else of the text is read.
 * [any thread] */
sq_arg_kind sq_signature_first(const char *text);

/* full[i] = argument i, or its default where it is nil or left out; `full` has room for the
 * signature's parameters, and may be `args`. A whole number stands for a number too. `what` begins
 * the errors ("nn.Linear"). [fails: arg, one is missing or no choice, or there are too many; type,
 * one of another kind | any thread] */
SQ_CHECKED sq_status sq_signature_complete(const sq_signature *s, const char *what, int nargs,
                                           const sq_arg *args, sq_arg *full);

/* Complete arguments, one a parameter of the signature, which names them. */
typedef struct sq_args {
  const sq_signature *signature;
  const sq_arg *arg;
} sq_args;

/* The argument of that name; one of kind SQ_ARG_NIL where the signature has no such parameter.
 * [borrow | any thread] */
const sq_arg *sq_args_get(const sq_args *a, const char *name);

/* The number of the parameter of that name, -1 without one. "input", PyTorch's name for what a
 * method is called on, finds a first parameter that is called x. */
int sq_signature_find(const sq_signature *s, const char *name, size_t length);

/* The word of a NULL-terminated list that is nearest to a misspelt one, NULL where none is near: at
 * most a third of its letters differ, or one of the two begins with the other. [borrow | any
 * thread] */
const char *sq_nearest(const char *word, const char *const *words);

/* "[nn] no layer is called 'Liner': did you mean 'Linear'?", where `none` is "[nn] no layer" and
 * names are those there are, NULL-terminated. [fails: arg, always | Lua thread] */
SQ_CHECKED sq_status sq_fail_unknown(const char *none, const char *name, const char *const *names);

/* Arguments for calls in C. SQ_T reads x twice. */
#define SQ_T(x) ((sq_arg){.kind = (x) ? SQ_ARG_TENSOR : SQ_ARG_NIL, .tensor = (x)})
#define SQ_N(x) ((sq_arg){.kind = SQ_ARG_NUMBER, .value = sq_real(x)})
#define SQ_V(x) ((sq_arg){.kind = SQ_ARG_NUMBER, .value = (x)})
#define SQ_I(x) ((sq_arg){.kind = SQ_ARG_INT, .integer = (x)})
#define SQ_B(x) ((sq_arg){.kind = SQ_ARG_BOOL, .flag = (x)})
#define SQ_S(x) ((sq_arg){.kind = SQ_ARG_STRING, .string = (x)})
#define SQ_D(x) ((sq_arg){.kind = SQ_ARG_DIM, .integer = (x)})

#endif
