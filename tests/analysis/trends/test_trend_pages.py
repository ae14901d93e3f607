"""The section of a page on training: what it says, shows and keeps, of two states or a thousand."""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import ConciseDateFormatter, date2num

from analysis import pages, read, report, trends
from analysis.layout.page import Fold, Heading, Page, Picture, Section, Sheet, Text
from analysis.layout.page import unfolded as plain
from analysis.trends.page import MOST_STATES, TITLE
from tests.makers import latent_rows, trained
from tests.makers.pages import said, sheets
from tests.makers.trained import LANGUAGES, drawn, steps, watch, write

SECONDS = 20.0


def page_of(*runs: Path) -> Page:
    return pages.build(read.rows(runs))


def training(page: Page) -> Section:
    """The section, which is the first one."""
    assert page.sections[0].title == TITLE
    assert [section.title for section in page.sections].count(TITLE) == 1
    return page.sections[0]


def scored(names: Sequence[str], *, rise: float = 0.05, seed: int = 0) -> trained.Scores:
    """Scores that rise, each language from its own beginning."""
    random = np.random.default_rng(seed)
    start = random.uniform(0.1, 0.4, len(LANGUAGES))
    return {
        name: dict(
            zip(LANGUAGES, start + rise * number + 0.005 * random.normal(size=len(LANGUAGES)),
                strict=True)
        )
        for number, name in enumerate(names)
    }  # fmt: skip


def both(folder: Path, count: int, *, items: int = 50, **given: object) -> Path:
    """A run of answers and scores at some states."""
    names = steps(count)
    answers = drawn(names, rise=min(0.15, 1 / count), seed=2, items=items)
    return write(
        folder, answers=answers, scores=scored(names, rise=min(0.05, 0.5 / count)), **given
    )  # type: ignore[arg-type]


def test_states_whose_names_begin_alike_stay_apart_in_a_whole_report(tmp_path: Path) -> None:
    names = [f"checkpoint-{step}" for step in (1000, 1500, 19000)]
    commit = "0123456789abcdef0123456789abcdef01234567"
    run = write(
        tmp_path / "run", scores=scored([*names, commit]), answers=drawn(names, rise=0.1, items=50)
    )
    written = report.write(report.build([run]), out=tmp_path / "report")
    html = written.html.read_text(encoding="utf-8")
    assert all(f"m/one@{name}" in html for name in names)
    assert f"m/one@{commit[:12]}" in html and f"m/one@{commit}" not in html
    assert read.short_revision("a" * 39) == "a" * 39
    found = pd.read_csv(tmp_path / "report/tables/trends_levels-m--one.csv")
    assert set(names) <= set(found["revision"])


def test_one_state_is_no_training_and_the_page_is_silent(tmp_path: Path) -> None:
    page = page_of(both(tmp_path / "run", 1))
    assert not any(part.name.startswith("trend") for part in page.sheets + page.pictures)
    titles = {section.title: section for section in page.sections}
    assert "Figure 3" in " ".join(
        part.text for part in titles[TITLE].parts if isinstance(part, Heading)
    )
    assert not any(name.startswith("trends") for name in page.files)


def test_the_newest_state_comes_first_with_its_changes_and_their_tests(tmp_path: Path) -> None:
    run = both(tmp_path / "run", 3)
    page = page_of(run)
    section = training(page)
    assert [type(part) for part in section.parts[:3]] == [Heading, Text, Sheet]
    assert section.parts[0].text == "m/one: 3 states, the newest step-300"  # type: ignore[union-attr]
    now = trends.changes([run], revision="step-300").set_index(["measure", "against"])
    finding = said(section.parts)
    assert finding.startswith("step-300 against step-200: NASCA on flores200 0.")
    for measure, name in (("nasca", "NASCA on flores200"), ("accuracy", "accuracy on belebele")):
        row = now.loc[(measure, "last")]
        p = row["p_corrected"]
        ends = f"[{row['low']:.2f}, {row['high']:.2f}]"
        tested = "p < .001" if p < 0.001 else f"p = {p:.3f}"
        assert f"{name} {row['after']:.2f} ({row['change']:+.2f} {ends}, {tested} Holm)" in finding
    assert page.summary[0] == f"m/one, {finding[: finding.index(' Of 2 measures')]}"
    rose = int((now.xs("last", level="against")["p_corrected"] < 0.05).sum())
    assert f"Of 2 measures {rose} rose and 0 fell since" in finding
    table = sheets(section.parts)["trends-m--one"]
    assert table["measure"].tolist() == ["NASCA on flores200", "accuracy on belebele"]
    assert table["value"].tolist() == pytest.approx(
        now.xs("last", level="against")["after"][["nasca", "accuracy"]].tolist()
    )
    history = sheets(section.parts)["trends_history-m--one"]
    assert history["state"].tolist() == ["step-300", "step-200", "step-100"]
    assert {"trends_changes-m--one", "trends_levels-m--one", "trends_newest-m--one"} <= set(
        page.files
    )
    assert len(page.files["trends_changes-m--one"]) == 6
    assert "Changes of level are looked for where a measure has 8 states or more." in finding


