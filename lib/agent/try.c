/*
 * LOCK_NB on a file for which this host holds nothing.
 *
 * The truth about a try is in the hands of whoever is in possession: nobody (put an entry), readers
 * that can be joined, one of our agents (ask it, outside the queue, so that a failed try leaves
 * nothing behind and fails nobody else's), or somebody else, who cannot be asked. Those who only
 * wait never make a try fail.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"

#define AGAIN_MS 10 /* for our own waiter to be promoted */

static void send_try(struct file *file, enum try_state state)
{
    file->try.state = state;
    session_send(file->agent->session, &file->try.txn);
}

static void close_watch(struct try *try)
{
    if (try->watch)
        watch_close(try->watch);
    try->watch = NULL;
    try->watch_revision = 0;
    try->look_after = false;
}

/* A reader that has waited for a while behind a writer of its own host, whose entry it cannot use.
 */
static const struct request *patient_reader(struct file *file)
{
    int64_t due = 0;
    for (const struct request *r = file->first; r; r = r->next) {
        if (r->state != REQUEST_WAITING || r->nb || r->assigned || r->mode != ENTRY_SH)
            continue;
        if (r->join_at <= loop_now())
            return r;
        if (!due || r->join_at < due)
            due = r->join_at;
    }
    if (due)
        loop_at(file->agent->loop, &file->try.join, due);
    return NULL;
}

static void join_due(struct loop_timer *timer)
{
    file_poke(timer->owner);
}

static const struct request *first_try(const struct file *file)
{
    for (const struct request *r = file->first; r; r = r->next) {
        if (r->state == REQUEST_WAITING && r->nb)
            return r;
    }
    return NULL;
}

/* ---- results ---- */

/* It is true for every try that began before the question whose answer this is. */
static void refuse(struct file *file, bool same_mode_only)
{
    struct try *try = &file->try;
    struct request *next;
    for (struct request *r = file->first; r; r = next) {
        next = r->next;
        if (r->state == REQUEST_WAITING && r->nb && r->arrived <= try->asked_at &&
            (r->mode == try->mode || (!same_mode_only && r->mode == ENTRY_EX)))
            request_end(r, WIRE_WOULDBLOCK);
    }
}

static void finish(struct file *file)
{
    close_watch(&file->try);
    if (file->try.ask[0])
        send_try(file, TRY_CLEAN);
    else
        file->try.state = TRY_IDLE;
}

static void succeed(struct file *file, int64_t create, int64_t mod, bool joined)
{
    struct try *try = &file->try;
    struct entry entry = try->entry;
    entry.create = create;
    entry.mod = mod;
    entry.joined = joined;
    if (file->cur.state != ENTRY_ABSENT) {
        /* The waiting entry was promoted meanwhile: one is enough. */
        agent_delete_stray(file->agent, entry.name);
        finish(file);
        return;
    }
    entries_hold(file, &entry);
    if (try->for_reader)
        file_let_readers_through(file);
    finish(file);
}

/* It goes on waiting and tries again later. */
static void put_off(struct file *file)
{
    for (struct request *r = file->first; r; r = r->next)
        r->join_at = loop_now() + JOIN_MS;
    finish(file);
}

/* ---- asking ---- */

static void look(struct file *file)
{
    if (file->try.state == TRY_WAIT)
        send_try(file, TRY_LOOK);
    else
        file->try.look_after = true;
}

static void answer_ready(void *owner, int64_t revision)
{
    struct file *file = owner;
    file->try.watch_revision = revision;
    if (file->try.state == TRY_WAIT && revision > file->try.asked_revision)
        look(file);
}

static void answer_came(void *owner, const struct etcd_event *event)
{
    (void)event;
    look(owner);
}

