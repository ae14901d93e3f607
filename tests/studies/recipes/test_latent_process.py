"""The latent process as a recipe: which grids it asks for, and that one command computes them."""

from pathlib import Path

import pandas as pd
import pytest

from orchestrator import plan as plans
from studies import miniworld
from studies.kinds.alignment import AlignmentGrid
from studies.kinds.choices import ChoiceGrid
from studies.kinds.latent import LatentGrid
from studies.kinds.steering import CONTROLS, SteeringGrid
from studies.layers import named_layers
from studies.prompt_options import Asking, Chat, Lens, Steering
from studies.recipes import RECIPES
from studies.recipes.latent_process import Options
from studies.rows import Source
from studies.spec import Model
from studies.study import Study
from tests.makers import world
from tests.makers.planned import planned
from tests.makers.world import run


def study(**chosen) -> Study:
    return RECIPES["latent-process"](Options(**{"models": ("m",), **chosen}))


def of(found: Study, kind: type) -> list:
    return [grid for grid in found.grids if isinstance(grid, kind)]


def test_the_papers_layers_are_every_fourth_up_to_the_last():
    for blocks, first in ((26, 2), (42, 2), (46, 2), (36, 4), (28, 4), (64, 4)):
        layers = named_layers("analysed", blocks=blocks)
        assert layers == tuple(range(first, blocks + 1, 4)) and layers[-1] == blocks
    assert named_layers("swept", blocks=26) == (6, 10)
    assert named_layers("analysed", blocks=4) == named_layers("swept", blocks=4) == (1, 2, 3, 4)


def test_everything_is_asked_in_the_papers_prompt():
    found = study()
    (output,), (latent,) = of(found, ChoiceGrid), of(found, LatentGrid)
    assert (output.benchmark, output.prompt, output.parallel) == ("belebele", "latent", True)
    assert (latent.pivot, latent.layers, latent.prompt) == ("eng_Latn", "analysed", "latent")
    pictures, similarities = of(found, AlignmentGrid)
    assert pictures.together and pictures.method == "pca" and pictures.poolings == ("last",)
    assert pictures.questions.sample == 50 and similarities.questions.sample == 200
    assert similarities.measures == ("cka", "cosine", "cosine_centred")
    swept, ends = of(found, SteeringGrid)
    assert swept.layers == "swept" and len(swept.coefficients) == 11 and not swept.controls
    assert ends.layers == "analysed" and ends.coefficients == (-2.0, 2.0)
    assert ends.controls == ("random", "wrong_language", "orthogonal", "halves")
    assert (ends.sample, ends.seeds, ends.control_coefficients) == (50, (0,), (2.0,))


def test_the_embedded_models_are_asked_in_the_papers_prompt_too():
    found = RECIPES["latent-process"](Options())
    assert tuple(model.id for model in found.models) == miniworld.MODELS
    assert {grid.prompt for grid in of(found, ChoiceGrid)} == {"latent"}
    controls = {grid.benchmark: grid for grid in of(found, SteeringGrid) if grid.controls}
    assert controls["mini_belebele"].others == ("mini_mmlu",)
    assert controls["mini_mmlu"].others == ("mini_belebele",)
    assert "orthogonal" in controls["mini_belebele"].controls
    texts = of(RECIPES["latent-process"](Options(prompt="cloze")), SteeringGrid)
    assert not any("orthogonal" in grid.controls for grid in texts)
    assert "wrong_dataset" in controls["mini_belebele"].controls


