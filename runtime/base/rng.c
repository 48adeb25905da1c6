/* rng.c: mt19937 and the distributions over it, in the order in which PyTorch's CPU generator
 * draws. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

#include "base/normal.h"

enum { N = 624, M = 397 }; /* Matsumoto and Nishimura 1998, MT19937 */

/* PyTorch 1.x and 2.x:
 * aten/src/ATen/core/{MT19937RNGEngine,TransformationHelper,DistributionsHelper}.h define the
 * stream; what is equal to the bit and what to rounding is said in rng.h. */

static const double PI = 3.14159265358979323846;

void sq_rng_seed(sq_rng *g, uint64_t seed) {
  memset(g, 0, sizeof *g);
  g->seed = seed;
  g->state[0] = (uint32_t)seed;
  for (uint32_t i = 1; i < N; i++) {
    uint32_t before = g->state[i - 1];
    g->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
  }
  g->left = 1;
}

static uint32_t twist_words(uint32_t u, uint32_t v) {
  uint32_t mixed = (u & 0x80000000u) | (v & 0x7fffffffu);
  return (mixed >> 1) ^ (-(v & 1u) & 0x9908b0dfu);
}

static void refill_state(sq_rng *g) {
  uint32_t *s = g->state;
  for (int i = 0; i < N - M; i++) s[i] = s[i + M] ^ twist_words(s[i], s[i + 1]);
  for (int i = N - M; i < N - 1; i++) s[i] = s[i + M - N] ^ twist_words(s[i], s[i + 1]);
  s[N - 1] = s[M - 1] ^ twist_words(s[N - 1], s[0]);
  g->left = N;
  g->next = 0;
}

