"""The page of the demo: the NeuronXA questions asked of the embedded world and its models.

None of it is in the paper, so the cross-model table comes first and nothing is set beside printed
values.
"""

from dataclasses import replace

from analysis.exhibits import neuronxa
from analysis.layout.exhibit import Topic
from analysis.neuronxa.causes import CAUSES
from analysis.shared import coefficients, headline, training

PAGE = replace(
    neuronxa.PAGE, study="demo",
    title="The demo: do languages that agree inside a model also score alike?",
    facts=headline.facts,
    topics=(
        Topic(title="Scores against accuracy", parts=coefficients.parts(collapsed=False)),
        Topic(title="All models at once", parts=(CAUSES,)),
        Topic(title="Inside the models", parts=(neuronxa.FIGURE_2, neuronxa.FIGURE_1)),
        Topic(title="Over training", parts=(training.FIGURE_3, training.FIGURE_4)),
        Topic(title="Retrieval", parts=(neuronxa.TABLES[1], neuronxa.TABLES[5])),
        *neuronxa.COMMON,
    ),
    paper=(),
)  # fmt: skip
