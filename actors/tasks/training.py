"""Cells that train: an adapter for the cells that need it, and a row that says how it went."""

import json
from dataclasses import asdict

from actors.answer import Answer
from actors.finetune import Lesson, finetune
from actors.model import LoadedModel
from actors.tasks.given import Given
from studies.contents import TrainingSet
from studies.spec import Row, TrainingWork, Unit


def training(loaded: LoadedModel, unit: Unit, _given: Given) -> Answer:
    """One row per cell, and under its key the adapter."""
    assert isinstance(unit.work, TrainingWork), "cells that train come with examples"
    rows: list[Row] = []
    artifacts: dict[str, bytes] = {}
    for cell in unit.cells:
        place = (cell.benchmark, cell.language)
        (asked,) = [each for each in unit.work.sets if (each.benchmark, each.language) == place]
        trained = finetune(loaded, _lessons(loaded, asked), how=asked.how)
        artifacts[cell.key] = trained.adapter
        rows.append(
            {
                "study": unit.study,
                "model": cell.model,
                "revision": cell.revision,
                "benchmark": cell.benchmark,
                "language": cell.language,
                "prompt": asked.prompt,
                "n": len(asked.examples),
                "losses": list(trained.losses),
                "settings": json.dumps(asdict(asked.how), sort_keys=True, separators=(",", ":")),
                "key": cell.key,
            }
        )
    return Answer(rows, artifacts)


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
