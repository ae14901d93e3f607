"""Latent probabilities of answer texts, from the table `lens` to one row per cell.

The table has millions of rows with lists in them, so each shard is reduced as flat arrays with
offsets and only sums per cell are kept. The probability of a text is the geometric mean over its
length, pbar = exp(logp / length), and the log ratio compares the text in the question's language
with the one in the pivot (arXiv 2505.13141, section 4).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis import read
from analysis.results.answers import SERIES

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

# What logp is divided by, and how options are put together: the mean over options of
# log pbar_native - log pbar_pivot, or the log of the sum over options of pbar in each.
UNITS = {"token": "tokens", "character": "characters", "byte": "bytes"}
RATIOS = ("mean_of_logs", "log_of_sums")
LATENT, SHUFFLED = "latent", "latent_shuffled"
SIDES = ("native", "pivot")
SERIES_OF_MEASURE = [*SERIES, "measure"]
CELL = [*SERIES, "language", "measure", "layer"]
QUANTITIES = (
    *(f"{ratio}_{unit}" for unit in UNITS for ratio in RATIOS),
    *(f"accuracy_{side}" for side in SIDES),
)
COUNTS = ("n", "options", "dropped", "truncated", "ties_native", "ties_pivot")
COLUMNS = [*CELL, "key", "study", *COUNTS, "chance", "native_fertility", "pivot_fertility"]
COLUMNS += [name for quantity in QUANTITIES for name in (quantity, f"{quantity}_se")]
_LISTS = [f"{side}_{part}" for side in SIDES for part in ("logp", *UNITS.values())]
_READ = [*CELL, "key", "study", "item", "gold", "truncated", *_LISTS]


class Flat(NamedTuple):
    """Lists of equal shape laid end to end: the options of row i are `starts[i]` and on.

    `values` has one array per list column, all of one length; `options` is each row's number.
    """

    starts: Whole
    options: Whole
    values: dict[str, Floats]

    def mean(self, flat: Floats) -> Floats:
        """Mean over each row's options."""
        return np.add.reduceat(flat, self.starts) / self.options

    def log_sum(self, flat: Floats) -> Floats:
        """log of the sum over each row's options of exp(flat)."""
        top = np.maximum.reduceat(flat, self.starts)
        spread = np.exp(flat - np.repeat(top, self.options))
        return top + np.log(np.add.reduceat(spread, self.starts))

    def best(self, flat: Floats) -> tuple[Whole, Truths]:
        """Each row's highest option, the lowest index if tied, and whether it was tied."""
        top = np.repeat(np.maximum.reduceat(flat, self.starts), self.options)
        highest = flat == top
        places = np.arange(len(flat)) - np.repeat(self.starts, self.options)
        first = np.minimum.reduceat(np.where(highest, places, len(flat)), self.starts)
        return first, np.add.reduceat(highest.astype(np.int64), self.starts) > 1


def cells(runs: Sequence[Path | str]) -> pd.DataFrame:
    """One row per cell of `lens` in `runs`, each answer once; columns are `COLUMNS`.

    For every unit and ratio there is the mean over items with its standard error (`_se`, over
    items); `accuracy_native` and `accuracy_pivot` are by the highest pbar per token, ties to the
    lowest index and counted. `n` are the items used and `dropped` those without a finite
    log-probability; `chance` is the mean of 1 / options; fertility is tokens per character. Of
    several answers to one cell the one with most items is kept.

    Raises:
        ValueError: the lists of a row differ in length.
    """
    found: list[pd.DataFrame] = []
    seen: set[str] = set()
    for shard in read.shards(runs, name="lens", columns=_READ):
        if not shard.num_rows:
            continue
        part = reduced(shard)
        found.append(part[~part["key"].isin(seen)])
        seen.update(part["key"])
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    every = pd.concat(found, ignore_index=True)
    kept = every.sort_values("n", kind="stable").drop_duplicates(CELL, keep="last")
    return kept.sort_values(CELL, kind="stable").reset_index(drop=True)


