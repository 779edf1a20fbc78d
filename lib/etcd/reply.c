/*
 * 64-bit integers travel as strings. A field of value zero is left out: no `succeeded` means false,
 * no event `type` means PUT, a keep-alive without TTL means that the lease is gone. Errors come as
 * {"error","message","code"} up to 3.5 and {"code","message","details"} from 3.6 on, and within a
 * stream as
 * {"error":{…}}, in a stream with status 200 too.
 */
#include "etcd/reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd/base64.h"

/* ---- fields: absent is zero, the wrong type is an error ---- */

static int get_int(const cJSON *object, const char *name, int64_t *out)
{
    *out = 0;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!item || cJSON_IsNull(item))
        return 0;
    if (cJSON_IsNumber(item)) {
        if (item->valuedouble < -9007199254740992.0 || item->valuedouble > 9007199254740992.0)
            return -EBADMSG;
        *out = (int64_t)item->valuedouble;
        return 0;
    }
    if (!cJSON_IsString(item) || !item->valuestring[0])
        return -EBADMSG;
    char *end;
    errno = 0;
    *out = strtoll(item->valuestring, &end, 10);
    return errno || *end ? -EBADMSG : 0;
}

static int get_unsigned(const cJSON *object, const char *name, uint64_t *out)
{
    *out = 0;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!item || cJSON_IsNull(item))
        return 0;
    if (!cJSON_IsString(item) || item->valuestring[0] < '0' || item->valuestring[0] > '9')
        return -EBADMSG;
    char *end;
    errno = 0;
    *out = strtoull(item->valuestring, &end, 10);
    return errno || *end ? -EBADMSG : 0;
}

static int get_bool(const cJSON *object, const char *name, bool *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *out = cJSON_IsTrue(item);
    return !item || cJSON_IsBool(item) || cJSON_IsNull(item) ? 0 : -EBADMSG;
}

static int get_bytes(const cJSON *object, const char *name, char **out, size_t *len)
{
    *out = NULL;
    *len = 0;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (item && !cJSON_IsString(item))
        return -EBADMSG;
    *out = base64_decode(item ? item->valuestring : "", len);
    return *out ? 0 : -EBADMSG;
}

static void copy_text(char *out, size_t size, const cJSON *item)
{
    if (cJSON_IsString(item))
        snprintf(out, size, "%s", item->valuestring);
}

static const cJSON *get(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* ---- parts ---- */

static void free_kv(struct etcd_kv *kv)
{
    free(kv->key);
    free(kv->value);
}

static void free_range(struct etcd_range *range)
{
    for (size_t i = 0; i < range->n; i++)
        free_kv(&range->kvs[i]);
    free(range->kvs);
}

static int parse_kv(const cJSON *item, struct etcd_kv *kv)
{
    size_t key_len;
    if (!cJSON_IsObject(item) || get_bytes(item, "key", &kv->key, &key_len) ||
        get_bytes(item, "value", &kv->value, &kv->value_len) ||
        get_int(item, "create_revision", &kv->create) || get_int(item, "mod_revision", &kv->mod) ||
        get_int(item, "lease", &kv->lease))
        return -EBADMSG;
    return 0;
}

static int parse_kvs(const cJSON *list, struct etcd_range *range)
{
    if (!list)
        return 0;
    if (!cJSON_IsArray(list))
        return -EBADMSG;
    size_t n = (size_t)cJSON_GetArraySize(list);
    range->kvs = calloc(n ? n : 1, sizeof *range->kvs);
    if (!range->kvs)
        return -ENOMEM;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (parse_kv(item, &range->kvs[range->n++]))
            return -EBADMSG;
    }
    return 0;
}

static int parse_header(const cJSON *root, int64_t *revision, uint64_t *cluster_id)
{
    const cJSON *header = get(root, "header");
    if (!header)
        return 0;
    if (!cJSON_IsObject(header) || get_int(header, "revision", revision) ||
        get_unsigned(header, "cluster_id", cluster_id))
        return -EBADMSG;
    return 0;
}

/* Is this an error report? Then fills in the fault. */
static bool parse_fault(const cJSON *root, struct etcd_fault *fault)
{
    const cJSON *error = get(root, "error");
    const cJSON *from = cJSON_IsObject(error) ? error : root;
    const cJSON *message = get(from, "message");
    if (!error && !(message && get(from, "code")))
        return false;
    const cJSON *code = get(from, "grpc_code") ? get(from, "grpc_code") : get(from, "code");
    fault->code = cJSON_IsNumber(code) ? code->valueint : 0;
    copy_text(fault->message, sizeof fault->message, message ? message : error);
    return true;
}

static int parse_text(const char *text, size_t len, cJSON **out, struct etcd_fault *fault)
{
    memset(fault, 0, sizeof *fault);
    const char *end = NULL;
    *out = cJSON_ParseWithLengthOpts(text, len, &end, 0);
    while (end && end < text + len && (*end == '\n' || *end == '\r' || *end == ' ' || *end == '\0'))
        end++;
    if (!*out || !cJSON_IsObject(*out) || end != text + len) {
        cJSON_Delete(*out);
        return -EBADMSG;
    }
    if (parse_fault(*out, fault)) {
        cJSON_Delete(*out);
        return -EREMOTEIO;
    }
    return 0;
}

