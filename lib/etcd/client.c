#include "etcd/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "etcd/client_private.h"

int etcd_backoff(unsigned attempt)
{
    unsigned ms = attempt > 5 ? BACKOFF_MAX_MS : BACKOFF_MIN_MS << attempt;
    unsigned noise = 0;
    (void)!getrandom(&noise, sizeof noise, GRND_NONBLOCK);
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    return (int)(ms / 2 + noise % (ms / 2 + 1));
}

/* ---- endpoints ---- */

const char *client_endpoint(const struct etcd_client *client)
{
    return client->conf->endpoints[client->current];
}

void client_note_success(struct etcd_client *client, size_t endpoint)
{
    client->failures[endpoint] = 0;
    client->trouble[0] = '\0';
    client->trouble_since = 0;
}

void client_note_failure(struct etcd_client *client, size_t endpoint, const char *why)
{
    int64_t now = loop_now();
    snprintf(client->trouble, sizeof client->trouble, "%s: %s", client->conf->endpoints[endpoint],
             why);
    if (!client->trouble_since)
        client->trouble_since = now;
    client->retry_at[endpoint] = now + etcd_backoff(client->failures[endpoint]++);
    if (endpoint != client->current)
        return;
    /* The one that may be tried again first; round robin among equals. */
    size_t n = client->conf->n_endpoints;
    size_t best = (endpoint + 1) % n;
    for (size_t i = 1; i < n; i++) {
        size_t at = (endpoint + 1 + i) % n;
        int64_t due = client->retry_at[at] > now ? client->retry_at[at] : now;
        int64_t best_due = client->retry_at[best] > now ? client->retry_at[best] : now;
        if (due < best_due)
            best = at;
    }
    client->current = best;
}

const char *etcd_trouble(const struct etcd_client *client)
{
    return client->trouble[0] ? client->trouble : NULL;
}

int64_t etcd_trouble_since(const struct etcd_client *client)
{
    return client->trouble_since;
}

uint64_t etcd_requests_sent(const struct etcd_client *client)
{
    return client->sent;
}

/* ---- easy handles ---- */

void client_setup_easy(struct etcd_client *client, CURL *easy, const char *url, const char *body,
                       struct curl_slist *headers, char *error)
{
    const struct conf *conf = client->conf;
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* A silent name server keeps a thread of curl's busy; giving up must not wait for it. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    if (conf->cacert)
        curl_easy_setopt(easy, CURLOPT_CAINFO, conf->cacert);
    if (conf->cert)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, conf->cert);
    if (conf->cert_key)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, conf->cert_key);
}

struct curl_slist *client_headers(struct etcd_client *client, bool watch)
{
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
    list = curl_slist_append(list, "Expect:");
    /* Ends a watch on a member that has lost its leader, instead of silence. */
    if (watch)
        list = curl_slist_append(list, "Grpc-Metadata-hasleader: true");
    if (client->token) {
        char header[1024];
        snprintf(header, sizeof header, "Authorization: %s", client->token);
        list = curl_slist_append(list, header);
    }
    return list;
}

const char *client_reason(CURLcode code, const char *error)
{
    return error[0] ? error : curl_easy_strerror(code);
}

/* Failures that happen before the first byte of a request has left. */
static bool is_unsent(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_OUT_OF_MEMORY:
        return true;
    default:
        return false;
    }
}

/* ---- requests ---- */

static void finish(struct etcd_request *request, enum etcd_outcome outcome,
                   const struct etcd_reply *reply, const char *why)
{
    struct etcd_client *client = request->client;
    etcd_done *done = request->done;
    void *owner = request->owner;
    if (request->easy)
        client->spare_easy[client->n_spare < SPARE_EASY ? client->n_spare++ : SPARE_EASY] =
            request->easy;
    if (client->spare_easy[SPARE_EASY]) {
        curl_easy_cleanup(client->spare_easy[SPARE_EASY]);
        client->spare_easy[SPARE_EASY] = NULL;
    }
    curl_slist_free_all(request->headers);
    if (request->previous)
        request->previous->next = request->next;
    else
        client->requests = request->next;
    if (request->next)
        request->next->previous = request->previous;
    loop_cancel(client->loop, &request->later);
    if (done)
        done(owner, outcome, reply, why);
    free(request->body);
    free(request->answer);
    free(request);
}

