/* einsum.c: Einstein's notation, two operands at a time: each pair is one batched product of
 * (batch, left, sum) with (batch, sum, right). */
#include "tensor/einsum.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "tensor/product.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

int sq_term_find(const sq_term *term, char label) {
  for (int i = 0; i < term->n; i++)
    if (term->label[i] == label) return i;
  return -1;
}

/* --- reading -------------------------------------------------------------------------------- */

static sq_status push_label(sq_term *t, char label) {
  if (t->n == SQ_MAX_DIMS)
    return sq_fail(SQ_ESHAPE, "[einsum] a term has at most %d labels", SQ_MAX_DIMS);
  t->label[t->n++] = label;
  return SQ_OK;
}

/* One term, up to a comma, an arrow or the end; "..." stands for `dots` dims. */
static sq_status read_labels(const char **at, int dots, sq_term *t) {
  t->n = 0;
  for (; **at && **at != ',' && **at != '-'; (*at)++) {
    if (**at == ' ') continue;
    if (strncmp(*at, "...", 3) == 0) {
      for (int i = dots; i > 0; i--) SQ_TRY(push_label(t, (char)i));
      *at += 2;
    } else if (isalpha((unsigned char)**at)) {
      SQ_TRY(push_label(t, **at));
    } else {
      return sq_fail(SQ_EARG, "[einsum] '%c' is no label: terms are letters and \"...\"", **at);
    }
  }
  return SQ_OK;
}

/* How many dims "..." stands for in an operand; 0 without it. */
static int dots_of(const char *at, int ndim) {
  int letters = 0, dots = 0;
  for (; *at && *at != ',' && *at != '-'; at++) {
    letters += isalpha((unsigned char)*at) != 0;
    dots += *at == '.';
  }
  return dots ? ndim - letters : 0;
}

static int compare_labels(const sq_term *term, int n, char label) {
  int seen = 0;
  for (int k = 0; k < n; k++)
    for (int i = 0; i < term[k].n; i++) seen += term[k].label[i] == label;
  return seen;
}

static sq_status implicit_result(int n, const sq_term *term, int dots, sq_term *out) {
  out->n = 0;
  for (int i = dots; i > 0; i--) SQ_TRY(push_label(out, (char)i));
  for (char l = 'A'; l <= 'z'; l++)
    if (isalpha((unsigned char)l) && compare_labels(term, n, l) == 1) SQ_TRY(push_label(out, l));
  return SQ_OK;
}

static sq_status check_result_term(int n, const sq_term *term, const sq_term *out) {
  for (int i = 0; i < out->n; i++) {
    char l = out->label[i];
    if (compare_labels(term, n, l) == 0)
      return sq_fail(SQ_EARG, "[einsum] the result's label '%c' is in no operand", l);
    if (sq_term_find(out, l) != i)
      return sq_fail(SQ_EARG, "[einsum] the result has label '%c' twice", l);
  }
  return SQ_OK;
}

sq_status sq_einsum_parse(const char *equation, int n, sq_tensor *const *in, sq_term *term,
                          sq_term *out) {
  const char *at = equation;
  int dots = 0;
  for (int k = 0; k < n; k++) {
    if (k > 0 && *at++ != ',')
      return sq_fail(SQ_EARG, "[einsum] \"%s\" has %d terms, %d operands are given", equation, k,
                     n);
    int mine = dots_of(at, in[k]->ndim);
    dots = mine > dots ? mine : dots;
    SQ_TRY(read_labels(&at, mine, &term[k]));
    if (mine < 0 || term[k].n != in[k]->ndim) {
      return sq_fail(SQ_ESHAPE, "[einsum] operand %d is %s: its term in \"%s\" has %d labels",
                     k + 1, sq_tensor_shape_text(in[k], SQ_SHAPE_BUF), equation, term[k].n);
    }
  }
  if (*at == ',')
    return sq_fail(SQ_EARG, "[einsum] \"%s\" has more terms than the %d operands", equation, n);
  if (!*at) return implicit_result(n, term, dots, out);
  if (strncmp(at, "->", 2) != 0) return sq_fail(SQ_EARG, "[einsum] \"%s\": expected ->", equation);
  at += 2;
  SQ_TRY(read_labels(&at, dots, out));
  if (*at) return sq_fail(SQ_EARG, "[einsum] \"%s\" goes on behind the result", equation);
  return check_result_term(n, term, out);
}

