"""The page of the demo: the NeuronXA questions asked of the embedded world and its models.

None of it is in the paper, so the cross-model table comes first and nothing is set beside printed
values.
"""

from dataclasses import replace

from analysis.exhibits import neuronxa
from analysis.layout.exhibit import Topic
from analysis.shared import coefficients, headline, training

PAGE = replace(
    neuronxa.PAGE, study="demo",
    title="The demo: do languages that agree inside a model also score alike?",
    facts=headline.facts,
    exhibits=(
        neuronxa.FIGURE_2, neuronxa.FIGURE_1, training.FIGURE_3, training.FIGURE_4,
        neuronxa.TABLES[1], neuronxa.TABLES[5],
    ),
    topics=lambda _: (
        Topic(title="Scores against accuracy", parts=coefficients.parts(collapsed=False)),
        Topic(title="Inside the models", exhibits=("Figure 2", "Figure 1")),
        Topic(title="Over training", exhibits=("Figure 3", "Figure 4")),
        Topic(title="Retrieval", exhibits=("Table 1", "Table 5")),
        *neuronxa.COMMON,
    ),
    index="",
)  # fmt: skip
