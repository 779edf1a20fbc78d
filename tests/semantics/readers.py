"""Readers while a writer waits: on one kernel a reader joins readers, whoever waits behind them."""
from flocktest import case, main


@case
def child_reads_while_a_writer_waits(t):
    "P reads, a writer waits, P's child reads through an open of its own. If it waited, P might wait for it for ever."
    a, b = t.open("a"), t.open("b")
    a.locks("sh")
    writer = b.waits("ex")
    child = t.fork(a.locker).open(t.path("a"))
    child.start("sh").granted(2)
    writer.still_blocked()
    a.unlocks()
    writer.still_blocked()
    child.unlocks()
    writer.granted()


@case
def child_tries_while_a_writer_waits(t):
    "The same with a try: at once."
    a, b = t.open("a"), t.open("b")
    a.locks("sh")
    writer = b.waits("ex")
    child = t.fork(a.locker).open(t.path("a"))
    for _ in range(20):
        child.tries("sh")
        child.unlocks()
    writer.still_blocked()
    a.unlocks()
    writer.granted()


@case
def reader_beside_the_writer_that_waits(t):
    "A reader on the writer's host joins the reader elsewhere, too (within seconds, for the queue is fair)."
    a, b, c = t.open("a"), t.open("b"), t.open("b")
    a.locks("sh")
    writer = b.waits("ex")
    c.start("sh").granted(4)
    writer.still_blocked()
    a.unlocks()
    writer.still_blocked()
    c.unlocks()
    writer.granted()


@case
def reader_tries_beside_the_writer_that_waits(t):
    "Its try succeeds at once: a lock that waits is not held."
    a, b, c = t.open("a"), t.open("b"), t.open("b")
    a.locks("sh")
    writer = b.waits("ex")
    c.tries("sh")
    writer.still_blocked()
    a.unlocks()
    writer.still_blocked()
    c.unlocks()
    writer.granted()


@case
def readers_behind_a_writer_that_gives_up(t):
    "The writer is killed while it waits: readers come in, and no trace of it is left."
    a, b, c = t.open("a"), t.open("b"), t.open("b")
    a.locks("sh")
    b.waits("ex")
    b.locker.kill()
    c.start("sh").granted(4)
    a.refused("ex")  # and has lost its shared lock, as a conversion that fails does
    c.unlocks()
    t.queued(0)


@case
def tries_are_judged_by_what_is_held(t):
    "A writer that waits makes no writer's try fail once the readers have gone."
    a, b, c = t.open("a"), t.open("b"), t.open("a")
    a.locks("ex")
    writer = b.waits_main("ex")
    b.locker.stop()  # it stays in line and cannot take the lock
    a.unlocks()
    t.until(lambda: c.flock("ex", nb=True) == "ok", "nobody holds, so a try succeeds")
    c.unlocks()
    b.locker.go_on()
    writer.granted()


main()
