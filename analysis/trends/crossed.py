"""What a notification needs: which measures moved since the state before, and by more than what.

A threshold is a measure, perhaps of one benchmark, and a number with its sign: `nasca -0.05` is
crossed where NASCA fell by more than 0.05, `accuracy/belebele +0.02` where accuracy on Belebele
rose by more than 0.02, and a number without a sign either way. Without a benchmark or data set it
is of each that the measure has. Numbers are in the units of the measure, so accuracies are shares.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from analysis import read
from analysis.layout.material import Material
from analysis.questions.answer import correct
from analysis.read import listed
from analysis.trends.course import CHANGES, LAST, courses

WRITTEN = re.compile(r"(?P<name>\S(?:.*[^\s+-])?)\s+(?P<by>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE]-?\d+)?)")
FOUND = [*CHANGES, "p_corrected", "correction"]


class Threshold(NamedTuple):
    """By how much a measure may move; `of` is a benchmark or data set, empty for each of them.

    `by` has the sign of the movement that counts, and counts both ways where `either` is true.
    """

    measure: str
    of: str
    by: float
    either: bool

    def crosses(self, change: float) -> bool:
        """Whether a change is larger; one of exactly that size is not, nor one that is missing."""
        if self.either:
            return abs(change) > abs(self.by)
        return change > self.by if self.by > 0 else change < self.by


def threshold(text: str) -> Threshold:
    """Read `MEASURE -NUMBER`, `MEASURE/BENCHMARK +NUMBER` or one without a sign.

    Raises:
        ValueError: it is written in no such way, or the number is 0.
    """
    found = WRITTEN.fullmatch(text.strip())
    if found is None or float(found["by"]) == 0:
        raise ValueError(
            f"no threshold can be read from {text!r}: expected a measure and a number other than "
            "0, such as 'nasca -0.05' (fell by more than 0.05), 'accuracy/belebele +0.02' or "
            "'consistency 0.1' (either way)"
        )
    measure, _, of = found["name"].partition("/")
    return Threshold(measure.strip().lower(), of.strip(), float(found["by"]),
                     either=found["by"][0] not in "+-")  # fmt: skip


def changes(
    runs: Sequence[Path | str], *, model: str | None = None, revision: str | None = None
) -> pd.DataFrame:
    """What every measure did since the state before and against the best before.

    A pure function of the rows of some runs (and of the dates in `watch.json`, where names of
    revisions hold no step). One row per measure and comparison: revision, step, date, model,
    measure, of (the benchmark or data set), conditions, against (`last` or `best`), other (the
    state compared with), candidates (states the best was chosen among), languages, items, before,
    after, change, low, high, p, p_corrected (Holm over all rows returned), test, note.

    Args:
        runs: folders of runs, or s3:// addresses.
        model: as the rows name it; None for all.
        revision: one state; None for all of them.

    Returns:
        No rows where a model has one state alone, or where the state shares nothing with another.

    Raises:
        ValueError: there is no run, or a shard of it is damaged.
    """
    parts = [
        one.untested
        for one in courses(Material(read.rows(runs)))
        if (model is None or one.model == model) and len(one.untested)
    ]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=CHANGES)
    if revision is not None:
        found = found[found["revision"] == revision].reset_index(drop=True)
    if found.empty:
        return found.reindex(columns=FOUND)
    return correct(found)


def crossed(found: pd.DataFrame, thresholds: Iterable[str]) -> pd.DataFrame:
    """The changes since the state before that are larger than a threshold allows.

    A pure function of rows of `changes`. Size alone counts; `p_corrected` beside it says how easily
    chance explains it.

    Args:
        found: rows of `changes`.
        thresholds: as `threshold` reads them.

    Returns:
        Rows of `found` with `threshold`, the text of the one that was crossed.

    Raises:
        ValueError: a threshold cannot be read, or names what none of the rows measure.
    """
    since = found[found["against"] == LAST]
    parts = [since.iloc[:0].assign(threshold="")]
    for text in thresholds:
        limit = threshold(text)
        own = since[since["measure"].str.lower() == limit.measure]
        if limit.of:
            own = own[own["of"] == limit.of]
        if own.empty and len(since):
            there = sorted(set(since["measure"] + "/" + since["of"]))
            raise ValueError(
                f"nothing here is called {limit.measure}{'/' if limit.of else ''}{limit.of} "
                f"(threshold {text!r}); these rows have {listed(there)}"
            )
        moved = [limit.crosses(change) for change in own["change"]]
        parts.append(own[moved].assign(threshold=text))
    return pd.concat(parts, ignore_index=True)
