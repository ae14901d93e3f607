"""Prompts under a chat template: what the template writes, one BOS, and no cut."""

import shutil
from pathlib import Path

import pytest

from actors.kinds.resources import PivotCache
from actors.model import LoadedModel, load
from actors.prediction.score import ask, score
from actors.work import run_unit
from studies import miniworld
from studies.kinds import choices
from studies.kinds.alignment import AlignmentGrid
from studies.kinds.choices import ChoiceGrid
from studies.models.facts import facts
from studies.prompt_options import Chat
from studies.spec import Model, Row
from studies.texts import Bitext, ChoiceItem, ChoiceSet
from tests.makers import oracle
from tests.makers.rounding import TINY
from tests.makers.units import of_bitexts, of_drafts

CHATML = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITH_BOS = "{{ bos_token }}" + CHATML
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML
DROPS_SYSTEM = CHATML.replace("in messages", "in messages if turn.role != 'system'")
DATED = (
    "{%- set day = strftime_now(\"%d %b %Y\") %}\n{{ day }} {{ strftime_now( '%Y-%m-%d' ) }}\n"
    + CHATML
)

TEXTS = ("Anna isst einen Apfel.", "猫坐在垫子上。", "")
USER = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
ITEM = ChoiceItem(id="1", context="Wer isst?", options=(" A", " B", " nobody", "A"), gold=1)


def folder_with(template: str | None, folder: Path) -> Path:
    """The embedded Llama, with a chat template beside its tokenizer."""
    folder.mkdir(parents=True)
    for file in miniworld.model_folder("miniworld-llama").iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def model_with(template: str | None, tmp_path: Path) -> LoadedModel:
    model = facts(Model(id=str(folder_with(template, tmp_path / "model"))))
    return load(model, device="cpu", threads=1, proof=False)


@pytest.mark.parametrize("template", [CHATML, WITH_BOS, NO_SYSTEM, DROPS_SYSTEM])
def test_a_text_is_a_users_turn_behind_one_bos(template: str, tmp_path: Path):
    loaded = model_with(template, tmp_path)
    (bos,) = loaded.prefix
    for text, ids in zip(TEXTS, loaded.prompts(TEXTS, chat=Chat()), strict=True):
        assert ids == [bos, *loaded.tokenise([USER.format(text)])[0]]
        assert ids.count(bos) == 1
    assert loaded.encode(TEXTS, allow_truncation=False, chat=Chat()).sequences == loaded.prompts(
        TEXTS, chat=Chat()
    )
    plain = [*TEXTS, f"{loaded.tokenizer.bos_token} Anna"]
    assert loaded.prompts(plain, chat=None) == [[bos, *ids] for ids in loaded.tokenise(plain)]


@pytest.mark.parametrize("template", [CHATML, WITH_BOS])
def test_a_system_prompt_is_a_turn_of_its_own(template: str, tmp_path: Path):
    loaded = model_with(template, tmp_path)
    before = "<|im_start|>system\nBe brief.<|im_end|>\n"
    expected = [before + USER.format(text) for text in TEXTS]
    found = loaded.prompts(TEXTS, chat=Chat(system="Be brief."))
    assert found == [[*loaded.prefix, *ids] for ids in loaded.tokenise(expected)]


def test_what_a_template_cannot_do_is_one_sentence(tmp_path: Path):
    for number, template in enumerate((NO_SYSTEM, DROPS_SYSTEM)):
        loaded = model_with(template, tmp_path / str(number))
        with pytest.raises(ValueError, match=r"takes no system prompt, and 'Be brief.' was given"):
            loaded.prompts(TEXTS, chat=Chat(system="Be brief."))
    plain = model_with(None, tmp_path / "plain")
    for call in (plain.prompts, lambda _, chat: ask(plain, [ITEM], chat=chat)):
        with pytest.raises(ValueError, match="model 'model' has no chat template"):
            call(TEXTS, chat=Chat())
    alone = model_with("{{ raise_exception('two turns!') }}", tmp_path / "alone")
    with pytest.raises(ValueError, match=r"takes no single user's turn \(two turns!\)"):
        alone.prompts(TEXTS, chat=Chat())


def test_a_template_that_writes_the_day_asks_the_same_every_day(tmp_path: Path):
    loaded = model_with(DATED, tmp_path)
    assert loaded.in_chat(["x"], chat=Chat()) == ["26 Jul 2024 2024-07-26\n" + USER.format("x")]


@pytest.mark.parametrize("template", [CHATML, WITH_BOS])
def test_options_answer_the_users_turn(template: str, tmp_path: Path):
    loaded = model_with(template, tmp_path)
    prompt = [*loaded.prefix, *loaded.tokenise([USER.format(ITEM.context)])[0]]
    (found,) = score(loaded, [ITEM], chat=Chat())
    expected = []
    for option in ("A", "B", "nobody", "A"):  # behind "assistant\n", as the model would write them
        joint = [*loaded.prefix, *loaded.tokenise([USER.format(ITEM.context) + option])[0]]
        assert joint[: len(prompt)] == prompt
        logs = oracle.option_log_probabilities(loaded.model, prompt, joint[len(prompt) :])
        expected.append(sum(logs))
    assert found.scores == pytest.approx(expected, rel=TINY)
    assert found.scores != pytest.approx(score(loaded, [ITEM])[0].scores, rel=1e-3)


