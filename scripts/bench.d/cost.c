/*
 * What a call costs that the library has nothing to do with: F_GETFL, flock and unlock on a file that
 * no configuration maps, both in ns, and the start of a program, in us.
 *   cost FILE TIMES STARTS
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

extern char **environ;

static void start_true(void)
{
    char *argv[] = {(char *)"true", NULL};
    pid_t pid;
    int status;
    if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0 ||
        waitpid(pid, &status, 0) != pid || status != 0)
        fail("true");
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 100;
    int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    long times = strtol(argv[2], NULL, 10), starts = strtol(argv[3], NULL, 10);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        fail(argv[1]);
    int64_t begin = clock_ns();
    for (long i = 0; i < times; i++) {
        if (fcntl(fd, F_GETFL) < 0)
            fail("F_GETFL");
    }
    int64_t flags = clock_ns() - begin;
    begin = clock_ns();
    for (long i = 0; i < times; i++) {
        if (flock(fd, LOCK_EX) < 0 || flock(fd, LOCK_UN) < 0)
            fail("flock");
    }
    int64_t locks = clock_ns() - begin;
    begin = clock_ns();
    for (long i = 0; i < starts; i++)
        start_true();
    int64_t started = clock_ns() - begin;
    printf("%.1f %.1f %.1f\n", (double)flags / (double)times, (double)locks / (double)times,
           (double)started / 1e3 / (double)starts);
    return 0;
}
