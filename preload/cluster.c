/*
 * The cluster first, the kernel second: the agent gets the host's grant and says GO, we take the
 * kernel lock without waiting and say so, the agent says OK. GO alone is a hint, never authority:
 * the agent may have died meanwhile, and its successor may have given the grant back.
 *
 * We wait in a single place, one blocking receive. If the agent goes away while we hold the kernel
 * lock without its word, we keep it and ask the next agent: another process may share this open
 * file description and rely on the lock by now, so that undoing it is for an agent to decide.
 */
#include "cluster.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent_link.h"
#include "guest.h"
#include "held.h"
#include "original.h"

#define ATTEMPTS_MAX 8 /* agents that died on us without a word before we give up */

struct call {
    int fd;
    int kernel_mode; /* LOCK_SH or LOCK_EX */
    enum wire_mode mode;
    bool nb;
    bool converts;    /* the description holds a lock of the other mode */
    bool unconfirmed; /* we took the kernel lock and no agent has said OK yet */
    bool progress;    /* the present agent has answered something */
    const char *path;
    uint64_t path_hash;
};

enum { TRY_AGAIN = 1 };

static int kernel_flock(int fd, int operation)
{
    return original_flock(fd, operation) == 0 ? 0 : -errno;
}

static void undo(struct call *call)
{
    (void)kernel_flock(call->fd, LOCK_UN);
    call->unconfirmed = false;
}

static void say_call(struct say *line, const struct call *call)
{
    say_text(line, ": flock on ");
    say_text(line, call->path[0] ? call->path : "a file whose path /proc does not show");
    say_text(line, " fails with ENOLCK");
}

static int fail(struct call *call, struct say *why)
{
    if (call->unconfirmed)
        undo(call);
    say_call(why, call);
    say_failure(why);
    return -ENOLCK;
}

static int fail_errno(struct call *call, const char *what, int err)
{
    struct say line;
    say_start(&line);
    say_text(&line, what);
    say_errno(&line, -err);
    return fail(call, &line);
}

static const char *op_name(unsigned op)
{
    static const char *const names[] = {
        [WIRE_ACQUIRE] = "ACQUIRE", [WIRE_LOCKED] = "LOCKED",
        [WIRE_BUSY] = "BUSY",       [WIRE_ERROR] = "ERROR",
        [WIRE_DROPPED] = "DROPPED", [WIRE_DOWNGRADED] = "DOWNGRADED",
        [WIRE_GO] = "GO",           [WIRE_OK] = "OK",
        [WIRE_REVOKED] = "REVOKED", [WIRE_WOULDBLOCK] = "WOULDBLOCK",
        [WIRE_DROP] = "DROP",       [WIRE_UNMAPPED] = "UNMAPPED",
        [WIRE_AGAIN] = "AGAIN",     [WIRE_FAILED] = "FAILED",
    };
    return op < sizeof names / sizeof *names && names[op] ? names[op] : "?";
}

/* ETCDFLOCK_DEBUG=1: each message of the conversation. */
static void trace(const char *who, unsigned op)
{
    struct say line;
    if (!guest_get()->debug)
        return;
    say_start(&line);
    say_text(&line, who);
    say_text(&line, op_name(op));
    say_debug(&line);
}

static void trace_call(const struct call *call, const char *what, int result)
{
    struct say line;
    if (!guest_get()->debug)
        return;
    say_start(&line);
    say_text(&line, "flock(");
    say_number(&line, call->fd);
    say_text(&line, call->mode == WIRE_SH ? ", LOCK_SH" : ", LOCK_EX");
    say_text(&line, call->nb ? "|LOCK_NB) on " : ") on ");
    say_text(&line, call->path);
    say_text(&line, what);
    if (result < 0) {
        say_text(&line, "error ");
        say_number(&line, -result);
    }
    say_debug(&line);
}

static int answer(int link, enum wire_op op, int err)
{
    trace("  library: ", op);
    struct wire_msg msg;
    wire_init(&msg, op);
    msg.err = err;
    return link_send(link, &msg, -1);
}

/* GO: the kernel lock, without waiting. */
static int take_kernel_lock(struct call *call, int link)
{
    int err;
    do
        err = kernel_flock(call->fd, call->kernel_mode | LOCK_NB);
    while (err == -EINTR);
    if (err == 0) {
        call->unconfirmed = true;
        return answer(link, WIRE_LOCKED, 0);
    }
    if (err == -EWOULDBLOCK)
        return answer(link, WIRE_BUSY, 0);
    (void)answer(link, WIRE_ERROR, -err);
    return err;
}

/* Returns 0 when there is more to hear, TRY_AGAIN, or the call's result: 2 for success. */
enum { HAVE_LOCK = 2 };

static int obey(struct call *call, int link, const struct wire_msg *msg)
{
    call->progress = true;
    trace("  agent: ", msg->op);
    switch (msg->op) {
    case WIRE_GO:
        return take_kernel_lock(call, link);
    case WIRE_OK:
        call->unconfirmed = false;
        return HAVE_LOCK;
    case WIRE_REVOKED:
        undo(call);
        return TRY_AGAIN; /* closing the connection tells the agent that it is undone */
    case WIRE_WOULDBLOCK:
        /* A conversion that fails has lost the old lock, on one kernel too. No other try unlocks anything: a
         * sibling may have taken the lock through this very description meanwhile. */
        if (call->converts || call->unconfirmed)
            undo(call);
        return -EWOULDBLOCK;
    case WIRE_DROP:
        undo(call);
        return answer(link, WIRE_DROPPED, 0);
    case WIRE_UNMAPPED: {
        int err = kernel_flock(call->fd, call->kernel_mode | (call->nb ? LOCK_NB : 0));
        return err ? err : HAVE_LOCK;
    }
    case WIRE_AGAIN:
        return TRY_AGAIN;
    case WIRE_FAILED: {
        struct say line;
        say_start(&line);
        say_text(&line, msg->text);
        return fail(call, &line);
    }
    default:
        return -EPROTO;
    }
}

