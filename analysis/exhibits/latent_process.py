"""The page of the latent-process study: where inside a model do languages part, and does it cost?

Source: "Language-specific latent process hinders cross-lingual performance" (arXiv 2505.13141).
"""

import pandas as pd

from analysis.latent import facts, frames, states, steered, transfer
from analysis.latent import log_ratio as ratios
from analysis.latent.facts import text
from analysis.latent.gains import GAINS
from analysis.layout import tables
from analysis.layout.exhibit import Exhibit, StudyPage, Table, Topic
from analysis.layout.material import PAIR, Material
from analysis.layout.page import Main
from analysis.layout.prose import line, number
from analysis.results import log_ratio
from analysis.results.latent import LATENT, SERIES_OF_MEASURE
from analysis.results.log_ratio import USUAL
from analysis.shared import quality

MOST_ROWS = 12
TABLE_3 = Exhibit(
    name="Table 3", title="the prompts", empty="Empty: nothing was asked.",
    parts=(
        Table(
            name="prompts", fill=frames.prompts,
            caption=text("prompts"),
        ),
    ),
)  # fmt: skip
CHECKS = (
    quality.Check(
        facts=facts.not_above_chance,
        weak=text("not_above_chance"),
        fine=text("not_above_chance_fine"),
    ),
    quality.Check(
        facts=facts.cut,
        weak=text("cut"),
        fine=quality.NOT_CUT,
    ),
    quality.Check(
        facts=facts.dropped,
        weak=text("dropped"),
        fine="Every option text that was read has a finite log-probability.",
    ),
    quality.Check(
        facts=facts.uneven,
        weak=text("uneven"),
        fine="Every language of a benchmark has the same number of items.",
    ),
    quality.Check(facts=facts.ties, weak=facts.TIES, fine=facts.TIES),
    quality.OPTION_MASS,
    quality.Check(facts=facts.refused, weak=facts.REFUSED),
)


def _near_chance(overall: pd.DataFrame) -> pd.DataFrame:
    """Languages not above chance, by model and benchmark."""
    near = tables.with_label(overall)
    near = near.assign(near=near["languages"] - near["above"])
    return near[[*frames.PLACE, "languages", "n", "chance", "accuracy", "near"]]


def _every_language(found: pd.DataFrame) -> pd.DataFrame:
    """What is answered in every language."""
    columns = [*frames.PLACE, "language", "n", "accuracy", "low", "high", "chance"]
    columns += ["p_above_chance", "consistency", "transfer_in", "excess_in", "consistency_pivot"]
    return tables.with_label(found)[[*columns, "transfer_pivot"]]


TOPICS = (
    Topic(
        title="Output: accuracy, consistency, transfer", parts=(transfer.TABLE_1, transfer.FIGURE_1)
    ),
    Topic(
        title="Latent: the answer's text at every layer",
        parts=(ratios.FIGURE_2A, ratios.FIGURE_2B, ratios.TABLE_2),
    ),
    Topic(
        title="States: the same questions in every language",
        parts=(states.PLANE, states.SIMILARITY),
    ),
    Topic(title="Steering toward the pivot", parts=steered.FIGURES),
    Topic(title="Controls", parts=(GAINS, ratios.SHUFFLED_OPTIONS, *steered.CONTROLS)),
    Topic(title="How it was asked", parts=(TABLE_3,)),
    Topic(
        title="Material and checks",
        parts=(
            *quality.FAILURES,
            quality.checked(CHECKS),
            Table(
                name="near_chance", fill="overall", shown=_near_chance,
                caption=text("near_chance"),
                heads={"near": "not above chance"}, most=MOST_ROWS,
            ),
            Table(
                name="every_language", fill="by_language", shown=_every_language,
                caption="Every language: {{ rows }} rows", most=0,
            ),
        ),
    ),
)  # fmt: skip


def main(material: Material) -> Main | None:
    """Accuracy, consistency and transfer by model and benchmark, with the middle log ratio.

    The last is the mean over languages and over the middle half of the layers.
    """
    every = material.overall
    if every.empty:
        return None
    cells = log_ratio.over_layers(
        log_ratio.others(material.latent), series=SERIES_OF_MEASURE, columns=[USUAL]
    )
    own = cells[(cells["measure"] == LATENT) & (cells["layers"] == frames.MIDDLE)]
    middle = own.groupby(PAIR)[USUAL].mean()
    rows, near = tables.with_label(every), every["above"] * 2 <= every["languages"]
    places = rows[PAIR].itertuples(index=False, name=None)
    frame = pd.DataFrame({"model": rows["label"], "benchmark": rows["benchmark"]})
    if every["prompt"].nunique() > 1:
        frame["prompt"] = rows["prompt"]
    texts = tuple(frame.columns)
    frame["languages"] = rows["languages"].astype(str)
    frame["accuracy"] = [
        f"{number(mean)} ± {number(spread)}{' *' if weak else ''}"
        for mean, spread, weak in zip(rows["accuracy"], rows["accuracy_std"], near, strict=True)
    ]
    for head, name in (("consistency", "consistency"), ("tr+", "tr_plus"), ("tr-", "tr_minus"),
                       ("tr+ excess", "excess_plus")):  # fmt: skip
        frame[head] = rows[name].map(number)
    frame["log ratio"] = [number(float(middle.get(place, float("nan")))) for place in places]
    title = "Answers over languages, and the log ratio of native and pivot texts"
    return Main(
        title=title, caption=line(text("terminal"), near=near.any()), frame=frame, texts=texts
    )


PAGE = StudyPage(
    study="latent-process",
    title="Latent process: where do languages part inside a model, and what does it cost?",
    prose="latent_process.jinja", facts=facts.facts, topics=TOPICS,
    files={"by_language": "by_language", "overall": "overall", "pairs": "pairs"},
    main=main, no_main="no answers of the plain model: --part output computes them",
    lead_figure="log_ratio-token",
    paper=(
        transfer.TABLE_1, transfer.FIGURE_1, ratios.FIGURE_2A, ratios.FIGURE_2B, ratios.TABLE_2,
        states.PLANE, *steered.FIGURES, TABLE_3,
    ),
)  # fmt: skip
