"""Several threads of one process."""
import signal

from flocktest import case, main


@case
def two_threads_wait(t):
    "Two threads of one process, each with its own open, wait and are served one after the other."
    a, b = t.open("a"), t.open("b")
    second = b.locker.open(t.path("b"))
    a.locks("ex")
    jobs = [(b, b.waits("ex")), (second, second.waits("ex"))]
    a.unlocks()
    t.until(lambda: any(job.poll(0) for _, job in jobs), "one of the two is granted")
    jobs.sort(key=lambda entry: entry[1].answer is None)
    jobs[0][1].granted()
    jobs[1][1].still_blocked()
    jobs[0][0].unlocks()
    jobs[1][1].granted()


@case
def two_threads_on_one_description(t):
    "Two threads wait through one description: they are one owner, both are granted at once."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    one, two = b.waits("ex"), b.waits("ex")
    a.unlocks()
    one.granted()
    two.granted()
    a.refused("ex")
    b.unlocks()
    a.tries("ex")


@case
def many_threads_all_served(t):
    "Forty threads on two hosts wait; each gets its turn and hands on."
    a = t.open("a")
    a.locks("ex")
    jobs = []
    for host in "ab":
        locker = t.locker(host)
        for _ in range(20):
            fd = locker.open(t.path(host))
            jobs.append((fd, fd.start("ex")))
    jobs[-1][1].blocked()
    a.unlocks()
    left = list(jobs)
    while left:
        t.until(lambda: any(job.poll(0) for _, job in left), f"one of {len(left)} waiting threads is granted", 15)
        served = [entry for entry in left if entry[1].answer is not None]
        t.equal(len(served), 1, "holders at a time")
        served[0][1].granted()
        served[0][0].unlocks()
        left.remove(served[0])


@case
def many_readers_in_one_process(t):
    "Twenty threads read together; the writer waits for the last."
    locker = t.locker("a")
    fds = [locker.open(t.path("a")) for _ in range(20)]
    jobs = [fd.start("sh") for fd in fds]
    for job in jobs:
        job.granted()
    writer = t.open("b").waits("ex")
    for fd in fds[:-1]:
        fd.unlocks()
    writer.still_blocked()
    fds[-1].unlocks()
    writer.granted()


@case
def fork_while_a_thread_waits(t):
    "The child copies whatever the waiting call has open. With the waiter killed, the child is in nobody's way."
    a, b, c = t.open("a"), t.open("b"), t.open("b")
    a.locks("ex")
    b.waits("ex")
    t.fork(b.locker)
    b.locker.signal(signal.SIGKILL)
    b.locker.gone()
    a.unlocks()
    c.start("ex").granted()
    c.unlocks()
    a.tries("ex")


@case
def waiter_forks_and_is_granted(t):
    "A process whose thread waits forks; the wait goes on and the grant is the waiter's."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    job = b.waits("ex")
    child = t.fork(b.locker)
    a.unlocks()
    job.granted()
    a.refused("ex")
    child.exit()
    a.refused("ex")
    b.unlocks()
    a.tries("ex")


main()
