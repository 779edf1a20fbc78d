/*
 * The manners of code that runs inside somebody else's program: no heap, no stdio, no lock, no
 * thread, no exit. What is forbidden does not compile. Included last.
 */
#ifndef ETCDFLOCK_GUEST_H
#define ETCDFLOCK_GUEST_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wire/paths.h"

#define EXPORT __attribute__((visibility("default")))

/* What the library knows of its surroundings, taken from the environment once: a program may
 * change its environment from another thread, and it may leave the root directory behind. */
struct guest {
    bool inert; /* ETCDFLOCK_DISABLE=1, or a program that runs with raised privileges */
    bool debug;
    bool has_rundir, has_xdg, rundir_too_long;
    char config[PATHS_MAX]; /* resolved; empty if it did not fit */
    char rundir[PATHS_MAX];
    char xdg[PATHS_MAX];
    char library_dir[PATHS_MAX];     /* where this library lies, to find the agent beside it */
    uint64_t stderr_dev, stderr_ino; /* what descriptor 2 was at the start */
    struct paths_namespaces namespaces;
};

/* Works before constructors have run. Never fails. */
const struct guest *guest_get(void);

/* A system call past libc's wrappers: no cancellation point, no interposition. Returns the result
 * or a negative errno, and leaves errno to be restored by the hook. */
#define guest_call(...) guest_result(syscall(__VA_ARGS__))

static inline long guest_result(long result)
{
    return result < 0 ? -errno : result;
}

static inline void guest_close(int fd)
{
    (void)guest_call(SYS_close, fd);
}

/* "/proc/thread-self/fd/N", for the thread: it may have a descriptor table of its own. */
struct guest_fd_path {
    char text[48];
};
struct guest_fd_path guest_fd_path(const char *kind, int fd);

#pragma GCC poison malloc calloc realloc free strdup asprintf printf fprintf snprintf sprintf puts
#pragma GCC poison fopen fclose fgets fwrite perror pthread_mutex_lock pthread_create
#pragma GCC poison exit abort _exit assert getenv setenv signal sigaction usleep sleep

#endif
