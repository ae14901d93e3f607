"""What a coefficient rests on: planted fertility, margins, layers, checks, and old runs without."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import pages, read
from analysis.exhibits import demo
from analysis.layout.exhibit import Show
from analysis.layout.material import Material
from analysis.layout.page import Page
from analysis.shared import checks, robustness
from analysis.statistics import correlate, dependent
from tests.makers.analysis_rows import (
    LANGUAGES,
    alignment_rows,
    follow,
    item_rows,
    planted,
    point_rows,
    robustness_rows,
    write_run,
)
from tests.makers.pages import said, sheets

NEW = ["pairs", "forward", "backward", "margin", "duplicates", "tokens", "pivot_tokens", "constant"]


def rows_of(folder: Path, **tables: pd.DataFrame) -> Material:
    return Material(read.rows([write_run(folder / "run", **tables)]))


def of(parts: tuple[Show, ...], held: Material) -> tuple[object, ...]:
    return tuple(one for part in parts for one in part(held))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """NASCA follows accuracy closely, MEXA loosely, and fertility explains both."""
    score = planted(4)
    random = np.random.default_rng(1)
    loose = {code: float(np.clip(v + 0.3 * random.normal(), 0, 1)) for code, v in score.items()}
    fertility = {code: float(np.exp(1.5 - 1.4 * value)) for code, value in score.items()}
    alignment = pd.concat(
        [
            alignment_rows("m", scores=score, measures=("nasca",), fertility=fertility),
            alignment_rows("m", scores=loose, measures=("mexa",), fertility=fertility),
        ],
        ignore_index=True,
    )
    # Layer 0 alone is worthless, so that leaving it out matters.
    first = (alignment["measure"] == "mexa") & (alignment["layer"] == 0)
    alignment.loc[first, "value"] = alignment.loc[first, "value"].to_numpy()[::-1]
    alignment["margin"] = alignment["value"] / 5
    alignment.loc[alignment["language"] == "deu_Latn", "duplicates"] = 7
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.03, seed=4)
    return rows_of(
        tmp_path_factory.mktemp("trust"), alignment=alignment,
        items=item_rows("m", accuracies=accuracy, n=400), robustness=robustness_rows(alignment),
    )  # fmt: skip


def test_each_question_is_the_slow_computation(held: Material) -> None:
    parts = of(robustness.PARTS, held)
    found = sheets(parts)
    wide = held.main_points.pivot(index="language", columns="measure", values="score")
    accuracy = held.main_points.drop_duplicates("language").set_index("language")["accuracy"]
    y = accuracy[wide.index].to_numpy(float)
    nasca, mexa = (wide[name].to_numpy(float) for name in ("nasca", "mexa"))
    difference = found["differences"].iloc[0]
    expected = dependent.difference(nasca, second=mexa, y=y)
    assert difference["scores"] == "NASCA - MEXA" and expected.difference > 0
    assert difference["p"] == pytest.approx(expected.p)
    margins = found["margins"].set_index("measure")
    # The planted margin is a fifth of the value.
    assert margins["margin"].to_numpy() == pytest.approx(margins["r"].to_numpy())
    given = found["given_fertility"].set_index("measure")
    log = held.main_points.drop_duplicates("language").set_index("language")
    log = np.log(log.loc[wide.index, "tokens"].astype(float) / 1000).to_numpy(float)
    slow = dependent.partial(nasca, y=y, given=log)
    assert given.loc["nasca", "partial"] == pytest.approx(slow.r)
    assert given.loc["nasca", "r"] > 0.9 and abs(slow.r) < 0.6
    blocks = held.alignment[(held.alignment["measure"] == "mexa") & (held.alignment["layer"] > 0)]
    means = blocks.groupby("language")["value"].mean()[wide.index].to_numpy(float)
    layers = found["mexa_layers"].iloc[0]
    assert layers["blocks"] == pytest.approx(correlate.pearson(means, y=y).r)
    assert "MEXA without layer 0" in said(parts)


def test_checks_become_one_row_per_series(held: Material) -> None:
    parts = of(checks.PARTS, held)
    frame = sheets(parts)["robustness"]
    nasca = frame[frame["measure"] == "nasca"].set_index("check")
    own = held.alignment[held.alignment["measure"] == "nasca"]["value"].mean()
    assert nasca.loc["bootstrap", "value"] == pytest.approx(own)
    assert nasca.loc["bootstrap", "more"] == pytest.approx(0.1)
    assert nasca.loc["csls", "value"] - nasca.loc["csls", "score"] == pytest.approx(0.03)
    assert nasca.loc["halves", "value"] == pytest.approx(0.04)
    assert nasca.loc["halves", "more"] == pytest.approx(1)
    assert nasca.loc["permutation", "more"] == 1 and nasca.loc["hubness", "value"] == 1.5
    layers = held.alignment[held.alignment["measure"] == "nasca"]["layer"]
    gap = -0.02 * layers.mean() - 0.05
    assert nasca.loc["length_matched", "more"] == pytest.approx(gap)
    assert nasca.loc["length_random", "more"] == pytest.approx((layers >= 2).mean())
    assert 0 < nasca.loc["length_random", "more"] < 1
    every = held.rows.robustness.drop_duplicates("key")["layer"]
    said_of_length = f"{(every >= 2).sum()} of {len(every)} are lower than in 97.5 %"
    assert said_of_length in said(parts)
    cells = len(held.rows.robustness) // 9
    assert f"{cells} of {cells} scores" in said(parts)


def test_the_page_counts_duplicates_and_warns_of_few_languages(held: Material) -> None:
    page = pages.build(held.rows)
    text = said(page.parts)
    assert "7 of 1200 sentence pairs have a text that occurs more than once" in text
    assert page.warnings == ()
    assert "Williams' test" in " ".join(page.summary) and len(page.summary) == 3


def test_few_languages_and_chance_are_warned_of(tmp_path: Path) -> None:
    score = dict(list(planted(4).items())[:5])
    held = rows_of(
        tmp_path,
        alignment=alignment_rows("m", scores=score),
        items=item_rows(
            "m", accuracies={code: 0.25 + 0.01 * value for code, value in score.items()}
        ),
    )
    few, chance = demo.PAGE.build(held).warnings
    assert "rest on 5 languages" in few and "no better than chance" in chance


def test_conditions_are_never_mixed(tmp_path: Path) -> None:
    score = planted(4)
    upside_down = {code: 1 - value for code, value in score.items()}
    other = alignment_rows("m", scores=upside_down, pairs="all", n=1012)
    pivot = alignment_rows("m", scores=upside_down, pivot="deu_Latn")
    tatoeba = alignment_rows("m", scores=upside_down, dataset="tatoeba")
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.02, seed=4)
    held = rows_of(
        tmp_path,
        alignment=pd.concat([alignment_rows("m", scores=score), other, pivot, tatoeba]),
        items=item_rows("m", accuracies=accuracy),
    )
    assert len(held.correlations) == 3 * 2 * 4
    signs = held.on_terms.groupby("dataset")["r"].agg(["min", "max"])
    assert signs.loc["flores200", "min"] > 0.9 and signs.loc["tatoeba", "max"] < -0.9
    assert set(held.on_terms["pairs"]) == {"100"} and set(held.on_terms["pivot"]) == {"eng_Latn"}
    summary = " ".join(demo.PAGE.build(held).summary)
    assert "flores200) and belebele accuracy correlate at r = 0.9" in summary


def test_an_old_run_reads_and_says_what_it_lacks(tmp_path: Path) -> None:
    score = planted(4)
    old = alignment_rows("m", scores=score).drop(columns=NEW)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.02, seed=4)
    items = item_rows("m", accuracies=accuracy).drop(columns="correct_norm")
    held = rows_of(tmp_path, alignment=old, items=items)
    assert set(held.alignment["pairs"]) == {"not recorded"}
    page = pages.build(held.rows)
    text = said(page.parts)
    for sentence in (robustness.NO_MARGINS, robustness.NO_TOKENS, checks.NONE):
        assert sentence in text
    assert "Repeated texts were not counted." in text
    assert "cross_model" in {sheet.name for sheet in page.sheets}


def test_the_page_is_chosen_by_the_study_in_the_rows(tmp_path: Path) -> None:
    rows = alignment_rows("m", scores=dict.fromkeys(LANGUAGES, 0.5)).assign(study="demo")
    points = point_rows("m", spread={"mexa": 1.0, "nasca": 0.1}).assign(study="demo")
    run = write_run(tmp_path / "demo", alignment=rows, points=points)
    page: Page = pages.build(read.rows([run]))
    assert page.title == demo.PAGE.title
    kinds = {picture.name.split("-")[0] for picture in page.pictures}
    assert kinds == {"heat_map", "profile", "points"}
    assert "paper" not in " ".join(page.summary)
    mine = write_run(tmp_path / "mine", alignment=rows.assign(study="mine"))
    assert pages.build(read.rows([mine])).title != demo.PAGE.title
