"""Steered accuracy cells: items answered while vectors push the residual stream toward the pivot.

All settings of a language and draw, and its plain answers, are one sweep (arXiv 2505.13141,
section 5). The paper has no controls; they are vectors too (`studies.study.CONTROLS`):

    random          a direction of the length of the language's own vector, drawn with the seed
    orthogonal      the own vector without the directions that write the letters
    wrong_language, wrong_dataset, halves    other cells' vectors, as they are

An own length (`vec_norm`) is given to a control last. `scaled_to_resid` is the mean length of the
states that the vector taken was made from: with `wrong_language`, those of the other language.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from actors.answer import Answer
from actors.extraction.vectors import SteeringVectors, orthogonal_to, random_like, read_vectors
from actors.intervention.setting import Intervention, Setting
from actors.intervention.sweep import sweep
from actors.model import LoadedModel
from actors.prediction.predict import Question
from actors.prediction.score import ask, choose
from actors.structure.sites import Sites
from actors.tasks.choices import item_row
from actors.tasks.given import Given
from studies.asking import Steering, text
from studies.spec import Cell, ChoiceSet, Row, SteeringWork, Unit

# Shapes: D width of the residual stream, N tokens, A axes of that space

# Axes of the residual stream that pass the final norm at a time.
AXES_AT_ONCE = 1024

# By intervention and layer; one tensor serves all coefficients, which then act as one edit.
_Vectors = Mapping[tuple[str, int], Tensor]


def steering(loaded: LoadedModel, unit: Unit, given: Given) -> Answer:
    """One row per item of every cell; a cell without a layer is the plain model."""
    work = unit.work
    assert isinstance(work, SteeringWork), "steered cells come with items and vectors"
    rows: list[Row] = []
    answered = 0
    for asked in work.sets:
        place = (asked.benchmark, asked.language, asked.seed)
        cells = [one for one in unit.cells if (one.benchmark, one.language, one.seed) == place]
        answered += len(cells)
        if cells:
            rows += _answers(loaded, unit, work, asked, cells, given)
    assert answered == len(unit.cells), "a cell has one set of items"
    return Answer(rows)


def _answers(
    loaded: LoadedModel,
    unit: Unit,
    work: SteeringWork,
    asked: ChoiceSet,
    cells: Sequence[Cell],
    given: Given,
) -> list[Row]:
    """The rows of one language and draw."""
    prompts = ask(loaded, asked.items, chat=asked.chat, allow_truncation=unit.allow_truncation)
    questions = [entry.question for entry in prompts]
    vectors = _vectors(loaded, work, asked, questions, cells, given)
    settings = [_setting(cell, vectors, work.steering) for cell in cells]
    rows: list[Row] = []
    switches = text(work.steering)
    for cell, swept in zip(cells, sweep(loaded, questions, settings), strict=True):
        for item, entry, logs in zip(asked.items, prompts, swept, strict=True):
            answer = choose(
                item,
                logs,
                normalise=asked.normalise,
                truncated=entry.truncated,
                variants=asked.variants,
                start=entry.start,
            )
            rows.append(item_row(unit, cell, item, answer, prompt=asked.prompt, switches=switches))
    return rows


def _setting(cell: Cell, vectors: _Vectors, how: Steering) -> Setting:
    """What a cell changes; adding zeros is nothing, to the bit."""
    if cell.layer is None:
        assert not cell.coefficient, "a cell without a layer is the plain model"
        return ()
    assert cell.intervention is not None and cell.coefficient is not None
    vector_D = vectors[cell.intervention, cell.layer]
    if not vector_D.any():
        return ()
    return (
        Intervention(
            site="resid_post",
            layer=cell.layer,
            operation="add",
            vector=vector_D,
            coefficient=cell.coefficient,
            where=how.steer_pos,
        ),
    )


def _vectors(
    loaded: LoadedModel,
    work: SteeringWork,
    asked: ChoiceSet,
    questions: Sequence[Question],
    cells: Sequence[Cell],
    given: Given,
) -> dict[tuple[str, int], Tensor]:
    """The vector [D] of every intervention and layer that cells ask for."""
    made: dict[tuple[str, int], Tensor] = {}
    for name in dict.fromkeys(str(cell.intervention) for cell in cells if cell.layer is not None):
        vectors = _take(loaded, work, asked, name, given)
        if name == "random":
            assert asked.seed is not None, "items that vectors are for come from a draw"
            vectors = random_like(vectors, seed=asked.seed)
        elif name == "orthogonal":
            vectors = orthogonal_to(vectors, _letters(loaded.sites, asked, questions))
        for cell in cells:
            if cell.intervention == name and cell.layer is not None:
                vector_D = _scaled(vectors, cell.layer, work.steering)
                made.setdefault((name, cell.layer), vector_D)
    return made


def _take(
    loaded: LoadedModel, work: SteeringWork, asked: ChoiceSet, name: str, given: Given
) -> SteeringVectors:
    """The vectors of the cell that an intervention takes them from, checked against the model."""
    keys = [
        one.key
        for one in work.taken
        if (one.language, one.seed, one.intervention) == (asked.language, asked.seed, name)
    ]
    assert len(keys) == 1, f"{name} takes the vectors of one cell, found {len(keys)}"
    if keys[0] not in given.artifacts:
        raise ValueError(
            f"intervention {name!r} in {asked.language} takes the vectors of cell {keys[0]}, which "
            "are missing: run the same command again, which makes them"
        )
    try:
        vectors = read_vectors(given.artifacts[keys[0]])
    except ValueError as error:
        raise ValueError(f"vectors of cell {keys[0]}: {error}") from error
    vectors.check(loaded)
    return vectors


def _scaled(vectors: SteeringVectors, layer: int, how: Steering) -> Tensor:
    """The vector [D] of a layer with the length that is asked for; zeros stay zeros."""
    vector_D = vectors.at(layer)
    if how.vec_norm == "none" or not vector_D.any():
        return vector_D
    about = vectors.about
    length = 1.0 if how.vec_norm == "unit" else about.resid_norms[about.layers.index(layer)]
    scaled_D: Tensor = vector_D.double() * length / vector_D.double().norm()
    return scaled_D.float()


def _letters(sites: Sites, asked: ChoiceSet, questions: Sequence[Question]) -> Tensor:
    """Directions [N, D] of the raw residual stream that write the letters of the options.

    They are the head's rows behind the final norm's own weights, and its centring if it does that.
    So at the last layer nothing orthogonal to them moves the letters' logits, but for the length
    that the norm divides all logits by; at earlier layers blocks may still turn it to letters.

    Letters are options that are the same in every item; one that a tokenizer cuts in two is written
    by the directions of both tokens.

    Raises:
        ValueError: options differ from item to item.
    """
    letters = max((item.options for item in asked.items), key=len)
    for item in asked.items:
        if not set(item.options) <= set(letters):
            raise ValueError(
                "the control 'orthogonal' leaves out what writes the letters, and prompt "
                f"{asked.prompt!r} has none: option 0 of item {item.id!r} is {item.options[0]!r}; "
                "choose a prompt with letters, or leave the control out"
            )
    tokens = sorted(
        {token for question in questions for option in question.options for token in option}
    )
    weight_VD = sites.head.weight
    assert isinstance(weight_VD, Tensor)
    return _before_norm(sites, weight_VD[tokens].double().cpu())


@torch.inference_mode()
def _before_norm(sites: Sites, rows_ND: Tensor) -> Tensor:
    """Directions [N, D] of the raw stream along which `rows_ND` see the normed stream change.

    What the norm makes of every axis, less its bias, is its linear part up to one factor, as all
    axes have the same length and mean.
    """
    embedding_VD = sites.embedding_weight
    width = embedding_VD.shape[1]
    parts = []
    for start in range(0, width, AXES_AT_ONCE):
        axes_AD = torch.zeros(min(AXES_AT_ONCE, width - start), width, dtype=embedding_VD.dtype)
        axes_AD.diagonal(start).fill_(1)
        axes_AD = axes_AD.to(embedding_VD.device)
        ahead_AD, back_AD = (sites.final_norm(sign * axes_AD).double().cpu() for sign in (1, -1))
        parts.append(rows_ND @ (ahead_AD - back_AD).T / 2)
    return torch.cat(parts, dim=1)
