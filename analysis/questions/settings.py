"""Rows of a sweep: the plain model, and every setting of an intervention beside it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.questions.answer import groups, require
from analysis.questions.compare import check_asked, in_words, listed
from analysis.questions.pairs import Pairs, Units, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """One question over several settings.

    Attributes:
        asked: its values of `by`.
        settings: each setting with the units that it and the plain model have.
        left_out: what is not here, in words.
    """

    asked: dict[str, object]
    settings: list[tuple[dict[str, object], Pairs]]
    left_out: str


def swept(
    rows: pd.DataFrame,
    value: str,
    *,
    setting: Sequence[str],
    unit: Sequence[str],
    baseline: Mapping[str, object] | None,
    by: Sequence[str],
    language: str,
) -> Iterator[Swept]:
    """Every question with its settings, each against the plain model on the same units.

    A plain row that lacks a value of `by`, or of `setting`, serves every one; one that has it
    serves that one alone.

    Raises:
        ValueError: columns are missing, there is no plain row or no other, or a unit has several.
    """
    setting, unit, by = listed(setting), listed(unit), listed(by)
    if not setting:
        raise ValueError("no column tells settings apart; give setting=('layer',), for example")
    check_asked([*by, "value", *setting], unit=unit, by=by)
    require(rows, [*by, *unit], role="units and questions")
    require(rows, [*setting, value, *(baseline or ())], role="settings and value")
    clash = [name for name in setting if name in unit]
    if clash:
        raise ValueError(f"{clash[0]} is in setting and in unit: a unit is what settings share")
    # An index of places tells rows, and is never called as a column is.
    rows = rows.reset_index(drop=True)
    units = Units(rows, value=value, unit=unit, language=language)
    rows = rows[list(dict.fromkeys([*by, *setting, *(baseline or ())]))]
    is_plain = _plain(rows, setting=setting, baseline=baseline)
    plain, others = rows[is_plain], rows[~is_plain]
    unset = others[list(setting)].isna().all(axis=1)
    left_out = (
        f"{counted(int(unset.sum()), 'row')} without a setting left out" if unset.any() else ""
    )
    if unset.all():
        raise ValueError("all rows are of the plain model: there is no setting to compare with it")
    shared = [name for name in setting if name not in (baseline or {})]
    for asked, group in groups(others[~unset], by):
        own = _serving(plain, asked)
        found = []
        for named, part in groups(group, setting):
            beside = _serving(own, {name: named[name] for name in shared})
            pairs = units.pairs(
                beside.index.to_numpy(), part.index.to_numpy(), where=in_words(asked | named)
            )
            found.append((named, pairs))
        yield Swept(asked=asked, settings=found, left_out=left_out)


def _plain(
    rows: pd.DataFrame, *, setting: Sequence[str], baseline: Mapping[str, object] | None
) -> "pd.Series[bool]":
    """Which rows are the plain model's.

    Raises:
        ValueError: none is, or some have only a part of a setting.
    """
    if baseline is None:
        last = setting[-1]
        found = rows[last].isna()
        partly = found & rows[list(setting)].notna().any(axis=1)
        if partly.any():
            raise ValueError(
                f"{counted(int(partly.sum()), 'row')} without {last} are no plain model, as they "
                f"have {' or '.join(setting[:-1])}; say which rows are: baseline={{{last!r}: 0}}"
            )
        if not found.any():
            raise ValueError(
                f"no row is the plain model: all have {last}; say which rows are, as "
                f"baseline={{{last!r}: 0}}"
            )
        return found
    found = pd.Series(True, rows.index)
    for name, held in baseline.items():
        found &= rows[name].isna() if pd.isna(held) else (rows[name] == held).fillna(False)  # type: ignore[call-overload]
    if not found.any():
        named = ", ".join(f"{name}={held!r}" for name, held in baseline.items())
        raise ValueError(f"no row is the plain model: none has {named}")
    return found.astype(bool)


def _serving(plain: pd.DataFrame, values: Mapping[str, object]) -> pd.DataFrame:
    """The plain rows that have these values, or none in their place."""
    for name, held in values.items():
        plain = plain[plain[name].isna() | (plain[name] == held)]
    return plain
