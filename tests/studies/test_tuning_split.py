"""A tuning split: disjoint, the same items in every language, never empty."""

from dataclasses import replace

import pytest

from studies.texts import GenerationItem, GenerationSet
from studies.tuning_split import split
from tests.makers.planted_neurons import questions

PIVOT, GERMAN = questions("eng_Latn", range(20)), questions("deu_Latn", range(5, 20))


def written(language: str, count: int) -> GenerationSet:
    items = tuple(
        GenerationItem(id=str(place), prompt=f"{place}?", references=("a",))
        for place in range(count)
    )
    return GenerationSet(
        benchmark="spans", language=language, prompt="p", items=items, max_new_tokens=4
    )


def test_the_two_parts_are_disjoint_and_alike_in_every_language() -> None:
    english = split(PIVOT, pivot=PIVOT, sample=8, seed=1)
    german = split(GERMAN, pivot=PIVOT, sample=8, seed=1)
    chosen = {item.id for item in english.tuning.items}
    assert len(chosen) == 8
    assert chosen | {item.id for item in english.held_out.items} == {*map(str, range(20))}
    there = {item.id for item in GERMAN.items}
    assert {item.id for item in german.tuning.items} == chosen & there
    assert {item.id for item in german.held_out.items} == there - chosen
    assert german.tuning.fingerprint != german.held_out.fingerprint


def test_another_seed_draws_others_and_both_kinds_of_answers_are_split_alike() -> None:
    one, other = (split(PIVOT, pivot=PIVOT, sample=8, seed=seed) for seed in (1, 2))
    assert {item.id for item in one.tuning.items} != {item.id for item in other.tuning.items}
    texts = split(written("deu_Latn", 20), pivot=written("eng_Latn", 20), sample=8, seed=1)
    assert {item.id for item in texts.tuning.items} == {item.id for item in one.tuning.items}


@pytest.mark.parametrize(("sample", "lacks"), [(20, "to report"), (30, "to report")])
def test_a_split_that_leaves_nothing_is_refused(sample: int, lacks: str) -> None:
    with pytest.raises(ValueError, match=f"leaves none of deu_Latn {lacks}: set another size with"):
        split(GERMAN, pivot=PIVOT, sample=sample, seed=0)


def test_a_language_without_tuning_items_is_refused() -> None:
    one = split(PIVOT, pivot=PIVOT, sample=8, seed=1)
    left = {item.id for item in one.held_out.items}
    only = replace(GERMAN, items=tuple(item for item in GERMAN.items if item.id in left))
    with pytest.raises(ValueError, match="none of deu_Latn to choose a strength on"):
        split(only, pivot=PIVOT, sample=8, seed=1)
