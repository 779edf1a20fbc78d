/* The entry that waits in the queue: enqueue, check, cancel, join, and its promotion to the one
 * that holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/waiting.h"
#include "lock/lease_time.h"

#define SESSIONS_MAX 64 /* read one by one; more are read as one range */

/* ---- those ahead, and what became of their leases ---- */

/* The agents among the predecessors, each once, without our own. Returns how many; writes at most
 * `room`. */
static size_t agents_ahead(const struct file *file, uint64_t *out, size_t room)
{
    size_t n = 0;
    uint64_t own = (uint64_t)session_lease(file->agent->session);
    for (size_t i = 0; i < file->n_predecessors; i++) {
        uint64_t agent = file->predecessors[i].agent;
        bool known = agent == 0 || agent == own;
        for (size_t j = 0; j < n && j < room && !known; j++)
            known = out[j] == agent;
        if (known)
            continue;
        if (n < room)
            out[n] = agent;
        n++;
    }
    return n;
}

/* Do we know the revision at which this agent's entry was deleted? Then its mark, as it was at that revision, tells more than its
 * session as it is now: put in the same transaction, it was a clean release, by an agent that may have left since. If
 * not, the lease was lost or somebody else deleted the entry. */
static bool saw_it_go(const struct file *file, uint64_t agent)
{
    return agent == file->watched_agent && file->watched_gone && !file->no_history;
}

static void add_session_reads(struct file *file, struct txn *txn)
{
    uint64_t agents[SESSIONS_MAX];
    char key[SESSION_KEY_MAX];
    size_t n = agents_ahead(file, agents, SESSIONS_MAX);
    file->asked_gone = 0;
    if (n > SESSIONS_MAX) {
        snprintf(key, sizeof key, "%ssession/", file->agent->conf->root);
        txn_get_below(txn, TXN_THEN, key);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (saw_it_go(file, agents[i])) {
            file->asked_gone = file->watched_gone;
            file->asked_agent = agents[i];
            session_left_key_of(file->agent->conf, agents[i], key);
            txn_get_at(txn, TXN_THEN, key, file->watched_gone);
        } else {
            session_key_of(file->agent->conf, agents[i], key);
            txn_get(txn, TXN_THEN, key);
        }
    }
}

static bool session_found(const struct file *file, const struct etcd_reply *reply, uint64_t agent)
{
    uint64_t agents[SESSIONS_MAX];
    char key[SESSION_KEY_MAX];
    size_t n = agents_ahead(file, agents, SESSIONS_MAX);
    session_key_of(file->agent->conf, agent, key);
    for (size_t i = 0; n <= SESSIONS_MAX && i < n; i++) {
        if (agents[i] != agent)
            continue;
        const struct etcd_range *found = session_range(reply, 1 + i);
        /* By what was asked, not by what has been seen since. */
        bool is_mark = file->asked_gone && file->asked_agent == agent;
        return found->n > 0 && (!is_mark || found->kvs[0].mod == file->asked_gone);
    }
    const struct etcd_range *all = session_range(reply, 1);
    for (size_t i = 0; i < all->n; i++) {
        if (strcmp(all->kvs[i].key, key) == 0)
            return true;
    }
    return false;
}

/* A predecessor that vanished together with its session has lost its lease, and one that vanished without its agent's
 * mark was deleted by somebody: its host needs time to stop its holders. */
static void look_for_losses(struct file *file, const struct etcd_reply *reply,
                            const struct queue *queue)
{
    uint64_t own = (uint64_t)session_lease(file->agent->session);
    for (size_t i = 0; i < file->n_predecessors; i++) {
        const struct predecessor *gone = &file->predecessors[i];
        if (!gone->agent || gone->agent == own || queue_find(queue, gone->name) != QUEUE_NONE ||
            session_found(file, reply, gone->agent))
            continue;
        file->grace_until = loop_now() + LEASE_GRACE_MS;
        log_line("%s: a host ahead of us has lost its lease or its entry; waiting %d ms for it to "
                 "stop its programs",
                 file->key, LEASE_GRACE_MS);
    }
}

