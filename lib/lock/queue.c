#include "lock/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void read_entry(const struct etcd_kv *kv, size_t prefix, struct queue_entry *out)
{
    struct entry_value value;
    uint64_t number;
    *out = (struct queue_entry){.name = kv->key,
                                .create = kv->create,
                                .mod = kv->mod,
                                .lease = kv->lease,
                                .mode = ENTRY_EX,
                                .foreign = true};
    if (strlen(kv->key) < prefix || !entry_parse_name(kv->key + prefix, &out->agent, &number) ||
        entry_parse(kv->value, kv->value_len, &value)) {
        out->agent = 0;
        return;
    }
    out->foreign = false;
    out->mode = value.mode;
    out->joined = value.joined;
}

static int by_create(const void *a, const void *b)
{
    const struct queue_entry *x = a;
    const struct queue_entry *y = b;
    return (x->create > y->create) - (x->create < y->create);
}

int queue_read(const struct etcd_range *range, const char *key, struct queue *out)
{
    out->n = range->n;
    out->entries = calloc(range->n ? range->n : 1, sizeof *out->entries);
    if (!out->entries)
        return -ENOMEM;
    for (size_t i = 0; i < range->n; i++)
        read_entry(&range->kvs[i], strlen(key) + 1, &out->entries[i]);
    /* etcd was asked for this order; that two hosts agree on it must not hang on what a server
     * does. */
    qsort(out->entries, out->n, sizeof *out->entries, by_create);
    return 0;
}

void queue_free(struct queue *queue)
{
    free(queue->entries);
    queue->entries = NULL;
    queue->n = 0;
}

size_t queue_find(const struct queue *queue, const char *name)
{
    for (size_t i = 0; i < queue->n; i++) {
        if (strcmp(queue->entries[i].name, name) == 0)
            return i;
    }
    return QUEUE_NONE;
}

static bool excepted(const struct queue_entry *entry, const char *but)
{
    return but && strcmp(entry->name, but) == 0;
}

size_t queue_blocker(const struct queue *queue, size_t at, const char *but)
{
    const struct queue_entry *self = &queue->entries[at];
    if (self->joined)
        return QUEUE_NONE;
    for (size_t i = at; i-- > 0;) {
        const struct queue_entry *other = &queue->entries[i];
        if (!excepted(other, but) && entry_conflict(self->mode, other->mode))
            return i;
    }
    for (size_t i = queue->n; i-- > at + 1;) {
        const struct queue_entry *other = &queue->entries[i];
        if (other->joined && !excepted(other, but) && entry_conflict(self->mode, other->mode))
            return i;
    }
    return QUEUE_NONE;
}

bool queue_in_possession(const struct queue *queue, size_t at)
{
    return queue_blocker(queue, at, NULL) == QUEUE_NONE;
}

/* Joining goes past those who wait, and somebody else's waiter would not see it. */
static bool foreign_waits(const struct queue *queue)
{
    for (size_t i = 0; i < queue->n; i++) {
        if (queue->entries[i].foreign && !queue_in_possession(queue, i))
            return true;
    }
    return false;
}

enum queue_try queue_try(const struct queue *queue, enum entry_mode mode, size_t *at)
{
    size_t ours = QUEUE_NONE;   /* in possession and in the way, and can be asked */
    size_t reader = QUEUE_NONE; /* in possession and not in the way */
    for (size_t i = 0; i < queue->n; i++) {
        const struct queue_entry *entry = &queue->entries[i];
        if (!queue_in_possession(queue, i))
            continue;
        if (entry->foreign) {
            *at = i;
            return QUEUE_FOREIGN;
        }
        if (!entry_conflict(mode, entry->mode))
            reader = i;
        else if (ours == QUEUE_NONE)
            ours = i;
    }
    *at = ours != QUEUE_NONE ? ours : reader;
    if (ours != QUEUE_NONE)
        return QUEUE_ASK;
    if (queue->n == 0)
        return QUEUE_FREE;
    return foreign_waits(queue) ? QUEUE_FOREIGN : QUEUE_JOIN;
}

bool queue_may_upgrade(const struct queue *queue, size_t at, size_t *behind)
{
    *behind = QUEUE_NONE;
    for (size_t i = 0; i < queue->n; i++) {
        if (i == at)
            continue;
        if (queue_in_possession(queue, i))
            return false;
        if (*behind == QUEUE_NONE)
            *behind = i;
    }
    return true;
}

bool queue_may_join(const struct queue *queue, size_t at, size_t *reader)
{
    *reader = QUEUE_NONE;
    for (size_t i = 0; i < queue->n; i++) {
        const struct queue_entry *entry = &queue->entries[i];
        if (i == at)
            continue;
        if (entry->foreign && i < at)
            return false;
        if (!queue_in_possession(queue, i))
            continue;
        if (entry->mode != ENTRY_SH)
            return false;
        *reader = i;
    }
    return *reader != QUEUE_NONE;
}

bool queue_contested(const struct queue *queue, size_t at, const char *but)
{
    /* Those ahead of an entry that has joined wait for it too. */
    for (size_t i = queue->entries[at].joined ? 0 : at + 1; i < queue->n; i++) {
        const struct queue_entry *entry = &queue->entries[i];
        if (i != at && !entry->joined && !excepted(entry, but) &&
            entry_conflict(ENTRY_SH, entry->mode))
            return true;
    }
    return false;
}
