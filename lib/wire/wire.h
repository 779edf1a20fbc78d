/*
 * What the preload library and the agent say to each other.
 *
 * One connection per slow operation, SOCK_SEQPACKET, so that a message arrives whole or not at all.
 * Both ends are on one host and of one architecture; a 32-bit library speaks to a 64-bit agent,
 * hence the fixed sizes and no padding.
 *
 *     library                          agent
 *     ACQUIRE + descriptor ─────────►
 *                                      (waits for the cluster's grant)
 *             ◄───────────────────────  DROP      give up the lock you convert from
 *     DROPPED ─────────────────────►
 *             ◄───────────────────────  GO        take the kernel lock, without waiting
 *     LOCKED or BUSY or ERROR ─────►
 *             ◄───────────────────────  OK        the lock is yours; or
 *             ◄───────────────────────  REVOKED   undo it and ask again
 *     (closes)
 *
 * Instead of GO the agent may answer WOULDBLOCK, FAILED (with the reason as text), UNMAPPED (take
 * the kernel lock alone) or AGAIN (this agent is leaving).
 */
#ifndef ETCDFLOCK_WIRE_H
#define ETCDFLOCK_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_MAGIC    0x6b6c6665u
#define WIRE_VERSION  1
#define WIRE_TEXT_MAX 448 /* bytes of text, its terminating zero included */

enum wire_op {
    /* from the library */
    WIRE_ACQUIRE = 1,
    WIRE_LOCKED,
    WIRE_BUSY,
    WIRE_ERROR, /* the kernel refused for another reason: `err` */
    WIRE_DROPPED,
    WIRE_DOWNGRADED, /* the kernel lock went from exclusive to shared; with the descriptor, like
                        ACQUIRE */
    /* from the agent */
    WIRE_GO = 64,
    WIRE_OK,
    WIRE_REVOKED,
    WIRE_WOULDBLOCK,
    WIRE_DROP,
    WIRE_UNMAPPED,
    WIRE_AGAIN,
    WIRE_FAILED,
};

enum wire_mode { WIRE_NONE, WIRE_SH, WIRE_EX };

#define WIRE_NB 1u /* flag of ACQUIRE: never wait for another holder */

struct wire_msg {
    uint32_t magic;
    uint16_t version;
    uint16_t op;
    uint32_t mode; /* enum wire_mode: what is asked for */
    uint32_t held; /* enum wire_mode: what the open file description holds already */
    uint32_t flags;
    int32_t err; /* ERROR, FAILED: a positive errno; ACQUIRE: the caller's descriptor number */
    uint64_t path_hash; /* of the path the library matched; 0 if it could read none */
    char text[WIRE_TEXT_MAX];
};

#define WIRE_HEAD offsetof(struct wire_msg, text)

/* A message ready to be filled in and sent; its text is empty. */
void wire_init(struct wire_msg *msg, enum wire_op op);

/* Bytes of the message to send: the head and as much text as there is. */
size_t wire_size(const struct wire_msg *msg);

/* Is what was received, `got` bytes of it, a sound message? 0, or -EPROTO (garbage or a piece of a
 * message) or -EPROTONOSUPPORT (another version). Terminates the text. */
int wire_check(struct wire_msg *msg, size_t got);

/* Hash of a path as both ends compare it (FNV-1a, never 0). */
uint64_t wire_hash(const char *bytes, size_t len);

#endif
