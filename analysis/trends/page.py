"""The section of a page on models along their training, the newest state of each first."""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.layout.exhibit import parts_of
from analysis.layout.material import Material, State
from analysis.layout.page import Heading, Part, Section, Sheet, Text, file_name
from analysis.layout.prose import line, say
from analysis.statistics import segments
from analysis.statistics.scores import LEVEL
from analysis.trends import pictures, together, told
from analysis.trends.course import BEST, LAST, PLACE, Course, courses, watched
from analysis.trends.measured import Place
from analysis.trends.told import text

TITLE = "Over training"
# Rows of a table before it is folded, measures across, and states that other sections show.
MOST_ROWS, MOST_ACROSS, MOST_STATES = 24, 12, 12
# Models whose newest state is at the top of the page.
MOST_FINDINGS = 3
Files = dict[str, pd.DataFrame]


class Shown(NamedTuple):
    """The section, empty where no model has several states, and tables for files of their own.

    `findings` are for the top of the page: what the newest state of each model changed.
    """

    parts: tuple[Part, ...]
    files: Files
    findings: tuple[str, ...]


def earlier(material: Material) -> frozenset[State]:
    """The states that only this section shows: of each model all but the last few."""
    return frozenset(
        (course.model, name)
        for course in material.get(courses)
        for name in course.order.revisions[:-MOST_STATES]
    )


def left_out(material: Material, states: Collection[State]) -> tuple[str, ...]:
    """A sentence on the models of which states are left out elsewhere."""
    models = {model for model, _ in states}
    several = [
        f"{one.model} ({len(one.order.revisions)} states)"
        for one in material.get(courses) if one.model in models
    ]  # fmt: skip
    return say(text("left_out"), several=several, most=MOST_STATES, title=TITLE)


def section(material: Material, *, drawn: Collection[str] = ()) -> Shown:
    """What every model did along its training.

    Args:
        material: of some rows.
        drawn: measures whose figures the page has elsewhere.
    """
    parts: list[Part] = []
    files: Files = {}
    for course in material.get(courses):
        show = partial(_of_model, course=course, drawn=drawn, files=files)
        parts += parts_of(show, material)
    if not parts:
        return Shown((), {}, ())
    notes = material.get(watched).notes
    first = [Text(lines=notes, warning=True)] if notes else []
    found = [one for one in material.get(courses) if len(one.order.revisions) > 1]
    return Shown(
        parts=(*first, *parts, Text(lines=say(text("methods")))),
        files=files,
        findings=tuple(
            f"{one.model}, {told.finding(material, one)[0]}" for one in found[:MOST_FINDINGS]
        ),
    )


def onto(sections: Sequence[Section], parts: tuple[Part, ...]) -> tuple[Section, ...]:
    """The sections with that of training first, before what a section of its name has."""
    if not parts:
        return tuple(sections)
    rest = [part for one in sections if one.title == TITLE for part in one.parts]
    others = [one for one in sections if one.title != TITLE]
    return (Section(title=TITLE, parts=(*parts, *rest)), *others)


def _of_model(
    material: Material, *, course: Course, drawn: Collection[str], files: Files
) -> Iterator[Part]:
    """A model's finding, tables and figures; `files` is added to."""
    warnings = told.warnings(material, course)
    if len(course.order.revisions) < 2 or not course.measured:
        if warnings:
            yield Text(lines=warnings, warning=True)
        return
    newest = course.at[course.newest]
    date = newest["date"]
    yield Heading(
        text=line(text("title"), model=course.model, newest=course.newest,
                  states=len(course.order.revisions),
                  date=f"{date:%Y-%m-%d}" if isinstance(date, pd.Timestamp) else "")
    )  # fmt: skip
    yield Text(lines=told.finding(material, course))
    if warnings:
        yield Text(lines=warnings, warning=True)
    order = told.ranked(material, course)
    if len(course.now):
        yield _newest(course, order)
    yield from pictures.of_measures(course, order, drawn)
    yield from _together(material, course)
    yield from _tables(course, order)
    held = {"changes": course.changes, "levels": course.levels, "newest": course.now}
    for word, frame in held.items():
        name = file_name(f"trends_{word}", course.model)
        while name in files:
            name += "_"
        files[name] = frame


