"""Turn grids into cells: which points of the grid exist for a model and its texts.

The scope of a cell is built here, so this file and `spec.Cell` together are the identity of the
project: a change to either is a decision that recomputes everything. Batches, devices and files
are unknown here.
"""

from collections.abc import Iterator

from studies.measures import Measure, normed, resolve
from studies.spec import AlignmentGrid, Bitext, Cell, ChoiceSet, ModelFacts, digest

CHOICE_VERSION = 1


def alignment_cells(grid: AlignmentGrid, *, model: ModelFacts, bitext: Bitext) -> Iterator[Cell]:
    """The cells of one model on one bitext: measures x poolings x layers.

    Raises:
        ValueError: the grid asks for a layer that a measure does not have in this model.
    """
    content = digest([model.identity, bitext.fingerprint])
    for name in grid.measures:
        measure = resolve(name, switches=grid.switches)
        for layer in _layers(grid, name=name, measure=measure, model=model):
            after_norm = normed(measure, layer=layer, last=model.layers, switches=grid.switches)
            reading = (measure.version, measure.site, measure.state, grid.switches.include_bos)
            scope = digest([content, *reading, after_norm])
            for pooling in grid.poolings:
                yield Cell(
                    table="alignment",
                    model=model.name,
                    revision=model.revision,
                    dataset=bitext.dataset,
                    language=bitext.language,
                    pivot=bitext.pivot,
                    measure=name,
                    pooling=pooling,
                    layer=layer,
                    scope=scope,
                )


def choice_cell(choices: ChoiceSet, *, model: ModelFacts) -> Cell:
    """The one cell of a model on a benchmark in a language, without intervention."""
    return Cell(
        table="items",
        model=model.name,
        revision=model.revision,
        benchmark=choices.benchmark,
        language=choices.language,
        scope=digest([model.identity, choices.fingerprint, CHOICE_VERSION]),
    )


def _layers(
    grid: AlignmentGrid, *, name: str, measure: Measure, model: ModelFacts
) -> tuple[int, ...]:
    """The layers asked for, as far as the measure has them."""
    there = measure.layers(model.layers)
    if grid.layers is None:
        return tuple(there)
    beyond = [layer for layer in grid.layers if not 0 <= layer <= model.layers]
    if beyond:
        raise ValueError(
            f"layer {beyond[0]} does not exist in model {model.label!r}: expected 0 (embeddings) "
            f"to {model.layers} (the last block's output)"
        )
    layers = tuple(layer for layer in grid.layers if layer in there)
    if not layers:
        raise ValueError(
            f"measure {name!r} has no layer {grid.layers[0]}: its layers are {there.start} to "
            f"{model.layers} in model {model.label!r}"
        )
    return layers
