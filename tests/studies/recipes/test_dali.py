"""DALI as a recipe: which grids it asks for, what it refuses, and that one command computes it."""

import random
from pathlib import Path

import pandas as pd
import pytest

from orchestrator import plan as plans
from studies import miniworld
from studies.kinds.choices import ChoiceGrid
from studies.kinds.directions import DirectionGrid
from studies.kinds.option_alignment import Embedding, OptionGrid
from studies.kinds.patching import PatchGrid, Patching
from studies.kinds.steered_options import SteeredOptionGrid
from studies.patch_items import PATCHES
from studies.prompt_options import Asking, Chat
from studies.recipes import RECIPES
from studies.recipes.dali import PAPER_BENCHMARKS, PARTS, Options
from studies.rows import Source
from studies.study import Study
from tests.makers import world
from tests.makers.planned import planned
from tests.makers.world import run

ITEMS = 14
TABLES = ("option_alignment", "items", "patches", "steered_options", "directions")
KINDS = (OptionGrid, ChoiceGrid, PatchGrid, SteeredOptionGrid, DirectionGrid)


def study(**chosen) -> Study:
    return RECIPES["dali"](Options(**{"models": ("m",), **chosen}))


def of(found: Study, kind: type) -> list:
    return [grid for grid in found.grids if type(grid) is kind]


def test_the_papers_benchmarks_are_compared_answered_patched_and_steered():
    found = study()
    for kind in KINDS:
        grids = of(found, kind)
        assert tuple(grid.benchmark for grid in grids) == PAPER_BENCHMARKS
        assert {grid.languages for grid in grids} == {("all",)}
    assert len(found.grids) == 15
    compared, patched = of(found, OptionGrid)[0], of(found, PatchGrid)[0]
    assert (compared.pivot, compared.limit, compared.embedding) == ("eng_Latn", None, Embedding())
    assert (patched.layers, patched.patches, patched.seed) == (None, PATCHES, 0)
    assert (patched.prompt, patched.patching) == (None, Patching())
    assert {grid.parallel for grid in of(found, ChoiceGrid)} == {True}
    assert found.settings["dali_pool"] == "last"
    assert found.settings["xcopa_connectors"] == "correct"
    assert found.settings["patch_site"] == "resid_post"


def test_without_models_everything_is_embedded():
    found = RECIPES["dali"](Options())
    assert tuple(model.id for model in found.models) == miniworld.MODELS
    assert {grid.benchmark for grid in found.grids} == {"mini_belebele", "mini_xstorycloze"}


