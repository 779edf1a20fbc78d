/* Watch streams: one POST with a complete body, whose answer never ends, a JSON object a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd/client_private.h"

struct etcd_stream {
    struct etcd_client *client;
    CURL *easy;
    struct curl_slist *headers;
    struct loop_transfer transfer;
    struct loop_timer later;
    char *body;
    void (*line)(void *owner, const char *text, size_t len);
    void (*ended)(void *owner, const char *why);
    void *owner;
    size_t endpoint;
    char *text; /* a line in the making */
    size_t len, room;
    struct loop_later deliver; /* outside of curl's callback, in which curl may not be called */
    bool active, delivering, closed;
    char error[CURL_ERROR_SIZE];
};

static void release(struct etcd_stream *stream)
{
    loop_cancel(stream->client->loop, &stream->later);
    loop_forget(stream->client->loop, &stream->deliver);
    if (stream->active)
        curl_multi_remove_handle(loop_curl(stream->client->loop), stream->easy);
    if (stream->easy)
        curl_easy_cleanup(stream->easy);
    curl_slist_free_all(stream->headers);
    free(stream->body);
    free(stream->text);
    free(stream);
}

static void end(struct etcd_stream *stream, const char *why)
{
    void (*ended)(void *, const char *) = stream->ended;
    void *owner = stream->owner;
    char text[512];
    snprintf(text, sizeof text, "%s", why);
    release(stream);
    ended(owner, text);
}

/* False if the stream was closed by its owner, and is gone. */
static bool hand_out_lines(struct etcd_stream *stream)
{
    char *start = stream->text;
    stream->delivering = true;
    char *stop;
    while (!stream->closed && start &&
           (stop = memchr(start, '\n', stream->len - (size_t)(start - stream->text)))) {
        if (stop > start)
            stream->line(stream->owner, start, (size_t)(stop - start));
        start = stop + 1;
    }
    stream->delivering = false;
    if (stream->closed) {
        release(stream);
        return false;
    }
    if (start && start != stream->text) {
        stream->len -= (size_t)(start - stream->text);
        memmove(stream->text, start, stream->len);
    }
    return true;
}

static void deliver(struct loop_later *job)
{
    (void)hand_out_lines(job->owner);
}

static size_t collect(char *bytes, size_t size, size_t count, void *owner)
{
    struct etcd_stream *stream = owner;
    size_t n = size * count;
    if (stream->len + n > ANSWER_MAX)
        return 0;
    if (stream->len + n > stream->room) {
        size_t room = (stream->len + n) * 2;
        char *longer = realloc(stream->text, room);
        if (!longer)
            return 0;
        stream->text = longer;
        stream->room = room;
    }
    memcpy(stream->text + stream->len, bytes, n);
    stream->len += n;
    loop_later(stream->client->loop, &stream->deliver);
    return n;
}

static void transferred(struct loop_transfer *transfer, CURLcode code)
{
    struct etcd_stream *stream = transfer->owner;
    stream->active = false;
    if (!hand_out_lines(stream))
        return;
    long status = 0;
    curl_easy_getinfo(stream->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK)
        client_note_failure(stream->client, stream->endpoint, client_reason(code, stream->error));
    char why[CURL_ERROR_SIZE + 64];
    snprintf(why, sizeof why, "watch ended: %s (HTTP status %ld)",
             code ? client_reason(code, stream->error) : "by the server", status);
    end(stream, why);
}

static void failed(struct loop_timer *timer)
{
    end(timer->owner, "watch could not be opened");
}

struct etcd_stream *etcd_stream_open(struct etcd_client *client, char *body,
                                     void (*line)(void *owner, const char *text, size_t len),
                                     void (*ended)(void *owner, const char *why), void *owner)
{
    struct etcd_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        abort(); /* see loop_at */
    *stream = (struct etcd_stream){.client = client,
                                   .body = body,
                                   .line = line,
                                   .ended = ended,
                                   .owner = owner,
                                   .endpoint = client->current,
                                   .easy = curl_easy_init(),
                                   .headers = client_headers(client, true)};
    stream->later = (struct loop_timer){.fire = failed, .owner = stream};
    stream->deliver = (struct loop_later){.run = deliver, .owner = stream};
    stream->transfer = (struct loop_transfer){.done = transferred, .owner = stream};
    if (!body || !stream->easy || (client->conf->user && !client->token)) {
        loop_in(client->loop, &stream->later, 0);
        return stream;
    }
    char url[1024];
    snprintf(url, sizeof url, "%s/v3/watch", client_endpoint(client));
    client_setup_easy(client, stream->easy, url, body, stream->headers, stream->error);
    curl_easy_setopt(stream->easy, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(stream->easy, CURLOPT_WRITEDATA, stream);
    curl_easy_setopt(stream->easy, CURLOPT_PRIVATE, &stream->transfer);
    stream->active = true;
    curl_multi_add_handle(loop_curl(client->loop), stream->easy);
    return stream;
}

void etcd_stream_close(struct etcd_stream *stream)
{
    if (stream->delivering)
        stream->closed = true;
    else
        release(stream);
}
