#include "agent/kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "agent/holders.h"
#include "agent/state.h"

#define THREADS_MAX  512 /* more lines than that are polled */
#define THREAD_STACK (128 * 1024)
#define POLL_MS      10

/* How a file's lock can be asked for. */
enum access_way {
    WAY_LINE, /* flock, blocking */
    WAY_POLL, /* flock, again and again: a network file system, where waiting would poll too */
    WAY_PROC_LOCKS, /* the file cannot be opened by us: /proc/locks, again and again */
};

enum job_kind { JOB_OPEN, JOB_LINE, JOB_TEST, JOB_SCAN };

struct job {
    enum job_kind kind;
    struct kernel_file *file;
    struct kernel_scan *scan;
    enum entry_mode mode;
    int result;
    struct job *next;
};

struct kernel_file {
    struct kernel *kernel;
    struct kernel_calls calls;
    void *owner;         /* NULL: gone */
    const char *path;    /* to be found; NULL: path_fd is there from the start */
    _Atomic int path_fd; /* found by a thread, if it was not given */
    int fd;              /* of our own open file description; -1: none */
    dev_t dev;
    ino_t ino;
    enum access_way way;
    unsigned jobs; /* under way; loop thread only */
};

struct kernel {
    struct loop *loop;
    struct loop_fd wake;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t work;
    struct job *todo, **todo_end;
    struct job *done, **done_end;
    unsigned threads, idle, waiting; /* `waiting`: jobs in todo */
    /* Lines that are polled, by the one thread that does that. */
    struct job *polled;
    pthread_cond_t poll_work;
};

/* ---- in the threads ---- */

