"""Patched answers from rows to rates, each beside the same counted item by item."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.results import patched, patched_effects
from analysis.results.patched import MATCHED, PERMUTED, SAME_SYMBOL, Patched
from analysis.results.steering import in_development
from analysis.statistics.paired import mcnemar
from tests.makers import dali_rows
from tests.makers.dali_rows import BEST, LAYERS, World

WORLD = World(wrong={"deu_Latn": 30, "fra_Latn": 13}, options=4)
Cells = dict[tuple[str, str], Patched]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    run = dali_rows.write(tmp_path_factory.mktemp("store") / "run", WORLD)
    found, repeated = patched.cells([run])
    assert repeated == 0
    return {(one.place["language"], one.place["intervention"]): one for one in found}


def groups(language: str) -> tuple[list[int], list[int], list[int]]:
    """Failures, successes, and what both answer wrong."""
    failed = [item for item in range(72) if not WORLD.right(language, item)]
    succeeded = [item for item in range(72) if WORLD.right(language, item)]
    return failed, succeeded, [item for item in range(72, 80) if not WORLD.right(language, item)]


@pytest.mark.parametrize("kind", [MATCHED, SAME_SYMBOL, "noise"])
def test_rates_are_those_counted_item_by_item(cells: Cells, kind: str) -> None:
    found = patched_effects.rates(cells["deu_Latn", kind]).set_index("layer")
    failed, succeeded, _ = groups("deu_Latn")
    for layer in range(1, LAYERS + 1):
        chosen = {item: WORLD.patched(kind, "deu_Latn", item, layer) for item in range(80)}
        right = {item: chosen[item] == WORLD.gold(item) for item in chosen}
        row = found.loc[layer]
        assert row["correction"] == pytest.approx(np.mean([right[item] for item in failed]))
        assert row["damage"] == pytest.approx(np.mean([not right[item] for item in succeeded]))
        assert row["net"] == pytest.approx(row["correction"] - row["damage"])
        shifts = [(1.5 if right[item] else -1.5) + 1.0 for item in failed]
        assert row["shift"] == pytest.approx(np.mean(shifts))
        assert row["correction_low"] <= row["correction"] <= row["correction_high"]
    assert found["n_correction"].eq(30).all() and found["n_damage"].eq(42).all()
    assert found["n_pivot_wrong"].eq(0).all() and found["pivot_wrong"].isna().all()


def test_items_that_the_pivot_answers_wrong_too_are_apart(tmp_path: Path) -> None:
    world = World(wrong={"deu_Latn": 80}, items=80, pivot_wrong=40)
    found, _ = patched.cells([dali_rows.write(tmp_path / "run", world)])
    own = next(one for one in found if one.place["intervention"] == MATCHED)
    rates = patched_effects.rates(own).set_index("layer")
    assert rates.loc[BEST, "n_pivot_wrong"] == 40 and rates.loc[BEST, "pivot_wrong"] == 0.5
    # At the last layer the pivot's own answer is chosen, which is wrong.
    assert rates.loc[LAYERS, "pivot_wrong"] == 0 and rates.loc[LAYERS, "correction"] == 1
    assert rates.loc[LAYERS, "copied"] == 1
    assert rates["n_damage"].eq(0).all() and rates["net"].isna().all()


def test_both_hit_rates_of_permuted_options(cells: Cells) -> None:
    found = patched_effects.symbols(cells["deu_Latn", PERMUTED]).set_index(["items", "layer"])
    failures = found.loc["failures"]
    assert failures.loc[BEST, "own"] == 0.5 and failures.loc[LAYERS, "own"] == 0
    # A wrong answer is the next option, which is what is right in the turned source.
    assert failures["source_plain"].eq(1).all() and failures.loc[BEST, "source"] == 0.5
    successes = found.loc["successes"]
    assert successes["own_plain"].eq(1).all() and successes.loc[LAYERS, "source"] == 1
    assert successes["n"].eq(42).all()


def test_controls_are_compared_on_the_same_failures(cells: Cells) -> None:
    one, other = cells["deu_Latn", MATCHED], cells["deu_Latn", SAME_SYMBOL]
    found = patched_effects.against(one, other).set_index("layer")
    # Every second is corrected, of which the control corrects every other.
    assert (found.loc[BEST, "gained"], found.loc[BEST, "lost"]) == (7, 0)
    assert found.loc[BEST, "difference"] == pytest.approx(7 / 30)
    assert found.loc[BEST, "low"] < 7 / 30 < found.loc[BEST, "high"]
    assert found.loc[BEST, "p"] == mcnemar(pd.Series([7]), pd.Series([0]))[0]
    assert found.loc[1, "difference"] == 0 and np.isnan(found.loc[1, "low"])
    marked = found.reset_index().assign(uninformative=lambda rows: rows["layer"] == LAYERS, of=1)
    adjusted = patched_effects.adjusted(marked, ["of"]).set_index("layer")
    assert adjusted.loc[BEST, "p_bh"] == pytest.approx(3 * adjusted.loc[BEST, "p"])
    assert np.isnan(adjusted.loc[LAYERS, "p_bh"])


def test_languages_together_count_an_item_once_however_often_it_comes(cells: Cells) -> None:
    both = patched.together([cells[language, MATCHED] for language in WORLD.wrong])
    alone = patched_effects.rates(cells["deu_Latn", MATCHED]).set_index("layer").loc[BEST]
    found = patched_effects.rates(both, clustered=True).set_index("layer").loc[BEST]
    assert found["n_correction"] == 43 and found["correction"] == pytest.approx((15 + 7) / 43)
    # Every failure of the one is also one of the other: its interval is hardly narrower.
    width = alone["correction_high"] - alone["correction_low"]
    assert found["correction_high"] - found["correction_low"] > 0.85 * width
    other = patched.together([cells[language, SAME_SYMBOL] for language in WORLD.wrong])
    contrast = patched_effects.against(both, other, clustered=True).set_index("layer").loc[BEST]
    assert contrast["n"] == 43 and contrast["gained"] == 7 + 3


def test_items_of_another_language_are_never_paired(cells: Cells) -> None:
    one = patched.together([cells["deu_Latn", MATCHED]])
    other = patched.together([cells["fra_Latn", SAME_SYMBOL]])
    found = patched_effects.against(one, other)
    assert found["n"].eq(0).all() and found["difference"].isna().all() and found["p"].isna().all()


def test_a_layer_is_chosen_on_half_of_the_items_and_judged_on_the_others(cells: Cells) -> None:
    one, other = cells["deu_Latn", MATCHED], cells["deu_Latn", SAME_SYMBOL]
    free = one.layers < LAYERS
    found = patched_effects.held_out(one, free)
    rest = [item for item in range(30) if not in_development(np.array([f"{item:04d}"]))[0]]
    assert found["layer"] == BEST and found["n_failures"] == len(rest)
    assert found["correction"] == pytest.approx(np.mean([item % 2 == 0 for item in rest]))
    beyond = patched_effects.held_out(one, free, control=other)
    assert beyond["layer"] == BEST
    assert beyond["value"] == pytest.approx(np.mean([item % 4 == 2 for item in rest]))
    # The last layer corrects all of them, and is only chosen where it may be.
    assert patched_effects.held_out(one, one.layers > 0)["layer"] == LAYERS
    assert patched_effects.held_out(one, one.layers > LAYERS)["layer"] is None


def test_of_two_answers_the_one_with_most_items_then_layers_is_kept(tmp_path: Path) -> None:
    small = World(wrong={"deu_Latn": 5}, items=20, key="/small", kinds=(MATCHED,))
    large = World(wrong={"deu_Latn": 5}, items=40, kinds=(MATCHED,))
    runs = [dali_rows.write(tmp_path / str(n), world) for n, world in enumerate((large, small))]
    (kept,), repeated = patched.cells(runs)
    assert repeated == 1 and len(kept.items) == 40


def test_controls_of_several_seeds_stand_beside_the_same_undrawn_patches(tmp_path: Path) -> None:
    worlds = [World(wrong={"deu_Latn": 5}, items=20, seed=seed) for seed in (0, 3)]
    runs = [dali_rows.write(tmp_path / str(world.seed), world) for world in worlds]
    assert all(
        json.loads(one.place["switches"]).keys() == {"patch_site"}
        for one in patched.cells(runs[:1]).kept
    )
    found, repeated = patched.cells(runs)
    kinds: dict[int, list[str]] = {}
    for one in found:
        seed = json.loads(one.place["switches"])["seed"]
        kinds.setdefault(seed, []).append(one.place["intervention"])
    assert repeated == 0 and kinds.keys() == {0, 3}
    assert all(sorted(own) == sorted(dali_rows.KINDS) for own in kinds.values())
