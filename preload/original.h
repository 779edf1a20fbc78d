/* The next definitions of the functions we hook: libc's, or those of another preload library. */
#ifndef ETCDFLOCK_ORIGINAL_H
#define ETCDFLOCK_ORIGINAL_H

#include <sys/types.h>

int original_flock(int fd, int operation);
int original_fcntl(int fd, int command, void *argument);
int original_fcntl64(int fd, int command, void *argument);
int original_lockf(int fd, int command, off_t len);
int original_lockf64(int fd, int command, off64_t len);

#endif
