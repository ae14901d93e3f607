"""Turn grids into cells: which points of the grid exist for a model and its texts.

The scope of a cell is built here, so this file and `spec.Cell` together are the identity of the
project: a change to either is a decision that recomputes everything. Batches, devices and files
are unknown here.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

from studies.contents import GenerationSet, TrainingSet
from studies.keys import keys_of
from studies.measures import Measure, normed, resolve
from studies.spec import Bitext, Cell, ChoiceSet, ModelFacts, Table, digest
from studies.study import AlignmentGrid

CHOICE_VERSION = 1
CHECK_VERSION = 1
POINTS_VERSION = 1
TEXT_VERSION = 1
TRAINING_VERSION = 1


def alignment_cells(
    grid: AlignmentGrid,
    *,
    model: ModelFacts,
    bitext: Bitext,
    fingerprint: str | None = None,
    wanted: Callable[[str], bool] = lambda _: True,
) -> Iterator[Cell]:
    """The cells of one model on one bitext: measures x poolings x layers.

    Checks are of mutual neighbours alone; points without layers named are of the middle layer.

    Args:
        fingerprint: the bitext's own, where the caller has it: hashing texts takes longer than
            all the cells of a model on them.
        wanted: asked once for every key, in order; a cell is only made where it says yes.

    Raises:
        ValueError: the grid asks for a layer that a measure does not have in this model.
    """
    content = digest([_identity(model), fingerprint or bitext.fingerprint])
    for name in grid.measures:
        measure = resolve(name, switches=grid.switches)
        reading: list[object] = [
            measure.version,
            measure.site,
            measure.state,
            grid.switches.include_bos,
        ]
        if measure.pooled_state != "raw":
            reading.append(measure.pooled_state)
        if measure.score != "mutual_nearest":
            reading.append(measure.score)
        reading += measure.settings
        reading += _made_of(grid)
        scopes = {norm: digest([content, *reading, norm]) for norm in (False, True)}
        for layer in _layers(grid, name=name, measure=measure, model=model):
            scope = scopes[normed(measure, layer=layer, last=model.layers, switches=grid.switches)]
            keys = keys_of(
                table=grid.table,
                language=bitext.language,
                scope=scope,
                dataset=bitext.dataset,
                pivot=bitext.pivot,
                measure=name,
            )
            for pooling in grid.poolings:
                key = keys.at(layer=layer, pooling=pooling)
                if wanted(key):
                    yield Cell(
                        table=grid.table,
                        model=model.name,
                        revision=model.revision,
                        dataset=bitext.dataset,
                        language=bitext.language,
                        pivot=bitext.pivot,
                        measure=name,
                        pooling=pooling,
                        layer=layer,
                        scope=scope,
                        hashed=key,
                    )


def choice_cell(
    choices: ChoiceSet, *, model: ModelFacts, fingerprint: str | None = None, adapter: str = ""
) -> Cell:
    """The one cell of a model on a benchmark in a language, without intervention.

    `fingerprint` is the set's own, where the caller has it; `adapter` the key of the cell whose
    adapter the model answers with.
    """
    made = (CHOICE_VERSION, *((adapter,) if adapter else ()))
    return _of_texts("items", choices, model=model, fingerprint=fingerprint, made=made)


def text_cell(asked: GenerationSet, *, model: ModelFacts, fingerprint: str | None = None) -> Cell:
    """The one cell of a model on a set of prompts, written greedily without intervention."""
    return _of_texts(
        "generations",
        asked,
        model=model,
        fingerprint=fingerprint,
        made=(TEXT_VERSION,),
        pivot=asked.pivot,
    )


def training_cell(asked: TrainingSet, *, model: ModelFacts, fingerprint: str | None = None) -> Cell:
    """The one cell of an adapter; those that answer with it need its key."""
    made = (TRAINING_VERSION,)
    return _of_texts("training", asked, model=model, fingerprint=fingerprint, made=made)


def _of_texts(
    table: Table,
    asked: ChoiceSet | GenerationSet | TrainingSet,
    *,
    model: ModelFacts,
    fingerprint: str | None,
    made: tuple[object, ...],
    pivot: str | None = None,
) -> Cell:
    """The one cell of a model on a set of texts; `made` is what else its answer depends on."""
    return Cell(
        table=table,
        model=model.name,
        revision=model.revision,
        benchmark=asked.benchmark,
        language=asked.language,
        pivot=pivot,
        scope=digest([_identity(model), fingerprint or asked.fingerprint, *made]),
    )


def _made_of(grid: AlignmentGrid) -> list[object]:
    """What checks and points depend on beside the vectors."""
    if grid.table == "robustness":
        return [CHECK_VERSION, grid.seed]
    return [POINTS_VERSION, grid.method, grid.seed] if grid.table == "points" else []


@lru_cache(maxsize=1024)
def _identity(model: ModelFacts) -> str:
    """The model's identity, hashed once and not for every text."""
    return model.identity


def _layers(
    grid: AlignmentGrid, *, name: str, measure: Measure, model: ModelFacts
) -> tuple[int, ...]:
    """The layers asked for, as far as the measure has them."""
    there = measure.layers(model.layers)
    if grid.layers is None:
        return ((model.layers + 1) // 2,) if grid.table == "points" else tuple(there)
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