static void remember_predecessors(struct file *file, const struct queue *queue, size_t at)
{
    file->n_predecessors = 0;
    if (file->room < queue->n) {
        size_t room = queue->n + 16;
        struct predecessor *longer = realloc(file->predecessors, room * sizeof *longer);
        if (!longer)
            abort(); /* out of memory; see loop_at */
        file->predecessors = longer;
        file->room = room;
    }
    for (size_t i = 0; i < queue->n; i++) {
        const struct queue_entry *entry = &queue->entries[i];
        if (i == at || (i > at && !entry->joined) ||
            !entry_conflict(entry->mode, file->next_entry.mode))
            continue;
        struct predecessor *slot = &file->predecessors[file->n_predecessors++];
        slot->agent = entry->agent;
        snprintf(slot->name, sizeof slot->name, "%s", entry->name);
    }
}

/* ---- the watch of the one that is waited for ---- */

static void blocker_ready(void *owner, int64_t revision)
{
    struct file *file = owner;
    if (revision > file->read_revision)
        entries_check(file);
}

static void blocker_changed(void *owner, const struct etcd_event *event)
{
    struct file *file = owner;
    if (event->deleted && strcmp(event->kv.key, file->watched) == 0)
        file->watched_gone = event->kv.mod;
    entries_check(file);
}

static void stop_watch(struct file *file)
{
    if (file->watch)
        watch_close(file->watch);
    file->watch = NULL;
    file->watched[0] = '\0';
    file->watched_gone = 0;
}

/* There is no waiting entry any more. */
static void drop_next(struct file *file)
{
    memset(&file->next_entry, 0, sizeof file->next_entry);
    stop_watch(file);
}

static void watch_entry(struct file *file, const struct queue_entry *entry)
{
    static const struct watch_calls calls = {.ready = blocker_ready, .event = blocker_changed};
    if (file->watch && strcmp(file->watched, entry->name) == 0)
        return;
    stop_watch(file);
    file->watched_agent = entry->agent;
    snprintf(file->watched, sizeof file->watched, "%s", entry->name);
    file->watch = watch_open(file->agent->hub, entry->name, false, NULL, &calls, file);
}

/* ---- promotion ---- */

/* The path may have changed while we waited (rename): those who asked ask again, under the key of
 * today. */
static bool key_has_changed(struct file *file)
{
    char path[AGENT_PATH_MAX];
    char key[CONF_KEY_MAX + 1];
    if (kernel_path(file->kernel, path, sizeof path) < 0 || strcmp(path, file->path) == 0)
        return false;
    const struct conf_rule *rule = conf_find(file->agent->rules, path);
    return rule && conf_key(rule, path, key, sizeof key) == 0 && strcmp(key, file->key) != 0 &&
           !strstr(path, " (deleted)");
}

static void serve_first(struct file *file)
{
    bool again = key_has_changed(file);
    struct request *next;
    for (struct request *r = file->first; r; r = next) {
        next = r->next;
        if (r->state != REQUEST_WAITING || r->nb || r->assigned)
            continue;
        if (file->cur.mode == ENTRY_SH && r->mode == ENTRY_EX)
            break;
        if (again)
            request_end(r, WIRE_AGAIN);
        else
            r->assigned = true;
        if (file->cur.mode == ENTRY_EX)
            break;
    }
}

static void promote(struct file *file)
{
    entries_hold(file, &file->next_entry);
    drop_next(file);
    file->n_predecessors = 0;
    file->grace_until = 0;
    loop_cancel(file->agent->loop, &file->recheck);
    serve_first(file);
}

/* ---- the decision ---- */

/* A reader that has waited for a while, behind a waiter, while only readers hold: it joins them,
 * because one of them may be waiting for it. Sends the transaction and returns true if that is so.
 */
static bool join_if_due(struct file *file, const struct queue *queue, size_t self, int64_t revision)
{
    size_t at;
    if (file->next_entry.mode != ENTRY_SH || file->cur.state != ENTRY_ABSENT ||
        !queue_may_join(queue, self, &at))
        return false;
    int64_t due = file->queued_at + JOIN_MS;
    if (loop_now() < due) {
        loop_at(file->agent->loop, &file->recheck, due);
        return false;
    }
    file->join_revision = revision;
    file->join_holder_create = queue->entries[at].create;
    snprintf(file->join_holder, sizeof file->join_holder, "%s", queue->entries[at].name);
    file->next_op = NEXT_JOIN;
    session_send(file->agent->session, &file->next_txn);
    return true;
}

