"""Shared, exclusive, unlock, and the non-blocking tries: who keeps whom out."""
from flocktest import case, main


@case
def exclusive_excludes_all(t):
    "EX keeps everybody else away, until it is unlocked."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    b.refused("ex")
    b.refused("sh")
    a.unlocks()
    b.tries("ex")
    a.refused("sh")


@case
def shared_admits_shared(t):
    "Readers hold together; a writer is kept out until the last of them has gone."
    a, b, c = t.open("a"), t.open("b"), t.open("b")
    a.locks("sh")
    b.locks("sh")
    c.refused("ex")
    a.unlocks()
    c.refused("ex")
    b.unlocks()
    c.tries("ex")


@case
def shared_tries_admit_shared(t):
    "The same with tries, first reader on one host, second on the other."
    a, b, c = t.open("a"), t.open("b"), t.open("a")
    a.tries("sh")
    b.tries("sh")
    c.tries("sh")
    c.refused("ex")


@case
def exclusive_waits_for_exclusive(t):
    "A blocking EX waits and is granted when the holder unlocks."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    job = b.waits("ex")
    job.still_blocked()
    a.unlocks()
    job.granted()
    a.refused("ex")


@case
def shared_waits_for_exclusive(t):
    "Readers that wait for a writer are all let in when it unlocks."
    a = t.open("a")
    a.locks("ex")
    readers = [t.open(host) for host in "abab"]
    jobs = [reader.waits("sh") for reader in readers]
    a.unlocks()
    for job in jobs:
        job.granted()
    a.refused("ex")


@case
def exclusive_waits_for_every_reader(t):
    "A writer waits for the last reader, wherever the readers are."
    readers = [t.open(host) for host in "abab"]
    for reader in readers:
        reader.locks("sh")
    job = t.open("a").waits("ex")
    for reader in readers[:-1]:
        reader.unlocks()
        job.still_blocked(0.05)
    readers[-1].unlocks()
    job.granted()


@case
def exclusive_within_one_host(t):
    "Processes of one host exclude each other, too, and the lock goes round among them."
    first, second, third = t.open("a"), t.open("a"), t.open("a")
    first.locks("ex")
    second.refused("ex")
    jobs = [(second, second.waits("ex")), (third, third.waits("ex"))]
    first.unlocks()
    t.until(lambda: any(job.poll(0) for _, job in jobs), "one of the two is granted")
    jobs.sort(key=lambda entry: entry[1].answer is None)
    jobs[0][1].granted()
    jobs[1][1].still_blocked()
    jobs[0][0].unlocks()
    jobs[1][1].granted()


@case
def unlock_of_nothing(t):
    "Unlocking what is not locked succeeds and changes nothing for others."
    a, b = t.open("a"), t.open("b")
    a.unlocks()
    b.locks("ex")
    a.unlocks()
    a.answers("ok", "un", nb=True)
    a.refused("sh")


@case
def hands_to_and_fro(t):
    "The lock goes to and fro between the hosts many times."
    a, b = t.open("a"), t.open("b")
    for _ in range(50):
        a.locks("ex")
        b.refused("ex")
        a.unlocks()
        b.locks("ex")
        a.refused("sh")
        b.unlocks()


@case
def different_files_do_not_meet(t):
    "A lock on one file says nothing about another."
    a, b = t.open("a", "left"), t.open("b", "right")
    a.locks("ex")
    b.tries("ex")
    a.unlocks()
    b.unlocks()


main()
