"""The NeuronXA page: what it says, and that it says so with whatever rows there are."""

from pathlib import Path

import pandas as pd

from analysis import pages, read
from analysis.layout.material import Material
from analysis.layout.page import Page
from analysis.shared import coefficients
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run
from tests.makers.pages import all_said


def page_of(run: Path) -> Page:
    return pages.build(read.rows([run]))


def full_run(folder: Path) -> Path:
    score = planted(4)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    flat = dict.fromkeys(accuracy, 0.34)
    items = [item_rows("m/one", accuracies=accuracy)]
    items.append(item_rows("m/one", accuracies=flat, benchmark="xnli", options=3))
    alignment = alignment_rows("m/one", scores=score)
    alignment.loc[alignment["layer"] == 2, "ties"] = 3
    alignment.loc[0, "truncated"] = 2
    errors = pd.DataFrame(
        [
            {"key": f"lost{layer}", "table": "alignment", "model": "m/one", "revision": "main"}
            | {"dataset": "flores200", "language": "tam_Taml", "layer": layer, "attempts": 3}
            | {"error": "OutOfMemoryError: no room"}
            for layer in range(5)
        ]
    )
    return write_run(folder, alignment=alignment, items=pd.concat(items), errors=errors)


def test_the_page_holds_every_table_and_figure_and_hides_no_weakness(tmp_path: Path) -> None:
    page = page_of(full_run(tmp_path / "run"))
    said = all_said(page)
    names = {sheet.name for sheet in page.sheets}
    assert {"cross_model", "languages-m--one", "failures", "near_chance", "ties"} <= names
    kinds = [picture.name.split("-")[0] for picture in page.pictures]
    assert [kinds.count(kind) for kind in ("forest", "scatter", "heat_map", "profile")] == [
        2, 2, 1, 1,
    ]  # fmt: skip
    assert "m/one, xnli: accuracies are not distinguishable from chance in 13 of 13" in said
    assert "correlations with them say little" in said
    assert "5 cells failed and are missing" in said
    assert "Cut to fit a model's context: 2 parallel texts" in said
    assert "the accuracy is the same in all 12 languages" in said
    assert "None of these models is in the paper" in said
    failures = next(sheet.frame for sheet in page.sheets if sheet.name == "failures")
    assert failures["cells"].tolist() == [5] and "OutOfMemoryError" in failures["error"][0]
    # 3 measures x 12 languages, 3 ties at one layer each.
    assert f"Exact ties: {3 * 12 * 3} pairs" in said


def test_a_language_row_carries_accuracy_items_chance_scores_and_qualifiers(tmp_path: Path) -> None:
    page = page_of(full_run(tmp_path / "run"))
    frame = next(sheet.frame for sheet in page.sheets if sheet.name.startswith("languages"))
    row = frame.set_index("language").loc["deu_Latn"]
    assert row["belebele items"] == 200 and row["belebele chance"] == 0.25
    assert abs(row["NASCA weighted"] - planted(4)["deu_Latn"]) < 1e-9
    assert row["pairs"] == 100 and row["NASCA ties"] == 3 and row["NASCA best p_null"] == 1e-6
    english = frame.set_index("language").loc["eng_Latn"]
    assert english["belebele accuracy"] == 0.75 and pd.isna(english["NASCA weighted"])


def test_alignment_alone_makes_a_page_that_says_what_is_missing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", alignment=alignment_rows("m/one", scores=planted(1)))
    page = page_of(run)
    assert "no accuracies" in " ".join(page.summary)
    assert "No correlation was computed" in all_said(page)
    assert {picture.name.split("-")[0] for picture in page.pictures} == {"heat_map", "profile"}
    assert page.main == ()


def test_accuracies_alone_and_nothing_at_all_make_pages_too(tmp_path: Path) -> None:
    items = item_rows("m/one", accuracies={"deu_Latn": 0.5, "eng_Latn": 0.6})
    page = page_of(write_run(tmp_path / "items", items=items))
    assert "no alignment scores" in " ".join(page.summary)
    empty = page_of(write_run(tmp_path / "empty", record={"study": "neuronxa"}))
    assert "0 models" in empty.summary[0] and "No cell failed." in all_said(empty)


def test_two_languages_have_no_correlation_and_are_told_so(tmp_path: Path) -> None:
    score = {"deu_Latn": 0.3, "fra_Latn": 0.4}
    run = write_run(
        tmp_path / "run",
        alignment=alignment_rows("m/one", scores=score),
        items=item_rows("m/one", accuracies=score),
    )
    assert "2 languages, at least 3 are needed" in " ".join(page_of(run).summary)


def test_two_switch_settings_are_two_series_named_by_what_differs(tmp_path: Path) -> None:
    rows = alignment_rows("m/one", scores=planted(1), measures=("nasca",))
    other = rows.assign(
        switches='{"include_bos":false,"last_layer":"raw"}', key=rows["key"] + "-without"
    )
    accuracy = follow(planted(1), slope=0.5, start=0.25, noise=0.05, seed=4)
    run = write_run(
        tmp_path / "run",
        alignment=pd.concat([rows, other]),
        items=item_rows("m/one", accuracies=accuracy),
    )
    page = page_of(run)
    wide = next(sheet.frame for sheet in page.sheets if sheet.name == "cross_model")
    assert sorted(wide["switches"]) == ["include_bos=false", "include_bos=true"]
    heat_maps = [picture.name for picture in page.pictures if picture.name.startswith("heat_map")]
    assert len(set(heat_maps)) == 2


def test_the_terminal_table_has_a_column_per_model_and_the_average(tmp_path: Path) -> None:
    table = coefficients.main(Material(read.rows([full_run(tmp_path / "run")])))
    assert table is not None
    assert list(table.frame.columns) == ["benchmark", "measure", "pooling", "m/one", "AVG"]
    cells = list(table.frame["m/one"])
    assert cells[0].startswith("0.9") and "[" in cells[0] and cells[3] == "-"
    assert "the accuracy is the same" in str(table.caption)
