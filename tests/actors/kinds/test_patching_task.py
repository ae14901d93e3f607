"""Patched answers equal a hooked pass each; the last layer copies; controls are what they say."""

from collections.abc import Mapping
from functools import cache

import pytest
import torch
from torch import Tensor

from actors.answer import Answer
from actors.kinds import patching
from actors.model import LoadedModel
from actors.work import run_unit
from studies.kinds.patching import PatchGrid, Patching, draft
from studies.patch_items import PATCHES, PatchSet, PatchSource
from studies.spec import Row
from studies.texts import ChoiceItem, ChoiceSet
from tests.makers import oracle, oracle_interventions, tiny
from tests.makers.rounding import TINY
from tests.makers.units import of_drafts

pytestmark = pytest.mark.numeric
FAMILIES = ("llama", "qwen2", "gemma2", "olmo2")
LETTERS = (" A", " B", " C")
ENGLISH = ("The cat sat", "It rained all day", "So we read", "No")
GERMAN = ("Die Katze saß", "Es regnete", "Also lasen wir den ganzen Tag", "Nein")


def choice_set(language: str, texts: tuple[str, ...], *, count: int) -> ChoiceSet:
    return ChoiceSet(
        benchmark="b", language=language, prompt="letter",
        items=tuple(
            ChoiceItem(
                id=str(place), context=f"{place} {texts[place % 4]}\nAnswer:", options=LETTERS,
                gold=place % 3,
            )
            for place in range(count)
        ),
    )  # fmt: skip


def patch_set(count: int = 4, *, copied: bool = False) -> PatchSet:
    own = choice_set("deu_Latn", ENGLISH if copied else GERMAN, count=count)
    there = choice_set("eng_Latn", ENGLISH, count=count)
    shifted = there.items[1:] + there.items[:1]

    def source(item: ChoiceItem, gold: int | None = None) -> PatchSource:
        return PatchSource(
            item=item.id, context=item.context, gold=item.gold if gold is None else gold
        )

    return PatchSet(
        benchmark="b", language="deu_Latn", pivot="eng_Latn", asked=own, pivot_asked=there,
        sources=(
            ("matched", tuple(map(source, there.items))),
            ("permuted", tuple(source(item, (item.gold + 1) % 3) for item in there.items)),
            ("same_symbol", (None, *map(source, shifted[1:]))),
            ("other_symbol", tuple(map(source, shifted))),
            ("own_language", tuple(map(source, own.items[::-1]))),
        ),
    )  # fmt: skip


def rows_of(loaded: LoadedModel, asked: PatchSet, **given: object) -> Answer:
    grid = PatchGrid(**{"benchmark": "b", "languages": ("all",)} | given)  # type: ignore[arg-type]
    return run_unit(loaded, of_drafts(grid, draft(grid, asked, model=loaded.facts)))


@cache
def usual(family: str) -> list[Row]:
    return rows_of(tiny.loaded(family), patch_set()).rows


def state(loaded: LoadedModel, text: str, site: str, layer: int) -> Tensor:
    ids = [*loaded.prefix, *loaded.tokenise([text])[0]]
    return oracle.activations(loaded.model, ids)[site, layer][-1]


def slow_scores(
    loaded: LoadedModel, item: ChoiceItem, state_D: Tensor, site: str, layer: int
) -> list[float]:
    """Every option's log-probability, by a pass in which the last token's state is another."""
    ids = [*loaded.prefix, *loaded.tokenise([item.context])[0]]
    change = oracle_interventions.Change(site, layer, [len(ids) - 1], lambda _old: state_D.clone())
    return [
        sum(oracle_interventions.changed_log_probabilities(loaded.model, ids, option, [change]))
        for option in loaded.tokenise(item.options)
    ]


