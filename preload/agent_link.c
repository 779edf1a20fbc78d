#include "agent_link.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "guest.h"
#include "spawn.h"

#define SOCKET_NAME   "/agent.sock"
#define BOUND_SECONDS 3
#define LOWEST_FD     3
#define HIGH_FD       100

/* A time-out of the socket must not look like the EWOULDBLOCK of a lock that is held. */
static int not_would_block(int err)
{
    return err == -EAGAIN ? -ETIMEDOUT : err;
}

/* Keeps our short-lived descriptor away from 0, 1 and 2, which a program may have closed and may
 * write to from another thread. */
static int move_up(int fd)
{
    if (fd < 0 || fd >= LOWEST_FD)
        return fd;
    int up = (int)guest_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (up == -EINVAL)
        up = (int)guest_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, LOWEST_FD);
    guest_close(fd);
    return up;
}

/* The runtime directory of the moment: a program may have changed its user or its namespaces. */
static int runtime_paths(char base[PATHS_MAX], char dir[PATHS_MAX])
{
    const struct guest *guest = guest_get();
    struct paths_namespaces ns;
    base[0] = '\0';
    if (guest->rundir_too_long)
        return -ENAMETOOLONG;
    paths_namespaces(&ns);
    if (!ns.mnt)
        ns = guest->namespaces; /* /proc is shut; what held at the start */
    int err = paths_base(guest->has_rundir ? guest->rundir : NULL,
                         guest->has_xdg ? guest->xdg : NULL, geteuid(), base);
    return err ? err : paths_dir(base, guest->config, &ns, dir);
}

static int connect_in(int dir_fd, const char *dir, bool bounded)
{
    int fd = move_up((int)guest_call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (fd < 0)
        return fd;
    if (bounded) {
        struct timeval limit = {.tv_sec = BOUND_SECONDS};
        (void)guest_call(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        (void)guest_call(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }
    /* Through the checked directory's descriptor, which also fits long names; by name where /proc
     * is shut. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct guest_fd_path link = guest_fd_path("fd", dir_fd);
    const char *way = guest_call(SYS_faccessat, AT_FDCWD, link.text, F_OK) == 0 ? link.text : dir;
    size_t len = paths_append(address.sun_path, sizeof address.sun_path, 0, way);
    len = paths_append(address.sun_path, sizeof address.sun_path, len, SOCKET_NAME);
    int err = -ENAMETOOLONG;
    if (len < sizeof address.sun_path)
        err = (int)guest_call(SYS_connect, fd, &address, sizeof address);
    if (err) {
        guest_close(fd);
        return not_would_block(err);
    }
    return fd;
}

static int check_peer(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    long err = guest_call(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    if (err)
        return (int)err;
    return peer.uid == 0 || peer.uid == geteuid() ? 0 : -EPERM;
}

/* 0 or more: the connection; -ENOENT or -ECONNREFUSED: no agent; -EPERM: not our agent. */
static int connect_once(const char *dir, bool bounded)
{
    int dir_fd = move_up(paths_open_dir(dir, geteuid()));
    if (dir_fd < 0)
        return dir_fd;
    int fd = connect_in(dir_fd, dir, bounded);
    guest_close(dir_fd);
    if (fd < 0)
        return fd;
    int err = check_peer(fd);
    if (err) {
        guest_close(fd);
        return err;
    }
    return fd;
}

static void explain(struct say *why, const char *what, const char *where, int err)
{
    say_text(why, what);
    say_text(why, where);
    say_text(why, ": ");
    if (err == -EPERM)
        say_text(
            why,
            "belongs to another user or others may write to it; remove it or set ETCDFLOCK_RUNDIR");
    else
        say_errno(why, -err);
}

int link_open(bool bounded, struct say *why)
{
    char base[PATHS_MAX];
    char dir[PATHS_MAX];
    int err = runtime_paths(base, dir);
    if (err) {
        explain(why, "the runtime directory's path (ETCDFLOCK_RUNDIR) must be absolute and short: ",
                base, err);
        return err;
    }
    for (int attempt = 0;; attempt++) {
        int fd = connect_once(dir, bounded);
        if (fd >= 0 || fd == -EINTR)
            return fd;
        bool absent = fd == -ENOENT || fd == -ECONNREFUSED;
        if (!absent || attempt == 3) {
            explain(why, "cannot reach the agent in ", dir, fd);
            return fd;
        }
        err = spawn_agent(base, why);
        if (err)
            return err;
    }
}

void link_close(int link)
{
    (void)guest_call(SYS_shutdown, link, SHUT_RDWR);
    guest_close(link);
}

/* An O_PATH descriptor carries no lock with it, so that the agent's copy cannot keep one alive. */
static int path_descriptor(int fd)
{
    struct guest_fd_path link = guest_fd_path("fd", fd);
    return move_up((int)guest_call(SYS_openat, AT_FDCWD, link.text, O_PATH | O_CLOEXEC, 0));
}

int link_send(int link, const struct wire_msg *msg, int fd)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)msg, .iov_len = wire_size(msg)};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    int sent_fd = -1;
    if (fd >= 0) {
        sent_fd = path_descriptor(fd);
        if (sent_fd == -EMFILE || sent_fd == -ENFILE || sent_fd == -ENOMEM)
            return sent_fd;
        int passed = sent_fd >= 0 ? sent_fd : fd;
        memset(&control, 0, sizeof control);
        header.msg_control = control.bytes;
        header.msg_controllen = sizeof control.bytes;
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof passed);
        memcpy(CMSG_DATA(cmsg), &passed, sizeof passed);
    }
    long sent;
    do
        sent = guest_call(SYS_sendmsg, link, &header, MSG_NOSIGNAL);
    while (sent == -EINTR);
    if (sent_fd >= 0)
        guest_close(sent_fd);
    if (sent == -EPIPE || sent == -ENOTCONN)
        return -ECONNRESET;
    return sent < 0 ? not_would_block((int)sent) : 0;
}

int link_receive(int link, struct wire_msg *msg)
{
    long got = guest_call(SYS_recvfrom, link, msg, sizeof *msg, 0, NULL, NULL);
    if (got == 0)
        return -ECONNRESET;
    if (got < 0)
        return not_would_block((int)got);
    return wire_check(msg, (size_t)got);
}
