#include "agent/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64

/* One of curl's sockets. */
struct curl_watch {
    struct loop *loop;
    struct loop_fd fd;
};

struct loop {
    int epoll;
    struct loop_fd clock;     /* timerfd */
    struct loop_timer **heap; /* 1-based binary heap, earliest first */
    size_t timers, room;
    int64_t armed_at; /* what the timerfd is set to; 0: nothing */
    CURLM *curl;
    struct loop_timer curl_timer;
    struct loop_later *first, **last;
    struct loop_later *batch; /* being run */
    /* Events fetched and not yet handed out, so that a handler may remove another's descriptor. */
    struct epoll_event events[EVENTS_AT_ONCE];
    int n_events;
    bool stopping;
};

int64_t loop_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- timers ---- */

static void heap_put(struct loop *loop, size_t place, struct loop_timer *timer)
{
    loop->heap[place] = timer;
    timer->place = place;
}

static void heap_rise(struct loop *loop, size_t place)
{
    struct loop_timer *timer = loop->heap[place];
    while (place > 1 && loop->heap[place / 2]->at > timer->at) {
        heap_put(loop, place, loop->heap[place / 2]);
        place /= 2;
    }
    heap_put(loop, place, timer);
}

static void heap_sink(struct loop *loop, size_t place)
{
    struct loop_timer *timer = loop->heap[place];
    for (;;) {
        size_t child = place * 2;
        if (child > loop->timers)
            break;
        if (child < loop->timers && loop->heap[child + 1]->at < loop->heap[child]->at)
            child++;
        if (loop->heap[child]->at >= timer->at)
            break;
        heap_put(loop, place, loop->heap[child]);
        place = child;
    }
    heap_put(loop, place, timer);
}

void loop_cancel(struct loop *loop, struct loop_timer *timer)
{
    size_t place = timer->place;
    if (!place)
        return;
    timer->place = 0;
    struct loop_timer *last = loop->heap[loop->timers--];
    if (last == timer)
        return;
    heap_put(loop, place, last);
    heap_rise(loop, place);
    heap_sink(loop, last->place);
}

void loop_at(struct loop *loop, struct loop_timer *timer, int64_t at)
{
    loop_cancel(loop, timer);
    timer->at = at;
    if (loop->timers + 1 >= loop->room) {
        size_t room = loop->room ? loop->room * 2 : 64;
        struct loop_timer **heap = realloc(loop->heap, room * sizeof *heap);
        if (!heap)
            abort(); /* out of memory: the next agent rebuilds everything, a lost timer would not be
                        noticed */
        loop->heap = heap;
        loop->room = room;
    }
    heap_put(loop, ++loop->timers, timer);
    heap_rise(loop, loop->timers);
}

static void arm_clock(struct loop *loop)
{
    int64_t at = loop->timers ? loop->heap[1]->at : 0;
    if (at == loop->armed_at)
        return;
    loop->armed_at = at;
    struct itimerspec spec = {{0, 0}, {at / 1000, at % 1000 * 1000000}};
    timerfd_settime(loop->clock.fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void clock_ready(struct loop_fd *self, uint32_t events)
{
    (void)events;
    struct loop *loop = self->owner;
    uint64_t expirations;
    if (read(self->fd, &expirations, sizeof expirations) == (ssize_t)sizeof expirations)
        loop->armed_at = 0;
}

static void fire_timers(struct loop *loop)
{
    int64_t now = loop_now();
    while (loop->timers && loop->heap[1]->at <= now) {
        struct loop_timer *timer = loop->heap[1];
        loop_cancel(loop, timer);
        timer->fire(timer);
    }
}

/* ---- descriptors ---- */

int loop_add(struct loop *loop, struct loop_fd *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &event) < 0 ? -errno : 0;
}

void loop_remove(struct loop *loop, struct loop_fd *watch)
{
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    for (int i = 0; i < loop->n_events; i++) {
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
    }
}

static void hand_out_events(struct loop *loop, int timeout)
{
    loop->n_events = epoll_wait(loop->epoll, loop->events, EVENTS_AT_ONCE, timeout);
    for (int i = 0; i < loop->n_events; i++) {
        struct loop_fd *watch = loop->events[i].data.ptr;
        if (watch)
            watch->ready(watch, loop->events[i].events);
    }
    loop->n_events = 0;
}

/* ---- libcurl and the rest ---- */

CURLM *loop_curl(struct loop *loop)
{
    return loop->curl;
}

static void finish_transfers(struct loop *loop)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(loop->curl, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct loop_transfer *transfer = NULL;
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer);
        curl_multi_remove_handle(loop->curl, easy);
        transfer->done(transfer, result);
    }
}

