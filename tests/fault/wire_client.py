"""A client of the agent that speaks the protocol of lib/wire/wire.h, well or badly.

    wire_client.py RUNDIR pin FILE        gets as far as GO, says "pinned" and goes silent
    wire_client.py RUNDIR CASE FILE...    one of the cases below; prints what the agent answered

RUNDIR is the base directory ($ETCDFLOCK_RUNDIR): the socket is looked for in its sub-directories.
"""

import array
import fcntl
import glob
import os
import signal
import socket
import struct
import sys
import time

MAGIC = 0x6B6C6665
VERSION = 1
HEAD = struct.Struct("<IHHIIIiQ")
TEXT_MAX = 448
OPS = {"ACQUIRE": 1, "LOCKED": 2, "BUSY": 3, "ERROR": 4, "DROPPED": 5, "DOWNGRADED": 6}
NAMES = {
    64: "GO",
    65: "OK",
    66: "REVOKED",
    67: "WOULDBLOCK",
    68: "DROP",
    69: "UNMAPPED",
    70: "AGAIN",
    71: "FAILED",
}
NONE, SH, EX = 0, 1, 2
NB = 1


def message(op, mode=EX, held=NONE, flags=0, err=0, path_hash=0, text=b"\0", magic=MAGIC, version=VERSION):
    number = OPS.get(op, op)
    return HEAD.pack(magic, version, number, mode, held, flags, err, path_hash) + text


class Client:
    def __init__(self, rundir):
        found = glob.glob(rundir + "/*/agent.sock")
        if len(found) != 1:
            sys.exit(f"not one socket below {rundir}: {found}")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(5)
        # By the directory's descriptor: the name may be longer than an address holds.
        directory = os.open(os.path.dirname(found[0]), os.O_PATH)
        self.socket.connect(f"/proc/self/fd/{directory}/agent.sock")
        os.close(directory)

    def send(self, data, descriptors=()):
        ancillary = []
        if descriptors:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        try:
            self.socket.sendmsg([data], ancillary)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the agent has closed it, which the answer tells

    def answer(self):
        """The name of the agent's message and its text, or ("closed", "")."""
        try:
            data = self.socket.recv(4096)
        except ConnectionResetError:
            return "closed", ""
        except socket.timeout:
            return "silent", ""
        if not data:
            return "closed", ""
        op = HEAD.unpack_from(data)[2]
        text = data[HEAD.size :].split(b"\0")[0].decode(errors="replace")
        return NAMES.get(op, str(op)), text

    def acquire(self, fd, **fields):
        self.send(message("ACQUIRE", **fields), [fd])
        return self.answer()[0]

    def close(self):
        self.socket.close()


def path_fd(path):
    return os.open(path, os.O_PATH)


def kernel_fd(path):
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


# ---- messages that are none ----


