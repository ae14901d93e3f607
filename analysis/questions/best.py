"""The best of many settings, chosen on some items and reported on others.

The highest of many noisy numbers is too high. So items (or languages, or both) are halved by what
identifies them, never row by row: a parallel item is in the same half in every language. One half
chooses, the other reports, and this is done for several halves.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.questions.answer import Correction
from analysis.questions.compare import answered, beside, in_words, listed
from analysis.questions.paired_tests import Row
from analysis.questions.pairs import Floats, Wholes, counted, dense
from analysis.questions.settings import Swept, swept
from analysis.statistics.bootstrap import clustered
from analysis.statistics.intervals import Tested

Split = Literal["items", "languages", "both"]
SPLITS: tuple[Split, ...] = get_args(Split)
# Of what is halved; two on either side have a spread.
FEWEST = 4
ASSUMES: dict[Split, str] = {
    "items": "the claim is about these languages and new items; other languages may be luckier "
    "with another setting (split='languages')",
    "languages": "the claim is about these items and new languages",
    "both": "the claim is about new languages and new items, each independent draws",
}
HELD: dict[Split, str] = {
    "items": "items", "languages": "languages", "both": "languages and items",
}  # fmt: skip
NUMBERS = (
    *("estimate", "low", "high", "p", "estimated"),
    *("frequency", "choosing_half", "optimism"),
)
CHOICES = ("chosen", "splits", "frequency", "choosing_half", "held_out", "optimism")
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    """What every setting [K] changes in the units [n] that all settings have."""

    asked: dict[str, object]
    settings: list[dict[str, object]]
    values: Floats
    languages: Wholes
    items: Wholes
    left_out: str


class _Choice(NamedTuple):
    """One choice: the setting's place, its mean on the choosing half, and what the other says."""

    place: int
    choosing: float
    held: Tested


def best(
    rows: pd.DataFrame,
    value: str,
    *,
    setting: Sequence[str] = ("layer", "coefficient"),
    unit: Sequence[str] = ("language", "item"),
    baseline: Mapping[str, object] | None = None,
    by: Sequence[str] = (),
    split: Split = "items",
    splits: int = 50,
    lowest: bool = False,
    language: str = "language",
    correction: Correction = "holm",
    seed: int = 0,
) -> pd.DataFrame:
    """What the best setting changes on units that did not choose it.

    Example:
        >>> best(items, "correct", by=("model", "benchmark"))

    On one half the setting with the highest mean over languages of the mean change is chosen; on
    the other half that setting is tested, by Student's t over what was halved (`clustered t` of
    `compare` where both were). Over several halves the estimate is the mean of what the other
    halves say; p is twice their median p, and the interval goes from the median of the lower to
    that of the upper ends of their 97.5 % intervals, which holds for any dependence of the halves
    (Meinshausen, Meier and Buehlmann 2009, equation 2.3 with the median).

    Args:
        rows: as of `sweep`, as are `value`, `setting`, `unit`, `baseline` and `by`.
        split: what is halved. Items: the languages are the same on both sides, and the claim is
            about them. Languages: the items are the same on both sides. Both: neither is.
        splits: how many halves; with 1 p and interval are its own.
        lowest: whether the lowest change is the best.
        language: the column of languages.
        correction: of all p-values of the table.
        seed: of the halves, which depend on nothing else but the units' names.

    Returns:
        One row for each question: `by`, `value`, and in `setting` the one most often chosen, with
        `frequency`, the share of halves that chose it. `estimate` is the change on the halves that
        did not choose, whichever setting the other chose. `choosing_half` is the change on those
        that did, `optimism` the difference. `naive` is the best change on all units, which all
        chose it. `n` counts the units, those that every setting has.

    Raises:
        ValueError: as of `sweep`, or `split` or `splits` is not what it can be.
    """
    combined = "" if splits == 1 else f", twice the median p of {splits} splits"
    found: list[Row] = []
    for changes, made, note in _chosen(
        rows, value, setting=setting, unit=unit, baseline=baseline, by=by, split=split,
        splits=splits, lowest=lowest, language=language, seed=seed,
    ):  # fmt: skip
        place, row = _reported(made, splits=splits)
        everywhere = _means(changes, np.ones((1, len(changes.items)), bool))[:, 0]
        said = changes.settings[place] if made else dict.fromkeys(listed(setting))
        notes = (note, row.pop("note", ""), changes.left_out)
        asked = changes.asked | {"value": value} | said
        row |= {
                "naive": (min if lowest else max)(everywhere) if made else nan,
                "settings": len(changes.settings), "splits": splits, "n": len(changes.items),
                "test": f"Student's t on held-out {HELD[split]}{combined}",
                "assumes": ASSUMES[split],
                "note": "; ".join(str(one) for one in notes if one),
            }  # fmt: skip
        found.append(beside(asked, row))
    return answered(found, asked=[*listed(by), "value", *listed(setting)], correction=correction)


