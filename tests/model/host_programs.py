"""What programs do on the host, with the library in them; and R, the program on another host."""

from etcd import conflict
from host_state import Base, Remote


class Programs(Base):
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
