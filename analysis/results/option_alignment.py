"""Which options of an item lie nearest to their translations: every cell as one compact record.

The table `option_alignment` has a row per item with a list of margins per rule, so that several
models and eighty languages are millions of numbers: shards are reduced to which items are aligned
at which layer, and the margins of one rule alone are kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb, factorial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis import read
from analysis.results.answers import SUBJECT, Bools, Texts, Wholes

Floats = npt.NDArray[np.float64]

CELL = ("model", "revision", "benchmark", "language", "pivot", "prompt", "switches")
DALI, STRONG, MEXA = "dali", "strong", "mexa"
RULES = (DALI, STRONG, "local", "gold_only", MEXA)
NULLS = ("permuted", "mismatched")
REDUCED = ("dali_3", "strong_3", "dali_2", "strong_2")
MEASURES = (*RULES, *NULLS, *REDUCED)
LISTS = ("layers", *MEASURES)
READ = (
    *CELL,
    "key",
    "item",
    "options",
    "tokens",
    "pivot_tokens",
    "gold_longer",
    "truncated",
    *LISTS,
)
ANSWERS = (*SUBJECT, "intervention", "key", "item", "gold", "prediction", "scores")
PLAIN = [*SUBJECT, "item", "correct", "margin", "chance"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aligned:
    """The items of one language beside their pivot's; I items, sorted by id, L layers.

    Attributes:
        layers: 0 for the embeddings, the last behind the final norm [L].
        options: how many options each item has [I].
        aligned: by measure, whether an item's margin is above 0 [I, L]; of `NULLS`, whether the
            wrong partners are.
        asked: by measure, whether the item has it [I]: the reduced ones need more options.
        margins: margins of the rule `dali`, cosines [I, L]; -inf with a zero vector.
        tokens: of the item with its right option [I].
        pivot_tokens: the same in the pivot [I].
        gold_longer: tokens by which the right option is longer than the mean wrong one [I].
        undefined: how many margins of `dali` were not defined.
        truncated: how many items had a text cut.
    """

    model: str
    revision: str
    benchmark: str
    language: str
    pivot: str
    prompt: str
    switches: str
    items: Texts
    layers: Wholes
    options: Wholes
    aligned: Mapping[str, Bools]
    asked: Mapping[str, Bools]
    margins: npt.NDArray[np.float32]
    tokens: Wholes
    pivot_tokens: Wholes
    gold_longer: Floats
    undefined: int
    truncated: int

    def share(self, measure: str, items: Bools | None = None) -> tuple[int, Floats]:
        """How many items have a measure, of some or of all, and the share aligned by layer [L]."""
        held = self.asked[measure] if items is None else self.asked[measure] & items
        n = int(held.sum())
        hits = self.aligned[measure][held]
        return n, hits.mean(axis=0) if n else np.full(len(self.layers), np.nan)

    def chance(self, measure: str, items: Bools | None = None) -> float:
        """How often chance aligns such items, on average over them."""
        held = self.asked[measure] if items is None else self.asked[measure] & items
        if not held.any():
            return float("nan")
        n = int(self.asked[measure].sum())
        counts, sizes = np.unique(self.options[held], return_counts=True)
        each = [chance(measure, options=int(count), n=n) for count in counts]
        return float(np.average(each, weights=sizes))

    @property
    def inner(self) -> Bools:
        """The layers without the last, which is behind the final norm, as the paper's code [L]."""
        found: Bools = self.layers < self.layers.max()
        return found

    def best(self, measure: str = DALI, items: Bools | None = None) -> int | None:
        """The place of the inner layer with the highest share, the first of several; None without
        items."""
        n, shares = self.share(measure, items)
        if not n:
            return None
        return int(np.where(self.inner, shares, -1.0).argmax())


class Cells(NamedTuple):
    """Records of a table, and how many other answers to the same cells were left out."""

    kept: list[Aligned]
    repeated: int


