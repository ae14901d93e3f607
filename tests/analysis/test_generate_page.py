"""The report of plain generation: metrics by hand, engines kept apart, and what the page says."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sacrebleu import corpus_bleu, corpus_chrf

from analysis import read, report, terminal
from analysis.exhibits import generate
from analysis.layout.material import Material
from analysis.layout.page import Page
from analysis.results import written
from analysis.statistics import translation
from orchestrator.storage.tables import ALL_TABLES
from studies.spec import Row
from tests.makers.pages import all_said, in_terminal, sheets

HF, VLLM = "hf 5.23.0", "vllm 0.32.0"
GREEDY = {"temperature": 0.0, "top_p": 1.0, "seed": 0, "n": 1}
TEXT = "a small ship sails past green hills while seven birds sing of rain and home"


def settings(n: int = 1, *, new: int = 32) -> str:
    drawn = GREEDY if n == 1 else {"temperature": 0.7, "top_p": 0.9, "seed": 3, "n": n}
    return json.dumps({"max_new_tokens": new, "sampling": drawn, "stop": ["\n"]}, sort_keys=True)


def rows_of(
    outputs: Sequence[str],
    *,
    model: str = "m/one",
    language: str = "deu_Latn",
    task: str = "span",
    benchmark: str = "xquad",
    engine: str = HF,
    scores: Sequence[float] | None = None,
    n: int = 1,
    **given: object,
) -> list[Row]:
    """One cell: `n` texts for each item in turn, every text with one score; None where empty."""
    row: Row = dict.fromkeys(ALL_TABLES["generations"].schema.names)
    row |= {"study": "generate", "model": model, "revision": "main", "benchmark": benchmark}
    row |= {"language": language, "prompt": "plain, 0-shot", "engine": engine, "task": task}
    row |= {"references": [TEXT], "stopped": True, "truncated": False, "settings": settings(n)}
    row |= {"written_language": language, "written_script": language[4:], "repetition": 0.0}
    row["key"] = f"{model}/{benchmark}/{language}/{engine}/{n}/{len(outputs)}"
    found = []
    for place, text in enumerate(outputs):
        score = None if scores is None else scores[place]
        own: Row = {"item": f"{place // n:03d}", "sample": place % n, "output": text}
        own |= {"tokens": len(text.split())}
        if task == "span":
            own |= {"exact": None if score is None else float(score == 1), "f1": score}
            own |= {"f1_mixed": score, "answer": text or None}
        elif task == "number":
            own |= {"exact": score, "answer": text if text.isdigit() else None}
        elif task == "translation":
            own |= {"chrf": score, "bleu": score}
        found.append(row | own | given)
    return found


def store(
    folder: Path, *cells: list[Row], without: Sequence[str] = (), errors: Sequence[Row] = ()
) -> Path:
    """A run as the store lays it out, one shard per cell."""
    place = folder / "tables" / "generations"
    place.mkdir(parents=True)
    for number, cell in enumerate(cells):
        table = ALL_TABLES["generations"].to_arrow(cell).drop_columns(list(without))
        pq.write_table(table, place / f"{number:032x}.parquet")
    if errors:
        schema = ALL_TABLES["errors"].schema
        whole = [dict.fromkeys(schema.names) | one for one in errors]
        pq.write_table(pa.Table.from_pylist(whole, schema=schema), folder / "errors.parquet")
    (folder / "run.json").write_text(json.dumps({"study": "generate", "version": 2}))
    return folder


def found(run: Path) -> pd.DataFrame:
    return written.summaries(written.plain(read.rows([run]).generations)).set_index("metric")


def build(rows: read.Rows) -> Page:
    return generate.PAGE.build(Material(rows))


def page_of(*runs: Path) -> Page:
    return build(read.rows(list(runs)))


OLD = ("sample", "task", "settings", "exact", "f1", "f1_mixed", "chrf", "bleu", "answer",
       "written_language", "written_script", "repetition")  # fmt: skip


def test_means_and_intervals_are_over_items_whose_samples_are_drawn_together(tmp_path: Path):
    scores = [0.0, 1.0, 0.5, 0.5, 0.25, 0.75, 1.0, 1.0, 0.0, 0.25, 1.0, 0.0]
    run = store(tmp_path / "run", rows_of(["x"] * 12, scores=scores, n=2))
    own = found(run)
    assert own.loc["f1_mixed", "value"] == pytest.approx(np.mean(scores))
    assert (own.loc["f1_mixed", ["items", "samples", "texts"]] == [6, 2, 12]).all()
    assert own.loc["exact", "value"] == pytest.approx(4 / 12)
    of_item = np.array(scores).reshape(6, 2)
    assert own.loc["f1_any", "value"] == pytest.approx(of_item.max(axis=1).mean())
    assert own.loc["exact_any", "value"] == pytest.approx(3 / 6)
    draws = np.random.default_rng(0).multinomial(6, np.full(6, 1 / 6), size=1000)
    slow = [np.mean([of_item[item] for item in np.repeat(range(6), draw)]) for draw in draws]
    low, high = np.percentile(slow, [2.5, 97.5])
    assert tuple(own.loc["f1_mixed", ["low", "high"]]) == pytest.approx((low, high))
    assert set(own["sampling"]) == {"temperature 0.7, top_p 0.9, seed 3, 2 texts a prompt"}


def test_a_share_of_the_language_is_of_the_texts_whose_language_could_be_told(tmp_path: Path):
    cell = rows_of(["eins", "zwei", "", "drei", "один"], scores=[1, 0, 0, 1, 0])
    for place, language in enumerate(["deu_Latn", "eng_Latn", None, None, "rus_Cyrl"]):
        cell[place]["written_language"] = language
    cell[2]["written_script"], cell[4]["written_script"] = None, "Cyrl"
    cell[3]["truncated"], cell[4]["stopped"] = True, False
    own = found(store(tmp_path / "run", cell))
    assert own.loc["in_language", "value"] == pytest.approx(1 / 3)
    assert own.loc["in_language", "texts"] == 3
    assert own.loc["in_script", "value"] == pytest.approx(3 / 4)
    assert own.loc[["stopped", "truncated", "empty"], "value"].tolist() == [0.8, 0.2, 0.2]
    assert own.loc["tokens", "value"] == pytest.approx(0.8)
    assert own["low"].notna().loc["f1"] and "f1_any" not in own.index


def test_below_four_items_what_is_graded_has_no_interval(tmp_path: Path):
    own = found(store(tmp_path / "run", rows_of(["x"] * 3, scores=[0, 1, 0.5])))
    assert own.loc["f1", "value"] == pytest.approx(0.5)
    assert own.loc[["f1", "f1_mixed", "tokens"], ["low", "high"]].isna().all(axis=None)


def test_numbers_that_are_found_are_counted_apart_from_those_that_are_right(tmp_path: Path):
    cell = rows_of(["18", "7", "none", "7"], task="number", benchmark="mgsm", scores=[1, 0, 0, 1])
    own = found(store(tmp_path / "run", cell))
    assert own.loc[["exact", "answered"], "value"].tolist() == [0.5, 0.75]
    assert "f1" not in own.index


def worn(count: int, *, kept: float, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(w if random.random() < kept else "xx" for w in TEXT.split())
            for _ in range(count)]  # fmt: skip


def test_a_translation_is_scored_as_a_corpus_as_the_other_pages_do(tmp_path: Path):
    given = {"task": "translation", "benchmark": "flores200", "pivot": "eng_Latn"}
    outputs = worn(8, kept=0.7, seed=1)
    run = store(tmp_path / "run", rows_of(outputs, scores=[50.0] * 8, **given))
    own = found(run)
    other = translation.quality(read.rows([run]).generations).set_index("metric")
    for metric in translation.METRICS:
        columns = ["value", "low", "high"]
        assert own.loc[metric, columns].tolist() == pytest.approx(other.loc[metric, columns])
        assert own.loc[metric, "tokenizer"] == other.loc[metric, "tokenizer"]
    assert own.loc["chrF_sentence", "value"] == 50
    assert {"f1", "exact", "answered"}.isdisjoint(own.index)


def test_several_samples_of_a_translation_are_as_many_corpora(tmp_path: Path):
    given = {"task": "translation", "benchmark": "flores200", "pivot": "eng_Latn"}
    outputs = worn(10, kept=0.6, seed=2)
    own = found(store(tmp_path / "run", rows_of(outputs, n=2, scores=[1.0] * 10, **given)))
    right = [[TEXT] * 5]
    chrf = [corpus_chrf(outputs[first::2], right).score for first in (0, 1)]
    bleu = [corpus_bleu(outputs[first::2], right).score for first in (0, 1)]
    assert own.loc["chrF", "value"] == pytest.approx(np.mean(chrf))
    assert own.loc["BLEU", "value"] == pytest.approx(np.mean(bleu))
    assert own.loc["chrF", "low"] < own.loc["chrF", "value"] < own.loc["chrF", "high"]


def test_a_store_without_the_newer_columns_is_read(tmp_path: Path):
    cells = [
        rows_of(worn(5, kept=0.5, seed=3), pivot="eng_Latn", benchmark="flores200"),
        rows_of(["free text"] * 4, benchmark="own"),
    ]
    run = store(tmp_path / "run", *cells, without=OLD)
    rows = read.rows([run])
    assert set(rows.generations["sample"]) == {0}
    assert set(rows.generations["sampling"]) == {"greedy"}
    own = written.summaries(written.plain(rows.generations))
    assert own.groupby("benchmark")["task"].unique().map(list).to_dict() == {
        "flores200": ["translation"], "own": ["text"],
    }  # fmt: skip
    assert own.loc[own["metric"] == "chrF", "value"].item() > 0
    page = build(rows)
    assert "The language could be told of 0 of 9 texts" in all_said(page)
    assert report.write(report.build([run]), out=tmp_path / "report").html.exists()


def test_a_text_is_its_key_item_and_sample(tmp_path: Path):
    cell = rows_of(["a", "b", "c", "d"], scores=[1, 0, 1, 0], n=2)
    first = store(tmp_path / "a", cell)
    second = store(tmp_path / "b", cell)
    assert len(read.rows([first, second]).generations) == 4
    assert read.rows([first, second]).notes == ()


def test_texts_drawn_otherwise_are_another_cell(tmp_path: Path):
    greedy = rows_of(["a"] * 4, scores=[1] * 4)
    drawn = rows_of(["b"] * 8, scores=[0] * 8, n=2)
    rows = read.rows([store(tmp_path / "run", greedy, drawn)])
    assert rows.generations.groupby("sampling").size().tolist() == [4, 8]
    assert rows.notes == ()


def test_one_cell_by_two_engines_is_shown_once_and_said(tmp_path: Path):
    first = store(tmp_path / "a", rows_of(["a"] * 4, scores=[1] * 4, key="one"))
    second = store(tmp_path / "b", rows_of(["b"] * 4, scores=[0] * 4, key="one", engine=VLLM))
    rows = read.rows([first, second])
    assert set(rows.generations["engine"]) == {HF}
    assert f"1 cells of texts were written by several engines ({HF}, {VLLM}" in rows.notes[0]
    assert rows.notes[0] in all_said(build(rows))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, one of them by both engines; what is wrong is planted in the second."""
    good, half = [1, 1, 1, 1, 0, 0], [1, 0, 0, 0.5, 0, 0]
    outputs = [f"{place} <b>Wort</b>" for place in range(6)]
    lost = ["", *outputs[1:]]
    numbers = rows_of(["1", "x", "3", "4"], task="number", benchmark="mgsm", scores=[1, 0, 0, 1])
    # So few that are told say nothing of the set.
    numbers = [row | {"written_language": None} for row in numbers]
    numbers[1]["written_language"] = "eng_Latn"
    cells = [
        rows_of(outputs, scores=good),
        rows_of(outputs, scores=half, engine=VLLM, language="tha_Thai"),
        rows_of(outputs, scores=half, language="tha_Thai"),
        rows_of(lost, scores=half, model="m/two", written_language="eng_Latn", truncated=True),
        rows_of(outputs, scores=good, model="m/two", language="tha_Thai", n=2,
                written_script="Latn"),
        rows_of(worn(5, kept=0.5, seed=4), task="translation", benchmark="flores200",
                pivot="eng_Latn", scores=[10.0] * 5, source="Ein Schiff."),
        numbers,
        rows_of(["and so on"] * 4, task="text", benchmark="prompts/mine", language="und_Zyyy",
                references=[], written_language=None),
    ]  # fmt: skip
    failed = {"key": "lost", "table": "generations", "model": "m/two", "revision": "main"}
    failed |= {"benchmark": "xquad", "language": "hin_Deva", "attempts": 3, "error": "no room"}
    return store(tmp_path_factory.mktemp("g") / "run", *cells, errors=[failed])


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return page_of(run)


