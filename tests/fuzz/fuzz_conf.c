/*
 * Any bytes as a configuration, as a pattern with a path, and as a path; libFuzzer's entry.
 *
 *   clang -fsanitize=fuzzer,address,undefined -Ilib tests/fuzz/fuzz_conf.c (and all of lib/conf)
 *
 * Beyond not crashing: a text that is accepted must give the library and the agent one answer on
 * what is mapped, and keys that do not nest; a text that is refused, a message.
 */
#include "conf/conf.h"
#include "conf/glob.h"
#include "conf/scan.h"
#include "conf/template.h"

#include "../unit/glob_reference.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good, const char *what, const char *detail)
{
    if (good)
        return;
    fprintf(stderr, "fuzz_conf: %s: %s\n", what, detail);
    abort();
}

static const char *const fixed_paths[] = {"/", "/j", "/a/b", "/a/b/c.lock", "/a%\n/b"};

/* A path that the pattern is likely to match: its stars and brackets become letters. */
static void sample_path(const char *pattern, char *out, size_t size)
{
    size_t len = 0;

    for (; *pattern && len + 1 < size; pattern++) {
        if (*pattern == '\\' && pattern[1])
            out[len++] = *++pattern;
        else
            out[len++] = strchr("*?[", *pattern) ? 'a' : *pattern;
    }
    out[len] = '\0';
}

static void check_path(const struct conf *conf, const char *text, size_t len, const char *path)
{
    const struct conf_rule *rule = conf_find(conf, path);
    char key[CONF_KEY_MAX + 1], prefix[CONF_KEY_MAX + 1];

    require(conf_may_map(text, len, path) == (rule != NULL), "may_map is not find", path);
    if (!rule)
        return;
    conf_key_prefix(rule, prefix, sizeof prefix);
    if (conf_key(rule, path, key, sizeof key) == 0)
        require(strncmp(key, prefix, strlen(prefix)) == 0, "a key without its prefix", key);
}

static void check_conf(const struct conf *conf, const char *text, size_t len)
{
    char path[512];

    require(conf->n_rules > 0 && conf->n_endpoints > 0, "incomplete", text);
    for (size_t i = 0; i < sizeof fixed_paths / sizeof fixed_paths[0]; i++)
        check_path(conf, text, len, fixed_paths[i]);
    for (size_t i = 0; i < conf->n_rules; i++) {
        const struct conf_rule *rule = &conf->rules[i];

        for (size_t j = 0; j < rule->n_paths; j++) {
            sample_path(rule->paths[j], path, sizeof path);
            check_path(conf, text, len, path);
        }
        for (size_t j = 0; j < conf->n_rules; j++)
            require(!conf_template_nests(rule->key, conf->rules[j].key), "nesting", rule->key);
    }
}

static void fuzz_parse(const char *text, size_t len)
{
    struct conf *conf = NULL;
    struct conf_error err = {.text = ""};

    if (conf_parse(text, len, "f", &conf, &err) == 0) {
        check_conf(conf, text, len);
        conf_free(conf);
        return;
    }
    require(strncmp(err.text, "f:", 2) == 0 && err.line > 0, "no line", err.text);
    require(strstr(err.text, "; ") != NULL, "no remedy", err.text);
    for (size_t i = 0; i < sizeof fixed_paths / sizeof fixed_paths[0]; i++)
        conf_may_map(text, len, fixed_paths[i]);
}

/* The first line is a pattern, the rest a path. */
static void fuzz_glob(const char *text, size_t len)
{
    const char *path = memchr(text, '\n', len), *fault;
    size_t pattern_len, path_len, offset = 0;
    bool match;

    if (!path)
        return;
    pattern_len = (size_t)(path - text);
    path_len = len - pattern_len - 1;
    path++;
    match = conf_glob_match(text, pattern_len, path, path_len);
    conf_glob_might(text, pattern_len, path, path_len);
    fault = conf_glob_fault(text, pattern_len, &offset);
    require(!fault || offset < pattern_len, "fault outside", fault);
    if (!fault && pattern_len <= GLOB_REFERENCE_MAX && path_len <= GLOB_REFERENCE_MAX)
        require(match == glob_reference(text, pattern_len, path, path_len), "match", path);
}

/* The whole as a path, and the whole as a template. */
static void fuzz_key(const char *text)
{
    char key[CONF_KEY_MAX + 1], prefix[8];
    struct conf_rule rule = {.key = (char *)"/k/{path}/{dir}/{name}"};

    if (conf_key(&rule, text, key, sizeof key) == 0) {
        size_t slashes = 0;

        for (const char *p = key; *p; p++)
            slashes += *p == '/';
        require(slashes == 4, "slashes", key);
    }
    if (conf_template_fault(text))
        return;
    require(!conf_template_nests(text, text), "it nests in itself", text);
    conf_template_fill(text, "/a/b", key, sizeof key);
    conf_template_prefix(text, prefix, sizeof prefix);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    fuzz_key(text);
    fuzz_glob(text, size);
    /* The rest takes a length, not a terminated text: let the sanitizer see a read beyond it. */
    char *bare = realloc(text, size ? size : 1);
    if (bare)
        fuzz_parse(bare, size);
    free(bare ? bare : text);
    return 0;
}
