"""What a model's training is said to have done: the newest state first, then what qualifies it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from analysis.layout.material import Material
from analysis.layout.prose import Block, say
from analysis.read import listed
from analysis.statistics.correlate import p_in_words
from analysis.statistics.scores import LEVEL
from analysis.trends import states
from analysis.trends.course import BEST, LAST, PLACE, Course
from analysis.trends.measured import Measured, Place

text = partial(Block, "trends.jinja")
MOST = 6
# The measures that a sentence begins with, whatever became of them.
FIRST = 3
Record = Mapping[Any, Any]


def ranked(material: Material, course: Course) -> list[Place]:
    """The measures, the ones to read first at the front: the headline score, then accuracies."""
    headline = material.headline.measure if len(material.rows.alignment) else ""
    several = material.rows.alignment["pooling"].nunique() > 1

    def rank(place: Place) -> tuple[int, str]:
        shown = place.measure == headline
        if shown and several:
            shown = material.headline.pooling in place.conditions.split(", ")
        order = 0 if shown else 1 if place.measure.endswith("accuracy") else 2
        return order, place.text

    return sorted((one.place for one in course.measured), key=rank)


def finding(material: Material, course: Course) -> tuple[str, ...]:
    """What the newest state changed, in a sentence, and how much of it chance explains."""
    now = course.now
    if now.empty:
        return say(text("nothing_new"), newest=course.newest)
    order = {place: number for number, place in enumerate(ranked(material, course))}
    rows = [_row(row, order=order) for row in now.to_dict("records")]
    since = [row for row in rows if row["against"] == LAST]
    since.sort(key=lambda row: (row["rank"] >= FIRST and not row["clear"], row["rank"]))
    other = Counter(row["other"] for row in since).most_common(1)[0][0]
    below = [row for row in rows if row["against"] == BEST and row["clear"] and row["change"] < 0]
    return say(
        text("finding"), newest=course.newest, other=other, shown=since[:MOST],
        left=max(0, len(since) - MOST), every=len(since), tests=int(now["p"].notna().sum()),
        rose=sum(row["clear"] and row["change"] > 0 for row in since),
        fell=sum(row["clear"] and row["change"] < 0 for row in since),
        below=below[:MOST],
    )  # fmt: skip


def warnings(material: Material, course: Course) -> tuple[str, ...]:
    """What a reader must know first: lost states, cut texts, languages that are not everywhere."""
    revisions = course.order.revisions
    errors = material.rows.errors
    failed = Counter[str](errors.loc[errors["model"] == course.model, "revision"].astype(str))
    missing = [one.place.text for one in course.measured if course.newest not in one.revisions]
    lacking = [said for one in course.measured for said in _lacking(one, revisions)]
    return say(
        text("warnings"), model=course.model, newest=course.newest,
        mixed=[front or "nothing" for front in course.order.mixed],
        unplaced=course.order.unplaced,
        lost=states.lost(course.records, there=revisions),
        failed=[f"{name} ({count})" for name, count in sorted(failed.items())],
        cut=[said for one in course.measured for said in _cut(one, revisions)],
        lacking=lacking, missing=missing, alone=course.alone,
    )  # fmt: skip


def level(row: Record) -> str:
    """A value and its change in few letters: `0.61 (-0.04 [-0.06, -0.02], p = 0.003 Holm)`."""
    value, change, low, high, p = (
        float(row[name]) for name in ("after", "change", "low", "high", "p_corrected")
    )
    digits = 2 if abs(change) >= 0.01 or change == 0 else 3
    ends = f" [{low:.{digits}f}, {high:.{digits}f}]" if low == low else ""
    tested = f"{p_in_words(p)} Holm" if p == p else str(row["note"])
    return f"{value:.{digits}f} ({change:+.{digits}f}{ends}, {tested})"


def _row(row: Record, *, order: Mapping[Place, int]) -> dict[str, Any]:
    """A change with what is said of it."""
    place = Place(*(str(row[name]) for name in PLACE))
    clear = bool(row["p_corrected"] < LEVEL)
    return {**row, "text": place.text, "rank": order[place], "clear": clear, "said": level(row)}


def _cut(one: Measured, revisions: tuple[str, ...]) -> Iterator[str]:
    """A measure whose states were cut unlike, and where."""
    counts = dict(zip(one.revisions, one.cut, strict=True))
    held = [name for name in revisions if name in counts]
    if len({counts[name] for name in held}) > 1:
        named = listed([f"{name} {counts[name]}" for name in held[::-1] if counts[name]], most=4)
        yield f"{one.place.text} ({named})"


def _lacking(one: Measured, revisions: tuple[str, ...]) -> Iterator[str]:
    """A measure whose states have other languages, and which means that leaves."""
    used, languages = one.used
    if languages.all() and used.all():
        return
    few = [name for name, here in zip(one.revisions, used, strict=True) if not here]
    few = [name for name in revisions if name in few]
    kept, every = int(languages.sum()), len(one.languages)
    out = f", {listed(few, most=4)} not in them" if few else ""
    yield f"{one.place.text} (means over {kept} of {every}{out})"
