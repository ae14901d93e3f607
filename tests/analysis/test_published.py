"""The paper's tables: printed values through our own table code, and like beside like alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import published, read
from analysis.exhibits import neuronxa
from analysis.layout.material import Material
from analysis.layout.page import Sheet, Shown
from analysis.neuronxa import tables
from analysis.statistics import correlate, resample, scores
from tests.makers.analysis_rows import (
    alignment_rows,
    follow,
    item_rows,
    planted,
    retrieval_rows,
    write_run,
)

LLAMA = "meta-llama/Llama-3.1-8B"
IDS = {column: model for model, column in reversed(published.MODELS.items())}
BENCHMARKS = {"m-ARC": "harness/m_arc", "m-MMLU": "harness/m_mmlu"}
BENCHMARKS |= {"Belebele": "harness/belebele", "XNLI": "xnli", "BMLAMA-53": "bmlama53"}


def printed_as_ours(folder: Path, *tables: int) -> Material:
    """A page's material in which our correlations are the printed ones, to the last digit."""
    printed = published.correlations()
    printed = printed[printed["table"].isin(tables) & (printed["column"] != "AVG")]
    dataset = {"FLORES-200": "flores200", "Tatoeba": "tatoeba"}
    rows = pd.DataFrame(
        {
            "model": printed["column"].map(IDS),
            "revision": "main",
            "dataset": printed["dataset"].map(dataset),
            "pairs": "100",
            "pivot": "eng_Latn",
            "switches": "s",
            "measure": printed["measure"].str.lower(),
            "pooling": printed["pooling"],
            "layer_pool": "mean",
            "benchmark": printed["task"].map(BENCHMARKS),
            "prompt": "5-shot",
            "metric": "acc",
            "n": 30,
            "r": printed["published"],
            "low": printed["published"] - 0.01,
            "high": printed["published"] + 0.01,
            "note": "",
        }
    )
    empty = read.rows([write_run(folder / "run", record={"study": "neuronxa"})])
    shown = rows[["model", "revision", "benchmark", "metric"]].drop_duplicates().assign(main=True)
    points = Material(empty).main_points
    return Material(empty, on_terms=rows, accuracies=shown, main_points=points)


def table(number: int, held: Material) -> Shown:
    return neuronxa.TABLES[number].show(held)


def beside(exhibit: Shown) -> pd.DataFrame:
    (name,) = (name for name in exhibit.files if name.endswith("beside_the_paper"))
    return exhibit.files[name]


@pytest.mark.parametrize("number", [3, 4, 8, 9, 11])
def test_printed_values_as_ours_make_the_printed_table(number: int, tmp_path: Path) -> None:
    held = printed_as_ours(tmp_path, number)
    exhibit = table(number, held)
    joined = beside(exhibit)
    printed = published.correlations()
    printed = printed[printed["table"] == number]
    assert len(joined) == len(printed) and exhibit.state == "filled"
    places = ["task", "pooling", "measure", "column"]
    both = joined.merge(printed[[*places, "published"]], on=places, suffixes=("", "_in_print"))
    assert len(both) == len(printed)
    # Our own average of the printed values is the printed average.
    assert (both["value"] - both["published_in_print"]).abs().max() < 1e-4
    targets = joined["difference"].notna()
    assert joined.loc[targets, "difference"].abs().max() < 1e-4
    wrong = joined[~targets]
    assert len(wrong) == (6 if number == 9 else 0)
    assert set(wrong["task"]) <= {"BMLAMA-53"} and set(wrong["column"]) <= {LLAMA[11:], "AVG"}
    models = joined["column"] != "AVG"
    assert joined.loc[models & targets, "inside"].astype(bool).all()


