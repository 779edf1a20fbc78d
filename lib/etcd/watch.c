#include "etcd/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "etcd/txn.h"

#define BODY_MAX     400  /* bytes of a request body that loses no watch */
#define CREATED_MS   1000 /* for etcd to say "created", after that the stream is opened again */
#define HEARTBEAT_MS 1000
#define STREAMS_MAX  (WATCH_KEYS_MAX + 1)

/* One connection, with one or more of the watch's keys and the session key. */
struct stream {
    struct watch *watch;
    struct etcd_stream *stream;
    char *body;
    unsigned expected, created; /* watches on it */
    int64_t revision;           /* of the last `created` */
    int64_t seen_beat;          /* revision of the last event of the session key, or of `created` */
};

struct watch {
    struct watch_hub *hub;
    struct watch *next, *previous;
    struct watch_calls calls;
    void *owner;
    char *keys[WATCH_KEYS_MAX];
    bool prefix;
    struct stream streams[STREAMS_MAX];
    size_t n_streams;
    bool is_ready;
    char *session_key;
    unsigned attempts;
    struct loop_timer timer; /* to open again, or for `created` */
    bool opening;            /* the timer means the former */
};

struct watch_hub {
    struct loop *loop;
    struct etcd_client *client;
    struct watch *first;
    char *session_key;
    int64_t beat;
    struct loop_timer check;
    void (*deleted)(void *owner);
    void *owner;
    struct loop_later tell_deleted;
};

static void open_streams(struct watch *watch);

static void close_streams(struct watch *watch)
{
    for (size_t i = 0; i < watch->n_streams; i++) {
        if (watch->streams[i].stream)
            etcd_stream_close(watch->streams[i].stream);
    }
    watch->n_streams = 0;
    watch->is_ready = false;
}

static void reopen(struct watch *watch)
{
    close_streams(watch);
    watch->opening = true;
    loop_in(watch->hub->loop, &watch->timer, etcd_backoff(watch->attempts++));
}

static void timer_due(struct loop_timer *timer)
{
    struct watch *watch = timer->owner;
    if (watch->opening)
        open_streams(watch);
    else
        reopen(watch); /* fewer `created` answers than watches asked for */
}

static void note_created(struct stream *stream, int64_t revision)
{
    struct watch *watch = stream->watch;
    stream->created++;
    stream->revision = stream->seen_beat = revision;
    int64_t oldest = revision;
    for (size_t i = 0; i < watch->n_streams; i++) {
        if (watch->streams[i].created < watch->streams[i].expected)
            return;
        if (watch->streams[i].revision > oldest)
            oldest = watch->streams[i].revision;
    }
    watch->is_ready = true;
    watch->attempts = 0;
    loop_cancel(watch->hub->loop, &watch->timer);
    watch->calls.ready(watch->owner, oldest);
}

static bool is_session_key(const struct watch *watch, const struct etcd_event *event)
{
    return watch->session_key && strcmp(event->kv.key, watch->session_key) == 0;
}

static void line(void *owner, const char *text, size_t len)
{
    struct stream *stream = owner;
    struct watch *watch = stream->watch;
    struct etcd_watch_reply reply;
    struct etcd_fault fault;
    if (etcd_watch_parse(text, len, &reply, &fault)) {
        reopen(watch);
        return;
    }
    if (reply.canceled || reply.compact_revision) {
        etcd_watch_reply_free(&reply);
        reopen(watch);
        return;
    }
    if (reply.created) {
        note_created(stream, reply.revision);
    } else {
        for (size_t i = 0; i < reply.n_events; i++) {
            const struct etcd_event *event = &reply.events[i];
            if (is_session_key(watch, event)) {
                stream->seen_beat = event->kv.mod;
                if (event->deleted)
                    loop_later(watch->hub->loop, &watch->hub->tell_deleted);
                continue;
            }
            if (watch->is_ready) {
                watch->calls.event(watch->owner, event);
                break; /* the owner reads again; what else is in this message it finds there */
            }
        }
    }
    etcd_watch_reply_free(&reply);
}

static void ended(void *owner, const char *why)
{
    struct stream *stream = owner;
    (void)why;
    stream->stream = NULL;
    reopen(stream->watch);
}