static void decide(struct file *file, const struct queue *queue, size_t at, int64_t revision)
{
    struct loop *loop = file->agent->loop;
    size_t blocker = queue_blocker(queue, at, NULL);
    loop_in(loop, &file->recheck, RECHECK_MS);
    /* With nobody else to wait for: if cur is on its way out, its release looks here again. */
    if (blocker == QUEUE_NONE)
        stop_watch(file);
    if (blocker != QUEUE_NONE) {
        if (join_if_due(file, queue, at, revision))
            return;
        if (strcmp(queue->entries[blocker].name, file->cur.name) == 0) {
            stop_watch(file); /* our own: its release looks here again */
            if (file->cur.state == ENTRY_ABSENT)
                file->check_again = true; /* it has been released since this read */
        } else {
            watch_entry(file, &queue->entries[blocker]);
        }
    } else if (loop_now() < file->grace_until) {
        loop_at(loop, &file->recheck, file->grace_until);
    } else if (!session_valid(file->agent->session)) {
        loop_in(loop, &file->recheck, 100);
    } else if (file->cur.state == ENTRY_ABSENT && !file->stopping) {
        promote(file);
    } else if (file->cur.state == ENTRY_HELD && file->next_entry.mode == ENTRY_SH) {
        file_let_readers_through(file); /* they need no entry of their own */
    } else if (file->stopping) {
        loop_in(loop, &file->recheck, 50);
    }
}

static void evaluate(struct file *file, const struct etcd_reply *reply,
                     const struct etcd_range *range, bool with_sessions)
{
    struct queue queue;
    if (queue_read(range, file->key, &queue))
        abort(); /* out of memory; see loop_at */
    size_t at = queue_find(&queue, file->next_entry.name);
    if (at == QUEUE_NONE) {
        /* Deleted by somebody (an operator): its requests queue again, at the end. */
        drop_next(file);
    } else {
        file->read_revision = reply->revision;
        file->next_entry.placed = true;
        file->next_entry.create = queue.entries[at].create;
        file->next_entry.mod = queue.entries[at].mod;
        /* A join whose answer was lost shows here. */
        if (queue.entries[at].joined && !file->next_entry.joined)
            file->next_entry.token = queue.entries[at].mod;
        file->next_entry.joined = queue.entries[at].joined;
        if (with_sessions)
            look_for_losses(file, reply, &queue);
        remember_predecessors(file, &queue, at);
        decide(file, &queue, at, reply->revision);
        if (file->cur.state == ENTRY_HELD)
            entries_note_others(file, &queue);
    }
    queue_free(&queue);
}

/* ---- transactions ---- */

void next_build(struct session_txn *self, struct txn *txn)
{
    struct file *file = self->owner;
    struct entry *entry = &file->next_entry;
    struct entry joined;
    char *value;
    switch (file->next_op) {
    case NEXT_ENQUEUE:
        value = entries_value(file, entry);
        txn_if_create(txn, entry->name, 0);
        txn_put(txn, TXN_THEN, entry->name, value, session_lease(file->agent->session));
        free(value);
        txn_get_below(txn, TXN_THEN, file->prefix);
        txn_get_below(txn, TXN_ELSE, file->prefix);
        break;
    case NEXT_CHECK:
        txn_if_create(txn, entry->name, entry->create);
        txn_get_below(txn, TXN_THEN, file->prefix);
        add_session_reads(file, txn);
        break;
    case NEXT_CANCEL:
        txn_if_create(txn, entry->name, entry->create);
        session_delete(file->agent->session, txn, entry->name);
        break;
    case NEXT_JOIN:
        joined = *entry;
        joined.joined = true;
        value = entries_value(file, &joined);
        txn_if_mod(txn, entry->name, entry->mod);
        txn_if_quiet(txn, file->prefix, file->join_revision);
        txn_if_create(txn, file->join_holder, file->join_holder_create);
        txn_put(txn, TXN_THEN, entry->name, value, session_lease(file->agent->session));
        free(value);
        break;
    }
}

