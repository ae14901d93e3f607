"""Group token sequences into right-padded batches under a budget of padded tokens.

The plan follows from the sequences alone: longest first, so that a batch too large for the device
fails at once, and close in length, so that little is padding. Running out of memory halves the
budget, and the budget is kept as long as the model.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from actors.errors import out_of_memory
from actors.passes.positions import Positions

# Shapes: B rows, T tokens

# A batch of this many tokens, or this share of the budget, keeps a device busy; only then is it
# worth closing because the next sequence is shorter than the first (measured in docs/benchmarks/).
BUSY_TOKENS, BUSY_SHARE = 1024, 1 / 8
SHORTEST_SHARE = 0.9


class Batch(NamedTuple):
    """Rows that run together: their indices, and the width they are padded to."""

    rows: tuple[int, ...]
    width: int


class Distinct(NamedTuple):
    """Sequences without repetition, and for each given one the index of its twin among them."""

    sequences: list[tuple[int, ...]]
    twins: list[int]


def plan(
    lengths: Sequence[int], *, budget: int, groups: Sequence[Hashable] | None = None
) -> list[Batch]:
    """Batches of similar lengths, longest first, of at most `budget` padded tokens each.

    A sequence longer than the budget is a batch of its own. Of `groups`, one for each sequence,
    only those that are equal run together.
    """
    members: dict[Hashable, list[int]] = {}
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        members.setdefault(groups[row] if groups else None, []).append(row)
    batches = [batch for order in members.values() for batch in _fill(order, lengths, budget)]
    return sorted(batches, key=lambda batch: -batch.width)


def _fill(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[Batch]:
    """Batches of rows that may all run together, in this order, longest first."""
    batches: list[Batch] = []
    rows: list[int] = []
    width = 0
    for row in order:
        padded = width * (len(rows) + 1)
        busy = width * len(rows) >= min(BUSY_TOKENS, BUSY_SHARE * budget)
        dissimilar = busy and lengths[row] < SHORTEST_SHARE * width
        if rows and (padded > budget or dissimilar):
            batches.append(Batch(rows=tuple(rows), width=width))
            rows = []
        if not rows:
            width = lengths[row]
        rows.append(row)
    if rows:
        batches.append(Batch(rows=tuple(rows), width=width))
    return batches


def distinct(sequences: Sequence[Sequence[int]]) -> Distinct:
    """Drop repeated sequences, so that equal texts get bit-identical results: exact ties."""
    places: dict[tuple[int, ...], int] = {}
    twins = [places.setdefault(tuple(sequence), len(places)) for sequence in sequences]
    return Distinct(sequences=list(places), twins=twins)


def pad(sequences: Sequence[Sequence[int]], batch: Batch) -> Tensor:
    """Token ids [B, T] of a batch; zeros stand to the right, where no causal model looks.

    A tokenizer need not have a padding token: any id will do there, and every model has id 0.
    """
    ids_BT = torch.zeros(len(batch.rows), batch.width, dtype=torch.long)
    for place, row in enumerate(batch.rows):
        ids_BT[place, : len(sequences[row])] = torch.tensor(sequences[row], dtype=torch.long)
    return ids_BT


class TokenBudget:
    """How many padded tokens one batch may hold for one model on one device; it only shrinks.

    `positions` says which texts may share a batch at all.
    """

    def __init__(self, tokens: int, positions: Positions | None = None) -> None:
        """Start with room for `tokens`."""
        assert tokens > 0
        self.tokens = tokens
        self.positions = positions or Positions()

    def run(
        self,
        lengths: Sequence[int],
        compute: Callable[[Batch], None],
        *,
        most: int | None = None,
        groups: Sequence[Hashable] | None = None,
    ) -> None:
        """Call `compute` with batches that cover every row, with smaller ones after a failure.

        Args:
            lengths: how many tokens each row takes.
            compute: what is done with a batch; the position tables are then as they were loaded.
            most: fewer tokens than the budget, where `compute` keeps much for each of them.
            groups: which rows may run together, where that does not follow from their lengths.

        Raises:
            ValueError: the device has no memory for a single sequence.
        """
        if groups is None:
            groups = [self.positions.side(length) for length in lengths]
        batches = deque(plan(lengths, budget=min(self.tokens, most or self.tokens), groups=groups))
        while batches:
            batch = batches[0]
            self.positions.reset()
            if self._fits(batch, compute):
                batches.popleft()
                continue
            if len(batch.rows) == 1:
                raise ValueError(
                    f"out of memory on a single text of {batch.width} tokens: use a device with "
                    "more memory, a smaller dtype or shorter texts"
                )
            self.tokens = max(1, min(self.tokens, batch.width * len(batch.rows)) // 2)
            left = sorted(row for waiting in batches for row in waiting.rows)
            smaller = plan(
                [lengths[row] for row in left],
                budget=self.tokens,
                groups=[groups[row] for row in left],
            )
            batches = deque(
                Batch(rows=tuple(left[place] for place in rows), width=width)
                for rows, width in smaller
            )

    def _fits(self, batch: Batch, compute: Callable[[Batch], None]) -> bool:
        try:
            compute(batch)
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if not out_of_memory(error):
                raise
            full = True
        else:
            full = False
        # The cache is emptied out here: inside the handler the traceback still holds the tensors.
        if full and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return not full
