/*
 * One inode under one key: the requests of this host's programs, and the kernel's side of the lock.
 *
 * Why it is safe. A program may believe that it holds the lock only after OK. OK is said only while
 * the grant stands
 * (`cur` held and no release sent) to a request that had its GO under this very grant and has taken
 * the kernel lock. The grant is given back only after the kernel has shown, on a description of our
 * own, that nobody here holds the lock, at a moment after the last GO and with no GO unanswered.
 * `grants` counts the GOs, so that an observation which began before one of them is known to be
 * stale.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"

#define DROP_MS 1000
/* On a network file system the tests of other hosts' agents look like locks for an instant: a try
 * under a good grant is repeated for a while before it is refused. */
#define NETWORK_MS       50
#define NETWORK_RETRY_MS 5

/* ---- the kernel's side ---- */

unsigned file_pins(const struct file *file)
{
    unsigned pins = 0;
    for (const struct request *r = file->first; r; r = r->next)
        pins += r->state == REQUEST_PINNED || r->state == REQUEST_UNDOING;
    return pins;
}

static void opened(void *owner, int err)
{
    struct file *file = owner;
    file->opened = true;
    file->open_error = err;
    file_poke(file);
}

static void line_retry_due(struct loop_timer *timer)
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

/* Nobody here holds the lock, at a moment since the last GO: who is next? */
static void came_free(struct file *file)
{
    bool gone = false;
    struct request *upgrade = NULL;
    if (is_dropping(file))
        return;
    for (struct request *r = file->first; r; r = r->next) {
        if (r->state != REQUEST_WAITING)
            continue;
        if (r->kernel_busy && !(gone && (r->mode == ENTRY_EX || file->cur.mode == ENTRY_EX))) {
            r->kernel_busy = false;
            file_go(r); /* the grant was made for it, a program without the library was quicker */
            gone = true;
        }
        if (r->upgrade && !upgrade)
            upgrade = r;
    }
    if (gone)
        return;
    if (upgrade && file->cur.mode == ENTRY_SH && !file->upgrade_failed)
        entries_upgrade(file);
    else
        entries_release(file);
}

static void freed(void *owner, int err)
{
    struct file *file = owner;
    file->line_on = false;
    file->line_error = err;
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
        if (r->state != REQUEST_WAITING || !r->nb || file->cur.state != ENTRY_HELD)
            continue;
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

static void tested(void *owner, enum entry_mode mode, int held)
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
    kernel_test(file->kernel, mode);
}

static void line_step(struct file *file)
{
    if (is_dropping(file) || file->cur.state != ENTRY_HELD || !file->opened || file->open_error ||
        file->line_on || file->line_retry.place || file_pins(file) ||
        session_pending(&file->cur_txn))
        return;
    file->line_on = true;
    file->line_grants = file->grants;
    kernel_line(file->kernel);
}

/* ---- requests ---- */

static void pin_due(struct loop_timer *timer)
{
    struct request *request = timer->owner;
    if (request->state != REQUEST_PINNED)
        return;
    request->state = REQUEST_EXPIRED;
    file_poke(request->file);
}

void file_go(struct request *request)
{
    struct file *file = request->file;
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
        request->state = REQUEST_DROPPING;
        request->timer.fire = drop_due;
        loop_in(file->agent->loop, &request->timer, DROP_MS);
        request_say(request, WIRE_DROP);
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
        if (r == holder || r->state != REQUEST_WAITING || r->pid <= 0 || holder->pid <= 0)
            continue;
        long same = syscall(SYS_kcmp, holder->pid, r->pid, KCMP_FILE, holder->fd, r->fd);
        if (same == 0 || (same < 0 && errno == ENOSYS && r->pid == holder->pid))
            request_end(r, WIRE_AGAIN);
    }
}

static void locked(struct request *request)
{
    struct file *file = request->file;
    if (request->state == REQUEST_EXPIRED)
        file->grants++; /* what the line saw before this is stale */
    if (file->cur.state == ENTRY_HELD && file->cur.mode >= request->mode && !file->stopping &&
        session_valid(file->agent->session)) {
        wake_same_description(request);
        request_end(request, WIRE_OK);
        return;
    }
    request->state = REQUEST_UNDOING;
    loop_cancel(file->agent->loop, &request->timer);
    request_say(request, WIRE_REVOKED);
}

