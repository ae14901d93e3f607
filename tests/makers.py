"""A made-up kind of study: one cell of a language makes a mean vector, another takes it.

Vectors come from the real model that the worker holds, and travel as artifacts.
"""

from safetensors.torch import load, save

from actors import work
from actors.answer import Answer
from actors.extraction.capture import Reading, capture
from actors.model import LoadedModel
from actors.tasks.given import Given
from orchestrator.storage.tables import SCHEMAS
from orchestrator.workers.worker import Order, Worker
from studies.spec import AlignmentWork, Bitext, Cell, ModelFacts, Row, Switches, Unit, digest

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
    work = AlignmentWork(bitexts=(bitext,), switches=Switches())
    return Unit(
        study="made-up", model=model, cells=(cell,), work=work, characters=10_000, needs=needs
    )


def answer(loaded: LoadedModel, unit: Unit, given: Given) -> Answer:
    """A maker's row holds the length of its vector; a taker's row twice that of the one taken."""
    (cell,) = unit.cells
    if cell.measure == "made":
        assert isinstance(unit.work, AlignmentWork)
        encoded = loaded.encode(unit.work.bitexts[0].texts, allow_truncation=False)
        vector = capture(loaded, encoded.sequences, {READING}).at(READING).mean(0)
        return Answer([_row(unit, float(vector.norm()))], {cell.key: save({"mean": vector})})
    (key,) = unit.needs
    vector = load(given.artifacts[key])["mean"]
    return Answer([_row(unit, 2 * float(vector.norm()))])


def _row(unit: Unit, value: float) -> Row:
    (cell,) = unit.cells
    columns = ("model", "revision", "dataset", "language", "pivot", "measure", "pooling", "layer")
    known: Row = {name: getattr(cell, name) for name in columns}
    known |= {"study": unit.study, "key": cell.key, "switches": "{}", "truncated": 0}
    empty: Row = dict.fromkeys(SCHEMAS["alignment"].names)
    return {**empty, **known, "n": 3, "value": value, "ties": 0, "p_null": 1.0}


class MakingWorker(Worker):
    """A worker whose process knows the made-up kind."""

    def load(self, order: Order):
        """As any worker, with one more kind of task."""
        work.TASKS[AlignmentWork] = answer
        return super().load(order)
