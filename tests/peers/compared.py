"""What is compared and how it is counted: a finished run, and the tally of one kind of number.

Imports nothing of ours.
"""

import csv
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import items
import pandas as pd
import plain

# Numbers that only arithmetic in float64 lies between.
EXACT = 1e-9


@dataclass
class Compared:
    """One kind of number: how often it was compared, and how it came out."""

    kind: str
    values: int = 0
    differ: int = 0
    undecided: int = 0
    largest: float = 0.0
    first: str = ""
    notes: list[str] = field(default_factory=list)

    def number(self, where: object, stored: Any, own: Any, *, allowed: float = EXACT) -> None:
        """Compare a number; missing and NaN are the same."""
        one, other = (math.nan if each is None or each == "" else float(each)
                      for each in (stored, own))  # fmt: skip
        away = 0.0 if math.isnan(one) and math.isnan(other) else abs(one - other)
        self._count(where, one, other, differs=not away <= allowed)
        self.largest = max(self.largest, math.inf if math.isnan(away) else away)

    def same(self, where: object, stored: object, own: object) -> None:
        """Compare what is equal or not; pandas reads a missing text as NaN."""
        stored = None if isinstance(stored, float) and math.isnan(stored) else stored
        self._count(where, stored, own, differs=stored != own)

    def _count(self, where: object, stored: object, own: object, *, differs: bool) -> None:
        self.values += 1
        self.differ += differs
        if differs and not self.first:
            self.first = f"{where}: {stored!r}, expected {own!r}"

    def note(self, sentence: str) -> None:
        """Say what could not be compared, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def line(self) -> str:
        """What is printed."""
        said = f"{self.kind}: {self.values} values, {self.differ} differ"
        said += f", {self.undecided} undecided, largest difference {self.largest:.1e}"
        said += f"; first: {self.first}" if self.first else ""
        return "; ".join([said, *self.notes])


@dataclass
class Run:
    """A finished run's folder, and the data it read."""

    folder: Path
    data: Path
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    @cached_property
    def told(self) -> dict[str, Any]:
        """What the run says of itself."""
        said: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return said

    @property
    def settings(self) -> dict[str, Any]:
        """The study's settings."""
        found: dict[str, Any] = self.told["settings"]
        return found

    @property
    def seeds(self) -> set[int] | None:
        """The seeds that were asked for. Settings are the same in all launches of a folder, so that
        they tell all of them, or, where several seeds lie in one folder, perhaps none: None."""
        found = self.settings.get("seed")
        return None if found is None else set(found if isinstance(found, list) else [found])

    @cached_property
    def folders(self) -> dict[str, Path]:
        """The folder of each model."""
        return {model["name"]: Path(model["folder"]) for model in self.told["models"]}

    @property
    def limit(self) -> int | None:
        """How many rows of each language were looked at, None for all."""
        return None if self.settings["limit"] == "all" else int(self.settings["limit"])

    def table(self, name: str) -> pd.DataFrame:
        """All rows of a table, none where the run has no such table."""
        if name not in self._tables:
            path = self.folder / "tables" / name
            self._tables[name] = pd.read_parquet(path) if path.is_dir() else pd.DataFrame()
        return self._tables[name]

    def rows(self, name: str, **where: object) -> Iterable[Any]:
        """The rows of a table with these values, None standing for missing ones."""
        found = self.table(name)
        for column, value in where.items():
            if len(found):
                found = found[found[column].isna() if value is None else found[column] == value]
        return list(found.itertuples(index=False))

    def cells(self, name: str) -> Iterable[list[Any]]:
        """The rows of every cell of a table."""
        found: dict[str, list[Any]] = {}
        for row in self.rows(name):
            found.setdefault(row.key, []).append(row)
        return found.values()

    def csv(self, name: str) -> list[dict[str, str]]:
        """A CSV file of the report."""
        return cells(self.folder / "report" / "tables" / f"{name}.csv")

    def model(self, name: str) -> plain.Plain:
        """A model of the run."""
        return plain.model(self.folders[name])

    def asked(self, row: Any, *, language: str = "") -> dict[str, items.Question]:
        """The questions of a row's benchmark, in its language or another."""
        return items.questions(self.data, row.benchmark, language or row.language, row.prompt)

    def sides(self, row: Any) -> tuple[dict[str, items.Question], dict[str, items.Question]]:
        """The questions of a row's language, and the same in its pivot: those that both have among
        the first that were looked at."""
        own, pivot = (
            dict(list(self.asked(row, language=language).items())[: self.limit])
            for language in (row.language, row.pivot)
        )
        ids = [id for id in own if id in pivot]
        return {id: own[id] for id in ids}, {id: pivot[id] for id in ids}


Kind = Callable[[Run, Compared], None]
KINDS: dict[str, Kind] = {}


def kind(check: Kind) -> Kind:
    """Register a kind of number under the name of the function that compares it."""
    KINDS[check.__name__] = check
    return check


def compare(runs: Iterable[Run], name: str) -> Compared:
    """One kind of number in all runs."""
    compared = Compared(name)
    for run in runs:
        KINDS[name](run, compared)
    return compared


def cells(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file of the report, none where it is not there."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
