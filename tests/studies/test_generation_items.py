"""What is asked to be written: prompts as they are published, their references, and their ends."""

import json
from pathlib import Path

import pytest

from studies import benchmarks, miniworld, open_prompts
from studies.benchmarks import BENCHMARKS
from studies.free_prompts import UNKNOWN, free_sets
from studies.generation_items import as_asked, check, question_set, translation_set
from studies.languages import flores_style
from studies.open_prompts import OPEN
from studies.prompt_options import Asking, Chat
from studies.rows import Source
from studies.texts import GenerationSet, Sampling
from tests.makers import world

EMBEDDED = Source()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    spans = [
        {"id": f"q{k}", "context": f"Text {{{k}}} über Dinge.", "question": f"Was {k}?",
         "answers": {"text": [f"Ding {k}", "Dinge"], "answer_start": [0, 1]}}
        for k in range(4)
    ]  # fmt: skip
    world.write_lines(tmp_path / "xquad" / "de.jsonl", spans)
    problems = [{"id": k, "question": f"{k} + 1?", "answer_number": str(k + 1)} for k in range(4)]
    for code in ("de", "fr", "zh"):
        world.write_lines(tmp_path / "mgsm" / f"{code}.jsonl", problems)
    pairs = [{"sentence1": f"Satz {k}.", "sentence2": f"Line {k}."} for k in range(8)]
    world.write_lines(tmp_path / "tatoeba" / "deu.jsonl", pairs)
    return tmp_path


def ask(
    benchmark: str,
    *,
    root: Path | None = None,
    language: str = "deu_Latn",
    limit: int | None = None,
    prompt: str | None = None,
    shots: int = 0,
) -> GenerationSet:
    return question_set(
        benchmark,
        language=language,
        source=Source(data_root=root),
        limit=limit,
        prompt=prompt,
        shots=shots,
    )


def test_every_benchmark_that_is_answered_by_writing_has_prompts():
    assert set(OPEN) == {name for name, entry in BENCHMARKS.items() if entry.generated}
    for forms in OPEN.values():
        for form in forms.values():
            assert ("{context}" in form.text) == (form.task == "span")


def test_span_questions_are_asked_in_the_languages_own_words(root: Path):
    found = ask("xquad", root=root)
    item = found.items[1]
    assert item.prompt == "Kontext: Text {1} über Dinge.\n\nFrage: Was 1?\n\nAntwort:"
    assert item.context is not None
    assert item.prompt[slice(*item.context)] == "Text {1} über Dinge."
    assert item.references == ("Ding 1", "Dinge")
    assert (found.task, found.max_new_tokens, found.stop) == ("span", 32, ())
    assert (found.prompt, found.language, found.pivot) == ("harness, 0-shot", "deu_Latn", None)


def test_examples_stand_before_and_are_not_asked(root: Path):
    found = ask("xquad", root=root, shots=1, limit=2, prompt="english")
    assert [item.id for item in found.items] == ["q1", "q2"]
    item = found.items[0]
    assert item.prompt == (
        "Context: Text {0} über Dinge.\n\nQuestion: Was 0?\n\nAnswer: Ding 0\n\n"
        "Context: Text {1} über Dinge.\n\nQuestion: Was 1?\n\nAnswer:"
    )
    assert item.context is not None
    assert item.prompt[slice(*item.context)] == "Text {1} über Dinge."
    assert found.prompt == "english, 1-shot"


@pytest.mark.parametrize(
    ("language", "prompt", "stop"),
    [
        ("deu_Latn", "Frage: 1 + 1?\nAntwort:", "Frage:"),
        ("fra_Latn", "Question : 1 + 1?\nRéponse :", "Question :"),
        ("zho_Hans", "问题： 1 + 1?\nAnswer:", "问题："),
    ],
)
def test_problems_are_asked_as_the_harness_does(root: Path, language: str, prompt: str, stop: str):
    found = ask("mgsm", root=root, language=language)
    assert found.items[1].prompt == prompt
    assert found.items[1].context is None
    assert (found.task, found.stop, found.items[1].references) == ("number", (stop,), ("2",))
    shown = ask("mgsm", root=root, language=language, shots=1).items[0].prompt
    assert shown == prompt.replace("1 +", "0 +") + "1\n\n" + prompt


