"""A model along its training: levels, changes, changes of level, each one table.

A change is tested on what both states have. What is looked at together is corrected together, by
Holm's method over all p-values of a table. A number that is missing stands beside its reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import nan

import numpy as np
import pandas as pd

from analysis.layout.material import Material
from analysis.questions.answer import correct
from analysis.statistics import checkpoints, segments, two_way
from analysis.statistics.bootstrap import hierarchical_bootstrap
from analysis.statistics.intervals import from_errors, wilson
from analysis.statistics.paired import counted, mcnemar
from analysis.trends import states
from analysis.trends.measured import MCNEMAR, Measured, Place
from analysis.trends.sources import measures

Row = dict[str, object]
LAST, BEST = "last", "best"
AT = ["revision", "step", "date"]
PLACE = list(Place._fields)
LEVELS = [*AT, *PLACE, "languages", "value", "low", "high", "cut", "note"]
CHANGES = [
    *AT, *PLACE, "against", "other", "candidates", "languages", "items", "before", "after",
    "change", "low", "high", "p", "test", "note",
]  # fmt: skip
CUTS = [*PLACE, "states", *AT, "before", "after", "p", "p_corrected", "slope"]
BY_LANGUAGE = [*PLACE, "other", "language", "items", "change", "low", "high", "p", "test", "note"]
# What an interval and a p are made of, for all rows of a table at once.
MADE_OF = ["error", "df", "hits", "gained", "lost", "n"]
NOTHING_VARIES = "nothing varies: no test"


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """A model along its training.

    Attributes:
        model: its name.
        order: its states, the first one first.
        records: what `watch.json` says of its checkpoints, by revision.
        measured: the measures that two of its states or more have.
        alone: those that one state alone has, in words with that state.
    """

    model: str
    order: checkpoints.Order
    records: Mapping[str, states.Record]
    measured: tuple[Measured, ...]
    alone: tuple[str, ...]

    @property
    def newest(self) -> str:
        """The last state that has rows; empty where no order is known."""
        return self.order.revisions[-1] if self.order.revisions else ""

    @cached_property
    def at(self) -> dict[str, Row]:
        """Revision, step and date of every state."""
        known = states.dates(self.records)
        return {
            name: {"revision": name, "step": checkpoints.step(name), "date": known.get(name)}
            for name in self.order.revisions
        }

    def places(self, one: Measured) -> list[tuple[str, int]]:
        """The states that a measure has, in order, each with its index in the arrays."""
        index = {name: number for number, name in enumerate(one.revisions)}
        return [(name, index[name]) for name in self.order.revisions if name in index]

    @cached_property
    def levels(self) -> pd.DataFrame:
        """Every measure at every state: the mean over the same languages everywhere."""
        rows = [row for one in self.measured for row in self._levels(one)]
        frame = pd.DataFrame(rows, columns=[*LEVELS, *MADE_OF])
        low, high, _ = from_errors(frame["value"], error=frame["error"], df=frame["df"])
        n = frame["n"].to_numpy(float)
        ends = wilson(frame["hits"].to_numpy(float), n=n)
        frame["low"], frame["high"] = np.where(n > 0, ends[0], low), np.where(n > 0, ends[1], high)
        return typed(frame[LEVELS])

    @cached_property
    def untested(self) -> pd.DataFrame:
        """Every change since the last state and against the best before, not yet corrected.

        The best is chosen among `candidates`: its interval and p hold for whichever was chosen.
        """
        rows = [row for one in self.measured for row in self._changes(one)]
        frame = pd.DataFrame(rows, columns=[*CHANGES, *MADE_OF])
        of = frame["candidates"].where(frame["against"] == BEST, 1).astype(float)
        return typed(_tested(frame, of=of)[CHANGES])

    @cached_property
    def changes(self) -> pd.DataFrame:
        """Every change, corrected over all of them."""
        return correct(self.untested) if len(self.untested) else self.untested

    @cached_property
    def now(self) -> pd.DataFrame:
        """The changes of the newest state, corrected over these alone; empty where it has none.

        `boot_low` and `boot_high` are the ends of the hierarchical bootstrap over languages and
        items, of changes since the last state.
        """
        return self.at_state(self.newest)

    def at_state(self, revision: str) -> pd.DataFrame:
        """As `now`, of any state."""
        own = self.untested[self.untested["revision"] == revision].reset_index(drop=True)
        if own.empty:
            return own
        ends = [self._boot(row) for row in own.to_dict("records")]
        return correct(own).assign(
            boot_low=[low for low, _ in ends], boot_high=[high for _, high in ends]
        )

    @cached_property
    def cuts(self) -> pd.DataFrame:
        """Where measures change their level; `slope` where a steady course fits better.

        The first cut of each measure is corrected by Holm's method over the measures, those inside
        its parts by their number (`segments.further`).
        """
        found = [(one, *self._means(one)) for one in self.measured]
        draws = segments.draws_for(len(found))
        firsts = [segments.split(values, draws=draws) for _, _, values in found]
        tested = [nan if cut is None else cut.p for cut in firsts]
        tests = sum(p == p for p in tested)
        corrected = correct(pd.DataFrame({"p": tested}))["p_corrected"] if tests else tested
        rows: list[Row] = []
        for (one, names, values), first, p in zip(found, firsts, corrected, strict=True):
            if first is None or not p < segments.LEVEL:
                continue
            inner = segments.further(values, first, p=float(p), tests=tests, draws=draws)
            for cut, own in sorted([(first, float(p)), *inner], key=lambda pair: pair[0].place):
                rows.append(
                    one.place._asdict() | self.at[names[cut.place]] | {"states": len(names)}
                    | {"before": cut.before, "after": cut.after, "p": cut.p, "p_corrected": own,
                       "slope": cut.slope}
                )  # fmt: skip
        return typed(pd.DataFrame(rows, columns=CUTS))

    @property
    def long(self) -> bool:
        """Whether any measure has states enough for a change of level to be found."""
        return any(len(self._means(one)[0]) >= segments.FEWEST for one in self.measured)

    @cached_property
    def by_language(self) -> pd.DataFrame:
        """The newest state's change in every language, corrected over all of them."""
        rows = [row for one in self.measured for row in self._by_language(one)]
        frame = pd.DataFrame(rows, columns=[*BY_LANGUAGE, *MADE_OF])
        of = pd.Series(1.0, frame.index)
        return correct(_tested(frame, of=of)[BY_LANGUAGE]) if rows else frame[BY_LANGUAGE]

    def _means(self, one: Measured) -> tuple[list[str], np.ndarray]:
        """The states that have a mean, and the means."""
        known = [(name, one.levels[state].mean) for name, state in self.places(one)]
        known = [(name, value) for name, value in known if value == value]
        return [name for name, _ in known], np.array([value for _, value in known])

    def _levels(self, one: Measured) -> list[Row]:
        """The rows of a measure."""
        rows: list[Row] = []
        for name, state in self.places(one):
            found, (hits, n) = one.levels[state], one.hits(state) or (0.0, 0.0)
            rows.append(
                self.at[name] | one.place._asdict()
                | {"languages": found.n, "value": found.mean, "cut": one.cut[state],
                   "note": _left_out(one, state), "error": found.error, "df": found.df,
                   "hits": hits, "n": n}
            )  # fmt: skip
        return rows

    def _changes(self, one: Measured) -> list[Row]:
        """The rows of a measure."""
        rows: list[Row] = []
        known = self.places(one)
        means = np.array([one.levels[state].mean for _, state in known])
        for number in range(1, len(known)):
            name, state = known[number]
            compared = [(LAST, *known[number - 1])]
            before = means[:number]
            candidates = int((~np.isnan(before)).sum())
            if one.best and candidates > 1 and means[number] == means[number]:
                compared.append((BEST, *known[int(np.nanargmax(before))]))
            for against, other, place in compared:
                row = self.at[name] | one.place._asdict() | {"against": against, "other": other}
                rows.append(row | {"candidates": candidates} | _moved(one, place, state))
        return rows

    def _boot(self, row: Mapping[object, object]) -> tuple[float, float]:
        """The ends of the bootstrap of a change since the last state, of a measure with items."""
        place = Place(*(str(row[name]) for name in PLACE))
        (one,) = (one for one in self.measured if one.place == place)
        if one.grid is None or row["against"] != LAST:
            return nan, nan
        old, new = (one.grid[one.revisions.index(str(row[name]))] for name in ("other", "revision"))
        found = hierarchical_bootstrap(new - old)
        return found.low, found.high

    def _by_language(self, one: Measured) -> list[Row]:
        """The rows of a measure, if the newest state has it."""
        known = self.places(one)
        if len(known) < 2 or known[-1][0] != self.newest:
            return []
        (other, before), (_, after) = known[-2:]
        rows: list[Row] = []
        for code, change in one.changes(before, after).items():
            found = two_way.over_items(change[None])
            row = one.place._asdict() | {"other": other, "language": code, "items": len(change)}
            row |= {"change": found.mean, "test": found.test, "error": found.error, "df": found.df}
            row |= {"note": "" if found.error == found.error else NOTHING_VARIES, "n": 0}
            if one.grid is None:
                row |= {"items": 0, "test": "", "error": nan, "note": "one number: no test"}
            elif one.share:
                row |= {"gained": int((change > 0).sum()), "lost": int((change < 0).sum())}
                row |= {"n": len(change), "test": MCNEMAR, "note": ""}
            rows.append(row)
        return rows


