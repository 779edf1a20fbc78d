/*
 * The agent's parts and how they hang together.
 *
 *     server.c     connections of the preload library  ─► requests
 *     file.c       one inode under one key: what can be done next
 *     requests.c   its requests and their pins
 *     observe.c    what the kernel shows of its lock
 *     entries.c    its entry in etcd that is held
 *     waiting.c    its entry in etcd that waits
 *     try.c        LOCK_NB without a grant: try, join, ask
 *     asks.c       other agents' asks, and the answers
 *     owner.c      who is shown as the holder
 *     loss.c       stopping the holders of a lost lock
 *     adopt.c      what an agent that was killed has left
 *     sweep.c      the regular look at the own keys
 *     agent.c      session, inbox, coming and going
 */
#ifndef ETCDFLOCK_AGENT_AGENT_H
#define ETCDFLOCK_AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/kernel.h"
#include "agent/loop.h"
#include "conf/conf.h"
#include "etcd/session.h"
#include "etcd/watch.h"
#include "lock/queue.h"
#include "wire/wire.h"

#define PIN_MS                                                                                     \
    200 /* for a client to take the kernel lock and say so; 10 ms would be long enough on an idle  \
           host */
#define TRY_MS 1900 /* a try has its answer by then: "within 2 s" */
#define JOIN_MS                                                                                    \
    1000 /* a blocked reader joins other hosts' readers after that, so that nested readers never   \
            hang */
#define RECHECK_MS     5000 /* bounds what a watch may have missed */
#define SUSPECTS       64
#define AGENT_PATH_MAX ENTRY_PATH_MAX

struct agent;
struct file;

/* ---- a client's request ---- */

enum request_state {
    REQUEST_WAITING,
    REQUEST_DROPPING,  /* told to give up the lock it converts from */
    REQUEST_PINNED,    /* told GO */
    REQUEST_EXPIRED,   /* told GO and did not answer in time: counts no more, may still answer */
    REQUEST_UNDOING,   /* told REVOKED; ends when the connection does */
    REQUEST_DOWNGRADE, /* wants its downgrade to be known */
};

struct request {
    struct agent *agent;
    struct request *next, *previous; /* in its file, in order of arrival */
    struct file *file;               /* NULL until ACQUIRE has come */
    struct loop_fd connection;
    struct loop_fd process; /* pidfd: the connection may live on in a fork */
    struct loop_timer timer;
    enum request_state state;
    enum entry_mode mode;
    bool nb;
    bool assigned;    /* the present grant was made for it */
    bool through;     /* a reader that is let through beside the host's readers */
    bool looked;      /* a reader for whom the queue has been read */
    bool holds;       /* its description has the kernel lock of this mode already */
    bool upgrade;     /* converts from shared to exclusive */
    bool kernel_busy; /* had GO, and somebody here was quicker */
    int64_t arrived;  /* loop_now */
    int64_t
        join_at; /* a reader that still waits then joins readers elsewhere, past those who wait */
    pid_t pid;
    int fd; /* its number in the program */
    char command[ENTRY_TEXT_MAX];
};

/* ---- an entry in etcd ---- */

enum entry_state {
    ENTRY_ABSENT,
    ENTRY_QUEUED,  /* next: in the queue or on its way there */
    ENTRY_HELD,    /* cur: granted */
    ENTRY_LEAVING, /* being deleted; a release once sent is never taken back */
};

struct entry {
    enum entry_state state;
    enum entry_mode mode;
    bool joined;
    bool placed; /* next: etcd has it */
    int64_t create, mod, token;
    int64_t since; /* wall-clock ms */
    pid_t pid;
    char command[ENTRY_TEXT_MAX];
    char name[ENTRY_NAME_MAX];
};

/* Another agent's question about one of our entries; see asks.c. */
struct ask {
    struct ask *next;
    struct file *file; /* NULL: it has gone while the answer was on its way */
    struct session_txn txn;
    enum entry_mode mode;
    int64_t create;
    int64_t lease;
    int64_t noted; /* loop_now */
    bool answering, again;
    char entry[ENTRY_NAME_MAX];
    char name[];
};

/* ---- one inode under one key ---- */

struct predecessor {
    uint64_t agent;
    char name[ENTRY_NAME_MAX];
};

enum try_state { TRY_IDLE, TRY_PUT, TRY_JOIN, TRY_ASK, TRY_WAIT, TRY_LOOK, TRY_CLEAN };

#define ASK_BUSY "{\"v\":1,\"busy\":true}" /* the value of an ask that has been answered */

struct
try {
    enum try_state state;
    enum entry_mode mode;
    bool for_reader; /* that blocks: it joins if it can, and goes on waiting if not */
    struct session_txn txn;
    struct watch *watch;    /* of the ask and of the holder's entry */
    int64_t watch_revision; /* from which it sees everything; 0: not yet */
    bool look_after;        /* it has shown something while a transaction was under way */
    int64_t asked_revision; /* of the store, when the ask was put */
    int64_t asked_at;       /* loop_now */
    int64_t revision;       /* of the read that the join relies on */
    int64_t holder_create, holder_mod;
    struct entry entry; /* to be put */
    char holder[ENTRY_NAME_MAX];
    char ask[SESSION_KEY_MAX]; /* "": none there */
    struct loop_timer join;    /* the next reader's join_at, or again_at */
    int64_t again_at;          /* loop_now: not before */
};

