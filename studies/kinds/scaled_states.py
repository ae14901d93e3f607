"""Cells of rescaled states: how like the anchor's states a language's are, before and after."""

from collections.abc import Mapping, Sequence

from studies.kinds.neurons import SITE
from studies.kinds.tuning import STRENGTH
from studies.spec import ModelFacts
from studies.study import Draft, one_cell
from studies.tables import BENCHMARK, KEY, LANGUAGE, MODEL, STUDY, Table, double, int32, string
from studies.texts import Bitext

SCALED_STATES = Table(
    name="scaled_states",
    row="(cell, layer, site)",
    columns=(
        STUDY,
        MODEL,
        BENCHMARK,
        LANGUAGE,
        string("pivot", "the anchor, whose states stay as they are"),
        int32("layer", "a bridge layer, 1..L; 0 for the mean of the vectors over bridge layers"),
        SITE._replace(
            meaning=f"{SITE.meaning}; whichever is rescaled, or `resid`, the residual stream "
            "behind the layer"
        ),
        int32("n", "number of items, whose prompts are compared in both languages"),
        double(
            "before, after",
            "mean over items of the cosine between a prompt's mean activation and that of the same "
            "prompt in the anchor, -1 to 1, plain and rescaled; NaN where an activation is zero",
        ),
        double(
            "before_of_means, after_of_means",
            "cosine between the means over items, plain and rescaled",
        ),
        STRENGTH,
        KEY,
        string("switches", "how neurons are sorted and rescaled, as canonical JSON"),
    ),
    identity=("key", "layer", "site"),
)

TABLES = (SCALED_STATES,)


def draft(
    asked: Bitext,
    *,
    model: ModelFacts,
    benchmark: str,
    made: Sequence[object],
    taken: Mapping[str, str],
) -> Draft:
    """The one cell of a language's states."""
    return one_cell(
        "scaled_states", asked, model=model, table="scaled_states", made=made, rows=8, taken=taken,
        named={"benchmark": benchmark}, characters=3 * asked.characters,
    )  # fmt: skip
