"""The CLAS page: what it says and holds of planted gains, with all rows, some, or none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import published_clas, read, report, terminal
from analysis.clas import figures, frames
from analysis.exhibits import clas
from analysis.layout import tables
from analysis.layout.material import Material
from analysis.layout.page import Page
from analysis.published import AVERAGE
from tests.makers.pages import all_said, in_terminal, sheets
from tests.makers.scaled_rows import HOW, LANGUAGES, PIVOT, WRITTEN, World, text, write

CHOICES = World(model="Qwen/Qwen2.5-7B-Instruct")
TEXTS = World(model="m/other", benchmark=WRITTEN, prompt="question", random=(0, 1), mixed=())
STILL = replace(CHOICES, shared=0.0)
POINT = 100 / CHOICES.items
EXHIBITS = ["Controls", "Choice of the strength", "Label prior", "The anchor rescaled", "Int-mu"]
EXHIBITS += ["Manner of writing", "Stability of the categories"]


def material_of(run: Path) -> Material:
    return Material(read.rows([run]))


def page_of(run: Path) -> Page:
    return clas.PAGE.build(material_of(run))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("store") / "run", CHOICES, TEXTS)


@pytest.fixture(scope="module")
def material(run: Path) -> Material:
    return material_of(run)


@pytest.fixture(scope="module")
def page(material: Material) -> Page:
    return clas.PAGE.build(material)


def test_every_table_and_figure_of_the_paper_and_every_control_is_filled(page: Page) -> None:
    index = sheets(page.sheets)["what_is_here"].set_index("exhibit")
    assert len(index) == 10 and index["here"].eq("filled").all(), index
    assert all(page.exhibits[name].state != "empty" for name in EXHIBITS)
    kinds = {picture.name.split("-")[0] for picture in page.pictures}
    assert kinds == {
        "categories", "alignment", "alignment_and_gain", "plane", "strengths", "doses", "gain_map",
        "controls", "option_shares",
    }  # fmt: skip
    kept = {"gains_by_language", "random_neurons_by_language", "alignment", "prior_by_language"}
    kept |= {"strengths_by_language", "table_1_beside_the_paper", "option_shares_by_language"}
    assert kept <= set(page.files) and all(len(page.files[name]) for name in kept)


def test_gains_are_those_planted(material: Material) -> None:
    found = material.get(frames.gains)
    own = found[(found["scheme"] == "clas") & (found["metric"] == "accuracy")]
    changes = own.set_index("language")["change"]
    assert changes.to_dict() == pytest.approx({k: v * POINT for k, v in CHOICES.gains.items()})
    assert own.set_index("language")["gained"].to_dict() == dict(CHOICES.gains)
    assert own["before"].tolist() == pytest.approx([50.0] * 6)
    # McNemar's exact p of six items gained and none lost is 2 / 2^6, one of six tests.
    first = own.set_index("language").loc["deu_Latn"]
    assert first["p"] == pytest.approx(2 / 64) and first["p_bh"] == pytest.approx(6 * 2 / 64)
    means = material.get(frames.tests).set_index(["metric", "scheme"])
    assert means.loc[("accuracy", "clas"), "change"].item() == pytest.approx(3.5 * POINT)
    assert means.loc[("f1", "clas"), "change"].item() == pytest.approx(3.5 * POINT)
    # Of written answers with half of F1 for what is wrong, the gain is half as large.
    assert means.loc[("f1_mixed", "clas"), "change"].item() == pytest.approx(1.75 * POINT)
    assert means.loc[("accuracy", "intmu_mean"), "change"].item() == pytest.approx(-POINT)
    # Six changes of one sign: 2 of 2^6 orders of signs are as far apart.
    assert means.loc[("accuracy", "clas"), "wilcoxon_p"].item() == pytest.approx(2 / 64)


def test_the_gain_stands_among_the_draws_of_controls(material: Material) -> None:
    found = material.get(frames.chance)
    own = found[found["metric"] == "accuracy"].set_index("control")
    assert own.loc["random", "draws"] == 5 and own.loc["random", "percentile"] == 1
    assert own.loc["random", "p"] == pytest.approx(1 / 6)
    assert own.loc["random", "mean"] == pytest.approx(0.4 * POINT)
    assert own.loc["mixed", "draws"] == 2 and own.loc["mixed", "most"] == pytest.approx(POINT)
    each = material.get(frames.chance_by_language).set_index(["metric", "control", "language"])
    # One item gained in Chinese: two draws of five are below, one equals, one is above.
    last = each.loc[("accuracy", "random", "zho_Hans")]
    assert last["percentile"] == pytest.approx((3 + 0.5) / 5)
    # The draws of written answers have no number, and still are two.
    assert found[found["metric"] == "f1"]["draws"].tolist() == [2]


def test_tables_have_the_papers_average_with_the_anchor_and_spread_without(page: Page) -> None:
    joined = page.files["table_1_beside_the_paper"]
    cells = joined.set_index(["language", "column"])
    assert cells.loc[(AVERAGE, "base"), "value"].item() == pytest.approx(50)
    assert cells.loc[(AVERAGE, "clas"), "value"].item() == pytest.approx(21 * POINT / 7)
    after = [50 + gain * POINT for gain in CHOICES.gains.values()]
    assert cells.loc[("SD", "clas"), "value"].item() == pytest.approx(np.std(after, ddof=1))
    printed = published_clas.cells()
    theirs = printed[(printed["model"] == published_clas.QWEN) & (printed["column"] == "clas")]
    german = theirs[(theirs["language"] == "deu_Latn") & (theirs["benchmark"] == "XNLI")]
    assert cells.loc[("deu_Latn", "clas"), "published"].item() == german["published"].item() == 0.77
    # The paper's mean is over other languages.
    assert cells.loc[(AVERAGE, "base"), "published"].item() == pytest.approx(59.93)
    assert np.isnan(cells.loc[(AVERAGE, "base"), "difference"].item())
    sheet = next(one for one in page.sheets if one.name.startswith("table_1-"))
    assert sheet.frame["language"].tolist()[-2:] == [AVERAGE, "SD"]
    assert sheet.small is not None
    below = dict(zip(sheet.frame["language"], sheet.small["CLAS"], strict=True))
    assert "paper .77" in below["deu_Latn"] and "p .19" in below["deu_Latn"]
    tests = next(one for one in page.sheets if one.name == "table_1_tests").frame
    assert tests.set_index("method").loc["CLAS", "p_paper"] == "< 0.001"
    assert "paper" not in " ".join(
        text for one in page.sheets if one.name.startswith("table_2-") and one.small is not None
        for text in one.small.to_numpy().ravel()
    )  # fmt: skip


def test_the_choice_of_a_strength_has_its_optimism(material: Material) -> None:
    found = material.get(frames.choices).set_index(["metric", "way"])
    own = found.loc[("accuracy", "clas")]
    assert own["shared"] == -0.4 and own["specific"] == 0.2 and not own["edge"]
    assert own["tuning"] == pytest.approx(10) and own["held_out"] == pytest.approx(3.5 * POINT)
    assert own["optimism"] == pytest.approx(10 - 3.5 * POINT)
    assert np.isnan(found.loc[("accuracy", "clas_on_anchor"), "optimism"])
    line = material.get(frames.line)
    assert line[line["metric"] == "accuracy"]["shared"].tolist() == [-0.8, -0.4, 0.0, 0.4, 0.8]
    assert line[line["chosen"]]["shared"].tolist() == [-0.4, -0.4]
    doses = material.get(frames.doses)
    assert set(doses["kind"]) == {"shared alone", "specific alone"}
    assert set(doses["metric"]) == {"accuracy"}


def test_the_figure_of_strengths_has_a_star_and_names_what_flips(material: Material) -> None:
    rows = tables.with_label(material.get(frames.line))
    rows = rows[rows["metric"] == "accuracy"]
    (axes,) = figures.draw_strengths(material, rows, "xnli").axes
    (star,) = [one for one in axes.get_lines() if one.get_marker() == "*"]
    assert star.get_xdata()[0] == -0.4 and star.get_ydata()[0] == pytest.approx(60)
    assert [text.get_text() for text in axes.texts] == []
    wide = pd.concat([rows, rows.iloc[:1].assign(shared=-2.4, specific=1.2)])
    wide = pd.concat([wide, rows.iloc[-1:].assign(shared=2.4, specific=-1.2)])
    (axes,) = figures.draw_strengths(material, wide, "xnli").axes
    assert [text.get_text() for text in axes.texts] == ["shared flips", "specific flips"]


def test_alignment_goes_with_the_gain_as_planted(material: Material) -> None:
    fits = material.get(frames.fits).set_index(["metric", "where", "aggregation"])
    up = fits.loc[("accuracy", "rescaled", "mean_of_cos")]
    assert up["r"] == pytest.approx(1) and up["slope"] == pytest.approx(1) and up["n"] == 6
    down = fits.loc[("accuracy", "resid", "cos_of_means")]
    assert down["r"] == pytest.approx(-1) and down["spearman"] == pytest.approx(-1)
    joined = material.get(frames.with_gains)
    assert joined["gain_scaled"].abs().max() == joined["change_scaled"].abs().max() == 1
    clusters = material.get(frames.clusters)
    assert clusters["silhouette_change"].to_numpy() == pytest.approx(-0.1)
    halves = material.get(frames.stability)
    halves = halves[halves["part"] == "half"]
    assert halves["jaccard_specific"].to_numpy() == pytest.approx(0.4)
    assert halves["layers"].tolist() == [2, 2]


def test_a_gain_of_ability_survives_correction_of_the_prior(material: Material) -> None:
    means = material.get(frames.prior_means).set_index("quantity")
    assert means.loc["corrected", "change"] == pytest.approx(3.5 * POINT)
    assert means.loc["accuracy", "change"] == pytest.approx(3.5 * POINT)
    shares = material.get(frames.shares)
    assert shares.groupby("language")[["before", "after", "gold"]].sum().to_numpy() == (
        pytest.approx(1)
    )


def test_answers_are_shown_and_their_manner_counted(material: Material, page: Page) -> None:
    examples = material.get(frames.examples)
    assert examples["language"].tolist() == ["deu_Latn", "deu_Latn"]
    assert examples["before"].tolist() == ["nothing 30", "nothing 31"]
    assert examples["after"].tolist() == examples["right"].tolist() == ["answer 30", "answer 31"]
    found = material.get(frames.manner_means).set_index("quantity")
    assert found.loc["stopped", "before"] == pytest.approx(0.5)
    assert found.loc["stopped", "change"] == pytest.approx(3.5 / 60)
    assert found.loc["repetition", "after"] == pytest.approx(0.25)
    assert "in_language" not in found.index
    assert sheets(page.sheets)["manner"]["quantity"].tolist()[0] == "prompt was cut"


def test_a_clear_gain_is_said_to_survive_the_correction_or_not(tmp_path: Path) -> None:
    clear = {code: 12 + gain for code, gain in CHOICES.gains.items()}
    both = page_of(write(tmp_path / "run", replace(CHOICES, gains=clear), TEXTS))
    said = " ".join(both.summary)
    assert "the gain survives the correction" in said and said.count("No gain is shown.") == 1
    assert "above 0 in 1 of 2 results" in said
    assert "1 of 1 such gains of accuracy above 0 survive correction" in said


def test_the_summary_is_a_sentence_to_quote_and_warnings_stand_below(page: Page) -> None:
    said = " ".join(page.summary)
    line = f"CLAS changes the accuracy of Qwen/Qwen2.5-7B-Instruct by {3.5 * POINT:+.2f} percentage"
    assert line in said and "over 6 languages but the anchor" in said
    assert "more than 100 % of 5 draws of as many random neurons (one-sided p = 0.167)" in said
    assert f"Once each option's prior is taken off, the change is {3.5 * POINT:+.2f}" in said
    # Few items move, and the same in all languages: over items as well as languages it may be none.
    assert said.count("No gain is shown.") == 2 and "surviv" not in said
    assert "above 0 in 0 of 2 results" in said and said.endswith("(p < .05) in 0 of 2.")
    warned = " ".join(page.warnings)
    assert "Few languages: means and correlations are over 6 languages." in warned
    assert "language-specific neurons of Qwen/Qwen2.5-7B-Instruct (0.40)" in warned
    assert "Strength 0" not in warned and "Edge" not in warned and "Signs" not in warned
    assert "activity=mean_signed" in all_said(page) or any(
        "activity=mean_signed" in line for line in page.sections[-1].parts[0].lines  # type: ignore[union-attr]
    )  # fmt: skip


def test_where_the_strength_is_0_there_is_no_finding(tmp_path: Path) -> None:
    page = page_of(write(tmp_path / "run", STILL))
    said = " ".join(page.summary)
    assert "the chosen strength is 0, nothing is changed" in said and "CLAS changes" not in said
    assert any(line.startswith("Strength 0: Qwen/Qwen2.5-7B-Instruct on xnli") for line in (
        page.warnings
    ))  # fmt: skip
    index = sheets(page.sheets)["what_is_here"].set_index("exhibit")
    for name in ("Figures 2 and 8", "Figure 3", "Figure 4", "Figure 7"):
        assert index.loc[name, "here"] == "empty"
        assert "the chosen strength is 0" in index.loc[name, "what is missing"]
    assert index.loc["Table 1", "here"] == "partly" and index.loc["Figure 5", "here"] == "filled"
    assert page.exhibits["Controls"].state == page.exhibits["Label prior"].state == "empty"
    (sheet,) = [one for one in page.sheets if one.name.startswith("table_1-")]
    assert sheet.frame.get("CLAS", pd.Series(dtype=float)).isna().all()
    gains = page.files["gains_by_language"]
    assert gains[gains["scheme"] == "clas"]["idle"].all()
    assert page.main[0].frame["CLAS"].tolist() == ["unchanged"]


def test_without_controls_every_table_is_there_and_says_what_is_not(tmp_path: Path) -> None:
    plain = replace(CHOICES, random=(), mixed=(), controls=())
    page = page_of(write(tmp_path / "run", plain, leave=["categories", "scaled_points"]))
    assert "no random neurons were drawn to compare it with" in " ".join(page.summary)
    assert page.exhibits["Controls"].missing.startswith("No controls were run (--part controls)")
    assert "--control clas_in_anchor" in page.exhibits["The anchor rescaled"].missing
    assert "--part neurons" in page.exhibits["Figure 1"].missing
    assert page.exhibits["Table 1"].state == page.exhibits["Figure 3"].state == "filled"
    assert "--benchmark xquad" in page.exhibits["Table 2"].missing


def test_a_language_without_neurons_has_no_int_mu_and_is_named(tmp_path: Path) -> None:
    world = replace(CHOICES, intmu=dict.fromkeys(LANGUAGES[:4], 2))
    refused = {
        "key": "lost", "table": "items", "model": CHOICES.model, "revision": "main",
        "benchmark": "xnli", "language": "zho_Hans", "intervention": "intmu_mean", "attempts": 1,
        "pivot": PIVOT, "error": "Int-mu has no neurons of zho_Hans: none was selected",
    }  # fmt: skip
    page = page_of(write(tmp_path / "run", world, errors=[refused]))
    cells = page.files["table_1_beside_the_paper"].set_index(["language", "column"])
    assert ("zho_Hans", "int_mu") not in cells.index or cells.loc[
        [("zho_Hans", "int_mu")], "value"
    ].isna().all()
    # Four languages that gain two items each, and the anchor.
    assert cells.loc[(AVERAGE, "int_mu"), "value"].item() == pytest.approx(8 * POINT / 5)
    sheet = next(one for one in page.sheets if one.name.startswith("table_1-"))
    assert sheet.small is not None
    assert "5 languages" in sheet.small["Int-mu"].tolist()[-2]
    said = all_said(page)
    assert "Int-mu has no neurons of some languages" in said and "tha_Thai, zho_Hans" in said
    assert "1 cell of Int-mu could not be run" in said


def test_prompts_models_and_benchmarks_stay_apart(tmp_path: Path) -> None:
    other = replace(CHOICES, prompt="letter", gains=dict.fromkeys(LANGUAGES, -9))
    material = material_of(write(tmp_path / "run", CHOICES, other, TEXTS))
    means = material.get(frames.tests)
    own = means[(means["scheme"] == "clas") & (means["metric"] == "accuracy")]
    assert dict(zip(own["prompt"], own["change"], strict=True)) == pytest.approx(
        {"digit": 3.5 * POINT, "letter": -9 * POINT}
    )
    page = clas.PAGE.build(material)
    names = [one.name for one in page.sheets if one.name.startswith("table_1-")]
    assert len(names) == 2 and {"digit", "letter"} == {name.rsplit("-")[-1] for name in names}
    # The table of states has no prompt, so nobody knows whose they are.
    assert set(material.get(frames.with_gains)["benchmark"]) == {WRITTEN}
    assert "p_paper" in sheets(page.sheets)["table_1_tests"]
    printed = page.files["table_1_beside_the_paper"].dropna(subset="published")
    assert set(printed["prompt"]) == {"digit"}
    said = " ".join(page.summary)
    assert "That is a loss." in said and "Qwen/Qwen2.5-7B-Instruct (prompt letter) by -15" in said
    assert "m/other by" in said


def test_answers_at_chance_and_an_edge_are_warned_of(tmp_path: Path) -> None:
    world = replace(CHOICES, right=20, shared=-0.8)
    page = page_of(write(tmp_path / "run", world))
    assert page.warnings[0].startswith("Chance: the plain answers are not above chance")
    assert any(line.startswith("Edge:") and "shared -0.8" in line for line in page.warnings)
    flipped = replace(CHOICES, shared=-1.2)
    page = page_of(write(tmp_path / "flipped", flipped))
    assert any(line.startswith("Signs:") for line in page.warnings)


@pytest.mark.parametrize("leave", ["answers", "all"])
def test_an_empty_store_says_what_would_fill_every_exhibit(tmp_path: Path, leave: str) -> None:
    tables = ["items", "generations", "tuning", "scaled_states", "scaled_points"]
    tables += ["categories"] if leave == "all" else []
    run = write(tmp_path / "run", CHOICES, leave=tables)
    page = page_of(run)
    shown = page.exhibits
    empty = [one for one in shown.values() if one.state == "empty"]
    assert len(empty) == len(shown) - (0 if leave == "all" else 2)
    assert all(one.missing.startswith("Empty: ") and "--" in one.missing for one in empty)
    assert terminal.main_tables(report.build([run])) == [clas.PAGE.no_main]
    said = " ".join(page.summary)
    assert ("covers no neurons" if leave == "all" else "No held-out answers") in said


def test_the_report_and_the_terminal_choose_this_page(run: Path, tmp_path: Path) -> None:
    files = report.write(report.build([run]), out=tmp_path / "out")
    html = files.html.read_text(encoding="utf-8")
    assert clas.PAGE.title in html and len(files.figures) >= 2 * 9
    gains = pd.read_csv(tmp_path / "out" / "tables" / "gains_by_language.csv")
    assert set(gains["switches"]) == {text(**HOW)} or len(gains)
    shown = in_terminal(run)
    assert f"{3.5 * POINT:+.2f} [" in shown and "100 %" in shown
    # Draws of one control are no second answers to the same question.
    assert not read.rows([run]).notes