def test_a_cell_of_a_table_is_written_by_one_engine_and_says_which(page: Page):
    table = sheets(page.sheets)["xquad-span-f1_mixed"].set_index("language")
    assert list(table.columns) == [
        f"m/one (greedy, {HF})", f"m/one (greedy, {VLLM})", f"m/two (greedy, {HF})",
        f"m/two (temperature 0.7, top_p 0.9, seed 3, 2 texts a prompt, {HF})",
    ]  # fmt: skip
    assert table.loc["deu_Latn"].isna().tolist() == [False, True, False, True]
    assert table.loc["tha_Thai", f"m/one (greedy, {HF})"] == pytest.approx(0.25)
    assert table.loc["mean", f"m/one (greedy, {HF})"] == pytest.approx((4 / 6 + 0.25) / 2)
    captions = {sheet.name: sheet.caption for sheet in page.sheets}
    assert f"Written by {HF} (m/one, m/two); {VLLM} (m/one)." in captions["xquad-span-f1"]
    assert "no language is in all columns" in captions["xquad-span-f1"]
    assert f"All texts were written by {HF}." in captions["flores200-translation-BLEU"]
    assert "tokenizer 13a: deu_Latn" in captions["flores200-translation-BLEU"]
    names = {sheet.name for sheet in page.sheets}
    assert {"xquad-span-exact", "xquad-span-f1_any", "mgsm-number-answered"} <= names
    assert {picture.name for picture in page.pictures} == {
        "xquad-span-figure", "mgsm-number-figure", "flores200-translation-figure",
    }  # fmt: skip


