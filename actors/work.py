"""Answer one unit of cells with one model: find what computes its kind, and complete the rows."""

from collections.abc import Mapping
from importlib import import_module

from actors.answer import Answer, answer_of
from actors.kinds.resources import PivotCache, Resources
from actors.model import LoadedModel
from studies.kinds import KINDS
from studies.unit import Unit


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
    if unit.kind not in KINDS:
        raise ValueError(f"unknown kind of cells {unit.kind!r}: expected one of {', '.join(KINDS)}")
    kind = import_module(f"actors.kinds.{unit.kind}")
    return answer_of(unit, kind.answer(loaded, unit, Resources(artifacts, pivots or PivotCache())))
