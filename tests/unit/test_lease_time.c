/* The lease's time line: its order for every time to live, and the example of its header. */
#include "lock/lease_time.h"

#include "unit.h"

#define TTL_MAX_S 3600

/* Nothing etcd may give to others before the holders are gone, and time to do it in. */
static void test_order(void)
{
    size_t wrong = 0;

    for (int64_t s = 1; s <= TTL_MAX_S; s++) {
        int64_t ttl = s * 1000;
        int64_t renew = lease_renew_after(ttl), term = lease_term_after(ttl);
        int64_t kill = lease_kill_after(ttl), dead = lease_dead_after(ttl);
        bool good = 0 < renew && renew < term && term < kill && kill < dead && dead < ttl;

        if (!good && wrong++ == 0)
            CHECK_FAIL("order", "ttl %lld: %lld %lld %lld %lld", (long long)ttl, (long long)renew,
                       (long long)term, (long long)kill, (long long)dead);
    }
    CHECK("renew < term < kill < dead < ttl, for every TTL", wrong == 0);
}

/* A keep-alive that is lost is given up and sent again before anybody is stopped for it. */
static void test_second_chance(void)
{
    size_t none = 0, one = 0;

    for (int64_t s = 1; s <= TTL_MAX_S; s++) {
        int64_t ttl = s * 1000;
        int64_t left = lease_term_after(ttl) - lease_renew_after(ttl);

        none += lease_renew_timeout(ttl) >= left;
        one += s >= 2 && 2 * lease_renew_timeout(ttl) >= left;
    }
    CHECK_INT("time for a second keep-alive, from 1 s on", (long long)none, 0);
    CHECK_INT("time for two that fail and a third, from 2 s on", (long long)one, 0);
}

static void test_example(void)
{
    CHECK_INT("renew", lease_renew_after(15000), 5000);
    CHECK_INT("term", lease_term_after(15000), 11250);
    CHECK_INT("kill", lease_kill_after(15000), 13500);
    CHECK_INT("dead", lease_dead_after(15000), 14250);
    CHECK_INT("least time-out", lease_renew_timeout(1000), 300);
    CHECK_INT("time-out", lease_renew_timeout(6000), 1000);
    CHECK_INT("greatest time-out", lease_renew_timeout(3600000), 2000);
}

/* A lost lease without a deadline: the holders are gone before waiters go on. */
static void test_grace(void)
{
    CHECK("killed inside the grace", LEASE_LOST_KILL_MS > 0 && LEASE_LOST_KILL_MS < LEASE_GRACE_MS);
}

int main(void)
{
    test_order();
    test_second_chance();
    test_example();
    test_grace();
    return unit_end();
}
