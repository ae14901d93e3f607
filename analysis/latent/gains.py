"""Paired t-tests over languages of what steering changes, corrected over their table."""

from collections.abc import Mapping

import pandas as pd

from analysis.latent import frames
from analysis.latent.facts import text
from analysis.layout import tables
from analysis.layout.exhibit import Exhibit, Table
from analysis.layout.material import Material
from analysis.questions.compare import compare
from analysis.results.answers import SERIES
from analysis.results.steering import OUTCOMES

SETTING = ["layer", "coefficient"]


def gains(material: Material) -> pd.DataFrame:
    """One row per series, layer, coefficient and outcome: the change over languages, each the mean
    of its draws, Student's paired t, and p corrected over all rows."""
    found = material.get(frames.steered)
    if found.empty:
        return found
    columns = [column for name in OUTCOMES for column in (f"plain_{name}", name)]
    means = found.groupby([*SERIES, *SETTING, "language"], sort=True)[columns].mean().reset_index()
    parts = [
        means[[*SERIES, *SETTING, "language"]].assign(
            outcome=name, answers=answers, value=means[column]
        )
        for name in OUTCOMES
        for answers, column in (("plain", f"plain_{name}"), ("steered", name))
    ]
    return compare(
        pd.concat(parts, ignore_index=True), "value", condition="answers", before="plain",
        after="steered", unit=("language",), by=(*SERIES, *SETTING, "outcome"), test="paired t",
    )  # fmt: skip


def _known(material: Material) -> pd.DataFrame:
    """The rows that have a test."""
    found = material.get(gains)
    return found[found["p"].notna()] if len(found) else found


def _shown(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Changes for people."""
    held = tables.with_label(found).rename(
        columns={"mean_before": "plain", "mean_after": "steered", "estimate": "change",
                 "p_corrected": "q_p"}
    )  # fmt: skip
    places = ["label", "benchmark", *tables.several(held, ["prompt", "pivot", "switches"])]
    ends = [
        f"[{low:+.3f}, {high:+.3f}]" for low, high in zip(held["low"], held["high"], strict=True)
    ]
    columns = [*places, *SETTING, "outcome", "n", "plain", "steered", "change", "t", "p", "q_p"]
    return held[columns].reset_index(drop=True), pd.DataFrame({"change": ends})


def _facts(material: Material) -> Mapping[str, object]:
    """How many tests there are, and how many are clear."""
    found = material.get(_known)
    return {"tests": len(found), "clear": int((found["p_corrected"] < 0.05).sum())}


GAINS = Exhibit(
    name="Gains over languages", title="is the mean change over languages clear of none?",
    empty="Empty: no steered answers in two languages or more (--part steering).",
    parts=(
        Table(
            name="steering_gains", fill=_known, shown=_shown, caption=text("steering_gains"),
            facts=_facts, heads={"q_p": "p, Holm", "n": "languages"}, most=24,
        ),
    ),
    files={"steering_gains_all": gains},
)  # fmt: skip
