/* fcntl(2): record locks on mapped files; everything else goes on unchanged. */
#include <fcntl.h>
#include <stdarg.h>

#include "cluster.h"
#include "guest.h"
#include "mapping.h"
#include "original.h"

static bool takes_record_lock(int command, const void *argument)
{
    switch (command) {
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
#if F_GETLK64 != F_GETLK
    case F_GETLK64:
    case F_SETLK64:
    case F_SETLKW64:
#endif
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        /* l_type comes first in every layout of struct flock. Giving a lock back is always allowed.
         */
        return argument && *(const short *)argument != F_UNLCK;
    default:
        return false;
    }
}

/* 0: not ours, go on; else -1 with errno set. */
static __attribute__((noinline)) int refuse_record_lock(int fd)
{
    char path[MAPPING_PATH_MAX];
    uint64_t hash;
    int err = 0;
    int saved = errno;
    switch (mapping_of(fd, path, &hash, &err)) {
    case MAPPING_CLUSTER:
        errno = -cluster_no_record_locks("fcntl", path);
        return -1;
    case MAPPING_BROKEN:
        errno = -cluster_no_config("fcntl", err);
        return -1;
    default:
        errno = saved;
        return 0;
    }
}

static bool is_refused(int fd, int command, const void *argument)
{
    return takes_record_lock(command, argument) && !guest_get()->inert &&
           refuse_record_lock(fd) < 0;
}

#define LAST_ARGUMENT(argument, before)                                                            \
    va_list rest;                                                                                  \
    va_start(rest, before);                                                                        \
    void *argument = va_arg(rest, void *);                                                         \
    va_end(rest)

EXPORT int fcntl(int fd, int command, ...)
{
    LAST_ARGUMENT(argument, command);
    return is_refused(fd, command, argument) ? -1 : original_fcntl(fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...)
{
    LAST_ARGUMENT(argument, command);
    return is_refused(fd, command, argument) ? -1 : original_fcntl64(fd, command, argument);
}

/* An alias that glibc exports. */
EXPORT int __fcntl(int fd, int command, ...);
EXPORT int __fcntl(int fd, int command, ...)
{
    LAST_ARGUMENT(argument, command);
    return is_refused(fd, command, argument) ? -1 : original_fcntl(fd, command, argument);
}
