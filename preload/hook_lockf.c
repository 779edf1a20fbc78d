/* lockf(3). It has a hook of its own because libc calls fcntl inside, where no preload library
 * hears it. */
#include "cluster.h"
#include "guest.h"
#include "mapping.h"
#include "original.h"

static __attribute__((noinline)) int refuse(int fd)
{
    char path[MAPPING_PATH_MAX];
    uint64_t hash;
    int err = 0;
    int saved = errno;
    switch (mapping_of(fd, path, &hash, &err)) {
    case MAPPING_CLUSTER:
        errno = -cluster_no_record_locks("lockf", path);
        return -1;
    case MAPPING_BROKEN:
        errno = -cluster_no_config("lockf", err);
        return -1;
    default:
        errno = saved;
        return 0;
    }
}

static bool is_refused(int fd, int command)
{
    return command != F_ULOCK && !guest_get()->inert && refuse(fd) < 0;
}

EXPORT int lockf(int fd, int command, off_t len)
{
    return is_refused(fd, command) ? -1 : original_lockf(fd, command, len);
}

EXPORT int lockf64(int fd, int command, off64_t len)
{
    return is_refused(fd, command) ? -1 : original_lockf64(fd, command, len);
}
