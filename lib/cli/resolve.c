/* etcdflock resolve: which lock of the cluster a file stands for. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/real_path.h"
#include "cli/text.h"

#define ON_LOST_MAX 32

enum { PATH, SECTION, KEY, ON_LOST, COLUMNS };

static void on_lost_text(const struct conf_rule *rule, char out[ON_LOST_MAX])
{
    static const char *const words[] = {
        [CONF_LOST_TERM] = "term", [CONF_LOST_KILL] = "kill", [CONF_LOST_IGNORE] = "ignore"};
    if (rule->on_lost != CONF_LOST_SIGNAL) {
        snprintf(out, ON_LOST_MAX, "%s", words[rule->on_lost]);
        return;
    }
    const char *name = NULL;
#if __GLIBC_PREREQ(2, 32)
    name = sigabbrev_np(rule->lost_signal);
#endif
    if (name)
        snprintf(out, ON_LOST_MAX, "signal:%s", name);
    else
        snprintf(out, ON_LOST_MAX, "signal:%d", rule->lost_signal);
}

static int resolve_one(const struct conf *conf, const char *given, struct text_table *table)
{
    char path[PATH_MAX];
    char key[CONF_KEY_MAX + 1];
    char on_lost[ON_LOST_MAX];
    int err = real_path(given, path);
    if (err)
        return cli_fail("%s: %s", given, strerror(-err));
    const struct conf_rule *rule = conf_find(conf, path);
    if (!rule) {
        cli_fail("%s is not mapped", path);
        return CLI_UNMAPPED;
    }
    if (conf_key(rule, path, key, sizeof key) < 0)
        return cli_fail("%s: its key is longer than %d bytes; choose a shorter template than '%s' "
                        "in section [%s]",
                        path, CONF_KEY_MAX, rule->key, rule->name);
    on_lost_text(rule, on_lost);
    const char *row[COLUMNS] = {
        [PATH] = path, [SECTION] = rule->name, [KEY] = key, [ON_LOST] = on_lost};
    text_table_add(table, row);
    return CLI_OK;
}

int resolve_command(int argc, char **argv)
{
    static const char *const header[COLUMNS] = {
        [PATH] = "PATH", [SECTION] = "SECTION", [KEY] = "KEY", [ON_LOST] = "ON_LOST"};
    struct cli_options options;
    struct text_table table = {.columns = COLUMNS};
    int status = cli_options(argc, argv, 0, &options);
    if (status >= 0)
        return status;
    if (options.first == argc)
        return cli_misuse("'resolve' needs the path of a file");
    struct conf *conf = cli_config_load(options.config);
    if (!conf)
        return CLI_SYSTEM;
    status = CLI_OK;
    text_table_add(&table, header);
    for (int i = options.first; i < argc; i++) {
        int one = resolve_one(conf, argv[i], &table);
        status = one > status ? one : status;
    }
    if (table.n > COLUMNS)
        text_table_print(&table, stdout);
    text_table_free(&table);
    conf_free(conf);
    return status;
}
