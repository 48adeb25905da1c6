/* embedding.c: rows of a table by index. */
#include <inttypes.h>
#include <stdio.h>

#include "layers/layer.h"

typedef struct embedding {
  sq_layer base;
  int64_t N, D, padding; /* padding: -1 for none */
} embedding;

static sq_status init(sq_layer *l, const sq_args *a) {
  embedding *e = (embedding *)l;
  const sq_arg *padding = sq_args_get(a, "padding_idx");
  e->N = sq_args_get(a, "num_embeddings")->integer;
  e->D = sq_args_get(a, "embedding_dim")->integer;
  e->padding = -1;
  SQ_TRY(sq_layer_want_size("Embedding", "num_embeddings", e->N, 0));
  SQ_TRY(sq_layer_want_size("Embedding", "embedding_dim", e->D, 0));
  if (padding->kind == SQ_ARG_INT) {
    int64_t at = padding->integer;
    if (at < -e->N || at >= e->N) {
      return sq_fail(SQ_EARG,
                     "[nn.Embedding] padding_idx is %" PRId64 ": indices are 0 to %" PRId64, at,
                     e->N - 1);
    }
    e->padding = at < 0 ? at + e->N : at;
  }
  sq_tensor *t;
  SQ_TRY(sq_tensor_new(sq_args_get(a, "dtype")->dtype, 2, (int64_t[]){e->N, e->D}, &t));
  return sq_layer_add(l, t, false, "weight");
}

/* weight ~ N(0, 1), row padding_idx 0, as nn.Embedding.reset_parameters. */
static sq_status reset(sq_layer *l) {
  const embedding *e = (const embedding *)l;
  sq_tensor *w = l->entry[0].tensor;
  SQ_OWN sq_tensor *row = NULL;
  if (e->padding >= 0)
    SQ_TRY(sq_tensor_window(w, 1, &e->D, (int64_t[]){1}, e->padding * e->D, &row));
  sq_rng_normal(sq_rng_default(), w->dtype, w->numel, 0, 1, sq_data(w));
  sq_tensor_changed(w);
  return row ? sq_tensor_fill(row, 0) : SQ_OK;
}

/* Of the call. */
enum { INPUT };

static sq_status forward(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const embedding *e = (const embedding *)l;
  sq_arg padding = e->padding >= 0 ? SQ_I(e->padding) : (sq_arg){0};
  return SQ_APPLY(embedding, out, arg[INPUT], SQ_T(l->entry[0].tensor), padding);
}

static void describe(const sq_layer *l, char *buf, size_t n) {
  const embedding *e = (const embedding *)l;
  char padding[48] = "";
  if (e->padding >= 0) snprintf(padding, sizeof padding, ", padding_idx=%" PRId64, e->padding);
  snprintf(buf, n, "%" PRId64 " x %" PRId64 "%s", e->N, e->D, padding);
}

const sq_layer_class sq__layer_embedding = {
    .name = "Embedding",
    .signature =
        "(num_embeddings: int, embedding_dim: int, padding_idx: int? = nil, "
        "dtype: dtype = float32) -> Embedding",
    .call = "(input: Tensor) -> Tensor",
    .doc =
        "Row input[...] of weight (N,D), indices from 0: (...) -> (...,D); row padding_idx starts "
        "as 0 and is not trained.",
    .size = sizeof(embedding),
    .init = init,
    .forward = forward,
    .describe = describe,
    .reset = reset,
};
