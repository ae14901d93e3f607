"""A thought is told apart from the answer that is scored, and one that is cut is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from actors.answer import answer_of
from actors.kinds.generation import written
from actors.prediction.decode import Ending
from actors.scoring.thoughts import MARKS, split_thought
from orchestrator.storage.tables import ALL_TABLES
from studies.prompt_options import Chat
from studies.texts import GenerationItem
from tests.actors.tokens.test_chat import CHATML
from tests.actors.tokens.test_chat_forms import R1, model_with
from tests.analysis.test_generate_page import page_of, rows_of, store
from tests.makers.pages import all_said
from tests.makers.stored import check
from tests.makers.written import asked, unit


@pytest.mark.parametrize(("begins", "ends"), MARKS)
def test_a_thought_is_what_stands_between_its_marks(begins: str, ends: str):
    begun, plain = f"assistant\n{begins}\n", "assistant\n"
    for prompt, text, expected in (
        (plain, f"{begins}Hm 41{ends}\n\n42", (f"{begins}Hm 41{ends}", "42", False)),
        (begun, f"Hm 41{ends}\n\n42 ", (f"Hm 41{ends}", "42", False)),
        (plain, f" {begins}Hm 41", (f"{begins}Hm 41", "", True)),
        (begun, "Hm 41", ("Hm 41", "", True)),
        (begun, "", ("", "", True)),
        (plain, f"{begins}a{ends}b{begins}c{ends} d", (f"{begins}a{ends}b{begins}c{ends}", "d", 0)),
        (plain, f"{begins}a{ends} b {begins}c", (f"{begins}a{ends} b {begins}c", "", True)),
        (plain, "42 ", (None, "42", False)),
        (plain, f"42 {ends}", (None, f"42 {ends}", False)),
        (f"{begins}\nWho thinks?\nassistant\n", "42", (None, "42", False)),
    ):
        assert split_thought(text, prompt=prompt) == expected


@pytest.mark.parametrize(
    ("template", "text", "expected"),
    [
        (R1, "It may be 41.", ("It may be 41.", "", True, 0.0, None)),
        (R1, "41?</think> 42", ("41?</think>", "42", False, 1.0, "42")),
        (CHATML, "<think>41</think>42", ("<think>41</think>", "42", False, 1.0, "42")),
        (CHATML, "<think>42", ("<think>42", "", True, 0.0, None)),
        (CHATML, "42", (None, "42", False, 1.0, "42")),
        (None, "<think>41</think>42", (None, "<think>41</think>42", None, 1.0, "42")),
    ],
)
def test_the_answer_behind_a_thought_is_scored(template, text, expected, tmp_path: Path):
    loaded = model_with(template or CHATML, tmp_path)
    item = GenerationItem(id="1", prompt="6 times 7?", references=("42",))
    chat = Chat() if template else None
    one = replace(asked("x", task="number", chat=chat), items=(item,))
    work = unit(loaded.facts, one)
    found = written(
        loaded,
        work,
        write=lambda sets: [[[Ending(text, (1, 2, 3), "length")]] for _ in sets],
        engine="e",
    )
    made = answer_of(work, found)
    check(work, made.rows)
    (row,) = ALL_TABLES["generations"].to_arrow(made.rows).to_pylist()
    columns = ("thought", "output", "in_thought", "exact", "answer")
    assert tuple(row[name] for name in columns) == expected


def test_the_report_counts_thoughts_that_were_cut(tmp_path: Path):
    cut = rows_of(["", "", "b", "c"], scores=[0, 0, 0, 1])
    for row in cut[:2]:
        row |= {"thought": "a", "in_thought": True}
    run = store(tmp_path / "run", cut)
    assert "Thoughts: 2 of 4 texts end inside a thought, before any answer" in all_said(
        page_of(run)
    )
    whole = store(tmp_path / "whole", rows_of(["a"] * 4, scores=[1] * 4))
    assert "Thoughts" not in all_said(page_of(whole))
