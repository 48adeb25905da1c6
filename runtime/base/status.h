/* status.h: how every floor reports failure. A status travels up; its text is written once, where
 * the check fails. */
#ifndef SQ_BASE_STATUS_H
#define SQ_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum sq_status {
  SQ_OK = 0,
  SQ_ESHAPE,  /* shapes that do not fit each other, or a size out of range */
  SQ_EARG,    /* a value out of range, an unknown name */
  SQ_ETYPE,   /* a dtype or a kind that does not fit */
  SQ_ESTATE,  /* right call, wrong moment: closed, freed, modified, in use */
  SQ_ENOMEM,  /* over the memory limit, or the system has none left */
  SQ_EIO,     /* the operating system refused a file operation */
  SQ_EFORMAT, /* a file whose content breaks its format */
  SQ_EINTR,   /* the user asked to stop */
  SQ_EHOST    /* a function of the host's failed; the host has the reason */
} sq_status;

#define SQ_CHECKED __attribute__((warn_unused_result))
#define SQ_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Passes a failure on to the caller. */
#define SQ_TRY(expr)                      \
  do {                                    \
    sq_status sq_try_ = (expr);           \
    if (sq_try_ != SQ_OK) return sq_try_; \
  } while (0)

/* A check of our own bugs, in debug builds only. */
#ifdef SQ_DEBUG
#define SQ_ASSERT(cond)            \
  do {                             \
    if (!(cond)) __builtin_trap(); \
  } while (0)
#else
#define SQ_ASSERT(cond) ((void)0)
#endif

/* Records the text of a failure and returns `code`, for `return sq_fail(...)`. The text is kept per
 * thread, cut at 2,047 bytes, and replaced by the next failure. [fails: always | any thread] */
sq_status sq_fail(sq_status code, const char *format, ...) SQ_PRINTF(2, 3);

/* Puts context before the recorded text ("layer 2 (LSTM): ...") and returns `code`; with SQ_OK it
 * does nothing. [any thread] */
sq_status sq_fail_in(sq_status code, const char *format, ...) SQ_PRINTF(2, 3);

/* The text of this thread's last failure; "" before the first. [borrow | any thread] */
const char *sq_error_text(void);

#endif
