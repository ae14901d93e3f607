"""Questions whose option texts are read in two languages, and the control's order."""

from pathlib import Path

import pytest

from studies import benchmarks
from studies.latent_items import LatentItems, latent_set
from studies.prompt_options import Asking, Chat
from studies.rows import Source
from studies.spec import Row
from tests.studies.test_benchmarks import write

DEU, ENG = "deu_Latn", "eng_Latn"


def row(id: str, *, language: str, options: int = 4, gold: int = 0) -> Row:
    """A question of m_arc whose texts say where they are from."""
    texts = [f"{language} {id} {k}" for k in range(options)]
    texts += [None] * (5 - options)
    columns = dict(zip([f"option_{letter}" for letter in "abcde"], texts, strict=True))
    return {"id": id, "instruction": f"{language} {id}?", **columns, "answer": "ABCDE"[gold]}


def both(root: Path, own: list[Row], pivot: list[Row]) -> Source:
    write(root, f"m_arc/{ENG}.jsonl", pivot)
    return write(root, f"m_arc/{DEU}.jsonl", own)


def latent(source: Source, *, benchmark: str = "m_arc", **more: object) -> LatentItems:
    given: dict[str, object] = {"language": DEU, "pivot": ENG, "prompt": "latent", **more}
    return latent_set(benchmark, source=source, **given)


def rows(language: str, *ids: str) -> list[Row]:
    return [row(id, language=language, gold=ord(id[-1]) % 4) for id in ids]


def test_option_texts_of_both_languages_follow_the_question_of_one(tmp_path: Path) -> None:
    source = both(tmp_path, rows(DEU, "a", "b", "c", "d"), rows(ENG, "d", "c", "x", "a"))
    found = latent(source)
    assert [item.id for item in found.set.items] == ["a", "c", "d"]
    assert (found.dropped, found.alone) == (2, 0)
    first = found.set.items[0]
    assert first.native == tuple(f" deu_Latn a {k}" for k in range(4))
    assert first.pivot == tuple(f" eng_Latn a {k}" for k in range(4))
    assert first.gold == ord("a") % 4
    usual = benchmarks.load("m_arc", language=DEU, source=source, prompt="latent")
    assert [item.context for item in found.set.items] == [
        item.context for item in usual.items if item.id != "b"
    ]
    assert "A: deu_Latn a 0\n" in first.context
    assert "eng_Latn" not in first.context


def test_a_question_is_put_as_it_is_to_be_answered(tmp_path: Path) -> None:
    source = both(tmp_path, rows(DEU, "a", "b"), rows(ENG, "a", "b"))
    cloze = latent(source, prompt=None).set
    assert (cloze.prompt, cloze.chat) == ("cloze", None)
    assert cloze.items[0].context == "Question: deu_Latn a?\nAnswer:"
    asking = Asking(instruction=False, chat_template=True, system="Hi", letter_token="nospace")
    asked = latent(source, asking=asking).set
    assert asked.prompt == asking.named("latent")
    assert asked.chat == Chat(system="Hi", start="nospace")
    assert asked.items[0].context.startswith("Question: deu_Latn a?\nA: ")
    bare = tuple(text.removeprefix(" ") for text in cloze.items[0].native)
    assert asked.items[0].native == bare
    told = latent(source, asking=Asking(chat_template=True, letter_token="logsumexp_both")).set
    assert (told.chat, told.items[0].native) == (Chat(), cloze.items[0].native)
    plain = latent(source, asking=Asking(letter_token="nospace")).set
    assert plain.items[0].native == cloze.items[0].native
    with pytest.raises(ValueError, match="letter_token=nospace has no effect on the prompt 'cloze"):
        latent(source, prompt="cloze", asking=Asking(letter_token="nospace"))


def test_the_pivot_has_the_same_texts_twice(tmp_path: Path) -> None:
    source = both(tmp_path, rows(DEU, "a", "b"), rows(ENG, "a", "b"))
    found = latent(source, language=ENG)
    assert [item.native for item in found.set.items] == [item.pivot for item in found.set.items]
    assert found.dropped == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_control_moves_every_item_to_one_with_as_many_options(
    tmp_path: Path, seed: int
) -> None:
    sizes = [4, 3, 4, 5, 4, 3, 3, 4, 3, 3]
    ids = [f"i{k}" for k in range(len(sizes))]
    content = {
        language: [
            row(id, language=language, options=size) for id, size in zip(ids, sizes, strict=True)
        ]
        for language in (DEU, ENG)
    }
    found = latent(both(tmp_path, content[DEU], content[ENG]), seed=seed)
    items, order = found.set.items, found.set.order
    assert sorted(order) == list(range(len(items)))
    for place, other in enumerate(order):
        assert place != other
        assert len(items[place].native) == len(items[other].native)
    assert (found.alone, "i3" in {item.id for item in items}) == (1, False)


def test_the_control_depends_on_the_seed_and_is_one_for_all_languages(tmp_path: Path) -> None:
    ids = [f"i{k}" for k in range(12)]
    source = both(tmp_path, rows(DEU, *ids), rows(ENG, *reversed(ids)))

    def following(language: str, seed: int) -> dict[str, str]:
        found = latent(source, language=language, seed=seed).set
        names = [item.id for item in found.items]
        return {name: names[other] for name, other in zip(names, found.order, strict=True)}

    assert following(DEU, 0) == following(ENG, 0)
    assert following(DEU, 0) != following(DEU, 1)


def test_items_must_mean_the_same_in_both_languages(tmp_path: Path) -> None:
    own = [*rows(DEU, "a"), row("b", language=DEU, gold=1)]
    source = both(tmp_path, own, [*rows(ENG, "a"), row("b", language=ENG, gold=2)])
    with pytest.raises(ValueError, match="'b' has right answer 2 in deu_Latn and 3 in eng_Latn"):
        latent(source)
    source = both(tmp_path, own, [*rows(ENG, "a"), row("b", language=ENG, gold=1, options=3)])
    with pytest.raises(ValueError, match="'b' has 4 options in deu_Latn and 3 in eng_Latn"):
        latent(source)


def test_a_control_needs_two_items(tmp_path: Path) -> None:
    source = both(tmp_path, rows(DEU, "a", "b"), rows(ENG, "b", "c"))
    with pytest.raises(ValueError, match="m_arc: deu_Latn and eng_Latn share 1 items"):
        latent(source)
    with pytest.raises(ValueError, match="share 0 items"):
        latent(source, limit=1)


def test_the_miniworld_has_texts_to_read() -> None:
    found = latent(Source(), benchmark="mini_belebele", prompt="cloze", limit=40)
    assert (len(found.set.items), found.dropped, found.alone) == (40, 0, 0)
    differing = [item for item in found.set.items if item.native != item.pivot]
    assert len(differing) > 30


REAL = {"belebele": (500, 0), "global_mmlu_lite": (250, 0), "m_arc": (248, 0)}


@pytest.mark.parametrize("benchmark", REAL)
def test_real_benchmarks_are_parallel_to_english(shared: Path, benchmark: str) -> None:
    source = Source(data_root=shared / "data")
    for language in benchmarks.languages(benchmark, source=source):
        found = latent(source, benchmark=benchmark, language=language)
        missing = 1 if language == "mya_Mymr" else 0
        count, alone = REAL[benchmark]
        assert (len(found.set.items), found.dropped) == (count - missing, missing)
        assert found.alone == alone
