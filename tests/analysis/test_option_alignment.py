"""Alignment of options from rows to records: chance, which items count, one answer per cell."""

from pathlib import Path

import numpy as np
import pytest

from actors.measures import options
from analysis.results import option_alignment
from analysis.results.option_alignment import chance, kappa
from tests.makers import dali_rows
from tests.makers.dali_rows import BEST, LAYERS, PIVOT, World
from tests.makers.latent_rows import write_shard

SMALL = World(wrong={"deu_Latn": 30, "fra_Latn": 0})


@pytest.mark.parametrize("count", [2, 3])
def test_chance_is_what_independent_similarities_give(count: int) -> None:
    """Every rule on 60,000 uniform matrices, by the rules' own slow definitions."""
    random = np.random.default_rng(1)
    n = 60_000
    cross = random.random((n, count, count))
    inner = random.random((n, count * (count - 1)))
    same = np.eye(count, dtype=bool)
    matched = cross[:, same]
    rivals = cross[:, ~same]
    found = {
        "dali": matched.min(axis=1) > rivals.max(axis=1),
        "strong": matched.min(axis=1) > np.maximum(rivals.max(axis=1), inner.max(axis=1)),
        "local": np.all(
            [
                [
                    (cross[:, j, j] > cross[:, j, k]) & (cross[:, j, j] > cross[:, k, j])
                    for k in range(count)
                    if k != j
                ]
                for j in range(count)
            ],
            axis=(0, 1),
        ),
        "gold_only": cross[:, 0, 0] == cross.max(axis=(1, 2)),
    }
    for measure, hits in found.items():
        expected = chance(measure, options=count, n=n)
        error = np.sqrt(expected * (1 - expected) / n)
        assert hits.mean() == pytest.approx(expected, abs=4 * error), measure


def test_chance_levels_are_those_of_the_actors_and_of_the_formulas() -> None:
    for count in (2, 3, 4, 5):
        assert chance("dali", options=count, n=9) == options.chance(count)
        assert chance("strong", options=count, n=9) == options.chance(count, strong=True)
    assert chance("dali", options=4, n=9) == pytest.approx(1 / 1820)
    assert chance("dali_2", options=4, n=9) == pytest.approx(1 / 6)
    assert chance("strong_3", options=4, n=9) == pytest.approx(1 / 455)
    assert chance("permuted", options=2, n=9) == chance("mismatched", options=2, n=9) == 1 / 6
    assert chance("mexa", options=4, n=100) == pytest.approx(0.0050251, abs=1e-7)
    assert kappa(np.array([1 / 6, 1.0]), chance=1 / 6).tolist() == [0.0, 1.0]


def test_records_hold_which_items_are_aligned_where(tmp_path: Path) -> None:
    run = dali_rows.write(tmp_path / "run", SMALL)
    cells, repeated = option_alignment.cells([run])
    assert repeated == 0 and [cell.language for cell in cells] == ["deu_Latn", "fra_Latn"]
    german = cells[0]
    assert german.layers.tolist() == list(range(LAYERS + 1))
    expected = [
        [SMALL.aligned("deu_Latn", item, layer) for layer in german.layers] for item in range(80)
    ]
    np.testing.assert_array_equal(german.aligned["dali"], expected)
    assert german.best() == BEST and german.inner.tolist() == [True] * LAYERS + [False]
    assert not german.asked["dali_2"].any() and np.isnan(german.share("dali_2")[1]).all()
    assert german.share("mismatched")[1][0] == pytest.approx(0.1)
    some = np.arange(80) < 10
    n, share = german.share("dali", some)
    assert n == 10 and share[BEST] == pytest.approx(0.3)


def test_the_answer_with_most_items_is_kept_whatever_repeats_it(tmp_path: Path) -> None:
    small = World(wrong={"deu_Latn": 3}, items=20, pivot_wrong=2, key="/limit")
    runs = [
        dali_rows.write(tmp_path / "a", SMALL), dali_rows.write(tmp_path / "b", small),
        dali_rows.write(tmp_path / "c", SMALL),
    ]  # fmt: skip
    cells, repeated = option_alignment.cells(runs)
    assert repeated == 1 and {len(cell.items) for cell in cells} == {80}
    answers = option_alignment.plain(runs)
    assert len(answers) == 3 * 80 and not answers.duplicated(["language", "item"]).any()


def test_margins_without_a_number_are_no_alignment_and_are_counted(tmp_path: Path) -> None:
    rows = dali_rows.alignment_rows(World(wrong={"deu_Latn": 0}, items=12, pivot_wrong=0))
    rows[0]["dali"] = [float("nan")] * (LAYERS + 1)
    write_shard(tmp_path, "option_alignment", rows, name="a")
    (tmp_path / "run.json").write_text('{"study": "dali", "version": 2}')
    ((cell,), _) = option_alignment.cells([tmp_path])
    assert cell.undefined == LAYERS + 1 and cell.share("dali")[0] == 12
    assert not cell.aligned["dali"][0].any() and np.isneginf(cell.margins[0]).all()
    rows[0]["dali"] = [0.1]
    write_shard(tmp_path, "option_alignment", rows, name="a")
    with pytest.raises(ValueError, match="1 entries in 'dali'"):
        option_alignment.cells([tmp_path])


def test_plain_answers_have_the_margin_of_the_right_option(tmp_path: Path) -> None:
    found = option_alignment.plain([dali_rows.write(tmp_path / "run", SMALL)])
    german = found[found["language"] == "deu_Latn"].set_index("item")
    assert german["correct"].sum() == 50 and german["chance"].eq(0.5).all()
    assert german.loc["0040", "margin"] == pytest.approx(1.0)
    assert german.loc["0003", "margin"] == pytest.approx(-1.3)
    assert found.loc[found["language"] == PIVOT, "correct"].sum() == 72
    assert option_alignment.plain([]).empty