static int converse(struct call *call, int link, enum wire_mode held)
{
    struct wire_msg msg;
    wire_init(&msg, WIRE_ACQUIRE);
    call->converts = held != WIRE_NONE && held != call->mode;
    msg.mode = call->mode;
    msg.held = held;
    msg.flags = call->nb ? WIRE_NB : 0;
    msg.err = call->fd;
    msg.path_hash = call->path_hash;
    trace("  library: ", msg.op);
    int err = link_send(link, &msg, call->fd);
    while (!err) {
        err = link_receive(link, &msg);
        if (err == -EINTR && (call->unconfirmed || call->nb)) {
            err = 0; /* the agent's word is due at once, and LOCK_NB knows no EINTR */
            continue;
        }
        if (!err)
            err = obey(call, link, &msg);
    }
    return err;
}

/* EX to SH: the kernel first, where it cannot fail or wait, then the agent, so that readers elsewhere can
 * join. If the agent knows of no grant behind this lock, or has gone, the ordinary way decides: what the description then
 * holds is a shared lock. */
static int downgrade(struct call *call)
{
    int err = kernel_flock(call->fd, LOCK_SH | LOCK_NB);
    if (err)
        return TRY_AGAIN; /* somebody was quicker: ask like everybody else */
    struct say why;
    say_start(&why);
    int link = link_open(true, &why);
    if (link == -EINTR)
        return TRY_AGAIN;
    if (link < 0)
        return fail(call, &why);
    struct wire_msg msg;
    wire_init(&msg, WIRE_DOWNGRADED);
    msg.mode = WIRE_SH;
    msg.path_hash = call->path_hash;
    msg.err = call->fd;
    trace("  library: ", msg.op);
    err = link_send(link, &msg, call->fd);
    if (!err) {
        do
            err = link_receive(link, &msg);
        while (err == -EINTR);
    }
    if (!err)
        trace("  agent: ", msg.op);
    link_close(link);
    if (err)
        return err;
    if (msg.op == WIRE_OK || msg.op == WIRE_UNMAPPED)
        return HAVE_LOCK;
    if (msg.op == WIRE_FAILED) {
        say_text(&why, msg.text);
        return fail(call, &why);
    }
    return TRY_AGAIN;
}

static int attempt(struct call *call)
{
    enum wire_mode held;
    int err = held_mode(call->fd, &held);
    if (err)
        return fail_errno(call, "cannot read /proc/thread-self/fdinfo: ", err);
    if (held == WIRE_EX && call->mode == WIRE_SH)
        return downgrade(call);
    struct say why;
    say_start(&why);
    int link = link_open(call->nb, &why);
    if (link == -EINTR) {
        if (call->nb || call->unconfirmed)
            return TRY_AGAIN;
        return -EINTR;
    }
    if (link < 0)
        return fail(call, &why);
    err = converse(call, link, held);
    link_close(link);
    return err;
}

static int take(struct call *call)
{
    long flags = guest_call(SYS_fcntl, call->fd, F_GETFL);
    if (flags < 0 || (flags & O_PATH))
        return -EBADF;
    for (int deaths = 0;;) {
        call->progress = false;
        int result = attempt(call);
        switch (result) {
        case HAVE_LOCK:
            return 0;
        case TRY_AGAIN:
            deaths = 0;
            break;
        case -ECONNRESET: /* the agent died or was just leaving */
            deaths = call->progress ? 1 : deaths + 1;
            if (deaths > ATTEMPTS_MAX)
                return fail_errno(call,
                                  "the agent (etcdflockd) keeps dying, see its log: ", result);
            break;
        case -EAGAIN: /* also EWOULDBLOCK, which the agent's word gives */
            return result;
        case -EINTR:
        case -ENOLCK:
        case -EBADF:
            return result;
        default:
            return fail_errno(call, "the conversation with the agent failed: ", result);
        }
    }
}

int cluster_flock(int fd, int operation, const char *path, uint64_t path_hash)
{
    struct call call = {
        .fd = fd,
        .kernel_mode = operation & ~LOCK_NB,
        .mode = (operation & ~LOCK_NB) == LOCK_SH ? WIRE_SH : WIRE_EX,
        .nb = operation & LOCK_NB,
        .path = path,
        .path_hash = path_hash,
    };
    trace_call(&call, "", 0);
    int result = take(&call);
    trace_call(&call, result ? ": " : ": locked", result);
    return result;
}

int cluster_no_config(const char *name, int err)
{
    struct say line;
    say_start(&line);
    say_text(&line, guest_get()->config[0] ? guest_get()->config : "ETCDFLOCK_CONFIG");
    say_text(&line, ": cannot read the configuration (");
    say_errno(&line, err);
    say_text(&line, "); create it, set ETCDFLOCK_CONFIG, or set ETCDFLOCK_DISABLE=1: ");
    say_text(&line, name);
    say_text(&line, " fails with ENOLCK");
    say_failure(&line);
    return -ENOLCK;
}

int cluster_no_record_locks(const char *name, const char *path)
{
    struct say line;
    say_start(&line);
    say_text(&line, name);
    say_text(&line, " on ");
    say_text(&line, path);
    say_text(&line, " fails with ENOLCK: record locks do not reach across hosts in this version; "
                    "use flock, or take "
                    "the path out of the configuration");
    say_failure(&line);
    return -ENOLCK;
}
