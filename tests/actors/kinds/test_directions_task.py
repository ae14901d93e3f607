"""Cosines of patches with steering vectors equal the slow twin; no item is in its own vector."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from actors.model import LoadedModel
from actors.work import run_unit
from studies.draws import ordered
from studies.kinds import directions
from studies.kinds.directions import DirectionGrid
from studies.patch_items import PatchSet
from studies.spec import Row
from tests.makers import oracle, tiny
from tests.makers.patched import ENGLISH, GERMAN, LETTERS, item, patch_set, source
from tests.makers.rounding import of_model
from tests.makers.stored import check
from tests.makers.units import of_drafts

pytestmark = pytest.mark.numeric

FAMILIES = ("llama", "qwen2", "gemma2", "olmo2")
GRID = DirectionGrid(benchmark="mini", languages=("deu_Latn",))


def matched(asked: PatchSet) -> PatchSet:
    return asked.of("matched")


def rows_of(
    loaded: LoadedModel,
    asked: PatchSet,
    *,
    cut: bool = False,
    layers: tuple[int, ...] | None = None,
) -> dict[str, Row]:
    grid = replace(GRID, layers=layers)
    draft = directions.draft(grid, matched(asked), model=loaded.facts)
    unit = of_drafts(grid, draft, study="s", allow_truncation=cut)
    rows = run_unit(loaded, unit).rows
    check(unit, rows)
    return {str(row["item"]): row for row in rows}


def end_of(loaded: LoadedModel, text: str, layer: int) -> Tensor:
    ids = [*loaded.prefix, *loaded.tokenise([text])[0]]
    return oracle.activations(loaded.model, ids)["resid_post", layer][-1].double()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_cosine_equals_the_slow_twin(family: str) -> None:
    loaded = tiny.loaded(family)
    # The space before a digit belongs to the question.
    spaces = {"d": " "}
    rows = rows_of(loaded, patch_set())
    first = ordered([one.id for one in GERMAN], seed=0)[: len(GERMAN) // 2]
    for layer in range(1, loaded.facts.layers + 1):
        changes = {
            own.id: end_of(loaded, there.context + spaces.get(own.id, ""), layer)
            - end_of(loaded, own.context + spaces.get(own.id, ""), layer)
            for own, there in zip(GERMAN, ENGLISH, strict=True)
        }
        for id, row in rows.items():
            others = [
                change for name, change in changes.items() if (name in first) != (id in first)
            ]
            vector = torch.stack(others).mean(dim=0)
            expected = float(torch.cosine_similarity(changes[id], vector, dim=0))
            # A difference of near states keeps their rounding, as a share of what is left.
            size = float(end_of(loaded, GERMAN[0].context, layer).norm() / changes[id].norm())
            assert row["cosines"][layer - 1] == pytest.approx(  # type: ignore[index]
                expected, abs=4 * of_model(loaded) * max(1.0, size)
            )
            assert row["layers"] == list(range(1, loaded.facts.layers + 1))
            assert (row["truncated"], row["prompt"], row["pivot"]) == (False, "letter", "eng_Latn")


def test_layers_may_be_named() -> None:
    loaded = tiny.loaded("llama")
    every, two = rows_of(loaded, patch_set()), rows_of(loaded, patch_set(), layers=(1, 3))
    for id, row in two.items():
        assert row["layers"] == [1, 3]
        whole = every[id]["cosines"]
        assert row["cosines"] == pytest.approx([whole[0], whole[2]])  # type: ignore[index]


def test_the_same_change_everywhere_points_one_way_and_none_has_no_direction() -> None:
    loaded = tiny.loaded("llama")
    own = [item(f"i{place}", "Wer war es?", *LETTERS) for place in range(4)]
    there = [item(f"i{place}", "Who was it?", *LETTERS) for place in range(4)]
    same = {"matched": [source(one.id, one.context, 0) for one in there]}
    rows = rows_of(loaded, patch_set(own, there, same))
    for row in rows.values():
        assert row["cosines"] == pytest.approx([1.0] * loaded.facts.layers)
    copies = {"matched": [source(one.id, one.context, 0) for one in own]}
    rows = rows_of(loaded, patch_set(own, own, copies))
    assert all(value != value for row in rows.values() for value in row["cosines"])  # type: ignore


def test_a_question_that_is_cut_is_marked() -> None:
    loaded = tiny.loaded("llama")
    long = replace(GERMAN[0], context="a" * 300 + GERMAN[0].context)
    asked = patch_set((long, *GERMAN[1:]))
    with pytest.raises(ValueError, match=r"item 'a' has 3\d\d tokens"):
        rows_of(loaded, asked)
    rows = rows_of(loaded, asked, cut=True)
    assert {id: row["truncated"] for id, row in rows.items()} == {
        "a": True, "b": False, "c": False, "d": False,
    }  # fmt: skip
