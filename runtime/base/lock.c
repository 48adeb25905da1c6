/* lock.c: flock on the folder itself. The kernel drops it with the process, so there is nothing
 * stale to clean up. */
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

struct sq_lock {
  int fd, users;
  dev_t device;
  ino_t inode;
  sq_lock *next;
};

static sq_lock
    *held; /* by this process: a second flock of ours would be refused like a stranger's */

static sq_lock *find_held(const struct stat *info) {
  sq_lock *l = held;
  while (l && !(l->device == info->st_dev && l->inode == info->st_ino)) l = l->next;
  return l;
}

static sq_status refused_lock(const char *what, const char *folder, int code) {
  return sq_fail(SQ_EIO, "cannot %s '%s': %s", what, folder, strerror(code));
}

static sq_status lock_open(int fd, const char *folder) {
  int code = 0;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0 && (code = errno) == EINTR) code = 0;
  if (code == EWOULDBLOCK)
    return sq_fail(SQ_ESTATE, "the folder '%s' is in use by another process", folder);
  if (code == ENOLCK || code == EOPNOTSUPP) return SQ_OK; /* a file system without locks */
  return code == 0 ? SQ_OK : refused_lock("lock", folder, code);
}

/* fd is taken in any case. */
static sq_status take_open(int fd, const char *folder, sq_lock **out) {
  struct stat info;
  void *block = NULL;
  sq_status st = fstat(fd, &info) == 0 ? SQ_OK : refused_lock("stat", folder, errno);
  sq_lock *l = st == SQ_OK ? find_held(&info) : NULL;
  if (l) {
    close(fd);
    l->users++;
    *out = l;
    return SQ_OK;
  }
  if (st == SQ_OK) st = lock_open(fd, folder);
  if (st == SQ_OK) st = sq_alloc(sizeof *l, &block);
  if (st != SQ_OK) {
    close(fd);
    return st;
  }
  l = block;
  *l = (sq_lock){fd, 1, info.st_dev, info.st_ino, held};
  *out = held = l;
  return SQ_OK;
}

sq_status sq_lock_take(const char *folder, sq_lock **out) {
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return refused_lock("open", folder, errno);
  return take_open(fd, folder, out);
}

void sq_lock_drop(sq_lock *lock) {
  if (!lock || --lock->users > 0) return;
  for (sq_lock **at = &held; *at; at = &(*at)->next) {
    if (*at != lock) continue;
    *at = lock->next;
    break;
  }
  close(lock->fd);
  sq_free(lock);
}
