"""Questions between papers: their rows counted the slow way, their tests scipy's, their page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis import read, report
from analysis.across import frames
from analysis.exhibits import across
from analysis.layout.material import Material
from tests.makers import dali_rows, latent_rows, scaled_rows
from tests.makers.analysis_rows import alignment_rows, write_run
from tests.makers.pages import all_said, sheets

WRONG = dict(zip(dali_rows.LANGUAGES, (10, 20, 30, 40, 50), strict=True))
OPTIONS = dali_rows.World(wrong=WRONG)
OTHER_POOLING = replace(
    OPTIONS, pooling='{"dali_pool":"mean","xcopa_connectors":"correct"}', key="mean"
)
SCORES = dict(zip(dali_rows.LANGUAGES, (0.9, 0.75, 0.5, 0.45, 0.2), strict=True))
LENS = latent_rows.World(
    accuracy=latent_rows.accuracies(languages=latent_rows.LANGUAGES[:6]), layers=(2, 6, 10, 14),
    items=40,
)  # fmt: skip
RESCALED = scaled_rows.World(model="m/one")


def material_of(*runs: Path) -> Material:
    return Material(read.rows(runs))


def options(folder: Path, *worlds: dali_rows.World) -> Path:
    return dali_rows.write(folder, *worlds, parts=("option_alignment", "items"))


def scored(folder: Path, *more: pd.DataFrame, languages: int = 5) -> Path:
    """A run with NASCA in two poolings, of which the headline is one, and whatever more."""
    few = dict(list(SCORES.items())[:languages])
    rows = alignment_rows("m/one", scores=few, measures=("nasca",), poolings=("weighted", "last"))
    return write_run(folder, alignment=pd.concat([rows, *more]))


def test_failures_are_counted_item_by_item(tmp_path: Path) -> None:
    found = material_of(options(tmp_path / "dali", OPTIONS), scored(tmp_path / "xa")).get(
        frames.failures
    )
    # The inner layers of four, in every language.
    assert len(found) == 3 * len(WRONG) and set(found["pooling"]) == {"weighted"}
    scores = alignment_rows("m/one", scores=SCORES, measures=("nasca",)).set_index(
        ["language", "layer"]
    )["value"]
    for row in found.to_dict("records"):
        language, layer = row["language"], row["layer"]
        aligned = right = failed = 0
        for item in range(OPTIONS.items):
            aligned += OPTIONS.aligned(language, item, layer)
            if OPTIONS.right(dali_rows.PIVOT, item):
                right += 1
                failed += not OPTIONS.right(language, item)
        assert row["items"] == OPTIONS.items
        assert row["dali"] == pytest.approx(aligned / OPTIONS.items)
        assert row["failures"] == pytest.approx(failed / right)
        assert row["nasca"] == pytest.approx(scores.loc[(language, layer)])


def test_both_alignments_go_with_failures_as_scipy_says(tmp_path: Path) -> None:
    # Items that the pivot answers wrong tell the shares of alignment and of failures apart.
    uneven = replace(OPTIONS, wrong=dict(zip(WRONG, (12, 27, 21, 45, 38), strict=True)), items=70)
    material = material_of(options(tmp_path / "dali", uneven), scored(tmp_path / "xa"))
    points, curves = material.get(frames.failures), material.get(frames.failure_curves)
    best = points[points["layer"] == dali_rows.BEST]
    for name in ("nasca", "dali"):
        (row,) = curves[(curves["x"] == name) & (curves["layer"] == dali_rows.BEST)].to_dict(
            "records"
        )
        assert row["r"] == pytest.approx(stats.pearsonr(best[name], best["failures"]).statistic)
        assert row["n"] == 5
    tests = material.get(frames.failure_tests).set_index("layer")
    own = curves.pivot(index="layer", columns="x", values="r").loc[dali_rows.BEST]
    row = tests.loc[dali_rows.BEST]
    assert (row["first_r"], row["second_r"]) == pytest.approx((own["nasca"], own["dali"]))
    assert row["estimate"] == pytest.approx(own["nasca"] - own["dali"])
    # In the other layers the same items are aligned in all languages, which is a reason.
    rest = tests.drop(dali_rows.BEST)
    assert rest["p"].isna().all() and rest["note"].str.contains("dali is the same").all()


def test_settings_of_either_kind_are_never_mixed(tmp_path: Path) -> None:
    more = alignment_rows("m/one", scores=SCORES, measures=("nasca",), pairs="all", n=1012)
    other = alignment_rows("m/one", scores=SCORES, measures=("nasca",), dataset="tatoeba")
    material = material_of(
        options(tmp_path / "dali", OPTIONS, OTHER_POOLING), scored(tmp_path / "xa", more, other)
    )
    points = material.get(frames.failures)
    assert not points.duplicated([*frames.FAILURE, "layer", "language"]).any()
    tests = material.get(frames.failure_tests)
    assert len(tests) == 2 * 3 * 3 and (tests["n"] == 5).all()
    page = across.page(material)
    assert page is not None
    shown = sheets(page.sheets)["failures_tests"]
    assert {"switches", "dataset", "pairs"} <= set(shown.columns)
    assert len(page.pictures) == 2 * 3
    run = latent_rows.write(tmp_path / "latent", LENS)
    rows = [
        row | {"switches": '{"lens_norm":"none"}', "key": f"{row['key']}/none"}
        for row in latent_rows.lens_rows(LENS)
    ]
    latent_rows.write_shard(run, "lens", rows, name="f" * 32)
    found = material_of(run).get(frames.ratio_tests)
    assert len(found) == 2 * 2 and (found["n"] == 6).all()


def test_ratios_are_means_over_the_middle_half_with_transfer(tmp_path: Path) -> None:
    material = material_of(latent_rows.write(tmp_path / "latent", LENS))
    points = material.get(frames.ratios).set_index("language")
    assert set(points.index) == set(LENS.accuracy) - {latent_rows.PIVOT}
    by_language = material.by_language.set_index("language")
    assert points["excess_in"].to_dict() == pytest.approx(
        by_language["excess_in"].drop(latent_rows.PIVOT).to_dict()
    )
    # Of four layers the middle half are two; what is planted is drawn with noise of its own.
    middle = np.mean([LENS.ratio(layer) for layer in LENS.layers[1:3]])
    reach = 5 * 0.1 / np.sqrt(LENS.items)
    for language, ratio in points["log_ratio"].items():
        assert ratio == pytest.approx(middle + 1 - LENS.accuracy[str(language)], abs=reach)
    tests = material.get(frames.ratio_tests)
    direct = [
        function(points["log_ratio"], points["excess_in"]).statistic
        for function in (stats.pearsonr, stats.spearmanr)
    ]
    assert tests["estimate"].to_numpy() == pytest.approx(direct)
    corrected = multipletests(tests["p"], method="holm")[1]
    assert tests["p_corrected"].to_numpy() == pytest.approx(corrected)


def test_gains_of_clas_stand_beside_alignment_and_labels(tmp_path: Path) -> None:
    material = material_of(scaled_rows.write(tmp_path / "clas", RESCALED))
    points = material.get(frames.gains)
    assert set(points["site"]) == {"h", "resid"} and (points["aggregation"] == "mean_of_cos").all()
    assert not points.duplicated([*frames.GAIN, "language"]).any()
    for _, own in points.groupby("site"):
        gains = own.set_index("language")["gain"].to_dict()
        point = 100 / RESCALED.items
        assert gains == pytest.approx({code: n * point for code, n in RESCALED.gains.items()})
    tests = material.get(frames.gain_tests).set_index(["site", "x", "given"])
    assert len(tests) == 2 * 4
    own = points[points["site"] == "h"]
    plain = stats.pearsonr(own["shift"], own["gain"]).statistic
    assert tests.loc[("h", "shift", ""), "estimate"] == pytest.approx(plain)
    assert tests.loc[("h", "change", ""), "estimate"] == pytest.approx(1)
    known = tests.dropna(subset=["p"])
    assert known["p_corrected"].to_numpy() == pytest.approx(
        multipletests(known["p"], method="holm")[1]
    )
    lost = tests[tests["p"].isna()]
    assert lost["note"].ne("").all()


def test_too_few_languages_and_one_study_have_no_page(tmp_path: Path) -> None:
    few = options(tmp_path / "dali", OPTIONS), scored(tmp_path / "xa", languages=3)
    material = material_of(*few)
    for make in (frames.failures, frames.failure_tests, frames.failure_curves):
        assert material.get(make).empty
    apart = material_of(scored(tmp_path / "alone"))
    assert apart.get(frames.failures).empty and apart.get(frames.ratios).empty
    assert apart.get(frames.gains).empty and across.page(apart) is None


def test_a_report_of_several_studies_has_the_page(tmp_path: Path) -> None:
    runs = options(tmp_path / "dali", OPTIONS), scored(tmp_path / "xa")
    assert [one.study for one in report.build(runs).pages] == ["dali", "neuronxa", across.STUDY]
    assert [one.study for one in report.build(runs[1:]).pages] == ["neuronxa"]


def test_the_page_of_all_studies_has_its_findings_figures_and_files(tmp_path: Path) -> None:
    runs = [
        options(tmp_path / "dali", OPTIONS), scored(tmp_path / "xa"),
        latent_rows.write(tmp_path / "latent", LENS),
        scaled_rows.write(tmp_path / "clas", RESCALED),
    ]  # fmt: skip
    page = across.page(material_of(*runs))
    assert page is not None
    assert "3 of 5 have the rows that they need" in " ".join(page.summary)
    states = {name: exhibit.state for name, exhibit in page.exhibits.items()}
    assert [states[name] for name in ("Log ratio and transfer", "Two kinds of alignment")] == [
        "filled"
    ] * 2
    assert states["What gains follow"] == "filled"
    assert {"ratios_points", "failures_points", "gains_points"} <= set(page.files)
    said = all_said(page)
    assert "nan" not in said.casefold() and "over 6 languages" in said
    kinds = {picture.name.split("-")[0] for picture in page.pictures}
    assert kinds == {"ratio_transfer", "failure_curves", "gain_causes"}
    for picture in page.pictures:
        assert all(axes.get_xlabel() or axes.get_ylabel() for axes in picture.draw().axes[:1])
