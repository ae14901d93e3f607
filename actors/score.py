"""Score the options of multiple-choice items: log-probability of each option given its context.

Where every option of an item is a single token, one row serves them all: its last position's
logits hold every answer. Otherwise each option is a row of its own. Logits are computed only at
the positions that predict an option's token. Prompts, gold answers and accuracy are unknown here.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from scipy.stats import rankdata
from torch import Tensor

from actors.batching import Batch, distinct, pad
from actors.model import LoadedModel, too_long
from studies.spec import ChoiceItem

# Shapes: B rows, T tokens, D width, V vocabulary, N scored positions, J targets of a position

# Logits of this many positions exist at a time: 256 x 256,000 in fp32 is 262 MB.
POSITIONS_AT_ONCE = 256


class Choice(NamedTuple):
    """The model's answer to one item. Rank 1 is most probable; equal scores share their rank."""

    scores: tuple[float, ...]
    ranks: tuple[float, ...]
    prediction: int
    truncated: bool


class _Tokens(NamedTuple):
    """One item as token ids: what precedes, and every option."""

    context: list[int]
    options: list[list[int]]
    truncated: bool


class _Row(NamedTuple):
    """One sequence to run. Its last `len(targets)` positions predict; each may have several
    targets, where options share the row."""

    inputs: list[int]
    targets: list[list[int]]

    @property
    def flat(self) -> list[int]:
        """The row as one list of numbers: equal rows have equal lists."""
        ends = [-1 - len(target) for target in self.targets]
        return [*self.inputs, *ends, *(token for target in self.targets for token in target)]


def score(
    loaded: LoadedModel,
    items: Sequence[ChoiceItem],
    *,
    normalise: Literal["sum", "token"] = "sum",
    allow_truncation: bool = False,
) -> list[Choice]:
    """Rank every item's options by log-probability.

    Args:
        loaded: the model.
        items: what to answer.
        normalise: `sum` over an option's tokens, or `token`, their mean.
        allow_truncation: cut contexts that are too long, from the left.

    Raises:
        ValueError: an option has no token to score, or an item exceeds the model's context.
    """
    tokens = [
        _fit(loaded, item, entry, allow_truncation=allow_truncation)
        for item, entry in zip(items, _tokenise(loaded, items), strict=True)
    ]
    rows: list[_Row] = []
    ends = [0]
    for item, entry in zip(items, tokens, strict=True):
        rows += _rows(item, entry)
        ends.append(len(rows))
    logs = _log_probabilities(loaded, rows)
    return [
        _choose(item, logs[start:end], normalise=normalise, truncated=entry.truncated)
        for item, entry, (start, end) in zip(items, tokens, pairwise(ends), strict=True)
    ]


def _tokenise(loaded: LoadedModel, items: Sequence[ChoiceItem]) -> list[_Tokens]:
    """Context and options apart, cut at a boundary that the tokens have too.

    The joint text is used where the context's tokens begin it; otherwise the option is tokenised
    by itself, so that no token of the context changes from option to option.
    """
    contexts = loaded.tokenise([item.context for item in items])
    joint = iter(
        loaded.tokenise([item.context + option for item in items for option in item.options])
    )
    tokens = []
    for item, context in zip(items, contexts, strict=True):
        options = []
        for option in item.options:
            whole = next(joint)
            if whole[: len(context)] == context and len(whole) > len(context):
                options.append(whole[len(context) :])
            else:
                options.append(_tokenise_alone(loaded, option, context=context, whole=whole))
        tokens.append(_Tokens([*loaded.prefix, *context], options, truncated=False))
    return tokens


def _tokenise_alone(
    loaded: LoadedModel, option: str, *, context: list[int], whole: list[int]
) -> list[int]:
    """The option's tokens such that, after the context's, they read as the joint text does.

    Some tokenizers put a space before every text, so that " yes" by itself would get two.
    """
    readings = loaded.tokenise([option, option.removeprefix(" ")])
    text = loaded.tokenizer.decode(whole)
    for ids in readings:
        if ids and loaded.tokenizer.decode([*context, *ids]) == text:
            return ids
    return readings[0]


def _fit(
    loaded: LoadedModel, item: ChoiceItem, tokens: _Tokens, *, allow_truncation: bool
) -> _Tokens:
    """Cut the context from the left, behind the prefix, until the longest option fits."""
    longest = max(len(option) for option in tokens.options)
    found, context = len(tokens.context) + longest, loaded.facts.context
    if found <= context:
        return tokens
    prefix = len(loaded.prefix)
    kept = context - longest - prefix
    if not allow_truncation or kept < 0:
        cut = "" if kept >= 0 else ", an option alone too long to be cut"
        raise ValueError(too_long(f"item {item.id!r}{cut}", found, context=context))
    shortened = tokens.context[:prefix] + tokens.context[len(tokens.context) - kept :]
    return _Tokens(shortened, tokens.options, truncated=True)