def test_flags_narrow_the_study():
    found = study(
        benchmarks=("m_arc", "xcopa"),
        languages=("deu_Latn",),
        pivots=("fra_Latn",),
        limit=30,
        prompt="letter",
        layers=(3, 5),
        coefficients=(2.0,),
        patches=("matched", "permuted"),
        seed=4,
        asking=Asking(chat_template=True),
        embedding=Embedding(dali_pool="weighted", xcopa_connectors="released"),
        patching=Patching(patch_site="mlp_out"),
    )
    compared, answered, patched, steered, pointed = (of(found, kind)[0] for kind in KINDS)
    for grid in (compared, answered, patched, steered, pointed):
        assert grid.benchmark == "m_arc" and grid.limit == 30
        assert grid.languages == ("fra_Latn", "deu_Latn")
    assert compared.pivot == patched.pivot == "fra_Latn"
    assert compared.embedding.dali_pool == "weighted"
    assert compared.embedding.xcopa_connectors == "released"
    assert answered.prompt == patched.prompt == "letter"
    assert answered.asking.chat == patched.asking.chat == Chat()
    assert (patched.layers, patched.seed) == ((3, 5), 4)
    assert patched.patches == ("matched", "permuted")
    assert patched.patching.patch_site == "mlp_out"
    assert found.settings["seed"] == 4 and found.settings["limit"] == 30
    assert (steered.layers, steered.coefficients) == ((3, 5), (2.0,))
    assert (pointed.layers, pointed.prompt) == ((3, 5), "letter")
    for part, kinds in zip(PARTS, (KINDS[:1], KINDS[1:2], KINDS[2:3], KINDS[3:]), strict=True):
        assert [type(grid) for grid in study(parts=(part,)).grids] == [*kinds] * 3


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"parts": ("patches",)}, "unknown part 'patches': expected one of alignment, answers, pa"),
        ({"patches": ("random",)}, "unknown patch 'random': expected one of matched, permuted"),
        ({"pivots": ("eng_Latn", "fra_Latn")}, "2 pivots: this study compares with one language"),
        ({"benchmarks": ("harness/m_arc",)}, "this study puts questions in its own prompts"),
        ({"parts": ("alignment",), "layers": (1,)}, "--layer has no effect without the part patc"),
        ({"parts": ("answers",), "patches": ("noise",)}, "--patch has no effect without the part"),
        ({"parts": ("answers",), "seed": 1}, "--seed has no effect without the part patching"),
        (
            {"parts": ("alignment", "answers"), "patching": Patching(patch_site="mlp_out")},
            r"a switch of patching \(patch_site\) has no effect without the part patching: add",
        ),
        (
            {"parts": ("patching",), "embedding": Embedding(dali_pool="weighted")},
            r"switch of alignment \(dali_pool, xcopa_connectors\) has no effect without the part",
        ),
        (
            {"parts": ("patching",), "coefficients": (2.0,)},
            "--coefficient has no effect without the part steering: add --part steering",
        ),
        ({"coefficients": (0.0, 1.0)}, "--coefficient 0 is the plain model"),
        ({"parts": ("alignment",), "prompt": "cloze"}, "--prompt has no effect without the parts"),
        (
            {"parts": ("alignment",), "asking": Asking(chat_template=True)},
            "a switch of prompts has no effect without the parts answers, patching",
        ),
        (
            {"benchmarks": ("m_arc",), "embedding": Embedding(xcopa_connectors="released")},
            "xcopa_connectors=released has no effect: add --benchmark xcopa",
        ),
        ({"benchmarks": ("m_arc",), "models": ()}, "no model given"),
    ],
)
def test_what_has_no_effect_or_no_meaning_is_refused(chosen, message: str):
    with pytest.raises(ValueError, match=message) as found:
        study(**chosen)
    assert "\n" not in str(found.value)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two benchmarks in three languages: short texts, which fit a small context."""
    root = tmp_path_factory.mktemp("data")
    for code in ("eng_Latn", "deu_Latn", "fra_Latn"):
        words = random.Random(code)

        def text(words: random.Random = words) -> str:
            return "".join(words.choices("abcdefgh ", k=8)).strip() + "x."

        asked = [
            {"id": f"q{number}", "instruction": text(), "answer": "ABCD"[number % 4]}
            | {f"option_{letter}": text() for letter in "abcd"}
            for number in range(ITEMS)
        ]
        told = [
            {f"input_sentence_{place}": text() for place in range(1, 5)}
            | {"story_id": f"s{number}", "answer_right_ending": 1 + number % 2}
            | {f"sentence_quiz{place}": text() for place in (1, 2)}
            for number in range(ITEMS)
        ]
        world.write_lines(root / f"m_mmlu/{code}.jsonl", asked)
        world.write_lines(root / f"xstorycloze/{code}.jsonl", told)
    return root


def build(data: Path, **chosen) -> plans.Plan:
    settings = {"models": (world.models()[0],), "benchmarks": ("m_mmlu",), **chosen}
    return planned(RECIPES["dali"](Options(**settings)), source=Source(data_root=data))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"layers": (9,)}, "layer 9 cannot be taken in model .*: expected 1 .* to 3"),
        ({"pivots": ("jpn_Jpan",), "parts": ("alignment",)}, "no jpn_Jpan, the language that opt"),
        ({"pivots": ("jpn_Jpan",), "parts": ("patching",)}, "no jpn_Jpan, the language whose st"),
        ({"prompt": "riddle"}, "has no prompt 'riddle'"),
        ({"languages": ("jpn_Jpan",)}, "no rows in jpn_Jpan"),
        ({"prompt": "cloze", "patches": ("permuted",)}, "no source for permuted: these need opt"),
        ({"asking": Asking(chat_template=True)}, "has no chat template, and switch chat_template"),
        ({"asking": Asking(instruction=False)}, "instruction=false has no effect on the prompt"),
    ],
)
def test_bad_studies_are_refused_in_one_sentence(data: Path, chosen, message: str):
    with pytest.raises(ValueError, match=message) as found:
        build(data, **chosen)
    assert "\n" not in str(found.value)


def cells(plan: plans.Plan) -> list:
    return [cell for unit in plan.units for cell in unit.cells]


def test_the_pivot_is_answered_and_compared_with_nobody(data: Path):
    plan = build(data)
    languages = {
        table: [cell.language for cell in cells(plan) if cell.table == table]
        for table in ("option_alignment", "items", "patches")
    }
    assert sorted(languages["option_alignment"]) == ["deu_Latn", "fra_Latn"]
    assert sorted(languages["items"]) == ["deu_Latn", "eng_Latn", "fra_Latn"]
    assert sorted(languages["patches"]) == sorted(["deu_Latn", "fra_Latn"] * len(PATCHES))
    assert {cell.pivot for cell in cells(plan) if cell.table != "items"} == {"eng_Latn"}


def test_settings_change_the_cells_that_they_bear_on_and_no_other(data: Path):
    def keys(**more) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {table: set() for table in TABLES}
        for cell in cells(build(data, **more)):
            found[cell.table].add(cell.key)
        return found

    usual = keys()

    def changed(**more) -> set[str]:
        other = keys(**more)
        assert all(own == other[table] or not own & other[table] for table, own in usual.items())
        return {table for table, own in usual.items() if own != other[table]}

    def undrawn() -> set[str]:
        return {
            cell.key for cell in cells(build(data)) if cell.intervention in ("matched", "permuted")
        }

    assert changed(languages=("deu_Latn", "fra_Latn"), limit=ITEMS) == set()
    pooled = {"option_alignment", "steered_options"}
    assert changed(embedding=Embedding(dali_pool="weighted")) == pooled
    assert keys(coefficients=(2.0, 1.0))["steered_options"] > usual["steered_options"]
    assert changed(patching=Patching(patch_site="attn_out")) == {"patches"}
    assert changed(layers=(2,)) == {"patches", "directions", "steered_options"}
    assert keys(seed=1)["patches"] & usual["patches"] == undrawn(), "what no seed draws stays"
    assert changed(prompt="latent") == {"items", "patches", "directions"}
    assert changed(limit=10) == {*TABLES}
    assert keys(patches=("matched",))["patches"] < usual["patches"]
    few = {cell.key for cell in cells(build(data, languages=("deu_Latn",)))}
    assert few < set.union(*usual.values()), "another language changes nothing"


@pytest.fixture(scope="module")
def computed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every part on two languages, with one small model; the second run adds nothing."""
    out = tmp_path_factory.mktemp("dali") / "run"
    with pytest.MonkeyPatch.context() as patch:
        arguments = [
            *("run", "dali", "--model", world.models()[0], "--data-root", str(data)),
            *("--language", "deu_Latn,fra_Latn", "--benchmark", "m_mmlu,xstorycloze"),
            *("--out", str(out), "--cluster", "inline", "--no-report"),
        ]
        assert run(*arguments, monkeypatch=patch) == 0
        files = sorted((out / "tables").rglob("*.parquet"))
        assert run(*arguments, monkeypatch=patch) == 0
        assert files == sorted((out / "tables").rglob("*.parquet"))
    return out


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(out / "tables" / name)


