"""Answers with the state of another prompt put in, layer by layer: what turns right, what wrong.

Transfer failures are items that the pivot answers right and the language wrong, successes those
that both answer right: by the plain answers of the same rows, which are asked with options that
have symbols. Protocol and controls are reconstructed, as the DALI paper's are not public.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from analysis.results.answers import Bools, Texts, Wholes
from analysis.results.option_alignment import Cell, joined, matrix, read_cells

Floats = npt.NDArray[np.float64]

MATCHED, PERMUTED, SAME_SYMBOL = "matched", "permuted", "same_symbol"
KINDS = (MATCHED, PERMUTED, SAME_SYMBOL, "other_symbol", "own_language", "noise")
CONTROLS = (SAME_SYMBOL, "other_symbol", "own_language", "noise")
SERIES = ["model", "revision", "benchmark", "prompt", "pivot", "switches"]
CELL = (*SERIES, "language", "intervention", "seed")
LISTS = ("layers", "predictions", "margins")
SINGLE = ("gold", "source_gold", "clean", "clean_margin", "pivot_clean", "truncated")
READ = (*CELL, "key", "item", *SINGLE, *LISTS)
EVERY = "all languages"
# The seed of what none has drawn, as a cell's place has it.
UNDRAWN = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patched:
    """One kind of patch on one or several languages; I items (and languages), L layers.

    Attributes:
        items: ids [I]; languages [I].
        layers: where states are put in [L].
        gold: index of the right option [I].
        source_gold: that of the question whose state is put in, -1 without one [I].
        clean: the plain model's choice [I]; pivot_clean the same in the pivot [I].
        predictions: by layer, the choice with the state put in [I, L].
        shifts: by layer, the change of the right option's margin, log-probabilities [I, L].
        truncated: how many items had a context cut.
    """

    place: Mapping[str, str]
    items: Texts
    languages: Texts
    layers: Wholes
    gold: Wholes
    source_gold: Wholes
    clean: Wholes
    pivot_clean: Wholes
    predictions: npt.NDArray[np.int16]
    shifts: npt.NDArray[np.float32]
    truncated: int

    @property
    def failed(self) -> Bools:
        """Transfer failures: the pivot right, the language wrong [I]."""
        found: Bools = (self.pivot_clean == self.gold) & (self.clean != self.gold)
        return found

    @property
    def succeeded(self) -> Bools:
        """Transfer successes: both right [I]."""
        found: Bools = (self.pivot_clean == self.gold) & (self.clean == self.gold)
        return found

    @property
    def neither(self) -> Bools:
        """Items that both answer wrong [I]."""
        found: Bools = (self.pivot_clean != self.gold) & (self.clean != self.gold)
        return found

    @property
    def right(self) -> Bools:
        """Whether the choice with the state put in is the right option [I, L]."""
        found: Bools = self.predictions == self.gold[:, None]
        return found

    @property
    def symbol(self) -> Bools:
        """Whether it is the option that is right in the source [I, L]."""
        known = self.source_gold[:, None] >= 0
        found: Bools = (self.predictions == self.source_gold[:, None]) & known
        return found


class Cells(NamedTuple):
    """Records of a table, and how many other answers to the same cells were left out."""

    kept: list[Patched]
    repeated: int


def cells(runs: Sequence[Path | str]) -> Cells:
    """Every cell of the table, each key once; of several answers to one cell the one with most
    items, then layers, the latest if equal.

    Controls of several seeds are series of their own, each beside the patches that no seed draws:
    `switches` then names the seed.

    Raises:
        ValueError: the lists of a cell differ in length.
    """
    found = read_cells(runs, name="patches", place=CELL, columns=READ)
    kept: dict[tuple[str, ...], Patched] = {}
    every = len(found)
    for key in list(found):
        made = _patched(found.pop(key))
        where = tuple(made.place[name] for name in CELL)
        if where not in kept or made.predictions.shape >= kept[where].predictions.shape:
            kept[where] = made
    return Cells([*_by_seed([kept[where] for where in sorted(kept)])], every - len(kept))


def _by_seed(found: Sequence[Patched]) -> Iterator[Patched]:
    """The cells of each seed with those that none has drawn, where there are several seeds."""
    seeds: dict[tuple[str, ...], set[str]] = {}
    for one in found:
        seeds.setdefault(tuple(one.place[name] for name in SERIES), set()).add(one.place["seed"])
    for one in found:
        drawn = sorted(seeds[tuple(one.place[name] for name in SERIES)] - {UNDRAWN})
        if len(drawn) < 2:
            yield one
            continue
        for seed in drawn if one.place["seed"] == UNDRAWN else [one.place["seed"]]:
            switches = json.dumps({**json.loads(one.place["switches"]), "seed": int(seed)})
            yield replace(one, place={**one.place, "switches": switches})


def together(parts: Sequence[Patched]) -> Patched:
    """The languages of one kind of patch as one record, in the layers that all of them have."""
    layers = parts[0].layers
    for one in parts[1:]:
        layers = np.intersect1d(layers, one.layers)
    places = [np.flatnonzero(np.isin(one.layers, layers)) for one in parts]
    whole = {
        name: np.concatenate([getattr(one, name) for one in parts])
        for name in ("items", "languages", "gold", "source_gold", "clean", "pivot_clean")
    }
    wide = {
        name: np.concatenate(
            [getattr(one, name)[:, own] for one, own in zip(parts, places, strict=True)]
        )
        for name in ("predictions", "shifts")
    }
    return Patched(
        place={**parts[0].place, "language": EVERY}, layers=layers, **whole, **wide,
        truncated=sum(one.truncated for one in parts),
    )  # fmt: skip


def _text(value: object) -> str:
    """A coordinate as text, "" for none."""
    return "" if value is None else str(value)


def _patched(cell: Cell) -> Patched:
    """One cell of all its parts."""
    table, items = joined(cell.parts)
    width = int(pc.max(pc.list_value_length(table["layers"])).as_py())
    lists = {name: matrix(table[name], width=width, name=name)[0] for name in LISTS}
    numbers = {
        name: pc.fill_null(table[name], -1).to_numpy().astype(int)
        for name in ("gold", "source_gold", "clean", "pivot_clean")
    }
    margin = table["clean_margin"].to_numpy().astype(float)
    cut = pc.fill_null(table["truncated"], False).to_numpy(zero_copy_only=False)
    return Patched(
        place={name: _text(cell.place[name]) for name in CELL},
        items=items,
        languages=np.full(len(items), str(cell.place["language"])),
        layers=lists["layers"][0].astype(int),
        predictions=np.nan_to_num(lists["predictions"], nan=-1).astype(np.int16),
        shifts=(lists["margins"] - margin[:, None]).astype(np.float32),
        truncated=int(cut.sum()),
        **numbers,
    )
