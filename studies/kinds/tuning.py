"""Cells of tuning: what each strength of rescaling does to the items it may be chosen on."""

from collections.abc import Sequence

from studies.neuron_options import Strength
from studies.spec import ModelFacts
from studies.study import Draft, one_cell
from studies.tables import (
    BENCHMARK,
    KEY,
    LANGUAGE,
    MODEL,
    PROMPT,
    STUDY,
    Table,
    double,
    int32,
    string,
)
from studies.texts import ChoiceSet, GenerationSet

VERSION = 1

STRENGTH = double(
    "shared, specific",
    "strength: the neurons of several languages are multiplied by 1 + `shared` (the paper's alpha "
    "times beta), those of one by 1 + `specific` (minus alpha times gamma)",
)
TUNING = Table(
    name="tuning",
    row="(cell, shared, specific)",
    columns=(
        STUDY,
        MODEL,
        BENCHMARK,
        LANGUAGE,
        PROMPT,
        int32("n", "number of items, none of which is reported elsewhere"),
        STRENGTH,
        string("metric", "`accuracy`, or `f1` where answers are written"),
        double("value", "the metric, 0 to 1"),
        double("macro_f1", "mean F1 of the options, 0 to 1; null where answers are written"),
        double(
            "top_share",
            "share of the items that get the most frequent answer; null where answers are written",
        ),
        KEY,
        string("switches", "how neurons are sorted and rescaled, as canonical JSON"),
    ),
    identity=("key", "shared", "specific"),
)

TABLES = (TUNING,)


def draft(
    asked: ChoiceSet | GenerationSet,
    *,
    model: ModelFacts,
    categories: str,
    strengths: Sequence[Strength],
    how: str,
) -> Draft:
    """The one cell of a language's tuning items: all strengths.

    Args:
        asked: the items.
        model: who answers.
        categories: the key of the cell whose neurons are rescaled.
        strengths: by what.
        how: every switch of sorting and rescaling, as text.
    """
    return one_cell(
        "tuning",
        asked,
        model=model,
        table="tuning",
        made=[VERSION, categories, strengths, how],
        rows=len(strengths),
        taken={"categories": categories},
        characters=asked.characters * (1 + len(strengths) // 2),
    )
