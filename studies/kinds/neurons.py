"""Cells of neuron statistics: how strongly and how often each neuron fires in one language."""

from studies.neuron_options import Sorting
from studies.samples import Samples
from studies.spec import ModelFacts
from studies.study import Draft, one_cell
from studies.tables import KEY, LANGUAGE, MODEL, STUDY, Table, double, int32, string

VERSION = 1
SITES = 2

SITE = string(
    "site",
    "the activation: `h`, the down projection's input, or `act`, what the activation function "
    "returns",
)
NEURONS = Table(
    name="neurons",
    row="(cell, layer, site)",
    columns=(
        STUDY,
        MODEL,
        string("dataset", "the data set whose texts were read, such as `xquad`"),
        LANGUAGE,
        int32("layer", "the block, 1..L"),
        SITE,
        int32("n, tokens", "number of texts that count, and of their tokens"),
        double("positive", "share of the layer's neurons whose mean activation is above 0, 0 to 1"),
        double("mean_abs", "mean over neurons of the mean size of the activation"),
        double(
            "active",
            "mean over neurons of the share of tokens at which the activation is above 0, 0 to 1",
        ),
        KEY,
    ),
    identity=("key", "layer", "site"),
    about="One cell per model, data set and language; what it knows of every single neuron is in "
    "`artifacts/<key>.safetensors`.",
)

TABLES = (NEURONS,)


def draft(asked: Samples, *, model: ModelFacts, sorting: Sorting) -> Draft:
    """The one cell of a model's neurons in a language."""
    made: list[object] = [VERSION, sorting.stat_weight, sorting.stat_bos]
    made += [sorting.intmu_site] if sorting.intmu_site == "code" else []
    return one_cell(
        "neurons", asked, model=model, table="neurons", made=made, rows=SITES * model.layers
    )
