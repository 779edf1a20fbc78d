"""What is in etcd under K/, and the questions every agent asks of it.

Revisions are not numbers here, or no model would ever end. What they are compared for is kept exactly:

    order of create revisions    the order of the tuple
    CREATE k = rev               the key is there: a key whose name is used again is renamed wherever it was remembered
    quiet (MOD of K/ LESS R+1)   Entry.unread names the hosts whose read R is older than the entry's last PUT

The entries of host A are "A" (granted: cur) and "a" (waiting: next); "F" belongs to a client that is not ours.
"""

from typing import NamedTuple

GONE = "-"  # stands in a host's notes for a key that has been deleted since


class Entry(NamedTuple):
    key: str
    mode: str  # "sh" or "ex"
    joined: bool = False  # held although a conflicting entry waits before it
    unread: str = ""


def is_foreign(key):
    return key == "F"


def owner(key):
    return key.upper()


def conflict(one, other):
    return "ex" in (one, other)


def find(queue, key):
    """The entry of that key, or None."""
    for entry in queue:
        if entry.key == key:
            return entry
    return None


def blockers(queue, me, sees_joined=True):
    """Whatever keeps the entry me out of possession: conflicting ones before it, joined ones on either side."""
    found = []
    before = True
    for other in queue:
        if other.key == me.key:
            before = False
        elif conflict(other.mode, me.mode) and (before or (other.joined and sees_joined)):
            found.append(other)
    return found


def possession(queue, waits_for_joined=True):
    """The entries that are granted, whether or not their agents have read it yet."""
    return [e for e in queue if e.joined or not blockers(queue, e, waits_for_joined)]


def quiet(queue, host):
    """MOD of range K/ LESS R+1, for the read R on which the host builds its transaction."""
    return not any(host in e.unread for e in queue)
