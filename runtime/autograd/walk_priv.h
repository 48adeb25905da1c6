/* walk_priv.h: walks over the graph, youngest node first, that need no stack however deep it is. */
#ifndef SQ_AUTOGRAD_WALK_PRIV_H
#define SQ_AUTOGRAD_WALK_PRIV_H

#include "autograd/tape_priv.h"

/* Nodes, each held: a heap with the youngest on top (all that use a node's results are younger than
 * it), or a list. */
typedef struct sq_nodes {
  sq_node **node;
  int64_t n, room;
} sq_nodes;

SQ_CHECKED sq_status sq__heap_push(sq_nodes *h, sq_node *n); /* [keep n | fails: nomem] */
sq_node *sq__heap_pop(sq_nodes *h);                          /* the youngest; h has one [new] */

/* A walk marks nodes by a bit of its own in `seen` and `wanted`; 0 where eight walks are on their
 * way, one within another. */
uint8_t sq__take_lane(void);
void sq__give_lane(uint8_t lane);

/* Pushes a node that the lane has not seen yet. [keep n | fails: nomem] */
SQ_CHECKED sq_status sq__come_by(sq_nodes *h, sq_node *n, uint8_t lane);

/* Empties a heap of nodes that were come by into `all`, with those behind them, the youngest first,
 * but none that is older than `oldest`, nor, where `holding`, one that has let go of its leaves.
 * [fails: nomem; `all` is to be forgotten even then] */
SQ_CHECKED sq_status sq__gather(sq_nodes *h, uint8_t lane, uint64_t oldest, bool holding,
                                sq_nodes *all);

/* Drops the nodes and takes the lane's marks off them. */
void sq__forget(sq_nodes *all, uint8_t lane);

/* Gives the graph behind a gradient that is about to be kept by a leaf windows in place of the
 * leaves it saved: it must not hold what holds it. [fails: nomem] */
SQ_CHECKED sq_status sq__let_go_of_leaves(sq_tensor *grad);

#endif
