/* Reading a configuration: what is accepted, defaults, files, the shipped example, suggestions. */
#include "conf/conf.h"

#include "conf/options.h"
#include "conf/scan.h"
#include "conf/suggest.h"

#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ETCD "[etcd]\nendpoints = http://h:2379\n" /* two lines */
#define JOBS "[jobs]\npath = /j\nkey = /k\n"       /* three lines */

static struct conf *parse(const char *text)
{
    struct conf *conf = NULL;
    struct conf_error err = {.text = ""};
    int result = conf_parse(text, strlen(text), "f.conf", &conf, &err);

    if (result != 0)
        CHECK_FAIL("parse", "%s: %d, %s", text, result, err.text);
    return conf;
}

static void test_accepted(void)
{
    struct conf *conf =
        parse("\xef\xbb\xbf# c\r\n[etcd] # c\r\n endpoints=http://a:1/ ,https://[::1]:2379,http://b"
              "\r\nuser=u\r\npassword_file = /p w\r\ncacert=/ca\r\ncert=/c\r\nkey=/k#1\r\nroot=/r"
              "\r\n[ agent ]\r\nhost = my host\t# c\r\nttl=2\r\nidle_release=0\r\nturn=0\r\n"
              "log=/l\r\n\r\n[a.b-C_9]\r\npath=/a\r\npath=/b/**\r\nkey=/k/{path}\r\n"
              "on_lost = signal:SIGUSR1\r\ntimeout=2.5\r\nmerge=yes\r\n"
              "[b]\nkey=/k/{{\non_lost=kill\npath=/a\ntimeout=0.001\n"
              "[c]\npath=/c=#\nkey=c\non_lost=signal:9\n"
              "[d]\npath=/d\nkey=/k/{path}\non_lost=ignore\nmerge = no\n"
              "[e]\npath=/e\nkey=e");
    const struct conf_rule *rule;

    if (!conf)
        return;
    rule = conf->rules;
    CHECK_STR("file", conf->file, "f.conf");
    CHECK_INT("endpoints", (long long)conf->n_endpoints, 3);
    CHECK_STR("endpoint 1", conf->endpoints[0], "http://a:1");
    CHECK_STR("endpoint 2", conf->endpoints[1], "https://[::1]:2379");
    CHECK_STR("endpoint 3", conf->endpoints[2], "http://b");
    CHECK_STR("user", conf->user, "u");
    CHECK_STR("password_file", conf->password_file, "/p w");
    CHECK_STR("cacert", conf->cacert, "/ca");
    CHECK_STR("cert", conf->cert, "/c");
    CHECK_STR("key", conf->cert_key, "/k#1");
    CHECK_STR("root", conf->root, "/r/");
    CHECK_STR("host", conf->host, "my host");
    CHECK_INT("ttl", conf->ttl, 2);
    CHECK_INT("idle_release", conf->idle_release, 0);
    CHECK_INT("turn", conf->turn, 0);
    CHECK_STR("log", conf->log, "/l");
    CHECK_INT("rules", (long long)conf->n_rules, 5);
    CHECK_STR("name", rule[0].name, "a.b-C_9");
    CHECK_INT("line", rule[0].line, 17);
    CHECK_INT("paths", (long long)rule[0].n_paths, 2);
    CHECK_STR("path 2", rule[0].paths[1], "/b/**");
    CHECK_INT("on_lost", rule[0].on_lost, CONF_LOST_SIGNAL);
    CHECK_INT("signal", rule[0].lost_signal, SIGUSR1);
    CHECK_INT("timeout", rule[0].timeout_ms, 2500);
    CHECK_INT("merge", rule[0].merge, true);
    CHECK_INT("on_lost kill", rule[1].on_lost, CONF_LOST_KILL);
    CHECK_INT("timeout of 1 ms", rule[1].timeout_ms, 1);
    CHECK_STR("no comment without a blank", rule[2].paths[0], "/c=#");
    CHECK_INT("signal by number", rule[2].lost_signal, 9);
    CHECK_INT("on_lost ignore", rule[3].on_lost, CONF_LOST_IGNORE);
    CHECK_STR("equal keys do not nest", rule[3].key, rule[0].key);
    CHECK_STR("no newline at the end", rule[4].key, "e");
    CHECK("first match wins", conf_find(conf, "/a") == rule);
    CHECK("second path", conf_find(conf, "/b/x/y") == rule);
    CHECK("later rule", conf_find(conf, "/d") == rule + 3);
    CHECK("no rule", conf_find(conf, "/x") == NULL);
    conf_free(conf);
}

