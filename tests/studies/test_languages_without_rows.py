"""A language without rows is refused where it would be zero cells, else it is a note."""

import json
from pathlib import Path

import pytest

from orchestrator import plan as plans
from studies.kinds.choices import ChoiceGrid
from studies.kinds.generation import GenerationGrid
from studies.kinds.latent import LatentGrid
from studies.kinds.training import TransferGrid
from studies.rows import Source
from studies.spec import Model
from studies.study import Grid, Study
from tests.makers.planned import planned

ROW = {
    "link": "a", "question_number": 1, "flores_passage": "Anna has a cat.", "dialect": "x",
    "question": "What has Anna?", "mc_answer1": "a cat", "mc_answer2": "a dog",
    "mc_answer3": "a cow", "mc_answer4": "a hen", "correct_answer_num": "1", "ds": "x",
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "belebele"
    folder.mkdir()
    for language in ("eng_Latn", "deu_Latn"):
        rows = [ROW | {"question_number": number} for number in (1, 2)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{language}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def build(root: Path, *grids: Grid) -> plans.Plan:
    study = Study(name="mine", models=(Model(id="miniworld-llama"),), grids=grids)
    return planned(study, source=Source(data_root=root))


@pytest.mark.parametrize("languages", [("fra_Latn",), ("deu_Latn", "fra_Latn", "swh_Latn")])
@pytest.mark.parametrize("kind", [ChoiceGrid, LatentGrid])
def test_a_language_without_rows_anywhere_is_refused(
    root: Path, kind: type[ChoiceGrid] | type[LatentGrid], languages: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=r"no fra_Latn|no rows in fra_Latn, swh_Latn") as caught:
        build(root, kind(benchmark="belebele", languages=languages))
    assert "belebele" in str(caught.value) and "--data-root" in str(caught.value)


def test_languages_that_are_there_are_planned(root: Path) -> None:
    plan = build(root, ChoiceGrid(benchmark="belebele", languages=("deu_Latn",)))
    assert plan.cells == 1 and not plan.notes
    assert build(root, ChoiceGrid(benchmark="belebele", languages=("all",))).cells == 2


def test_texts_and_transfer_refuse_it_as_well() -> None:
    languages = ("deu_Latn", "lao_Laoo")
    grids: tuple[Grid, ...] = (
        GenerationGrid(benchmark="mini_xquad", languages=languages, limit=2),
        TransferGrid(benchmark="mini_xnli", train="mini_xnli_train", languages=languages, limit=2),
    )
    for grid in grids:
        with pytest.raises(ValueError, match="no rows in lao_Laoo"):
            build(Path("nowhere"), grid)
