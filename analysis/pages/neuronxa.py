"""The page of the NeuronXA study: do alignment scores go with accuracy, language by language?

The one idea: every table and figure of the paper is an exhibit, filled from tidy rows or saying in
one sentence what would fill it, so a page works for one model or nine, with or without accuracies.
It does not know how a run was planned.
"""

import pandas as pd

from analysis.page import Exhibit, Page, Section, Sheet, Text, shown
from analysis.pages import (
    checks,
    coefficients,
    correlation_tables,
    languages,
    layer_figures,
    pair_table,
    pivot_tables,
    quality,
    retrieval_tables,
    robustness,
    training_figures,
    words,
)
from analysis.pages.material import Material, material
from analysis.read import Rows
from analysis.scores import with_short_switches

TITLE = "NeuronXA: do languages that agree inside a model also score alike?"


def build(rows: Rows) -> Page:
    """All tables and figures of the paper, and what they rest on."""
    found = material(rows)
    accuracy = correlation_tables.exhibits(found)
    by_number = {exhibit.name: exhibit for exhibit in accuracy}
    retrieval = retrieval_tables.exhibits(found)
    pivots = pivot_tables.exhibits(found)
    training = training_figures.exhibits(found)
    plane = layer_figures.figure_1(with_short_switches(rows.points))
    layers = layer_figures.figure_2(found)
    pairs = pair_table.exhibit(found)
    everything = [*retrieval[:1], pairs, *accuracy[:2], *retrieval[1:], *pivots, *accuracy[2:]]
    everything += [plane, layers, *training]
    main = [by_number["Table 4"], by_number["Table 3"]]
    baselines = [by_number[f"Table {number}"] for number in (8, 9, 10)]
    sections = (
        Section(
            title="What of the paper is here",
            parts=(Text(lines=(words.in_the_paper(found),)), index(everything)),
        ),
        shown("Scores against accuracy", [*main, *baselines]),
        shown("Retrieval and pairs of languages", [*retrieval, pairs]),
        shown("Other pivots, other sentences", [*pivots, by_number["Table 11"]]),
        shown("Inside the models", [layers, plane]),
        shown("Over training", training),
        Section(title="Every coefficient", parts=coefficients.parts(found, collapsed=True)),
        *common(found),
    )
    return page(found, title=TITLE, sections=sections, exhibits=everything)


def common(found: Material) -> tuple[Section, ...]:
    """The sections that any page over these rows ends with."""
    scores = found.main_scores
    return (
        Section(
            title="How much to trust it", parts=(*robustness.parts(found), *checks.parts(found))
        ),
        Section(
            title="Every language",
            parts=languages.parts(scores, accuracies=found.accuracies, headline=found.headline),
        ),
        Section(
            title="Data quality and failures",
            parts=quality.parts(found.rows, scores=scores, accuracies=found.accuracies),
        ),
        Section(title="What the numbers mean", parts=(Text(lines=words.METHODS),)),
    )


def page(
    found: Material, *, title: str, sections: tuple[Section, ...], exhibits: list[Exhibit]
) -> Page:
    """A page over these rows, with the frames that every such page keeps."""
    files = {name: frame for exhibit in exhibits for name, frame in exhibit.files.items()}
    kept = {
        "correlations": found.correlations,
        "scores": found.scores,
        "accuracies": found.accuracies,
        "robustness_all": found.rows.robustness,
    }
    return Page(
        title=title,
        summary=words.summary(found),
        warnings=words.warnings(found),
        sections=tuple(section for section in sections if section.parts),
        files=files | {name: frame for name, frame in kept.items() if len(frame)},
    )


def index(exhibits: list[Exhibit]) -> Sheet:
    """Every table and figure of the paper: filled, partly filled, or empty and why."""
    frame = pd.DataFrame(
        [
            {"exhibit": exhibit.name, "shows": exhibit.title, "here": exhibit.state}
            | {"what is missing": exhibit.missing}
            for exhibit in exhibits
        ]
    )
    filled = int((frame["here"] != "empty").sum())
    caption = f"{filled} of the paper's {len(frame)} tables and figures have values here"
    return Sheet(name="what_is_here", caption=caption, frame=frame)
