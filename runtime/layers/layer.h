/* layer.h: what all layers share: parameters and buffers by name, a class with a row in
 * layer.def. */
#ifndef SQ_LAYERS_LAYER_H
#define SQ_LAYERS_LAYER_H

#include "autograd/op.h"
#include "autograd/tape.h"

typedef struct sq_layer sq_layer;

/* One kind of layer. */
typedef struct sq_layer_class {
  const char *name;      /* "Linear" */
  const char *signature; /* of the constructor */
  const char *call;      /* the signature of forward */
  const char *call_doc;  /* what forward takes and gives, where doc does not say all; or NULL */
  const char *doc;       /* formula and shapes in a line or two */
  size_t size;           /* of the struct that begins with sq_layer */
  const char *optional;  /* names of tensors that some settings leave out, "weight bias"; or NULL */

  /* Fills a zeroed layer from complete arguments, which it asks for by name, and makes its
   * parameters. On failure the caller drops the layer. [fails: arg, shape, nomem] */
  sq_status (*init)(sq_layer *l, const sq_args *a);

  /* out[0..] = the layer at work; arguments are complete, in the order of `call`.
   * [new | fails: as the ops it is made of] */
  sq_status (*forward)(sq_layer *l, const sq_arg *arg, sq_tensor **out);

  /* "128 -> 10": what stands in print(model) and in errors. May be NULL. */
  void (*describe)(const sq_layer *l, char *buf, size_t n);

  /* Sets the parameters as the constructor does, drawing from the default generator. May be NULL.
   * [fails: nomem] */
  sq_status (*reset)(sq_layer *l);
} sq_layer_class;

/* A named tensor of a layer: a parameter, or a buffer that is saved and not trained. */
typedef struct sq_named {
  char name[48];
  sq_tensor *tensor;
  bool buffer;
} sq_named;

struct sq_layer {
  const sq_layer_class *class;
  const sq_signature *call; /* of forward, read once for each class; borrowed */
  bool training;
  int entries;
  int64_t room;
  sq_named *entry; /* in the order of PyTorch's named_parameters, then buffers */
};

/* All classes, ending with NULL. [borrow] */
const sq_layer_class *const *sq_layer_classes(void);

/* The class of that name, "Linear". [borrow | fails: arg, with the nearest name | any thread] */
SQ_CHECKED sq_status sq_layer_class_of(const char *name, const sq_layer_class **out);

/* A layer of that class; missing arguments take their defaults.
 * [new | fails: arg, shape, nomem | Lua thread] */
SQ_CHECKED sq_status sq_layer_new(const sq_layer_class *class, int nargs, const sq_arg *args,
                                  sq_layer **out);

/* out[0..] = the layer at work; missing arguments take their defaults, and `out` has room for the
 * results of its `call`. [new | fails: arg, and as the ops it is made of | Lua thread] */
SQ_CHECKED sq_status sq_layer_forward(sq_layer *l, int nargs, const sq_arg *args, sq_tensor **out);

/* Frees the layer and drops its tensors. NULL is allowed. [take | Lua thread] */
void sq_layer_drop(sq_layer *l);

/* The tensor of that name, NULL without one. [borrow] */
sq_tensor *sq_layer_get(const sq_layer *l, const char *name);

/* True when the layer was made without that tensor, which others of its class have. */
bool sq_layer_lacks(const sq_layer *l, const char *name);

/* Puts another tensor of the same shape in place of one: how weights are shared and converted.
 * [keep | fails: arg, no such name; shape | Lua thread] */
SQ_CHECKED sq_status sq_layer_set(sq_layer *l, const char *name, sq_tensor *t);

/* For layers: adds a tensor under a name made like printf's; a parameter is marked as one and
 * requires a gradient.
 * [take, also on failure | fails: nomem] */
SQ_CHECKED sq_status sq_layer_add(sq_layer *l, sq_tensor *t, bool buffer, const char *name, ...)
    SQ_PRINTF(4, 5);

/* For layers: t ~ U(-bound, bound) from the default generator, in place. [fails: nomem] */
void sq_init_uniform(sq_tensor *t, double bound);

/* The bound that kaiming_uniform_(a = sqrt 5) gives a weight with that fan-in: 1/sqrt(fan_in) to
 * PyTorch's rounding. */
double sq_init_default_bound(int64_t fan_in);

/* For layers: the two numbers of a pair, or an int twice; and the way back, for images of one dim
 * an int. */
void sq_layer_read_pair(const sq_arg *a, int64_t *pair);
sq_arg sq_layer_pair(int dims, const int64_t *pair);

/* Fails unless a size given to a constructor is at least `least`. [fails: arg] */
SQ_CHECKED sq_status sq_layer_want_size(const char *layer, const char *what, int64_t value,
                                        int64_t least);

#endif
