"""The mutual-exclusion stress: workers on two hosts take one lock thousands of times, some are killed, some
interrupted; then every interval in which the lock was held is checked for overlap, and a counter for losses.

    stress.py TOTAL SECONDS WORKERS     acquisitions in all, longest time, workers on each host
"""
import os
import random
import signal
import subprocess
import sys
import time

import intervals
from intervals import Worker

KILL_EVERY = 0.1  # s, and
KILL_AFTER = 60  # acquisitions, so that a slow machine sees as many kills as a fast one
STALL = 1_500_000_000  # ns; even a busy machine hands over in a tenth of that
END_SECONDS = 20  # longest time for the last workers to notice SIGTERM


class Stress:
    def __init__(self, total, seconds, workers):
        self.total, self.seconds, self.per_host = total, seconds, workers
        self.dir = os.environ["ENV_DIR"]
        self.counter = f"{self.dir}/plain/stress.counter"
        self.running = {}  # process -> Worker
        self.workers = []
        self.problems = []
        self.finished = 0  # acquisitions of workers that have ended

    def env(self, host):
        env = dict(os.environ)
        if env["MODE"] != "bare":
            env["LD_PRELOAD"] = env["TEST_PRELOAD"]
            env["ETCDFLOCK_CONFIG"] = env[f"HOST_CONFIG_{host}"]
            env["ETCDFLOCK_RUNDIR"] = env[f"HOST_RUNDIR_{host}"]
        return env

    def start(self, host):
        number = len(self.workers)
        worker = Worker(f"{host}{number}", f"{self.dir}/out/stress.{number}")
        env = self.env(host)
        command = [env["PROGRAMS"] + "/interval", env[f"HOST_DIR_{host}"] + "/stress", self.counter, worker.path,
                   str(self.total), str(number)]
        self.running[subprocess.Popen(command, env=env)] = worker
        self.workers.append(worker)

    def kill_one(self):
        process, worker = random.choice(list(self.running.items()))
        worker.killed_at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        process.kill()
        process.wait()
        del self.running[process]
        self.start(worker.name[0])

    def interrupt_one(self):
        random.choice(list(self.running)).send_signal(signal.SIGALRM)

    def reap(self):
        """Workers that have ended by themselves before their time have met an error."""
        for process, worker in list(self.running.items()):
            if process.poll() is not None:
                del self.running[process]
                self.problems.append(f"{worker.name} ended with status {process.returncode}")
                self.start(worker.name[0])

    def count(self):
        return sum(intervals.read_count(worker.path) for worker in self.workers)

    def run(self):
        begin = time.monotonic()
        for host in "ab":
            for _ in range(self.per_host):
                self.start(host)
        kill_at, kill_count = begin + KILL_EVERY, KILL_AFTER
        while (count := self.count()) < self.total and len(self.problems) < 20:
            time.sleep(0.02)
            now = time.monotonic()
            if now - begin > self.seconds:
                self.problems.append(f"only {count} of {self.total} acquisitions in {self.seconds} s")
                break
            self.reap()
            if now > kill_at and count >= kill_count:
                self.kill_one()
                self.interrupt_one()
                kill_at, kill_count = now + KILL_EVERY, count + KILL_AFTER
        self.took = time.monotonic() - begin
        self.stop()

    def stop(self):
        for process in self.running:
            process.terminate()
        deadline = time.monotonic() + END_SECONDS
        for process, worker in self.running.items():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.problems.append(f"{worker.name} does not end on SIGTERM")
                worker.killed_at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
                process.kill()
                process.wait()

    def check(self):
        held, refused, interrupted = [], 0, 0
        for worker in self.workers:
            if not os.path.exists(worker.path):
                continue
            try:
                mine, (busy, broken) = intervals.read_worker(worker)
            except ValueError as error:
                self.problems.append(str(error))
                continue
            held += mine
            refused += busy
            interrupted += broken
        for before, now in intervals.overlaps(held)[:5]:
            self.problems.append(f"two holders at once: {before}; {now}")
        for since, length in intervals.stalls(held, STALL)[:5]:
            self.problems.append(f"nobody held the lock for {length // 1_000_000} ms from {since} ns on")
        with open(self.counter, "rb") as file:
            final = int.from_bytes(file.read(8), "little")
        self.problems += intervals.lost_increments(held, final)
        hosts = {host: sum(1 for i in held if i.worker[0] == host) for host in "ab"}
        killed = sum(1 for worker in self.workers if worker.killed_at)
        print(f"# {len(held)} acquisitions in {self.took:.1f} s ({len(held) / self.took:.0f}/s), host a {hosts['a']}, "
              f"host b {hosts['b']}; {refused} tries refused, {interrupted} waits interrupted, {killed} workers killed; "
              f"counter {final}")


def main():
    signal.signal(signal.SIGALRM, signal.SIG_IGN)  # for workers that have not yet set their handler
    stress = Stress(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
    stress.run()
    stress.check()
    for problem in stress.problems:
        print(f"stress: {problem}")
    sys.exit(1 if stress.problems else 0)


main()
