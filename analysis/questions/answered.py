"""The answers of runs in compact columns: a cell and an item by number, every answer once.

Steered answers are tens of millions of rows. So a shard is reduced to a few numbers per row in the
thread that reads it, texts are kept once, and what belongs to a cell stands in a frame of cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis import read
from analysis.once import once, one_answer
from analysis.results.answers import CHANGE, SUBJECT

Numbers = npt.NDArray[Any]
Places = npt.NDArray[np.int32]

COORDINATES = (*SUBJECT, *CHANGE)
# What is kept of an answer, and the columns of the table that it is made of.
SOURCES = {
    "correct": ("correct",),
    "correct_norm": ("correct_norm",),
    "prediction": ("prediction",),
    "gold": ("gold",),
    "options": ("options",),
    "margin": ("scores", "gold"),
    "truncated": ("truncated",),
}
INDICES = ("prediction", "gold", "options")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Answers, row by row.

    Attributes:
        cells: one row per cell: its coordinates (texts as categories), `key`, and `items`, how many
            answers it has.
        cell: the place of each answer's cell in `cells` [row].
        item: the place of each answer's item in `names` [row].
        names: ids of items, sorted.
        columns: the columns asked for [row]. -1 stands for a missing truth or option, NaN for a
            missing margin.
        notes: sentences on what was left out.
    """

    cells: pd.DataFrame
    cell: Places
    item: Places
    names: list[str]
    columns: dict[str, Numbers]
    notes: list[str]


class _Part(NamedTuple):
    """A shard: its cells, the names of its items, and for each answer a place in both."""

    cells: pa.Table
    names: list[str]
    cell: Places
    item: Places
    columns: dict[str, Numbers]


def answered(runs: Sequence[Path | str], *, columns: Sequence[str], steered: bool) -> Answered:
    """Every answer of the runs once, or those of the plain model alone.

    Of several answers to one cell (another limit, or dtype) the one with the most items is kept,
    the latest if equal, as `read.rows` does.

    Args:
        runs: run folders or s3:// addresses.
        columns: which of `SOURCES` to keep.
        steered: whether answers under an intervention count too.

    Raises:
        ValueError: there is no run, or a shard is damaged.
    """
    runs, _, notes = read.named(runs)
    wanted = dict.fromkeys(source for name in columns for source in SOURCES[name])
    schema = read.columns_of("items", [*COORDINATES, "key", "item", *wanted])
    numbers: dict[str, int] = {}
    parts: list[_Part] = []
    start = 0
    for part in read.reduced(
        runs,
        name="items",
        schema=schema,
        make=partial(_part, columns=columns),
        plain=not steered,
    ):
        if part is not None:
            own = [numbers.setdefault(name, len(numbers)) for name in part.names]
            item = np.array(own, np.int32)[part.item]
            parts.append(part._replace(names=[], cell=part.cell + np.int32(start), item=item))
            start += part.cells.num_rows
    return _joined(parts, numbers=list(numbers), columns=columns, notes=notes)


def _part(shard: pa.Table, *, columns: Sequence[str]) -> _Part | None:
    """What is kept of a shard; None where it is empty."""
    if not shard.num_rows:
        return None
    shard = shard.unify_dictionaries().combine_chunks()
    keys, items = (_dictionary(shard[name]) for name in ("key", "item"))
    cell, item = (one.indices.to_numpy().astype(np.int32) for one in (keys, items))
    first = np.full(len(keys.dictionary), -1, np.int32)
    first[cell[::-1]] = np.arange(len(cell), dtype=np.int32)[::-1]
    present = np.flatnonzero(first >= 0)
    places = np.zeros(len(first), np.int32)
    places[present] = np.arange(len(present), dtype=np.int32)
    coordinates = shard.select([*COORDINATES, "key"]).take(first[present])
    part = _Part(
        cells=coordinates.cast(read.columns_of("items", [*COORDINATES, "key"])),
        names=items.dictionary.to_pylist(),
        cell=places[cell],
        item=item,
        columns={name: _column(shard, name) for name in columns},
    )
    repeated = pd.Series(_pairs(part.cell, item, len(items.dictionary))).duplicated().to_numpy()
    return _only(part, ~repeated) if repeated.any() else part


