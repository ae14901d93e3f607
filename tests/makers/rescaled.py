"""The cells of the CLAS study on texts made by hand: statistics, categories, tuning, answers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from actors.answer import Answer
from actors.model import LoadedModel
from actors.neurons.file import TUNING_FORM, AboutTuning
from actors.work import run_unit
from studies.content import Together
from studies.kinds import categories, neurons
from studies.kinds.categories import CategoriesGrid, NeuronGrid
from studies.kinds.scaled import ScalingGrid, _OneModel
from studies.neuron_options import Strength
from studies.samples import Samples
from studies.study import Draft
from studies.texts import ChoiceSet, GenerationSet
from studies.tuning_split import Split
from tests.makers.units import of_drafts


def sorting_grid(**given: Any) -> CategoriesGrid:
    """What neurons are sorted by."""
    return CategoriesGrid(**{"languages": ("all",), "sampled": "letters", "samples": 8} | given)


def sort(
    loaded: LoadedModel, grid: NeuronGrid, sets: Sequence[Samples]
) -> tuple[Answer, Answer, dict[str, bytes], str]:
    """The cells of statistics and of categories, all artifacts, and the key of the categories."""
    drafts = [neurons.draft(one, model=loaded.facts, sorting=grid.sorting) for one in sets]
    statistics = run_unit(loaded, of_drafts(grid, *drafts))
    taken = {one.language: draft.cells[0].key for one, draft in zip(sets, drafts, strict=True)}
    draft = categories.draft(grid, Together(parts=tuple(sets)), model=loaded.facts, taken=taken)
    found = run_unit(loaded, of_drafts(grid, draft), artifacts=statistics.artifacts)
    artifacts = {**statistics.artifacts, **found.artifacts}
    return statistics, found, artifacts, draft.cells[0].key


def scale(
    loaded: LoadedModel,
    grid: ScalingGrid,
    sets: Sequence[Samples],
    splits: Mapping[str, Split],
) -> dict[str, Answer]:
    """By kind, what the whole chain comes to; `splits` begin with the anchor's."""
    _, found, artifacts, key = sort(loaded, grid, sets)
    sampled = frozenset(one.language for one in sets)
    drafts = list(_OneModel(grid, loaded.facts, splits, sampled, key).drafts())
    answers = {"categories": found}
    for kind in dict.fromkeys(draft.kind for draft in drafts):
        own = [draft for draft in drafts if draft.kind == kind]
        answers[kind] = run_unit(loaded, of_drafts(grid, *own), artifacts=artifacts)
        artifacts |= answers[kind].artifacts
    return answers


def tuned(
    drafts: Iterable[Draft], values: Mapping[str, Sequence[float]], strengths: Sequence[Strength]
) -> dict[str, bytes]:
    """What cells of tuning would have made, had every language these values at the strengths."""
    found = {}
    for draft in drafts:
        if draft.kind == "tuning":
            about = AboutTuning(
                identity=draft.model.identity,
                benchmark=draft.content.dataset_name,
                language=draft.content.language,
                ids=(),
                metric="accuracy",
                strengths=tuple((one.shared, one.specific) for one in strengths),
                values=tuple(values[draft.content.language]),
            )
            own = {"values": torch.tensor(about.values, dtype=torch.float64)}
            found[draft.cells[0].key] = TUNING_FORM.pack(about, own)  # type: ignore[union-attr]
    return found


def split_of(tuning: ChoiceSet | GenerationSet, held_out: ChoiceSet | GenerationSet) -> Split:
    """A split made by hand."""
    return Split(tuning, held_out)
