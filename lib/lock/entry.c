#include "lock/entry.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1

void entry_name(const char *key, uint64_t lease, uint64_t number, char *out)
{
    snprintf(out, ENTRY_NAME_MAX, "%s/%016" PRIx64 "-%" PRIu64, key, lease, number);
}

bool entry_parse_name(const char *rest, uint64_t *lease, uint64_t *number)
{
    char again[64];
    if (strspn(rest, "0123456789abcdef") != 16 || rest[16] != '-' || rest[17] < '0' ||
        rest[17] > '9')
        return false;
    char *end;
    *lease = strtoull(rest, &end, 16);
    errno = 0;
    *number = strtoull(rest + 17, &end, 10);
    if (errno || *end)
        return false;
    snprintf(again, sizeof again, "%016" PRIx64 "-%" PRIu64, *lease, *number);
    return strcmp(again, rest) == 0; /* no other spelling of the same numbers */
}

const char *entry_mode_name(enum entry_mode mode)
{
    return mode == ENTRY_SH ? "sh" : mode == ENTRY_EX ? "ex" : "none";
}

static bool add_64(cJSON *object, const char *name, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

char *entry_print(const struct entry_value *value)
{
    cJSON *root = cJSON_CreateObject();
    char *text = NULL;
    bool good = root && cJSON_AddNumberToObject(root, "v", VERSION) &&
                cJSON_AddStringToObject(root, "mode", entry_mode_name(value->mode)) &&
                cJSON_AddStringToObject(root, "host", value->host) &&
                cJSON_AddNumberToObject(root, "pid", value->pid) &&
                cJSON_AddStringToObject(root, "cmd", value->command) &&
                cJSON_AddStringToObject(root, "path", value->path) &&
                add_64(root, "dev", value->dev) && add_64(root, "ino", value->ino) &&
                cJSON_AddNumberToObject(root, "since", (double)value->since);
    if (good && value->joined)
        good = cJSON_AddTrueToObject(root, "joined") != NULL;
    if (good && value->token)
        good = add_64(root, "token", (uint64_t)value->token);
    if (good)
        text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text;
}

static uint64_t get_64(const cJSON *root, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    return cJSON_IsString(item) ? strtoull(item->valuestring, NULL, 10) : 0;
}

static void get_text(const cJSON *root, const char *name, char *out, size_t size)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    snprintf(out, size, "%s", cJSON_IsString(item) ? item->valuestring : "");
}

static enum entry_mode get_mode(const cJSON *root)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, "mode");
    if (cJSON_IsString(item) && strcmp(item->valuestring, "sh") == 0)
        return ENTRY_SH;
    return cJSON_IsString(item) && strcmp(item->valuestring, "ex") == 0 ? ENTRY_EX : ENTRY_NONE;
}

int entry_parse(const char *text, size_t len, struct entry_value *out)
{
    memset(out, 0, sizeof *out);
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, len, &end, 0);
    while (end && end < text + len && strchr(" \t\r\n", *end) && *end)
        end++;
    if (end != text + len) {
        cJSON_Delete(root);
        return -EBADMSG;
    }
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "v");
    const cJSON *pid = cJSON_GetObjectItemCaseSensitive(root, "pid");
    const cJSON *since = cJSON_GetObjectItemCaseSensitive(root, "since");
    int err = -EBADMSG;
    if (cJSON_IsNumber(version) && version->valueint == VERSION && (out->mode = get_mode(root))) {
        err = 0;
        get_text(root, "host", out->host, sizeof out->host);
        get_text(root, "cmd", out->command, sizeof out->command);
        get_text(root, "path", out->path, sizeof out->path);
        out->dev = get_64(root, "dev");
        out->ino = get_64(root, "ino");
        uint64_t token = get_64(root, "token");
        out->token = token <= INT64_MAX ? (int64_t)token : 0;
        out->pid = cJSON_IsNumber(pid) ? pid->valueint : 0;
        out->joined = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "joined"));
        if (cJSON_IsNumber(since) && since->valuedouble > 0 && since->valuedouble < 9e15)
            out->since = (int64_t)since->valuedouble;
    }
    cJSON_Delete(root);
    return err;
}
