"""LOCK_NB between hosts: the guarded put on an empty queue, joining shared holders, and asking outside the queue.

Builds on cluster.py. A try ends with the lock or with EWOULDBLOCK; the latter is a lie unless, at some instant since
the try began, somebody really held a conflicting lock or a blocking request had been granted one (Try.true keeps the
account, no agent sees it). Two ends are outside the model: ENOLCK after 2 s of lost races, and the time-out of an ask
that a dead host does not answer.
"""

from typing import NamedTuple

from cluster import Cluster, Scenario, words
from etcd import GONE, conflict, find, is_foreign, owner, possession, quiet
from explore import FALSE_ANSWER, GHOST, STUCK, TWO_HOLDERS, Rule, replace_at
from transactions import Host

RULES = [
    Rule("try-compares-empty", "C1", "a try puts its entry only if the queue is empty at that instant",
         TWO_HOLDERS, "tries"),
    Rule("try-asks", "C1", "a try that meets an entry of ours asks its agent",
         FALSE_ANSWER, "tries"),
    Rule("holder-tests-kernel", "15", "the agent asked tests its kernel before it says busy",
         FALSE_ANSWER, "tries"),
    Rule("busy-for-the-living", "15", "asked about an entry it waits with, an agent says busy only for a live request",
         FALSE_ANSWER, "tries"),
    Rule("asks-outside-queue", "C2", "an ask is no entry in the queue",
         FALSE_ANSWER, "tries"),
    Rule("ask-compares-holder", "C2", "an ask is put only while the entry it is about is there",
         STUCK, "tries"),
    Rule("lost-race-retries", "C3", "a transaction whose compare failed is tried again, it is no EWOULDBLOCK",
         FALSE_ANSWER, "tries"),
    Rule("waiters-fail-no-try", "15", "a try is judged by what is held, never by what waits",
         FALSE_ANSWER, "shared tries"),
    Rule("blocked-by-joined-waits", "A5", "an entry that a joined one keeps waiting is not in possession",
         FALSE_ANSWER, "joined first"),
    Rule("try-join-quiet", "A5", "a try that joins compares that nothing was put since the read",
         TWO_HOLDERS, "tries and upgrade"),
    Rule("busy-compares-ask", "C2", "busy is put only on an ask that is still there",
         GHOST, "tries"),
    Rule("try-deletes-ask", "C2", "a try that ends deletes its ask",
         GHOST, "tries"),
]

SCENARIOS = {
    "small": {
        "tries": Scenario(words("ex", "try-ex", "try-ex")),
        "shared tries": Scenario(words("sh", "ex cancel", "try-sh")),
        "joined first": Scenario(words("sh try-ex", "ex", "try-sh"), readers=1),
        "tries and foreign": Scenario(words("sh try-ex", "try-sh try-ex"), foreign=True),
        "tries and upgrade": Scenario(words("sh ex up down", "try-sh try-ex")),
    },
    "large": {
        "tries, three hosts": Scenario(words("sh up down", "try-sh ex cancel", "try-sh try-ex"), readers=1),
        "tries and a waiter": Scenario(words("sh", "ex cancel try-ex", "try-sh")),
        "tries, foreign": Scenario(words("sh ex", "try-sh try-ex", "try-ex"), foreign=True, readers=1),
    },
}

UNHEARD = "?"  # an ask about an entry that was gone when it was put: no event and no agent will ever answer it


class Try(NamedTuple):
    mode: str = ""  # of the try under way, "" for none
    ask: str = ""  # the entry its ask in etcd names; GONE once that entry was deleted or put again
    busy: bool = False  # the ask's value says busy
    true: bool = False  # somebody held a conflicting lock meanwhile


class State(NamedTuple):
    queue: tuple
    hosts: tuple
    foreign: str
    tries: tuple  # one of each host
    answers: frozenset  # (asker, still there): a busy that a holder's agent is about to put on that ask
    stray: str = ""  # an ask key in etcd that nobody knows
    lie: str = ""  # a false EWOULDBLOCK was given