/* --- windows -------------------------------------------------------------------------------- */

sq_status sq_einsum_diagonal(sq_tensor *t, const sq_term *term, sq_term *once, sq_tensor **out) {
  int64_t shape[SQ_MAX_DIMS], stride[SQ_MAX_DIMS];
  once->n = 0;
  for (int i = 0; i < term->n; i++) {
    int at = sq_term_find(once, term->label[i]);
    if (at < 0) {
      at = once->n++;
      once->label[at] = term->label[i];
      shape[at] = t->shape[i];
      stride[at] = t->stride[i];
    } else if (shape[at] != t->shape[i]) {
      return sq_fail(SQ_ESHAPE, "[einsum] label '%c' is %" PRId64 " and %" PRId64 " in one operand",
                     term->label[i], shape[at], t->shape[i]);
    } else {
      stride[at] += t->stride[i];
    }
  }
  return sq_tensor_window(t, once->n, shape, stride, t->offset, out);
}

/* An operand on its way: its tensor and labels. */
typedef struct part {
  sq_tensor *t;
  sq_term term;
} part;

/* Drops dims of size 1 whose label is larger elsewhere: they broadcast. */
static sq_status drop_broadcast(part *p, const int64_t *size) {
  unsigned mask = 0;
  sq_term kept = {0};
  for (int i = 0; i < p->term.n; i++) {
    char l = p->term.label[i];
    if (p->t->shape[i] == 1 && size[(int)l] != 1) {
      mask |= 1u << i;
    } else {
      kept.label[kept.n++] = l;
    }
  }
  if (!mask) return SQ_OK;
  SQ_OWN sq_tensor *before = p->t;
  p->t = NULL;
  p->term = kept;
  return sq_squeeze(before, mask, &p->t);
}

/* Sums over the labels that nobody needs. */
static sq_status sum_unneeded(part *p, const bool *needed) {
  unsigned mask = 0;
  sq_term kept = {0};
  for (int i = 0; i < p->term.n; i++) {
    if (needed[(int)p->term.label[i]]) {
      kept.label[kept.n++] = p->term.label[i];
    } else {
      mask |= 1u << i;
    }
  }
  if (!mask) return SQ_OK;
  SQ_OWN sq_tensor *before = p->t;
  p->t = NULL;
  p->term = kept;
  return sq_sum(before, mask, false, &p->t);
}

/* p with its dims in the order of `to`, which has the same labels. */
static sq_status reorder_part(part *p, const sq_term *to) {
  int order[SQ_MAX_DIMS];
  for (int i = 0; i < to->n; i++) order[i] = sq_term_find(&p->term, to->label[i]);
  SQ_OWN sq_tensor *before = p->t;
  p->t = NULL;
  p->term = *to;
  return sq_permute(before, order, &p->t);
}

/* --- products ------------------------------------------------------------------------------- */

/* The labels of a pair by what they are for. */
typedef struct roles {
  sq_term batch, sum, left, right;
} roles;

static roles sort_labels(const part *a, const part *b, const bool *needed) {
  roles r = {{0}, {0}, {0}, {0}};
  for (int i = 0; i < a->term.n; i++) {
    char l = a->term.label[i];
    sq_term *to = sq_term_find(&b->term, l) < 0 ? &r.left : needed[(int)l] ? &r.batch : &r.sum;
    to->label[to->n++] = l;
  }
  for (int i = 0; i < b->term.n; i++) {
    char l = b->term.label[i];
    if (sq_term_find(&a->term, l) < 0) r.right.label[r.right.n++] = l;
  }
  return r;
}

static sq_status append_labels(sq_term *t, const sq_term *more) {
  for (int i = 0; i < more->n; i++) SQ_TRY(push_label(t, more->label[i]));
  return SQ_OK;
}

static int64_t label_volume(const sq_term *t, const int64_t *size) {
  int64_t n = 1;
  for (int i = 0; i < t->n; i++) n *= size[(int)t->label[i]];
  return n;
}

/* p as (batch, x, y). */
static sq_status as_matrices(part *p, const roles *r, const sq_term *x, const sq_term *y,
                             const int64_t *size) {
  sq_term order = r->batch;
  SQ_TRY(append_labels(&order, x));
  SQ_TRY(append_labels(&order, y));
  SQ_TRY(reorder_part(p, &order));
  SQ_OWN sq_tensor *before = p->t;
  p->t = NULL;
  int64_t shape[] = {label_volume(&r->batch, size), label_volume(x, size), label_volume(y, size)};
  return sq_reshape(before, 3, shape, &p->t);
}

