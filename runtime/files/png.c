/* png.c: PNG by libpng, the only file that includes <png.h>. libpng reports failure by a jump: each
 * jump lands in run_guarded() below, all that is owned lies in the job, and nothing outside this
 * file sees it. */
#include "files/png.h"

#include <inttypes.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

enum { MOST_CHUNK = 8 << 20 };

/* One decoding or encoding. Lives outside of the function that calls setjmp, so every field is as
 * last written. */
typedef struct job {
  png_structp png;
  png_infop info;
  const uint8_t *from; /* decoding: what is read */
  uint8_t *to;         /* encoding: what was written, with room for `room` */
  int64_t size, at, room;
  uint8_t *row;    /* where rows go that are read and not kept */
  sq_png *picture; /* decoding: filled; encoding: borrowed, only read */
  bool deep;       /* decoding: 16 bits are kept */
  bool no_memory;
  char reason[160];
} job;

/* --- what libpng calls ---------------------------------------------------------------------- */

static void on_error(png_structp png, png_const_charp reason) {
  job *j = png_get_error_ptr(png);
  size_t n = strlen(reason);
  if (n >= sizeof j->reason) n = sizeof j->reason - 1;
  memcpy(j->reason, reason, n);
  j->reason[n] = 0;
  png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp reason) { (void)png, (void)reason; }

static png_voidp on_alloc(png_structp png, png_alloc_size_t n) {
  job *j = png_get_mem_ptr(png);
  void *block;
  if (n > INT64_MAX || sq_alloc((int64_t)n, &block) != SQ_OK) {
    j->no_memory = true;
    return NULL;
  }
  return block;
}

static void on_free(png_structp png, png_voidp block) {
  (void)png;
  sq_free(block);
}

static void on_read(png_structp png, png_bytep into, size_t n) {
  job *j = png_get_io_ptr(png);
  if (n > (size_t)(j->size - j->at)) png_error(png, "the file ends too early");
  memcpy(into, j->from + j->at, n);
  j->at += (int64_t)n;
}

static void on_write(png_structp png, png_bytep from, size_t n) {
  job *j = png_get_io_ptr(png);
  void *to = j->to;
  if (sq_grow(j->size + (int64_t)n, 1, &to, &j->room) != SQ_OK) {
    j->no_memory = true;
    png_error(png, "out of memory");
  }
  j->to = to;
  memcpy(j->to + j->size, from, n);
  j->size += (int64_t)n;
}

static void on_flush(png_structp png) { (void)png; }

/* --- the one place where jumps land --------------------------------------------------------- */

/* Runs `work`; SQ_OK, or the reason libpng gave. The job keeps what it owns either way. */
static sq_status run_guarded(job *j, void (*work)(job *)) {
  if (setjmp(png_jmpbuf(j->png)) == 0) {
    work(j);
    return SQ_OK;
  }
  if (j->no_memory) return SQ_ENOMEM; /* sq_alloc has written the text */
  if (!j->from) return sq_fail(SQ_EARG, "[png] libpng: %s", j->reason);
  return sq_fail(SQ_EFORMAT, "[png] at byte %" PRId64 " of %" PRId64 ": %s", j->at, j->size,
                 j->reason);
}

/* --- reading -------------------------------------------------------------------------------- */

/* What may fail in libpng is called under run_guarded() alone: without a landing place libpng
 * aborts. */