static void refused(struct file *file, const char *why)
{
    if (file->next_op == NEXT_CHECK && strstr(why, "compacted")) {
        file->no_history = true;
        entries_check(file);
        return;
    }
    log_line("%s: etcd refused: %s", file->key, why);
    if (file->next_op == NEXT_ENQUEUE) {
        memset(&file->next_entry, 0, sizeof file->next_entry);
        file_fail_waiting(file, why);
        return;
    }
    loop_in(file->agent->loop, &file->next_retry, 1000);
    loop_in(file->agent->loop, &file->recheck, 1000);
}

void next_done(struct session_txn *self, enum session_result result, const struct etcd_reply *reply,
               const char *why)
{
    struct file *file = self->owner;
    bool again = file->check_again;
    file->check_again = false;
    if (result == SESSION_LOST) {
        drop_next(file);
    } else if (result == SESSION_REFUSED) {
        refused(file, why);
    } else if (file->next_op == NEXT_CANCEL) {
        drop_next(file);
        loop_cancel(file->agent->loop, &file->recheck);
    } else if (file->next_op == NEXT_ENQUEUE) {
        evaluate(file, reply, session_range(reply, reply->succeeded ? 1 : 0), false);
    } else if (file->next_op == NEXT_JOIN) {
        if (reply->succeeded && session_valid(file->agent->session)) {
            file->next_entry.joined = true;
            file->next_entry.mod = file->next_entry.token = reply->revision;
            promote(file);
        } else {
            entries_check(file);
        }
    } else if (reply->succeeded) {
        evaluate(file, reply, session_range(reply, 0), true);
    } else {
        drop_next(file);
    }
    again = again || file->check_again;
    file->check_again = false;
    if (again && !session_pending(&file->next_txn))
        entries_check(file);
    file_poke(file);
}

void entries_check(struct file *file)
{
    if (session_pending(&file->next_txn)) {
        file->check_again = true;
    } else if (file->next_entry.state == ENTRY_QUEUED && file->next_entry.placed) {
        file->next_op = NEXT_CHECK;
        session_send(file->agent->session, &file->next_txn);
    }
}

/* ---- who needs an entry ---- */

/* While the host holds the lock, a request first waits for a turn: most are served under the present grant. */
static bool in_turn(struct file *file, const struct request *request)
{
    int64_t due = request->arrived + file->agent->conf->turn;
    if (file->cur.state != ENTRY_HELD || file->next_entry.state != ENTRY_ABSENT ||
        loop_now() >= due)
        return false;
    loop_at(file->agent->loop, &file->need, due);
    return true;
}

static const struct request *first_in_need(struct file *file)
{
    for (const struct request *r = file->first; r; r = r->next) {
        if (r->state != REQUEST_WAITING || r->nb || r->assigned)
            continue;
        if (file->cur.state == ENTRY_HELD && file->cur.mode == ENTRY_SH) {
            if (r->mode == ENTRY_SH && (r->through || !r->looked))
                continue;
            if (r->upgrade && !file->upgrade_failed)
                continue;
        }
        return in_turn(file, r) ? NULL : r;
    }
    return NULL;
}

void entries_step(struct file *file)
{
    const struct request *need = first_in_need(file);
    struct entry *next = &file->next_entry;
    if (file->cur.state == ENTRY_LEAVING && !session_pending(&file->cur_txn) &&
        !file->cur_retry.place)
        entries_release(file); /* etcd refused it; asked again */
    if (session_pending(&file->next_txn) || file->next_retry.place)
        return;
    if (next->state == ENTRY_ABSENT) {
        if (!need || !session_is_up(file->agent->session) || file->open_error)
            return;
        entries_new(file, next, need->mode, need);
        next->state = ENTRY_QUEUED;
        file->queued_at = loop_now();
        file->n_predecessors = 0;
        file->no_history = false;
        file->next_op = NEXT_ENQUEUE;
        session_send(file->agent->session, &file->next_txn);
    } else if (!need || need->mode != next->mode) {
        file->next_op = NEXT_CANCEL;
        session_send(file->agent->session, &file->next_txn);
    }
}
