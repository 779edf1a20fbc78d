/* The locker's descriptors: named by slot, opened, copied, closed, passed to another process. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "locker.h"

static int slots[SLOTS];
static int listener = -1; /* where descriptors arrive; made by `listen` */

int slot_fd(const char *slot)
{
    int n = atoi(slot);

    return n >= 0 && n < SLOTS ? slots[n] : -1;
}

void slot_put(const char *slot, int fd)
{
    int n = atoi(slot);

    if (n >= 0 && n < SLOTS)
        slots[n] = fd;
}

void slots_forget(void)
{
    for (int i = 0; i < SLOTS; i++)
        slots[i] = -1;
}

/* "SLOT=FD" for each one in use; returns how many. */
int slots_to_args(char **args, int max)
{
    int n = 0;

    for (int i = 0; i < SLOTS && n < max; i++) {
        if (slots[i] >= 0 && asprintf(&args[n], "%d=%d", i, slots[i]) > 0)
            n++;
    }
    return n;
}

void slots_from_args(char **args)
{
    for (; *args; args++) {
        const char *fd = strchr(*args, '=');

        if (fd)
            slot_put(*args, atoi(fd + 1));
    }
}

static int open_flags(int argc, char **argv)
{
    const char *mode = argv[3];
    int flags = O_RDONLY;

    if (strcmp(mode, "w") == 0)
        flags = O_WRONLY;
    else if (strcmp(mode, "rw") == 0)
        flags = O_RDWR;
    else if (strcmp(mode, "dir") == 0)
        flags = O_RDONLY | O_DIRECTORY;
    else if (strcmp(mode, "path") == 0)
        flags = O_PATH;
    for (int i = 4; i < argc; i++) {
        if (strcmp(argv[i], "creat") == 0)
            flags |= O_CREAT;
        else if (strcmp(argv[i], "cloexec") == 0)
            flags |= O_CLOEXEC;
    }
    return flags;
}

void do_open(int argc, char **argv)
{
    int fd;

    if (argc < 4) {
        say("usage");
        return;
    }
    fd = open(argv[2], open_flags(argc, argv), 0644);
    slot_put(argv[1], fd);
    say("%s", outcome(fd));
}

void do_dup(int argc, char **argv)
{
    int fd = argc == 3 ? dup(slot_fd(argv[1])) : -1;

    if (argc == 3)
        slot_put(argv[2], fd);
    say("%s", outcome(fd));
}

/* The slot keeps the number, so that a test can use a closed descriptor. */
void do_close(int argc, char **argv)
{
    say("%s", argc == 2 ? outcome(close(slot_fd(argv[1]))) : "usage");
}

/* What a daemon does at its start. */
void do_closeall(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    closefrom(STDERR_FILENO + 1);
    listener = -1;
    say("ok");
}

void do_pipe(int argc, char **argv)
{
    int ends[2] = {-1, -1};
    int result = argc == 3 ? pipe(ends) : -1;

    if (argc == 3) {
        slot_put(argv[1], ends[0]);
        slot_put(argv[2], ends[1]);
    }
    say("%s", outcome(result));
}

void do_socket(int argc, char **argv)
{
    int ends[2] = {-1, -1};
    int result = argc == 3 ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : -1;

    if (argc == 3) {
        slot_put(argv[1], ends[0]);
        slot_put(argv[2], ends[1]);
    }
    say("%s", outcome(result));
}

void do_cloexec(int argc, char **argv)
{
    if (argc == 3)
        say("%s",
            outcome(fcntl(slot_fd(argv[1]), F_SETFD, strcmp(argv[2], "on") == 0 ? FD_CLOEXEC : 0)));
    else
        say("usage");
}

static int address(const char *path, struct sockaddr_un *out)
{
    memset(out, 0, sizeof(*out));
    out->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(out->sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(out->sun_path, path);
    return 0;
}

void do_listen(int argc, char **argv)
{
    struct sockaddr_un here;

    if (argc != 2 || address(argv[1], &here) != 0) {
        say("usage");
        return;
    }
    listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    say("%s", outcome(bind(listener, (struct sockaddr *)&here, sizeof(here))));
}

union fd_message {
    struct cmsghdr head;
    char space[CMSG_SPACE(sizeof(int))];
};

/* The message lies in the receiver's queue when this answers: the descriptor is "in flight". */
void do_send(int argc, char **argv)
{
    union fd_message control = {.space = {0}};
    struct sockaddr_un there;
    struct iovec byte = {.iov_base = (char[]){'f'}, .iov_len = 1};
    struct msghdr message = {.msg_name = &there,
                             .msg_namelen = sizeof(there),
                             .msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.space)};
    int from, fd;

    if (argc != 3 || address(argv[2], &there) != 0) {
        say("usage");
        return;
    }
    fd = slot_fd(argv[1]);
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    say("%s", outcome((int)sendmsg(from, &message, 0)));
    close(from);
}

void do_recv(int argc, char **argv)
{
    union fd_message control = {.space = {0}};
    char data = 0;
    struct iovec byte = {.iov_base = &data, .iov_len = 1};
    struct msghdr message = {.msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.space)};
    int fd = -1;

    if (argc != 2) {
        say("usage");
        return;
    }
    if (recvmsg(listener, &message, MSG_DONTWAIT) < 0) {
        say("%s", outcome(-1));
        return;
    }
    memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
    slot_put(argv[1], fd);
    say("%s", outcome(fd));
}
