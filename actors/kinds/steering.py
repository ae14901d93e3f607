"""Steered accuracy cells: items answered while vectors push the residual stream toward the pivot.

All settings of a language and draw, and its plain answers, are one sweep (arXiv 2505.13141,
section 5). The paper has no controls; they are vectors too (`studies.kinds.steering.CONTROLS`):

    random          a direction of the length of the language's own vector, drawn with the seed
    orthogonal      the own vector without the directions that write the letters
    wrong_language, wrong_dataset, halves    other cells' vectors, as they are

An own length (`vec_norm`) is given to a control last. `scaled_to_resid` is the mean length of the
states that the vector taken was made from: with `wrong_language`, those of the other language.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from actors.answer import Found
from actors.extraction.vectors import SteeringVectors, orthogonal_to, random_like, read_vectors
from actors.intervention.setting import Intervention, Setting
from actors.kinds.choices import swept_rows
from actors.kinds.resources import Resources
from actors.model import LoadedModel
from actors.prediction.predict import Question
from actors.prediction.score import ask
from actors.structure.sites import Sites
from studies.kinds.steering import SteeringGrid
from studies.prompt_options import Steering, text
from studies.spec import Cell, Row
from studies.texts import ChoiceSet
from studies.unit import Part, Unit

# Shapes: D width of the residual stream, N tokens, A axes of that space

# Axes of the residual stream that pass the final norm at a time.
AXES_AT_ONCE = 1024

# By intervention and layer; one tensor serves all coefficients, which then act as one edit.
_Vectors = Mapping[tuple[str, int], Tensor]


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:
    """One row per item of every cell; a cell without a layer is the plain model."""
    assert isinstance(unit.grid, SteeringGrid)
    rows: list[tuple[Cell, Row]] = []
    for part in unit.parts:
        rows += _answers(loaded, part, unit.grid.steering, resources, cut=unit.allow_truncation)
    return Found(rows)


def _answers(
    loaded: LoadedModel, part: Part, how: Steering, resources: Resources, *, cut: bool
) -> list[tuple[Cell, Row]]:
    """The rows of one language and draw."""
    asked = part.content
    assert isinstance(asked, ChoiceSet)
    prompts = ask(loaded, asked.items, chat=asked.chat, allow_truncation=cut)
    questions = [entry.question for entry in prompts]
    vectors = _vectors(loaded, part, asked, questions, how, resources)
    settings = [_setting(cell, vectors, how) for cell in part.cells]
    switches = text(how)
    return [
        (cell, {**row, "switches": switches})
        for cell, rows in zip(part.cells, swept_rows(loaded, asked, prompts, settings), strict=True)
        for row in rows
    ]


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
    part: Part,
    asked: ChoiceSet,
    questions: Sequence[Question],
    how: Steering,
    resources: Resources,
) -> dict[tuple[str, int], Tensor]:
    """The vector [D] of every intervention and layer that cells ask for."""
    made: dict[tuple[str, int], Tensor] = {}
    cells = [cell for cell in part.cells if cell.layer is not None]
    for name in dict.fromkeys(str(cell.intervention) for cell in cells):
        vectors = _take(loaded, part, name, resources)
        if name == "random":
            assert asked.seed is not None, "items that vectors are for come from a draw"
            vectors = random_like(vectors, seed=asked.seed)
        elif name == "orthogonal":
            vectors = orthogonal_to(vectors, _letters(loaded.sites, asked, questions))
        for cell in cells:
            if cell.intervention == name and cell.layer is not None:
                vector_D = _scaled(vectors, cell.layer, how)
                made.setdefault((name, cell.layer), vector_D)
    return made


def _take(loaded: LoadedModel, part: Part, name: str, resources: Resources) -> SteeringVectors:
    """The vectors of the cell that an intervention takes them from, checked against the model."""
    key = part.taken[name]
    try:
        vectors = read_vectors(resources.artifacts[key])
    except ValueError as error:
        raise ValueError(f"vectors of cell {key}: {error}") from error
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
