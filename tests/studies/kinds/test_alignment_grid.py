"""Texts are read once for all models, and so hashed and measured once."""

import pytest

from studies.inputs import Inputs
from studies.kinds.alignment import AlignmentGrid
from studies.models.facts import facts
from studies.rows import Source
from studies.spec import Model


@pytest.mark.parametrize("together", [False, True])
def test_models_share_the_texts_they_are_compared_on(together: bool) -> None:
    grid = AlignmentGrid(
        table="points", dataset="miniworld", languages=("deu_Latn", "fra_Latn"), pairs=4,
        measures=("mexa",), poolings=("weighted",), layers=(1,), method="pca", together=together,
    )  # fmt: skip
    models = [facts(Model(id=f"miniworld-{name}")) for name in ("llama", "qwen2")]
    first, second = grid.drafts(models, Inputs(source=Source()))
    assert first.content is second.content
    assert first.content.dataset_name == grid.dataset_name == "miniworld"
