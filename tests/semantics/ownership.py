"""A lock belongs to the open file description: dup, fork, exec and SCM_RIGHTS share it, the last close ends it."""
import signal
import statistics
import time

from flocktest import case, main


@case
def dup_shares(t):
    "Both descriptors are the same owner; an unlock through either is an unlock."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    copy = a.dup()
    copy.locks("ex")
    b.refused("ex")
    copy.unlocks()
    b.tries("ex")


@case
def last_close_releases(t):
    "Closing one of two copies changes nothing; closing the last releases."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    copy = a.dup()
    job = b.waits("ex")
    a.close()
    job.still_blocked()
    copy.close()
    job.granted()


@case
def own_open_is_another_owner(t):
    "The same process, a second open: another owner, which the first keeps out."
    first = t.open("a")
    second = first.locker.open(t.path("a"))
    first.locks("ex")
    second.refused("ex")
    second.refused("sh")
    second.close()
    first.tries("ex")
    t.open("b").refused("sh")


@case
def exit_releases(t):
    "A process that ends without unlocking has released."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    job = b.waits("ex")
    a.locker.exit()
    job.granted()


@case
def kill_releases(t):
    "SIGKILL of the only holder releases."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    job = b.waits("ex")
    a.locker.kill()
    job.granted()


@case
def kill_releases_quickly(t):
    "After the kill the waiter on the other host has the lock within 100 ms (the median of seven)."
    times = []
    for _ in range(7):
        a, b = t.open("a"), t.open("b")
        a.locks("ex")
        job = b.waits("ex")
        begin = time.monotonic()
        a.locker.signal(signal.SIGKILL)
        job.granted()
        times.append(time.monotonic() - begin)
        b.unlocks()
    median = statistics.median(times) * 1000
    t.check(median < 100, f"median {median:.0f} ms of {[round(x * 1000) for x in times]}")


@case
def killed_shared_holder(t):
    "SIGKILL of one of two readers leaves the other's lock; of the second, nothing."
    a, b, c = t.open("a"), t.open("b"), t.open("b")
    a.locks("sh")
    b.locks("sh")
    job = c.waits("ex")
    a.locker.kill()
    job.still_blocked()
    b.locker.kill()
    job.granted()


@case
def child_keeps_after_parent(t):
    "The parent is killed, the child has the description: still held, until the child ends."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    child = t.fork(a.locker)
    job = b.waits("ex")
    a.locker.kill()
    job.still_blocked()
    child.kill()
    job.granted()


@case
def child_unlocks_for_parent(t):
    "An unlock by the child releases what the parent locked."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    child = a.of(t.fork(a.locker))
    child.unlocks()
    b.tries("ex")


@case
def child_close_is_not_an_unlock(t):
    "The child's close, and its exit, leave the parent's lock alone."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    child = a.of(t.fork(a.locker))
    child.close()
    b.refused("ex")
    child.locker.exit()
    b.refused("ex")


@case
def child_locks_for_parent(t):
    "What the child locks on the shared description outlives the child."
    a, b = t.open("a"), t.open("b")
    child = a.of(t.fork(a.locker))
    child.locks("ex")
    child.locker.exit()
    b.refused("sh")
    a.unlocks()
    b.tries("ex")


@case
def exec_keeps(t):
    "The lock goes on through exec; the new program is its owner."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    job = b.waits("ex")
    a.locker.exec()
    job.still_blocked()
    a.locks("ex")
    a.unlocks()
    job.granted()


@case
def exec_closes_cloexec(t):
    "A close-on-exec descriptor is closed by exec, and with it the lock goes."
    a = t.locker("a").open(t.path("a"), "rw creat cloexec")
    b = t.open("b")
    a.locks("ex")
    job = b.waits("ex")
    a.locker.exec()
    job.granted()


@case
def exec_of_a_program_without_the_library(t):
    "A program without the preload that inherits the lock holds it, and its unlock is seen."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    a.locker.exec(plain=True)
    job = b.waits("ex")
    a.unlocks()
    job.granted()
    b.unlocks()


@case
def sent_descriptor_holds(t):
    "SCM_RIGHTS passes the lock on: the sender may end, the receiver's close releases."
    a, c, b = t.open("a"), t.locker("a"), t.open("b")
    socket = f"{t.dir}/out/{t.name}"
    c.must(f"listen {socket}")
    a.locks("ex")
    a.locker.must(f"send {a.slot} {socket}")
    received = c.new_slot()
    c.must(f"recv {received.slot}")
    a.locker.exit()
    job = b.waits("ex")
    job.still_blocked()
    received.locks("ex")
    received.close()
    job.granted()


@case
def descriptor_in_flight_holds(t):
    "A description that lies in a socket's queue holds the lock though no process has it open."
    a, c, b = t.open("a"), t.locker("a"), t.open("b")
    socket = f"{t.dir}/out/{t.name}"
    c.must(f"listen {socket}")
    a.locks("ex")
    a.locker.must(f"send {a.slot} {socket}")
    a.locker.kill()
    job = b.waits("ex")
    job.still_blocked()
    c.kill()
    job.granted()


@case
def closing_everything_releases(t):
    "A program that closes all its descriptors like a daemon has released, and can lock again."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    a.locker.must("closeall")
    b.tries("ex")
    again = a.locker.open(t.path("a"))
    again.refused("ex")
    b.unlocks()
    again.locks("ex")
    b.refused("sh")


main()
