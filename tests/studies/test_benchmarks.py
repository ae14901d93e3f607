"""Benchmarks: how rows become items, prompt by prompt, and which rows are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studies import benchmarks, rows
from studies.benchmarks import BENCHMARKS
from studies.languages import flores_style
from studies.parallel_items import check_parallel
from studies.prompts import connector
from studies.row_parsers import RawQuestion
from studies.rows import Source
from studies.spec import Row
from studies.texts import ChoiceItem

READING: Row = {
    "link": "http://a",
    "question_number": 1,
    "flores_passage": "Anna eats rice. ",
    "question": "What does Anna eat?",
    "mc_answer1": "rice",
    "mc_answer2": "cheese",
    "mc_answer3": "fruit",
    "mc_answer4": "{bread}",
    "correct_answer_num": "1",
}
KNOWLEDGE: Row = {
    "id": "q/1",
    "instruction": "Two and two?",
    "option_a": "3",
    "option_b": "4",
    "option_c": "5",
    "option_d": "6",
    "option_e": None,
    "answer": "B",
}
CAUSE: Row = {
    "idx": 4,
    "premise": "The man fell.",
    "choice1": "It was dark.",
    "choice2": "He sang.",
    "question": "cause",
    "label": 0,
}
STORY: Row = {
    "story_id": "s1",
    **{f"input_sentence_{k}": f"Part {k}." for k in range(1, 5)},
    "sentence_quiz1": "Sad end.",
    "sentence_quiz2": "Good end.",
    "answer_right_ending": 2,
}
INFERENCE: Row = {"premise": "It rains.", "hypothesis": "It is wet.", "label": 0}
FACT: Row = {"Prompt": "Paris is in <mask>.", "Ans": "France", "Candidate Ans": "Peru, France"}
SPAN: Row = {
    "id": "x1",
    "context": "Anna eats rice.",
    "question": "What?",
    "answers": {"text": ["rice", "rice"], "answer_start": [10, 10]},
}
EXAM: Row = {"Question": "Two and two?", "A": "3", "B": "4", "C": "5", "D": "6", "Answer": "B"}
OPENING: Row = {"id": "v/1", "ctx": "He falls.", "endings": ["a", "b", "c", "d"], "label": "3"}
SAMPLES: dict[str, Row] = {
    "belebele": READING,
    "belebele_seahelm": READING,
    "global_mmlu_lite": {**KNOWLEDGE, "sample_id": "q/1", "question": "Two and two?"},
    "m_arc": KNOWLEDGE,
    "m_hellaswag": OPENING,
    "m_mmlu": KNOWLEDGE,
    "mmmlu": EXAM,
    "xcopa": CAUSE,
    "xstorycloze": STORY,
    "xnli": INFERENCE,
    "xnli_train": INFERENCE,
    "xquad": SPAN,
    "bmlama17": FACT,
    "bmlama53": FACT,
    "mgsm": {"question": "2 + 2?", "answer_number": 4},
}


def write(root: Path, name: str, content: list[Row]) -> Source:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(content), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return Source(data_root=root)


def only(
    root: Path, benchmark: str, row: Row, *, prompt: str | None = None, language: str = "eng_Latn"
) -> ChoiceItem:
    source = write(root, f"{benchmark}/{language}.jsonl", [row])
    found = benchmarks.load(benchmark, language=language, source=source, prompt=prompt)
    return found.items[0]


def test_a_reading_question_by_letter(tmp_path: Path) -> None:
    item = only(tmp_path, "belebele", READING)
    assert item.context == (
        "P: Anna eats rice.\nQ: What does Anna eat?\nA: rice\nB: cheese\nC: fruit\nD: {bread}\n"
        "Answer:"
    )
    assert item.options == (" A", " B", " C", " D")
    assert (item.id, item.gold) == ("http://a 1", 0)


def test_a_reading_question_by_its_answers(tmp_path: Path) -> None:
    item = only(tmp_path, "belebele", {**READING, "id": 7}, prompt="cloze")
    assert item.context == "Anna eats rice. What does Anna eat?"
    assert item.options == (" rice", " cheese", " fruit", " {bread}")
    assert item.id == "7"


def test_knowledge_questions(tmp_path: Path) -> None:
    letters = only(tmp_path, "m_mmlu", KNOWLEDGE)
    assert letters.context == "Two and two?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:"
    assert (letters.options, letters.gold) == ((" A", " B", " C", " D"), 1)
    cloze = only(tmp_path, "m_arc", KNOWLEDGE)
    assert cloze.context == "Question: Two and two?\nAnswer:"
    assert cloze.options == (" 3", " 4", " 5", " 6")


@pytest.mark.parametrize(
    ("changes", "count"),
    [({"option_e": "7", "answer": "E"}, 5), ({"option_d": None}, 3), ({"option_e": ""}, 4)],
)
def test_science_questions_have_three_to_five_options(
    tmp_path: Path, changes: Row, count: int
) -> None:
    assert len(only(tmp_path, "m_arc", {**KNOWLEDGE, **changes}).options) == count


def test_exam_questions_have_their_row_number_as_id(tmp_path: Path) -> None:
    content = [EXAM, {**EXAM, "C": None}, {**EXAM, "Answer": "D"}]
    source = write(tmp_path, "mmmlu/en.jsonl", content)
    found = benchmarks.load("mmmlu", language="eng_Latn", source=source)
    assert [(item.id, item.gold) for item in found.items] == [("0", 1), ("2", 3)]
    assert found.items[0].context == "Two and two?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:"
    with pytest.raises(ValueError, match=r"mmmlu has no eng_Latn; .* give --data-root"):
        rows.read("mmmlu", language="eng_Latn", source=Source())


def test_an_opening_goes_on_with_its_endings(tmp_path: Path) -> None:
    item = only(tmp_path, "m_hellaswag", {**OPENING, "activity_label": "Sport", "ind": 24})
    assert (item.id, item.context, item.gold) == ("v/1", "He falls.", 3)
    assert item.options == (" a", " b", " c", " d")
    both = [{"zh": text, "en": "other"} for text in "abcd"]
    row = {"ind": 24, "ctx": "He falls.", "endings": both, "label": "3"}
    assert only(tmp_path, "m_hellaswag", row) == replace(item, id="24")


def test_causes_and_effects_take_the_connector_of_the_language(tmp_path: Path) -> None:
    item = only(tmp_path, "xcopa", CAUSE)
    assert item.context == "The man fell because"
    assert (item.options, item.id) == ((" it was dark.", " he sang."), "4")
    effect = only(tmp_path, "xcopa", {**CAUSE, "question": "effect"}, language="hat_Latn")
    assert effect.context == "The man fell donk sa"
    with pytest.raises(ValueError, match=r"line 1: no connectors for 'deu_Latn'.*connectors\.csv"):
        only(tmp_path, "xcopa", CAUSE, language="deu_Latn")


def test_a_premise_without_full_stop_loses_nothing_but_in_the_harness(tmp_path: Path) -> None:
    thai = {**CAUSE, "premise": "คนล้ม", "question_en": "effect"}
    assert only(tmp_path, "xcopa", thai, language="tha_Thai").context == "คนล้ม ดังนั้น"
    item = only(tmp_path, "xcopa", thai, language="tha_Thai", prompt="harness")
    assert item.context == "คนล้ ดังนั้น"


def test_an_unreliable_kind_of_question_is_taken_from_estonian(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'question' is unreliable in tha_Thai .*/et\.jsonl"):
        only(tmp_path, "xcopa", {**CAUSE, "question": "effect"}, language="tha_Thai")
    write(tmp_path, "xcopa/et.jsonl", [{**CAUSE, "question": "cause"}])
    item = only(tmp_path, "xcopa", {**CAUSE, "question": "effect"}, language="tha_Thai")
    assert item.context.endswith(" เพราะ")
    with pytest.raises(ValueError, match="est_Latn has no item '5'"):
        only(tmp_path, "xcopa", {**CAUSE, "idx": 5}, language="tha_Thai")


def test_stories_inferences_and_facts(tmp_path: Path) -> None:
    story = only(tmp_path, "xstorycloze", STORY)
    assert story.context == "Part 1. Part 2. Part 3. Part 4."
    assert (story.options, story.gold, story.id) == ((" Sad end.", " Good end."), 1, "s1")
    inference = only(tmp_path, "xnli", INFERENCE)
    assert inference.context == (
        "It rains.\nQuestion: It is wet. True, False, or Neither?\nAnswer:"
    )
    assert (inference.options, inference.gold) == ((" True", " Neither", " False"), 0)
    fact = only(tmp_path, "bmlama17", FACT)
    assert fact.context == ""
    assert (fact.options, fact.gold) == (("Paris is in Peru.", "Paris is in France."), 1)
    source = Source(data_root=tmp_path)
    assert benchmarks.load("bmlama17", language="eng_Latn", source=source).normalise == "token"
    assert benchmarks.load("xnli", language="eng_Latn", source=source).normalise == "sum"


def test_more_than_26_candidates_are_all_kept(tmp_path: Path) -> None:
    names = [f"land{k}" for k in range(40)]
    row = {**FACT, "Ans": "land39", "Candidate Ans": ", ".join(names)}
    item = only(tmp_path, "bmlama53", row)
    assert (len(item.options), item.gold) == (40, 39)


def test_rows_that_ask_nothing_are_left_out(tmp_path: Path) -> None:
    single = {**FACT, "id": 1, "Candidate Ans": "France"}
    source = write(tmp_path, "bmlama17/en.jsonl", [single, {**FACT, "id": 2}])
    found = benchmarks.load("bmlama17", language="eng_Latn", source=source)
    assert [item.id for item in found.items] == ["2"]
    row = SAMPLES["global_mmlu_lite"]
    content = [row, {**row, "sample_id": "q/2", "question": None}]
    source = write(tmp_path, "global_mmlu_lite/my.jsonl", content)
    found = benchmarks.load("global_mmlu_lite", language="mya_Mymr", source=source)
    assert [item.id for item in found.items] == ["q/1"]
    source = write(tmp_path, "bmlama17/en.jsonl", [single])
    with pytest.raises(ValueError, match="none of its rows holds a question"):
        benchmarks.load("bmlama17", language="eng_Latn", source=source)


REFUSED: list[tuple[str, Row, str]] = [
    ("belebele", {"correct_answer_num": "5"}, "right answer is option 5, but there are 4"),
    ("belebele", {"correct_answer_num": "0"}, "right answer is option 0, but there are 4"),
    ("belebele", {"correct_answer_num": "B"}, "correct_answer_num is 'B', expected a whole"),
    ("belebele", {"mc_answer2": " "}, "mc_answer2 is ' ', expected a text"),
    ("belebele", {"question": ""}, "question is '', expected a text"),
    ("m_mmlu", {"answer": "E"}, "answer is 'E', outside the 4 options A to D"),
    ("m_mmlu", {"option_c": ""}, "option_c is ''"),
    ("mmmlu", {"Answer": "E"}, "Answer is 'E', outside the 4 options A to D"),
    ("m_hellaswag", {"label": ""}, "label is '', expected a whole number"),
    ("m_hellaswag", {"label": "4"}, "right answer is option 5, but there are 4"),
    ("m_hellaswag", {"endings": "a"}, "endings is 'a', expected a list of texts"),
    ("m_hellaswag", {"endings": ["a", ""]}, "ending 2 is '', expected a text"),
    ("m_hellaswag", {"endings": ["a", {"en": "b"}]}, "ending 2 is None, expected a text"),
    ("xnli", {"label": -1}, "right answer is option 0, but there are 3"),
    ("xnli", {"label": True}, "label is True, expected a whole number"),
    ("xcopa", {"question": "reason"}, "question is 'reason', expected 'cause' or 'effect'"),
    ("bmlama17", {"Ans": "Chad"}, "answer 'Chad' is not among its 2 candidates"),
    ("bmlama17", {"Prompt": "Paris."}, "no <mask> in Prompt"),
]


@pytest.mark.parametrize(("benchmark", "changes", "message"), REFUSED)
def test_rows_that_make_no_item_are_named(
    tmp_path: Path, benchmark: str, changes: Row, message: str
) -> None:
    with pytest.raises(ValueError, match=rf"eng_Latn\.jsonl, line 1: .*{message}"):
        only(tmp_path, benchmark, {**SAMPLES[benchmark], **changes})


def one_option(row: Row) -> RawQuestion:
    return RawQuestion(fields={"premise": "a", "hypothesis": "b"}, options=("True",), gold=0)


def no_text(row: Row) -> RawQuestion:
    return RawQuestion(fields={"premise": "a", "hypothesis": "b"}, options=("True", " "), gold=0)


def test_a_new_benchmark_with_bad_options_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BENCHMARKS, "xnli", replace(BENCHMARKS["xnli"], read=one_option))
    with pytest.raises(ValueError, match="1 options, expected at least 2"):
        only(tmp_path, "xnli", INFERENCE)
    monkeypatch.setitem(BENCHMARKS, "xnli", replace(BENCHMARKS["xnli"], read=no_text))
    with pytest.raises(ValueError, match="option 2 is empty"):
        only(tmp_path, "xnli", INFERENCE)


def test_ids_must_not_repeat_and_come_from_the_row_number_as_a_last_resort(tmp_path: Path) -> None:
    source = write(tmp_path, "xnli/en.jsonl", [INFERENCE, INFERENCE])
    found = benchmarks.load("xnli", language="eng_Latn", source=source)
    assert [item.id for item in found.items] == ["0", "1"]
    source = write(tmp_path, "xnli/en.jsonl", [{**INFERENCE, "id": 3}] * 2)
    with pytest.raises(ValueError, match="line 2: id '3' was already used in line 1"):
        benchmarks.load("xnli", language="eng_Latn", source=source)


def test_requests_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path, "xquad/en.jsonl", [SPAN])
    with pytest.raises(ValueError, match="xquad is answered by generating text, not by choosing"):
        benchmarks.load("xquad", language="eng_Latn", source=source)
    with pytest.raises(ValueError, match="xnli is answered by choosing"):
        benchmarks.open_questions("xnli", language="eng_Latn", source=source)
    source = write(tmp_path, "xnli/en.jsonl", [INFERENCE])
    with pytest.raises(ValueError, match="no prompt 'chat': expected one of labels"):
        benchmarks.load("xnli", language="eng_Latn", source=source, prompt="chat")
    with pytest.raises(ValueError, match="limit is 0"):
        benchmarks.load("xnli", language="eng_Latn", source=source, limit=0)
    with pytest.raises(ValueError, match=r"unknown benchmark 'flores200'.*belebele"):
        benchmarks.load("flores200", language="eng_Latn", source=source)


def test_limit_keeps_the_first_rows(tmp_path: Path) -> None:
    source = write(tmp_path, "xnli/en.jsonl", [INFERENCE] * 5)
    found = benchmarks.load("xnli", language="eng_Latn", source=source, limit=2)
    assert [item.id for item in found.items] == ["0", "1"]


def test_questions_to_be_answered_by_writing(tmp_path: Path) -> None:
    source = write(tmp_path, "xquad/en.jsonl", [SPAN])
    asked = benchmarks.open_questions("xquad", language="eng_Latn", source=source)[0]
    assert (asked.id, asked.question.options) == ("x1", ("rice",))
    assert asked.question.fields["context"] == "Anna eats rice."
    source = write(tmp_path, "mgsm/en.jsonl", [SAMPLES["mgsm"]])
    asked = benchmarks.open_questions("mgsm", language="eng_Latn", source=source)[0]
    assert (asked.question.fields, asked.question.options) == ({"question": "2 + 2?"}, ("4",))
    source = write(tmp_path, "xquad/en.jsonl", [{**SPAN, "answers": {"text": []}}])
    with pytest.raises(ValueError, match="line 1: answers is"):
        benchmarks.open_questions("xquad", language="eng_Latn", source=source)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_benchmark_loads_from_either_format(
    tmp_path: Path, benchmark: str, suffix: str
) -> None:
    source = Source(data_root=tmp_path)
    if benchmark in SAMPLES:
        source = write(tmp_path, f"{benchmark}/eng_Latn.{suffix}", [SAMPLES[benchmark]])
    assert "eng_Latn" in benchmarks.languages(benchmark, source=source)
    if BENCHMARKS[benchmark].generated:
        assert benchmarks.open_questions(benchmark, language="eng_Latn", source=source)
    for prompt in BENCHMARKS[benchmark].prompts:
        found = benchmarks.load(benchmark, language="eng_Latn", source=source, prompt=prompt)
        assert len(found.items[0].options) >= 2


REAL = {
    "belebele": (2, 500, 0),
    "belebele_seahelm": (2, 285, 0),
    "global_mmlu_lite": (7, 249, 1),
    "m_arc": (32, 248, 0),
    "m_mmlu": (31, 200, 0),
    "xcopa": (12, 500, 0),
    "xstorycloze": (11, 300, 0),
    "xnli": (16, 300, 0),
    "bmlama17": (17, 300, 0),
    "bmlama53": (53, 198, 0),
}


@pytest.mark.parametrize("benchmark", REAL)
def test_real_benchmarks_load_in_every_language(shared: Path, benchmark: str) -> None:
    source = Source(data_root=shared / "data")
    found = [
        benchmarks.load(benchmark, language=language, source=source)
        for language in benchmarks.languages(benchmark, source=source)
    ]
    common = set.intersection(*({item.id for item in one.items} for one in found))
    assert (len(found), len(common), check_parallel(found)) == REAL[benchmark]
    for item in found[-1].items:
        assert 0 <= item.gold < len(item.options)


@pytest.mark.parametrize(("benchmark", "count"), [("xquad", 200), ("mgsm", 250)])
def test_real_questions_load_in_every_language(shared: Path, benchmark: str, count: int) -> None:
    source = Source(data_root=shared / "data")
    for language in benchmarks.languages(benchmark, source=source):
        found = benchmarks.open_questions(benchmark, language=language, source=source)
        assert len(found) == count
        assert all(each.question.options for each in found)


def test_real_causes_read_as_a_person_would_write_them(shared: Path) -> None:
    source = Source(data_root=shared / "data")
    estonian = benchmarks.load("xcopa", language="est_Latn", source=source).items[0]
    assert (estonian.context + estonian.options[0]) == (
        "Ese oli mullikilesse mässitud sest see oli õrn."
    )
    english = benchmarks.load("xcopa", language="eng_Latn", source=source).items[0]
    assert (english.context + english.options[english.gold]) == (
        "The item was packaged in bubble wrap because it was fragile."
    )


def test_real_kinds_of_question_can_be_recovered(shared: Path, tmp_path: Path) -> None:
    real = Source(data_root=shared / "data")
    bare = Source(data_root=tmp_path)
    for name in ("et", "th", "tr", "sw", "id", "it"):
        found = rows.read("xcopa", language=flores_style("xcopa", name), source=real).rows
        content = [{k: v for k, v in row.items() if k != "question_en"} for row in found]
        write(tmp_path, f"xcopa/{name}.jsonl", content)
    for language in benchmarks.languages("xcopa", source=bare):
        recovered = benchmarks.load("xcopa", language=language, source=bare)
        assert recovered == benchmarks.load("xcopa", language=language, source=real)


def test_connectors_are_those_of_the_harness(shared: Path) -> None:
    text = (shared / "data" / "prompts.lm_eval.jsonl").read_text(encoding="utf-8")
    tasks = [json.loads(line) for line in text.split("\n") if line]
    for task in [task for task in tasks if task["dataset"] == "xcopa"]:
        language = flores_style("xcopa", task["lang"])
        for question, word in task["connector"].items():
            assert connector(language, question=question) == word
