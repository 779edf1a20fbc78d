#include "agent/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64

struct loop {
    int epoll;
    struct loop_fd clock; /* timerfd */
    struct loop_timer **heap; /* 1-based binary heap, earliest first */
    size_t timers, room;
    int64_t armed_at; /* what the timerfd is set to; 0: nothing */
    CURLM *curl;
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
            abort(); /* out of memory: the next agent rebuilds everything, a lost timer would not be noticed */
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

static void hand_out_events(struct loop *loop)
{
    loop->n_events = epoll_wait(loop->epoll, loop->events, EVENTS_AT_ONCE, 0);
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
static bool run_later(struct loop *loop)
{
    bool any = loop->first != NULL;
    loop->batch = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    while (loop->batch) {
        struct loop_later *job = loop->batch;
        loop->batch = job->next;
        job->queued = false;
        job->run(job);
    }
    return any;
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
        int running = 0;
        curl_multi_perform(loop->curl, &running);
        finish_transfers(loop);
        hand_out_events(loop);
        fire_timers(loop);
        if (run_later(loop) || loop->stopping)
            continue;
        arm_clock(loop);
        struct curl_waitfd wait = {.fd = loop->epoll, .events = CURL_WAIT_POLLIN};
        curl_multi_poll(loop->curl, &wait, 1, INT_MAX, NULL);
    }
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}
