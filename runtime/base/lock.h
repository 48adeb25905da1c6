/* lock.h: a folder kept by one process. */
#ifndef SQ_BASE_LOCK_H
#define SQ_BASE_LOCK_H

#include "base/status.h"

typedef struct sq_lock sq_lock;

/* Takes the folder for this process until sq_lock_drop or the process's end, whatever ends it;
 * taken again in the same process it counts. Nothing is written into the folder.
 * [new, sq_lock_drop | fails: state, when another process has it; io, nomem | Lua thread] */
SQ_CHECKED sq_status sq_lock_take(const char *folder, sq_lock **out);

/* Gives it up; the last in this process frees the folder. NULL is allowed. [take | Lua thread] */
void sq_lock_drop(sq_lock *lock);

#endif
