/* rng.h: mt19937, drawing as PyTorch's CPU generator draws. */
#ifndef SQ_BASE_RNG_H
#define SQ_BASE_RNG_H

#include "base/shape.h"

typedef struct sq_rng {
  uint32_t state[624];
  int32_t left, next; /* as in PyTorch's mt19937 engine */
  uint64_t seed;
  bool has_float_normal,
      has_double_normal; /* the second half of a Box-Muller pair, kept for the next call */
  float float_normal;
  double double_normal;
} sq_rng;

/* torch.manual_seed(seed): the low 32 bits seed the engine. [any thread, one at a time] */
void sq_rng_seed(sq_rng *g, uint64_t seed);

/* The generator that is used where none is given; PyTorch's default seed until it is seeded.
 * [borrow | Lua thread] */
sq_rng *sq_rng_default(void);

/* 64 bits: two draws of 32, the first one high. */
uint64_t sq_rng_u64(sq_rng *g);

/* x[i] in [lo, hi): torch's uniform_ of that dtype (SQ_F32: 24 bits of one draw; SQ_F64: 53 bits of
 * two), n contiguous elements. Equal to PyTorch's bit for bit. */
void sq_rng_uniform(sq_rng *g, sq_dtype dtype, int64_t n, double lo, double hi, void *x);

/* x[i] ~ N(mean, std): torch's normal_ (Box-Muller; from 16 elements on in blocks of 16). Equal to
 * what PyTorch gives on a processor with AVX2 bit for bit. */
void sq_rng_normal(sq_rng *g, sq_dtype dtype, int64_t n, double mean, double std, void *x);

/* The same one by one at any n: torch's normal_ of what is not contiguous. */
void sq_rng_normal_each(sq_rng *g, sq_dtype dtype, int64_t n, double mean, double std, void *x);

/* x[i] in lo..hi-1: torch.randint's stream: one 32-bit draw each, two from a range of 2^28 on.
 * lo < hi. */
void sq_rng_randint(sq_rng *g, int64_t lo, int64_t hi, int64_t n, int64_t *x);

/* One integer from lo..hi, each as likely as any other: 64 bits a try. lo <= hi. */
int64_t sq_rng_between(sq_rng *g, int64_t lo, int64_t hi);

/* A permutation of 0..n-1: torch.randperm's. */
void sq_rng_randperm(sq_rng *g, int64_t n, int64_t *x);

/* x[i] = 1 with probability p, else 0: torch's bernoulli_(p) on a float tensor. */
void sq_rng_bernoulli(sq_rng *g, sq_dtype dtype, double p, int64_t n, void *x);

/* The generator as bytes for a checkpoint, and back. `bytes` holds SQ_RNG_BYTES.
 * [fails: format, when the bytes are no generator | any thread] */
enum { SQ_RNG_BYTES = 2544 };
void sq_rng_save(const sq_rng *g, uint8_t *bytes);
SQ_CHECKED sq_status sq_rng_load(sq_rng *g, const uint8_t *bytes);

#endif
