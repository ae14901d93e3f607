"""Cells of steering vectors: the mean difference of two languages' states at the last prompt token.

The residual stream is read raw, at the last layer too (arXiv 2505.13141, section 5). All layers are
one artifact, under the key of the cell.
"""

from collections.abc import Sequence

from actors.answer import Found
from actors.extraction.vectors import SteeringVectors, mean_difference
from actors.kinds.resources import Resources
from actors.model import LoadedModel, too_long
from studies.spec import Cell, Row
from studies.steering_items import VectorSet
from studies.unit import Unit


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:  # noqa: ARG001
    """One row per layer of every cell, and its vectors as an artifact."""
    rows: list[tuple[Cell, Row]] = []
    artifacts: dict[str, bytes] = {}
    for part in unit.parts:
        (cell,), asked = part.cells, part.content
        assert isinstance(asked, VectorSet)
        made = mean_difference(
            loaded,
            _prompts(loaded, asked, asked.toward, allow_truncation=unit.allow_truncation),
            _prompts(loaded, asked, asked.away, allow_truncation=unit.allow_truncation),
            layers=range(1, loaded.facts.layers + 1),
            labels=(asked.pivot, asked.language),
            ids=asked.ids,
            seed=asked.seed,
        )
        artifacts[cell.key] = made.content()
        rows += [(cell, row) for row in _rows(made, prompt=asked.prompt)]
    return Found(rows, artifacts)


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


def _rows(made: SteeringVectors, *, prompt: str) -> list[Row]:
    about = made.about
    return [
        {
            "prompt": prompt,
            "layer": layer,
            "n": about.pairs,
            "norm": norm,
            "resid_norm": resid_norm,
            "reliability": reliability,
        }
        for layer, norm, resid_norm, reliability in zip(
            about.layers, about.norms, about.resid_norms, about.reliability, strict=True
        )
    ]
