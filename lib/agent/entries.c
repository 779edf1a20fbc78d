/*
 * A file's entries in etcd. `cur` is held: this host's programs hold the lock under it.
 * `next_entry` waits in the queue on behalf of the requests that cur cannot serve, one for all of
 * them; when it is granted it becomes cur, the first of them are served, and if any are left a new
 * one takes its place at the end. So hosts take turns.
 *
 * Transactions are those of the table in the README's design chapter, by the same names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/waiting.h"

/* ---- names and values ---- */

static int64_t wall_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void entries_new(struct file *file, struct entry *entry, enum entry_mode mode,
                 const struct request *for_whom)
{
    memset(entry, 0, sizeof *entry);
    entry->mode = mode;
    entry->since = wall_clock_ms();
    if (for_whom) {
        entry->pid = for_whom->pid;
        snprintf(entry->command, sizeof entry->command, "%s", for_whom->command);
    }
    entry_name(file->key, (uint64_t)session_lease(file->agent->session), agent_number(file->agent),
               entry->name);
}

char *entries_value(const struct file *file, const struct entry *entry)
{
    struct entry_value value = {.mode = entry->mode,
                                .joined = entry->joined,
                                .token = entry->token == entry->create ? 0 : entry->token,
                                .since = entry->since,
                                .dev = file->dev,
                                .ino = file->ino,
                                .pid = entry->pid};
    snprintf(value.host, sizeof value.host, "%s", file->agent->conf->host);
    snprintf(value.command, sizeof value.command, "%s", entry->command);
    snprintf(value.path, sizeof value.path, "%s", file->path);
    char *text = entry_print(&value);
    if (!text)
        abort(); /* out of memory; see loop_at */
    return text;
}

static void add_put(struct file *file, struct txn *txn, const struct entry *entry)
{
    char *value = entries_value(file, entry);
    txn_put(txn, TXN_THEN, entry->name, value, session_lease(file->agent->session));
    free(value);
}

/* ---- cur: release, downgrade, upgrade ---- */

static void send_cur(struct file *file, int op)
{
    file->cur_op = op;
    session_send(file->agent->session, &file->cur_txn);
}

static void build_cur(struct session_txn *self, struct txn *txn)
{
    struct file *file = self->owner;
    struct entry changed = file->cur;
    switch (file->cur_op) {
    case CUR_RELEASE:
        txn_if_create(txn, file->cur.name, file->cur.create);
        session_delete(file->agent->session, txn, file->cur.name);
        break;
    case CUR_DOWNGRADE:
        changed.mode = ENTRY_SH;
        txn_if_mod(txn, file->cur.name, file->cur.mod);
        add_put(file, txn, &changed);
        txn_get(txn, TXN_ELSE, file->cur.name);
        break;
    case CUR_REFRESH:
        txn_if_mod(txn, file->cur.name, file->cur.mod);
        add_put(file, txn, &changed);
        txn_get(txn, TXN_ELSE, file->cur.name);
        break;
    case CUR_LOOK_TURN:
    case CUR_LOOK_UPGRADE:
        txn_get_below(txn, TXN_THEN, file->prefix);
        break;
    case CUR_UPGRADE:
        changed.mode = ENTRY_EX;
        changed.token = 0; /* its new MOD revision, which is not known yet */
        txn_if_mod(txn, file->cur.name, file->cur.mod);
        txn_if_quiet(txn, file->prefix, file->upgrade_revision);
        if (file->upgrade_behind[0])
            txn_if_create(txn, file->upgrade_behind, file->upgrade_behind_create);
        add_put(file, txn, &changed);
        txn_get(txn, TXN_ELSE, file->cur.name);
        break;
    }
}

/* This grant no longer serves writers; and readers of this host may go on. */
static void downgraded(struct file *file)
{
    for (struct request *r = file->first; r; r = r->next) {
        if (r->state == REQUEST_WAITING && r->mode > file->cur.mode)
            r->assigned = r->kernel_busy = false;
    }
    entries_check(file);
}

/* After a change that etcd did not make: what is there now? A change that was made by a request
 * whose answer was lost shows here. */
static void reread_cur(struct file *file, const struct etcd_range *range)
{
    struct entry_value value;
    if (range->n != 1 || entry_parse(range->kvs[0].value, range->kvs[0].value_len, &value)) {
        loss_of_entry(file, "its entry in etcd was deleted or overwritten");
        return;
    }
    file->cur.mod = range->kvs[0].mod;
    file->cur.joined = value.joined;
    if (value.mode == ENTRY_EX && file->cur.mode == ENTRY_SH)
        file->cur.token = file->cur.mod;
    file->cur.mode = value.mode;
    if (value.mode == ENTRY_SH)
        downgraded(file);
}