def test_scores_are_drawn_once_in_figure_3_where_the_page_has_it(tmp_path: Path) -> None:
    page = page_of(both(tmp_path / "run", 3))
    names = [part.name for part in plain(training(page).parts) if isinstance(part, Picture)]
    assert names[:3] == [
        "trend-m--one-accuracy", "trend-m--one-correlation", "trend-m--one-means",
    ]  # fmt: skip
    assert names[3].startswith("training-") and len(names) == 4
    assert page.exhibits["Figure 3"].state == "filled"


def test_alignment_against_accuracy_is_pearsons_r_over_the_same_languages(tmp_path: Path) -> None:
    names = steps(3)
    answers, scores = drawn(names, rise=0.15, seed=3, items=80), scored(names, seed=4)
    del answers["step-200"]["deu_Latn"]
    page = page_of(write(tmp_path / "run", answers=answers, scores=scores))
    table = sheets(training(page).parts)["trends_correlation-m--one"]
    assert table["revision"].tolist() == names[::-1] and set(table["n"]) == {5}
    for name, r in zip(table["revision"], table["r"], strict=True):
        x = [scores[name][code] for code in LANGUAGES[1:]]
        y = [answers[name][code].mean() for code in LANGUAGES[1:]]
        assert r == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_what_was_lost_cut_or_lacking_is_said(tmp_path: Path) -> None:
    names = steps(4)
    answers = drawn(names, seed=5)
    del answers["step-300"]["deu_Latn"]
    errors = pd.DataFrame(
        [{"key": "lost", "table": "items", "model": "m/one", "revision": "step-300",
          "benchmark": "belebele", "language": "deu_Latn", "attempts": 2, "error": "no room"}]
    )  # fmt: skip
    run = write(tmp_path / "run", answers=answers, cut=("step-100",), errors=errors,
                scores=scored(names[:2]))  # fmt: skip
    watch(
        run,
        {
            "step-400": {"state": "done", "date": "2026-03-01T10:00:00Z"},
            "step-450": {"state": "failed", "error": "CUDA ran out of memory."},
            "step-500": {"state": "left", "error": "no config.json"},
            "step-200": {"state": "rewritten"}, "step-350": {"state": "gone"},
            "step-600": {"state": "waiting"},
        },
        model="m/one",
    )  # fmt: skip
    section = training(page_of(run))
    text = said(section.parts)
    assert "the newest step-400, 2026-03-01" in section.parts[0].text  # type: ignore[union-attr]
    for sentence in (
        "step-450 failed (CUDA ran out of memory)", "step-500 was given up (no config.json)",
        "step-200 was written anew after it was evaluated",
        "step-350 was gone before it was evaluated",
        "Failed cells (state and number): step-300 (1)",
        "accuracy on belebele (step-100 240)",
        "accuracy on belebele (means over 5 of 6)",
        "The newest state has no NASCA on flores200",
    ):  # fmt: skip
        assert sentence in text, sentence
    assert "step-600" not in text


