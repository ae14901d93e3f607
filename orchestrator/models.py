"""Which models of a study can be used: each is looked at before anything is written.

Files, settings and headers are read, and transformers is asked whether the tensors fit. That needs
torch, which takes longer to import than all else takes here, so what was found is remembered.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from studies.file_hash import cache_folder
from studies.model_files import facts
from studies.model_folder import small_files
from studies.spec import Model, ModelFacts, digest
from studies.study import Study
from studies.weight_files import tensors_of, tensors_on_hub, unfinished


def usable(study: Study, *, skip: bool) -> tuple[Study, tuple[str, ...]]:
    """The study with the models that can be used, and what should be known of the others.

    Args:
        study: what is asked.
        skip: leave out the models that cannot be used, if there are others.

    Raises:
        ValueError: a model cannot be used and is not to be left out; all such models are named.
    """
    notes: list[str] = []
    bad: dict[Model, str] = {}
    for model in study.models:
        try:
            notes += _look(facts(model))
        except OSError as error:
            bad[model] = f"model {model.id!r} cannot be read ({error})"
        except ValueError as error:
            bad[model] = str(error)
    good = tuple(model for model in study.models if model not in bad)
    if not bad:
        return study, tuple(notes)
    if skip and good:
        left_out = [f"model {model.id!r} is left out: {reason}" for model, reason in bad.items()]
        return replace(study, models=good), (*left_out, *notes)
    if len(study.models) == 1:
        raise ValueError(*bad.values())
    reasons = "".join(f"\n  {model.id}: {reason}" for model, reason in bad.items())
    others = ", or --skip-bad-models to go on with the others" if good else ""
    raise ValueError(
        f"{len(bad)} of {len(study.models)} models cannot be used: mend them, leave them out"
        f"{others}{reasons}"
    )


def _look(model: ModelFacts) -> list[str]:
    """What should be known of a model that can be used: which tensors of it stay unread.

    Raises:
        ValueError: it cannot be used.
    """
    folder = small_files(model)
    away = model.commit and unfinished(folder)
    stored = tensors_on_hub(model.folder, commit=model.commit) if away else tensors_of(folder)
    note = _note(model)
    found = _remembered(note)
    if found is None or not stored:
        from actors.loading.architecture import check

        fit = check(model, folder=str(folder), stored=stored)
        found = {"unused": list(fit.unused), "dropped": list(fit.dropped)}
        if stored:
            _remember(found, note)
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


def _note(model: ModelFacts) -> Path:
    """Where it is remembered what this transformers made of a model's headers."""
    seen = [model.weights, version("transformers"), model.allow_odd_weights]
    name = digest([*seen, model.trust_remote_code])[:32]
    return (cache_folder() or Path(os.devnull)) / "fits" / name  # without a home, nowhere


def _remembered(note: Path) -> Mapping[str, list[str]] | None:
    """What was found before, or None."""
    with suppress(OSError, ValueError):
        found = json.loads(note.read_text(encoding="utf-8"))
        if isinstance(found, dict) and set(found) == {"unused", "dropped"}:
            return found
    return None


def _remember(found: Mapping[str, list[str]], note: Path) -> None:
    """Keep it where that is possible: a read-only home costs some seconds, not the run."""
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=note.parent, delete=False) as aside:
            json.dump(found, aside)
        os.replace(aside.name, note)
