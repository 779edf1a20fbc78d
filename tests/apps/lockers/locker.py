"""The contract of tests/apps/languages.sh with Python's fcntl.flock."""
import fcntl
import signal
import sys
import time

MODES = {"sh": fcntl.LOCK_SH, "ex": fcntl.LOCK_EX}


def count(path, counter, turns):
    for _ in range(int(turns)):
        with open(path, "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with open(counter, encoding="ascii") as file:
                value = int(file.read())
            with open(counter, "w", encoding="ascii") as file:
                file.write(f"{value + 1}\n")


def hold(path, mode):
    lock = open(path, "a", encoding="ascii")
    fcntl.flock(lock, MODES[mode])
    print("held", flush=True)
    time.sleep(60)


def attempt(path, mode):
    with open(path, "a", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, MODES[mode] | fcntl.LOCK_NB)
            print("ok")
        except BlockingIOError:
            print("busy")


class TimeOut(Exception):
    pass


def on_alarm(_number, _frame):
    raise TimeOut


def limited(path, mode, seconds):
    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    with open(path, "a", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, MODES[mode])
            print("ok")
        except TimeOut:
            print("timeout")


{"count": count, "hold": hold, "try": attempt, "limited": limited}[sys.argv[1]](*sys.argv[2:])
