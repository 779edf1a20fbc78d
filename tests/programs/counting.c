/* A preload library of somebody else's that hooks flock and fcntl too: it counts the calls that reach it, tells
 * at the end how many there were, and passes them on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int flocks;
static int fcntls;

int flock(int fd, int operation);
int flock(int fd, int operation)
{
    int (*next)(int, int);
    *(void **)&next = dlsym(RTLD_NEXT, "flock");
    flocks++;
    return next(fd, operation);
}

int fcntl(int fd, int command, ...);
int fcntl(int fd, int command, ...)
{
    int (*next)(int, int, ...);
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    *(void **)&next = dlsym(RTLD_NEXT, "fcntl");
    fcntls++;
    return next(fd, command, argument);
}

__attribute__((destructor)) static void tell(void)
{
    const char *file = getenv("COUNTING_FILE");
    FILE *out = file ? fopen(file, "a") : NULL;
    if (!out)
        return;
    fprintf(out, "flock %d fcntl %d\n", flocks, fcntls);
    fclose(out);
}
