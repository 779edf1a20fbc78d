/*
 * What a library in somebody else's program must leave as it is.
 *
 *   guest errno|fcntl|record|fds|closed|closeall|vfork|handler|altstack|nofile|chroot|tables FILE [MORE]
 *
 * Each case prints lines; "ok" and the name of an errno are what calls return. errno is set to a number of its own
 * before each call, and a call that succeeds but has touched it is told as that.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNTOUCHED 4711

static const char *outcome(long result)
{
    if (result < 0)
        return errno == EWOULDBLOCK ? "EWOULDBLOCK" : strerrorname_np(errno);
    return errno == UNTOUCHED ? "ok" : "ok, but errno was touched";
}

#define TELL(call)                                                                                 \
    do {                                                                                           \
        errno = UNTOUCHED;                                                                         \
        long result_ = (call);                                                                     \
        printf("%s: %s\n", #call, outcome(result_));                                               \
    } while (0)

/* The same, with the value. */
#define TELL_VALUE(call)                                                                           \
    do {                                                                                           \
        errno = UNTOUCHED;                                                                         \
        long result_ = (call);                                                                     \
        printf("%s: %s %ld\n", #call, outcome(result_), result_);                                  \
    } while (0)

static int open_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0666);
    if (fd < 0) {
        perror(path);
        exit(100);
    }
    return fd;
}

static void case_errno(char **argv)
{
    int fd = open_file(argv[0]);
    TELL(flock(fd, LOCK_SH));
    TELL(flock(fd, LOCK_EX));
    TELL(flock(fd, LOCK_EX | LOCK_NB));
    TELL(flock(fd, LOCK_SH | LOCK_NB));
    TELL(flock(fd, LOCK_UN));
    TELL(flock(fd, LOCK_UN | LOCK_NB));
    TELL(flock(-1, LOCK_EX));
    TELL(flock(987, LOCK_EX));
    TELL(flock(fd, 0));
    TELL(flock(fd, LOCK_SH | LOCK_EX));
    TELL(flock(fd, 77));
    int path_only = open(argv[0], O_PATH);
    TELL(flock(path_only, LOCK_EX));
    TELL(flock(path_only, LOCK_UN));
    int ends[2];
    TELL(pipe(ends));
    TELL(flock(ends[0], LOCK_EX));
    int memory = memfd_create("m", 0);
    TELL(flock(memory, LOCK_EX | LOCK_NB));
    TELL(flock(socket(AF_UNIX, SOCK_STREAM, 0), LOCK_EX | LOCK_NB));
}

/* Everything but record locks. */
static void case_fcntl(char **argv)
{
    int fd = open_file(argv[0]);
    int ends[2];
    if (pipe(ends) < 0)
        exit(100);
    TELL_VALUE(fcntl(fd, F_GETFL));
    TELL_VALUE(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
    TELL_VALUE(fcntl(fd, F_GETFL));
    TELL_VALUE(fcntl(fd, F_GETFD));
    TELL_VALUE(fcntl(fd, F_SETFD, FD_CLOEXEC));
    TELL_VALUE(fcntl(fd, F_GETFD));
    TELL_VALUE(fcntl(fd, F_DUPFD, 40));
    TELL_VALUE(fcntl(fd, F_DUPFD_CLOEXEC, 50));
    TELL_VALUE(fcntl(50, F_GETFD));
    TELL(fcntl(fd, F_SETOWN, getpid()));
    printf("%d\n", fcntl(fd, F_GETOWN) == getpid());
    struct f_owner_ex owner = {.type = F_OWNER_PID, .pid = getpid()};
    TELL(fcntl(fd, F_SETOWN_EX, &owner));
    TELL(fcntl(fd, F_GETOWN_EX, &owner));
    printf("%d %d\n", owner.type, owner.pid == getpid());
    TELL_VALUE(fcntl(fd, F_SETSIG, SIGUSR2));
    TELL_VALUE(fcntl(fd, F_GETSIG));
    TELL(fcntl(ends[0], F_SETPIPE_SZ, 65536));
    TELL_VALUE(fcntl(ends[0], F_GETPIPE_SZ));
    int memory = memfd_create("m", MFD_ALLOW_SEALING);
    TELL_VALUE(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK));
    TELL_VALUE(fcntl(memory, F_GET_SEALS));
    TELL_VALUE(fcntl(fd, F_GETLEASE));
    uint64_t hint = 2;
    TELL(fcntl(fd, F_SET_RW_HINT, &hint));
    TELL(fcntl(fd, F_GET_RW_HINT, &hint));
    printf("%d\n", (int)hint);
    TELL(fcntl(fd, 99999, 0));
    TELL(fcntl(-1, F_GETFL));
    TELL(fcntl(987, F_GETFD));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    TELL(fcntl(987, F_SETLK, &lock));
    TELL(fcntl(ends[0], F_SETLK, &lock));
    TELL(fcntl(ends[0], F_SETLK, (void *)8));
    TELL(fcntl64(fd, F_GETFD));
}

