/*
 * One inode under one key: the requests of this host's programs, and the kernel's side of the lock.
 *
 * Why it is safe. A program may believe that it holds the lock only after OK. OK is said only while the grant
 * stands (`cur` held, no release sent) to a request that had its GO under this very grant and has taken the kernel
 * lock. The grant is given back only after the kernel has shown, on a description of our own, that nobody here holds
 * the lock, at a moment after the last GO and with no GO unanswered. `grants` counts the GOs, so that an observation
 * which began before one of them is known to be stale.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"

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

bool file_stands(const struct file *file, enum entry_mode mode)
{
    /* etcd may have carried out a downgrade that we have no answer to yet. */
    bool going_down = session_pending(&file->cur_txn) && file->cur_op == CUR_DOWNGRADE;
    enum entry_mode granted = going_down ? ENTRY_SH : file->cur.mode;
    return file->cur.state == ENTRY_HELD && granted >= mode && !file->stopping &&
           session_valid(file->agent->session);
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
    else if (!request->looked && !session_pending(&file->look_txn) && !file->look_retry.place)
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

static bool file_is_busy(const struct file *file)
{
    return file->cur.state != ENTRY_ABSENT || file->next_entry.state != ENTRY_ABSENT ||
           file->try.state != TRY_IDLE || session_pending(&file->cur_txn) ||
           session_pending(&file->next_txn) || session_pending(&file->look_txn) ||
           session_pending(&file->try.txn);
}

/* What was promised to requests under a grant that is no more. */
static void forget_grant(struct file *file)
{
    for (struct request *r = file->first; r; r = r->next)
        r->assigned = r->kernel_busy = r->through = r->looked = false;
}

/* Requests whose description has the kernel lock already: a repeated lock changes nothing, if a grant stands behind the first. It
 * goes the ordinary way all the same, as what the library read may be old. A lock without a grant (of a program without the
 * library, of an agent that died) is given up first: it would be in the way of those who get the grant. */
static void sort_out_holders(struct file *file)
{
    bool undecided = session_pending(&file->next_txn) && file->cur.state == ENTRY_ABSENT;
    for (struct request *r = file->first; r; r = r->next) {
        if (!r->holds || r->state != REQUEST_WAITING)
            continue;
        if (file_stands(file, r->mode)) {
            r->holds = false;
            r->assigned = true;
        } else if (!undecided) {
            r->holds = false;
            request_drop(r);
        }
    }
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
    if (file->cur.state != ENTRY_HELD)
        forget_grant(file);
    sort_out_holders(file);
    if (file->cur.state == ENTRY_HELD && !session_pending(&file->cur_txn) &&
        session_valid(agent->session) && !file->stopping)
        serve(file);
    else if (file->cur.state != ENTRY_HELD)
        file->downgrade_wanted = false;
    for (struct request *r = file->first, *next; r; r = next) {
        next = r->next;
        if (r->state == REQUEST_DOWNGRADE && file->cur.state != ENTRY_HELD)
            request_end(r, WIRE_AGAIN); /* no grant stands behind that lock: it asks for one */
    }
    entries_step(file);
    try_step(file);
    file_line_step(file);
    if (file->opened && !file->first && !file_is_busy(file) && !file->stopping && !file->scanning &&
        !file->owner_scanning && !file->step.queued)
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
    file->line_retry = (struct loop_timer){.fire = file_retry_due, .owner = file};
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
    .opened = file_opened, .freed = file_freed, .tested = file_tested};

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