def choices(
    rows: pd.DataFrame,
    value: str,
    *,
    setting: Sequence[str] = ("layer", "coefficient"),
    unit: Sequence[str] = ("language", "item"),
    baseline: Mapping[str, object] | None = None,
    by: Sequence[str] = (),
    split: Split = "items",
    splits: int = 50,
    lowest: bool = False,
    language: str = "language",
    seed: int = 0,
) -> pd.DataFrame:
    """How often `best` chooses each setting, and what its halves say of it; arguments as there.

    Returns:
        One row for each question and setting that was chosen, the most frequent first: `chosen`
        times of all `splits`, `frequency`, the mean change on the halves that chose it
        (`choosing_half`) and on the others (`held_out`), and the difference, `optimism`. Nothing is
        tested, so there is no p.

    Raises:
        ValueError: as of `best`.
    """
    found: list[dict[str, object]] = []
    for changes, made, _ in _chosen(
        rows, value, setting=setting, unit=unit, baseline=baseline, by=by, split=split,
        splits=splits, lowest=lowest, language=language, seed=seed,
    ):  # fmt: skip
        for place, times in Counter(one.place for one in made).most_common():
            own = [one for one in made if one.place == place]
            on = float(np.mean([one.choosing for one in own]))
            off = float(np.mean([one.held.estimate for one in own]))
            asked = changes.asked | {"value": value} | changes.settings[place]
            counts = {"chosen": times, "splits": splits, "frequency": times / splits}
            means = {"choosing_half": on, "held_out": off, "optimism": on - off}
            found.append(beside(asked, counts | means))
    return pd.DataFrame(found, columns=[*listed(by), "value", *listed(setting), *CHOICES])


