"""An answer stands beside the prompt that it was given to, and beside no other."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import read
from analysis.layout.page import Sheet
from analysis.shared import examples
from orchestrator import show
from orchestrator.__main__ import recorded
from orchestrator.storage.store import Store
from tests.analysis.test_generate_page import rows_of
from tests.makers.analysis_rows import ITEMS, write_run

PLAIN = "items belebele/deu_Latn"


def record(name: str, *, prompt: str = "plain", pivot: str | None = None, **item: object) -> Any:
    found = re.search(r"(\w+)/([a-z]{3}_[A-Z][a-z]{3})", name)
    assert found
    item = {"id": "0", "text": f"text of {name}", "options": ["A", "B"], "gold": 1} | item
    return {"name": name, "benchmark": found[1], "language": found[2],
            "pivot": pivot, "prompt": prompt, "chat": None, "items": [item]}  # fmt: skip


def choice(model: str = "m/one", *, prompt: str = "plain", **given: object) -> dict[str, object]:
    row = dict.fromkeys(ITEMS.names) | {"study": "mine", "model": model, "revision": "main"}
    row |= {"benchmark": "belebele", "language": "deu_Latn", "item": "0", "gold": 1}
    row |= {"prediction": 1, "correct": True, "scores": [0.0, 1.0], "ranks": [2.0, 1.0]}
    return row | {"prompt": prompt, "key": f"{model}/{prompt}"} | given


def texts(output: str, **given: object) -> dict[str, object]:
    own = {"study": "mine", "item": "0"}
    return rows_of([output], benchmark="flores200", **given)[0] | own


def run_of(folder: Path, records: list[Any], **rows: list[dict[str, object]]) -> Path:
    tables = {name: pd.DataFrame(each) for name, each in rows.items()}
    run = write_run(folder, record={"study": "mine", "pins": {}}, **tables)
    (run / "examples.json").write_text(json.dumps(records), encoding="utf-8")
    return run


def on_page(*runs: Path) -> dict[str, str]:
    """The answers on the page, by what was given."""
    found: dict[str, str] = {}
    for part in examples.section(read.rows(runs)).parts:
        for row in part.frame.to_dict("records") if isinstance(part, Sheet) else ():
            found[str(row["given"])] = str(row.get("answers", ""))
    return found


def shown(run: Path, benchmark: str = "belebele") -> dict[str, str]:
    """The answers that `show` prints, by what was given."""
    lines = show.lines(
        Store(run), benchmark=benchmark, language="deu_Latn", item=None, key=None, data_root=None,
        recorded=recorded,
    )  # fmt: skip
    found = {}
    for part in "\n".join(lines).split("== ")[1:]:
        given = part.split("\n")[2]
        found[given] = "\n".join(
            line for line in part.split("\n") if " chose option" in line or " wrote: " in line
        )
    return found


@pytest.mark.parametrize(
    "other",
    [
        record("options belebele/deu_Latn-eng_Latn", pivot="eng_Latn"),
        record("vectors belebele/deu_Latn-eng_Latn 5/0", pivot="eng_Latn"),
        record("held out belebele/deu_Latn-eng_Latn 5/0"),
        record("training belebele/deu_Latn"),
        record("text belebele/deu_Latn-eng_Latn", prompt="", pivot="eng_Latn"),
        record("items belebele/deu_Latn", prompt="plain, system=Be brief", text="in other words"),
    ],
    ids=lambda one: one["name"].partition(" ")[0] + one["prompt"][5:],
)
def test_an_answer_stands_beside_its_own_prompt_alone(tmp_path: Path, other: Any) -> None:
    own = record(PLAIN)
    run = run_of(tmp_path / "run", [own, other], items=[choice()])
    (mine,), (foreign,) = own["items"], other["items"]
    for found, said in ((on_page(run), "option 1"), (shown(run), "chose option 1 (right)")):
        assert said in found[mine["text"]]
        assert found[foreign["text"]] == ""


def test_translations_from_two_languages_are_not_mixed(tmp_path: Path) -> None:
    pivots = ("eng_Latn", "fra_Latn")
    run = run_of(
        tmp_path / "run",
        [
            record(f"translations flores200/deu_Latn-{one}", prompt="plain, 0-shot", pivot=one)
            for one in pivots
        ],
        generations=[texts(f"from {one}", pivot=one, key=one) for one in pivots],
    )
    for found in (on_page(run), shown(run, "flores200")):
        assert len(found) == 2
        for given, answer in found.items():
            assert f"from {given[-8:]}" in answer and answer.count("from") == 1


def test_what_was_written_under_an_intervention_is_no_answer_of_the_plain_model(
    tmp_path: Path,
) -> None:
    rows = [texts("plain words"), texts("pushed words", key="other", intervention="steer")]
    texts_asked = record("texts flores200/deu_Latn", prompt="plain, 0-shot")
    run = run_of(tmp_path / "run", [texts_asked], generations=rows)
    for found in (on_page(run), shown(run, "flores200")):
        (answer,) = found.values()
        assert "plain words" in answer and "pushed" not in answer


def test_runs_that_asked_other_texts_under_one_name_keep_their_own_answers(tmp_path: Path) -> None:
    runs = [
        run_of(
            tmp_path / name, [record(PLAIN, text=f"as in {name}")],
            items=[choice(f"m/{name}", prediction=place, correct=place == 1)],
        )
        for place, name in enumerate("ab")
    ]  # fmt: skip
    found = on_page(*runs)
    assert found == {"as in a": "m/a: option 0 (wrong)", "as in b": "m/b: option 1"}


def test_a_missing_prompt_is_an_empty_one(tmp_path: Path) -> None:
    old = record(PLAIN) | {"prompt": None}
    run = run_of(tmp_path / "run", [old], items=[choice(prompt="", key="k"), choice()])
    (answer,) = on_page(run).values()
    assert answer == "m/one: option 1"


def test_the_beginning_of_keys_of_several_texts_is_refused(tmp_path: Path) -> None:
    rows = [choice(key="abc1"), choice(key="abc2", language="fra_Latn"), choice(key="abd")]
    run = run_of(tmp_path / "run", [record(PLAIN)], items=rows)
    asked = dict.fromkeys(("benchmark", "language", "item", "data_root"))
    with pytest.raises(ValueError, match=r"'ab' begins keys of several texts, belebele in deu"):
        list(show.lines(Store(run), key="ab", recorded=recorded, **asked))  # type: ignore[arg-type]
    assert list(show.lines(Store(run), key="abc1", recorded=recorded, **asked))  # type: ignore[arg-type]