def test_what_weakens_it_stands_first(page: Page):
    warnings = " ".join(page.warnings)
    assert page.warnings[0].startswith(
        f"Engines: xquad was written by more than one. Written by {HF}"
    )
    assert "Engines: mgsm" not in warnings
    assert "Cut: 6 of 43 texts follow a prompt that was cut" in warnings
    assert "(m/two on xquad: 6)" in warnings
    assert "Items: on xquad, columns were not asked the same items" in warnings
    assert "Ends:" not in warnings
    assert "not one is in the language asked for (m/two on xquad: deu_Latn)" in warnings
    assert "on mgsm" not in warnings
    assert "not one is in the script asked for (m/two on xquad: tha_Thai)" in warnings
    assert "Empty: 1 of 43 texts are empty (m/two on xquad: 1)." in warnings
    assert "1 cell failed and is missing" in all_said(page)
    assert sheets(page.sheets)["failures"]["language"].tolist() == ["hin_Deva"]


def test_texts_that_end_elsewhere_are_not_compared(tmp_path: Path):
    first = rows_of(["x"] * 4, scores=[1] * 4)
    longer = rows_of(["x"] * 4, scores=[1] * 4, model="m/two", settings=settings(new=64))
    warnings = page_of(store(tmp_path / "run", first, longer)).warnings
    assert [line.split(":")[0] for line in warnings] == ["Ends"]


