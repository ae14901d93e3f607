"""Sources of patches: whose prompt it is, which option is right there, and whose key it changes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from studies import benchmarks, patch_items
from studies.inputs import Inputs
from studies.kinds.patching import PatchGrid, Patching, draft
from studies.patch_items import DRAWN, PATCHES, PatchSet, PatchSource
from studies.prompt_options import Asking, Chat
from studies.rows import Source
from studies.spec import Row
from studies.texts import ChoiceItem
from tests.makers.stored import MODEL
from tests.studies.test_benchmarks import CAUSE, INFERENCE, SAMPLES, write

DEU, ENG = "deu_Latn", "eng_Latn"
IDS = tuple(f"i{number}" for number in range(24))


def load(source: Source, benchmark: str = "m_mmlu", **more: Any) -> PatchSet:
    given = {"language": DEU, "pivot": ENG, **more}
    return patch_items.load(benchmark, source=source, **given).asked


def row(id: str, language: str, *, gold: str, options: int = 4) -> Row:
    texts = {
        f"option_{k}": f"{language} {id} {k}" if place < options else None
        for place, k in enumerate("abcde")
    }
    return {"id": id, "instruction": f"{language} {id}?", **texts, "answer": gold}


def rows(language: str, ids: Sequence[str] = IDS, **more: Any) -> list[Row]:
    """Right answers A to C by the id, so that D is never right."""
    return [row(id, language, gold="ABC"[int(id[1:]) % 3], **more) for id in ids]


def both(root: Path, own: list[Row], pivot: list[Row], *, benchmark: str = "m_mmlu") -> Source:
    write(root, f"{benchmark}/{ENG}.jsonl", pivot)
    return write(root, f"{benchmark}/{DEU}.jsonl", own)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return both(tmp_path, rows(DEU), rows(ENG))


def sources(asked: PatchSet, name: str) -> list[tuple[ChoiceItem, PatchSource | None]]:
    return list(zip(asked.asked.items, dict(asked.sources)[name], strict=True))  # type: ignore[index]


def listed(context: str) -> list[str]:
    """The texts of the options that a prompt shows, in their order."""
    lines = context.splitlines()
    return [line.partition(". ")[2] for line in lines if line[1:3] == ". "]


def test_every_kind_of_patch_has_a_source_for_every_item(source: Source) -> None:
    found = load(source)
    assert [name for name, _ in found.sources] == [name for name in PATCHES if name != "noise"]
    assert all(len(own) == len(IDS) and all(own) for _, own in found.sources)
    assert (found.prompt, found.chat, found.language, found.pivot) == ("letter", None, DEU, ENG)
    assert [one.id for one in found.pivot_asked.items] == [one.id for one in found.asked.items]
    for name, language in (
        *((name, ENG) for name in ("matched", "permuted", "same_symbol", "other_symbol")),
        ("own_language", DEU),
    ):
        for item, one in sources(found, name):
            assert one is not None
            assert one.context.startswith(f"{language} {one.item}?\n"), "the source is what it says"
            assert one.context.endswith("\nAnswer:") and language in listed(one.context)[0]
            own = name in ("matched", "permuted")
            assert (one.item == item.id) == own


def test_the_matched_source_is_the_same_question(source: Source) -> None:
    found = load(source)
    pivot = benchmarks.load("m_mmlu", language=ENG, source=source, prompt="letter")
    contexts = {one.id: (one.context, one.gold) for one in pivot.items}
    for item, one in sources(found, "matched"):
        assert one is not None and (one.context, one.gold) == contexts[item.id]
        assert one.gold == item.gold


def test_the_permuted_source_has_the_same_texts_and_another_right_symbol(source: Source) -> None:
    found = load(source)
    matched = dict(found.sources)["matched"]
    shifts = set()
    for (item, one), plain in zip(sources(found, "permuted"), matched, strict=True):
        assert one is not None and plain is not None
        texts, before = listed(one.context), listed(plain.context)
        assert one.gold != item.gold
        assert sorted(texts) == sorted(before) and len(texts) == 4
        assert texts[one.gold] == before[item.gold], "the right answer is the same text"
        assert all(text != old for text, old in zip(texts, before, strict=True))
        assert one.context.splitlines()[0] == plain.context.splitlines()[0]
        shifts.add((item.gold - one.gold) % 4)
    assert shifts == {1, 2, 3}, "turned by other numbers of places"


@pytest.mark.parametrize("seed", range(5))
def test_symbols_of_other_questions_are_as_said(source: Source, seed: int) -> None:
    found = load(source, seed=seed)
    gold = {one.id: one.gold for one in found.pivot_asked.items}
    for name, same in (("same_symbol", True), ("other_symbol", False)):
        taken = set()
        for item, one in sources(found, name):
            assert one is not None
            assert one.gold == gold[one.item], "the right option of that question"
            assert (one.gold == item.gold) == same
            assert one.item != item.id
            taken.add(one.item)
        assert len(taken) > len(IDS) / 4, "not the same question for all"


def test_the_order_of_other_questions_is_the_seeds_and_the_same_for_languages(
    source: Source, tmp_path: Path
) -> None:
    write(tmp_path, "m_mmlu/fra_Latn.jsonl", rows("fra_Latn"))

    def items(**more: Any) -> dict[str, list[str]]:
        return {
            name: [one.item for one in own if one] for name, own in load(source, **more).sources
        }

    first, other = items(seed=0), items(seed=1)
    assert first == items(seed=0) == items(language="fra_Latn")
    for name in ("same_symbol", "other_symbol", "own_language"):
        assert first[name] != other[name]
    assert first["matched"] == other["matched"] == first["permuted"] == list(IDS)


def test_items_without_a_source_have_none(tmp_path: Path) -> None:
    """The only one with a right answer D, and the only one of three options."""
    more = [("i30", {"gold": "D"}), ("i31", {"gold": "A", "options": 3})]
    own, pivot = (
        [*rows(code, IDS[:6]), *(row(id, code, **given) for id, given in more)]
        for code in (DEU, ENG)
    )
    found = load(both(tmp_path, own, pivot, benchmark="m_arc"), "m_arc")
    lacking = {
        name: {item.id for item, one in sources(found, name) if one is None}
        for name, _ in found.sources
    }
    assert lacking == {
        "matched": set(),
        "permuted": set(),
        "same_symbol": {"i30", "i31"},
        "other_symbol": {"i31"},
        "own_language": {"i31"},
    }
    assert len(next(one for item, one in sources(found, "permuted") if item.id == "i31").context)


def test_a_kind_of_patch_of_which_nothing_has_a_source_is_left_out_and_said(
    source: Source,
) -> None:
    alone = load(source, limit=1)
    assert [name for name, _ in alone.sources] == ["matched", "permuted"]
    notes, cells = planned(source, limit=1)
    assert cells == ["matched", "permuted", "noise"]
    assert notes == [
        "m_mmlu in deu_Latn, asked with the prompt letter, has no source for same_symbol, "
        "other_symbol, own_language: these need options with symbols that the prompt lists, and "
        "another item"
    ]
    with pytest.raises(ValueError, match=r"no source for same_symbol: .*name another --patch or"):
        planned(source, limit=1, patches=("same_symbol",))


def planned(source: Source, benchmark: str = "m_mmlu", **more: Any) -> tuple[list[str], list[str]]:
    """The notes of a plan, and the kinds of patch that it has cells of."""
    inputs = Inputs(source=source)
    grid = PatchGrid(**{"benchmark": benchmark, "languages": ("all",), **more})
    (made,) = grid.drafts([MODEL], inputs)
    return inputs.notes, [str(cell.intervention) for cells in made.cells for cell in cells]


@pytest.mark.parametrize(
    ("benchmark", "content", "prompt", "expected"),
    [
        ("belebele", SAMPLES["belebele"], None, ("letter", True, True)),
        ("belebele", SAMPLES["belebele"], "latent", ("latent", True, True)),
        ("belebele", SAMPLES["belebele"], "cloze", ("cloze", False, False)),
        ("xstorycloze", SAMPLES["xstorycloze"], None, ("digit", True, True)),
        ("xcopa", CAUSE, None, ("digit", True, True)),
        ("xcopa", CAUSE, "connector", ("connector", False, False)),
        # Its numbers stand for verdicts whatever the order, and its labels are texts.
        ("xnli", INFERENCE, None, ("digit", True, False)),
        ("xnli", INFERENCE, "labels", ("labels", False, False)),
        ("m_hellaswag", SAMPLES["m_hellaswag"], None, ("latent", True, True)),
    ],
)
def test_symbols_and_an_order_are_those_of_the_prompt(
    tmp_path: Path, benchmark: str, content: Row, prompt: str | None, expected: tuple
) -> None:
    """However many items there are, and however alike their options."""
    key = {"xstorycloze": "story_id", "xcopa": "idx"}.get(benchmark, "id")
    many = [{**content, key: str(number)} for number in range(3)]
    for language in (ENG, "est_Latn"):
        write(tmp_path, f"{benchmark}/{language}.jsonl", many)
    for limit in (None, 1):
        found = load(
            Source(data_root=tmp_path), benchmark, language="est_Latn", prompt=prompt, limit=limit
        )
        names = [name for name, _ in found.sources]
        symbols = limit is None and expected[1]
        assert (found.prompt, "same_symbol" in names, "permuted" in names) == (
            expected[0],
            symbols,
            expected[2],
        )


def test_questions_are_put_as_they_are_asked(source: Source) -> None:
    plain = load(source, prompt="latent")
    asking = Asking(instruction=False, letter_token="logsumexp_both")
    asked = load(source, prompt="latent", asking=asking)
    assert asked.prompt == asking.named("latent")
    assert asked.asked.variants == 2 and plain.asked.variants == 1
    for name, own in asked.sources:
        for one, usual in zip(own, dict(plain.sources)[name], strict=True):
            assert one is not None and usual is not None
            assert usual.context.endswith(one.context) and usual.context != one.context
            assert (one.item, one.gold) == (usual.item, usual.gold)
    talk = load(source, asking=Asking(chat_template=True, system="Hi"))
    assert (talk.chat, talk.prompt) == (
        Chat(system="Hi"),
        Asking(chat_template=True, system="Hi").named("letter"),
    )
    assert (talk.sources, talk.asked.items) == (load(source).sources, load(source).asked.items)
    assert talk.fingerprint != load(source).fingerprint
    assert load(source, asking=Asking(chat_template=True)).fingerprint != talk.fingerprint


def test_items_are_those_of_both_and_the_others_are_said(tmp_path: Path) -> None:
    source = both(
        tmp_path, rows(DEU, ("i3", "i1", "i9", "i2")), rows(ENG, ("i1", "i2", "i3", "i4"))
    )
    found = patch_items.load("m_mmlu", language=DEU, pivot=ENG, source=source)
    assert [one.id for one in found.asked.asked.items] == ["i3", "i1", "i2"]
    assert found.dropped == 2
    notes, _ = planned(source)
    assert notes[0] == (
        "m_mmlu: 2 items are not there in both deu_Latn and eng_Latn, and are left out"
    )
    with pytest.raises(ValueError, match="m_mmlu: deu_Latn and eng_Latn share no item: raise the"):
        load(source, limit=1)


def test_what_cannot_be_patched_is_refused_in_one_sentence(tmp_path: Path) -> None:
    same = rows(ENG, ("i0", "i1"))
    cases = [
        (
            row("i1", DEU, gold="C"),
            "'i1' has right answer 3 in deu_Latn and 2 in eng_Latn, as if its",
        ),
        (row("i1", DEU, gold="B", options=3), "'i1' has 3 options in deu_Latn and 4 in eng_Latn"),
    ]
    for wrong, message in cases:
        source = both(tmp_path, [*rows(DEU, ("i0",)), wrong], same, benchmark="m_arc")
        with pytest.raises(ValueError, match=message) as found:
            load(source, "m_arc")
        assert "\n" not in str(found.value)
    single: Row = {"question": "Why?", "options": ["so"], "answer": 0}
    source = both(tmp_path, [single], [single], benchmark="mine")
    with pytest.raises(ValueError, match=r"deu_Latn\.jsonl, line 1: 1 options, expected at least"):
        load(source, "mine")
    source = both(tmp_path, [SAMPLES["bmlama17"]], [SAMPLES["bmlama17"]], benchmark="bmlama17")
    with pytest.raises(ValueError, match="bmlama17 puts no question before its options, so there"):
        load(source, "bmlama17")
    source = both(tmp_path, rows(DEU), rows(ENG))
    with pytest.raises(ValueError, match=r"m_mmlu has no prompt 'digit': expected one of letter"):
        load(source, prompt="digit")
    with pytest.raises(ValueError, match="prompt_sep=space has no effect on the prompt 'letter'"):
        load(source, asking=Asking(prompt_sep="space"))


def keys(asked: PatchSet, **more: Any) -> dict[str, str]:
    """The key of every kind of patch."""
    grid = PatchGrid(benchmark="m_mmlu", languages=("all",), **more)
    made = draft(grid, asked, model=MODEL)
    return {str(cell.intervention): cell.key for cells in made.cells for cell in cells}


def test_keys_follow_from_what_is_put_in_and_where(source: Source, tmp_path: Path) -> None:
    own = keys(load(source))
    assert set(own) == set(PATCHES) and len(set(own.values())) == len(PATCHES)
    layers = tuple(range(1, MODEL.layers + 1))
    assert own == keys(load(source, limit=len(IDS))) == keys(load(source), layers=layers)
    few = keys(load(source), patches=("noise", "matched"))
    assert few == {name: own[name] for name in ("matched", "noise")}
    others = [
        keys(load(source), layers=(1,)),
        keys(load(source), patching=Patching(patch_site="attn_out")),
        keys(load(source), patching=Patching(patch_site="resid_pre")),
        keys(load(source, limit=20)),
        keys(load(source, prompt="latent")),
        keys(load(source, asking=Asking(chat_template=True))),
    ]
    changed = row("i23", ENG, gold="C") | {"option_a": "another text"}
    others.append(keys(load(both(tmp_path, rows(DEU), [*rows(ENG, IDS[:-1]), changed]))))
    for name in ("matched", "noise", "other_symbol"):
        assert len({own[name], *(other[name] for other in others)}) == len(others) + 1
    # A seed changes what it draws, and nothing else.
    seeds = {seed: keys(load(source, seed=seed), seed=seed) for seed in range(4)}
    for name in PATCHES:
        assert len({own[name] for own in seeds.values()}) == (4 if name in DRAWN else 1)
    # Only a random direction asks for the seed beside the sources that it chose.
    seeded = keys(load(both(tmp_path, rows(DEU), rows(ENG))), seed=1)
    assert {name for name in own if seeded[name] != own[name]} == {"noise"}
    # Another language, and an item that this one lacks, change nothing.
    write(tmp_path, "m_mmlu/fra_Latn.jsonl", rows("fra_Latn"))
    extra = both(tmp_path, rows(DEU), rows(ENG, (*IDS, "i77")))
    assert keys(load(extra)) == own


def test_every_text_is_seen_by_who_asks(source: Source) -> None:
    found = load(source)
    seen = set(found.inputs())
    assert {one.context for _, own in found.sources for one in own if one} <= seen
    for asked in (found.asked, found.pivot_asked):
        assert {one.context for one in asked.items} <= seen
    assert [one["id"] for one in found.shown()] == list(IDS)


def test_real_benchmarks_have_controls(shared: Path) -> None:
    source = Source(data_root=shared / "data")
    for benchmark, language in (
        ("belebele", DEU),
        ("xcopa", "tha_Thai"),
        ("xstorycloze", "zho_Hans"),
    ):
        found, dropped = patch_items.load(
            benchmark, language=language, pivot=ENG, source=source, limit=200
        )
        assert dropped == 0 and len(found.asked.items) == 200
        assert len(found.sources) == len(PATCHES) - 1
        for name, own in found.sources:
            assert all(own), name
