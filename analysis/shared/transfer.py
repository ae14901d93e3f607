"""Accuracy, consistency and transfer between languages: Table 1 and Figure 1 of arXiv 2505.13141.

Raw transfer rises with accuracy alone, so its excess over independence stands beside it. Where a
model's accuracies are chance's, rankings say nothing, and the row says so.
"""

from collections.abc import Iterator
from functools import partial

from analysis import published_latent
from analysis.figures import heat
from analysis.layout import prose
from analysis.layout.exhibit import Beside, Exhibit, Note, folded
from analysis.layout.material import Material, named_by
from analysis.layout.page import Part, Picture, file_name
from analysis.results import transfer as answered
from analysis.shared import latent_facts
from analysis.shared import latent_tables as frames

NOT_ANSWERED = "Empty: no answers of the plain model in two languages or more (--part output)."
MAPS = (
    ("tr_plus", "tr+ (share of items)", "transfer of right answers", heat.ends),
    ("excess_plus", "tr+ less the target's accuracy", "excess transfer", heat.around_zero),
)
BY_MODEL = named_by("label", "benchmark", varying=("prompt",), within=("label", "benchmark"))
CAPTION = """
{{ said }}: {{ what }} from source (row) to target (column). Languages by script, then by code
(language families are not used). The diagonal and pairs without a value are grey.
{% if not crowded %}Numbers are hundredths.{% endif %}
"""


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
                    caption=prose.line(CAPTION, said=said, what=what, crowded=crowded),
                    draw=partial(
                        heat.pairs, group, value=value, name=f"{said}: {what}", bar=bar,
                        scale=scale(pairs[value]),
                    ),
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
    lacking="{% if not printed %}No value of the paper stands here, as it has none of these models "
    "on these benchmarks: its models are {{ models | join(', ') }} (--model google/gemma-2-2b-it "
    "and so on), its benchmarks {{ benchmarks | join(', ') }} (--benchmark).{% endif %}",
    facts=_printed,
    parts=(
        Beside(
            name="table_1", fill=frames.transfer, published=frames.transfer_beside,
            caption="Means over languages (accuracy, with its standard deviation, ddof 1) and over "
            "all ordered pairs of different languages. Consistency: Spearman's rho of the options' "
            "ranks; tr+: share of the items right in the source that are right in the target; tr-: "
            "share of the wrong ones with the same wrong answer. Excess: less what independent "
            "answers of the same accuracy would give. Under each value its 95 % interval over "
            "items, the printed value, and ours minus it. {{ counted }}",
            columns=lambda *_: list(frames.COLUMNS.values()),
        ),
        Note(
            text="{% for row in weak %}{{ row | on }}: nothing can be concluded from its rankings, "
            "as accuracy is {{ row.accuracy | form('.3f') }} on average where chance is "
            "{{ row.chance | form('.3f') }}, above it (one-sided binomial p < .05) in "
            "{{ row.above }} of {{ row.languages }} languages.\n\n{% endfor %}",
            facts=lambda material: {"weak": material.weak.to_dict("records")}, warning=True,
        ),
        Note(
            text=latent_facts.REFUSED + "{% if plus + minus %}Left out of the means: {{ plus }} "
            "ordered pairs whose source has no right answer (tr+), {{ minus }} whose source has "
            "no wrong one (tr-).{% endif %}",
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