def chance(measure: str, *, options: int, n: int) -> float:
    """How often independent similarities of one distribution align an item.

    With J options: `dali` and both null controls 1 / C(J^2, J), as the J matched ones must be the
    largest of all; `strong` 1 / C(J^2 + J (J - 1), J), with the pairs within languages; `gold_only`
    1 / J^2; `local` (J - 1)! / (2J - 1)!, the integral over the matched ones of all others being
    smaller; `mexa` 1 / (2n - 1) among n items.
    """
    if measure == MEXA:
        return 1 / (2 * n - 1)
    name, _, kept = measure.partition("_")
    count = int(kept) if kept.isdigit() else options
    if measure == "gold_only":
        return 1 / count**2
    if measure == "local":
        return factorial(count - 1) / factorial(2 * count - 1)
    rivals = count**2 + (count * (count - 1) if name == STRONG else 0)
    return 1 / comb(rivals, count)


def kappa(share: Floats, *, chance: float) -> Floats:
    """Shares above chance, as a part of what chance leaves: 0 at chance, 1 at 1."""
    found: Floats = (np.asarray(share, float) - chance) / (1 - chance)
    return found


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's coordinates and its parts so far."""

    place: dict[str, object]
    parts: list[pa.Table] = field(default_factory=list)


def read_cells(
    runs: Sequence[Path | str], *, name: str, place: Sequence[str], columns: Sequence[str]
) -> dict[str, Cell]:
    """The cells of a table of any runs by their key, rows as stored."""
    found: dict[str, Cell] = {}
    for shard in read.shards(runs, name=name, columns=columns):
        for key, where, part in by_key(shard, place):
            found.setdefault(key, Cell(where)).parts.append(part)
    return found


def cells(runs: Sequence[Path | str]) -> Cells:
    """Every cell of the table, each key once.

    Of several answers to one cell (another limit, or dtype) the one with most items is kept, the
    latest if equal.

    Raises:
        ValueError: the lists of a cell differ in length.
    """
    found = read_cells(runs, name="option_alignment", place=CELL, columns=READ)
    kept: dict[tuple[object, ...], Aligned] = {}
    every = len(found)
    for key in list(found):
        made = _aligned(found.pop(key))
        where = tuple(getattr(made, name) for name in CELL)
        if where not in kept or len(made.items) >= len(kept[where].items):
            kept[where] = made
    ordered = sorted(kept.values(), key=lambda one: [str(getattr(one, name)) for name in CELL])
    return Cells(ordered, every - len(kept))


def by_key(
    shard: pa.Table, names: Sequence[str]
) -> Iterator[tuple[str, dict[str, object], pa.Table]]:
    """What a shard holds of each of its cells: key, coordinates, rows."""
    if not shard.num_rows:
        return
    keys = pc.dictionary_encode(shard.combine_chunks()["key"]).combine_chunks()
    codes = keys.indices.to_numpy()
    rows = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[rows], prepend=-1))
    places = shard.select(list(names)).take(rows[starts]).to_pylist()
    named = keys.dictionary.to_pylist()
    for place, own in zip(places, np.split(rows, starts[1:]), strict=True):
        yield named[codes[own[0]]], place, shard.take(own)


def joined(parts: Sequence[pa.Table]) -> tuple[pa.Table, Texts]:
    """The rows of a cell, each item once and sorted by its id, and the ids."""
    table = pa.concat_tables(parts).combine_chunks()
    items, first = np.unique(np.array(table["item"].to_pylist(), dtype=np.str_), return_index=True)
    return table.take(first), items