def test_the_summary_has_scores_and_who_wrote(page: Page):
    first = page.summary[0]
    assert first.startswith("This report covers 43 texts by 2 models in 3 languages. Written by")
    line = next(line for line in page.summary if line.startswith("mgsm"))
    assert line == f"mgsm: exact match (mean over 1 language) is 0.50 in m/one ({HF})."
    xquad = next(line for line in page.summary if line.startswith("xquad"))
    assert "best language deu_Latn" in xquad and "worst tha_Thai" in xquad


def test_how_it_is_written_stands_beside_the_score(page: Page):
    writing = sheets(page.sheets)["xquad-span-writing"]
    two = writing[(writing["series"] == f"m/two (greedy, {HF})")].iloc[0]
    assert two["f1_mixed"] == pytest.approx(0.25) and two["in_language"] == 0
    assert two["truncated"] == 1 and two["empty"] == pytest.approx(1 / 6)
    shown = next(sheet for sheet in page.sheets if sheet.name == "xquad-span-writing")
    assert shown.small is not None
    assert shown.small["in_language"].tolist() == ["of 6"] * len(writing)
    assert "in_language" not in sheets(page.sheets)["prompts--mine-text-writing"]


def test_examples_follow_the_rule(run: Path, page: Page):
    examples = sheets(page.sheets)["xquad-span-examples"]
    assert examples["example"].tolist() == ["best"] * 5 + ["worst"] * 4 + ["empty"]
    assert set(examples["score"].iloc[:5]) == {1.0} and set(examples["score"].iloc[5:9]) == {0.0}
    assert examples["text"].iloc[9] == ""
    assert set(sheets(page.sheets)["flores200-translation-examples"]["source"]) == {"Ein Schiff."}
    assert set(sheets(page.sheets)["prompts--mine-text-examples"]["example"]) == {"any"}
    turned = read.rows([run])
    turned = replace(turned, generations=turned.generations.iloc[::-1])
    again = sheets(build(turned).sheets)["xquad-span-examples"]
    pd.testing.assert_frame_equal(again, examples)


