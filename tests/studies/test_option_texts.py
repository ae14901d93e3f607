"""Texts of options and sources of patches, as the DALI paper's data have them."""

from pathlib import Path

import pytest

from studies import benchmarks, option_texts, patch_items
from studies.rows import Source
from tests.makers.world import write_lines

COPA = {
    "en": ("The object was wrapped in bubble wrap.", "It was fragile.", "It was small."),
    "et": ("Ese oli mullikilesse mässitud.", "See oli õrn.", "See oli väike."),
    "th": ("สิ่งของถูกห่อ", "มันเปราะบาง", "มันเล็ก"),
}
REFUSED = r"item '0' has right answer . in .* drop it, or mend"
ENG, EST, THA = "eng_Latn", "est_Latn", "tha_Thai"


def source(root: Path, **changed: dict[str, object]) -> Source:
    for code, (premise, one, other) in COPA.items():
        rows = [
            {
                "idx": number, "premise": premise, "choice1": one, "choice2": other,
                "question": ("cause", "effect")[number % 2], "label": number % 2,
            } | changed.get(code, {})
            for number in range(6)
        ]  # fmt: skip
        write_lines(root / "xcopa" / f"{code}.jsonl", rows)
    return Source(data_root=root)


def texts(root: Path, language: str = EST, **given: object) -> option_texts.OptionTexts:
    found = option_texts.load(
        "xcopa",
        language=language,
        pivot=ENG,
        source=source(root),
        **given,  # type: ignore[arg-type]
    )
    assert found.dropped == 0
    return found.texts


def test_premise_and_option_are_joined_as_the_paper_does(tmp_path: Path) -> None:
    cause, effect = texts(tmp_path).items[:2]
    assert cause.pivot_texts[0] == "The object was wrapped in bubble wrap because it was fragile."
    assert cause.texts[0] == "Ese oli mullikilesse mässitud sest see oli õrn."
    assert effect.texts[0] == "Ese oli mullikilesse mässitud seetõttu see oli õrn."
    assert "therefore" in effect.pivot_texts[0] or "so" in effect.pivot_texts[0].split()
    assert cause.premise == "Ese oli mullikilesse mässitud." and cause.pivot_premise.endswith(
        "wrap."
    )


def test_the_released_connectors_are_those_of_three_languages_wrong(tmp_path: Path) -> None:
    cause, effect = texts(tmp_path, released=True).items[:2]
    assert " because " in cause.pivot_texts[0] and " because " in effect.pivot_texts[0]
    assert " seetõttu " in effect.texts[0]
    right, wrong = texts(tmp_path, THA), texts(tmp_path, THA, released=True)
    assert wrong.items[0].texts != right.items[0].texts  # a cause, joined as an effect
    assert wrong.items[1].texts == right.items[1].texts
    assert wrong.fingerprint != right.fingerprint


def test_belebele_and_stories_are_their_cloze() -> None:
    for name in ("mini_belebele", "mini_xstorycloze"):
        found, _ = option_texts.load(name, language="deu_Latn", pivot=ENG, source=Source(), limit=5)
        shown = benchmarks.load(name, language="deu_Latn", source=Source(), limit=5, prompt="cloze")
        for item, one in zip(found.items, shown.items, strict=True):
            assert item.texts == tuple(one.context + option for option in one.options)
            assert item.premise == one.context and len(item.texts) == len(item.pivot_texts)
        assert [item.id for item in found.asked.items] == [item.id for item in found.items]


def test_items_that_are_not_parallel_are_refused(tmp_path: Path) -> None:
    changed = source(tmp_path, et={"label": 1})
    with pytest.raises(ValueError, match=REFUSED):
        option_texts.load("xcopa", language=EST, pivot=ENG, source=changed)
    with pytest.raises(ValueError, match=REFUSED):
        patch_items.load("xcopa", language=EST, pivot=ENG, source=changed)
    source(tmp_path)
    write_lines(tmp_path / "xcopa" / "et.jsonl", [
        {"idx": 90, "premise": "a", "choice1": "b", "choice2": "c", "question": "cause", "label": 0}
    ])  # fmt: skip
    with pytest.raises(ValueError, match="est_Latn and eng_Latn share no item"):
        option_texts.load("xcopa", language=EST, pivot=ENG, source=Source(data_root=tmp_path))


def patches(**given: object) -> patch_items.PatchSet:
    asked = {"language": "deu_Latn", "pivot": ENG, "source": Source(), "limit": 40} | given
    found = patch_items.load("mini_belebele", **asked)  # type: ignore[arg-type]
    return found.asked


def test_sources_of_patches_are_what_they_are_called() -> None:
    found = patches()
    sources = dict(found.sources)
    assert list(sources) == [name for name in patch_items.PATCHES if name != "noise"]
    golds = {item.id: item.gold for item in found.asked.items}
    english = {item.id: item for item in found.pivot_asked.items}
    for place, item in enumerate(found.asked.items):
        matched, permuted, same, other, own = (sources[name][place] for name in sources)  # type: ignore[index]
        assert matched and matched.context == english[item.id].context and matched.gold == item.gold
        assert permuted and permuted.item == item.id and permuted.gold != item.gold
        assert sorted(permuted.context) == sorted(matched.context)
        assert same and same.item != item.id and same.gold == item.gold == golds[same.item]
        assert other and other.gold == golds[other.item] != item.gold
        assert own and own.item != item.id
        assert own.context in {one.context for one in found.asked.items}
    again = patches(seed=1)
    assert dict(again.sources)["matched"] == sources["matched"]
    assert dict(again.sources)["own_language"] != sources["own_language"]


def test_a_permuted_question_has_its_right_text_behind_the_new_symbol() -> None:
    found = patches(limit=9)
    raw = benchmarks.raw_questions("mini_belebele", language=ENG, source=Source(), limit=9)
    for item, one in zip(found.asked.items, dict(found.sources)["permuted"], strict=True):
        assert one is not None
        right = raw[item.id].options[item.gold]
        assert f"\n{'ABCD'[one.gold]}: {right}\n" in one.context


def test_texts_as_options_have_no_symbols_to_permute() -> None:
    found = patches(limit=9, prompt="cloze")
    assert [name for name, _ in found.sources] == ["matched", "own_language"]
