"""Behind a chat template: how options begin, what it is given, and clocks that stand still."""

import json
import math
import random
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from actors.model import LoadedModel, load
from actors.prediction.score import _otherwise, ask, score
from actors.tokens.chat import beginning
from analysis.layout import prose
from analysis.layout.material import Material
from analysis.shared import quality
from orchestrator.plan import refuse_chat
from studies import prompts
from studies.kinds.choices import ChoiceGrid
from studies.models.facts import facts
from studies.models.tokenizer import may_chat, may_read
from studies.prompt_options import Asking, Chat, template_arguments
from studies.spec import Model
from studies.texts import ChoiceItem, ChoiceSet
from tests.actors.tokens.test_chat import CHATML, USER, folder_with, rows_of
from tests.makers import oracle
from tests.makers.rounding import of_model

LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} </s>{% endif %}{% endfor %}"
)
COMMAND_R = (
    "{% for m in messages %}<bos>{{ m.role }}<eos>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<bos>chatbot<eos>{% endif %}"
)
LATE_LINE = (
    "{% for m in messages %}{{ m.role }}:\n{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
QWEN_3 = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}<think>\n\n"
    "</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined and "
    "enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
R1 = CHATML.replace("assistant\n", "assistant\n<think>\n")
NO_ASSISTANT = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ raise_exception('no') }}{% endif %}"
    "Q: {{ m.content }}\nAnswer:{% endfor %}"
)
ENDS_IN_TOKEN = NO_ASSISTANT.replace("\nAnswer:", "<eos>")
BEGINNINGS = {
    "a line": (CHATML, "", ""),
    "Llama 2": (LLAMA_2, "", " "),
    "Command R": (COMMAND_R, "", ""),
    "a line of the model's own": (LATE_LINE, "", "\n"),
    "Qwen 3": (QWEN_3, "", ""),
    "Qwen 3 without a thought": (QWEN_3, "enable_thinking=false", ""),
    "R1": (R1, "", ""),
    "plain words": (NO_ASSISTANT, "", " "),
    "a token of the template": (ENDS_IN_TOKEN, "", ""),
}
ITEM = ChoiceItem(id="1", context="Wer isst?", options=(" A", " B", " nobody"), gold=1)


def model_with(template: str, folder: Path) -> LoadedModel:
    model = facts(Model(id=str(folder_with(template, folder / "model"))))
    return load(model, device="cpu", threads=1, proof=False)


def chat_of(*arguments: str, **asking: object) -> Chat:
    given = template_arguments(arguments, "--template-argument")
    chat = Asking(chat_template=True, arguments=given, **asking).chat
    assert chat is not None
    return chat


@pytest.mark.parametrize("name", BEGINNINGS)
def test_an_option_begins_as_the_template_would_have_the_model_begin(name: str, tmp_path: Path):
    template, argument, expected = BEGINNINGS[name]
    loaded = model_with(template, tmp_path)
    chat = chat_of(*([argument] if argument else []))
    assert beginning(loaded.tokenizer, chat=chat, name="m") == expected
    (prompt,) = loaded.in_chat([ITEM.context], chat=chat)
    (asked,) = ask(loaded, [ITEM], chat=chat)
    assert asked.start == expected
    for option, ids in zip(ITEM.options, asked.question.options, strict=True):
        written = loaded.tokenizer.decode([*asked.question.prompt, *ids])
        assert written.endswith(prompt + expected + option.strip())


