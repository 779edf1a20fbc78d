/* etcdflock run: a program under the preload library, or a clear word why that cannot work. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/program.h"
#include "wire/paths.h"

#ifndef ETCDFLOCK_LIBDIR
#define ETCDFLOCK_LIBDIR "/usr/local/lib"
#endif

#define LIBRARY "libetcdflock.so"

static bool take_library(const char *dir, const char *rest, char out[PATH_MAX])
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s%s", dir, rest);
    return access(path, R_OK) == 0 && realpath(path, out);
}

/* Beside the command (the build tree), or where `make install` puts it. */
static int find_library(char out[PATH_MAX])
{
    char own[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
    own[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(own, '/');
    if (slash)
        *slash = '\0';
    if (slash &&
        (take_library(own, "/" LIBRARY, out) || take_library(own, "/../lib/" LIBRARY, out)))
        return CLI_OK;
    if (take_library(ETCDFLOCK_LIBDIR, "/" LIBRARY, out))
        return CLI_OK;
    return cli_fail("%s is neither beside this command nor in ../lib nor in %s; install it there",
                    LIBRARY, ETCDFLOCK_LIBDIR);
}

/* In front of what is there; once is enough. */
static int set_preload(const char *library)
{
    const char *old = getenv("LD_PRELOAD");
    size_t len = strlen(library);
    char *both = NULL;
    if (strpbrk(library, " :"))
        return cli_fail("%s: LD_PRELOAD cannot name a path with a blank or a colon in it; install "
                        "the library elsewhere",
                        library);
    if (old && strncmp(old, library, len) == 0 && strchr(" :", old[len]))
        return CLI_OK;
    if (old && *old && asprintf(&both, "%s:%s", library, old) < 0)
        cli_need(NULL);
    if (setenv("LD_PRELOAD", both ? both : library, 1) < 0)
        cli_need(NULL);
    free(both);
    return CLI_OK;
}

/* The program may change its directory: the library wants the absolute path. */
static int set_config(const char *given)
{
    char path[PATHS_MAX];
    if (paths_config(given, path) < 0)
        return cli_fail(
            "%s: the path of the configuration is longer than %d bytes; choose a shorter one",
            given, PATHS_MAX - 1);
    if (setenv("ETCDFLOCK_CONFIG", path, 1) < 0)
        cli_need(NULL);
    return CLI_OK;
}

static int prepare(const char *name, const char *config, char program[PATH_MAX])
{
    char library[PATH_MAX];
    char why[PATH_MAX + 512];
    int err = program_find(name, program);
    if (err == -ENOENT && !strchr(name, '/'))
        return cli_fail("%s: no such program in PATH", name);
    if (err)
        return cli_fail("%s: %s", name,
                        err == -EACCES ? "is not an executable file" : strerror(-err));
    int status = find_library(library);
    if (status)
        return status;
    if (program_check(program, library, why, sizeof why) < 0)
        return cli_fail("cannot run %s under the library: %s", name, why);
    struct conf *conf = cli_config_load(config);
    if (!conf)
        return CLI_SYSTEM;
    conf_free(conf);
    if (config)
        status = set_config(config);
    return status ? status : set_preload(library);
}

int run_command(int argc, char **argv)
{
    struct cli_options options;
    char program[PATH_MAX];
    int status = cli_options(argc, argv, CLI_TAKES_PROG, &options);
    if (status >= 0)
        return status;
    if (options.first == argc)
        return cli_misuse("'run' needs a program");
    status = prepare(argv[options.first], options.config, program);
    if (status)
        return status;
    execvp(program, argv + options.first);
    return cli_fail("%s: %s", program, strerror(errno));
}