static void ask(struct file *file, const struct queue_entry *holder)
{
    static const struct watch_calls calls = {.ready = answer_ready, .event = answer_came};
    struct try *try = &file->try;
    struct agent *agent = file->agent;
    try->holder_create = holder->create;
    try->holder_mod = holder->mod;
    try->asked_at = loop_now();
    snprintf(try->holder, sizeof try->holder, "%s", holder->name);
    snprintf(try->ask, sizeof try->ask, "%sask/%016" PRIx64 "/%016" PRIx64 "-%" PRIu64,
             agent->conf->root, holder->agent, (uint64_t)session_lease(agent->session),
             agent_number(agent));
    close_watch(try);
    try->watch = watch_open(agent->hub, try->ask, false, try->holder, &calls, file);
    send_try(file, TRY_ASK);
}

static char *ask_value(const struct try *try)
{
    cJSON *root = cJSON_CreateObject();
    char *text = NULL;
    if (root && cJSON_AddNumberToObject(root, "v", 1) &&
        cJSON_AddStringToObject(root, "entry", try->holder) &&
        cJSON_AddStringToObject(root, "mode", entry_mode_name(try->mode)))
        text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (!text)
        abort(); /* out of memory; see loop_at */
    return text;
}

/* ---- the decision ---- */

static void decide(struct file *file, const struct etcd_reply *reply,
                   const struct etcd_range *range)
{
    struct try *try = &file->try;
    struct queue queue;
    if (queue_read(range, file->key, &queue))
        abort(); /* out of memory; see loop_at */
    size_t at = queue_find(&queue, try->entry.name);
    if (at != QUEUE_NONE) {
        /* Put by a request whose answer was lost. */
        succeed(file, queue.entries[at].create, queue.entries[at].mod, queue.entries[at].joined);
        queue_free(&queue);
        return;
    }
    enum queue_try kind = queue_try(&queue, try->mode, &at);
    const char *name = at == QUEUE_NONE ? "" : queue.entries[at].name;
    if (try->for_reader && (kind == QUEUE_ASK || kind == QUEUE_FOREIGN)) {
        put_off(file);
        queue_free(&queue);
        return;
    }
    if (at != QUEUE_NONE &&
        ((file->next_entry.state != ENTRY_ABSENT && strcmp(name, file->next_entry.name) == 0) ||
         file->cur.state != ENTRY_ABSENT)) {
        try->again_at = loop_now() + AGAIN_MS;
        entries_check(file); /* our own waiter has its turn: it is promoted, then we see */
        finish(file);
        queue_free(&queue);
        return;
    }
    switch (kind) {
    case QUEUE_FREE:
        send_try(file, TRY_PUT);
        break;
    case QUEUE_JOIN:
        try->revision = reply->revision;
        try->holder_create = queue.entries[at].create;
        snprintf(try->holder, sizeof try->holder, "%s", name);
        send_try(file, TRY_JOIN);
        break;
    case QUEUE_ASK:
        ask(file, &queue.entries[at]);
        break;
    case QUEUE_FOREIGN:
        refuse(file, true);
        finish(file);
        break;
    }
    queue_free(&queue);
}

static bool says_busy(const struct etcd_range *range)
{
    return range->n == 1 && strcmp(range->kvs[0].value, ASK_BUSY) == 0;
}

static void looked(struct file *file, const struct etcd_reply *reply)
{
    struct try *try = &file->try;
    const struct etcd_range *question = session_range(reply, 0);
    const struct etcd_range *holder = session_range(reply, 1);
    bool same = holder->n == 1 && holder->kvs[0].create == try->holder_create &&
                holder->kvs[0].mod == try->holder_mod;
    if (says_busy(question)) {
        refuse(file, false);
        finish(file);
    } else if (!same || question->n == 0) {
        close_watch(try);
        send_try(file, TRY_PUT);
    } else {
        try->state = TRY_WAIT;
        if (try->look_after) {
            try->look_after = false;
            look(file);
        }
    }
}

/* ---- transactions ---- */