def test_without_steps_and_dates_no_order_is_made_up(tmp_path: Path) -> None:
    answers = drawn(["one", "two"], seed=1)
    run = write(tmp_path / "run", answers=answers)
    section = training(page_of(run))
    assert "The order of one, two is not known" in said(section.parts)
    assert not [part for part in section.parts if isinstance(part, Sheet) and "trend" in part.name]
    (run / "watch.json").write_text("{", encoding="utf-8")
    assert "watch.json is damaged" in said(training(page_of(run)).parts)
    write(run, dates={"two": "2026-01-01T00:00:00Z", "one": "2026-01-20T00:00:00Z"})
    page = page_of(run)
    assert said(training(page).parts).startswith("one against two: accuracy on belebele")
    history = sheets(training(page).parts)["trends_history-m--one"]
    assert history["date"].tolist() == ["2026-01-20", "2026-01-01"]
    (picture,) = (one for one in page.pictures if one.name == "trend-m--one-accuracy")
    axes = picture.figure.axes[0]
    assert axes.get_xlabel() == "date"
    assert isinstance(axes.xaxis.get_major_formatter(), ConciseDateFormatter)
    days = [date2num(datetime(2026, 1, day)) for day in (1, 20)]
    assert axes.lines[0].get_xdata().tolist() == pytest.approx(days)


def test_two_models_have_a_part_each_and_other_studies_have_the_section_too(tmp_path: Path) -> None:
    first = both(tmp_path / "one", 2)
    second = write(tmp_path / "two", answers=drawn(steps(2), seed=3), model="m/two")
    headings = [
        part.text for part in training(page_of(first, second)).parts if isinstance(part, Heading)
    ]
    assert [text.partition(":")[0] for text in headings[:2]] == ["m/one", "m/two"]
    worlds = [
        latent_rows.World(
            revision=name, accuracy=latent_rows.accuracies(best=best), layers=(2, 4), items=20,
            sample=4, coefficients=(2.0,), controls=(),
        )
        for name, best in zip(steps(2), (0.6, 0.8), strict=True)
    ]  # fmt: skip
    run = latent_rows.write(tmp_path / "latent", *worlds)
    section = training(page_of(run))
    pictures = {part.name for part in plain(section.parts) if isinstance(part, Picture)}
    assert {f"trend-m--one-{name}" for name in ("accuracy", "consistency", "transfer")} <= pictures


def test_of_many_states_everything_else_shows_the_last_ones(tmp_path: Path) -> None:
    count = MOST_STATES + 3
    page = page_of(both(tmp_path / "run", count))
    assert page.warnings[0].startswith(f"m/one ({count} states): all states are under")
    history = sheets(training(page).parts)["trends_history-m--one"]
    assert len(history) == count
    labels = page.files["correlations"]["revision"].unique()
    assert sorted(labels) == sorted(steps(count)[3:])
    (figure,) = (one for one in page.pictures if one.name.startswith("training-"))
    lines = [line for line in figure.figure.axes[0].lines if len(line.get_xdata()) == count]
    assert len(lines) == 1


def test_a_thousand_states_take_seconds_and_fold(tmp_path: Path) -> None:
    run = both(tmp_path / "run", 1000, items=5)
    began = process_time()
    built = report.build([run])
    assert process_time() - began < SECONDS
    page = built.pages[0].page
    parts = {part.name: part for part in training(page).parts if isinstance(part, Sheet)}
    assert len(parts["trends_history-m--one"].frame) == 1000
    assert all(
        part.collapsed for part in training(page).parts
        if isinstance(part, Sheet) and len(part.frame) > 24
    )  # fmt: skip
    assert len(page.files["trends_changes-m--one"]) == 2 * (999 + 998)
    (picture,) = (one for one in page.pictures if one.name == "trend-m--one-accuracy")
    axes = picture.figure.axes[0]
    assert len(axes.lines[0].get_xdata()) == 1000 and not axes.lines[0].get_marker().strip("None")
    assert len(axes.get_xticks()) <= 10