def test_own_words_are_those_of_the_harness(shared: Path):
    """Every template that was copied from lm-evaluation-harness, against the harness's own."""
    lines = (shared / "data" / "prompts.lm_eval.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["dataset"] in ("xquad", "mgsm")]
    assert len(rows) == 23
    for row in rows:
        language = flores_style(row["dataset"], row["lang"])
        form = OPEN[row["dataset"]]["harness"]
        asked = open_prompts.put(
            form, language=language, fields={"question": "<q>", "context": "<c>"}
        ).prompt
        theirs = row["doc_to_text"].replace("{{context}}", "<c>").replace("{{question}}", "<q>")
        if row["dataset"] == "mgsm":
            theirs = theirs.partition("{% else %}{{")[2].partition("}}")[0]
            theirs = theirs.replace('"+question+"', "<q>").strip('"').replace("\\n", "\n")
        assert asked == theirs


def test_miniworld_is_asked_in_english_words_in_every_language():
    found = ask("mini_xquad", language="swh_Latn", limit=3)
    rows = miniworld.rows("mini_xquad", language="swh_Latn")[:3]
    assert [item.prompt for item in found.items] == [
        f"{row['context']}\nQuestion: {row['question']}\nAnswer:" for row in rows
    ]
    assert found.stop == ("\n",)
    assert all(item.references[0] in item.prompt for item in found.items)


def test_ids_are_the_same_in_all_languages():
    sets = [ask("mini_xquad", language=code, limit=5) for code in ("deu_Latn", "zho_Hans")]
    assert [item.id for item in sets[0].items] == [item.id for item in sets[1].items]


def test_parallel_text_is_translated_between_any_two_languages(root: Path):
    found = translation_set(
        "miniworld", language="swh_Latn", pivot="deu_Latn", source=EMBEDDED, limit=2, shots=1
    )
    assert (found.language, found.pivot, len(found.items)) == ("swh_Latn", "deu_Latn", 2)
    assert found.items[0].prompt.endswith("\nSwahili:")
    assert f"German: {found.items[0].source}\nSwahili:" in found.items[0].prompt
    source = Source(data_root=root)
    there = translation_set(
        "tatoeba", language="deu_Latn", pivot="eng_Latn", source=source, limit=2, shots=1
    )
    back = translation_set(
        "tatoeba", language="eng_Latn", pivot="deu_Latn", source=source, limit=2, shots=1
    )
    assert there.items[0].references == (back.items[0].source,) == ("Satz 1.",)
    assert back.items[0].references == (there.items[0].source,) == ("Line 1.",)
    assert (back.language, back.pivot) == ("eng_Latn", "deu_Latn")
    with pytest.raises(ValueError, match="pairs every language with eng_Latn"):
        translation_set("tatoeba", language="fra_Latn", pivot="deu_Latn", source=source)


def test_what_is_asked_otherwise_bears_identity():
    usual = ask("mini_xquad", limit=3)
    others = [
        as_asked(usual, max_new_tokens=5),
        as_asked(usual, stop=()),
        as_asked(usual, sampling=Sampling(temperature=0.5, n=2)),
        as_asked(usual, asking=Asking(chat_template=True)),
        as_asked(usual, asking=Asking(chat_template=True, system="Kurz.")),
    ]
    assert as_asked(usual) == usual
    assert len({one.fingerprint for one in (usual, *others)}) == 6
    assert (
        others[3].chat == Chat() and others[4].chat == Chat(system="Kurz.") and usual.chat is None
    )
    assert others[4].prompt == "question, 0-shot, chat_template, system=Kurz."
    assert others[1].stop == () and others[0].max_new_tokens == 5


def test_where_a_context_stands_bears_identity():
    usual = ask("mini_xquad", limit=1)
    without = GenerationSet(
        benchmark=usual.benchmark, language=usual.language, prompt=usual.prompt,
        items=tuple(type(item)(id=item.id, prompt=item.prompt, references=item.references)
                    for item in usual.items),
        max_new_tokens=usual.max_new_tokens, stop=usual.stop, task=usual.task,
    )  # fmt: skip
    assert without.fingerprint != usual.fingerprint


@pytest.mark.parametrize(
    ("benchmark", "sentence"),
    [
        ("belebele", "belebele is answered by choosing, not by writing: expected one of xquad"),
        ("harness/m_arc", "harness/m_arc is answered by choosing"),
        ("flores200", "flores200 is parallel text, to be translated: name it with --parallel"),
        ("squad", "unknown benchmark 'squad': expected one of xquad, mgsm, mini_xquad"),
    ],
)
def test_what_is_not_answered_by_writing_is_refused(benchmark: str, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        check(benchmark)


def test_questions_that_cannot_be_asked_are_refused(root: Path):
    with pytest.raises(ValueError, match="xquad has no prompt 'cloze' to be answered"):
        ask("xquad", root=root, prompt="cloze")
    with pytest.raises(ValueError, match="4 questions with 4 of them as examples leave none"):
        ask("mgsm", root=root, shots=4)
    world.write_lines(root / "mgsm" / "ita_Latn.jsonl", [{"question": "1?", "answer_number": "1"}])
    with pytest.raises(ValueError, match=r"no words .* of mgsm in 'ita_Latn'.* prompt 'english'"):
        ask("mgsm", root=root, language="ita_Latn")
    assert ask("mgsm", root=root, language="ita_Latn", prompt="english").stop == ("Question:",)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0: expected at least 1"),
        ({"stop": ("a", "")}, "a stop is empty"),
        ({"asking": Asking(prompt_sep="space")}, "prompt_sep=space has no effect on what is"),
        ({"asking": Asking(instruction=False)}, "instruction=false has no effect"),
        ({"asking": Asking(system="Be brief.")}, "no effect without the chat template"),
    ],
)
def test_ends_and_switches_that_cannot_be_are_refused(changes: dict[str, object], sentence: str):
    usual = ask("mini_xquad", limit=2)
    with pytest.raises(ValueError, match=sentence):
        as_asked(usual, **changes)  # type: ignore[arg-type]


