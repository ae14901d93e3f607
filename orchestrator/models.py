"""The models of a study: their facts, and which can be used, before anything is written.

Files, settings and headers are read, and transformers is asked whether the tensors fit. That needs
torch, which takes longer to import than all the rest, so the result is remembered.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from studies.models.cache import recall, remember
from studies.models.config import readable
from studies.models.facts import distinct, facts
from studies.models.folder import small_files
from studies.models.weights import tensors_of, tensors_on_hub, unfinished
from studies.spec import Model, ModelFacts, digest


def read(models: Sequence[Model]) -> tuple[ModelFacts, ...]:
    """The facts of models, whether they can be loaded or not.

    Raises:
        ValueError: there is no such model, or two are the same or have one name.
    """
    return distinct(map(facts, models))


def usable(models: Sequence[Model], *, skip: bool) -> tuple[tuple[ModelFacts, ...], list[str]]:
    """The facts of the models that can be used, and notes on them and on those left out.

    Args:
        models: the models as asked for.
        skip: leave out those that cannot be used, if there are others.

    Raises:
        ValueError: a model cannot be used and is not to be left out; all such models are named. Or
            two are the same or have one name.
    """
    notes: list[str] = []
    good: list[ModelFacts] = []
    bad: dict[Model, str] = {}
    for model in models:
        try:
            with readable(f"model {model.id!r}"):
                found = facts(model)
                notes += _look(found)
                good.append(found)
        except ValueError as error:
            bad[model] = str(error)
    if not bad or (skip and good):
        left_out = [f"model {model.id!r} is left out: {reason}" for model, reason in bad.items()]
        return distinct(good), [*left_out, *notes]
    if len(models) == 1:
        raise ValueError(*bad.values())
    reasons = "".join(f"\n  {model.id}: {reason}" for model, reason in bad.items())
    others = ", or --skip-bad-models to go on with the others" if good else ""
    raise ValueError(
        f"{len(bad)} of {len(models)} models cannot be used: mend them, leave them out"
        f"{others}{reasons}"
    )


def _look(model: ModelFacts) -> list[str]:
    """Notes on a model that can be used: which of its tensors stay unread.

    Raises:
        ValueError: it cannot be used.
    """
    folder = small_files(model)
    away = model.commit and unfinished(folder)
    stored = tensors_on_hub(model.folder, commit=model.commit) if away else tensors_of(folder)
    mark = _mark(model)
    known = recall("fits", mark)
    found: Mapping[str, list[str]] = json.loads(known) if known else {}
    if not found or not stored:
        from actors.loading.architecture import check

        fit = check(model, folder=str(folder), stored=stored)
        found = {"unused": list(fit.unused), "dropped": list(fit.dropped)}
        if stored:
            remember("fits", mark, json.dumps(found))
    reasons = {
        "unused": "have no place in the architecture that its config.json names",
        "dropped": "are for something else, by what transformers says of this family",
    }
    return [
        f"model {model.label!r}: {len(names)} stored tensors, such as {names[0]}, stay unread, as "
        f"they {reasons[kind]}"
        for kind, names in found.items()
        if names
    ]


def _mark(model: ModelFacts) -> str:
    """All that the result for a model's headers depends on."""
    seen = [model.weights, version("transformers"), model.allow_odd_weights]
    return digest([*seen, model.trust_remote_code])