static struct flock record(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = 3, .l_len = 7};
}

static void case_record(char **argv)
{
    int fd = open_file(argv[0]);
    struct flock read = record(F_RDLCK), write = record(F_WRLCK), none = record(F_UNLCK),
                 get = record(F_WRLCK);
    TELL(fcntl(fd, F_SETLK, &read));
    TELL(fcntl(fd, F_SETLK, &write));
    TELL(fcntl(fd, F_SETLKW, &write));
    TELL(fcntl(fd, F_GETLK, &get));
    TELL(fcntl(fd, F_SETLK, &none));
    TELL(fcntl(fd, F_SETLKW, &none));
    TELL(fcntl(fd, F_OFD_SETLK, &write));
    TELL(fcntl(fd, F_OFD_SETLKW, &write));
    TELL(fcntl(fd, F_OFD_GETLK, &get));
    TELL(fcntl(fd, F_OFD_SETLK, &none));
    TELL(lockf(fd, F_LOCK, 5));
    TELL(lockf(fd, F_TLOCK, 5));
    TELL(lockf(fd, F_TEST, 5));
    TELL(lockf(fd, F_ULOCK, 5));
    TELL(lockf64(fd, F_TLOCK, 5));
    TELL(lockf64(fd, F_ULOCK, 5));
}

/* The open descriptors, as text. */
static void list_fds(char *out, size_t size)
{
    size_t len = 0;
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    out[0] = '\0';
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir) && len < size)
            len += (size_t)snprintf(out + len, size - len, "%s ", entry->d_name);
    }
    if (dir)
        closedir(dir);
}

/* argv: a free file, a file that another program holds, a file of a host that cannot reach anything. */
static void case_fds(char **argv)
{
    char before[4096];
    char after[4096];
    for (; *argv; argv++) {
        static const int operations[] = {LOCK_EX | LOCK_NB, LOCK_SH | LOCK_NB, LOCK_EX | LOCK_NB,
                                         LOCK_UN, LOCK_SH | LOCK_NB};
        int fd = open_file(*argv);
        list_fds(before, sizeof before);
        for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
            (void)flock(fd, operations[i]);
            struct flock lock = record(F_WRLCK);
            (void)fcntl(fd, F_SETLK, &lock);
            (void)lockf(fd, F_TLOCK, 1);
            list_fds(after, sizeof after);
            if (strcmp(before, after) != 0)
                printf("%s: %s, before it %s\n", *argv, after, before);
        }
        close(fd);
    }
    puts("compared");
}

/* A lock that fails with words on stderr, each time on another file: what was said last is not said again. */
static const char *fail_to_lock(const char *path)
{
    static int number;
    char name[4096];
    snprintf(name, sizeof name, "%s.%d", path, number++);
    int fd = fcntl(open_file(name), F_DUPFD, 30);
    const char *text = outcome(flock(fd, LOCK_EX | LOCK_NB));
    close(fd);
    return text;
}

