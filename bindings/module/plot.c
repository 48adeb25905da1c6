/* plot.c: figures and their axes as userdata. Series are given as lists of numbers or as
 * tensors. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "bind/part.h"
#include "module/open.h"
#include "plot/plot.h"

static const bind_class figure_class, axes_class;

static void drop_figure(void *object) { sq_figure_free(object); }
static void drop_axes(void *object) {
  (void)object;
} /* belongs to the figure, which user value 1 keeps */

/* --- series --------------------------------------------------------------------------------- */

/* Doubles in a userdata on the stack; NULL for nil. */
typedef struct series {
  int64_t n;
  double *v;
} series;

static double *push_doubles(lua_State *L, int64_t n) {
  luaL_checkstack(L, 4, NULL);
  return lua_newuserdatauv(L, (size_t)(n + 1) * sizeof(double), 0);
}

static series from_tensor(lua_State *L, const sq_tensor *t) {
  series s = {t->numel, push_doubles(L, t->numel)};
  for (int64_t i = 0; i < s.n; i++) s.v[i] = sq_tensor_get(t, i);
  return s;
}

static series from_list(lua_State *L, int at, const char *what) {
  series s = {(int64_t)lua_rawlen(L, at), NULL};
  s.v = push_doubles(L, s.n);
  for (int64_t i = 0; i < s.n; i++) {
    if (lua_rawgeti(L, at, i + 1) != LUA_TNUMBER) {
      const char *got = bind_describe(L, -1);
      bind_error(L, "[%s] item %d is %s: it must be a number", what, (int)i + 1, got);
    }
    s.v[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  return s;
}

static series read_series(lua_State *L, const sq_arg *arg, const char *what) {
  if (arg->kind == SQ_ARG_NIL) return (series){0};
  if (bind_test(L, arg->stack, bind_tensor_class))
    return from_tensor(L, bind_tensor(L, arg->stack));
  if (lua_type(L, arg->stack) == LUA_TTABLE) return from_list(L, arg->stack, what);
  const char *got = bind_describe(L, arg->stack);
  bind_error(L, "[%s] expected a list of numbers or a Tensor, got %s", what, got);
  return (series){0};
}

/* x and y; with y left out, x is y and its positions count from 1. */
static void read_xy(lua_State *L, const char *what, const sq_arg *first, const sq_arg *second,
                    series *x, series *y) {
  *x = read_series(L, first, what);
  *y = read_series(L, second, what);
  if (!y->v) {
    *y = *x;
    *x = (series){y->n, NULL};
  } else if (x->n != y->n) {
    bind_error(L, "[%s] x has %d numbers, y has %d: they must be as many", what, (int)x->n,
               (int)y->n);
  }
}

#define STYLE                                                                                 \
  "color: string? = nil, label: string? = nil, dash: \"-\"|\"--\"|\":\"|\"-.\" = -, marker: " \
  "string? = nil, "                                                                           \
  "width: number = 0, size: number = 0, alpha: number = 0"

static const char *text_or_null(const sq_arg *arg) {
  return arg->kind == SQ_ARG_STRING ? arg->string : NULL;
}

/* The arguments that STYLE stands for. */
static sq_plot_style read_style(const sq_arg *arg) {
  enum { COLOR, LABEL, DASH, MARKER, WIDTH, SIZE, ALPHA };
  return (sq_plot_style){.color = text_or_null(&arg[COLOR]),
                         .label = text_or_null(&arg[LABEL]),
                         .dash = text_or_null(&arg[DASH]),
                         .marker = text_or_null(&arg[MARKER]),
                         .width = arg[WIDTH].number,
                         .size = arg[SIZE].number,
                         .alpha = arg[ALPHA].number};
}

/* --- Axes ----------------------------------------------------------------------------------- */

static int axes_line(lua_State *L, const sq_arg *arg) {
  enum { SELF, X, Y, COLOR };
  series x, y;
  read_xy(L, "line", &arg[X], &arg[Y], &x, &y);
  sq_plot_style style = read_style(&arg[COLOR]);
  BIND_TRY(L, sq_axes_line(arg[SELF].object, y.n, x.v, y.v, &style));
  return bind_give_self(L);
}

static int axes_scatter(lua_State *L, const sq_arg *arg) {
  enum { SELF, X, Y, COLOR };
  series x, y;
  read_xy(L, "scatter", &arg[X], &arg[Y], &x, &y);
  sq_plot_style style = read_style(&arg[COLOR]);
  BIND_TRY(L, sq_axes_scatter(arg[SELF].object, y.n, x.v, y.v, &style));
  return bind_give_self(L);
}

/* Texts of a list, in a userdata on the stack; NULL for nil. */
static const char **read_names(lua_State *L, const sq_arg *arg, int64_t n) {
  if (arg->kind == SQ_ARG_NIL) return NULL;
  if ((int64_t)lua_rawlen(L, arg->stack) != n) {
    bind_error(L, "[bar] names has %d texts for %d bars", (int)lua_rawlen(L, arg->stack), (int)n);
  }
  const char **names = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *names, 0);
  for (int64_t i = 0; i < n; i++) {
    if (lua_rawgeti(L, arg->stack, i + 1) != LUA_TSTRING)
      bind_error(L, "[bar] name %d is no text", (int)i + 1);
    names[i] = lua_tostring(L, -1); /* the list keeps it */
    lua_pop(L, 1);
  }
  return names;
}

static int axes_bar(lua_State *L, const sq_arg *arg) {
  enum { SELF, X, Y, NAMES, COLOR };
  series x, y;
  read_xy(L, "bar", &arg[X], &arg[Y], &x, &y);
  sq_plot_style style = read_style(&arg[COLOR]);
  const char **names = read_names(L, &arg[NAMES], y.n);
  BIND_TRY(L, sq_axes_bar(arg[SELF].object, y.n, x.v, y.v, names, &style));
  return bind_give_self(L);
}

static int axes_hist(lua_State *L, const sq_arg *arg) {
  enum { SELF, VALUES, BINS, COLOR };
  series values = read_series(L, &arg[VALUES], "hist");
  sq_plot_style style = read_style(&arg[COLOR]);
  BIND_TRY(L, sq_axes_hist(arg[SELF].object, values.n, values.v, arg[BINS].integer, &style));
  return bind_give_self(L);
}

static int axes_band(lua_State *L, const sq_arg *arg) {
  enum { SELF, X, LO, HI, COLOR };
  series x = read_series(L, &arg[X], "band"), lo = read_series(L, &arg[LO], "band"),
         hi = read_series(L, &arg[HI], "band");
  if (lo.n != hi.n || x.n != lo.n) {
    bind_error(L, "[band] x, lo and hi have %d, %d and %d numbers: they must be as many", (int)x.n,
               (int)lo.n, (int)hi.n);
  }
  sq_plot_style style = read_style(&arg[COLOR]);
  BIND_TRY(L, sq_axes_band(arg[SELF].object, lo.n, x.v, lo.v, hi.v, &style));
  return bind_give_self(L);
}

/* (Y,X), or (C,Y,X) with C = 1, 3, 4, as the C API's (Y,X,C). */
static int axes_image(lua_State *L, const sq_arg *arg) {
  enum { SELF, X, LO, HI, CMAP };
  const sq_tensor *t = arg[X].tensor;
  int64_t C = t->ndim == 3 ? t->shape[0] : 1;
  if (t->ndim < 2 || t->ndim > 3 || (C != 1 && C != 3 && C != 4)) {
    return bind_error(L, "[image] x is %s: it must be (Y,X), or (C,Y,X) with 1, 3 or 4 colours",
                      sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  }
  int64_t rows = t->shape[t->ndim - 2], columns = t->shape[t->ndim - 1];
  double *v = push_doubles(L, t->numel);
  for (int64_t i = 0; i < rows * columns; i++) {
    for (int64_t c = 0; c < C; c++) v[i * C + c] = sq_tensor_get(t, c * rows * columns + i);
  }
  BIND_TRY(L, sq_axes_image(arg[SELF].object, rows, columns, C, v, arg[LO].number, arg[HI].number,
                            text_or_null(&arg[CMAP])));
  return bind_give_self(L);
}

static void read_axis_limits(lua_State *L, sq_axes *axes, const sq_arg *arg, const char *what,
                             sq_status (*set)(sq_axes *axes, double lo, double hi)) {
  if (arg->kind == SQ_ARG_NIL) return;
  if (arg->numbers.n != 2)
    bind_error(L, "[set] %s has %d numbers: it must be {lo, hi}", what, arg->numbers.n);
  BIND_TRY(L, set(axes, arg->numbers.v[0], arg->numbers.v[1]));
}

static int axes_set(lua_State *L, const sq_arg *arg) {
  enum { SELF, TITLE, XLABEL, YLABEL, XLIM, YLIM, XSCALE, YSCALE };
  sq_axes *axes = arg[SELF].object;
  if (text_or_null(&arg[TITLE])) BIND_TRY(L, sq_axes_set_title(axes, arg[TITLE].string));
  if (text_or_null(&arg[XLABEL])) BIND_TRY(L, sq_axes_set_xlabel(axes, arg[XLABEL].string));
  if (text_or_null(&arg[YLABEL])) BIND_TRY(L, sq_axes_set_ylabel(axes, arg[YLABEL].string));
  read_axis_limits(L, axes, &arg[XLIM], "xlim", sq_axes_set_xlim);
  read_axis_limits(L, axes, &arg[YLIM], "ylim", sq_axes_set_ylim);
  if (text_or_null(&arg[XSCALE])) BIND_TRY(L, sq_axes_set_xscale(axes, arg[XSCALE].string));
  if (text_or_null(&arg[YSCALE])) BIND_TRY(L, sq_axes_set_yscale(axes, arg[YSCALE].string));
  return bind_give_self(L);
}

static int axes_legend(lua_State *L, const sq_arg *arg) {
  enum { SELF, PLACE };
  BIND_TRY(L, sq_axes_legend(arg[SELF].object, text_or_null(&arg[PLACE])));
  return bind_give_self(L);
}

static const bind_fn axes_methods[] = {
    {"line", "(self: Axes, x: any, y: any? = nil, " STYLE ") -> Axes",
     "A line through (x, y), lists or tensors; with y left out, x holds the heights.", axes_line},
    {"scatter", "(self: Axes, x: any, y: any? = nil, " STYLE ") -> Axes",
     "A marker at each (x, y).", axes_scatter},
    {"bar", "(self: Axes, x: any, y: any? = nil, names: table? = nil, " STYLE ") -> Axes",
     "A bar from 0 to each y; names stand under them.", axes_bar},
    {"hist", "(self: Axes, values: any, bins: int = 0, " STYLE ") -> Axes",
     "How many values fall in each of `bins` equal ranges; 0 chooses.", axes_hist},
    {"band", "(self: Axes, x: any, lo: any, hi: any, " STYLE ") -> Axes",
     "The area between lo and hi.", axes_band},
    {"image",
     "(self: Axes, x: Tensor, lo: number = 0, hi: number = 0, cmap: string? = nil) -> Axes",
     "A picture (Y,X) or (C,Y,X); lo to hi is its range, both 0: found from it.", axes_image},
    {"set",
     "(self: Axes, title: string? = nil, xlabel: string? = nil, ylabel: string? = nil, xlim: "
     "numbers? = nil, "
     "ylim: numbers? = nil, xscale: string? = nil, yscale: string? = nil) -> Axes",
     "Texts, ranges {lo, hi} and scales (linear or log).", axes_set},
    {"legend", "(self: Axes, place: string? = nil) -> Axes",
     "Shows the labels, where they hide least unless told.", axes_legend},
    {0}};

static const bind_class axes_class = {
    .name = "Axes", .doc = "One panel of a figure.", .methods = axes_methods, .drop = drop_axes};

/* --- Figure --------------------------------------------------------------------------------- */

static int plot_figure(lua_State *L, const sq_arg *arg) {
  enum { ROWS, COLS, WIDTH, HEIGHT, TITLE };
  bind_box *box = bind_new(L, &figure_class, 0);
  sq_figure_spec spec = {arg[ROWS].integer, arg[COLS].integer, arg[WIDTH].number,
                         arg[HEIGHT].number, text_or_null(&arg[TITLE])};
  sq_figure *f = NULL;
  BIND_TRY(L, sq_figure_new(&spec, &f));
  box->object = f;
  return 1;
}

/* axes(row, col): positions from 1. */
static int figure_axes(lua_State *L, const sq_arg *arg) {
  enum { SELF, ROW, COL };
  sq_axes *a = NULL;
  BIND_TRY(L, sq_figure_axes(arg[SELF].object, arg[ROW].integer, arg[COL].integer, &a));
  bind_box *box = bind_new(L, &axes_class, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  box->object = a;
  return 1;
}

static int figure_save(lua_State *L, const sq_arg *arg) {
  enum { SELF, PATH };
  BIND_TRY(L, sq_figure_save(arg[SELF].object, arg[PATH].string));
  return 0;
}

static int figure_show(lua_State *L, const sq_arg *arg) { return part_call(L, "show", arg); }

static const bind_fn figure_methods[] = {
    {"axes", "(self: Figure, row: position = 1, col: position = 1) -> Axes",
     "The panel in that row and column.", figure_axes},
    {"save", "(self: Figure, path: string)", "Writes the figure as .png, .svg or .pdf.",
     figure_save},
    {"show", "(self: Figure)", "Shows the figure in the terminal, as image.show does.",
     figure_show},
    {0}};

static const bind_class figure_class = {.name = "Figure",
                                        .doc = "Axes in rows and columns on one page.",
                                        .methods = figure_methods,
                                        .drop = drop_figure};

static const bind_fn functions[] = {
    {"figure",
     "(rows: int = 1, cols: int = 1, width: number = 0, height: number = 0, title: string? = nil) "
     "-> Figure",
     "An empty figure; width and height in points, 0: what it needs.", plot_figure},
    {0}};

void open_plot(lua_State *L) {
  lua_newtable(L);
  bind_class_open(L, &figure_class);
  bind_class_open(L, &axes_class);
  bind_functions(L, "sq.plot", functions);
  part_open_table(L, "sq.plot");
}
