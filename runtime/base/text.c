/* text.c: numbers as texts by libc in its C locale; widths of characters by libc in its UTF-8 one.
 */
#include "base/text.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

/* --- numbers -------------------------------------------------------------------------------- */

/* The C locale is libc's own object: nothing is allocated, nothing to free. */
void *sq_point_begin(void) { return uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0)); }

void sq_point_end(void *before) { uselocale((locale_t)before); }

int sq_vformat(char *buf, size_t n, const char *format, va_list args) {
  void *before = sq_point_begin();
  int length = vsnprintf(buf, n, format, args);
  sq_point_end(before);
  return length;
}

int sq_format(char *buf, size_t n, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int length = sq_vformat(buf, n, format, args);
  va_end(args);
  return length;
}

double sq_parse_number(const char *text, char **end) {
  void *before = sq_point_begin();
  double value = strtod(text, end);
  sq_point_end(before);
  return value;
}

/* --- widths --------------------------------------------------------------------------------- */

/* Characters and widths of UTF-8; 0 where the system has no such locale: each byte is one then, and
 * continuation bytes take no column. */
static locale_t utf8_locale(void) {
  static locale_t made;
  static bool tried;
  if (!tried) made = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  tried = true;
  return made;
}

/* The length of an escape sequence of colors, "\33[1;31m"; 0 for anything else. */
static size_t escape_length(const char *text, size_t n) {
  if (n < 3 || text[0] != '\33' || text[1] != '[') return 0;
  for (size_t i = 2; i < n; i++) {
    char c = text[i];
    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) return i + 1;
    if (c != ';' && (c < '0' || c > '9')) return 0;
  }
  return 0;
}

enum { VARIATION_16 = 0xFE0F }; /* asks for the wide picture of the character before it */

/* The bytes and columns of the character at `text`, which `before` columns precede. */
static size_t measure_character(const char *text, size_t n, int before, int *columns) {
  wchar_t c;
  mbstate_t state = {0};
  size_t length = escape_length(text, n);
  *columns = 0;
  if (length > 0) return length;
  length = mbrtowc(&c, text, n, &state);
  if (length == 0) return 1; /* a 0 byte */
  if (length > n) {
    *columns = ((unsigned char)*text & 0xC0) != 0x80 || utf8_locale();
    return 1;
  }
  int width = c == VARIATION_16 ? before == 1 : wcwidth(c);
  *columns = width > 0 ? width : 0;
  return length;
}

int64_t sq_text_columns(const char *text, size_t n, int64_t most, size_t *bytes) {
  locale_t mine = utf8_locale(), before = uselocale(mine ? mine : (locale_t)0);
  int64_t columns = 0;
  size_t at = 0;
  int width = 0;
  while (at < n) {
    size_t length = measure_character(text + at, n - at, width, &width);
    if (columns + width > most) break;
    columns += width;
    at += length;
  }
  uselocale(before);
  *bytes = at;
  return columns;
}
