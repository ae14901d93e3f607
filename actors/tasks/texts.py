"""Cells of written text: what a model writes after every prompt, greedily."""

import transformers

from actors.answer import Answer
from actors.model import LoadedModel
from actors.prediction.generate import generate_tokens
from actors.tasks.given import Given
from studies.contents import GenerationSet
from studies.spec import Cell, GenerationWork, Row, Unit


def texts(loaded: LoadedModel, unit: Unit, _given: Given) -> Answer:
    """One row per prompt of every cell."""
    work = unit.work
    assert isinstance(work, GenerationWork), "cells of written text come with prompts"
    rows: list[Row] = []
    for cell in unit.cells:
        place = (cell.benchmark, cell.language, cell.pivot)
        found = [
            entry for entry in work.sets if (entry.benchmark, entry.language, entry.pivot) == place
        ]
        assert len(found) == 1, f"a cell has one set of prompts, found {len(found)}"
        rows += _written(loaded, unit, cell, found[0])
    return Answer(rows)


def _written(loaded: LoadedModel, unit: Unit, cell: Cell, asked: GenerationSet) -> list[Row]:
    prompts = loaded.tokenise([item.prompt for item in asked.items])
    generated = generate_tokens(
        loaded,
        [(*loaded.prefix, *ids) for ids in prompts],
        max_new_tokens=asked.max_new_tokens,
        stop=asked.stop,
        allow_truncation=unit.allow_truncation,
    )
    return [
        {
            "study": unit.study,
            "model": cell.model,
            "revision": cell.revision,
            "benchmark": cell.benchmark,
            "language": cell.language,
            "pivot": cell.pivot,
            "item": item.id,
            "intervention": cell.intervention,
            "layer": cell.layer,
            "coefficient": cell.coefficient,
            "prompt": asked.prompt,
            "engine": f"hf {transformers.__version__}",
            "output": text.text.strip(),
            "references": list(item.references),
            "source": item.source or None,
            "tokens": len(text.tokens),
            "stopped": text.stopped != "length",
            "truncated": text.truncated,
            "key": cell.key,
        }
        for item, text in zip(asked.items, generated, strict=True)
    ]
