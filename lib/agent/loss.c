/*
 * A lost lock: the lease is about to run out or has gone, or somebody deleted the entry. Whoever
 * holds the kernel lock on this host is stopped, as `on_lost` says, before others can get the lock:
 * see lease_time.h.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "lock/lease_time.h"

#define LOOK_AGAIN_MS 50

static void log_scan(const struct file *file, const struct kernel_scan *scan)
{
    char pids[400] = "";
    size_t len = 0;
    for (int i = 0; i < scan->n && i < (int)(sizeof scan->pids / sizeof *scan->pids); i++)
        len += (size_t)snprintf(pids + len, sizeof pids - len, " %d", scan->pids[i]);
    if (scan->n && scan->signal)
        log_line("lock lost: key %s, token %lld, %s: SIG%s sent to %d process(es):%s", file->key,
                 (long long)file->cur.token, file->path, sigabbrev_np(scan->signal), scan->n, pids);
    else if (scan->n)
        log_line("lock lost: key %s, token %lld, %s: on_lost = ignore, %d process(es) go on:%s",
                 file->key, (long long)file->cur.token, file->path, scan->n, pids);
}

static void scanned(struct kernel_scan *scan)
{
    struct file *file = scan->owner;
    file->scanning = false;
    log_scan(file, scan);
    if (file->stopping)
        file_test(file, ENTRY_EX);
    file_poke(file);
}

static int first_signal(const struct file *file)
{
    switch (file->on_lost) {
    case CONF_LOST_KILL:
        return SIGKILL;
    case CONF_LOST_SIGNAL:
        return file->lost_signal;
    case CONF_LOST_IGNORE:
        return 0;
    default:
        return SIGTERM;
    }
}

void loss_stop(struct file *file, bool kill_now)
{
    if (file->scanning || file->cur.state == ENTRY_ABSENT)
        return;
    int signal = first_signal(file);
    file->scan = (struct kernel_scan){.dev = file->dev,
                                      .ino = file->ino,
                                      .signal = signal && kill_now ? SIGKILL : signal,
                                      .done = scanned,
                                      .owner = file};
    file->scanning = true;
    kernel_scan(file->agent->kernel, &file->scan);
}

void loss_kill_due(struct loop_timer *timer)
{
    struct file *file = timer->owner;
    if (!file->stopping)
        return;
    if (loop_now() >= file->kill_at && !file->scanning) {
        file->scan.signal = SIGKILL;
        file->scanning = true;
        kernel_scan(file->agent->kernel, &file->scan);
    } else {
        file_test(file, ENTRY_EX);
    }
    loop_in(file->agent->loop, timer, LOOK_AGAIN_MS);
}

void loss_over(struct file *file)
{
    file->stopping = false;
    loop_cancel(file->agent->loop, &file->kill_timer);
    file_poke(file);
}

void loss_of_entry(struct file *file, const char *why)
{
    if (file->cur.state != ENTRY_HELD)
        return;
    log_line("lock lost: key %s, token %lld, %s: %s", file->key, (long long)file->cur.token,
             file->path, why);
    loss_stop(file, false);
    file->cur.state = ENTRY_ABSENT;
    file->upgrade_failed = false;
    /* Nothing new is granted here before those who held it are gone. */
    file->stopping = file->on_lost != CONF_LOST_IGNORE && !file->open_error;
    entries_check(file);
    if (file->stopping) {
        file->kill_at = loop_now() + LEASE_LOST_KILL_MS;
        loop_in(file->agent->loop, &file->kill_timer, LOOK_AGAIN_MS);
    }
    file_poke(file);
}
