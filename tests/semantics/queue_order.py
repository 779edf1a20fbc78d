"""Order, tries and traces: what can be seen of the queue from outside."""
import subprocess

from flocktest import case, main, only

TURNS = {"bare": 200, "one": 300, "two": 1000}


@case
def tries_in_turn_always_succeed(t):
    "Host a runs `flock -n f true` to its end, then host b does, again and again: nobody is ever refused."
    paths = {host: t.path(host) for host in "ab"}
    envs = {host: t.env(host) for host in "ab"}
    refused = []
    for turn in range(TURNS[t.mode]):
        for host in "ab":
            if subprocess.call(["flock", "-n", paths[host], "true"], env=envs[host]) != 0:
                refused.append((turn, host))
    t.equal(refused, [], f"refusals in {TURNS[t.mode]} turns")


@case
def tries_of_lockers_in_turn(t):
    "The same from processes that live on, through unlock and through close."
    a, b = t.open("a"), t.open("b")
    for _ in range(100):
        for fd in (a, b):
            fd.tries("ex")
            fd.unlocks()
        again = a.locker.open(t.path("a"))
        again.tries("ex")
        again.close()
        b.tries("sh")
        b.unlocks()


@case
def try_right_after_a_kill(t):
    "The holder is killed and gone: a try that begins after that succeeds."
    for _ in range(10):
        a, b = t.open("a"), t.open("b")
        a.locks("ex")
        b.refused("ex")
        a.locker.kill()
        b.tries("ex")
        b.unlocks()


@case
@only("one", "two")
def first_come_first_served(t):
    "Waiters are served in the order in which they came."
    hosts = "baba" if t.mode == "two" else "bb"
    a = t.open("a")
    a.locks("ex")
    waiters = []
    for place, host in enumerate(hosts):
        fd = t.open(host)
        waiters.append((fd, fd.waits("ex")))
        if t.mode == "two" and place < 2:
            t.queued(2 + place)
    a.unlocks()
    order = []
    for _ in waiters:
        t.until(lambda: any(job.poll(0) for _, job in waiters if (_, job) not in order), "somebody is granted")
        served = next(entry for entry in waiters if entry[1].answer and entry not in order)
        order.append(served)
        served[1].granted()
        served[0].unlocks()
    if t.mode == "two":
        t.equal([fd.locker.name[0] for fd, _ in order[:2]], ["b", "a"], "the first two served")


@case
@only("one", "two")
def refused_tries_leave_nothing(t):
    "Fifty tries that fail leave the queue and the asks as they were."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    for _ in range(50):
        b.refused("ex")
        b.refused("sh")
    t.queued(1)
    t.until(lambda: not t.etcd.keys("/etcdflock/ask/"), "no ask is left")
    a.unlocks()


@case
@only("one", "two")
def entry_says_who_and_how(t):
    "The entry of a holder names its host and mode, and changes in place with a downgrade."
    a = t.open("a")
    a.locks("ex")
    (key, value), = t.etcd.keys(t.key() + "/")
    t.check('"mode":"ex"' in value.replace(" ", ""), f"mode of the holder in {value}")
    t.check('"host":"a"' in value.replace(" ", ""), f"host of the holder in {value}")
    a.locks("sh")
    t.open("b").locks("sh")
    t.check(key in [k for k, _ in t.etcd.keys(t.key() + "/")], "the key stays while the lock is held")


@case
@only("one", "two")
def released_by_itself(t):
    "With nobody holding and nobody waiting the key's queue is empty again soon."
    a = t.open("a")
    for _ in range(3):
        a.locks("ex")
        t.queued(1)
        a.unlocks()
        t.queued(0)


main()
