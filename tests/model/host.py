"""One host: programs, open file descriptions, the kernel lock, the agent with its pins and its place in the kernel's
line, and one remote program R that competes through the queue. etcd is reliable here; lost_requests.py is not.

A program's call: ask the agent -> GO (a pin) -> LOCK_NB in the kernel -> LOCKED -> OK, or REVOKED: unlock, ask again.
                                                            or BUSY -> wait for the next grant, or EWOULDBLOCK

Scripts are lists of calls: "sh" "ex" block, "sh?" "ex?" try, "un" unlocks, "wait Q" waits until program Q has ended,
"raw" is flock LOCK_EX of a program without the library. A script's end closes its description. What a description was
promised (OK) stands until somebody unlocks or converts through it; it must be backed by the kernel lock all the while.

The line: the agent's thread is "out", "in" (blocked in flock LOCK_EX on the agent's own description), "has" it, or is
"done": unlocked, and the event loop is still to hear of it.
"""

from typing import NamedTuple

from etcd import conflict
from explore import FALSE_ANSWER, STUCK, TWO_HOLDERS, Rule
from host_agent import AgentSide

LOST = "lost lock"

RULES = [
    Rule("repeat-keeps", "1", "a lock asked for again in the mode held is never dropped, contested or not",
         LOST, "repeat"),
    Rule("offer-again", "1", "who waits is offered the grant again: one who shares the description may hold it by now",
         STUCK, "shared description"),
    Rule("confirm", "2", "a pin is a hint: the kernel lock counts only after the agent's OK",
         TWO_HOLDERS, "stopped"),
    Rule("ok-needs-pin", "2", "LOCKED after the pin has ended is no OK but a request of one who has the kernel lock",
         LOST, "undo"),
    Rule("judge-by-grant", "7", "... and while a grant covers it, it is not told to drop that lock",
         LOST, "undo"),
    Rule("no-pin-before-undo", "7", "no pin while one who shares the description has not yet dropped as told",
         LOST, "undo"),
    Rule("refused-keeps", "7", "a refused try unlocks only if it was a conversion",
         LOST, "refused"),
    Rule("nested-readers", "9", "while local readers live a shared request is let through after a turn",
         STUCK, "nested"),
    Rule("nested-try", "9", "while local readers live a shared try is let through at once",
         FALSE_ANSWER, "nested try"),
    Rule("pin-ends", "10", "a contested pin ends after a turn",
         STUCK, "stopped"),
    Rule("busy-is-doubted", "13", "BUSY is believed only if the agent's line did not have the lock since GO",
         FALSE_ANSWER, "tries"),
    Rule("old-news", "13", "what the line saw before a GO is void",
         TWO_HOLDERS, "plain"),
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
        "plain": Scenario(("ex un sh", "ex"), "ex", kills=1),
        "repeat": Scenario(("ex wait Q", "ex"), "ex", descriptions=(0, 0)),
        "shared description": Scenario(("ex wait Q", "ex", "ex"), "", descriptions=(0, 0, 1)),
        "stopped": Scenario(("ex", "ex"), "ex", stops=1),
        "stopped try": Scenario(("ex?",), "ex", stops=1),
        "refused": Scenario(("ex un", "ex?"), "ex", descriptions=(0, 0)),
        "undo": Scenario(("ex", "ex"), "ex", descriptions=(0, 0), stops=1),
        "nested": Scenario(("sh wait Q", "sh"), "ex"),
        "nested, crash": Scenario(("sh wait Q", "sh"), "ex", crashes=1),
        "nested try": Scenario(("sh wait Q", "sh?"), "ex"),
        "tries": Scenario(("ex? un sh?", "ex?"), "ex? ex"),
        "one directory": Scenario(("ex un ex?",), "ex? ex", one_directory=True),
        "downgrade": Scenario(("ex sh un", "ex"), "sh"),
        "upgrade": Scenario(("sh ex", "sh"), "sh"),
        "crash": Scenario(("ex", "ex"), "ex", crashes=1, stops=1),
        "without the library": Scenario(("raw", "ex? un ex"), "ex"),
        "cancel": Scenario(("ex", "ex"), "ex", cancels=True),
    },
    "large": {
        "three programs": Scenario(("ex sh", "sh un ex", "ex"), "ex"),
        "three programs, crash": Scenario(("ex", "sh", "ex"), "ex", crashes=1),
        "stopped try": Scenario(("ex?", "sh"), "ex", stops=1),
        "tries and conversions": Scenario(("ex? sh?", "sh ex?"), "ex? sh", cancels=True),
        "two crashes": Scenario(("ex un ex", "sh ex"), "ex", crashes=2),
        "shared descriptions": Scenario(("ex un", "ex sh"), "ex", descriptions=(0, 0), stops=2, kills=1),
        "nested, writer": Scenario(("sh wait Q", "sh", "ex"), "ex"),
        "nested, crash and kill": Scenario(("sh wait Q", "sh"), "ex ex", crashes=1, kills=1),
    },
}


class Host(AgentSide):
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
