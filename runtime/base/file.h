/* file.h: all input and output. Reads are checked and bounded; a written file is old or new, never
 * torn; a limit on the size of files is an error like a full disk. */
#ifndef SQ_BASE_FILE_H
#define SQ_BASE_FILE_H

#include "base/status.h"

/* The whole of a regular file; *data is followed by a 0 byte that *size does not count.
 * Directories, FIFOs and devices are refused. [new, free with sq_free | fails: io, nomem; io when
 * it has more than `most` bytes | Lua thread] */
SQ_CHECKED sq_status sq_file_read(const char *path, int64_t most, void **data, int64_t *size);

/* Replaces the file: temporary file beside it (.seqrt-<pid>-<n>.tmp), write, fsync, rename, fsync
 * of the folder. On failure the old file is as it was and the temporary one is gone; only when the
 * very last step fails (the folder's fsync) the new file stands already, though a power cut may
 * undo it. Permissions of an old file are kept, a link is followed. Folders, FIFOs and devices are
 * refused. [fails: io, with the system's text | Lua thread] */
SQ_CHECKED sq_status sq_file_write(const char *path, const void *data, int64_t size);

/* The same in pieces: begin, put ..., then commit or abandon (both free it; abandon takes NULL). */
typedef struct sq_writer sq_writer;
SQ_CHECKED sq_status sq_writer_begin(const char *path,
                                     sq_writer **out); /* [new | fails: io, nomem] */
SQ_CHECKED sq_status sq_writer_put(sq_writer *w, const void *data, int64_t size); /* [fails: io] */
SQ_CHECKED sq_status sq_writer_commit(sq_writer *w); /* [take | fails: io] */
void sq_writer_abandon(sq_writer *w);                /* [take] */

/* Adds bytes to the end of a file, which is made if it is missing; complete or an error.
 * [fails: io | Lua thread] */
SQ_CHECKED sq_status sq_file_append(const char *path, const void *data, int64_t size);

/* Makes a folder and all above it; one that exists is fine. [fails: io | Lua thread] */
SQ_CHECKED sq_status sq_dir_make(const char *path);

/* Fails unless a file can be made in that folder: what a script calls before it trains.
 * [fails: io | Lua thread] */
SQ_CHECKED sq_status sq_dir_probe(const char *path);

#endif
