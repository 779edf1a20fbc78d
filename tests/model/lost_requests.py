"""Requests that are lost, delayed or doubled, an agent that is killed, and the session nonce that cures it (A2, A4).

Agent A sends one request at a time to etcd. A request under way may be applied at any later time, or never; its
answer may be lost; a copy of it may stay under way. B stands for everybody else and always gets through. An entry has
a number n in its key, a create revision `rev` and a `mod`; all are small counters, since requests are few.

The HTTP layer may send a request again without a word when a kept connection dies under it, and report the second
one's answer: the first one is then under way although the agent knows an outcome. A nonce does not help against that.
"""

from typing import NamedTuple, Optional

from etcd import conflict
from explore import GHOST, STUCK, TWO_HOLDERS, Rule

RULES = [
    Rule("nonce-in-compare", "A2", "every transaction compares the session nonce",
         GHOST, "lost answers"),
    Rule("new-nonce-first", "A2", "after an unknown outcome the nonce is replaced before anything is asked",
         GHOST, "lost answers"),
    Rule("nonce-by-compare", "A2", "the nonce is replaced only if it is still the one known",
         STUCK, "lost answers"),
    Rule("numbers-once", "A2", "the number of an entry is never used twice",
         TWO_HOLDERS, "copies"),
    Rule("release-is-final", "A2", "a release once sent is never taken back",
         TWO_HOLDERS, "lost answers"),
    Rule("one-copy", "A2", "a write that the HTTP layer silently sent again has an unknown outcome (see may_double)",
         GHOST, "copies"),
    Rule("put-compares-mod", "A1", "a PUT on the own key compares its MOD revision",
         GHOST, "conversion copies"),
    Rule("adopt-nonce-first", "A4", "a new agent replaces the nonce before it reads its entries back",
         GHOST, "crash"),
    Rule("adopt-keeps-held", "A4", "a new agent keeps a granted entry while the kernel lock is held",
         TWO_HOLDERS, "crash"),
    Rule("adopt-deletes-rest", "A4", "a new agent deletes every other entry on its lease",
         GHOST, "crash"),
]


class Scenario(NamedTuple):
    requests: int  # that local programs of A make
    faults: int  # requests lost, answers lost, copies, time-outs while the request is still under way
    crashes: int = 0
    copies: bool = False  # the HTTP layer doubles requests without a word
    modes: str = "ex"  # of A's requests
    conversions: int = 0  # of its grants


SCENARIOS = {
    "small": {
        "lost answers": Scenario(requests=2, faults=2),
        "copies": Scenario(requests=2, faults=2, copies=True),
        "conversions": Scenario(requests=1, faults=1, modes="sh ex", conversions=2),
        "conversion copies": Scenario(requests=1, faults=1, copies=True, modes="sh ex", conversions=2),
        "crash": Scenario(requests=2, faults=1, crashes=1),
    },
    "large": {
        "lost and crash": Scenario(requests=3, faults=2, crashes=1),
        "three faults": Scenario(requests=2, faults=3),
        "crash, conversions": Scenario(requests=1, faults=2, crashes=1, modes="sh ex", conversions=2),
        "two crashes": Scenario(requests=2, faults=1, crashes=2),
        "copies, crash": Scenario(requests=2, faults=2, crashes=1, copies=True),
    },
}


class Entry(NamedTuple):
    owner: str
    n: int
    rev: int
    mod: int
    mode: str


class Request(NamedTuple):
    what: str  # "enqueue", "delete", "put", "nonce"
    nonce: int  # compared with the session key
    n: int = 0
    rev: int = 0  # compared on delete; 0: not known, which only a new nonce allows
    mod: int = 0  # compared on put
    mode: str = ""
    new: int = 0  # the new nonce


class Agent(NamedTuple):
    phase: str = "ready"  # then "sent", "unknown", "nonce", "again"; "lost" is the end; "adopt" after a crash
    nonce: int = 1  # 0: not known
    op: Optional[Request] = None  # what was sent, or is to be resolved
    renewal: Optional[Request] = None  # the replacement of the nonce under way
    entry: Optional[Entry] = None  # the one it knows to have in the queue, as of its last read
    granted: bool = False


