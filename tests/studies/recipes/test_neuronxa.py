"""The study's parts: which grids they ask for, and that each is computed whole from the command."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from actors.model import load
from actors.prediction.score import score
from actors.training import finetune
from studies import benchmarks
from studies.kinds.alignment import AlignmentGrid
from studies.kinds.choices import ChoiceGrid
from studies.kinds.generation import GenerationGrid
from studies.kinds.training import TransferGrid
from studies.measures import NEURONXA
from studies.models.facts import facts
from studies.recipes import RECIPES
from studies.recipes.neuronxa import Options
from studies.rows import Source
from studies.spec import Model, Switches
from studies.study import Study
from tests.makers import world
from tests.makers.planned import planned
from tests.makers.world import run


def study(**chosen) -> Study:
    return RECIPES["neuronxa"](Options(models=("m",), **chosen))


def parallel(of: Study, table: str = "alignment") -> list[AlignmentGrid]:
    return [g for g in of.grids if isinstance(g, AlignmentGrid) and g.table == table]


def test_scores_and_a_picture_are_the_usual_parts():
    found = study()
    (scores,), (picture,) = parallel(found), parallel(found, "points")
    assert (scores.dataset, scores.pivot, scores.pairs) == ("flores200", "eng_Latn", 100)
    assert scores.measures == NEURONXA and scores.languages == ("all",)
    assert (picture.measures, picture.poolings) == (("mexa", "nasca"), ("weighted",))
    assert picture.languages == ("zho_Hans", "all") and picture.method == "tsne"
    assert len(found.grids) == 2


def test_the_paper_is_all_its_texts_pivots_and_tasks():
    found = study(paper=True)
    assert {(grid.dataset, grid.pivot) for grid in parallel(found) if grid.pairs == 100} >= {
        *(("flores200", pivot) for pivot in ("eng_Latn", "fra_Latn", "ita_Latn", "deu_Latn")),
        ("tatoeba", "eng_Latn"),
    }
    everything = [grid for grid in parallel(found) if grid.pairs is None]
    assert {grid.dataset for grid in everything} == {"flores200", "tatoeba"}
    assert all(grid.measures == ("mexa", "nasca") for grid in everything)
    pairs = {
        frozenset((grid.pivot, language)) for grid in parallel(found) for language in grid.languages
    }
    assert {frozenset(("kaz_Cyrl", "tat_Cyrl")), frozenset(("ita_Latn", "fra_Latn"))} <= pairs
    asked = [grid.benchmark for grid in found.grids if isinstance(grid, ChoiceGrid)]
    assert asked == ["harness/m_arc", "harness/m_mmlu", "harness/belebele", "bmlama53"]
    (transfer,) = [grid for grid in found.grids if isinstance(grid, TransferGrid)]
    assert (transfer.benchmark, transfer.train) == ("xnli", "xnli_train")
    assert {grid.dataset for grid in parallel(found, "robustness")} == {"flores200", "tatoeba"}
    narrow = study(paper=True, benchmarks=("belebele",), parts=("scores",))
    assert [grid.benchmark for grid in narrow.grids if isinstance(grid, ChoiceGrid)] == ["belebele"]
    assert len(narrow.grids) == 6


def test_facts_are_learned_in_one_language_and_asked_in_all():
    learned = Switches(clka_mode="finetune_en_then_rank")
    found = study(parts=("transfer",), benchmarks=("bmlama53", "xcopa"), switches=learned)
    grids = {grid.benchmark: grid for grid in found.grids if isinstance(grid, TransferGrid)}
    assert {name: grid.train for name, grid in grids.items()} == {
        "xnli": "xnli_train",
        "bmlama53": "bmlama53",
    }
    assert grids["bmlama53"].train_language == "eng_Latn"
    assert [g.benchmark for g in found.grids if isinstance(g, ChoiceGrid)] == ["xcopa"]
    with pytest.raises(ValueError, match="has no effect without the part transfer and a bench"):
        study(benchmarks=("bmlama53",), switches=learned)


def test_examples_are_the_harness_s_and_prompts_are_ours():
    found = study(benchmarks=("harness/m_arc", "belebele"), fewshot=3, prompt="letter")
    prompts = {grid.benchmark: grid.prompt for grid in found.grids if isinstance(grid, ChoiceGrid)}
    assert prompts == {"harness/m_arc": "3-shot", "belebele": "letter"}


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"parts": ("score",)}, "unknown part 'score': expected one of scores, retrieval"),
        ({"parts": ("pairs",)}, "the part pairs needs pairs of languages"),
        (
            {"parts": ("scores",), "language_pairs": (("a", "b"),)},
            "--pair has no effect without the part pairs",
        ),
        (
            {"parts": ("retrieval",), "measures": ("cka",)},
            "part retrieval is about mexa, nasca",
        ),
        ({"fewshot": 5, "benchmarks": ("belebele",)}, "--fewshot 5 has no effect without a bench"),
        ({"prompt": "cloze", "benchmarks": ("harness/m_arc",)}, "--prompt cloze has no effect"),
        ({"limit": 5}, "--limit 5 has no effect without --benchmark"),
        (
            {"how": finetune.FineTuning(rank=2)},
            "--finetune has no effect without the part",
        ),
        ({"switches": Switches(seed=1)}, "seed=1 has no effect with pair_ids=first"),
    ],
)
def test_what_has_no_effect_is_refused(chosen, message: str):
    with pytest.raises(ValueError, match=message):
        study(**chosen)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every part on two languages of the miniworld, with the smallest model."""
    out = tmp_path_factory.mktemp("parts") / "run"
    with pytest.MonkeyPatch.context() as patch:
        arguments = [
            *("run", "neuronxa", "--model", world.models()[0], "--parallel", "miniworld"),
            *("--language", "deu_Latn,fra_Latn", "--pairs", "8", "--limit", "6"),
            *("--benchmark", "mini_belebele", "--pair", "deu_Latn:fra_Latn"),
            *(part for name in PARTS for part in ("--part", name)),
            *("--finetune", "examples=9"),
            *("--finetune", "batch=3", "--finetune", "learning_rate=0.01"),
            *("--out", str(out), "--cluster", "inline", "--no-report", "--allow-truncation"),
        ]
        assert run(*arguments, monkeypatch=patch) == 0
        assert run(*arguments, monkeypatch=patch) == 0
    return out


