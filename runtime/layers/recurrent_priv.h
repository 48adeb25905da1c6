/* recurrent_priv.h: what the recurrent layers and their cells share. */
#ifndef SQ_LAYERS_RECURRENT_PRIV_H
#define SQ_LAYERS_RECURRENT_PRIV_H

#include "layers/layer.h"

/* Rows of a weight in units of H: which of the three a layer is. */
enum { RNN_GATES = 1, GRU_GATES = 3, LSTM_GATES = 4 };

/* One layer in one direction over x. */
typedef struct sq_sequence {
  int gates;
  bool relu, bias, batch_first, reverse;
  sq_tensor *x, *h, *c;    /* states, NULL: 0; c of an LSTM */
  const sq_named *weights; /* weight_ih, weight_hh and, with bias, bias_ih, bias_hh */
} sq_sequence;

/* Calls the op: out = y, the last h and, of an LSTM, the last c. [new | fails: as the op] */
SQ_CHECKED sq_status sq__run_sequence(const sq_sequence *s, sq_tensor **out);

#endif
