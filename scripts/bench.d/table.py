"""Rows of results: what, against what, the goal; as a table for people and as JSON."""
import statistics


def quartiles(values):
    """(q1, median, q3)"""
    if len(values) < 2:
        return (values[0],) * 3
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def number(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


class Table:
    def __init__(self):
        self.rows = []
        self.skipped = []

    def add(self, what, unit, values, against=None, goal=None):
        """values: samples. against: (name, samples of the floor or peer). goal: ("value" or "ratio", "max" or
        "exactly", bound)."""
        low, middle, high = quartiles(values)
        row = {"what": what, "unit": unit, "value": middle, "quartiles": [low, high], "samples": len(values)}
        if against:
            peer = quartiles(against[1])
            row.update(against=against[0], against_value=peer[1], against_quartiles=[peer[0], peer[2]],
                       ratio=middle / peer[1] if peer[1] else None)
        if goal:
            row.update(goal=self.goal_text(goal), **self.verdict(row, goal))
        self.rows.append(row)

    def skip(self, what, why):
        self.skipped.append({"what": what, "why": why})

    @staticmethod
    def goal_text(goal):
        subject, kind, bound = goal
        return ("ratio " if subject == "ratio" else "") + ("at most " if kind == "max" else "") + f"{bound:g}"

    @staticmethod
    def verdict(row, goal):
        subject, kind, bound = goal
        value = row[subject]
        off = value - bound if kind == "max" else abs(value - bound)
        if off <= 0.005:
            return {"met": True, "verdict": "met"}
        return {"met": False, "verdict": f"missed by {number(off)} ({100 * off / bound:.0f} %)"}

    def lines(self):
        head = ("", "median", "unit", "quartiles", "against", "median", "ratio", "goal", "")
        cells = [head]
        for row in self.rows:
            low, high = row["quartiles"]
            spread = "" if row["samples"] == 1 else f"{number(low)} .. {number(high)}"
            cells.append((row["what"], number(row["value"]), row["unit"], spread, row.get("against", ""),
                          number(row.get("against_value")), number(row.get("ratio")), row.get("goal", ""),
                          row.get("verdict", "")))
        widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
        right = (1, 5, 6)
        for line in cells:
            yield "  ".join(cell.rjust(width) if i in right else cell.ljust(width)
                            for i, (cell, width) in enumerate(zip(line, widths))).rstrip()
        for skip in self.skipped:
            yield f"skipped: {skip['what']}: {skip['why']}"
