/*
 * The kernel's side of a file: what the line and the tests show, and what follows from it. An
 * observation that began before the last GO is stale.
 */
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"

/* On a network file system the tests of other hosts' agents look like locks for an instant: a try
 * under a good grant is repeated for a while before it is refused. */
#define NETWORK_MS       50
#define NETWORK_RETRY_MS 5

unsigned file_pins(const struct file *file)
{
    unsigned pins = 0;
    for (const struct request *r = file->first; r; r = r->next)
        pins += r->state == REQUEST_PINNED;
    return pins;
}

void file_opened(void *owner, int err)
{
    struct file *file = owner;
    file->opened = true;
    file->open_error = err;
    file_poke(file);
}

void file_retry_due(struct loop_timer *timer)
{
    file_poke(timer->owner);
}

/* A conversion is about to begin: that the lock is free then does not mean that nobody wants it. */
static bool is_dropping(const struct file *file)
{
    for (const struct request *r = file->first; r; r = r->next) {
        if (r->state == REQUEST_DROPPING)
            return true;
    }
    return false;
}

/* GO to the first of those who wait, and with a reader to the readers behind it. False if this grant does not
 * serve the first of them. */
static bool serve_first(struct file *file)
{
    bool any = false;
    for (struct request *r = file->first; r; r = r->next) {
        if (r->state != REQUEST_WAITING || r->nb)
            continue;
        if (r->mode > file->cur.mode || (any && r->mode == ENTRY_EX))
            break;
        file_go(r);
        any = any || r->state == REQUEST_PINNED;
        if (r->mode == ENTRY_EX)
            break;
    }
    return any;
}

void file_serve_turn(struct file *file)
{
    if (!serve_first(file))
        entries_release(file);
}

/* Nobody here holds the lock, at a moment since the last GO: who is next? Whoever is known to wait elsewhere;
 * else the host's own, and once in a turn etcd is asked whether somebody else has come. */
static void came_free(struct file *file)
{
    bool gone = false;
    bool waiting = false;
    struct request *upgrade = NULL;
    if (is_dropping(file))
        return;
    for (struct request *r = file->first; r; r = r->next) {
        if (r->state != REQUEST_WAITING)
            continue;
        waiting = waiting || !r->nb;
        if (r->kernel_busy && !(gone && (r->mode == ENTRY_EX || file->cur.mode == ENTRY_EX))) {
            r->kernel_busy = false; /* if it cannot go yet, serve says GO later */
            file_go(r); /* the grant was made for it, a program without the library was quicker */
            gone = true;
        }
        if (r->upgrade && !upgrade)
            upgrade = r;
    }
    if (gone)
        return;
    unsigned turn = file->agent->conf->turn;
    if (upgrade && file->cur.mode == ENTRY_SH && !file->upgrade_failed)
        entries_upgrade(file);
    else if (!waiting || turn == 0 || file->contested)
        entries_release(file);
    else if (loop_now() < file->held_since + turn)
        file_serve_turn(file);
    else
        entries_look_turn(file);
}

void file_freed(void *owner, int err)
{
    struct file *file = owner;
    file->line_on = false;
    if (err) {
        log_line("%s: cannot wait for its lock in the kernel: %s", file->path, strerror(-err));
        loop_in(file->agent->loop, &file->line_retry, 1000);
    } else if (file->cur.state == ENTRY_HELD && file->line_grants == file->grants &&
               !file_pins(file) && !session_pending(&file->cur_txn)) {
        came_free(file);
    }
    file_poke(file);
}

static void answer_tries(struct file *file, enum entry_mode mode, bool held)
{
    struct request *next;
    for (struct request *r = file->first; r; r = next) {
        next = r->next;
        if (r->state != REQUEST_WAITING || !r->nb || file->cur.state != ENTRY_HELD ||
            (held && r->arrived >= file->test_at))
            continue; /* that the lock was held before the call is no answer to it */
        /* An exclusive try is refused by any holder; a shared one only by an exclusive holder. */
        if (held && (mode == ENTRY_SH || r->mode == ENTRY_EX)) {
            if (kernel_is_network(file->kernel) && loop_now() < r->arrived + NETWORK_MS)
                loop_in(file->agent->loop, &file->line_retry, NETWORK_RETRY_MS);
            else
                request_end(r, WIRE_WOULDBLOCK);
        } else if (!held && (r->mode == ENTRY_SH || file->cur.mode == ENTRY_EX))
            file_go(r);
    }
}

void file_tested(void *owner, enum entry_mode mode, int held)
{
    struct file *file = owner;
    file->test_on = false;
    bool stale = file->test_grants != file->grants || file_pins(file);
    if (file->stopping && mode == ENTRY_EX && held == 0)
        loss_over(file);
    if (held < 0) {
        log_line("%s: cannot test its lock in the kernel: %s", file->path, strerror(-held));
        loop_in(file->agent->loop, &file->line_retry, 100);
        return;
    }
    if (held || !stale) {
        asks_tested(file, mode, held);
        if (file->downgrade_wanted && mode == ENTRY_SH) {
            file->downgrade_wanted = false;
            if (!held && file->cur.state == ENTRY_HELD && !session_pending(&file->cur_txn))
                entries_downgrade(file);
        }
        if (held && mode == ENTRY_EX)
            file->upgrade_failed = true; /* other readers of this host are left */
        answer_tries(file, mode, held);
        if (!held && mode == ENTRY_EX && file->cur.state == ENTRY_HELD && !file_pins(file) &&
            !session_pending(&file->cur_txn))
            came_free(file);
    }
    file_poke(file);
}

void file_test(struct file *file, enum entry_mode mode)
{
    if (file->test_on || !file->opened || file->open_error)
        return;
    file->test_on = true;
    file->test_grants = file->grants;
    file->test_at = loop_now();
    kernel_test(file->kernel, mode);
}

void file_line_step(struct file *file)
{
    if (is_dropping(file) || file->cur.state != ENTRY_HELD || !file->opened || file->open_error ||
        file->line_on || file->line_retry.place || file_pins(file) ||
        session_pending(&file->cur_txn))
        return;
    file->line_on = true;
    file->line_grants = file->grants;
    kernel_line(file->kernel);
}
