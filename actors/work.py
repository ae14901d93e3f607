"""Answer one unit of cells with one model: the table of task kinds, from cells to rows.

A kind may leave artifacts for the cells of other units, and take those its own cells need. Rows
carry exactly the columns of docs/tables.md. Which units exist, and where their rows go, is unknown
here.
"""

from collections.abc import Callable, Mapping

from actors.answer import Answer
from actors.model import LoadedModel
from actors.tasks.choices import choices
from actors.tasks.given import Given, PivotCache
from actors.tasks.latent import latent
from actors.tasks.parallel import parallel
from actors.tasks.steering import steering
from actors.tasks.texts import texts
from actors.tasks.training import training
from actors.tasks.vectors import vectors
from studies.spec import (
    AlignmentWork,
    ChoiceWork,
    GenerationWork,
    LatentWork,
    SteeringWork,
    TrainingWork,
    Unit,
    VectorWork,
    Work,
)

TASKS: dict[type[Work], Callable[[LoadedModel, Unit, Given], Answer]] = {
    AlignmentWork: parallel,
    ChoiceWork: choices,
    GenerationWork: texts,
    TrainingWork: training,
    LatentWork: latent,
    VectorWork: vectors,
    SteeringWork: steering,
}


def run_unit(
    loaded: LoadedModel,
    unit: Unit,
    *,
    artifacts: Mapping[str, bytes] = {},
    pivots: PivotCache | None = None,
) -> Answer:
    """The rows of every cell in `unit`, in the order of its cells, and what it makes for others.

    Args:
        loaded: the model that the unit names.
        unit: what to answer.
        artifacts: what the cells that the unit needs have made, by their key.
        pivots: pivot vectors kept between units; None keeps none.

    Raises:
        ValueError: the unit is for another model, an artifact it needs is missing, or its texts
            cannot be answered.
    """
    if unit.model.identity != loaded.facts.identity:
        raise ValueError(
            f"the unit is for model {unit.model.label!r} and this actor holds "
            f"{loaded.facts.label!r}: send it to an actor that holds that model"
        )
    if lost := [key for key in unit.needs if key not in artifacts]:
        raise ValueError(
            f"a unit needs the artifacts of {len(unit.needs)} cells and {len(lost)} are missing, "
            f"that of cell {lost[0]} first: run the same command again, which makes them"
        )
    answer = TASKS[type(unit.work)](loaded, unit, Given(artifacts, pivots or PivotCache()))
    place = {cell.key: number for number, cell in enumerate(unit.cells)}
    return answer._replace(rows=sorted(answer.rows, key=lambda row: place[str(row["key"])]))
