/* A file's requests: arrival, GO and its answers, limits of time, conversions. */
#include <errno.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"

#define DROP_MS                                                                                    \
    1000 /* for a client to drop the lock it converts from, and for etcd to hear of a downgrade */

static void pin_due(struct loop_timer *timer)
{
    struct request *request = timer->owner;
    if (request->state != REQUEST_PINNED)
        return;
    request->state = REQUEST_EXPIRED;
    file_poke(request->file);
}

static bool same_description(const struct request *a, const struct request *b)
{
    if (a->pid <= 0 || b->pid <= 0)
        return false;
    long differ = syscall(SYS_kcmp, a->pid, b->pid, KCMP_FILE, a->fd, b->fd);
    return differ == 0 || (differ < 0 && errno == ENOSYS && a->pid == b->pid);
}

bool file_is_undoing(const struct file *file, const struct request *request)
{
    for (const struct request *r = file->first; r; r = r->next) {
        if (r->state == REQUEST_UNDOING && r != request && same_description(r, request))
            return true;
    }
    return false;
}

void file_go(struct request *request)
{
    struct file *file = request->file;
    if (file_is_undoing(file, request))
        return; /* its unlock, still to come, would be ours: when its connection has gone we are
                   poked */
    file->grants++;
    request->state = REQUEST_PINNED;
    request->assigned = true;
    request->timer.fire = pin_due;
    loop_in(file->agent->loop, &request->timer, PIN_MS);
    request_say(request, WIRE_GO);
}

static void limit_due(struct loop_timer *timer)
{
    struct request *request = timer->owner;
    struct file *file = request->file;
    struct agent *agent = file->agent;
    char why[WIRE_TEXT_MAX];
    const char *trouble = etcd_trouble(agent->client);
    if (request->state != REQUEST_WAITING)
        return;
    int64_t now = loop_now();
    if (request->nb) {
        /* The holder's agent has been asked and its session lives: its host is slow or dead, and
         * the lock is its. */
        if (file->try.state == TRY_WAIT && session_valid(agent->session) && !trouble) {
            request_end(request, WIRE_WOULDBLOCK);
            return;
        }
        snprintf(why, sizeof why, "no answer from etcd within 2 s%s%.300s", trouble ? ": " : "",
                 trouble ? trouble : "");
        request_fail(request, ENOLCK, why);
        return;
    }
    int64_t since = etcd_trouble_since(agent->client);
    if (since && since < request->arrived)
        since = request->arrived;
    if (since && now - since >= file->timeout_ms) {
        snprintf(why, sizeof why, "etcd has been out of reach for the %u ms of `timeout`: %.300s",
                 file->timeout_ms, trouble ? trouble : "");
        request_fail(request, ENOLCK, why);
        return;
    }
    loop_at(agent->loop, timer, since ? since + file->timeout_ms : now + file->timeout_ms / 4 + 10);
}

static void set_limit(struct request *request)
{
    const struct file *file = request->file;
    request->timer.fire = limit_due;
    request->timer.owner = request;
    if (request->nb)
        loop_at(file->agent->loop, &request->timer, request->arrived + TRY_MS);
    else if (file->timeout_ms)
        loop_at(file->agent->loop, &request->timer, request->arrived + file->timeout_ms);
    else
        loop_cancel(file->agent->loop, &request->timer);
}

/* A client that was told to drop its lock says so at once, unless it was stopped. It is not waited
 * for: it asks again. */
static void drop_due(struct loop_timer *timer)
{
    request_free(timer->owner);
}

void request_drop(struct request *request)
{
    request->state = REQUEST_DROPPING;
    request->timer.fire = drop_due;
    loop_in(request->agent->loop, &request->timer, DROP_MS);
    request_say(request, WIRE_DROP);
}

/* etcd does not answer, and so does not know of the downgrade yet. The lock is good all the same. */
static void downgrade_due(struct loop_timer *timer)
{
    struct request *request = timer->owner;
    request_end(request, file_stands(request->file, ENTRY_SH) ? WIRE_OK : WIRE_AGAIN);
}

