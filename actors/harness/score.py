"""Score question sets of lm-evaluation-harness: its tokens, this project's passes.

The same answers as `prediction/score.py` and `sweeping/sweep.py` give, of the same shape, but
with contexts and options cut as the harness cuts them. A question whose options need different
windows of its context is several questions to the model.
"""

from collections.abc import Sequence
from typing import NamedTuple

from actors.harness.pairs import Pair, encode_pairs
from actors.intervention.setting import Setting
from actors.model import LoadedModel
from actors.prediction.predict import Question
from actors.prediction.score import Choice, choose, read_options
from actors.sweeping.sweep import sweep
from studies.texts import ChoiceItem, Normalise

# Log-probabilities [question][option][token].
Logs = list[list[list[float]]]


class HarnessQuestions(NamedTuple):
    """Items as questions: which item each is of, and each item's options as (question, option)."""

    questions: list[Question]
    owners: list[int]
    places: list[list[tuple[int, int]]]
    truncated: list[bool]

    def join(self, logs: Logs) -> Logs:
        """The answers by item: [item][option][token]."""
        return [[logs[question][option] for question, option in own] for own in self.places]


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
    asked = ask(loaded, items, allow_truncation=allow_truncation)
    logs = asked.join(read_options(loaded, asked.questions))
    return _choose(items, asked, logs, normalise=normalise)


def sweep_choices(
    loaded: LoadedModel,
    items: Sequence[ChoiceItem],
    settings: Sequence[Setting],
    *,
    normalise: Normalise = "sum",
    allow_truncation: bool = False,
) -> list[list[Choice]]:
    """The ranking of every item's options under every setting: [setting][item].

    Raises:
        ValueError: as `score` and `intervention.sweep` do.
    """
    asked = ask(loaded, items, allow_truncation=allow_truncation)
    own = [tuple(one.of_prompts(asked.owners) for one in setting) for setting in settings]
    swept = sweep(loaded, asked.questions, own)
    return [_choose(items, asked, asked.join(logs), normalise=normalise) for logs in swept]


def ask(
    loaded: LoadedModel, items: Sequence[ChoiceItem], *, allow_truncation: bool
) -> HarnessQuestions:
    """Every item as questions whose options share a context, which they mostly do."""
    texts = [(item.context, option) for item in items for option in item.options]
    names = [f"item {item.id!r}" for item in items for _ in item.options]
    pairs = iter(encode_pairs(loaded, texts, allow_truncation=allow_truncation, names=names))
    asked = HarnessQuestions([], [], [], [])
    for owner, item in enumerate(items):
        own = [next(pairs) for _ in item.options]
        asked.truncated.append(any(pair.truncated for pair in own))
        asked.places.append(_add(asked, owner, own))
    return asked


def _add(asked: HarnessQuestions, owner: int, pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """Add one item's questions, and say where its options went."""
    first = len(asked.questions)
    options: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    places = []
    for pair in pairs:
        group = options.setdefault(pair.context, [])
        places.append((first + list(options).index(pair.context), len(group)))
        group.append(pair.continuation)
    for context, group in options.items():
        asked.questions.append(Question(context, tuple(group)))
        asked.owners.append(owner)
    return places


def _choose(
    items: Sequence[ChoiceItem], asked: HarnessQuestions, logs: Logs, *, normalise: Normalise
) -> list[Choice]:
    """The harness counts an option's characters without the one space before it, and no others."""
    choices = []
    for item, own, truncated in zip(items, logs, asked.truncated, strict=True):
        choice = choose(item, own, normalise=normalise, truncated=truncated)
        lengths = [max(1, len(option.removeprefix(" "))) for option in item.options]
        each = [sum(option) / length for option, length in zip(own, lengths, strict=True)]
        choices.append(choice._replace(prediction_norm=each.index(max(each))))
    return choices
