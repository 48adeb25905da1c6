/* tensor_key.h: what stands between the brackets of x[key], read. */
#ifndef SQ_MODULE_TENSOR_KEY_H
#define SQ_MODULE_TENSOR_KEY_H

#include "bind/bind.h"

/* What picks along one dim, positions counted from 0; NEW stands for none, TENSOR for as many as a
 * mask has. */
typedef struct tensor_item {
  enum { ITEM_AT, ITEM_RANGE, ITEM_ALL, ITEM_NEW, ITEM_TENSOR } kind;
  int64_t first, count, step; /* AT: first */
  sq_tensor *picks;
} tensor_item;

/* The items in order; dims behind the last are taken whole. */
typedef struct tensor_key {
  int n;
  tensor_item item[2 * SQ_MAX_DIMS];
} tensor_key;

/* Reads the key at stack index 2 for t. Raises what is wrong with it. */
void tensor_read_key(lua_State *L, const sq_tensor *t, tensor_key *key);

#endif