@pytest.mark.parametrize(("start", "form"), [("space", " {}"), ("nospace", "{}")])
@pytest.mark.parametrize("text", [True, False])
def test_a_switch_forces_how_an_option_begins(start, form, text, tmp_path):
    loaded = model_with(CHATML, tmp_path)
    asking = Asking(chat_template=True, letter_token=start)
    name = "cloze" if text else "latent"
    prompt = prompts.switched(prompts.READING[name], name=name, asking=asking)
    fields = {"flores_passage": "p", "question": "q"}
    put = prompts.render(prompt, fields=fields, options=("x", "y"), language="deu_Latn")
    shown = tuple(form.format(one) for one in (("x", "y") if text else ("A", "B")))
    assert put.options == shown
    assert asking.named(name) == f"{name}, letter_token={start}, chat_template"
    item = ChoiceItem(id="1", context=put.context, options=put.options, gold=0)
    (asked,) = ask(loaded, [item], chat=asking.chat)
    decoded = [loaded.tokenizer.decode([*asked.question.prompt, *one])
               for one in asked.question.options]  # fmt: skip
    assert all(one.endswith("assistant\n" + end) for one, end in zip(decoded, shown, strict=True))


def test_the_probability_of_both_beginnings_is_in_the_rows(tmp_path: Path):
    loaded = model_with(CHATML, tmp_path)
    prompt = [*loaded.prefix, *loaded.tokenise([USER.format(ITEM.context)])[0]]

    def together(form: str) -> tuple[float, float]:
        """The mass of the options, and how far each of its logarithms may be off."""
        found = []
        for option in ITEM.options:
            text = USER.format(ITEM.context) + form.format(option.strip())
            whole = [*loaded.prefix, *loaded.tokenise([text])[0]]
            logs = oracle.option_log_probabilities(loaded.model, prompt, whole[len(prompt) :])
            found.append(sum(logs))
        return sum(map(math.exp, found)), of_model(loaded) * max(map(abs, found))

    bare, spaced = together("{}"), together(" {}")
    for chat, start, own, other in (
        (Chat(), "", bare, spaced),
        (Chat(start="nospace"), None, bare, spaced),
        (Chat(start="space"), " ", spaced, bare),
    ):
        options = tuple(one.strip() for one in ITEM.options) if start is None else ITEM.options
        item = ChoiceItem(id="1", context=ITEM.context, options=options, gold=1)
        asked = ChoiceSet(
            benchmark="mini", language="deu_Latn", prompt="p", items=(item,), chat=chat
        )
        (row,) = rows_of(loaded, asked)
        (own_mass, off), (other_mass, other_off) = own, other
        assert row["mass"] == pytest.approx(own_mass, rel=off)
        assert row["other_mass"] == pytest.approx(other_mass, rel=other_off)
        assert row["option_start"] == (start or "")
        assert sum(map(math.exp, row["scores"])) == pytest.approx(own_mass, rel=off)
    (plain,) = score(loaded, [ITEM])
    assert plain.mass == pytest.approx(sum(map(math.exp, plain.scores)))
    assert (plain.other_mass, plain.start) == (None, " ")


@pytest.mark.parametrize(
    "clock",
    [
        "{{ strftime_now('%d %b %Y') }}",
        "{% set f = '%d %b %Y' %}{{ strftime_now(f) }}",
        "{% set now = strftime_now %}{{ now('%d %b %Y') }}",
        "{% set n = namespace(f=strftime_now) %}{{ n.f('%d %b' + ' %Y') }}",
        "{% macro day(how) %}{{ strftime_now(how ~ ' %Y') }}{% endmacro %}{{ day('%d %b') }}",
        "{% set date_string = strftime_now('%d %b %Y') if date_string is not defined %}"
        "{{ date_string }}",
        "{% for f in ['%d', '%b', '%Y'] %}{{ strftime_now(f) }}{{ ' ' if not loop.last }}"
        "{% endfor %}{{ '' }}",
    ],
)
def test_no_template_reads_a_clock_that_runs(clock: str, tmp_path: Path, monkeypatch):
    loaded = model_with(clock + "\n" + CHATML, tmp_path)
    assert loaded.in_chat(["x"], chat=Chat()) == ["26 Jul 2024\n" + USER.format("x")]
    (again,) = loaded.in_chat(["x"], chat=Chat(system="s"))
    assert again.startswith("26 Jul 2024\n")
    # Elsewhere the clock runs.
    real = loaded.tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    assert real.startswith(datetime.now().strftime("%d %b %Y"))


