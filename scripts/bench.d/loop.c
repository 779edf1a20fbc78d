/*
 * Runs a command again and again for a while:
 *   loop START SECONDS COMMAND [ARGUMENT...]      START in ns of CLOCK_MONOTONIC
 * Prints how often it has run to its end in that time; the 0 is for the readers of turns.c.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "clock.h"

extern char **environ;

int main(int argc, char **argv)
{
    posix_spawn_file_actions_t actions;
    if (argc < 4)
        return 100;
    int64_t start = strtoll(argv[1], NULL, 10);
    int64_t end = start + (int64_t)(strtod(argv[2], NULL) * 1e9);
    long turns = 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    clock_wait_until(start);
    while (clock_ns() < end) {
        pid_t pid;
        int status;
        errno = posix_spawnp(&pid, argv[3], &actions, NULL, argv + 3, environ);
        if (errno || waitpid(pid, &status, 0) != pid)
            fail(argv[3]);
        if (status != 0) {
            fprintf(stderr, "bench helper: %s ended with status %#x\n", argv[3], status);
            return 1;
        }
        turns += clock_ns() < end;
    }
    printf("%ld 0\n", turns);
    return 0;
}
