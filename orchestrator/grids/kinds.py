"""The table of grids: which file reads which, and what a plan wants to know of any of them."""

from collections.abc import Callable
from typing import Any

from orchestrator.draft import Draft
from orchestrator.grids.choices import choices
from orchestrator.grids.generations import generations
from orchestrator.grids.latent import latent
from orchestrator.grids.parallel import parallel
from orchestrator.grids.steering import steering
from orchestrator.grids.transfer import transfer
from studies.model_files import may_chat, may_read
from studies.rows import Source
from studies.spec import ModelFacts
from studies.study import (
    AlignmentGrid,
    ChoiceGrid,
    GenerationGrid,
    Grid,
    LatentGrid,
    SteeringGrid,
    TransferGrid,
)

READERS: dict[type, Callable[..., Any]] = {
    AlignmentGrid: parallel,
    ChoiceGrid: choices,
    GenerationGrid: generations,
    LatentGrid: latent,
    SteeringGrid: steering,
    TransferGrid: transfer,
}


def add_grid(draft: Draft, grid: Grid, *, models: tuple[ModelFacts, ...], source: Source) -> None:
    """Read what a grid asks for and add its missing cells to the draft.

    Raises:
        ValueError: anything in the grid that does not exist or does not fit together.
    """
    READERS[type(grid)](draft, grid, models=models, source=source)


def dataset_of(grid: Grid) -> str:
    """The data set that a grid reads."""
    if isinstance(grid, AlignmentGrid):
        return grid.questions.benchmark if grid.questions else grid.dataset
    return grid.benchmark


def refuse_chat(grid: Grid, *, models: tuple[ModelFacts, ...]) -> None:
    """Refuse a chat template where a model has none, and arguments that it does not read.

    Raises:
        ValueError: the grid asks for them.
    """
    of = grid.questions if isinstance(grid, AlignmentGrid) else grid
    asking = getattr(of, "asking", None)
    if asking is None or not asking.chat_template:
        return
    for model in models:
        if not may_chat(model):
            raise ValueError(
                f"model {model.label!r} has no chat template, and switch chat_template=true asks "
                "for it: leave the switch out, or name a model that was trained to chat"
            )
        for argument, _ in asking.arguments:
            if not may_read(model, argument):
                raise ValueError(
                    f"the chat template of model {model.label!r} does not read {argument!r}: leave "
                    "out --template-argument, or look up in the template what it reads"
                )