PARTS = ("scores", "retrieval", "pairs", "picture", "robustness", "transfer", "translation")


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(out / "tables" / name)


def test_every_part_leaves_its_rows(computed: Path):
    scores = table(computed, "alignment")
    assert set(scores.measure) == set(NEURONXA)
    assert set(zip(scores.language, scores["pivot"], scores.pairs, strict=True)) == {
        ("deu_Latn", "eng_Latn", "8"), ("fra_Latn", "eng_Latn", "8"),
        ("deu_Latn", "eng_Latn", "all"), ("fra_Latn", "eng_Latn", "all"),
        ("fra_Latn", "deu_Latn", "8"),
    }  # fmt: skip
    assert (
        scores[scores.pairs == "all"].n.eq(300).all() and scores[scores.pairs == "8"].n.eq(8).all()
    )
    checks = table(computed, "robustness")
    assert checks.groupby("key")["check"].nunique().eq(9).all()
    held = checks[checks["check"] == "bootstrap"].merge(
        scores[scores.pairs == "8"],
        on=["language", "pivot", "measure", "pooling", "layer"],
    )
    assert len(held) == checks.key.nunique() and (held.value_x == held.value_y).all()
    points = table(computed, "points")
    assert points.groupby(["measure", "layer"]).size().eq(16).all()
    assert set(points.side) == {"eng_Latn", points.language.iloc[0]}
    written = table(computed, "generations")
    assert written.groupby("language").size().to_dict() == {"deu_Latn": 8, "fra_Latn": 8}
    assert written.engine.str.startswith("hf ").all() and set(written["pivot"]) == {"eng_Latn"}
    assert written.references.map(len).eq(1).all()
    items = table(computed, "items")
    assert set(items.benchmark) == {"mini_belebele", "transfer/mini_xnli"}