static int parse_responses(const cJSON *list, struct etcd_reply *out)
{
    if (!cJSON_IsArray(list))
        return -EBADMSG;
    size_t n = (size_t)cJSON_GetArraySize(list);
    out->results = calloc(n ? n : 1, sizeof *out->results);
    if (!out->results)
        return -ENOMEM;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        struct etcd_range *range = &out->results[out->n_results++];
        const cJSON *answer = get(item, "response_range");
        if (!cJSON_IsObject(item) || (answer && !cJSON_IsObject(answer)))
            return -EBADMSG;
        int err = answer ? parse_kvs(get(answer, "kvs"), range) : 0;
        if (err)
            return err;
    }
    return 0;
}

static int parse_lease_keys(const cJSON *list, struct etcd_range *range)
{
    if (!cJSON_IsArray(list))
        return -EBADMSG;
    size_t n = (size_t)cJSON_GetArraySize(list);
    range->kvs = calloc(n ? n : 1, sizeof *range->kvs);
    if (!range->kvs)
        return -ENOMEM;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        size_t len;
        struct etcd_kv *kv = &range->kvs[range->n++];
        if (!cJSON_IsString(item) || !(kv->key = base64_decode(item->valuestring, &len)))
            return -EBADMSG;
    }
    return 0;
}

static int parse_reply(const cJSON *root, struct etcd_reply *out)
{
    /* A keep-alive comes as a stream message: {"result":{…}}. */
    const cJSON *result = get(root, "result");
    if (result && !cJSON_IsObject(result))
        return -EBADMSG;
    if (result)
        root = result;
    int err = parse_header(root, &out->revision, &out->cluster_id);
    if (!err)
        err = get_bool(root, "succeeded", &out->succeeded);
    if (!err)
        err = get_int(root, "TTL", &out->lease_ttl);
    if (!err && get(root, "responses"))
        err = parse_responses(get(root, "responses"), out);
    if (!err && get(root, "kvs") && out->results)
        err = -EBADMSG; /* of a transaction and of a range at once */
    else if (!err && get(root, "kvs")) {
        out->results = calloc(1, sizeof *out->results);
        out->n_results = out->results ? 1 : 0;
        err = out->results ? parse_kvs(get(root, "kvs"), out->results) : -ENOMEM;
    }
    if (!err && get(root, "keys"))
        err = parse_lease_keys(get(root, "keys"), &out->keys);
    const cJSON *token = get(root, "token");
    if (!err && token && !cJSON_IsString(token))
        err = -EBADMSG;
    if (!err && token && !(out->token = strdup(token->valuestring)))
        err = -ENOMEM;
    return err;
}

int etcd_reply_parse(const char *text, size_t len, struct etcd_reply *out, struct etcd_fault *fault)
{
    memset(out, 0, sizeof *out);
    cJSON *root;
    int err = parse_text(text, len, &root, fault);
    if (err)
        return err;
    err = parse_reply(root, out);
    cJSON_Delete(root);
    if (err)
        etcd_reply_free(out);
    return err;
}

void etcd_reply_free(struct etcd_reply *reply)
{
    for (size_t i = 0; i < reply->n_results; i++)
        free_range(&reply->results[i]);
    free(reply->results);
    free_range(&reply->keys);
    free(reply->token);
    memset(reply, 0, sizeof *reply);
}

const struct etcd_range *etcd_reply_range(const struct etcd_reply *reply, size_t operation)
{
    static const struct etcd_range none;
    return operation < reply->n_results ? &reply->results[operation] : &none;
}

/* ---- watch ---- */

static int parse_events(const cJSON *list, struct etcd_watch_reply *out)
{
    if (!list)
        return 0;
    if (!cJSON_IsArray(list))
        return -EBADMSG;
    size_t n = (size_t)cJSON_GetArraySize(list);
    out->events = calloc(n ? n : 1, sizeof *out->events);
    if (!out->events)
        return -ENOMEM;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        struct etcd_event *event = &out->events[out->n_events++];
        const cJSON *type = get(item, "type");
        if (type && !cJSON_IsString(type))
            return -EBADMSG;
        event->deleted = type && strcmp(type->valuestring, "DELETE") == 0;
        if (parse_kv(get(item, "kv"), &event->kv))
            return -EBADMSG;
    }
    return 0;
}

int etcd_watch_parse(const char *text, size_t len, struct etcd_watch_reply *out,
                     struct etcd_fault *fault)
{
    memset(out, 0, sizeof *out);
    cJSON *root;
    int err = parse_text(text, len, &root, fault);
    if (err)
        return err;
    const cJSON *result = get(root, "result");
    if (!cJSON_IsObject(result) || parse_header(result, &out->revision, &out->cluster_id) ||
        get_int(result, "watch_id", &out->watch_id) || get_bool(result, "created", &out->created) ||
        get_bool(result, "canceled", &out->canceled) ||
        get_int(result, "compact_revision", &out->compact_revision) ||
        parse_events(get(result, "events"), out))
        err = -EBADMSG;
    else
        copy_text(out->reason, sizeof out->reason, get(result, "cancel_reason"));
    cJSON_Delete(root);
    if (err)
        etcd_watch_reply_free(out);
    return err;
}

void etcd_watch_reply_free(struct etcd_watch_reply *reply)
{
    for (size_t i = 0; i < reply->n_events; i++)
        free_kv(&reply->events[i].kv);
    free(reply->events);
    memset(reply, 0, sizeof *reply);
}
