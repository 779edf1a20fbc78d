"""What programs do on the host, with the library in them; and R, the program on another host."""

from etcd import conflict
from explore import replace_at
from host_state import Base, Program, Remote


class Programs(Base):
    # --- programs ---------------------------------------------------------------------------------------------------

    def program_moves(self, s, i):
        p, name, d = s.programs[i], self.names[i], self.descriptions[i]
        if p.stopped:
            yield f"{name}: goes on", self.program(s, i, stopped=False), False
            return
        if s.kills and (p.ip or p.pc != "idle"):
            yield f"{name}: is killed", self.end(s, i)._replace(kills=s.kills - 1), False
        if s.stops and p.pc in ("go", "locked", "drop", "refused"):
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
        elif p.pc == "refused":
            yield f"{name}: returns EWOULDBLOCK", self.returns(self.refused_unlock(s, i), i), True

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
            had = s.kernel[d] if word.endswith("?") else ""
            yield f"{name}: asks for {word}", self.program(s, i, pc="asked", had=had), True

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
        s = s._replace(programs=replace_at(s.programs, i, Program(s.programs[i].ip + 1)))
        return self.hung_up(s, i)

    def hung_up(self, s, i):
        """The agent sees the end of the connection."""
        a = s.agent
        return self.agent(s, pins=a.pins - {i}, undo=a.undo - {i}, tried=a.tried - {i})

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
            heard, pc, what = "says LOCKED", "locked", f"kernel lock {mode}"
        else:
            s = self.given_up(s, i, "")
            heard, pc, what = "says BUSY", "busy", "kernel lock refused"
        if p.linked:
            return f"{name}: {what}, {heard}", self.program(s, i, pc=pc), True
        return f"{name}: {what}, the agent is gone, asks again", self.program(s, i, pc="asked", linked=True), True

    def refuse(self, s, i):
        if not s.programs[i].true:
            s = s._replace(lie=f"{self.names[i]} was refused though nobody held a conflicting lock")
        return self.program(self.hung_up(s, i), i, pc="refused")

    def refused_unlock(self, s, i):
        """A conversion that fails has lost the old lock. A try that began without a lock has none to unlock."""
        p, d = s.programs[i], self.descriptions[i]
        if "refused-keeps" not in self.rules:
            return self.set_lock(s, d, "")
        return self.given_up(s, i, "") if p.had and p.had != self.call(s, i)[0] else s

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
            done = Remote(r.ip + 1)
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
            held = not s.agent.pins and self.held_here(s, mode)
            if pending or held or (s.agent.pins and "ask-waits-for-pins" not in self.rules):
                yield "agent: busy, EWOULDBLOCK R", self.remote_refused(s), True

    def remote_refused(self, s):
        if not s.remote.true:
            s = s._replace(lie="R was refused though nobody held a conflicting lock")
        return s._replace(remote=Remote(s.remote.ip + 1))
