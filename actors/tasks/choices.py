"""Accuracy cells: items answered by the plain model, or with an adapter that another cell made."""

from contextlib import AbstractContextManager, nullcontext

from actors.answer import Answer
from actors.finetune import adapted
from actors.harness.score import score as score_as_the_harness
from actors.model import LoadedModel
from actors.prediction.score import Choice, score
from actors.tasks.given import Given
from studies.harness import PREFIX
from studies.spec import Cell, ChoiceItem, ChoiceSet, ChoiceWork, Row, Unit


def choices(loaded: LoadedModel, unit: Unit, given: Given) -> Answer:
    """One row per item of every cell."""
    work = unit.work
    assert isinstance(work, ChoiceWork), "accuracy cells come with sets of items"
    beside: AbstractContextManager[None] = nullcontext()
    if work.adapter:
        beside = adapted(loaded, given.artifacts[work.adapter])
    rows: list[Row] = []
    with beside:
        for cell in unit.cells:
            found = [
                entry
                for entry in work.sets
                if (entry.benchmark, entry.language) == (cell.benchmark, cell.language)
            ]
            assert len(found) == 1, f"a cell has one set of items, found {len(found)}"
            if cell.intervention is not None:
                raise ValueError(
                    f"intervention {cell.intervention!r} was asked for, but items are answered by "
                    "the plain model alone; leave it out"
                )
            rows += _answers(loaded, unit, cell, found[0])
    return Answer(rows)


def _answers(loaded: LoadedModel, unit: Unit, cell: Cell, asked: ChoiceSet) -> list[Row]:
    items, normalise, cut = asked.items, asked.normalise, unit.allow_truncation
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
    pairs = zip(asked.items, answers, strict=True)
    return [item_row(unit, cell, item, answer, prompt=asked.prompt) for item, answer in pairs]


def item_row(
    unit: Unit,
    cell: Cell,
    item: ChoiceItem,
    answer: Choice,
    *,
    prompt: str,
    switches: str | None = None,
) -> Row:
    """An answer as a row of `items`; `switches` say how the model was changed, None for not."""
    return {
        "study": unit.study,
        "model": cell.model,
        "revision": cell.revision,
        "benchmark": cell.benchmark,
        "language": cell.language,
        "item": item.id,
        "intervention": cell.intervention,
        "layer": cell.layer,
        "coefficient": cell.coefficient,
        "gold": item.gold,
        "prediction": answer.prediction,
        "correct": answer.prediction == item.gold,
        "correct_norm": answer.prediction_norm == item.gold,
        "scores": list(answer.scores),
        "ranks": list(answer.ranks),
        "mass": answer.mass,
        "other_mass": answer.other_mass,
        "option_start": answer.start,
        "key": cell.key,
        "prompt": prompt,
        "truncated": answer.truncated,
        "pivot": cell.pivot,
        "seed": cell.seed,
        "switches": switches,
    }
