"""Accuracy, consistency and transfer between languages: Table 1 and Figure 1 of arXiv 2505.13141.

Raw transfer rises with accuracy alone, so its excess over independence stands beside it. Where a
model's accuracies are chance's, rankings say nothing, and the row says so.
"""

from collections.abc import Iterator
from functools import partial

from analysis import published_latent
from analysis.figures import heat
from analysis.latent import facts, frames
from analysis.latent.facts import text
from analysis.layout.exhibit import Beside, Exhibit, Note, folded
from analysis.layout.material import Material, named_by
from analysis.layout.page import Part, Picture, file_name
from analysis.layout.prose import line
from analysis.results import transfer as answered

NOT_ANSWERED = "Empty: no answers of the plain model in two languages or more (--part output)."
MAPS = (
    ("tr_plus", "tr+ (share of items)", "transfer of right answers", heat.ends),
    ("excess_plus", "tr+ less the target's accuracy", "excess transfer", heat.around_zero),
)
BY_MODEL = named_by("label", "benchmark", varying=("prompt",), within=("label", "benchmark"))


def _maps(material: Material) -> Iterator[Part]:
    """Two maps per model and benchmark: the raw transfer, and its excess."""
    pictures: list[Part] = []
    several = material.get(frames.several)
    pairs = material.pairs if len(several) else material.pairs.iloc[:0]
    for said, group in BY_MODEL(material, pairs):
        crowded = group["target"].nunique() > heat.MOST_NUMBERED
        for value, bar, what, scale in MAPS:
            pictures.append(
                Picture(
                    name=file_name(value, said),
                    caption=line(text("transfer_maps"), said=said, what=what, crowded=crowded),
                    draw=partial(
                        heat.pairs, group, value=value, name=f"{said}: {what}", bar=bar,
                        scale=scale(pairs[value]),
                    ),
                    numbers=group,
                    size="tall" if crowded else "half",
                )
            )  # fmt: skip
    yield from folded(pictures)


def _refused(material: Material) -> dict[str, object] | None:
    """Pairs of languages that were not compared, and those without a value."""
    many = material.get(frames.several)
    plus, minus = int(many["undefined_plus"].sum()), int(many["undefined_minus"].sum())
    refused = answered.refusals(material.pairs)
    return {"refused": refused, "plus": plus, "minus": minus} if refused or plus + minus else None


def _printed(material: Material) -> dict[str, object]:
    """Whether any value is printed, and what would be."""
    found = material.get(frames.transfer_beside) if len(material.get(frames.transfer)) else ()
    return {
        "printed": len(found), "models": published_latent.COLUMNS,
        "benchmarks": list(published_latent.BENCHMARKS),
    }  # fmt: skip


TABLE_1 = Exhibit(
    name="Table 1", title="accuracy, consistency and transfer over languages", empty=NOT_ANSWERED,
    lacking=text("table_1_lacking"),
    facts=_printed,
    parts=(
        Beside(
            name="table_1", fill=frames.transfer, published=frames.transfer_beside,
            caption=text("table_1"),
            columns=lambda *_: list(frames.COLUMNS.values()),
        ),
        Note(
            text=text("table_1_note"),
            facts=lambda material: {"weak": material.weak.to_dict("records")}, warning=True,
        ),
        Note(text=facts.REFUSED, facts=_refused),
        Note(
            text=text("left_out"),
            facts=_refused,
        ),
    ),
)  # fmt: skip
FIGURE_1 = Exhibit(
    name="Figure 1",
    title="transfer of right answers between all languages",
    empty=NOT_ANSWERED,
    parts=(_maps,),
)
