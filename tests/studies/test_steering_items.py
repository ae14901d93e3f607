"""Draws of items: the same in every language, and never answered by who was steered with them."""

from pathlib import Path
from random import Random

import pytest

from studies import benchmarks, steering_items
from studies.draws import Draw, Questions, draw, drawn, ordered
from studies.prompt_options import Asking, Chat
from studies.rows import Source
from studies.spec import Row
from studies.steering_items import VectorSet
from studies.texts import ChoiceSet
from tests.studies.test_benchmarks import write
from tests.studies.test_latent_items import row

LANGUAGES = ("eng_Latn", "deu_Latn", "fra_Latn", "zho_Hans")
ENG, DEU = LANGUAGES[:2]


def drawn_of(source: Source, *, language: str = DEU, pivot: str = ENG, **more: object) -> Draw:
    usual: dict[str, object] = {"benchmark": "m_arc", "prompt": "latent", "sample": 4}
    questions = Questions(**usual | more)
    return draw(questions, language=language, pivot=pivot, source=source)


def vectors(source: Source, **more: object) -> VectorSet:
    return steering_items.vector_set(drawn_of(source, **more))


def held_out(source: Source, **more: object) -> ChoiceSet:
    return steering_items.held_out(drawn_of(source, **more))


def world(
    root: Path, having: dict[str, list[str]], *, golds: dict[str, int] | None = None
) -> Source:
    """Languages with these ids; `golds` are right answers of `deu_Latn` that are not the first."""
    for language, ids in having.items():
        wrong = (golds or {}) if language == DEU else {}
        content: list[Row] = [row(id, language=language, gold=wrong.get(id, 0)) for id in ids]
        write(root, f"m_arc/{language}.jsonl", content)
    return Source(data_root=root)


def test_a_draw_depends_on_seed_and_id_alone() -> None:
    ids = [f"i{k}" for k in range(200)]
    one = drawn(ids, sample=20, seed=3)
    assert len(one) == 20
    assert one == drawn(reversed(ids), sample=20, seed=3) < drawn(ids, sample=21, seed=3)
    assert one != drawn(ids, sample=20, seed=4)
    assert drawn([*ids, "new"], sample=20, seed=3) - one <= {"new"}
    assert [id for id in ordered([*ids, "new"], seed=3) if id != "new"] == ordered(ids, seed=3)
    assert drawn(ids, sample=500, seed=0) == {*ids}
    with pytest.raises(ValueError, match="sample is 0, expected at least 1"):
        drawn(ids, sample=0, seed=0)


def test_every_item_is_drawn_as_often() -> None:
    ids = [f"i{k}" for k in range(10)]
    counts = dict.fromkeys(ids, 0)
    for seed in range(2000):
        for id in drawn(ids, sample=3, seed=seed):
            counts[id] += 1
    assert all(500 < count < 700 for count in counts.values()), counts


@pytest.mark.parametrize("trial", range(25))
def test_no_drawn_item_is_answered_in_any_language(tmp_path: Path, trial: int) -> None:
    random = Random(trial)
    every = [f"q{k}" for k in range(random.randint(14, 40))]
    having = {
        language: [id for id in every if random.random() < 0.9] or every for language in LANGUAGES
    }
    for ids in having.values():
        random.shuffle(ids)
    golds = {id: 1 for id in every if random.random() < 0.1}
    source = world(tmp_path, having, golds=golds)
    sample, limit = random.randint(6, 9), random.choice((None, None, 25))
    for seed in random.sample(range(10**6), 3):
        made_from: set[str] = set()
        answered: set[str] = set()
        for language in LANGUAGES:
            given = {"language": language, "sample": sample, "seed": seed, "limit": limit}
            pairs = vectors(source, **given)
            ids = [id for each in pairs.ids for id in each.split(" | ")]
            assert len(pairs.ids) == len(pairs.toward) == len(pairs.away) >= 2
            assert {*ids} <= {*having[ENG]} & {*having[language]}
            made_from |= {*ids}
            left = held_out(source, **given)
            assert left.seed == seed
            answered |= {item.id for item in left.items}
        assert made_from
        assert answered
        assert not made_from & answered
        assert made_from <= drawn(having[ENG][:limit], sample=sample, seed=seed)


def test_pairs_are_the_same_questions_in_the_order_of_the_pivot(tmp_path: Path) -> None:
    ids = [f"q{k}" for k in range(10)]
    source = world(tmp_path, {ENG: ids, DEU: [*reversed(ids[1:]), "z"]}, golds={"q3": 2})
    found = vectors(source, sample=10)
    assert found.ids == tuple(id for id in ids if id not in ("q0", "q3"))
    assert (found.language, found.pivot, found.seed, found.prompt) == (DEU, ENG, 0, "latent")
    for id, toward, away in zip(found.ids, found.toward, found.away, strict=True):
        assert f"Question: eng_Latn {id}?\nA: eng_Latn {id} 0\n" in toward
        assert toward.replace("eng_Latn", "deu_Latn") == away
    left = held_out(source, sample=10)
    assert [item.id for item in left.items] == ["z"]


