"""Rows of written text: samples, settings, scores, prompts that are cut, and older files."""

import json
from dataclasses import replace

import pyarrow as pa
import pytest

from actors.work import run_unit
from orchestrator.storage.compaction import _once
from orchestrator.storage.tables import ALL_TABLES
from studies.spec import Row
from studies.texts import GenerationItem, GenerationSet, Sampling
from studies.unit import Unit
from tests.makers import tiny, written
from tests.makers.stored import check

FAMILY = "llama"
DRAWN = Sampling(temperature=1.0, n=3)


def asked(*prompts: str, **given: object) -> GenerationSet:
    return written.asked(*prompts, **given)


def rows(unit: Unit) -> list[Row]:
    return run_unit(tiny.loaded(FAMILY), unit).rows


def unit(*sets: GenerationSet, **given: object) -> Unit:
    return written.unit(tiny.loaded(FAMILY).facts, *sets, **given)


PROMPTS = ("The cat sat", "кот", "zz")


def test_a_row_has_every_column_of_its_table_and_fits_it():
    one = unit(asked(*PROMPTS))
    found = rows(one)
    check(one, found)
    table = ALL_TABLES["generations"].to_arrow(found)
    assert table.column("item").to_pylist() == ["0", "1", "2"]
    assert set(table.column("sample").to_pylist()) == {0}
    assert set(table.column("task").to_pylist()) == {"text"}
    settings = json.loads(found[0]["settings"])  # type: ignore[arg-type]
    assert settings == {
        "max_new_tokens": 6,
        "stop": [],
        "sampling": {"temperature": 0.0, "top_p": 1.0, "seed": 0, "n": 1},
    }


def test_every_sample_is_a_row_and_no_text_depends_on_its_neighbours():
    found = rows(unit(asked(*PROMPTS, sampling=DRAWN)))
    assert [(row["item"], row["sample"]) for row in found] == [
        (item, sample) for item in ("0", "1", "2") for sample in range(3)
    ]
    outputs = [row["output"] for row in found]
    assert len(set(outputs)) > 6, "samples differ"
    assert rows(unit(asked(*PROMPTS, sampling=DRAWN))) == found
    alone = rows(unit(asked(PROMPTS[1], sampling=DRAWN)))
    assert [row["output"] for row in alone] == outputs[3:6]
    fewer = rows(unit(asked(*PROMPTS, sampling=replace(DRAWN, n=2))))
    assert [row["output"] for row in fewer] == [
        row["output"] for row in found if row["sample"] != 2
    ]
    other = rows(unit(asked(*PROMPTS, sampling=replace(DRAWN, seed=1))))
    assert all(
        one != two for one, two in zip(outputs, (row["output"] for row in other), strict=True)
    )


def test_several_sets_of_one_unit_come_back_under_their_own_cells():
    one, two = asked("a", language="deu_Latn"), asked("b", "c", language="fra_Latn")
    both = unit(one, two)
    found = rows(both)
    assert [row["language"] for row in found] == ["deu_Latn", "fra_Latn", "fra_Latn"]
    assert [row["key"] for row in found] == [both.cells[place].key for place in (0, 1, 1)]


CONTEXT = tiny.loaded(FAMILY).facts.context


def test_a_prompt_beyond_the_context_is_refused_or_cut_from_the_left():
    long = "x" * 2 * CONTEXT
    with pytest.raises(ValueError, match=f"prompt 1 and 6 new tokens has .* context is {CONTEXT}"):
        rows(unit(asked("a", long)))
    short, cut = rows(unit(asked("a", long), allow_truncation=True))
    assert (short["truncated"], cut["truncated"]) == (False, True)
    with pytest.raises(ValueError, match=f"max_new_tokens is {CONTEXT}: .* leaves no room"):
        rows(unit(asked("a", max_new_tokens=CONTEXT), allow_truncation=True))


def test_a_context_to_answer_from_is_cut_at_its_end():
    loaded = tiny.loaded(FAMILY)
    facts, question = "first" + "y" * 2 * CONTEXT + "last", " Who?"
    item = GenerationItem(
        id="1", prompt=f"Read: {facts}{question}", references=(), context=(6, 6 + len(facts))
    )
    one = replace(asked(), items=(item,))
    with pytest.raises(ValueError, match="--allow-truncation"):
        rows(unit(one))
    (row,) = rows(unit(one, allow_truncation=True))
    assert row["truncated"] is True
    room = CONTEXT - one.max_new_tokens
    most = next(
        kept
        for kept in range(len(facts), 0, -1)
        if len(loaded.prompts([f"Read: {facts[:kept]}{question}"], chat=None)[0]) <= room
    )
    (same,) = rows(unit(asked(f"Read: {facts[:most]}{question}")))
    assert most > 5 and same["output"] == row["output"]
    hopeless = replace(item, context=(6, 11))
    with pytest.raises(ValueError, match=r"item 1 has \d+ tokens without any of its context"):
        rows(unit(replace(one, items=(hopeless,)), allow_truncation=True))


@pytest.mark.parametrize("stop", [("",), "\n"])
def test_an_end_that_no_text_can_have_is_refused(stop: object):
    with pytest.raises(ValueError, match="expected a list of strings, none of them empty"):
        rows(unit(asked("a", stop=stop)))
    with pytest.raises(ValueError, match="max_new_tokens is 0: expected at least 1"):
        rows(unit(asked("a", max_new_tokens=0)))


def test_rows_of_an_older_version_are_read_and_count_as_the_first_sample():
    found = rows(unit(asked("a", "b", sampling=DRAWN)))
    table = ALL_TABLES["generations"].to_arrow(found)
    old = table.filter(pa.compute.equal(table["sample"], 0)).drop_columns(
        ["sample", "task", "settings", "repetition"]
    )
    assert ALL_TABLES["generations"].mismatch(old.schema) == ""
    whole = ALL_TABLES["generations"]
    merged = _once([old, table], table=whole, keep="min")
    assert merged.num_rows == table.num_rows
    assert merged["sample"].to_pylist() == [None, None, 1, 2, 1, 2]
    assert _once([old], table=whole, keep="min").num_rows == 2
