"""Figures keep to what is possible, to one scale, to words for missing numbers, to the page."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from analysis import pages, read, report
from analysis.figures import scatter, theme
from analysis.latent import log_ratio, steered_figures
from analysis.layout.material import Material
from analysis.layout.page import Page
from analysis.results import latent, steering_means, transfer
from analysis.results.answers import SERIES
from analysis.shared import coefficients, languages
from analysis.statistics import correlate
from tests.makers import latent_rows
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run

STEEP = pd.DataFrame(
    {"language": list("abcdef"), "score": [0, 0.01, 0.02, 0.03, 0.3, 0.4],
     "accuracy": [0.3, 0.5, 0.9, 0.95, 1.0, 1.0], "chance": 0.25}
)  # fmt: skip
NOTHING = Material(None)  # type: ignore[arg-type]
PLACE = dict.fromkeys(SERIES, "x") | {"intervention": "steer"}


def test_fits_and_bands_stay_within_the_data_and_within_0_and_1() -> None:
    x = STEEP["score"].to_numpy(float)
    alone = coefficients.draw_scatter([("m", STEEP)], name="", score="s")
    several = coefficients.draw_scatter([("m", STEEP), ("n", STEEP)], name="b", score="s")
    for axes in (alone.axes[0], several.axes[0]):
        line = np.asarray(axes.lines[1].get_xydata())
        assert line[:, 0].min() >= x.min() and line[:, 0].max() <= x.max()
        assert line[:, 1].min() >= 0 and line[:, 1].max() <= 1
        assert len(line) < 80, "the fit itself runs beyond 1"
        band = axes.collections[0].get_paths()[0].vertices
        assert band[:, 1].min() >= 0 and band[:, 1].max() <= 1
        low, high = axes.get_ylim()
        assert low >= -scatter.BEYOND and high <= 1 + scatter.BEYOND


def test_bands_of_shares_stay_within_0_and_1() -> None:
    rows = pd.DataFrame({"label": "m", "side": "native", "layer": [1, 2], "mean": [0.02, 0.98]})
    held = Material(
        None, latent=pd.DataFrame(columns=latent.COLUMNS), by_language=transfer.by_language([])
    )  # type: ignore[arg-type]
    rows = rows.assign(low=rows["mean"] - 0.2, high=rows["mean"] + 0.2, **PLACE)
    axes = log_ratio.draw_accuracies(held, rows, "m").axes[0]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() >= 0 and band[:, 1].max() <= 1
    dose = pd.DataFrame({"outcome": "accuracy", "layer": 1, "coefficient": [-1.0, 1.0]})
    dose = dose.assign(plain=0.95, level=0.97, low=-99.0, high=30.0)
    axes = steered_figures.draw_doses(NOTHING, dose, "m").axes[0]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() >= 0 and band[:, 1].max() <= 100


@pytest.mark.parametrize(
    ("plain", "change", "sentence"),
    [
        ([0.2, 0.4], [1.0, 2.0], "no slope: 2 languages, at least 3 are needed"),
        ([0.4] * 4, [1.0, 2.0, 3.0, 4.0], "no slope: plain accuracy is the same in all 4"),
        ([0.1, 0.2, 0.3], [0.0] * 3, "slope +0.00 (no interval: the change is the same in all 3"),
        ([0.1, 0.2, 0.3], [1.0, 2.0, 3.0], "(no interval: the points lie on one line)"),
        ([0.1, 0.2, 0.3, 0.5], [1.0, 2.0, 2.5, 3.5], "p = 0.0"),
    ],
)
def test_a_slope_without_p_says_why(plain: list[float], change: list[float], sentence: str) -> None:
    effects = pd.DataFrame({"plain_accuracy": plain, "accuracy_change": change}).assign(
        **PLACE, layer=3, coefficient=2.0, language=[str(n) for n in range(len(plain))],
        plain_development=plain, held_change=change, seed=0,
    )  # fmt: skip
    trends = steering_means.trends(effects)
    (said,) = steered_figures.slopes(effects, trends).values()
    assert sentence in said and "nan" not in said
    missing = trends[["low", "high", "p"]].isna().any(axis=None)
    assert missing == bool(trends["note"].iloc[0])


@pytest.mark.parametrize("p", [float("nan"), 0.0, 0.0005, 0.5])
def test_a_p_is_never_nan_in_words(p: float) -> None:
    one = correlate.Correlation(n=5, r=0.5, low=0.1, high=0.9, p=p, note="")
    assert "nan" not in coefficients.statement(one)


def scales(page: Page, stem: str) -> set[tuple[float, float]]:
    images = [
        picture.figure.axes[0].images[0]
        for picture in page.pictures
        if picture.name.startswith(stem)
    ]
    assert len(images) > 1
    return {image.get_clim() for image in images}


def test_heat_maps_that_stand_together_have_one_scale(tmp_path: Path) -> None:
    score = planted(4)
    other = {code: value / 5 for code, value in score.items()}
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    models = {f"m/{number}": (score, other)[number % 2] for number in range(3)}
    run = write_run(
        tmp_path / "run",
        alignment=pd.concat([alignment_rows(name, scores=own) for name, own in models.items()]),
        items=pd.concat(
            [item_rows(name, accuracies={c: a / place for c, a in accuracy.items()}, benchmark=b)
             for place, name in enumerate(models, start=1) for b in ("belebele", "xcopa")]
        ),
    )  # fmt: skip
    page = pages.build(read.rows([run]))
    assert len(scales(page, "heat_map")) == 1
    assert len(scales(page, "accuracy")) == 1
    assert len(models) > languages.FEW_MODELS


def test_maps_of_transfer_and_log_ratio_have_one_scale(tmp_path: Path) -> None:
    accuracies = latent_rows.accuracies(languages=latent_rows.LANGUAGES[:4])
    worlds = [
        latent_rows.World(model=f"m/{n}", accuracy={c: a / n for c, a in accuracies.items()},
                          layers=(2, 6), seed=n)
        for n in (1, 2)
    ]  # fmt: skip
    page = pages.build(read.rows([latent_rows.write(tmp_path / "run", *worlds)]))
    for stem in ("tr_plus", "excess_plus", "log_ratio_languages"):
        assert len(scales(page, stem)) == 1


def test_a_dark_page_has_a_colour_for_everything_in_its_figures(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", alignment=alignment_rows("m", scores=planted(1)))
    text = report.write(report.build([run]), out=tmp_path / "out").html.read_text(encoding="utf-8")
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    used = set(re.findall(r"var\(--c([0-9a-f]{6}), #\1\)", drawings))
    assert used and used == set(re.findall(r"--c([0-9a-f]{6}): #[0-9a-f]{6};", text))
    left = set(re.findall(r"(?:fill|stroke): ?(#[0-9a-f]{6})", drawings))
    assert left <= {theme.ON_DARK, theme.ON_LIGHT}
    assert "figure { margin: 0; background: var(--figure)" in text
    picture = next((tmp_path / "out" / "figures").glob("*.svg")).read_text(encoding="utf-8")
    assert "var(--" not in picture, "files beside the page stand alone"


@pytest.mark.parametrize("colour", ["#000000", "#222222", "#0072b2", "#d55e00", "#440154"])
def test_dark_colours_stand_out_on_the_card(colour: str) -> None:
    assert theme.contrast(theme.dark(colour), theme.CARD) >= theme.CONTRAST


def test_dark_colours_keep_their_hue_and_greys_change_places() -> None:
    assert theme.dark("#ffffff") == theme.CARD
    grid, ink = (sum(to_rgb(theme.dark(colour))) for colour in ("#e3e3e3", "#222222"))
    assert grid < ink
    red, green, blue = to_rgb(theme.dark("#0072b2"))
    assert blue > green > red
    assert theme.contrast("#000000", "#ffffff") == pytest.approx(21)
