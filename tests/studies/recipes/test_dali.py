"""The DALI study: its grids, and what it refuses in one sentence."""

from typing import Any

import pytest

from studies.inputs import Inputs
from studies.kinds.choices import ChoiceGrid
from studies.kinds.option_alignment import Embedding, OptionGrid
from studies.kinds.patching import PatchGrid, Patching
from studies.patch_items import PATCHES
from studies.recipes.dali import Options, study
from studies.rows import Source
from tests.makers import tiny

ASKED: dict[str, Any] = {
    "benchmarks": ("mini_belebele",), "languages": ("deu_Latn", "fra_Latn"), "limit": 12,
}  # fmt: skip


def test_all_parts_ask_the_same_languages() -> None:
    alignment, answers, patching = study(Options(**ASKED)).grids
    assert isinstance(alignment, OptionGrid) and isinstance(answers, ChoiceGrid)
    assert isinstance(patching, PatchGrid) and patching.patches == PATCHES
    assert alignment.languages == answers.languages == ("eng_Latn", "deu_Latn", "fra_Latn")
    assert len(study(Options()).grids) == 6  # two embedded benchmarks


def test_cells_are_those_of_every_language_but_the_pivot() -> None:
    counts: dict[str, int] = {}
    inputs = Inputs(Source())
    for grid in study(Options(**ASKED)).grids:
        for draft in grid.drafts([tiny.make("llama")], inputs):
            counts[draft.kind] = counts.get(draft.kind, 0) + sum(
                len(cells.points) for cells in draft.cells
            )
    assert counts == {"option_alignment": 2, "choices": 3, "patching": 2 * len(PATCHES)}
    (grid,) = study(Options(**ASKED | {"parts": ("patching",), "prompt": "cloze"})).grids
    notes = Inputs(Source())
    list(grid.drafts([tiny.make("llama")], notes))
    assert any("permuted, same_symbol, other_symbol" in note for note in notes.notes), notes.notes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pivots": ("eng_Latn", "deu_Latn")}, "2 pivots: this study compares with one language"),
        ({"benchmarks": ("harness/belebele",)}, "puts questions in its own prompts"),
        (
            {"parts": ("answers",), "layers": (1,)},
            "--layer has no effect without the part patching",
        ),
        ({"parts": ("answers",), "patches": ("noise",)}, "--patch has no effect"),
        (
            {"parts": ("answers",), "patching": Patching(patch_site="mlp_out")},
            "a switch of patching .* has no effect without the part patching",
        ),
        (
            {"parts": ("patching",), "embedding": Embedding(dali_pool="weighted")},
            "a switch of alignment .* has no effect",
        ),
        ({"embedding": Embedding(xcopa_connectors="released")}, "add --benchmark xcopa"),
        ({"layers": (99,)}, "layer 99 cannot be taken in model"),
        ({"benchmarks": ("mini_xquad",)}, "mini_xquad is answered by generating text"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(given: dict[str, Any], message: str) -> None:
    def plan() -> None:
        for grid in study(Options(**ASKED | given)).grids:
            list(grid.drafts([tiny.make("llama")], Inputs(Source())))

    with pytest.raises(ValueError, match=message) as refused:
        plan()
    assert "\n" not in str(refused.value)
