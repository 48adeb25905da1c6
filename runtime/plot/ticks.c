/* ticks.c: where ticks stand and what they say. Numbers are written here, so that no locale puts a
 * comma in them. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plot/plot_priv.h"

#define MINUS "\xe2\x88\x92" /* U+2212 */

/* Ten to a power that may pass the range of doubles: then 0 or infinity. */
static double ten_to(int power) { return pow(10, power); }

/* The least of 1, 2, 5, 10 times a power of ten that is at least `rough`; *power is that of the 1,
 * 2 or 5. */
static double nice_step(double rough, int *power) {
  int p = (int)floor(log10(rough));
  static const double steps[] = {1, 2, 5};
  for (int i = 0; i < 3; i++) {
    double step = steps[i] * ten_to(p);
    if (step >= rough * (1 - 1e-9)) {
      *power = p;
      return step;
    }
  }
  *power = p + 1;
  return ten_to(p + 1);
}

/* "10" and the power in raised figures. */
static void power_text(int power, char *out, size_t n) {
  static const char *const raised[] = {
      "\xe2\x81\xb0", "\xc2\xb9",     "\xc2\xb2",     "\xc2\xb3",     "\xe2\x81\xb4",
      "\xe2\x81\xb5", "\xe2\x81\xb6", "\xe2\x81\xb7", "\xe2\x81\xb8", "\xe2\x81\xb9"};
  char digits[12];
  snprintf(digits, sizeof digits, "%d", power < 0 ? -power : power);
  size_t used = (size_t)snprintf(out, n, "10%s", power < 0 ? "\xe2\x81\xbb" : "");
  for (const char *d = digits; *d && used < n; d++)
    used += (size_t)snprintf(out + used, n - used, "%s", raised[*d - '0']);
}

/* v with that many decimals, 0..15; |v| 10^decimals < 2^63. */
static void fixed_text(double v, int decimals, const char *unit, char *out, size_t n) {
  double scaled = round(fabs(v) * ten_to(decimals));
  int64_t whole = (int64_t)scaled, base = (int64_t)ten_to(decimals);
  const char *sign = v < 0 && whole > 0 ? MINUS : "";
  if (decimals == 0) {
    snprintf(out, n, "%s%" PRId64 "%s", sign, whole, whole ? unit : "");
  } else {
    snprintf(out, n, "%s%" PRId64 ".%0*" PRId64 "%s", sign, whole / base, decimals, whole % base,
             unit);
  }
}

/* How the numbers of one axis are written: divided by 10^shift, with a unit or a power of ten
 * behind. */
typedef struct manner {
  int shift, decimals;
  bool power;
  const char *unit;
} manner;

static manner choose_manner(double most, int step_power) {
  manner m = {.unit = ""};
  int size = most > 0 ? (int)floor(log10(most) + 1e-9) : 0;
  if (size >= 4 && size < 15) {
    static const char *const units[] = {"", "k", "M", "G", "T"};
    m.shift = size / 3 * 3;
    m.unit = units[size / 3];
  } else if (size < -3 || size >= 15) {
    m.shift = size;
    m.power = true;
  }
  m.decimals = m.shift - step_power;
  if (m.decimals < 0) m.decimals = 0;
  if (m.decimals > 15) m.decimals = 15;
  return m;
}

static void number_text(double v, const manner *m, char *out, size_t n) {
  if (v == 0) {
    snprintf(out, n, "0");
    return;
  }
  fixed_text(v / ten_to(m->shift), m->decimals, m->unit, out, n);
  if (!m->power) return;
  size_t used = strlen(out);
  used += (size_t)snprintf(out + used, n - used, "\xc3\x97"); /* times */
  if (used < n) power_text(m->shift, out + used, n - used);
}

static sq_tick *add_tick(sq_ticks *t, double at, bool minor) {
  if (t->n == TICKS_MOST) return NULL;
  sq_tick *tick = &t->tick[t->n++];
  *tick = (sq_tick){.at = at, .minor = minor};
  tick->name = tick->text;
  return tick;
}

static void linear_ticks(double lo, double hi, int most, bool whole, sq_ticks *out) {
  int power;
  double step = nice_step((hi - lo) / most, &power);
  if (whole && step < 1) {
    step = 1;
    power = 0;
  }
  double first = ceil(lo / step - 1e-9), last = floor(hi / step + 1e-9);
  manner m = choose_manner(fmax(fabs(first), fabs(last)) * step, power);
  for (double k = first; k <= last && out->n < TICKS_MOST; k++) {
    sq_tick *tick = add_tick(out, k * step, false);
    if (tick) number_text(k * step, &m, tick->text, sizeof tick->text);
  }
}

/* 2..9 times 10^power, where they lie within. */
static void minor_ticks(double lo, double hi, int power, sq_ticks *out) {
  for (int k = 2; k <= 9; k++) {
    double at = k * ten_to(power);
    if (at >= lo && at <= hi) add_tick(out, at, true);
  }
}

static void log_ticks(double lo, double hi, int most, sq_ticks *out) {
  int first = (int)floor(log10(lo) + 1e-9), last = (int)floor(log10(hi) + 1e-9);
  int stride = (last - first) / most + 1; /* decades between two that are written */
  for (int p = first; p <= last && out->n < TICKS_MOST; p++) {
    double at = ten_to(p);
    if (at >= lo * (1 - 1e-9) && at <= hi * (1 + 1e-9)) {
      sq_tick *tick = add_tick(out, at, p % stride != 0);
      if (tick && !tick->minor) power_text(p, tick->text, sizeof tick->text);
    }
    if (stride == 1) minor_ticks(lo, hi, p, out);
  }
}

/* The decades a range holds. */
static int decades_in(double lo, double hi) {
  return (int)(floor(log10(hi) + 1e-9) - ceil(log10(lo) - 1e-9)) + 1;
}

void sq__ticks_choose(double lo, double hi, int most, bool log, bool whole, sq_ticks *out) {
  out->n = 0;
  if (log && decades_in(lo, hi) >= 2) {
    log_ticks(lo, hi, most, out);
  } else {
    linear_ticks(lo, hi, most, whole, out); /* less than two decades: plain numbers say more */
  }
}
