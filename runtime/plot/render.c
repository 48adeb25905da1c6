/* render.c: a figure as the bytes of a PNG, SVG or PDF file. */
#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"
#include "plot/plot_priv.h"

enum { PIXELS_PER_POINT = 2, MOST_PIXELS = 16384 };

typedef struct buffer {
  char *bytes;
  int64_t size, room;
} buffer;

static cairo_status_t take_bytes(void *context, const unsigned char *data, unsigned n) {
  buffer *b = context;
  void *bytes = b->bytes;
  if (sq_grow(b->size + (int64_t)n, 1, &bytes, &b->room) != SQ_OK) return CAIRO_STATUS_WRITE_ERROR;
  b->bytes = bytes;
  memcpy(b->bytes + b->size, data, n);
  b->size += (int64_t)n;
  return CAIRO_STATUS_SUCCESS;
}

static sq_status as_status(cairo_status_t code) {
  switch (code) {
    case CAIRO_STATUS_SUCCESS:
      return SQ_OK;
    case CAIRO_STATUS_WRITE_ERROR:
      return SQ_ENOMEM; /* take_bytes: sq_grow has said why */
    case CAIRO_STATUS_NO_MEMORY:
      return sq_fail(SQ_ENOMEM, "[plot] cairo is out of memory");
    case CAIRO_STATUS_INVALID_STRING:
      return sq_fail(SQ_EARG, "[plot] a title, label or name is not valid UTF-8");
    default:
      return sq_fail(SQ_ESTATE, "[plot] cairo: %s", cairo_status_to_string(code));
  }
}

/* Shapes without hinting: the same widths on every kind of page. */
static cairo_t *context_for(cairo_surface_t *surface) {
  cairo_t *cr = cairo_create(surface);
  cairo_font_options_t *options = cairo_font_options_create();
  cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
  cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
  cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
  cairo_set_font_options(cr, options);
  cairo_font_options_destroy(options);
  return cr;
}

static sq_status lay_out_page(sq_figure *figure, sq_page *page) {
  cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 1);
  cairo_t *cr = context_for(surface);
  sq_status status = sq__layout(figure, cr, page);
  cairo_status_t code = cairo_status(cr);
  cairo_destroy(cr);
  cairo_surface_destroy(surface);
  if (status != SQ_OK) return status;
  return as_status(code);
}

static double png_scale(const sq_page *p) {
  double most = fmax(p->width, p->height);
  return fmin(PIXELS_PER_POINT, MOST_PIXELS / most);
}

static cairo_surface_t *surface_for(const sq_page *p, sq_figure_kind kind, buffer *to) {
  double scale = png_scale(p);
  switch (kind) {
    case SQ_FIGURE_SVG:
      return cairo_svg_surface_create_for_stream(take_bytes, to, p->width, p->height);
    case SQ_FIGURE_PDF:
      return cairo_pdf_surface_create_for_stream(take_bytes, to, p->width, p->height);
    default:
      return cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(p->width * scale + 0.5),
                                        (int)(p->height * scale + 0.5));
  }
}

static sq_status draw_page(const sq_page *p, sq_figure_kind kind, buffer *to) {
  cairo_surface_t *surface = surface_for(p, kind, to);
  if (kind == SQ_FIGURE_PDF) /* the same figure, the same bytes: no time of making */
    cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_CREATE_DATE, "2000-01-01T00:00:00Z");
  cairo_t *cr = context_for(surface);
  if (kind == SQ_FIGURE_PNG) cairo_scale(cr, png_scale(p), png_scale(p));
  sq__draw_page(cr, p);
  cairo_show_page(cr);
  cairo_status_t code = cairo_status(cr);
  cairo_destroy(cr);
  if (code == CAIRO_STATUS_SUCCESS && kind == SQ_FIGURE_PNG)
    code = cairo_surface_write_to_png_stream(surface, take_bytes, to);
  cairo_surface_finish(surface);
  if (code == CAIRO_STATUS_SUCCESS) code = cairo_surface_status(surface);
  cairo_surface_destroy(surface);
  return as_status(code);
}

sq_status sq_figure_render(sq_figure *figure, sq_figure_kind kind, void **bytes, int64_t *size) {
  sq_page page = {0};
  buffer to = {0};
  sq_status status = lay_out_page(figure, &page);
  if (status == SQ_OK) status = draw_page(&page, kind, &to);
  sq_free(page.views);
  if (status != SQ_OK) {
    sq_free(to.bytes);
    return status;
  }
  *bytes = to.bytes;
  *size = to.size;
  return SQ_OK;
}

static sq_status kind_of_path(const char *path, sq_figure_kind *out) {
  static const char *const endings[] = {
      [SQ_FIGURE_PNG] = ".png", [SQ_FIGURE_SVG] = ".svg", [SQ_FIGURE_PDF] = ".pdf"};
  const char *dot = strrchr(path, '.');
  for (int i = 0; dot && i < 3; i++) {
    if (strcasecmp(dot, endings[i]) != 0) continue;
    *out = (sq_figure_kind)i;
    return SQ_OK;
  }
  return sq_fail(SQ_EARG, "[plot] '%s': a figure is saved as .png, .svg or .pdf", path);
}

sq_status sq_figure_save(sq_figure *figure, const char *path) {
  sq_figure_kind kind = SQ_FIGURE_PNG;
  SQ_TRY(kind_of_path(path, &kind));
  void *bytes;
  int64_t size;
  SQ_TRY(sq_figure_render(figure, kind, &bytes, &size));
  sq_status status = sq_file_write(path, bytes, size);
  sq_free(bytes);
  return status;
}
