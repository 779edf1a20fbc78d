/*
 * Requests to an etcd cluster through its JSON gateway, over libcurl's multi interface.
 *
 * One endpoint is used at a time. A request that cannot be sent or gets no answer moves on to the
 * next one; a failed endpoint is left alone for a while that doubles up to two seconds, with
 * jitter. Logging in (user and password) is done once for all requests that need it.
 */
#ifndef ETCDFLOCK_ETCD_CLIENT_H
#define ETCDFLOCK_ETCD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/loop.h"
#include "conf/conf.h"
#include "etcd/reply.h"

struct etcd_client;

/* How a request ended. The difference between the last two is what keeps ghosts away: a request of
 * unknown outcome may still be carried out later. */
enum etcd_outcome {
    ETCD_OK,      /* `reply` is the answer */
    ETCD_REFUSED, /* etcd said no; nothing was done */
    ETCD_UNSENT,  /* no connection; nothing was done */
    ETCD_UNKNOWN, /* sent, and no answer or a senseless one */
};

/* `reply` is NULL unless the outcome is ETCD_OK, and is freed after the call. `why` is one line
 * that names the endpoint; "" for ETCD_OK. */
typedef void etcd_done(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
                       const char *why);

/* The configuration must outlive the client. Returns 0, or a negative errno and *why (a static text
 * or one that lives as long as the client) if the password file or a certificate cannot be read. */
int etcd_client_new(struct loop *loop, const struct conf *conf, struct etcd_client **out, char *why,
                    size_t why_size);
void etcd_client_free(struct etcd_client *client);

/* POSTs `body` (heap, taken over; NULL counts as out of memory) to `path`. `done` is called exactly
 * once, never from inside this call. Returns a handle for etcd_cancel. */
struct etcd_request *etcd_post(struct etcd_client *client, const char *path, char *body,
                               int timeout_ms, etcd_done *done, void *owner);

/* Forgets a request whose owner goes away; `done` is not called. What etcd does with it is unknown.
 */
void etcd_cancel(struct etcd_request *request);

/* The last failure, "endpoint: reason", or NULL if the last request had an answer. */
const char *etcd_trouble(const struct etcd_client *client);

/* Since when (loop_now) no request has had an answer; 0 if the last one had. */
int64_t etcd_trouble_since(const struct etcd_client *client);

/* Requests sent so far, watches not counted: for the trace and for tests that count round trips. */
uint64_t etcd_requests_sent(const struct etcd_client *client);

/* A delay in ms before a failed request is worth another try: exponential, with jitter. */
int etcd_backoff(unsigned attempt);

/* An open watch stream. Each line goes to `line`; `ended` is called once when the stream is over
 * for any reason but etcd_stream_close. */
struct etcd_stream;
struct etcd_stream *etcd_stream_open(struct etcd_client *client, char *body,
                                     void (*line)(void *owner, const char *text, size_t len),
                                     void (*ended)(void *owner, const char *why), void *owner);
void etcd_stream_close(struct etcd_stream *stream);

#endif
