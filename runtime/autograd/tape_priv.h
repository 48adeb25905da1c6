/* tape_priv.h: nodes and edges of the tape, for the engine: not for the blocks of op_<family>.c. */
#ifndef SQ_AUTOGRAD_TAPE_PRIV_H
#define SQ_AUTOGRAD_TAPE_PRIV_H

#include "autograd/op_priv.h"

#include "base/limits.h"

enum { MAX_SAVED = 6 };

/* Where a gradient is collected; shared by the tensor that shows it and the graph that brings it.
 * The gradient itself goes with the tensor: were it the graph's too, a recorded gradient, whose
 * graph leads back to this slot, would hold itself. */
typedef struct sq_slot {
  int32_t refs;
  bool stale; /* the tensor has another dtype or shape by now: only graphs of before hold this */
  bool forgotten; /* that tensor is gone: nobody sees the gradient */
  uint8_t wanted; /* lanes of runs that go here */
  sq_tensor *grad;
} sq_slot;

/* What one input of a node was. Exactly one of node and slot is set when a gradient is wanted, else
 * neither. */
typedef struct sq_edge {
  sq_node *node; /* made by result `index` of this node */
  sq_slot *slot; /* or a leaf */
  int32_t index, ndim;
  sq_dtype dtype;
  int64_t shape[SQ_MAX_DIMS];
} sq_edge;

typedef struct sq_saved {
  sq_tensor *tensor;
  uint32_t version;
} sq_saved;

/* One recorded call. Nodes point to the nodes of their inputs and never the other way, so there are
 * no cycles. */
struct sq_node {
  int32_t refs;
  int32_t nin, nsaved;
  bool released;        /* what was saved is gone */
  bool lets_go;         /* neither it nor a node behind it holds a leaf */
  uint8_t seen, wanted; /* a bit for each run that goes to some inputs only: it came by, and this
                           node leads there */
  uint64_t seq;         /* grows with every node: inputs have smaller ones */
  const sq_op *op;
  const char *source; /* where the script stood, NULL if unknown */
  int line;
  sq_tensor *dy[SQ_MAX_OUT]; /* gradients on their way, during backward */
  sq_slot *slot[SQ_MAX_OUT]; /* of results whose gradient is retained */
  sq_node *next;             /* in the list of nodes being freed */
  sq_saved saved[MAX_SAVED];
  _Alignas(8) unsigned char values[SQ_MAX_VALUES];
  sq_edge edge[];
};

/* What autograd hangs on a tensor. */
typedef struct sq_meta {
  sq_extra base; /* first: an sq_extra is one */
  sq_node *node; /* NULL for a leaf */
  int32_t index;
  bool requires_grad, parameter;
  bool stand_in; /* it takes a leaf's place in a recorded backward: the slot is the leaf's */
  sq_slot *slot; /* NULL until a gradient is collected or retained */
  sq_tensor
      *viewed; /* the tensor this is a window on, itself no window; NULL if it owns its storage */
  uint32_t view_version; /* of the storage, when `node` was right for this window */
} sq_meta;

/* t's meta, made if it has none. [borrow | fails: nomem] */
SQ_CHECKED sq_status sq__meta(sq_tensor *t, sq_meta **out);
static inline sq_meta *sq__meta_of(const sq_tensor *t) { return (sq_meta *)t->extra; }

/* Where t's gradient is collected, made if it has none. [borrow | fails: nomem] */
SQ_CHECKED sq_status sq__slot_of(sq_tensor *t, sq_slot **out);

/* The tensor that t is a window on, NULL when t owns its storage, or when one of the two has got
 * another storage since. [borrow] */
static inline sq_tensor *sq__viewed(const sq_tensor *t) {
  const sq_meta *m = sq__meta_of(t);
  return m && m->viewed && m->viewed->storage == t->storage ? m->viewed : NULL;
}

/* A node with edges to those inputs. [new | fails: nomem] */
SQ_CHECKED sq_status sq__node_new(const sq_op *op, int nin, sq_tensor *const *in, sq_node **out);

/* Points an edge to where the gradient of t goes; a left-out input has none. [fails: nomem] */
SQ_CHECKED sq_status sq__edge_to(sq_tensor *t, sq_edge *e);

/* References to slots and nodes; the last frees them. Dropping NULL does nothing. */
void sq__slot_drop(sq_slot *s);
sq_node *sq__node_keep(sq_node *n);
void sq__node_drop(sq_node *n); /* iterative */

/* Nodes recorded from now on are said to stand where n does; NULL: where the script does. Returns
 * what was so before. [borrow n] */
const sq_node *sq__stand_at(const sq_node *n);

/* t takes the place on the tape that the edge leads to. [fails: nomem] */
SQ_CHECKED sq_status sq__attach(const sq_edge *e, sq_tensor *t);

/* " at script.lua:12" of a node, "" where it is not known. [borrow buf] */
const char *sq__where_text(const sq_node *n, char *buf, size_t size);

/* Fails where a tensor that the node saved was changed in place since. [fails: state] */
SQ_CHECKED sq_status sq__check_version(const sq_node *n, const sq_saved *s);

/* True while the host runs a function's backward, which may go back through other graphs and this
 * one. */
extern bool sq__in_host;

/* Puts windows in place of the leaves that the node saved. [fails: nomem] */
SQ_CHECKED sq_status sq__save_bare(sq_node *n);

/* Frees what the node saved: it can't go back again. */
void sq__release_saved(sq_node *n);

/* Makes t result `index` of node. [keep node | fails: nomem] */
SQ_CHECKED sq_status sq__set_node(sq_tensor *t, sq_node *node, int index);

/* Brings a window's node up to date after an in-place change of what it looks at. [fails: nomem] */
SQ_CHECKED sq_status sq__refresh_view(sq_tensor *t);

/* Notes that `view` is a window on `of`. [fails: nomem] */
SQ_CHECKED sq_status sq__note_view(sq_tensor *view, sq_tensor *of);

/* A node of one of the two ops of op_window.c: `window` on in[0]. [new | fails: nomem] */
SQ_CHECKED sq_status sq__window_node(sq_op_id op, int nin, sq_tensor *const *in,
                                     const sq_tensor *window, sq_node **out);

#endif
