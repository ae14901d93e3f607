"""Prompts word for word: what a run keeps, what its page shows, any item again from the data."""

import json
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis import read, report
from orchestrator import examples, show
from orchestrator.__main__ import BAD_INPUT, main, recorded
from orchestrator.storage.store import Store
from studies.models.facts import facts
from studies.prompt_options import Chat
from studies.spec import Model
from studies.texts import Bitext, ChoiceItem, ChoiceSet, GenerationItem, GenerationSet
from tests.studies.test_languages_without_rows import ROW

COMMAND = [
    "run", "neuronxa", "--cluster", "inline", "--model", "miniworld-llama", "--benchmark",
    "belebele", "--parallel", "miniworld", "--pairs", "4", "--language", "deu_Latn,eng_Latn",
    "--measure", "nasca", "--pooling", "weighted", "--layer", "2",
]  # fmt: skip


def data(root: Path, *, count: int = 5, extra: str = "") -> Path:
    folder = root / "belebele"
    folder.mkdir(parents=True)
    for language in ("eng_Latn", "deu_Latn"):
        rows = [
            ROW | {"question_number": number, "question": f"What has Anna {number}{extra}?"}
            for number in range(count)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{language}.jsonl").write_text(text, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    root = data(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        words = [*COMMAND, "--data-root", str(root), "--out", str(folder / "out")]
        patch.setattr("sys.argv", ["babelscope", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    return folder / "out"


def said(run: Path, **asked: object) -> str:
    every = dict.fromkeys(("benchmark", "language", "item", "key", "data_root"))
    return "\n".join(show.lines(Store(run), recorded=recorded, **(every | asked)))  # type: ignore[arg-type]


class Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.folds = 0
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.folds += tag == "details"
        if tag == "td":
            self.cells.append("")

    def handle_data(self, text: str) -> None:
        if self.cells:
            self.cells[-1] += text


def test_three_items_of_every_text_are_on_the_page_as_the_model_was_given_them(run: Path) -> None:
    page = Tables()
    page.feed((run / "report" / "index.html").read_text(encoding="utf-8"))
    for number in range(3):
        given = f"<bos>P: Anna has a cat.\nQ: What has Anna {number}?\nA: a cat\nB: a dog\n"
        assert sum(cell.startswith(given) for cell in page.cells) == 2, "one for each language"
    assert page.folds >= 2
    assert any(cell.startswith("0:  A\n1:  B") for cell in page.cells), "the options"
    assert any("miniworld-llama: option" in cell for cell in page.cells), "the answers"
    kept = json.loads((run / "examples.json").read_text(encoding="utf-8"))
    assert {(one["benchmark"], one["language"]) for one in kept} >= {
        ("belebele", "deu_Latn"), ("belebele", "eng_Latn"), ("miniworld", "deu_Latn"),
    }  # fmt: skip
    assert all(len(one["items"]) == 3 for one in kept)


def test_any_item_is_read_again_and_shown_with_its_answer(run: Path) -> None:
    rows = read.rows([run]).items
    item = sorted(set(rows["item"]))[-1]
    kept = json.loads((run / "examples.json").read_text(encoding="utf-8"))
    assert all(item not in [each["id"] for each in one["items"]] for one in kept
               if one["benchmark"] == "belebele")  # fmt: skip
    text = said(run, benchmark="belebele", language="deu_Latn", item=item)
    assert "<bos>P: Anna has a cat.\nQ: What has Anna 4?" in text
    own = rows[(rows["language"] == "deu_Latn") & (rows["item"] == item)].iloc[0]
    word = "right" if own["correct"] else "wrong"
    assert f"miniworld-llama chose option {own['prediction']} ({word})" in text
    assert "option 0 (right)" in text


def test_a_cell_is_found_by_the_beginning_of_its_key(run: Path) -> None:
    rows = read.rows([run]).items
    row = rows[rows["language"] == "deu_Latn"].iloc[0]
    assert "items belebele/deu_Latn" in said(run, key=row["key"][:16])
    shard = next((run / "tables" / "alignment").glob("*.parquet"))
    key = pq.read_table(shard)["key"][0].as_py()
    assert "text miniworld/deu_Latn-eng_Latn" in said(run, key=key)


def test_other_data_than_the_runs_are_refused(run: Path, tmp_path: Path) -> None:
    other = data(tmp_path / "other", extra=" now")
    item = sorted(set(read.rows([run]).items["item"]))[-1]
    with pytest.raises(ValueError, match="the texts are other ones than those of the run"):
        said(run, benchmark="belebele", language="deu_Latn", item=item, data_root=other)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "name the item's --benchmark and --language"),
        ({"benchmark": "belebele"}, "name the item's --benchmark and --language"),
        ({"key": "nothing"}, "has no cell with the key 'nothing'"),
        (
            {"benchmark": "belebele", "language": "deu_Latn", "item": "nothing"},
            "belebele in deu_Latn has no item 'nothing'",
        ),
        ({"benchmark": "belebele", "language": "fra_Latn", "item": "1"}, "has no fra_Latn"),
        ({"benchmark": "nothing", "language": "deu_Latn", "item": "1"}, "unknown benchmark"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    run: Path, asked: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        said(run, **asked)
    assert "\n" not in str(caught.value)


def test_a_run_that_names_no_command_says_so(run: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    record = json.loads((run / "run.json").read_text())
    for arguments, sentence in ([], "by which command"), (["lost"], "is not one of this version"):
        record["provenance"] = {"arguments": arguments}
        (tmp_path / "old" / "run.json").write_text(json.dumps(record))
        with pytest.raises(ValueError, match=sentence):
            said(tmp_path / "old", benchmark="belebele", language="deu_Latn", item="1")


def test_the_command_shows_and_refuses(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, status in ([], BAD_INPUT), (["--benchmark", "belebele"], BAD_INPUT):
        monkeypatch.setattr("sys.argv", ["babelscope", "show", str(run), *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == status
    own = ["--benchmark", "belebele", "--language", "eng_Latn"]
    monkeypatch.setattr("sys.argv", ["babelscope", "show", str(run), *own])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "Q: What has Anna 2?" in capsys.readouterr().out


def test_a_run_without_kept_texts_has_a_page_that_says_how_to_see_them(
    run: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for name in ("tables", "run.json"):
        (old / name).symlink_to(run / name)
    (old / "examples.json").write_text("not json")
    page = report.write(report.build([old]), out=tmp_path / "out").html.read_text(encoding="utf-8")
    assert "These runs kept no examples" in page and "babelscope show RUN" in page


def test_every_kind_of_text_has_its_items() -> None:
    bitext = Bitext(
        dataset="d", language="deu_Latn", pivot="eng_Latn", ids=("1",), texts=("Hund",),
        pivot_texts=("dog",),
    )  # fmt: skip
    choices = ChoiceSet(
        benchmark="b", language="deu_Latn", prompt="p", chat=Chat(),
        items=tuple(ChoiceItem(id=str(n), context="c", options=("x", "y"), gold=1)
                    for n in range(9)),
    )  # fmt: skip
    written = GenerationSet(
        benchmark="g", language="deu_Latn", prompt="p", max_new_tokens=4,
        items=(GenerationItem(id="1", prompt="Frage", references=("ja",)),),
    )  # fmt: skip
    one, two, three = (
        examples.of_content(content, "name") for content in (bitext, choices, written)
    )
    assert one["items"] == [{"id": "1", "text": "Hund", "beside": "dog"}]
    assert len(two["items"]) == 3 and two["items"][0]["gold"] == 1 and two["chat"]["system"] == ""
    assert three["items"] == [{"id": "1", "text": "Frage", "right": ["ja"]}]
    assert len(examples.of_content(choices, "name", most=None)["items"]) == 9


def test_of_a_model_that_was_given_nothing_nothing_is_said() -> None:
    wordings = examples.wordings([facts(Model(id="miniworld-llama"))])
    (record,) = examples.worded(
        [{"items": [{"id": "1", "text": "Hund"}], "chat": asdict(Chat())}], wordings=wordings
    )
    assert record["items"][0]["given"] == {}  # it has no chat template


def test_a_later_launch_keeps_what_earlier_models_were_given(tmp_path: Path) -> None:
    store, models = (
        Store(tmp_path),
        [facts(Model(id=f"miniworld-{one}")) for one in ("llama", "gemma2")],
    )
    record = {"name": "items b/deu_Latn", "prompt": "p", "chat": None}
    record |= {"items": [{"id": "1", "text": "Hund"}]}
    for model in models:
        assert examples.unworded(models, store=store)[-1] == models[-1]
        worded = examples.worded([record], wordings=examples.wordings([model]))
        examples.keep(worded, store=store)
    (kept,) = examples.read(store)
    assert set(kept["items"][0]["given"]) == {model.label for model in models}
    assert examples.unworded(models, store=store) == []
    again = examples.worded([record | {"prompt": "q"}], wordings={})
    examples.keep(again, store=store)
    assert examples.read(store)[0]["items"][0]["given"] == {}


def test_a_tokenizer_that_fails_in_any_way_costs_its_example_and_not_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from actors.tokens import tokenizer

    def fail(*_: object, **__: object) -> None:
        raise KeyError("vocab")

    monkeypatch.setattr(tokenizer, "load_tokenizer", fail)
    assert examples.wordings([facts(Model(id="miniworld-llama"))]) == {}
