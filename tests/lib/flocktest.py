"""The frame of the semantics cases. A script of cases looks like this:

    from flocktest import case, main

    @case
    def exclusive_excludes(t):
        "EX on one host keeps EX away on the other."
        a, b = t.open("a"), t.open("b")
        a.locks("ex")
        b.refused("ex")

    main()

tests/semantics/run starts it once per mode, in an environment of tests/lib/env.sh.
"""
import base64
import json
import os
import signal
import subprocess
import sys
import time
import traceback
import urllib.request

from locker import Failure, Fd, Locker

CASE_SECONDS = 90
EMPTY_SECONDS = 5  # after its last process has ended, a case leaves nothing in etcd for longer

_cases = []


class Skip(Exception):
    """The case does not apply here; the text says why."""


def case(function):
    _cases.append(function)
    return function


def only(*modes):
    """The case exists in these modes alone."""

    def mark(function):
        function.modes = modes
        return function

    return mark


class Etcd:
    """Just enough of etcd's JSON gateway to look at what lies there."""

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def call(self, path, body):
        request = urllib.request.Request(self.endpoint + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    @staticmethod
    def text(value):
        return base64.b64encode(value.encode()).decode()

    def keys(self, prefix):
        """(key, value) of all keys under the prefix, oldest first."""
        last = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        body = {"key": self.text(prefix), "range_end": self.text(last), "sort_target": "CREATE"}
        found = self.call("/v3/kv/range", body).get("kvs", [])
        return [tuple(base64.b64decode(kv.get(part, "")).decode() for part in ("key", "value")) for kv in found]


class Test:
    """What a case works with: hosts, lockers, files."""

    def __init__(self, name, mode):
        self.name, self.mode = name, mode
        self.dir = os.environ["ENV_DIR"]
        self.etcd = None if mode == "bare" else Etcd(os.environ["ENDPOINT"])
        self.lockers = []
        self.background = []
        self.before = self.lock_keys()  # what an earlier case has left is its failure, not ours

    def host_dir(self, host):
        return os.environ[f"HOST_DIR_{host}"]

    def path(self, host, name=""):
        """The case's own file, or with a name one more of them, as this host knows it."""
        return f"{self.host_dir(host)}/{self.name}{'.' if name else ''}{name}"

    def same_key_path(self, host, name):
        """Files whose key is one and the same, whatever they are called."""
        return f"{self.host_dir(host)}/same/{self.name}.{name}"

    def key(self, name=""):
        return f"/t/{self.name}{'.' if name else ''}{name}"

    def env(self, host, preload=True):
        env = dict(os.environ)
        if preload and self.mode != "bare":
            env["LD_PRELOAD"] = os.environ["TEST_PRELOAD"]
            env["ETCDFLOCK_CONFIG"] = os.environ[f"HOST_CONFIG_{host}"]
            env["ETCDFLOCK_RUNDIR"] = os.environ[f"HOST_RUNDIR_{host}"]
        return env

    def locker(self, host, preload=True):
        """A new process on the host."""
        name = f"{host}{len(self.lockers)}" + ("" if preload else " plain")
        program = os.environ["PROGRAMS"] + "/locker"
        locker = Locker.spawn(name, program, self.env(host, preload), preload and self.mode != "bare")
        self.lockers.append(locker)
        return locker

    def open(self, host, name="", mode="rw creat", preload=True) -> Fd:
        """A new process on the host that has the file open."""
        return self.locker(host, preload).open(self.path(host, name), mode)

    def fork(self, locker):
        return locker.fork(f"{self.dir}/out")

    def run(self, host, *command, preload=True, **more):
        """A command to its end: its exit status and output."""
        done = subprocess.run(command, env=self.env(host, preload), stdout=subprocess.PIPE, timeout=30, check=False,
                              **more)
        return done.returncode, done.stdout.decode()

    def popen(self, host, *command, **more):
        process = subprocess.Popen(command, env=self.env(host), **more)
        self.background.append(process)
        return process

    def check(self, holds, text):
        if not holds:
            raise Failure(text)

    def equal(self, got, expected, text):
        if got != expected:
            raise Failure(f"{text}: expected {expected!r}, got {got!r}")

    def until(self, condition, text, within=5.0):
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                raise Failure(f"not within {within} s: {text}")
            time.sleep(0.005)

    def queued(self, count, name=""):
        """Waits until so many entries lie in the key's queue: places in it are taken one by one."""
        if self.etcd:
            prefix = self.key(name) + "/"
            self.until(lambda: len(self.etcd.keys(prefix)) == count, f"{count} entries under {prefix}")

    def end(self):
        for locker in self.lockers:
            locker.end()
        for process in self.background:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()

    def leaves_nothing(self):
        """With every process gone, each agent has given back what the case held or asked for."""
        if self.etcd:
            try:
                self.until(lambda: not self.left(), "", EMPTY_SECONDS)
            except Failure:
                left = self.left()
                if left:
                    raise Failure(f"{EMPTY_SECONDS} s after its last process this is left: {left}") from None

    def lock_keys(self):
        if not self.etcd:
            return set()
        return {key for prefix in ("/t/", "/one/", "/etcdflock/ask/") for key, _ in self.etcd.keys(prefix)}

    def left(self):
        return sorted(self.lock_keys() - self.before)


def on_alarm(_number, _frame):
    raise Failure(f"not done within {CASE_SECONDS} s")


def run_case(function, mode):
    """The reason of a failure, or None."""
    name = function.__name__
    test = Test(name, mode)
    signal.alarm(CASE_SECONDS)
    try:
        try:
            function(test)
        finally:
            test.end()
        test.leaves_nothing()
    finally:
        signal.alarm(0)


def tell_failure(error):
    """Where in the script, and what."""
    here = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == os.path.abspath(sys.argv[0])]
    if here:
        print(f"#   line {here[-1].lineno}: {here[-1].line}")
    print(f"#   {type(error).__name__}: {error}")


def main():
    """Runs the cases named in the arguments, or all. Answers 'ok MODE CASE' for each."""
    mode = os.environ.get("MODE", "bare")
    script = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    chosen = sys.argv[1:]
    if "ENV_DIR" not in os.environ:
        sys.exit("start it with tests/semantics/run [--mode MODE] " + script)
    signal.signal(signal.SIGALRM, on_alarm)
    failed = False
    for function in _cases:
        name = f"{script}.{function.__name__}"
        if chosen and script not in chosen and name not in chosen and function.__name__ not in chosen:
            continue
        modes = getattr(function, "modes", ("bare", "one", "two"))
        if mode not in modes:
            if chosen:
                print(f"# {name} exists only in mode {', '.join(modes)}", flush=True)
            continue
        begin = time.monotonic()
        try:
            run_case(function, mode)
            print(f"ok {mode} {name} ({time.monotonic() - begin:.2f} s)", flush=True)
        except Skip as reason:
            print(f"skip {mode} {name}: {reason}", flush=True)
        except Exception as error:  # whatever it is, the next case must run
            failed = True
            print(f"not ok {mode} {name}")
            tell_failure(error)
            sys.stdout.flush()
    sys.exit(failed)