static int add_key(struct watch *watch, const char *key, bool prefix)
{
    struct stream *stream = watch->n_streams ? &watch->streams[watch->n_streams - 1] : NULL;
    char *probe = NULL;
    if (txn_watch_text(&probe, key, prefix))
        return -ENOMEM;
    size_t more = strlen(probe);
    free(probe);
    if (!stream || strlen(stream->body) + more > BODY_MAX) {
        stream = &watch->streams[watch->n_streams++];
        *stream = (struct stream){.watch = watch};
        if (watch->session_key && more + strlen(watch->session_key) * 2 < BODY_MAX) {
            if (txn_watch_text(&stream->body, watch->session_key, false))
                return -ENOMEM;
            stream->expected++;
        }
    }
    if (txn_watch_text(&stream->body, key, prefix))
        return -ENOMEM;
    stream->expected++;
    return 0;
}

static void open_streams(struct watch *watch)
{
    struct watch_hub *hub = watch->hub;
    free(watch->session_key);
    watch->session_key = hub->session_key ? strdup(hub->session_key) : NULL;
    watch->opening = false;
    watch->n_streams = 0;
    int err = add_key(watch, watch->keys[0], watch->prefix);
    if (!err && watch->keys[1])
        err = add_key(watch, watch->keys[1], false);
    if (err)
        abort(); /* out of memory; see loop_at */
    for (size_t i = 0; i < watch->n_streams; i++) {
        struct stream *stream = &watch->streams[i];
        stream->stream = etcd_stream_open(hub->client, stream->body, line, ended, stream);
        stream->body = NULL;
    }
    loop_in(hub->loop, &watch->timer, CREATED_MS);
}

struct watch *watch_open(struct watch_hub *hub, const char *first, bool prefix, const char *second,
                         const struct watch_calls *calls, void *owner)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch || !(watch->keys[0] = strdup(first)) ||
        (second && !(watch->keys[1] = strdup(second))))
        abort(); /* out of memory; see loop_at */
    watch->hub = hub;
    watch->prefix = prefix;
    watch->calls = *calls;
    watch->owner = owner;
    watch->timer = (struct loop_timer){.fire = timer_due, .owner = watch};
    watch->next = hub->first;
    if (watch->next)
        watch->next->previous = watch;
    hub->first = watch;
    open_streams(watch);
    return watch;
}

void watch_close(struct watch *watch)
{
    struct watch_hub *hub = watch->hub;
    close_streams(watch);
    loop_cancel(hub->loop, &watch->timer);
    if (watch->previous)
        watch->previous->next = watch->next;
    else
        hub->first = watch->next;
    if (watch->next)
        watch->next->previous = watch->previous;
    for (size_t i = 0; i < WATCH_KEYS_MAX; i++)
        free(watch->keys[i]);
    free(watch->session_key);
    free(watch);
}

/* ---- the hub ---- */

static void check_due(struct loop_timer *timer)
{
    struct watch_hub *hub = timer->owner;
    for (struct watch *watch = hub->first; watch; watch = watch->next) {
        if (!watch->is_ready || !watch->session_key)
            continue;
        for (size_t i = 0; i < watch->n_streams; i++) {
            if (watch->streams[i].expected > 1 && watch->streams[i].seen_beat < hub->beat) {
                reopen(watch);
                break;
            }
        }
    }
}

void watch_hub_heartbeat(struct watch_hub *hub, int64_t revision)
{
    hub->beat = revision;
    loop_in(hub->loop, &hub->check, HEARTBEAT_MS);
}

void watch_hub_session(struct watch_hub *hub, const char *session_key)
{
    free(hub->session_key);
    hub->session_key = session_key ? strdup(session_key) : NULL;
    hub->beat = 0;
}

static void tell_deleted(struct loop_later *job)
{
    struct watch_hub *hub = job->owner;
    if (hub->session_key)
        hub->deleted(hub->owner);
}

struct watch_hub *watch_hub_new(struct loop *loop, struct etcd_client *client,
                                void (*deleted)(void *owner), void *owner)
{
    struct watch_hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return NULL;
    hub->loop = loop;
    hub->client = client;
    hub->deleted = deleted;
    hub->owner = owner;
    hub->tell_deleted = (struct loop_later){.run = tell_deleted, .owner = hub};
    hub->check = (struct loop_timer){.fire = check_due, .owner = hub};
    return hub;
}

void watch_hub_free(struct watch_hub *hub)
{
    if (!hub)
        return;
    while (hub->first)
        /* NOLINTNEXTLINE(clang-analyzer-*): it takes itself out of the list */
        watch_close(hub->first);
    loop_cancel(hub->loop, &hub->check);
    loop_forget(hub->loop, &hub->tell_deleted);
    free(hub->session_key);
    free(hub);
}