def test_the_two_headline_numbers_and_table_10_come_out_of_the_tables(tmp_path: Path) -> None:
    held = printed_as_ours(tmp_path, 3, 4)
    for number, expected in ((4, 0.9556), (3, 0.8514)):
        joined = beside(table(number, held))
        mean = joined[(joined["column"] == "AVG") & (joined["measure"] == "NASCA")]
        weighted = mean.loc[mean["pooling"] == "weighted", "value"].mean()
        assert weighted == pytest.approx(expected, abs=1e-4)
    eight_nine = printed_as_ours(tmp_path / "ten", 8, 9)
    # The correlations are given, not made of points: only the values are asked here.
    averages = []
    for number in (8, 9):
        (one,) = (one for one in tables.TABLES if one.number == number)
        ours = one.fill(eight_nine)
        cells = ours[ours["column"] == "AVG"]
        averages.append(cells.groupby("measure")["value"].mean())
    printed = {"CKA": (0.7596, 0.6804), "SVCCA": (0.9246, 0.8407), "ANC": (0.9313, 0.8537)}
    printed |= {"MEXA": (0.9091, 0.8058), "NASCA": (0.9541, 0.8597), "NAVCA": (0.9430, 0.8588)}
    for measure, expected in printed.items():
        assert [found[measure] for found in averages] == pytest.approx(expected, abs=1e-4)


def test_a_model_counts_as_the_papers_only_under_its_own_name_and_state() -> None:
    assert published.column(LLAMA, revision="main") == "Llama-3.1-8B"
    assert published.column("Llama-3.1-8B", revision="main") == "Llama-3.1-8B"
    assert published.column(LLAMA, revision="a" * 40) == "Llama-3.1-8B"
    for model, revision in (
        (f"{LLAMA}-Instruct", "main"), (LLAMA, "step1000"), (f"{LLAMA}+xnli", "main"),
        ("miniworld-llama", "main"),
    ):  # fmt: skip
        assert published.column(model, revision=revision) is None
    assert published.task("harness/m_arc") == "m-ARC" and published.task("xcopa") is None


def study(folder: Path, *, model: str = LLAMA, fertile: bool = True) -> Path:
    """Scores and accuracies over three benchmarks, another pivot, other pairs, all sentences."""
    score = planted(4)
    fertility = {code: 3 - 2 * value for code, value in score.items()} if fertile else None
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    norm = {code: min(1.0, value + 0.1) for code, value in accuracy.items()}
    german = {code: value for code, value in score.items() if code != "deu_Latn"}
    heads = dict.fromkeys(score, 3)
    alignment = [
        alignment_rows(model, scores=score, fertility=fertility),
        alignment_rows(model, scores=score, measures=("cka", "anc")),
        alignment_rows(model, scores=german | {"eng_Latn": score["deu_Latn"]}, pivot="deu_Latn"),
        alignment_rows(model, scores={"ita_Latn": 0.83}, measures=("nasca",), pivot="fra_Latn"),
        retrieval_rows(model, best=heads, top=score),
        retrieval_rows(model, best=heads, top=score, measure="mexa"),
    ]
    items = [item_rows(model, accuracies=accuracy, benchmark="harness/belebele")]
    items.append(item_rows(model, accuracies=accuracy, benchmark="harness/m_arc", normed=norm))
    items.append(item_rows(model, accuracies=accuracy, benchmark="harness/m_mmlu"))
    # The same task by another prompt, which the harness's answers stand in for.
    items.append(item_rows(model, accuracies=dict.fromkeys(accuracy, 0.3), benchmark="m_mmlu"))
    return write_run(folder, alignment=pd.concat(alignment), items=pd.concat(items))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material(read.rows([study(tmp_path_factory.mktemp("study") / "run")]))


