"""A page as HTML, from its template: one file with its styles, figures and script inside."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.figures import theme
from analysis.html import cells, files
from analysis.html.methods import Method
from analysis.html.queries import Queries
from analysis.layout.page import Page, Part, Picture, Section, Sheet, Text, unfolded
from analysis.layout.prose import many

TEMPLATES = Path(__file__).parents[1] / "templates"
# Rows of a table in the page itself; the others are made visible when they are asked for.
FIRST_ROWS = 40
# Of one figure's numbers.
MOST_CELLS = 1500
# What a page holds of all: bytes of drawings, cells of figures' numbers, cells of further rows.
# Together they keep it below 10 MB; a cell takes some 45 bytes.
ROOM = {"drawings": 5_000_000, "numbers": 25_000, "rows": 60_000}
# What of a run's record is told apart from its settings, and how.
PARTS = {
    "pins": "Fingerprints of texts and weights",
    "commits": "Commits of data sets",
    "running": "What computed",
    "launches": "Launches",
    "provenance": "Software and machine",
}


class Drawn(NamedTuple):
    """A figure in the page: the drawing, and the numbers that draw it unless they are many.

    The drawing is empty where the page has no room for it; its files have it.
    """

    svg: Markup
    numbers: Sheet | None

    @property
    def same(self) -> str:
        """What is alike in all of the numbers, in words."""
        held = self.numbers.of if self.numbers is not None else {}
        return ", ".join(f"{name} {value}" for name, value in held.items())


class Room:
    """How much a page still holds, by kind (`ROOM`)."""

    def __init__(self) -> None:
        """All of it."""
        self.left = dict(ROOM)

    def takes(self, kind: str, size: int) -> bool:
        """Whether there is room, which is then taken."""
        fits = size <= self.left[kind]
        self.left[kind] -= size if fits else 0
        return fits


def drawn(picture: Picture, svg: Markup, room: Room) -> Drawn:
    """A figure with its numbers, as far as there is room."""
    numbers = _numbers(picture)
    if numbers is not None and not room.takes("numbers", numbers.frame.size):
        numbers = None
    return Drawn(svg if room.takes("drawings", len(svg)) else Markup(), numbers)


def whole(sheets: Sequence[Sheet], room: Room) -> set[str]:
    """The names of the tables whose further rows the page has room for."""
    rest = {sheet.name: max(0, len(sheet.frame) - FIRST_ROWS) for sheet in sheets}
    columns = {sheet.name: sheet.frame.shape[1] for sheet in sheets}
    return {name for name, rows in rest.items() if room.takes("rows", rows * columns[name])}


def _numbers(picture: Picture) -> Sheet | None:
    """What draws a figure: columns that say something, what is alike in all rows apart."""
    if len(picture.numbers) > MOST_CELLS:
        return None
    frame = picture.numbers.drop(columns=["study", "key"], errors="ignore").convert_dtypes()
    plain = [
        name for name in frame.columns
        if frame[name].notna().any() and all(map(pd.api.types.is_scalar, frame[name]))
    ]  # fmt: skip
    same = {
        str(name): frame[name].iloc[0] for name in plain
        if len(frame) > 1 and frame[name].nunique(dropna=False) == 1
    }  # fmt: skip
    told = frame[[name for name in plain if str(name) not in same]]
    sheet = Sheet(
        name=picture.name, caption=picture.caption, frame=told.reset_index(drop=True),
        read=picture.read, of=same,
    )  # fmt: skip
    return sheet if told.size <= MOST_CELLS else None


def render(
    page: Page,
    *,
    drawings: Mapping[str, Drawn],
    whole: Collection[str],
    queries: Queries,
    method: Method,
    runs: Iterable[Mapping[str, object]],
    notes: Iterable[str],
) -> str:
    """The page as HTML."""
    return (
        environment()
        .get_template("report.html")
        .render(
            page=page,
            drawings=drawings,
            whole=whole,
            dark=theme.dark_variables(one.svg for one in drawings.values()),
            queries=queries,
            method=method,
            runs=[_run(run) for run in runs],
            notes=list(notes),
        )
    )


def environment() -> Environment:
    """The templates, in which every value is text."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.globals |= {
        "entries": cells.entries, "head": cells.head, "latex": files.latex, "card": theme.CARD,
        "holds": _holds, "cautions": _cautions, "first_rows": FIRST_ROWS,
    }  # fmt: skip
    found.filters |= {"fingerprints": cells.fingerprints}
    return found


def _holds(section: Section) -> str:
    """How many tables and figures a section has, in words."""
    parts = unfolded(section.parts)
    counts = {
        noun: sum(isinstance(part, kind) for part in parts)
        for noun, kind in (("table", Sheet), ("figure", Picture))
    }
    return ", ".join(many(count, noun) for noun, count in counts.items() if count)


def _cautions(section: Section) -> int:
    """How many paragraphs of a section are set apart as warnings."""
    found: list[Part] = unfolded(section.parts)
    return sum(len(part.lines) for part in found if isinstance(part, Text) and part.warning)


def _run(run: Mapping[str, object]) -> dict[str, object]:
    """A run.json as the page lists it: name, models as a table, all else flattened to lines."""
    models = run.get("models")
    left: tuple[str, ...] = ("run", "notes", *PARTS)
    frame = pd.DataFrame()
    if isinstance(models, list) and all(isinstance(model, dict) for model in models):
        left, frame = (*left, "models"), pd.DataFrame(models)
    plain = frame.map(lambda value: _text(value) if isinstance(value, list | dict) else value)
    return {
        "name": run["run"],
        "models": Sheet(name="models", caption="models", frame=plain),
        "lines": _flat({key: value for key, value in run.items() if key not in left}),
        "parts": {
            title: _flat({name: run[name]}) for name, title in PARTS.items() if run.get(name)
        },
    }


def _flat(value: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested objects as dotted names with their values as text."""
    lines: list[tuple[str, str]] = []
    for name, part in value.items():
        if isinstance(part, dict):
            lines += _flat(part, f"{prefix}{name}.")
        else:
            lines.append((f"{prefix}{name}", _text(part)))
    return lines


def _text(value: object) -> str:
    """A value of run.json in words."""
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        return ", ".join(str(part) for part in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
