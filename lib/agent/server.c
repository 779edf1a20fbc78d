/* Connections of the preload library: who it is, which file is meant, and what is said. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/agent.h"

#define CLIENTS_MAX     8000 /* connections at once; one more waits in the kernel's backlog */
#define LISTEN_AGAIN_MS 100
#define DELETED         " (deleted)"

/* ---- words to the client ---- */

static void send_message(struct request *request, const struct wire_msg *msg)
{
    /* A client that does not read is not waited for: its connection ends, and it asks again. */
    if (send(request->connection.fd, msg, wire_size(msg), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        shutdown(request->connection.fd, SHUT_RDWR);
}

void request_say(struct request *request, enum wire_op op)
{
    struct wire_msg msg;
    wire_init(&msg, op);
    send_message(request, &msg);
}

void request_free(struct request *request)
{
    struct agent *agent = request->agent;
    if (request->file)
        file_remove(request->file, request);
    loop_cancel(agent->loop, &request->timer);
    loop_remove(agent->loop, &request->connection);
    close(request->connection.fd);
    if (request->process.fd >= 0) {
        loop_remove(agent->loop, &request->process);
        close(request->process.fd);
    }
    free(request);
    if (agent->clients-- == CLIENTS_MAX && agent->listener.fd >= 0)
        loop_add(agent->loop, &agent->listener, EPOLLIN);
    agent_idle_check(agent);
}

void request_end(struct request *request, enum wire_op op)
{
    request_say(request, op);
    request_free(request);
}

void request_fail(struct request *request, int err, const char *why)
{
    struct wire_msg msg;
    wire_init(&msg, WIRE_FAILED);
    msg.err = err;
    snprintf(msg.text, sizeof msg.text, "%s", why);
    send_message(request, &msg);
    request_free(request);
}

/* ---- the first message ---- */

/* The flock of the description itself: its owner could not look for lack of /proc. */
static uint32_t descriptor_mode(int fd)
{
    char path[40];
    char line[256];
    uint32_t mode = WIRE_NONE;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *file = fopen(path, "re");
    while (file && mode == WIRE_NONE && fgets(line, sizeof line, file)) {
        if (strncmp(line, "lock:", 5) == 0 && strstr(line, " FLOCK "))
            mode = strstr(line, " WRITE ") ? WIRE_EX : WIRE_SH;
    }
    if (file)
        fclose(file);
    return mode;
}

/* The descriptor as an O_PATH one: a client without /proc sends the real thing, which would keep
 * its lock alive. */
static int path_only(int fd, struct wire_msg *msg)
{
    char link[40];
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_PATH))
        return fd;
    if (msg->held == WIRE_NONE)
        msg->held = descriptor_mode(fd);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int path_fd = open(link, O_PATH | O_CLOEXEC);
    close(fd);
    return path_fd;
}

static int descriptor_path(int fd, char *out, size_t size, unsigned links)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, out, size - 1);
    if (got < 0)
        return -errno;
    if ((size_t)got >= size - 1)
        return -ENAMETOOLONG;
    out[got] = '\0';
    size_t mark = strlen(DELETED);
    if (links == 0 && (size_t)got > mark && strcmp(out + got - mark, DELETED) == 0)
        out[(size_t)got - mark] = '\0';
    return 0;
}

static void say_other_path(struct request *request, const char *path)
{
    char why[WIRE_TEXT_MAX];
    snprintf(why, sizeof why,
             "the agent sees this file as %.300s, which is not the path that the program sees "
             "(chroot or another mount namespace)",
             path);
    request_fail(request, ENOLCK, why);
}

static void begin(struct request *request, const struct wire_msg *msg, int fd)
{
    struct agent *agent = request->agent;
    char path[AGENT_PATH_MAX];
    char key[CONF_KEY_MAX + 1];
    struct statx stx;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &stx) < 0 ||
        descriptor_path(fd, path, sizeof path, stx.stx_nlink) < 0) {
        close(fd);
        request_fail(request, ENOLCK, "the agent cannot read the file's path in /proc");
        return;
    }
    agent_reload(agent);
    const struct conf_rule *rule = conf_find(agent->rules, path);
    bool same_path = !msg->path_hash || msg->path_hash == wire_hash(path, strlen(path));
    if (!rule || !same_path || (!S_ISREG(stx.stx_mode) && !S_ISDIR(stx.stx_mode))) {
        close(fd);
        if (!same_path)
            say_other_path(request, path);
        else if (!rule && agent->conf_fault[0])
            request_fail(request, ENOLCK, agent->conf_fault);
        else if (!rule)
            request_end(request, WIRE_UNMAPPED);
        else
            request_fail(request, ENOLCK, "only regular files and directories can be mapped");
        return;
    }
    if (conf_key(rule, path, key, sizeof key) < 0) {
        close(fd);
        request_fail(request, ENOLCK,
                     "the cluster key of this path would be longer than 1024 bytes");
        return;
    }
    request->mode = msg->mode == WIRE_SH ? ENTRY_SH : ENTRY_EX;
    request->nb = msg->flags & WIRE_NB;
    request->fd = msg->err;
    request->upgrade = msg->held == WIRE_SH && request->mode == ENTRY_EX;
    request->arrived = loop_now();
    request->state = msg->op == WIRE_DOWNGRADED ? REQUEST_DOWNGRADE : REQUEST_WAITING;
    owner_command(request->pid, request->command);
    dev_t dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
    struct file *file = file_get(agent, rule, key, path, dev, stx.stx_ino, fd);
    request->holds = request->state == REQUEST_WAITING && msg->held == msg->mode;
    file_add(file, request);
}

