"""The plan of a study whose models nobody has looked at before."""

from typing import Any

from orchestrator import models
from orchestrator import plan as plans
from studies.study import Study


def planned(study: Study, **given: Any) -> plans.Plan:
    """What `plan.build` makes of a study and of the facts of its models."""
    return plans.build(study, models.read(study.models), **given)
