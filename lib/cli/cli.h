/* What the files of the etcdflock command share: commands, exit codes, messages. */
#ifndef ETCDFLOCK_CLI_CLI_H
#define ETCDFLOCK_CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "conf/conf.h"

#define CLI_VERSION "0.1.0"

enum cli_exit {
    CLI_OK = 0,
    CLI_UNMAPPED = 1, /* resolve: some path is locked on its own host only */
    CLI_USAGE = 100,
    CLI_SYSTEM = 111, /* the system, the configuration or the cluster */
};

/* The longest that a command talks to etcd, all endpoints and repetitions included. */
#define CLI_CLUSTER_MS 5000

/* One request to an etcd; a member without majority would let it hang for 7 s. */
#define CLI_REQUEST_MS 2000

/* Commands: arguments begin with the command's own name. They return what the process exits with. */
int run_command(int argc, char **argv);
int status_command(int argc, char **argv);
int resolve_command(int argc, char **argv);
int check_command(int argc, char **argv);

void cli_help(FILE *out);

/* One line on stderr, with control characters taken out. Returns CLI_SYSTEM or, for a mistake in
 * the arguments, CLI_USAGE. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the process with a message if `memory` is NULL; else returns it. */
void *cli_need(void *memory);

struct cli_options {
    const char *config; /* of -c; else NULL */
    bool json;
    int first; /* index of the first argument that is no option */
};

#define CLI_TAKES_JSON 1u
#define CLI_TAKES_PROG 2u /* options end at the first other argument */

/* Returns -1 to go on, or what to exit with (after --help, or a mistake). */
int cli_options(int argc, char **argv, unsigned takes, struct cli_options *out);

/* The configuration that -c names, else ETCDFLOCK_CONFIG, else the default one. */
const char *cli_config_file(const char *given);

/* Loads it. NULL after a message on stderr. */
struct conf *cli_config_load(const char *given);

#endif
