"""Steering vectors beside single items: steered options, and the directions of patches.

Of `steered_options` every cell keeps which items are aligned in each layer, plain and steered; of
`directions` the cosine of every item's patch with the steering vector of other items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from analysis.results.answers import Bools, Texts, Wholes
from analysis.results.option_alignment import Cell, joined, matrix, read_cells

Floats = npt.NDArray[np.float64]

PLACE = ("model", "revision", "benchmark", "language", "pivot", "prompt")
STEERED = (*PLACE, "switches", "layer", "coefficient")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """A cell's numbers of single items; I items, sorted by id, L layers.

    Attributes:
        place: the coordinates.
        items: ids [I].
        layers: the layers read [L].
        columns: by name, numbers [I, L].
        truncated: how many items had a text cut.
    """

    place: Mapping[str, object]
    items: Texts
    layers: Wholes
    columns: Mapping[str, Floats]
    truncated: int

    def aligned(self, name: str) -> Bools:
        """Whether the margins of a column are above 0 [I, L]; one that is not defined is not."""
        found: Bools = self.columns[name] > 0
        return found


def steered(runs: Sequence[Path | str]) -> list[Values]:
    """Every cell of steered options: margins `plain` and `steered`."""
    return _cells(runs, name="steered_options", place=STEERED, columns=("plain", "steered"))


def directions(runs: Sequence[Path | str]) -> list[Values]:
    """Every cell of directions: `cosines`."""
    return _cells(runs, name="directions", place=PLACE, columns=("cosines",))


def _cells(
    runs: Sequence[Path | str], *, name: str, place: Sequence[str], columns: Sequence[str]
) -> list[Values]:
    """The cells of a table; of several answers to one the one with most items, then layers, the
    latest if equal."""
    wanted = [*place, "key", "item", "layers", "truncated", *columns]
    found = read_cells(runs, name=name, place=place, columns=list(dict.fromkeys(wanted)))
    kept: dict[tuple[object, ...], Values] = {}
    for key in list(found):
        made = _values(found.pop(key), columns)
        at = tuple(made.place.values())
        size = len(made.items), len(made.layers)
        if at not in kept or size >= (len(kept[at].items), len(kept[at].layers)):
            kept[at] = made
    return [kept[where] for where in sorted(kept, key=lambda one: [str(name) for name in one])]


def _values(cell: Cell, columns: Sequence[str]) -> Values:
    """One cell of all its parts."""
    table, items = joined(cell.parts)
    width = int(pc.max(pc.list_value_length(table["layers"])).as_py())
    lists = {name: matrix(table[name], width=width, name=name)[0] for name in columns}
    cut = pc.fill_null(table["truncated"], False).to_numpy(zero_copy_only=False)
    return Values(
        place=cell.place,
        items=items,
        layers=matrix(table["layers"], width=width, name="layers")[0][0].astype(int),
        columns=lists,
        truncated=int(cut.sum()),
    )