def test_flags_narrow_the_study():
    found = study(
        benchmarks=("m_arc", "m_mmlu"),
        layers=(3, 5),
        coefficients=(-1.0, 1.5),
        controls=("random",),
        seeds=(1, 2),
        sample=30,
        parts=("steering", "controls"),
        asking=Asking(chat_template=True),
        steering=Steering(vec_norm="unit"),
    )
    first, second = of(found, SteeringGrid)
    assert first.layers == (3, 5) and first.coefficients == (-1.0, 1.5)
    assert first.controls == ("random",) and first.control_coefficients == (1.5,)
    assert (first.seeds, first.sample, second.benchmark) == ((1, 2), 30, "m_mmlu")
    assert first.asking.chat == Chat() and first.steering.vec_norm == "unit"
    alone = study(parts=("controls",))
    (grid,) = of(alone, SteeringGrid)
    assert grid.coefficients == () and len(alone.grids) == 1
    assert len(of(study(paper=True), ChoiceGrid)) == 3


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"parts": ("steer",)}, "unknown part 'steer': expected one of output, latent"),
        ({"controls": ("placebo",)}, f"unknown control 'placebo': expected one of {CONTROLS[0]}"),
        ({"pivots": ("eng_Latn", "fra_Latn")}, "2 pivots: this study steers toward one"),
        ({"benchmarks": ("harness/m_arc",)}, "this study puts questions in its own prompts"),
        ({"parts": ("output",), "coefficients": (1.0,)}, "no effect without the part steering"),
        ({"parts": ("output",), "lens": Lens(softcap=False)}, "no effect without the part latent"),
        ({"benchmarks": ("m_arc",), "models": ()}, "no model given"),
    ],
)
def test_what_has_no_effect_or_no_meaning_is_refused(chosen, message: str):
    with pytest.raises(ValueError, match=message):
        study(**chosen)


def build(**chosen) -> plans.Plan:
    settings = {"models": (world.models()[0],), "benchmarks": ("mini_belebele",), **chosen}
    asked = RECIPES["latent-process"](Options(**settings))
    return planned(asked, source=Source())


def test_vectors_come_before_the_answers_that_take_them():
    plan = build(
        languages=("deu_Latn", "fra_Latn"), limit=20, sample=8, parts=("steering", "controls")
    )
    made: set[str] = set()
    for unit in plan.units:
        assert set(unit.needs) <= made
        made |= {cell.key for cell in unit.cells if cell.table == "vectors"}
    assert len(made) == 3, "two languages, and the halves of the pivot"
    steered = [unit for unit in plan.units if unit.kind == "steering"]
    for unit in steered:
        for part in unit.parts:
            for cell in part.cells:
                assert (cell.layer is None) == (cell.coefficient == 0)
                assert cell.layer is None or part.taken[str(cell.intervention)] in unit.needs
    pivot = [c for u in steered for c in u.cells if c.language == "eng_Latn"]
    assert [(cell.intervention, cell.coefficient) for cell in pivot] == [("steer", 0.0)]
    parts = [part for unit in steered for part in unit.parts if part.taken]
    wrong, own = (
        {part.content.language: part.taken[name] for part in parts if name in part.taken}
        for name in ("wrong_language", "steer")
    )
    assert wrong == {"deu_Latn": own["fra_Latn"], "fra_Latn": own["deu_Latn"]}


def test_no_drawn_item_is_answered_whatever_the_language_and_draw():
    plan = build(languages=("deu_Latn", "swh_Latn"), limit=25, sample=9, seeds=(0, 1, 2),
                 parts=("steering",))  # fmt: skip
    drawn: dict[int, set[str]] = {}
    answered: dict[int, set[str]] = {}
    for unit in plan.units:
        for each in (part.content for part in unit.parts):
            if unit.table == "vectors":
                drawn.setdefault(each.seed, set()).update(each.ids)
            else:
                answered.setdefault(each.seed, set()).update(item.id for item in each.items)
    assert drawn.keys() == answered.keys() == {0, 1, 2}
    for seed in drawn:
        assert len(drawn[seed]) == 9 and len(answered[seed]) == 16
        assert drawn[seed].isdisjoint(answered[seed])
    assert len({frozenset(ids) for ids in drawn.values()}) == 3


