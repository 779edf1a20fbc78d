/*
 * Who is shown as the holder. A lock often outlives the program that took it: flock(1) on a shell's descriptor ends at
 * once. When that is seen, the kernel is asked which process has the locked description now, and the entry's value says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"

void owner_command(pid_t pid, char out[ENTRY_TEXT_MAX])
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, out, ENTRY_TEXT_MAX - 1);
    if (fd >= 0)
        close(fd);
    out[got > 0 ? got : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

static void found(struct kernel_scan *scan)
{
    struct file *file = scan->owner;
    file->owner_scanning = false;
    if (file->cur.state != ENTRY_HELD || file->cur.create != file->owner_create) {
        file_poke(file);
        return;
    }
    /* None found: it belongs to a user whose processes we may not look at. It is not looked for again. */
    file->cur.pid = scan->n ? scan->pids[0] : 0;
    if (scan->n && !session_pending(&file->cur_txn)) {
        owner_command(file->cur.pid, file->cur.command);
        entries_refresh(file);
    }
    file_poke(file);
}

void owner_check(struct file *file)
{
    if (file->cur.state != ENTRY_HELD || file->cur.pid <= 0 || file->owner_scanning ||
        file_pins(file) || session_pending(&file->cur_txn) || kill(file->cur.pid, 0) == 0 ||
        errno != ESRCH)
        return;
    file->owner_scan =
        (struct kernel_scan){.dev = file->dev, .ino = file->ino, .done = found, .owner = file};
    file->owner_scanning = true;
    file->owner_create = file->cur.create;
    kernel_scan(file->agent->kernel, &file->owner_scan);
}