def test_the_page_is_written_with_its_files(tmp_path: Path) -> None:
    files = report.write(report.build([both(tmp_path / "run", 2)]), out=tmp_path / "out")
    names = {path.name for path in files.tables}
    assert {"trends-m--one.csv", "trends_changes-m--one.csv", "trends_history-m--one.csv"} <= names
    assert (tmp_path / "out" / "figures" / "trend-m--one-accuracy.svg").is_file()
    html = files.html.read_text()
    assert html.index("step-200 against step-100") < html.index("Coverage of the paper</h2>")
    changes = pd.read_csv(tmp_path / "out" / "tables" / "trends_changes-m--one.csv")
    expected = trends.changes([tmp_path / "run"])
    assert changes["p_corrected"].to_numpy() == pytest.approx(expected["p_corrected"].to_numpy())


@pytest.mark.parametrize(
    ("text", "measure", "of", "by", "either"),
    [
        ("nasca -0.05", "nasca", "", -0.05, False),
        ("accuracy/belebele +0.02", "accuracy", "belebele", 0.02, False),
        ("accuracy/harness/m_arc 1e-2", "accuracy", "harness/m_arc", 0.01, True),
        ("  CLAS gain -.5 ", "clas gain", "", -0.5, False),
    ],
)
def test_a_threshold_is_a_measure_and_a_number(
    text: str, measure: str, of: str, by: float, either: bool
) -> None:
    assert trends.threshold(text) == trends.Threshold(measure, of, by, either)


@pytest.mark.parametrize("text", ["", "nasca", "-0.05", "nasca 0", "nasca -x", "nasca - 0.05"])
def test_what_is_no_threshold_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"no threshold can be read .* such as 'nasca -0.05'"):
        trends.threshold(text)


def test_what_moved_by_more_than_a_threshold_is_found_in_its_direction(tmp_path: Path) -> None:
    scores = {name: dict.fromkeys(LANGUAGES, value)
              for name, value in zip(steps(3), (0.5, 0.7, 0.6), strict=True)}  # fmt: skip
    run = write(tmp_path / "run", answers=drawn(steps(3), seed=1), scores=scores)
    last = trends.changes([run], model="m/one", revision="step-300")
    found = trends.crossed(last, ["nasca -0.05", "nasca +0.05", "nasca 0.05", "nasca -0.2"])
    assert found["threshold"].tolist() == ["nasca -0.05", "nasca 0.05"]
    assert found["change"].tolist() == pytest.approx([-0.1, -0.1])
    assert set(found["other"]) == {"step-200"} and set(found["against"]) == {"last"}
    assert trends.crossed(last, []).empty
    earlier = trends.changes([run], revision="step-200")
    assert len(trends.crossed(earlier, ["nasca/flores200 +0.15"])) == 1
    with pytest.raises(ValueError, match=r"nothing here is called nasac .* these rows have"):
        trends.crossed(last, ["nasac -0.05"])
    with pytest.raises(ValueError, match="nothing here is called nasca/tatoeba"):
        trends.crossed(last, ["nasca/tatoeba -0.05"])
    assert trends.crossed(trends.changes([run], revision="step-100"), ["nasca -0.1"]).empty


@pytest.mark.parametrize("name", [r"$\frac{1$", "<b>{{ 7 * 7 }}", "模型 " + "x" * 200])
def test_any_name_of_a_model_is_text_on_the_page_and_in_files(tmp_path: Path, name: str) -> None:
    run = write(tmp_path / "run", answers=drawn(steps(2), seed=1, items=10), model=name)
    files = report.write(report.build([run]), out=tmp_path / "out")
    html = files.html.read_text(encoding="utf-8")
    assert escape(f"{name}: 2 states, the newest step-200") in html
    assert any(path.name.startswith("trends_changes") for path in files.tables)


def test_two_names_that_make_one_file_name_keep_a_figure_each(tmp_path: Path) -> None:
    runs = [
        write(tmp_path / str(number), answers=drawn(steps(2), seed=number), model=name)
        for number, name in enumerate(("m/a", "m--a"))
    ]
    page = page_of(*runs)
    names = [part.name for part in page.pictures if part.name.startswith("trend-")]
    assert len(names) == len(set(names)) == 2
    assert len([name for name in page.files if name.startswith("trends_changes")]) == 2


def test_folds_are_for_figures_beyond_the_first(tmp_path: Path) -> None:
    section = training(page_of(both(tmp_path / "run", 2)))
    assert not any(isinstance(part, Fold) for part in section.parts)
