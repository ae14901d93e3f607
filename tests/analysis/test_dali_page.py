"""The DALI page: what it says of planted rows, of parts of them, and of none."""

from pathlib import Path

import pandas as pd
import pytest

from analysis import pages, read, report, terminal
from analysis.dali import alignment, frames, gap_frames, patch_frames, regressions
from analysis.dali.text import FEW_FAILURES
from analysis.exhibits import dali
from analysis.layout.material import Material
from analysis.layout.page import Page
from analysis.statistics import correlate, gaps
from tests.makers import dali_rows
from tests.makers.dali_rows import BEST, LANGUAGES, LAYERS, World
from tests.makers.latent_rows import write_shard
from tests.makers.pages import all_said, in_terminal, sheets

WRONG = dict(zip(LANGUAGES, (40, 32, 24, 16, 0), strict=True))
TWO = World(wrong=WRONG)
FOUR = World(wrong=WRONG, benchmark="mini_belebele", options=4, prompt="letter",
             patch_prompt="letter")  # fmt: skip
OTHER = World(wrong={"deu_Latn": 30, "fra_Latn": 20}, model="m/two")
TABLES = ("option_alignment", "items", "patches")


def page_of(*runs: Path) -> Page:
    return dali.PAGE.build(Material(read.rows(list(runs))))


def material_of(folder: Path, *worlds: World) -> Material:
    return Material(read.rows([dali_rows.write(folder, *worlds)]))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dali_rows.write(tmp_path_factory.mktemp("store") / "run", TWO, FOUR, OTHER)


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return page_of(run)


@pytest.fixture(scope="module")
def held(run: Path) -> Material:
    return Material(read.rows([run]))


def test_every_exhibit_is_there_or_says_why(page: Page) -> None:
    index = sheets(page.sheets)["what_is_here"].set_index("exhibit")
    assert len(index) == len(dali.PAGE.paper)
    assert index.drop("Translation quality")["here"].eq("filled").all()
    assert "babelscope run generate" in index.loc["Translation quality", "what is missing"]
    states = {name: one.state for name, one in page.exhibits.items()}
    assert states.pop("Translation quality") == "empty" and set(states.values()) == {"filled"}
    names = {sheet.name for sheet in page.sheets}
    assert {"alignment", "reduced_options", "transfer_gaps", "alignment_correlations"} <= names
    assert {"patching_layers", "patching_chosen", "symbols", "contrasts", "regressions"} <= names
    kinds = {picture.name.partition("-")[0] for picture in page.pictures}
    assert {"alignment_by_layer", "alignment_rules", "transfer_gap", "transfer_gap_languages",
            "alignment_accuracy", "patching", "patching_symbols", "patching_contrasts",
            "patching_languages", "transfer_gap_by_layer"} <= kinds  # fmt: skip
    for picture in page.pictures:
        assert picture.figure.axes


def test_levels_and_controls_are_those_planted(held: Material) -> None:
    means = held.get(alignment.rule_means)
    own = means[(means["measure"] == "dali") & (means["benchmark"] == TWO.benchmark)]
    own = own[own["model"] == "m/one"].iloc[0]
    shares = []
    for language in WRONG:
        hits = [TWO.aligned(language, item, BEST) for item in range(80)]
        shares.append(sum(hits) / 80)
    assert own["share"] == pytest.approx(sum(shares) / 5) and own["layer"] == f"{BEST} (5 of 5)"
    assert own["chance"] == pytest.approx(1 / 6)
    assert own["kappa"] == pytest.approx((own["share"] - 1 / 6) / (5 / 6))
    assert (own["permuted"], own["mismatched"]) == (0, pytest.approx(0.1))
    reduced = held.get(frames.levels)
    assert set(reduced.loc[reduced["measure"] == "dali_2", "benchmark"]) == {FOUR.benchmark}