def test_the_pivot_stands_against_itself_in_halves(tmp_path: Path) -> None:
    ids = [f"q{k}" for k in range(20)]
    source = world(tmp_path, {ENG: ids})
    found = vectors(source, language=ENG, sample=9, seed=5)
    first = ordered(ids, seed=5)[:9]
    halves = list(zip(first[:4], first[4:8], strict=True))
    assert found.ids == tuple(" | ".join(half) for half in halves)
    for ids_of_pair, *texts in zip(halves, found.toward, found.away, strict=True):
        for id, text in zip(ids_of_pair, texts, strict=True):
            assert f"Question: eng_Latn {id}?\n" in text
    assert len(held_out(source, language=ENG, sample=9, seed=5).items) == 11
    with pytest.raises(ValueError, match="3 items are drawn in eng_Latn, too few for two halves"):
        vectors(source, language=ENG, sample=3)


def test_the_way_of_asking_reaches_every_prompt(tmp_path: Path) -> None:
    ids = [f"q{k}" for k in range(9)]
    source = world(tmp_path, {ENG: ids, DEU: ids})
    asking = Asking(instruction=False, letter_token="logsumexp_both", chat_template=True)
    found = vectors(source, asking=asking)
    assert (found.prompt, found.chat) == (asking.named("latent"), asking.chat)
    assert all(text.startswith("Question: ") for text in (*found.toward, *found.away))
    left = held_out(source, asking=asking)
    assert (left.prompt, left.chat, left.variants) == (asking.named("latent"), asking.chat, 2)
    plain = held_out(source)
    assert (plain.prompt, plain.chat, plain.variants) == ("latent", None, 1)


def test_a_draw_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    ids = ["a", "b", "c"]
    source = world(tmp_path, {ENG: ids, DEU: ["a", "b"]})
    with pytest.raises(
        ValueError, match="m_arc: the draw takes 3 of the 3 items of eng_Latn, and "
    ):
        held_out(source, sample=3)
    assert [item.id for item in held_out(source, sample=1).items]
    source = world(tmp_path, {ENG: ids, DEU: ["c", "x", "y"]})
    with pytest.raises(ValueError, match="of the 3 items drawn in eng_Latn, deu_Latn has 1 with"):
        vectors(source, sample=3)


def test_items_are_read_again_when_their_file_is_another(tmp_path: Path) -> None:
    ids = [f"q{k}" for k in range(9)]
    source = world(tmp_path, {ENG: ids, DEU: ids})
    before = held_out(source)
    assert held_out(source) == before
    world(tmp_path, {DEU: [*ids[:-1], "new"]})
    assert "new" in {item.id for item in held_out(source).items}


def test_drawn_questions_are_parallel_text(tmp_path: Path) -> None:
    ids = [f"q{k}" for k in range(30)]
    source = world(tmp_path, {ENG: ids, DEU: [*reversed(ids[4:])], "fra_Latn": ids})
    questions = Questions(benchmark="m_arc", prompt="latent", sample=12, seed=7)
    found = draw(questions, language=DEU, pivot=ENG, source=source).bitext()
    expected = [id for id in ids if id in drawn(ids, sample=12, seed=7)]
    assert found.ids == tuple(id for id in expected if id in ids[4:])
    assert (found.dataset, found.language, found.pivot) == ("questions/m_arc", DEU, ENG)
    assert found.chat is None
    pairs = vectors(source, sample=12, seed=7)
    assert (found.pivot_texts, found.texts) == (pairs.toward, pairs.away)
    whole = draw(questions, language="fra_Latn", pivot=ENG, source=source).bitext()
    assert whole.ids == tuple(expected)
    chat = Questions(benchmark="m_arc", asking=Asking(chat_template=True, system="Hi"))
    found = draw(chat, language=DEU, pivot=ENG, source=source).bitext()
    assert found.chat == Chat(system="Hi")
    same = draw(questions, language=ENG, pivot=ENG, source=source).bitext()
    assert same.texts == same.pivot_texts


def test_the_miniworld_can_be_steered() -> None:
    given = {"benchmark": "mini_belebele", "prompt": "cloze", "sample": 50}
    found = vectors(Source(), **given)
    assert len(found.ids) == 50
    assert len(held_out(Source(), **given).items) == 250
    assert "\nA: " not in found.toward[0]


def test_real_languages_share_what_is_drawn(shared: Path) -> None:
    source = Source(data_root=shared / "data")
    for benchmark in ("belebele", "global_mmlu_lite", "m_arc"):
        for language in benchmarks.languages(benchmark, source=source):
            if language == ENG:
                continue
            given = {"benchmark": benchmark, "language": language, "sample": 50, "seed": 1}
            found = vectors(source, **given)
            left = {item.id for item in held_out(source, **given).items}
            assert len(found.ids) in (49, 50)
            assert not left & {*found.ids}