def _newest(course: Course, order: Sequence[Place]) -> Sheet:
    """The newest state: a row per measure."""
    rows, small = [], []
    found: dict[Place, dict[str, dict[str, object]]] = {}
    for row in course.now.to_dict("records"):
        place = Place(*(row[name] for name in PLACE))
        found.setdefault(place, {})[str(row["against"])] = {str(a): b for a, b in row.items()}
    for place in (one for one in order if one in found):
        last, best = found[place][LAST], found[place].get(BEST, {})
        rows.append(
            {"measure": place.text, "value": last["after"], "last": last["other"],
             "change": last["change"], "p": last["p_corrected"], "best": best.get("other"),
             "against best": best.get("change"), "best_p": best.get("p_corrected"),
             "languages": last["languages"], "items": last["items"] or None,
             "test": last["test"], "note": last["note"]}
        )  # fmt: skip
        small.append({"change": _ends(last), "against best": _ends(best)})
    frame = pd.DataFrame(rows)
    frame["items"] = pd.Series([row["items"] for row in rows], dtype=object)
    if frame["note"].eq("").all():
        frame = frame.drop(columns="note")
    empty = [name for name in ("best", "items") if frame[name].isna().all()]
    if "best" in empty:
        empty += ["against best", "best_p"]
    return Sheet(
        name=file_name("trends", course.model),
        caption=line(text("newest"), newest=course.newest, tests=_tests(course.now)),
        frame=frame.drop(columns=empty), small=pd.DataFrame(small),
        heads={"last": "since", "best": "best before", "best_p": "p (best)"},
    )  # fmt: skip


def _tests(frame: pd.DataFrame) -> int:
    """How many p-values a table has."""
    return int(frame["p"].notna().sum())


def _ends(row: dict[str, object]) -> str:
    """An interval in brackets."""
    low, high = row.get("low", np.nan), row.get("high", np.nan)
    return f"[{low:.3f}, {high:.3f}]" if low == low else ""


def _tables(course: Course, order: Sequence[Place]) -> Iterator[Part]:
    """Every state, every language, changes of level."""
    yield _history(course, order)
    languages = course.by_language
    if len(languages):
        shown = languages.drop(columns=["model", "correction"])
        shown["items"] = pd.Series([n or None for n in shown["items"].tolist()], dtype=object)
        yield Sheet(
            name=file_name("trends_languages", course.model),
            caption=line(text("by_language"), newest=course.newest, rows=len(shown),
                         tests=_tests(languages)),
            frame=_without_empty(shown), heads={"other": "since"}, collapsed=True,
        )  # fmt: skip
    if len(course.cuts):
        shown = course.cuts.iloc[::-1].drop(columns="model").reset_index(drop=True)
        yield Sheet(
            name=file_name("trends_of_level", course.model), caption=line(text("cuts")),
            frame=_without_empty(shown),
            collapsed=len(shown) > MOST_ROWS,
        )  # fmt: skip
    else:
        yield Text(lines=say(text("no_cuts"), long=course.long, fewest=segments.FEWEST))


def _history(course: Course, order: Sequence[Place]) -> Sheet:
    """A row per state, the newest first, and a column per measure."""
    shown = order[:MOST_ACROSS]
    heads = {place: place.text for place in shown}
    names = list(reversed(course.order.revisions))
    frame = pd.DataFrame({"state": names})
    days = [course.at[name]["date"] for name in names]
    if any(day is not None for day in days):
        frame["date"] = [
            f"{day:%Y-%m-%d}" if isinstance(day, pd.Timestamp) else None for day in days
        ]
    small = pd.DataFrame(index=frame.index)
    values = _by_place(course.levels, "value")
    since = (
        course.changes[course.changes["against"] == LAST] if len(course.changes) else course.changes
    )
    changes, ps = _by_place(since, "change"), _by_place(since, "p_corrected")
    for place, head in heads.items():
        frame[head] = [values.get((*place, name), np.nan) for name in names]
        small[head] = [
            _star(changes.get((*place, name), np.nan), ps.get((*place, name), np.nan))
            for name in names
        ]
    return Sheet(
        name=file_name("trends_history", course.model),
        caption=line(text("history"), tests=_tests(course.changes),
                     shown=len(shown), every=len(order)),
        frame=frame, small=small, collapsed=len(frame) > MOST_ROWS,
    )  # fmt: skip


def _by_place(frame: pd.DataFrame, column: str) -> dict[tuple[object, ...], float]:
    """A column by measure and state."""
    keys = frame[[*PLACE, "revision"]].itertuples(index=False, name=None)
    return dict(zip(keys, frame[column].astype(float), strict=True))


def _star(change: float, p: float) -> str:
    """A change, marked where it is clear."""
    return f"{change:+.3f}{' *' if p < LEVEL else ''}" if change == change else ""


def _without_empty(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that say something; a corrected p is shown as one."""
    frame = frame.rename(columns={"p_corrected": "corrected_p"})
    said = [name for name in frame if not frame[name].replace("", None).isna().all()]
    return frame[said]


def _together(material: Material, course: Course) -> Iterator[Part]:
    """Alignment against accuracy: r by state as a table and a figure, and the means of both."""
    found = together.by_state(material, course)
    if found.empty:
        return
    headline = material.headline.text
    alike = [name for name in together.SET if found[name].nunique() < 2 and name != "benchmark"]
    shown = _without_empty(found.iloc[::-1].drop(columns=[*alike, "correction"]))
    yield Sheet(
        name=file_name("trends_correlation", course.model),
        caption=line(text("together"), score=headline, tests=_tests(found)),
        frame=shown.reset_index(drop=True), heads={"n": "languages"},
        collapsed=len(shown) > MOST_ROWS,
    )  # fmt: skip
    yield from pictures.of_correlation(course, found, headline)