def test_gaps_are_those_planted_and_languages_without_failures_have_none(
    held: Material, page: Page
) -> None:
    tests = held.get(gap_frames.gap_tests)
    own = tests[(tests["measure"] == "dali") & (tests["model"] == "m/one")]
    own = own[own["benchmark"] == TWO.benchmark].set_index("language")
    for language, count in WRONG.items():
        row = own.loc[language]
        # Items 72 to 79 the pivot answers wrong: they are neither.
        right = [TWO.aligned(language, item, BEST) for item in range(count, 72)]
        wrong = [TWO.aligned(language, item, BEST) for item in range(count)]
        assert (row["n_success"], row["n_failure"]) == (len(right), len(wrong))
        assert row["layer"] == BEST
        if not wrong:
            assert pd.isna(row["gap"]) and pd.isna(row["p"]) and pd.isna(row["p_permutation"])
            continue
        assert row["gap"] == pytest.approx(sum(right) / len(right) - sum(wrong) / len(wrong))
        assert row["p"] == gaps.z_test(sum(right), len(right), sum(wrong), len(wrong))
        assert row["held_layer"] == BEST and row["held_gap"] > 0.2
        assert row["p_largest"] <= 0.01 and row["p"] <= row["p_bh"]
    said = all_said(page)
    assert "no gap in swh_Latn (1 of 5), as no item there fails to transfer" in said
    assert "4 of 4 testable languages of m/one on mini_xstorycloze" in said


def test_correlations_are_over_languages_without_the_pivot(held: Material, page: Page) -> None:
    found = held.get(frames.correlations)
    own = found[(found["model"] == "m/one") & (found["measure"] == "dali")]
    assert (own["n"] == 5).all() and (own["r"] > 0.99).all()
    few = found[found["model"] == "m/two"]
    assert (few["n"] == 2).all() and few["r"].isna().all()
    assert "at least 3 are needed" in all_said(page)
    assert any("Few languages" in line and "2, 5" in line for line in page.warnings)


def test_patching_says_what_is_more_than_a_symbol_and_never_of_the_last_layer(
    held: Material, page: Page
) -> None:
    chosen = held.get(patch_frames.TOGETHER["chosen"])
    assert (chosen["layer"] == BEST).all()
    rates = held.get(patch_frames.TOGETHER["rates"])
    last = rates[rates["layer"] == LAYERS]
    assert last["uninformative"].all() and not rates.drop(last.index)["uninformative"].any()
    assert last.loc[last["intervention"] == "matched", "correction"].eq(1).all()
    said = " ".join(page.summary)
    assert f"turn right at layer {BEST}, chosen on the other half of the items" in said
    assert "more than with another question of the same symbol" in said
    assert f"layer {LAYERS}" not in said
    layers = sheets(page.sheets)["patching_layers"]["layer"]
    assert f"{LAYERS} (source's answer)" in set(layers)
    assert "this protocol is a reconstruction" in all_said(page)
    assert "not comparable with printed ones" in all_said(page)
    contrast = held.get(patch_frames.TOGETHER["contrasts"])
    best = contrast[(contrast["layer"] == BEST) & (contrast["control"] == "same_symbol")]
    assert (best["difference"] > 0.15).all() and (best["p_bh"] < 0.05).all()


def test_few_failures_are_said(page: Page) -> None:
    warned = next(line for line in page.warnings if line.startswith("Few failures"))
    assert f"below {FEW_FAILURES}" in warned and "2 of 5 languages of m/one" in warned
    assert "(1 without any)" in warned
    assert "no failure to correct in swh_Latn" in all_said(page)


def test_regressions_read_plainly(held: Material, page: Page) -> None:
    found = held.get(regressions.coefficients)
    logistic = found[(found["regression"] == "logistic") & (found["term"] == "alignment")]
    assert len(logistic) and (logistic["low"] > 0).all()
    assert (found["layer"] == BEST).all()
    assert "a standard deviation more alignment goes with +" in all_said(page)
    assert "clear of no effect" in all_said(page)


def test_regressions_know_length_and_script(held: Material) -> None:
    found = held.get(regressions.coefficients).groupby("regression")["term"].agg(set)
    assert found["linear probability"] == {*regressions.TERMS}
    assert found["logistic"] == {*regressions.TERMS} - {"other_script"}


