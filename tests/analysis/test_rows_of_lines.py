"""A line of a table leads to its rows: the code that the page hands out, as a reader runs it."""

import ast
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from analysis import report
from analysis.html import queries
from tests.analysis.test_hostile_names import EVIL, NAMES
from tests.makers import latent_rows
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run
from tests.makers.html_page import Page

MODELS = ("Llama-3.1-8B", "m/two")
PLAIN = "items of the plain model"


def runs_of(folder: Path) -> list[Path]:
    """Two models in two runs, one of them in both."""
    score = planted(4)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    return [
        write_run(
            folder / name,
            alignment=pd.concat([alignment_rows(model, scores=score) for model in models]),
            items=pd.concat(
                [item_rows(model, accuracies=accuracy, benchmark=benchmark)
                 for model in models for benchmark in ("belebele", "xcopa")]
            ),
            record={"study": "neuronxa", "settings": {}},
        )
        for name, models in (("a", MODELS), ("b", MODELS[:1]))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("rows")
    return Page(report.write(report.build(runs_of(folder)), out=folder / "out").html)


def line(page: Page, caption: str, **cells: str) -> tuple[int, dict[str, pd.DataFrame]]:
    """The place of the only line with these cells, and what its code reads."""
    table = page.table(caption)
    places = [
        place for place, row in enumerate(table.rows)
        if all(row[table.heads.index(head)].text == text for head, text in cells.items())
    ]  # fmt: skip
    (place,) = places
    return place, page.found(table, place)


def test_a_line_of_a_language_leads_to_the_items_that_its_accuracy_is_of(page: Page) -> None:
    table = page.table("m/two: 13 languages")
    place, found = line(page, "m/two: 13 languages", language="deu_Latn")
    items = found[PLAIN]
    assert len(items) == 400 and set(items["model"]) == {"m/two"}
    assert set(items["language"]) == {"deu_Latn"}
    row = {head: cell.key for head, cell in zip(table.heads, table.rows[place], strict=True)}
    for benchmark, own in items.groupby("benchmark"):
        assert float(row[f"{benchmark} accuracy"]) == pytest.approx(own["correct"].mean())
    scores = found["alignment"]
    own = scores[(scores["measure"] == "nasca") & (scores["pooling"] == "weighted")]
    assert float(row["NASCA weighted"]) == pytest.approx(own["value"].mean())


def test_rows_that_two_runs_have_come_once(page: Page) -> None:
    _, found = line(page, "Llama-3.1-8B: 13 languages", language="deu_Latn")
    assert len(found[PLAIN]) == 400 and found[PLAIN]["item"].is_unique is False
    assert not found[PLAIN].duplicated(["key", "item"]).any()
    assert found["alignment"]["key"].is_unique


def test_what_a_line_does_not_narrow_is_said(page: Page) -> None:
    table = page.table("Pearson's r over languages (the pivot left out)")
    place, found = line(page, table.caption, benchmark="belebele", measure="mexa")
    code = page.code(table, place)
    assert set(found[PLAIN]["benchmark"]) == {"belebele"}
    assert set(found["alignment"]["measure"]) == {"mexa"}
    assert "# of every model, language, layer\n" in code["alignment"]
    assert "# of every model, language, item, prompt\n" in code[PLAIN]
    (place,) = [
        place for place, row in enumerate(table.rows)
        if row[0].text == "mean of benchmarks" and row[2].text == "mexa"
    ]  # fmt: skip
    code = page.code(table, place)
    assert '# "benchmark" "mean of benchmarks" names no single value there' in code[PLAIN]
    both = page.found(table, place)[PLAIN]
    assert set(both["benchmark"]) == {"belebele", "xcopa"}


def test_every_line_of_every_table_has_code_that_reads_rows(page: Page) -> None:
    lines = [(table, row) for table in page.tables if table.read for row in range(len(table.rows))]
    assert len(lines) > 100
    for table, row in lines[:: max(1, len(lines) // 60)]:
        assert any(map(len, page.found(table, row).values())), (table.caption, row)


def test_a_language_that_one_table_lacks_has_no_rows_of_it_and_not_all_of_them(page: Page) -> None:
    _, found = line(page, "m/two: 13 languages", language="eng_Latn")
    assert len(found[PLAIN]) == 400 and found["alignment"].empty


def test_a_measure_in_capitals_is_the_measure(page: Page) -> None:
    table = next(
        one for one in page.tables if one.caption.startswith("Pearson's r over languages, m")
    )
    place = next(at for at, row in enumerate(table.rows) if row[2].text == "MEXA")
    assert set(page.found(table, place)["alignment"]["measure"]) == {"mexa"}


def test_a_layer_of_a_table_without_interventions_is_no_layer_of_steering(tmp_path: Path) -> None:
    world = latent_rows.World(
        model="m", layers=(2, 6), items=24,
        accuracy=latent_rows.accuracies(languages=latent_rows.LANGUAGES[:3]),
    )  # fmt: skip
    run = latent_rows.write(tmp_path / "run", world)
    page = Page(report.write(report.build([run]), out=tmp_path / "out").html)
    seen = 0
    for table in page.tables:
        for name, columns, fixed, _ in table.read:
            if name == "items" and "layer" in columns:
                changed = "intervention" in columns or any("intervention" in one for one in fixed)
                assert changed, table.caption
                seen += 1
    assert seen, "some table is of steered answers by layer"


def test_names_are_texts_in_the_code_and_run_nothing(tmp_path: Path) -> None:
    languages = tuple(dict.fromkeys((*EVIL, *(name for name in NAMES if name.strip()))))
    score = {name: 0.1 + 0.8 * place / len(languages) for place, name in enumerate(languages)}
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    name = '"\n__import__("os").abort()\n"'
    run = write_run(
        tmp_path / 'a "quoted" run',
        alignment=alignment_rows(name, scores=score),
        items=item_rows(name, accuracies=accuracy, benchmark=name, n=4),
        record={"study": "neuronxa", "settings": {}},
    )
    page = Page(report.write(report.build([run]), out=tmp_path / "out").html)
    allowed = {"dataset", "field", "is_null", "to_table", "to_pandas", "concat", "drop_duplicates"}
    (table,) = [one for one in page.tables if "NASCA weighted" in one.heads]
    for row in range(len(table.rows)):
        for code in page.code(table, row).values():
            tree = ast.parse(code)
            called = {node.func.attr if isinstance(node.func, ast.Attribute) else "?"
                      for node in ast.walk(tree) if isinstance(node, ast.Call)}  # fmt: skip
            assert called <= allowed
        found = page.found(table, row)
        held = table.rows[row][table.heads.index("language")].key
        assert set(found["alignment"]["language"]) <= {held}


@pytest.mark.parametrize("rows", [1, 3, 0])
def test_a_shard_has_the_models_of_its_rows_each_with_its_own_revisions(rows: int) -> None:
    pairs = [("m/a", "main"), ("m/b", "step-1"), ("m/b", "step-1")][:rows]
    columns = {
        name: pa.array([pair[place] for pair in pairs], pa.string()).dictionary_encode()
        for place, name in enumerate(queries.MODEL)
    }
    found = queries._distinct(pa.table(columns))
    assert found.models == set(pairs)
    for place, name in enumerate(queries.MODEL):
        assert found.values[name].to_pylist() == list(dict.fromkeys(pair[place] for pair in pairs))
