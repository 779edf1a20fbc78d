/*
 * Does a program notice the agent that its lock call starts?
 *
 *   family FILE ROUNDS [subreaper]
 *
 * Takes and gives back the lock ROUNDS times, and kills the agent in between.
 * Then prints "signals N wait ERRNO zombies N": SIGCHLDs that came, what wait() says, and how many dead children are
 * left lying. Any other line says what went wrong.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_MS 150

static volatile sig_atomic_t signals;

static void note_signal(int number)
{
    (void)number;
    signals++;
}

static void pause_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

/* Our children in this state. */
static int children(char state)
{
    int n = 0;
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
        char path[300];
        char line[512];
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *stat = fopen(path, "r");
        const char *end = stat && fgets(line, sizeof line, stat) ? strrchr(line, ')') : NULL;
        if (stat)
            fclose(stat);
        int parent;
        char found;
        n += end && sscanf(end + 1, " %c %d", &found, &parent) == 2 && parent == getpid() &&
             found == state;
    }
    if (proc)
        closedir(proc);
    return n;
}

/* SIGKILL to the agents of our runtime directory. */
static void kill_agents(const char *rundir)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
        char path[300];
        char line[4096];
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        FILE *file = fopen(path, "r");
        size_t len = file ? fread(line, 1, sizeof line - 1, file) : 0;
        if (file)
            fclose(file);
        line[len] = '\0';
        if (strcmp(line, "etcdflockd") == 0 && rundir && memmem(line, len, rundir, strlen(rundir)))
            kill(atoi(entry->d_name), SIGKILL);
    }
    if (proc)
        closedir(proc);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 100;
    int rounds = atoi(argv[2]);
    struct sigaction action = {.sa_handler = note_signal};
    sigaction(SIGCHLD, &action, NULL);
    if (argc > 3 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return 100;
    int fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    for (int round = 0; round < rounds; round++) {
        if (round > 0) {
            kill_agents(getenv("ETCDFLOCK_RUNDIR"));
            pause_ms(SETTLE_MS);
        }
        if (flock(fd, LOCK_EX) < 0 || flock(fd, LOCK_UN) < 0) {
            printf("flock: %s\n", strerrorname_np(errno));
            return 1;
        }
        pause_ms(SETTLE_MS);
    }
    pid_t found = waitpid(-1, NULL, WNOHANG);
    printf("signals %d wait %s zombies %d\n", (int)signals,
           found < 0 ? strerrorname_np(errno)
           : found   ? "a child"
                     : "a living child",
           children('Z'));
    return 0;
}
