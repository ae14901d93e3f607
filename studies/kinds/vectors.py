"""Cells of steering vectors: what the states of two languages differ by, in every layer."""

from studies.spec import Cells, ModelFacts, digest
from studies.steering_items import VectorSet
from studies.study import Draft
from studies.tables import KEY, MODEL, STUDY, Columns, Table

VERSION = 1

VECTORS = Table(
    name="vectors",
    row="(cell, layer)",
    columns=(
        STUDY,
        MODEL,
        Columns("benchmark, language", "string", "as above: the language steered away from"),
        Columns(
            "pivot",
            "string",
            "the language steered toward; the same as `language` for `halves`",
        ),
        Columns("prompt", "string", "name of the prompt"),
        Columns("seed", "int32", "of the draw of the questions"),
        Columns("layer", "int32", "1..L"),
        Columns("n", "int32", "pairs of questions"),
        Columns("norm", "double", "length of the vector"),
        Columns(
            "resid_norm",
            "double",
            "mean length of the states it is added to: those of `language`, at the last prompt "
            "token",
        ),
        Columns(
            "reliability",
            "double",
            "cosine of the vectors of two halves of the pairs; missing for fewer than 2 pairs",
        ),
        KEY,
    ),
    identity=("key", "layer"),
    about="One cell per model, benchmark, language and draw; its vectors are "
    "`artifacts/<key>.safetensors`.",
)

TABLES = (VECTORS,)


def draft(asked: VectorSet, *, model: ModelFacts, fingerprint: str | None = None) -> Draft:
    """The one cell of a language's steering vectors, those of all layers."""
    return Draft(
        kind="vectors",
        model=model,
        content=asked,
        cells=(
            Cells(
                table="vectors",
                model=model,
                benchmark=asked.benchmark,
                language=asked.language,
                pivot=asked.pivot,
                seed=asked.seed,
                scope=digest([model.identity, fingerprint or asked.fingerprint, VERSION]),
            ),
        ),
        characters=sum(map(len, (*asked.toward, *asked.away))),
        rows=model.layers,
    )
