"""Latent cells: how probable every option's text is at every layer, in two languages.

One pass for a question reads its options in its own language and in the pivot, and those of
another question where the control is asked for (arXiv 2505.13141, section 4). One language's
answers are held at a time.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from actors.answer import Found
from actors.extraction.lens import Latent, lens
from actors.kinds.resources import Resources
from actors.model import LoadedModel
from actors.prediction.predict import Question
from actors.prediction.score import EncodedItem, ask
from studies.kinds.latent import MEASURES, LatentGrid
from studies.latent_items import LatentSet
from studies.prompt_options import Lens, text
from studies.spec import Cell, Row
from studies.texts import ChoiceItem
from studies.unit import Unit


class _Side(NamedTuple):
    """Options that a question is read with: for which measure, in which language, their texts."""

    measure: str
    name: str
    texts: tuple[str, ...]


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:  # noqa: ARG001
    """One row per item of every cell."""
    assert isinstance(unit.grid, LatentGrid)
    rows: list[tuple[Cell, Row]] = []
    for part in unit.parts:
        assert isinstance(part.content, LatentSet)
        rows += _language(
            loaded, part.content, part.cells, how=unit.grid.lens, cut=unit.allow_truncation
        )
    return Found(rows)


def _language(
    loaded: LoadedModel, asked: LatentSet, cells: Sequence[Cell], *, how: Lens, cut: bool
) -> Iterator[tuple[Cell, Row]]:
    """The rows of one language: all its layers and measures in one pass."""
    sides = [_sides(asked, number) for number in range(len(asked.items))]
    wanted = {str(cell.measure) for cell in cells}
    found = [
        _only(entry, own, wanted)
        for entry, own in zip(_ask(loaded, asked, sides, cut=cut), sides, strict=True)
    ]
    read = lens(
        loaded,
        [entry.question for entry in found],
        layers=sorted({_layer(cell) for cell in cells}),
        norm=how.lens_norm,
        head=how.lens_head,
        softcap=how.softcap,
    )
    switches = text(how)
    for cell in cells:
        for number, item in enumerate(asked.items):
            own = [one for one in sides[number] if one.measure in wanted]
            yield (
                cell,
                {
                    "item": item.id,
                    "gold": item.gold,
                    **_columns(cell, read[number], own),
                    "prompt": asked.prompt,
                    "truncated": found[number].truncated,
                    "switches": switches,
                },
            )


def _sides(asked: LatentSet, number: int) -> list[_Side]:
    """All that one question may be read with."""
    own, other = asked.items[number], asked.items[asked.order[number]]
    return [
        _Side(measure, name, texts)
        for measure, item in zip(MEASURES, (own, other), strict=True)
        for name, texts in (("native", item.native), ("pivot", item.pivot))
    ]


def _ask(
    loaded: LoadedModel, asked: LatentSet, sides: Sequence[Sequence[_Side]], *, cut: bool
) -> list[EncodedItem]:
    """The questions with all their sides, whichever are wanted: what a context is cut to must not
    depend on which cells are asked for together."""
    items = [
        ChoiceItem(
            id=item.id,
            context=item.context,
            options=tuple(text for side in own for text in side.texts),
            gold=item.gold,
        )
        for item, own in zip(asked.items, sides, strict=True)
    ]
    return ask(loaded, items, chat=asked.chat, allow_truncation=cut)


def _only(entry: EncodedItem, sides: Sequence[_Side], wanted: set[str]) -> EncodedItem:
    """The question with the options of wanted measures alone."""
    measures = [side.measure for side in sides for _ in side.texts]
    pairs = zip(entry.question.options, measures, strict=True)
    options = tuple(option for option, measure in pairs if measure in wanted)
    return entry._replace(question=Question(entry.question.prompt, options))


def _layer(cell: Cell) -> int:
    assert cell.layer is not None
    return cell.layer


def _columns(cell: Cell, read: Latent, sides: Sequence[_Side]) -> Row:
    """Log-probabilities and lengths of the options of a cell's measure, in both languages."""
    columns: Row = {}
    logs = iter(read[_layer(cell)])
    for side in sides:
        own = list(islice(logs, len(side.texts)))
        if side.measure != cell.measure:
            continue
        # The space before a text belongs to how it is written, not to it.
        bare = [one.removeprefix(" ") for one in side.texts]
        columns[f"{side.name}_logp"] = [sum(tokens) for tokens in own]
        columns[f"{side.name}_tokens"] = [len(tokens) for tokens in own]
        columns[f"{side.name}_characters"] = [len(one) for one in bare]
        columns[f"{side.name}_bytes"] = [len(one.encode()) for one in bare]
    return columns