def test_a_template_is_never_cut(tmp_path: Path):
    loaded = model_with(CHATML, tmp_path)
    long = "Anna isst einen Apfel. " * 400
    for allow in (False, True):
        with pytest.raises(ValueError, match=r"text 1 has \d+ tokens in its chat template .* 1024"):
            loaded.encode(["x", long], allow_truncation=allow, chat=Chat())
        item = ChoiceItem(id="long", context=long, options=(" A", " B"), gold=0)
        with pytest.raises(ValueError, match=r"'long' has \d+ tokens in its chat template"):
            ask(loaded, [item], chat=Chat(), allow_truncation=allow)
    assert loaded.encode([long], allow_truncation=True).truncated == 1


def test_templates_beside_the_tokenizer_are_part_of_the_model(tmp_path: Path):
    folder = folder_with(None, tmp_path / "model")
    original = facts(Model(id="miniworld-llama"))
    seen = [facts(Model(id=str(folder))).identity]
    assert seen == [original.identity]
    (folder / "chat_template.jinja").write_text(CHATML)
    seen.append(facts(Model(id=str(folder))).identity)
    more = folder / "additional_chat_templates"
    more.mkdir()
    assert facts(Model(id=str(folder))).identity == seen[-1]
    (more / "tool_use.jinja").write_text(WITH_BOS)
    seen.append(facts(Model(id=str(folder))).identity)
    (more / "tool_use.jinja").rename(more / "rag.jinja")
    seen.append(facts(Model(id=str(folder))).identity)
    assert len(set(seen)) == 4


def rows_of(loaded: LoadedModel, asked: ChoiceSet) -> list[Row]:
    grid = ChoiceGrid(benchmark=asked.benchmark, languages=(asked.language,))
    return run_unit(loaded, of_drafts(grid, choices.draft(asked, model=loaded.facts))).rows


def test_a_set_of_items_is_asked_with_its_template_and_variants(tmp_path: Path):
    loaded = model_with(WITH_BOS, tmp_path)
    items = tuple(
        ChoiceItem(id=str(gold), context="Wer isst?", options=(" A", " B", "A", "B"), gold=gold)
        for gold in (0, 1)
    )
    asked = ChoiceSet(
        benchmark="mini",
        language="deu_Latn",
        prompt="letters",
        items=items,
        variants=2,
        chat=Chat(start="logsumexp_both"),
    )
    rows = rows_of(loaded, asked)
    (expected, _) = score(loaded, items, chat=asked.chat, variants=2)
    assert [row["scores"] for row in rows] == [list(expected.scores)] * 2
    assert len(expected.scores) == 2
    assert {row["prediction"] for row in rows} == {expected.prediction}
    assert [row["gold"] for row in rows] == [0, 1]
    assert [row["correct"] for row in rows] == [gold == expected.prediction for gold in (0, 1)]


def test_the_harness_puts_its_own_questions(tmp_path: Path):
    loaded = model_with(CHATML, tmp_path)
    for change in ({"chat": Chat()}, {"variants": 2}):
        asked = ChoiceSet(
            benchmark="harness/m_arc", language="deu_Latn", prompt="0-shot", items=(ITEM,), **change
        )
        with pytest.raises(ValueError, match="'harness/m_arc' is asked as lm-evaluation-harness"):
            rows_of(loaded, asked)


def test_parallel_texts_are_read_under_their_template(tmp_path: Path):
    """As if the template's words stood in the texts, apart from what is counted as theirs."""
    loaded = model_with(WITH_BOS, tmp_path)
    texts = {
        "eng_Latn": ("Anna eats an apple.", "Tom sees a dog.", "The house is red."),
        "deu_Latn": ("Anna isst einen Apfel.", "Tom sieht einen Hund.", "Das Haus ist rot."),
    }

    def rows_under(chat: Chat | None, cache: PivotCache) -> list[Row]:
        words = [
            tuple(USER.format(text) for text in own) if chat is None else own
            for own in texts.values()
        ]
        bitext = Bitext(
            dataset="mini", language="deu_Latn", pivot="eng_Latn", ids=("1", "2", "3"),
            pivot_texts=words[0], texts=words[1], chat=chat,
        )  # fmt: skip
        grid = AlignmentGrid(
            dataset="mini", languages=("deu_Latn",), measures=("cka", "cosine", "cosine_centred"),
            poolings=("last",),
        )  # fmt: skip
        return run_unit(loaded, of_bitexts(grid, loaded.facts, bitext), pivots=cache).rows

    cache = PivotCache()
    found, expected = rows_under(Chat(), cache), rows_under(None, PivotCache())
    assert [row["value"] for row in found] == pytest.approx([row["value"] for row in expected])
    tokens = {code: sum(map(len, loaded.tokenise(own))) for code, own in texts.items()}
    for row in found:
        assert (row["tokens"], row["pivot_tokens"]) == (tokens["deu_Latn"], tokens["eng_Latn"])
    briefly = rows_under(Chat(system="Be brief."), cache)
    assert briefly == rows_under(Chat(system="Be brief."), PivotCache())
    assert [row["value"] for row in briefly] != pytest.approx([row["value"] for row in found])
