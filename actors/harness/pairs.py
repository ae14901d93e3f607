"""Contexts and continuations as lm-evaluation-harness cuts them into tokens, and their likelihood.

Its rule (`TemplateLM._encode_pair`, and the windows of `HFLM`): spaces that end a context belong to
the continuation; both together are tokenised, and what lies behind as many tokens as the context
has by itself is the continuation; a text too long loses its beginning, BOS included. Where no token
ends with the context, that is not what this project's own rule does (`prediction/score.py`), so
whoever compares with the harness needs its rule. lm_eval itself is not needed here.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from actors.errors import OVERFLOW
from actors.intervention.intervene import armed, gather, places_of
from actors.intervention.setting import Setting, check
from actors.model import LoadedModel, too_long
from actors.passes.batching import Batch
from actors.passes.tree_attention import attention, pack, size
from actors.prediction.predict import Question, lay_out, log_softmax_at, want


class Pair(NamedTuple):
    """Token ids of a context and its continuation, and whether the context was cut."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]
    truncated: bool = False


def encode(loaded: LoadedModel, texts: Iterable[str]) -> dict[str, list[int]]:
    """Token ids of texts with what the tokenizer adds; a BOS that a text begins with stays one."""
    bos = str(loaded.tokenizer.decode(prefix_token(loaded)))
    found: dict[str, list[int]] = {}
    distinct = list(dict.fromkeys(texts))
    for special in (True, False):
        group = [text for text in distinct if text.startswith(bos) != special]
        if group:
            encoded = loaded.tokenizer(group, add_special_tokens=special, verbose=False)
            ids = loaded.embedded([list(one) for one in encoded["input_ids"]])
            found.update(zip(group, ids, strict=True))
    return found


def prefix_token(loaded: LoadedModel) -> int:
    """The token that stands before a text without context: BOS, or EOS where there is no BOS."""
    for token in (loaded.tokenizer.bos_token_id, loaded.tokenizer.eos_token_id):
        if token is not None:
            return loaded.embedded([[int(token)]])[0][0]
    raise ValueError(
        f"the tokenizer of {loaded.facts.label!r} has neither a BOS nor an EOS token: "
        "lm-evaluation-harness puts one of them before texts without context"
    )


def encode_pairs(
    loaded: LoadedModel,
    texts: Sequence[tuple[str, str]],
    *,
    allow_truncation: bool,
    names: Sequence[str] = (),
) -> list[Pair]:
    """Token ids of every context and continuation, in windows that the model can read.

    `names` are what messages call the pairs; without them, by their continuations.

    Raises:
        ValueError: a continuation has no token, or a pair exceeds the context and may not be cut.
    """
    moved = [_move_spaces(*text) for text in texts]
    joined = [given for given, (text, _) in zip(moved, texts, strict=True) if text]
    ids = encode(loaded, [text for context, whole in joined for text in (context, context + whole)])
    alone = [continuation for context, continuation in texts if not context]
    bare = dict(zip(alone, loaded.tokenise(alone), strict=True))
    prefix = prefix_token(loaded)
    pairs = []
    called = names or [repr(text) for _, text in texts]
    for what, (given, text), (context, continuation) in zip(called, texts, moved, strict=True):
        if given:
            head, whole = ids[context], ids[context + continuation]
        else:
            whole = bare[text]
            whole = whole if whole[:1] == [prefix] else [prefix, *whole]
            head = whole[:1]
        pair = Pair(tuple(head), tuple(whole[len(head) :]))
        pairs.append(window(loaded, pair, what=what, allow_truncation=allow_truncation))
    return pairs


def window(loaded: LoadedModel, pair: Pair, *, what: str, allow_truncation: bool) -> Pair:
    """The pair as it fits: its last token is only predicted, so one more than the context does."""
    context, continuation, _ = pair
    if not context or not continuation:
        lacking = "continuation" if context else "context"
        raise ValueError(
            f"{what}: the {lacking} has no token, as lm-evaluation-harness cuts it: nothing can be "
            "scored; the tokenizer may not know this script"
        )
    found, most = len(context) + len(continuation), loaded.facts.context + 1
    if found <= most:
        return pair
    kept = most - len(continuation)
    if not allow_truncation or kept < 1:
        cut = "" if kept >= 1 else ", a continuation alone too long to be cut"
        raise ValueError(too_long(what + cut, found, context=most - 1))
    return Pair(context[-kept:], continuation, truncated=True)


def _move_spaces(context: str, continuation: str) -> tuple[str, str]:
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


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
