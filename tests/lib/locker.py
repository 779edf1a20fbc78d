"""Drives tests/programs/locker: one object per process, per descriptor and per waiting thread.

Everything is bounded: a locker that does not answer within ANSWER_SECONDS fails the case.
"""
import os
import select
import signal
import subprocess
import time

ANSWER_SECONDS = 20
SETTLE_SECONDS = 0.06  # a sleep under the library that lasts so long is a wait for the lock
BUSY = "EWOULDBLOCK"


class Failure(Exception):
    """The case has found a wrong behaviour."""


def read_text(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def sleep_mark(pid, tid):
    """What a sleeping thread sleeps in and how often it has slept; None while it runs."""
    task = f"/proc/{pid}/task/{tid}"
    if read_text(task + "/stat").rpartition(") ")[2][:1] != "S":
        return None
    switches = [line for line in read_text(task + "/status").splitlines() if "ctxt" in line]
    return read_text(task + "/syscall").split(" ")[0], switches


def kernel_line(pid):
    """How many requests of this process stand in the kernel's line for a flock."""
    waiting = [line.split() for line in read_text("/proc/locks").splitlines() if "->" in line]
    return sum(1 for words in waiting if words[2] == "FLOCK" and words[5] == str(pid))


class Job:
    """A flock that runs in a thread of the locker, or in its main thread (number None)."""

    def __init__(self, locker, number, tid):
        self.locker, self.number, self.tid = locker, number, tid
        self.answer = None

    def poll(self, seconds):
        """The outcome, or None while it waits."""
        if self.answer is None:
            if self.number is None:
                self.answer = self.locker.read_line(seconds, required=False)
            else:
                line = self.locker.ask(f"wait {self.number} {int(seconds * 1000)}")
                self.answer = None if line == "running" else line
            if self.answer is not None:
                self.locker.waiting -= 1
        return self.answer

    def blocked(self, within=5):
        """Returns once the call is seen to wait; fails if it ends or never sleeps."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            answer = self.poll(0)
            if answer is not None:
                raise Failure(f"{self.locker}: expected to wait, was answered {answer}")
            if self.sleeps():
                return self
            time.sleep(0.002)
        raise Failure(f"{self.locker}: neither waits nor ends")

    def sleeps(self):
        if not self.locker.preload:
            return kernel_line(self.locker.pid) >= self.locker.waiting
        mark = sleep_mark(self.locker.pid, self.tid)
        if mark is None:
            return False
        time.sleep(SETTLE_SECONDS)
        return mark == sleep_mark(self.locker.pid, self.tid) and self.poll(0) is None

    def still_blocked(self, seconds=0.15):
        """Nothing ends it for a while."""
        answer = self.poll(seconds)
        if answer is not None:
            raise Failure(f"{self.locker}: expected to go on waiting, was answered {answer}")
        return self

    def answers(self, expected, within=10):
        answer = self.poll(within)
        if answer != expected:
            raise Failure(f"{self.locker}: expected {expected} after the wait, got {answer or 'no answer'}")

    def granted(self, within=10):
        self.answers("ok", within)


class Fd:
    """A descriptor in a locker."""

    def __init__(self, locker, slot):
        self.locker, self.slot = locker, slot

    def flock(self, op, nb=False):
        """The bare answer: "ok" or the name of an errno."""
        return self.locker.ask(f"flock {self.slot} {op}{' nb' if nb else ''}")

    def answers(self, expected, op, nb=False):
        answer = self.flock(op, nb)
        if answer != expected:
            raise Failure(f"{self.locker}: flock {op}{' nb' if nb else ''} answered {answer}, not {expected}")
        return self

    def locks(self, op):
        return self.answers("ok", op)

    def tries(self, op):
        return self.answers("ok", op, nb=True)

    def refused(self, op):
        return self.answers(BUSY, op, nb=True)

    def unlocks(self):
        return self.answers("ok", "un")

    def start(self, op):
        """The blocking call in a thread of its own."""
        number = self.locker.next_job
        self.locker.next_job += 1
        words = self.locker.ask(f"start {number} {self.slot} {op}").split()
        if words[0] != "started":
            raise Failure(f"{self.locker}: no thread: {words}")
        self.locker.waiting += 1
        return Job(self.locker, number, int(words[1]))

    def start_main(self, op):
        """The blocking call in the main thread, where the process's signals arrive."""
        self.locker.send_line(f"flock {self.slot} {op}")
        self.locker.waiting += 1
        return Job(self.locker, None, self.locker.pid)

    def waits(self, op):
        return self.start(op).blocked()

    def waits_main(self, op):
        return self.start_main(op).blocked()

    def dup(self):
        copy = self.locker.new_slot()
        self.locker.must(f"dup {self.slot} {copy.slot}")
        return copy

    def close(self):
        self.locker.must(f"close {self.slot}")

    def cloexec(self):
        self.locker.must(f"cloexec {self.slot} on")

    def of(self, locker):
        """The same slot in another process that has inherited it."""
        return Fd(locker, self.slot)


class Locker:
    """A locker process, started by us or forked by another locker."""

    def __init__(self, name, preload, pid, to, from_, process=None):
        self.name, self.preload, self.pid = name, preload, pid
        self.to, self.from_, self.process = to, from_, process
        self.buffer = b""
        self.waiting = self.next_job = self.slots = 0
        self.children = []

    @classmethod
    def spawn(cls, name, program, env, preload):
        process = subprocess.Popen([program], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        locker = cls(name, preload, process.pid, process.stdin.fileno(), process.stdout.fileno(), process)
        locker.ready()
        return locker

    def __str__(self):
        return f"{self.name} ({self.pid})"

    def send_line(self, line):
        try:
            os.write(self.to, line.encode() + b"\n")
        except BrokenPipeError:
            raise Failure(f"{self}: is gone, could not be told: {line}") from None

    def read_line(self, seconds=ANSWER_SECONDS, required=True):
        deadline = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            left = max(0, deadline - time.monotonic())
            if not select.select([self.from_], [], [], left)[0]:
                if required:
                    raise Failure(f"{self}: no answer within {seconds} s")
                return None
            data = os.read(self.from_, 4096)
            if not data:
                raise Failure(f"{self}: ended unexpectedly")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def ask(self, line):
        self.send_line(line)
        return self.read_line()

    def must(self, line):
        answer = self.ask(line)
        if answer != "ok":
            raise Failure(f"{self}: {line}: {answer}")

    def ready(self):
        line = self.read_line()
        if line != f"ready {self.pid}":
            raise Failure(f"{self}: started with {line}")

    def new_slot(self):
        self.slots += 1
        return Fd(self, self.slots - 1)

    def open(self, path, mode="rw creat"):
        fd = self.new_slot()
        self.must(f"open {fd.slot} {path} {mode}")
        return fd

    def fork(self, directory):
        """A child that shares every description; it is a locker of its own."""
        number = len(self.children)
        fifos = [f"{directory}/fork.{self.pid}.{number}.{way}" for way in ("in", "out")]
        for fifo in fifos:
            os.mkfifo(fifo)
        words = self.ask(f"fork {fifos[0]} {fifos[1]}").split()
        if words[0] != "forked":
            raise Failure(f"{self}: no fork: {words}")
        to = os.open(fifos[0], os.O_WRONLY)
        child = Locker(f"{self.name}'s child", self.preload, int(words[1]), to, os.open(fifos[1], os.O_RDONLY))
        child.slots = self.slots
        self.children.append(child)
        child.ready()
        return child

    def exec(self, plain=False):
        """The process becomes a new program; open descriptors keep their slots."""
        self.send_line("exec plain" if plain else "exec")
        self.preload = self.preload and not plain
        self.ready()

    def signal(self, number):
        os.kill(self.pid, number)

    def reaches(self, states, within=5):
        """Waits until the process is in one of these states of /proc/PID/stat; "" is gone."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if read_text(f"/proc/{self.pid}/stat").rpartition(") ")[2][:1] in states:
                return
            time.sleep(0.002)
        raise Failure(f"{self}: not within {within} s in a state of {states}")

    def gone(self):
        """Waits until the process has ended (a zombie holds nothing)."""
        self.reaches(("", "Z", "X"))

    def stop(self):
        self.signal(signal.SIGSTOP)
        self.reaches(("T",))

    def go_on(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.gone()

    def exit(self):
        self.must("exit 0")
        self.gone()

    def end(self):
        """Whatever state it is in. The children first: they hold what the parent's pipe does not tell of."""
        for child in self.children:
            child.end()
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if self.process:
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        else:
            os.close(self.to)
            os.close(self.from_)