/* a = a b, summed over the shared labels that are not needed any more. */
static sq_status contract_parts(part *a, part *b, const bool *needed, const int64_t *size) {
  roles r = sort_labels(a, b, needed);
  sq_term result = r.batch;
  SQ_TRY(append_labels(&result, &r.left));
  SQ_TRY(append_labels(&result, &r.right));
  SQ_TRY(as_matrices(a, &r, &r.left, &r.sum, size));
  SQ_TRY(as_matrices(b, &r, &r.sum, &r.right, size));
  SQ_OWN sq_tensor *y = NULL, *before = a->t;
  a->t = NULL;
  SQ_TRY(sq_matmul("einsum", before, b->t, &y));
  int64_t shape[SQ_MAX_DIMS];
  for (int i = 0; i < result.n; i++) shape[i] = size[(int)result.label[i]];
  a->term = result;
  return sq_reshape(y, result.n, shape, &a->t);
}

static sq_status read_sizes(int n, const sq_term *term, sq_tensor *const *in, int64_t *size) {
  for (int l = 0; l < 128; l++) size[l] = 1;
  for (int k = 0; k < n; k++) {
    bool fits = sq_is_float(in[k]->dtype) || in[k]->dtype == SQ_I64;
    if (!fits || in[k]->dtype != in[0]->dtype) {
      return sq_fail(SQ_ETYPE,
                     "[einsum] operand %d is %s: all must be float32, all float64 or all int64",
                     k + 1, sq_dtype_name(in[k]->dtype));
    }
    for (int i = 0; i < term[k].n; i++) {
      int64_t *s = &size[(int)term[k].label[i]];
      if (*s != 1 && in[k]->shape[i] != 1 && *s != in[k]->shape[i]) {
        return sq_fail(SQ_ESHAPE,
                       "[einsum] label '%c' is %" PRId64 ", but %" PRId64 " in operand %d",
                       term[k].label[i], *s, in[k]->shape[i], k + 1);
      }
      if (*s == 1) *s = in[k]->shape[i];
    }
  }
  return SQ_OK;
}

/* Labels needed after operand k was taken in: the result's and those of operands behind it. */
static void mark_needed(int n, const part *p, int k, const sq_term *out, bool *needed) {
  memset(needed, 0, 128);
  for (int i = 0; i < out->n; i++) needed[(int)out->label[i]] = true;
  for (int j = k + 1; j < n; j++)
    for (int i = 0; i < p[j].term.n; i++) needed[(int)p[j].term.label[i]] = true;
}

static sq_status evaluate_parts(int n, part *p, const sq_term *out, const int64_t *size,
                                sq_tensor **y) {
  bool needed[128], mine[128];
  for (int k = 0; k < n; k++) {
    mark_needed(n, p, k, out, needed);
    if (k == 0) {
      SQ_TRY(sum_unneeded(&p[0], needed));
      continue;
    }
    memcpy(mine, needed, sizeof mine); /* what the other of the pair has is needed still */
    for (int i = 0; i < p[0].term.n; i++) mine[(int)p[0].term.label[i]] = true;
    SQ_TRY(sum_unneeded(&p[k], mine));
    SQ_TRY(contract_parts(&p[0], &p[k], needed, size));
    SQ_TRY(sum_unneeded(&p[0], needed));
  }
  SQ_TRY(reorder_part(&p[0], out));
  return sq_tensor_clone(p[0].t, y);
}

sq_status sq_einsum(int n, const sq_term *term, sq_tensor *const *in, const sq_term *out,
                    sq_tensor **y) {
  int64_t size[128];
  part p[SQ_EINSUM_MAX] = {0};
  SQ_TRY(read_sizes(n, term, in, size));
  sq_status st = SQ_OK;
  for (int k = 0; k < n && st == SQ_OK; k++) {
    st = sq_einsum_diagonal(in[k], &term[k], &p[k].term, &p[k].t);
    if (st == SQ_OK) st = drop_broadcast(&p[k], size);
  }
  if (st == SQ_OK) st = evaluate_parts(n, p, out, size, y);
  for (int k = 0; k < n; k++) sq_tensor_drop(p[k].t);
  return st;
}
