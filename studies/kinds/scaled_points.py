"""Cells of pictures: the prompts of all languages in the plane, plain and rescaled."""

from collections.abc import Mapping, Sequence

from studies.content import Together
from studies.kinds.tuning import STRENGTH
from studies.spec import ModelFacts
from studies.study import Draft, one_cell
from studies.tables import BENCHMARK, KEY, MODEL, STUDY, Table, double, string
from studies.texts import Bitext

SCALED_POINTS = Table(
    name="scaled_points",
    row="(cell, state, side, item)",
    columns=(
        STUDY,
        MODEL,
        BENCHMARK,
        string("language", "`all`: one picture of all languages"),
        string("pivot", "the anchor, whose prompts are not rescaled"),
        string("state", "`before` or `after` rescaling; each is a picture of its own"),
        string("side", "language of the prompt"),
        string("item", "id of the item"),
        double(
            "x, y",
            "t-SNE of the mean over tokens of the residual stream behind the last block but one; "
            "scale and direction carry no meaning, and two pictures have no common axes",
        ),
        double(
            "silhouette",
            "of the prompt among those of its language, in the space itself, by cosine distance, "
            "-1 to 1: near 1 where languages lie apart",
        ),
        double(
            "distance",
            "cosine distance of the language's mean from the anchor's, in the space itself, 0 to 2",
        ),
        STRENGTH,
        KEY,
        string("switches", "how neurons are sorted and rescaled, as canonical JSON"),
    ),
    identity=("key", "state", "side", "item"),
)

TABLES = (SCALED_POINTS,)


def draft(
    asked: Together[Bitext],
    *,
    model: ModelFacts,
    benchmark: str,
    made: Sequence[object],
    taken: Mapping[str, str],
) -> Draft:
    """The one cell of a model's picture."""
    count = len(asked.parts[0].ids)
    return one_cell(
        "scaled_points", asked, model=model, table="scaled_points", made=made,
        rows=2 * count * (1 + len(asked.parts)), taken=taken, named={"benchmark": benchmark},
        characters=3 * asked.characters,
    )  # fmt: skip
