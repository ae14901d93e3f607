"""Steering beside single items, each number beside the same counted item by item."""

from pathlib import Path

import numpy as np
import pytest

from analysis import read
from analysis.dali import steering
from analysis.exhibits import dali
from analysis.layout.material import Material
from analysis.results import toward_pivot
from tests.makers import dali_rows
from tests.makers.dali_rows import BEST, LAYERS, World
from tests.makers.pages import all_said, sheets

WORLD = World(wrong={"deu_Latn": 30, "fra_Latn": 13})
PIVOT_RIGHT = range(72)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Material:
    run = dali_rows.write(tmp_path_factory.mktemp("store") / "run", WORLD)
    return Material(read.rows([run]))


def of_group(group: str) -> list[tuple[str, int]]:
    """Language and item of all, of successes and of failures."""
    every = [(language, item) for language in WORLD.wrong for item in range(WORLD.items)]
    known = [one for one in every if one[1] in PIVOT_RIGHT]
    return {
        "all": every,
        "EC-XC": [one for one in known if WORLD.right(*one)],
        "EC-XW": [one for one in known if not WORLD.right(*one)],
    }[group]


def test_changes_are_those_counted_item_by_item(held: Material) -> None:
    found = held.get(steering.steered)
    assert sorted(set(found["layer"])) == list(range(BEST, LAYERS + 1))
    for row in found.to_dict("records"):
        own, layer = of_group(row["items"]), row["layer"]
        plain = [WORLD.aligned(language, item, layer) for language, item in own]
        after = [
            one or (layer == BEST and item % 3 == 0)
            for one, (_, item) in zip(plain, own, strict=True)
        ]
        assert (row["n"], row["languages"]) == (len(own), 2)
        assert row["plain"] == pytest.approx(np.mean(plain))
        assert row["steered"] == pytest.approx(np.mean(after))
        assert row["change"] == pytest.approx(np.mean(after) - np.mean(plain))
        if layer == BEST:
            assert 0 < row["low"] < row["change"] < row["high"]
            # An item turns its sign in both languages at once: so few that moved allow no less.
            moved = {item for (_, item), was in zip(own, plain, strict=True) if not was}
            moved = {item for item in moved if item % 3 == 0}
            assert row["p"] == pytest.approx(2 * 0.5 ** len(moved), abs=0.02)
        else:
            assert row["change"] == 0 and np.isnan(row["low"]) and np.isnan(row["p"])


def test_the_layer_is_chosen_without_a_look_at_steering(held: Material) -> None:
    best = held.get(steering.at_best)
    assert set(best["layer"]) == {BEST} and set(best["items"]) == {"all", "EC-XC", "EC-XW"}
    assert (best["p_bh"] >= best["p"]).all()


def test_failures_and_successes_are_those_of_the_patched_prompt(held: Material) -> None:
    found = held.get(steering.directions).set_index(["items", "layer"])
    every = of_group("all")
    right = [WORLD.right(*one) for one in every]
    for layer in range(1, LAYERS + 1):
        assert found.loc[("EC-XW", layer), "cosine"] == pytest.approx(0.5)
        assert found.loc[("EC-XC", layer), "cosine"] == pytest.approx(0.25)
        expected = np.mean([0.25 if one else 0.5 for one in right])
        assert found.loc[("all", layer), "cosine"] == pytest.approx(expected)
        assert found.loc[("EC-XW", layer), "n"] == len(of_group("EC-XW"))


def test_without_answers_all_items_are_shown_alone(tmp_path: Path) -> None:
    parts = ("steered_options", "directions")
    alone = Material(read.rows([dali_rows.write(tmp_path / "run", WORLD, parts=parts)]))
    assert set(alone.get(steering.steered)["items"]) == {"all"}
    assert set(alone.get(steering.directions)["items"]) == {"all"}


def test_of_two_answers_the_one_with_most_items_is_kept(tmp_path: Path) -> None:
    few = World(wrong={"deu_Latn": 5}, items=20, key="/few")
    runs = [
        dali_rows.write(tmp_path / str(number), world) for number, world in enumerate((WORLD, few))
    ]
    for cells in (toward_pivot.steered(runs), toward_pivot.directions(runs)):
        assert [len(one.items) for one in cells] == [WORLD.items] * 2


def test_the_page_reads_both_plainly(held: Material) -> None:
    page = dali.PAGE.build(held)
    said = all_said(page)
    failures = len(of_group("EC-XW"))
    assert f"of the {failures} failures of transfer are aligned in layer {BEST}" in said
    assert "which is clear of no change" in said
    assert "has a mean cosine of" in said
    assert len(sheets(page.sheets)["steered_best"]) == 3
    names = {picture.name.partition("-")[0] for picture in page.pictures}
    assert {"steered_alignment", "patch_directions"} <= names


def test_a_page_without_steering_says_so(tmp_path: Path) -> None:
    run = dali_rows.write(tmp_path / "run", WORLD, parts=("items", "option_alignment"))
    page = dali.PAGE.build(Material(read.rows([run])))
    assert "steered_best" not in {sheet.name for sheet in page.sheets}
