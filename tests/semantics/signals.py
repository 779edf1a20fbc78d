"""Signals that meet a waiting flock."""
import signal

from flocktest import case, main

USR1, USR2, ALRM = int(signal.SIGUSR1), int(signal.SIGUSR2), int(signal.SIGALRM)


def nothing_left_behind(holder, other):
    """The interrupted waiter is in nobody's way: the other host has the lock as soon as the holder lets go."""
    holder.unlocks()
    other.tries("ex")
    other.unlocks()


@case
def handler_interrupts(t):
    "A handler without SA_RESTART ends the wait with EINTR; the waiter holds nothing and queues for nothing."
    a, b, c = t.open("a"), t.open("b"), t.open("a")
    b.locker.must(f"handler {USR1} norestart")
    a.locks("ex")
    job = b.waits_main("ex")
    b.locker.signal(USR1)
    job.answers("EINTR")
    t.equal(b.locker.ask("handled"), "1", "handler runs")
    t.queued(1)
    nothing_left_behind(a, c)


@case
def handler_interrupts_shared(t):
    "The same for a reader."
    a, b, c = t.open("a"), t.open("b"), t.open("b")
    b.locker.must(f"handler {USR1} norestart")
    a.locks("ex")
    job = b.waits_main("sh")
    b.locker.signal(USR1)
    job.answers("EINTR")
    nothing_left_behind(a, c)


@case
def handler_with_restart_goes_on(t):
    "With SA_RESTART the handler runs and the wait goes on; the lock comes in the end."
    a, b = t.open("a"), t.open("b")
    b.locker.must(f"handler {USR2} restart")
    a.locks("ex")
    job = b.waits("ex")
    for count in range(1, 4):
        b.locker.must(f"tkill {job.number}")
        t.until(lambda: b.locker.ask("handled") == str(count), "the handler runs while the call waits")
        job.blocked()
    a.unlocks()
    job.granted()


@case
def restart_in_the_main_thread(t):
    "The same where the signal goes to the process and its main thread waits."
    a, b = t.open("a"), t.open("b")
    b.locker.must(f"handler {USR1} restart")
    a.locks("ex")
    job = b.waits_main("ex")
    b.locker.signal(USR1)
    job.still_blocked()
    a.unlocks()
    job.granted()
    t.equal(b.locker.ask("handled"), "1", "handler runs")


@case
def thread_is_interrupted_alone(t):
    "A signal to one waiting thread ends that thread's wait, not its neighbour's."
    a, b = t.open("a"), t.open("b")
    second = b.locker.open(t.path("b"))
    b.locker.must(f"handler {USR2} norestart")
    a.locks("ex")
    one, two = b.waits("sh"), second.waits("sh")
    b.locker.must(f"tkill {one.number}")
    one.answers("EINTR")
    two.still_blocked()
    a.unlocks()
    two.granted()


@case
def alarm_interrupts(t):
    "alarm(2) ends the wait: the way programs put a time limit on flock."
    a, b, c = t.open("a"), t.open("b"), t.open("a")
    b.locker.must(f"handler {ALRM} norestart")
    a.locks("ex")
    b.locker.must("alarm 200")
    b.start_main("ex").answers("EINTR")
    b.locker.must("alarm 0")
    nothing_left_behind(a, c)


@case
def ignored_signal_changes_nothing(t):
    "An ignored signal does not end the wait."
    a, b = t.open("a"), t.open("b")
    b.locker.must(f"handler {USR1} ignore")
    a.locks("ex")
    job = b.waits_main("ex")
    b.locker.signal(USR1)
    job.still_blocked()
    a.unlocks()
    job.granted()


@case
def killed_waiter_leaves_nothing(t):
    "A waiter that SIGTERM or SIGKILL ends is in nobody's way."
    for number in (signal.SIGTERM, signal.SIGKILL):
        a, b, c = t.open("a"), t.open("b"), t.open("b")
        a.locks("ex")
        b.waits_main("ex")
        b.locker.signal(number)
        b.locker.gone()
        t.queued(1)
        nothing_left_behind(a, c)


@case
def stopped_waiter_goes_on(t):
    "SIGSTOP and SIGCONT: the wait goes on."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    job = b.waits_main("ex")
    b.locker.stop()
    b.locker.go_on()
    job.still_blocked()
    a.unlocks()
    job.granted()


@case
def stopped_waiter_holds_up_nobody(t):
    "A waiter stopped by SIGSTOP cannot take the lock when it is its turn: others can. Later it gets it."
    a, b, c, d = t.open("a"), t.open("b"), t.open("a"), t.open("b")
    a.locks("ex")
    job = b.waits_main("ex")
    b.locker.stop()
    a.unlocks()
    c.start("ex").granted()
    c.unlocks()
    d.start("ex").granted()
    d.unlocks()
    b.locker.go_on()
    job.granted()


@case
def jump_out_of_the_handler(t):
    "siglongjmp out of a handler leaves the call for good: no lock comes of it, and nobody is held up."
    a, b, c = t.open("a"), t.open("b"), t.open("a")
    b.locker.must(f"handler {ALRM} jump")
    a.locks("ex")
    b.locker.must("alarm 200")
    b.start_main("ex").answers("jumped")
    b.locker.must("alarm 0")
    a.unlocks()
    c.start("ex").granted()
    b.refused("ex")
    c.unlocks()
    b.locks("ex")
    c.refused("ex")


@case
def flock_is_no_cancellation_point(t):
    "pthread_cancel does not end a waiting flock: flock(2) is not on the list of cancellation points."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    job = b.waits("ex")
    b.locker.must(f"cancel {job.number}")
    job.still_blocked()
    a.unlocks()
    job.granted()
    a.refused("ex")


@case
def interrupted_many_times(t):
    "Thirty waits in a row end with EINTR, after each the queue is as it was."
    a, b = t.open("a"), t.open("b")
    b.locker.must(f"handler {ALRM} norestart")
    a.locks("ex")
    b.locker.must("alarm 10")
    for _ in range(30):
        b.start_main("ex").answers("EINTR")
    b.locker.must("alarm 0")
    t.queued(1)
    nothing_left_behind(a, b)


main()
