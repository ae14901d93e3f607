"""The CLAS study: what it asks, what is one cell, and what it refuses in one sentence."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from studies.inputs import Inputs
from studies.kinds.categories import CategoriesGrid
from studies.kinds.scaled import CONTROLS, ScalingGrid
from studies.neuron_options import Rescaling, Sorting, Strength
from studies.recipes.clas import Options, study
from studies.rows import Source
from studies.spec import ModelFacts
from studies.study import Draft
from tests.makers import tiny

LANGUAGES = ("eng_Latn", "deu_Latn", "rus_Cyrl")
FACTS = replace(tiny.make("llama"), context=4096)
ASKED: dict[str, Any] = {
    "benchmarks": ("mini_xnli",), "languages": LANGUAGES, "samples": 12, "limit": 40, "tuning": 10,
}  # fmt: skip


def grids(**given: Any) -> tuple[CategoriesGrid | ScalingGrid, ...]:
    return study(Options(**ASKED | given)).grids  # type: ignore[return-value]


def drafts(model: ModelFacts = FACTS, **given: Any) -> Iterator[Draft]:
    inputs = Inputs(Source())
    for grid in grids(**given):
        yield from grid.drafts([model], inputs)


def all_keys(**given: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for draft in drafts(**given):
        own = found.setdefault(draft.kind, set())
        own |= {cell.key for cells in draft.cells for cell in cells}
    return found


def keys(kind: str, **given: Any) -> set[str]:
    return all_keys(**given)[kind]


def test_both_parts_of_rescaling_are_one_grid() -> None:
    neurons, scaled = grids()
    assert isinstance(neurons, CategoriesGrid) and isinstance(scaled, ScalingGrid)
    assert scaled.controls == CONTROLS and scaled.prompt == "digit"
    assert len(scaled.strengths) == 11 and Strength() in scaled.strengths
    (alone,) = grids(parts=("steering",))
    assert isinstance(alone, ScalingGrid) and alone.controls == ()
    (written,) = grids(parts=("steering",), benchmarks=("mini_xquad",), stop=("none",))
    assert isinstance(written, ScalingGrid)
    assert written.stop == () and len(written.strengths) == 9 and not written.doses


def test_equal_products_are_one_strength_and_one_cell() -> None:
    one = grids(parts=("steering",), alphas=(-1.0, 0.0), beta=0.4, gamma=0.2)
    other = grids(parts=("steering",), alphas=(-2.0, -0.0, 0.0), beta=0.2, gamma=0.1)
    assert one[0].strengths == other[0].strengths  # type: ignore[union-attr]
    same = {"parts": ("steering",)}
    assert keys("scaled", alphas=(-1.0, 0.0), beta=0.4, gamma=0.2, **same) == keys(
        "scaled", alphas=(-2.0, 0.0), beta=0.2, gamma=0.1, **same
    )


def test_every_key_follows_from_what_it_depends_on() -> None:
    kinds = ("neurons", "categories", "tuning", "scaled", "scaled_states", "scaled_points")
    before = all_keys()
    assert set(before) == set(kinds)
    assert len(before["neurons"]) == 3 and len(before["categories"]) == 1
    later = {*kinds} - {"neurons"}
    answered = {"tuning", "scaled", "scaled_states", "scaled_points"}
    changes: list[tuple[dict[str, Any], set[str]]] = [
        ({"sorting": Sorting(threshold=0.5)}, later),
        ({"sorting": Sorting(activity="freq")}, later),
        ({"sorting": Sorting(clas_site="act")}, later),
        ({"sorting": Sorting(intmu_selector="act_prob_90p")}, later),
        ({"sorting": Sorting(intmu_site="code")}, {*kinds}),
        ({"sorting": Sorting(stat_bos=False)}, {*kinds}),
        ({"sorting": Sorting(stat_weight="token")}, {*kinds}),
        ({"sorting": Sorting(stat_text="context")}, {*kinds}),
        ({"samples": 13}, {*kinds}),
        ({"bridge": (2,)}, later),
        ({"seed": 1}, answered),
        ({"tuning": 11}, answered),
        ({"beta": 0.3}, answered),
        ({"gamma": 0.3}, answered),
        ({"alphas": (0.0, 1.0)}, answered),
        ({"rescaling": Rescaling(spec_scope="only_current")}, answered),
        ({"rescaling": Rescaling(clas_pos="last")}, answered),
        ({"draws": 3}, {"scaled"}),
    ]
    for change, expected in changes:
        after = all_keys(**change)
        moved = {kind for kind in kinds if after[kind] != before[kind]}
        assert moved == expected, change


def test_bridge_layers_are_the_same_in_any_order_and_twice() -> None:
    given = {"parts": ("neurons",), "benchmarks": (), "limit": None, "tuning": None}
    one = keys("categories", bridge=(1, 2), **given)
    for other in ((2, 1), (1, 2, 1)):
        assert keys("categories", bridge=other, **given) == one
    assert keys("categories", bridge=(1,), **given) != one


def test_the_neurons_part_sorts_and_answers_nothing() -> None:
    found = all_keys(parts=("neurons",), benchmarks=(), limit=None, tuning=None)
    assert {kind: len(own) for kind, own in found.items()} == {"neurons": 3, "categories": 1}
    both = all_keys()
    for kind, own in found.items():
        assert own == both[kind]  # the other parts take the same cells


def test_controls_ride_along_and_leave_the_other_cells_as_they_are() -> None:
    without = all_keys(parts=("neurons", "steering"))
    both, alone = all_keys(), all_keys(parts=("controls",))
    for kind, own in without.items():
        assert own <= both[kind] and (kind == "scaled") == (own != both[kind])
    assert alone == both
    # Of a language: plain, clas, Int-mu, 20 + 5 draws, uniform, two choices, three values.
    assert len(without["scaled"]) == 3 + 2 * 2
    assert len(both["scaled"]) == 3 + 1 + 2 * (2 + 20 + 5 + 1 + 2 + 3)


def test_the_plain_answers_do_not_depend_on_how_neurons_are_sorted() -> None:
    one, other = keys("scaled"), keys("scaled", sorting=Sorting(threshold=0.5))
    assert len(one & other) == len(LANGUAGES)


def test_int_mu_is_left_out_where_there_are_no_samples() -> None:
    inputs = Inputs(Source())
    (grid,) = grids(parts=("steering",), languages=(*LANGUAGES, "tur_Latn"))
    fewer = replace(grid, languages=(*LANGUAGES, "tur_Latn"))
    found = {
        str(cells.language): {str(one.intervention) for one in draft.cells}
        for draft in fewer.drafts([FACTS], inputs)
        if draft.kind == "scaled"
        for cells in draft.cells
    }
    assert found["deu_Latn"] == {"clas", "intmu_mean"} and found["eng_Latn"] == {"clas"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"languages": ("eng_Latn", "deu_Latn")},
            "neurons can be sorted by 2 of the languages .*: expected at least 3",
        ),
        (
            {"languages": ("eng_Latn", "deu_Latn"), "parts": ("steering",)},
            "expected at least two languages beside the anchor eng_Latn",
        ),
        ({"bridge": (9,)}, "bridge layer 9 does not exist in .*: expected 1 .* to"),
        ({"bridge": (2, 0)}, "bridge layer 0 does not exist in .*: expected 1 .* to"),
        ({"alphas": (1.0, 2.0)}, "--alpha 1, 2 has no 0: add it"),
        ({"tuning": 40}, "leaves none of eng_Latn to report: set another size with --tuning"),
        ({"pivots": ("eng_Latn", "deu_Latn")}, "2 pivots: this study leaves one anchor as it is"),
        ({"benchmarks": ("harness/xnli",)}, "puts questions in its own prompts"),
        (
            {"benchmarks": ("flores",), "models": ("m",), "sampled": "miniworld"},
            "unknown benchmark 'flores'",
        ),
        *(
            ({"parts": ("neurons",), name: value}, f"{given} has no effect without the part steer")
            for name, value, given in (
                ("beta", 0.1, "--beta"),
                ("gamma", 0.1, "--gamma"),
                ("tuning", 9, "--tuning"),
                ("seed", 1, "--seed"),
                ("limit", 9, "--limit"),
                ("alphas", (0.0,), "--alpha"),
                ("prompt", "digit", "--prompt"),
                ("stop", ("none",), "--stop"),
                ("rescaling", Rescaling(clas_pos="last"), r"a switch of rescaling \(.*\)"),
            )
        ),
        ({"parts": ("steering",), "draws": 3}, "--draws has no effect without the part controls"),
        ({"parts": ("steering",), "controls": ("random",)}, "--control has no effect"),
        ({"stop": ("newline",)}, "--stop has no effect, as no answer is written"),
        ({"parts": ("neurons",), "benchmarks": ("mini_xnli",)}, "--benchmark has no effect"),
        ({"sampled": "mini_xnli"}, "mini_xnli is answered by choosing, not by writing"),
        ({"samples": 400}, "300 texts are there in all of 3 languages"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(given: dict[str, Any], message: str) -> None:
    if "neurons" in given.get("parts", ()):
        given = {"benchmarks": (), "limit": None, "tuning": None, **given}
    with pytest.raises(ValueError, match=message) as refused:
        list(drafts(**given))
    assert "\n" not in str(refused.value)
