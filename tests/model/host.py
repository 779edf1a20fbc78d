"""One host: programs, open file descriptions, the kernel lock, the agent with its pins and its place in the kernel's
line, and one remote program R that competes through the queue. etcd is reliable here; lost_requests.py is not.

A program's call: ask the agent -> GO (a pin) -> LOCK_NB in the kernel -> LOCKED -> OK, or REVOKED: unlock, ask again.
                                                            or BUSY -> wait for the next grant, or EWOULDBLOCK

Scripts are lists of calls: "sh" "ex" block, "sh?" "ex?" try, "un" unlocks, "wait Q" waits until program Q has ended,
"raw" is flock LOCK_EX of a program without the library. A script's end closes its description. What a description was promised (OK) stands until somebody unlocks or converts
through it; it must be backed by the kernel lock all the while.

The line: the agent's thread is "out", "in" (blocked in flock LOCK_EX on the agent's own description), "has" it, or is
"done": unlocked, and the event loop is still to hear of it.
"""

from typing import NamedTuple

from etcd import conflict
from explore import FALSE_ANSWER, STUCK, TWO_HOLDERS, Rule, replace_at

LOST = "lost lock"

RULES = [
    Rule("repeat-keeps", "1", "a lock asked for again in the mode held is never dropped, contested or not",
         LOST, "repeat"),
    Rule("offer-again", "1", "a request that waits is offered the grant again, a program it shares a file with may hold it",
         STUCK, "shared description"),
    Rule("confirm", "2", "a pin is a hint: the kernel lock counts only after the agent's OK",
         TWO_HOLDERS, "stopped"),
    Rule("ok-needs-pin", "2", "LOCKED after the pin has ended is no OK but a new request of one who has the kernel lock",
         LOST, "undo"),
    Rule("judge-by-grant", "7", "... and while a grant covers it, it is not told to drop that lock",
         LOST, "undo"),
    Rule("no-pin-before-undo", "7", "no pin while a program that was told to drop its lock has not said it did",
         LOST, "undo"),
    Rule("nested-readers", "9", "while local readers live a shared request is let through after a turn",
         STUCK, "nested"),
    Rule("nested-try", "9", "while local readers live a shared try is let through at once",
         FALSE_ANSWER, "nested try"),
    Rule("pin-ends", "10", "a contested pin ends after a turn",
         STUCK, "stopped"),
    Rule("no-line-under-pin", "13", "the agent is out of the line while a pin is open",
         FALSE_ANSWER, "tries"),
    Rule("busy-needs-pin", "13", "a try that found the lock busy after its pin had ended asks again",
         FALSE_ANSWER, "stopped try"),
    Rule("unlock-first", "13", "the agent unlocks before it deletes its entry",
         FALSE_ANSWER, "one directory"),
    Rule("ask-waits-for-pins", "13", "an ask from another host is answered by a kernel test when no pin is open",
         FALSE_ANSWER, "tries"),
    Rule("sh-test", "15", "the entry is downgraded only after a test that nobody holds ex",
         TWO_HOLDERS, "downgrade"),
    Rule("adopt-tests-kernel", "A4", "a new agent keeps the grant if the kernel lock is held",
         TWO_HOLDERS, "crash"),
]


class Scenario(NamedTuple):
    scripts: tuple  # of the programs P, Q, C
    remote: str = ""  # R's script
    descriptions: tuple = (0, 1, 2)  # which one each program uses
    crashes: int = 0  # of the agent
    stops: int = 0  # SIGSTOP of a program inside its call; it may or may not go on
    kills: int = 0  # of a program
    cancels: bool = False  # blocked calls may be interrupted
    one_directory: bool = False  # R's host sees the same inode: R needs the kernel lock as well