def test_every_part_leaves_its_rows(computed: Path):
    assert not (computed / "errors.parquet").exists()
    compared = table(computed, "option_alignment")
    assert compared.groupby(["benchmark", "language"]).size().eq(ITEMS).all()
    assert set(compared.language) == {"deu_Latn", "fra_Latn"}
    for name in ("dali", "local", "gold_only", "strong", "mexa", "permuted", "mismatched"):
        assert compared[name].map(len).eq(4).all(), name
    four = compared.options == 4
    assert set(compared[four].benchmark) == {"m_mmlu"}
    for name in ("dali_2", "strong_2", "dali_3", "strong_3"):
        assert compared[name].map(len).eq(four * 4).all(), name
    assert table(computed, "items").groupby(["benchmark", "language"]).size().eq(ITEMS).all()
    patched = table(computed, "patches")
    sizes = patched.groupby(["benchmark", "language", "intervention"]).size()
    assert set(sizes.index.get_level_values(2)) == set(PATCHES)
    assert sizes.eq(ITEMS).all()
    assert set(patched.prompt) == {"letter", "digit"}
    for name, lists in (("directions", ("cosines",)), ("steered_options", ("plain", "steered"))):
        found = table(computed, name)
        assert found.groupby(["benchmark", "language"]).size().eq(ITEMS).all()
        for column in lists:
            assert found[column].map(len).eq(3).all()


def test_patched_answers_begin_at_the_plain_ones_and_end_at_the_pivots(computed: Path):
    items = table(computed, "items")
    plain = items.set_index(["benchmark", "language", "item"]).prediction
    patched = table(computed, "patches")
    # Stories are answered by their endings, and patched by digit.
    letters = patched[patched.benchmark == "m_mmlu"].to_dict("records")
    for row in letters:
        place = (row["benchmark"], row["item"])
        assert row["clean"] == plain[place[0], row["language"], place[1]]
        assert row["pivot_clean"] == plain[place[0], "eng_Latn", place[1]]
    matched = patched[patched.intervention == "matched"]
    assert matched.predictions.map(lambda one: one[-1]).eq(matched.pivot_clean).all()
    assert not matched.clean.eq(matched.pivot_clean).all()
