/* Sound answers of etcd, its errors, and its watch messages. */
#include "etcd/reply.h"

#include "lock/entry.h"
#include "replies.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

static void test_header(void)
{
    struct etcd_reply reply;

    CHECK_INT("put", parse(put_alone, &reply), 0);
    CHECK_INT("revision", reply.revision, 3);
    CHECK("cluster", reply.cluster_id == CLUSTER);
    CHECK("nothing else", !reply.succeeded && !reply.results && !reply.n_results &&
                              !reply.lease_ttl && !reply.token && !reply.keys.n);
    etcd_reply_free(&reply);
}

static void test_leases(void)
{
    struct etcd_reply reply;

    CHECK_INT("grant", parse(lease_grant, &reply), 0);
    CHECK_INT("grant: TTL", reply.lease_ttl, 5);
    etcd_reply_free(&reply);
    CHECK_INT("keep-alive", parse(keep_alive, &reply), 0);
    CHECK_INT("keep-alive: TTL", reply.lease_ttl, 5);
    CHECK_INT("keep-alive: revision", reply.revision, 4);
    CHECK("keep-alive: cluster", reply.cluster_id == CLUSTER);
    etcd_reply_free(&reply);
    CHECK_INT("keep-alive of a lease that is gone", parse(keep_alive_gone, &reply), 0);
    CHECK_INT("it has no TTL", reply.lease_ttl, 0);
    etcd_reply_free(&reply);
    CHECK_INT("time to live", parse(time_to_live, &reply), 0);
    CHECK_INT("seconds left", reply.lease_ttl, 4);
    CHECK_INT("keys on it", (long long)reply.keys.n, 2);
    CHECK_STR("first", reply.keys.kvs[0].key, "/locks/a/7f1b9e1d2c3b4a0d-1");
    CHECK_STR("second", reply.keys.kvs[1].key, "/r/session/7f1b");
    CHECK_INT("they are no range", (long long)reply.n_results, 0);
    etcd_reply_free(&reply);
    CHECK_INT("time to live of none", parse(time_to_live_gone, &reply), 0);
    CHECK_INT("is negative", reply.lease_ttl, -1);
    etcd_reply_free(&reply);
}

static void test_transactions(void)
{
    struct etcd_reply reply;
    const struct etcd_range *range;
    struct entry_value value;

    CHECK_INT("put", parse(session_put, &reply), 0);
    CHECK("then", reply.succeeded);
    CHECK_INT("one operation", (long long)reply.n_results, 1);
    CHECK_INT("without a range", (long long)etcd_reply_range(&reply, 0)->n, 0);
    etcd_reply_free(&reply);

    CHECK_INT("there", parse(session_there, &reply), 0);
    CHECK("else", !reply.succeeded);
    range = etcd_reply_range(&reply, 0);
    CHECK_INT("one key", (long long)range->n, 1);
    CHECK_STR("its value", range->kvs[0].value, "0123");
    CHECK_INT("its value's length", (long long)range->kvs[0].value_len, 4);
    CHECK("its lease, to the last digit", range->kvs[0].lease == LEASE);
    etcd_reply_free(&reply);

    CHECK_INT("queue", parse(enqueued, &reply), 0);
    CHECK_INT("four operations", (long long)reply.n_results, 4);
    CHECK_INT("a put has no range", (long long)etcd_reply_range(&reply, 0)->n, 0);
    range = etcd_reply_range(&reply, 1);
    CHECK_INT("two entries", (long long)range->n, 2);
    CHECK_STR("foreign", range->kvs[0].key, "/locks/a/694d7a0d5c4a2d0b");
    CHECK("without value or lease", range->kvs[0].value_len == 0 && range->kvs[0].lease == 0);
    CHECK_STR("an empty value is a text too", range->kvs[0].value, "");
    CHECK_STR("ours", range->kvs[1].key, "/locks/a/7f1b9e1d2c3b4a0d-1");
    CHECK("revisions",
          range->kvs[0].create == 3 && range->kvs[1].create == 4 && range->kvs[1].mod == 4);
    CHECK_INT("a value of ours", entry_parse(range->kvs[1].value, range->kvs[1].value_len, &value),
              0);
    CHECK("all of it", value.mode == ENTRY_EX && value.ino == UINT64_MAX);
    CHECK_INT("an empty range", (long long)etcd_reply_range(&reply, 2)->n, 0);
    CHECK_INT("a deletion", (long long)etcd_reply_range(&reply, 3)->n, 0);
    CHECK_INT("no such operation", (long long)etcd_reply_range(&reply, 4)->n, 0);
    etcd_reply_free(&reply);
    CHECK_INT("nothing is left", (long long)etcd_reply_range(&reply, 0)->n, 0);
    etcd_reply_free(&reply);
}