void loop_later(struct loop *loop, struct loop_later *job)
{
    if (job->queued)
        return;
    job->queued = true;
    job->next = NULL;
    *loop->last = job;
    loop->last = &job->next;
}

/* curl may free a transfer's socket in any of its calls; what is still to be told of it is taken
 * back by loop_remove. */
static void curl_action(struct loop *loop, curl_socket_t socket, int what)
{
    int running;
    curl_multi_socket_action(loop->curl, socket, what, &running);
    finish_transfers(loop);
}

static void curl_socket_ready(struct loop_fd *watch, uint32_t events)
{
    struct curl_watch *socket = watch->owner;
    int what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
               (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    curl_action(socket->loop, watch->fd, what);
}

static int curl_wants_socket(CURL *easy, curl_socket_t fd, int what, void *owner, void *attached)
{
    struct loop *loop = owner;
    struct curl_watch *socket = attached;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket)
            loop_remove(loop, &socket->fd);
        free(socket);
        curl_multi_assign(loop->curl, fd, NULL);
        return 0;
    }
    struct epoll_event event = {.events = (what & CURL_POLL_IN ? EPOLLIN : 0) |
                                          (what & CURL_POLL_OUT ? EPOLLOUT : 0)};
    if (socket) {
        event.data.ptr = &socket->fd;
        return epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event) < 0 ? -1 : 0;
    }
    socket = calloc(1, sizeof *socket);
    if (!socket)
        return -1;
    socket->loop = loop;
    socket->fd = (struct loop_fd){.fd = fd, .ready = curl_socket_ready, .owner = socket};
    curl_multi_assign(loop->curl, fd, socket);
    return loop_add(loop, &socket->fd, event.events) < 0 ? -1 : 0;
}

static void curl_timer_due(struct loop_timer *timer)
{
    curl_action(timer->owner, CURL_SOCKET_TIMEOUT, 0);
}

static int curl_wants_timer(CURLM *curl, long timeout_ms, void *owner)
{
    struct loop *loop = owner;
    (void)curl;
    if (timeout_ms < 0)
        loop_cancel(loop, &loop->curl_timer);
    else
        loop_in(loop, &loop->curl_timer, timeout_ms);
    return 0;
}

static bool unlink_later(struct loop_later **at, struct loop_later *job)
{
    while (*at && *at != job)
        at = &(*at)->next;
    if (!*at)
        return false;
    *at = job->next;
    return true;
}

void loop_forget(struct loop *loop, struct loop_later *job)
{
    if (!job->queued)
        return;
    job->queued = false;
    if (unlink_later(&loop->batch, job))
        return;
    unlink_later(&loop->first, job);
    loop->last = &loop->first;
    while (*loop->last)
        loop->last = &(*loop->last)->next;
}

/* Those that are queued meanwhile wait for the next round. */
static void run_later(struct loop *loop)
{
    loop->batch = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    while (loop->batch) {
        struct loop_later *job = loop->batch;
        loop->batch = job->next;
        job->queued = false;
        job->run(job);
    }
}

int loop_new(struct loop **out)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return -ENOMEM;
    loop->last = &loop->first;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->clock = (struct loop_fd){.fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK),
                                   .ready = clock_ready,
                                   .owner = loop};
    loop->curl = curl_multi_init();
    if (loop->epoll < 0 || loop->clock.fd < 0 || !loop->curl ||
        loop_add(loop, &loop->clock, EPOLLIN) < 0) {
        loop_free(loop);
        return -ENOMEM;
    }
    loop->curl_timer = (struct loop_timer){.fire = curl_timer_due, .owner = loop};
    curl_multi_setopt(loop->curl, CURLMOPT_SOCKETFUNCTION, curl_wants_socket);
    curl_multi_setopt(loop->curl, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->curl, CURLMOPT_TIMERFUNCTION, curl_wants_timer);
    curl_multi_setopt(loop->curl, CURLMOPT_TIMERDATA, loop);
    *out = loop;
    return 0;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    if (loop->curl)
        curl_multi_cleanup(loop->curl);
    if (loop->clock.fd >= 0)
        close(loop->clock.fd);
    if (loop->epoll >= 0)
        close(loop->epoll);
    free(loop->heap);
    free(loop);
}

void loop_run(struct loop *loop)
{
    loop->stopping = false;
    while (!loop->stopping) {
        bool busy = loop->first != NULL;
        if (!busy)
            arm_clock(loop);
        hand_out_events(loop, busy ? 0 : -1);
        fire_timers(loop);
        run_later(loop);
    }
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}
