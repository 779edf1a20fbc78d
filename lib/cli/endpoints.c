#include "cli/endpoints.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/loop.h"
#include "cli/cli.h"
#include "etcd/base64.h"
#include "etcd/client.h"

#define VERSION_MAX 32
#define ANSWER_MAX  4096
#define OLDEST      "3.4" /* with the gateway's prefix /v3 */

struct check;

/* One endpoint: first GET /version, then the same read twice, the second one timed: on a warm connection, logged in. */
struct probe {
    struct check *check;
    struct endpoint_finding *finding;
    struct conf conf; /* the configuration with this endpoint alone; owns nothing */
    struct etcd_client *client;
    struct etcd_request *request;
    CURL *easy;
    struct loop_transfer transfer;
    char error[CURL_ERROR_SIZE];
    char answer[ANSWER_MAX];
    size_t len;
    char version[VERSION_MAX];
    unsigned reads;
    int64_t sent_us;
    uint64_t cluster_id;
    bool done;
};

struct check {
    struct loop *loop;
    struct loop_timer deadline;
    struct probe *probes;
    size_t n, left;
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void finish(struct probe *probe, bool good, const char *what, const char *remedy)
{
    if (probe->done)
        return;
    probe->done = true;
    probe->finding->good = good;
    snprintf(probe->finding->text, sizeof probe->finding->text, "%s: %s%s%s",
             probe->conf.endpoints[0], what, remedy[0] ? "; " : "", remedy);
    if (--probe->check->left == 0)
        loop_stop(probe->check->loop);
}

/* ---- the read ---- */

static void read_once(struct probe *probe);

static const char *remedy_of_refusal(const char *why)
{
    if (strstr(why, "user name is empty"))
        return "authentication is switched on there: set user and password_file in [etcd]";
    if (strstr(why, "authentication failed"))
        return "correct user in [etcd] or the password in password_file";
    if (strstr(why, "permission denied"))
        return "grant the user a role with readwrite on the keys of this configuration and on root";
    return "see the log of that member";
}

static void have_read(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
                      const char *why)
{
    struct probe *probe = owner;
    char what[700];
    const char *reason = why;
    size_t len = strlen(probe->conf.endpoints[0]);
    probe->request = NULL;
    if (outcome == ETCD_OK) {
        probe->cluster_id = reply->cluster_id;
        if (probe->reads < 2) {
            read_once(probe);
            return;
        }
        snprintf(what, sizeof what, "etcd %s, %.1f ms for a read", probe->version,
                 (double)(now_us() - probe->sent_us) / 1000);
        finish(probe, true, what, "");
        return;
    }
    if (strncmp(why, probe->conf.endpoints[0], len) == 0 && why[len] == ':')
        reason = why + len + 2;
    snprintf(what, sizeof what, "etcd %s is there, but a read fails: %s", probe->version, reason);
    if (outcome == ETCD_REFUSED || strstr(why, "authentication failed"))
        finish(probe, false, what, remedy_of_refusal(why));
    else
        finish(probe, false, what,
               "has the cluster lost its majority? ask etcdctl endpoint status --cluster");
}

static void read_once(struct probe *probe)
{
    char *key = cli_need(base64_encode(probe->conf.root, strlen(probe->conf.root)));
    char *body = NULL;
    if (asprintf(&body, "{\"key\":\"%s\"}", key) < 0)
        body = NULL;
    free(key);
    probe->reads++;
    probe->sent_us = now_us();
    probe->request =
        etcd_post(probe->client, "/v3/kv/range", body, CLI_REQUEST_MS, have_read, probe);
}

/* ---- the version ---- */

static size_t collect(char *bytes, size_t size, size_t count, void *owner)
{
    struct probe *probe = owner;
    size_t n = size * count;
    if (probe->len + n > sizeof probe->answer)
        return 0;
    memcpy(probe->answer + probe->len, bytes, n);
    probe->len += n;
    return n;
}

static const char *remedy_of_failure(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return "correct the name in endpoints, or the name service of this host";
    case CURLE_COULDNT_CONNECT:
        return "start etcd there, or correct endpoints";
    case CURLE_OPERATION_TIMEDOUT:
        return "is the host up, and no firewall between?";
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        return "does that port speak TLS (https://) or not (http://)? check cacert, cert and key";
    default:
        return "is it etcd that listens there?";
    }
}

static bool parse_version(struct probe *probe)
{
    cJSON *root = cJSON_ParseWithLength(probe->answer, probe->len);
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "etcdserver");
    bool found = cJSON_IsString(version) && version->valuestring[0];
    if (found)
        snprintf(probe->version, sizeof probe->version, "%s", version->valuestring);
    cJSON_Delete(root);
    return found;
}

static bool too_old(const char *version)
{
    unsigned major = 0;
    unsigned minor = 0;
    return sscanf(version, "%u.%u", &major, &minor) == 2 &&
           (major < 3 || (major == 3 && minor < 4));
}

