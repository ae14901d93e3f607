"""Cells that train: an adapter for the cells that need it, and a row that says how it went."""

import json
from dataclasses import asdict

from actors.answer import Found
from actors.kinds.resources import Resources
from actors.model import LoadedModel
from actors.training.finetune import Lesson, finetune
from studies.spec import Cell, Row
from studies.texts import TrainingSet
from studies.unit import Unit


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:  # noqa: ARG001
    """One row per cell, and under its key the adapter."""
    rows: list[tuple[Cell, Row]] = []
    artifacts: dict[str, bytes] = {}
    for part in unit.parts:
        (cell,), asked = part.cells, part.content
        assert isinstance(asked, TrainingSet)
        trained = finetune(loaded, _lessons(loaded, asked), how=asked.how)
        artifacts[cell.key] = trained.adapter
        row: Row = {
            "prompt": asked.prompt,
            "n": len(asked.examples),
            "losses": list(trained.losses),
            "settings": json.dumps(asdict(asked.how), sort_keys=True, separators=(",", ":")),
        }
        rows.append((cell, row))
    return Found(rows, artifacts)


def _lessons(loaded: LoadedModel, asked: TrainingSet) -> list[Lesson]:
    """The examples as token ids; context and answer are cut where the tokens have a boundary."""
    contexts = loaded.tokenise([example.context for example in asked.examples])
    whole = loaded.tokenise([example.context + example.answer for example in asked.examples])
    alone = loaded.tokenise([example.answer for example in asked.examples])
    lessons = []
    for context, joint, answer in zip(contexts, whole, alone, strict=True):
        fits = joint[: len(context)] == context and len(joint) > len(context)
        kept = joint[len(context) :] if fits else answer
        lessons.append(Lesson((*loaded.prefix, *context), tuple(kept)))
    return lessons
