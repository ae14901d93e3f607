"""Turn grids into cells: which points of the grid exist for a model and its texts.

The scope of a cell is built here, so this file and `spec.Cell` together are the identity of the
project: a change to either is a decision that recomputes everything. Batches, devices and files
are unknown here.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from studies.asking import text
from studies.contents import GenerationSet, LatentSet, TrainingSet, VectorSet
from studies.keys import keys_of
from studies.measures import Measure, normed, resolve
from studies.spec import Bitext, Cell, ChoiceSet, ModelFacts, Table, digest
from studies.study import (
    STEER,
    AlignmentGrid,
    LatentGrid,
    Layers,
    SteeringGrid,
    named_layers,
)

CHOICE_VERSION = 1
CHECK_VERSION = 2
POINTS_VERSION = 1
TEXT_VERSION = 1
TRAINING_VERSION = 1
LENS_VERSION = 1
VECTOR_VERSION = 1
STEERING_VERSION = 1

# Every option's own text, and the control in which it is another question's.
LATENT = ("latent", "latent_shuffled")


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
        grid: the axes.
        model: whose activations.
        bitext: the texts; of a picture of all languages together, its language is `all`.
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
        made=(TEXT_VERSION, *([{"ends": model.ends}] if model.ends else [])),
        pivot=asked.pivot,
    )


def training_cell(asked: TrainingSet, *, model: ModelFacts, fingerprint: str | None = None) -> Cell:
    """The one cell of an adapter; those that answer with it need its key."""
    made = (TRAINING_VERSION,)
    return _of_texts("training", asked, model=model, fingerprint=fingerprint, made=made)


def latent_cells(
    grid: LatentGrid, asked: LatentSet, *, model: ModelFacts, fingerprint: str | None = None
) -> Iterator[Cell]:
    """The cells of a model on the option texts of a language: own and shuffled ones x layers.

    Raises:
        ValueError: the grid asks for a layer that the model does not have.
    """
    made = [_identity(model), fingerprint or asked.fingerprint, LENS_VERSION, text(grid.lens)]
    for measure in LATENT:
        scope = digest([*made, *([asked.order] if measure == "latent_shuffled" else [])])
        for layer in layers_asked(grid.layers, model=model):
            yield Cell(
                table="lens",
                model=model.name,
                revision=model.revision,
                benchmark=asked.benchmark,
                language=asked.language,
                pivot=asked.pivot,
                measure=measure,
                layer=layer,
                scope=scope,
            )


def vector_cell(asked: VectorSet, *, model: ModelFacts, fingerprint: str | None = None) -> Cell:
    """The one cell of a language's steering vectors, those of all layers."""
    made = (VECTOR_VERSION,)
    return _of_texts(
        "vectors",
        asked,
        model=model,
        fingerprint=fingerprint,
        made=made,
        pivot=asked.pivot,
        seed=asked.seed,
    )


def steered_cells(
    grid: SteeringGrid,
    asked: ChoiceSet,
    *,
    model: ModelFacts,
    vectors: Mapping[str, str],
    fingerprint: str | None = None,
) -> Iterator[Cell]:
    """The cells of a model's answers in a language: interventions x layers x coefficients.

    The first is the plain answer, at coefficient 0 and no layer: it is the same everywhere.

    Args:
        grid: layers and coefficients.
        asked: the items that are answered, with the seed of the draw that left others out.
        model: whose answers.
        vectors: for every intervention the key of the cell whose vectors it takes.
        fingerprint: the set's own, where the caller has it.

    Raises:
        ValueError: the grid asks for a layer that the model does not have.
    """
    content = [_identity(model), fingerprint or asked.fingerprint, STEERING_VERSION]

    def cell(intervention: str, layer: int | None, coefficient: float, made: list[object]) -> Cell:
        return Cell(
            table="items",
            model=model.name,
            revision=model.revision,
            benchmark=asked.benchmark,
            language=asked.language,
            pivot=grid.pivot,
            intervention=intervention,
            layer=layer,
            coefficient=coefficient,
            seed=asked.seed,
            scope=digest([*content, *made]),
        )

    yield cell(STEER, None, 0.0, [])
    for intervention, key in vectors.items():
        made: list[object] = [key, text(grid.steering)]
        made += [asked.seed] if intervention == "random" else []
        given = grid.coefficients if intervention == STEER else grid.control_coefficients
        for layer in layers_asked(grid.layers, model=model):
            for coefficient in given:
                if coefficient:
                    yield cell(intervention, layer, coefficient, made)


def layers_asked(layers: Layers, *, model: ModelFacts) -> tuple[int, ...]:
    """The layers meant, each from 1 to the model's last.

    Raises:
        ValueError: the model has no such layer.
    """
    if isinstance(layers, str):
        return named_layers(layers, blocks=model.layers)
    for layer in layers:
        if not 1 <= layer <= model.layers:
            raise ValueError(
                f"layer {layer} cannot be taken in model {model.label!r}: expected 1 (the first "
                f"block's output) to {model.layers} (the last block's)"
            )
    return layers


def _of_texts(
    table: Table,
    asked: ChoiceSet | GenerationSet | TrainingSet | VectorSet,
    *,
    model: ModelFacts,
    fingerprint: str | None,
    made: tuple[object, ...],
    pivot: str | None = None,
    seed: int | None = None,
) -> Cell:
    """The one cell of a model on a set of texts; `made` is what else its answer depends on."""
    return Cell(
        table=table,
        model=model.name,
        revision=model.revision,
        benchmark=asked.benchmark,
        language=asked.language,
        pivot=pivot,
        seed=seed,
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
    if isinstance(grid.layers, str):
        return named_layers(grid.layers, blocks=model.layers)
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
