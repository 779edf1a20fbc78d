/*
 * The agent's one event loop: descriptors, timers on CLOCK_BOOTTIME, and libcurl's multi interface.
 * Nothing called from it may block. The etcdflock command runs its few requests on the same loop.
 */
#ifndef ETCDFLOCK_AGENT_LOOP_H
#define ETCDFLOCK_AGENT_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* Embedded in whatever watches a descriptor; all zero before use. */
struct loop_fd {
    int fd;
    void (*ready)(struct loop_fd *self, uint32_t events); /* EPOLLIN, EPOLLHUP … */
    void *owner;
};

/* Embedded in whatever waits for a point in time; all zero before use. Fires once. */
struct loop_timer {
    int64_t at; /* ms of loop_now */
    void (*fire)(struct loop_timer *self);
    void *owner;
    size_t place; /* in the heap, counted from 1; 0: not armed */
};

/* Milliseconds of CLOCK_BOOTTIME: goes on during suspend, knows nothing of the wall clock. */
int64_t loop_now(void);

int loop_new(struct loop **out);
void loop_free(struct loop *loop);

int loop_add(struct loop *loop, struct loop_fd *watch, uint32_t events);
void loop_remove(struct loop *loop, struct loop_fd *watch);

/* Arms a timer, again if it is armed already. */
void loop_at(struct loop *loop, struct loop_timer *timer, int64_t at);
static inline void loop_in(struct loop *loop, struct loop_timer *timer, int64_t ms)
{
    loop_at(loop, timer, loop_now() + ms);
}
void loop_cancel(struct loop *loop, struct loop_timer *timer);

/* The curl handle to add transfers to, never from inside one of curl's callbacks; each transfer's
 * CURLOPT_PRIVATE is a struct loop_transfer. */
CURLM *loop_curl(struct loop *loop);

struct loop_transfer {
    void (*done)(struct loop_transfer *self, CURLcode result);
    void *owner;
};

/* Runs `job` once, after the events at hand: for work that must not run inside a caller's half-done
 * step. */
struct loop_later {
    void (*run)(struct loop_later *self);
    void *owner;
    struct loop_later *next;
    bool queued;
};
void loop_later(struct loop *loop, struct loop_later *job);
void loop_forget(struct loop *loop, struct loop_later *job);

/* Until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