def test_transfer_is_answered_with_the_adapter_that_was_trained(computed: Path):
    (trained,) = table(computed, "training").to_dict("records")
    assert trained["n"] == 9 and len(trained["losses"]) == 3
    assert json.loads(trained["settings"])["learning_rate"] == 0.01
    adapter = (computed / "artifacts" / f"{trained['key']}.safetensors").read_bytes()
    items = table(computed, "items")
    items = items[items.benchmark == "transfer/mini_xnli"]
    assert set(items.language) == {"eng_Latn", "deu_Latn", "fra_Latn"}
    loaded = load(facts(Model(id=world.models()[0])), device="cpu")
    choices = benchmarks.load("mini_xnli", language="deu_Latn", source=Source(), limit=6)
    plain = score(loaded, choices.items, normalise=choices.normalise)
    with finetune.adapted(loaded, adapter):
        beside = score(loaded, choices.items, normalise=choices.normalise)
    stored = items[items.language == "deu_Latn"].set_index("item").scores
    for item, one, other in zip(choices.items, beside, plain, strict=True):
        assert torch.allclose(
            torch.tensor(stored[item.id].tolist()), torch.tensor(one.scores), atol=1e-4
        )
        assert not torch.allclose(torch.tensor(one.scores), torch.tensor(other.scores), atol=1e-3)


def test_a_learned_adapter_is_needed_by_every_language_and_made_once(tmp_path: Path):
    grid = TransferGrid(
        benchmark="mini_xnli", train="mini_xnli_train", languages=("deu_Latn", "fra_Latn")
    )
    model = Model(id=world.models()[0])
    asked = Study(name="transfer", models=(model,), grids=(grid,))
    plan = planned(asked, source=Source())
    maker, *takers = plan.units
    assert maker.table == "training" and plan.cells == 3
    (key,) = [cell.key for cell in maker.cells]
    assert all(unit.needs == (key,) for unit in takers)
    done = {cell.key for unit in takers for cell in unit.cells}
    rest = planned(asked, source=Source(), done={key, *done})
    assert rest.cells == rest.done == 3
    again = planned(asked, source=Source(), done={key})
    assert [unit.table for unit in again.units] == ["items"] * len(again.units)
    assert again.there == {key}


def test_the_first_language_there_is_pictured(tmp_path: Path):
    root = world.data_root(tmp_path)
    model = Model(id=world.models()[0])
    for languages, expected in (
        (("zho_Hans", "all"), "deu_Latn"),
        (("fra_Latn",), "fra_Latn"),
        (("swh_Latn", "all"), "swh_Latn"),
    ):
        grid = AlignmentGrid(
            table="points", dataset="flores200", languages=languages, pairs=8, method="pca",
            measures=("mexa",), poolings=("average",),
        )  # fmt: skip
        plan = planned(
            Study(name="s", models=(model,), grids=(grid,)), source=Source(data_root=root)
        )
        (cell,) = [cell for unit in plan.units for cell in unit.cells]
        assert (cell.language, cell.layer) == (expected, (plan.models[0].layers + 1) // 2)


def test_translations_leave_out_their_examples_and_the_language_itself(tmp_path: Path):
    root = world.data_root(tmp_path)
    grid = GenerationGrid(
        benchmark="flores200", task="translation", languages=("all",), limit=5, max_new_tokens=4
    )
    asked = Study(name="s", models=(Model(id=world.models()[0]),), grids=(grid,))
    plan = planned(asked, source=Source(data_root=root))
    cells = [cell for unit in plan.units for cell in unit.cells]
    assert {cell.language for cell in cells} == {"deu_Latn", "fra_Latn", "swh_Latn"}
    assert plan.rows == 15
