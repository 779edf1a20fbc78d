/* How the locker locks: in its main thread or in threads of their own, with signals on the way. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "locker.h"

#define JOBS      512
#define JOB_STACK (256 * 1024) /* bytes */
#define UNTOUCHED EXDEV        /* flock never sets it: a success must leave it in errno */

struct job {
    pthread_t thread;
    int fd, op;
    pid_t tid;
    int done;
    char result[32];
};

static struct job jobs[JOBS];
static pthread_mutex_t jobs_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t jobs_changed;

static volatile sig_atomic_t handled;
static volatile sig_atomic_t jump_armed;
static sigjmp_buf jump_target;

/* Threads are not copied by fork: the child starts with none. */
void jobs_forget(void)
{
    pthread_mutex_init(&jobs_lock, NULL);
    memset(jobs, 0, sizeof(jobs));
}

static int parse_op(int argc, char **argv, int first)
{
    const char *word = argv[first];
    int op;

    if (strcmp(word, "sh") == 0)
        op = LOCK_SH;
    else if (strcmp(word, "ex") == 0)
        op = LOCK_EX;
    else if (strcmp(word, "un") == 0)
        op = LOCK_UN;
    else
        op = atoi(word);
    if (argc > first + 1 && strcmp(argv[first + 1], "nb") == 0)
        op |= LOCK_NB;
    return op;
}

void do_flock(int argc, char **argv)
{
    int result;

    if (argc < 3) {
        say("usage");
        return;
    }
    if (sigsetjmp(jump_target, 1) != 0) {
        say("jumped");
        return;
    }
    jump_armed = 1;
    errno = UNTOUCHED;
    result = flock(slot_fd(argv[1]), parse_op(argc, argv, 2));
    jump_armed = 0;
    if (result == 0 && errno != UNTOUCHED)
        say("ok but errno is now %s", outcome(-1));
    else
        say("%s", outcome(result));
}

static void *job_run(void *argument)
{
    struct job *job = argument;
    int result, saved;

    pthread_mutex_lock(&jobs_lock);
    job->tid = gettid();
    pthread_cond_broadcast(&jobs_changed);
    pthread_mutex_unlock(&jobs_lock);

    result = flock(job->fd, job->op);
    saved = errno;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_mutex_lock(&jobs_lock);
    errno = saved;
    snprintf(job->result, sizeof(job->result), "%s", outcome(result));
    job->done = 1;
    pthread_cond_broadcast(&jobs_changed);
    pthread_mutex_unlock(&jobs_lock);
    return NULL;
}

/* Signals meant for the process go to its main thread; only SIGUSR2 is a job's. */
static int job_create(struct job *job)
{
    sigset_t all, before;
    pthread_attr_t attr;
    int error;

    sigfillset(&all);
    sigdelset(&all, SIGUSR2);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, JOB_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&job->thread, &attr, job_run, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return error;
}

static struct job *job_of(const char *word)
{
    int n = atoi(word);

    return n >= 0 && n < JOBS ? &jobs[n] : NULL;
}

void do_start(int argc, char **argv)
{
    struct job *job = argc >= 4 ? job_of(argv[1]) : NULL;
    pthread_condattr_t clock;
    static int made;

    if (!job) {
        say("usage");
        return;
    }
    if (!made) {
        pthread_condattr_init(&clock);
        pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
        pthread_cond_init(&jobs_changed, &clock);
        made = 1;
    }
    memset(job, 0, sizeof(*job));
    job->fd = slot_fd(argv[2]);
    job->op = parse_op(argc, argv, 3);
    errno = job_create(job);
    if (errno != 0) {
        say("%s", outcome(-1));
        return;
    }
    pthread_mutex_lock(&jobs_lock);
    while (job->tid == 0)
        pthread_cond_wait(&jobs_changed, &jobs_lock);
    pthread_mutex_unlock(&jobs_lock);
    say("started %d", (int)job->tid);
}

void do_wait(int argc, char **argv)
{
    struct job *job = argc == 3 ? job_of(argv[1]) : NULL;
    struct timespec until;
    long ms;
    int done;

    if (!job) {
        say("usage");
        return;
    }
    ms = atol(argv[2]);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&jobs_lock);
    while (!job->done && pthread_cond_timedwait(&jobs_changed, &jobs_lock, &until) != ETIMEDOUT)
        ;
    done = job->done;
    pthread_mutex_unlock(&jobs_lock);
    if (done)
        pthread_join(job->thread, NULL);
    say("%s", done ? job->result : "running");
}

static void on_signal(int number)
{
    (void)number;
    handled++;
}

static void on_signal_jump(int number)
{
    (void)number;
    handled++;
    if (jump_armed) {
        jump_armed = 0;
        siglongjmp(jump_target, 1);
    }
}

void do_handler(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};

    if (argc != 3) {
        say("usage");
        return;
    }
    sigemptyset(&action.sa_mask);
    if (strcmp(argv[2], "restart") == 0)
        action.sa_flags = SA_RESTART;
    else if (strcmp(argv[2], "jump") == 0)
        action.sa_handler = on_signal_jump;
    else if (strcmp(argv[2], "ignore") == 0)
        action.sa_handler = SIG_IGN;
    else if (strcmp(argv[2], "default") == 0)
        action.sa_handler = SIG_DFL;
    say("%s", outcome(sigaction(atoi(argv[1]), &action, NULL)));
}

/* How many signals the handler has seen. */
void do_handled(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    say("%d", (int)handled);
}

void do_tkill(int argc, char **argv)
{
    struct job *job = argc == 2 ? job_of(argv[1]) : NULL;

    errno = job ? pthread_kill(job->thread, SIGUSR2) : ESRCH;
    say("%s", outcome(errno ? -1 : 0));
}

void do_cancel(int argc, char **argv)
{
    struct job *job = argc == 2 ? job_of(argv[1]) : NULL;

    errno = job ? pthread_cancel(job->thread) : ESRCH;
    say("%s", outcome(errno ? -1 : 0));
}

/* Again and again: one alarm alone may come before the call that it is to interrupt. */
void do_alarm(int argc, char **argv)
{
    long ms = argc == 2 ? atol(argv[1]) : 0;
    struct timeval period = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    struct itimerval timer = {.it_value = period, .it_interval = period};

    say("%s", outcome(setitimer(ITIMER_REAL, &timer, NULL)));
}