def courses(material: Material) -> list[Course]:
    """Every model of which several states have been measured, by name."""
    found: dict[str, list[Measured]] = {}
    for one in material.get(measures):
        found.setdefault(one.place.model, []).append(one)
    records = material.get(watched).records
    return [
        made
        for model, own in sorted(found.items())
        if (made := course(model, own, records=states.of_model(records, model))) is not None
    ]


def course(
    model: str, measured: Iterable[Measured], *, records: Mapping[str, states.Record]
) -> Course | None:
    """A model along its training; None where only one state of it was run."""
    every = list(measured)
    there = sorted({name for one in every for name in one.revisions})
    if len(there) < 2:
        return None
    known = {name: date for name, date in states.dates(records).items() if name in there}
    order = checkpoints.ordered(there, dates=known)
    several, alone = [], []
    for one in every:
        own = [name for name in order.revisions if name in one.revisions]
        if len(own) > 1:
            several.append(one)
        elif own:
            alone.append(f"{one.place.text} ({own[0]})")
    return Course(
        model=model, order=order, records=records, measured=tuple(several), alone=tuple(alone)
    )


def watched(material: Material) -> states.Watched:
    """What `watch.json` of the runs says."""
    return states.watched(material.rows.sources)


def _left_out(one: Measured, state: int) -> str:
    """Why a state has no mean, or no interval; empty where it has."""
    used, languages = one.used
    held = int((~np.isnan(one.values[state])).sum())
    if not languages.any():
        return "no language that all states have"
    if not used[state]:
        return f"{held} of {len(one.languages)} languages: in no mean"
    found = one.levels[state]
    if found.error == found.error or one.hits(state):
        return ""
    return _no_test(one, found)


