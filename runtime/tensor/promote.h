/* promote.h: the dtype in which tensors and numbers of several dtypes meet: torch.result_type. */
#ifndef SQ_TENSOR_PROMOTE_H
#define SQ_TENSOR_PROMOTE_H

#include "tensor/tensor.h"

/* Who takes part, weightiest first. A lighter one counts only where it is of a higher kind (bool,
 * whole, float) than all weightier ones: int64 + 0.5 is float32, float32 + a float64 of no dims is
 * float32. */
enum { SQ_WITH_DIMS, SQ_WITHOUT_DIMS, SQ_NUMBERS, SQ_WEIGHTS };

/* The greatest dtype of each weight so far. All zero at first. */
typedef struct sq_promotion {
  bool any[SQ_WEIGHTS];
  sq_dtype most[SQ_WEIGHTS];
} sq_promotion;

/* The later of two in bool, uint8, int64, float32, float64. [any thread] */
sq_dtype sq_promote(sq_dtype a, sq_dtype b);

/* Another one takes part; a whole number counts as int64, any other as float32. [any thread] */
void sq_promote_tensor(sq_promotion *p, const sq_tensor *t);
void sq_promote_number(sq_promotion *p, sq_number x);

/* The dtype all are taken in; float32 where none took part. [any thread] */
sq_dtype sq_promoted(const sq_promotion *p);

/* True when a result of one dtype may be written into a tensor of another in place: not a float
 * into whole numbers, nothing but bool into bool. [any thread] */
bool sq_promotes_into(sq_dtype result, sq_dtype to);

#endif
