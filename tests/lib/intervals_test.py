"""The checker of the stress test, checked: it must find every planted fault and no other."""
import os
import tempfile

from intervals import EXCLUSIVE, HEADER, RECORD, SHARED, Interval, Worker, lost_increments, overlaps, read_worker, stalls


def interval(mode, begin, end, value=0, certain=True):
    return Interval(begin, end, mode, value, certain, "w")


def written(records, killed_at=0):
    """What read_worker makes of a file with these (begin, end, mode, value)."""
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(HEADER.pack(len(records), 3, 4, 0) + b"".join(RECORD.pack(*r) for r in records))
    try:
        return read_worker(Worker("w", file.name, killed_at))
    finally:
        os.unlink(file.name)


one_after_the_other = [interval(EXCLUSIVE, 0, 10), interval(EXCLUSIVE, 10, 20), interval(SHARED, 20, 40),
                       interval(SHARED, 25, 30), interval(EXCLUSIVE, 40, 50)]
assert overlaps(one_after_the_other) == []
for bad in (interval(EXCLUSIVE, 5, 6), interval(SHARED, 19, 21), interval(EXCLUSIVE, 31, 32), interval(SHARED, 0, 100),
            interval(EXCLUSIVE, 39, 41)):
    assert overlaps(one_after_the_other + [bad]), bad
assert overlaps([interval(SHARED, 0, 100), interval(SHARED, 1, 2), interval(EXCLUSIVE, 50, 60)]), "hidden by a shorter one"
assert overlaps([interval(EXCLUSIVE, 0, 10), interval(EXCLUSIVE, 5, 5)]) == [], "no time in it"

assert stalls(one_after_the_other, 1) == []
assert stalls(one_after_the_other + [interval(SHARED, 150, 160)], 99) == [(50, 100)]
assert stalls([interval(SHARED, 0, 100), interval(SHARED, 10, 20), interval(EXCLUSIVE, 101, 102)], 5) == [], "still held"

counted = [interval(EXCLUSIVE, i, i + 1, i + 1) for i in range(10)]
assert lost_increments(counted, 10) == []
assert lost_increments(counted, 9), "the counter fell back"
assert lost_increments(counted[:4] + counted[5:], 10), "a value nobody wrote"
assert lost_increments(counted + [interval(EXCLUSIVE, 90, 91, 7)], 10), "written twice"
assert lost_increments(counted + [interval(EXCLUSIVE, 90, 91, 7, certain=False)], 10) == [], "killed before its write"
assert lost_increments(counted[:9] + [interval(EXCLUSIVE, 90, 91, 10, certain=False)], 10) == [], "killed after its write"

assert written([(1, 2, SHARED, 0), (3, 4, EXCLUSIVE, 1)])[1] == (3, 4)
held, _ = written([(1, 2, SHARED, 0), (3, 0, EXCLUSIVE, 1)], killed_at=9)
assert (held[1].end, held[1].certain) == (9, False)
try:
    written([(1, 0, SHARED, 0)])
    raise SystemExit("a record without end went unnoticed")
except ValueError:
    pass
