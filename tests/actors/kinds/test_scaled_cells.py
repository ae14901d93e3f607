"""Every cell of rescaled answers is what its scheme, strength and draw come to by themselves."""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import pytest

from actors.answer import Answer
from actors.intervention.setting import Setting
from actors.kinds.resources import PivotCache, Resources
from actors.kinds.scaled import strengths_of
from actors.neurons.file import Categories, read_categories
from actors.neurons.scaling import overwritten, rescaled
from actors.prediction.generate import generate_tokens
from actors.prediction.score import ask
from actors.sweeping.sweep import sweep
from actors.work import run_unit
from studies.kinds.scaled import CONTROLS, ScalingGrid, _OneModel
from studies.neuron_options import PLAIN, Rescaling, Strength
from studies.spec import Cell
from studies.study import Draft
from studies.texts import ChoiceSet, GenerationItem, GenerationSet
from tests.makers import planted_neurons, tiny
from tests.makers.planted_neurons import LANGUAGES, LETTERS, questions
from tests.makers.rescaled import sort, split_of, tuned
from tests.makers.rounding import of_model
from tests.makers.units import of_drafts

pytestmark = pytest.mark.numeric
ANCHOR, GERMAN, FRENCH, RUSSIAN = LANGUAGES
STRENGTHS = (PLAIN, Strength(4.0, -2.0), Strength(-3.0, 1.5))
# Over all but the anchor the second strength is the best, on the anchor the last. Without
# German two are equal, of which nothing is taken.
VALUES = {ANCHOR: (0, 0, 1), GERMAN: (0, 0.9, 0.2), FRENCH: (0.4, 0.5, 0), RUSSIAN: (0.3, 0.2, 0.6)}
EXPECTED = {
    GERMAN: {"clas": 1, "clas_on_anchor": 2, "clas_on_others": 0},
    FRENCH: {"clas": 1, "clas_on_anchor": 2, "clas_on_others": 1},
    RUSSIAN: {"clas": 1, "clas_on_anchor": 2, "clas_on_others": 1},
}
NEW = 8


def written(language: str, first: int) -> GenerationSet:
    items = tuple(
        GenerationItem(id=str(n), prompt=LETTERS[language] * n + "x", references=("A",))
        for n in range(first, first + 3)
    )
    return GenerationSet(
        benchmark="marks", language=language, prompt="p", items=items, max_new_tokens=NEW,
        task="span",
    )  # fmt: skip


class Made(NamedTuple):
    """The grid, its drafts, their answers, and what they are from."""

    grid: ScalingGrid
    drafts: list[Draft]
    answer: Answer
    categories: Categories
    artifacts: Mapping[str, bytes]


@cache
def made(kind: str, *, flat: bool = False) -> Made:
    """The answers of a model of noise; with `flat` only the anchor gains by rescaling."""
    loaded = tiny.loaded("llama")
    grid = ScalingGrid(
        benchmark="marks", languages=("all",), sampled="letters", samples=8, strengths=STRENGTHS,
        tuning=10, controls=CONTROLS, draws=3, bridge=(1, 3), states=False,
    )  # fmt: skip
    splits = {
        language: split_of(questions(language, range(10)), questions(language, range(10, 14)))
        if kind == "choices"
        else split_of(written(language, 1), written(language, 4))
        for language in LANGUAGES
    }
    _, _, artifacts, key = sort(loaded, grid, planted_neurons.samples())
    every = list(_OneModel(grid, loaded.facts, splits, frozenset(LANGUAGES), key).drafts())
    nothing = dict.fromkeys(LANGUAGES[1:], (1.0, 0.0, 0.0))
    values = VALUES | (nothing if flat else {})
    artifacts |= tuned(every, values, STRENGTHS)
    drafts = [draft for draft in every if draft.kind == "scaled"]
    answer = run_unit(loaded, of_drafts(grid, *drafts), artifacts=artifacts)
    return Made(grid, drafts, answer, read_categories(artifacts[key]), artifacts)


def test_strengths_are_chosen_on_all_on_the_anchor_and_on_others() -> None:
    found = made("choices")
    resources = Resources(found.artifacts, PivotCache())
    for part in of_drafts(found.grid, *found.drafts).parts:
        language = part.content.language
        chosen = strengths_of(part, found.grid, resources, language=language)
        expected = EXPECTED.get(language, {"clas": 1, "clas_on_anchor": 2, "clas_on_others": 1})
        assert chosen == {scheme: STRENGTHS[place] for scheme, place in expected.items()}


def acting(cell: Cell, found: Made, strengths: Mapping[str, Strength]) -> Setting | None:
    """What a cell changes, None for what cannot be."""
    scheme, language = str(cell.intervention), str(cell.language)
    if cell.coefficient == 0:
        return ()
    if scheme.startswith("intmu_"):
        value = scheme.removeprefix("intmu_")
        if not any(own == language for _, own in found.categories.intmu):
            return None
        return overwritten(found.categories, language=language, value=value)
    return rescaled(
        found.categories,
        strengths.get(scheme, strengths["clas"]),
        language=language,
        how=Rescaling(),
        scheme=scheme,
        draw=cell.seed if scheme in ("random", "mixed") else 0,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("kind", ["choices", "written"])
@pytest.mark.parametrize("flat", [False, True])
def test_every_cell_is_its_scheme_by_itself(kind: str, flat: bool) -> None:
    loaded, found = tiny.loaded("llama"), made(kind, flat=flat)
    everything, differ = set(), set()
    for draft in found.drafts:
        asked, language = draft.content, draft.content.language
        places = EXPECTED.get(language, {"clas": 1}) | (
            {"clas": 0, "clas_on_others": 0} if flat else {}
        )
        strengths = {scheme: STRENGTHS[place] for scheme, place in places.items()}
        for cells in draft.cells:
            for cell in cells:
                own = [row for row in found.answer.rows if row["key"] == cell.key]
                setting = acting(cell, found, strengths)
                if setting is None:
                    assert not own and cell.key in found.answer.refused
                    continue
                everything.add(cell.key)
                if isinstance(asked, ChoiceSet):
                    encoded = [one.question for one in ask(loaded, asked.items)]
                    (logs,) = sweep(loaded, encoded, [setting])
                    for row, options in zip(own, logs, strict=True):
                        scores = [sum(option) for option in options]
                        bound = of_model(loaded) * max(1.0, *map(abs, scores))
                        assert row["scores"] == pytest.approx(scores, abs=bound), cell
                        differ.add(tuple(round(score, 2) for score in scores))
                else:
                    assert isinstance(asked, GenerationSet)
                    prompts = loaded.prompts([item.prompt for item in asked.items], chat=None)
                    texts = generate_tokens(loaded, prompts, max_new_tokens=NEW, setting=setting)
                    outputs = [one.text.strip() for one in texts]
                    assert [row["output"] for row in own] == outputs, cell
                    differ.add(tuple(outputs))
    assert everything == {row["key"] for row in found.answer.rows}
    least = 2 if flat else 4
    assert len(differ) >= len(LANGUAGES) * least - 2, (
        "the cells are alike, so the test shows nothing"
    )
