"""Records of answers: every cell once, whatever shard its rows stand in."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import read
from analysis.results.answers import Answers, answers
from tests.makers.answered import World, item_rows, plain_rows, steered_rows, write_run
from tests.makers.answered import vector_rows as vectors

SKILLS = {"eng_Latn": 2.0, "deu_Latn": 1.5, "swh_Latn": 0.4}
WORLD = World(items=40)


def by_language(found: list[Answers]) -> dict[str, Answers]:
    """Plain answers by language."""
    return {one.language: one for one in found if one.is_plain}


def test_a_cell_is_one_record_though_its_rows_are_cut_over_shards(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", shards=7, items=plain_rows(WORLD, skills=SKILLS))
    found = by_language(answers([run]))
    assert set(found) == set(SKILLS)
    for number, (language, skill) in enumerate(SKILLS.items()):
        scores = WORLD.scores(skill, seed=number)
        one = found[language]
        assert list(one.items) == [f"{item:05d}" for item in range(40)]
        assert one.prediction.tolist() == scores.argmax(axis=1).tolist()
        assert one.gold.tolist() == WORLD.gold.tolist()
        assert one.ranks.tolist() == (4 - scores.argsort().argsort()).tolist()
        assert one.correct.sum() == (scores.argmax(axis=1) == WORLD.gold).sum()
    assert found["eng_Latn"].items is found["swh_Latn"].items


def test_repeated_rows_count_once_and_items_are_in_the_order_of_their_ids(tmp_path: Path) -> None:
    rows = plain_rows(WORLD, skills={"eng_Latn": 2.0})
    first = write_run(tmp_path / "a", items=rows[::-1] + rows[:15])
    second = write_run(tmp_path / "b", items=rows)
    (one,) = answers([first, second])
    assert list(one.items) == [row["item"] for row in rows]
    assert one.prediction.tolist() == [row["prediction"] for row in rows]


def test_of_several_answers_to_a_cell_the_one_with_most_items_counts_as_in_read(
    tmp_path: Path,
) -> None:
    large = plain_rows(WORLD, skills={"eng_Latn": 2.0})
    small = plain_rows(World(items=30, seed=3), skills={"eng_Latn": 0.0})
    run = write_run(tmp_path / "run", items=large + small)
    (one,) = answers([run])
    assert len(one.items) == 40
    assert one.key == read.rows([run]).items["key"].unique().item()


def test_of_equal_answers_the_latest_counts_as_in_read(tmp_path: Path) -> None:
    first = plain_rows(WORLD, skills={"eng_Latn": 2.0})
    other = [row | {"key": "other dtype"} for row in first]
    runs = [write_run(tmp_path / "a", items=first), write_run(tmp_path / "b", items=other)]
    assert [one.key for one in answers(runs)] == ["other dtype"]
    assert set(read.rows(runs).items["key"]) == {"other dtype"}


def test_items_with_fewer_options_have_no_rank_beyond_them(tmp_path: Path) -> None:
    scores = np.array([[1.0, 2.0, 2.0, 0.0], [3.0, 1.0, np.nan, np.nan], [0.0, 1.0, 2.0, np.nan]])
    run = write_run(tmp_path / "run", items=item_rows(scores, gold=[1, 0, 2]))
    (one,) = answers([run])
    assert one.options.tolist() == [4, 2, 3]
    np.testing.assert_array_equal(
        one.ranks, [[3, 1.5, 1.5, 4], [1, 2, np.nan, np.nan], [3, 2, 1, np.nan]]
    )


def test_steered_cells_keep_their_coordinates_apart_from_the_plain_rows(tmp_path: Path) -> None:
    rows = plain_rows(WORLD, skills=SKILLS)
    steered = steered_rows(WORLD, skills=SKILLS, gains={"steer": 0.3, "random": 0.0}, drawn=10)
    for row in steered[:3]:
        row["truncated"] = True
    run = write_run(tmp_path / "run", shards=5, items=rows + steered)
    found = answers([run])
    places = {
        (one.intervention, one.layer, one.coefficient, one.seed, one.pivot, len(one.items))
        for one in found
        if one.language == "deu_Latn"
    }
    assert places == {
        (None, None, None, None, None, 40),
        ("steer", None, 0.0, 0, "eng_Latn", 30),
        *(("steer", layer, c, 0, "eng_Latn", 30) for layer in (2, 6) for c in (-2.0, 2.0)),
        *(("random", layer, 2.0, 0, "eng_Latn", 30) for layer in (2, 6)),
    }
    assert [one.is_reference for one in found].count(True) == 3
    assert sum(one.truncated for one in found) == 3


def test_rows_are_the_plain_model_alone_and_studies_count_the_rest(tmp_path: Path) -> None:
    plain = plain_rows(WORLD, skills=SKILLS)
    for row in plain:
        row["study"] = "neuronxa"
    steered = steered_rows(WORLD, skills=SKILLS, gains={"steer": 0.3}, drawn=10)
    made = vectors(["deu_Latn"])
    run = write_run(tmp_path / "run", shards=3, items=plain + steered, vectors=made + made)
    rows = read.rows([run])
    assert len(rows.items) == len(plain) and rows.items["intervention"].isna().all()
    assert len(rows.vectors) == 2 and rows.vectors["norm"].tolist() == [4.0, 8.0]
    assert rows.sources == (run,)
    assert rows.beside == {"latent_process": len(steered)}
    assert rows.studies == ["latent_process", "neuronxa"]


def test_an_error_that_a_steered_answer_followed_is_no_failure(tmp_path: Path) -> None:
    steered = steered_rows(WORLD, skills=SKILLS, gains={"steer": 0.3}, drawn=10)
    run = write_run(tmp_path / "run", items=steered)
    wrong = [
        {"key": steered[-1]["key"], "table": "items", "error": "lost a worker"},
        {"key": "never", "table": "items", "error": "out of memory"},
    ]
    pd.DataFrame(wrong).to_parquet(run / "errors.parquet")
    assert list(read.rows([run]).errors["key"]) == ["never"]


def test_shards_have_the_columns_asked_for_and_missing_ones_are_empty(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", shards=3, items=plain_rows(WORLD, skills=SKILLS))
    parts = list(read.shards([run], name="items", columns=["item", "ranks", "seed", "options"]))
    assert [part.num_rows for part in parts] == [40, 40, 40]
    assert parts[0].column_names == ["item", "ranks", "seed", "options"]
    assert parts[0]["item"].to_pylist()[0] == "00000"
    assert parts[0]["seed"].null_count == 40
    assert set(parts[0]["options"].to_pylist()) == {4}
    assert list(read.shards([run], name="lens")) == []


def test_a_damaged_shard_is_named_when_it_is_its_turn(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", items=plain_rows(WORLD, skills=SKILLS))
    (run / "tables/items/1.parquet").write_bytes(b"PAR1 not a table PAR1")
    with pytest.raises(ValueError, match=r"1\.parquet is damaged"):
        answers([run])
