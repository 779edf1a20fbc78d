"""The surroundings of the benchmark: helpers built, a private etcd, hosts with an agent each, and the end of it all."""
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
HELPERS = BUILD / "bench"
SOURCES = Path(__file__).resolve().parent
KEY = "/bench/locks"

CONFIG = """[etcd]
endpoints = {endpoint}
[agent]
host = {name}
ttl = 10
log = {dir}/agent.log
[bench]
path = {dir}/files/**
key = {key}/{{name}}
"""


class Trouble(Exception):
    """The measurement cannot go on; the text says why."""


def build_helpers():
    HELPERS.mkdir(parents=True, exist_ok=True)
    for name in ("turns", "puppet", "loop", "cost", "pair", "queue"):
        sources = [str(SOURCES / (name + ".c"))]
        if name in ("pair", "queue"):
            sources.append(str(SOURCES / "gateway.c"))
        subprocess.run(["gcc", "-std=c11", "-O2", "-Wall", "-Wextra", "-o", str(HELPERS / name), *sources],
                       check=True, timeout=60)


class Host:
    """What makes a process a program of a host: the preload, its configuration and its runtime directory."""

    def __init__(self, place, name, endpoint):
        self.name = name
        self.dir = place.dir / name
        self.config = self.dir / "etcdflock.conf"
        self.rundir = self.dir / "run"
        (self.dir / "files").mkdir(parents=True)
        self.rundir.mkdir(mode=0o700)
        self.config.write_text(CONFIG.format(endpoint=endpoint, name=name, dir=self.dir, key=KEY))
        self.env = dict(os.environ, LD_PRELOAD=str(BUILD / "libetcdflock.so"), ETCDFLOCK_CONFIG=str(self.config),
                        ETCDFLOCK_RUNDIR=str(self.rundir))
        self.agent = place.start([str(BUILD / "etcdflockd"), "--config", str(self.config), "--rundir",
                                  str(self.rundir), "--idle-exit", "-1"], stderr=subprocess.DEVNULL)
        self.wait_until_up()

    def file(self, name):
        return str(self.dir / "files" / name)

    def wait_until_up(self):
        until = time.monotonic() + 10
        while not list(self.rundir.glob("*/agent.sock")):
            if self.agent.poll() is not None or time.monotonic() > until:
                raise Trouble(f"the agent of {self.name} did not come up")
            time.sleep(0.01)
        subprocess.run(["flock", self.file("warm-up"), "true"], env=self.env, check=True, timeout=10)


class Place:
    """A directory, an etcd and every process of the benchmark; `with` ends them all."""

    def __enter__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="etcdflock-bench."))
        self.processes = []
        self.bare_env = {k: v for k, v in os.environ.items() if not k.startswith(("ETCDFLOCK", "LD_PRELOAD"))}
        try:
            out = subprocess.run([str(ROOT / "scripts/local-etcd"), "start", str(self.dir / "etcd")], check=True,
                                 timeout=60, stdout=subprocess.PIPE, text=True)
        except BaseException:
            self.__exit__()
            raise
        self.endpoint = out.stdout.strip()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
        subprocess.run([str(ROOT / "scripts/local-etcd"), "stop", str(self.dir / "etcd")], timeout=30, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, command, **more):
        process = subprocess.Popen(command, **more)
        self.processes.append(process)
        return process

    def forget(self, process):
        self.processes.remove(process)
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()

    def race(self, commands, seconds):
        """Runs competitors at the same time. `commands`: (argv, env); {start} in argv becomes the ns at which all
        begin. Each prints its turns and how often it was not alone. Returns the turns of each, in order."""
        start = str(time.monotonic_ns() + 400_000_000)
        processes = [self.start([word.replace("{start}", start) for word in argv], env=env, stdout=subprocess.PIPE,
                                text=True) for argv, env in commands]
        turns = []
        for process in processes:
            try:
                out, _ = process.communicate(timeout=seconds + 30)
            except subprocess.TimeoutExpired as error:
                raise Trouble(f"{process.args[0]} did not end") from error
            if process.returncode != 0:
                raise Trouble(f"{process.args[0]} ended with status {process.returncode}")
            count, overlaps = (int(word) for word in out.split())
            if overlaps:
                raise Trouble(f"two processes had the lock at once, {overlaps} times")
            turns.append(count)
            self.forget(process)
        return turns


class Puppet:
    """A process that locks and unlocks when it is told to."""

    def __init__(self, place, host, name):
        self.place = place
        self.process = place.start([str(HELPERS / "puppet"), host.file(name)], env=host.env, text=True, bufsize=1,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def done(self):
        """The ns at which what was told last was done."""
        line = self.process.stdout.readline()
        if not line:
            raise Trouble("a process that locks has ended")
        return int(line)

    def do(self, word):
        self.tell(word)
        return self.done()

    def kill(self):
        """SIGKILL; the ns just before it."""
        before = time.monotonic_ns()
        self.process.kill()
        self.process.wait()
        self.place.forget(self.process)
        return before

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.place.forget(self.process)