def garbage():
    sound = message("ACQUIRE")
    yield "random bytes", os.urandom(200), True
    yield "one byte", b"x", True
    yield "a head alone", sound[: HEAD.size], True
    yield "half a head", sound[: HEAD.size // 2], True
    yield "no zero at the end", sound[:-1] + b"x", True
    yield "too long", sound + b"x" * 4096 + b"\0", True
    yield "another magic", message("ACQUIRE", magic=MAGIC + 1), True
    yield "another version", message("ACQUIRE", version=VERSION + 1), True
    yield "version zero", message("ACQUIRE", version=0), True
    yield "an unknown mode", message("ACQUIRE", mode=77), True
    yield "no mode", message("ACQUIRE", mode=NONE), True
    yield "an unknown held mode", message("ACQUIRE", held=0xFFFFFFFF), True
    yield "an unknown operation", message(63), True
    yield "operation zero", message(0), True
    yield "an agent's operation", message(64), True
    yield "no descriptor", sound, False
    yield "a downgrade without a descriptor", message("DOWNGRADED"), False
    for op in ("LOCKED", "BUSY", "ERROR", "DROPPED"):
        yield f"{op} first", message(op), False
        yield f"{op} first, with a descriptor", message(op), True


def case_garbage(rundir, path):
    for name, data, with_fd in garbage():
        client = Client(rundir)
        fd = path_fd(path)
        client.send(data, [fd] if with_fd else [])
        print(f"{name}:", *client.answer())
        os.close(fd)
        client.close()


def case_empty(rundir, _path):
    """A message of no bytes, and one of none but a descriptor."""
    for descriptors in ([], [0]):
        client = Client(rundir)
        client.send(b"", descriptors)
        print(*client.answer())
        client.close()


# ---- descriptors ----


def case_descriptors(rundir, path, unmapped):
    read_end, write_end = os.pipe()
    left, right = socket.socketpair()
    memory = os.memfd_create("x")
    event = os.eventfd(0)
    several = [path_fd(path) for _ in range(3)]
    cases = [
        ("several", several),
        ("very many", several * 80),
        ("pipe", [read_end]),
        ("pipe's other end", [write_end]),
        ("socket", [left.fileno()]),
        ("memfd", [memory]),
        ("eventfd", [event]),
        ("device", [os.open("/dev/null", os.O_RDWR)]),
        ("proc", [os.open("/proc/self/status", os.O_RDONLY)]),
        ("directory of none", [os.open("/", os.O_RDONLY)]),
        ("unmapped", [path_fd(unmapped)]),
        ("the real thing", [kernel_fd(path)]),
        ("wrong hash", [path_fd(path)]),
    ]
    for name, descriptors in cases:
        client = Client(rundir)
        client.send(message("ACQUIRE", flags=NB, path_hash=1 if name == "wrong hash" else 0), descriptors)
        print(f"{name}:", client.answer()[0])
        client.close()
    right.close()


def case_device_rule(rundir, path):
    """Special files under a mapped path: not opened, which could block or do something."""
    client = Client(rundir)
    print(client.acquire(os.open(path, os.O_PATH)))


# ---- out of turn ----


def case_turn(rundir, path):
    def pinned():
        client = Client(rundir)
        if client.acquire(path_fd(path)) != "GO":
            sys.exit("no GO")
        return client

    for op in ("ACQUIRE", "DROPPED", "DOWNGRADED", 64, 0):
        client = pinned()
        client.send(message(op), [path_fd(path)] if op in ("ACQUIRE", "DOWNGRADED") else [])
        print(f"{op} after GO:", client.answer()[0])
        client.close()
    client = pinned()
    client.send(message("ERROR", err=5))
    print("ERROR after GO:", client.answer()[0])
    client.close()
    # LOCKED without the lock is a lie to oneself only.
    client = pinned()
    client.send(message("LOCKED"))
    print("LOCKED after GO:", client.answer()[0])
    client.send(message("LOCKED"))
    print("and once more:", client.answer()[0])
    client.close()


def case_lie(rundir, path, holder):
    """Waits behind a holder elsewhere and claims to have the lock already."""
    del holder
    client = Client(rundir)
    client.socket.settimeout(0.3)
    client.send(message("ACQUIRE"), [path_fd(path)])
    print("waiting:", client.answer()[0])
    client.socket.settimeout(5)
    client.send(message("LOCKED"))
    print("LOCKED without GO:", client.answer()[0])
    client.close()


def case_late(rundir, path):
    """Takes the kernel lock long after GO, when its pin has ended, and says so: it is told to undo, or OK
    if the grant is still there. Prints the answer."""
    client = Client(rundir)
    if client.acquire(path_fd(path)) != "GO":
        sys.exit("no GO")
    print("pinned", flush=True)
    time.sleep(0.8)
    fd = kernel_fd(path)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    client.send(message("LOCKED"))
    print(client.answer()[0])


# ---- closing at every point ----


def case_close(rundir, path):
    fd = path_fd(path)
    for _ in range(20):
        Client(rundir).close()
        client = Client(rundir)
        client.send(message("ACQUIRE"), [fd])
        client.close()
        client = Client(rundir)
        client.send(message("ACQUIRE", flags=NB), [fd])
        client.close()
        client = Client(rundir)
        client.send(message("DOWNGRADED"), [fd])
        client.close()
        client = Client(rundir)
        client.acquire(fd)
        client.close()
        client = Client(rundir)
        client.acquire(fd)
        client.send(message("LOCKED"))
        client.close()
        client = Client(rundir)
        client.acquire(fd)
        client.send(message("BUSY"))
        client.close()
        client = Client(rundir)
        if client.acquire(fd, held=SH) == "DROP":
            client.send(message("DROPPED"))
        client.close()
        client = Client(rundir)
        client.acquire(fd, held=SH)
        client.close()
        client = Client(rundir)
        client.socket.shutdown(socket.SHUT_WR)
        client.close()
        client = Client(rundir)
        client.send(message("ACQUIRE"), [fd])
        client.socket.shutdown(socket.SHUT_RD)
        client.close()
    print("closed")


def case_close_waiting(rundir, path):
    fd = path_fd(path)
    for _ in range(20):
        client = Client(rundir)
        client.send(message("ACQUIRE"), [fd])
        time.sleep(0.005)
        client.close()
        client = Client(rundir)
        client.send(message("ACQUIRE", flags=NB), [fd])
        client.close()
        client = Client(rundir)
        client.send(message("ACQUIRE", mode=SH), [fd])
        time.sleep(0.005)
        client.close()
        client = Client(rundir)
        client.send(message("ACQUIRE", held=SH), [fd])
        client.close()
    print("closed")


def case_flood(rundir, count):
    clients = []
    for _ in range(int(count)):
        try:
            clients.append(Client(rundir))
        except OSError as error:
            print(error.strerror)
            break
    print("flooded", flush=True)
    signal.pause()


def case_pin(rundir, path):
    client = Client(rundir)
    print("pinned" if client.acquire(path_fd(path)) == "GO" else "no GO", flush=True)
    signal.pause()


def main():
    rundir, case, *rest = sys.argv[1:]
    globals()["case_" + case](rundir, *rest)


if __name__ == "__main__":
    main()
