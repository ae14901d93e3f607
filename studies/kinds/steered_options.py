"""Cells of steered options: does steering toward the pivot bring options nearer to translations?

The steering vector is the mean difference of the states at the last token of the options' texts,
the pivot's less the language's, over the half of the items that an item is not in. It is added
there, at one layer, and DALI's margin is read in that layer and every later one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from studies.inputs import Inputs
from studies.kinds.option_alignment import OptionGrid
from studies.layers import layers_asked
from studies.option_texts import OptionTexts
from studies.spec import ModelFacts, Point
from studies.study import Draft, cells_of
from studies.tables import (
    BENCHMARK,
    ITEM,
    KEY,
    LANGUAGE,
    MODEL,
    PROMPT,
    STUDY,
    Table,
    boolean,
    double,
    doubles,
    int32,
    int32s,
    string,
)

VERSION = 1

STEERED_OPTIONS = Table(
    name="steered_options",
    row="(cell, item)",
    columns=(
        STUDY,
        MODEL,
        BENCHMARK,
        LANGUAGE,
        string("pivot", "the language steered toward, which stays as it is"),
        ITEM,
        int32("layer", "the block whose output the vector is added to, 1..L"),
        double("coefficient", "by what the vector is multiplied"),
        int32("options", "number of options"),
        int32s("layers", "the layers that the lists below are of: `layer` to the last"),
        doubles(
            "plain, steered",
            "by layer, the margin `dali` of `option_alignment`, plain and steered; NaN with a zero "
            "vector",
        ),
        boolean("truncated", "whether a text of either side was cut to the model's context"),
        KEY,
        PROMPT,
        string("switches", "what of a text is compared, as canonical JSON"),
    ),
    identity=("key", "item"),
)

TABLES = (STEERED_OPTIONS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeredOptionGrid(OptionGrid):
    """Options of a benchmark's items in every language, steered in layers by coefficients.

    Without layers it is the middle one.
    """

    layers: tuple[int, ...] = ()
    coefficients: tuple[float, ...] = (1.0,)

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """A part for each language but the pivot.

        Raises:
            ValueError: as of `texts`, or a model has no such layer.
        """
        for found in self.texts(inputs):
            if len(found.items) < 2:
                inputs.note(
                    f"{self.benchmark} in {found.language} has a single item, and no other to make "
                    "a steering vector of"
                )
                continue
            for model in models:
                yield draft(self, found, model=model)


def draft(grid: SteeredOptionGrid, asked: OptionTexts, *, model: ModelFacts) -> Draft:
    """The cells of a language's items: layers x coefficients.

    Raises:
        ValueError: the model has no such layer.
    """
    points = tuple(
        Point(layer=layer, coefficient=coefficient)
        for layer in layers_of(grid, model)
        for coefficient in grid.coefficients
        if coefficient
    )
    cells = cells_of(
        asked, model=model, table="steered_options", points=points,
        made=[VERSION, grid.embedding.dali_pool], intervention="steer",
    )  # fmt: skip
    texts = sum(len(text) for one in asked.items for text in (*one.texts, *one.pivot_texts))
    return Draft(
        kind="steered_options",
        model=model,
        content=asked,
        cells=(cells,),
        characters=2 * texts + len(points) * texts // 2,
        rows=len(asked.items),
    )


def layers_of(grid: SteeredOptionGrid, model: ModelFacts) -> tuple[int, ...]:
    """The layers that are steered in.

    Raises:
        ValueError: the model has no such layer.
    """
    return layers_asked(grid.layers or (max(1, model.layers // 2),), model=model)
