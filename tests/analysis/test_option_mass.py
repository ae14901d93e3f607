"""The mean probability of options is one mean, over items, on every page."""

from pathlib import Path

import pytest

from analysis import read
from analysis.exhibits import latent_process
from analysis.layout.material import Material
from analysis.shared import quality
from tests.makers.latent_rows import World, accuracies, plain_rows, write_shard

WORLD = World(accuracy=accuracies(languages=("deu_Latn",)), items=8)


@pytest.mark.parametrize("known", [1, 8], ids=["one item with masses", "all items with masses"])
def test_both_pages_say_the_mean_over_items(tmp_path: Path, known: int) -> None:
    rows = plain_rows(WORLD)
    first = [row for row in rows if row["language"] == "deu_Latn"]
    for row in rows:
        row |= {"mass": 0.9, "other_mass": 0.1}
    for place, row in enumerate(first):
        row |= {"mass": 0.3, "other_mass": 0.1} if place < known else {"other_mass": None}
    write_shard(tmp_path, "items", rows, name="a")
    held = read.rows([tmp_path])
    mean = (8 * 0.9 + known * 0.3) / (8 + known)
    checked = list(quality.checked(latent_process.CHECKS)(Material(held)))
    for lines in (checked, quality.option_mass(Material(held))):
        assert f"belebele {mean:.2g} against 0.1" in str(lines)
