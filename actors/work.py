"""Answer one unit of cells with one model: the table of task kinds, from cells to rows.

Batches are formed from all the texts of one language and from nothing else, so a value does not
depend on how cells were grouped into units. Rows carry exactly the columns of docs/tables.md.
Which units exist, and where their rows go, is unknown here.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from actors.alignment import align
from actors.extraction.capture import Reading, Vectors, capture
from actors.model import LoadedModel
from actors.prediction.score import score
from studies.measures import normed, resolve
from studies.spec import (
    AlignmentWork,
    Bitext,
    Cell,
    ChoiceSet,
    ChoiceWork,
    Row,
    Switches,
    Table,
    Unit,
    digest,
)


class LanguageVectors(NamedTuple):
    """The vectors of one language's texts, and how many texts were cut to the context."""

    vectors: Vectors
    truncated: int


class _Place(NamedTuple):
    """Where a bitext stands in the grid."""

    dataset: str | None
    language: str
    pivot: str | None


class PivotCache:
    """The pivot's vectors, kept from one unit to the next; the least recently used goes first.

    They are what every language is compared with, and the largest thing an actor holds.
    """

    def __init__(self, *, size: int = 1) -> None:
        """Keep the vectors of `size` pivot texts."""
        self._size = size
        self._held: OrderedDict[str, LanguageVectors] = OrderedDict()

    def get(
        self, key: str, readings: set[Reading], compute: Callable[[], LanguageVectors]
    ) -> LanguageVectors:
        """The vectors held under `key` if they have all `readings`, else those of `compute`."""
        held = self._held.pop(key, None)
        if held is None or not readings <= held.vectors.readings.keys():
            while len(self._held) >= self._size:
                self._held.popitem(last=False)
            held = compute()
        self._held[key] = held
        return held


def run_unit(loaded: LoadedModel, unit: Unit, *, pivots: PivotCache | None = None) -> list[Row]:
    """The rows of every cell in `unit`, in the order of its cells.

    Args:
        loaded: the model that the unit names.
        unit: what to answer.
        pivots: pivot vectors kept between units; None keeps none.

    Raises:
        ValueError: the unit is for another model, or its texts cannot be answered.
    """
    if unit.model.identity != loaded.facts.identity:
        raise ValueError(
            f"the unit is for model {unit.model.label!r} and this actor holds "
            f"{loaded.facts.label!r}: send it to an actor that holds that model"
        )
    rows = TASKS[unit.table](loaded, unit, pivots or PivotCache())
    return [row for cell in unit.cells for row in rows[cell.key]]


def _alignment_rows(loaded: LoadedModel, unit: Unit, pivots: PivotCache) -> dict[str, list[Row]]:
    """One row per cell; one language's vectors are held at a time, beside the pivot's."""
    work = unit.work
    assert isinstance(work, AlignmentWork), "alignment cells come with bitexts"
    readings = {cell.key: _reading(loaded, cell, work.switches) for cell in unit.cells}
    cells_of: dict[_Place, list[Cell]] = defaultdict(list)
    for cell in unit.cells:
        cells_of[_Place(cell.dataset, cell.language, cell.pivot)].append(cell)
    asked = [
        (bitext, cells_of.pop(_Place(bitext.dataset, bitext.language, bitext.pivot), []))
        for bitext in work.bitexts
    ]
    assert not cells_of, f"cells without texts: {list(cells_of)}"
    needed: dict[tuple[str, ...], set[Reading]] = defaultdict(set)
    for bitext, cells in asked:
        needed[bitext.pivot_texts] |= {readings[cell.key] for cell in cells}
    rows: dict[str, list[Row]] = {}
    for bitext, cells in asked:
        own = {readings[cell.key] for cell in cells}
        if not own:
            continue
        pivot = _pivot_vectors(loaded, unit, bitext, needed[bitext.pivot_texts], pivots)
        language = _vectors(loaded, unit, bitext.texts, own, work.switches)
        for cell in cells:
            row = _alignment_row(loaded, unit, cell, readings[cell.key], pivot, language)
            rows[cell.key] = [row]
    return rows


