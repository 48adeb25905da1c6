/* events.c: TensorBoard's records, their protocol buffers put together by hand. */
#include "files/events.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

/* --- checksums ------------------------------------------------------------------------------ */

/* Four bits at a time: the remainders of 0..15 by the polynomial 0x82F63B78, reflected. */
static const uint32_t nibble[16] = {
    0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
    0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75};

uint32_t sq_crc32c(const void *bytes, int64_t n) {
  const uint8_t *b = bytes;
  uint32_t crc = ~UINT32_C(0);
  for (int64_t i = 0; i < n; i++) {
    crc ^= b[i];
    crc = crc >> 4 ^ nibble[crc & 15];
    crc = crc >> 4 ^ nibble[crc & 15];
  }
  return ~crc;
}

/* A CRC of data that holds CRCs is a weak one: so it is turned and shifted. */
static uint32_t masked_crc(const void *bytes, int64_t n) {
  uint32_t crc = sq_crc32c(bytes, n);
  return (crc >> 15 | crc << 17) + UINT32_C(0xA282EAD8);
}

/* --- histograms ----------------------------------------------------------------------------- */

enum { BUCKETS = 30 };

typedef struct histogram {
  double least, greatest, count, sum, squares;
  int buckets;
  double limit[BUCKETS], in[BUCKETS];
} histogram;

static void find_range(histogram *h, const sq_event *e) {
  h->least = INFINITY;
  h->greatest = -INFINITY;
  for (int64_t i = 0; i < e->histogram.n; i++) {
    double v = e->histogram.v[i];
    if (!isfinite(v)) continue;
    h->least = fmin(h->least, v);
    h->greatest = fmax(h->greatest, v);
    h->count++;
    h->sum += v;
    h->squares += v * v;
  }
  if (h->count == 0) h->least = h->greatest = 0;
}

static histogram count_buckets(const sq_event *e) {
  histogram h = {0};
  find_range(&h, e);
  double width = h.greatest / BUCKETS - h.least / BUCKETS;
  h.buckets = width > 0 ? BUCKETS : 1;
  for (int k = 0; k < h.buckets; k++) h.limit[k] = h.least + width * (k + 1);
  h.limit[h.buckets - 1] = h.greatest;
  for (int64_t i = 0; i < e->histogram.n; i++) {
    double v = e->histogram.v[i];
    if (!isfinite(v)) continue;
    int k = width > 0 ? (int)fmin((v - h.least) / width, h.buckets - 1) : 0;
    h.in[k]++;
  }
  return h;
}

/* --- protocol buffers ----------------------------------------------------------------------- */

/* A message being written. Without `at` it is only measured: each is written twice by the same
 * code, so that lengths, which stand before, are known. */
typedef struct message {
  uint8_t *at;
  int64_t size;
} message;

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void put_raw(message *m, const void *bytes, int64_t n) {
  if (m->at && n > 0) memcpy(m->at + m->size, bytes, (size_t)n);
  m->size += n;
}

static void put_fixed(message *m, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; i++) {
    uint8_t b = (uint8_t)(v >> 8 * i);
    put_raw(m, &b, 1);
  }
}

static void put_varint(message *m, uint64_t v) {
  for (; v > 127; v >>= 7) {
    uint8_t b = (uint8_t)(v | 128);
    put_raw(m, &b, 1);
  }
  uint8_t last = (uint8_t)v;
  put_raw(m, &last, 1);
}

static void put_key(message *m, int field, int type) {
  put_varint(m, (uint64_t)field << 3 | (uint64_t)type);
}

/* A field that is 0 is left out, here and below: that is how it is read. */
static void put_int(message *m, int field, int64_t v) {
  if (v == 0) return;
  put_key(m, field, VARINT);
  put_varint(m, (uint64_t)v);
}

static void put_bare_double(message *m, double v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  put_fixed(m, bits, 8);
}

static void put_double(message *m, int field, double v) {
  if (v == 0) return;
  put_key(m, field, FIXED64);
  put_bare_double(m, v);
}

static void put_float(message *m, int field, float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  put_key(m, field, FIXED32);
  put_fixed(m, bits, 4);
}

static void put_bytes(message *m, int field, const void *bytes, int64_t n) {
  put_key(m, field, BYTES);
  put_varint(m, (uint64_t)n);
  put_raw(m, bytes, n);
}

static void put_doubles(message *m, int field, int n, const double *v) {
  put_key(m, field, BYTES);
  put_varint(m, (uint64_t)n * 8);
  for (int i = 0; i < n; i++) put_bare_double(m, v[i]);
}

/* What parts are written from. */
typedef struct record {
  const sq_event *e;
  histogram h; /* of a histogram */
} record;

/* A message inside another: measured, then written. */
static void put_part(message *m, int field, void (*write)(message *m, const record *r),
                     const record *r) {
  message measure = {0};
  write(&measure, r);
  put_key(m, field, BYTES);
  put_varint(m, (uint64_t)measure.size);
  write(m, r);
}

/* --- TensorFlow's messages ------------------------------------------------------------------ */

static void put_image(message *m, const record *r) {
  const sq_event *e = r->e;
  put_int(m, 1, e->image.height);
  put_int(m, 2, e->image.width);
  put_int(m, 3, e->image.channels);
  put_bytes(m, 4, e->image.png, e->image.size);
}

static void put_histogram(message *m, const record *r) {
  const histogram *h = &r->h;
  put_double(m, 1, h->least);
  put_double(m, 2, h->greatest);
  put_double(m, 3, h->count);
  put_double(m, 4, h->sum);
  put_double(m, 5, h->squares);
  put_doubles(m, 6, h->buckets, h->limit);
  put_doubles(m, 7, h->buckets, h->in);
}

static void put_value(message *m, const record *r) {
  const sq_event *e = r->e;
  put_bytes(m, 1, e->tag, (int64_t)strlen(e->tag));
  if (e->kind == SQ_EVENT_SCALAR) put_float(m, 2, (float)e->scalar);
  if (e->kind == SQ_EVENT_IMAGE) put_part(m, 4, put_image, r);
  if (e->kind == SQ_EVENT_HISTOGRAM) put_part(m, 5, put_histogram, r);
}

static void put_summary(message *m, const record *r) { put_part(m, 1, put_value, r); }

static void put_event(message *m, const record *r) {
  const sq_event *e = r->e;
  static const char version[] = "brain.Event:2";
  put_double(m, 1, e->wall);
  if (e->kind == SQ_EVENT_VERSION) {
    put_bytes(m, 3, version, sizeof version - 1);
    return;
  }
  put_int(m, 2, e->step);
  put_part(m, 5, put_summary, r);
}

enum { HEAD = 12, TAIL = 4 };

sq_status sq_event_encode(const sq_event *event, void **bytes, int64_t *size) {
  record r = {.e = event};
  if (event->kind == SQ_EVENT_HISTOGRAM) r.h = count_buckets(event);
  message measure = {0};
  put_event(&measure, &r);
  void *block;
  SQ_TRY(sq_alloc(HEAD + measure.size + TAIL, &block));
  message head = {block, 0};
  put_fixed(&head, (uint64_t)measure.size, 8);
  put_fixed(&head, masked_crc(block, 8), 4);
  message data = {head.at + HEAD, 0};
  put_event(&data, &r);
  SQ_ASSERT(data.size == measure.size);
  message tail = {data.at + data.size, 0};
  put_fixed(&tail, masked_crc(data.at, data.size), 4);
  *bytes = block;
  *size = HEAD + data.size + TAIL;
  return SQ_OK;
}
