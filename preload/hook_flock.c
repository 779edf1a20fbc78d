/* flock(2). */
#include <sys/file.h>

#include "cluster.h"
#include "guest.h"
#include "mapping.h"
#include "original.h"

/* The slow path is apart so that the buffer for a path is on the stack only when it is needed. */
static __attribute__((noinline)) int hooked_flock(int fd, int operation)
{
    char path[MAPPING_PATH_MAX];
    uint64_t hash;
    int err = 0;
    int saved = errno;
    switch (mapping_of(fd, path, &hash, &err)) {
    case MAPPING_CLUSTER:
        err = cluster_flock(fd, operation, path, hash);
        break;
    case MAPPING_BROKEN:
        err = cluster_no_config("flock", err);
        break;
    default:
        errno = saved;
        return original_flock(fd, operation);
    }
    errno = err ? -err : saved;
    return err ? -1 : 0;
}

/* LOCK_UN needs no word to anybody: the agent sees in the kernel that the lock is gone. */
EXPORT int flock(int fd, int operation)
{
    int mode = operation & ~LOCK_NB;
    if ((mode != LOCK_SH && mode != LOCK_EX) || guest_get()->inert)
        return original_flock(fd, operation);
    return hooked_flock(fd, operation);
}