/* ---- receiving ---- */

static ssize_t receive(int connection, struct wire_msg *msg, int *fd)
{
    struct iovec iov = {.iov_base = msg, .iov_len = sizeof *msg};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    *fd = -1;
    ssize_t got = recvmsg(connection, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return -errno;
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header); cmsg; cmsg = CMSG_NXTHDR(&header, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int received;
            memcpy(&received, CMSG_DATA(cmsg) + i * sizeof received, sizeof received);
            if (*fd < 0)
                *fd = received;
            else
                close(received);
        }
    }
    if (header.msg_flags & MSG_TRUNC)
        got = (ssize_t)sizeof *msg + 1;
    return got;
}

static void refuse_garbage(struct request *request, int err)
{
    log_line("pid %d sent a message that is none of the protocol's: connection closed",
             request->pid);
    request_fail(request, ENOLCK,
                 err == -EPROTONOSUPPORT
                     ? "the library and the running agent are of different versions"
                     : "the agent did not understand the library's message");
}

static void heard(struct loop_fd *watch, uint32_t events)
{
    struct request *request = watch->owner;
    struct wire_msg msg;
    int fd;
    (void)events;
    ssize_t got = receive(watch->fd, &msg, &fd);
    if (got == -EAGAIN || got == -EINTR)
        return;
    if (got <= 0) {
        if (fd >= 0)
            close(fd);
        request_free(request);
        return;
    }
    int err = wire_check(&msg, (size_t)got);
    bool first = msg.op == WIRE_ACQUIRE || msg.op == WIRE_DOWNGRADED;
    if (!err && (first != (request->file == NULL) || (first && (fd < 0 || msg.mode == WIRE_NONE))))
        err = -EPROTO;
    if (err) {
        if (fd >= 0)
            close(fd);
        refuse_garbage(request, err);
        return;
    }
    if (!first) {
        if (fd >= 0)
            close(fd);
        file_heard(request, &msg);
        return;
    }
    fd = path_only(fd, &msg);
    if (fd < 0)
        request_fail(request, ENOLCK, "the agent has no descriptor left for the file");
    else
        begin(request, &msg, fd);
}

static void process_ended(struct loop_fd *watch, uint32_t events)
{
    (void)events;
    request_free(watch->owner);
}

/* ---- accepting ---- */

static void accept_one(struct agent *agent, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    struct request *request = calloc(1, sizeof *request);
    if (!request || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
        (geteuid() != 0 && peer.uid != geteuid() && peer.uid != 0)) {
        free(request);
        close(fd);
        return;
    }
    request->agent = agent;
    request->pid = peer.pid;
    request->connection = (struct loop_fd){.fd = fd, .ready = heard, .owner = request};
    request->process =
        (struct loop_fd){.fd = peer.pid > 0 ? (int)syscall(SYS_pidfd_open, peer.pid, 0) : -1,
                         .ready = process_ended,
                         .owner = request};
    agent->clients++;
    if (loop_add(agent->loop, &request->connection, EPOLLIN) < 0 ||
        (request->process.fd >= 0 && loop_add(agent->loop, &request->process, EPOLLIN) < 0))
        request_free(request);
}

static void knocked(struct loop_fd *watch, uint32_t events)
{
    struct agent *agent = watch->owner;
    (void)events;
    for (int i = 0; i < 64; i++) {
        if (agent->clients == CLIENTS_MAX) {
            loop_remove(agent->loop, watch); /* until one of them has gone */
            break;
        }
        int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            /* No descriptor left: they wait in the backlog for a while, instead of us in a loop. */
            loop_remove(agent->loop, watch);
            loop_in(agent->loop, &agent->listen_again, LISTEN_AGAIN_MS);
        }
        if (fd < 0)
            break;
        accept_one(agent, fd);
    }
    agent_idle_check(agent);
}

static void listen_again(struct loop_timer *timer)
{
    struct agent *agent = timer->owner;
    if (agent->listener.fd >= 0 && agent->clients < CLIENTS_MAX)
        loop_add(agent->loop, &agent->listener, EPOLLIN);
}

int server_start(struct agent *agent, char *why, size_t why_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int dir_fd = open(agent->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Through the directory's descriptor: its name may be longer than an address holds. */
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/agent.sock", dir_fd);
    unlinkat(dir_fd, "agent.sock", 0);
    int err = 0;
    if (dir_fd < 0 || fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, SOMAXCONN) < 0)
        err = -errno;
    if (dir_fd >= 0)
        close(dir_fd);
    if (!err) {
        agent->listen_again = (struct loop_timer){.fire = listen_again, .owner = agent};
        agent->listener = (struct loop_fd){.fd = fd, .ready = knocked, .owner = agent};
        err = loop_add(agent->loop, &agent->listener, EPOLLIN);
    }
    if (err) {
        snprintf(why, why_size, "cannot listen in %s: %s", agent->dir, strerror(-err));
        if (fd >= 0)
            close(fd);
    }
    return err;
}

void server_stop(struct agent *agent)
{
    char path[600];
    if (agent->listener.fd < 0)
        return;
    snprintf(path, sizeof path, "%s/agent.sock", agent->dir);
    unlink(path);
    loop_cancel(agent->loop, &agent->listen_again);
    loop_remove(agent->loop, &agent->listener);
    close(agent->listener.fd);
    agent->listener.fd = -1;
}