struct file {
    struct agent *agent;
    struct file *next, *previous;
    struct loop_later step;
    dev_t dev;
    ino_t ino;
    enum conf_on_lost on_lost;
    int lost_signal;
    unsigned timeout_ms;
    char *key;
    char *prefix; /* KEY/ */
    char *path;
    struct request *first, *last;

    /* kernel side */
    struct kernel_file *kernel;
    bool opened;
    int open_error;
    bool line_on, test_on;
    uint64_t grants; /* how many GO have been said: an observation of the kernel from before the
                        last one is stale */
    uint64_t line_grants, test_grants, turn_grants;
    int64_t test_at; /* loop_now, when the test under way began */
    bool renamed;    /* said in the log */
    struct loop_timer line_retry;

    /* cluster side */
    struct entry cur, next_entry;
    struct session_txn cur_txn, next_txn, look_txn;
    enum {
        CUR_RELEASE,
        CUR_DOWNGRADE,
        CUR_LOOK_UPGRADE,
        CUR_UPGRADE,
        CUR_REFRESH,
        CUR_LOOK_TURN
    } cur_op;
    enum { NEXT_ENQUEUE, NEXT_CHECK, NEXT_CANCEL, NEXT_JOIN } next_op;
    int64_t upgrade_revision;      /* of the read that an upgrade in place relies on */
    int64_t upgrade_behind_create; /* and of the first who waits, who must still be there */
    char upgrade_behind[ENTRY_NAME_MAX];
    int64_t held_since; /* loop_now: when the turn began */
    bool contested; /* by others than this file, at the last read of the queue under this grant */
    bool upgrade_failed; /* in place was not possible: the second entry does it */
    bool downgrade_wanted;
    struct watch *watch; /* of the blocker */
    char watched[ENTRY_NAME_MAX];
    uint64_t watched_agent;
    int64_t watched_gone; /* revision of its deletion; 0: not seen */
    int64_t asked_gone;   /* the check under way asks for the mark of this revision; 0: for none */
    uint64_t asked_agent; /* and of this agent */
    bool check_again;     /* something happened while a check was under way */
    struct predecessor *predecessors; /* in conflict and ahead at the last read */
    size_t n_predecessors, room;
    int64_t grace_until;   /* loop_now; 0: none */
    int64_t read_revision; /* of the last read of the queue */
    int64_t queued_at;     /* loop_now, of the next entry */
    int64_t join_revision, join_holder_create;
    char join_holder[ENTRY_NAME_MAX];
    bool no_history; /* the revision of a deletion has been compacted */
    struct loop_timer recheck, turn, cur_retry, next_retry, look_retry, need;
    struct try try;
    struct ask *asks;

    /* loss */
    bool stopping; /* those who held it are not gone yet */
    bool scanning;
    struct kernel_scan scan;
    int64_t kill_at; /* loop_now */
    struct loop_timer kill_timer;

    struct kernel_scan owner_scan;
    bool owner_scanning;
    int64_t owner_create; /* of the tenure that is looked at */
};

struct agent {
    struct loop *loop;
    struct conf *conf;
    char conf_fault[512]; /* why the file of the configuration as it is now cannot be used; "" if it
                             can */
    int64_t conf_stamp[4];
    struct etcd_client *client;
    struct session *session;
    struct watch_hub *hub;
    struct kernel *kernel;
    struct file *files;
    struct conf *rules; /* the configuration as last read; conf is the one of the start, for etcd */
    uint64_t last_number; /* of an entry */
    char dir[512];        /* the runtime directory of this configuration */
    uint64_t lease;       /* of the last session, for messages */
    int lock_fd, state_fd;
    struct loop_fd listener;
    struct loop_timer listen_again;
    unsigned clients;
    struct loop_fd signals;
    struct watch *inbox;
    char inbox_prefix[SESSION_KEY_MAX];
    struct session_txn inbox_txn;
    bool inbox_again;
    struct loop_timer sweep, idle;
    struct etcd_request *sweep_request;
    uint64_t suspects[SUSPECTS],
        fresh_suspects
            [SUSPECTS];   /* hashes of keys on our lease that nobody knew at the last look */
    int64_t idle_exit_ms; /* negative: stays */
    struct session_txn adopt_txn;
    bool adopting; /* requests wait until what a killed agent left is sorted out */
    struct adopted *adopted;
    bool leaving, closing;
};

/* ---- server.c ---- */
int server_start(struct agent *agent, char *why, size_t why_size);
void server_stop(struct agent *agent);
void request_say(struct request *request, enum wire_op op);
/* FAILED with a reason for people; ends the request. */
void request_fail(struct request *request, int err, const char *why);
/* Says the last word and ends the request. */
void request_end(struct request *request, enum wire_op op);
void request_free(struct request *request);
/* Tells it to give up the kernel lock that its description has. */
void request_drop(struct request *request);