static const char *heard(int fd)
{
    char text[100];
    return read(fd, text, sizeof text) > 0 ? "words" : "silence";
}

/* argv: files whose locks fail, a data file. A daemon that has closed 0, 1 and 2, which are other things now. */
static void case_closed(char **argv)
{
    int ends[2], pair[2];
    if (pipe2(ends, O_NONBLOCK) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0)
        exit(100);
    for (int i = 0; i < 2;
         i++) { /* out of the way of 0, 1 and 2, which may be closed from the start */
        ends[i] = fcntl(ends[i], F_DUPFD, 20);
        pair[i] = fcntl(pair[i], F_DUPFD, 20);
    }
    int tell = fcntl(1, F_DUPFD, 20);
    dprintf(tell, "stderr: %s\n", fail_to_lock(argv[0]));
    close(0);
    close(1);
    close(2);
    dprintf(tell, "nothing: %s\n", fail_to_lock(argv[0]));
    for (int i = 0; i < 3; i++)
        close(i);
    for (int i = 0; i < 3; i++)
        (void)open_file(argv[1]);
    dprintf(tell, "data: %s\n", fail_to_lock(argv[0]));
    dup2(ends[1], 2);
    dprintf(tell, "pipe: %s", fail_to_lock(argv[0]));
    dprintf(tell, " %s\n", heard(ends[0]));
    dup2(pair[1], 2);
    dprintf(tell, "socket: %s", fail_to_lock(argv[0]));
    dprintf(tell, " %s\n", heard(pair[0]));
}

/* Locks while it has no descriptor but the file's. */
static void case_closeall(char **argv)
{
    syscall(SYS_close_range, 0, ~0U, 0);
    int fd = open_file(argv[0]);
    int first = flock(fd, LOCK_EX | LOCK_NB);
    int second = flock(fd, LOCK_UN);
    int third = flock(fd, LOCK_SH);
    _exit(fd != 0 ? 1 : first ? 2 : second ? 3 : third ? 4 : 0);
}

static void case_vfork(char **argv)
{
    int fd = open_file(argv[0]);
    pid_t child = vfork();
    if (child == 0)
        _exit(flock(fd, LOCK_EX) < 0 ? 1 : 0);
    int status = -1;
    waitpid(child, &status, 0);
    printf("child: %d\n", status);
    TELL(flock(fd, LOCK_EX | LOCK_NB));
    /* Raw clone, without libc knowing. */
    pid_t raw = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (raw == 0)
        syscall(SYS_exit_group, flock(fd, LOCK_SH) < 0 ? 1 : 0);
    waitpid(raw, &status, 0);
    printf("clone: %d\n", status);
    TELL(flock(fd, LOCK_UN));
}

static int handler_fd;
static volatile sig_atomic_t handler_result = -2;