def test_no_template_throws_dice(tmp_path: Path):
    loaded = model_with(
        "{{ 'abcdefghijklmnopqrstuvwxyz' | random }} {{ lipsum(n=1) }}\n" + CHATML, tmp_path
    )
    random.seed(1)
    state = random.getstate()
    one, two = loaded.in_chat(["x", "x"], chat=Chat())
    assert random.getstate() == state
    random.seed(2)
    assert loaded.in_chat(["x"], chat=Chat())[0] == one
    assert one.rpartition("<|im_start|>user")[1:] == two.rpartition("<|im_start|>user")[1:]


def test_what_a_template_is_given_is_read_and_part_of_the_key(tmp_path: Path):
    loaded = model_with(QWEN_3, tmp_path)
    thinking = loaded.in_chat(["x"], chat=Chat())
    assert thinking == [USER.format("x")]
    chat = chat_of("enable_thinking=false")
    assert loaded.in_chat(["x"], chat=chat) == [USER.format("x") + "<think>\n\n</think>\n\n"]
    chats = (
        None, Chat(), chat, chat_of("enable_thinking=true"), chat_of('enable_thinking="false"'),
        chat_of(system="Hi"), chat_of(letter_token="space"),
    )  # fmt: skip
    sets = [
        ChoiceSet(benchmark="b", language="deu_Latn", prompt="p", items=(ITEM,), chat=one)
        for one in chats
    ]
    assert len({one.fingerprint for one in sets}) == len(chats)
    assert Asking(chat_template=True, arguments=chat.arguments).named("latent") == (
        "latent, chat_template, enable_thinking=false"
    )
    with pytest.raises(ValueError, match="of model 'model' does not read 'enable_thinkng': leave"):
        loaded.in_chat(["x"], chat=chat_of("enable_thinkng=false"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=true", True), ("a=false", False), ("a=null", None), ("a=5", 5), ("a=-0.5", -0.5),
        ("a=low", "low"), ("a=26 Jul 2024", "26 Jul 2024"), ("a=x=y, z", "x=y, z"),
        ('a="true"', "true"), ("a=True", "True"), ("a=nan", "nan"), ('a="x', '"x'),
    ],
)  # fmt: skip
def test_values_of_a_template_are_json_or_text(text: str, value: object):
    ((name, found),) = template_arguments([text], "--template-argument")
    assert name == "a"
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["enable_thinking"], "expected NAME=VALUE"),
        (["enable_thinking="], "expected NAME=VALUE"),
        (["a=1", "a=1"], "template argument a is given twice"),
        (["a=.5"], "is no number as JSON writes it"),
        (["a=01"], "is no number as JSON writes it"),
        (["a=1e999"], "expected a finite number"),
    ],
)
def test_what_is_no_argument_is_refused(arguments: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        template_arguments(arguments, "--template-argument")


@pytest.mark.parametrize("name", ["messages", "add_generation_prompt", "system", "a-b", "1a", "é"])
def test_names_that_are_no_argument_are_refused(name: str):
    with pytest.raises(ValueError, match="expected a name that the chat template reads"):
        chat_of(f"{name}=1")


def test_the_plan_knows_what_a_template_reads(tmp_path: Path):
    model = facts(Model(id=str(folder_with(QWEN_3, tmp_path / "model"))))
    for name, message in (
        ("enable_thinking", ""),
        ("enable_thinkng", "does not read 'enable_thin"),
    ):
        asking = Asking(chat_template=True, arguments=((name, False),))
        grid = ChoiceGrid(benchmark="mini_belebele", languages=("all",), asking=asking)
        with pytest.raises(ValueError, match=message) if message else nullcontext():
            refuse_chat(grid, models=(model,))


@pytest.mark.parametrize(
    "asking",
    [Asking(arguments=(("enable_thinking", False),)), Asking(system="Hi")],
)
def test_what_only_a_template_reads_needs_one(asking: Asking):
    with pytest.raises(ValueError, match="has no effect without the chat template: add --switch"):
        prompts.refuse_without_template(asking)


def test_without_a_template_nothing_has_changed():
    """`auto` is a space there: names, and so keys, are those of before there was an `auto`."""
    usual, spaced = Asking(), Asking(letter_token="space")
    assert usual.named("latent") == spaced.named("latent") == "latent"
    assert usual.settings() == spaced.settings()
    assert usual.settings()["letter_token"] == "space"
    for asking in (usual, spaced):
        found = prompts.switched(prompts.READING["latent"], name="latent", asking=asking)
        assert found == prompts.READING["latent"]
    nospace = Asking(letter_token="nospace").named("latent")
    assert nospace == "latent, letter_token=nospace"


def holding(items: pd.DataFrame) -> Material:
    return Material(SimpleNamespace(items=items))  # type: ignore[arg-type]


def said_of_mass(items: pd.DataFrame) -> tuple[bool, str]:
    """Whether it is a warning, and the sentence."""
    facts = quality.option_mass(holding(items))
    assert facts is not None
    wrong = bool(facts["wrong"])
    check = quality.OPTION_MASS
    return wrong, " ".join(prose.say(check.weak if wrong else check.fine, **facts))


def test_the_report_says_where_a_model_would_have_begun_otherwise():
    cells = pd.DataFrame(
        {
            "model": ["a", "a", "b", "c"], "revision": "main", "benchmark": "q",
            "mass": [0.5, 0.7, 0.01, 0.9], "other_mass": [0.1, 0.1, 0.6, None],
        }
    )  # fmt: skip
    wrong, line = said_of_mass(cells)
    assert wrong
    assert "is lower in 1 of 2 sets (b on q 0.01 against 0.6): these models would" in line
    wrong, line = said_of_mass(cells[cells["model"] != "b"])
    assert not wrong
    assert line.endswith("a on q 0.6 against 0.1.")
    assert quality.option_mass(holding(cells[cells["model"] == "c"])) is None


def test_an_option_begun_the_other_way_is_a_check_that_needs_no_room(tmp_path: Path) -> None:
    """An item that fits exactly is answered, and its other form is left out where it does not."""
    loaded = model_with(CHATML, tmp_path)
    items = [ChoiceItem(id="1", context="Which?", options=("q", "a"), gold=0)]
    (asked,) = ask(loaded, items, chat=Chat())
    longest = max(len(option) for option in asked.question.options)
    room = len(asked.question.prompt) + longest
    exact = replace(loaded, facts=replace(loaded.facts, context=room))
    (choice,) = score(exact, items, chat=Chat())
    (wide,) = score(loaded, items, chat=Chat())
    assert choice.scores == pytest.approx(wide.scores, rel=of_model(loaded))
    other = _otherwise(loaded.begun(items, chat=Chat())[0])
    assert max(map(len, loaded.tokenise(other))) > longest
    assert choice.other_mass is None and wide.other_mass is not None


def test_the_plan_asks_the_template_and_no_other_setting(tmp_path: Path):
    model = facts(Model(id=str(folder_with(CHATML, tmp_path / "model"))))
    assert may_chat(model) and may_read(model, "messages") and not may_read(model, "mess")
    assert not may_read(model, "bos_token_id") and not may_read(model, "model_max_length")
    settings = tmp_path / "model/tokenizer_config.json"
    told = json.loads(settings.read_text())
    told.pop("chat_template", None)
    (tmp_path / "model/chat_template.jinja").unlink(missing_ok=True)
    for given, may in ((None, False), ([], False), ([{"name": "default", "template": "x"}], True)):
        settings.write_text(json.dumps(told | {"chat_template": given}))
        assert may_chat(model) == may