SCENARIOS = {
    "small": {
        "plain": Scenario(("ex un sh un", "ex un"), "ex un", kills=1),
        "repeat": Scenario(("ex wait Q un", "ex"), "ex un", descriptions=(0, 0)),
        "shared description": Scenario(("ex wait Q", "ex", "ex un"), "", descriptions=(0, 0, 1)),
        "stopped": Scenario(("ex un", "ex un"), "ex un", stops=1),
        "stopped try": Scenario(("ex? un", "sh un"), "ex un", stops=1),
        "undo": Scenario(("ex un", "ex un"), "ex un", descriptions=(0, 0), stops=1),
        "nested": Scenario(("sh wait Q un", "sh un", "ex un"), "ex un"),
        "nested, crash": Scenario(("sh wait Q un", "sh un"), "ex un", crashes=1),
        "nested try": Scenario(("sh wait Q un", "sh? un"), "ex un"),
        "tries": Scenario(("ex? un sh? un", "ex? un"), "ex? un ex un"),
        "one directory": Scenario(("ex un ex? un",), "ex? un ex un", one_directory=True),
        "downgrade": Scenario(("ex sh un", "ex un"), "sh un"),
        "upgrade": Scenario(("sh ex un", "sh un"), "sh un"),
        "crash": Scenario(("ex un", "ex un"), "ex un", crashes=1, stops=1),
        "without the library": Scenario(("raw un", "ex? un ex un"), "ex un"),
        "cancel": Scenario(("ex un", "ex un"), "ex un ex un", cancels=True),
    },
    "large": {
        "three programs": Scenario(("ex sh un", "sh un ex un", "ex un"), "ex un sh un", kills=1),
        "three programs, crash": Scenario(("ex un", "sh un", "ex un"), "ex un", crashes=1, stops=1, kills=1),
        "three and tries": Scenario(("ex? sh? un", "sh ex? un", "ex un"), "ex? un sh un", cancels=True),
        "two crashes": Scenario(("ex un ex un", "sh ex un"), "ex un", crashes=2, stops=1),
        "shared descriptions": Scenario(("ex un", "ex sh un", "ex un"), "ex un", descriptions=(0, 0, 1), stops=1),
        "nested, all": Scenario(("sh wait Q un", "sh un", "ex un"), "ex un ex un", crashes=1, kills=1),
    },
}


class Program(NamedTuple):
    ip: int = 0  # which call of its script
    pc: str = "idle"  # asked, go, locked, busy, drop, ended
    stopped: bool = False
    bereft: bool = False  # one who shares its description has unlocked or converted since it said LOCKED
    linked: bool = True  # to the agent that gave it its GO
    true: bool = False  # a refusal would be true: somebody really held the lock since the call began


class Agent(NamedTuple):
    up: bool = True
    cur: str = ""  # mode of the grant
    leaving: bool = False  # its release has been sent
    unused: bool = False  # nobody has been told OK under it
    next: str = ""  # mode of the waiting entry
    line: str = "out"
    lighter: bool = False  # somebody was told OK in sh under a grant of ex
    pins: frozenset = frozenset()
    undo: frozenset = frozenset()  # programs told to drop their kernel lock
    tried: frozenset = frozenset()  # programs that found it busy under cur


class Remote(NamedTuple):
    ip: int = 0
    pc: str = "idle"  # waits, tries, holds
    true: bool = False


class State(NamedTuple):
    programs: tuple
    kernel: tuple  # mode each description holds, "" for none; the agent's own is Agent.line == "has"
    promised: tuple  # mode each description was promised
    agent: Agent
    queue: tuple  # of (who, mode), who is "H" (cur), "h" (next) or "R"
    remote: Remote
    crashes: int
    stops: int
    kills: int
    lie: str = ""