def test_own_prompts_one_set_for_each_language(tmp_path: Path):
    file = world.write_lines(
        tmp_path / "mine.jsonl",
        [
            {"id": 1, "prompt": "Es war\u2028einmal ", "language": "deu_Latn"},
            {"id": "b", "prompt": "Once", "references": ["upon"]},
            {"id": "c", "prompt": "Ein", "language": "deu_Latn"},
        ],
    )
    german, unknown = free_sets(file)
    assert (german.benchmark, german.language, german.task) == ("prompts/mine", "deu_Latn", "text")
    assert [item.id for item in german.items] == ["1", "c"]
    assert german.items[0].prompt == "Es war\u2028einmal "
    assert (unknown.language, unknown.items[0].references) == (UNKNOWN, ("upon",))
    assert [len(one.items) for one in free_sets(file, limit=1)] == [1, 1]


def test_a_text_file_has_a_prompt_on_every_line(tmp_path: Path):
    file = tmp_path / "mine.txt"
    file.write_bytes("\ufeffOnce upon\r\nEs war\n\n".encode())
    (found,) = free_sets(file)
    assert [(item.id, item.prompt) for item in found.items] == [("1", "Once upon"), ("2", "Es war")]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.jsonl", '{"id": 1}\n', r"a\.jsonl, line 1: expected an object with id and prompt"),
        ("a.jsonl", '{"id": 1, "prompt": " "}', "line 1: prompt is ' ', expected a text"),
        ("a.jsonl", '{"id": 1, "prompt": "a"}\n[]', "line 2: expected an object"),
        ("a.jsonl", '{"id": 1, "prompt": "a"', "line 1 is not JSON"),
        ("a.jsonl", '{"id": 1, "prompt": "a", "text": 2}', "unknown field 'text'"),
        ("a.jsonl", '{"id": 1, "prompt": "a", "references": "b"}', "expected a list of texts"),
        ("a.jsonl", '{"id": 1, "prompt": "a", "language": "de"}', "unknown language 'de'"),
        ("a.jsonl", '{"id": 1, "prompt": "a"}\n{"id": "1", "prompt": "b"}', "used in line 1"),
        ("a.txt", "one\n\nthree", "line 2 is blank: expected a prompt"),
        ("a.txt", "\n", "has no prompt"),
        ("a.csv", "x", r"expected a file that ends in \.jsonl or \.txt"),
    ],
)  # fmt: skip
def test_files_that_hold_no_prompts_are_refused(
    tmp_path: Path, name: str, text: str, sentence: str
):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=sentence):
        free_sets(tmp_path / name)


def test_a_missing_file_is_one_sentence(tmp_path: Path):
    with pytest.raises(ValueError, match=r"none\.txt cannot be read: No such file"):
        free_sets(tmp_path / "none.txt")


def test_all_real_questions_are_asked(shared: Path):
    source = Source(data_root=shared / "data")
    for benchmark, count, items in (("xquad", 12, 200), ("mgsm", 11, 250)):
        there = benchmarks.languages(benchmark, source=source)
        sets = [question_set(benchmark, language=code, source=source) for code in there]
        assert [len(one.items) for one in sets] == [items] * count
        assert len({tuple(item.id for item in one.items) for one in sets}) == 1
