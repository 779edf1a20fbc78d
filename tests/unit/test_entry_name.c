/* Names of queue entries: what is ours, and what is somebody else's. */
#include "lock/entry.h"

#include "conf/conf.h"
#include "unit.h"

#include <inttypes.h>

static void test_format(void)
{
    static const struct {
        uint64_t lease, number;
        const char *name;
    } cases[] = {
        {0x1, 0, "/k/0000000000000001-0"},
        {0x694d7a0d5c4a2d0b, 1, "/k/694d7a0d5c4a2d0b-1"},
        {0x7fffffffffffffff, 10, "/k/7fffffffffffffff-10"},
        {0x8000000000000000, 7, "/k/8000000000000000-7"},
        {0xffffffffffffffff, UINT64_MAX, "/k/ffffffffffffffff-18446744073709551615"},
        {0x00000000deadbeef, 1732180000000, "/k/00000000deadbeef-1732180000000"},
    };
    char name[ENTRY_NAME_MAX];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t lease = 5, number = 5;

        entry_name("/k", cases[i].lease, cases[i].number, name);
        CHECK_STR("name", name, cases[i].name);
        CHECK("is read back", entry_parse_name(name + 3, &lease, &number) &&
                                  lease == cases[i].lease && number == cases[i].number);
    }
}

static void test_longest(void)
{
    char key[CONF_KEY_MAX + 1], name[ENTRY_NAME_MAX];
    uint64_t lease, number;

    memset(key, 'k', CONF_KEY_MAX);
    key[CONF_KEY_MAX] = '\0';
    entry_name(key, UINT64_MAX, UINT64_MAX, name);
    CHECK("the longest key leaves room for the longest name",
          entry_parse_name(name + CONF_KEY_MAX + 1, &lease, &number));
    CHECK("all of it", lease == UINT64_MAX && number == UINT64_MAX);
}

static void test_foreign_names(void)
{
    static const char *const names[] = {
        /* etcdctl lock and Go's concurrency.Mutex: the lease without leading zeros */
        "694d7a0d5c4a2d0b",
        "7fffffffffffffff",
        "1a2b",
        /* an agent's own numbers, spelt otherwise */
        "694D7A0D5C4A2D0B-1",
        "694d7a0d5c4a2d0B-1",
        "0x694d7a0d5c4a2d-1",
        "94d7a0d5c4a2d0b-1",
        "0694d7a0d5c4a2d0b-1",
        " 694d7a0d5c4a2d0-1",
        "+694d7a0d5c4a2d0-1",
        "-694d7a0d5c4a2d0-1",
        "694d7a0d5c4a2d0b-",
        "694d7a0d5c4a2d0b--1",
        "694d7a0d5c4a2d0b-+1",
        "694d7a0d5c4a2d0b- 1",
        "694d7a0d5c4a2d0b-01",
        "694d7a0d5c4a2d0b-00",
        "694d7a0d5c4a2d0b-1 ",
        "694d7a0d5c4a2d0b-1\n",
        "694d7a0d5c4a2d0b-1.0",
        "694d7a0d5c4a2d0b-1e3",
        "694d7a0d5c4a2d0b-0x1",
        "694d7a0d5c4a2d0b-a",
        "694d7a0d5c4a2d0b-18446744073709551616",
        "694d7a0d5c4a2d0b-99999999999999999999999999999999999999999999999999999999999999999999",
        "694d7a0d5c4a2d0b-000000000000000000000000000000000000000000000000000000000000000001",
        "694d7a0d5c4a2d0b-1/2",
        "694d7a0d5c4a2d0b/1",
        "694d7a0d5c4a2d0b_1",
        "694d7a0d5c4a2d0b1",
        "/694d7a0d5c4a2d0b-1",
        "sub/694d7a0d5c4a2d0b-1",
        "",
        "-",
        "-1",
        "holder",
        "\xff\xfe",
    };
    uint64_t lease, number;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK(names[i], !entry_parse_name(names[i], &lease, &number));
}

/* Digits as the header says them; the number below 2^64 by comparing texts. */
static bool is_ours(const char *name)
{
    static const char most[] = "18446744073709551615";
    size_t len;

    if (strspn(name, "0123456789abcdef") < 16 || name[16] != '-')
        return false;
    name += 17;
    len = strspn(name, "0123456789");
    if (len == 0 || name[len] || (len > 1 && name[0] == '0'))
        return false;
    return len < sizeof most - 1 || (len == sizeof most - 1 && strcmp(name, most) <= 0);
}

/* Every byte of some names replaced by every other, taken out, and doubled. */
static void test_name_mutations(void)
{
    static const char *const names[] = {"7f1b9e1d2c3b4a0d-0", "ffffffffffffffff-12",
                                        "0000000000000001-18446744073709551615"};
    char name[64], again[ENTRY_NAME_MAX];
    size_t wrong = 0, ours = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = strlen(names[i]);

        for (size_t at = 0; at < len; at++)
            for (int value = 0; value < 256 + 2; value++) {
                uint64_t lease, number;

                if (value < 256)
                    snprintf(name, sizeof name, "%s", names[i]);
                else
                    snprintf(name, sizeof name, "%.*s%s", (int)at, names[i],
                             names[i] + (value == 256 ? at + 1 : at));
                if (value < 256)
                    name[at] = (char)value;
                else if (value == 257)
                    memmove(name + at + 1, name + at, strlen(name + at) + 1);
                bool got = entry_parse_name(name, &lease, &number);

                if (got)
                    entry_name("", lease, number, again);
                ours += got;
                if ((got != is_ours(name) || (got && strcmp(again + 1, name) != 0)) && wrong++ == 0)
                    CHECK_FAIL("one byte changed", "\"%s\": got %d", name, got);
            }
    }
    CHECK("one byte changed: as by the rule, and no two spellings", wrong == 0 && ours > 500);
}

int main(void)
{
    test_format();
    test_longest();
    test_foreign_names();
    test_name_mutations();
    return unit_end();
}
