"""The transactions of HAZARDS.md between hosts, each with the table's row: name | compare | then.

They happen at once; S, the session key, always compares equal here (lease_loss.py and lost_requests.py are about when
it does not), and so does MOD k = mod, since only a host's own agent puts its key.
"""

from typing import NamedTuple

from etcd import GONE, Entry, find, quiet
from explore import replace_at


class Host(NamedTuple):
    want: str = ""  # the local request not yet served: "sh", "ex", or "up" (a reader that wants ex)
    cur: str = ""  # the mode of the granted entry, "" if there is none
    next: str = ""  # the mode of the waiting entry, "" if there is none
    watch: str = ""  # the key next sleeps on; "": its agent is going to read
    readers: int = 0  # local processes that hold the kernel lock
    writer: int = 0
    plan: tuple = ()  # (what, keys): a read was made; the transaction to come compares CREATE of these keys


class State(NamedTuple):
    queue: tuple
    hosts: tuple
    foreign: str  # "idle", "waits", "holds"


class Transactions:
    def __init__(self, scenario, rules):
        self.scenario = scenario
        self.rules = rules
        self.names = "ABC"[: len(scenario.does)]

    def start(self):
        return State((), tuple(Host() for _ in self.names), "idle")

    # --- etcd -------------------------------------------------------------------------------------------------------

    def put(self, s, key, mode, joined=False):
        """PUT: a new key goes to the tail, an old one keeps its place."""
        unread = "".join(name for name, host in zip(self.names, s.hosts) if host.plan)
        entry = Entry(key, mode, joined, unread)
        if not find(s.queue, key):
            return s._replace(queue=s.queue + (entry,))
        queue = tuple(entry if e.key == key else e for e in s.queue)
        return self._wake(s._replace(queue=queue), key) if "put-wakes" in self.rules else s._replace(queue=queue)

    def delete(self, s, key):
        """DELETE; a key of that name made later is another one, so whoever remembers this one learns it is gone."""
        s = self._wake(s._replace(queue=tuple(e for e in s.queue if e.key != key)), key)
        return self._rename(s, key, GONE)

    def _wake(self, s, key):
        return s._replace(hosts=tuple(h._replace(watch="") if h.watch == key else h for h in s.hosts))

    def _rename(self, s, old, new):
        hosts = tuple(h._replace(watch=new if h.watch == old else h.watch,
                                 plan=tuple(new if part == old else part for part in h.plan)) for h in s.hosts)
        return s._replace(queue=tuple(e._replace(key=new) if e.key == old else e for e in s.queue), hosts=hosts)

    def host(self, s, i, **changes):
        return s._replace(hosts=replace_at(s.hosts, i, s.hosts[i]._replace(**changes)))

    def planned(self, s, i, *plan):
        """Host i has just read (or is done with what it read): no PUT is unread by it."""
        name = self.names[i]
        queue = tuple(e._replace(unread=e.unread.replace(name, "")) for e in s.queue)
        return self.host(s._replace(queue=queue), i, plan=plan)

    # --- transactions, named as in the table ------------------------------------------------------------------------

    def txn_enqueue(self, s, i, mode):
        """enqueue | S, CREATE k = 0 | put k; Q"""
        s = self.put(s, self.names[i].lower(), mode)
        return self.granted_or_watching(self.host(s, i, next=mode), i)

    def txn_release(self, s, i):
        """release | S, CREATE k = rev | del k"""
        return self.host(self.delete(s, self.names[i]), i, cur="")

    def txn_cancel(self, s, i):
        """cancel | S, CREATE k = rev | del k"""
        if "cancel-deletes" in self.rules:
            s = self.delete(s, self.names[i].lower())
        return self.host(s, i, next="", watch="")

    def txn_downgrade(self, s, i):
        """downgrade | S, MOD k = mod | put k"""
        name = self.names[i]
        joined = find(s.queue, name).joined
        if "value-in-place" not in self.rules:
            s = s._replace(queue=tuple(e for e in s.queue if e.key != name))
            s = self._wake(s, name)
        return self.host(self.put(s, name, "sh", joined), i, cur="sh")

    def txn_upgrade_in_place(self, s, i, blocker):
        """upgrade, nobody else in possession | S, MOD k = mod, quiet, CREATE of the first ex waiter | put k EX"""
        name = self.names[i]
        if "upgrade-quiet" in self.rules and not quiet(s.queue, name):
            return None
        if "upgrade-blocker-there" in self.rules and blocker and not find(s.queue, blocker):
            return None
        joined = find(s.queue, name).joined and "upgrade-keeps-joined" in self.rules
        return self.host(self.put(s, name, "ex", joined), i, cur="ex")

    def txn_upgrade_second(self, s, i):
        """upgrade of flock, not alone | S, MOD k = mod | put k' EX; last local reader gone: del k with it"""
        if not s.hosts[i].readers:
            s = self.txn_release(s, i)
        s = self.host(self.put(s, self.names[i].lower(), "ex"), i, next="ex")
        return self.granted_or_watching(s, i)

    def txn_join(self, s, i, holder, key):
        """try SH beside SH (or a wait of a second) | S, quiet, CREATE holder = rev | put k joined"""
        if "join-quiet" in self.rules and not quiet(s.queue, self.names[i]):
            return None
        if "join-holder-there" in self.rules and not find(s.queue, holder):
            return None
        return self.put(s, key, "sh", joined="join-marked" in self.rules)
