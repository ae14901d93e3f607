"""The page of the DALI study: do single answers transfer from English, and does alignment say so?

Source: "Can you map it to English?" (arXiv 2504.09378), its abstract and its released code.
"""

import pandas as pd

from analysis.dali import (
    alignment,
    facts,
    frames,
    gap_frames,
    patch_frames,
    patching,
    regressions,
    steering,
)
from analysis.dali.text import text, varying
from analysis.layout import tables
from analysis.layout.exhibit import Exhibit, StudyPage, Table, Topic
from analysis.layout.material import Material
from analysis.layout.page import Main
from analysis.layout.prose import line, number
from analysis.results.answers import SERIES
from analysis.results.option_alignment import DALI
from analysis.shared import quality
from analysis.statistics.scores import LEVEL

CHECKS = (
    quality.Check(
        facts=facts.not_above_chance, weak=text("near_chance"), fine=text("near_chance")
    ),
    quality.Check(facts=facts.cut, weak=text("cut"), fine=quality.NOT_CUT),
    quality.Check(
        facts=facts.undefined, weak=text("undefined"),
        fine="Every margin of DALI is defined: no state is a zero vector.",
    ),
    quality.Check(
        facts=facts.uneven, weak=text("uneven"),
        fine="Every language of a benchmark has the same number of items.",
    ),
    quality.Check(
        facts=facts.unanswered, weak=text("unanswered"),
        fine="Every aligned item is answered in both languages.",
    ),
    quality.Check(facts=facts.repeated, weak=text("repeated")),
)  # fmt: skip
TRANSLATIONS = Exhibit(
    name="Translation quality", title="alignment against the quality of the model's translations",
    empty=text("no_translations"), parts=(),
)  # fmt: skip


def _accuracies(found: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by language for people."""
    held = tables.with_label(found)
    columns = [
        "label",
        "benchmark",
        *varying(held),
        "language",
        "n",
        "accuracy",
        "chance",
        "p",
        "pivot_accuracy",
    ]
    return held[columns]


TOPICS = (
    Topic(
        title="Alignment of options, item by item",
        parts=(alignment.LEVELS, alignment.RULES, alignment.FEWER),
    ),
    Topic(title="Successes and failures of transfer", parts=(alignment.GAPS,)),
    Topic(title="Alignment and accuracy over languages", parts=(alignment.LANGUAGES,)),
    Topic(title="States of the pivot put in", parts=patching.PARTS),
    Topic(title="Steering beside single items", parts=(steering.STEERING, steering.POINTING)),
    Topic(title="Single items, other causes considered", parts=(regressions.REGRESSIONS,)),
    Topic(title="Translations", parts=(TRANSLATIONS,)),
    Topic(
        title="Material and checks",
        parts=(
            *quality.FAILURES,
            quality.checked(CHECKS),
            Table(
                name="accuracies", fill=facts.accuracies, shown=_accuracies,
                caption="Accuracy of the plain model in every language: {{ rows }} rows",
                heads={"p": "p above chance", "pivot_accuracy": "accuracy of the pivot"}, most=0,
            ),
        ),
    ),
)  # fmt: skip


def main(material: Material) -> Main | None:
    """Accuracy, DALI, the gap, the correlation and what patching corrects, by series.

    Patched answers stand beside the alignment of the same model, benchmark and pivot, if they were
    asked with one prompt and at one site.
    """
    means = material.get(alignment.rule_means)
    if means.empty:
        return None
    rows = []
    for row in means[means["measure"] == DALI].to_dict("records"):
        of_series = {
            name: facts.matching(row, material.get(fill))
            for name, fill in (
                ("accuracy", facts.accuracies), ("gaps", gap_frames.gap_tests),
                ("r", frames.correlations),
            )
        }  # fmt: skip
        answered, gaps, r = of_series.values()
        rows.append(
            {name: row[name] for name in SERIES}
            | {"languages": str(row["languages"])}
            | {"accuracy": number(answered["accuracy"].mean()) if len(answered) else "-"}
            | {"DALI": number(row["share"]), "kappa": number(row["kappa"])}
            | {"gap": _gap(gaps), "r with accuracy": _r(r)}
            | {"corrected": _corrected(material, row)}
        )
    held = tables.with_label(pd.DataFrame(rows))
    frame = pd.DataFrame({"model": held["label"], "benchmark": held["benchmark"]})
    for name in varying(held):
        frame[name] = held[name]
    texts = tuple(frame.columns)
    shown = ["languages", "accuracy", "DALI", "kappa", "gap", "r with accuracy", "corrected"]
    frame[shown] = held[shown]
    return Main(title=line(text("terminal_title")), caption=line(text("terminal")), frame=frame,
                texts=texts)  # fmt: skip


def _gap(gaps: pd.DataFrame) -> str:
    """The mean gap of DALI over languages, and in how many it is clear."""
    own = gaps[(gaps["measure"] == DALI) & gaps["p"].notna()] if len(gaps) else gaps
    if own.empty:
        return "-"
    clear = int((own["p_bh"] < LEVEL).sum())
    return f"{own['gap'].mean():+.2f} ({clear} of {len(own)})"


def _r(found: pd.DataFrame) -> str:
    """Pearson's r of the highest share of DALI with accuracy."""
    own = found[(found["measure"] == DALI) & (found["pool"] == "max")] if len(found) else found
    return number(float(own["r"].iloc[0])) if len(own) else "-"


def _corrected(material: Material, row: dict[object, object]) -> str:
    """What the matched patch corrects on held-out items, less what a same symbol does."""
    found = material.get(patch_frames.TOGETHER["chosen"])
    if found.empty:
        return "-"
    same = ["model", "revision", "benchmark", "pivot"]
    own = found[(found[same] == [row[name] for name in same]).all(axis="columns")]
    own = own[own["rule"] == patch_frames.BEYOND]
    if len(own) != 1 or own["correction"].isna().all():
        return "-"
    first = own.iloc[0]
    return f"{first['correction']:.2f} ({first['value']:+.2f})"


PAGE = StudyPage(
    study="dali",
    title="DALI: do single answers transfer from English, and does alignment say so?",
    prose="dali.jinja", facts=facts.facts, topics=TOPICS,
    main=main, no_main="no options were compared: --part alignment computes them",
    paper=(
        alignment.LEVELS, alignment.FEWER, alignment.GAPS, alignment.LANGUAGES,
        patching.CORRECTION, patching.SYMBOLS, patching.CONTRASTS, TRANSLATIONS,
    ),
)  # fmt: skip
