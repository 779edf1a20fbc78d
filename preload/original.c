/*
 * The one table of original symbols and the one place that binds them. Bound by our constructor,
 * because dlsym is not async-signal-safe and the hooks must be; a hook that is called earlier binds
 * for itself. Where there is no next definition at all, the system call stands in.
 */
#include "original.h"

#include <dlfcn.h>
#include <stdatomic.h>

#include "guest.h"

enum { FLOCK, FCNTL, FCNTL64, LOCKF, LOCKF64, N_ORIGINALS };

static const char *const names[N_ORIGINALS] = {
    [FLOCK] = "flock", [FCNTL] = "fcntl",     [FCNTL64] = "fcntl64",
    [LOCKF] = "lockf", [LOCKF64] = "lockf64",
};

static _Atomic(void *) bound[N_ORIGINALS];

static void *original(int which)
{
    void *function = atomic_load_explicit(&bound[which], memory_order_relaxed);
    if (!function) {
        int saved = errno;
        function = dlsym(RTLD_NEXT, names[which]);
        errno = saved;
        atomic_store_explicit(&bound[which], function, memory_order_relaxed);
    }
    return function;
}

__attribute__((constructor(101))) static void original_constructor(void)
{
    for (int which = 0; which < N_ORIGINALS; which++)
        (void)original(which);
}

int original_flock(int fd, int operation)
{
    int (*next)(int, int);
    *(void **)&next = original(FLOCK);
    return next ? next(fd, operation) : (int)syscall(SYS_flock, fd, operation);
}

static int next_fcntl(int which, int fd, int command, void *argument)
{
    int (*next)(int, int, ...);
    *(void **)&next = original(which);
    return next ? next(fd, command, argument) : (int)syscall(SYS_fcntl, fd, command, argument);
}

int original_fcntl(int fd, int command, void *argument)
{
    return next_fcntl(FCNTL, fd, command, argument);
}

int original_fcntl64(int fd, int command, void *argument)
{
    return next_fcntl(FCNTL64, fd, command, argument);
}

int original_lockf(int fd, int command, off_t len)
{
    int (*next)(int, int, off_t);
    *(void **)&next = original(LOCKF);
    if (!next) {
        errno = ENOSYS;
        return -1;
    }
    return next(fd, command, len);
}

int original_lockf64(int fd, int command, off64_t len)
{
    int (*next)(int, int, off64_t);
    *(void **)&next = original(LOCKF64);
    if (!next) {
        errno = ENOSYS;
        return -1;
    }
    return next(fd, command, len);
}
