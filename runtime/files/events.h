/* events.h: records of TensorBoard's event files. Knows no tensors and opens no file: a file is its
 * records one after the other, the first of them a version. */
#ifndef SQ_FILES_EVENTS_H
#define SQ_FILES_EVENTS_H

#include "base/status.h"

typedef enum sq_event_kind {
  SQ_EVENT_VERSION, /* a file begins with it */
  SQ_EVENT_SCALAR,
  SQ_EVENT_IMAGE,
  SQ_EVENT_HISTOGRAM
} sq_event_kind;

/* What one record says; all it points to is borrowed. */
typedef struct sq_event {
  sq_event_kind kind;
  double wall; /* seconds since 1970 */
  int64_t step;
  const char *tag; /* UTF-8; "loss", "train/loss" */
  union {
    double scalar; /* kept as float32 */
    struct {
      int64_t height, width, channels; /* 1 grey, 3 RGB, 4 RGBA */
      const void *png;
      int64_t size;
    } image;
    struct {
      int64_t n;
      const double *v; /* NaN and Inf are left out */
    } histogram;
  };
} sq_event;

/* The record: u64 length, its masked CRC-32C, an Event of TensorFlow's event.proto, its masked
 * CRC-32C, all little-endian. A histogram has 30 equal buckets from the least to the greatest
 * value; of equal values, or none, one. [new, *bytes with sq_free | fails: nomem | Lua thread]
 * TensorFlow: core/util/event.proto, core/framework/summary.proto, core/lib/io/record_writer.h. */
SQ_CHECKED sq_status sq_event_encode(const sq_event *event, void **bytes, int64_t *size);

/* CRC-32C (Castagnoli) of n bytes; of "123456789" it is 0xE3069283. [any thread]  RFC 3720, B.4 */
uint32_t sq_crc32c(const void *bytes, int64_t n);

#endif
