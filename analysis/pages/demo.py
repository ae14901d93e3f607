"""The page of the demo: the NeuronXA questions asked of the embedded world and its models.

The one idea: none of it is in the paper, so the cross-model table comes first and nothing is set
beside printed values.
"""

from analysis.page import Page, Section, shown
from analysis.pages import coefficients, layer_figures, retrieval_tables, training_figures
from analysis.pages.material import material
from analysis.pages.neuronxa import common, page
from analysis.read import Rows
from analysis.scores import with_short_switches

TITLE = "The demo: do languages that agree inside a model also score alike?"


def build(rows: Rows) -> Page:
    """What the demo's rows can show."""
    found = material(rows)
    layers = [
        layer_figures.figure_2(found),
        layer_figures.figure_1(with_short_switches(rows.points)),
    ]
    over_training = training_figures.exhibits(found)
    retrieval = retrieval_tables.exhibits(found)
    exhibits = [exhibit for exhibit in (*layers, *over_training, *retrieval) if exhibit.parts]
    sections = (
        Section(title="Scores against accuracy", parts=coefficients.parts(found, collapsed=False)),
        shown("Inside the models", [exhibit for exhibit in layers if exhibit.parts]),
        shown("Over training", [exhibit for exhibit in over_training if exhibit.parts]),
        shown("Retrieval", [exhibit for exhibit in retrieval if exhibit.parts]),
        *common(found),
    )
    return page(found, title=TITLE, sections=sections, exhibits=exhibits)
