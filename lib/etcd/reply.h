/* Answers of etcd's JSON gateway, read without trust: see the facts in the comment of reply.c. */
#ifndef ETCDFLOCK_ETCD_REPLY_H
#define ETCDFLOCK_ETCD_REPLY_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct etcd_kv {
    char *key; /* terminated; keys with a zero byte inside are not ours and are cut there */
    char *value;
    size_t value_len;
    int64_t create, mod; /* revisions */
    int64_t lease;       /* 0: none */
};

struct etcd_range {
    struct etcd_kv *kvs;
    size_t n;
};

/* What a transaction, a range or a lease request answered. */
struct etcd_reply {
    int64_t revision;           /* of the store, from the header; 0 if there was none */
    uint64_t cluster_id;        /* 0 if there was none */
    bool succeeded;             /* which branch of a transaction ran */
    struct etcd_range *results; /* one for each operation of that branch, empty for puts and
                                   deletes; one for a plain range */
    size_t n_results;
    int64_t lease_ttl; /* s; 0 where the answer has none: for a keep-alive, the lease is gone */
    char *token;       /* of an authenticate request; or NULL */
    struct etcd_range keys; /* of a time-to-live request: the keys on the lease, without values */
};

/* An error inside an answer, of either of the gateway's formats. */
struct etcd_fault {
    int code; /* gRPC status; 0: unknown */
    char message[256];
};

/* Reads one answer. 0; -EBADMSG if it is no JSON object or a part of it has the wrong type,
 * -EREMOTEIO if it is an error report (*fault says which), -ENOMEM. Free with etcd_reply_free. */
int etcd_reply_parse(const char *text, size_t len, struct etcd_reply *out,
                     struct etcd_fault *fault);
void etcd_reply_free(struct etcd_reply *reply);

/* The range at an operation's place in the branch that ran; an empty one if there is none. */
const struct etcd_range *etcd_reply_range(const struct etcd_reply *reply, size_t operation);

/* One message of a watch stream. */
struct etcd_event {
    bool deleted;      /* else put */
    struct etcd_kv kv; /* of a deletion: only key and mod */
};
struct etcd_watch_reply {
    int64_t watch_id;
    int64_t revision;
    uint64_t cluster_id;
    bool created, canceled;
    int64_t compact_revision;
    char reason[256]; /* of a cancellation */
    struct etcd_event *events;
    size_t n_events;
};
int etcd_watch_parse(const char *text, size_t len, struct etcd_watch_reply *out,
                     struct etcd_fault *fault);
void etcd_watch_reply_free(struct etcd_watch_reply *reply);

#endif