static void assign_upgrade(struct file *file)
{
    for (struct request *r = file->first; r; r = r->next) {
        if (r->state == REQUEST_WAITING && r->upgrade) {
            r->assigned = true;
            file_go(r);
            return;
        }
    }
}

static void look_upgrade_done(struct file *file, const struct etcd_reply *reply)
{
    struct queue queue;
    if (queue_read(session_range(reply, 0), file->key, &queue))
        abort(); /* out of memory; see loop_at */
    size_t at = queue_find(&queue, file->cur.name);
    size_t behind = QUEUE_NONE;
    bool may = at != QUEUE_NONE && queue_may_upgrade(&queue, at, &behind);
    file->upgrade_behind[0] = '\0';
    if (may && behind != QUEUE_NONE) {
        file->upgrade_behind_create = queue.entries[behind].create;
        snprintf(file->upgrade_behind, sizeof file->upgrade_behind, "%s",
                 queue.entries[behind].name);
    }
    if (at != QUEUE_NONE)
        file->cur.mod = queue.entries[at].mod;
    queue_free(&queue);
    if (at == QUEUE_NONE) {
        loss_of_entry(file, "its entry in etcd was deleted");
    } else if (may) {
        file->upgrade_revision = reply->revision;
        send_cur(file, CUR_UPGRADE);
    } else {
        file->upgrade_failed = true;
    }
}

/* The turn is over: does anybody else want the lock? */
static void look_turn_done(struct file *file, const struct etcd_reply *reply)
{
    struct queue queue;
    if (queue_read(session_range(reply, 0), file->key, &queue))
        abort(); /* out of memory; see loop_at */
    bool there = queue_find(&queue, file->cur.name) != QUEUE_NONE;
    entries_note_others(file, &queue);
    queue_free(&queue);
    if (!there) {
        loss_of_entry(file, "its entry in etcd was deleted");
    } else if (file->turn_grants != file->grants || file_pins(file)) {
        return; /* somebody has taken the lock meanwhile: the line looks again */
    } else if (file->contested) {
        entries_release(file);
    } else {
        file->held_since = loop_now();
        file_serve_turn(file);
    }
}

void entries_note_others(struct file *file, const struct queue *queue)
{
    uint64_t own = (uint64_t)session_lease(file->agent->session);
    file->contested = false;
    for (size_t i = 0; i < queue->n; i++) {
        const struct queue_entry *entry = &queue->entries[i];
        /* Another file of this host with the same key counts as somebody else. */
        if (entry->agent != own || (strcmp(entry->name, file->cur.name) != 0 &&
                                    strcmp(entry->name, file->next_entry.name) != 0))
            file->contested = true;
    }
}

static void cur_retry_due(struct loop_timer *timer)
{
    file_poke(timer->owner);
}

static void cur_done(struct session_txn *self, enum session_result result,
                     const struct etcd_reply *reply, const char *why)
{
    struct file *file = self->owner;
    if (result == SESSION_REFUSED) {
        log_line("%s: etcd refused: %s", file->key, why);
        file->upgrade_failed = true;
        loop_in(file->agent->loop, &file->cur_retry, 1000);
    } else if (file->cur_op == CUR_RELEASE) {
        file->cur.state = ENTRY_ABSENT;
        /* With a watch open, somebody else is waited for, and the watch tells. */
        if (result == SESSION_DONE && !file->watch)
            entries_check(file);
    } else if (result == SESSION_DONE && file->cur_op == CUR_LOOK_UPGRADE) {
        look_upgrade_done(file, reply);
    } else if (result == SESSION_DONE && file->cur_op == CUR_LOOK_TURN) {
        look_turn_done(file, reply);
    } else if (result == SESSION_DONE && !reply->succeeded) {
        reread_cur(file, session_range(reply, 0));
        if (file->cur_op == CUR_UPGRADE && file->cur.mode == ENTRY_EX)
            assign_upgrade(file);
        else if (file->cur_op == CUR_UPGRADE && file->cur.state == ENTRY_HELD)
            send_cur(file, CUR_LOOK_UPGRADE); /* somebody came; look again */
    } else if (result == SESSION_DONE) {
        file->cur.mod = reply->revision;
        if (file->cur_op == CUR_UPGRADE) {
            file->cur.mode = ENTRY_EX;
            file->cur.token = reply->revision;
            assign_upgrade(file);
        } else if (file->cur_op == CUR_DOWNGRADE) {
            file->cur.mode = ENTRY_SH;
            downgraded(file);
        }
    }
    file_poke(file);
}

