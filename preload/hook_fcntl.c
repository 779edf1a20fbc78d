/* fcntl(2): record locks on mapped files; everything else goes on unchanged. */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/uio.h>

#include "cluster.h"
#include "guest.h"
#include "mapping.h"
#include "original.h"

static bool is_record_lock(int command)
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
        return true;
    default:
        return false;
    }
}

/* Giving a lock back is always allowed. l_type comes first in every layout of struct flock; it is read by the kernel, which
 * answers EFAULT to a bad pointer, where we would crash. */
static bool gives_back(const void *argument)
{
    short type = F_UNLCK;
    struct iovec here = {.iov_base = &type, .iov_len = sizeof type};
    struct iovec there = {.iov_base = (void *)(uintptr_t)argument, .iov_len = sizeof type};
    long got = guest_call(SYS_process_vm_readv, getpid(), &here, 1, &there, 1, 0);
    if (got == -EFAULT)
        return true; /* the next definition says EFAULT */
    if (got != (long)sizeof type)
        type = *(const short *)argument;
    return type == F_UNLCK;
}

/* 0: not ours, go on; else -1 with errno set. */
static __attribute__((noinline)) int refuse_record_lock(int fd, const void *argument)
{
    char path[MAPPING_PATH_MAX];
    uint64_t hash;
    int err = 0;
    int saved = errno;
    switch (mapping_of(fd, path, &hash, &err)) {
    case MAPPING_CLUSTER:
        if (gives_back(argument)) {
            errno = saved;
            return 0;
        }
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
    return is_record_lock(command) && !guest_get()->inert && refuse_record_lock(fd, argument) < 0;
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