def test_groups_of_resources_are_correlated_apart(held: Material, page: Page) -> None:
    """Four of the five languages have high resources; one alone has no correlation."""
    scores, found = held.get(frames.scores), held.get(frames.resource_correlations)
    for place, group in found.groupby(["model", "benchmark", "measure", "pool"]):
        own = scores[(scores[["model", "benchmark", "measure", "pool"]] == place).all(axis=1)]
        high = own[own["language"] != "swh_Latn"]
        expected = correlate.pearson(high["score"].to_numpy(), y=high["accuracy"].to_numpy())
        counted = group.set_index("resource")["n"].to_dict()
        if place[0] == "m/one":
            assert counted == {"high (classes 3 to 5)": 4, "low (classes 0 to 2)": 1}
        (high_row,) = group[group["resource"] == "high (classes 3 to 5)"].to_dict("records")
        assert high_row["r"] == pytest.approx(expected.r, nan_ok=True)
    assert sheets(page.sheets)["alignment_correlations_by_resource"]["languages"].min() >= 3


def test_the_terminal_has_one_row_per_model_and_benchmark(run: Path) -> None:
    text = in_terminal(run)
    rows = [line for line in text.splitlines() if "m/" in line]
    assert len(rows) == 3 and sum("m/two" in line for line in rows) == 1
    assert "(4 of 4)" in text


def test_several_prompts_poolings_and_models_are_never_mixed(tmp_path: Path) -> None:
    weighted = World(
        wrong={"deu_Latn": 8, "fra_Latn": 8}, key="/w",
        pooling='{"dali_pool":"weighted","xcopa_connectors":"correct"}',
    )  # fmt: skip
    letter = World(wrong={"deu_Latn": 60, "fra_Latn": 60}, prompt="latent", key="/l")
    runs = [
        dali_rows.write(tmp_path / "a", World(wrong={"deu_Latn": 20, "fra_Latn": 20})),
        dali_rows.write(tmp_path / "b", weighted, parts=["option_alignment"]),
        dali_rows.write(tmp_path / "c", letter, parts=["items"]),
    ]
    held = Material(read.rows(runs))
    tests = held.get(gap_frames.gap_tests)
    own = tests[tests["measure"] == "dali"]
    assert len(own) == 2 * 2 * 2
    assert own.groupby("prompt")["n_failure"].unique().map(list).to_dict() == {
        "cloze": [20], "latent": [60],
    }  # fmt: skip
    page = dali.PAGE.build(held)
    assert {"prompt", "switches"} <= set(sheets(page.sheets)["alignment"].columns)
    (main,) = page.main
    assert len(main.frame) == 4 and {"prompt", "switches"} <= set(main.frame.columns)


def test_every_part_alone_and_nothing_at_all_make_pages(tmp_path: Path) -> None:
    for table, filled in zip(TABLES, ("Alignment by layer", "", "Patching"), strict=True):
        page = page_of(dali_rows.write(tmp_path / table, OTHER, parts=[table]))
        states = {name: one.state for name, one in page.exhibits.items()}
        assert not filled or states[filled] in ("filled", "partly")
        assert states["Regressions"] == states["Transfer gap"] == "empty"
        assert all(one.missing for one in page.exhibits.values() if one.state == "empty")
    alone = page_of(tmp_path / TABLES[0])
    assert "--part answers" in alone.exhibits["Transfer gap"].missing
    assert "No answers to the same items" in " ".join(alone.summary)
    empty = dali_rows.write(tmp_path / "empty")
    page = page_of(empty)
    assert "no alignment of options and no patched answers" in page.summary[0]
    assert not page.warnings and {one.state for one in page.exhibits.values()} == {"empty"}
    assert terminal.main_tables(report.build([empty])) == [dali.PAGE.no_main]


