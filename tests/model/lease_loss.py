"""Leases that end: revoked by etcd while the agent thinks all is well (A3), or run past the agent's own deadline (A7).

A host's lease has a number ("A0", then "A1"); its entry and its session key live and die with it. Time enters in two
places only. Grace is longer than an agent needs to see that its entry is gone and to stop its programs, so "grace is
over" waits for that. And a deadline comes before the expiry in etcd, so programs are stopped first.

The documented limit: a newcomer who never saw the lost entry cannot know of it. Two holders count only if the second
one's request had seen the first one's entry.
"""

from typing import NamedTuple

from etcd import conflict
from explore import GHOST, TWO_HOLDERS, Rule, replace_at

UNFOUNDED = "grant without an entry"

RULES = [
    Rule("grace", "A3", "a predecessor that vanished with its session key is waited for: grace",
         TWO_HOLDERS, "revoked"),
    Rule("grace-for-all-seen", "A3", "the session keys of all predecessors seen are read, not only of the one watched",
         TWO_HOLDERS, "revoked"),
    Rule("own-loss-stops", "A3", "an agent whose entry vanished stops its programs inside grace",
         TWO_HOLDERS, "revoked"),
    Rule("own-key-in-grant", "A8", "a grant is a read that shows the own key with its create revision",
         UNFOUNDED, "revoked"),
    Rule("session-in-compare", "A2", "every transaction compares the session key, so a lost lease enqueues nothing",
         GHOST, "revoked"),
    Rule("read-before-deadline", "A8", "the read that grants is sent before the own deadline",
         TWO_HOLDERS, "deadline"),
    Rule("dead-for-ever", "A7", "a lease past its deadline is dead whatever a later keep-alive says",
         TWO_HOLDERS, "deadline"),
]


class Scenario(NamedTuple):
    does: tuple  # modes each host asks for
    revocations: int = 0  # leases that etcd revokes out of the blue
    deadlines: int = 0  # leases whose keep-alives go unanswered


SCENARIOS = {
    "small": {
        "revoked": Scenario(("sh ex", "sh ex", "ex"), revocations=1),
        "deadline": Scenario(("ex", "sh ex"), deadlines=1),
    },
    "large": {
        "revoked twice": Scenario(("sh ex", "sh ex", "sh ex"), revocations=2),
        "revoked and deadline": Scenario(("sh ex", "sh ex", "ex"), revocations=1, deadlines=1),
    },
}


class Entry(NamedTuple):
    lease: str
    mode: str


class Host(NamedTuple):
    lease: str  # the lease it believes to have
    health: str = "good"  # "lost": gone in etcd, its agent does not know; "past": its agent's deadline is past
    does: str = "idle"  # "waits", "grace" or "holds"
    mode: str = ""
    awake: bool = False  # while it waits: an event has come, it will read
    watch: str = ""
    seen: frozenset = frozenset()  # leases of conflicting entries ahead; once granted, those that were lost by then
    unfounded: bool = False  # it was granted by a read that did not show its entry


class State(NamedTuple):
    queue: tuple
    sessions: frozenset  # leases whose session key exists
    hosts: tuple
    revocations: int
    deadlines: int


