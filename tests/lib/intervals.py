"""Checks what the workers of the stress test (tests/programs/interval.c) have recorded.

A record lies inside the time its worker held the lock, on one clock of one machine. So two records of
conflicting modes that overlap prove two holders at once.
"""
import struct
from dataclasses import dataclass

HEADER = struct.Struct("<4Q")
RECORD = struct.Struct("<4Q")
SHARED, EXCLUSIVE = 1, 2


@dataclass
class Interval:
    begin: int  # ns
    end: int  # ns; of a killed worker's last one, the moment before the kill
    mode: int
    value: int  # exclusive: what was written into the counter, or was about to be
    certain: bool  # the write is known to have happened
    worker: str

    def __str__(self):
        mode = "EX" if self.mode == EXCLUSIVE else "SH"
        return f"{mode} of {self.worker} from {self.begin} to {self.end} ns"


@dataclass
class Worker:
    """What is known of one worker besides its records."""

    name: str
    path: str
    killed_at: int = 0  # ns, read just before the SIGKILL; 0: it ended by itself


def read_count(path):
    try:
        with open(path, "rb") as file:
            data = file.read(HEADER.size)
    except FileNotFoundError:
        return 0
    return HEADER.unpack(data)[0] if len(data) == HEADER.size else 0


def read_worker(worker):
    """Its intervals, and (refused, interrupted)."""
    intervals = []
    with open(worker.path, "rb") as file:
        data = file.read()
    if len(data) < HEADER.size:  # killed before it had begun
        return [], (0, 0)
    count, refused, interrupted, _ = HEADER.unpack_from(data)
    for number in range(count):
        begin, end, mode, value = RECORD.unpack_from(data, HEADER.size + number * RECORD.size)
        open_end = end == 0
        if open_end and not worker.killed_at:
            raise ValueError(f"{worker.name}: record {number} has no end, yet nobody killed it")
        end = worker.killed_at if open_end else end
        if mode == EXCLUSIVE or end > begin:  # killed at the very moment it got the lock: no time in it
            intervals.append(Interval(begin, end, mode, value, not open_end, worker.name))
    return intervals, (refused, interrupted)


def overlaps(intervals):
    """Pairs of conflicting intervals that overlap (for each one the worst earlier one)."""
    found = []
    last_exclusive = last = None
    for now in sorted(intervals, key=lambda i: i.begin):
        before = last if now.mode == EXCLUSIVE else last_exclusive
        if now.end > now.begin and before and before.end > now.begin:
            found.append((before, now))
        if last is None or now.end > last.end:
            last = now
        if now.mode == EXCLUSIVE and (last_exclusive is None or now.end > last_exclusive.end):
            last_exclusive = now
    return found


def stalls(intervals, longest):
    """(From when, how long), in ns, nobody held the lock for longer than that, though somebody always wants it."""
    found = []
    free_since = None
    for now in sorted(intervals, key=lambda i: i.begin):
        if free_since is not None and now.begin - free_since > longest:
            found.append((free_since, now.begin - free_since))
        free_since = max(free_since or 0, now.end)
    return found


def lost_increments(intervals, final):
    """What is wrong with the counter, as a list of sentences."""
    wrong = []
    written = [i.value for i in intervals if i.mode == EXCLUSIVE and i.certain]
    perhaps = {i.value for i in intervals if i.mode == EXCLUSIVE and not i.certain}
    if len(set(written)) != len(written):
        twice = sorted({v for v in written if written.count(v) > 1}) if len(written) < 5000 else "some"
        wrong.append(f"{len(written) - len(set(written))} values written twice: increments lost ({twice})")
    missing = set(range(1, final + 1)) - set(written) - perhaps
    if missing:
        wrong.append(f"{len(missing)} values that no worker wrote, such as {min(missing)}")
    if written and max(written) > final:
        wrong.append(f"the counter ends at {final}, yet {max(written)} was written")
    return wrong
