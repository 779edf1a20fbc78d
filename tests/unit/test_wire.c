/* Messages between library and agent: their layout, pieces of them and garbage. */
#include "wire/wire.h"

#include "unit.h"

#include <errno.h>
#include <stdlib.h>

/* A 32-bit library speaks to a 64-bit agent: every place is fixed. */
static void test_layout(void)
{
    CHECK_INT("magic", offsetof(struct wire_msg, magic), 0);
    CHECK_INT("version", offsetof(struct wire_msg, version), 4);
    CHECK_INT("op", offsetof(struct wire_msg, op), 6);
    CHECK_INT("mode", offsetof(struct wire_msg, mode), 8);
    CHECK_INT("held", offsetof(struct wire_msg, held), 12);
    CHECK_INT("flags", offsetof(struct wire_msg, flags), 16);
    CHECK_INT("err", offsetof(struct wire_msg, err), 20);
    CHECK_INT("path_hash", offsetof(struct wire_msg, path_hash), 24);
    CHECK_INT("text", WIRE_HEAD, 32);
    CHECK_INT("all of it", sizeof(struct wire_msg), 32 + WIRE_TEXT_MAX);
}

static struct wire_msg sound(enum wire_op op, const char *text)
{
    struct wire_msg msg;

    memset(&msg, 0xa5, sizeof msg);
    wire_init(&msg, op);
    snprintf(msg.text, sizeof msg.text, "%s", text);
    return msg;
}

static void test_init(void)
{
    struct wire_msg msg = sound(WIRE_ACQUIRE, "");

    CHECK_INT("magic", msg.magic, WIRE_MAGIC);
    CHECK_INT("version", msg.version, WIRE_VERSION);
    CHECK_INT("op", msg.op, WIRE_ACQUIRE);
    CHECK("the rest of the head is zero",
          !msg.mode && !msg.held && !msg.flags && !msg.err && !msg.path_hash);
    CHECK_STR("text", msg.text, "");
    CHECK_INT("size without text", (long long)wire_size(&msg), 33);
    CHECK_INT("it is sound", wire_check(&msg, wire_size(&msg)), 0);
}

static void test_size(void)
{
    struct wire_msg msg = sound(WIRE_FAILED, "no etcd");

    CHECK_INT("with text", (long long)wire_size(&msg), 32 + 8);
    memset(msg.text, 'x', sizeof msg.text);
    CHECK_INT("an unterminated text: never more than there is", (long long)wire_size(&msg),
              sizeof msg);
    CHECK_INT("and refused", wire_check(&msg, wire_size(&msg)), -EPROTO);
    msg.text[WIRE_TEXT_MAX - 1] = '\0';
    CHECK_INT("the longest text", (long long)wire_size(&msg), sizeof msg);
    CHECK_INT("is sound", wire_check(&msg, sizeof msg), 0);
    CHECK_INT("more than a message", wire_check(&msg, sizeof msg + 1), -EPROTO);
}

/* A copy in memory of just that size: a sanitizer sees who looks behind it. */
static int check_piece(const struct wire_msg *msg, size_t got)
{
    void *piece = malloc(got ? got : 1);
    int err = piece ? wire_check(memcpy(piece, msg, got), got) : -ENOMEM;

    free(piece);
    return err;
}

static void test_pieces(void)
{
    struct wire_msg msg = sound(WIRE_FAILED, "etcd is out of reach");
    size_t whole = wire_size(&msg), accepted = 0;

    for (size_t got = 0; got <= whole; got++)
        accepted += check_piece(&msg, got) == 0;
    CHECK_INT("only the whole message is one", (long long)accepted, 1);
    CHECK_INT("nothing at all", check_piece(&msg, 0), -EPROTO);
    CHECK_INT("a head without text", check_piece(&msg, WIRE_HEAD), -EPROTO);
}

static int check_bytes(const unsigned char *bytes, size_t len)
{
    struct wire_msg msg;

    memset(&msg, 0xff, sizeof msg);
    memcpy(&msg, bytes, len);
    return wire_check(&msg, len);
}

/* What the header of wire.h says, byte by byte (little-endian). */
static int reference(const unsigned char *b, size_t len)
{
    static const unsigned char magic[] = {0x65, 0x66, 0x6c, 0x6b};

    if (memcmp(b, magic, sizeof magic) != 0)
        return -EPROTO;
    if (b[4] != WIRE_VERSION || b[5])
        return -EPROTONOSUPPORT;
    for (size_t at = 8; at < 16; at += 4)
        if (b[at] > WIRE_EX || b[at + 1] || b[at + 2] || b[at + 3])
            return -EPROTO;
    return b[len - 1] ? -EPROTO : 0;
}

/* Every byte of a message in all of its values. */
static void test_mutations(void)
{
    struct wire_msg msg = sound(WIRE_ACQUIRE, "flock");
    unsigned char bytes[sizeof msg];
    size_t len = wire_size(&msg), wrong = 0, accepted = 0;

    msg.mode = WIRE_EX;
    msg.held = WIRE_SH;
    for (size_t at = 0; at < len; at++)
        for (unsigned value = 0; value < 256; value++) {
            memcpy(bytes, &msg, len);
            bytes[at] = (unsigned char)value;
            int got = check_bytes(bytes, len), wanted = reference(bytes, len);

            accepted += got == 0;
            if (got != wanted && wrong++ == 0)
                CHECK_FAIL("mutations", "byte %zu = %u: got %d, wanted %d", at, value, got, wanted);
        }
    CHECK("mutations: as by the rule", wrong == 0 && accepted > 1000);
}

static void test_garbage(void)
{
    unsigned char bytes[sizeof(struct wire_msg)];
    uint32_t seed = 1;
    size_t accepted = 0;

    for (unsigned round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1664525 + 1013904223;
            bytes[i] = (unsigned char)(seed >> 24);
        }
        accepted += check_bytes(bytes, 1 + seed % sizeof bytes) == 0;
    }
    CHECK_INT("garbage that is a message", (long long)accepted, 0);
}

static void test_hash(void)
{
    CHECK("FNV-1a of nothing", wire_hash("", 0) == 0xcbf29ce484222325u);
    CHECK("FNV-1a of a", wire_hash("a", 1) == 0xaf63dc4c8601ec8cu);
    CHECK("FNV-1a of foobar", wire_hash("foobar", 6) == 0x85944171f73967e8u);
    CHECK("bytes are unsigned", wire_hash("\xff", 1) == 0xaf64724c8602eb6eu);
    CHECK("length counts", wire_hash("a\0", 2) != wire_hash("a", 1));
}

int main(void)
{
    test_layout();
    test_init();
    test_size();
    test_pieces();
    test_mutations();
    test_garbage();
    test_hash();
    return unit_end();
}