static void have_version(struct loop_transfer *transfer, CURLcode code)
{
    struct probe *probe = transfer->owner;
    char what[CURL_ERROR_SIZE + 64];
    long status = 0;
    curl_easy_getinfo(probe->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(probe->easy);
    probe->easy = NULL;
    if (code != CURLE_OK) {
        const char *reason = probe->error[0] ? probe->error : curl_easy_strerror(code);
        finish(probe, false, reason, remedy_of_failure(code));
    } else if (status != 200 || !parse_version(probe)) {
        snprintf(what, sizeof what, "answers, with HTTP status %ld, but not as etcd does", status);
        finish(probe, false, what, "is it etcd's client port, and is http:// or https:// right?");
    } else if (too_old(probe->version)) {
        snprintf(what, sizeof what, "etcd %s is too old", probe->version);
        finish(probe, false, what, "use etcd " OLDEST " or newer");
    } else {
        read_once(probe);
    }
}

static void ask_version(struct probe *probe)
{
    const struct conf *conf = &probe->conf;
    char url[1024];
    CURL *easy = cli_need(curl_easy_init());
    probe->easy = easy;
    probe->transfer = (struct loop_transfer){.done = have_version, .owner = probe};
    snprintf(url, sizeof url, "%s/version", conf->endpoints[0]);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &probe->transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, probe);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, probe->error);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)CLI_REQUEST_MS);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a name server */
    if (conf->cacert)
        curl_easy_setopt(easy, CURLOPT_CAINFO, conf->cacert);
    if (conf->cert)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, conf->cert);
    if (conf->cert_key)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, conf->cert_key);
    curl_multi_add_handle(loop_curl(probe->check->loop), easy);
}

/* ---- all of them ---- */

static void too_late(struct loop_timer *timer)
{
    struct check *check = timer->owner;
    char what[64];
    snprintf(what, sizeof what, "no answer within %d s", CLI_CLUSTER_MS / 1000);
    for (size_t i = 0; i < check->n; i++)
        finish(&check->probes[i], false, what, remedy_of_failure(CURLE_OPERATION_TIMEDOUT));
}

static void close_probe(struct probe *probe)
{
    if (probe->easy) {
        curl_multi_remove_handle(loop_curl(probe->check->loop), probe->easy);
        curl_easy_cleanup(probe->easy);
    }
    etcd_client_free(probe->client);
}

/* Two clusters in one list would be two holders of one lock. */
static void compare_clusters(struct check *check)
{
    const struct probe *first = NULL;
    for (size_t i = 0; i < check->n; i++) {
        struct probe *probe = &check->probes[i];
        if (!probe->cluster_id)
            continue;
        if (!first)
            first = probe;
        if (probe->cluster_id == first->cluster_id)
            continue;
        probe->finding->good = false;
        snprintf(probe->finding->text, sizeof probe->finding->text,
                 "%s: belongs to another cluster than %s; list the members of one cluster only",
                 probe->conf.endpoints[0], first->conf.endpoints[0]);
    }
}

static int start(struct check *check, const struct conf *conf, struct endpoint_finding *findings,
                 char *why, size_t why_size)
{
    int err = loop_new(&check->loop);
    if (err)
        snprintf(why, why_size, "cannot make an event loop: %s", strerror(-err));
    for (size_t i = 0; i < check->n && !err; i++) {
        struct probe *probe = &check->probes[i];
        *probe = (struct probe){.check = check, .finding = &findings[i], .conf = *conf};
        probe->conf.endpoints[0] = conf->endpoints[i];
        probe->conf.n_endpoints = 1;
        err = etcd_client_new(check->loop, &probe->conf, &probe->client, why, why_size);
        if (!err)
            ask_version(probe);
    }
    return err;
}

int endpoints_check(const struct conf *conf, struct endpoint_finding *findings, char *why,
                    size_t why_size)
{
    struct check check = {.n = conf->n_endpoints, .left = conf->n_endpoints};
    struct sigaction old_sigpipe;
    check.probes = cli_need(calloc(check.n, sizeof *check.probes));
    check.deadline = (struct loop_timer){.fire = too_late, .owner = &check};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    /* TLS writes without MSG_NOSIGNAL. */
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, &old_sigpipe);
    int err = start(&check, conf, findings, why, why_size);
    if (!err) {
        loop_in(check.loop, &check.deadline, CLI_CLUSTER_MS);
        while (check.left > 0)
            loop_run(check.loop);
        compare_clusters(&check);
    }
    for (size_t i = 0; i < check.n; i++) {
        if (check.probes[i].check)
            close_probe(&check.probes[i]);
    }
    loop_free(check.loop);
    free(check.probes);
    sigaction(SIGPIPE, &old_sigpipe, NULL);
    curl_global_cleanup();
    return err;
}
