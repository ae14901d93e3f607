"""Margins of steered options equal the slow twin; what is added comes from other items alone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from actors.model import LoadedModel
from actors.work import run_unit
from studies.draws import ordered
from studies.kinds import steered_options
from studies.kinds.option_alignment import Embedding
from studies.kinds.steered_options import SteeredOptionGrid
from studies.option_texts import OptionItem
from studies.spec import Row
from tests.actors.kinds.test_option_alignment_task import ITEMS, ids_of, near, states, texts_of
from tests.makers import oracle, tiny
from tests.makers.oracle_interventions import Change, changing
from tests.makers.oracle_options import slow_dali, table
from tests.makers.stored import check
from tests.makers.units import of_drafts

pytestmark = pytest.mark.numeric

FAMILIES = ("llama", "qwen2", "gemma2", "olmo2")
GRID = SteeredOptionGrid(benchmark="mini", languages=("deu_Latn",))
Place = tuple[str, int, float]


def rows_of(
    loaded: LoadedModel,
    items: Sequence[OptionItem],
    *,
    pooling: str = "last",
    layers: tuple[int, ...] = (),
    coefficients: tuple[float, ...] = (1.0,),
    cut: bool = False,
) -> dict[Place, Row]:
    how = Embedding(dali_pool=pooling)  # type: ignore[arg-type]
    grid = replace(GRID, embedding=how, layers=layers, coefficients=coefficients)
    draft = steered_options.draft(grid, texts_of(*items), model=loaded.facts)
    unit = of_drafts(grid, draft, study="s", allow_truncation=cut)
    rows = run_unit(loaded, unit).rows
    check(unit, rows)
    return {(str(row["item"]), int(row["layer"]), float(row["coefficient"])): row for row in rows}  # type: ignore[arg-type]


def steered(
    loaded: LoadedModel, text: str, vector: Tensor, *, layer: int, pooling: str
) -> list[Tensor]:
    """One text's vector [D] from the steered layer on, by a hooked pass; the last is normed."""
    ids = ids_of(loaded, text)
    where = [len(ids) - 1] if pooling == "last" else range(len(ids))
    change = Change("resid_post", layer, where, lambda x: x + vector)
    with changing(loaded.model, [change]):
        found = oracle.activations(loaded.model, ids)
    last = loaded.facts.layers
    stream = [found["resid_post", place] for place in range(layer, last)]
    return [
        oracle.pool(one.float(), state="raw", pooling=pooling)
        for one in [*stream, found["final_norm", last]]
    ]


@pytest.mark.parametrize("pooling", ["last", "weighted"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_margin_equals_the_slow_twin(family: str, pooling: str) -> None:
    loaded = tiny.loaded(family)
    layers, coefficients = (1, loaded.facts.layers), (1.0, -2.0)
    rows = rows_of(loaded, ITEMS, pooling=pooling, layers=layers, coefficients=coefficients)
    assert len(rows) == len(ITEMS) * 4
    # Behind the last block, before its norm.
    raw = {
        text: [
            oracle.pool(
                oracle.activations(loaded.model, ids_of(loaded, text))["resid_post", layer].float(),
                state="raw", pooling=pooling,
            )
            for layer in layers
        ]
        for one in ITEMS
        for text in (*one.texts, *one.pivot_texts)
    }  # fmt: skip
    first = ordered([one.id for one in ITEMS], seed=0)[: len(ITEMS) // 2]
    moved = 0
    for (id, layer, coefficient), row in rows.items():
        one = next(each for each in ITEMS if each.id == id)
        place = layers.index(layer)
        changes = [
            torch.stack([raw[text][place] for text in other.pivot_texts]).mean(dim=0)
            - torch.stack([raw[text][place] for text in other.texts]).mean(dim=0)
            for other in ITEMS
            if (other.id in first) != (id in first)
        ]
        vector = coefficient * torch.stack(changes).mean(dim=0)
        there, plain = (
            [states(loaded, ids_of(loaded, text), pooling=pooling)[layer:] for text in texts]
            for texts in (one.pivot_texts, one.texts)
        )
        pushed = [steered(loaded, text, vector, layer=layer, pooling=pooling) for text in one.texts]
        read = list(range(layer, loaded.facts.layers + 1))
        assert (row["layers"], row["options"]) == (read, len(one.texts))
        for name, own in (("plain", plain), ("steered", pushed)):
            expected = [
                slow_dali(table([text[at] for text in there], [text[at] for text in own]))
                for at in range(len(read))
            ]
            assert row[name] == near(loaded, expected), (id, layer, coefficient, name)
        moved += row["plain"] != row["steered"]
    assert moved == len(rows), "steering moves the states"


def test_by_default_the_middle_layer_is_steered_once() -> None:
    loaded = tiny.loaded("llama")
    rows = rows_of(loaded, ITEMS)
    assert {place[1:] for place in rows} == {(loaded.facts.layers // 2, 1.0)}
    with pytest.raises(ValueError, match="layer 9 cannot be taken"):
        rows_of(loaded, ITEMS, layers=(9,))


def test_what_is_cut_is_said() -> None:
    loaded = tiny.loaded("llama")
    long = replace(ITEMS[1], texts=("a" * 300, ITEMS[1].texts[1]))
    with pytest.raises(ValueError, match="item 'item 1' with option 0 has 301 tokens"):
        rows_of(loaded, [ITEMS[5], long])
    rows = rows_of(loaded, [ITEMS[5], long], cut=True)
    assert {place[0]: row["truncated"] for place, row in rows.items()} == {
        "item 5": False, "item 1": True,
    }  # fmt: skip
