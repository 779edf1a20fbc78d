/* etcdflock: the command for people. Which command is meant. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "conf/suggest.h"
#include "wire/paths.h"

void cli_help(FILE *out)
{
    fputs("usage: etcdflock COMMAND ...\n"
          "Locks of unmodified programs (flock) that hold across hosts, kept in etcd.\n"
          "\n"
          "  run [-c FILE] [--] PROG ARGS...  run a program whose locks hold across hosts\n"
          "  status [-c FILE] [--json]        who holds and who waits, on all hosts\n"
          "  resolve [-c FILE] PATH...        the section and the cluster key of a file\n"
          "  check [FILE]                     is the configuration good, does etcd answer?\n"
          "  help, --help                     this text\n"
          "  --version                        the version\n"
          "\n"
          "FILE is the configuration; default: $ETCDFLOCK_CONFIG or " PATHS_DEFAULT_CONFIG ".\n"
          "Exit status: 0; 1 for a path that is not mapped (resolve); 100 for a mistake in the\n"
          "arguments; 111 for trouble with the system, the configuration or the cluster; `run`\n"
          "ends with the program's own.\n",
          out);
}

static int help_command(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    cli_help(stdout);
    return CLI_OK;
}

static int version_command(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("etcdflock " CLI_VERSION);
    return CLI_OK;
}

static const struct {
    const char *name;
    int (*command)(int argc, char **argv);
} commands[] = {
    {"run", run_command},     {"status", status_command},   {"resolve", resolve_command},
    {"check", check_command}, {"help", help_command},       {"--help", help_command},
    {"-h", help_command},     {"version", version_command}, {"--version", version_command},
    {"-V", version_command},
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static int unknown(const char *word)
{
    const char *names[N_COMMANDS];
    for (size_t i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i].name;
    struct conf_span span = {.at = word, .len = strlen(word)};
    const char *near = conf_suggest(span, names, N_COMMANDS);
    if (!near)
        return cli_misuse("there is no command '%s'", word);
    cli_fail("there is no command '%s'; did you mean '%s'?", word, near);
    return CLI_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        cli_help(stderr);
        return CLI_USAGE;
    }
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        int status = commands[i].command(argc - 1, argv + 1);
        if (fflush(stdout) != 0 || ferror(stdout))
            return cli_fail("cannot write the output: %m");
        return status;
    }
    return unknown(argv[1]);
}
