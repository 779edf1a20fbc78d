"""What is measured. Each function takes the place, the two hosts and the table, and adds its rows."""
import shutil
import subprocess
import time

from hosts import HELPERS, SOURCES, Host, Puppet
from proxy import CountingProxy

SETTLE = 0.06  # s until a request is in the queue and its watch is open, with room to spare
PER_KIND = 20  # paced hand-overs, kills, uncontended locks
ROUNDS = 5  # of a race
RACE = 0.8  # s
COMMAND_ROUNDS = 3
COMMAND_RACE = 2.0  # s; a command takes a while to start


def paced_handovers(first, second, times):
    """Hands the lock to and fro, with the next one waiting in good time. Returns the ms from unlock to lock."""
    latencies = []
    first.do("lock")
    for _ in range(times):
        second.tell("lock")
        time.sleep(SETTLE)
        released = first.do("unlock")
        latencies.append((second.done() - released) / 1e6)
        first, second = second, first
        time.sleep(SETTLE)
    first.do("unlock")
    time.sleep(SETTLE)
    return latencies


def turns_of(place, host, name, seconds):
    """A competitor that takes the lock as often as it can."""
    guard = str(place.dir / f"guard-{name}")
    return [str(HELPERS / "turns"), host.file(name), guard, "{start}", str(seconds)], host.env


def round_trips(place, _hosts, table):
    proxy = CountingProxy(place.endpoint)
    alpha, beta = (Host(place, name, proxy.endpoint) for name in ("counted-alpha", "counted-beta"))
    one, other = Puppet(place, alpha, "counted"), Puppet(place, beta, "counted")
    time.sleep(SETTLE)
    proxy.take()
    acquired, released = [], []
    for _ in range(PER_KIND):
        for word, counts in (("lock", acquired), ("unlock", released)):
            one.do(word)
            time.sleep(SETTLE)
            counts.append(proxy.take())
    asked = ("write", "read", "watch", "event")
    mean = lambda counts, kinds: sum(count[kind] for count in counts for kind in kinds) / len(counts)
    table.add("uncontended acquire: round trips", "", [mean(acquired, asked)], goal=("value", "exactly", 1))
    table.add("uncontended release: round trips", "", [mean(released, asked)], goal=("value", "exactly", 1))
    paced_handovers(one, other, PER_KIND)
    counts = proxy.take()
    # The first lock and the last release are no part of a hand-over: one write each.
    table.add("contended hand-over: writes", "", [(counts["write"] - 2) / PER_KIND], goal=("value", "exactly", 2))
    table.add("contended hand-over: watch events", "", [counts["event"] / PER_KIND], goal=("value", "exactly", 1))
    table.add("contended hand-over: reads", "", [counts["read"] / PER_KIND])
    table.add("contended hand-over: watches opened", "", [counts["watch"] / PER_KIND])
    turns = place.race([turns_of(place, host, "counted", 1) for host in (alpha, beta)], 1)
    counts = proxy.take()
    for kind, name in (("write", "writes"), ("read", "reads"), ("watch", "watches opened"), ("event", "watch events")):
        table.add(f"2 processes without a pause: {name} per lock", "", [counts[kind] / sum(turns)])
    one.end()
    other.end()
    proxy.close()


def pair(place, hosts, table):
    proxy = CountingProxy(place.endpoint)
    counted = Host(place, "counted-pairs", proxy.endpoint)
    rounds, block = 12, 40
    command = [str(HELPERS / "pair"), hosts[0].file("pair"), place.endpoint, str(rounds), str(block)]
    out = subprocess.run(command, env=hosts[0].env, check=True, timeout=90, stdout=subprocess.PIPE, text=True).stdout
    library, bare, lock, put = zip(*([int(word) / 1e6 for word in line.split()] for line in out.splitlines()))
    goal = ("ratio", "max", 1.3)
    table.add("uncontended lock + unlock, no pause", "ms", library, ("two bare transactions", bare), goal)
    table.add("uncontended lock after a pause", "ms", lock, ("one bare transaction", put))
    # How much of it etcd has seen: without a pause a host may keep the lock for a moment.
    proxy.take()
    turns = place.race([turns_of(place, counted, "pair", 1)], 1)
    counts = proxy.take()
    table.add("uncontended lock + unlock, no pause: writes", "", [counts["write"] / sum(turns)])
    table.add("uncontended lock + unlock, no pause: reads", "", [counts["read"] / sum(turns)])
    proxy.close()


def handover(place, hosts, table):
    one, other = (Puppet(place, host, "paced") for host in hosts)
    table.add("hand-over to a waiter on the other host", "ms", paced_handovers(one, other, PER_KIND))
    one.end()
    other.end()


def killed(place, hosts, table):
    times = []
    for turn in range(PER_KIND):
        holder, waiter = (Puppet(place, hosts[(turn + i) % 2], "killed") for i in range(2))
        holder.do("lock")
        waiter.tell("lock")
        time.sleep(SETTLE)
        died = holder.kill()
        times.append((waiter.done() - died) / 1e6)
        waiter.do("unlock")
        waiter.end()
        time.sleep(SETTLE)
    table.add("holder killed -> waiter on the other host has it", "ms", times, goal=("value", "max", 100))