class LeaseLoss:
    def __init__(self, scenario, rules):
        self.scenario = scenario
        self.rules = rules
        self.names = "ABC"[: len(scenario.does)]

    def start(self):
        leases = [name + "0" for name in self.names]
        hosts = tuple(Host(lease) for lease in leases)
        return State((), frozenset(leases), hosts, self.scenario.revocations, self.scenario.deadlines)

    def host(self, s, i, **changes):
        return s._replace(hosts=replace_at(s.hosts, i, s.hosts[i]._replace(**changes)))

    # --- etcd -------------------------------------------------------------------------------------------------------

    def delete(self, s, lease):
        """The entry of that lease goes, and whoever watches it is woken."""
        queue = tuple(e for e in s.queue if e.lease != lease)
        if queue == s.queue:
            return s
        hosts = tuple(h._replace(awake=h.awake or h.watch == lease) for h in s.hosts)
        return s._replace(queue=queue, hosts=hosts)

    def revoke(self, s, lease):
        """The lease ends: entry and session key vanish in one revision."""
        return self.delete(s, lease)._replace(sessions=s.sessions - {lease})

    def ahead(self, s, i):
        """Leases of the conflicting entries before host i's own, latest last; all of them if it has none."""
        found = []
        for e in s.queue:
            if e.lease == s.hosts[i].lease:
                break
            if conflict(e.mode, s.hosts[i].mode):
                found.append(e.lease)
        return found

    # --- the agent --------------------------------------------------------------------------------------------------

    def after_read(self, s, i, watched):
        """grant | S, CREATE k = rev | Q + sessions of the predecessors that vanished"""
        me = s.hosts[i]
        ahead = self.ahead(s, i)
        if ahead:
            return self.host(s, i, does="waits", watch=ahead[-1], awake=False, seen=me.seen | frozenset(ahead))
        vanished = me.seen if "grace-for-all-seen" in self.rules else me.seen & {watched}
        does = "grace" if "grace" in self.rules and vanished - s.sessions else "holds"
        unfounded = all(e.lease != me.lease for e in s.queue)
        return self.host(s, i, does=does, watch="", awake=False, seen=me.seen - s.sessions, unfounded=unfounded)

    def renew(self, s, i):
        """Programs are stopped, everything is forgotten, a new lease and a new session key are made."""
        lease = f"{self.names[i]}{int(s.hosts[i].lease[1:]) + 1}"
        s = s._replace(sessions=s.sessions | {lease})
        return s._replace(hosts=replace_at(s.hosts, i, Host(lease)))

    def moves(self, s):
        for i in range(len(self.names)):
            yield from self.lock_moves(s, i)
            yield from self.lease_moves(s, i)

    def lock_moves(self, s, i):
        me, name = s.hosts[i], self.names[i]
        session = me.lease in s.sessions
        if me.does == "idle" and me.health != "past":
            for mode in self.scenario.does[i].split():
                if session or "session-in-compare" not in self.rules:
                    asking = self.host(s, i, mode=mode, seen=frozenset())
                    asking = asking._replace(queue=s.queue + (Entry(me.lease, mode),))
                    yield f"{name}: enqueue {mode}", self.after_read(asking, i, ""), False
        if me.does == "waits":
            gone = self.delete(s, me.lease)
            yield f"{name}: cancel", self.host(gone, i, does="idle", watch="", seen=frozenset()), False
        reads = me.health != "past" or "read-before-deadline" not in self.rules
        if me.does == "waits" and me.awake and reads:
            there = any(e.lease == me.lease for e in s.queue)
            if there or "own-key-in-grant" not in self.rules:
                yield f"{name}: grant read", self.after_read(s, i, me.watch), True
        if me.does == "grace" and self.grace_is_over(s, i):
            yield f"{name}: grace is over", self.host(s, i, does="holds"), True
        if me.does == "holds":
            yield f"{name}: release", self.host(self.delete(s, me.lease), i, does="idle", seen=frozenset()), True

    def grace_is_over(self, s, i):
        """Those whose leases are gone have stopped their programs by now, if they do so at all."""
        if "own-loss-stops" not in self.rules:
            return True
        return not any(h.health == "lost" and h.lease in s.hosts[i].seen for h in s.hosts)

    def lease_moves(self, s, i):
        me, name = s.hosts[i], self.names[i]
        if me.health == "good" and s.revocations:
            lost = self.host(self.revoke(s, me.lease), i, health="lost")
            yield f"etcd revokes {me.lease}", lost._replace(revocations=s.revocations - 1), False
        if me.health == "lost" and "own-loss-stops" in self.rules:
            yield f"{name}: sees that its lease is lost, stops its programs", self.renew(s, i), True
        if me.health == "good" and s.deadlines:
            past = self.host(s, i, health="past", does="waits" if me.does == "waits" else "idle")
            yield f"{name}: past its deadline, stops its programs", past._replace(deadlines=s.deadlines - 1), False
        if me.health == "past":
            if me.lease in s.sessions:
                yield f"etcd expires {me.lease}", self.revoke(s, me.lease), True
            else:
                yield f"{name}: takes a new lease", self.renew(s, i), True
            if "dead-for-ever" not in self.rules and me.mode and me.does == "idle":
                back = self.host(s, i, health="good", does="holds")
                yield f"{name}: a late keep-alive succeeds, serves under the old grant", back, False

    # --- properties -------------------------------------------------------------------------------------------------

    def broken(self, s):
        held = [h for h in s.hosts if h.does == "holds"]
        for one in held:
            for other in held:
                known = other.lease in one.seen or one.health == other.health == "good"
                if one is not other and conflict(one.mode, other.mode) and known:
                    yield TWO_HOLDERS, f"{one.lease} and {other.lease}"
        for h in s.hosts:
            if h.unfounded:
                yield UNFOUNDED, f"{h.lease} was granted the lock after its lease had ended"
        for e in s.queue:
            if e.lease not in s.sessions:
                yield GHOST, f"the entry of {e.lease} outlived its lease"

    def owed(self, s):
        for name, host in zip(self.names, s.hosts):
            if host.does in ("waits", "grace"):
                yield f"{name} waits"

    def show(self, s):
        queue = " ".join(f"{e.lease}:{e.mode}" for e in s.queue)
        hosts = " ".join(f"{h.lease}:{h.does}" + (f"/{h.health}" if h.health != "good" else "") for h in s.hosts)
        return f"queue [{queue}]  hosts [{hosts}]"


def model(scenario, rules):
    return LeaseLoss(scenario, rules)
