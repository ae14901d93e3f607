"""A made-up kind of study: one cell of a language makes a mean vector, another takes it.

Vectors come from the real model that the worker holds, and travel as artifacts.
"""

from safetensors.torch import load, save

from actors.answer import Found
from actors.extraction.capture import Reading, capture
from actors.kinds import alignment
from actors.kinds.resources import Resources
from actors.model import LoadedModel
from orchestrator.workers.worker import Order, Worker
from studies.kinds.alignment import ALIGNMENT, AlignmentGrid
from studies.spec import Cell, ModelFacts, Row, digest
from studies.tables import COORDINATES
from studies.texts import Bitext
from studies.unit import Unit
from tests.makers.units import of_cells

READING = Reading(site="resid_post", state="raw", pooling="average", layer=1)


def units(model: ModelFacts, *languages: str) -> list[Unit]:
    """For each language a maker's unit and a taker's, the takers first."""
    makers = [_unit(model, language, "made") for language in languages]
    takers = [
        _unit(model, maker.cells[0].language, "taken", needs=(maker.cells[0].key,))
        for maker in makers
    ]
    return [*takers, *makers]


def _unit(model: ModelFacts, language: str, measure: str, *, needs: tuple[str, ...] = ()) -> Unit:
    texts = tuple(f"{language} {word}" for word in ("Anna", "is", "at home"))
    bitext = Bitext(
        dataset="made-up", language=language, pivot=language, ids=("1", "2", "3"),
        pivot_texts=texts, texts=texts,
    )  # fmt: skip
    cell = Cell(
        table="alignment", model=model.name, revision=model.revision, language=language,
        scope=digest([model.identity, bitext.fingerprint, *needs]), dataset="made-up",
        pivot=language, measure=measure, pooling="average", layer=1,
    )  # fmt: skip
    grid = AlignmentGrid(dataset="made-up", languages=(language,))
    taken = {key: key for key in needs}
    part = ((cell,), bitext)
    return of_cells("alignment", grid, model, part, characters=10_000, taken=taken, study="made-up")


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:
    """A maker's row holds the length of its vector; a taker's row twice that of the one taken."""
    (cell,) = unit.cells
    if cell.measure == "made":
        bitext = unit.parts[0].content
        assert isinstance(bitext, Bitext)
        encoded = loaded.encode(bitext.texts, allow_truncation=False)
        vector = capture(loaded, encoded.sequences, {READING}).at(READING).mean(0)
        row = _row(float(vector.norm()))
        return Found([(cell, row)], {cell.key: save({"mean": vector})})
    (key,) = unit.needs
    vector = load(resources.artifacts[key])["mean"]
    return Found([(cell, _row(2 * float(vector.norm())))])


def _row(value: float) -> Row:
    others = [name for name in ALIGNMENT.types if name not in ("study", *COORDINATES)]
    known: Row = {"n": 3, "value": value, "ties": 0, "p_null": 1.0, "truncated": 0}
    return dict.fromkeys(others) | known | {"switches": "{}"}


class MakingWorker(Worker):
    """A worker whose process knows the made-up kind."""

    def load(self, order: Order):
        """As any worker, with one more kind of task."""
        alignment.answer = answer
        return super().load(order)