# ---- races ----


def fairness(table, name, turns, n):
    """turns: of each process, in the order alpha, beta, alpha, beta …"""
    least = min(turns)
    table.add(f"{name}, {n} processes: most / least", "", [max(turns) / least if least else float(max(turns))])
    by_host = (sum(turns[0::2]), sum(turns[1::2]))
    table.add(f"{name}, {n} processes: most / least, by host", "", [max(by_host) / max(1, min(by_host))])


def races(place, competitors, rounds, seconds):
    """competitors: name -> commands. Alternates; returns name -> (rates, turns of each process)."""
    results = {name: ([], [0] * len(commands)) for name, commands in competitors.items()}
    for _ in range(rounds):
        for name, commands in competitors.items():
            turns = place.race(commands, seconds)
            rates, sums = results[name]
            rates.append(sum(turns) / seconds)
            sums[:] = [a + b for a, b in zip(sums, turns)]
    return results


def contended(place, hosts, table):
    for n in (2, 8):
        pick = [hosts[i % 2] for i in range(n)]
        competitors = {
            "library": [turns_of(place, host, f"race-{n}", RACE) for host in pick],
            "queue": [([str(HELPERS / "queue"), f"/bench/bare-{n}", place.endpoint, "{start}", str(RACE)],
                       place.bare_env) for _ in pick],
        }
        results = races(place, competitors, ROUNDS, RACE)
        table.add(f"contended, {n} processes on 2 hosts", "/s", results["library"][0],
                  ("bare queue, watch kept", results["queue"][0]))
        fairness(table, "contended", results["library"][1], n)


def loop_of(*command):
    return [str(HELPERS / "loop"), "{start}", str(COMMAND_RACE), *command]


def commands(place, hosts, table):
    peer = "etcdctl lock KEY true"
    missing = not shutil.which("etcdctl")
    if missing:
        table.skip(peer, "etcdctl is not installed (Debian package etcd-client)")
    for n in (2, 8):
        pick = [hosts[i % 2] for i in range(n)]
        competitors = {"flock": [(loop_of("flock", host.file(f"command-{n}"), "true"), host.env) for host in pick]}
        if not missing:
            env = dict(place.bare_env, ETCDCTL_API="3")
            lock = ("etcdctl", "--endpoints", place.endpoint, "lock", f"/bench/command-{n}", "true")
            competitors[peer] = [(loop_of(*lock), env)] * n
        results = races(place, competitors, COMMAND_ROUNDS, COMMAND_RACE)
        against = None if missing else (peer, results[peer][0])
        table.add(f"flock FILE true as a command, {n} loops on 2 hosts", "/s", results["flock"][0], against)
        for name, (_, turns) in results.items():
            fairness(table, name, turns, n)


def python_lock(place, hosts, table):
    peer = "python3-etcd3 Lock"
    if subprocess.run(["/usr/bin/python3", "-c", "import etcd3"], env=place.bare_env, timeout=20, check=False,
                      stderr=subprocess.DEVNULL).returncode:
        table.skip(peer, "not installed (Debian package python3-etcd3)")
        return
    for n in (2, 8):
        lock = ["/usr/bin/python3", str(SOURCES / "etcd3_lock.py"), place.endpoint, f"bench-{n}", "{start}"]
        competitors = {
            "library": [turns_of(place, hosts[i % 2], f"python-{n}", COMMAND_RACE) for i in range(n)],
            peer: [(lock + [str(COMMAND_RACE)], place.bare_env)] * n,
        }
        results = races(place, competitors, COMMAND_ROUNDS, COMMAND_RACE)
        table.add(f"contended, {n} processes on 2 hosts", "/s", results["library"][0], (peer, results[peer][0]))
        fairness(table, peer, results[peer][1], n)


# ---- what the library costs those who do not need it ----


def cost(place, hosts, table):
    rows = ("fcntl(F_GETFL)", "ns"), ("flock + unlock of a file that is not mapped", "ns"), ("start of `true`", "us")
    with_it, without = [], []
    unmapped = place.dir / "unmapped"
    unmapped.touch()
    time.sleep(1.2)  # the library does not rely on what it knows of a file that is younger than a second
    for _ in range(7):
        for samples, env in ((with_it, hosts[0].env), (without, place.bare_env)):
            command = [str(HELPERS / "cost"), str(unmapped), "50000", "60"]
            out = subprocess.run(command, env=env, check=True, timeout=30, stdout=subprocess.PIPE, text=True).stdout
            samples.append([float(word) for word in out.split()])
    for i, (what, unit) in enumerate(rows):
        floor = ("without the library", [sample[i] for sample in without])
        table.add(what, unit, [sample[i] for sample in with_it], floor)


ALL = (round_trips, pair, handover, killed, contended, commands, python_lock, cost)