def test_table_4_is_the_slow_computation_and_mixes_no_conditions(held: Material) -> None:
    exhibit = table(4, held)
    joined = beside(exhibit).set_index(["task", "pooling", "measure", "column"])
    score = planted(4)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    x = np.array(list(score.values()))
    for task, more in (("Belebele", 0.0), ("m-MMLU", 0.0), ("m-ARC", 0.1)):
        y = np.array([round(min(1.0, accuracy[code] + more) * 200) / 200 for code in score])
        row = joined.loc[(task, "weighted", "NASCA", "Llama-3.1-8B")]
        assert row["value"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
        assert row["n"] == 12
        assert row["inside"] == (row["low"] <= row["published"] <= row["high"])
        assert row["difference"] == pytest.approx(row["value"] - row["published"])
        # One model of nine: the average is its value, and the paper's over the same one.
        average = joined.loc[(task, "weighted", "NASCA", "AVG")]
        assert average["value"] == pytest.approx(row["value"])
        assert average["published"] == row["published"]
        points = pd.DataFrame({"language": list(score), "score": x, "accuracy": y})
        expected = resample.interval_of_mean([points])
        assert (average["low"], average["high"]) == pytest.approx(expected)
    # Nothing of ours under average pooling, but the printed value still stands there.
    gap = joined.loc[("m-ARC", "average", "MEXA", "Llama-3-8B")]
    assert np.isnan(gap["value"]) and gap["published"] > 0 and gap["inside"] is None
    assert "average pooling" in exhibit.missing and "--benchmark harness/m_arc" in exhibit.missing
    names = {part.name for part in exhibit.parts if isinstance(part, Sheet)}
    assert names == {"table_4", "table_4_plain_accuracy"}


def test_other_pivots_and_pairs_of_languages_find_their_tables(held: Material) -> None:
    six, seven = table(6, held), table(7, held)
    joined = beside(six).set_index(["measure", "column"])
    english, german = (joined.loc[("NASCA", code)] for code in ("eng_Latn", "deu_Latn"))
    assert english["published"] == 0.9621 and german["published"] == 0.9287
    points = held.points[(held.points["pivot"] == "deu_Latn") & held.points["main"]]
    points = points[(points["measure"] == "nasca") & (points["layer_pool"] == "mean")]
    points = points[points["benchmark"].str.startswith("harness")]
    slow = [
        correlate.pearson(own["score"].to_numpy(float), y=own["accuracy"].to_numpy(float)).r
        for _, own in points.groupby("benchmark")
    ]
    assert len(slow) == 3 and german["value"] == pytest.approx(np.mean(slow))
    assert (
        "fra_Latn" in six.missing
        and seven.state == "empty"
        and "--part scores,transfer" in seven.missing
    )
    two = beside(table(2, held)).set_index("pair")
    # From the run with English as pivot, and from the one with French.
    assert two.loc["eng_Latn - deu_Latn", "value"] == pytest.approx(planted(4)["deu_Latn"])
    found = two.loc["ita_Latn - fra_Latn"]
    assert found["value"] == pytest.approx(0.83) and found["published"] == 0.8372
    low, high = scores.wilson(np.array([83.0]), n=np.array([100.0]))
    assert (found["low"], found["high"]) == pytest.approx((low[0], high[0]))
    # From the run with German as pivot.
    assert two.loc["deu_Latn - fra_Latn", "value"] == pytest.approx(planted(4)["fra_Latn"])
    assert np.isnan(two.loc["kaz_Cyrl - tat_Cyrl", "value"])


def test_table_1_has_both_rules_beside_the_printed_value(held: Material) -> None:
    one, five = table(1, held), table(5, held)
    joined = beside(one)
    cell = joined[(joined["representation"] == "NAS") & (joined["direction"] == "both")]
    cell = cell[cell["column"] == "FLORES head"].set_index("rule")
    assert set(cell["published"]) == {87.07} and len(cell) == 2
    heads = [value for code, value in planted(4).items() if code not in ("swh_Latn", "yor_Latn")]
    assert cell.iloc[0]["value"] == pytest.approx(100 * np.mean(heads))
    assert "36 head" in one.parts[0].caption  # type: ignore[union-attr]
    assert five.state == "empty" and "--pivot fra_Latn,ita_Latn,deu_Latn" in five.missing


def test_the_page_says_of_every_table_and_figure_whether_it_is_here(held: Material) -> None:
    page = neuronxa.PAGE.build(held)
    index = next(sheet.frame for sheet in page.sheets if sheet.name == "what_is_here")
    names = [f"Table {number}" for number in range(1, 12)]
    assert index["exhibit"].tolist() == names + [f"Figure {number}" for number in range(1, 5)]
    here = dict(zip(index["exhibit"], index["here"], strict=True))
    assert here["Table 4"] == "partly" and here["Table 3"] == "empty" == here["Figure 4"]
    assert index.loc[index["here"] == "empty", "what is missing"].str.len().min() > 20
    assert {"table_4_beside_the_paper", "table_2_beside_the_paper"} <= set(page.files)
