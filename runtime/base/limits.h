/* limits.h: every constant that cuts work or memory into pieces, and what it cuts. `make SMALL=yes`
 * makes them tiny, so that what only large shapes cut is cut for the small shapes of the specs too.
 * Shapes and these constants alone say where a cut is, never the number of threads. */
#ifndef SQ_BASE_LIMITS_H
#define SQ_BASE_LIMITS_H

/* CUT(name, in the ordinary build, in the small one) */
#ifdef SQ_SMALL
#define CUT(name, ordinary, small) SQ_##name = (small),
#else
#define CUT(name, ordinary, small) SQ_##name = (ordinary),
#endif

/* clang-format off */
enum {
  /* threads */
  CUT(SERIAL_BELOW, 20000, 2)         /* ns of a job for one thread: ten times waking the pool */

  /* tiles: what a thread takes at once */
  CUT(TILE, 16384, 5)                 /* elements, about: elementwise, losses, norms, optimizers */
  CUT(BLOCK, 32768, 6)                /* elements, about: reductions, and parts of a long sum */
  CUT(LEAST_COLUMNS, 512, 3)          /* columns of a sum whose rows are long */
  CUT(NORM_CHANNELS, 64, 3)           /* channels of batch norm over (N,C), and multiples of it */
  CUT(NORM_TILES, 16, 3)              /* tiles of layer and group norm: each sums dw and db apart */
  CUT(CONV_SLICES, 16, 3)             /* slices of a batch: each sums gradients of weights apart */
  CUT(RNN_LEAST_ROWS, 8, 2)           /* rows of a slice of a recurrent layer, where it is cut */
  CUT(RNN_MOST_ROWS, 32, 4)           /* rows of such a slice, at most */
  CUT(ATTENTION_ROWS, 64, 3)          /* queries of attention that go through their keys at once */
  CUT(ATTENTION_KEYS, 64, 4)          /* keys that they meet at once */
  CUT(BLAS_SIDE, 512, 11)             /* the BLAS multiplies where no side is below it */
  CUT(PRODUCT_COLUMNS, 64, 16)        /* of B that are packed at once; whole panels */
  CUT(PRODUCT_DEPTH, 384, 5)          /* k of a product: a piece of a panel stays in L1 */
  CUT(PRODUCT_ROWS, 240, 7)           /* rows of A: a block of it stays in L2 */
  CUT(TURNED_ROWS, 96, 5)             /* the same where they are laid out anew, as B is */
  CUT(TURNED_COLUMNS, 320, 16)        /* of B that meet such a block, at most; whole panels */
  CUT(GEMM_WORK, 1000000, 2)          /* multiplications from which a product is cut */
  CUT(GEMM_TILE, 64 * 64, 4)          /* results of each part of a product cut in two, at least */
  CUT(GEMM_WIDE, 128 * 128, 6)        /* the same of one cut in more */
  CUT(GEMM_SIDE, 16, 2)               /* sides of such parts are multiples of it: cache lines */
  CUT(TOPK_ROW, 1024, 3)              /* elements of a row that topk sorts at once */
  CUT(BATCH_BYTES, 1 << 17, 64)       /* bytes of a batch, copied out of a data set */
  CUT(DIGITS_TILE, 32, 2)             /* images of drawn digits */

  /* kernels */
  CUT(LANES, 32, 4)                   /* partial results along a row; a power of two */
  CUT(COLUMNS, 64, 3)                 /* columns that are reduced side by side */
  CUT(ELEM_BLOCK, 512, 3)             /* elements of operands with strides: four stay in L1 */

  /* lists on the C stack, until they are longer */
  CUT(FEW_INPUTS, 16, 2)              /* inputs of an op */
  CUT(FEW_WORDS, 64, 3)               /* sizes, dims and tensors among a call's arguments */

  /* lists and texts that get longer */
  CUT(FIRST_ROOM, 16, 2)              /* items, or bytes, that they have room for at first */

  /* memory */
  CUT(CACHE_FLOOR, 32 << 20, 256 << 10)/* bytes kept beside the most that were in use lately */
  CUT(GENERATION, 8, 2)               /* times those bytes asked for: how long "lately" is */
  CUT(MAPPED, 256 << 10, 64 << 10)    /* bytes of a block from which it has pages of its own */
  CUT(HUGE_FROM, 4 << 20, 256 << 10)  /* bytes of a block from which it asks for huge pages */
  CUT(YOUNG, 1 << 20, 64 << 10)       /* C bytes between two young collections of Lua, at least */
  CUT(SLACK, 16 << 20, 1 << 20)       /* C bytes beside half of those live until a full one */

  /* files and pipes */
  CUT(IO_BYTES, 1 << 30, 4093)        /* bytes of one read or write */
  CUT(WIRE_BLOCK, 256, 3)             /* elements turned into a file's type at once */
  CUT(GZIP_WINDOW, 1 << 16, 7)        /* compressed bytes that zlib is given at once */
  CUT(GZIP_UNCHECKED, 8 << 20, 64)    /* plain bytes up to which one pass is enough */
  CUT(PNG_UNCHECKED, 8 << 20, 64)     /* bytes of a picture up to which one pass is enough */
  CUT(PIPE_BYTES, 4096, 5)            /* one read of what a run reports */
  CUT(LINE_BYTES, 512, 5)             /* one piece of a line from standard input */
};
/* clang-format on */
#undef CUT

enum { SQ_PANEL_BYTES = 64 }; /* of a row of a packed panel: a cache line, which no build changes */

#endif
