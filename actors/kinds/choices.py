"""Accuracy cells: items answered by the plain model, or with an adapter that another cell made."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from actors.answer import Found
from actors.harness.score import score as score_as_the_harness
from actors.intervention.setting import Setting
from actors.kinds.resources import Resources
from actors.model import LoadedModel
from actors.prediction.score import Choice, EncodedItem, choose, score
from actors.sweeping.sweep import sweep
from actors.training.finetune import adapted
from studies.content import Content
from studies.harness import PREFIX
from studies.spec import Cell, Row
from studies.texts import ChoiceItem, ChoiceSet
from studies.unit import Unit


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:
    """One row per item of every cell."""
    # The parts of one grid and model answer with one adapter, if with any.
    (adapter,) = {part.taken.get("adapter", "") for part in unit.parts}
    beside: AbstractContextManager[None] = nullcontext()
    if adapter:
        beside = adapted(loaded, resources.artifacts[adapter])
    with beside:
        rows: list[tuple[Cell, Row]] = []
        for part in unit.parts:
            (cell,) = part.cells
            if cell.intervention is not None:
                raise ValueError(
                    f"intervention {cell.intervention!r} was asked for, but items are answered by "
                    "the plain model alone; leave it out"
                )
            found = _rows(loaded, part.content, cut=unit.allow_truncation)
            rows += [(cell, row) for row in found]
    return Found(rows)


def _rows(loaded: LoadedModel, asked: Content, *, cut: bool) -> list[Row]:
    """One row per item."""
    assert isinstance(asked, ChoiceSet)
    items, normalise = asked.items, asked.normalise
    # The harness cuts between context and option by a rule of its own, with other answers at times.
    if asked.benchmark.startswith(PREFIX):
        if asked.chat is not None or asked.variants > 1:
            raise ValueError(
                f"benchmark {asked.benchmark!r} is asked as lm-evaluation-harness asks it, without "
                "a chat template and with one variant of every option: leave both switches out"
            )
        answers = score_as_the_harness(loaded, items, normalise=normalise, allow_truncation=cut)
    else:
        answers = score(
            loaded,
            items,
            normalise=normalise,
            allow_truncation=cut,
            chat=asked.chat,
            variants=asked.variants,
        )
    pairs = zip(items, answers, strict=True)
    return [item_row(item, answer, prompt=asked.prompt) for item, answer in pairs]


def swept_rows(
    loaded: LoadedModel,
    asked: ChoiceSet,
    prompts: Sequence[EncodedItem],
    settings: Sequence[Setting],
) -> list[list[Row]]:
    """The items, as `ask` encodes them, answered under every setting, as rows of `items`."""
    swept = sweep(loaded, [entry.question for entry in prompts], settings)
    return [
        [
            item_row(
                item,
                choose(
                    item,
                    logs,
                    normalise=asked.normalise,
                    truncated=entry.truncated,
                    variants=asked.variants,
                    start=entry.start,
                ),
                prompt=asked.prompt,
            )
            for item, entry, logs in zip(asked.items, prompts, own, strict=True)
        ]
        for own in swept
    ]


def item_row(item: ChoiceItem, answer: Choice, *, prompt: str, switches: str | None = None) -> Row:
    """An answer as a row of `items`; `switches` say how the model was changed, None for not."""
    return {
        "item": item.id,
        "gold": item.gold,
        "prediction": answer.prediction,
        "correct": answer.prediction == item.gold,
        "correct_norm": answer.prediction_norm == item.gold,
        "scores": list(answer.scores),
        "ranks": list(answer.ranks),
        "mass": answer.mass,
        "other_mass": answer.other_mass,
        "option_start": answer.start,
        "prompt": prompt,
        "truncated": answer.truncated,
        "switches": switches,
    }
