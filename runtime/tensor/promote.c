/* promote.c: the dtype in which tensors and numbers of several dtypes meet: torch.result_type. */
#include "tensor/promote.h"

/* Place in the order of dtypes. */
static int dtype_rank(sq_dtype dtype) {
  static const int ranks[SQ_DTYPES] = {
      [SQ_BOOL] = 0, [SQ_U8] = 1, [SQ_I64] = 2, [SQ_F32] = 3, [SQ_F64] = 4};
  return ranks[dtype];
}

/* 0 bool, 1 whole, 2 float. */
static int kind_of_dtype(sq_dtype dtype) {
  return dtype == SQ_BOOL ? 0 : sq_is_float(dtype) ? 2 : 1;
}

sq_dtype sq_promote(sq_dtype a, sq_dtype b) { return dtype_rank(a) >= dtype_rank(b) ? a : b; }

static void take_part(sq_promotion *p, int weight, sq_dtype dtype) {
  p->most[weight] = p->any[weight] ? sq_promote(p->most[weight], dtype) : dtype;
  p->any[weight] = true;
}

void sq_promote_tensor(sq_promotion *p, const sq_tensor *t) {
  take_part(p, t->ndim ? SQ_WITH_DIMS : SQ_WITHOUT_DIMS, t->dtype);
}

void sq_promote_number(sq_promotion *p, sq_number x) {
  take_part(p, SQ_NUMBERS, x.is_whole ? SQ_I64 : SQ_F32);
}

sq_dtype sq_promoted(const sq_promotion *p) {
  bool any = false;
  sq_dtype most = SQ_F32;
  for (int w = SQ_WEIGHTS - 1; w >= 0; w--) { /* the lightest first */
    if (!p->any[w]) continue;
    bool outranked = any && kind_of_dtype(most) > kind_of_dtype(p->most[w]);
    if (!outranked) most = p->most[w];
    any = true;
  }
  return most;
}

bool sq_promotes_into(sq_dtype result, sq_dtype to) {
  return kind_of_dtype(result) <= kind_of_dtype(to);
}
