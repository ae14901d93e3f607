"""The tables of the DALI study, one frame each: levels by layer, scores and what they go with.

A transfer success is an item that the pivot and the language answer right, a failure one that the
pivot answers right and the language wrong. Alignment and answers are joined by model, revision,
benchmark, language and item; the prompt of the answers is a condition, never mixed with another.
"""

from functools import partial
from math import nan
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.layout.material import Fill, Material
from analysis.questions.covariates import facts
from analysis.results import option_alignment
from analysis.results.answers import SERIES, Bools, Texts
from analysis.results.option_alignment import (
    DALI,
    MEASURES,
    MEXA,
    STRONG,
    Aligned,
    kappa,
)
from analysis.statistics import correlate
from analysis.statistics.intervals import student, wilson

Floats = npt.NDArray[np.float64]

# The rules of the paper, whose gaps and correlations are tested.
TESTED = (DALI, STRONG, MEXA)
ALL, SUCCESSES, FAILURES = "all", "EC-XC", "EC-XW"
GROUPS = (ALL, SUCCESSES, FAILURES)
PAIR = ["model", "revision", "benchmark", "language"]
POOLS = ("max", "mean")
LEVELS = [*SERIES, "language", "measure", "items", "layer", "inner", "n", "share", "low", "high",
          "chance", "kappa"]  # fmt: skip


class Judged(NamedTuple):
    """A cell of alignment with the answers to its items under one prompt, NaN without an answer.

    Attributes:
        cell: the alignment.
        prompt: the prompt of the answers, empty without any.
        own: whether the language answers right [I]; `pivot` the same of the pivot.
        confidence: the pivot's score of the right option less its highest wrong one's [I].
        chance: the share of items that guessing answers right.
    """

    cell: Aligned
    prompt: str
    own: Floats
    pivot: Floats
    confidence: Floats
    chance: float

    @property
    def place(self) -> dict[str, Any]:
        """The series."""
        names = {name: getattr(self.cell, name) for name in SERIES if name != "prompt"}
        return {name: names.get(name, self.prompt) for name in SERIES}

    @property
    def succeeded(self) -> Bools:
        """Both right [I]."""
        found: Bools = (self.pivot == 1) & (self.own == 1)
        return found

    @property
    def failed(self) -> Bools:
        """The pivot right, the language wrong [I]."""
        found: Bools = (self.pivot == 1) & (self.own == 0)
        return found

    def items(self, group: str) -> Bools | None:
        """The items of a group; None for all."""
        return {ALL: None, SUCCESSES: self.succeeded, FAILURES: self.failed}[group]


def cells(material: Material) -> option_alignment.Cells:
    """Every cell of alignment."""
    found = option_alignment.cells(material.rows.sources)
    kept = [one for one in found.kept if material.has((one.model, one.revision))]
    return found._replace(kept=kept)


def answers(material: Material) -> pd.DataFrame:
    """Every answer of the plain model."""
    return material.here(option_alignment.plain(material.rows.sources))


def judged(material: Material) -> list[Judged]:
    """Every cell, once for each prompt that both languages were asked with, or without answers."""
    found = material.get(answers)
    table: dict[tuple[object, ...], dict[str, pd.DataFrame]] = {}
    for (model, revision, benchmark, language, prompt), group in found.groupby(
        [*PAIR, "prompt"], sort=True
    ):
        place = model, revision, benchmark, language
        table.setdefault(place, {})[str(prompt)] = group.set_index("item")
    made = []
    for cell in material.get(cells).kept:
        where = cell.model, cell.revision, cell.benchmark
        own, there = (table.get((*where, language), {}) for language in (cell.language, cell.pivot))
        prompts = [prompt for prompt in own if prompt in there]
        for prompt in prompts:
            of_own, of_pivot = (_at(one[prompt], cell.items) for one in (own, there))
            made.append(
                Judged(
                    cell, prompt, of_own["correct"].to_numpy(float),
                    of_pivot["correct"].to_numpy(float), of_pivot["margin"].to_numpy(float),
                    float(of_own["chance"].mean()),
                )
            )  # fmt: skip
        if not prompts:
            nothing = np.full(len(cell.items), nan)
            made.append(Judged(cell, "", nothing, nothing, nothing, nan))
    return made


def answered(material: Material) -> list[Judged]:
    """The cells that have answers."""
    return [one for one in material.get(judged) if one.prompt]


def levels(material: Material) -> pd.DataFrame:
    """Share aligned by language, rule, group of items and layer, with Wilson's interval.

    `inner` layers are those that a best one is chosen from: all but the last.
    """
    parts = []
    for one in material.get(judged):
        for measure in MEASURES:
            groups = GROUPS if measure in TESTED and one.prompt else (ALL,)
            for group in groups:
                n, share = one.cell.share(measure, one.items(group))
                if not n:
                    continue
                low, high = wilson(share * n, n=np.full(len(share), float(n)))
                chance = one.cell.chance(measure, one.items(group))
                rows = pd.DataFrame(
                    {"layer": one.cell.layers, "inner": one.cell.inner, "n": n, "share": share,
                     "low": low, "high": high, "chance": chance,
                     "kappa": kappa(share, chance=chance)}
                )  # fmt: skip
                where: dict[str, Any] = {
                    "language": one.cell.language, "measure": measure, "items": group
                }  # fmt: skip
                parts.append(rows.assign(**one.place, **where))
    return pd.concat(parts, ignore_index=True)[LEVELS] if parts else pd.DataFrame(columns=LEVELS)