def _rows(item: ChoiceItem, tokens: _Tokens) -> list[_Row]:
    """The sequences that answer one item: a shared one, or one per option."""
    if tokens.context and all(len(option) == 1 for option in tokens.options):
        return [_Row(tokens.context, [[option[0] for option in tokens.options]])]
    # Without anything before it a text's first token cannot be predicted, so it is not scored.
    first = 0 if tokens.context else 1
    rows = []
    for place, option in enumerate(tokens.options):
        if len(option) <= first:
            raise ValueError(
                f"item {item.id!r}: option {place} ({item.options[place]!r}) has no token that "
                "can be scored; expected at least one after the context"
            )
        inputs = [*tokens.context, *option[:-1]]
        rows.append(_Row(inputs, [[token] for token in option[first:]]))
    return rows


@torch.inference_mode()
def _log_probabilities(loaded: LoadedModel, rows: Sequence[_Row]) -> list[list[list[float]]]:
    """For every row, its positions and their targets' log-probabilities."""
    unique = distinct([row.flat for row in rows])
    first_of = {twin: place for place, twin in reversed(list(enumerate(unique.twins)))}
    todo = [rows[first_of[twin]] for twin in range(len(unique.sequences))]
    results: list[list[list[float]]] = [[] for _ in todo]

    def compute(batch: Batch) -> None:
        scored = _forward(loaded, [todo[row] for row in batch.rows], batch)
        for row, values in zip(batch.rows, scored, strict=True):
            results[row] = values

    loaded.budget.run([len(row.inputs) for row in todo], compute)
    return [results[twin] for twin in unique.twins]


def _forward(loaded: LoadedModel, rows: Sequence[_Row], batch: Batch) -> list[list[list[float]]]:
    """Run one batch: hidden states, then logits at the predicting positions alone."""
    whole = Batch(rows=tuple(range(len(rows))), width=batch.width)
    ids_BT = pad([row.inputs for row in rows], whole).to(loaded.device)
    hidden_BTD = loaded.sites.base(input_ids=ids_BT, use_cache=False).last_hidden_state
    places = [
        (line, len(row.inputs) - len(row.targets) + step)
        for line, row in enumerate(rows)
        for step in range(len(row.targets))
    ]
    targets = [target for row in rows for target in row.targets]
    width = max(len(target) for target in targets)
    targets_NJ = torch.tensor([target + [0] * (width - len(target)) for target in targets])
    line_N, place_N = torch.tensor(places, device=loaded.device).T
    hidden_ND = hidden_BTD[line_N, place_N]
    logs_NJ = _log_softmax_at(loaded, hidden_ND, targets_NJ.to(loaded.device)).cpu()
    values = iter(logs_NJ.tolist())
    return [[next(values)[: len(target)] for target in row.targets] for row in rows]


def _log_softmax_at(loaded: LoadedModel, hidden_ND: Tensor, targets_NJ: Tensor) -> Tensor:
    """Log-probabilities of the targets in fp32, a few positions' logits at a time."""
    parts = []
    for hidden, targets in zip(
        torch.split(hidden_ND, POSITIONS_AT_ONCE),
        torch.split(targets_NJ, POSITIONS_AT_ONCE),
        strict=True,
    ):
        logits_NV = loaded.sites.logits(hidden).float()
        parts.append(logits_NV.gather(1, targets) - logits_NV.logsumexp(dim=1, keepdim=True))
    return torch.cat(parts)


def _choose(
    item: ChoiceItem,
    rows: Sequence[Sequence[Sequence[float]]],
    *,
    normalise: Literal["sum", "token"],
    truncated: bool,
) -> Choice:
    """Scores, ranks and prediction from one item's rows."""
    if len(rows) == len(item.options):
        scores = [sum(position[0] for position in row) for row in rows]
        if normalise == "token":
            scores = [total / len(row) for total, row in zip(scores, rows, strict=True)]
    else:
        scores = list(rows[0][0])
    if not torch.tensor(scores).isfinite().all():
        raise ValueError(
            f"item {item.id!r}: scores {scores} are not finite: the model overflows in this "
            "dtype; use --dtype bfloat16 or float32"
        )
    ranks = rankdata([-value for value in scores], method="average")
    return Choice(
        scores=tuple(scores),
        ranks=tuple(float(rank) for rank in ranks),
        prediction=scores.index(max(scores)),
        truncated=truncated,
    )
