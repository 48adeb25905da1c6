/* kern.c: which table a dtype uses on this machine, and the kernels' names. */
#include "kernels/kern.h"

#include "base/parallel.h"
#include "kernels/kern_priv.h"

static const sq_kern *tables[SQ_DTYPES];

const sq_kern *sq_kern_of_isa(sq_isa isa, sq_dtype dtype) {
  if (!sq_isa_supported(isa)) return NULL;
  if (!sq_is_float(dtype)) return sq__kern_int(dtype);
  return isa == SQ_ISA_AVX512 ? sq__kern_avx512(dtype)
         : isa == SQ_ISA_AVX2 ? sq__kern_avx2(dtype)
                              : sq__kern_base(dtype);
}

sq_status sq_kern_init(void) {
  sq_isa isa;
  SQ_TRY(sq_isa_select(&isa));
  for (sq_dtype d = 0; d < SQ_DTYPES; d++) tables[d] = sq_kern_of_isa(isa, d);
  return SQ_OK;
}

sq_status sq_kern_check(void) {
  if (tables[0]) return SQ_OK;
  return sq_fail(SQ_ESTATE, "seqrt has not been started: call sq_init() first");
}

const sq_kern *sq_kern_of(sq_dtype dtype) { return tables[dtype]; }

sq_status sq_panels_bytes(sq_dtype dtype, int64_t k, int64_t n, int64_t *out) {
  int64_t columns = SQ_PANEL_BYTES / (int64_t)sq_dtype_size(dtype);
  SQ_TRY(sq_size_mul(sq_tiles(n, columns), SQ_PANEL_BYTES, out));
  return sq_size_mul(*out, k, out);
}

static const struct {
  const char *name;
  int inputs;
  bool test;
} elems[SQ_ELEMS] = {
#define ELEM(name, inputs) {#name, inputs, false},
#define TEST(name, inputs) {#name, inputs, true},
#define WHOLE(name, inputs) {#name, inputs, false},
#define KERN(name, args)
#include "kernels/kern.def"
#undef ELEM
#undef TEST
#undef WHOLE
#undef KERN
};

const char *sq_elem_name(sq_elem kernel) { return elems[kernel].name; }
bool sq_elem_is_test(sq_elem kernel) { return elems[kernel].test; }
int sq_elem_inputs(sq_elem kernel) { return elems[kernel].inputs; }
