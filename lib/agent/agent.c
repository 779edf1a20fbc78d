/* The agent as a whole: its session, its inbox, the regular look at its own keys, coming and going.
 */
#include "agent/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/state.h"
#include "wire/paths.h"

#define REVOKE_TIMEOUT 1000

/* ---- entries' numbers ---- */

/* Never used twice under a lease, not by an agent that takes the lease up either: microseconds
 * since the boot. */
uint64_t agent_number(struct agent *agent)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    uint64_t number = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    if (number <= agent->last_number)
        number = agent->last_number + 1;
    agent->last_number = number;
    return number;
}

/* ---- configuration ---- */

static bool stamp_changed(struct agent *agent)
{
    struct stat st;
    int64_t stamp[4] = {0, 0, 0, 0};
    if (stat(agent->conf->file, &st) == 0) {
        stamp[0] = (int64_t)st.st_ino;
        stamp[1] = st.st_size;
        stamp[2] = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        stamp[3] = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
    }
    if (memcmp(stamp, agent->conf_stamp, sizeof stamp) == 0)
        return false;
    memcpy(agent->conf_stamp, stamp, sizeof stamp);
    return true;
}

void agent_reload(struct agent *agent)
{
    struct conf *fresh;
    struct conf_error error;
    if (!stamp_changed(agent))
        return;
    if (conf_load(agent->conf->file, &fresh, &error) < 0) {
        log_line("%s (the configuration read before stays in force)", error.text);
        snprintf(agent->conf_fault, sizeof agent->conf_fault, "%s", error.text);
        return;
    }
    agent->conf_fault[0] = '\0';
    if (agent->rules != agent->conf)
        conf_free(agent->rules);
    agent->rules = fresh;
    log_line("%s: read again; [etcd] and [agent] take effect with the next agent",
             agent->conf->file);
}

/* ---- the inbox of asks ---- */

void agent_read_inbox(struct agent *agent)
{
    if (session_pending(&agent->inbox_txn))
        agent->inbox_again = true;
    else
        session_send(agent->session, &agent->inbox_txn);
}

static void inbox_build(struct session_txn *self, struct txn *txn)
{
    struct agent *agent = self->owner;
    txn_get_below(txn, TXN_THEN, agent->inbox_prefix);
}

static void inbox_done(struct session_txn *self, enum session_result result,
                       const struct etcd_reply *reply, const char *why)
{
    struct agent *agent = self->owner;
    (void)why;
    const struct etcd_range *asks = result == SESSION_DONE ? session_range(reply, 0) : NULL;
    for (size_t i = 0; asks && i < asks->n; i++)
        asks_note(agent, &asks->kvs[i]);
    if (agent->inbox_again && result == SESSION_DONE) {
        agent->inbox_again = false;
        agent_read_inbox(agent);
    }
}

static void inbox_ready(void *owner, int64_t revision)
{
    (void)revision;
    agent_read_inbox(owner);
}

/* The event has the ask itself; others of the same message are in the read. */
static void inbox_event(void *owner, const struct etcd_event *event)
{
    struct agent *agent = owner;
    if (event->deleted)
        return;
    asks_note(agent, &event->kv);
    if (strcmp(event->kv.value, ASK_BUSY) != 0)
        agent_read_inbox(agent);
}

static void open_inbox(struct agent *agent)
{
    static const struct watch_calls calls = {.ready = inbox_ready, .event = inbox_event};
    snprintf(agent->inbox_prefix, sizeof agent->inbox_prefix, "%sask/%016" PRIx64 "/",
             agent->conf->root, (uint64_t)session_lease(agent->session));
    agent->inbox = watch_open(agent->hub, agent->inbox_prefix, true, NULL, &calls, agent);
}

/* ---- the session's calls ---- */

static void poke_all(struct agent *agent)
{
    for (struct file *file = agent->files; file; file = file->next)
        file_poke(file);
}

static void session_up(void *owner, bool adopted)
{
    struct agent *agent = owner;
    agent->adopting = false;
    watch_hub_session(agent->hub, session_key(agent->session));
    open_inbox(agent);
    agent_sweep_soon(agent);
    if (adopted)
        adopt_start(agent);
    poke_all(agent);
}

static void session_stop_holders(void *owner, bool last)
{
    struct agent *agent = owner;
    const char *trouble = etcd_trouble(agent->client);
    bool any = false;
    for (struct file *file = agent->files; file; file = file->next) {
        if (file->cur.state == ENTRY_ABSENT)
            continue;
        loss_stop(file, last);
        any = true;
    }
    if (any)
        log_line("the lease is about to run out: stopping the programs that hold locks (%s)%s%s",
                 last ? "SIGKILL" : "on_lost", trouble ? "; " : "", trouble ? trouble : "");
}

static void session_lost(void *owner, const char *why)
{
    struct agent *agent = owner;
    log_line("the lease %016" PRIx64 " is lost: %s", agent->lease, why);
    agent->adopting = false;
    if (agent->inbox)
        watch_close(agent->inbox);
    agent->inbox = NULL;
    if (agent->sweep_request)
        etcd_cancel(agent->sweep_request); /* it speaks of the old lease */
    agent->sweep_request = NULL;
    agent_sweep_soon(agent);
    watch_hub_session(agent->hub, NULL);
    for (struct file *file = agent->files; file; file = file->next) {
        loss_of_entry(file, why);
        file_poke(file);
    }
}

