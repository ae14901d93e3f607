"""The page of the NeuronXA study: do alignment scores go with accuracy, language by language?

Source: "From Neurons to Semantics" (ACL 2025, arXiv 2507.14900).
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from analysis import published
from analysis.layout import compared
from analysis.layout.exhibit import Beside, Exhibit, StudyPage, Template, Topic
from analysis.layout.material import Fill, Material, last
from analysis.layout.prose import Block
from analysis.neuronxa import pivots as other
from analysis.neuronxa import tables as ours
from analysis.neuronxa.causes import CAUSES
from analysis.read import label
from analysis.results import retrieval as retrieving
from analysis.shared import checks, coefficients, headline, languages, layers, quality, robustness
from analysis.shared.training import FIGURE_3, FIGURE_4

text = partial(Block, "neuronxa.jinja")
RETRIEVAL = "--part retrieval"
PIVOT_FLAGS = "--pivot eng_Latn,deu_Latn,fra_Latn,ita_Latn --parallel flores200 --benchmark "
PAIR_FLAGS = "--part pairs --pair deu_Latn:fra_Latn ..., or all of them with --paper"
FOUND = text("retrieval")
OTHER_PIVOT = text("other_pivot")
NOT_HERE = "{% if left %}Not here: {{ what }}{{ left | listed }} ({{ flags }}).{% endif %}"
NO_TASKS = "no model has scores and accuracies for these tasks ({})."
RANKS = (published.DETAILED, *retrieving.REPRESENTATIONS.values(), *retrieving.DIRECTIONS.values())
RANKS += other.OTHER_PIVOTS
PIVOT_RANKS = (published.DETAILED, *other.PIVOTS)
FIVE_FLAGS = f"{RETRIEVAL} --parallel flores200 --pivot {','.join(other.OTHER_PIVOTS)}"
SIX_FLAGS = f"{PIVOT_FLAGS}harness/m_arc,harness/m_mmlu,harness/belebele"
SEVEN_FLAGS = f"--part scores,transfer {PIVOT_FLAGS}bmlama53"


def _correlations(table: ours.Table) -> Exhibit:
    """A printed table of correlations."""
    return Exhibit(
        name=f"Table {table.number}",
        title=table.title,
        empty=f"Empty: no model has both scores and accuracies here ({table.flags}).",
        lacking=NOT_HERE,
        facts=lambda material: {
            "what": "",
            "left": table.lacking(material),
            "flags": f"the whole table: {table.flags}",
        },
        parts=(
            Beside(
                name=f"table_{table.number}",
                fill=table.fill,
                published=table.printed,
                caption=text("correlation"),
                facts=lambda material: {
                    "in_paper": bool(set(material.get(table.ours).models) & set(published.COLUMNS)),
                    "repeated": table.number == 9,
                },
                order=table.in_order,
                columns=table.columns,
            ),
            Beside(
                name=f"table_{table.number}_plain_accuracy",
                fill=table.plain_accuracy,
                caption=text("plain_accuracy"),
                collapsed=True,
            ),
        ),
    )


def _sizes(frame: pd.DataFrame, by: str) -> dict[str, object]:
    """How many languages each group has."""
    return {"sizes": [f"{count} {name}" for name, count in frame.groupby(by)["n"].max().items()]}


def _averages(material: Material) -> dict[str, object]:
    """The scores of Table 10 without an average."""
    found = material.get(ours.averages)
    lacking = found.loc[found["value"].isna(), "measure"]
    return {"left": sorted(lacking, key=ours.COMPARED.index)}


def _printed(
    number: int, title: str, fill: Fill, printed: Fill, *, caption: Template, empty: str,
    flags: str, wanted: Iterable[str], within: str = "column", what: str = "",
    files: Mapping[str, Fill] | None = None, **shown: Any,
) -> Exhibit:  # fmt: skip
    """A printed table of something else; the `wanted` values of the column `within` are its own."""
    table = Beside(name=f"table_{number}", fill=fill, published=printed, caption=caption, **shown)

    def facts(material: Material) -> dict[str, object]:
        there = set(material.get(fill)[within])
        left = [one for one in dict.fromkeys(wanted) if one not in there]
        return {"what": what, "left": left, "flags": flags}

    return Exhibit(
        name=f"Table {number}", title=title, parts=(table,), empty=f"Empty: {empty}",
        lacking=NOT_HERE, facts=facts, files=files or {},
    )  # fmt: skip


TABLES = {table.number: _correlations(table) for table in ours.TABLES}
TABLES[1] = _printed(
    1, "retrieval of translations by embeddings and neuron states", other.english_table,
    other.english_beside, caption=FOUND, wanted=published.retrieval()["column"], decimals=1,
    empty=f"no scores over all sentence pairs ({RETRIEVAL} --parallel flores200 or tatoeba).",
    flags=f"{RETRIEVAL} --parallel flores200, and again with tatoeba",
    facts=lambda material: _sizes(material.get(other.from_english), "column"),
    files={"table_1_layers": other.from_english},
    order=lambda joined: compared.ranked(joined, RANKS),
)  # fmt: skip
TABLES[2] = _printed(
    2, "NASCA between pairs of languages", other.language_pairs, other.pairs_beside,
    caption=text("table_2"),
    wanted=other.printed_pairs()["pair"], within="pair", flags=PAIR_FLAGS,
    empty=f"none of its pairs of languages was compared ({PAIR_FLAGS}).",
    order=other.pairs_in_order,
)  # fmt: skip
TABLES[5] = _printed(
    5, "retrieval with French, Italian and German as pivot", other.others_table,
    other.others_beside, caption=FOUND, wanted=other.OTHER_PIVOTS, within="pivot", what="pivot ",
    empty=f"no such pivot was run ({FIVE_FLAGS}).", flags=FIVE_FLAGS, decimals=1,
    facts=lambda material: _sizes(material.get(other.from_others), "group"),
    files={"table_5_layers": other.from_others},
    order=lambda joined: compared.ranked(joined, RANKS),
    columns=lambda frame, printed: sorted(
        dict.fromkeys([*printed["column"], *frame["column"]]),
        key=lambda column: "long-tail" in column,
    ),
)  # fmt: skip
TABLES[6] = _printed(
    6, "other pivots: average of m-ARC, m-MMLU and Belebele", other.pivot_averages,
    other.pivot_averages_beside, caption=OTHER_PIVOT, empty=NO_TASKS.format(SIX_FLAGS),
    wanted=published.pivot_correlations().query("table == 6")["pivot"], what="pivot ",
    flags=SIX_FLAGS, order=lambda joined: compared.ranked(joined, PIVOT_RANKS),
)  # fmt: skip
TABLES[7] = _printed(
    7, "other pivots: XNLI and BMLAMA-53", other.pivot_tasks, other.pivot_tasks_beside,
    caption=OTHER_PIVOT, empty=NO_TASKS.format(SEVEN_FLAGS), wanted=("eng_Latn", "deu_Latn"),
    within="pivot", what="pivot ", flags=SEVEN_FLAGS,
    order=lambda joined: compared.ranked(joined, PIVOT_RANKS),
)  # fmt: skip
TABLES[10] = Exhibit(
    name="Table 10", title="averages of Tables 8 and 9 over their tasks",
    empty="Empty: it averages Tables 8 and 9, and neither has all of its tasks.",
    lacking="{% if left %}Not here in full: {{ left | listed }}.{% endif %}", facts=_averages,
    parts=(
        Beside(
            name="table_10", fill=ours.averages_if_any, published=ours.printed_averages,
            caption="Mean over tasks of the AVG of Tables 8 and 9; intervals: languages resampled.",
            order=lambda joined: compared.ranked(joined, ours.COMPARED),
        ),
    ),
)  # fmt: skip
FIGURE_1 = Exhibit(
    name="Figure 1",
    title="sentence pairs in the plane, by embedding and by neuron state",
    empty="Empty: no sentence pairs were laid out in the plane (the table `points` has no rows).",
    parts=layers.IN_THE_PLANE,
)
FIGURE_2 = Exhibit(
    name="Figure 2",
    title="scores by layer",
    empty="Empty: no alignment scores were computed.",
    parts=layers.BY_LAYER,
)
FILES = {
    "correlations": "correlations", "scores": "scores", "accuracies": "accuracies",
    "robustness_all": "rows.robustness",
}  # fmt: skip
# The sections that any page over these rows ends with.
COMMON = (
    Topic(title="How much to trust it", parts=(*robustness.PARTS, *checks.PARTS)),
    Topic(title="Every language", parts=languages.PARTS),
    Topic(title="Data quality and failures", parts=quality.PARTS),
)
TOPICS = (
    Topic(title="Scores against accuracy", parts=[TABLES[number] for number in (4, 3, 8, 9, 10)]),
    Topic(title="All models at once", parts=(CAUSES,)),
    Topic(title="Retrieval and pairs of languages", parts=[TABLES[number] for number in (1, 5, 2)]),
    Topic(title="Other pivots, other sentences", parts=[TABLES[number] for number in (6, 7, 11)]),
    Topic(title="Inside the models", parts=(FIGURE_2, FIGURE_1)),
    Topic(title="Over training", parts=(FIGURE_3, FIGURE_4)),
    Topic(title="Every coefficient", parts=coefficients.parts(collapsed=True)),
    *COMMON,
)


def _facts(material: Material) -> dict[str, object]:
    """The numbers of the summary, and which of the models the paper has."""
    frame = last(material.on_terms if len(material.on_terms) else material.scores)
    states = sorted(set(zip(frame["model"], frame["revision"], strict=True)))
    names = {state: published.column(state[0], revision=state[1]) for state in states}
    return {
        **headline.facts(material),
        "known": [f"{label(a, revision=b)} ({names[a, b]})" for a, b in states if names[a, b]],
        "unknown": [label(a, revision=b) for a, b in states if not names[a, b]],
    }


PAGE = StudyPage(
    study="neuronxa", title="NeuronXA: do languages that agree inside a model also score alike?",
    prose="neuronxa.jinja", facts=_facts, topics=TOPICS, files=FILES, main=coefficients.main,
    no_main=coefficients.NO_MAIN, lead_table="cross_model", lead_figure="scatter",
    paper=(
        *(TABLES[number] for number in sorted(TABLES)),
        FIGURE_1, FIGURE_2, FIGURE_3, FIGURE_4,
    ),
)  # fmt: skip
