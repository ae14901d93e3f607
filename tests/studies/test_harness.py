"""Tasks of lm-evaluation-harness as question sets: rendered by it, and refused in one sentence."""

import sys
from pathlib import Path
from typing import Any

import pytest

from studies import benchmarks, harness_tasks
from studies.rows import Source
from studies.spec import Row
from studies.texts import ChoiceItem, ChoiceSet
from tests.studies.test_benchmarks import write


def knowledge(number: int, **more: object) -> Row:
    """A question of m_arc and m_mmlu alike."""
    options = {f"option_{letter}": f"{letter}{number}" for letter in "abcd"}
    asked = {"id": f"q/{number}", "instruction": f"Number {number}?", "answer": "ABCD"[number % 4]}
    return {**asked, **options, **more}


def get(benchmark: str, source: Source, **more: Any) -> ChoiceSet:
    language = more.pop("language", "deu_Latn")
    return benchmarks.load(benchmark, language=language, source=source, **more)


def test_a_question_is_rendered_by_the_harness_with_examples_of_a_file_of_their_own(tmp_path: Path):
    source = write(tmp_path, "m_mmlu/de.jsonl", [knowledge(1), knowledge(2)])
    write(tmp_path, "m_mmlu/train/de.jsonl", [knowledge(7), knowledge(8)])
    found = get("harness/m_mmlu", source, prompt="1-shot")
    first, second = found.items
    assert first.context == (
        "Number 7?\nA. a7\nB. b7\nC. c7\nD. d7\nAnswer: D\n\n"
        "Number 1?\nA. a1\nB. b1\nC. c1\nD. d1\nAnswer:"
    )
    assert first.options == (" A", " B", " C", " D")
    assert (first.id, first.gold, second.id, second.gold) == ("q/1", 1, "q/2", 2)
    assert (found.prompt, found.normalise) == ("1-shot", "sum")
    assert found.commit == f"lm_eval {harness_tasks.version()}, m_mmlu_de 0.0"
    assert get("harness/m_mmlu", source, limit=1, prompt="1-shot").items == (first,)
    assert get("harness/m_mmlu", source, prompt="0-shot").fingerprint != found.fingerprint


@pytest.mark.parametrize("benchmark", ["m_arc", "m_mmlu"])
def test_a_question_is_never_among_its_own_examples(tmp_path: Path, benchmark: str):
    """Of m_arc examples are drawn, of m_mmlu they are the first; both from the questions here."""
    source = write(tmp_path, f"{benchmark}/de.jsonl", [knowledge(number) for number in range(7)])
    found = get(f"harness/{benchmark}", source)
    assert found.prompt == "5-shot"
    for number, item in enumerate(found.items):
        assert item.context.count("Answer:") == 6
        assert item.context.count(f"Number {number}?") == 1
        assert item.context.rindex("Number") == item.context.index(f"Number {number}?")
    assert get(f"harness/{benchmark}", source) == found
    assert get(f"harness/{benchmark}", source, limit=3).items == found.items[:3]


def test_a_column_that_may_be_missing_is_read_as_empty(tmp_path: Path):
    rows = [knowledge(1), knowledge(2, option_e="e2", answer="E")]
    source = write(tmp_path, "m_arc/de.jsonl", rows)
    found = get("harness/m_arc", source, prompt="0-shot").items
    assert [item.options for item in found] == [
        (" a1", " b1", " c1", " d1"),
        (" a2", " b2", " c2", " d2", " e2"),
    ]
    assert [item.gold for item in found] == [1, 4]
    assert found[0].context == "Question: Number 1?\nAnswer:"


def test_languages_are_those_with_a_task_or_with_a_file(tmp_path: Path):
    everywhere = benchmarks.languages("harness/m_arc", source=Source())
    assert len(everywhere) >= 31 and "deu_Latn" in everywhere and "eng_Latn" not in everywhere
    assert len(benchmarks.languages("harness/belebele", source=Source())) == 122
    source = write(tmp_path, "m_arc/de.jsonl", [knowledge(1)])
    write(tmp_path, "m_arc/zho_Hans.jsonl", [knowledge(1)])
    write(tmp_path, "m_arc/fr_train.jsonl", [knowledge(1)])
    assert benchmarks.languages("harness/m_arc", source=source) == ("deu_Latn", "zho_Hans")


def test_a_group_of_tasks_is_one_benchmark(tmp_path: Path):
    kinds = ["STEM", "Other", "STEM"]
    rows = [
        knowledge(number, question="Q", sample_id=f"s{number}", subject_category=kind)
        for number, kind in enumerate(kinds)
    ]
    source = write(tmp_path, "global_mmlu_lite/de.jsonl", rows)
    found = get("harness/global_mmlu_lite", source, prompt="0-shot")
    assert [item.id for item in found.items] == ["other/s1", "stem/s0", "stem/s2"]
    assert (
        get("harness/global_mmlu_lite", source, prompt="0-shot", limit=2).items == (found.items[:2])
    )