static int open_way(struct kernel_file *file)
{
    static const int ways[] = {O_RDONLY, O_WRONLY, O_RDWR};
    char link[40];
    struct stat st;
    struct statfs fs;
    if (file->path_fd < 0 &&
        (file->path_fd = holders_find_inode(file->path, file->dev, file->ino)) < 0)
        return -ENOENT;
    if (fstat(file->path_fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return -EINVAL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file->path_fd);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int fd = open(link, ways[i] | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
            continue;
        file->fd = fd;
        file->way = WAY_LINE;
        if (fstatfs(fd, &fs) == 0 && state_is_network(&fs))
            file->way = WAY_POLL;
        return 0;
    }
    file->way = WAY_PROC_LOCKS;
    return holders_in_proc_locks(file->dev, file->ino, ENTRY_EX) < 0 ? -EACCES : 0;
}

/* 1: held by somebody here, 0: not, or a negative errno. */
static int test_now(struct kernel_file *file, enum entry_mode mode)
{
    if (file->way == WAY_PROC_LOCKS)
        return holders_in_proc_locks(file->dev, file->ino, mode);
    if (flock(file->fd, (mode == ENTRY_EX ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
        return flock(file->fd, LOCK_UN) == 0 ? 0 : -errno;
    return errno == EWOULDBLOCK ? 1 : -errno;
}

static int stand_in_line(struct kernel_file *file)
{
    while (flock(file->fd, LOCK_EX) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return flock(file->fd, LOCK_UN) < 0 ? -errno : 0;
}

static void hand_back(struct kernel *kernel, struct job *job)
{
    uint64_t one = 1;
    job->next = NULL;
    pthread_mutex_lock(&kernel->mutex);
    *kernel->done_end = job;
    kernel->done_end = &job->next;
    pthread_mutex_unlock(&kernel->mutex);
    (void)!write(kernel->wake.fd, &one, sizeof one);
}

/* One thread for all lines that cannot have one of their own. It is there from the start, as it is needed when no other
 * can be had. */
static void *poller(void *argument)
{
    struct kernel *kernel = argument;
    pthread_mutex_lock(&kernel->mutex);
    for (;;) {
        while (!kernel->polled)
            pthread_cond_wait(&kernel->poll_work, &kernel->mutex);
        struct job *list = kernel->polled;
        kernel->polled = NULL;
        pthread_mutex_unlock(&kernel->mutex);
        struct job *keep = NULL;
        while (list) {
            struct job *job = list;
            list = list->next;
            job->result = test_now(job->file, ENTRY_EX);
            if (job->result == 1) {
                job->next = keep;
                keep = job;
            } else {
                hand_back(kernel, job);
            }
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
        pthread_mutex_lock(&kernel->mutex);
        while (keep) {
            struct job *job = keep;
            keep = keep->next;
            job->next = kernel->polled;
            kernel->polled = job;
        }
    }
    return NULL;
}

static int start_thread(void *(*run)(void *), struct kernel *kernel)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int err = pthread_create(&thread, &attributes, run, kernel);
    pthread_attr_destroy(&attributes);
    return -err;
}

static void poll_instead(struct kernel *kernel, struct job *job)
{
    pthread_mutex_lock(&kernel->mutex);
    job->next = kernel->polled;
    kernel->polled = job;
    pthread_cond_signal(&kernel->poll_work);
    pthread_mutex_unlock(&kernel->mutex);
}

static void do_job(struct kernel *kernel, struct job *job, bool crowded)
{
    switch (job->kind) {
    case JOB_OPEN:
        job->result = open_way(job->file);
        break;
    case JOB_TEST:
        job->result = test_now(job->file, job->mode);
        break;
    case JOB_SCAN:
        holders_signal(job->scan);
        break;
    case JOB_LINE:
        job->result = test_now(job->file, ENTRY_EX);
        if (job->result != 1)
            break;
        if (crowded || job->file->way != WAY_LINE) {
            poll_instead(kernel, job);
            return;
        }
        job->result = stand_in_line(job->file);
        break;
    }
    hand_back(kernel, job);
}

static void *worker(void *argument);

/* With the mutex held. */
static bool one_more(struct kernel *kernel)
{
    if (kernel->threads >= THREADS_MAX || start_thread(worker, kernel))
        return false;
    kernel->threads++;
    return true;
}

static void *worker(void *argument)
{
    struct kernel *kernel = argument;
    pthread_mutex_lock(&kernel->mutex);
    for (;;) {
        while (!kernel->todo) {
            kernel->idle++;
            pthread_cond_wait(&kernel->work, &kernel->mutex);
            kernel->idle--;
        }
        struct job *job = kernel->todo;
        kernel->todo = job->next;
        kernel->waiting--;
        if (!kernel->todo)
            kernel->todo_end = &kernel->todo;
        /* A line may block for ever: only with another thread left for everything else. */
        bool crowded = job->kind == JOB_LINE && !kernel->idle && !one_more(kernel);
        pthread_mutex_unlock(&kernel->mutex);
        do_job(kernel, job, crowded);
        pthread_mutex_lock(&kernel->mutex);
    }
    return NULL;
}

/* ---- in the loop ---- */

static void give_job(struct kernel *kernel, struct job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&kernel->mutex);
    *kernel->todo_end = job;
    kernel->todo_end = &job->next;
    if (++kernel->waiting > kernel->idle)
        (void)one_more(kernel);
    pthread_cond_signal(&kernel->work);
    pthread_mutex_unlock(&kernel->mutex);
}

static void free_if_unused(struct kernel_file *file)
{
    if (file->owner || file->jobs)
        return;
    if (file->fd >= 0)
        close(file->fd);
    if (file->path_fd >= 0)
        close(file->path_fd);
    free(file);
}

static void tell(struct job *job)
{
    struct kernel_file *file = job->file;
    if (job->kind == JOB_SCAN) {
        job->scan->done(job->scan);
        return;
    }
    file->jobs--;
    if (file->owner) {
        if (job->kind == JOB_OPEN)
            file->calls.opened(file->owner, job->result);
        else if (job->kind == JOB_LINE)
            file->calls.freed(file->owner, job->result);
        else
            file->calls.tested(file->owner, job->mode, job->result);
        return; /* the owner may have closed it */
    }
    free_if_unused(file);
}

static void woken(struct loop_fd *watch, uint32_t events)
{
    struct kernel *kernel = watch->owner;
    uint64_t count;
    (void)events;
    (void)!read(watch->fd, &count, sizeof count);
    pthread_mutex_lock(&kernel->mutex);
    struct job *job = kernel->done;
    kernel->done = NULL;
    kernel->done_end = &kernel->done;
    pthread_mutex_unlock(&kernel->mutex);
    while (job) {
        struct job *next = job->next;
        tell(job);
        free(job);
        job = next;
    }
}

static void new_job(struct kernel_file *file, enum job_kind kind, enum entry_mode mode)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        abort(); /* out of memory; see loop_at */
    job->kind = kind;
    job->file = file;
    job->mode = mode;
    file->jobs++;
    give_job(file->kernel, job);
}

static struct kernel_file *open_any(struct kernel *kernel, const char *path, int path_fd, dev_t dev,
                                    ino_t ino, const struct kernel_calls *calls, void *owner)
{
    struct kernel_file *file = calloc(1, sizeof *file);
    if (!file)
        abort(); /* out of memory; see loop_at */
    *file = (struct kernel_file){.kernel = kernel,
                                 .calls = *calls,
                                 .owner = owner,
                                 .path = path,
                                 .path_fd = path_fd,
                                 .fd = -1,
                                 .dev = dev,
                                 .ino = ino};
    new_job(file, JOB_OPEN, ENTRY_NONE);
    return file;
}

struct kernel_file *kernel_open(struct kernel *kernel, int path_fd, dev_t dev, ino_t ino,
                                const struct kernel_calls *calls, void *owner)
{
    return open_any(kernel, NULL, path_fd, dev, ino, calls, owner);
}

struct kernel_file *kernel_open_named(struct kernel *kernel, const char *path, dev_t dev, ino_t ino,
                                      const struct kernel_calls *calls, void *owner)
{
    return open_any(kernel, path, -1, dev, ino, calls, owner);
}

void kernel_line(struct kernel_file *file)
{
    new_job(file, JOB_LINE, ENTRY_EX);
}

void kernel_test(struct kernel_file *file, enum entry_mode mode)
{
    new_job(file, JOB_TEST, mode);
}

void kernel_close(struct kernel_file *file)
{
    file->owner = NULL;
    free_if_unused(file);
}

int kernel_path(const struct kernel_file *file, char *out, size_t size)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file->path_fd);
    ssize_t got = readlink(link, out, size);
    if (got < 0)
        return -errno;
    if ((size_t)got >= size)
        return -ENAMETOOLONG;
    out[got] = '\0';
    return 0;
}

bool kernel_is_network(const struct kernel_file *file)
{
    return file->way == WAY_POLL;
}

void kernel_scan(struct kernel *kernel, struct kernel_scan *scan)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        abort(); /* out of memory; see loop_at */
    job->kind = JOB_SCAN;
    job->scan = scan;
    give_job(kernel, job);
}

int kernel_new(struct loop *loop, struct kernel **out)
{
    struct kernel *kernel = calloc(1, sizeof *kernel);
    if (!kernel)
        return -ENOMEM;
    kernel->loop = loop;
    pthread_mutex_init(&kernel->mutex, NULL);
    pthread_cond_init(&kernel->work, NULL);
    pthread_cond_init(&kernel->poll_work, NULL);
    kernel->todo_end = &kernel->todo;
    kernel->done_end = &kernel->done;
    kernel->wake = (struct loop_fd){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = woken, .owner = kernel};
    if (kernel->wake.fd < 0 || loop_add(loop, &kernel->wake, EPOLLIN) < 0) {
        free(kernel);
        return -EMFILE;
    }
    /* The poller and one worker must be there; more are a matter of speed. */
    if (start_thread(poller, kernel) || start_thread(worker, kernel))
        return -EAGAIN;
    kernel->threads = 1;
    *out = kernel;
    return 0;
}
