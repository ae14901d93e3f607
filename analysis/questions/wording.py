"""What a coefficient is measured in, and one plain sentence of what it says."""

from collections.abc import Sequence
from math import exp, isnan
from typing import NamedTuple

from analysis.questions.design import Part
from analysis.statistics.scores import LEVEL

# Names of a 0/1 outcome that have words of their own: of one row, and of many.
NAMED = {
    "correct": ("a right answer", "right answers"),
    "right": ("a right answer", "right answers"),
}
MOST_NAMED = 3
NEAR = 1.0


class Measured(NamedTuple):
    """The outcome: its name, `kind` (`number`, `points` of a share, `odds`)."""

    name: str
    kind: str

    @property
    def unit(self) -> str:
        """What coefficients are in."""
        words = {"number": "{}", "points": "percentage points of {}", "odds": "log odds of {}"}
        return words[self.kind].format(self.name)

    def amount(self, value: float) -> str:
        """So much more or less of it, such as `4.2 points more right answers`."""
        many = NAMED.get(self.name, ("", f"rows with {self.name}"))[1]
        if self.kind == "points":
            return f"{abs(value):.1f} points {'more' if value >= 0 else 'fewer'} {many}"
        return f"{short(abs(value))} {'more' if value >= 0 else 'less'} {self.name}"

    def ends(self, low: float, high: float) -> str:
        """An interval with signs."""
        if self.kind == "points":
            return f"[{low:+.1f}, {high:+.1f}]"
        return f"[{short(low, sign='+')}, {short(high, sign='+')}]"


class Line(NamedTuple):
    """A coefficient and what is held equal beside it.

    `alone` are the other covariates, `levels` the factors that rows are compared within, `among`
    says between how many levels the term is compared, and is empty where it varies within them.
    `given` says where the covariates are that it is crossed with. `slope` turns log odds into
    shares.
    """

    outcome: Measured
    estimate: float
    low: float
    high: float
    parts: tuple[Part, ...]
    alone: tuple[str, ...]
    levels: tuple[str, ...]
    among: str
    given: tuple[str, ...]
    slope: float


def short(value: float, *, sign: str = "") -> str:
    """A number with three digits that mean something."""
    return f"{value:{sign}.3g}"


def scale(parts: Sequence[Part], outcome: Measured) -> str:
    """What an estimate is measured in, such as `points per standard deviation of nasca (0.113)`."""
    if not parts:
        return f"{outcome.unit} where all terms are 0"
    per = []
    for one in parts:
        if one.level:
            per.append(f"{one.name} = {one.level}" + (f" less {one.base}" if one.base else ""))
        elif one.switch:
            per.append(f"{one.name} = 1 less 0")
        elif isnan(one.spread):
            per.append(f"unit of {one.name}")
        else:
            per.append(f"standard deviation of {one.name} ({short(one.spread)})")
    return f"{outcome.unit} per {' and '.join(per)}"


def reading(line: Line, *, p: float) -> str:
    """The sentence of one coefficient; `p` is the one that it is judged by."""
    outcome = line.outcome
    if not line.parts:
        return _level(line, outcome)
    steps = [_step(one) for one in line.parts if one.step]
    where = [f"{one.name} = {one.level}" for one in line.parts if not one.step]
    if not steps:
        return _level(line, outcome, where=where)
    first, *rest = steps
    said = f"{first} goes with {_change(line, outcome)}"
    if rest:
        said = f"With {' and '.join(rest)}, what goes with {first} is {_difference(line, outcome)}"
    said += "".join(f", for {one}" for one in where)
    said += f", where {' and '.join(line.given)}" if line.given else ""
    alike = [*line.alone, *line.levels]
    if len(alike) > MOST_NAMED:
        said += ", all else being alike"
    elif alike:
        *before, last = alike
        said += f", {', '.join(before)}{' and ' if before else ''}{last} being alike"
    said += f", compared between {line.among}" if line.among else ""
    if not p < LEVEL:
        said += "; it is not told from none"
    return said


def deviation(name: str, value: float, *, share: float, outcome: Measured) -> str:
    """The sentence of a random term, or without a name of what is left of rows."""
    unit = {"number": outcome.name, "points": "points", "odds": "log odds"}[outcome.kind]
    differ = f"Levels of {name} differ" if name else "Rows of the same levels differ"
    return (
        f"{differ} by {short(value)} {unit} (standard deviation), {share:.0%} of the variance that "
        f"the terms leave"
    )


def _step(part: Part) -> str:
    """A step of one covariate."""
    if part.level:
        return f"{part.name} = {part.level} rather than {part.base}"
    if part.switch:
        return f"{part.name} = 1 rather than 0"
    step = "1" if isnan(part.spread) else "1 standard deviation"
    return f"{step} more {part.name}"


def _change(line: Line, outcome: Measured) -> str:
    """By how much the outcome differs, with its interval."""
    if outcome.kind != "odds":
        return f"{outcome.amount(line.estimate)} {outcome.ends(line.low, line.high)}"
    one = NAMED.get(outcome.name, (outcome.name, ""))[0]
    said = f"odds of {one} {_times(line)}"
    # The slope of shares holds near by, not over a large step.
    if abs(line.estimate) > NEAR:
        return said
    return f"{said}, about {100 * line.slope * line.estimate:+.1f} points"


def _difference(line: Line, outcome: Measured) -> str:
    """By how much a change itself differs."""
    if outcome.kind == "odds":
        return f"{_times(line)} in odds"
    more = "higher" if line.estimate >= 0 else "lower"
    unit = "points" if outcome.kind == "points" else outcome.name
    size = f"{abs(line.estimate):.1f}" if outcome.kind == "points" else short(abs(line.estimate))
    return f"{size} {unit} {more} {outcome.ends(line.low, line.high)}"


def _times(line: Line) -> str:
    """An odds ratio with its interval."""
    ratio, low, high = (short(exp(min(one, 700.0))) for one in (line.estimate, line.low, line.high))
    return f"{ratio} times as high [{low}, {high}]"


def _level(line: Line, outcome: Measured, *, where: Sequence[str] = ()) -> str:
    """The outcome itself, of the constant or of a level that is compared with no other."""
    numbers = [line.estimate, line.low, line.high]
    place = "Where all terms are 0, standardised ones at their mean" if line.alone else "Overall"
    place = f"For {' and '.join(where)}" if where else place
    if outcome.kind == "number":
        said = f"{outcome.name} is {{}} [{{}}, {{}}]".format(*(short(one) for one in numbers))
    else:
        if outcome.kind == "odds":
            numbers = [100 / (1 + exp(min(-one, 700.0))) for one in numbers]
        many = NAMED.get(outcome.name, ("", f"rows with {outcome.name}"))[1]
        said = "{} are {:.1f} % [{:.1f}, {:.1f}]".format(many, *numbers)
    return f"{place}, {said}"
