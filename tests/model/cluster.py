"""Blocking locks between hosts: enqueue, grant, join, upgrade, downgrade, cancel, and a client that is not ours.

Between a read and the transaction that is built on it anything may happen. A watch and the read behind it are one
step, and there is no periodic read that would hide a lost wake-up. Local processes are reduced to what they hold;
host.py has them in full.
"""

from typing import NamedTuple

from etcd import GONE, blockers, conflict, find, is_foreign, owner, possession
from explore import GHOST, STUCK, TWO_HOLDERS, Rule
from transactions import Transactions

RULES = [
    Rule("grant-reads-queue", "A8", "after an event the queue is read again; a watched key's end is no grant",
         TWO_HOLDERS, "exclusive"),
    Rule("cancel-deletes", "FACTS", "a cancelled wait deletes its entry",
         GHOST, "exclusive"),
    Rule("value-in-place", "A1", "a downgrade is a PUT on the same key; the place in the queue stays",
         TWO_HOLDERS, "downgrade"),
    Rule("kernel-first", "15", "the kernel lock is downgraded before the entry is",
         TWO_HOLDERS, "downgrade"),
    Rule("put-wakes", "15", "waiters react to PUT as well as DELETE",
         STUCK, "downgrade-nested"),
    Rule("join-marked", "A5", "an entry that joined says so in its value",
         TWO_HOLDERS, "join"),
    Rule("grant-sees-joined", "A5", "a grant looks at joined entries after its own too",
         TWO_HOLDERS, "join"),
    Rule("join-holder-there", "A5", "joining compares that the holder it joins is still there",
         TWO_HOLDERS, "join"),
    Rule("join-quiet", "A5", "joining compares that nothing was put since the read",
         TWO_HOLDERS, "join-upgrade"),
    Rule("join-behind-ours-only", "A5", "nothing joins past a waiter that is foreign",
         TWO_HOLDERS, "join-foreign"),
    Rule("join-at-last", "9", "a shared request blocked by a waiter joins remote readers after a second",
         STUCK, "nested-remote"),
    Rule("nested-under-cur", "9", "while local readers live a local shared request is let through after a turn",
         STUCK, "nested-local"),
    Rule("upgrade-drops", "A6", "an upgrade that must wait gives up its shared lock first",
         STUCK, "upgrade"),
    Rule("upgrade-nobody-else", "A6", "in place only while nobody else is in possession",
         TWO_HOLDERS, "upgrade"),
    Rule("upgrade-quiet", "A6", "an upgrade in place compares that nothing was put since the read",
         TWO_HOLDERS, "upgrade"),
    Rule("upgrade-blocker-there", "A6", "an upgrade in place compares that the first exclusive waiter is still there",
         TWO_HOLDERS, "upgrade-3"),
    Rule("upgrade-keeps-joined", "A6", "a joined entry upgraded in place stays marked joined",
         TWO_HOLDERS, "join-upgrade"),
]


class Scenario(NamedTuple):
    does: tuple  # for each host what its programs do, words of: sh ex up down cancel join
    foreign: bool = False
    readers: int = 2  # local ones at a time
    nested: tuple = ()  # (parent, child): parent does not let go while child waits, child asks while parent holds


def words(*each):
    return tuple(frozenset(text.split()) for text in each)


