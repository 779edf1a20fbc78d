#include "cli/cluster.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/loop.h"
#include "cli/cli.h"
#include "etcd/client.h"
#include "etcd/txn.h"

#define ROUNDS      2 /* over all endpoints, before a cluster that turns everybody away is given up */
#define REASONS_MAX 2048

struct cluster {
    const struct conf *conf;
    struct loop *loop;
    struct etcd_client *client;
    struct sigaction old_sigpipe;
    int64_t until; /* loop_now */
    struct loop_timer deadline;
    struct loop_timer again;

    /* The read under way. */
    const char *prefix;
    void (*take)(void *owner, const struct etcd_range *range);
    void *owner;
    struct etcd_request *request;
    size_t attempts;
    int result;                /* 1: not there yet */
    char reasons[REASONS_MAX]; /* of each endpoint that failed, "; " between them */
};

static void attempt(struct cluster *cluster);

static void end(struct cluster *cluster, int result)
{
    loop_cancel(cluster->loop, &cluster->again);
    cluster->result = result;
    loop_stop(cluster->loop);
}

/* Reasons begin with their endpoint; what it says the second time is of no interest. */
static void add_reason(struct cluster *cluster, const char *why)
{
    char endpoint[300]; /* "http://HOST:PORT: " */
    const char *end = strstr(why, ": ");
    size_t len = strlen(cluster->reasons);
    snprintf(endpoint, sizeof endpoint, "%.*s", end ? (int)(end - why) + 2 : 0, why);
    if (!endpoint[0] || !strstr(cluster->reasons, endpoint))
        snprintf(cluster->reasons + len, sizeof cluster->reasons - len, "%s%s", len ? "; " : "",
                 why);
}

static void answered(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
                     const char *why)
{
    struct cluster *cluster = owner;
    const size_t n = cluster->conf->n_endpoints;
    cluster->request = NULL;
    if (outcome == ETCD_OK) {
        cluster->take(cluster->owner, etcd_reply_range(reply, 0));
        end(cluster, 0);
        return;
    }
    if (outcome == ETCD_REFUSED)
        cluster->reasons[0] = '\0'; /* etcd has spoken: who else did not answer is no matter */
    add_reason(cluster, why);
    if (outcome == ETCD_REFUSED || ++cluster->attempts >= ROUNDS * n) {
        end(cluster, -EIO);
        return;
    }
    bool round = cluster->attempts % n == 0;
    loop_in(cluster->loop, &cluster->again,
            round ? etcd_backoff((unsigned)(cluster->attempts / n)) : 0);
}

/* A range of everything there is: from the least key on, without an end. */
#define WHOLE_RANGE                                                                                \
    "{\"key\":\"AA==\",\"range_end\":\"AA==\",\"sort_target\":\"CREATE\",\"sort_order\":"          \
    "\"ASCEND\"}"

static void attempt(struct cluster *cluster)
{
    int64_t left = cluster->until - loop_now();
    int timeout = left < CLI_REQUEST_MS ? (int)left : CLI_REQUEST_MS;
    char *body = cluster->prefix[0] ? txn_range_text(cluster->prefix, false) : strdup(WHOLE_RANGE);
    if (timeout <= 0)
        timeout = 1;
    cluster->request = etcd_post(cluster->client, "/v3/kv/range", body, timeout, answered, cluster);
}

static void again(struct loop_timer *timer)
{
    attempt(timer->owner);
}

static void too_late(struct loop_timer *timer)
{
    struct cluster *cluster = timer->owner;
    if (cluster->request)
        etcd_cancel(cluster->request);
    cluster->request = NULL;
    end(cluster, -ETIMEDOUT);
}

int cluster_read(struct cluster *cluster, const char *prefix,
                 void (*take)(void *owner, const struct etcd_range *range), void *owner, char *why,
                 size_t why_size)
{
    cluster->prefix = prefix;
    cluster->take = take;
    cluster->owner = owner;
    cluster->attempts = 0;
    cluster->reasons[0] = '\0';
    cluster->result = 1;
    loop_at(cluster->loop, &cluster->deadline, cluster->until);
    attempt(cluster);
    while (cluster->result > 0)
        loop_run(cluster->loop);
    loop_cancel(cluster->loop, &cluster->deadline);
    if (cluster->result == 0)
        return 0;
    if (cluster->reasons[0])
        snprintf(why, why_size, "%s", cluster->reasons);
    else
        snprintf(why, why_size, "%s: no answer within %d s", cluster->conf->endpoints[0],
                 CLI_CLUSTER_MS / 1000);
    return -EIO;
}

int cluster_open(const struct conf *conf, struct cluster **out, char *why, size_t why_size)
{
    struct cluster *cluster = cli_need(calloc(1, sizeof *cluster));
    cluster->conf = conf;
    cluster->deadline = (struct loop_timer){.fire = too_late, .owner = cluster};
    cluster->again = (struct loop_timer){.fire = again, .owner = cluster};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int err = loop_new(&cluster->loop);
    if (err)
        snprintf(why, why_size, "cannot make an event loop: %s", strerror(-err));
    else
        err = etcd_client_new(cluster->loop, conf, &cluster->client, why, why_size);
    if (err) {
        loop_free(cluster->loop);
        free(cluster);
        return err;
    }
    /* TLS writes without MSG_NOSIGNAL. */
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, &cluster->old_sigpipe);
    cluster->until = loop_now() + CLI_CLUSTER_MS;
    *out = cluster;
    return 0;
}

void cluster_close(struct cluster *cluster)
{
    etcd_client_free(cluster->client);
    loop_free(cluster->loop);
    sigaction(SIGPIPE, &cluster->old_sigpipe, NULL);
    curl_global_cleanup();
    free(cluster);
}
