/* cpu.c: CPUID, with the operating system's word that it saves the registers. */
#include "base/cpu.h"

#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

static const char *const names[SQ_ISAS] = {"base", "avx2", "avx512"};

const char *sq_isa_name(sq_isa isa) { return (unsigned)isa < SQ_ISAS ? names[isa] : "unknown"; }

#ifdef __x86_64__

/* XCR0 bits (Intel SDM vol. 1, 13.3): SSE and AVX state; with opmask and the ZMM halves. */
enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6 };

/* Leaf 7: AVX2 is EBX bit 5; AVX512 F 16, DQ 17, BW 30, VL 31. */
#define EBX_AVX2 (1u << 5)
#define EBX_AVX512 (1u << 16 | 1u << 17 | 1u << 30 | 1u << 31)

/* Leaf 1, ECX: FMA 12, SSE4.2 20, POPCNT 23, OSXSAVE 27, AVX 28, F16C 29. */
#define ECX_AVX2 (1u << 12 | 1u << 20 | 1u << 23 | 1u << 27 | 1u << 28)

static uint32_t read_xcr0(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool sq_isa_supported(sq_isa isa) {
  if (isa == SQ_ISA_BASE) return true;
  uint32_t a, b, c, d;
  if ((unsigned)isa >= SQ_ISAS || !__get_cpuid(1, &a, &b, &c, &d)) return false;
  if ((c & ECX_AVX2) != ECX_AVX2) return false; /* OSXSAVE is in it: xgetbv is there */
  uint32_t saved = read_xcr0();
  if ((saved & XCR0_AVX) != XCR0_AVX || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  if (!(b & EBX_AVX2)) return false;
  if (isa == SQ_ISA_AVX2) return true;
  return (saved & XCR0_AVX512) == XCR0_AVX512 && (b & EBX_AVX512) == EBX_AVX512;
}

/* The brand string: leaves 0x80000002..4, 48 bytes padded with spaces or zeros. */
static void read_name(char *text, size_t size) {
  uint32_t words[13] = {0};
  for (unsigned i = 0; i < 3; i++) {
    uint32_t *w = words + 4 * i;
    if (!__get_cpuid(0x80000002u + i, &w[0], &w[1], &w[2], &w[3])) return;
  }
  const char *from = (const char *)words;
  while (*from == ' ') from++;
  size_t n = strlen(from);
  while (n > 0 && from[n - 1] == ' ') n--;
  if (n == 0 || n >= size) return;
  memcpy(text, from, n);
  text[n] = '\0';
}

#else

bool sq_isa_supported(sq_isa isa) { return isa == SQ_ISA_BASE; }
static void read_name(char *text, size_t size) { (void)text, (void)size; }

#endif

const char *sq_cpu_name(void) {
  static char text[64];
  if (text[0] == '\0') {
    memcpy(text, "unknown", sizeof "unknown");
    read_name(text, sizeof text);
  }
  return text;
}

static sq_status choose_isa(sq_isa *out) {
  const char *wish = getenv("SEQRT_ISA");
  if (!wish || !*wish) {
    sq_isa best = SQ_ISA_AVX512;
    while (!sq_isa_supported(best)) best--;
    *out = best;
    return SQ_OK;
  }
  for (sq_isa isa = SQ_ISA_BASE; isa < SQ_ISAS; isa++) {
    if (strcmp(wish, names[isa]) != 0) continue;
    if (!sq_isa_supported(isa)) {
      return sq_fail(SQ_EARG, "SEQRT_ISA is \"%s\", which this processor (%s) does not support",
                     wish, sq_cpu_name());
    }
    *out = isa;
    return SQ_OK;
  }
  return sq_fail(SQ_EARG, "SEQRT_ISA is \"%.32s\": it must be base, avx2 or avx512", wish);
}

sq_status sq_isa_select(sq_isa *out) {
  static bool chosen;
  static sq_isa isa;
  if (!chosen) SQ_TRY(choose_isa(&isa));
  chosen = true;
  *out = isa;
  return SQ_OK;
}