def matrix(column: pa.ChunkedArray, *, width: int, name: str) -> tuple[Floats, Bools]:
    """Lists of one length as rows [row, width], NaN where there is none, and which rows have one.

    Raises:
        ValueError: a list has another length.
    """
    lists = column.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    there: Bools = lengths > 0
    if (lengths[there] != width).any():
        wrong = int(lengths[there & (lengths != width)][0])
        raise ValueError(
            f"a row has {wrong} entries in {name!r} and {width} layers: expected one per layer; "
            "remove its shard and run the study's command again"
        )
    values = np.full((len(lengths), width), np.nan)
    flat = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    values[there] = flat.astype(float).reshape(-1, width)
    return values, there


def plain(runs: Sequence[Path | str]) -> pd.DataFrame:
    """Every answer of the plain model: `correct`, `margin` of the right option, and `chance`.

    The margin is the right option's score less the highest wrong one's (log-probabilities). Of
    several answers to one cell the one with most items is kept, the latest if equal.
    """
    parts: list[pd.DataFrame] = []
    for shard in read.shards(runs, name="items", columns=ANSWERS):
        own = shard.filter(pc.is_null(shard["intervention"]))
        if own.num_rows:
            parts.append(_margins(own))
    if not parts:
        return pd.DataFrame(columns=PLAIN)
    every = pd.concat(parts, ignore_index=True).drop_duplicates(["key", "item"])
    sizes = every.groupby([*SUBJECT, "key"], sort=False).size().reset_index(name="size")
    kept = sizes.sort_values("size", kind="stable").drop_duplicates(list(SUBJECT), keep="last")
    return every[every["key"].isin(kept["key"])][PLAIN].reset_index(drop=True)


def _margins(rows: pa.Table) -> pd.DataFrame:
    """The rows with what their scores say."""
    frame: pd.DataFrame = rows.select([*SUBJECT, "key", "item"]).to_pandas()
    gold, taken = (
        pc.fill_null(rows[name], -1).to_numpy().astype(int) for name in ("gold", "prediction")
    )
    lists = rows["scores"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    longest = max(1, int(lengths.max(initial=0)))
    scores = np.full((len(lengths), longest), -np.inf)
    scores[np.arange(longest) < lengths[:, None]] = pc.list_flatten(lists).to_numpy(
        zero_copy_only=False
    )
    places = np.arange(len(gold)), np.clip(gold, 0, longest - 1)
    right = scores[places]
    scores[places] = -np.inf
    with np.errstate(invalid="ignore"):
        margin = right - scores.max(axis=1)
    frame["correct"] = (taken == gold) & (gold >= 0)
    frame["margin"] = np.where(np.isfinite(margin), margin, np.nan)
    frame["chance"] = 1 / np.maximum(1, lengths)
    return frame


def _aligned(cell: Cell) -> Aligned:
    """One cell of all its parts.

    Raises:
        ValueError: lists differ in length.
    """
    table, items = joined(cell.parts)
    width = int(pc.max(pc.list_value_length(table["layers"])).as_py())
    layers = matrix(table["layers"], width=width, name="layers")[0][0].astype(int)
    aligned, asked, margins, undefined = {}, {}, np.empty((0, 0)), 0
    for measure in MEASURES:
        values, there = matrix(table[measure], width=width, name=measure)
        if measure == DALI:
            lacking = np.isnan(values) & there[:, None]
            undefined = int(lacking.sum())
            margins = np.where(np.isnan(values), -np.inf, values)
        # A margin that is not defined, with a zero vector, is not above 0.
        aligned[measure], asked[measure] = values > 0, there
    cut = pc.fill_null(table["truncated"], False).to_numpy(zero_copy_only=False)
    return Aligned(
        **cell.place,  # type: ignore[arg-type]
        items=items,
        layers=layers,
        options=table["options"].to_numpy().astype(int),
        aligned=aligned,
        asked=asked,
        margins=margins.astype(np.float32),
        tokens=table["tokens"].to_numpy().astype(int),
        pivot_tokens=table["pivot_tokens"].to_numpy().astype(int),
        gold_longer=table["gold_longer"].to_numpy().astype(float),
        undefined=undefined,
        truncated=int(cut.sum()),
    )
