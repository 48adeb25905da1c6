/* tape.h: gradients: who requires them, and backward. */
#ifndef SQ_AUTOGRAD_TAPE_H
#define SQ_AUTOGRAD_TAPE_H

#include "tensor/tensor.h"

/* Whether ops are recorded now; and the switch, which returns what it was. [Lua thread] */
bool sq_grad_enabled(void);
bool sq_grad_enable(bool on);

/* True when backward would bring t a gradient. */
bool sq_requires_grad(const sq_tensor *t);

/* True unless an op that is recorded made t. */
bool sq_is_leaf(const sq_tensor *t);

/* Makes t a leaf that collects its gradient, or one that does not. [fails: type, not a float;
 * state, switching off a result; nomem | Lua thread] */
SQ_CHECKED sq_status sq_set_requires_grad(sq_tensor *t, bool on);

/* Makes t a leaf without gradient; its content stays.
 * [fails: state, a view of what has a gradient | Lua thread] */
SQ_CHECKED sq_status sq_detach(sq_tensor *t);

/* Whether t is a module's to train, wherever it is put: the mark of nn.Parameter, which no result
 * of an op has. [fails: nomem | Lua thread] */
bool sq_is_parameter(const sq_tensor *t);
SQ_CHECKED sq_status sq_mark_parameter(sq_tensor *t);

/* The gradient collected so far, NULL for none. [borrow | Lua thread] */
sq_tensor *sq_grad(const sq_tensor *t);

/* Replaces the gradient; NULL clears it. [keep | fails: shape, type, nomem | Lua thread] */
SQ_CHECKED sq_status sq_set_grad(sq_tensor *t, sq_tensor *grad);

/* x.data = value: the elements of t become a copy of value's, unrecorded. A leaf takes value's
 * dtype and shape too, and its gradient that dtype; t stays the tensor it is to all who hold it. A
 * graph that used t as it was then refuses backward. [fails: state, a result and another shape or
 * dtype, or a gradient of another shape; type, no float where a gradient is required; nomem; then
 * nothing has changed | Lua thread] */
SQ_CHECKED sq_status sq_set_data(sq_tensor *t, sq_tensor *value);

/* The same for n leaves that become another dtype, with their gradients: all or none.
 * [fails: state, type, nomem | Lua thread] */
SQ_CHECKED sq_status sq_convert(int n, sq_tensor *const *t, sq_dtype dtype);

/* Asks that a result keep its gradient too. [fails: state, t requires none; nomem | Lua thread] */
SQ_CHECKED sq_status sq_retain_grad(sq_tensor *t);

/* What a backward leaves behind: what ops saved stays for another one; the backward is itself
 * recorded, so that gradients have gradients; inputs that are not reached are no error. */
enum { SQ_RETAIN_GRAPH = 1, SQ_CREATE_GRAPH = 2, SQ_ALLOW_UNUSED = 4 };

/* dL/dx into x.grad for every leaf x behind t, added to what is there. `grad` is dL/dt, NULL: 1 for
 * a tensor of one element. Saved tensors are freed on the way unless SQ_RETAIN_GRAPH is in `flags`.
 * With SQ_CREATE_GRAPH gradients are recorded, and leaves get new tensors instead of having theirs
 * changed. Iterative: depth does not matter. [fails: state (no graph, freed, a saved tensor changed
 * in place, or no second derivative: it names the op), shape, nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_backward(sq_tensor *t, sq_tensor *grad, unsigned flags);

/* out[i] = sum over outputs of d(outputs)/d(inputs[i]); grads[k] seeds output k (grads or an entry
 * NULL: 1). Leaves keep their .grad, and ops that do not lie between the two are left alone. An
 * input that is not reached gives NULL with SQ_ALLOW_UNUSED in `flags`, else an error.
 * [new | fails: as sq_backward | Lua thread] */
SQ_CHECKED sq_status sq_gradients(int outputs, sq_tensor *const *output, sq_tensor *const *grads,
                                  int inputs, sq_tensor *const *input, unsigned flags,
                                  sq_tensor **out);

/* The name of the op that made t, NULL for a leaf. [borrow | Lua thread] */
const char *sq_grad_fn(const sq_tensor *t);

/* A function that says where the script stands, for errors found later (the source's name, and its
 * line): called once for each recorded op, so it must be quick. NULL turns it off. [Lua thread] */
typedef int sq_locator(const char **source);
void sq_set_locator(sq_locator *locate);

#endif
