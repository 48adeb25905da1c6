/* idx.c: the header of an IDX file, and the gzip around it. */
#include "datasets/idx.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"

enum {
  HEADER = 4, /* 0, 0, type, number of dims; then 4 bytes for each size */
  MOST_HEADER = HEADER + 4 * SQ_MAX_DIMS,
  MOST_RATIO = 1032 /* deflate makes nothing smaller than this (zlib's technical notes) */
};
#define MOST_FILE ((int64_t)1 << 40)

static sq_status set_idx_type(uint8_t code, sq_wire *out) {
  switch (code) {
    case 0x08:
      *out = SQ_WIRE_U8;
      return SQ_OK;
    case 0x09:
      *out = SQ_WIRE_I8;
      return SQ_OK;
    case 0x0b:
      *out = SQ_WIRE_I16;
      return SQ_OK;
    case 0x0c:
      *out = SQ_WIRE_I32;
      return SQ_OK;
    case 0x0d:
      *out = SQ_WIRE_F32;
      return SQ_OK;
    case 0x0e:
      *out = SQ_WIRE_F64;
      return SQ_OK;
    default:
      return sq_fail(SQ_EFORMAT, "[idx] at byte 2: type %d is not known: 8, 9, 11, 12, 13, 14 are",
                     code);
  }
}

/* The header in the first `have` bytes; *size is what the whole file must have. */
static sq_status parse_header(const uint8_t *b, int64_t have, sq_array *a, int64_t *size) {
  if (have < HEADER) return sq_fail(SQ_EFORMAT, "[idx] at byte %" PRId64 ": the file ends", have);
  if (b[0] != 0 || b[1] != 0)
    return sq_fail(SQ_EFORMAT, "[idx] at byte 0: %02x %02x, an IDX file begins with 00 00", b[0],
                   b[1]);
  SQ_TRY(set_idx_type(b[2], &a->type));
  a->ndim = b[3];
  if (a->ndim < 1 || a->ndim > SQ_MAX_DIMS)
    return sq_fail(SQ_EFORMAT, "[idx] at byte 3: %d dims, 1 to %d are read", a->ndim, SQ_MAX_DIMS);
  int64_t header = HEADER + 4 * a->ndim;
  if (have < header)
    return sq_fail(SQ_EFORMAT, "[idx] at byte %" PRId64 ": the file ends within its sizes", have);
  for (int i = 0; i < a->ndim; i++) {
    const uint8_t *s = b + HEADER + 4 * i;
    a->shape[i] = (int64_t)s[0] << 24 | (int64_t)s[1] << 16 | (int64_t)s[2] << 8 | s[3];
  }
  if (sq_shape_numel("idx", a->ndim, a->shape, &a->numel) != SQ_OK)
    return sq_fail_in(SQ_EFORMAT, "at byte 4, the sizes: ");
  a->big_endian = true;
  *size = header + a->numel * sq_wire_size(a->type);
  return SQ_OK;
}

sq_status sq_idx_parse(const void *bytes, int64_t size, sq_array *out) {
  sq_array a = {0};
  int64_t expected = 0;
  SQ_TRY(parse_header(bytes, size, &a, &expected));
  if (expected != size)
    return sq_fail(SQ_EFORMAT,
                   "[idx] at byte 4: sizes %s make a file of %" PRId64 " bytes, this has %" PRId64,
                   sq_shape_text(a.ndim, a.shape, SQ_SHAPE_BUF), expected, size);
  a.data = (const uint8_t *)bytes + HEADER + 4 * a.ndim;
  *out = a;
  return SQ_OK;
}

/* --- gzip ----------------------------------------------------------------------------------- */

static voidpf zlib_alloc(voidpf context, uInt items, uInt size) {
  void *block;
  (void)context;
  return sq_alloc((int64_t)items * size, &block) == SQ_OK ? block : NULL;
}

static void zlib_free(voidpf context, voidpf block) {
  (void)context;
  sq_free(block);
}

typedef struct gunzip {
  z_stream z;
  const uint8_t *from;
  int64_t size, read; /* compressed bytes, and those given to zlib */
  bool ended;         /* the last byte and its checksum were seen */
} gunzip;

static sq_status gunzip_start(gunzip *g, const void *bytes, int64_t size) {
  *g = (gunzip){.from = bytes, .size = size};
  g->z.zalloc = zlib_alloc;
  g->z.zfree = zlib_free;
  int code = inflateInit2(&g->z, 16 + MAX_WBITS); /* 16: a gzip header is expected, and checked */
  if (code == Z_MEM_ERROR) return SQ_ENOMEM;      /* sq_alloc has written why */
  return code == Z_OK ? SQ_OK : sq_fail(SQ_ESTATE, "[gzip] zlib did not start: %d", code);
}

static int64_t gunzip_at(const gunzip *g) { return g->read - (int64_t)g->z.avail_in; }

static sq_status gunzip_step(gunzip *g) {
  if (g->z.avail_in == 0) {
    int64_t n = g->size - g->read < SQ_GZIP_WINDOW ? g->size - g->read : SQ_GZIP_WINDOW;
    if (n == 0)
      return sq_fail(SQ_EFORMAT, "[gzip] at byte %" PRId64 ": the file ends too early", g->size);
    g->z.next_in = (z_const Bytef *)(uintptr_t)(g->from + g->read);
    g->z.avail_in = (uInt)n;
    g->read += n;
  }
  int code = inflate(&g->z, Z_NO_FLUSH);
  if (code == Z_OK || code == Z_BUF_ERROR) return SQ_OK;
  if (code == Z_MEM_ERROR) return SQ_ENOMEM;
  if (code != Z_STREAM_END)
    return sq_fail(SQ_EFORMAT, "[gzip] at byte %" PRId64 ": %s", gunzip_at(g),
                   g->z.msg ? g->z.msg : "the data are broken");
  g->ended = true;
  if (gunzip_at(g) == g->size) return SQ_OK;
  return sq_fail(SQ_EFORMAT, "[gzip] at byte %" PRId64 ": bytes follow the end of the data",
                 gunzip_at(g));
}

