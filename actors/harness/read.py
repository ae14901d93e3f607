"""Log-likelihood of continuations, and whether the model would have written them itself.

Pairs of one context are branches of one row, plain or under a setting. lm.py turns the harness's
requests into pairs.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from actors.errors import OVERFLOW
from actors.harness.pairs import Pair
from actors.intervention.intervene import armed, gather, places_of
from actors.intervention.setting import Setting, check
from actors.model import LoadedModel
from actors.passes.batching import Batch
from actors.passes.tree_attention import attention, pack, size
from actors.prediction.predict import Question, lay_out, log_softmax_at, want

# Nodes of a row that hang from one context, in contexts or in all: every row runs its context
# again, and what its attention costs grows with the square of its nodes.
ROW_CONTEXTS, ROW_NODES = 4, 256


class Likelihood(NamedTuple):
    """Log-probability of a continuation; greedy: each of its tokens was the most probable."""

    total: float
    greedy: bool


def read_pairs(
    loaded: LoadedModel, pairs: Sequence[Pair], *, setting: Setting = ()
) -> list[Likelihood]:
    """The likelihood of every continuation, with the model plain or changed by `setting`.

    Raises:
        ValueError: the setting cannot act on these contexts, or logits are not finite.
    """
    rows, places = _group(pairs, side=loaded.side)
    for one in setting:
        check(loaded.sites, one, lengths=[len(row.prompt) for row in rows])
    active = tuple(one for one in setting if not one.idle)
    longest = max((len(pair.continuation) for pair in pairs), default=2)
    if longest < 2 and any(one.where == "generated" for one in active):
        raise ValueError(
            "an intervention at 'generated' tokens changes nothing here: no continuation has more "
            "than one token, and the last is only predicted; use 'last', 'prompt' or 'all'"
        )
    layouts = [lay_out(row) for row in rows]
    found: list[list[Likelihood]] = [[] for _ in rows]

    @torch.inference_mode()
    def compute(batch: Batch) -> None:
        packed = pack([layouts[row].row for row in batch.rows], device=loaded.device)
        edits = [
            place
            for line, row in enumerate(batch.rows)
            for place in places_of(
                active,
                prompt=row,
                row=line,
                length=len(rows[row].prompt),
                end=size(layouts[row].row),
            )
        ]
        changed = armed(loaded.sites, gather(edits, device=loaded.device), rows=len(batch.rows))
        with attention(loaded.sites, packed), changed:
            output = loaded.sites.base(**packed.inputs, use_cache=False)
        wanted = want([layouts[row].reads for row in batch.rows], device=loaded.device)
        best: list[Tensor] = []

        def head(state_ND: Tensor) -> Tensor:
            logits_NV = loaded.sites.logits(state_ND)
            best.append(logits_NV.argmax(dim=1))
            return logits_NV

        logs_K = log_softmax_at(head, wanted.take(output.last_hidden_state), wanted.reads_K2)
        place_K, token_K = wanted.reads_K2.to(best[0].device).T
        hits_K = torch.cat(best)[place_K] == token_K
        logs, hits = wanted.by_row(logs_K.tolist()), wanted.by_row(hits_K.tolist())
        for row, own, hit in zip(batch.rows, logs, hits, strict=True):
            options = zip(layouts[row].by_option(own), layouts[row].by_option(hit), strict=True)
            found[row] = [Likelihood(sum(values), all(right)) for values, right in options]

    packed_rows = [layout.row for layout in layouts]
    sizes = [size(row) for row in packed_rows]
    loaded.budget.run(sizes, compute, groups=loaded.groups(packed_rows))
    answers = [found[row][option] for row, option in places]
    if not torch.tensor([answer.total for answer in answers]).isfinite().all():
        raise ValueError(f"log-likelihoods are not finite: {OVERFLOW}")
    return answers


def _group(
    pairs: Sequence[Pair], *, side: Callable[[int], Hashable] | None
) -> tuple[list[Question], list[tuple[int, int]]]:
    """Pairs as rows, and where each is among them: (row, option). Texts of equal `side` may share a
    row; none may without it."""
    rows: list[tuple[tuple[int, ...], dict[tuple[int, ...], int]]] = []
    nodes: list[int] = []
    open_rows: dict[tuple[tuple[int, ...], Hashable], int] = {}
    places = []
    for context, continuation, _ in pairs:
        own = context, side(len(context) + len(continuation) - 1) if side else None
        row = open_rows.get(own) if side else None
        if row is not None and continuation not in rows[row][1]:
            most = max(ROW_NODES, ROW_CONTEXTS * len(context))
            if nodes[row] + len(continuation) > most:
                row = None
        if row is None:
            row = open_rows[own] = len(rows)
            rows.append((context, {}))
            nodes.append(0)
        options = rows[row][1]
        if continuation not in options:
            options[continuation] = len(options)
            nodes[row] += len(continuation)
        places.append((row, options[continuation]))
    return [Question(context, tuple(options)) for context, options in rows], places
