/* png.h: PNG pictures, from bytes and to bytes, 8 or 16 bits a channel. Knows no tensors and opens
 * no file. */
#ifndef SQ_FILES_PNG_H
#define SQ_FILES_PNG_H

#include "base/status.h"

enum { SQ_PNG_MOST_SIDE = 16384 };
#define SQ_PNG_MOST_PIXELS ((int64_t)100000000)

typedef struct sq_png {
  int64_t height, width, channels; /* Y, X, C: 1 grey, 3 RGB, 4 RGBA */
  int64_t bytes;                   /* of a channel: 1, or 2 (uint16_t) */
  void *pixels;                    /* (Y,X,C), contiguous; free with sq_free */
} sq_png;

/* Reads every kind of PNG: grey, RGB, palette, with or without alpha (grey with alpha becomes
 * RGBA), interlaced; less than 8 bits are spread over 0..255. 16 bits are kept
 * where `deep` asks for them, else scaled: round(v 255 / 65535). Colour spaces and gamma are not
 * applied. A side of at most 16,384 and 100 M pixels, checked before the pixels are allocated; a
 * large picture is read once without keeping it, so that a broken one costs no more than 16 MB. A
 * wrong checksum anywhere and bytes after the end are errors. Errors say byte offset and libpng's
 * reason. [new, pixels | fails: format, nomem | Lua thread]  PNG Specification, 2nd edition
 * (ISO/IEC 15948). */
SQ_CHECKED sq_status sq_png_decode(const void *bytes, int64_t size, bool deep, sq_png *out);

/* Height, width, channels and bytes that sq_png_decode would give; only the header is read. pixels
 * is NULL. [fails: format, nomem | Lua thread] */
SQ_CHECKED sq_status sq_png_peek(const void *bytes, int64_t size, bool deep, sq_png *out);

/* The picture (pixels are borrowed) as PNG, not interlaced. The same picture gives the same bytes:
 * fixed compression level and filters, no time stamp, no text. [new, *bytes with sq_free | fails:
 * shape, nomem | Lua thread] */
SQ_CHECKED sq_status sq_png_encode(const sq_png *picture, void **bytes, int64_t *size);

#endif