class Host:
    def __init__(self, scenario, rules):
        self.scenario = scenario
        self.rules = rules
        self.names = "PQC"[: len(scenario.scripts)]
        self.scripts = [self.parse(text) for text in scenario.scripts]
        self.remote_script = scenario.remote.split()
        self.descriptions = scenario.descriptions[: len(self.names)]

    def parse(self, text):
        """ "sh wait Q un" -> ["sh", ("wait", 1), "un"] """
        calls = []
        for word in text.replace("wait ", "wait:").split():
            calls.append(("wait", self.names.index(word[5:])) if word.startswith("wait:") else word)
        return calls

    def start(self):
        free = ("",) * (max(self.descriptions) + 1)
        programs = tuple(Program() for _ in self.names)
        given = self.scenario
        return State(programs, free, free, Agent(), (), Remote(), given.crashes, given.stops, given.kills)

    # --- small helpers ----------------------------------------------------------------------------------------------

    def program(self, s, i, **changes):
        return s._replace(programs=replace_at(s.programs, i, s.programs[i]._replace(**changes)))

    def agent(self, s, **changes):
        return s._replace(agent=s.agent._replace(**changes))

    def call(self, s, i):
        """(mode, is it a try) of the call program i is in."""
        word = self.scripts[i][s.programs[i].ip]
        return word[:2], word.endswith("?")

    def kernel_allows(self, s, d, mode):
        """Could description d have the kernel lock in that mode?"""
        if s.agent.line in ("has", "late"):
            return False
        if self.scenario.one_directory and s.remote.pc == "holds" and d != "R" and conflict(self.remote_mode(s), mode):
            return False
        return not any(held and conflict(held, mode) for other, held in enumerate(s.kernel) if other != d)

    def set_lock(self, s, d, mode):
        return s._replace(kernel=replace_at(s.kernel, d, mode))

    def promise(self, s, d, mode):
        return s._replace(promised=replace_at(s.promised, d, mode))

    def remote_mode(self, s):
        return self.remote_script[s.remote.ip][:2] if s.remote.ip < len(self.remote_script) else ""

    def ahead(self, s, who):
        """Is an entry that conflicts with who's before it?"""
        mode = dict(s.queue)[who]
        for other, theirs in s.queue:
            if other == who:
                return False
            if conflict(theirs, mode):
                return True
        return False

    def contested(self, s, mode):
        """Does a conflicting entry wait behind cur?"""
        return any(who != "H" and conflict(theirs, mode) for who, theirs in s.queue if who == "h" or s.remote.pc != "holds")

    def delete(self, s, who):
        return s._replace(queue=tuple(e for e in s.queue if e[0] != who))

    def covers(self, s, mode):
        cur = s.agent.cur
        return bool(cur) and not s.agent.leaving and (cur == "ex" or mode == "sh")

    # --- moves ------------------------------------------------------------------------------------------------------

    def moves(self, s):
        for label, new, must in self.all_moves(s):
            yield label, self.account(new), must

    def all_moves(self, s):
        for i in range(len(self.names)):
            if s.programs[i].pc != "ended":
                yield from self.program_moves(s, i)
        if s.agent.up:
            yield from self.queue_moves(s)
            yield from self.line_moves(s)
            for i in range(len(self.names)):
                yield from self.serve_moves(s, i)
            if s.crashes:
                yield "the agent is killed", self.crash(s), False
        else:
            yield "a new agent adopts", self.adopt(s), True
        if s.remote.ip < len(self.remote_script):
            yield from self.remote_moves(s)

    # --- programs ---------------------------------------------------------------------------------------------------

    def program_moves(self, s, i):
        p, name, d = s.programs[i], self.names[i], self.descriptions[i]
        if p.stopped:
            yield f"{name}: goes on", self.program(s, i, stopped=False), False
            return
        if s.kills and (p.ip or p.pc != "idle"):
            yield f"{name}: is killed", self.end(s, i)._replace(kills=s.kills - 1), False
        if s.stops and p.pc in ("go", "locked", "drop"):
            yield f"{name}: is stopped", self.program(s, i, stopped=True)._replace(stops=s.stops - 1), False
        if p.pc == "idle":
            yield from self.next_call(s, i)
        elif p.pc == "asked":
            if self.scenario.cancels and not self.call(s, i)[1]:
                yield f"{name}: EINTR", self.returns(s, i), False
        elif p.pc == "go":
            yield self.try_kernel(s, i)
        elif p.pc == "drop":
            will = self.call(s, i)[0] != s.kernel[d]
            unlocked = self.given_up(s, i, "") if will else self.set_lock(s, d, "")
            unlocked = self.program(unlocked, i, pc="asked", linked=True)
            yield f"{name}: unlocks as told, says so", self.agent(unlocked, undo=s.agent.undo - {i}), True

    def next_call(self, s, i):
        p, name, d = s.programs[i], self.names[i], self.descriptions[i]
        if p.ip == len(self.scripts[i]):
            yield f"{name}: exits", self.end(s, i), True
            return
        word = self.scripts[i][p.ip]
        if word == "un":
            yield f"{name}: un", self.returns(self.given_up(s, i, ""), i), True
        elif word == "raw":
            if self.kernel_allows(s, d, "ex"):
                yield f"{name}: has ex, without the library", self.returns(self.set_lock(s, d, "ex"), i), True
        elif word[0] == "wait":
            if s.programs[word[1]].pc == "ended":
                yield f"{name}: {self.names[word[1]]} has ended", self.returns(s, i), True
        else:
            begun = self.program(s, i, pc="asked", linked=True, true=False)
            yield f"{name}: asks for {word}", begun, True

    def given_up(self, s, i, mode):
        """Program i unlocks or converts of its own will; whoever shares its description has lost that lock with it."""
        d = self.descriptions[i]
        if s.kernel[d] == mode:
            return s
        for j, p in enumerate(s.programs):
            if j != i and self.descriptions[j] == d and p.pc == "locked":
                s = self.program(s, j, bereft=True)
        return self.promise(self.set_lock(s, d, mode), d, "")

    def returns(self, s, i):
        """The call is over, one way or another."""
        p = s.programs[i]
        s = self.agent(s, pins=s.agent.pins - {i}, undo=s.agent.undo - {i}, tried=s.agent.tried - {i})
        return self.program(s, i, ip=p.ip + 1, pc="idle", linked=True, true=False, bereft=False)

    def end(self, s, i):
        """Exit or SIGKILL: the connection is gone, the last close of the description frees its lock."""
        s = self.program(self.returns(s, i), i, ip=len(self.scripts[i]), pc="ended")
        d = self.descriptions[i]
        if all(p.pc == "ended" for p, theirs in zip(s.programs, self.descriptions) if theirs == d):
            s = self.promise(self.set_lock(s, d, ""), d, "")
        return s

    def try_kernel(self, s, i):
        """flock(fd, mode | LOCK_NB) under a pin; a refused conversion has lost the old lock."""
        name, d, p = self.names[i], self.descriptions[i], s.programs[i]
        mode, _ = self.call(s, i)
        if self.kernel_allows(s, d, mode):
            s = self.given_up(s, i, mode)
            if "confirm" not in self.rules:
                return f"{name}: kernel lock {mode}, takes that for granted", self.ok(s, i), True
            if not p.linked:
                return f"{name}: kernel lock {mode}, agent gone, asks again", self.program(s, i, pc="asked", linked=True), True
            return f"{name}: kernel lock {mode}, says LOCKED", self.program(s, i, pc="locked"), True
        s = self.given_up(s, i, "")
        if not p.linked:
            return f"{name}: busy, agent gone, asks again", self.program(s, i, pc="asked", linked=True), True
        return f"{name}: says BUSY", self.program(s, i, pc="busy"), True

    def refuse(self, s, i):
        if not s.programs[i].true:
            s = s._replace(lie=f"{self.names[i]} was refused though nobody held a conflicting lock")
        return self.returns(s, i)

    # --- the agent answers programs ---------------------------------------------------------------------------------

    def serve_moves(self, s, i):
        p, name = s.programs[i], self.names[i]
        if p.pc not in ("asked", "locked", "busy", "go") or not p.linked:
            return
        if p.pc == "asked":
            yield from self.asked_moves(s, i)
        elif p.pc == "locked":
            yield self.judge(s, i)
        elif p.pc == "busy":
            yield self.was_busy(s, i)
        elif "pin-ends" in self.rules and i in s.agent.pins and self.pin_contested(s, i):
            yield f"agent: the pin of {name} ends", self.agent(s, pins=s.agent.pins - {i}), True

    def pin_contested(self, s, i):
        others = any(p.pc == "asked" for j, p in enumerate(s.programs) if j != i)
        return others or self.contested(s, "ex") or s.remote.pc in ("waits", "tries")

    def judge(self, s, i):
        """LOCKED -> OK or REVOKED."""
        name = self.names[i]
        pinned = i in s.agent.pins
        s = self.agent(s, pins=s.agent.pins - {i})
        if self.covers(s, self.call(s, i)[0]):
            if pinned or "ok-needs-pin" not in self.rules:
                return f"agent: OK {name}", self.ok(s, i), True
            if "judge-by-grant" in self.rules:
                return f"agent: {name} has no pin, as if asked again", self.program(s, i, pc="asked", bereft=False), True
        return f"agent: REVOKED {name}", self.told_to_drop(s, i), True

    def ok(self, s, i):
        mode, _ = self.call(s, i)
        s = self.agent(s, unused=False, lighter=s.agent.lighter or (mode == "sh" and s.agent.cur == "ex"))
        if not s.programs[i].bereft:
            s = self.promise(s, self.descriptions[i], mode)
        return self.returns(s, i)

    def told_to_drop(self, s, i):
        return self.program(self.agent(s, undo=s.agent.undo | {i}), i, pc="drop")

    def was_busy(self, s, i):
        name, a = self.names[i], s.agent
        pinned = i in a.pins or "busy-needs-pin" not in self.rules
        again = self.program(self.agent(s, pins=a.pins - {i}), i, pc="asked")
        if not pinned:
            return f"agent: {name} was busy without a pin, as if asked again", again, True
        if self.call(s, i)[1]:
            return f"agent: EWOULDBLOCK {name}, busy under its pin", self.refuse(s, i), True
        return f"agent: {name} must wait", self.agent(again, tried=a.tried | {i}), True

    def asked_moves(self, s, i):
        name, a = self.names[i], s.agent
        mode, nb = self.call(s, i)
        held = s.kernel[self.descriptions[i]]
        may_go = self.covers(s, mode) and self.has_turn(s, i, mode, nb, held)
        if may_go and i in a.tried and "offer-again" not in self.rules:
            may_go = False
        if may_go:
            if (a.line == "out" or "no-line-under-pin" not in self.rules) and not self.undo_pending(s):
                yield f"agent: GO {name}", self.program(self.agent(s, pins=a.pins | {i}), i, pc="go"), True
            if i not in a.tried:
                return
        if held and self.must_drop(s, mode, held):
            yield f"agent: {name} is to drop {held}", self.told_to_drop(s, i), True
        elif mode == "ex" and a.cur == "sh" and not a.leaving and self.alone(s):
            yield f"agent: upgrade in place for {name}", self.upgrade(s), True
        elif nb:
            yield from self.try_moves(s, i, mode)
        elif not a.next:
            queue = s.queue + (("h", mode),)
            yield f"agent: enqueue {mode} for {name}", self.agent(s, next=mode)._replace(queue=queue), True

    def undo_pending(self, s):
        return bool(s.agent.undo) and "no-pin-before-undo" in self.rules

    def must_drop(self, s, mode, held):
        """A lock held in another mode, or without a grant, is dropped before its program waits."""
        if held == mode and self.covers(s, mode):
            return "repeat-keeps" not in self.rules and self.contested(s, mode)
        return True

    def has_turn(self, s, i, mode, nb, held):
        """May the request be let through under a grant that covers it, though others wait behind?"""
        if s.agent.unused or not self.contested(s, mode):
            return True
        if held == mode and "repeat-keeps" in self.rules:
            return True
        if mode == "sh" and "sh" in s.kernel:
            return ("nested-try" if nb else "nested-readers") in self.rules
        return mode == "ex" and i in s.agent.tried

    def alone(self, s):
        """Nobody else in possession: R has no shared entry that is granted."""
        return not any(who == "R" and not self.ahead(s, "R") for who, _ in s.queue)

    def upgrade(self, s):
        queue = tuple((who, "ex" if who == "H" else mode) for who, mode in s.queue)
        return self.agent(s, cur="ex", unused=True)._replace(queue=queue)

    def try_moves(self, s, i, mode):
        """A try that cur does not serve."""
        name, a = self.names[i], s.agent
        if a.cur:
            if self.covers(s, mode) and mode == "sh" and "sh" in s.kernel:
                yield f"agent: EWOULDBLOCK {name}, others wait", self.refuse(s, i), True
            elif mode == "ex" and any(s.kernel):
                yield f"agent: EWOULDBLOCK {name}, held on this host", self.refuse(s, i), True
            elif mode == "ex" and a.cur == "sh" and not self.alone(s):
                yield f"agent: EWOULDBLOCK {name}, R has it too", self.refuse(s, i), True
            return  # else cur is about to go, and the try looks again
        against = [who for who, theirs in s.queue if conflict(theirs, mode) and not self.ahead(s, who)]
        if "R" in against:
            yield f"R's agent: busy, EWOULDBLOCK {name}", self.refuse(s, i), True
        elif "h" not in against and not a.next:
            got = self.agent(s, cur=mode, unused=True, lighter=False, tried=frozenset())
            yield f"agent: try puts {mode} for {name}", got._replace(queue=s.queue + (("H", mode),)), True

    # --- the agent and etcd -----------------------------------------------------------------------------------------

    def queue_moves(self, s):
        a = s.agent
        if a.next and not a.cur and not self.ahead(s, "h"):
            queue = tuple(("H", mode) if who == "h" else (who, mode) for who, mode in s.queue)
            granted = self.agent(s, cur=a.next, next="", unused=True, lighter=False, tried=frozenset())
            yield "agent: next is granted", granted._replace(queue=queue), True
        if a.next and not self.next_is_wanted(s):
            yield "agent: cancel next", self.delete(self.agent(s, next=""), "h"), True
        if a.leaving:
            left = self.agent(s, cur="", leaving=False, unused=False, tried=frozenset())
            if a.line == "has":
                left = self.agent(left, line="late")
            yield "agent: the release is answered", self.delete(left, "H"), True
        if a.lighter and a.cur == "ex" and not a.leaving and not a.pins:
            if "ex" not in s.kernel or "sh-test" not in self.rules:
                queue = tuple((who, "sh" if who == "H" else mode) for who, mode in s.queue)
                yield "agent: downgrade put", self.agent(s, cur="sh", lighter=False)._replace(queue=queue), True

    def next_is_wanted(self, s):
        for i, p in enumerate(s.programs):
            if p.pc == "asked" and not self.call(s, i)[1] and self.call(s, i)[0] == s.agent.next:
                return True
        return False

    # --- the kernel's line ------------------------------------------------------------------------------------------

    def line_moves(self, s):
        a = s.agent
        if a.line == "out":
            wanted = a.unused and any(p.pc == "asked" and self.covers(s, self.call(s, i)[0])
                                      for i, p in enumerate(s.programs))
            if a.cur and not a.leaving and not a.pins and not wanted:
                yield "agent: gets in line", self.agent(s, line="in"), True
        elif a.line == "in":
            yield "agent: leaves the line", self.agent(s, line="out"), True
            if not any(s.kernel) and not (self.scenario.one_directory and s.remote.pc == "holds"):
                yield "agent: the line has the lock", self.agent(s, line="has"), True
        elif a.line == "has":
            if "unlock-first" in self.rules:
                yield "agent: the line unlocks", self.agent(s, line="done"), True
            elif not a.leaving:
                yield "agent: release sent under the lock", self.agent(s, leaving=True), True
        elif a.line == "late":
            yield "agent: unlocks at last", self.agent(s, line="out"), True
        elif a.line == "done":
            if a.cur:
                yield "agent: free, release sent", self.agent(s, line="out", leaving=True), True

    # --- the agent dies ---------------------------------------------------------------------------------------------

    def crash(self, s):
        """Connections end: who waits for an answer will ask the next agent, who has a GO finds out later."""
        for i, p in enumerate(s.programs):
            if p.pc in ("asked", "locked", "busy"):
                s = self.program(s, i, pc="asked", linked=True)
            elif p.pc in ("go", "drop"):
                s = self.program(s, i, linked=False)
        return s._replace(agent=Agent(up=False), crashes=s.crashes - 1)

    def adopt(self, s):
        """adopt | new nonce, read; keep a granted entry if the kernel lock is held, delete the rest"""
        s = self.delete(s, "h")
        modes = dict(s.queue)
        if "H" in modes and any(s.kernel) and "adopt-tests-kernel" in self.rules:
            return s._replace(agent=Agent(cur=modes["H"]))
        return self.delete(s, "H")._replace(agent=Agent())

    # --- R ----------------------------------------------------------------------------------------------------------

    def remote_moves(self, s):
        r = s.remote
        word = self.remote_script[r.ip]
        mode = word[:2]
        if r.pc == "idle":
            if word.endswith("?"):
                yield f"R: tries {mode}", s._replace(remote=r._replace(pc="tries", true=False)), False
            else:
                queue = s.queue + (("R", mode),)
                yield f"R: enqueue {mode}", s._replace(remote=r._replace(pc="waits"), queue=queue), False
        elif r.pc == "waits":
            if not self.ahead(s, "R") and self.remote_kernel(s, mode):
                yield "R: granted", s._replace(remote=r._replace(pc="holds")), True
        elif r.pc == "holds":
            done = Remote(r.ip + 2)
            yield "R: release", self.delete(s._replace(remote=done), "R"), True
        elif r.pc == "tries":
            yield from self.remote_try(s, mode)

    def remote_kernel(self, s, mode):
        return not self.scenario.one_directory or self.kernel_allows(s, "R", mode)

    def remote_try(self, s, mode):
        """On an empty queue it puts its entry; else it asks our agent, which tests its kernel."""
        against = [who for who, theirs in s.queue if conflict(theirs, mode) and not self.ahead(s, who)]
        if not against:
            if self.remote_kernel(s, mode):
                holds = s._replace(remote=s.remote._replace(pc="holds"), queue=s.queue + (("R", mode),))
                yield "R: try puts its entry", holds, True
            else:
                yield "R: EWOULDBLOCK, the kernel lock is busy", self.remote_refused(s), True
        elif s.agent.up:
            pending = "h" in against and self.next_is_wanted(s)
            held = not s.agent.pins and any(theirs and conflict(theirs, mode) for theirs in s.kernel)
            if pending or held or (s.agent.pins and "ask-waits-for-pins" not in self.rules):
                yield "agent: busy, EWOULDBLOCK R", self.remote_refused(s), True

    def remote_refused(self, s):
        if not s.remote.true:
            s = s._replace(lie="R was refused though nobody held a conflicting lock")
        return s._replace(remote=Remote(s.remote.ip + 2))

    # --- properties -------------------------------------------------------------------------------------------------

    def account(self, s):
        """Note for each try whether its refusal would be true from now on."""
        for i, p in enumerate(s.programs):
            if p.pc in ("asked", "go", "locked", "busy", "drop") and not p.true:
                mode, nb = self.call(s, i)
                if nb and self.held_against(s, self.descriptions[i], mode, i):
                    s = self.program(s, i, true=True)
        if s.remote.pc == "tries" and not s.remote.true and self.held_against(s, None, self.remote_mode(s), None):
            s = s._replace(remote=s.remote._replace(true=True))
        return s

    def held_against(self, s, d, mode, i):
        """Somebody else really holds a conflicting lock, or has been granted one and not noticed yet."""
        if any(held and other != d and conflict(held, mode) for other, held in enumerate(s.kernel)):
            return True
        for who, theirs in s.queue:
            if conflict(theirs, mode) and not self.ahead(s, who):
                if who == "R" or (who == "h" and self.next_is_wanted(s)):
                    return True
        return False

    def broken(self, s):
        held = [(f"description {d}", mode) for d, mode in enumerate(s.promised) if mode]
        if s.remote.pc == "holds":
            held.append(("R", self.remote_mode(s)))
        if len(held) > 1 and any(mode == "ex" for _, mode in held):
            yield TWO_HOLDERS, " and ".join(f"{who} holds {mode}" for who, mode in held)
        for d, mode in enumerate(s.promised):
            if mode and s.kernel[d] != mode:
                yield LOST, f"description {d} was promised {mode}, the kernel has {s.kernel[d] or 'nothing'}"
        if s.lie:
            yield FALSE_ANSWER, s.lie

    def owed(self, s):
        for p, d in zip(s.programs, self.descriptions):
            if p.stopped and (s.kernel[d] or p.pc == "drop"):
                return  # as on one kernel: a stopped program sits on the lock
        for name, p in zip(self.names, s.programs):
            if p.pc not in ("idle", "ended") and not p.stopped:
                yield f"{name} waits"
        if s.remote.pc in ("waits", "tries"):
            yield "R waits"
        if any(who != "R" for who, _ in s.queue) and all(p.pc == "ended" for p in s.programs):
            yield "an entry nobody uses"

    def show(self, s):
        a = s.agent
        queue = " ".join(f"{who}:{mode}" for who, mode in s.queue)
        kernel = " ".join(mode or "-" for mode in s.kernel)
        agent = f"cur {a.cur or '-'}{' leaving' if a.leaving else ''}, line {a.line}" if a.up else "dead"
        pins = "".join(self.names[i] for i in sorted(a.pins))
        return f"queue [{queue}]  kernel [{kernel}]  agent [{agent}{', pins ' + pins if pins else ''}]"


def model(scenario, rules):
    return Host(scenario, rules)