class TryAsk(Cluster):
    def start(self):
        return State((), tuple(Host() for _ in self.names), "idle", tuple(Try() for _ in self.names), frozenset())

    # --- what asks add to etcd --------------------------------------------------------------------------------------

    def attempt(self, s, i, **changes):
        return s._replace(tries=replace_at(s.tries, i, s.tries[i]._replace(**changes)))

    def put(self, s, key, mode, joined=False):
        return self._asked_again(super().put(s, key, mode, joined), key)

    def delete(self, s, key):
        return self._asked_again(super().delete(s, key), key)

    def _asked_again(self, s, key):
        return s._replace(tries=tuple(t._replace(ask=GONE) if t.ask == key else t for t in s.tries))

    def _rename(self, s, old, new):
        s = super()._rename(s, old, new)
        return s._replace(tries=tuple(t._replace(ask=new) if t.ask == old else t for t in s.tries))

    def txn_ask(self, s, i, holder):
        """try, ours ahead | S, CREATE h = rev_h | put ask"""
        if not find(s.queue, holder):
            return None if "ask-compares-holder" in self.rules else self.attempt(s, i, ask=UNHEARD)
        return self.attempt(s, i, ask=holder, busy=False)

    def txn_answer_busy(self, s, i, there):
        """answer busy | S, CREATE ask = rev | put ask "busy" """
        s = s._replace(answers=s.answers - {(i, there)})
        if there:
            return self.attempt(s, i, busy=True)
        return s if "busy-compares-ask" in self.rules else s._replace(stray=self.names[i])

    def drop_ask(self, s, i):
        """del ask; a busy under way to it will find it gone."""
        if s.tries[i].ask and "try-deletes-ask" not in self.rules:
            s = s._replace(stray=self.names[i])
        answers = frozenset((asker, there and asker != i) for asker, there in s.answers)
        return self.attempt(s._replace(answers=answers), i, ask="", busy=False)

    def end(self, s, i):
        return self.attempt(self.drop_ask(self.planned(s, i), i), i, mode="", true=False)

    def refuse(self, s, i, why):
        """EWOULDBLOCK."""
        if not s.tries[i].true:
            s = s._replace(lie=f"{self.names[i]}: {why}")
        return self.end(s, i)

    # --- moves ------------------------------------------------------------------------------------------------------

    def moves(self, s):
        for label, new, must in super().moves(s):
            yield label, self.account(new), must
        for i in range(len(self.names)):
            for label, new, must in self.try_moves(s, i):
                yield label, self.account(new), must
        for i, there in s.answers:
            yield f"busy is put on the ask of {self.names[i]}", self.account(self.txn_answer_busy(s, i, there)), True

    def program_moves(self, s, i):
        """While a host tries, it makes no other request."""
        for label, new, must in super().program_moves(s, i):
            if not s.tries[i].mode or not new.hosts[i].want:
                yield label, new, must

    def try_moves(self, s, i):
        t, me, name = s.tries[i], s.hosts[i], self.names[i]
        if not t.mode:
            if not me.want and not me.plan and not me.next:
                for mode in ("sh", "ex"):
                    if f"try-{mode}" in self.scenario.does[i] and me.readers + me.writer < self.scenario.readers:
                        yield f"{name}: a program tries {mode}", self.attempt(s, i, mode=mode), False
            return
        yield f"{name}: the try is killed", self.end(self.host(s, i, want=""), i), False
        if t.ask:
            yield from self.ask_moves(s, i)
        elif me.plan:
            yield from self.planned_moves(s, i)
        elif me.cur:
            yield from self.local_try_moves(s, i)
        elif not me.next:
            yield from self.first_try_moves(s, i)

    def local_try_moves(self, s, i):
        """The host has a grant: the kernel decides, unless the grant is about to go or too weak."""
        t, me, name = s.tries[i], s.hosts[i], self.names[i]
        if me.writer or (me.readers and t.mode == "ex"):
            yield f"{name}: EWOULDBLOCK, held on this host", self.refuse(s, i, "held on this host"), True
        elif t.mode == "sh" and (me.readers or not self.waiter_behind(s, i)):
            yield f"{name}: the try gets sh under cur", self.end(self.host(s, i, readers=me.readers + 1), i), True
        elif me.cur == "ex" and t.mode == "ex":
            yield f"{name}: the try gets ex under cur", self.end(self.host(s, i, writer=1), i), True

    def first_try_moves(self, s, i):
        """try, empty | S, CREATE of range K/ = 0 | put k | Q: decide by what is in possession"""
        t, name = s.tries[i], self.names[i]
        if not s.queue:
            if "try-compares-empty" in self.rules:
                yield f"{name}: try on an empty queue", self.got(self.put(s, name, t.mode), i), True
            else:
                yield f"{name}: read, the queue is empty", self.planned(s, i, "try-put", ""), True
            return
        held = possession(s.queue, "blocked-by-joined-waits" in self.rules)
        if "waiters-fail-no-try" not in self.rules:
            held = s.queue
        against = [e for e in held if conflict(e.mode, t.mode)]
        if not against:
            if any(is_foreign(e.key) for e in s.queue):
                yield f"{name}: EWOULDBLOCK, a foreign waiter (limit)", self.end(s, i), True
            else:
                yield f"{name}: read, to join {held[0].key}", self.planned(s, i, "try-join", held[0].key), True
        elif any(is_foreign(e.key) for e in against):
            yield f"{name}: EWOULDBLOCK, foreign", self.refuse(s, i, "behind a foreign entry"), True
        elif "try-asks" not in self.rules:
            yield f"{name}: EWOULDBLOCK, an entry is there", self.refuse(s, i, "behind an entry"), True
        elif "asks-outside-queue" not in self.rules:
            asking = self.attempt(self.host(s, i, want=t.mode), i, ask=against[0].key)
            yield f"{name}: enqueue, and ask {against[0].key}", self.txn_enqueue(asking, i, t.mode), True
        else:
            yield f"{name}: read, to ask {against[0].key}", self.planned(s, i, "try-ask", against[0].key), True

    def planned_moves(self, s, i):
        """The transaction that was built on a read."""
        t, name = s.tries[i], self.names[i]
        what, key = s.hosts[i].plan
        done = None
        if what == "try-put":
            done = self.got(self.put(s, name, t.mode), i)
        elif what == "try-join":
            if find(s.queue, key) and (quiet(s.queue, name) or "try-join-quiet" not in self.rules):
                done = self.got(self.put(s, name, "sh", joined=True), i)
        elif what == "try-ask":
            done = self.txn_ask(s, i, key)
            done = done and self.planned(done, i)
        if done:
            yield f"{name}: {what} {key}", done, True
        elif "lost-race-retries" in self.rules:
            yield f"{name}: {what} {key} fails, look again", self.planned(s, i), True
        else:
            yield f"{name}: EWOULDBLOCK, {what} {key} failed", self.refuse(s, i, "a race was lost"), True

    def got(self, s, i):
        """The entry just put is granted, and the program takes its kernel lock."""
        mode = s.tries[i].mode
        s = self.host(s, i, cur=mode, readers=int(mode == "sh"), writer=int(mode == "ex"))
        return self.end(s, i)

    def ask_moves(self, s, i):
        """The holder's agent answers; letting go is its ordinary release or downgrade."""
        t, name = s.tries[i], self.names[i]
        if s.hosts[i].cur:
            yield f"{name}: granted meanwhile", self.end(s, i), True
        elif t.busy:
            yield f"{name}: EWOULDBLOCK, busy", self.refuse(self.host(s, i, want=""), i, "busy"), True
        elif t.ask == GONE:
            if "asks-outside-queue" in self.rules:
                yield f"{name}: the entry asked has changed, look again", self.drop_ask(s, i), True
        elif t.ask != UNHEARD and (i, True) not in s.answers and self.is_busy(s, t):
            yield f"{owner(t.ask)}: tests for {name}: held", s._replace(answers=s.answers | {(i, True)}), True

    def is_busy(self, s, t):
        """What the agent behind t.ask finds. A granted entry of a live request it has not told yet counts as held."""
        holder = s.hosts[self.names.index(owner(t.ask))]
        if t.ask.islower() and "busy-for-the-living" in self.rules:
            return self.wants_next(holder)
        if t.ask.islower() or "holder-tests-kernel" not in self.rules:
            return True
        if t.mode == "ex":
            return bool(holder.readers or holder.writer)
        return bool(holder.writer or (holder.cur == "ex" and holder.want == "up"))

    # --- properties -------------------------------------------------------------------------------------------------

    def account(self, s):
        """Note for every try under way whether its refusal would be true from now on."""
        for i, t in enumerate(s.tries):
            if t.mode and not t.true and self.held_against(s, t.mode):
                s = self.attempt(s, i, true=True)
        return s

    def held_against(self, s, mode):
        if any(conflict(held, mode) for _, held in self.holders(s)):
            return True
        for e in possession(s.queue):
            if conflict(e.mode, mode):
                if is_foreign(e.key):
                    return True
                j = self.names.index(owner(e.key))
                if s.hosts[j].want and not s.tries[j].mode:
                    return True
        return False

    def broken(self, s):
        yield from super().broken(s)
        if s.lie:
            yield FALSE_ANSWER, s.lie
        if s.stray:
            yield GHOST, f"an ask of {s.stray} that nobody knows"

    def owed(self, s):
        yield from super().owed(s)
        for name, t in zip(self.names, s.tries):
            if t.mode:
                yield f"{name} tries {t.mode}"

    def show(self, s):
        asks = " ".join(f"{n}->{t.ask}{'=busy' if t.busy else ''}" for n, t in zip(self.names, s.tries) if t.ask)
        return super().show(s) + (f"  asks [{asks}]" if asks else "")


def model(scenario, rules):
    return TryAsk(scenario, rules)
