"""What is wrong or weak: failures, gaps, cuts, ties, chance.

Silence must mean that a check was made and found nothing, so a check has a sentence either way.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from analysis.layout import prose
from analysis.layout.exhibit import Facts, Note, Show, Table, Template
from analysis.layout.material import Material
from analysis.layout.page import Part, Text
from analysis.layout.prose import shared
from analysis.statistics.scores import LEVEL

COORDINATES = ["table", "model", "revision", "dataset", "benchmark", "language", "error"]
ALIGNED = 0.001
MOST_FAILURES, MOST_TIES = 30, 12
Found = Mapping[str, object]


class Check(NamedTuple):
    """A check: its numbers, among them whether something is `wrong`, and a sentence either way.

    Facts of None are a check that does not apply.
    """

    facts: Facts
    weak: Template
    fine: Template = ""


def checked(checks: Sequence[Check]) -> Show:
    """Notes on the rows and what is weak, then the checks that found nothing."""

    def show(material: Material) -> Iterator[Part]:
        weak: list[str] = list(material.rows.notes)
        fine: list[str] = []
        for check in checks:
            facts = check.facts(material)
            if facts is not None and facts["wrong"]:
                weak += prose.say(check.weak, **facts)
            elif facts is not None:
                fine += prose.say(check.fine, **facts)
        if weak:
            yield Text(lines=tuple(weak), warning=True)
        if fine:
            yield Text(lines=tuple(fine))

    return show


def _failed(material: Material) -> pd.DataFrame:
    """Every failed cell, cells with the same error on one line."""
    grouped = material.rows.errors.groupby(COORDINATES, dropna=False, sort=True)
    counts = grouped.agg(cells=("key", "size"), attempts=("attempts", "max")).reset_index()
    return counts.dropna(axis="columns", how="all")


def _failures(material: Material) -> Found | None:
    """How many cells failed, where any did."""
    return {"count": len(material.rows.errors)} if len(material.rows.errors) else None


FAILURES: tuple[Show, ...] = (
    Note(text=shared("failures"), facts=_failures, warning=True),
    Note(
        text=shared("no_failures"),
        facts=lambda material: {} if material.rows.errors.empty else None,
    ),
    Table(
        name="failures", fill=_failed, caption="Failed cells: {{ count }}", facts=_failures,
        most=MOST_FAILURES,
    ),
)  # fmt: skip


def near_chance(material: Material) -> pd.DataFrame:
    """Per model and benchmark: languages, and how many are not told from chance at 5 %."""
    accuracies = material.accuracies
    tested = accuracies.assign(near=~(accuracies["p_chance"] < LEVEL))
    tested = tested[tested["main"]]
    groups = ["model", "revision", "benchmark", "prompt"]
    counts = tested.groupby(groups, sort=True)["near"].agg(["sum", "size"])
    return counts.rename(columns={"sum": "near", "size": "languages"}).reset_index()


def _chance(material: Material) -> Found | None:
    """Accuracies that chance explains: all together, and where they are half or more."""
    counts = material.get(near_chance)
    if counts.empty:
        return None
    near, tested = int(counts["near"].sum()), int(counts["languages"].sum())
    worst = counts[counts["near"] * 2 >= counts["languages"]].to_dict("records")
    return {"wrong": near > 0, "near": near, "tested": tested, "worst": worst}


def _gaps(material: Material) -> Found | None:
    """Languages whose layers are not all there."""
    scores = material.main_scores
    if scores.empty:
        return None
    partial = scores[~scores["complete"] & (scores["undefined"] == 0)]
    where = sorted(
        {
            f"{prose.model(row)} {row['measure']}: {row['language']}"
            for row in partial.to_dict("records")
        }
    )
    return {"wrong": bool(where), "where": where}


def _undefined(material: Material) -> Found | None:
    """Languages where a measure has no value at some layer."""
    scores = material.main_scores
    once = scores[(scores["layer_pool"] == "mean") & (scores["undefined"] > 0)]
    if once.empty:
        return None
    where = [
        f"{prose.model(row)} {row['measure']}: {row['language']} ({row['undefined']} layers)"
        for row in once.to_dict("records")
    ]
    return {"wrong": True, "where": where}


def _cut(material: Material) -> Found:
    """Texts that were cut to a model's context."""
    rows = material.rows
    groups = rows.alignment.groupby(["model", "revision", "dataset", "language"])
    texts, items = int(groups["truncated"].max().sum()), int(rows.items["truncated"].eq(True).sum())
    return {"wrong": bool(texts or items), "texts": texts, "items": items, "of": len(rows.items)}