void entries_release(struct file *file)
{
    file->cur.state = ENTRY_LEAVING;
    send_cur(file, CUR_RELEASE);
}

void entries_downgrade(struct file *file)
{
    if (file->cur.mode == ENTRY_EX)
        send_cur(file, CUR_DOWNGRADE);
}

void entries_look_turn(struct file *file)
{
    file->turn_grants = file->grants;
    send_cur(file, CUR_LOOK_TURN);
}

void entries_refresh(struct file *file)
{
    send_cur(file, CUR_REFRESH);
}

void entries_upgrade(struct file *file)
{
    send_cur(file, CUR_LOOK_UPGRADE);
}

/* ---- a reader beside this host's readers: does anybody wait for them to end? ---- */

static void build_look(struct session_txn *self, struct txn *txn)
{
    struct file *file = self->owner;
    txn_get_below(txn, TXN_THEN, file->prefix);
}

static void turn_due(struct loop_timer *timer)
{
    struct file *file = timer->owner;
    /* The host's readers are still there, or cur would be gone: a reader among them may be waiting
     * for this very one. */
    for (struct request *r = file->first; r; r = r->next) {
        if (r->looked && !r->nb && r->mode == ENTRY_SH && file->cur.state == ENTRY_HELD)
            r->through = true;
    }
    file_poke(file);
}

static void look_done(struct session_txn *self, enum session_result result,
                      const struct etcd_reply *reply, const char *why)
{
    struct file *file = self->owner;
    struct queue queue;
    if (result == SESSION_REFUSED) {
        log_line("%s: etcd refused: %s", file->key, why);
        loop_in(file->agent->loop, &file->look_retry, 1000);
    }
    if (result == SESSION_DONE && file->cur.state == ENTRY_HELD) {
        if (queue_read(session_range(reply, 0), file->key, &queue))
            abort(); /* out of memory; see loop_at */
        size_t at = queue_find(&queue, file->cur.name);
        bool contested = at == QUEUE_NONE || queue_contested(&queue, at, file->next_entry.name);
        queue_free(&queue);
        for (struct request *r = file->first; r; r = r->next) {
            if (r->state != REQUEST_WAITING || r->nb || r->mode != ENTRY_SH)
                continue;
            r->looked = true;
            r->through = !contested;
        }
        if (contested && !file->turn.place)
            loop_in(file->agent->loop, &file->turn, file->agent->conf->turn + 1);
    }
    file_poke(file);
}

void entries_look(struct file *file)
{
    session_send(file->agent->session, &file->look_txn);
}

/* ---- life ---- */

void entries_hold(struct file *file, const struct entry *entry)
{
    file->cur = *entry;
    file->cur.state = ENTRY_HELD;
    if (!file->cur.token)
        file->cur.token = file->cur.create;
    file->upgrade_failed = false;
    file->contested = false;
    file->held_since = loop_now();
}

static void need_due(struct loop_timer *timer)
{
    file_poke(timer->owner);
}

static void recheck_due(struct loop_timer *timer)
{
    entries_check(timer->owner);
}

void entries_init(struct file *file)
{
    file->cur_txn = (struct session_txn){.build = build_cur, .done = cur_done, .owner = file};
    file->next_txn = (struct session_txn){.build = next_build, .done = next_done, .owner = file};
    file->look_txn = (struct session_txn){
        .build = build_look, .done = look_done, .owner = file, .read_only = true};
    file->recheck = (struct loop_timer){.fire = recheck_due, .owner = file};
    file->turn = (struct loop_timer){.fire = turn_due, .owner = file};
    file->next_retry = (struct loop_timer){.fire = need_due, .owner = file};
    file->look_retry = (struct loop_timer){.fire = need_due, .owner = file};
    file->need = (struct loop_timer){.fire = need_due, .owner = file};
    file->cur_retry = (struct loop_timer){.fire = cur_retry_due, .owner = file};
}

void entries_forget(struct file *file)
{
    struct loop *loop = file->agent->loop;
    session_forget(&file->cur_txn);
    session_forget(&file->next_txn);
    session_forget(&file->look_txn);
    loop_cancel(loop, &file->recheck);
    loop_cancel(loop, &file->turn);
    loop_cancel(loop, &file->need);
    loop_cancel(loop, &file->look_retry);
    loop_cancel(loop, &file->next_retry);
    loop_cancel(loop, &file->cur_retry);
    if (file->watch)
        watch_close(file->watch);
    file->watch = NULL;
}
