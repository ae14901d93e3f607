"""A row with branches equals its texts run apart: every node, in every family."""

import pytest
import torch
from torch import Tensor

from actors.model import LoadedModel
from actors.passes.tree_attention import Packed, Row, Segment, attention, pack, size
from tests.makers import oracle, tiny
from tests.makers.questions import ids
from tests.makers.rounding import assert_near, of_model

# Shapes: B rows, T nodes, D width


def trunk_and(length: int, *branches: int) -> Row:
    """A trunk and branches of these lengths after its last token."""
    ends = (Segment(length - 1, ids(count, seed=9)) for count in branches)
    return (Segment(-1, ids(length)), *ends)


# The sliding windows are 24 tokens wide: some rows are longer as texts, some only as rows.
DEEP = (
    *trunk_and(30, 3, 1, 5),
    Segment(32, ids(2, seed=1)),  # after the whole first branch
    Segment(30, ids(2, seed=2)),  # after its first token
    Segment(40, ids(1, seed=3)),  # after a branch of a branch
    Segment(10, ids(4, seed=4)),  # after a token in the middle of the trunk
)
ROWS: tuple[Row, ...] = (
    DEEP,
    trunk_and(40, 2, 8),
    trunk_and(1, 1, 3),
    trunk_and(7),
    (Segment(-1, ids(26)), Segment(-1, ids(5)), Segment(30, ids(3)), Segment(25, ids(1))),
    trunk_and(12, *[6] * 7),
)


def states(loaded: LoadedModel, packed: Packed) -> Tensor:
    """What the base returns [B, T, D]."""
    with torch.inference_mode(), attention(loaded.sites, packed):
        output = loaded.sites.base(**packed.inputs, use_cache=False)
    return output.last_hidden_state


def texts_of(row: Row) -> list[tuple[int, ...]]:
    """Every node's text: its ancestors and itself."""
    texts: list[tuple[int, ...]] = []
    for after, tokens in row:
        text = texts[after] if after >= 0 else ()
        for token in tokens:
            text = (*text, token)
            texts.append(text)
    return texts


def expect_texts_apart(loaded: LoadedModel, found_TD: Tensor, row: Row, *, first: int = 0) -> None:
    """Compare the nodes from `first` on with plain passes, one for every text no other begins."""
    last = loaded.facts.layers
    texts = texts_of(row)[first:]
    alone: dict[tuple[int, ...], Tensor] = {}
    for node in sorted(range(len(texts)), key=lambda node: -len(texts[node])):
        text = texts[node]
        if text not in alone:
            run_TD = oracle.activations(loaded.model, text)["final_norm", last]
            alone |= {text[: end + 1]: run_TD[end] for end in range(len(text))}
        assert_near(found_TD[first + node], alone[text], relative=of_model(loaded))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_node_of_packed_rows_equals_its_text_run_apart(family: str) -> None:
    loaded = tiny.loaded(family)
    packed = pack(ROWS, device=loaded.device)
    found_BTD = states(loaded, packed)
    assert packed.sees_BTS is not None and found_BTD.isfinite().all()
    for row, found_TD in zip(ROWS, found_BTD, strict=True):
        expect_texts_apart(loaded, found_TD[: size(row)], row)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_row_may_have_more_nodes_than_the_model_has_positions(family: str) -> None:
    loaded = tiny.loaded(family)
    row = trunk_and(50, *[5] * 50)
    assert size(row) > loaded.facts.context == 256
    (found_TD,) = states(loaded, pack([row], device=loaded.device))
    expect_texts_apart(loaded, found_TD, row, first=size(row) - 15)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_without_its_masks_a_second_branch_sees_the_first(family: str) -> None:
    """What is compared above is not what any mask would give."""
    loaded = tiny.loaded(family)
    packed = pack([trunk_and(6, 4, 4)], device=loaded.device)
    own_TD = states(loaded, packed)[0]
    with torch.inference_mode():
        open_TD = loaded.sites.base(**packed.inputs, use_cache=False).last_hidden_state[0]
    assert_near(own_TD[:10], open_TD[:10], relative=of_model(loaded))
    assert (own_TD[10:] - open_TD[10:]).abs().max() > 1e-2


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_rows_without_branches_run_as_plain_texts_do(family: str) -> None:
    loaded = tiny.loaded(family)
    rows = (trunk_and(30), trunk_and(1), trunk_and(5, 3), trunk_and(26))
    packed = pack(rows, device=loaded.device)
    assert packed.sees_BTS is None and list(packed.inputs) == ["input_ids"]
    before = tiny.hooks(loaded)
    with attention(loaded.sites, packed):
        assert tiny.hooks(loaded) == before
    for row, found_TD in zip(rows, states(loaded, packed), strict=True):
        expect_texts_apart(loaded, found_TD[: size(row)], row)


def test_one_row_with_a_branch_gives_all_rows_their_masks() -> None:
    packed = pack([trunk_and(3), trunk_and(2, 1, 2)], device=torch.device("cpu"))
    assert packed.ids_BT.shape == (2, 5)
    assert packed.positions_BT.tolist() == [[0, 1, 2, 0, 0], [0, 1, 2, 2, 3]]
    plain = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
    forked = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]]
    assert packed.sees_BTS is not None
    assert packed.sees_BTS.int().tolist() == [plain, forked]


@pytest.mark.parametrize("family", ["gemma2", "bloom", "phi3"])
def test_repeated_rows_equal_the_rows(family: str) -> None:
    loaded = tiny.loaded(family)
    packed = pack(ROWS[:3], device=loaded.device)
    once_BTD, thrice_BTD = states(loaded, packed), states(loaded, packed.repeat(3))
    assert_near(thrice_BTD, once_BTD.repeat(3, 1, 1), relative=of_model(loaded))
    plain = pack([trunk_and(4)], device=loaded.device).repeat(2)
    assert plain.sees_BTS is None and plain.ids_BT.shape == (2, 4)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_masks_end_with_their_context_even_after_an_error(family: str) -> None:
    loaded = tiny.loaded(family)
    before = tiny.hooks(loaded)
    packed = pack([DEEP], device=loaded.device)
    with attention(loaded.sites, packed):
        assert tiny.hooks(loaded) == before + loaded.facts.layers
    assert tiny.hooks(loaded) == before
    with pytest.raises(ZeroDivisionError), attention(loaded.sites, packed):
        raise ZeroDivisionError
    assert tiny.hooks(loaded) == before
    plain = trunk_and(9)
    (found_TD,) = states(loaded, pack([plain], device=loaded.device))
    expect_texts_apart(loaded, found_TD, plain)
