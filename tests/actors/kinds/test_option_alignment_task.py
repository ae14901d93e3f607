"""Rows of option alignment equal a plain pass of every text, whatever stands beside an item."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from actors.kinds import option_alignment
from actors.kinds.option_alignment import rows_of
from actors.measures import options
from actors.model import LoadedModel
from actors.passes.batching import TokenBudget
from actors.prediction.score import score
from actors.work import run_unit
from studies.kinds.option_alignment import Embedding, OptionGrid, draft
from studies.option_texts import OptionItem, OptionTexts
from studies.texts import ChoiceItem, ChoiceSet
from tests.makers import tiny
from tests.makers.rounding import of_model
from tests.makers.units import of_drafts

pytestmark = pytest.mark.numeric
FAMILIES = ("llama", "qwen2", "gemma2", "olmo2")
ENDINGS = (("sat.", "ran.", "slept."), ("is red.", "is blue.", "is old."), ("a", "b", "zz"))
GERMAN = (("saß.", "rannte.", "schlief."), ("ist rot.", "ist blau.", "ist alt."), ("ä", "b", "ß"))
STEMS = (("The cat", "Die Katze"), ("The house", "Das Haus"), ("So", "Also"))


def items(count: int = 6, *, options_each: int = 3) -> OptionTexts:
    made, asked = [], []
    for place in range(count):
        (stem, stamm), number = STEMS[place % 3], f" {place}"
        kept = slice(0, options_each)
        made.append(
            OptionItem(
                id=str(place), gold=place % options_each,
                premise=stamm + number, pivot_premise=stem + number,
                texts=tuple(f"{stamm}{number} {one}" for one in GERMAN[place % 3][kept]),
                pivot_texts=tuple(f"{stem}{number} {one}" for one in ENDINGS[place % 3][kept]),
            )
        )  # fmt: skip
        letters = tuple(f" {letter}" for letter in "ABC"[kept])
        asked.append(
            ChoiceItem(
                id=str(place), context=f"{stamm}?", options=letters, gold=place % options_each
            )
        )
    question = ChoiceSet(benchmark="b", language="deu_Latn", prompt="letter", items=tuple(asked))
    return OptionTexts(
        benchmark="b", language="deu_Latn", pivot="eng_Latn", prompt="cloze", items=tuple(made),
        asked=question,
    )  # fmt: skip


def slow_states(loaded: LoadedModel, text: str, *, pooling: str) -> list[Tensor]:
    """hs[0..L] of a text as transformers gives them, pooled."""
    ids = torch.tensor([[*loaded.prefix, *loaded.tokenise([text])[0]]])
    with torch.no_grad():
        found = loaded.model(ids, output_hidden_states=True, use_cache=False).hidden_states
    weights_T = torch.arange(1, ids.shape[1] + 1).double()
    if pooling == "last":
        return [one[0, -1].double() for one in found]
    return [weights_T @ one[0].double() / weights_T.sum() for one in found]


@pytest.mark.parametrize("pooling", ["last", "weighted"])
@pytest.mark.parametrize("family", FAMILIES)
def test_margins_equal_plain_passes(family: str, pooling: str) -> None:
    loaded, asked = tiny.loaded(family), items(3)
    rows = list(rows_of(loaded, asked, pooling=pooling, cut=False))  # type: ignore[arg-type]
    for row, item in zip(rows, asked.items, strict=True):
        assert row["layers"] == list(range(loaded.facts.layers + 1))
        own, there = (
            [slow_states(loaded, text, pooling=pooling) for text in side]
            for side in (item.texts, item.pivot_texts)
        )
        for layer in range(loaded.facts.layers + 1):
            here_IJD, there_IJD = (
                torch.stack([one[layer] for one in side]).unsqueeze(0) for side in (own, there)
            )
            cross = options.cosines(there_IJD, here_IJD)
            inside = options.cosines(there_IJD, there_IJD), options.cosines(here_IJD, here_IJD)
            expected = {
                "dali": options.dali(cross),
                "local": options.local(cross),
                "strong": options.strong(cross, *inside),
                "gold_only": options.gold_only(cross, torch.tensor([item.gold])),
            }
            for name, margin in expected.items():
                found = row[name][layer]  # type: ignore[index]
                # Embeddings of other families are not what transformers calls hs[0] to the bit.
                assert found == pytest.approx(float(margin), abs=10 * of_model(loaded)), (
                    name,
                    layer,
                )


def test_a_margin_does_not_depend_on_batches_or_other_items() -> None:
    loaded, asked = tiny.loaded("llama"), items(20)
    rows = list(rows_of(loaded, asked, pooling="last", cut=False))
    small = replace(loaded, budget=TokenBudget(50))
    alone = replace(
        asked, items=asked.items[:1], asked=replace(asked.asked, items=asked.asked.items[:1])
    )
    (one,) = rows_of(small, alone, pooling="last", cut=False)
    for name in ("dali", "local", "gold_only", "strong", "permuted", "dali_2", "strong_2"):
        assert one[name] == pytest.approx(rows[0][name], abs=10 * of_model(loaded)), name
    assert one["mexa"] == [] and one["mismatched"] == []
    assert len(rows) == 20 and [row["item"] for row in rows] == [item.id for item in asked.items]


def test_groups_lose_no_item_and_leave_none_alone() -> None:
    for count in (1, 2, 16, 17, 33):
        groups = list(option_alignment._groups(items(count).items))
        assert sorted(place for group in groups for place in group) == list(range(count))
        assert count == 1 or min(map(len, groups)) > 1


def test_the_likeliest_wrong_options_are_the_models_own() -> None:
    loaded, asked = tiny.loaded("llama"), items(6)
    likeliest, _ = option_alignment._likeliest(loaded, asked, cut=False)
    answers = score(loaded, asked.asked.items)
    for item, answer, order in zip(asked.items, answers, likeliest, strict=True):
        assert order[0] == item.gold and sorted(order) == [0, 1, 2]
        assert answer.scores[order[1]] >= answer.scores[order[2]]
    two = items(4, options_each=2)
    assert option_alignment._likeliest(loaded, two, cut=False)[0] == [[0, 1], [1, 0]] * 2


def test_an_order_in_which_no_option_stays() -> None:
    seen = set()
    for item in items(30).items:
        turned = option_alignment._turned(item, 3)
        assert sorted(turned) == [0, 1, 2]
        assert all(place != other for place, other in enumerate(turned))
        seen.add(tuple(turned))
    assert len(seen) == 2


def test_rows_are_those_of_the_table() -> None:
    loaded, asked = tiny.loaded("llama"), items(5)
    grid = OptionGrid(benchmark="b", languages=("all",))
    one = draft(asked, model=loaded.facts, embedding=Embedding())
    answer = run_unit(loaded, of_drafts(grid, one))
    assert len(answer.rows) == 5 and {row["pivot"] for row in answer.rows} == {"eng_Latn"}
    other = draft(asked, model=loaded.facts, embedding=Embedding(dali_pool="weighted"))
    assert other.cells[0].key != one.cells[0].key
