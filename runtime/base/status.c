/* status.c: the text of the last failure, one per thread. */
#include "base/status.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_SIZE = 2048 };
static _Thread_local char text[TEXT_SIZE];

sq_status sq_fail(sq_status code, const char *format, ...) {
  char fresh[TEXT_SIZE]; /* an argument may be the old text itself */
  va_list args;
  va_start(args, format);
  sq_vformat(fresh, sizeof fresh, format, args);
  va_end(args);
  memcpy(text, fresh, sizeof text);
  return code;
}

sq_status sq_fail_in(sq_status code, const char *format, ...) {
  if (code == SQ_OK) return code;
  char prefixed[TEXT_SIZE];
  va_list args;
  va_start(args, format);
  int used = sq_vformat(prefixed, sizeof prefixed, format, args);
  va_end(args);
  if (used < 0 || used >= TEXT_SIZE) return code;
  snprintf(prefixed + used, sizeof prefixed - (size_t)used, "%s", text);
  memcpy(text, prefixed, sizeof text);
  return code;
}

const char *sq_error_text(void) { return text; }
