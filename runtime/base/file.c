/* file.c: checked reads and writes; a temporary file beside the target makes each replacement
 * whole. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

enum { TEMP_TRIES = 1000 };

struct sq_writer {
  char *path; /* what is replaced: the target of a link, not the link */
  char *temp; /* NULL while there is no file of that name */
  int fd;
};

static sq_status refused_file(const char *what, const char *path, int code) {
  return sq_fail(SQ_EIO, "cannot %s '%s': %s", what, path, strerror(code));
}

static int close_checked(int fd) {
  return close(fd) == 0 || errno == EINTR ? 0 : errno; /* on Linux EINTR has closed it */
}

/* --- reading -------------------------------------------------------------------------------- */

/* A regular file, open, and its size. O_NONBLOCK: a FIFO must not hang us before it is refused. */
static sq_status open_regular(const char *path, int flags, int *fd, struct stat *info) {
  int opened;
  do {
    opened = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
  } while (opened < 0 && errno == EINTR);
  if (opened < 0) return refused_file("open", path, errno);
  if (fstat(opened, info) != 0) {
    int code = errno;
    close(opened);
    return refused_file("stat", path, code);
  }
  if (!S_ISREG(info->st_mode)) {
    close(opened);
    return sq_fail(
        SQ_EIO, "cannot use '%s': %s, not a regular file", path,
        S_ISDIR(info->st_mode) ? "it is a folder" : "it is a device, a pipe or a socket");
  }
  *fd = opened;
  return SQ_OK;
}

static sq_status read_whole(int fd, const char *path, char *data, int64_t size) {
  int64_t done = 0;
  while (done < size) {
    int64_t want = size - done < SQ_IO_BYTES ? size - done : SQ_IO_BYTES;
    ssize_t got = read(fd, data + done, (size_t)want);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return refused_file("read", path, errno);
    if (got == 0) {
      return sq_fail(SQ_EIO, "cannot read '%s': it ended at byte %" PRId64 " of %" PRId64, path,
                     done, size);
    }
    done += got;
  }
  return SQ_OK;
}

static sq_status read_open(int fd, const char *path, int64_t most, int64_t size, void **data) {
  if (size > most) {
    return sq_fail(SQ_EIO,
                   "cannot read '%s': it has %" PRId64 " bytes, at most %" PRId64 " are taken here",
                   path, size, most);
  }
  void *bytes;
  SQ_TRY(sq_fail_in(sq_alloc(size + 1, &bytes), "'%s': ", path));
  sq_status status = read_whole(fd, path, bytes, size);
  if (status != SQ_OK) {
    sq_free(bytes);
    return status;
  }
  ((char *)bytes)[size] = 0;
  *data = bytes;
  return SQ_OK;
}

sq_status sq_file_read(const char *path, int64_t most, void **data, int64_t *size) {
  int fd;
  struct stat info;
  SQ_TRY(open_regular(path, O_RDONLY, &fd, &info));
  sq_status status = read_open(fd, path, most, (int64_t)info.st_size, data);
  close(fd); /* nothing was written: its result says nothing */
  if (status == SQ_OK) *size = (int64_t)info.st_size;
  return status;
}

/* --- writing -------------------------------------------------------------------------------- */

static int write_pieces(int fd, const char *data, int64_t size) {
  while (size > 0) {
    ssize_t put = write(fd, data, (size_t)(size < SQ_IO_BYTES ? size : SQ_IO_BYTES));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    if (put == 0) return ENOSPC;
    data += put;
    size -= put;
  }
  return 0;
}

/* 0, or the errno of what stopped it. At the file-size limit (ulimit -f) the kernel sends SIGXFSZ
 * with EFBIG, which ends a process that does not ignore it, with the temporary file left behind: it
 * is held back, and taken off again. */
static int write_all(int fd, const char *data, int64_t size) {
  sigset_t limit, before;
  sigemptyset(&limit);
  sigaddset(&limit, SIGXFSZ);
  pthread_sigmask(SIG_BLOCK, &limit, &before);
  int code = write_pieces(fd, data, size);
  if (code == EFBIG && sigismember(&before, SIGXFSZ) == 0)
    (void)sigtimedwait(&limit, NULL, &(struct timespec){0, 0});
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return code;
}

/* 0 or errno. Only EINTR is tried again: after any other failure the kernel marks the pages clean,
 * and a second fsync would lie. */