def _reading(loaded: LoadedModel, cell: Cell, switches: Switches) -> Reading:
    """What a cell's measure reads under the switches."""
    assert cell.measure is not None and cell.pooling is not None and cell.layer is not None
    measure = resolve(cell.measure, switches=switches)
    last = loaded.facts.layers
    if cell.layer not in measure.layers(last):
        raise ValueError(
            f"measure {cell.measure!r} has layers {measure.first_layer} to {last} in model "
            f"{loaded.facts.label!r}; layer {cell.layer} was asked for"
        )
    after_norm = normed(measure, layer=cell.layer, last=last, switches=switches)
    return Reading(
        site="final_norm" if after_norm else measure.site,
        state=measure.state,
        pooling=cell.pooling,
        layer=cell.layer,
    )


def _pivot_vectors(
    loaded: LoadedModel, unit: Unit, bitext: Bitext, readings: set[Reading], pivots: PivotCache
) -> LanguageVectors:
    assert isinstance(unit.work, AlignmentWork)
    switches = unit.work.switches
    key = digest([bitext.pivot_texts, switches.include_bos, unit.allow_truncation])
    return pivots.get(
        key, readings, lambda: _vectors(loaded, unit, bitext.pivot_texts, readings, switches)
    )


def _vectors(
    loaded: LoadedModel,
    unit: Unit,
    texts: Sequence[str],
    readings: set[Reading],
    switches: Switches,
) -> LanguageVectors:
    encoded = loaded.encode(texts, allow_truncation=unit.allow_truncation)
    vectors = capture(loaded, encoded.sequences, readings, include_bos=switches.include_bos)
    return LanguageVectors(vectors=vectors, truncated=encoded.truncated)


@torch.inference_mode()
def _alignment_row(
    loaded: LoadedModel,
    unit: Unit,
    cell: Cell,
    reading: Reading,
    pivot: LanguageVectors,
    language: LanguageVectors,
) -> Row:
    assert isinstance(unit.work, AlignmentWork)
    pivot_ND = pivot.vectors.at(reading).to(loaded.device)
    language_ND = language.vectors.at(reading).to(loaded.device)
    alignment = align(pivot_ND, language_ND)
    return {
        "study": unit.study,
        "model": cell.model,
        "revision": cell.revision,
        "dataset": cell.dataset,
        "language": cell.language,
        "pivot": cell.pivot,
        "measure": cell.measure,
        "pooling": cell.pooling,
        "layer": cell.layer,
        "n": len(pivot_ND),
        "value": alignment.value,
        "ties": alignment.ties,
        "p_null": alignment.p_null,
        "key": cell.key,
        "switches": unit.work.switches.text(),
        "truncated": pivot.truncated + language.truncated,
    }


def _item_rows(loaded: LoadedModel, unit: Unit, _pivots: PivotCache) -> dict[str, list[Row]]:
    """One row per item of every cell."""
    work = unit.work
    assert isinstance(work, ChoiceWork), "accuracy cells come with sets of items"
    rows: dict[str, list[Row]] = {}
    for cell in unit.cells:
        sets = [
            entry
            for entry in work.sets
            if (entry.benchmark, entry.language) == (cell.benchmark, cell.language)
        ]
        assert len(sets) == 1, f"a cell has one set of items, found {len(sets)}"
        if cell.intervention is not None:
            raise ValueError(
                f"intervention {cell.intervention!r} was asked for, but items are answered by "
                "the plain model alone; leave it out"
            )
        rows[cell.key] = _answers(loaded, unit, cell, sets[0])
    return rows


def _answers(loaded: LoadedModel, unit: Unit, cell: Cell, choices: ChoiceSet) -> list[Row]:
    answers = score(
        loaded,
        choices.items,
        normalise=choices.normalise,
        allow_truncation=unit.allow_truncation,
    )
    return [
        {
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
            "scores": list(answer.scores),
            "ranks": list(answer.ranks),
            "key": cell.key,
            "prompt": choices.prompt,
            "truncated": answer.truncated,
        }
        for item, answer in zip(choices.items, answers, strict=True)
    ]


TASKS: dict[Table, Callable[[LoadedModel, Unit, PivotCache], dict[str, list[Row]]]] = {
    "alignment": _alignment_rows,
    "items": _item_rows,
}