def test_without_failures_and_with_one_language_the_page_stands(tmp_path: Path) -> None:
    world = World(wrong={"deu_Latn": 0}, pivot_wrong=0, items=24)
    page = page_of(dali_rows.write(tmp_path / "run", world))
    said = all_said(page)
    assert "there is no gap to test" in said and "no failure to correct in deu_Latn" in said
    assert "turn right at layer" not in " ".join(page.summary)
    missing = page.exhibits["Regressions"].missing
    assert missing.count("too few") == 2 and "no logistic regression, as" in missing
    for picture in page.pictures:
        assert picture.figure.axes
    one = World(wrong={"deu_Latn": 80}, items=200)
    assert "there is one language" in all_said(page_of(dali_rows.write(tmp_path / "one", one)))


def test_reference_values_stand_beside_the_papers_model_alone(tmp_path: Path) -> None:
    llama = World(wrong=WRONG, model="meta-llama/Llama-3.1-8B", benchmark="xstorycloze")
    xcopa = World(wrong={"tur_Latn": 20, "tha_Thai": 10}, model="meta-llama/Llama-3.1-8B",
                  benchmark="xcopa", prompt="connector")  # fmt: skip
    page = page_of(dali_rows.write(tmp_path / "run", llama, xcopa, OTHER))
    table = next(sheet for sheet in page.sheets if sheet.name == "alignment_correlations")
    assert table.small is not None
    own = table.frame["benchmark"].eq("xstorycloze") & table.frame["rule"].eq("DALI")
    assert "paper .90" in table.small.loc[own, "Pearson, maximum"].item()
    other = table.frame["model"] == "m/two"
    assert other.any() and not table.small[other].map(lambda text: "paper" in text).any().any()
    beside = sheets(page.sheets)["xcopa_gaps"].set_index("language")
    assert beside.loc["tur_Latn", "gap_reference"] == pytest.approx(0.152)
    assert len(beside) == 2


def test_a_patch_of_some_layers_and_kinds_says_what_was_not_run(tmp_path: Path) -> None:
    world = World(wrong={"deu_Latn": 30, "fra_Latn": 25}, kinds=("matched", "noise"))
    page = page_of(dali_rows.write(tmp_path / "run", world))
    assert page.exhibits["Patching"].state == "partly"
    assert "Not run: permuted, same_symbol" in page.exhibits["Patching"].missing
    assert page.exhibits["Concept or symbol"].state == "empty"
    assert "--patch permuted" in page.exhibits["Concept or symbol"].missing
    # Without the control the layer is that of the highest net correction.
    assert f"turn right at layer {BEST}" in " ".join(page.summary)
    assert "same symbol" not in " ".join(page.summary)


def test_the_last_layer_says_something_of_options_without_symbols(tmp_path: Path) -> None:
    """There the source sets the first token alone; a choice that is not the pivot's shows it."""
    world = World(wrong={"deu_Latn": 30}, kinds=("matched",))
    rows = dali_rows.patch_rows(world)
    for place, marked in ((0, True), (1, False)):
        changed = [dict(row) for row in rows]
        if not marked:
            changed[5] |= {"predictions": [0, 0, 0, 1 - int(str(changed[5]["pivot_clean"]))]}
        folder = dali_rows.write(tmp_path / str(place), world, parts=["option_alignment"])
        write_shard(folder, "patches", changed, name="a")
        found = Material(read.rows([folder])).get(patch_frames.rates)
        assert bool(found["uninformative"].any()) == marked


def test_the_report_chooses_this_page_and_writes_its_files(tmp_path: Path) -> None:
    run = dali_rows.write(tmp_path / "run", OTHER)
    assert pages.build(read.rows([run])).title == dali.PAGE.title
    files = report.write(report.build([run]), out=tmp_path / "out")
    text = files.html.read_text(encoding="utf-8")
    assert dali.PAGE.title in text and len(files.figures) > 6
    names = {path.name for path in files.tables}
    assert {"alignment_levels.csv", "transfer_gap_curves.csv", "patching_all.csv"} <= names
    levels = pd.read_csv(tmp_path / "out" / "tables" / "alignment_levels.csv")
    # The last layer is in the files, and marked as none that a best one is chosen from.
    assert levels.groupby("inner")["layer"].unique().map(list)[False] == [LAYERS]