static void build(struct session_txn *self, struct txn *txn)
{
    struct file *file = self->owner;
    struct try *try = &file->try;
    struct entry entry = try->entry;
    char *value;
    switch (try->state) {
    case TRY_PUT:
    case TRY_JOIN:
        entry.joined = try->state == TRY_JOIN;
        value = entries_value(file, &entry);
        if (entry.joined) {
            txn_if_quiet(txn, file->prefix, try->revision);
            txn_if_create(txn, try->holder, try->holder_create);
        } else {
            txn_if_none_below(txn, file->prefix);
        }
        txn_if_create(txn, entry.name, 0);
        txn_put(txn, TXN_THEN, entry.name, value, session_lease(file->agent->session));
        free(value);
        txn_get_below(txn, TXN_ELSE, file->prefix);
        break;
    case TRY_ASK:
        value = ask_value(try);
        txn_if_create(txn, try->holder, try->holder_create);
        txn_put(txn, TXN_THEN, try->ask, value, session_lease(file->agent->session));
        txn_get_below(txn, TXN_ELSE, file->prefix);
        free(value);
        return;
    case TRY_LOOK:
        txn_get(txn, TXN_THEN, try->ask);
        txn_get(txn, TXN_THEN, try->holder);
        return;
    default:
        break;
    }
    if (try->ask[0]) {
        txn_delete(txn, TXN_THEN, try->ask);
        txn_delete(txn, TXN_ELSE, try->ask);
    }
}

static void done(struct session_txn *self, enum session_result result,
                 const struct etcd_reply *reply, const char *why)
{
    struct file *file = self->owner;
    struct try *try = &file->try;
    if (result != SESSION_DONE) {
        close_watch(try);
        try->state = TRY_IDLE;
        try->ask[0] = '\0';
        if (result == SESSION_REFUSED) {
            struct request *next;
            log_line("%s: etcd refused: %s", file->key, why);
            for (struct request *r = file->first; r; r = next) {
                next = r->next;
                if (r->state == REQUEST_WAITING && r->nb)
                    request_fail(r, ENOLCK, why);
            }
        }
        file_poke(file);
        return;
    }
    switch (try->state) {
    case TRY_PUT:
    case TRY_JOIN:
        try->ask[0] = '\0';
        if (reply->succeeded)
            succeed(file, reply->revision, reply->revision, try->state == TRY_JOIN);
        else
            decide(file, reply, session_range(reply, 0));
        break;
    case TRY_ASK:
        if (!reply->succeeded) {
            close_watch(try);
            try->ask[0] = '\0';
            decide(file, reply, session_range(reply, 0));
            break;
        }
        try->asked_revision = reply->revision;
        try->state = TRY_WAIT;
        if (try->look_after || try->watch_revision > try->asked_revision) {
            try->look_after = false;
            look(file);
        }
        break;
    case TRY_LOOK:
        looked(file, reply);
        break;
    case TRY_CLEAN:
        try->ask[0] = '\0';
        try->state = TRY_IDLE;
        break;
    default:
        break;
    }
    file_poke(file);
}

/* ---- the step ---- */

void try_step(struct file *file)
{
    struct try *try = &file->try;
    const struct request *request = first_try(file);
    if (try->state == TRY_WAIT && !request)
        finish(file); /* who asked is gone */
    if (try->state == TRY_IDLE && loop_now() < try->again_at) {
        loop_at(file->agent->loop, &try->join, try->again_at);
        return;
    }
    if (try->state != TRY_IDLE || file->cur.state != ENTRY_ABSENT || file->stopping ||
        file->open_error || !session_is_up(file->agent->session))
        return;
    try->for_reader = !request;
    if (!request && file->next_entry.state == ENTRY_QUEUED && file->next_entry.mode == ENTRY_EX)
        request = patient_reader(file);
    if (!request)
        return;
    try->mode = request->mode;
    try->asked_at = loop_now();
    entries_new(file, &try->entry, request->mode, request);
    send_try(file, TRY_PUT);
}

void try_init(struct file *file)
{
    file->try.txn = (struct session_txn){.build = build, .done = done, .owner = file};
    file->try.join = (struct loop_timer){.fire = join_due, .owner = file};
}

void try_stop(struct file *file)
{
    session_forget(&file->try.txn);
    loop_cancel(file->agent->loop, &file->try.join);
    close_watch(&file->try);
}
