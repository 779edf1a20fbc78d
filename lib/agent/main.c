/* etcdflockd: the agent. Started by the preload library when it is needed, by hand, or as a
 * service. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/state.h"
#include "wire/paths.h"

#define IDLE_EXIT_S  30
#define TAKE_OVER_MS 5000 /* for another agent to listen, or to be gone */
#define EXIT_USAGE   100
#define EXIT_SYSTEM  111

struct options {
    const char *config, *rundir;
    int ready_fd;
    int64_t idle_exit_ms;
};

static void usage(FILE *out)
{
    fputs("usage: etcdflockd [--config FILE] [--rundir DIR] [--idle-exit SECONDS] [--ready-fd N]\n"
          "The agent of libetcdflock.so. The library starts it when it is needed.\n"
          "  --config FILE        default: $ETCDFLOCK_CONFIG or " PATHS_DEFAULT_CONFIG "\n"
          "  --rundir DIR         default: $ETCDFLOCK_RUNDIR or a directory by user\n"
          "  --idle-exit SECONDS  leave after that long without work (default 30; -1: never)\n"
          "  --ready-fd N         write \"ok\" or the reason of a failure there, log to a file\n",
          out);
}

static int parse(int argc, char **argv, struct options *out)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"rundir", required_argument, NULL, 'r'},
        {"idle-exit", required_argument, NULL, 'i'},
        {"ready-fd", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;
    char *end = NULL;
    *out = (struct options){.config = getenv("ETCDFLOCK_CONFIG"),
                            .rundir = getenv("ETCDFLOCK_RUNDIR"),
                            .ready_fd = -1,
                            .idle_exit_ms = IDLE_EXIT_S * 1000};
    while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            out->config = optarg;
            break;
        case 'r':
            out->rundir = optarg;
            break;
        case 'i':
            out->idle_exit_ms = strtol(optarg, &end, 10) * 1000;
            break;
        case 'f':
            out->ready_fd = (int)strtol(optarg, &end, 10);
            break;
        case 'h':
            usage(stdout);
            exit(0);
        default:
            usage(stderr);
            return -EINVAL;
        }
        if (end && *end) {
            usage(stderr);
            return -EINVAL;
        }
    }
    if (optind < argc) {
        usage(stderr);
        return -EINVAL;
    }
    if (!out->config || !*out->config)
        out->config = PATHS_DEFAULT_CONFIG;
    return 0;
}

/* To whoever started us: "ok", or why not. */
static void report(int *ready_fd, const char *text)
{
    if (*ready_fd < 0) {
        if (strcmp(text, "ok") != 0)
            fprintf(stderr, "etcdflockd: %s\n", text);
        return;
    }
    (void)!write(*ready_fd, text, strlen(text));
    close(*ready_fd);
    *ready_fd = -1;
}

static bool somebody_listens(const char *dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/agent.sock", dir_fd);
    bool listens = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN;
    close(fd);
    if (dir_fd >= 0)
        close(dir_fd);
    return listens;
}

/* The one agent's lock; or, if another agent has it, waits until that one listens (-EEXIST) or is
 * gone. */
static int become_the_one(const char *dir)
{
    int64_t until = loop_now() + TAKE_OVER_MS;
    for (;;) {
        int fd = state_lock(dir);
        if (fd != -EWOULDBLOCK)
            return fd;
        if (somebody_listens(dir))
            return -EEXIST;
        if (loop_now() >= until)
            return fd;
        poll(NULL, 0, 10);
    }
}

static int prepare(const struct options *options, struct agent *agent, char *why, size_t size)
{
    char config[PATHS_MAX];
    char base[PATHS_MAX];
    struct paths_namespaces ns;
    struct conf_error error;
    int err = paths_config(options->config, config);
    if (!err)
        err = paths_base(options->rundir, getenv("XDG_RUNTIME_DIR"), geteuid(), base);
    paths_namespaces(&ns);
    if (!err)
        err = paths_dir(base, config, &ns, agent->dir);
    if (err) {
        snprintf(why, size,
                 "the paths of the configuration and of the runtime directory must be absolute and "
                 "shorter than %d bytes",
                 PATHS_MAX);
        return err;
    }
    err = conf_load(config, &agent->conf, &error);
    if (err) {
        snprintf(why, size, "%s", error.text);
        return err;
    }
    return state_make_dir(base, agent->dir, why, size);
}

static void open_log(const struct agent *agent)
{
    char path[PATHS_MAX + 16];
    snprintf(path, sizeof path, "%s/agent.log", agent->dir);
    log_open(agent->conf->log ? agent->conf->log : path);
}

static void raise_limit(int which)
{
    struct rlimit limit;
    if (getrlimit(which, &limit) < 0)
        return;
    if (geteuid() == 0 && which != RLIMIT_NOFILE)
        limit.rlim_max = RLIM_INFINITY;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(which, &limit);
}

/* Nothing of whoever started us: a program may ignore or block any signal. */
static void own_manners(void)
{
    static const int limits[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_CPU, RLIMIT_AS, RLIMIT_NPROC};
    sigset_t none;
    for (int signal = 1; signal < NSIG; signal++)
        (void)!sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(077);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        raise_limit(limits[i]);
    (void)!chdir("/");
}

int main(int argc, char **argv)
{
    static struct agent agent;
    struct options options;
    char why[1024] = "";
    if (parse(argc, argv, &options))
        return EXIT_USAGE;
    if (prepare(&options, &agent, why, sizeof why)) {
        report(&options.ready_fd, why);
        return EXIT_SYSTEM;
    }
    own_manners();
    agent.lock_fd = become_the_one(agent.dir);
    if (agent.lock_fd == -EEXIST) {
        report(&options.ready_fd, "ok");
        return 0;
    }
    if (agent.lock_fd < 0) {
        snprintf(why, sizeof why, "cannot take the lock of %s: %s", agent.dir,
                 strerror(-agent.lock_fd));
        report(&options.ready_fd, why);
        return EXIT_SYSTEM;
    }
    if (options.ready_fd >= 0 || agent.conf->log)
        open_log(&agent);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    agent.idle_exit_ms = options.idle_exit_ms;
    if (agent_start(&agent, why, sizeof why)) {
        log_line("%s", why);
        report(&options.ready_fd, why);
        return EXIT_SYSTEM;
    }
    log_line("agent %d serves %s in %s", getpid(), agent.conf->file, agent.dir);
    report(&options.ready_fd, "ok");
    agent_run(&agent);
    return 0;
}