SCENARIOS = {
    "small": {
        "exclusive": Scenario(words("ex cancel", "ex cancel", "ex cancel"), foreign=True),
        "downgrade": Scenario(words("ex down", "sh cancel", "ex")),
        "downgrade-nested": Scenario(words("ex down", "sh", "ex"), nested=(0, 1)),
        "join": Scenario(words("sh", "ex cancel", "join")),
        "join-foreign": Scenario(words("sh", "join", "ex"), foreign=True),
        "join-upgrade": Scenario(words("sh up", "join up", "ex cancel")),
        "nested-remote": Scenario(words("sh", "sh", "ex cancel"), nested=(0, 1)),
        "nested-local": Scenario(words("sh", "ex cancel"), foreign=True, nested=(0, 0)),
        "upgrade": Scenario(words("sh up cancel", "sh up", ), foreign=True),
        "upgrade-3": Scenario(words("sh up", "ex cancel", "sh"), readers=1),
    },
    "large": {
        "all of A and B": Scenario(words("sh ex up down cancel join", "sh ex up down cancel join"), foreign=True),
        "three hosts": Scenario(words("sh up join cancel", "ex down cancel", "sh up join"), readers=1),
        "upgrade beside readers": Scenario(words("sh up", "ex cancel", "sh")),
        "three hosts, foreign": Scenario(words("sh up", "ex cancel", "sh join"), foreign=True, readers=1),
    },
}


