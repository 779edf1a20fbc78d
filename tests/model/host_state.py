"""What a state of the host model is made of, and the questions all its parts ask."""

from typing import NamedTuple

from etcd import conflict
from explore import replace_at


class Program(NamedTuple):
    ip: int = 0  # which call of its script
    pc: str = "idle"  # asked, go, locked, busy, drop, refused, ended
    had: str = ""  # mode its description held when the call began
    stopped: bool = False
    doubt: bool = False  # the agent's line had the lock at some time since GO
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
    void: bool = False  # somebody got a GO since the line was entered: what it saw is no news
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


class Base:
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
        waiting = "hR" if s.remote.pc != "holds" else "h"
        return any(who in waiting and conflict(theirs, mode) for who, theirs in s.queue)

    def delete(self, s, who):
        return s._replace(queue=tuple(e for e in s.queue if e[0] != who))

    def covers(self, s, mode):
        cur = s.agent.cur
        return bool(cur) and not s.agent.leaving and (cur == "ex" or mode == "sh")