def test_settings_are_listed(page: Page):
    drawn = sheets(page.sheets)["sampling"].set_index("benchmark")
    assert drawn.loc["mgsm", ["sampling", "fewest", "most", "stop", "texts"]].tolist() == [
        "greedy", 32, 32, '["\\n"]', 4,
    ]  # fmt: skip


def test_the_page_is_written_and_texts_are_escaped(run: Path, tmp_path: Path):
    files = report.write(report.build([run]), out=tmp_path)
    html = files.html.read_text(encoding="utf-8")
    assert "Plain generation" in html and "&lt;b&gt;Wort" in html and "<b>Wort" not in html
    frame = pd.read_csv(tmp_path / "tables" / "written.csv")
    assert {"chrF", "chrF_sentence", "BLEU_sentence", "in_language"} <= set(frame["metric"])


def test_the_terminal_shows_the_first_score_by_model_and_engine(run: Path, tmp_path: Path):
    text = in_terminal(run)
    assert "mgsm: exact match" in text and "xquad: F1 mixed" in text and "flores200: chrF" in text
    line = next(line for line in text.splitlines() if VLLM in line)
    assert "m/one" in line and "0.25 (1)" in line
    assert "not comparable" in text
    assert terminal.main_tables(report.build([store(tmp_path / "empty")])) == [
        generate.PAGE.no_main
    ]


def test_a_mean_is_over_the_languages_that_all_have(tmp_path: Path):
    cells = [
        rows_of(["x"] * 4, scores=[1] * 4),
        rows_of(["x"] * 4, scores=[0] * 4, language="hin_Deva"),
        rows_of(["x"] * 4, scores=[0.5] * 4, model="m/two"),
    ]
    run = store(tmp_path / "run", *cells)
    text = in_terminal(run)
    assert "1.00 (1)" in text and "0.50 (1)" in text and "not comparable" not in text


def test_a_run_without_texts_says_so(tmp_path: Path):
    run = store(tmp_path / "run")
    assert page_of(run).summary == ("This report covers no written texts.",)
    assert report.write(report.build([run]), out=tmp_path / "report").html.exists()
