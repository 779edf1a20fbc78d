/*
 * Answers of etcd's gateway, whole and as errors. The texts marked 3.4 are answers of etcd 3.4.23
 * as they came.
 */
#ifndef ETCDFLOCK_TESTS_REPLIES_H
#define ETCDFLOCK_TESTS_REPLIES_H

#include "etcd/reply.h"

#include "guard.h"

#define CLUSTER 2176840133071998511
#define HEADER(revision)                                                                           \
    "\"header\":{\"cluster_id\":\"2176840133071998511\",\"member_id\":\"11271668205931274272\","   \
    "\"revision\":\"" revision "\",\"raft_term\":\"2\"}"
#define LEASE 9159031905846275917 /* as a double it would lose its last digits */

/* ---- 3.4 ---- */

static const char lease_grant[] = "{" HEADER("1") ",\"ID\":\"9159031905846275917\",\"TTL\":\"5\"}";
static const char keep_alive[] =
    "{\"result\":{" HEADER("4") ",\"ID\":\"9159031905846275917\",\"TTL\":\"5\"}}\n";
static const char keep_alive_gone[] = "{\"result\":{" HEADER("4") ",\"ID\":\"17\"}}\n";
static const char time_to_live[] =
    "{" HEADER("4") ",\"ID\":\"9159031905846275917\",\"TTL\":\"4\",\"grantedTTL\":\"5\",\"keys\":"
                    "[\"L2xvY2tzL2EvN2YxYjllMWQyYzNiNGEwZC0x\",\"L3Ivc2Vzc2lvbi83ZjFi\"]}";
static const char time_to_live_gone[] = "{" HEADER("4") ",\"ID\":\"17\",\"TTL\":\"-1\"}";
static const char put_alone[] = "{" HEADER("3") "}";
static const char session_put[] =
    "{" HEADER("2") ",\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":"
                    "{\"revision\":\"2\"}}}]}";
static const char session_there[] =
    "{" HEADER("2") ",\"responses\":[{\"response_range\":{\"header\":{\"revision\":\"2\"},\"kvs\":"
                    "[{\"key\":\"L3Ivc2Vzc2lvbi83ZjFi\",\"create_revision\":\"2\","
                    "\"mod_revision\":\"2\",\"version\":\"1\",\"value\":\"MDEyMw==\","
                    "\"lease\":\"9159031905846275917\"}],\"count\":\"1\"}}]}";
/* An entry behind one of etcdctl lock; the session of nobody; a deletion of nothing. */
static const char enqueued[] =
    "{" HEADER("4") ",\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":"
                    "{\"revision\":\"4\"}}},{\"response_range\":{\"header\":{\"revision\":\"4\"},"
                    "\"kvs\":[{\"key\":\"L2xvY2tzL2EvNjk0ZDdhMGQ1YzRhMmQwYg==\","
                    "\"create_revision\":\"3\",\"mod_revision\":\"3\",\"version\":\"1\"},"
                    "{\"key\":\"L2xvY2tzL2EvN2YxYjllMWQyYzNiNGEwZC0x\",\"create_revision\":\"4\","
                    "\"mod_revision\":\"4\",\"version\":\"1\",\"value\":"
                    "\"eyJ2IjoxLCJtb2RlIjoiZXgiLCJob3N0IjoiYSIsInBpZCI6NDIsImNtZCI6ImZsb2NrIiwi"
                    "cGF0aCI6Ii9zcnYvYSIsImRldiI6IjIwNDkiLCJpbm8iOiIxODQ0Njc0NDA3MzcwOTU1MTYxNSIs"
                    "InNpbmNlIjoxNzMyMTgwMDAwMDAwfQ==\",\"lease\":\"9159031905846275917\"}],"
                    "\"count\":\"2\"}},{\"response_range\":{\"header\":{\"revision\":\"4\"}}},"
                    "{\"response_delete_range\":{\"header\":{\"revision\":\"4\"}}}]}";
static const char keys_only[] =
    "{" HEADER("4") ",\"kvs\":[{\"key\":\"L2xvY2tzL2EvNjk0ZDdhMGQ1YzRhMmQwYg==\","
                    "\"create_revision\":\"3\",\"mod_revision\":\"3\",\"version\":\"1\"},"
                    "{\"key\":\"L2xvY2tzL2EvN2YxYjllMWQyYzNiNGEwZC0x\",\"create_revision\":\"4\","
                    "\"mod_revision\":\"4\",\"version\":\"1\",\"lease\":\"9159031905846275917\"}],"
                    "\"count\":\"2\"}";
static const char authenticated[] = "{" HEADER("8") ",\"token\":\"lDAwPPzgLHXhTSbV.24\"}";

static const char watch_created[] = "{\"result\":{" HEADER("4") ",\"created\":true}}";
static const char watch_created_second[] =
    "{\"result\":{" HEADER("4") ",\"watch_id\":\"1\",\"created\":true}}";
