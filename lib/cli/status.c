/* etcdflock status: who holds and who waits, on all hosts. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/holders.h"
#include "cli/text.h"

static int64_t wall_clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const char *state_of(const struct holder *holder)
{
    return holder->held ? "held" : "waiting";
}

/* ---- for people ---- */

enum { KEY, MODE, STATE, HOST, PID, COMMAND, PATH, AGE, TOKEN, COLUMNS };

static void add_row(struct text_table *table, const struct holder *holder, int64_t now)
{
    char pid[16] = "";
    char age[TEXT_AGE_MAX] = "";
    char token[24];
    char lease[40];
    snprintf(token, sizeof token, "%" PRId64, holder->token);
    snprintf(lease, sizeof lease, holder->lease ? "lease %" PRIx64 : "no lease", holder->lease);
    if (holder->pid > 0)
        snprintf(pid, sizeof pid, "%d", holder->pid);
    if (holder->since > 0)
        text_age(now - holder->since, age);
    const char *row[COLUMNS] = {
        [KEY] = holder->key,
        [MODE] = entry_mode_name(holder->mode),
        [STATE] = state_of(holder),
        [HOST] = holder->host,
        [PID] = pid,
        [COMMAND] = holder->foreign ? "foreign" : holder->command,
        [PATH] = holder->foreign ? lease : holder->path,
        [AGE] = age,
        [TOKEN] = token,
    };
    text_table_add(table, row);
}

static void print_table(const struct holders *holders)
{
    static const char *const header[COLUMNS] = {
        [KEY] = "KEY",         [MODE] = "MODE", [STATE] = "STATE", [HOST] = "HOST",   [PID] = "PID",
        [COMMAND] = "COMMAND", [PATH] = "PATH", [AGE] = "AGE",     [TOKEN] = "TOKEN",
    };
    struct text_table table = {.columns = COLUMNS};
    int64_t now = wall_clock_ms();
    text_table_add(&table, header);
    for (size_t i = 0; i < holders->n; i++)
        add_row(&table, &holders->list[i], now);
    text_table_print(&table, stdout);
    text_table_free(&table);
}

/* ---- for programs ---- */

static void put_text(cJSON *object, const char *name, const char *text)
{
    char *valid = text_valid(text);
    cli_need(text[0] ? cJSON_AddStringToObject(object, name, valid)
                     : cJSON_AddNullToObject(object, name));
    free(valid);
}

/* In full: cJSON's own numbers are doubles. */
static void put_number(cJSON *object, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    cli_need(cJSON_AddRawToObject(object, name, text));
}

static void put_number_or_null(cJSON *object, const char *name, int64_t number)
{
    if (number > 0)
        put_number(object, name, number);
    else
        cli_need(cJSON_AddNullToObject(object, name));
}

static char *object_text(const struct holder *holder, int64_t now)
{
    char lease[24] = "";
    cJSON *object = cli_need(cJSON_CreateObject());
    if (holder->lease)
        snprintf(lease, sizeof lease, "%" PRIx64, holder->lease);
    put_text(object, "key", holder->key);
    put_text(object, "mode", entry_mode_name(holder->mode));
    put_text(object, "state", state_of(holder));
    put_text(object, "host", holder->host);
    put_number_or_null(object, "pid", holder->pid);
    put_text(object, "command", holder->foreign ? "foreign" : holder->command);
    put_text(object, "path", holder->path);
    put_number_or_null(object, "since_ms", holder->since);
    if (holder->since > 0)
        put_number(object, "age_s", now > holder->since ? (now - holder->since) / 1000 : 0);
    else
        cli_need(cJSON_AddNullToObject(object, "age_s"));
    put_number(object, "token", holder->token);
    put_text(object, "section", holder->section);
    cli_need(cJSON_AddBoolToObject(object, "foreign", holder->foreign));
    put_text(object, "lease", lease);
    put_text(object, "entry", holder->entry);
    char *text = cli_need(cJSON_PrintUnformatted(object));
    cJSON_Delete(object);
    return text;
}

/* One object in a line. */
static void print_json(const struct holders *holders)
{
    int64_t now = wall_clock_ms();
    fputs("[", stdout);
    for (size_t i = 0; i < holders->n; i++) {
        char *text = object_text(&holders->list[i], now);
        printf("%s\n%s", i > 0 ? "," : "", text);
        free(text);
    }
    puts(holders->n > 0 ? "\n]" : "]");
}

int status_command(int argc, char **argv)
{
    struct cli_options options;
    struct holders holders = {.list = NULL};
    char why[2048];
    int status = cli_options(argc, argv, CLI_TAKES_JSON, &options);
    if (status >= 0)
        return status;
    if (options.first < argc)
        return cli_misuse("'status' takes no argument '%s'", argv[options.first]);
    struct conf *conf = cli_config_load(options.config);
    if (!conf)
        return CLI_SYSTEM;
    if (holders_read(conf, &holders, why, sizeof why) < 0)
        status = cli_fail("cannot read the locks: %s", why);
    else
        status = CLI_OK;
    if (status == CLI_OK && options.json)
        print_json(&holders);
    else if (status == CLI_OK && holders.n == 0)
        puts("No lock is held or waited for.");
    else if (status == CLI_OK)
        print_table(&holders);
    holders_free(&holders);
    conf_free(conf);
    return status;
}