static void test_plain_range(void)
{
    struct etcd_reply reply;

    CHECK_INT("keys only", parse(keys_only, &reply), 0);
    CHECK_INT("one range", (long long)reply.n_results, 1);
    CHECK_INT("two keys", (long long)etcd_reply_range(&reply, 0)->n, 2);
    CHECK("lease", etcd_reply_range(&reply, 0)->kvs[1].lease == LEASE);
    etcd_reply_free(&reply);
    CHECK_INT("empty", parse("{" HEADER("4") "}", &reply), 0);
    CHECK_INT("no key", (long long)etcd_reply_range(&reply, 0)->n, 0);
    etcd_reply_free(&reply);
    CHECK_INT("login", parse(authenticated, &reply), 0);
    CHECK_STR("token", reply.token, "lDAwPPzgLHXhTSbV.24");
    etcd_reply_free(&reply);
}

/* ---- errors ---- */

static void test_faults(void)
{
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct etcd_reply reply;
        struct etcd_watch_reply watch;
        struct etcd_fault fault;
        size_t len = strlen(faults[i].text);

        CHECK_INT(faults[i].text, parse_part(faults[i].text, len, &reply, &fault), -EREMOTEIO);
        CHECK_INT(faults[i].text, fault.code, faults[i].code);
        CHECK_STR(faults[i].text, fault.message, faults[i].message);
        memset(&fault, 0xff, sizeof fault);
        CHECK_INT("watch", etcd_watch_parse(guard_copy(faults[i].text, len), len, &watch, &fault),
                  -EREMOTEIO);
        CHECK_INT("watch", fault.code, faults[i].code);
        CHECK_STR("watch", fault.message, faults[i].message);
    }
}

static void test_long_fault(void)
{
    char text[2000] = "{\"code\":3,\"message\":\"";
    struct etcd_reply reply;
    struct etcd_fault fault;
    size_t at = strlen(text);

    memset(text + at, 'm', 1500);
    strcpy(text + at + 1500, "\"}");
    CHECK_INT("a long message", parse_part(text, strlen(text), &reply, &fault), -EREMOTEIO);
    CHECK_INT("is cut", (long long)strlen(fault.message), sizeof fault.message - 1);
}

/* ---- watch ---- */

static void test_watch(void)
{
    struct etcd_watch_reply watch;

    CHECK_INT("created", parse_watch(watch_created, &watch), 0);
    CHECK("from its revision on", watch.created && !watch.canceled && watch.revision == 4 &&
                                      watch.watch_id == 0 && watch.cluster_id == CLUSTER);
    etcd_watch_reply_free(&watch);
    CHECK_INT("the second on a connection", parse_watch(watch_created_second, &watch), 0);
    CHECK("has a number", watch.created && watch.watch_id == 1);
    etcd_watch_reply_free(&watch);
    CHECK_INT("compacted", parse_watch(watch_compacted, &watch), 0);
    CHECK("says from where", watch.canceled && !watch.created && watch.compact_revision == 4);
    CHECK_STR("no reason", watch.reason, "");
    etcd_watch_reply_free(&watch);
    CHECK_INT("denied", parse_watch(watch_denied, &watch), 0);
    CHECK("both made and ended", watch.created && watch.canceled && watch.watch_id == -1);
    CHECK_HAS("reason", watch.reason, "etcdserver: permission denied");
    etcd_watch_reply_free(&watch);
    CHECK_INT("progress", parse_watch("{\"result\":{" HEADER("9") "}}", &watch), 0);
    CHECK("nothing but a revision", watch.revision == 9 && !watch.created && !watch.n_events);
    etcd_watch_reply_free(&watch);
}

static void test_events(void)
{
    struct etcd_watch_reply watch;

    CHECK_INT("events", parse_watch(watch_events, &watch), 0);
    CHECK_INT("two", (long long)watch.n_events, 2);
    CHECK("a put", !watch.events[0].deleted && watch.events[0].kv.create == 7);
    CHECK_STR("of", watch.events[0].kv.key, "/locks/a/c");
    CHECK_STR("value", watch.events[0].kv.value, "v");
    CHECK("a deletion", watch.events[1].deleted && watch.events[1].kv.mod == 7);
    CHECK_STR("of", watch.events[1].kv.key, "/locks/a/694d7a0d5c4a2d0b");
    CHECK("without value", watch.events[1].kv.value_len == 0 && watch.events[1].kv.create == 0);
    etcd_watch_reply_free(&watch);
}

int main(void)
{
    test_header();
    test_leases();
    test_transactions();
    test_plain_range();
    test_faults();
    test_long_fault();
    test_watch();
    test_events();
    return unit_end();
}