static void session_changed(void *owner, const struct session_state *state)
{
    struct agent *agent = owner;
    if (state->lease)
        agent->lease = (uint64_t)state->lease;
    state_write(agent->state_fd, state);
}

static void session_heartbeat(void *owner, int64_t revision)
{
    struct agent *agent = owner;
    watch_hub_heartbeat(agent->hub, revision);
}

static void session_refused(void *owner, const char *why)
{
    struct agent *agent = owner;
    log_line("etcd refuses a session: %s", why);
    for (struct file *file = agent->files; file; file = file->next)
        file_fail_waiting(file, why);
}

/* ---- coming and going ---- */

static void closed(void *owner)
{
    struct agent *agent = owner;
    loop_stop(agent->loop);
}

static void leave(struct agent *agent)
{
    if (agent->closing)
        return;
    agent->closing = true;
    log_line("leaving");
    server_stop(agent);
    if (agent->inbox)
        watch_close(agent->inbox);
    agent->inbox = NULL;
    session_forget(&agent->inbox_txn);
    loop_cancel(agent->loop, &agent->sweep);
    session_close(agent->session, REVOKE_TIMEOUT, closed);
}

static void idle_due(struct loop_timer *timer)
{
    struct agent *agent = timer->owner;
    if (!agent->clients && !agent->files)
        leave(agent);
}

void agent_idle_check(struct agent *agent)
{
    if (agent->closing)
        return;
    if (agent->clients || agent->files)
        loop_cancel(agent->loop, &agent->idle);
    else if (agent->leaving)
        loop_in(agent->loop, &agent->idle, 0);
    else if (agent->idle_exit_ms >= 0 && !agent->idle.place)
        loop_in(agent->loop, &agent->idle, agent->idle_exit_ms);
}

static void signalled(struct loop_fd *watch, uint32_t events)
{
    struct agent *agent = watch->owner;
    struct signalfd_siginfo info;
    (void)events;
    if (read(watch->fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGHUP) {
        agent_reload(agent);
        return;
    }
    if (agent->leaving) {
        log_line("leaving at once, with locks held; another agent can take them over before the "
                 "lease runs out");
        agent->closing = true;
        loop_stop(agent->loop);
        return;
    }
    agent->leaving = true;
    if (agent->files || agent->clients)
        log_line("told to leave: will do so when the locks held here are released; "
                 "a second signal means at once");
    agent_idle_check(agent);
}

static int watch_signals(struct agent *agent)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    agent->signals = (struct loop_fd){.fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK),
                                      .ready = signalled,
                                      .owner = agent};
    return agent->signals.fd < 0 ? -errno : loop_add(agent->loop, &agent->signals, EPOLLIN);
}

static void session_key_deleted(void *owner)
{
    struct agent *agent = owner;
    if (session_is_up(agent->session))
        session_gone(agent->session,
                     "the session key was deleted: the lease was revoked, or somebody did it");
}

static int make_parts(struct agent *agent, char *why, size_t why_size)
{
    static const struct session_calls calls = {.up = session_up,
                                               .stop_holders = session_stop_holders,
                                               .lost = session_lost,
                                               .refused = session_refused,
                                               .changed = session_changed,
                                               .heartbeat = session_heartbeat};
    int err = loop_new(&agent->loop);
    if (!err)
        err = watch_signals(agent); /* blocked before the first thread is started */
    if (!err)
        err = kernel_new(agent->loop, &agent->kernel);
    if (err) {
        snprintf(why, why_size, "cannot start: %s", strerror(-err));
        return err;
    }
    err = etcd_client_new(agent->loop, agent->conf, &agent->client, why, why_size);
    if (err)
        return err;
    agent->hub = watch_hub_new(agent->loop, agent->client, session_key_deleted, agent);
    agent->session = session_new(agent->loop, agent->client, agent->conf, &calls, agent);
    if (!agent->hub || !agent->session) {
        snprintf(why, why_size, "out of memory");
        return -ENOMEM;
    }
    return 0;
}

int agent_start(struct agent *agent, char *why, size_t why_size)
{
    struct session_state left;
    bool found;
    int err = make_parts(agent, why, why_size);
    if (err)
        return err;
    agent->state_fd = state_open(agent->dir, &found, &left);
    if (agent->state_fd < 0) {
        snprintf(why, why_size, "cannot write in %s: %s", agent->dir, strerror(-agent->state_fd));
        return agent->state_fd;
    }
    stamp_changed(agent);
    agent->rules = agent->conf;
    agent->listener.fd = -1;
    agent->sweep = (struct loop_timer){.fire = agent_sweep_due, .owner = agent};
    agent->idle = (struct loop_timer){.fire = idle_due, .owner = agent};
    agent->inbox_txn = (struct session_txn){
        .build = inbox_build, .done = inbox_done, .owner = agent, .read_only = true};
    err = server_start(agent, why, why_size);
    if (err)
        return err;
    agent->adopting = found;
    session_open(agent->session, found ? &left : NULL);
    agent_idle_check(agent);
    return 0;
}

void agent_run(struct agent *agent)
{
    loop_run(agent->loop);
}
