/* Messages, options and the configuration: what every command needs. */
#include "cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>

#include "cli/text.h"
#include "wire/paths.h"

static void say(const char *format, va_list args, const char *more)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    char *shown = text_shown(cli_need(text));
    fflush(stdout); /* what was found out before comes first */
    fprintf(stderr, "etcdflock: %s%s\n", shown, more);
    free(shown);
    free(text);
}

int cli_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args, "");
    va_end(args);
    return CLI_SYSTEM;
}

int cli_misuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args, "; see 'etcdflock --help'");
    va_end(args);
    return CLI_USAGE;
}

void *cli_need(void *memory)
{
    if (!memory) {
        fputs("etcdflock: out of memory\n", stderr);
        exit(CLI_SYSTEM);
    }
    return memory;
}

int cli_options(int argc, char **argv, unsigned takes, struct cli_options *out)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"json", no_argument, NULL, 'j'},
        {NULL, 0, NULL, 0},
    };
    const char *shorts = takes & CLI_TAKES_PROG ? "+:c:h" : ":c:h";
    int c;
    *out = (struct cli_options){.config = NULL};
    opterr = 0;
    optind = 0; /* glibc: start anew, with these short options */
    while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
        switch (c) {
        case 'c':
            out->config = optarg;
            continue;
        case 'h':
            cli_help(stdout);
            return CLI_OK;
        case 'j':
            out->json = true;
            if (takes & CLI_TAKES_JSON)
                continue;
            return cli_misuse("'%s' has no option --json", argv[0]);
        case ':':
            return cli_misuse("option '%s' needs the name of a file", word);
        default:
            if (optopt)
                return cli_misuse("'%s' has no option -%c", argv[0], optopt);
            return cli_misuse("'%s' has no option '%s'", argv[0], word);
        }
    }
    out->first = optind;
    return -1;
}

const char *cli_config_file(const char *given)
{
    const char *file = given ? given : getenv("ETCDFLOCK_CONFIG");
    return file && *file ? file : PATHS_DEFAULT_CONFIG;
}

struct conf *cli_config_load(const char *given)
{
    struct conf_error error;
    struct conf *conf = NULL;
    if (conf_load(cli_config_file(given), &conf, &error) < 0) {
        cli_fail("%s", error.text);
        return NULL;
    }
    return conf;
}
