"""Cells of steering vectors: the mean difference of two languages' states at the last prompt token.

The residual stream is read raw, at the last layer too (arXiv 2505.13141, section 5). All layers are
one artifact, under the key of the cell. What is steered is unknown here.
"""

from collections.abc import Sequence

from actors.answer import Answer
from actors.extraction.vectors import SteeringVectors, mean_difference
from actors.model import LoadedModel, too_long
from actors.tasks.given import Given
from studies.contents import VectorSet
from studies.spec import Cell, Row, Unit, VectorWork


def vectors(loaded: LoadedModel, unit: Unit, given: Given) -> Answer:  # noqa: ARG001
    """One row per layer of every cell, and its vectors as an artifact."""
    work = unit.work
    assert isinstance(work, VectorWork), "cells of vectors come with pairs of prompts"
    asked = {_place(entry): entry for entry in work.sets}
    assert len(asked) == len(work.sets), "a cell has one set of pairs"
    rows: list[Row] = []
    artifacts: dict[str, bytes] = {}
    for cell in unit.cells:
        found = asked[cell.benchmark, cell.language, cell.pivot, cell.seed]
        made = mean_difference(
            loaded,
            _prompts(loaded, found, found.toward, allow_truncation=unit.allow_truncation),
            _prompts(loaded, found, found.away, allow_truncation=unit.allow_truncation),
            layers=range(1, loaded.facts.layers + 1),
            labels=(found.pivot, found.language),
            ids=found.ids,
            seed=found.seed,
        )
        artifacts[cell.key] = made.content()
        rows += _rows(unit, cell, made, prompt=found.prompt)
    return Answer(rows, artifacts)


def _place(asked: VectorSet) -> tuple[str | None, str, str | None, int | None]:
    """Where a set stands in the grid."""
    return asked.benchmark, asked.language, asked.pivot, asked.seed


def _prompts(
    loaded: LoadedModel, asked: VectorSet, texts: Sequence[str], *, allow_truncation: bool
) -> list[list[int]]:
    """Token ids of prompts; one that is too long is cut from the left, as those of items are.

    Raises:
        ValueError: a prompt is longer than the context and may not be cut.
    """
    sequences = loaded.prompts(texts, chat=asked.chat)
    context, prefix = loaded.facts.context, len(loaded.prefix)
    for place, sequence in enumerate(sequences):
        if len(sequence) > context:
            if not allow_truncation or asked.chat is not None:
                what = f"the prompt of item {asked.ids[place]!r}"
                raise ValueError(too_long(what, len(sequence), context=context, chat=asked.chat))
            del sequence[prefix : prefix + len(sequence) - context]
    return sequences


def _rows(unit: Unit, cell: Cell, made: SteeringVectors, *, prompt: str) -> list[Row]:
    about = made.about
    return [
        {
            "study": unit.study,
            "model": cell.model,
            "revision": cell.revision,
            "benchmark": cell.benchmark,
            "language": cell.language,
            "pivot": cell.pivot,
            "prompt": prompt,
            "seed": cell.seed,
            "layer": layer,
            "n": about.pairs,
            "norm": norm,
            "resid_norm": resid_norm,
            "reliability": reliability,
            "key": cell.key,
        }
        for layer, norm, resid_norm, reliability in zip(
            about.layers, about.norms, about.resid_norms, about.reliability, strict=True
        )
    ]