class State(NamedTuple):
    queue: tuple = ()
    nonce: int = 1
    flying: frozenset = frozenset()
    agent: Agent = Agent()
    want: str = ""  # A's program: what it waits for, what it holds in the kernel
    held: str = ""
    other: str = "idle"  # B: "waits", "holds"
    rev: int = 0
    number: int = 0
    fresh: int = 1  # the last nonce made
    requests: int = 0  # what the scenario still has in store
    faults: int = 0
    crashes: int = 0
    conversions: int = 0


class LostRequests:
    def __init__(self, scenario, rules):
        self.scenario = scenario
        self.rules = rules

    def start(self):
        given = self.scenario
        return State(requests=given.requests, faults=given.faults, crashes=given.crashes, conversions=given.conversions)

    # --- etcd applies a request: (new state, did the compare hold) -----------------------------------------------

    def apply(self, s, r):
        if r.what == "nonce":
            # session | VALUE s = the one known | put s nonce
            if "nonce-by-compare" in self.rules and s.nonce != r.nonce:
                return s, False
            return s._replace(nonce=r.new), True
        if "nonce-in-compare" in self.rules and s.nonce != r.nonce:
            return s, False
        mine = next((e for e in s.queue if e.owner == "A" and e.n == r.n), None)
        if r.what == "enqueue":
            # enqueue | S, CREATE k = 0 | put k
            if mine:
                return s, False
            rev = s.rev + 1
            return s._replace(rev=rev, queue=s.queue + (Entry("A", r.n, rev, rev, r.mode),)), True
        if not mine:
            return s, False
        if r.what == "delete":
            # release, cancel | S, CREATE k = rev | del k
            if r.rev and mine.rev != r.rev:
                return s, False
            return s._replace(queue=tuple(e for e in s.queue if e != mine)), True
        # downgrade | S, MOD k = mod | put k        upgrade, alone | also CREATE of range K/ = rev_k | put k EX
        if "put-compares-mod" in self.rules and mine.mod != r.mod:
            return s, False
        if r.mode == "ex" and any(e != mine for e in s.queue):
            return s, False
        put = mine._replace(mode=r.mode, mod=s.rev + 1)
        return s._replace(rev=s.rev + 1, queue=tuple(put if e == mine else e for e in s.queue)), True

    def first(self, s, entry):
        """Is nothing that conflicts before this entry?"""
        before = s.queue[: s.queue.index(entry)]
        return not any(conflict(e.mode, entry.mode) for e in before)

    def entries(self, s):
        return [e for e in s.queue if e.owner == "A"]

    # --- moves ------------------------------------------------------------------------------------------------------

    def moves(self, s):
        yield from self.network_moves(s)
        yield from self.program_moves(s)
        yield from self.agent_moves(s)
        yield from self.other_moves(s)

    def network_moves(self, s):
        for r in s.flying:
            expected = r in (s.agent.op if s.agent.phase == "sent" else None, s.agent.renewal)
            gone = s._replace(flying=s.flying - {r})
            applied, held = self.apply(gone, r)
            name = f"{r.what} {r.n or r.new}"
            if expected:
                yield f"{name} is applied, answered", self.answer(applied, r, held), True
            else:
                yield f"{name} is applied, late", applied, True
            if expected and self.scenario.copies and s.faults and self.may_double(r, held):
                copy = applied._replace(flying=s.flying, faults=s.faults - 1)
                yield f"{name} is applied, answered, sent twice", self.answer(copy, r, held), False
            if s.faults:
                fault = s.faults - 1
                yield f"{name} is lost", gone._replace(faults=fault), False
                yield f"{name} is applied, the answer lost", applied._replace(faults=fault), False
                yield f"{name} is applied, a copy is under way", applied._replace(flying=s.flying, faults=fault), False

    def may_double(self, r, held):
        """Copies that are harmless, because the success of the first makes the second's compare false for ever."""
        return r.what == "delete" or (r.what in ("put", "nonce") and held) or "one-copy" not in self.rules

    def answer(self, s, r, held):
        """The agent learns what became of its request."""
        a = s.agent
        if r == a.renewal:
            if held:
                return s._replace(agent=a._replace(nonce=r.new, renewal=None, phase="again"))
            return self.read_nonce(s)
        if not held and s.nonce != a.nonce:
            return s._replace(agent=Agent(phase="lost"), held="")
        return self.resolve(s)

    def send(self, s, request):
        agent = s.agent._replace(op=request, phase="sent")
        return s._replace(agent=agent, flying=s.flying | {request})

    def program_moves(self, s):
        a = s.agent
        if s.requests and not s.want and not s.held:
            for mode in self.scenario.modes.split():
                yield f"a program asks for {mode}", s._replace(want=mode, requests=s.requests - 1), False
        if s.want:
            yield "the request is cancelled", s._replace(want=""), False
        if s.held:
            yield "the program lets go", s._replace(held=""), True
        if s.conversions and a.phase == "ready" and a.granted and not s.want:
            converted = s._replace(conversions=s.conversions - 1)
            if s.held == "sh" and a.entry.mode == "sh":
                yield "the reader asks for ex", converted._replace(held="", want="ex"), False
            if s.held == "ex":
                yield "the writer becomes a reader", converted._replace(held="sh"), False

    def agent_moves(self, s):
        a = s.agent
        if s.crashes and a.phase != "lost":
            yield "the agent is killed", s._replace(agent=Agent(phase="adopt", nonce=0), crashes=s.crashes - 1), False
        if a.phase == "adopt":
            yield from self.adopt_moves(s)
        elif a.phase == "ready":
            yield from self.ready_moves(s)
        elif a.phase == "sent":
            yield from self.time_out(s, a.op, "unknown")
            if "release-is-final" not in self.rules and a.op.what == "delete" and a.granted and s.want == a.op.mode:
                yield "the agent takes its release back", s._replace(held=s.want, want=""), False
        elif a.phase == "unknown":
            if "new-nonce-first" in self.rules:
                yield "new nonce", self.send_nonce(s), True
            else:
                yield "asks again", self.resolve(s), True
        elif a.phase == "nonce":
            yield from self.time_out(s, a.renewal, "nonce?")
        elif a.phase == "nonce?":
            yield "reads the nonce", self.read_nonce(s), True
        elif a.phase == "again":
            yield "asks again", self.resolve(s), True

    def time_out(self, s, request, phase):
        late = request in s.flying
        if not late or s.faults:
            agent = s.agent._replace(phase=phase)
            yield f"no answer to {request.what}", s._replace(agent=agent, faults=s.faults - late), not late

    def ready_moves(self, s):
        """Nothing is under way and the agent knows its entry."""
        a, e = s.agent, s.agent.entry
        if not e and s.want:
            number = s.number + 1 if "numbers-once" in self.rules else 1
            asking = s._replace(number=number)
            yield f"sends enqueue {number}", self.send(asking, Request("enqueue", a.nonce, number, mode=s.want)), True
        if e and not a.granted and e in s.queue and self.first(s, e):
            yield "grant read", s._replace(agent=a._replace(granted=True)), True
        if a.granted and s.want and not s.held and (e.mode == "ex" or s.want == "sh"):
            yield f"the program gets {s.want}", s._replace(held=s.want, want=""), True
        if e and not s.held and (not s.want or a.granted):
            if s.want == "ex" and e.mode == "sh" and s.queue == (e,):
                yield "sends put ex", self.send(s, Request("put", a.nonce, e.n, mod=e.mod, mode="ex")), True
            elif not s.want or (e.mode == "sh" and s.want == "ex"):
                yield f"sends delete {e.n}", self.send(s, Request("delete", a.nonce, e.n, e.rev, mode=e.mode)), True
        if a.granted and e.mode == "ex" and s.held == "sh":
            yield "sends put sh", self.send(s, Request("put", a.nonce, e.n, mod=e.mod, mode="sh")), True

    def send_nonce(self, s):
        fresh = s.fresh + 1
        renewal = Request("nonce", s.agent.nonce, new=fresh)
        agent = s.agent._replace(phase="nonce", renewal=renewal)
        return s._replace(agent=agent, fresh=fresh, flying=s.flying | {renewal})

    def read_nonce(self, s):
        """A replacement without an answer: either it has happened, or it is tried with another nonce."""
        if s.nonce != s.agent.nonce:
            return s._replace(agent=s.agent._replace(nonce=s.nonce, renewal=None, phase="again"))
        return self.send_nonce(s)

    def resolve(self, s):
        """What etcd shows now is the outcome of op."""
        a = s.agent
        if a.op is None:
            return s._replace(agent=a._replace(phase="adopt"))
        there = next((e for e in s.queue if e.owner == "A" and e.n == a.op.n), None)
        if a.op.what == "delete" and there:
            return self.send(s, a.op._replace(nonce=a.nonce, rev=0))
        granted = a.granted and a.op.what == "put" and there is not None
        return s._replace(agent=Agent("ready", a.nonce, entry=there, granted=granted))

    def adopt_moves(self, s):
        """adopt | the nonce known = s | put s new nonce; then read; keep what is held, delete the rest"""
        a = s.agent
        if not a.nonce and "adopt-nonce-first" in self.rules:
            yield "the new agent replaces the nonce", self.send_nonce(s._replace(agent=a._replace(nonce=s.nonce))), True
            return
        keep = None
        for e in self.entries(s):
            if s.held and self.first(s, e) and "adopt-keeps-held" in self.rules:
                keep = e
            elif "adopt-deletes-rest" in self.rules:
                gone = s._replace(queue=tuple(x for x in s.queue if x != e))
                yield f"the new agent deletes entry {e.n}", gone, True
                return
        agent = Agent("ready", a.nonce or s.nonce, entry=keep, granted=keep is not None)
        yield "the new agent is ready", s._replace(agent=agent), True

    def other_moves(self, s):
        mine = next((e for e in s.queue if e.owner == "B"), None)
        if not mine:
            for mode in ("sh", "ex"):
                entry = Entry("B", 0, 0, 0, mode)
                yield f"B: enqueue {mode}", s._replace(queue=s.queue + (entry,), other="waits"), False
        elif s.other == "waits" and self.first(s, mine):
            yield "B: granted", s._replace(other="holds"), True
        elif s.other == "holds":
            yield "B: release", s._replace(queue=tuple(e for e in s.queue if e != mine), other="idle"), True

    # --- properties -------------------------------------------------------------------------------------------------

    def broken(self, s):
        if s.held and s.other == "holds":
            theirs = next(e.mode for e in s.queue if e.owner == "B")
            if conflict(s.held, theirs):
                yield TWO_HOLDERS, f"A holds {s.held}, B holds {theirs}"
        if s.agent.phase == "ready" and not s.flying:
            known = s.agent.entry
            for e in self.entries(s):
                if not known or known.n != e.n:
                    yield GHOST, f"entry {e.n} is known to no agent"
                elif known.mode != e.mode:
                    yield GHOST, f"entry {e.n} is {e.mode}, its agent thinks {known.mode}"

    def owed(self, s):
        if s.want:
            yield "A waits"
        if s.other == "waits":
            yield "B waits"

    def show(self, s):
        queue = " ".join(f"{e.owner}{e.n or ''}:{e.mode}" for e in s.queue)
        flying = " ".join(sorted(f"{r.what}{r.n or r.new}" for r in s.flying))
        return f"queue [{queue}]  nonce {s.nonce}  under way [{flying}]  A {s.agent.phase} held [{s.held}]"


def model(scenario, rules):
    return LostRequests(scenario, rules)
