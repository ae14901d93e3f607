"""Units of steering vectors and of steered answers over made-up texts, and the rows of both."""

from dataclasses import replace

from actors.answer import Answer
from actors.model import LoadedModel
from actors.work import run_unit
from studies.kinds import steering
from studies.kinds import vectors as vector_kind
from studies.kinds.steering import SteeringGrid
from studies.prompt_options import Steering, text
from studies.spec import Row
from studies.steering_items import VectorSet
from studies.texts import ChoiceItem, ChoiceSet
from studies.unit import Unit
from tests.makers.stored import check
from tests.makers.units import of_drafts

ENGLISH = ("Where is Anna?\nAnswer:", "The cat sat on the mat.\nAnswer:", "Who?\nAnswer:")
GERMAN = ("Wo ist Anna?\nAntwort:", "Die Katze sass da.\nAntwort:", "Wer war es?\nAntwort:")
LETTERS = (" A", " B", " C", " D")
TEXTS = (
    ChoiceItem(id="4", context="Anna ist zu", options=(" Hause", " A", " Haus"), gold=0),
    ChoiceItem(id="5", context="Рыба живёт в", options=(" море", " лесу"), gold=0),
)
LETTERED = (
    ChoiceItem(id="4", context="Anna?\nA: x\nB: y\nAnswer:", options=LETTERS, gold=2),
    ChoiceItem(id="5", context="Кто?\nAnswer:", options=LETTERS, gold=0),
)
PAIRS = VectorSet(
    benchmark="mini",
    language="deu_Latn",
    pivot="eng_Latn",
    prompt="cloze",
    seed=7,
    ids=("1", "2", "3"),
    toward=ENGLISH,
    away=GERMAN,
)
ASKED = ChoiceSet(benchmark="mini", language="deu_Latn", prompt="cloze", items=TEXTS, seed=7)
GRID = SteeringGrid(
    benchmark="mini", languages=("deu_Latn",), coefficients=(-2.0, 0.0, 0.5, 3.0), seeds=(7,)
)


def vector_unit(loaded: LoadedModel, *sets: VectorSet) -> Unit:
    drafts = [vector_kind.draft(asked, model=loaded.facts) for asked in sets]
    return of_drafts(GRID, *drafts, study="s")


def made(loaded: LoadedModel, *sets: VectorSet) -> Answer:
    unit = vector_unit(loaded, *sets)
    answer = run_unit(loaded, unit)
    check(unit, answer.rows)
    return answer


def steering_unit(
    loaded: LoadedModel,
    vectors: dict[str, VectorSet],
    asked: ChoiceSet = ASKED,
    *,
    grid: SteeringGrid = GRID,
    how: Steering | None = None,
) -> Unit:
    keys = {
        name: vector_kind.draft(one, model=loaded.facts).cells[0].key
        for name, one in vectors.items()
    }
    chosen = replace(grid, steering=how or Steering())
    draft = steering.draft(chosen, asked, model=loaded.facts, vectors=keys)
    return of_drafts(chosen, draft, study="s")


def steered(
    loaded: LoadedModel,
    vectors: dict[str, VectorSet],
    asked: ChoiceSet = ASKED,
    *,
    grid: SteeringGrid = GRID,
    how: Steering | None = None,
) -> list[Row]:
    """The rows of a unit, with the vectors that it needs made before."""
    unit = steering_unit(loaded, vectors, asked, grid=grid, how=how)
    sets = tuple({id(one): one for one in vectors.values()}.values())
    rows = run_unit(loaded, unit, artifacts=made(loaded, *sets).artifacts).rows
    check(unit, rows)
    assert {row["switches"] for row in rows} == {text(how or Steering())}
    assert {(row["pivot"], row["seed"]) for row in rows} == {("eng_Latn", 7)}
    return rows
