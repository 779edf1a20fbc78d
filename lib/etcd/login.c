/*
 * User and password: one login at a time for all requests that wait for it. Authenticating costs
 * the server some 70 ms of processor time, so that a token is used until etcd turns it down.
 */
#include <stdlib.h>
#include <string.h>

#include "etcd/client_private.h"

static char *login_body(const struct etcd_client *client)
{
    cJSON *root = cJSON_CreateObject();
    char *text = NULL;
    if (root && cJSON_AddStringToObject(root, "name", client->conf->user) &&
        cJSON_AddStringToObject(root, "password", client->password))
        text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text;
}

static void logged_in(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
                      const char *why)
{
    struct etcd_client *client = owner;
    client->logging_in = false;
    if (outcome == ETCD_OK && reply->token) {
        free(client->token);
        client->token = strdup(reply->token);
        client->token_serial++;
    } else if (outcome == ETCD_REFUSED) {
        /* A wrong password does not get better: the requests fail with this reason, their owners
         * come back later. */
        client_note_failure(client, client->current,
                            strstr(why, ": ") ? strstr(why, ": ") + 2 : why);
    }
    struct etcd_request *next;
    for (struct etcd_request *request = client->requests; request; request = next) {
        next = request->next;
        if (!request->awaits_login)
            continue;
        request->awaits_login = false;
        if (client->token)
            client_send(request);
        else
            client_fail(request);
    }
}

void client_send_after_login(struct etcd_request *request)
{
    struct etcd_client *client = request->client;
    if (client->token) {
        client_send(request);
        return;
    }
    request->awaits_login = true;
    if (client->logging_in)
        return;
    client->logging_in = true;
    etcd_post(client, LOGIN_PATH, login_body(client), request->timeout_ms, logged_in, client);
}

void client_forget_token(struct etcd_client *client, unsigned serial)
{
    if (serial != client->token_serial)
        return; /* another request has had a new one meanwhile */
    free(client->token);
    client->token = NULL;
}