void file_add(struct file *file, struct request *request)
{
    request->file = file;
    request->next = NULL;
    request->previous = file->last;
    if (file->last)
        file->last->next = request;
    else
        file->first = request;
    file->last = request;
    set_limit(request);
    request->join_at = request->arrived + JOIN_MS;
    if (request->upgrade && request->state == REQUEST_WAITING) {
        request_drop(request);
    } else if (request->state == REQUEST_DOWNGRADE) {
        request->timer.fire = downgrade_due;
        loop_in(file->agent->loop, &request->timer, DROP_MS);
    }
    file_poke(file);
}

static void unlink_request(struct file *file, struct request *request)
{
    if (request->previous)
        request->previous->next = request->next;
    else
        file->first = request->next;
    if (request->next)
        request->next->previous = request->previous;
    else
        file->last = request->previous;
}

void file_remove(struct file *file, struct request *request)
{
    unlink_request(file, request);
    request->file = NULL;
    file_poke(file);
}

/* A conversion goes to the front: on one kernel it is the caller that takes the lock it has just
 * left, if nobody else holds it. */
static void dropped(struct request *request)
{
    struct file *file = request->file;
    unlink_request(file, request);
    request->previous = NULL;
    request->next = file->first;
    if (file->first)
        file->first->previous = request;
    else
        file->last = request;
    file->first = request;
    request->state = REQUEST_WAITING;
    file->upgrade_failed = false;
    set_limit(request);
}

/* Others may wait for the same lock through the same open file description: another thread, or a
 * child. To the kernel they have it now too. They ask again, and learn that. */
static void wake_same_description(const struct request *holder)
{
    struct request *next;
    for (struct request *r = holder->file->first; r; r = next) {
        next = r->next;
        if (r != holder && r->state == REQUEST_WAITING && same_description(r, holder))
            request_end(r, WIRE_AGAIN);
    }
}

static void locked(struct request *request)
{
    struct file *file = request->file;
    bool late = request->state == REQUEST_EXPIRED;
    if (file_stands(file, request->mode) && !late) {
        wake_same_description(request);
        request_end(request, WIRE_OK);
    } else if (file_stands(file, request->mode) && !file_is_undoing(file, request)) {
        /* Whoever shares the description may have dropped the lock since. To take it once more changes nothing if
         * it is still there. */
        file_go(request);
    } else {
        request->state = REQUEST_UNDOING;
        loop_cancel(file->agent->loop, &request->timer);
        request_say(request, WIRE_REVOKED);
    }
}

/* The kernel lock was not to be had. That may have been our own line, which holds it for an
 * instant: the test, on the line's own description, tells. */
static void busy(struct request *request)
{
    request->state = REQUEST_WAITING;
    if (request->nb) {
        request->looked = true; /* file_step starts the test */
        /* A program that was stopped has its time before it still. */
        if (loop_now() > request->arrived + TRY_MS / 2)
            request->arrived = loop_now();
    } else
        request->kernel_busy = true;
    set_limit(request);
}

void file_heard(struct request *request, const struct wire_msg *msg)
{
    struct file *file = request->file;
    bool had_go = request->state == REQUEST_PINNED || request->state == REQUEST_EXPIRED;
    if (msg->op == WIRE_LOCKED && had_go) {
        locked(request);
    } else if (msg->op == WIRE_BUSY && had_go) {
        busy(request);
    } else if (msg->op == WIRE_ERROR && had_go) {
        request_free(request);
    } else if (msg->op == WIRE_DROPPED && request->state == REQUEST_DROPPING) {
        dropped(request);
    } else {
        log_line("pid %d sent a message out of turn: connection closed", request->pid);
        request_free(request);
    }
    file_poke(file);
}

void file_let_readers_through(struct file *file)
{
    for (struct request *r = file->first; r; r = r->next) {
        if (r->state == REQUEST_WAITING && !r->nb && r->mode == ENTRY_SH)
            r->looked = r->through = true;
    }
}

void file_fail_waiting(struct file *file, const char *why)
{
    struct request *next;
    for (struct request *r = file->first; r; r = next) {
        next = r->next;
        if (r->state == REQUEST_WAITING)
            request_fail(r, ENOLCK, why);
    }
}