/* Up to n plain bytes; *got < n only at the end. */
static sq_status gunzip_read(gunzip *g, uint8_t *out, int64_t n, int64_t *got) {
  *got = 0;
  while (*got < n && !g->ended) {
    int64_t want = n - *got < SQ_GZIP_WINDOW ? n - *got : SQ_GZIP_WINDOW;
    g->z.next_out = out + *got;
    g->z.avail_out = (uInt)want;
    SQ_TRY(gunzip_step(g));
    *got += want - (int64_t)g->z.avail_out;
  }
  return SQ_OK;
}

/* The header's promise was not kept. */
static sq_status broken_promise(const char *how) {
  return sq_fail(SQ_EFORMAT,
                 "[idx] at byte 4: the sizes promise %s bytes than the compressed file holds", how);
}

/* Reads on to the end, which must come after `more` bytes; keeps nothing. */
static sq_status gunzip_rest(gunzip *g, int64_t more, uint8_t *window) {
  int64_t seen = 0, got = 1;
  while (!g->ended && seen <= more && got > 0) {
    SQ_TRY(gunzip_read(g, window, SQ_GZIP_WINDOW, &got));
    seen += got;
  }
  if (g->ended && seen == more) return SQ_OK;
  return broken_promise(seen > more ? "fewer" : "more");
}

/* The header, and the size of the whole; leaves the stream behind the first `got` bytes. */
static sq_status inflate_header(gunzip *g, uint8_t *head, int64_t *got, int64_t *total) {
  sq_array a = {0};
  SQ_TRY(gunzip_read(g, head, MOST_HEADER, got));
  SQ_TRY(parse_header(head, *got, &a, total));
  if (*total < *got) return broken_promise("fewer");
  if (*total / MOST_RATIO <= g->size) return SQ_OK;
  return sq_fail(SQ_EFORMAT,
                 "[idx] at byte 4: sizes %s make %" PRId64 " bytes, more than %" PRId64
                 " compressed bytes can hold",
                 sq_shape_text(a.ndim, a.shape, SQ_SHAPE_BUF), *total, g->size);
}

/* One pass over the whole file that allocates a window. */
static sq_status check_gzip(const void *bytes, int64_t size) {
  gunzip g;
  void *window = NULL;
  uint8_t head[MOST_HEADER];
  int64_t got = 0, total = 0;
  SQ_TRY(gunzip_start(&g, bytes, size));
  sq_status status = sq_alloc(SQ_GZIP_WINDOW, &window);
  if (status == SQ_OK) status = inflate_header(&g, head, &got, &total);
  if (status == SQ_OK) status = gunzip_rest(&g, total - got, window);
  inflateEnd(&g.z);
  sq_free(window);
  return status;
}

/* All of it into a block of the promised size. */
static sq_status inflate_all(gunzip *g, const uint8_t *head, int64_t got, int64_t total,
                             uint8_t *plain) {
  int64_t more = 0;
  memcpy(plain, head, (size_t)got);
  SQ_TRY(gunzip_read(g, plain + got, total - got, &more));
  uint8_t one;
  int64_t extra = 0;
  if (got + more == total && !g->ended) SQ_TRY(gunzip_read(g, &one, 1, &extra));
  if (got + more == total && extra == 0 && g->ended) return SQ_OK;
  return broken_promise(extra > 0 ? "fewer" : "more");
}

static sq_status inflate_checked(gunzip *g, void **plain, int64_t *plain_size) {
  uint8_t head[MOST_HEADER];
  int64_t got = 0, total = 0;
  SQ_TRY(inflate_header(g, head, &got, &total));
  if (total > SQ_GZIP_UNCHECKED + g->size) SQ_TRY(check_gzip(g->from, g->size));
  void *block = NULL;
  SQ_TRY(sq_alloc(total, &block));
  sq_status status = inflate_all(g, head, got, total, block);
  if (status != SQ_OK) {
    sq_free(block);
    return status;
  }
  *plain = block;
  *plain_size = total;
  return SQ_OK;
}

sq_status sq_idx_inflate(const void *bytes, int64_t size, void **plain, int64_t *plain_size) {
  gunzip g;
  SQ_TRY(gunzip_start(&g, bytes, size));
  sq_status status = inflate_checked(&g, plain, plain_size);
  inflateEnd(&g.z);
  return status;
}

/* --- files ---------------------------------------------------------------------------------- */

static sq_status parse_owned(void **owned, int64_t size, sq_array *out) {
  const uint8_t *b = *owned;
  if (size >= 2 && b[0] == 0x1f && b[1] == 0x8b) {
    void *plain = NULL;
    int64_t plain_size = 0;
    SQ_TRY(sq_idx_inflate(b, size, &plain, &plain_size));
    sq_free(*owned);
    *owned = plain;
    size = plain_size;
  }
  return sq_idx_parse(*owned, size, out);
}

sq_status sq_idx_load(const char *path, void **owned, sq_array *out) {
  void *bytes = NULL;
  int64_t size = 0;
  SQ_TRY(sq_file_read(path, MOST_FILE, &bytes, &size));
  sq_status status = parse_owned(&bytes, size, out);
  if (status != SQ_OK) {
    sq_free(bytes);
    return sq_fail_in(status, "'%s': ", path);
  }
  *owned = bytes;
  return SQ_OK;
}
