"""Answers with rescaled neurons, cell by cell: choices and written texts alike (CLAS).

Every cell is set against the plain model on the same held-out items. The reference has no strength
in its switches, while a rescaled cell has one even where it is 0: so the two are told apart when
nothing is changed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis import read
from analysis.results.agreement import shared as common
from analysis.results.answers import SERIES, Answers, Texts, Wholes

Floats = npt.NDArray[np.float64]
PLAIN, CLAS, INTMU = "plain", "clas", "intmu_mean"
RANDOM, MIXED, UNIFORM = "random", "mixed", "uniform"
ON_ANCHOR, ON_OTHERS, IN_ANCHOR = "clas_on_anchor", "clas_on_others", "clas_in_anchor"
OTHER_INTMU = ("intmu_p90", "intmu_p10", "intmu_zero")
SCHEMES = (
    CLAS, INTMU, RANDOM, MIXED, UNIFORM, ON_ANCHOR, ON_OTHERS, IN_ANCHOR, *OTHER_INTMU,
)  # fmt: skip
# Schemes whose cells are draws of one control.
DRAWN = (RANDOM, MIXED)
ACCURACY, F1, F1_MIXED, EXACT = "accuracy", "f1", "f1_mixed", "exact"
# What is reported of a cell, the metric that a strength is chosen by first.
METRICS = (ACCURACY, F1, F1_MIXED, EXACT)
MANNER = ("truncated", "stopped", "in_language", "repetition")
SCORED = ("key", "item", "intervention", "switches", "scores")
STRENGTH = ("shared", "specific")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cell:
    """The answers of one scheme in one language, sorted by item id; I items, J options.

    Attributes:
        switches: how neurons are sorted and rescaled, without the strength.
        scheme: `plain` for the reference, else the intervention.
        draw: number of the draw of `random` and `mixed`, else 0.
        shared: what is added to the factor 1 of neurons of several languages, `specific` of those
            of one; NaN where nothing is rescaled.
        items: ids [I].
        values: metric by name [I], 0 to 1; NaN where it does not apply to an item.
        chance: the accuracy of guessing; NaN where answers are written.
        gold: index of the right option [I], `prediction` of the chosen one; empty where answers are
            written.
        scores: of every option [I, J]; empty but for `plain` and `clas`.
    """

    model: str
    revision: str
    benchmark: str
    prompt: str
    pivot: str
    switches: str
    language: str
    scheme: str
    draw: int = 0
    shared: float = nan
    specific: float = nan
    key: str
    items: Texts
    values: Mapping[str, Floats]
    chance: float = nan
    gold: Wholes = field(default_factory=lambda: np.empty(0, int))
    prediction: Wholes = field(default_factory=lambda: np.empty(0, int))
    scores: Floats = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def series(self) -> tuple[object, ...]:
        """What sets one table of languages apart from another (`SERIES`)."""
        return tuple(getattr(self, name) for name in SERIES)

    @property
    def idle(self) -> bool:
        """Whether the strength is 0, so that the model is the plain one."""
        return self.shared == 0 and self.specific == 0

    def at(self, places: Wholes) -> "Cell":
        """The answers to some of the items."""
        return replace(
            self,
            items=self.items[places],
            values={name: own[places] for name, own in self.values.items()},
            **{
                name: getattr(self, name)[places]
                for name in ("gold", "prediction", "scores")
                if len(getattr(self, name))
            },
        )


class Compared(NamedTuple):
    """A cell and its reference on the items of both."""

    before: Cell
    after: Cell


def cells(
    answers: Iterable[Answers], texts: pd.DataFrame, *, sources: Sequence[Path | str]
) -> list[Cell]:
    """Every cell of the study, choices from `answers`, written ones from the rows of `generations`.

    `sources` are the runs, from which the scores of options are read. Of several answers to one
    cell (another split, other bridge layers) the last is kept.
    """
    chosen = [one for one in answers if one.intervention in SCHEMES]
    scores = _scores(sources) if chosen else {}
    found = [_chosen(one, scores.get(one.key, {})) for one in chosen]
    kept = {(*one.series, one.language, one.scheme, one.draw): one for one in found}
    for one in _written(texts):
        kept[*one.series, one.language, one.scheme, one.draw] = one
    return list(kept.values())


def compared(found: Iterable[Cell]) -> Iterator[Compared]:
    """Every cell beside the plain one of its language, where they share items."""
    held = list(found)
    plain = {(*one.series, one.language): one for one in held if one.scheme == PLAIN}
    for one in held:
        reference = plain.get((*one.series, one.language))
        if one.scheme == PLAIN or reference is None:
            continue
        if np.array_equal(reference.items, one.items):
            yield Compared(reference, one)
            continue
        left, right = common(reference.items, one.items)
        if len(left):
            yield Compared(reference.at(left), one.at(right))


@lru_cache(maxsize=4096)
def strength(switches: str) -> tuple[str, float, float] | None:
    """Switches without their strength, and `shared` and `specific`; None where there is none."""
    held = json.loads(switches) if switches else {}
    if not all(name in held for name in STRENGTH):
        return None
    shared, specific = (float(held.pop(name)) for name in STRENGTH)
    return json.dumps(held, sort_keys=True, separators=(",", ":")), shared, specific


def _scheme(intervention: str, switches: str) -> dict[str, Any]:
    """The columns that say what was done."""
    known = strength(switches)
    if known is None:
        scheme = PLAIN if intervention == CLAS else intervention
        return {"scheme": scheme, "switches": switches}
    how, shared, specific = known
    return {"scheme": intervention, "switches": how, "shared": shared, "specific": specific}


def _chosen(one: Answers, scores: Mapping[str, Sequence[float]]) -> Cell:
    """A cell of choices."""
    held: dict[str, Any] = {}
    if scores:
        width = max(len(own) for own in scores.values())
        matrix = np.full((len(one.items), width), nan)
        for place, item in enumerate(one.items):
            own = scores.get(str(item), ())
            matrix[place, : len(own)] = own
        held["scores"] = matrix
    scheme = _scheme(str(one.intervention), one.switches or "")
    options = one.options
    return Cell(
        model=one.model, revision=one.revision, benchmark=one.benchmark, prompt=one.prompt,
        pivot=str(one.pivot), language=one.language, key=one.key, items=one.items,
        draw=int(one.seed or 0) if scheme["scheme"] in DRAWN else 0,
        values={ACCURACY: one.correct.astype(float)},
        chance=float((1 / options[options > 0]).mean()) if (options > 0).any() else nan,
        gold=one.gold, prediction=one.prediction, **scheme, **held,
    )  # fmt: skip


def _scores(sources: Sequence[Path | str]) -> dict[str, dict[str, list[float]]]:
    """The scores of every option by key and item, of the plain and the rescaled cells."""
    found: dict[str, dict[str, list[float]]] = {}
    schema = read.columns_of("items", SCORED)
    for shard in read.reduced(sources, name="items", schema=schema, make=_of_clas):
        for row in shard.to_pylist():
            found.setdefault(row["key"], {})[row["item"]] = row["scores"] or []
    return found


def _of_clas(shard: pa.Table) -> pa.Table:
    """The rows of CLAS itself: controls are many times as many, and none is corrected for its
    prior."""
    return shard.filter(pc.equal(shard["intervention"].cast(pa.string()), CLAS))


def _written(texts: pd.DataFrame) -> list[Cell]:
    """The cells of written answers."""
    own = texts[texts["intervention"].isin(SCHEMES)]
    found, drawn = [], dict[tuple[object, ...], int]()
    for key, rows in own.groupby("key", sort=True):
        first = rows.iloc[0]
        scheme = _scheme(str(first["intervention"]), str(first["switches"] or ""))
        place = tuple(first[name] for name in ("model", "revision", "benchmark", "language"))
        place = (*place, first["prompt"], first["pivot"], *scheme.values())
        # The table has no number of a draw: every other key is another one.
        draw = drawn[place] = drawn.get(place, -1) + 1
        rows = rows.drop_duplicates("item").sort_values("item")
        found.append(
            Cell(
                model=str(first["model"]), revision=str(first["revision"]),
                benchmark=str(first["benchmark"]), prompt=str(first["prompt"]),
                pivot=str(first["pivot"]), language=str(first["language"]), key=str(key),
                draw=draw if scheme["scheme"] in DRAWN else 0,
                items=rows["item"].to_numpy(np.str_), values=_values(rows), **scheme,
            )
        )  # fmt: skip
    return found


def _values(rows: pd.DataFrame) -> dict[str, Floats]:
    """The metrics of written answers, and the manner of writing, those that any row has."""
    told = rows["written_language"].notna()
    every = {name: rows[name] for name in (F1, F1_MIXED, EXACT, "truncated", "stopped")} | {
        "in_language": rows["written_language"].eq(rows["language"]).where(told),
        "repetition": rows["repetition"],
    }
    found = {name: pd.to_numeric(column).to_numpy(float) for name, column in every.items()}
    return {name: own for name, own in found.items() if not np.isnan(own).all()}
