"""Items shared by several languages: matched by id, and refused where they differ in meaning."""

import pytest

from studies.parallel_items import check_parallel
from studies.texts import ChoiceItem, ChoiceSet


def choice_set(language: str, items: list[tuple[str, int, int]]) -> ChoiceSet:
    return ChoiceSet(
        benchmark="m_arc",
        language=language,
        prompt="cloze",
        items=tuple(
            ChoiceItem(id=id, context=language, options=("x",) * count, gold=gold)
            for id, count, gold in items
        ),
    )


def test_items_must_mean_the_same() -> None:
    one = choice_set("eng_Latn", [("a", 4, 0)])
    with pytest.raises(ValueError, match="'a' has right answer 1 in eng_Latn and 2 in deu_Latn"):
        check_parallel((one, choice_set("deu_Latn", [("a", 4, 1)])))
    with pytest.raises(ValueError, match="'a' has 4 options in eng_Latn and 5 in deu_Latn"):
        check_parallel((one, choice_set("deu_Latn", [("a", 5, 0)])))


def test_a_check_of_parallel_sets_counts_what_languages_lack() -> None:
    one = choice_set("eng_Latn", [("a", 4, 0), ("b", 4, 1), ("c", 4, 2)])
    other = choice_set("deu_Latn", [("c", 4, 2), ("a", 4, 0), ("d", 4, 0)])
    third = choice_set("fra_Latn", [("d", 4, 0), ("a", 4, 0), ("c", 4, 2)])
    assert check_parallel(()) == check_parallel((one,)) == 0
    assert check_parallel((one, other)) == check_parallel((one, other, third)) == 2
    assert check_parallel((one, choice_set("deu_Latn", [("z", 4, 0)]))) == 4


def test_a_check_of_parallel_sets_wants_every_two_languages_to_agree() -> None:
    one = choice_set("eng_Latn", [("a", 4, 0)])
    other = choice_set("deu_Latn", [("a", 4, 0), ("d", 4, 1)])
    with pytest.raises(ValueError, match="'d' has right answer 2 in deu_Latn and 3 in fra_Latn"):
        check_parallel((one, other, choice_set("fra_Latn", [("d", 4, 2)])))
    with pytest.raises(ValueError, match="'a' has 4 options in eng_Latn and 2 in fra_Latn"):
        check_parallel((one, other, choice_set("fra_Latn", [("a", 2, 0)])))
