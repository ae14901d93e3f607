"""Cells of steering vectors: what the states of two languages differ by, in every layer."""

from studies.spec import ModelFacts
from studies.steering_items import VectorSet
from studies.study import Draft, one_cell
from studies.tables import BENCHMARK, KEY, MODEL, PROMPT, STUDY, Columns, Table

VERSION = 1

VECTORS = Table(
    name="vectors",
    row="(cell, layer)",
    columns=(
        STUDY,
        MODEL,
        BENCHMARK,
        Columns("language", "string", "the language steered away from"),
        Columns(
            "pivot",
            "string",
            "the language steered toward; equal to `language` for the vectors of the control "
            "`halves`",
        ),
        PROMPT,
        Columns("seed", "int32", "seed that drew the questions"),
        Columns("layer", "int32", "the block whose output the vector is added to, 1..L"),
        Columns("n", "int32", "number of question pairs that the vector is the mean of"),
        Columns("norm", "double", "Euclidean length of the vector"),
        Columns(
            "resid_norm",
            "double",
            "mean Euclidean length of the states of `language` at the last prompt token, to which "
            "the vector is added",
        ),
        Columns(
            "reliability",
            "double",
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