def level_curves(material: Material) -> pd.DataFrame:
    """Means of the levels over languages with Student's interval, of the share and of kappa."""
    places = [*SERIES, "measure", "items", "layer", "inner"]
    grouped = material.get(levels).groupby(places, sort=False, dropna=False)
    found = grouped[["share", "chance", "kappa"]].mean()
    found.insert(0, "languages", grouped.size())
    for name, ends in (("share", ("low", "high")), ("kappa", ("kappa_low", "kappa_high"))):
        low, high, _ = student(found[name], sd=grouped[name].std(), n=found["languages"])
        found[ends[0]], found[ends[1]] = low, high
    return found.reset_index()


def level_table(material: Material) -> pd.DataFrame:
    """One row per series, language and rule: the highest share over the inner layers, and there
    kappa and the null controls."""
    found = material.get(levels)
    own = found[(found["items"] == ALL) & found["inner"]]
    if own.empty:
        return own
    places = [*SERIES, "language", "measure"]
    ordered = own.sort_values([*places, "share", "layer"], ascending=[True] * 8 + [False, True])
    best = ordered.drop_duplicates(places).drop(columns=["items", "inner"])
    means = own.groupby(places, dropna=False)["share"].mean().rename("mean_over_layers")
    best = best.merge(means.reset_index(), on=places)
    for null in option_alignment.NULLS:
        values = own.loc[own["measure"] == null, [*SERIES, "language", "layer", "share"]]
        best = best.merge(
            values.rename(columns={"share": null}), how="left", on=[*SERIES, "language", "layer"]
        )
    return best[~best["measure"].isin(option_alignment.NULLS)].reset_index(drop=True)


def scores(material: Material) -> pd.DataFrame:
    """By series, language, rule and pooling over the inner layers: `score` and `accuracy`."""
    rows = []
    for one in material.get(answered):
        for measure in (*option_alignment.RULES, *option_alignment.REDUCED):
            n, share = one.cell.share(measure)
            if not n:
                continue
            inner = share[one.cell.inner]
            known = ~np.isnan(one.own)
            rows += [
                {**one.place, "language": one.cell.language, "measure": measure, "pool": pool,
                 "n": n, "answered": int(known.sum()), "score": float(getattr(np, pool)(inner)),
                 "accuracy": float(one.own[known].mean()) if known.any() else nan,
                 "chance": one.chance}
                for pool in POOLS
            ]  # fmt: skip
    return pd.DataFrame(rows)


def correlations(material: Material) -> pd.DataFrame:
    """Over languages, of a pooled score with accuracy: Pearson and Spearman, with intervals."""
    return _correlated(material.get(scores))


def _correlated(found: pd.DataFrame) -> pd.DataFrame:
    """The coefficients of some scores."""
    rows = []
    for place, group in (
        found.groupby([*SERIES, "measure", "pool"], sort=False, dropna=False) if len(found) else ()
    ):
        held = group.dropna(subset=["score", "accuracy"])
        x, y = held["score"].to_numpy(float), held["accuracy"].to_numpy(float)
        straight, ranked = correlate.pearson(x, y=y), correlate.spearman(x, y=y)
        mean = x.mean() if len(x) else nan
        sd = x.std(ddof=1) if len(x) > 1 else nan
        low, high, _ = student(mean, sd=sd, n=len(x))
        rows.append(
            dict(zip([*SERIES, "measure", "pool"], place, strict=True))
            | straight._asdict()
            | {f"spearman_{name}": value for name, value in ranked._asdict().items()}
            | {"mean_score": mean, "mean_low": float(low), "mean_high": float(high)}
        )
    return pd.DataFrame(rows)


def resource_correlations(material: Material) -> pd.DataFrame:
    """As `correlations`, among the languages of each `resource` group apart: a correlation over all
    of them may be that of two groups, with none inside either."""
    found = material.get(scores)
    if found.empty:
        return found
    found = found.assign(resource=found["language"].map(_resource))
    parts = []
    for group, own in found.groupby("resource", sort=True):
        parts.append(_correlated(own).assign(resource=group))
    return pd.concat(parts, ignore_index=True)


def _resource(code: str) -> str:
    """Whether much or little is written in a language, by its class of Joshi et al. (2020)."""
    found = facts(code)
    known = found.resource if found else None
    if known is None:
        return "not listed"
    return "high (classes 3 to 5)" if known >= 3 else "low (classes 0 to 2)"


def known(fill: Fill, *columns: str) -> Fill:
    """The rows of a frame that have a number in one of some columns."""
    return partial(_known, fill=fill, columns=columns)


def _known(material: Material, *, fill: Fill, columns: tuple[str, ...]) -> pd.DataFrame:
    found = material.get(fill)
    return found[found[list(columns)].notna().any(axis="columns")] if len(found) else found


def only(fill: Fill, column: str, value: str) -> Fill:
    """The rows of a frame with one value in a column."""
    return partial(_only, fill=fill, column=column, value=value)


def _only(material: Material, *, fill: Fill, column: str, value: str) -> pd.DataFrame:
    found = material.get(fill)
    return found[found[column] == value] if len(found) else found


def _at(rows: pd.DataFrame, items: Texts) -> pd.DataFrame:
    """The answers to some items, NaN where there is none."""
    return rows.reindex(list(items))[["correct", "margin", "chance"]].astype(float)