def _aligned(material: Material) -> Found | None:
    """Series that are never above what similarities without information would give."""
    scores = material.main_scores
    if scores.empty:
        return None
    once = scores[(scores["layer_pool"] == "mean") & scores["p_null"].notna()]
    none = int((~(once["p_null"] < ALIGNED)).sum())
    return {"wrong": none > 0, "without": none, "of": len(once)}


def _duplicates(material: Material) -> Found | None:
    """Sentence pairs of which a text occurs more than once."""
    alignment = material.rows.alignment
    if alignment.empty:
        return None
    known = alignment.dropna(subset="duplicates")
    if known.empty:
        return {"wrong": False, "counted": False}
    sets = known.groupby(["dataset", "pivot", "language", "pairs"])[["duplicates", "n"]].max()
    repeated = sets[sets["duplicates"] > 0]
    worst = repeated.sort_values("duplicates", ascending=False, kind="stable").reset_index()
    named = [
        f"{row['language']} of {row['dataset']} {row['duplicates']:.0f} of {row['n']:.0f}"
        for row in worst.to_dict("records")
    ]
    return {
        "wrong": bool(named), "counted": True, "worst": named, "sets": len(sets),
        "repeated": len(repeated), "total": int(repeated["duplicates"].sum()),
        "pairs": int(sets["n"].sum()),
    }  # fmt: skip


def option_mass(material: Material) -> Found | None:
    """Whether options were asked as the model would write them: their probability, both ways begun.

    Under a chat template an option may follow with a space before it or without; a model that was
    asked in the way it does not write is ranked on what it holds for improbable.
    """
    known = material.rows.items.dropna(subset=["mass", "other_mass"])
    if known.empty:
        return None
    means = known.groupby(["model", "revision", "benchmark"], sort=True)[["mass", "other_mass"]]
    found = means.mean().reset_index()
    wrong = found[found["other_mass"] > found["mass"]]
    places = [
        f"{prose.on(row)} {row['mass']:.2g} against {row['other_mass']:.2g}"
        for row in (wrong if len(wrong) else found).to_dict("records")
    ]
    return {"wrong": len(wrong) > 0, "lower": len(wrong), "sets": len(found), "places": places}


OPTION_MASS = Check(
    facts=option_mass,
    weak=shared("option_mass"),
    fine=shared("option_mass_fine"),
)
NOT_CUT = "No text was cut to fit a model's context."
ALIGNED_SENTENCE = shared("aligned_sentence")
CHANCE_SENTENCE = shared("chance_sentence")
CHECKS = (
    Check(
        facts=_chance,
        weak=CHANCE_SENTENCE,
        fine=CHANCE_SENTENCE,
    ),
    Check(
        facts=_gaps,
        weak=shared("gaps"),
        fine="Every language has every layer of its series.",
    ),
    Check(
        facts=_undefined,
        weak=shared("undefined"),
    ),
    Check(
        facts=_cut,
        weak=shared("cut"),
        fine=NOT_CUT,
    ),
    Check(facts=_aligned, weak=ALIGNED_SENTENCE, fine=ALIGNED_SENTENCE),
    Check(
        facts=_duplicates,
        weak=shared("duplicates"),
        fine=shared("duplicates_fine"),
    ),
    OPTION_MASS,
)


def _ties(material: Material) -> pd.DataFrame:
    """Pairs lost to exact ties, which the strict rule counts as not aligned."""
    once = material.main_scores
    tried = once.assign(tried=once["n"] * once["layers"], tied=once["ties"] > 0)
    found = (
        tried.groupby(["model", "revision", "measure", "pooling"], sort=True)
        .agg(ties=("ties", "sum"), tried=("tried", "sum"), languages_with_ties=("tied", "sum"))
        .reset_index()
    )
    found["share_of_pairs"] = found["ties"] / found["tried"]
    return found[found["ties"] > 0].drop(columns="tried").reset_index(drop=True)


def _tie_count(material: Material) -> Found:
    """How many pairs were lost to ties."""
    return {"total": int(material.main_scores["ties"].sum())}


def _no_ties(material: Material) -> Found | None:
    """Whether scores have no tie."""
    return {} if len(material.main_scores) and not _tie_count(material)["total"] else None


PARTS: tuple[Show, ...] = (
    *FAILURES,
    checked(CHECKS),
    Table(
        name="near_chance", fill=near_chance,
        caption="Languages not distinguishable from chance, by model and benchmark",
        heads={"near": "not distinguishable"}, most=0,
    ),
    Note(text="No pair was lost to an exact tie.", facts=_no_ties),
    Table(
        name="ties", fill=_ties,
        caption=shared("ties"),
        facts=_tie_count, most=MOST_TIES,
    ),
)  # fmt: skip
