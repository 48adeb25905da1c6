/* digits.h: pictures of handwritten-looking digits, drawn from strokes: a set that needs no
 * download. */
#ifndef SQ_DATASETS_DIGITS_H
#define SQ_DATASETS_DIGITS_H

#include "base/rng.h"
#include "tensor/tensor.h"

enum { SQ_DIGITS_SIDE = 28 };

/* n digits: images (n,1,28,28) uint8, white (255) on black as MNIST's, labels (n) int64, 0..9 drawn
 * uniformly. Each takes a way of writing it, and slant, turn, size, pen width, place and wobble of
 * its own. Two draws of 64 bits from g an image, so that the first k are the same for every
 * n >= k. n 0..2^31-1. [new | fails: arg, shape, nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_digits_draw(sq_rng *g, int64_t n, sq_tensor **images, sq_tensor **labels);

#endif