def test_any_task_goes_with_its_language(tmp_path: Path):
    rows = [
        {"premise": f"P{number}", "choice1": "x", "choice2": "y", "question": "cause", "label": 1}
        for number in range(3)
    ]
    source = write(tmp_path, "copa/eng_Latn.jsonl", rows)
    name = "harness/copa@eng_Latn"
    assert benchmarks.languages(name, source=source) == ("eng_Latn",)
    found = get(name, source, language="eng_Latn", prompt="0-shot")
    assert found.items[2] == ChoiceItem(
        id="2", context="P because", options=("  x", "  y"), gold=1
    )  # a space of the task's own, and the one that parts contexts from options
    with pytest.raises(ValueError, match=r"copa has no deu_Latn"):
        get(name, source)


@pytest.mark.parametrize(
    ("benchmark", "says"),
    [
        ("harness/m_ark", r"did you mean harness/m_arc\?.*harness/TASK@LANGUAGE"),
        ("harness/helaswag@deu_Latn", r"no task 'helaswag': did you mean hellaswag"),
        ("harness/mmlu@deu_Latn", r"group of tasks.*name one of them, such as mmlu_"),
        ("harness/gsm8k@deu_Latn", r"output type generate_until.*HarnessLM\(loaded\).*gsm8k"),
        ("harness/truthfulqa_mc2@deu_Latn", r"scores its answers by code of its own"),
        ("harness/m_arc@german", r"unknown language 'german'.*deu_Latn"),
        ("harness/m_arc", r"no file .*m_arc/de.jsonl"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(tmp_path: Path, benchmark: str, says: str):
    with pytest.raises(ValueError, match=says):
        get(benchmark, Source(data_root=tmp_path))


def test_settings_that_would_not_hold_are_refused(tmp_path: Path):
    source = write(tmp_path, "m_mmlu/de.jsonl", [knowledge(1), knowledge(2)])
    with pytest.raises(ValueError, match=r"m_mmlu has no prompt 'letter'.*5-shot"):
        get("harness/m_mmlu", source, prompt="letter")
    with pytest.raises(ValueError, match="limit is 0"):
        get("harness/m_mmlu", source, limit=0)
    with pytest.raises(ValueError, match=r"m_mmlu_de cannot be made of .*de.jsonl.*exceeds"):
        get("harness/m_mmlu", source)
    with pytest.raises(ValueError, match="defined without examples, and 2-shot was asked for"):
        get("harness/truthfulqa_mc1@deu_Latn", source, prompt="2-shot")


def test_rows_that_are_not_what_the_task_reads_are_refused(tmp_path: Path):
    rows = [{"id": "1", "instruction": "?", "answer": "A", "option_a": "x"}]
    source = write(tmp_path, "m_arc/de.jsonl", rows)
    with pytest.raises(ValueError, match=r"arc_de cannot be made of .*no column 'option_b'"):
        get("harness/m_arc", source)
    write(tmp_path, "m_mmlu/de.jsonl", rows)
    with pytest.raises(ValueError, match=r"m_mmlu_de cannot be made of .*'option_b' is undefined"):
        get("harness/m_mmlu", source)
    (tmp_path / "m_arc" / "de.jsonl").write_text("nothing\n")
    with pytest.raises(ValueError, match=r"de\.jsonl, line 1 is not JSON"):
        get("harness/m_arc", source)
    pairs = [{"sentence1": "a _ b", "sentence": "a _ b", "option1": "x", "option2": "y"}]
    write(tmp_path, "winogrande/eng_Latn.jsonl", [{**pairs[0], "answer": "1"}])
    with pytest.raises(ValueError, match="winogrande puts its options into the question"):
        get("harness/winogrande@eng_Latn", source, language="eng_Latn", prompt="0-shot")


def test_without_the_hub_and_without_the_harness(monkeypatch: pytest.MonkeyPatch):
    def nowhere(*_given: object, **_more: object) -> None:
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr("datasets.load_dataset", nowhere)
    says = r"arc_de cannot be made of alexandrainst/m_arc de on the hub: Couldn't.*--data-root"
    with pytest.raises(ValueError, match=says):
        get("harness/m_arc", Source())
    harness_tasks.index.cache_clear()
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(ValueError, match=r"pip install 'babelscope\[harness\]'"):
        get("harness/m_arc", Source())
