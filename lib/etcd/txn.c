#include "etcd/txn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd/base64.h"

static bool add_bytes(cJSON *object, const char *name, const char *text)
{
    char *encoded = base64_encode(text, strlen(text));
    bool added = encoded && cJSON_AddStringToObject(object, name, encoded);
    free(encoded);
    return added;
}

/* 64-bit integers travel as strings. */
static bool add_number(cJSON *object, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

/* The end of the range of all keys with this prefix: the prefix with its last byte, which is never
 * 0xff here, one higher. */
static bool add_range_end(cJSON *object, const char *prefix)
{
    size_t len = strlen(prefix);
    char *end = strdup(prefix);
    bool added = false;
    if (end && len) {
        end[len - 1]++;
        added = add_bytes(object, "range_end", end);
    }
    free(end);
    return added;
}

static cJSON *add_object(cJSON *array)
{
    cJSON *object = cJSON_CreateObject();
    if (object && !cJSON_AddItemToArray(array, object)) {
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

void txn_init(struct txn *txn)
{
    memset(txn, 0, sizeof *txn);
    txn->root = cJSON_CreateObject();
    txn->compare = cJSON_AddArrayToObject(txn->root, "compare");
    txn->branch[TXN_THEN] = cJSON_AddArrayToObject(txn->root, "success");
    txn->branch[TXN_ELSE] = cJSON_AddArrayToObject(txn->root, "failure");
    txn->failed = !txn->compare || !txn->branch[TXN_THEN] || !txn->branch[TXN_ELSE];
}

void txn_free(struct txn *txn)
{
    cJSON_Delete(txn->root);
    memset(txn, 0, sizeof *txn);
}

static cJSON *add_compare(struct txn *txn, const char *key, const char *target, const char *result)
{
    cJSON *compare = txn->failed ? NULL : add_object(txn->compare);
    if (!compare || !add_bytes(compare, "key", key) ||
        !cJSON_AddStringToObject(compare, "target", target) ||
        !cJSON_AddStringToObject(compare, "result", result)) {
        txn->failed = true;
        return NULL;
    }
    return compare;
}

void txn_if_value(struct txn *txn, const char *key, const char *value)
{
    cJSON *compare = add_compare(txn, key, "VALUE", "EQUAL");
    if (compare && !add_bytes(compare, "value", value))
        txn->failed = true;
}

void txn_if_create(struct txn *txn, const char *key, int64_t revision)
{
    cJSON *compare = add_compare(txn, key, "CREATE", "EQUAL");
    if (compare && !add_number(compare, "create_revision", revision))
        txn->failed = true;
}

void txn_if_mod(struct txn *txn, const char *key, int64_t revision)
{
    cJSON *compare = add_compare(txn, key, "MOD", "EQUAL");
    if (compare && !add_number(compare, "mod_revision", revision))
        txn->failed = true;
}

void txn_if_none_below(struct txn *txn, const char *prefix)
{
    cJSON *compare = add_compare(txn, prefix, "CREATE", "EQUAL");
    if (compare && (!add_number(compare, "create_revision", 0) || !add_range_end(compare, prefix)))
        txn->failed = true;
}

void txn_if_quiet(struct txn *txn, const char *prefix, int64_t revision)
{
    cJSON *compare = add_compare(txn, prefix, "MOD", "LESS");
    if (compare &&
        (!add_number(compare, "mod_revision", revision + 1) || !add_range_end(compare, prefix)))
        txn->failed = true;
}

static cJSON *add_operation(struct txn *txn, enum txn_branch branch, const char *kind,
                            const char *key)
{
    cJSON *operation = txn->failed ? NULL : add_object(txn->branch[branch]);
    cJSON *request = operation ? cJSON_AddObjectToObject(operation, kind) : NULL;
    if (!request || !add_bytes(request, "key", key)) {
        txn->failed = true;
        return NULL;
    }
    return request;
}

void txn_put(struct txn *txn, enum txn_branch branch, const char *key, const char *value,
             int64_t lease)
{
    cJSON *put = add_operation(txn, branch, "request_put", key);
    if (put && (!add_bytes(put, "value", value) || !add_number(put, "lease", lease)))
        txn->failed = true;
}

void txn_delete(struct txn *txn, enum txn_branch branch, const char *key)
{
    add_operation(txn, branch, "request_delete_range", key);
}

void txn_get(struct txn *txn, enum txn_branch branch, const char *key)
{
    add_operation(txn, branch, "request_range", key);
}

void txn_get_at(struct txn *txn, enum txn_branch branch, const char *key, int64_t revision)
{
    cJSON *get = add_operation(txn, branch, "request_range", key);
    if (get && !add_number(get, "revision", revision))
        txn->failed = true;
}

static bool add_order(cJSON *range)
{
    return cJSON_AddStringToObject(range, "sort_target", "CREATE") &&
           cJSON_AddStringToObject(range, "sort_order", "ASCEND");
}

void txn_get_below(struct txn *txn, enum txn_branch branch, const char *prefix)
{
    cJSON *get = add_operation(txn, branch, "request_range", prefix);
    if (get && (!add_range_end(get, prefix) || !add_order(get)))
        txn->failed = true;
}

char *txn_text(const struct txn *txn)
{
    return txn->failed ? NULL : cJSON_PrintUnformatted(txn->root);
}

char *txn_range_text(const char *prefix, bool keys_only)
{
    cJSON *range = cJSON_CreateObject();
    char *text = NULL;
    if (range && add_bytes(range, "key", prefix) && add_range_end(range, prefix) &&
        add_order(range) && (!keys_only || cJSON_AddTrueToObject(range, "keys_only")))
        text = cJSON_PrintUnformatted(range);
    cJSON_Delete(range);
    return text;
}

int txn_watch_text(char **body, const char *key, bool prefix)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *create = root ? cJSON_AddObjectToObject(root, "create_request") : NULL;
    char *text = NULL;
    if (create && add_bytes(create, "key", key) && (!prefix || add_range_end(create, key)))
        text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (!text)
        return -ENOMEM;
    size_t before = *body ? strlen(*body) : 0;
    char *longer = realloc(*body, before + strlen(text) + 2);
    if (longer) {
        strcpy(longer + before, text);
        *body = longer;
    }
    free(text);
    return longer ? 0 : -ENOMEM;
}
