/* What the files of the client share: requests, logging in, streams. */
#ifndef ETCDFLOCK_ETCD_CLIENT_PRIVATE_H
#define ETCDFLOCK_ETCD_CLIENT_PRIVATE_H

#include "etcd/client.h"

#define BACKOFF_MIN_MS     50
#define BACKOFF_MAX_MS     2000
#define CONNECT_TIMEOUT_MS 900 /* a dead endpoint is left within a second */
#define ANSWER_MAX         (16u << 20)
#define PASSWORD_MAX       256
#define SPARE_EASY         16
#define LOGIN_PATH         "/v3/auth/authenticate"

struct etcd_request {
    struct etcd_client *client;
    struct etcd_request *next, *previous;
    char path[64];
    char *body;
    int timeout_ms;
    etcd_done *done;
    void *owner;
    size_t endpoint;       /* that it was sent to */
    unsigned token_serial; /* that it was sent with */
    bool retried;          /* once with a new token */
    unsigned copies;       /* that curl has sent */
    bool active;           /* curl has it */
    bool awaits_login;
    CURL *easy;
    struct curl_slist *headers;
    struct loop_transfer transfer;
    struct loop_timer later;
    char *answer;
    size_t len, room;
    char error[CURL_ERROR_SIZE];
};

struct etcd_client {
    struct loop *loop;
    const struct conf *conf;
    size_t current;
    unsigned failures[CONF_ENDPOINTS];
    int64_t retry_at[CONF_ENDPOINTS];
    uint64_t cluster_id;
    char trouble[512];
    int64_t trouble_since;
    uint64_t sent;
    struct etcd_request *requests;
    CURL *spare_easy[SPARE_EASY + 1];
    size_t n_spare;
    char *token;           /* of the login; NULL: none */
    unsigned token_serial; /* goes up with each */
    bool logging_in;
    char password[PASSWORD_MAX];
};

const char *client_endpoint(const struct etcd_client *client);
void client_note_success(struct etcd_client *client, size_t endpoint);
void client_note_failure(struct etcd_client *client, size_t endpoint, const char *why);
void client_setup_easy(struct etcd_client *client, CURL *easy, const char *url, const char *body,
                       struct curl_slist *headers, char *error);
struct curl_slist *client_headers(struct etcd_client *client, bool watch);
const char *client_reason(CURLcode code, const char *error);

void client_send(struct etcd_request *request);
/* Ends it as ETCD_UNSENT, soon. */
void client_fail(struct etcd_request *request);
void client_send_after_login(struct etcd_request *request);
/* The token with this serial number is no good any more. */
void client_forget_token(struct etcd_client *client, unsigned serial);

#endif