static inline uint32_t draw32(sq_rng *g) {
  if (--g->left == 0) refill_state(g);
  uint32_t y = g->state[g->next++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

static inline uint64_t draw64(sq_rng *g) {
  uint64_t high = draw32(g);
  return high << 32 | draw32(g);
}

uint64_t sq_rng_u64(sq_rng *g) { return draw64(g); }

/* In [0, 1): exact multiples of 2^-24 and 2^-53. */
static inline double unit24(sq_rng *g) { return (double)(draw32(g) & 0xffffffu) * 0x1p-24; }
static inline double unit53(sq_rng *g) {
  return (double)(draw64(g) & (((uint64_t)1 << 53) - 1)) * 0x1p-53;
}

/* fma: PyTorch's builds contract this product and sum, and its float32 draws pass through
 * double. */
void sq_rng_uniform(sq_rng *g, sq_dtype dtype, int64_t n, double lo, double hi, void *x) {
  SQ_ASSERT(sq_is_float(dtype));
  if (dtype == SQ_F32) {
    float *out = x, from = (float)lo, width = (float)hi - from;
    for (int64_t i = 0; i < n; i++) out[i] = (float)fma(unit24(g), (double)width, (double)from);
  } else {
    double *out = x, width = hi - lo;
    for (int64_t i = 0; i < n; i++) out[i] = fma(unit53(g), width, lo);
  }
}

/* One N(0, 1) by Box-Muller in double; the sine half waits for the next call. */
static double normal_pair(sq_rng *g) {
  if (g->has_double_normal) {
    g->has_double_normal = false;
    return g->double_normal;
  }
  double u1 = unit53(g), u2 = unit53(g);
  double r = sqrt(-2 * log1p(-u2)), theta = 2 * PI * u1;
  g->double_normal = r * sin(theta);
  g->has_double_normal = true;
  return r * cos(theta);
}

/* Box-Muller over 16 uniforms in place: x[j] and x[j+8] are a pair. */
static void normal_block64(double *x, double mean, double std) {
  for (int j = 0; j < 8; j++) {
    double u1 = 1 - x[j], theta = 2 * PI * x[j + 8];
    double r = sqrt(-2 * log(u1));
    x[j] = r * cos(theta) * std + mean;
    x[j + 8] = r * sin(theta) * std + mean;
  }
}

/* From 16 elements on PyTorch fills with uniforms and turns them into normals 16 at a time; what is
 * left over at the end is made by drawing the last 16 anew. */
static void normal_fill32(sq_rng *g, int64_t n, float mean, float std, float *x) {
  sq_rng_uniform(g, SQ_F32, n, 0, 1, x);
  for (int64_t i = 0; i + 16 <= n; i += 16) sq_normal_block(x + i, mean, std);
  if (n % 16 != 0) {
    sq_rng_uniform(g, SQ_F32, 16, 0, 1, x + n - 16);
    sq_normal_block(x + n - 16, mean, std);
  }
}

static void normal_fill64(sq_rng *g, int64_t n, double mean, double std, double *x) {
  sq_rng_uniform(g, SQ_F64, n, 0, 1, x);
  for (int64_t i = 0; i + 16 <= n; i += 16) normal_block64(x + i, mean, std);
  if (n % 16 != 0) {
    sq_rng_uniform(g, SQ_F64, 16, 0, 1, x + n - 16);
    normal_block64(x + n - 16, mean, std);
  }
}

/* Both dtypes draw in double. */
void sq_rng_normal_each(sq_rng *g, sq_dtype dtype, int64_t n, double mean, double std, void *x) {
  for (int64_t i = 0; i < n; i++) {
    double value = normal_pair(g) * std + mean;
    if (dtype == SQ_F32) ((float *)x)[i] = (float)value;
    if (dtype == SQ_F64) ((double *)x)[i] = value;
  }
}

void sq_rng_normal(sq_rng *g, sq_dtype dtype, int64_t n, double mean, double std, void *x) {
  SQ_ASSERT(sq_is_float(dtype));
  if (n >= 16) {
    if (dtype == SQ_F32) normal_fill32(g, n, (float)mean, (float)std, x);
    if (dtype == SQ_F64) normal_fill64(g, n, mean, std, x);
    return;
  }
  sq_rng_normal_each(g, dtype, n, mean, std, x);
}

void sq_rng_randint(sq_rng *g, int64_t lo, int64_t hi, int64_t n, int64_t *x) {
  SQ_ASSERT(lo < hi);
  uint64_t range = (uint64_t)hi - (uint64_t)lo;
  bool wide = range >> 28 != 0;
  for (int64_t i = 0; i < n; i++) {
    uint64_t drawn = wide ? draw64(g) : draw32(g);
    x[i] = (int64_t)(drawn % range + (uint64_t)lo);
  }
}

int64_t sq_rng_between(sq_rng *g, int64_t lo, int64_t hi) {
  SQ_ASSERT(lo <= hi);
  const uint64_t range = (uint64_t)hi - (uint64_t)lo + 1; /* 0: all 2^64 */
  if (range == 0) return (int64_t)draw64(g);
  const uint64_t last = UINT64_MAX - (UINT64_MAX % range + 1) % range; /* of whole ranges */
  uint64_t drawn = draw64(g);
  while (drawn > last) drawn = draw64(g);
  return (int64_t)(drawn % range + (uint64_t)lo);
}

void sq_rng_randperm(sq_rng *g, int64_t n, int64_t *x) {
  for (int64_t i = 0; i < n; i++) x[i] = i;
  for (int64_t i = 0; i < n - 1; i++) {
    int64_t j = i + (int64_t)(draw32(g) % (uint64_t)(n - i));
    int64_t kept = x[i];
    x[i] = x[j];
    x[j] = kept;
  }
}

void sq_rng_bernoulli(sq_rng *g, sq_dtype dtype, double p, int64_t n, void *x) {
  for (int64_t i = 0; i < n; i++) {
    bool one = unit53(g) < p;
    switch (dtype) {
      case SQ_F32:
        ((float *)x)[i] = one;
        break;
      case SQ_F64:
        ((double *)x)[i] = one;
        break;
      case SQ_I64:
        ((int64_t *)x)[i] = one;
        break;
      default:
        ((uint8_t *)x)[i] = one;
        break;
    }
  }
}

/* --- as bytes: "sqmt1937", state, left, next, seed, flags, float, double, checksum; little-endian
 * ------------------- */

static const char MAGIC[8] = {'s', 'q', 'm', 't', '1', '9', '3', '7'};

static uint8_t *pack_bytes(uint8_t *at, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) *at++ = (uint8_t)(value >> (8 * i));
  return at;
}

static uint64_t unpack_bytes(const uint8_t **at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint64_t) * (*at)++ << (8 * i);
  return value;
}

