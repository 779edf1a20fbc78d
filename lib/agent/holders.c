#include "agent/holders.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/kernel.h"

/* "1: FLOCK  ADVISORY  WRITE 123 00:2a:77 0 EOF", with a "->" behind the number for one that waits.
 */
static bool line_shows_flock(const char *line, ino_t ino, enum entry_mode mode)
{
    char kind[16];
    char access[16];
    uint64_t inode;
    const char *at = strchr(line, ':');
    if (!at || strstr(line, "->"))
        return false;
    return sscanf(at + 1, " %15s %*s %15s %*d %*x:%*x:%" SCNu64, kind, access, &inode) == 3 &&
           strcmp(kind, "FLOCK") == 0 && inode == (uint64_t)ino &&
           (mode == ENTRY_EX || strcmp(access, "WRITE") == 0);
}

int holders_in_proc_locks(dev_t dev, ino_t ino, enum entry_mode mode)
{
    char line[256];
    int held = 0;
    (void)dev; /* the device shown there is the superblock's, which is not always what stat tells */
    FILE *file = fopen("/proc/locks", "re");
    if (!file)
        return -errno;
    while (!held && fgets(line, sizeof line, file))
        held = line_shows_flock(line, ino, mode);
    fclose(file);
    return held;
}

static bool fd_holds(pid_t pid, const char *fd, dev_t dev, ino_t ino)
{
    char path[320];
    char line[256];
    struct stat st;
    bool lock = false;
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%s", pid, fd);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (!lock && fgets(line, sizeof line, file))
        lock = strncmp(line, "lock:", 5) == 0 && line_shows_flock(line + 5, ino, ENTRY_EX);
    fclose(file);
    if (!lock)
        return false;
    snprintf(path, sizeof path, "/proc/%d/fd/%s", pid, fd);
    return stat(path, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

static bool process_holds(pid_t pid, dev_t dev, ino_t ino)
{
    char path[64];
    bool holds = false;
    snprintf(path, sizeof path, "/proc/%d/fdinfo", pid);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && !holds && (entry = readdir(dir))) {
        if (isdigit((unsigned char)entry->d_name[0]))
            holds = fd_holds(pid, entry->d_name, dev, ino);
    }
    if (dir)
        closedir(dir);
    return holds;
}

static int open_if_inode(const char *path, dev_t dev, ino_t ino)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int find_in_process(const char *pid, dev_t dev, ino_t ino)
{
    char path[600];
    int found = -1;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && found < 0 && (entry = readdir(dir))) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%s/fd/%s", pid, entry->d_name);
        found = open_if_inode(path, dev, ino);
    }
    if (dir)
        closedir(dir);
    return found;
}

int holders_find_inode(const char *path, dev_t dev, ino_t ino)
{
    int found = open_if_inode(path, dev, ino);
    DIR *proc = found < 0 ? opendir("/proc") : NULL;
    const struct dirent *entry;
    while (proc && found < 0 && (entry = readdir(proc))) {
        if (isdigit((unsigned char)entry->d_name[0]))
            found = find_in_process(entry->d_name, dev, ino);
    }
    if (proc)
        closedir(proc);
    return found;
}

/* A pidfd, so that the signal reaches the process that was looked at and no later one with its
 * number. */
static void signal_holder(struct kernel_scan *scan, pid_t pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process_holds(pid, scan->dev, scan->ino)) {
        if (scan->n < (int)(sizeof scan->pids / sizeof *scan->pids))
            scan->pids[scan->n] = pid;
        scan->n++;
        if (scan->signal && pidfd >= 0)
            syscall(SYS_pidfd_send_signal, pidfd, scan->signal, NULL, 0);
        else if (scan->signal)
            kill(pid, scan->signal);
    }
    if (pidfd >= 0)
        close(pidfd);
}

void holders_signal(struct kernel_scan *scan)
{
    scan->n = 0;
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
        pid_t pid =
            isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
        if (pid > 0 && pid != getpid())
            signal_holder(scan, pid);
    }
    if (proc)
        closedir(proc);
}