def _chosen(
    rows: pd.DataFrame, value: str, *, setting: Sequence[str], unit: Sequence[str],
    baseline: Mapping[str, object] | None, by: Sequence[str], split: Split, splits: int,
    lowest: bool, language: str, seed: int,
) -> Iterator[tuple[_Changes, list[_Choice], str]]:  # fmt: skip
    """Every question with the choices of all its halves, or without any and why.

    Raises:
        ValueError: units have not what is to be halved, or options are not what they can be.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; choose of {', '.join(SPLITS)}")
    if splits < 1:
        raise ValueError(f"splits is {splits}; give 1 or more")
    has = {"languages": language in listed(unit), "items": bool({*listed(unit)} - {language})}
    lacking = [one for one in has if split in (one, "both") and not has[one]]
    if lacking:
        raise ValueError(
            f"split={split!r} halves {lacking[0]}, and the unit ({', '.join(listed(unit))}) has "
            f"none; give unit=({language!r}, 'item'), or another split"
        )
    for question in swept(
        rows, value, setting=setting, unit=unit, baseline=baseline, by=by, language=language
    ):
        changes = _shared(question)
        note = _too_few(changes, split=split)
        made = [] if note else list(_choices(changes, split, splits, lowest, seed))
        yield changes, made, note


def _shared(question: Swept) -> _Changes:
    """The changes of all settings in the units that every one of them has."""
    each = [pairs.numbers for _, pairs in question.settings]
    numbers, times = np.unique(np.concatenate(each), return_counts=True)
    shared = numbers[times == len(each)]
    left_out = [question.left_out] if question.left_out else []
    if len(shared) < len(numbers):
        named, fewest = min(question.settings, key=lambda one: len(one[1].old))
        left_out.append(
            f"{counted(len(numbers) - len(shared), 'unit')} of {len(numbers)} that some setting "
            f"lacks left out; fewest ({len(fewest.old)}) has "
            f"{in_words(named).removeprefix(' at ')}"
        )
    units = question.settings[0][1].units
    # A column for each: ties of settings fall as the last bits of products of this layout do.
    values = np.column_stack(
        [pairs.changes[np.isin(pairs.numbers, shared)] for _, pairs in question.settings]
    )
    return _Changes(
        asked=question.asked, settings=[named for named, _ in question.settings],
        values=values.T, languages=dense(units.languages[shared]),
        items=dense(units.items[shared]), left_out="; ".join(left_out),
    )  # fmt: skip


def _too_few(changes: _Changes, *, split: Split) -> str:
    """Why nothing can be chosen, or ""."""
    if not len(changes.items):
        return "no estimate: no unit has all settings and the plain model"
    for name, numbers in (("items", changes.items), ("languages", changes.languages)):
        count = len(np.unique(numbers))
        if split in (name, "both") and count < FEWEST:
            return f"no estimate: {counted(count, name.removesuffix('s'))}, halves take {FEWEST}"
    return ""


def _choices(
    changes: _Changes, split: Split, splits: int, lowest: bool, seed: int
) -> Iterator[_Choice]:
    """What every half chooses, and what the other says of it."""
    random = np.random.default_rng(seed)
    masks = [_halves(changes, split, random) for _ in range(splits)]
    means = _means(changes, np.array([choosing for choosing, _ in masks]))
    for place, own, (_, held) in zip(
        (-means if lowest else means).argmax(axis=0), means.T, masks, strict=True
    ):
        told = clustered(
            changes.values[place, held], languages=changes.languages[held],
            items=changes.items[held], over=split, level=0.95 if splits == 1 else 0.975,
        )  # fmt: skip
        yield _Choice(int(place), float(own[place]), told)


def _halves(changes: _Changes, split: Split, random: np.random.Generator) -> tuple[Bools, Bools]:
    """Which units choose and which report; a unit in neither has one side of either."""
    choosing = held = np.ones(len(changes.items), bool)
    for name, numbers in (("items", changes.items), ("languages", changes.languages)):
        if split in (name, "both"):
            names = np.unique(numbers)
            first = np.isin(numbers, random.permutation(names)[: len(names) // 2])
            choosing, held = choosing & first, held & ~first
    return choosing, held


def _means(changes: _Changes, masks: Bools) -> Floats:
    """The mean over languages of every setting [K, S] on the units of every mask [S, n]."""
    one_of = np.eye(int(changes.languages.max(initial=0)) + 1)[changes.languages]
    counts = masks @ one_of
    weights = masks / np.maximum(1, counts)[:, changes.languages]
    found: Floats = changes.values @ weights.T / np.maximum(1, (counts > 0).sum(axis=1))
    return found


def _reported(made: Sequence[_Choice], *, splits: int) -> tuple[int, Row]:
    """The place chosen most often, and the numbers of all halves together."""
    if not made:
        return 0, dict.fromkeys(NUMBERS, nan)
    place, times = Counter(one.place for one in made).most_common(1)[0]
    held = np.array([one.held[:4] for one in made])
    estimate, choosing = float(held[:, 0].mean()), float(np.mean([one.choosing for one in made]))
    row: Row = {
        "estimate": estimate, "low": nan, "high": nan, "p": nan,
        "estimated": "change on the halves that did not choose", "frequency": times / splits,
        "choosing_half": choosing, "optimism": choosing - estimate,
    }  # fmt: skip
    known = ~np.isnan(held[:, 3])
    if not known.any():
        return place, row | {"note": "no p and no interval: the held-out changes are all the same"}
    low, high = np.median(held[known, 1:3], axis=0)
    ps = np.where(known, held[:, 3], 1.0)
    row |= {"low": low, "high": high, "p": min(1.0, np.median(ps) * (1 if splits == 1 else 2))}
    if not known.all():
        row["note"] = f"{counted(int((~known).sum()), 'split')} without a p, counted as 1"
    elif times < splits / 2:
        row["note"] = "no setting is chosen in half of the splits"
    return place, row