static void set_reader_limits(job *j) {
  png_set_read_fn(j->png, j, on_read);
  png_set_user_limits(j->png, SQ_PNG_MOST_SIDE, SQ_PNG_MOST_SIDE);
  png_set_chunk_malloc_max(j->png, MOST_CHUNK);
  png_set_crc_action(j->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  /* text, profiles, times: checked for their CRC and skipped, never parsed */
  png_set_keep_unknown_chunks(j->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
}

/* PNG has the higher byte of two first. */
static void in_our_order(job *j) {
  const uint16_t one = 1;
  if (*(const uint8_t *)&one == 1) png_set_swap(j->png);
}

static int64_t row_bytes(const sq_png *p) { return p->width * p->channels * p->bytes; }

static void read_png_header(job *j) {
  set_reader_limits(j);
  png_read_info(j->png, j->info);
  if (png_get_image_width(j->png, j->info) * (int64_t)png_get_image_height(j->png, j->info) >
      SQ_PNG_MOST_PIXELS)
    png_error(j->png, "more than 100000000 pixels");
  png_set_expand(j->png);
  if (!j->deep) png_set_scale_16(j->png);
  in_our_order(j);
  int color = png_get_color_type(j->png, j->info);
  bool alpha = (color & PNG_COLOR_MASK_ALPHA) || png_get_valid(j->png, j->info, PNG_INFO_tRNS);
  if (alpha) png_set_gray_to_rgb(j->png);
  png_set_interlace_handling(j->png);
  png_read_update_info(j->png, j->info);
  j->picture->height = png_get_image_height(j->png, j->info);
  j->picture->width = png_get_image_width(j->png, j->info);
  j->picture->channels = png_get_channels(j->png, j->info);
  j->picture->bytes = png_get_bit_depth(j->png, j->info) / 8;
}

/* Into the picture's pixels, or into one row over and over when there are none. */
static void read_pixels(job *j) {
  int64_t stride = row_bytes(j->picture);
  uint8_t *pixels = j->picture->pixels;
  if ((int64_t)png_get_rowbytes(j->png, j->info) != stride)
    png_error(j->png, "rows have an unexpected length");
  int passes = png_get_interlace_type(j->png, j->info) == PNG_INTERLACE_ADAM7 ? 7 : 1;
  for (int pass = 0; pass < passes; pass++) {
    for (int64_t y = 0; y < j->picture->height; y++) {
      png_read_row(j->png, pixels ? pixels + y * stride : j->row, NULL);
    }
  }
  png_read_end(j->png, NULL);
  if (j->at != j->size) png_error(j->png, "more bytes follow after the end of the picture");
}

static sq_status open_reader(job *j) {
  j->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, j, on_error, on_warning, j, on_alloc,
                                    on_free);
  if (j->png) j->info = png_create_info_struct(j->png);
  if (!j->info) return j->no_memory ? SQ_ENOMEM : sq_fail(SQ_ENOMEM, "[png] libpng did not start");
  return run_guarded(j, read_png_header);
}

static void close_reader(job *j) {
  png_destroy_read_struct(&j->png, &j->info, NULL);
  sq_free(j->row);
  j->row = NULL;
}

/* The whole of the file with the pixels thrown away. */
static sq_status check_pixels(const job *of) {
  sq_png picture = {0};
  job j = {.from = of->from, .size = of->size, .deep = of->deep, .picture = &picture};
  sq_status status = open_reader(&j);
  void *row = NULL;
  if (status == SQ_OK) status = sq_alloc_zero(row_bytes(&picture), &row);
  j.row = row;
  if (status == SQ_OK) status = run_guarded(&j, read_pixels);
  close_reader(&j);
  return status;
}

static sq_status decode_png(job *j) {
  SQ_TRY(open_reader(j));
  int64_t room = j->picture->height * row_bytes(j->picture);
  if (room > SQ_PNG_UNCHECKED) SQ_TRY(check_pixels(j));
  void *pixels;
  SQ_TRY(sq_alloc_zero(room, &pixels));
  j->picture->pixels = pixels;
  return run_guarded(j, read_pixels);
}

static sq_status check_signature(const void *bytes, int64_t size) {
  if (bytes && size >= 8 && png_sig_cmp(bytes, 0, 8) == 0) return SQ_OK;
  return sq_fail(SQ_EFORMAT, "[png] at byte 0 of %" PRId64 ": the PNG signature is missing", size);
}

sq_status sq_png_decode(const void *bytes, int64_t size, bool deep, sq_png *out) {
  SQ_TRY(check_signature(bytes, size));
  sq_png picture = {0};
  job j = {.from = bytes, .size = size, .deep = deep, .picture = &picture};
  sq_status status = decode_png(&j);
  close_reader(&j);
  if (status != SQ_OK) {
    sq_free(picture.pixels);
    return status;
  }
  *out = picture;
  return SQ_OK;
}

sq_status sq_png_peek(const void *bytes, int64_t size, bool deep, sq_png *out) {
  SQ_TRY(check_signature(bytes, size));
  sq_png picture = {0};
  job j = {.from = bytes, .size = size, .deep = deep, .picture = &picture};
  sq_status status = open_reader(&j);
  close_reader(&j);
  if (status == SQ_OK) *out = picture;
  return status;
}

/* --- writing -------------------------------------------------------------------------------- */

static void write_picture(job *j) {
  const sq_png *p = j->picture;
  int color = p->channels == 1   ? PNG_COLOR_TYPE_GRAY
              : p->channels == 3 ? PNG_COLOR_TYPE_RGB
                                 : PNG_COLOR_TYPE_RGB_ALPHA;
  png_set_write_fn(j->png, j, on_write, on_flush);
  png_set_compression_level(j->png, 6);
  png_set_compression_mem_level(j->png, 8);
  png_set_compression_window_bits(j->png, 15);
  png_set_compression_strategy(j->png, 1); /* Z_FILTERED */
  png_set_filter(j->png, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
  png_set_IHDR(j->png, j->info, (png_uint_32)p->width, (png_uint_32)p->height, (int)p->bytes * 8,
               color, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(j->png, j->info);
  if (p->bytes == 2) in_our_order(j);
  const uint8_t *row = p->pixels;
  for (int64_t y = 0; y < p->height; y++, row += row_bytes(p)) png_write_row(j->png, row);
  png_write_end(j->png, NULL);
}

static sq_status encode_png(job *j) {
  j->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, j, on_error, on_warning, j, on_alloc,
                                     on_free);
  if (j->png) j->info = png_create_info_struct(j->png);
  if (!j->info) return j->no_memory ? SQ_ENOMEM : sq_fail(SQ_ENOMEM, "[png] libpng did not start");
  return run_guarded(j, write_picture);
}

static sq_status check_picture(const sq_png *p) {
  bool sides = p->height >= 1 && p->height <= SQ_PNG_MOST_SIDE && p->width >= 1 &&
               p->width <= SQ_PNG_MOST_SIDE && p->height * p->width <= SQ_PNG_MOST_PIXELS;
  bool channels = p->channels == 1 || p->channels == 3 || p->channels == 4;
  if (sides && channels) return SQ_OK;
  return sq_fail(SQ_ESHAPE,
                 "[png] a picture of %" PRId64 " x %" PRId64 " pixels with %" PRId64
                 " channels: sides are 1 to %d, pixels at most 100000000, channels 1, 3 or 4",
                 p->height, p->width, p->channels, SQ_PNG_MOST_SIDE);
}

sq_status sq_png_encode(const sq_png *picture, void **bytes, int64_t *size) {
  SQ_TRY(check_picture(picture));
  sq_png borrowed = *picture;
  job j = {.picture = &borrowed};
  sq_status status = encode_png(&j);
  png_destroy_write_struct(&j.png, &j.info);
  if (status != SQ_OK) {
    sq_free(j.to);
    return status;
  }
  *bytes = j.to;
  *size = j.size;
  return SQ_OK;
}
