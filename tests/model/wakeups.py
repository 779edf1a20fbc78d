"""What it costs to drain a queue (D1): how often agents are woken to read it, for every mix of sh and ex.

First n entries queue, then holders release in any order that the queue allows. A reader is woken once, by the writer
before it; a writer once by each reader before it at worst. So 2n reads are enough; with the earliest conflicting
predecessor watched instead of the latest, n writers read n(n-1)/2 times.
"""

from typing import NamedTuple

from etcd import conflict
from explore import COST, Rule

RULES = [
    Rule("wait-on-latest", "D1", "an entry waits for the latest entry before it that conflicts",
         COST, "drain"),
]


class Scenario(NamedTuple):
    entries: int


SCENARIOS = {"small": {"drain": Scenario(6)}, "large": {"drain of 9": Scenario(9)}}

AWAKE = 0
HOLDS = -1


class Entry(NamedTuple):
    number: int  # create revision
    mode: str
    watch: int  # the number of another entry, AWAKE or HOLDS


class State(NamedTuple):
    queue: tuple = ()
    made: int = 0
    reads: int = 0


class Drain:
    def __init__(self, scenario, rules):
        self.scenario = scenario
        self.rules = rules

    def start(self):
        return State()

    def look(self, queue, at):
        """The entry at that place reads the queue: what does it wait for?"""
        me = queue[at]
        before = [e.number for e in queue[:at] if conflict(e.mode, me.mode)]
        if not before:
            return me._replace(watch=HOLDS)
        return me._replace(watch=before[-1] if "wait-on-latest" in self.rules else before[0])

    def moves(self, s):
        if s.made < self.scenario.entries:
            for mode in ("sh", "ex"):
                queue = s.queue + (Entry(s.made + 1, mode, AWAKE),)
                queue = queue[:-1] + (self.look(queue, s.made),)
                yield f"{s.made + 1}: enqueue {mode}", s._replace(queue=queue, made=s.made + 1), True
            return
        for at, e in enumerate(s.queue):
            if e.watch == AWAKE:
                queue = s.queue[:at] + (self.look(s.queue, at),) + s.queue[at + 1 :]
                yield f"{e.number}: reads", s._replace(queue=queue, reads=s.reads + 1), True
                return  # readers are independent of each other: one order of reading stands for all
        for e in s.queue:
            if e.watch == HOLDS:
                left = tuple(x._replace(watch=AWAKE) if x.watch == e.number else x for x in s.queue if x != e)
                yield f"{e.number}: release", s._replace(queue=left), True

    def broken(self, s):
        if s.reads > 2 * self.scenario.entries:
            yield COST, f"{s.reads} reads to drain {self.scenario.entries} entries"

    def owed(self, s):
        if s.queue:
            yield "somebody waits"

    def show(self, s):
        return "queue [" + " ".join(f"{e.number}:{e.mode}" for e in s.queue) + f"]  reads {s.reads}"


def model(scenario, rules):
    return Drain(scenario, rules)
