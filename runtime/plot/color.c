/* color.c: colours by name, the palette of series, colour maps of pictures. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "plot/plot_priv.h"

/* Okabe and Ito (2008), told apart by colour-blind readers; yellow, faint on white, comes last. */
static const uint32_t palette[] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7,
                                   0xe69f00, 0x56b4e9, 0x000000, 0xb8a800};
enum { PALETTE = sizeof palette / sizeof *palette };

static const struct {
  const char *name;
  uint32_t value;
} names[] = {
    {"black", 0x000000},     {"white", 0xffffff},     {"gray", 0x808080},
    {"grey", 0x808080},      {"silver", 0xc0c0c0},    {"lightgray", 0xd3d3d3},
    {"lightgrey", 0xd3d3d3}, {"darkgray", 0xa9a9a9},  {"darkgrey", 0xa9a9a9},
    {"red", 0xff0000},       {"darkred", 0x8b0000},   {"crimson", 0xdc143c},
    {"tomato", 0xff6347},    {"orange", 0xffa500},    {"darkorange", 0xff8c00},
    {"gold", 0xffd700},      {"yellow", 0xffff00},    {"olive", 0x808000},
    {"green", 0x008000},     {"darkgreen", 0x006400}, {"lime", 0x00ff00},
    {"teal", 0x008080},      {"cyan", 0x00ffff},      {"aqua", 0x00ffff},
    {"skyblue", 0x87ceeb},   {"steelblue", 0x4682b4}, {"blue", 0x0000ff},
    {"navy", 0x000080},      {"indigo", 0x4b0082},    {"purple", 0x800080},
    {"violet", 0xee82ee},    {"magenta", 0xff00ff},   {"fuchsia", 0xff00ff},
    {"pink", 0xffc0cb},      {"brown", 0xa52a2a},     {"maroon", 0x800000},
    {"salmon", 0xfa8072},    {"coral", 0xff7f50},     {"turquoise", 0x40e0d0},
};

static sq_rgb from_hex(uint32_t v) {
  return (sq_rgb){(double)(v >> 16 & 255) / 255, (double)(v >> 8 & 255) / 255,
                  (double)(v & 255) / 255};
}

sq_rgb sq__color_palette(int i) { return from_hex(palette[i % PALETTE]); }

/* "#rgb" or "#rrggbb". */
static bool parse_hex(const char *name, uint32_t *out) {
  size_t n = strlen(name);
  if (name[0] != '#' || (n != 4 && n != 7)) return false;
  uint32_t value = 0;
  for (size_t i = 1; i < n; i++) {
    int c = tolower((unsigned char)name[i]);
    if (!isxdigit(c)) return false;
    uint32_t digit = (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    value = n == 4 ? value << 8 | digit << 4 | digit : value << 4 | digit;
  }
  *out = value;
  return true;
}

sq_status sq__color_parse(const char *name, sq_rgb *out) {
  uint32_t value;
  if (parse_hex(name, &value)) {
    *out = from_hex(value);
    return SQ_OK;
  }
  if (name[0] == 'C' && name[1] >= '0' && name[1] < '0' + PALETTE && name[2] == 0) {
    *out = sq__color_palette(name[1] - '0');
    return SQ_OK;
  }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcasecmp(name, names[i].name) != 0) continue;
    *out = from_hex(names[i].value);
    return SQ_OK;
  }
  return sq_fail(SQ_EARG,
                 "[plot] no colour is called '%s': #rrggbb, C0 to C7 of the palette, or a name "
                 "such as black, gray, red, orange, green, teal, blue, purple, brown",
                 name);
}

/* --- colour maps: stops at equal distances, straight lines between them --------------------- */

struct sq_colormap {
  const char *name;
  int n;
  uint32_t stop[9];
};

static const sq_colormap maps[] = {
    {"gray", 2, {0x000000, 0xffffff}},
    {"gray_r", 2, {0xffffff, 0x000000}},
    {"viridis",
     9, /* Smith and van der Walt, 2015; perceptually even, as magma */
     {0x440154, 0x472d7b, 0x3b528b, 0x2c728e, 0x21918c, 0x28ae80, 0x5ec962, 0xaddc30, 0xfde725}},
    {"magma",
     9,
     {0x000004, 0x1c1044, 0x4f127b, 0x812581, 0xb5367a, 0xe55064, 0xfb8761, 0xfec287, 0xfcfdbf}},
    {"coolwarm",
     9, /* Moreland 2009; the middle is neutral */
     {0x3b4cc0, 0x6282ea, 0x8db0fe, 0xb8d0f9, 0xdddddd, 0xf5c4ad, 0xf49a7b, 0xde604d, 0xb40426}},
};

sq_status sq__colormap_find(const char *name, const sq_colormap **out) {
  for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
    if (strcmp(name, maps[i].name) != 0) continue;
    *out = &maps[i];
    return SQ_OK;
  }
  return sq_fail(SQ_EARG,
                 "[plot] no colour map is called '%s': gray, gray_r, viridis, magma or coolwarm",
                 name);
}

sq_rgb sq__colormap_at(const sq_colormap *map, double t) {
  t = t > 0 ? t < 1 ? t : 1 : 0;
  double at = t * (map->n - 1);
  int i = at < map->n - 2 ? (int)at : map->n - 2;
  double part = at - i;
  sq_rgb a = from_hex(map->stop[i]), b = from_hex(map->stop[i + 1]);
  return (sq_rgb){a.r + (b.r - a.r) * part, a.g + (b.g - a.g) * part, a.b + (b.b - a.b) * part};
}
