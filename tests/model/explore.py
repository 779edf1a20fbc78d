"""Visit every state a model can reach, and show the shortest way to a bad one.

A model is an object with

    start()        the first state; states are hashable (nested tuples)
    moves(state)   yields (label, state, must): must is False for what the world may do but need not (a new
                   request, a cancel, a crash), True for what happens sooner or later (a holder releases,
                   an agent reads, a message arrives)
    broken(state)  yields (kind, sentence) for each property that does not hold in this very state
    broken_step(old, label, new)   the same for a step, optional
    owed(state)    the names of those who wait for something in this state ("B waits")

Safety: no reachable state is broken. Liveness: from every reachable state in which X is owed something, some
sequence of must-moves leads to a state in which it no longer is; otherwise X is STUCK. That finds deadlocks and
locks nobody gets, whatever the world did before; it does not judge fairness between those who could both go on.
"""

from array import array
from collections import deque
from typing import NamedTuple

TWO_HOLDERS = "two holders"
STUCK = "stuck"
FALSE_ANSWER = "false EWOULDBLOCK"
GHOST = "ghost entry"
COST = "too many wake-ups"
LIMIT = "too many states"


class Rule(NamedTuple):
    """One line of the protocol that can be taken out, and what must go wrong then."""

    name: str
    hazard: str
    says: str
    breaks: str  # the kind of violation that taking it out must produce ...
    scenario: str  # ... in this scenario of the model


class Step(NamedTuple):
    label: str
    state: object


class Finding(NamedTuple):
    kind: str
    sentence: str
    trace: list  # of Step, from the first state on


class Result(NamedTuple):
    states: int
    moves: int
    findings: dict  # kind -> Finding, the shortest one of each kind


class Explorer:
    """One breadth-first search; states are numbered in the order they are found."""

    def __init__(self, model, limit):
        self.model = model
        self.limit = limit
        self.states = []  # number -> state
        self.number = {}  # state -> number
        self.parent = array("i")
        self.label = []
        self.must_from = array("i")  # the must-moves, as two parallel columns
        self.must_to = array("i")
        self.moves = 0
        self.findings = {}

    def run(self, stop_at):
        self._visit(self.model.start(), -1, "start")
        at = 0
        while at < len(self.states):
            if stop_at in self.findings:
                break
            if at >= self.limit:
                self._report(LIMIT, f"more than {self.limit}", at)
                break
            self._expand(at)
            at += 1
        else:
            self._find_stuck()
        return Result(len(self.states), self.moves, self.findings)

    def _visit(self, state, parent, label):
        known = self.number.get(state)
        if known is not None:
            return known
        number = len(self.states)
        self.number[state] = number
        self.states.append(state)
        self.parent.append(parent)
        self.label.append(label)
        for kind, sentence in self.model.broken(state):
            self._report(kind, sentence, number)
        return number

    def _expand(self, at):
        state = self.states[at]
        step_check = getattr(self.model, "broken_step", None)
        for label, new, must in self.model.moves(state):
            self.moves += 1
            to = self._visit(new, at, label)
            if must and to != at:
                self.must_from.append(at)
                self.must_to.append(to)
            if step_check:
                for kind, sentence in step_check(state, label, new):
                    self._report(kind, sentence, at, [Step(label, new)])

    def _find_stuck(self):
        """Walk the must-moves backwards from the states in which nothing is owed to X."""
        owed = [frozenset(self.model.owed(state)) for state in self.states]
        names = frozenset().union(*owed)
        into = [[] for _ in self.states] if names else []
        if names:
            for source, target in zip(self.must_from, self.must_to):
                into[target].append(source)
        for name in sorted(names):
            fine = bytearray(name not in o for o in owed)
            todo = deque(i for i, ok in enumerate(fine) if ok)
            while todo:
                for source in into[todo.popleft()]:
                    if not fine[source]:
                        fine[source] = 1
                        todo.append(source)
            first = fine.find(0)
            if first >= 0:
                self._report(STUCK, f"{name}, and nothing that must happen ends it", first)

    def _report(self, kind, sentence, number, more=()):
        if kind in self.findings:
            return
        steps = list(more)
        while number >= 0:
            steps.insert(0, Step(self.label[number], self.states[number]))
            number = self.parent[number]
        self.findings[kind] = Finding(kind, sentence, steps)


def explore(model, stop_at=None, limit=8_000_000):
    """All states of model (or as many as it takes to find the kind stop_at): a Result."""
    return Explorer(model, limit).run(stop_at)


def replace_at(row, index, value):
    """A copy of the tuple row with one place changed."""
    return row[:index] + (value,) + row[index + 1 :]
