/* A shared object whose constructor locks: the program is linked with it, so that its constructor
 * runs before those of preloaded libraries, which come later in the order of initialisation. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "early.h"

int early_constructor_result = -1;

int early_try(const char *path)
{
    int fd = path ? open(path, O_RDWR | O_CREAT, 0644) : -1;
    int error = 0;

    if (fd < 0)
        return ENOENT;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        error = errno;
    close(fd);
    return error;
}

__attribute__((constructor)) static void early_constructor(void)
{
    early_constructor_result = early_try(getenv("EARLY_FILE"));
}
