/* What is checked beyond a single value: the text as such, complete sections, the whole. */
#include "conf/parse.h"
#include "conf/suggest.h"
#include "conf/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int conf_check_text(struct conf_parser *parser, const char *text, size_t len)
{
    unsigned line = 1;
    size_t start = 0;

    if (len > CONF_TEXT_MAX)
        return conf_fail(parser, 1, "the file is larger than %d bytes; is it the right file?",
                         CONF_TEXT_MAX);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '\n') {
            line++;
            start = i + 1;
        } else if (c == '\0') {
            return conf_fail(parser, line,
                             "there is a zero byte; write the file as plain text (UTF-8, not "
                             "UTF-16)");
        } else if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f) {
            return conf_fail(parser, line,
                             "there is a control character (byte 0x%02x); take it out", c);
        } else if (c == '\r' && i + 1 < len && text[i + 1] != '\n') {
            return conf_fail(parser, line,
                             "there is a carriage return inside the line; end lines with a line "
                             "feed");
        } else if (i - start >= CONF_LINE_MAX && c != '\r') {
            return conf_fail(parser, line, "the line is longer than %d bytes; split or shorten it",
                             CONF_LINE_MAX);
        }
    }
    return 0;
}

const char *conf_reserved_near(const char *name)
{
    static const char *const reserved[] = {"etcd", "agent"};

    return conf_suggest(conf_span_of(name), reserved, 2);
}

static int fail_missing(struct conf_parser *parser, const struct conf_option *option)
{
    unsigned line = parser->section_line[option->scope];
    const struct conf_rule *rule;
    const char *near;

    if (option->scope != CONF_IN_RULE)
        return conf_fail(parser, line,
                         "[etcd] has no '%s'; add a line such as endpoints = http://HOST:2379",
                         option->name);
    rule = conf_holder(parser, CONF_IN_RULE);
    near = conf_reserved_near(rule->name);
    if (near)
        return conf_fail(parser, line, "section [%s] has no '%s'; add one, or did you mean [%s]?",
                         rule->name, option->name, near);
    return conf_fail(
        parser, line, "section [%s] has no '%s'; add a line such as %s", rule->name, option->name,
        strcmp(option->name, "key") == 0 ? "key = /locks/{name}" : "path = /var/lock/job.lock");
}

/* Two rules whose keys may nest: entries of one would count as holders of the other. */
static int check_nesting(struct conf_parser *parser)
{
    const struct conf *conf = parser->conf;
    const struct conf_rule *rule = conf_holder(parser, CONF_IN_RULE);

    for (const struct conf_rule *other = conf->rules; other < rule; other++) {
        bool inside = conf_template_nests(other->key, rule->key);

        if (!inside && !conf_template_nests(rule->key, other->key))
            continue;
        struct conf_span key = conf_span_of(rule->key), other_key = conf_span_of(other->key);
        return conf_fail(parser, parser->key_line[conf->n_rules - 1],
                         "a key of '%.*s%s' may lie %s one of '%.*s%s' (section [%s]); change "
                         "one so that neither can begin with the other and a slash",
                         CONF_SHOW(key), inside ? "inside" : "around", CONF_SHOW(other_key),
                         other->name);
    }
    return 0;
}

int conf_finish_section(struct conf_parser *parser, enum conf_scope scope)
{
    int result = 0;

    for (const struct conf_option *o = conf_options; o < conf_options + CONF_OPTION_COUNT; o++) {
        if (o->scope != scope || parser->seen_line[o - conf_options] > 0)
            continue;
        if (o->needed)
            return fail_missing(parser, o);
        if (o->fallback) {
            result = conf_set(parser, o, conf_span_of(o->fallback));
            if (result < 0)
                return result;
        }
    }
    if (scope == CONF_IN_RULE) {
        parser->key_line[parser->conf->n_rules - 1] = parser->seen_line[CONF_RULE_key];
        result = check_nesting(parser);
    }
    return result;
}

/* Two options of [etcd] that make sense only together. */
static int check_pair(struct conf_parser *parser, enum conf_option_index one,
                      enum conf_option_index other)
{
    const unsigned *seen = parser->seen_line;

    if ((seen[one] > 0) == (seen[other] > 0))
        return 0;
    if (seen[one] == 0)
        return check_pair(parser, other, one);
    return conf_fail(parser, seen[one], "'%s' is given without '%s'; add '%s' to [etcd]",
                     conf_options[one].name, conf_options[other].name, conf_options[other].name);
}

/* The root as a template that stands for every key of the agents. */
static char *root_template(const char *root)
{
    char *text = malloc(2 * strlen(root) + sizeof "{name}"), *p = text;

    if (!text)
        return NULL;
    for (; *root; root++) {
        *p++ = *root;
        if (*root == '{' || *root == '}')
            *p++ = *root;
    }
    memcpy(p, "{name}", sizeof "{name}");
    return text;
}

static int check_root(struct conf_parser *parser)
{
    const struct conf *conf = parser->conf;
    char *keys = root_template(conf->root), *prefix = root_template(conf->root);
    int result = 0;

    if (!keys || !prefix) {
        result = conf_fail_memory(parser);
        goto out;
    }
    *strrchr(prefix, '/') = '\0';
    for (size_t i = 0; i < conf->n_rules; i++) {
        struct conf_span key = conf_span_of(conf->rules[i].key), root = conf_span_of(conf->root);

        if (conf_template_nests(prefix, key.at) || conf_template_nests(key.at, keys)) {
            result =
                conf_fail(parser, parser->key_line[i],
                          "a key of '%.*s%s' may lie inside or around '%.*s%s', where the agents "
                          "keep their own keys; change it, or 'root' in [etcd]",
                          CONF_SHOW(key), CONF_SHOW(root));
            break;
        }
    }
out:
    free(keys);
    free(prefix);
    return result;
}

static int default_host(struct conf_parser *parser)
{
    char name[256];

    if (parser->conf->host)
        return 0;
    if (gethostname(name, sizeof name) < 0 || name[0] == '\0')
        snprintf(name, sizeof name, "localhost");
    name[sizeof name - 1] = '\0';
    parser->conf->host = strdup(name);
    return parser->conf->host ? 0 : conf_fail_memory(parser);
}

int conf_check_whole(struct conf_parser *parser, unsigned last_line)
{
    int result;

    if (parser->section_line[CONF_IN_ETCD] == 0)
        return conf_fail(parser, last_line,
                         "there is no section [etcd]; add [etcd] and below it a line such as "
                         "endpoints = http://HOST:2379");
    if (parser->conf->n_rules == 0)
        return conf_fail(parser, last_line,
                         "no section maps a path; add one such as [jobs] with a 'path' and a "
                         "'key' below it");
    if (parser->section_line[CONF_IN_AGENT] == 0) {
        result = conf_finish_section(parser, CONF_IN_AGENT);
        if (result < 0)
            return result;
    }
    result = check_pair(parser, CONF_ETCD_cert, CONF_ETCD_key);
    if (result == 0)
        result = check_pair(parser, CONF_ETCD_user, CONF_ETCD_password_file);
    if (result == 0)
        result = check_root(parser);
    if (result == 0)
        result = default_host(parser);
    return result;
}
