/* text.c: fonts, and text that is measured before it is placed. */
#include <math.h>

#include "plot/plot_priv.h"

static const double sizes[] = {
    [TEXT_TICK] = 8, [TEXT_LABEL] = 9, [TEXT_TITLE] = 10, [TEXT_FIGURE] = 13};

void sq__text_font(cairo_t *cr, int kind) {
  cairo_font_weight_t weight =
      kind == TEXT_FIGURE ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL;
  cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, weight);
  cairo_set_font_size(cr, sizes[kind]);
}

double sq__text_width(cairo_t *cr, const char *text) {
  cairo_text_extents_t e;
  cairo_text_extents(cr, text, &e);
  return e.x_advance;
}

double sq__text_height(cairo_t *cr) {
  cairo_font_extents_t e;
  cairo_font_extents(cr, &e);
  return e.ascent + e.descent;
}

void sq__text_fit(cairo_t *cr, int kind, const char *text, double room) {
  sq__text_font(cr, kind);
  double width = sq__text_width(cr, text);
  if (width > room && room > 0) cairo_set_font_size(cr, fmax(1, sizes[kind] * room / width));
}

void sq__text_draw(cairo_t *cr, double x, double y, double align, double angle, const char *text) {
  cairo_font_extents_t e;
  cairo_font_extents(cr, &e);
  cairo_save(cr);
  cairo_translate(cr, x, y);
  cairo_rotate(cr, angle);
  /* the middle of figures and capitals, which is what the eye takes for the middle of a line */
  cairo_move_to(cr, -align * sq__text_width(cr, text), (e.ascent - e.descent) * 0.5);
  cairo_show_text(cr, text);
  cairo_restore(cr);
}