def reduced(shard: pa.Table) -> pd.DataFrame:
    """The cells of one shard, which holds all rows of each of its keys."""
    shard = _each_item_once(shard)
    keys = shard["key"].combine_chunks().dictionary_encode()
    codes = keys.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    lists = _flat(shard)
    rows, ties = _by_row(lists, gold=shard["gold"].to_numpy().astype(np.int64))
    known = np.logical_and.reduce([np.isfinite(values) for values in rows.values()])
    cell = _Cells(codes=codes, known=known, size=len(keys.dictionary))
    first = np.unique(codes, return_index=True)[1]
    frame: pd.DataFrame = shard.select([*CELL, "key", "study"]).take(first).to_pandas()
    frame["n"] = cell.sum(known).astype(np.int64)
    frame["dropped"] = cell.sum(~known).astype(np.int64)
    options = np.zeros(cell.size, np.int64)
    np.maximum.at(options, codes, lists.options)
    frame["options"] = options
    frame["chance"] = cell.mean(1 / lists.options)[0]
    cut = pc.fill_null(shard["truncated"], False).to_numpy()
    frame["truncated"] = cell.sum(cut).astype(np.int64)
    for side in SIDES:
        frame[f"ties_{side}"] = cell.sum(ties[side]).astype(np.int64)
        tokens, letters = (
            cell.sum(np.add.reduceat(lists.values[f"{side}_{part}"], lists.starts))
            for part in ("tokens", "characters")
        )
        frame[f"{side}_fertility"] = _ratio(tokens, letters)
    for name, values in rows.items():
        frame[name], frame[f"{name}_se"] = cell.mean(values)
    return frame[COLUMNS]


class _Cells(NamedTuple):
    """Which of `size` cells each row belongs to, and whether it counts."""

    codes: Whole
    known: Truths
    size: int

    def sum(self, values: Floats | Truths) -> Floats:
        """Sum over all rows of each cell."""
        return np.bincount(self.codes, values, self.size).astype(np.float64)

    def mean(self, values: Floats) -> tuple[Floats, Floats]:
        """Mean over each cell's items that count, and its standard error (missing for one)."""
        held = np.where(self.known, values, 0.0)
        n = self.sum(self.known)
        means = _ratio(self.sum(held), n)
        squares = self.sum(np.where(self.known, held - means[self.codes], 0.0) ** 2)
        return means, np.sqrt(_ratio(squares, n * (n - 1)))


def _by_row(lists: Flat, *, gold: Whole) -> tuple[dict[str, Floats], dict[str, Truths]]:
    """Every quantity of every row, and whether its best option was tied, by side."""
    rows: dict[str, Floats] = {}
    ties: dict[str, Truths] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for unit, length in UNITS.items():
            native, pivot = (
                lists.values[f"{side}_logp"] / lists.values[f"{side}_{length}"] for side in SIDES
            )
            rows[f"mean_of_logs_{unit}"] = lists.mean(native - pivot)
            rows[f"log_of_sums_{unit}"] = lists.log_sum(native) - lists.log_sum(pivot)
            if unit == "token":
                for side, flat in zip(SIDES, (native, pivot), strict=True):
                    best, ties[side] = lists.best(flat)
                    rows[f"accuracy_{side}"] = (best == gold).astype(np.float64)
    return rows, ties


def _flat(shard: pa.Table) -> Flat:
    """The list columns as flat arrays.

    Raises:
        ValueError: the lists of a row differ in length, or a row has none.
    """
    columns = {name: shard[name].combine_chunks() for name in _LISTS}
    lengths = {
        name: pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        for name, column in columns.items()
    }
    options = lengths[_LISTS[0]].astype(np.int64)
    for name, length in lengths.items():
        wrong = np.flatnonzero((length != options) | (length == 0))
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"a row of table 'lens' (item {shard['item'][row].as_py()!r}, key "
                f"{shard['key'][row].as_py()}) has {length[row]} entries in {name!r} and "
                f"{options[row]} in {_LISTS[0]!r}: expected one per option in every list; remove "
                "its shard and run the study's command again"
            )
    values = {
        name: column.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        for name, column in columns.items()
    }
    starts = np.concatenate([[0], np.cumsum(options)[:-1]]).astype(np.int64)
    return Flat(starts=starts, options=options, values=values)


def _each_item_once(shard: pa.Table) -> pa.Table:
    """Without the rows that repeat a key and item."""
    codes = [
        shard[name].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
        for name in ("key", "item")
    ]
    pairs = codes[0].astype(np.int64) * (int(codes[1].max()) + 1) + codes[1]
    first = np.unique(pairs, return_index=True)[1]
    return shard if len(first) == shard.num_rows else shard.take(np.sort(first))


def _ratio(above: Floats, below: Floats) -> Floats:
    """Division that leaves what is not defined missing."""
    found = np.full(len(above), np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found