def test_a_language_more_changes_no_other_cell():
    few = build(
        languages=("deu_Latn", "fra_Latn"), limit=20, sample=8, parts=("latent", "steering")
    )
    more = build(languages=("deu_Latn", "fra_Latn", "rus_Cyrl"), limit=20, sample=8,
                 parts=("latent", "steering"))  # fmt: skip
    keys = [{cell.key for unit in plan.units for cell in unit.cells} for plan in (few, more)]
    assert keys[0] < keys[1]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"layers": (9,)}, "layer 9 cannot be taken in model .*: expected 1 .* to"),
        ({"sample": 300}, "mini_belebele"),
        ({"languages": ("deu_Latn",), "controls": ("wrong_language",)}, "needs two languages"),
        ({"controls": ("wrong_dataset",)}, "needs vectors of another benchmark"),
        (
            {"controls": ("orthogonal",), "prompt": "cloze"},
            "needs options that are letters, and mini_belebele is",
        ),
        ({"languages": ("eng_Latn",)}, "no language"),
        ({"prompt": "riddle"}, "has no prompt 'riddle'"),
        ({"pivots": ("jpn_Jpan",), "parts": ("latent",)}, "has no jpn_Jpan, the language of the"),
        ({"pivots": ("jpn_Jpan",), "parts": ("steering",)}, "has no jpn_Jpan, the language to st"),
        ({"asking": Asking(chat_template=True)}, "has no chat template, and switch chat_template"),
    ],
)
def test_bad_studies_are_refused_in_one_sentence(chosen, message: str):
    with pytest.raises(ValueError, match=message) as found:
        build(**{"limit": 20, "sample": 8, **chosen})
    assert "\n" not in str(found.value)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every part on three languages of the miniworld, with one small model."""
    out = tmp_path_factory.mktemp("latent") / "run"
    with pytest.MonkeyPatch.context() as patch:
        arguments = [
            *("run", "latent-process", "--model", world.models()[0], "--limit", "14"),
            *("--benchmark", "mini_belebele,mini_mmlu", "--sample", "6"),
            *("--prompt", "cloze"),
            *("--language", "deu_Latn,fra_Latn,zho_Hans", "--coefficient=-1,0,2"),
            *("--out", str(out), "--cluster", "inline", "--no-report"),
        ]
        assert run(*arguments, monkeypatch=patch) == 0
        assert run(*arguments, monkeypatch=patch) == 0
    return out


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(out / "tables" / name)


def test_every_part_leaves_its_rows(computed: Path):
    assert not (computed / "errors.parquet").exists() or table_of_errors(computed).empty
    layers = Model and set(table(computed, "vectors").layer)
    items = table(computed, "items")
    plain = items[items.intervention.isna()]
    assert plain.groupby(["benchmark", "language"]).size().eq(14).all()
    assert set(plain.prompt) == {"cloze"} and plain.language.nunique() == 4
    steered = items[items.intervention.notna()]
    per_cell = steered.groupby("key").agg(n=("item", "size"), layer=("layer", "first"))
    assert per_cell.n.eq(8).all()
    cells = steered.drop_duplicates("key").groupby(["language", "intervention"]).size()
    assert cells["deu_Latn", "steer"] == 2 * (1 + 2 * len(layers))
    assert cells["deu_Latn", "wrong_dataset"] == 2 * len(layers)
    assert ("eng_Latn", "steer") in cells.index and ("eng_Latn", "random") not in cells.index
    lens = table(computed, "lens")
    assert set(lens.layer) == layers and set(lens.measure) == {"latent", "latent_shuffled"}
    assert lens.groupby("key").size().eq(14).all()
    points = table(computed, "points")
    assert set(points.language) == {"all"} and points.groupby("key").size().eq(4 * 6).all()
    similar = table(computed, "alignment")
    assert set(similar.dataset) == {"questions/mini_belebele", "questions/mini_mmlu"}
    assert set(similar.measure) == {"cka", "cosine", "cosine_centred"}


def table_of_errors(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "errors.parquet")


def test_at_coefficient_0_the_answers_are_the_plain_ones(computed: Path):
    items = table(computed, "items")
    plain = items[items.intervention.isna()].set_index(["benchmark", "language", "item"])
    zero = items[items.coefficient == 0].set_index(["benchmark", "language", "item"])
    both = zero.join(plain, rsuffix="_plain", how="left")
    assert len(both) == len(zero) and (both.prediction == both.prediction_plain).all()


def test_the_lens_of_the_last_layer_is_the_models_own_score(computed: Path):
    lens = table(computed, "lens")
    last = lens[(lens.layer == lens.layer.max()) & (lens.measure == "latent")]
    items = table(computed, "items")
    plain = items[items.intervention.isna()].set_index(["benchmark", "language", "item"]).scores
    for row in last.to_dict("records"):
        scores = plain[row["benchmark"], row["language"], row["item"]]
        assert row["native_logp"] == pytest.approx(scores, abs=1e-3)
