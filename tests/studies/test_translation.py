"""Translation prompts: examples are not asked again, languages have names, a line is a line."""

from dataclasses import replace

import pytest

from studies.texts import Bitext
from studies.translation import translations

BITEXT = Bitext(
    dataset="flores200", language="isl_Latn", pivot="eng_Latn", ids=("1", "2", "3"),
    pivot_texts=("One.", "Two\nlines.", "Three."), texts=("Einn.", "Tvær línur.", "Þrír."),
)  # fmt: skip


def test_a_prompt_shows_examples_and_asks_for_the_rest():
    found = translations(BITEXT, shots=1)
    assert [item.id for item in found.items] == ["2", "3"]
    assert found.items[0].prompt == (
        "English: One.\nIcelandic: Einn.\n\nEnglish: Two lines.\nIcelandic:"
    )
    assert found.items[1].references == ("Þrír.",)
    assert (found.language, found.pivot, found.stop) == ("isl_Latn", "eng_Latn", ("\n",))
    assert translations(BITEXT, shots=0).items[0].prompt == "English: One.\nIcelandic:"


def test_all_that_changes_a_translation_changes_its_fingerprint():
    first = translations(BITEXT, shots=1)
    others = [
        translations(BITEXT, shots=2),
        replace(translations(BITEXT, shots=1), max_new_tokens=5),
        replace(first, stop=()),
        replace(first, pivot=None),
        replace(first, commit="abc"),
        translations(replace(BITEXT, texts=("Einn.", "Tvær.", "Þrír.")), shots=1),
    ]
    assert len({each.fingerprint for each in (first, *others)}) == 7


def test_nothing_left_to_translate_is_refused():
    with pytest.raises(ValueError, match="3 pairs with 3 of them as examples leave none"):
        translations(BITEXT, shots=3)


def test_a_translation_may_be_as_long_as_the_longest_reference_has_bytes():
    assert translations(BITEXT, shots=1).max_new_tokens == len("Tvær línur.".encode())
    long = replace(BITEXT, texts=("Einn.", "a" * 300, "Þrír."))
    assert translations(long, shots=1).max_new_tokens == 256
    assert translations(long, shots=2).max_new_tokens == len("Þrír.".encode())
