"""Cells of directions: does what a patch changes point where a steering vector points?

A matched patch changes a question's last token by the pivot's state less its own. The steering
vector is the mean of that over other items (arXiv 2505.13141, section 5): those of the half that
the item is not in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from studies.inputs import Inputs
from studies.kinds.patching import PromptGrid
from studies.patch_items import PatchSet
from studies.spec import ModelFacts
from studies.study import Draft, one_cell
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
    doubles,
    int32s,
    string,
)

VERSION = 1

DIRECTIONS = Table(
    name="directions",
    row="(cell, item)",
    columns=(
        STUDY,
        MODEL,
        BENCHMARK,
        LANGUAGE,
        string("pivot", "the language whose states are put in, and steered toward"),
        ITEM,
        int32s("layers", "the layers that the list below is of, 1..L"),
        doubles(
            "cosines",
            "by layer, cosine between what the matched patch of the item changes and the steering "
            "vector of the half of the items that it is not in; NaN where one of them is zero",
        ),
        KEY,
        PROMPT,
        boolean("truncated", "whether one of the two questions was cut from the left"),
    ),
    identity=("key", "item"),
)

TABLES = (DIRECTIONS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionGrid(PromptGrid):
    """The questions that are patched, in every language beside the pivot."""

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """A part for each language but the pivot.

        Raises:
            ValueError: as of `sets`, or a model has no such layer.
        """
        for found in self.sets(inputs):
            if len(found.asked.items) < 2:
                inputs.note(
                    f"{self.benchmark} in {found.language} has a single item, and no other to make "
                    "a steering vector of"
                )
                continue
            for model in models:
                yield draft(self, found.of("matched"), model=model)


def draft(grid: DirectionGrid, asked: PatchSet, *, model: ModelFacts) -> Draft:
    """The one cell of a language's questions, in all layers."""
    return one_cell(
        "directions", asked, model=model, table="directions",
        made=[VERSION, grid.layers_of(model)], rows=len(asked.asked.items),
        characters=2 * asked.asked.characters,
    )  # fmt: skip