static void test_defaults(void)
{
    struct conf *conf = parse(ETCD JOBS);
    char host[256] = "";

    if (!conf)
        return;
    gethostname(host, sizeof host - 1);
    CHECK_STR("user", conf->user, NULL);
    CHECK_STR("cert", conf->cert, NULL);
    CHECK_STR("log", conf->log, NULL);
    CHECK_STR("root", conf->root, "/etcdflock/");
    CHECK_STR("host", conf->host, host);
    CHECK_INT("ttl", conf->ttl, 15);
    CHECK_INT("idle_release", conf->idle_release, 5);
    CHECK_INT("turn", conf->turn, 5);
    CHECK_INT("on_lost", conf->rules[0].on_lost, CONF_LOST_TERM);
    CHECK_INT("signal", conf->rules[0].lost_signal, 0);
    CHECK_INT("timeout", conf->rules[0].timeout_ms, 0);
    CHECK_INT("merge", conf->rules[0].merge, false);
    conf_free(conf);
}

static void check_load(const char *file, int wanted, const char *part)
{
    struct conf *conf = NULL;
    struct conf_error err = {.text = ""};

    CHECK_INT(file, conf_load(file, &conf, &err), wanted);
    CHECK_HAS(file, err.text, part);
    conf_free(conf);
}

static void test_load(const char *shipped)
{
    char dir[] = "/tmp/test_conf.XXXXXX", file[64];
    struct conf *conf = NULL;
    struct conf_error err = {.text = ""};
    FILE *out;

    CHECK_INT("the shipped configuration loads", conf_load(shipped, &conf, &err), 0);
    CHECK_STR("without a word", err.text, "");
    if (conf)
        CHECK("and maps nothing that matters", !conf_find(conf, "/var/lock/other"));
    conf_free(conf);

    if (!mkdtemp(dir)) {
        CHECK_FAIL("mkdtemp", "errno %d", errno);
        return;
    }
    snprintf(file, sizeof file, "%s/f", dir);
    check_load(file, -ENOENT, "/f: the configuration cannot be read: No such file");
    check_load(dir, -EISDIR, "is a directory; name the file in it");
    if (mkfifo(file, 0600) == 0)
        check_load(file, -ENXIO, "is not a regular file");
    unlink(file);
    out = fopen(file, "w");
    if (out) {
        fputs("[etcd]\nx", out);
        fclose(out);
    }
    check_load(file, -EINVAL, "/f:2: 'x' is neither");
    if (truncate(file, CONF_TEXT_MAX + 1) == 0)
        check_load(file, -EFBIG, "larger than 1048576 bytes");
    if (geteuid() != 0 && chmod(file, 0) == 0)
        check_load(file, -EACCES, "make it readable");
    unlink(file);
    rmdir(dir);
}

/* The shipped file explains every option, and shows the default where there is one. */
static void test_shipped_text(const char *shipped)
{
    static char text[65536];
    FILE *in = fopen(shipped, "r");
    size_t len = in ? fread(text, 1, sizeof text - 1, in) : 0;
    char wanted[128];

    text[len] = '\0';
    if (in)
        fclose(in);
    for (size_t i = 0; i < CONF_OPTION_COUNT; i++) {
        const struct conf_option *option = &conf_options[i];

        snprintf(wanted, sizeof wanted, "\n%s%s = %s%s", option->needed ? "" : "#", option->name,
                 option->fallback ? option->fallback : "", option->fallback ? "\n" : "");
        CHECK_HAS("the shipped configuration", text, wanted);
        CHECK(option->name, strlen(option->manual) > 40);
    }
}

static void test_suggest(void)
{
    static const char *const known[] = {"path", "key", "on_lost", "timeout"};
    static const struct {
        const char *word, *near;
    } cases[] = {{"pth", "path"},         {"paht", "path"}, {"PATH", "path"}, {"patth", "path"},
                 {"keys", "key"},         {"ky", "key"},    {"k", NULL},      {"onlost", "on_lost"},
                 {"time_out", "timeout"}, {"xyzzy", NULL},  {"", NULL}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conf_span word = {.at = cases[i].word, .len = strlen(cases[i].word)};

        CHECK_STR(cases[i].word, conf_suggest(word, known, 4), cases[i].near);
    }
}

/* The argument is the shipped configuration; without one, run from the top of the tree. */
int main(int argc, char **argv)
{
    const char *shipped = argc > 1 ? argv[1] : "config/etcdflock.conf";

    test_accepted();
    test_defaults();
    test_load(shipped);
    test_shipped_text(shipped);
    test_suggest();
    return unit_end();
}