@pytest.mark.parametrize("site", ["resid_post", "resid_pre", "mlp_out", "attn_out"])
@pytest.mark.parametrize("family", FAMILIES)
def test_patched_answers_equal_the_slow_twin(family: str, site: str) -> None:
    loaded, asked = tiny.loaded(family), patch_set()
    how = Patching(patch_site=site)  # type: ignore[arg-type]
    found = rows_of(loaded, asked, patching=how, patches=("matched", "own_language")).rows
    sources = dict(asked.sources)
    assert len(found) == 8
    for row in found:
        place = int(str(row["item"]))
        item, source = asked.asked.items[place], sources[row["intervention"]][place]  # type: ignore[index]
        assert source is not None and row["source_item"] == source.item
        for turn, layer in enumerate(row["layers"]):  # type: ignore[arg-type]
            name, at = ("resid_post", layer - 1) if site == "resid_pre" else (site, layer)
            state_D = state(loaded, source.context, name, at)
            scores = slow_scores(loaded, item, state_D, name, at)
            margin = scores[item.gold] - max(
                score for option, score in enumerate(scores) if option != item.gold
            )
            off = 4 * TINY * max(map(abs, scores))
            assert row["margins"][turn] == pytest.approx(margin, abs=off), (row["item"], layer)  # type: ignore[index]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_layer_copies_the_sources_answer(family: str) -> None:
    for row in usual(family):
        if row["intervention"] in ("matched", "permuted"):
            assert row["predictions"][-1] == row["pivot_clean"]  # type: ignore[index]
            # Of these sources the first is the same prompt in the pivot, so the same answer.
            assert row["margins"][-1] == pytest.approx(row["pivot_clean_margin"], abs=1e-3)  # type: ignore[index]


def test_a_language_that_is_the_pivot_keeps_its_answers() -> None:
    loaded = tiny.loaded("llama")
    found = rows_of(loaded, patch_set(copied=True), patches=("matched",)).rows
    for row in found:
        clean = [row["clean_margin"]] * loaded.facts.layers
        assert row["margins"] == pytest.approx(clean, abs=1e-4)
        assert row["clean"] == row["pivot_clean"]


def test_items_without_a_source_have_no_row_of_that_kind() -> None:
    counts: dict[str, int] = {}
    for row in usual("llama"):
        counts[str(row["intervention"])] = counts.get(str(row["intervention"]), 0) + 1
        if row["intervention"] == "noise":
            assert row["source_item"] is None and row["source_gold"] is None
    assert counts == {name: 3 if name == "same_symbol" else 4 for name in PATCHES}


def test_noise_is_as_long_as_the_state_and_does_not_know_other_items() -> None:
    matched = {1: torch.randn(3, 32), 2: 5 * torch.randn(3, 32)}
    put_in = patching._PutIn(matched, [False] * 3)
    three = patching._noise(put_in, ids=["a", "b", "c"], seed=0)
    two = patching._noise(
        patching._PutIn({layer: one[1:] for layer, one in matched.items()}, [False] * 2),
        ids=["b", "c"], seed=0,
    )  # fmt: skip
    for layer, states_PD in three.states.items():
        torch.testing.assert_close(states_PD.norm(dim=1), matched[layer].norm(dim=1))
        assert states_PD[1:].equal(two.states[layer])
        assert float(torch.cosine_similarity(states_PD, matched[layer]).abs().max()) < 0.9
    other = patching._noise(put_in, ids=["a", "b", "c"], seed=1)
    assert not other.states[1].equal(three.states[1])


def test_groups_of_items_do_not_change_values(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, asked = tiny.loaded("llama"), patch_set(11)

    def values() -> Mapping[tuple[object, object], object]:
        rows = rows_of(loaded, asked).rows
        return {(row["intervention"], row["item"]): row["margins"] for row in rows}

    whole = values()
    monkeypatch.setattr(patching, "ITEMS_AT_ONCE", 4)
    for place, margins in values().items():
        assert margins == pytest.approx(whole[place], abs=1e-4), place


def test_keys_follow_from_layers_site_and_sources() -> None:
    facts = tiny.loaded("llama").facts

    def keys(asked: PatchSet, **given: object) -> list[str]:
        grid = PatchGrid(**{"benchmark": "b", "languages": ("all",)} | given)  # type: ignore[arg-type]
        return [cells.key for cells in draft(grid, asked, model=facts).cells]

    before = keys(patch_set())
    assert len(set(before)) == len(PATCHES)
    assert keys(patch_set(), patches=("matched",)) == before[:1]
    changed = (
        keys(patch_set(), layers=(1,)),
        keys(patch_set(), patching=Patching(patch_site="mlp_out")),
        keys(patch_set(5)),
    )
    assert all(not set(one) & set(before) for one in changed)
