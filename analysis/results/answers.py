"""Every cell's answers as one compact record: what each item was answered, and in which order.

Tables of steered answers have millions of rows, so a record per cell is filled shard by shard, and
cells about the same items share one array of ids.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analysis import read

Floats = npt.NDArray[np.floating]
Wholes = npt.NDArray[np.integer]
Texts = npt.NDArray[np.str_]
Bools = npt.NDArray[np.bool_]

SUBJECT = ("model", "revision", "benchmark", "prompt", "language")
# What sets one table of languages apart from another, steered or read at a layer.
SERIES = ["model", "revision", "benchmark", "prompt", "pivot", "switches"]
CHANGE = ("intervention", "layer", "coefficient", "seed", "pivot", "switches")
COLUMNS = (*SUBJECT, *CHANGE, "key", "item", "gold", "prediction", "ranks", "truncated")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """The answers of one cell, sorted by item id; I items, J the most options an item has.

    Attributes:
        intervention: None for the plain model; so are then layer, coefficient, seed, pivot and
            switches. `steer` at coefficient 0 without layer is the plain model on the items that
            steered answers are given to.
        items: ids [I].
        gold: index of the right option [I].
        prediction: index of the chosen option [I].
        ranks: of every option [I, J], 1 = most probable, ties share the average rank; NaN where an
            item has fewer options.
        truncated: items whose context was cut.
    """

    model: str
    revision: str
    benchmark: str
    prompt: str
    language: str
    intervention: str | None
    layer: int | None
    coefficient: float | None
    seed: int | None
    pivot: str | None
    switches: str | None
    key: str
    items: Texts
    gold: Wholes
    prediction: Wholes
    ranks: Floats
    truncated: int

    def at(self, places: Wholes) -> "Answers":
        """The answers to some of the items; the record itself where these are all."""
        if len(places) == len(self.items):
            return self
        return replace(
            self,
            items=self.items[places],
            gold=self.gold[places],
            prediction=self.prediction[places],
            ranks=self.ranks[places],
        )

    @property
    def correct(self) -> Bools:
        """Whether each item was answered right [I]."""
        hits: Bools = np.equal(self.prediction, self.gold)
        return hits

    @property
    def options(self) -> Wholes:
        """How many options each item has [I]."""
        counts: Wholes = np.isfinite(self.ranks).sum(axis=1)
        return counts

    @property
    def is_plain(self) -> bool:
        """Whether this is the answer of the plain model to all items."""
        return self.intervention is None

    @property
    def is_reference(self) -> bool:
        """Whether this is the plain model on the items that steered answers are given to."""
        return self.intervention is not None and self.layer is None and not self.coefficient


def answers(runs: Sequence[Path | str]) -> list[Answers]:
    """Every cell of the table `items`, plain and steered, each key once.

    Of several answers to one cell (another limit, or dtype) the one with the most items is kept,
    the latest if equal, as `read.rows` does.
    """
    found: dict[str, _Cell] = {}
    numbers: dict[str, int] = {}
    schema = read.columns_of("items", COLUMNS)
    for shard in read.reduced(runs, name="items", schema=schema, make=pa.Table.combine_chunks):
        for key, cell, part in _parts(shard, numbers=numbers):
            found.setdefault(key, cell).parts.append(part)
    names = np.array(list(numbers), dtype=np.str_)
    order = np.empty(len(names), dtype=np.int64)
    order[np.argsort(names)] = np.arange(len(names))
    shared: dict[tuple[str, bytes], npt.NDArray[np.generic]] = {}
    kept: dict[tuple[object, ...], Answers] = {}
    for key in list(found):
        # Taken out, so that the parts of a cell are gone once its record stands.
        made = _answers(key, found.pop(key), names=names, order=order, shared=shared)
        place = tuple(getattr(made, name) for name in (*SUBJECT, *CHANGE))
        if place not in kept or len(made.items) >= len(kept[place].items):
            kept[place] = made
    return list(kept.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Rows of a cell in one shard: item numbers, and the columns of each."""

    items: Wholes
    gold: Wholes
    prediction: Wholes
    ranks: Floats
    truncated: Bools


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell's coordinates and its parts so far."""

    place: dict[str, object]
    parts: list[_Part] = field(default_factory=list)


def _parts(shard: pa.Table, *, numbers: dict[str, int]) -> Iterator[tuple[str, _Cell, _Part]]:
    """What a shard holds of each of its cells; `numbers` gives every item id its number."""
    if not shard.num_rows:
        return
    keys = pc.dictionary_encode(shard["key"]).combine_chunks()
    ids = pc.dictionary_encode(shard["item"]).combine_chunks()
    texts = ids.dictionary.to_pylist()
    own = np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int32)
    codes = keys.indices.to_numpy()
    rows = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[rows], prepend=-1))
    items = own[ids.indices.to_numpy()][rows]
    gold, prediction = (_wholes(shard[name])[rows] for name in ("gold", "prediction"))
    cut = pc.fill_null(shard["truncated"], False).to_numpy()[rows]
    ranks = _matrix(shard["ranks"])[rows]
    places = shard.select([*SUBJECT, *CHANGE]).take(rows[starts]).to_pylist()
    names = keys.dictionary.to_pylist()
    ends = [*starts[1:], len(rows)]
    for place, start, end in zip(places, starts, ends, strict=True):
        part = _Part(
            items=items[start:end],
            gold=gold[start:end],
            prediction=prediction[start:end],
            ranks=ranks[start:end],
            truncated=cut[start:end],
        )
        yield names[codes[rows[start]]], _Cell(place), part


def _wholes(column: pa.ChunkedArray) -> Wholes:
    """A column of option indices; -1 where it is missing."""
    values: Wholes = pc.fill_null(column, -1).to_numpy().astype(np.int16)
    return values


def _matrix(column: pa.ChunkedArray) -> Floats:
    """Lists of different lengths as rows [row, longest], filled up with NaN."""
    lists = column.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    longest = int(lengths.max(initial=0))
    filled = np.full((len(lengths), longest), np.nan, dtype=np.float32)
    filled[np.arange(longest) < lengths[:, None]] = pc.list_flatten(lists).to_numpy(
        zero_copy_only=False
    )
    return filled


def _widened(ranks: Floats, width: int) -> Floats:
    """Rows with as many places, NaN where an item has no option."""
    more = width - ranks.shape[1]
    return np.pad(ranks, ((0, 0), (0, more)), constant_values=np.nan) if more else ranks


def _answers(
    key: str,
    cell: _Cell,
    *,
    names: Texts,
    order: Wholes,
    shared: dict[tuple[str, bytes], npt.NDArray[np.generic]],
) -> Answers:
    """One cell of all its parts: repeated items dropped, sorted by id, equal arrays shared."""
    parts = cell.parts
    items = np.concatenate([part.items for part in parts])
    _, first = np.unique(order[items], return_index=True)
    width = max(part.ranks.shape[1] for part in parts)
    own, gold = items[first], np.concatenate([part.gold for part in parts])[first]
    return Answers(
        **cell.place,  # type: ignore[arg-type]
        key=key,
        items=shared.setdefault(("items", own.tobytes()), names[own]),  # type: ignore[arg-type]
        gold=shared.setdefault(("gold", gold.tobytes()), gold),  # type: ignore[arg-type]
        prediction=np.concatenate([part.prediction for part in parts])[first],
        ranks=np.concatenate([_widened(part.ranks, width) for part in parts])[first],
        truncated=int(np.concatenate([part.truncated for part in parts])[first].sum()),
    )
