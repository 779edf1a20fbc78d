"""What the agent of the host does: it answers programs, deals with etcd, stands in the kernel's line, dies, adopts."""

from etcd import conflict
from host_programs import Programs
from host_state import Agent


class AgentSide(Programs):
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
                asked = self.program(s, i, pc="asked", bereft=False)
                return f"agent: {name} has no pin any more, as if asked again", asked, True
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
        """BUSY. If the agent's own line had the lock since GO, that may be all there was."""
        name, a = self.names[i], s.agent
        again = self.program(self.agent(s, pins=a.pins - {i}), i, pc="asked")
        if self.call(s, i)[1]:
            if s.programs[i].doubt and "busy-is-doubted" in self.rules:
                return f"agent: it may have been the line, {name} as if asked again", again, True
            return f"agent: EWOULDBLOCK {name}, held on this host", self.refuse(s, i), True
        return f"agent: {name} must wait", self.agent(again, tried=a.tried | {i}), True

    def asked_moves(self, s, i):
        name, a = self.names[i], s.agent
        mode, nb = self.call(s, i)
        held = s.kernel[self.descriptions[i]]
        may_go = self.covers(s, mode) and self.has_turn(s, i, mode, nb, held)
        if may_go and i in a.tried and "offer-again" not in self.rules:
            may_go = False
        if may_go:
            if not self.undo_pending(s, i):
                pinned = self.agent(s, pins=a.pins | {i}, void=a.line != "out")
                yield f"agent: GO {name}", self.program(pinned, i, pc="go", doubt=nb and a.line == "has"), True
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

    def undo_pending(self, s, i):
        """Was a program told to drop the lock of this very description, and has not said it did?"""
        mine = self.descriptions[i]
        return "no-pin-before-undo" in self.rules and any(self.descriptions[j] == mine for j in s.agent.undo)

    def held_here(self, s, mode):
        """What a test of the kernel lock shows, made on the description that stands in line."""
        return any(held and conflict(held, mode) for held in s.kernel)

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
            elif mode == "ex" and self.held_here(s, mode):
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
            if not any(s.kernel) and not (self.scenario.one_directory and s.remote.pc == "holds"):
                for i, p in enumerate(s.programs):
                    if p.pc == "go" and self.call(s, i)[1]:
                        s = self.program(s, i, doubt=True)
                yield "agent: the line has the lock", self.agent(s, line="has"), True
        elif a.line == "has":
            if "unlock-first" in self.rules:
                yield "agent: the line unlocks", self.agent(s, line="done"), True
            elif a.void or a.pins:
                yield "agent: unlocks, the news are void", self.agent(s, line="out", void=False), True
            elif not a.leaving:
                yield "agent: release sent under the lock", self.agent(s, leaving=True), True
        elif a.line == "late":
            yield "agent: unlocks at last", self.agent(s, line="out"), True
        elif a.line == "done":
            if a.void and "old-news" in self.rules:
                yield "agent: what the line saw is void", self.agent(s, line="out", void=False), True
            else:
                yield "agent: free, release sent", self.agent(s, line="out", void=False, leaving=True), True

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