class Cluster(Transactions):
    # --- what an agent makes of a read ------------------------------------------------------------------------------

    def wait_for(self, s, i):
        """The key next waits for: the latest conflicting one before it, else a joined one; "" is granted."""
        me = find(s.queue, self.names[i].lower())
        found = blockers(s.queue, me, "grant-sees-joined" in self.rules)
        if "upgrade-drops" not in self.rules:
            found = [e for e in found if e.key != self.names[i]]
        places = [e.key for e in s.queue]
        before = [e for e in found if places.index(e.key) < places.index(me.key)]
        return (before or found)[-1].key if found else ""

    def granted_or_watching(self, s, i):
        """grant | S, CREATE k = rev | Q: granted if nothing is in the way; else sleep on one key"""
        key = self.wait_for(s, i)
        return self.host(s, i, watch=key) if key else self.take(s, i)

    def take(self, s, i):
        """next is granted: it becomes cur. Readers of an older shared cur go on under it."""
        if s.hosts[i].cur:
            s = self.txn_release(s, i)
        s = self._rename(s, self.names[i].lower(), self.names[i])
        return self.serve(self.host(s, i, cur=s.hosts[i].next, next="", watch=""), i)

    def serve(self, s, i):
        """The local request gets its kernel lock under cur, if there is one that can have it now."""
        me = s.hosts[i]
        if me.want == "sh" and not me.writer:
            return self.host(s, i, readers=me.readers + 1, want="")
        if me.want in ("ex", "up") and me.cur == "ex" and not me.writer and not me.readers:
            return self.host(s, i, writer=1, want="")
        return s

    def others_in_possession(self, s, i):
        return [e for e in possession(s.queue) if e.key != self.names[i]]

    def waiter_behind(self, s, i):
        """Does anything that conflicts with a shared cur stand in the queue?"""
        return any(conflict(e.mode, "sh") for e in s.queue if e.key != self.names[i])

    # --- moves ------------------------------------------------------------------------------------------------------

    def moves(self, s):
        for i in range(len(self.names)):
            yield from self.program_moves(s, i)
            yield from self.agent_moves(s, i)
            yield from self.join_moves(s, i)
            yield from self.conversion_moves(s, i)
        if self.scenario.foreign:
            yield from self.foreign_moves(s)

    def program_moves(self, s, i):
        """What local programs do."""
        me, name, does = s.hosts[i], self.names[i], self.scenario.does[i]
        parent, child = self.scenario.nested or (None, None)
        if not me.want and not me.plan:
            too_early = i == child != parent and not s.hosts[parent].readers
            if "sh" in does and me.readers < self.scenario.readers and not too_early:
                yield f"{name}: a program asks for sh", self.host(s, i, want="sh"), False
            if "ex" in does and me.readers + me.writer < 2:
                yield f"{name}: a program asks for ex", self.host(s, i, want="ex"), False
            if "up" in does and me.readers:
                left = me.readers - 1 if "upgrade-drops" in self.rules else me.readers
                yield f"{name}: a reader asks for ex", self.host(s, i, want="up", readers=left), False
            if "down" in does and me.writer:
                yield from self.downgrade_moves(s, i)
        if "cancel" in does and me.want:
            yield f"{name}: the request is cancelled", self.host(self.planned(s, i), i, want=""), False
        if me.writer:
            yield f"{name}: the writer lets go", self.host(s, i, writer=0), True
        if me.readers and not (i == parent and s.hosts[child].want == "sh"):
            if "upgrade-drops" in self.rules or me.want != "up" or me.readers > 1:
                yield f"{name}: a reader lets go", self.host(s, i, readers=me.readers - 1), True

    def downgrade_moves(self, s, i):
        name = self.names[i]
        if "kernel-first" in self.rules:
            yield f"{name}: the writer becomes a reader", self.host(s, i, writer=0, readers=1), False
        elif s.hosts[i].cur == "ex":
            yield f"{name}: downgrade put before the kernel's", self.txn_downgrade(s, i), False

    def agent_moves(self, s, i):
        """Enqueue, grant, serve, release."""
        me, name = s.hosts[i], self.names[i]
        if me.want in ("sh", "ex") and not me.next and not me.plan and self.needs_next(s, i):
            yield f"{name}: enqueue {me.want}", self.txn_enqueue(s, i, me.want), True
        if me.next and not me.watch:
            yield f"{name}: grant read", self.granted_or_watching(s, i), True
        if me.next and me.watch == GONE:
            raise AssertionError("asleep on a key that is gone")
        if me.next and not self.wants_next(me):
            yield f"{name}: cancel {me.next}", self.txn_cancel(self.planned(s, i), i), True
        if me.cur and self.serves(s, i):
            yield f"{name}: serve {me.want} under cur", self.serve(s, i), True
        if me.cur and not me.readers and not me.writer and (me.want != "up" or me.next):
            yield f"{name}: release", self.txn_release(s, i), True
        if not "grant-reads-queue" in self.rules and me.next and not me.watch:
            yield f"{name}: the watched key is gone, so this is a grant", self.take(s, i), True

    def serves(self, s, i):
        """May a local request be let through under cur, and will it get the kernel lock?"""
        me = s.hosts[i]
        if me.want == "sh" and not me.writer:
            return not self.waiter_behind(s, i) or ("nested-under-cur" in self.rules and me.readers > 0)
        return me.want in ("ex", "up") and me.cur == "ex" and not me.readers and not me.writer

    def wants_next(self, me):
        """Is the request that the waiting entry was made for still there?"""
        return me.want == me.next or (me.want == "up" and me.next == "ex")

    def needs_next(self, s, i):
        me = s.hosts[i]
        if not me.cur:
            return True
        if me.want == "ex":
            return me.cur == "sh" or me.readers + me.writer > 0
        return bool(me.writer) or self.waiter_behind(s, i)

    def join_moves(self, s, i):
        """Shared requests that go past a conflicting waiter: a fresh one at once ("join"), a waiting one at last."""
        me, name = s.hosts[i], self.names[i]
        fresh = "join" in self.scenario.does[i] and not me.cur and not me.next and not me.want and not me.plan
        waiting = "join-at-last" in self.rules and me.next == "sh" and me.watch and not me.cur and not me.plan
        if fresh or waiting:
            holder = self.joinable(s, i)
            if holder:
                what = "join-new" if fresh else "join-waiting"
                yield f"{name}: read, to join {holder}", self.planned(s, i, what, holder), waiting
        if me.plan and me.plan[0].startswith("join"):
            key = name if me.plan[0] == "join-new" else name.lower()
            joined = self.txn_join(s, i, me.plan[1], key) if me.plan[0] == "join-new" or me.next == "sh" else None
            if not joined:
                yield f"{name}: join {me.plan[1]} fails", self.planned(s, i), True
                return
            if key == name:
                joined = self.host(joined, i, cur="sh", readers=1)
            else:
                joined = self.take(joined, i)
            yield f"{name}: join {me.plan[1]}", self.planned(joined, i), True

    def joinable(self, s, i):
        """A holder to join: all in possession are shared, and no foreign waiter stands before our place."""
        holders = possession(s.queue)
        ahead = s.queue
        mine = find(s.queue, self.names[i].lower())
        if mine:
            ahead = s.queue[: s.queue.index(mine)]
        if not holders or any(e.mode == "ex" for e in holders) or mine in holders:
            return ""
        if "join-behind-ours-only" in self.rules and any(is_foreign(e.key) for e in ahead):
            return ""
        return holders[0].key

    def conversion_moves(self, s, i):
        """Upgrade and downgrade of what cur stands for."""
        me, name = s.hosts[i], self.names[i]
        if me.want == "up" and me.cur == "sh" and not me.next and not me.plan:
            if self.others_in_possession(s, i) and "upgrade-nobody-else" in self.rules:
                yield f"{name}: upgrade by a second entry", self.txn_upgrade_second(s, i), True
            else:
                waiters = [e.key for e in s.queue if e.key != name and e.mode == "ex"]
                blocker = waiters[0] if waiters else ""
                yield f"{name}: read, to upgrade in place", self.planned(s, i, "up", blocker), True
        if me.plan and me.plan[0] == "up":
            done = self.txn_upgrade_in_place(s, i, me.plan[1])
            if done:
                yield f"{name}: upgrade in place", self.serve(self.planned(done, i), i), True
            else:
                yield f"{name}: upgrade in place fails", self.planned(s, i), True
        if me.want == "up" and not me.cur and not me.next:
            yield f"{name}: upgrade goes on as a new request", self.host(s, i, want="ex"), True
        if me.cur == "ex" and not me.writer and me.readers and me.want != "up" and not me.plan:
            yield f"{name}: downgrade put", self.txn_downgrade(s, i), True
        if me.cur == "sh" and me.writer:
            yield f"{name}: downgrade, at last in the kernel", self.host(s, i, writer=0, readers=1), True

    def foreign_moves(self, s):
        """etcdctl lock: waits until no older key is left, knows nothing of modes or marks."""
        if s.foreign == "idle":
            yield "F: enqueue", self.put(s._replace(foreign="waits"), "F", "ex"), False
        if s.foreign == "waits":
            if s.queue[0].key == "F":
                yield "F: granted", s._replace(foreign="holds"), True
            yield "F: cancel", self.delete(s._replace(foreign="idle"), "F"), False
        if s.foreign == "holds":
            yield "F: release", self.delete(s._replace(foreign="idle"), "F"), True

    # --- properties -------------------------------------------------------------------------------------------------

    def holders(self, s):
        """(who, mode) of everybody who really holds the lock, ours by the kernel."""
        for name, host in zip(self.names, s.hosts):
            if host.writer:
                yield name, "ex"
            if host.readers:
                yield name, "sh"
        if s.foreign == "holds":
            yield "F", "ex"

    def broken(self, s):
        held = list(self.holders(s))
        if len(held) > 1 and any(mode == "ex" for _, mode in held):
            yield TWO_HOLDERS, " and ".join(f"{who} holds {mode}" for who, mode in held)
        for e in s.queue:
            host = None if is_foreign(e.key) else s.hosts[self.names.index(owner(e.key))]
            if host and not (host.cur if e.key.isupper() else host.next):
                yield GHOST, f"entry {e.key} ({e.mode}) is known to no agent"

    def owed(self, s):
        for name, host in zip(self.names, s.hosts):
            if host.want:
                yield f"{name} waits for {host.want}"
            if host.cur and not host.want and not host.readers and not host.writer:
                yield f"{name} has an entry nobody uses"
        if s.foreign == "waits":
            yield "F waits"

    def show(self, s):
        """One line for a trace: the queue, and who holds."""
        queue = " ".join(f"{e.key}:{e.mode}{'+' if e.joined else ''}" for e in s.queue)
        held = " ".join(f"{who}:{mode}" for who, mode in self.holders(s))
        return f"queue [{queue}]  held [{held}]"


def model(scenario, rules):
    return Cluster(scenario, rules)
