"""Errors, and descriptors that are no files: the answers are the kernel's own."""
from flocktest import case, main

# -1 has every bit set, 32 is LOCK_MAND, 5 is SH with LOCK_NB; the rest are undefined or combinations.
OPS = [-1, 0, *range(1, 20), 32, 33, 34, 64, 96, 160, 192, 224, 228, 1024, 1 << 30]


@case
def closed_descriptor(t):
    "EBADF, whatever is asked."
    a = t.open("a")
    a.close()
    for op in ("sh", "ex", "un"):
        a.answers("EBADF", op)
        a.answers("EBADF", op, nb=True)


@case
def never_opened(t):
    "EBADF for -1, too."
    a = t.locker("a").new_slot()
    a.answers("EBADF", "ex")
    a.answers("EBADF", "un")


@case
def operations_as_the_kernel_answers(t):
    "Every operation number, valid or not, is answered as on a file without the library."
    mapped = t.open("a")
    plain = t.locker("a", preload=False).open(f"{t.dir}/plain/{t.name}")
    for op in OPS:
        t.equal(mapped.flock(op), plain.flock(op), f"flock(fd, {op})")
        mapped.unlocks()
        plain.unlocks()


@case
def operations_on_a_closed_descriptor(t):
    "Which of two errors comes first is the kernel's choice."
    mapped = t.open("a")
    plain = t.locker("a", preload=False).open(f"{t.dir}/plain/{t.name}")
    mapped.close()
    plain.close()
    for op in OPS:
        t.equal(mapped.flock(op), plain.flock(op), f"flock(closed, {op})")


@case
def descriptor_of_the_path_only(t):
    "O_PATH opens nothing that could be locked: EBADF."
    t.open("a").close()
    a = t.locker("a").open(t.path("a"), "path")
    for op in ("sh", "ex", "un"):
        a.answers("EBADF", op)
        a.answers("EBADF", op, nb=True)


def as_without_library(t, maker):
    """Both lockers do the same with a descriptor that `maker` makes; so must the answers be."""
    answers = []
    for preload in (True, False):
        locker = t.locker("a", preload)
        one, two = locker.new_slot(), locker.new_slot()
        locker.must(f"{maker} {one.slot} {two.slot}")
        answers.append([one.flock(op, nb) for op in ("ex", "sh", "un") for nb in (False, True)])
    t.equal(answers[0], answers[1], f"flock on a {maker}")


@case
def pipe(t):
    "A pipe answers as it does without the library."
    as_without_library(t, "pipe")


@case
def socket(t):
    "So does a socket."
    as_without_library(t, "socket")


@case
def refusal_and_success_alternate(t):
    "errno is set by a refusal and untouched by a success (the locker tells if it is not)."
    a, b = t.open("a"), t.open("b")
    for _ in range(20):
        a.locks("ex")
        b.refused("ex")
        a.unlocks()
        b.locks("sh")
        a.refused("ex")
        b.unlocks()


main()
