"""What a frame was computed from is noted where it is read, and again where it was kept."""

from pathlib import Path

import pytest

from analysis import read, reading
from analysis.layout.material import Material
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    score = planted(4)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    run = write_run(
        tmp_path_factory.mktemp("store") / "run",
        alignment=alignment_rows("m/one", scores=score),
        items=item_rows("m/one", accuracies=accuracy),
    )
    return Material(read.rows([run]))


def tables(material: Material, name: str) -> set[str]:
    with reading.watched() as found:
        material.get(name)
    return found


@pytest.mark.parametrize("again", [False, True])
def test_a_frame_notes_its_tables_every_time_it_is_asked_for(
    material: Material, again: bool
) -> None:
    assert tables(material, "scores") == {"alignment"}
    assert tables(material, "accuracies") == {reading.PLAIN_ITEMS}
    assert tables(material, "points") == {"alignment", reading.PLAIN_ITEMS}
    assert tables(material, "overall") == {"items"}, "plain and changed answers are read together"


def test_a_function_of_the_material_notes_what_it_was_computed_from(material: Material) -> None:
    def both(held: Material) -> int:
        return len(held.scores) + len(held.table("items"))

    for _ in range(2):
        with reading.watched() as outer:
            with reading.watched() as inner:
                material.get(both)
            assert inner == {"alignment", "items"}
        assert outer == inner


def test_nothing_is_noted_outside_of_a_block_or_by_what_was_given(tmp_path: Path) -> None:
    rows = read.rows(
        [write_run(tmp_path / "run", alignment=alignment_rows("m", scores={"a": 0.5}))]
    )
    held = Material(rows, scores=rows.alignment)
    with reading.watched() as found:
        pass
    assert len(held.alignment) and found == set()
    assert tables(held, "scores") == set()
