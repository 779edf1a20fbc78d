/*
 * The agent is a grandchild, so that no zombie stays behind and it belongs to init. The child in between has exit signal 0: no
 * SIGCHLD, and wait() does not see it. (That does not help the agent itself: exec sets the signal back.)
 *
 * Where orphans come back to this very process, its wait() would find the agent. A subreaper is none while the child in between
 * ends. If the program is pid 1, that child stays as the agent's parent: it never calls exec, so that it stays unseen, has no
 * descriptors, and ends with the agent. The next start reaps it.
 *
 * The children run on a copy of the program's memory and make system calls only. All signals are
 * blocked until exec, so that no handler of the program runs in them.
 */
#include "spawn.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest.h"
#include "wire/wire.h"

#ifndef ETCDFLOCK_SBINDIR
#define ETCDFLOCK_SBINDIR "/usr/local/sbin"
#endif

#define KERNEL_SIGSET_BYTES 8
#define READY_FD            3 /* in the agent: told by --ready-fd */

static bool usable(const char *path)
{
    return guest_call(SYS_faccessat, AT_FDCWD, path, X_OK) == 0;
}

static int find_agent(char out[PATHS_MAX])
{
    static const char *const beside[] = {"/etcdflockd", "/../sbin/etcdflockd",
                                         "/../../sbin/etcdflockd"};
    const char *dir = guest_get()->library_dir;
    for (size_t i = 0; dir[0] == '/' && i < sizeof beside / sizeof *beside; i++) {
        size_t len = paths_append(out, PATHS_MAX, 0, dir);
        if (paths_append(out, PATHS_MAX, len, beside[i]) < PATHS_MAX && usable(out))
            return 0;
    }
    paths_append(out, PATHS_MAX, 0, ETCDFLOCK_SBINDIR "/etcdflockd");
    return usable(out) ? 0 : -ENODEV;
}

/* exit_signal 0. Returns the child's pid, 0 in the child, or a negative errno. */
static long clone_quietly(void)
{
    return guest_call(SYS_clone, 0, 0, 0, 0, 0);
}

static void child_end(int status)
{
    for (;;)
        (void)guest_call(SYS_exit_group, status);
}

static void child_exec(const char *agent, const char *base, int ready)
{
    const char *const argv[] = {
        "etcdflockd", "--config", guest_get()->config, "--rundir", base, "--ready-fd", "3", NULL};
    const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    (void)guest_call(SYS_setsid);
    (void)guest_call(SYS_chdir, "/");
    int null = (int)guest_call(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
    /* `ready` is moved out of the way first: it may be anything from 3 up, `null` may be below. */
    int high = (int)guest_call(SYS_fcntl, ready, F_DUPFD, 10);
    for (int fd = 0; fd < 3; fd++) {
        if (null >= 0 && null != fd)
            (void)guest_call(SYS_dup3, null, fd, 0);
    }
    if (high < 0 || guest_call(SYS_dup3, high, READY_FD, 0) < 0)
        child_end(127);
    if (guest_call(SYS_close_range, READY_FD + 1, ~0U, 0) < 0) {
        for (int fd = READY_FD + 1; fd < 65536; fd++)
            guest_close(fd);
    }
    uint64_t none = 0;
    (void)guest_call(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, KERNEL_SIGSET_BYTES);
    (void)guest_call(SYS_execve, agent, argv, envp);
    child_end(127);
}

static void wait_for(long pid)
{
    long got;
    do
        got = guest_call(SYS_wait4, (int)pid, NULL, __WALL, NULL);
    while (got == -EINTR);
}

/* Pid 1's child: the agent's parent for as long as it lives. */
static void shepherd(long agent)
{
    if (guest_call(SYS_close_range, 0, ~0U, 0) < 0) {
        for (int fd = 0; fd < 65536; fd++)
            guest_close(fd);
    }
    (void)guest_call(SYS_setsid);
    wait_for(agent);
    child_end(0);
}

static void child_between(const char *agent, const char *base, int ready, bool stays)
{
    long grandchild = clone_quietly();
    if (grandchild == 0)
        child_exec(agent, base, ready);
    if (grandchild > 0 && stays)
        shepherd(grandchild);
    child_end(grandchild < 0);
}

static int start(const char *agent, const char *base, int ready)
{
    static _Atomic long shepherd_pid;
    uint64_t all = ~(uint64_t)0;
    uint64_t before;
    bool first = getpid() == 1;
    int subreaper = 0;
    (void)guest_call(SYS_prctl, PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
    (void)guest_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, KERNEL_SIGSET_BYTES);
    if (subreaper)
        (void)guest_call(SYS_prctl, PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    long pid = clone_quietly();
    if (pid == 0)
        child_between(agent, base, ready, first);
    if (pid > 0 && first) {
        long last = atomic_exchange(&shepherd_pid, pid);
        if (last > 0)
            (void)guest_call(SYS_wait4, (int)last, NULL, WNOHANG | __WCLONE, NULL);
    } else if (pid > 0) {
        wait_for(pid);
    }
    if (subreaper)
        (void)guest_call(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    (void)guest_call(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, KERNEL_SIGSET_BYTES);
    return pid < 0 ? (int)pid : 0;
}

/* The agent writes "ok", or one line that says why it cannot run. */
static int wait_ready(int ready, struct say *why)
{
    char text[WIRE_TEXT_MAX];
    size_t len = 0;
    for (;;) {
        long got = guest_call(SYS_read, ready, text + len, sizeof text - 1 - len);
        if (got == -EINTR)
            return -EINTR;
        if (got <= 0)
            break;
        len += (size_t)got;
        if (len >= 2 && memcmp(text, "ok", 2) == 0)
            return 0;
        if (len == sizeof text - 1)
            break;
    }
    while (len && text[len - 1] == '\n')
        len--;
    text[len] = '\0';
    say_text(why, len ? text : "the agent (etcdflockd) ended before it was ready");
    return -ENOLCK;
}

int spawn_agent(const char *base, struct say *why)
{
    char agent[PATHS_MAX];
    int err = find_agent(agent);
    int fds[2];
    if (!err)
        err = (int)guest_call(SYS_pipe2, fds, O_CLOEXEC);
    if (err) {
        say_text(why, "cannot start the agent: ");
        say_errno(why, -err);
        return err;
    }
    err = start(agent, base, fds[1]);
    guest_close(fds[1]);
    if (err) {
        say_text(why, "cannot start the agent: ");
        say_errno(why, -err);
    } else {
        err = wait_ready(fds[0], why);
    }
    guest_close(fds[0]);
    return err;
}