static int fsync_checked(int fd) {
  while (fsync(fd) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

/* The length of the folder part, "" for none, '/' included. */
static int folder_length(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? (int)(slash - path) + 1 : 0;
}

/* A new empty file in the folder of `path`. Its name does not depend on the target's, which may be
 * as long as a name can be: <folder>/.seqrt-<pid>-<n>.tmp */
static sq_status temp_open(const char *path, char **temp, int *fd) {
  static int counter;
  int64_t room = folder_length(path) + 64;
  void *name;
  SQ_TRY(sq_alloc(room, &name));
  int opened = -1;
  for (int i = 0; i < TEMP_TRIES && opened < 0; i++) {
    snprintf(name, (size_t)room, "%.*s.seqrt-%ld-%d.tmp", folder_length(path), path, (long)getpid(),
             counter++ & INT_MAX);
    opened = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (opened < 0 && errno != EEXIST && errno != EINTR) break;
  }
  if (opened < 0) {
    int code = errno;
    sq_free(name);
    return refused_file("write", path, code);
  }
  *temp = name;
  *fd = opened;
  return SQ_OK;
}

/* Where the bytes of `path` really lie, and the permissions to keep (-1 for a new file). */
static sq_status resolve_target(const char *path, char **real, int *mode) {
  struct stat info;
  *mode = -1;
  if (path[0] == 0) return refused_file("write", path, ENOENT);
  if (stat(path, &info) != 0) {
    if (errno != ENOENT) return refused_file("write", path, errno);
    return sq_strdup(path, real);
  }
  if (!S_ISREG(info.st_mode)) {
    return sq_fail(SQ_EIO, "cannot write '%s': %s, not a regular file", path,
                   S_ISDIR(info.st_mode) ? "it is a folder" : "it is a device, a pipe or a socket");
  }
  char found[PATH_MAX];
  if (!realpath(path, found)) return refused_file("write", path, errno);
  *mode = (int)(info.st_mode & 0777);
  return sq_strdup(found, real);
}

static sq_status begin_writer(sq_writer *w, const char *path) {
  int mode;
  SQ_TRY(resolve_target(path, &w->path, &mode));
  SQ_TRY(temp_open(w->path, &w->temp, &w->fd));
  if (mode >= 0 && fchmod(w->fd, (mode_t)mode) != 0) return refused_file("write", path, errno);
  return SQ_OK;
}

sq_status sq_writer_begin(const char *path, sq_writer **out) {
  void *w;
  SQ_TRY(sq_alloc(sizeof(sq_writer), &w));
  *(sq_writer *)w = (sq_writer){.fd = -1};
  sq_status status = begin_writer(w, path);
  if (status != SQ_OK) {
    sq_writer_abandon(w);
    return status;
  }
  *out = w;
  return SQ_OK;
}

sq_status sq_writer_put(sq_writer *w, const void *data, int64_t size) {
  int code = write_all(w->fd, data, size);
  return code == 0 ? SQ_OK : refused_file("write", w->path, code);
}

/* The new name is on disk once the folder is. File systems that cannot sync folders say EINVAL or
 * ENOTSUP. */
static sq_status sync_folder(const char *path) {
  char folder[PATH_MAX];
  int length = folder_length(path);
  if (length >= PATH_MAX) return refused_file("sync the folder of", path, ENAMETOOLONG);
  snprintf(folder, sizeof folder, "%.*s", length > 0 ? length : 1, length > 0 ? path : ".");
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && errno == EACCES) return SQ_OK; /* may be written to, not read: nothing to sync by */
  if (fd < 0) return refused_file("sync", folder, errno);
  int code = fsync_checked(fd);
  close(fd);
  if (code == EINVAL || code == ENOTSUP) return SQ_OK;
  return code == 0 ? SQ_OK : refused_file("sync", folder, code);
}

static sq_status commit_writer(sq_writer *w) {
  int code = fsync_checked(w->fd);
  int closed = close_checked(w->fd);
  w->fd = -1;
  if (code == 0) code = closed;
  if (code == 0 && rename(w->temp, w->path) != 0) code = errno;
  if (code != 0) return refused_file("write", w->path, code);
  sq_free(w->temp);
  w->temp = NULL;
  return sync_folder(w->path);
}

sq_status sq_writer_commit(sq_writer *w) {
  sq_status status = commit_writer(w);
  sq_writer_abandon(w);
  return status;
}

void sq_writer_abandon(sq_writer *w) {
  if (!w) return;
  if (w->fd >= 0) close(w->fd);
  if (w->temp) unlink(w->temp);
  sq_free(w->temp);
  sq_free(w->path);
  sq_free(w);
}

sq_status sq_file_write(const char *path, const void *data, int64_t size) {
  sq_writer *w;
  SQ_TRY(sq_writer_begin(path, &w));
  sq_status status = sq_writer_put(w, data, size);
  if (status != SQ_OK) {
    sq_writer_abandon(w);
    return status;
  }
  return sq_writer_commit(w);
}

sq_status sq_file_append(const char *path, const void *data, int64_t size) {
  int fd;
  struct stat info;
  SQ_TRY(open_regular(path, O_WRONLY | O_APPEND | O_CREAT, &fd, &info));
  int code = write_all(fd, data, size);
  if (code != 0 && ftruncate(fd, info.st_size) != 0) {
    close(fd);
    return sq_fail(SQ_EIO, "cannot append to '%s': %s; and what was added of it stays: %s", path,
                   strerror(code), strerror(errno));
  }
  int closed = close_checked(fd);
  if (code == 0) code = closed;
  return code == 0 ? SQ_OK : refused_file("append to", path, code);
}

/* --- folders -------------------------------------------------------------------------------- */

static bool is_folder(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

sq_status sq_dir_make(const char *path) {
  char part[PATH_MAX];
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof part)
    return refused_file("make the folder", path, length == 0 ? ENOENT : ENAMETOOLONG);
  for (size_t i = 1; i <= length; i++) {
    if (path[i] != '/' && path[i] != 0) continue;
    memcpy(part, path, i);
    part[i] = 0;
    if (mkdir(part, 0777) == 0 || is_folder(part)) continue;
    return refused_file("make the folder", part, errno == EEXIST ? ENOTDIR : errno);
  }
  return SQ_OK;
}

sq_status sq_dir_probe(const char *path) {
  if (!is_folder(path)) return refused_file("write to", path, errno == ENOENT ? ENOENT : ENOTDIR);
  char inside[PATH_MAX];
  if (snprintf(inside, sizeof inside, "%s/", path) >= PATH_MAX)
    return refused_file("write to", path, ENAMETOOLONG);
  char *temp;
  int fd;
  SQ_TRY(temp_open(inside, &temp, &fd));
  close(fd);
  unlink(temp);
  sq_free(temp);
  return SQ_OK;
}