/* The kernel lock was not to be had. That may have been our own line, which holds it for an
 * instant: the test, on the line's own description, tells. */
static void busy(struct request *request)
{
    request->state = REQUEST_WAITING;
    set_limit(request);
    if (request->nb)
        request->looked = true; /* file_step starts the test */
    else
        request->kernel_busy = true;
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

void file_fail_waiting(struct file *file, const char *why)
{
    struct request *next;
    for (struct request *r = file->first; r; r = next) {
        next = r->next;
        if (r->state == REQUEST_WAITING)
            request_fail(r, ENOLCK, why);
    }
}

/* ---- names ---- */

/* A file can be renamed, or get a second name, while it is locked: programs that open it by the new
 * name then mean another key. Said in the log, once; those who ask from now on get the key of the
 * new name. */
void file_check_name(struct file *file)
{
    char path[AGENT_PATH_MAX];
    if (file->cur.state != ENTRY_HELD || file->renamed ||
        kernel_path(file->kernel, path, sizeof path) < 0 || strcmp(path, file->path) == 0 ||
        strstr(path, " (deleted)"))
        return;
    file->renamed = true;
    log_line("%s is now called %s while it is locked with key %s: programs that open it by the new "
             "name are not excluded by this lock",
             file->path, path, file->key);
}

/* ---- what can be served under the present grant ---- */

static void serve_try(struct file *file, struct request *request)
{
    if (file->line_retry.place) {
        return; /* not yet: see NETWORK_MS */
    } else if (request->mode > file->cur.mode) {
        file_test(file, ENTRY_EX); /* local readers: really held; none: release, then try */
    } else if (!request->looked) {
        file_go(request); /* the kernel decides */
    } else {
        file_test(file, request->mode);
    }
}

static void serve_reader(struct file *file, struct request *request)
{
    if (request->through)
        file_go(request);
    else if (!request->looked && !session_pending(&file->look_txn))
        entries_look(file);
}

static void serve(struct file *file)
{
    struct request *next;
    for (struct request *r = file->first; r; r = next) {
        next = r->next;
        if (r->state == REQUEST_DOWNGRADE) {
            if (file->cur.mode == ENTRY_EX && !session_pending(&file->cur_txn) &&
                !file->downgrade_wanted && !r->looked) {
                r->looked = true;
                file->downgrade_wanted = true;
            } else if (!file->downgrade_wanted && !session_pending(&file->cur_txn)) {
                request_end(r, WIRE_OK);
                continue;
            }
        }
        if (r->state != REQUEST_WAITING)
            continue;
        if (r->assigned && !r->nb) {
            if (!r->kernel_busy)
                file_go(r); /* after BUSY it is came_free that says GO */
        } else if (r->nb) {
            serve_try(file, r);
        } else if (r->mode == ENTRY_SH && file->cur.mode == ENTRY_SH) {
            serve_reader(file, r);
        } else if (r->upgrade && file->cur.mode == ENTRY_SH && !file->upgrade_failed) {
            file_test(file, ENTRY_EX);
        }
    }
    if (file->downgrade_wanted)
        file_test(file, ENTRY_SH);
    enum entry_mode mode;
    if (asks_want_test(file, &mode) && !file_pins(file))
        file_test(file, mode);
}

/* ---- the step ---- */

bool file_is_busy(const struct file *file)
{
    return file->cur.state != ENTRY_ABSENT || file->next_entry.state != ENTRY_ABSENT ||
           file->try.state != TRY_IDLE || session_pending(&file->cur_txn) ||
           session_pending(&file->next_txn) || session_pending(&file->look_txn) ||
           session_pending(&file->try.txn);
}

static void file_step(struct loop_later *job)
{
    struct file *file = job->owner;
    struct agent *agent = file->agent;
    if (agent->adopting)
        return;
    if (file->open_error) {
        char why[WIRE_TEXT_MAX];
        snprintf(why, sizeof why, "the agent cannot open the file to watch its lock: %s",
                 strerror(-file->open_error));
        file_fail_waiting(file, why);
        /* What a killed agent left, of a file that nobody has open any more. */
        if (file->cur.state == ENTRY_HELD && !session_pending(&file->cur_txn))
            entries_release(file);
    }
    asks_step(file);
    if (file->cur.state == ENTRY_HELD && !session_pending(&file->cur_txn) &&
        session_valid(agent->session) && !file->stopping)
        serve(file);
    else if (file->cur.state != ENTRY_HELD)
        file->downgrade_wanted = false;
    for (struct request *r = file->first, *next; r; r = next) {
        next = r->next;
        if (r->state == REQUEST_DOWNGRADE && file->cur.state != ENTRY_HELD)
            request_end(r, WIRE_OK);
    }
    entries_step(file);
    try_step(file);
    line_step(file);
    if (file->opened && !file->first && !file_is_busy(file) && !file->stopping && !file->scanning &&
        !file->step.queued)
        file_free(file);
}

void file_poke(struct file *file)
{
    loop_later(file->agent->loop, &file->step);
}

/* ---- life ---- */

static struct file *find(struct agent *agent, const char *key, dev_t dev, ino_t ino)
{
    for (struct file *file = agent->files; file; file = file->next) {
        if (file->dev == dev && file->ino == ino && strcmp(file->key, key) == 0)
            return file;
    }
    return NULL;
}

struct file *file_find_entry(struct agent *agent, const char *entry)
{
    for (struct file *file = agent->files; file; file = file->next) {
        if ((file->cur.state != ENTRY_ABSENT && strcmp(file->cur.name, entry) == 0) ||
            (file->next_entry.state != ENTRY_ABSENT && strcmp(file->next_entry.name, entry) == 0) ||
            (file->try.state != TRY_IDLE && strcmp(file->try.entry.name, entry) == 0))
            return file;
    }
    return NULL;
}

static char *copy(const char *text, const char *more)
{
    size_t size = strlen(text) + strlen(more) + 1;
    char *out = malloc(size);
    if (!out)
        abort(); /* out of memory; see loop_at */
    snprintf(out, size, "%s%s", text, more);
    return out;
}

static struct file *make(struct agent *agent, const struct conf_rule *rule, const char *key,
                         const char *path, dev_t dev, ino_t ino)
{
    struct file *file = calloc(1, sizeof *file);
    if (!file)
        abort(); /* out of memory; see loop_at */
    file->agent = agent;
    file->dev = dev;
    file->ino = ino;
    file->on_lost = rule ? rule->on_lost : CONF_LOST_TERM;
    file->lost_signal = rule ? rule->lost_signal : 0;
    file->timeout_ms = rule ? rule->timeout_ms : 0;
    file->key = copy(key, "");
    file->prefix = copy(key, "/");
    file->path = copy(path, "");
    file->step = (struct loop_later){.run = file_step, .owner = file};
    file->line_retry = (struct loop_timer){.fire = line_retry_due, .owner = file};
    file->kill_timer = (struct loop_timer){.fire = loss_kill_due, .owner = file};
    entries_init(file);
    try_init(file);
    file->next = agent->files;
    if (file->next)
        file->next->previous = file;
    agent->files = file;
    return file;
}

static const struct kernel_calls kernel_calls = {
    .opened = opened, .freed = freed, .tested = tested};

struct file *file_get(struct agent *agent, const struct conf_rule *rule, const char *key,
                      const char *path, dev_t dev, ino_t ino, int path_fd)
{
    struct file *file = find(agent, key, dev, ino);
    if (file) {
        close(path_fd);
        return file;
    }
    file = make(agent, rule, key, path, dev, ino);
    file->kernel = kernel_open(agent->kernel, path_fd, dev, ino, &kernel_calls, file);
    return file;
}

struct file *file_get_named(struct agent *agent, const struct conf_rule *rule, const char *key,
                            const char *path, dev_t dev, ino_t ino)
{
    struct file *file = find(agent, key, dev, ino);
    if (file)
        return file;
    file = make(agent, rule, key, path, dev, ino);
    file->kernel = kernel_open_named(agent->kernel, file->path, dev, ino, &kernel_calls, file);
    return file;
}

void file_free(struct file *file)
{
    struct agent *agent = file->agent;
    try_stop(file);
    entries_forget(file);
    asks_forget(file);
    loop_cancel(agent->loop, &file->line_retry);
    loop_cancel(agent->loop, &file->kill_timer);
    kernel_close(file->kernel);
    if (file->previous)
        file->previous->next = file->next;
    else
        agent->files = file->next;
    if (file->next)
        file->next->previous = file->previous;
    free(file->predecessors);
    free(file->key);
    free(file->prefix);
    free(file->path);
    free(file);
    agent_idle_check(agent);
}
