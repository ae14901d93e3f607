"""The page of the CLAS study: which neurons serve which languages, and does rescaling them help?

Source: "CLAS: Cross-Lingual Activation Steering" (arXiv 2601.16390).
"""

import pandas as pd

from analysis.clas import controls, facts, frames, pictures, scores
from analysis.clas.facts import text
from analysis.layout import tables
from analysis.layout.exhibit import StudyPage, Table, Topic
from analysis.layout.material import Material
from analysis.layout.page import Main
from analysis.layout.prose import line
from analysis.results.answers import SERIES
from analysis.results.scaled import CLAS, INTMU, RANDOM
from analysis.shared import quality

CHECKS = (
    quality.Check(
        facts=facts.not_above_chance, weak=text("near_chance"), fine=text("near_chance")
    ),
    quality.Check(facts=facts.cut, weak=text("cut"), fine=quality.NOT_CUT),
    quality.Check(
        facts=facts.uneven, weak=text("uneven"),
        fine="Every language of a benchmark has the same number of held-out items.",
    ),
    quality.Check(facts=facts.refused, weak=text("refused")),
    quality.Check(facts=facts.repeated, weak=text("repeated")),
)  # fmt: skip
TOPICS = (
    Topic(title="Neurons and their categories", parts=(pictures.FIGURE_1, pictures.STABILITY)),
    Topic(title="Held-out answers", parts=(scores.TABLE_1, scores.TABLE_2, scores.TABLE_3)),
    Topic(
        title="Controls",
        parts=(controls.EVERY, controls.CHOICE, controls.PRIOR, controls.ANCHOR,
               controls.INTMU_VALUES, controls.WRITING),
    ),
    Topic(title="Strengths, on tuning items", parts=(pictures.FIGURE_5, pictures.FIGURE_6)),
    Topic(
        title="Likeness to the anchor",
        parts=(pictures.FIGURES_2_AND_8, pictures.FIGURE_3, pictures.FIGURE_7, pictures.FIGURE_4),
    ),
    Topic(
        title="Material and checks",
        parts=(
            *quality.FAILURES,
            quality.checked(CHECKS),
            Table(
                name="every_language", fill=frames.levels,
                shown=lambda found: scores.named(
                    found, "language", "metric", "n", "value", "chance", "p_above"
                ),
                caption="The plain model in every language, held-out items: {{ rows }} rows",
                heads={"value": "percent", "p_above": "p above chance"}, decimals=2, most=0,
            ),
        ),
    ),
)  # fmt: skip


def main(material: Material) -> Main | None:
    """Base, the gain of CLAS with its interval, its place among random neurons, and Int-mu."""
    levels = frames.metric_of(material.get(frames.levels))
    if levels.empty:
        return None
    means = frames.metric_of(material.get(frames.means))
    chance = material.get(frames.chance)
    chance = chance[chance["control"] == RANDOM]
    rows = []
    for place, base in levels.groupby([*SERIES, "metric"], sort=True, dropna=False):
        named = dict(zip([*SERIES, "metric"], place, strict=True))
        own = means[(means[list(named)] == list(named.values())).all(axis="columns")]
        drawn = chance[(chance[list(named)] == list(named.values())).all(axis="columns")]
        gains = {
            scheme: own[own["scheme"] == scheme].iloc[0]
            for scheme in (CLAS, INTMU) if (own["scheme"] == scheme).any()
        }  # fmt: skip
        clas = gains.get(CLAS)
        steered = base[base["language"] != base["pivot"]]["value"]
        rows.append(
            named
            | {"languages": str(len(steered)), "base": f"{float(steered.mean()):.2f}"}
            | {"strength": "-" if clas is None else scores.signed(clas["shared"])}
            | {"CLAS": _gain(clas), "Int-mu": _gain(gains.get(INTMU))}
            | {"above random": f"{100 * drawn['percentile'].iloc[0]:.0f} %" if len(drawn) else "-"}
        )  # fmt: skip
    held = tables.with_label(pd.DataFrame(rows))
    frame = pd.DataFrame({"model": held["label"], "benchmark": held["benchmark"]})
    for name in frames.CONDITIONS:
        if held.groupby(["label", "benchmark"])[name].nunique().max() > 1:
            frame[name] = held[name]
    frame["metric"] = held["metric"].map(frames.METRICS)
    texts = tuple(frame.columns)
    shown = ["languages", "base", "strength", "CLAS", "above random", "Int-mu"]
    frame[shown] = held[shown]
    return Main(title=line(text("terminal_title")), caption=line(text("terminal")), frame=frame,
                texts=texts)  # fmt: skip


def _gain(row: pd.Series | None) -> str:
    """A gain with the interval of the bootstrap."""
    if row is None:
        return "-"
    if row["idle"]:
        return "unchanged"
    low, high = row["boot_low"], row["boot_high"]
    ends = f" [{low:+.2f}, {high:+.2f}]" if low == low else ""
    return f"{row['change']:+.2f}{ends}"


PAGE = StudyPage(
    study="clas",
    title="CLAS: which neurons serve which languages, and does rescaling them help?",
    prose="clas.jinja", facts=facts.facts, topics=TOPICS,
    files={
        "gains_by_language": frames.gains, "gains_over_languages": frames.means,
        "plain_by_language": frames.levels,
    },
    main=main, no_main="no held-out answers: --part steering computes them",
    lead_figure="controls",
    paper=(
        scores.TABLE_1, scores.TABLE_2, scores.TABLE_3, pictures.FIGURE_1,
        pictures.FIGURES_2_AND_8, pictures.FIGURE_3, pictures.FIGURE_4, pictures.FIGURE_5,
        pictures.FIGURE_6, pictures.FIGURE_7,
    ),
)  # fmt: skip
