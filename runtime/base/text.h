/* text.h: numbers as texts, the same under every locale, and how wide a text stands on a terminal.
 */
#ifndef SQ_BASE_TEXT_H
#define SQ_BASE_TEXT_H

#include <stdarg.h>

#include "base/status.h"

/* snprintf and vsnprintf whose numbers have a point, also where the script or its host has set a
 * locale with a decimal comma. [any thread] */
int sq_format(char *buf, size_t n, const char *format, ...) SQ_PRINTF(3, 4);
int sq_vformat(char *buf, size_t n, const char *format, va_list args) SQ_PRINTF(3, 0);

/* strtod of a number with a point; *end is where it ends. [any thread] */
double sq_parse_number(const char *text, char **end);

/* The thread's locale becomes C's, and what it was comes back with the second: for calls of others
 * that write or read numbers. Nothing in between may jump out. [any thread] */
void *sq_point_begin(void);
void sq_point_end(void *before);

/* The columns that UTF-8 takes on a terminal: 2 for wide characters and emoji, 0 for combining
 * ones, controls and escape sequences of colors; a byte that is no UTF-8 takes 1. Of the longest
 * beginning that takes at most `most`, whose length is *bytes. [Lua thread] */
int64_t sq_text_columns(const char *text, size_t n, int64_t most, size_t *bytes);

#endif