/* FNV-1a over all but the last 8 bytes. */
static uint64_t checksum_of(const uint8_t *bytes) {
  uint64_t h = 14695981039346656037u;
  for (int i = 0; i < SQ_RNG_BYTES - 8; i++) h = (h ^ bytes[i]) * 1099511628211u;
  return h;
}

void sq_rng_save(const sq_rng *g, uint8_t *bytes) {
  uint32_t float_bits;
  uint64_t double_bits;
  memcpy(&float_bits, &g->float_normal, sizeof float_bits);
  memcpy(&double_bits, &g->double_normal, sizeof double_bits);
  memcpy(bytes, MAGIC, sizeof MAGIC);
  uint8_t *at = bytes + sizeof MAGIC;
  for (int i = 0; i < N; i++) at = pack_bytes(at, g->state[i], 4);
  at = pack_bytes(at, (uint32_t)g->left, 4);
  at = pack_bytes(at, (uint32_t)g->next, 4);
  at = pack_bytes(at, g->seed, 8);
  at = pack_bytes(at, (uint64_t)g->has_float_normal | (uint64_t)g->has_double_normal << 1, 4);
  at = pack_bytes(at, float_bits, 4);
  at = pack_bytes(at, double_bits, 8);
  pack_bytes(at, checksum_of(bytes), 8);
}

sq_status sq_rng_load(sq_rng *g, const uint8_t *bytes) {
  const uint8_t *sum = bytes + SQ_RNG_BYTES - 8, *at = bytes + sizeof MAGIC;
  if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0 || unpack_bytes(&sum, 8) != checksum_of(bytes))
    return sq_fail(SQ_EFORMAT, "[generator] these bytes are no generator's state");
  sq_rng fresh = {0};
  for (int i = 0; i < N; i++) fresh.state[i] = (uint32_t)unpack_bytes(&at, 4);
  uint64_t left = unpack_bytes(&at, 4), next = unpack_bytes(&at, 4);
  fresh.seed = unpack_bytes(&at, 8);
  uint64_t flags = unpack_bytes(&at, 4), float_bits = unpack_bytes(&at, 4),
           double_bits = unpack_bytes(&at, 8);
  bool seeded = left == 1 && next == 0, drawing = left >= 1 && next <= N && left + next == N + 1;
  if ((!seeded && !drawing) || flags > 3)
    return sq_fail(SQ_EFORMAT, "[generator] the state's counters are out of range");
  uint32_t narrow = (uint32_t)float_bits;
  memcpy(&fresh.float_normal, &narrow, sizeof narrow);
  memcpy(&fresh.double_normal, &double_bits, sizeof double_bits);
  fresh.left = (int32_t)left;
  fresh.next = (int32_t)next;
  fresh.has_float_normal = flags & 1;
  fresh.has_double_normal = flags >> 1;
  *g = fresh;
  return SQ_OK;
}

sq_rng *sq_rng_default(void) {
  static sq_rng g;
  static bool ready;
  if (!ready) {
    sq_rng_seed(&g, 67280421310721); /* c10::detail::default_rng_seed_val */
    ready = true;
  }
  return &g;
}