static const char watch_compacted[] =
    "{\"result\":{\"header\":{\"cluster_id\":\"2176840133071998511\",\"member_id\":"
    "\"11271668205931274272\",\"raft_term\":\"2\"},\"watch_id\":\"2\",\"canceled\":true,"
    "\"compact_revision\":\"4\"}}";
static const char watch_denied[] =
    "{\"result\":{" HEADER("8") ",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,"
                                "\"cancel_reason\":\"rpc error: code = PermissionDenied desc = "
                                "etcdserver: permission denied\"}}";
static const char watch_events[] =
    "{\"result\":{" HEADER("7") ",\"events\":[{\"kv\":{\"key\":\"L2xvY2tzL2EvYw==\","
                                "\"create_revision\":\"7\",\"mod_revision\":\"7\",\"version\":"
                                "\"1\",\"value\":\"dg==\"}},{\"type\":\"DELETE\",\"kv\":{\"key\":"
                                "\"L2xvY2tzL2EvNjk0ZDdhMGQ1YzRhMmQwYg==\",\"mod_revision\":\"7\"}}"
                                "]}}";

static const char *const answers[] = {
    lease_grant, keep_alive,    keep_alive_gone, time_to_live, time_to_live_gone, put_alone,
    session_put, session_there, enqueued,        keys_only,    authenticated,
};
static const char *const messages[] = {watch_created, watch_created_second, watch_compacted,
                                       watch_denied, watch_events};

/* ---- errors: text, gRPC status, message ---- */

static const struct {
    const char *text;
    int code;
    const char *message;
} faults[] = {
    /* 3.4; 3.5 writes the same */
    {"{\"error\":\"etcdserver: requested lease not found\",\"message\":\"etcdserver: requested "
     "lease not found\",\"code\":5}",
     5, "etcdserver: requested lease not found"},
    {"{\"error\":\"etcdserver: lease already exists\",\"message\":\"etcdserver: lease already "
     "exists\",\"code\":9}",
     9, "etcdserver: lease already exists"},
    {"{\"error\":\"etcdserver: mvcc: required revision has been compacted\",\"message\":"
     "\"etcdserver: mvcc: required revision has been compacted\",\"code\":11}",
     11, "etcdserver: mvcc: required revision has been compacted"},
    {"{\"error\":\"unexpected EOF\",\"message\":\"unexpected EOF\",\"code\":3}", 3,
     "unexpected EOF"},
    {"{\"error\":\"etcdserver: invalid auth token\",\"message\":\"etcdserver: invalid auth "
     "token\",\"code\":16}",
     16, "etcdserver: invalid auth token"},
    {"{\"error\":\"etcdserver: permission denied\",\"message\":\"etcdserver: permission "
     "denied\",\"code\":7}",
     7, "etcdserver: permission denied"},
    /* 3.4, in a stream with status 200 whose server is stopped */
    {"{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"transport is closing\","
     "\"http_status\":\"Service Unavailable\"}}",
     14, "transport is closing"},
    /* from 3.6 on */
    {"{\"code\":5,\"message\":\"etcdserver: requested lease not found\",\"details\":[]}", 5,
     "etcdserver: requested lease not found"},
    {"{\"code\":16, \"message\":\"etcdserver: invalid auth token\", \"details\":[]}", 16,
     "etcdserver: invalid auth token"},
    {"{\"error\":{\"code\":14,\"message\":\"etcdserver: no leader\",\"details\":[]}}", 14,
     "etcdserver: no leader"},
    /* a gateway in front of it */
    {"{\"error\":\"upstream is down\"}", 0, "upstream is down"},
    {"{\"error\":{}}", 0, ""},
    {"{\"error\":true}", 0, ""},
    {"{\"error\":{\"code\":\"14\",\"message\":17}}", 0, ""},
    {"{\"error\":\"x\",\"message\":\"y\",\"code\":\"5\"}", 0, "y"},
    /* an error beside an answer: it is the error that counts */
    {"{\"error\":{\"code\":14,\"message\":\"cut\"},\"result\":{\"TTL\":\"5\"}}", 14, "cut"},
};

/* ---- reading them ---- */

/* From memory that ends where the text does, and not terminated. */
static inline int parse_part(const char *text, size_t len, struct etcd_reply *out,
                             struct etcd_fault *fault)
{
    return etcd_reply_parse(guard_copy(text, len), len, out, fault);
}

static inline int parse(const char *text, struct etcd_reply *out)
{
    struct etcd_fault fault;

    return parse_part(text, strlen(text), out, &fault);
}

static inline int parse_watch(const char *text, struct etcd_watch_reply *out)
{
    struct etcd_fault fault;
    size_t len = strlen(text);

    return etcd_watch_parse(guard_copy(text, len), len, out, &fault);
}

#endif
