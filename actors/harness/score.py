"""Score question sets of lm-evaluation-harness: its tokens, this project's passes.

The same answers as `prediction/score.py` gives, of the same shape, but with contexts and options
cut as the harness cuts them. A question whose options need different windows of its context is
several questions to the model.
"""

from collections.abc import Sequence

from actors.harness.pairs import encode_pairs
from actors.model import LoadedModel
from actors.prediction.predict import Apart, Question
from actors.prediction.score import Choice, choose, read_options
from studies.texts import ChoiceItem, Normalise


def score(
    loaded: LoadedModel,
    items: Sequence[ChoiceItem],
    *,
    normalise: Normalise = "sum",
    allow_truncation: bool = False,
) -> list[Choice]:
    """Rank every item's options by log-probability, as the harness reads them.

    Raises:
        ValueError: an option has no token to score, or an item exceeds the model's context.
    """
    texts = [(item.context, option) for item in items for option in item.options]
    names = [f"item {item.id!r}" for item in items for _ in item.options]
    pairs = iter(encode_pairs(loaded, texts, allow_truncation=allow_truncation, names=names))
    asked, truncated = Apart([], [], []), []
    for owner, item in enumerate(items):
        own = [next(pairs) for _ in item.options]
        truncated.append(any(pair.truncated for pair in own))
        by_context: dict[tuple[int, ...], list[int]] = {}
        for place, pair in enumerate(own):
            by_context.setdefault(pair.context, []).append(place)
        for context, places in by_context.items():
            options = tuple(own[place].continuation for place in places)
            asked.add(Question(context, options), owner=owner, places=places)
    logs = asked.join(read_options(loaded, asked.questions), questions=len(items))
    return [
        _choose(item, own, normalise=normalise, truncated=cut)
        for item, own, cut in zip(items, logs, truncated, strict=True)
    ]


def _choose(
    item: ChoiceItem, logs: Sequence[Sequence[float]], *, normalise: Normalise, truncated: bool
) -> Choice:
    """The harness counts an option's characters without the one space before it, and no others."""
    choice = choose(item, logs, normalise=normalise, truncated=truncated)
    lengths = [max(1, len(option.removeprefix(" "))) for option in item.options]
    each = [sum(option) / length for option, length in zip(logs, lengths, strict=True)]
    return choice._replace(prediction_norm=each.index(max(each)))