static size_t collect(char *bytes, size_t size, size_t count, void *owner)
{
    struct etcd_request *request = owner;
    size_t n = size * count;
    if (request->len + n > ANSWER_MAX)
        return 0;
    if (request->len + n + 1 > request->room) {
        size_t room = (request->len + n + 1) * 2;
        char *longer = realloc(request->answer, room);
        if (!longer)
            return 0;
        request->answer = longer;
        request->room = room;
    }
    memcpy(request->answer + request->len, bytes, n);
    request->len += n;
    return n;
}

static bool wants_login(const struct etcd_client *client, long status,
                        const struct etcd_fault *fault)
{
    return client->conf->user &&
           (status == 401 || fault->code == 16 || strstr(fault->message, "invalid auth token") ||
            strstr(fault->message, "user name is empty") ||
            strstr(fault->message, "revision of auth store is old"));
}

/* A refusal is final only if etcd itself turned the request down before doing anything. */
static bool is_refusal(long status, const struct etcd_fault *fault)
{
    switch (fault->code) {
    case 3:  /* invalid argument */
    case 5:  /* not found: the lease is gone */
    case 6:  /* already exists */
    case 7:  /* permission denied */
    case 8:  /* resource exhausted: the database is full */
    case 9:  /* failed precondition */
    case 11: /* out of range: compacted */
    case 16: /* unauthenticated */
        return true;
    default:
        return fault->code == 0 && status >= 400 && status < 500;
    }
}

static void answered(struct etcd_request *request, long status)
{
    struct etcd_client *client = request->client;
    struct etcd_reply reply;
    struct etcd_fault fault;
    char why[512];
    int err =
        etcd_reply_parse(request->answer ? request->answer : "", request->len, &reply, &fault);
    /* Every answer of etcd's names its cluster. What does not is somebody else's, whatever its status. */
    if (err == 0 && reply.cluster_id == 0) {
        etcd_reply_free(&reply);
        err = -EBADMSG;
    }
    if (err == 0 && status == 200) {
        if (client->cluster_id == 0)
            client->cluster_id = reply.cluster_id;
        if (reply.cluster_id != client->cluster_id) {
            etcd_reply_free(&reply);
            client_note_failure(client, request->endpoint,
                                "answers for another cluster than before");
            finish(request, ETCD_UNKNOWN, NULL, client->trouble);
            return;
        }
        client_note_success(client, request->endpoint);
        finish(request, ETCD_OK, &reply, "");
        etcd_reply_free(&reply);
        return;
    }
    if (err == 0)
        etcd_reply_free(&reply);
    if (err == -EREMOTEIO && wants_login(client, status, &fault) && !request->retried) {
        request->retried = true;
        client_forget_token(client, request->token_serial);
        client_send_after_login(request);
        return;
    }
    if (err == -EREMOTEIO)
        snprintf(why, sizeof why, "%s",
                 fault.message[0] ? fault.message : "an error without a message");
    else
        snprintf(why, sizeof why, "HTTP status %ld with an answer that is not etcd's", status);
    if (err == -EREMOTEIO && strstr(fault.message, "too many requests")) {
        client_note_failure(client, request->endpoint, why);
        finish(request, ETCD_UNSENT, NULL, client->trouble);
        return;
    }
    if (err == -EREMOTEIO && is_refusal(status, &fault)) {
        char text[700];
        client_note_success(client, request->endpoint);
        snprintf(text, sizeof text, "%s: %s", client->conf->endpoints[request->endpoint], why);
        finish(request, ETCD_REFUSED, NULL, text);
        return;
    }
    client_note_failure(client, request->endpoint, why);
    finish(request, ETCD_UNKNOWN, NULL, client->trouble);
}

/* Called before each time that curl sends the request. When a kept connection dies, curl would send it again by itself, though
 * the first copy may have arrived: the outcome is unknown then, and the nonce must change first. */
