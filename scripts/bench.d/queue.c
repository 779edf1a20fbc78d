/*
 * The queue that every lock in etcd is made of, bare, over the gateway: a put and a read in one
 * transaction, an event on a watch that is kept open, a delete. No lease, no session, nothing that
 * makes it safe: the floor for a hand-over.
 *   queue PREFIX ENDPOINT START SECONDS     prints how often it had the lock
 */
#define _GNU_SOURCE
#include <unistd.h>

#include "clock.h"
#include "gateway.h"

static struct gateway requests, watch;
static char prefix64[128], end64[128];

static long revision_of(const char *text)
{
    const char *at = strstr(text, "\"revision\":\"");
    return at ? strtol(at + 12, NULL, 10) : 0;
}

static void open_watch(void)
{
    char body[512];
    snprintf(body, sizeof body,
             "{\"create_request\":{\"key\":\"%s\",\"range_end\":\"%s\",\"filters\":[\"NOPUT\"]}}",
             prefix64, end64);
    gateway_send(&watch, "/v3/watch", body);
    if (!strstr(gateway_message(&watch), "created"))
        fail("watch");
}

/* The key in front of ours in an answer sorted by age; empty if there is none. */
static void find_predecessor(const char *answer, const char *own, char *out, size_t size)
{
    char previous[256] = "";
    for (const char *at = answer; (at = strstr(at, "\"key\":\"")); at++) {
        char key[256];
        if (sscanf(at + 7, "%255[^\"]", key) != 1)
            break;
        if (strcmp(key, own) == 0) {
            snprintf(out, size, "%s", previous);
            return;
        }
        memcpy(previous, key, sizeof previous);
    }
    fail("own key is missing");
}

static void wait_for(const char *key)
{
    const char *message;
    do
        message = gateway_message(&watch);
    while (!strstr(message, key)); /* a key is used once, so that an older event cannot be its */
}

static void take_turn(const char *name)
{
    char key[256], body[2048], predecessor[256];
    gateway_base64(name, key);
    snprintf(body, sizeof body,
             "{\"success\":[{\"request_put\":{\"key\":\"%s\",\"value\":\"eA==\"}},{\"request_"
             "range\":{\"key\":\"%s\","
             "\"range_end\":\"%s\",\"sort_target\":\"CREATE\",\"sort_order\":\"ASCEND\"}}]}",
             key, prefix64, end64);
    find_predecessor(gateway_post(&requests, "/v3/kv/txn", body), key, predecessor,
                     sizeof predecessor);
    if (predecessor[0])
        wait_for(predecessor);
    snprintf(body, sizeof body, "{\"success\":[{\"request_delete_range\":{\"key\":\"%s\"}}]}", key);
    if (!revision_of(gateway_post(&requests, "/v3/kv/txn", body)))
        fail("delete");
}

int main(int argc, char **argv)
{
    char name[128];
    if (argc != 5)
        return 100;
    snprintf(name, sizeof name, "%s/", argv[1]);
    gateway_base64(name, prefix64);
    snprintf(name, sizeof name, "%s0", argv[1]);
    gateway_base64(name, end64);
    gateway_connect(&requests, argv[2]);
    gateway_connect(&watch, argv[2]);
    open_watch();
    int64_t start = strtoll(argv[3], NULL, 10);
    int64_t end = start + (int64_t)(strtod(argv[4], NULL) * 1e9);
    long turns = 0;
    clock_wait_until(start);
    for (; clock_ns() < end; turns++) {
        /* Of one length, so that no key's text is part of another's. */
        snprintf(name, sizeof name, "%s/%010d-%010ld", argv[1], getpid(), turns);
        take_turn(name);
    }
    printf("%ld 0\n", turns);
    return 0;
}