def _dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A column of texts with each text once."""
    whole = column.combine_chunks()
    return whole if pa.types.is_dictionary(whole.type) else pc.dictionary_encode(whole)


def _pairs(cell: Places, item: Places, items: int) -> npt.NDArray[np.int64]:
    """One number for each cell and item."""
    found: npt.NDArray[np.int64] = cell.astype(np.int64) * max(1, items) + item
    return found


def _column(shard: pa.Table, name: str) -> Numbers:
    """One column as numbers."""
    if name == "margin":
        return _margins(shard["scores"], gold=_whole(shard["gold"]))
    return _whole(
        shard[name], kind=np.int16 if name in ("prediction", "gold", "options") else np.int8
    )


def _whole(column: pa.ChunkedArray, *, kind: type[np.signedinteger] = np.int16) -> Numbers:
    """Truths and indices; -1 where they are missing."""
    values = column.cast(pa.from_numpy_dtype(kind))
    found: Numbers = pc.fill_null(values, -1).to_numpy()
    return found


def _margins(scores: pa.ChunkedArray, *, gold: Numbers) -> npt.NDArray[np.float64]:
    """The score of the right option less the highest of the others [row], NaN without either."""
    lists = scores.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    longest = int(lengths.max(initial=0))
    filled = np.full((len(lengths), longest), -np.inf)
    filled[np.arange(longest) < lengths[:, None]] = pc.list_flatten(lists).to_numpy(
        zero_copy_only=False
    )
    known = np.flatnonzero((gold >= 0) & (gold < lengths) & (lengths > 1))
    own = filled[known, gold[known]]
    filled[known, gold[known]] = -np.inf
    found = np.full(len(lengths), np.nan)
    found[known] = own - filled[known].max(axis=1, initial=-np.inf)
    return found


def _only(part: _Part, kept: npt.NDArray[np.bool_]) -> _Part:
    """Some of the answers of a shard."""
    columns = {name: values[kept] for name, values in part.columns.items()}
    return part._replace(cell=part.cell[kept], item=part.item[kept], columns=columns)


def _joined(
    parts: list[_Part], *, numbers: list[str], columns: Sequence[str], notes: list[str]
) -> Answered:
    """All parts as one: a cell that came several times is one, and of several answers one counts.

    `parts` are emptied, so that no column lies in memory twice for long.
    """
    schema = read.columns_of("items", [*COORDINATES, "key"])
    every = pa.concat_tables([schema.empty_table(), *(part.cells for part in parts)]).to_pandas()
    cell = _end_to_end([part.cell for part in parts], np.int32)
    item = _end_to_end([part.item for part in parts], np.int32)
    apart = {name: [part.columns[name] for part in parts] for name in columns}
    parts.clear()
    joined = {name: _end_to_end(apart.pop(name), np.int8) for name in columns}

    cells = once(every, per=["key"], notes=notes)
    cell = _places(every["key"], within=cells["key"])[cell]
    kept = np.ones(len(cell), bool)
    if len(cells) < len(every):
        times = every["key"].value_counts().reindex(cells["key"]).to_numpy()
        several = np.flatnonzero((times > 1)[cell])
        pairs = _pairs(cell[several], item[several], len(numbers))
        kept[several] = ~pd.Series(pairs).duplicated().to_numpy()
    cells["items"] = np.bincount(cell[kept], minlength=len(cells))
    shown = one_answer(cells, cell=list(COORDINATES), size="items", notes=notes)
    if len(shown) < len(cells):
        cell = _places(cells["key"], within=shown["key"])[cell]
        kept &= cell >= 0
    if not kept.all():
        cell, item = cell[kept], item[kept]
        joined = {name: joined.pop(name)[kept] for name in columns}
    order = np.argsort(np.array(numbers, dtype=object)).astype(np.int32)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=np.int32)
    texts = shown.select_dtypes(["object", "string"]).columns.drop("key")
    return Answered(
        cells=shown.astype(dict.fromkeys(texts, "category")),
        cell=cell,
        item=rank[item],
        names=[numbers[place] for place in order],
        columns=joined,
        notes=notes,
    )


def _end_to_end(arrays: list[Numbers], kind: type[np.generic]) -> Numbers:
    """Arrays as one; without any an empty one of some kind."""
    return np.concatenate(arrays) if arrays else np.empty(0, kind)


def _places(keys: pd.Series, *, within: pd.Series) -> Places:
    """Where each key stands among others; -1 where it does not."""
    found: Places = pd.Index(within).get_indexer(keys).astype(np.int32)
    return found