static int before_sending(void *owner, char *ip, char *local_ip, int port, int local_port)
{
    struct etcd_request *request = owner;
    (void)ip;
    (void)local_ip;
    (void)port;
    (void)local_port;
    return request->copies++ ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static void transferred(struct loop_transfer *transfer, CURLcode code)
{
    struct etcd_request *request = transfer->owner;
    struct etcd_client *client = request->client;
    request->active = false;
    if (code == CURLE_OK) {
        long status = 0;
        curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
        answered(request, status);
        return;
    }
    bool unsent = request->copies == 0 && (is_unsent(code) || code == CURLE_OPERATION_TIMEDOUT);
    client_note_failure(client, request->endpoint, client_reason(code, request->error));
    finish(request, unsent ? ETCD_UNSENT : ETCD_UNKNOWN, NULL, client->trouble);
}

static void fail_later(struct loop_timer *timer)
{
    struct etcd_request *request = timer->owner;
    finish(request, ETCD_UNSENT, NULL,
           request->client->trouble[0] ? request->client->trouble : "out of memory");
}

void client_fail(struct etcd_request *request)
{
    request->later = (struct loop_timer){.fire = fail_later, .owner = request};
    loop_in(request->client->loop, &request->later, 0);
}

void client_send(struct etcd_request *request)
{
    struct etcd_client *client = request->client;
    char url[1024];
    request->endpoint = client->current;
    request->token_serial = client->token_serial;
    request->len = 0;
    request->copies = 0;
    request->error[0] = '\0';
    if (!request->easy)
        request->easy = client->n_spare ? client->spare_easy[--client->n_spare] : curl_easy_init();
    curl_slist_free_all(request->headers);
    request->headers = client_headers(client, false);
    if (!request->easy || !request->body) {
        client_fail(request);
        return;
    }
    snprintf(url, sizeof url, "%s%s", client_endpoint(client), request->path);
    client_setup_easy(client, request->easy, url, request->body, request->headers, request->error);
    curl_easy_setopt(request->easy, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(request->easy, CURLOPT_PREREQFUNCTION, before_sending);
    curl_easy_setopt(request->easy, CURLOPT_PREREQDATA, request);
    curl_easy_setopt(request->easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    request->transfer = (struct loop_transfer){.done = transferred, .owner = request};
    curl_easy_setopt(request->easy, CURLOPT_PRIVATE, &request->transfer);
    client->sent++;
    request->active = true;
    curl_multi_add_handle(loop_curl(client->loop), request->easy);
}

struct etcd_request *etcd_post(struct etcd_client *client, const char *path, char *body,
                               int timeout_ms, etcd_done *done, void *owner)
{
    struct etcd_request *request = calloc(1, sizeof *request);
    if (!request)
        abort(); /* see loop_at */
    request->client = client;
    request->body = body;
    request->timeout_ms = timeout_ms;
    request->done = done;
    request->owner = owner;
    snprintf(request->path, sizeof request->path, "%s", path);
    request->next = client->requests;
    if (request->next)
        request->next->previous = request;
    client->requests = request;
    if (client->conf->user && !client->token && strcmp(path, LOGIN_PATH) != 0)
        client_send_after_login(request);
    else
        client_send(request);
    return request;
}

void etcd_cancel(struct etcd_request *request)
{
    if (request->active)
        curl_multi_remove_handle(loop_curl(request->client->loop), request->easy);
    request->done = NULL;
    finish(request, ETCD_UNKNOWN, NULL, "");
}

/* ---- the client ---- */

static int read_password(const char *file, char out[PASSWORD_MAX], char *why, size_t why_size)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, out, PASSWORD_MAX - 1);
    int err = got < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (err) {
        snprintf(why, why_size, "cannot read password_file %s: %s", file, strerror(-err));
        return err;
    }
    out[got] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    return 0;
}

static int check_readable(const char *option, const char *file, char *why, size_t why_size)
{
    if (!file || access(file, R_OK) == 0)
        return 0;
    int err = -errno;
    snprintf(why, why_size, "cannot read %s %s: %s", option, file, strerror(-err));
    return err;
}

int etcd_client_new(struct loop *loop, const struct conf *conf, struct etcd_client **out, char *why,
                    size_t why_size)
{
    struct etcd_client *client = calloc(1, sizeof *client);
    if (!client) {
        snprintf(why, why_size, "out of memory");
        return -ENOMEM;
    }
    client->loop = loop;
    client->conf = conf;
    int err = check_readable("cacert", conf->cacert, why, why_size);
    if (!err)
        err = check_readable("cert", conf->cert, why, why_size);
    if (!err)
        err = check_readable("key", conf->cert_key, why, why_size);
    if (!err && conf->password_file)
        err = read_password(conf->password_file, client->password, why, why_size);
    if (err) {
        free(client);
        return err;
    }
    curl_multi_setopt(loop_curl(loop), CURLMOPT_MAXCONNECTS, 64L);
    *out = client;
    return 0;
}

void etcd_client_free(struct etcd_client *client)
{
    if (!client)
        return;
    while (client->requests)
        /* NOLINTNEXTLINE(clang-analyzer-*): it takes itself out of the list */
        etcd_cancel(client->requests);
    while (client->n_spare)
        curl_easy_cleanup(client->spare_easy[--client->n_spare]);
    explicit_bzero(client->password, sizeof client->password);
    free(client->token);
    free(client);
}