/* ---- file.c ---- */
/* The file of an inode under a key, made if it is new. Takes `path_fd` over. */
struct file *file_get(struct agent *agent, const struct conf_rule *rule, const char *key,
                      const char *path, dev_t dev, ino_t ino, int path_fd);
/* The same for a file that is known by its path and inode only; found and opened in a thread. */
struct file *file_get_named(struct agent *agent, const struct conf_rule *rule, const char *key,
                            const char *path, dev_t dev, ino_t ino);
struct file *file_find_entry(struct agent *agent, const char *entry);
/* Something has changed: the file's step runs soon. */
void file_poke(struct file *file);
void file_check_name(struct file *file);
/* Does the grant cover this mode, now and for whoever is told so? */
bool file_stands(const struct file *file, enum entry_mode mode);
void file_free(struct file *file);

/* ---- requests.c ---- */
void file_add(struct file *file, struct request *request);
void file_remove(struct file *file, struct request *request);
void file_heard(struct request *request, const struct wire_msg *msg);
/* All who wait to read are served under the present shared grant. */
void file_let_readers_through(struct file *file);
void file_fail_waiting(struct file *file, const char *why);
/* Says GO, unless a revoked request is still to undo its lock on the same open file description. */
void file_go(struct request *request);
bool file_is_undoing(const struct file *file, const struct request *request);

/* ---- observe.c ---- */
unsigned file_pins(const struct file *file);
/* Tests the kernel lock, if no test is under way. */
void file_test(struct file *file, enum entry_mode mode);
void file_line_step(struct file *file);
/* The lock is free here and the grant goes on: GO to those who are first, or release. */
void file_serve_turn(struct file *file);
void file_opened(void *owner, int err);
void file_freed(void *owner, int err);
void file_tested(void *owner, enum entry_mode mode, int held);
void file_retry_due(struct loop_timer *timer);

/* ---- entries.c ---- */
void entries_init(struct file *file);
void entries_step(struct file *file);
void entries_release(struct file *file);
void entries_downgrade(struct file *file);
/* Puts the value again, with another pid and command. */
void entries_refresh(struct file *file);
void entries_upgrade(struct file *file);
void entries_look(struct file *file);
/* The turn is over and programs of this host wait: goes on under the same grant if nobody else waits. */
void entries_look_turn(struct file *file);
void entries_note_others(struct file *file, const struct queue *queue);
void entries_hold(struct file *file, const struct entry *entry);
void entries_forget(struct file *file);
char *entries_value(const struct file *file, const struct entry *entry);
void entries_new(struct file *file, struct entry *entry, enum entry_mode mode,
                 const struct request *for_whom);
/* The entry of name `gone` has left the queue by our own doing: look at the rest. */
void entries_check(struct file *file);

/* ---- try.c ---- */
void try_init(struct file *file);
void try_step(struct file *file);
void try_stop(struct file *file);

/* ---- asks.c ---- */
void asks_note(struct agent *agent, const struct etcd_kv *kv);
void asks_step(struct file *file);
void asks_tested(struct file *file, enum entry_mode mode, bool held);
bool asks_want_test(const struct file *file, enum entry_mode *mode);
void asks_forget(struct file *file);

/* ---- loss.c ---- */
void loss_stop(struct file *file, bool kill_now);
/* Nobody here holds the lost lock any more. */
void loss_over(struct file *file);
void loss_kill_due(struct loop_timer *timer);
void loss_of_entry(struct file *file, const char *why);

/* ---- owner.c ---- */
/* The name of a process's program; "" if it has gone. */
void owner_command(pid_t pid, char out[ENTRY_TEXT_MAX]);
/* Looks for the present holder if the one in the entry's value has ended. */
void owner_check(struct file *file);

/* ---- adopt.c ---- */
void adopt_start(struct agent *agent);

/* ---- agent.c ---- */
/* `conf`, `dir`, `lock_fd` and `idle_exit_ms` are set; listens and opens a session, or takes up the
 * one that an agent before this one left. 0, or a negative errno and *why. */
int agent_start(struct agent *agent, char *why, size_t why_size);
/* ---- sweep.c ---- */
void agent_sweep_due(struct loop_timer *timer);
void agent_sweep_soon(struct agent *agent);
/* The keys on our lease. */
struct etcd_request *agent_list_keys(struct agent *agent, etcd_done *done);
void agent_run(struct agent *agent);
void agent_idle_check(struct agent *agent);
void agent_read_inbox(struct agent *agent);
/* Deletes a key of ours that nothing here needs. */
void agent_delete_stray(struct agent *agent, const char *key);
uint64_t agent_number(struct agent *agent);
/* Reads the configuration again if its file has changed. */
void agent_reload(struct agent *agent);

/* ---- log.c ---- */
void log_open(const char *path);
__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);

#endif
