"""Conversions: the kernel gives up the old lock first, then asks for the new one like anybody else."""
from flocktest import case, main


@case
def upgrade_alone(t):
    "SH becomes EX when nobody else reads."
    a, b = t.open("a"), t.open("b")
    a.locks("sh")
    a.locks("ex")
    b.refused("sh")
    a.unlocks()
    b.tries("ex")


@case
def upgrade_try_alone(t):
    "The same with a try."
    a, b = t.open("a"), t.open("b")
    a.locks("sh")
    a.tries("ex")
    b.refused("sh")


@case
def upgrade_waits_for_remote_reader(t):
    "SH to EX waits for a reader on the other host."
    a, b = t.open("a"), t.open("b")
    a.locks("sh")
    b.locks("sh")
    job = a.waits("ex")
    job.still_blocked()
    b.unlocks()
    job.granted()
    b.refused("sh")


@case
def upgrade_waits_for_local_reader(t):
    "SH to EX waits for a reader on the same host."
    a, other, b = t.open("a"), t.open("a"), t.open("b")
    a.locks("sh")
    other.locks("sh")
    job = a.waits("ex")
    other.unlocks()
    job.granted()
    b.refused("sh")


@case
def waiting_upgrade_has_lost_its_shared_lock(t):
    "While A waits for EX it holds nothing: the reader it waits for may become a writer at once."
    a, b = t.open("a"), t.open("b")
    a.locks("sh")
    b.locks("sh")
    job = a.waits("ex")
    b.tries("ex")
    job.still_blocked()
    b.unlocks()
    job.granted()


@case
def two_upgrades_do_not_deadlock(t):
    "Two readers that both want EX: one gets it, then the other."
    a, b = t.open("a"), t.open("b")
    a.locks("sh")
    b.locks("sh")
    jobs = [(a, a.waits("ex")), (b, b.start("ex"))]
    t.until(lambda: any(job.poll(0) for _, job in jobs), "one of the two upgrades is granted", 10)
    jobs.sort(key=lambda entry: entry[1].answer is None)
    jobs[0][1].granted()
    jobs[1][1].still_blocked()
    jobs[0][0].unlocks()
    jobs[1][1].granted()


@case
def upgrade_passes_a_waiting_writer(t):
    "B waits for EX behind reader A; A's own EX try succeeds, for nobody else holds anything."
    a, b = t.open("a"), t.open("b")
    a.locks("sh")
    job = b.waits("ex")
    a.tries("ex")
    job.still_blocked()
    a.unlocks()
    job.granted()


@case
def failed_upgrade_try_has_lost_the_lock(t):
    "EX|NB that fails because of another reader leaves the caller with no lock at all."
    a, b = t.open("a"), t.open("b")
    a.locks("sh")
    b.locks("sh")
    a.refused("ex")
    b.tries("ex")
    b.unlocks()
    a.tries("ex")


@case
def interrupted_upgrade_has_lost_the_lock(t):
    "A blocking upgrade that ends with EINTR leaves the caller with no lock."
    a, b = t.open("a"), t.open("b")
    a.locker.must("handler 10 norestart")
    a.locks("sh")
    b.locks("sh")
    job = a.waits_main("ex")
    a.locker.signal(10)
    job.answers("EINTR")
    b.tries("ex")


@case
def downgrade_lets_readers_in(t):
    "EX to SH admits the readers that wait, and keeps writers out."
    a, b, c = t.open("a"), t.open("b"), t.open("b")
    a.locks("ex")
    job = b.waits("sh")
    a.locks("sh")
    job.granted()
    c.refused("ex")
    b.unlocks()
    c.refused("ex")
    a.unlocks()
    c.tries("ex")


@case
def downgrade_lets_shared_tries_in(t):
    "After EX to SH a reader's try succeeds at once."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    b.refused("sh")
    a.tries("sh")
    b.tries("sh")


@case
def downgrade_keeps_the_lock(t):
    "A writer that waits does not slip in at the conversion from EX to SH unless readers would let it."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    job = b.waits("ex")
    a.locks("sh")
    job.still_blocked()
    a.unlocks()
    job.granted()


@case
def down_and_up_again(t):
    "EX, SH, EX, SH on one description while the other host reads in between."
    a, b = t.open("a"), t.open("b")
    for _ in range(10):
        a.locks("ex")
        b.refused("sh")
        a.locks("sh")
        b.tries("sh")
        b.unlocks()


@case
def same_mode_again(t):
    "Asking again for what one has is a success that changes nothing, however many wait."
    a, b = t.open("a"), t.open("b")
    for op in ("ex", "sh"):
        a.locks(op)
        job = b.waits("ex")
        for _ in range(5):
            a.locks(op)
            a.tries(op)
        job.still_blocked()
        a.unlocks()
        job.granted()
        b.unlocks()


@case
def same_mode_again_by_a_child(t):
    "The child shares the description: its request for the mode held changes nothing either."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    child = a.of(t.fork(a.locker))
    job = b.waits("ex")
    child.locks("ex")
    child.tries("ex")
    job.still_blocked()
    child.locker.exit()
    job.still_blocked()
    a.unlocks()
    job.granted()


@case
def child_converts_for_its_parent(t):
    "A conversion by the child is one for the parent: it is the same lock."
    a, b = t.open("a"), t.open("b")
    a.locks("sh")
    child = a.of(t.fork(a.locker))
    child.locks("ex")
    b.refused("sh")
    a.locks("sh")
    b.tries("sh")


main()