static void lock_in_handler(int number)
{
    (void)number;
    int saved = errno;
    handler_result = flock(handler_fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
    flock(handler_fd, LOCK_UN);
    errno = saved;
}

/* argv: a file, and the size of the handler's stack (0: none of its own). */
static void case_handler(char **argv)
{
    size_t size = (size_t)atoi(argv[1]);
    struct sigaction action = {.sa_handler = lock_in_handler, .sa_flags = size ? SA_ONSTACK : 0};
    if (size) {
        stack_t stack = {.ss_sp = mmap(NULL, size + 8192, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                         .ss_size = size};
        mprotect(stack.ss_sp, 4096, PROT_NONE); /* below its end */
        stack.ss_sp = (char *)stack.ss_sp + 4096;
        if (sigaltstack(&stack, NULL) < 0)
            exit(100);
    }
    handler_fd = open_file(argv[0]);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    printf("handler: %d\n", (int)handler_result);
}

static const char *thread_file;
static long thread_count;
static volatile long unprotected;

static void *lock_in_thread(void *argument)
{
    int fd = open_file(thread_file);
    for (int i = 0; i < 4; i++) {
        if (flock(fd, LOCK_EX) < 0)
            return (void *)1;
        long seen = unprotected;
        sched_yield();
        unprotected = seen + 1;
        flock(fd, LOCK_UN);
    }
    close(fd);
    (void)argument;
    return NULL;
}

/* argv: a file, a number. Threads with the smallest stack there is. */
static void case_threads(char **argv)
{
    pthread_t threads[200];
    pthread_attr_t attributes;
    thread_file = argv[0];
    thread_count = atoi(argv[1]);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN);
    long failed = 0;
    for (long i = 0; i < thread_count; i++) {
        if (pthread_create(&threads[i], &attributes, lock_in_thread, NULL) != 0)
            exit(100);
    }
    for (long i = 0; i < thread_count; i++) {
        void *result;
        pthread_join(threads[i], &result);
        failed += result != NULL;
    }
    printf("failed %ld counted %ld\n", failed, unprotected);
}

/* argv: a file. With N descriptors more than are open, for N from 0 up, until the lock works. */
static void case_nofile(char **argv)
{
    int fd = open_file(argv[0]);
    int last = -1;
    for (int more = 0; more < 12; more++) {
        struct rlimit limit = {.rlim_cur = (rlim_t)(fd + 1 + more), .rlim_max = 4096};
        setrlimit(RLIMIT_NOFILE, &limit);
        errno = UNTOUCHED;
        int result = flock(fd, LOCK_EX | LOCK_NB);
        if (result < 0 && errno != ENOLCK) {
            printf("%d more: %s\n", more, strerrorname_np(errno));
            return;
        }
        if (result == 0 && last < 0)
            last = more;
        if (result < 0 && last >= 0)
            printf("%d more: worked with %d\n", more, last);
        flock(fd, LOCK_UN);
    }
    printf("%s\n", last < 0    ? "never works"
                   : last == 0 ? "works without any"
                               : "ENOLCK, then it works");
}

/* argv: a mapped file, a directory, a file within it. */
static void case_chroot(char **argv)
{
    int before = open_file(argv[0]);
    TELL(flock(before, LOCK_EX | LOCK_NB));
    if (chroot(argv[1]) < 0 || chdir("/") < 0)
        exit(100);
    int inside = open_file(argv[2]);
    TELL(flock(before, LOCK_SH | LOCK_NB));
    TELL(flock(before, LOCK_UN));
    TELL(flock(before, LOCK_EX | LOCK_NB));
    TELL(flock(inside, LOCK_EX | LOCK_NB));
}

/* A thread with a descriptor table of its own: the same number is another file there. */
static void *lock_unshared(void *argument)
{
    char **argv = argument;
    if (unshare(CLONE_FILES) < 0)
        exit(100);
    int fd = open_file(argv[1]);
    dup2(fd, 30);
    TELL(flock(30, LOCK_EX | LOCK_NB));
    return NULL;
}

/* argv: a mapped file, one that is not mapped. */
static void case_tables(char **argv)
{
    pthread_t thread;
    int fd = open_file(argv[0]);
    dup2(fd, 30);
    pthread_create(&thread, NULL, lock_unshared, argv);
    pthread_join(thread, NULL);
    TELL(flock(30, LOCK_EX | LOCK_NB));
}

static const struct {
    const char *name;
    void (*run)(char **argv);
} cases[] = {
    {"errno", case_errno},   {"fcntl", case_fcntl},     {"record", case_record},
    {"fds", case_fds},       {"closed", case_closed},   {"closeall", case_closeall},
    {"vfork", case_vfork},   {"handler", case_handler}, {"threads", case_threads},
    {"nofile", case_nofile}, {"chroot", case_chroot},   {"tables", case_tables},
};

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 2 && i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run(argv + 2);
            return 0;
        }
    }
    return 100;
}
