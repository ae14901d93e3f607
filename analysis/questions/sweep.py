"""Dose and response: what every setting of an intervention changes against the plain model."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.questions.answer import Correction
from analysis.questions.compare import answered, beside, listed
from analysis.questions.paired_tests import How, Row, Test, chosen_tests, tested
from analysis.questions.settings import swept
from analysis.statistics.bootstrap import DRAWS


def sweep(
    rows: pd.DataFrame,
    value: str,
    *,
    setting: Sequence[str] = ("layer", "coefficient"),
    unit: Sequence[str] = ("language", "item"),
    baseline: Mapping[str, object] | None = None,
    by: Sequence[str] = (),
    test: Test | tuple[Test, ...] | None = None,
    margin: float | None = None,
    language: str = "language",
    correction: Correction = "holm",
    seed: int = 0,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """What each setting changes: one row per setting, corrected over the whole table.

    Example:
        >>> sweep(items, "correct", by=("model", "benchmark"))

    No setting is chosen here. Whoever takes the highest of the table takes its luck as well: that
    row says so, and `best` chooses on one half of the items and reports on the other.

    Args:
        rows: one row per unit and setting, and those of the plain model.
        value: the column that may change: numbers, or True and False.
        setting: columns that together are a setting.
        unit: columns that identify an observation of one setting.
        baseline: values that the plain model's rows have, such as {"coefficient": 0}; by default
            its rows are those without any setting. Where they have a value of `by` or of `setting`
            (coefficient 0 at layer 5), they are set beside rows of that value alone.
        by: columns that split the rows into separate questions.
        test: as of `compare`; by default `clustered t` where units are items of languages, else
            `paired t`.
        margin: as of `compare`.
        language: the column of languages. An item that several languages have is one parallel item.
        correction: of all p-values of the table.
        seed: of what is drawn.
        draws: how many.

    Returns:
        One row for each question, setting and test: `by`, `value`, `setting`, and then as
        `compare`.

    Raises:
        ValueError: as of `compare`, or there is no plain row.
    """
    unit, setting, by = listed(unit), listed(setting), listed(by)
    nested = language in unit and len(unit) > 1
    how = How(margin=margin, draws=draws, seed=seed)
    asked_for: Test | tuple[Test, ...] = test or ("clustered t" if nested else "paired t")
    tests = chosen_tests(asked_for, how=how, unit=unit, language=language)
    found: list[Row] = []
    for question in swept(
        rows, value, setting=setting, unit=unit, baseline=baseline, by=by, language=language
    ):
        made: list[Row] = [
            beside(question.asked | {"value": value} | named, tested(pairs, test=one, how=how))
            for named, pairs in question.settings
            for one in tests
        ]
        for one in tests:
            _mark_ends([row for row in made if row["test"] == one])
        for row in made:
            row["note"] = "; ".join(str(x) for x in (row["note"], question.left_out) if x)
        found += made
    return answered(found, asked=[*by, "value", *setting], correction=correction)


def _mark_ends(rows: list[Row]) -> None:
    """Say of the highest and the lowest of several settings that they were looked for."""
    known = [row for row in rows if row["estimate"] == row["estimate"]]
    numbers = np.array([row["estimate"] for row in known], dtype=float)
    if len(numbers) < 2:
        return
    for place, word in ((numbers.argmax(), "highest"), (numbers.argmin(), "lowest")):
        row = known[place]
        too = "high" if word == "highest" else "low"
        said = (
            f"the {word} of {len(numbers)} settings on the same units, probably too {too}: see best"
        )
        row["note"] = "; ".join(str(one) for one in (said, row["note"]) if one)
