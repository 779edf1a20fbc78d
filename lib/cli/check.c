/* etcdflock check: is the configuration good, and does what it names answer? One line for each finding. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/endpoints.h"
#include "cli/text.h"
#include "wire/paths.h"

enum verdict { GOOD, NOTE, BAD };

/* Prints a finding; returns what the command exits with if it was the only one. */
__attribute__((format(printf, 2, 3))) static int report(enum verdict verdict, const char *format,
                                                        ...)
{
    static const char *const words[] = {[GOOD] = "ok  ", [NOTE] = "note", [BAD] = "FAIL"};
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    char *shown = text_shown(cli_need(text));
    printf("%s  %s\n", words[verdict], shown);
    free(shown);
    free(text);
    return verdict == BAD ? CLI_SYSTEM : CLI_OK;
}

static int worse(int a, int b)
{
    return a > b ? a : b;
}

/* ---- files that the configuration names ---- */

static int check_file(const char *option, const char *file)
{
    struct stat st;
    int fd = file ? open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    int err = fd < 0 ? errno : 0;
    if (!file)
        return CLI_OK;
    if (!err && fstat(fd, &st) < 0)
        err = errno;
    if (fd >= 0)
        close(fd);
    if (err)
        return report(BAD, "%s %s cannot be read: %s; %s", option, file, strerror(err),
                      err == ENOENT ? "correct the path in [etcd]"
                                    : "make it readable for this user");
    if (!S_ISREG(st.st_mode))
        return report(BAD, "%s %s is not a regular file; correct the path in [etcd]", option, file);
    if (st.st_size == 0)
        return report(BAD, "%s %s is empty; is it the right file?", option, file);
    return report(GOOD, "%s %s can be read", option, file);
}

static int check_secret(const char *option, const char *file)
{
    struct stat st;
    int status = check_file(option, file);
    if (file && status == CLI_OK && stat(file, &st) == 0 && (st.st_mode & 007))
        return report(NOTE, "%s %s is open to every user of this host; chmod 600 it", option, file);
    return status;
}

static int check_files(const struct conf *conf)
{
    int status = check_secret("password_file", conf->password_file);
    status = worse(status, check_file("cacert", conf->cacert));
    status = worse(status, check_file("cert", conf->cert));
    return worse(status, check_secret("key", conf->cert_key));
}

/* ---- the cluster ---- */

static int check_endpoints(const struct conf *conf)
{
    char why[1024];
    int status = CLI_OK;
    struct endpoint_finding *findings = cli_need(calloc(conf->n_endpoints, sizeof *findings));
    if (endpoints_check(conf, findings, why, sizeof why) < 0) {
        status = report(BAD, "the endpoints were not asked: %s", why);
    } else {
        for (size_t i = 0; i < conf->n_endpoints; i++)
            status = worse(status, report(findings[i].good ? GOOD : BAD, "%s", findings[i].text));
    }
    free(findings);
    return status;
}

/* ---- the runtime directory ---- */

#define OTHER_DIR "remove it, or set ETCDFLOCK_RUNDIR to a directory of yours"

static bool is_on_network(int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return false;
    unsigned long magic = (unsigned long)fs.f_type & 0xffffffffUL;
    return magic == NFS_SUPER_MAGIC || magic == SMB_SUPER_MAGIC || magic == CIFS_SUPER_MAGIC ||
           magic == SMB2_SUPER_MAGIC;
}

/* 0 or -ENOENT, or CLI_SYSTEM after a report. */
static int check_dir(const char *dir)
{
    int fd = paths_open_dir(dir, geteuid());
    if (fd == -ENOENT)
        return fd;
    if (fd < 0)
        return report(BAD, "runtime directory %s %s; " OTHER_DIR, dir,
                      fd == -EPERM ? "belongs to another user or others may write to it"
                                   : strerror(-fd));
    bool network = is_on_network(fd);
    close(fd);
    if (network)
        return report(BAD,
                      "runtime directory %s is on a network file system; set ETCDFLOCK_RUNDIR to "
                      "a local one",
                      dir);
    return 0;
}

static bool may_write(const char *dir)
{
    return faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0;
}

static int check_parent(const char *dir)
{
    char parent[PATHS_MAX];
    snprintf(parent, sizeof parent, "%s", dir);
    char *slash = strrchr(parent, '/');
    slash[slash == parent ? 1 : 0] = '\0';
    if (may_write(parent))
        return report(GOOD, "runtime directory %s can be made", dir);
    return report(BAD, "runtime directory %s cannot be made in %s: %s; " OTHER_DIR, dir, parent,
                  strerror(errno));
}

static int check_rundir(const char *file)
{
    char config[PATHS_MAX];
    char base[PATHS_MAX];
    char dir[PATHS_MAX];
    struct paths_namespaces ns;
    int err = paths_base(getenv("ETCDFLOCK_RUNDIR"), getenv("XDG_RUNTIME_DIR"), geteuid(), base);
    paths_namespaces(&ns);
    if (!err)
        err = paths_config(file, config);
    if (!err)
        err = paths_dir(base, config, &ns, dir);
    if (err)
        return report(BAD,
                      "the paths of the configuration and of ETCDFLOCK_RUNDIR must be absolute and "
                      "shorter than %d bytes",
                      PATHS_MAX);
    err = check_dir(base);
    if (err)
        return err == -ENOENT ? check_parent(base) : err;
    err = check_dir(dir);
    if (err && err != -ENOENT)
        return err;
    if (!may_write(err ? base : dir))
        return report(BAD, "runtime directory %s: %s; " OTHER_DIR, err ? base : dir,
                      strerror(errno));
    return report(GOOD, "runtime directory %s", base);
}

/* ---- the command ---- */

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

int check_command(int argc, char **argv)
{
    struct cli_options options;
    struct conf_error error;
    struct conf *conf = NULL;
    int status = cli_options(argc, argv, 0, &options);
    if (status >= 0)
        return status;
    if (argc - options.first > (options.config ? 0 : 1))
        return cli_misuse("'check' takes one file");
    const char *file = cli_config_file(options.first < argc ? argv[options.first] : options.config);
    if (conf_load(file, &conf, &error) < 0)
        return report(BAD, "%s", error.text);
    status = report(GOOD, "%s: %zu section%s, %zu endpoint%s", file, conf->n_rules,
                    plural(conf->n_rules), conf->n_endpoints, plural(conf->n_endpoints));
    status = worse(status, check_files(conf));
    status = worse(status, check_endpoints(conf));
    status = worse(status, check_rundir(file));
    conf_free(conf);
    return status;
}
