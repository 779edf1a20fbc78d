"""What can be locked, and what happens to a lock when the file behind it changes."""
import os

from flocktest import case, main, only


@case
def directory(t):
    "A directory is locked like a file."
    paths = {host: t.path(host) for host in "ab"}
    for path in paths.values():
        os.makedirs(path, exist_ok=True)
    a, b = (t.locker(host).open(paths[host], "dir") for host in "ab")
    a.locks("ex")
    b.refused("sh")
    job = b.waits("ex")
    a.unlocks()
    job.granted()


@case
def read_only_descriptor(t):
    "EX through a descriptor open for reading, on a file nobody may write."
    for path in {t.path("a"), t.path("b")}:
        with open(path, "w", encoding="ascii"):
            os.chmod(path, 0o444)
    a, b = t.open("a", mode="r"), t.open("b", mode="r")
    a.locks("ex")
    b.refused("ex")
    a.unlocks()
    b.tries("ex")


@case
def write_only_descriptor(t):
    "SH and EX through descriptors open for writing."
    a, b = t.open("a", mode="w creat"), t.open("b", mode="w creat")
    a.locks("sh")
    b.tries("sh")
    b.refused("ex")
    a.unlocks()
    b.tries("ex")


@case
def content_and_offset_untouched(t):
    "Locking reads nothing, writes nothing, moves nothing."
    for path in {t.path("a"), t.path("b")}:
        with open(path, "w", encoding="ascii") as file:
            file.write("ten bytes\n")
    a, b = t.open("a"), t.open("b")
    before = a.locker.ask(f"stat {a.slot}")
    a.locks("ex")
    b.refused("ex")
    a.unlocks()
    t.equal(a.locker.ask(f"stat {a.slot}"), before, "device, inode, links, size")
    t.equal(a.locker.ask(f"read {a.slot}"), "10", "bytes from the beginning")


@case
def truncated_while_held(t):
    "Truncating the file changes nothing about its lock."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    a.locker.must(f"truncate {a.slot}")
    b.refused("ex")
    a.unlocks()
    b.tries("ex")


@case
def unlinked_while_held(t):
    "The name goes, the lock stays with those who have the file open."
    a, b = t.open("a"), t.open("b")
    a.locks("ex")
    a.locker.must(f"unlink {t.path('a')}")
    job = b.waits("ex")
    job.still_blocked()
    a.unlocks()
    job.granted()
    a.refused("sh")


@case
def unlinked_before_locking(t):
    "A file that has lost its name can be locked still."
    a = t.open("a")
    a.locker.must(f"unlink {t.path('a')}")
    a.locks("ex")
    a.tries("ex")
    a.unlocks()
    a.tries("sh")


@case
def deleted_and_made_again(t):
    """Another file of the same name is another lock to the kernel. Under the library the key is the same: they
    exclude each other still, which is what those who lock by name mean."""
    old = t.open("a")
    old.locks("ex")
    old.locker.must(f"unlink {t.path('a')}")
    new = t.open("a")
    if t.mode == "bare":
        new.tries("ex")
        return
    new.refused("ex")
    job = new.waits("ex")
    old.unlocks()
    job.granted()
    old.refused("ex")
    new.unlocks()


@case
@only("one", "two")
def two_files_with_one_key(t):
    "Names that the configuration maps to one key are one lock, on one host and across two."
    left = t.locker("a").open(t.same_key_path("a", "left"))
    right = t.locker("b").open(t.same_key_path("b", "right"))
    third = t.locker("a").open(t.same_key_path("a", "third"))
    left.locks("ex")
    right.refused("ex")
    third.refused("sh")
    jobs = [right.waits("sh"), third.waits("sh")]
    left.unlocks()
    for job in jobs:
        job.granted()
    left.refused("ex")


@case
@only("one", "two")
def two_files_with_one_key_in_one_process(t):
    "Also within one process: the second file waits for the first."
    locker = t.locker("a")
    left = locker.open(t.same_key_path("a", "left"))
    right = locker.open(t.same_key_path("a", "right"))
    left.locks("ex")
    right.refused("ex")
    job = right.waits("ex")
    left.close()
    job.granted()


@case
@only("bare", "one")
def renamed_while_held(t):
    "On one host the lock goes with the file to its new name."
    a = t.open("a")
    a.locks("ex")
    a.locker.must(f"rename {t.path('a')} {t.path('a', 'new')}")
    b = t.open("b", "new")
    b.refused("ex")
    a.unlocks()
    b.tries("ex")


@case
@only("bare", "one")
def hard_link(t):
    "On one host two names of one file are one lock."
    a = t.open("a")
    a.locker.must(f"link {t.path('a')} {t.path('a', 'second')}")
    b = t.open("b", "second")
    a.locks("ex")
    b.refused("ex")
    a.unlocks()
    b.tries("ex")
    b.unlocks()


@case
def symbolic_link(t):
    "What counts is the file that the link leads to."
    a, b = t.open("a"), t.open("b")
    os.symlink(t.path("b"), t.path("b", "link"))
    linked = t.open("b", "link")
    a.locks("ex")
    linked.refused("sh")
    a.unlocks()
    linked.tries("ex")
    a.refused("ex")
    b.refused("ex")


@case
def unmapped_file(t):
    "A file that no configuration names is the kernel's business alone."
    path = f"{t.dir}/plain/{t.name}"
    a, b = t.locker("a").open(path), t.locker("b").open(path)
    a.locks("ex")
    b.refused("sh")
    job = b.waits("ex")
    a.unlocks()
    job.granted()


main()