def _no_test(one: Measured, mean: two_way.Mean) -> str:
    """Why a mean has no error."""
    if one.grid is not None:
        return NOTHING_VARIES
    if one.pairs is not None and mean.n < 3:
        return "fewer than 3 languages: no test"
    return "one language: no test" if mean.n == 1 else NOTHING_VARIES


def _moved(one: Measured, before: int, after: int) -> Row:
    """What a change is, and what is needed to test it; a missing number has its reason."""
    found = one.moved(before, after)
    mean, note = found.mean, ""
    if not mean.n:
        note = f"no {'language' if one.grid is None else 'item'} in common"
    elif not found.counted and mean.error != mean.error:
        note = _no_test(one, mean)
    return {
        "languages": mean.n, "items": found.items, "before": found.before, "after": found.after,
        "change": mean.mean, "test": mean.test, "note": note, "error": mean.error, "df": mean.df,
        "gained": found.gained, "lost": found.lost, "n": found.items if found.counted else 0,
    }  # fmt: skip


def _tested(frame: pd.DataFrame, *, of: pd.Series) -> pd.DataFrame:
    """The frame with `low`, `high` and `p` of every change, chosen among `of`."""
    low, high, p = from_errors(frame["change"], error=frame["error"], df=frame["df"], of=of)
    n, gained, lost = (frame[name].to_numpy(float) for name in ("n", "gained", "lost"))
    ends = counted(gained, lost, n=n, of=of)
    exact = np.minimum(1.0, of * mcnemar(frame["gained"], frame["lost"]))
    made = {"low": (low, ends[0]), "high": (high, ends[1]), "p": (p, exact)}
    return frame.assign(
        **{name: np.where(n > 0, own, usual) for name, (usual, own) in made.items()}
    )


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Steps as whole numbers that may be missing, dates to the minute."""
    dates = pd.to_datetime(frame["date"], utc=True).dt.strftime("%Y-%m-%d %H:%M")
    known = dates.astype(object).where(dates.notna(), None)
    return frame.assign(step=frame["step"].astype("Int64"), date=known)
