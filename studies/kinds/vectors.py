"""Cells of steering vectors: what the states of two languages differ by, in every layer."""

from studies.spec import ModelFacts
from studies.steering_items import VectorSet
from studies.study import Draft, one_cell
from studies.tables import BENCHMARK, KEY, MODEL, PROMPT, STUDY, Table, double, int32, string

VERSION = 1

VECTORS = Table(
    name="vectors",
    row="(cell, layer)",
    columns=(
        STUDY,
        MODEL,
        BENCHMARK,
        string("language", "the language steered away from"),
        string(
            "pivot",
            "the language steered toward; equal to `language` for the vectors of the control "
            "`halves`",
        ),
        PROMPT,
        int32("seed", "seed that drew the questions"),
        int32("layer", "the block whose output the vector is added to, 1..L"),
        int32("n", "number of question pairs that the vector is the mean of"),
        double("norm", "Euclidean length of the vector"),
        double(
            "resid_norm",
            "mean Euclidean length of the states of `language` at the last prompt token, to which "
            "the vector is added",
        ),
        double(
            "reliability",
            "cosine between the vectors of two halves of the pairs, -1 to 1; null for a single "
            "pair or a zero vector",
        ),
        KEY,
    ),
    identity=("key", "layer"),
    about="One cell per model, benchmark, language and draw; its vectors are in "
    "`artifacts/<key>.safetensors`.",
)

TABLES = (VECTORS,)


def draft(asked: VectorSet, *, model: ModelFacts) -> Draft:
    """The one cell of a language's steering vectors, those of all layers."""
    return one_cell(
        "vectors", asked, model=model, table="vectors", made=[VERSION], rows=model.layers
    )
