"""Two conditions over the same units: what changed, with its interval, p, and effect sizes."""

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.questions.answer import ANSWER, Correction, answer, groups, require
from analysis.questions.conditions import Conditions
from analysis.questions.paired_tests import How, Row, Test, chosen_tests, tested
from analysis.questions.pairs import Units, counted
from analysis.statistics.bootstrap import DRAWS


def compare(
    rows: pd.DataFrame,
    value: str,
    *,
    condition: str,
    before: object,
    after: object = None,
    unit: Sequence[str] = ("language",),
    by: Sequence[str] = (),
    test: Test | tuple[Test, ...] = "paired t",
    margin: float | None = None,
    language: str = "language",
    correction: Correction = "holm",
    seed: int = 0,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """What changes from one condition to another over the same units.

    Example:
        >>> compare(cells, "accuracy", condition="scheme", before="plain", after="clas",
        ...         by=("model", "benchmark"), test=("paired t", "wilcoxon"))

    Tests, each with the estimate that its p is about (column `estimated`); all intervals are 95 %:

    - `paired t`: the mean change, Student. Effect sizes `d_z` and `d_av`, Hedges' correction in
      both (Cumming 2012; Algina and Keselman 2003).
    - `wilcoxon`: the pseudomedian (Hodges and Lehmann 1963), signed ranks, exact up to 50 units
      without ties. Effect size `rank_biserial` (Kerby 2014), without interval.
    - `mcnemar`: the change of a share, of values 0 and 1; exact p, interval of Agresti and Min
      (2005). Effect sizes `cohens_g` and `odds_ratio`, exact intervals (Clopper and Pearson 1934).
    - `bootstrap`: the mean change, bootstrap-t over units (Efron and Tibshirani 1993).
    - `hierarchical bootstrap`: the mean over languages of the mean change over items, both drawn
      anew, an item in all languages that have it at once (Owen 2007); p and interval are Student's
      t by the error of the draws, `percentile_low` and `percentile_high` the plain percentiles.
    - `clustered t`: the same mean, its error over languages and over items by a formula (Cameron,
      Gelbach and Miller 2011): no draws, any number of settings.
    - `equivalence`: the mean change; p is that it lies beyond -margin or margin (two one-sided
      tests, Schuirmann 1987). Below .05 the interval `low_90` to `high_90` is inside the margin.
    - `levene`: the change of the mean distance from the median (Brown and Forsythe 1974).
    - `pitman-morgan`: the ratio of standard deviations, after over before; 1 is no change (Pitman
      1939, Morgan 1939).

    Args:
        rows: one row per unit and condition, and more where `by` or `unit` tells them apart.
        value: the column that is compared: numbers, or True and False.
        condition: the column that holds the two conditions.
        before: its value in the rows that are compared with; None for rows that have none.
        after: its value in the other rows; None for every other value, one after another.
        unit: columns that identify an observation, such as ("language", "item").
        by: columns that split the rows into separate questions.
        test: one or several; each has a row of its own, and all are corrected together.
        margin: of `equivalence`, in units of the value.
        language: the column of languages. An item that several languages have is one parallel item.
        correction: of all p-values of the table; `holm`, `benjamini-hochberg` or `none`.
        seed: of what is drawn.
        draws: how many, 200 at least.

    Returns:
        One row for each question, condition after, and test: `by`, `value`, `condition`, `before`,
        `after`, the columns of every answer, `mean_before`, `mean_after`, `estimated`, and the
        columns of the tests. `n` counts the units that have both values; `note` says which were
        left out, and why a number is missing.

    Raises:
        ValueError: columns are missing, a condition has no row, a unit has several rows, or values
            or options are not what a test takes.
    """
    unit, by = listed(unit), listed(by)
    check_asked([*by, *CONDITION], unit=unit, by=by)
    require(rows, [*by, *unit], role="units and questions")
    require(rows, [condition, value], role="condition and value")
    if condition in (*by, *unit):
        raise ValueError(f"{condition} is the condition: it cannot be in by or unit as well")
    how = How(margin=margin, draws=draws, seed=seed)
    tests = chosen_tests(test, how=how, unit=unit, language=language)
    # An index of places tells rows, and is never called as a column is.
    rows = rows.reset_index(drop=True)
    units = Units(rows, value=value, unit=unit, language=language)
    conditions = Conditions.of(rows[condition], before=before, after=after)
    found: list[Row] = []
    for asked, group in groups(rows[list(by)], by):
        at = group.index.to_numpy()
        unnamed = conditions.unnamed(at)
        for other, changed in conditions.others(at):
            pairs = units.pairs(
                at[conditions.plain[at]], changed,
                where=in_words(asked | {condition: f"{before} or {other}"}),
            )  # fmt: skip
            said = {"value": value, "condition": condition, "before": before, "after": other}
            for one in tests:
                row = beside(asked | said, tested(pairs, test=one, how=how))
                if unnamed:
                    row["note"] = _and(row["note"], f"{counted(unnamed, 'row')} without "
                                       f"{condition} left out")  # fmt: skip
                found.append(row)
    return answered(found, asked=[*by, *CONDITION], correction=correction)


CONDITION = ("value", "condition", "before", "after")


def answered(rows: Sequence[Row], *, asked: Sequence[str], correction: Correction) -> pd.DataFrame:
    """The answer of some rows, with whatever columns of their own they have."""
    own = dict.fromkeys(name for row in rows for name in row)
    extra = [name for name in own if name not in (*asked, *ANSWER)]
    return answer(rows, asked=asked, correction=correction, extra=extra)


def listed(columns: Sequence[str]) -> tuple[str, ...]:
    """Names of columns; a single one may come as it is."""
    return (columns,) if isinstance(columns, str) else tuple(columns)


def check_asked(asked: Sequence[str], *, unit: Sequence[str], by: Sequence[str]) -> None:
    """Refuse names that would stand twice in an answer, or that split units into questions.

    Raises:
        ValueError: there is such a name, or no unit.
    """
    if not unit:
        raise ValueError("no column identifies a unit; give unit=('language',), for example")
    twice = sorted({name for name in asked if name in ANSWER or list(asked).count(name) > 1})
    if twice:
        raise ValueError(
            f"{twice[0]} would stand twice in the answer: rename that column, or name it once"
        )
    both = [name for name in by if name in unit]
    if both:
        raise ValueError(f"{both[0]} is in by and in unit: it either splits or is a unit's own")


def beside(asked: Mapping[str, object], row: Mapping[str, object]) -> Row:
    """What was asked, and the answer to it.

    Raises:
        ValueError: a column that was asked by is called as one of the answer.
    """
    twice = [name for name in asked if name in row]
    if twice:
        raise ValueError(f"{twice[0]} would stand twice in the answer: rename that column")
    return {**asked, **row}


def in_words(asked: dict[str, object]) -> str:
    """A question, behind what is said of it."""
    return f" at {', '.join(f'{name}={held}' for name, held in asked.items())}" if asked else ""


def _and(note: object, more: str) -> str:
    """A note with one more reason."""
    return f"{note}; {more}" if note else more
