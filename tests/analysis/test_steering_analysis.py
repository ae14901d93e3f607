"""Effects of steering: paired with the plain model, and claims that survive a second look."""

from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from analysis.latent import steered as exhibits
from analysis.latent.frames import vectors_by_layer
from analysis.latent.steered_figures import nearest
from analysis.layout.material import Material
from analysis.layout.page import Picture, Sheet, Shown, Text
from analysis.read import rows
from analysis.results import steering, steering_means
from analysis.results.answers import SERIES, Answers, answers
from analysis.statistics.paired import difference
from tests.makers.answered import (
    World,
    agree,
    frame_of,
    plain_rows,
    steered_rows,
    vector_rows,
    write_run,
)

SKILLS = {"eng_Latn": 2.2, "deu_Latn": 1.5, "fra_Latn": 1.0, "swh_Latn": 0.6, "yor_Latn": 0.2}
GAINS = {"steer": 0.4, "random": 0.0, "halves": 0.1}
COEFFICIENTS = (-2.0, -1.0, 1.0, 2.0, 3.0)
WORLD = World(items=240)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A run of one model with two draws, two layers and two controls."""
    steered = steered_rows(
        WORLD, skills=SKILLS, gains=GAINS, coefficients=COEFFICIENTS, seeds=(0, 1), drawn=40
    )
    run = write_run(
        tmp_path_factory.mktemp("runs") / "run",
        items=plain_rows(WORLD, skills=SKILLS) + steered,
        vectors=vector_rows(list(SKILLS)[1:], seeds=(0, 1)),
    )
    return Material(rows([run]))


@pytest.fixture(scope="module")
def effects(held: Material) -> pd.DataFrame:
    """Its effects."""
    return steering.effects(held.answers)


def cell(found: list[Answers], language: str, *, layer: int | None, coefficient: float) -> Answers:
    """One cell of the first draw."""
    (one,) = (
        one for one in found
        if (one.intervention, one.language, one.layer, one.coefficient, one.seed)
        == ("steer", language, layer, coefficient, 0)
    )  # fmt: skip
    return one


def one_row(effects: pd.DataFrame, language: str, layer: int, coefficient: float) -> pd.Series:
    """One row of the first draw."""
    place = (effects["language"] == language) & (effects["layer"] == layer)
    place &= (effects["coefficient"] == coefficient) & (effects["seed"] == 0)
    return effects[place & (effects["intervention"] == "steer")].squeeze()


def test_an_effect_is_the_steered_cell_less_the_plain_one_of_its_draw(
    held: Material, effects: pd.DataFrame
) -> None:
    assert len(effects) == 4 * 2 * 2 * (5 + 2)
    steered = cell(held.answers, "swh_Latn", layer=6, coefficient=2.0)
    plain = cell(held.answers, "swh_Latn", layer=None, coefficient=0.0)
    english = cell(held.answers, "eng_Latn", layer=None, coefficient=0.0)
    row = one_row(effects, "swh_Latn", 6, 2.0)
    assert row["n"] == 200
    assert row["plain_accuracy"] == pytest.approx(plain.correct.mean())
    assert row["accuracy_change"] == pytest.approx(
        100 * (steered.correct.mean() - plain.correct.mean())
    )
    assert row["transfer"] == pytest.approx(agree(english, steered)["tr_plus"])
    assert row["plain_transfer"] == pytest.approx(agree(english, plain)["tr_plus"])
    assert row["transfer_change"] == pytest.approx(100 * (row["transfer"] - row["plain_transfer"]))
    assert row["consistency"] == pytest.approx(agree(english, steered)["consistency"])
    assert row["consistency_change"] == pytest.approx(
        row["consistency"] - agree(english, plain)["consistency"]
    )
    table = [[0, int((~plain.correct & steered.correct).sum())], [0, 0]]
    table[1][0] = int((plain.correct & ~steered.correct).sum())
    assert (row["gained"], row["lost"]) == (table[0][1], table[1][0])
    assert row["p"] == pytest.approx(mcnemar(table, exact=True).pvalue)


def test_the_interval_of_a_consistency_is_that_of_a_mean_over_items(
    held: Material, effects: pd.DataFrame
) -> None:
    english, plain = (
        cell(held.answers, name, layer=None, coefficient=0.0) for name in ("eng_Latn", "fra_Latn")
    )
    steered = cell(held.answers, "fra_Latn", layer=2, coefficient=2.0)
    row = one_row(effects, "fra_Latn", 2, 2.0)
    # Without ties every item has a rho of its own, and their mean is the whole one.
    each = [
        stats.spearmanr(english.ranks[item], steered.ranks[item]).statistic
        - stats.spearmanr(english.ranks[item], plain.ranks[item]).statistic
        for item in range(200)
    ]
    assert row["consistency_change"] == pytest.approx(np.mean(each))
    half = 1.959964 * np.std(each, ddof=1) / np.sqrt(200)
    assert row["consistency_high"] - row["consistency_change"] == pytest.approx(half, rel=1e-4)


def test_the_interval_of_a_difference_covers_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        both = random.random(60)
        before, after = both < 0.5, (both < 0.4) | (both > 0.8)
        found = difference(before, after)
        covered += found.low <= 10 <= found.high
    assert 930 <= covered <= 985


def test_coefficient_0_is_the_plain_model_and_one_that_is_not_is_said(held: Material) -> None:
    found = steering.against_plain(held.answers)
    assert len(found) == 5 * 2
    assert found["agree"].eq(200).all() and found["n"].eq(200).all()
    plain = next(one for one in held.answers if one.is_plain and one.language == "swh_Latn")
    wrong = plain.prediction.copy()
    wrong[:] = (wrong + 1) % 4
    others = [one for one in held.answers if one is not plain]
    changed = [*others, replace(plain, prediction=wrong)]
    found = steering.against_plain(changed)
    assert found.loc[found["language"] == "swh_Latn", "agree"].eq(0).all()
    shown = exhibit(Material(held.rows, answers=changed), "Coefficient 0")
    last = shown.parts[-1]
    assert isinstance(last, Text) and last.warning
    assert last.lines == ("m/one on belebele: 1600 of 2000 predictions agree, over 10 pairs of "
                          "language and draw.",)  # fmt: skip


def test_without_the_pivots_own_answers_accuracy_alone_is_known(held: Material) -> None:
    left = [one for one in held.answers if one.language != "eng_Latn"]
    found = steering.effects(left)
    assert len(found) == 4 * 2 * 2 * 7
    assert found["accuracy_change"].notna().all()
    assert found[["consistency", "transfer_change"]].isna().all(axis=None)
    assert set(steering_means.over_languages(found)["outcome"]) == {"accuracy"}


def test_a_shift_of_all_answers_to_one_option_is_seen(held: Material) -> None:
    plain = cell(held.answers, "deu_Latn", layer=None, coefficient=0.0)
    all_first = replace(
        plain, layer=2, coefficient=1.0, key="first", prediction=np.zeros_like(plain.prediction)
    )
    (row,) = steering.effects([plain, all_first]).to_dict("records")
    assert row["prior_shift"] == pytest.approx(1 - (plain.prediction == 0).mean())
    shares = steering.option_shares([plain, all_first])
    assert shares["share"].tolist() == [1, 0, 0, 0]
    assert shares["plain_share"].sum() == pytest.approx(1)
    assert shares["gold_share"].tolist() == [np.mean(plain.gold == option) for option in range(4)]


def test_means_are_over_languages_of_the_means_over_draws(effects: pd.DataFrame) -> None:
    found = steering_means.over_languages(effects)
    place = (effects["intervention"] == "steer") & (effects["layer"] == 6)
    own = effects[place & (effects["coefficient"] == 2.0)]
    each = own.groupby("language")["accuracy_change"].mean()
    row = found[
        (found["intervention"] == "steer") & (found["layer"] == 6) & (found["coefficient"] == 2.0)
        & (found["outcome"] == "accuracy")
    ].squeeze()  # fmt: skip
    low, high = stats.t.interval(0.95, 3, loc=each.mean(), scale=each.sem())
    assert (row["languages"], row["seeds"]) == (4, 2)
    assert row["change"] == pytest.approx(each.mean())
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    assert row["p"] == pytest.approx(stats.ttest_1samp(each, 0).pvalue)
    assert row["low"] > 0


def test_the_spread_over_draws_counts_languages_that_every_draw_has(effects: pd.DataFrame) -> None:
    lacking = effects[~((effects["language"] == "deu_Latn") & (effects["seed"] == 1))]
    found = steering_means.over_seeds(lacking)
    row = found[
        (found["intervention"] == "steer") & (found["layer"] == 2) & (found["coefficient"] == -1.0)
        & (found["outcome"] == "accuracy")
    ].squeeze()  # fmt: skip
    own = effects[
        (effects["intervention"] == "steer") & (effects["layer"] == 2)
        & (effects["coefficient"] == -1.0) & (effects["language"] != "deu_Latn")
    ]  # fmt: skip
    means = own.groupby("seed")["accuracy_change"].mean()
    assert (row["seeds"], row["languages"]) == (2, 3)
    assert row["mean"] == pytest.approx(means.mean())
    assert row["sd"] == pytest.approx(means.std(ddof=1))


def test_controls_are_compared_with_the_real_vector_where_both_ran(effects: pd.DataFrame) -> None:
    found = steering_means.against_controls(effects)
    assert set(found["intervention"]) == {"random", "halves"}
    assert set(found["coefficient"]) == {2.0}
    row = found[
        (found["intervention"] == "random") & (found["layer"] == 6)
        & (found["outcome"] == "accuracy")
    ].squeeze()  # fmt: skip
    wide = effects[(effects["layer"] == 6) & (effects["coefficient"] == 2.0)].pivot_table(
        index="language", columns="intervention", values="accuracy_change"
    )
    apart = wide["steer"] - wide["random"]
    assert row["difference"] == pytest.approx(apart.mean())
    assert row["p"] == pytest.approx(stats.ttest_1samp(apart, 0).pvalue)
    assert row["control"] == 0 and row["low"] > 0
    assert (found["p_holm"] >= found["p"]).all()


def test_a_coefficient_is_chosen_on_items_that_its_effect_is_not_reported_on(
    held: Material, effects: pd.DataFrame
) -> None:
    found = steering_means.choices(effects)
    assert len(found) == 4 * 2 * 2
    plain = cell(held.answers, "yor_Latn", layer=None, coefficient=0.0)
    half = steering.in_development(plain.items)
    assert 70 < half.sum() < 130
    best, change = 0.0, 0.0
    for coefficient in sorted(COEFFICIENTS, key=abs):
        one = cell(held.answers, "yor_Latn", layer=2, coefficient=coefficient)
        gain = one.correct[half].mean() - plain.correct[half].mean()
        if gain > change + 1e-12:
            best, change = coefficient, gain
    row = found[
        (found["language"] == "yor_Latn") & (found["layer"] == 2) & (found["seed"] == 0)
    ].squeeze()
    chosen = cell(held.answers, "yor_Latn", layer=2, coefficient=best)
    assert row["coefficient"] == best and best != 0
    assert row["held_change"] == pytest.approx(
        100 * (chosen.correct[~half].mean() - plain.correct[~half].mean())
    )


def test_choosing_among_noise_claims_a_gain_on_itself_and_none_on_the_other_half() -> None:
    random = np.random.default_rng(2)
    found = []
    for language in (f"l{number}_Latn" for number in range(40)):
        place = {"language": language, "model": "m", "revision": "main", "benchmark": "b"}
        shared = {"prompt": "latent", "intervention": "steer", "seed": 0, "pivot": "eng_Latn"}
        shared |= {"switches": None, "truncated": 0, "gold": np.zeros(300, np.int16)}
        shared |= {
            "items": np.array([f"{item}" for item in range(300)]),
            "ranks": np.ones((300, 4)),
        }
        found += [
            Answers(
                **place,
                **shared,
                layer=3 if coefficient else None,
                coefficient=coefficient,
                key=f"{language}{coefficient}",
                prediction=random.integers(2, size=300).astype(np.int16),
            )
            for coefficient in (0.0, -2.0, -1.0, 1.0, 2.0)
        ]
    (row,) = steering_means.chosen_means(steering_means.choices(steering.effects(found))).to_dict(
        "records"
    )
    assert row["best_change"] > 3 and row["development_change"] > 3
    assert row["low"] < 0 < row["high"]


def test_of_equal_coefficients_none_is_preferred_to_any() -> None:
    names = [*SERIES, "intervention", "language", "layer", "coefficient", "seed"]
    place = ["m", "main", "b", "p", "eng_Latn", "", "steer", "deu_Latn", 2]
    frame = pd.DataFrame([[*place, c, 0] for c in (-2.0, 1.0, -1.0)], columns=names)
    numbers = ["held_change", "held_low", "held_high", "held_p", "accuracy_change"]
    frame = frame.assign(**dict.fromkeys(numbers, 0.5))
    assert steering_means.choices(frame.assign(development_change=0.0))["coefficient"].item() == 0
    chosen = steering_means.choices(frame.assign(development_change=1.0))
    assert chosen["coefficient"].item() == 1.0 and chosen["candidates"].item() == 3


def test_a_trend_is_the_least_squares_line_and_chance_alone_bends_it() -> None:
    random = np.random.default_rng(3)
    count, items = 150, 200
    names = [*SERIES, "intervention", "layer", "coefficient", "seed"]
    place = ["m", "main", "b", "p", "eng_Latn", "", "steer", 2, 2.0, 0]
    draws = random.binomial(items // 2, 0.5, size=(4, count)) / (items // 2)
    frame = pd.DataFrame([place] * count, columns=names).assign(
        language=[f"l{number}" for number in range(count)],
        plain_accuracy=(draws[0] + draws[1]) / 2,
        accuracy_change=100 * ((draws[2] + draws[3]) / 2 - (draws[0] + draws[1]) / 2),
        plain_development=draws[0],
        held_change=100 * (draws[3] - draws[1]),
    )
    (row,) = steering_means.trends(frame).to_dict("records")
    expected = stats.linregress(100 * frame["plain_accuracy"], frame["accuracy_change"])
    assert row["slope"] == pytest.approx(expected.slope)
    assert row["p"] == pytest.approx(expected.pvalue)
    assert row["n"] == count
    # Nothing was changed but the draw of the answers: the line falls all the same.
    assert row["high"] < -0.5
    assert row["low_split"] < 0 < row["high_split"]


def shown(held: Material) -> list[Shown]:
    """All exhibits of steering."""
    return [one.show(held) for one in (*exhibits.FIGURES, *exhibits.CONTROLS)]


def exhibit(held: Material, name: str) -> Shown:
    """One exhibit of a page."""
    (one,) = (one for one in shown(held) if one.name == name)
    return one


def test_every_exhibit_is_filled_or_says_what_would_fill_it(held: Material) -> None:
    found = {one.name: one for one in shown(held)}
    assert {name for name, one in found.items() if one.state != "filled"} == {"Controls"}
    assert found["Controls"].missing == (
        "Not run: wrong_language, wrong_dataset, orthogonal (--control)."
    )
    for one in found.values():
        for part in one.parts:
            if isinstance(part, Sheet):
                assert len(part.frame) and not part.frame.columns.duplicated().any()
    without = replace(held.rows, vectors=held.rows.vectors.iloc[:0])
    nothing = Material(without, answers=[])
    for one in shown(nothing):
        assert one.state == "empty" and "--" in one.missing and one.missing.endswith(")."), one.name


def test_what_one_run_lacks_is_named_with_its_flag(held: Material) -> None:
    few = [
        one
        for one in held.answers
        if one.coefficient in (None, 0.0, 3.0) and one.seed in (None, 0)
        and one.intervention in (None, "steer")
    ]  # fmt: skip
    found = {one.name: one for one in shown(Material(held.rows, answers=few))}
    assert "--coefficient=-4" in found["Figures 4 and 7"].missing
    assert found["Figure 8"].missing == "One direction alone was run (--coefficient=-2,2)."
    assert "--control" in found["Controls"].missing and not found["Controls"].parts
    assert "--seed" in found["Draws of the questions"].missing
    assert "--coefficient" in found["Chosen coefficients"].missing
    (said,) = (part for part in found["Figures 5 and 9"].parts if isinstance(part, Text))
    assert said.lines == ("m/one, belebele: coefficient +3, as 2 was not run (--coefficient).",)


def test_figures_show_every_layer_both_signs_and_every_control(held: Material) -> None:
    sweep = exhibit(held, "Figures 4 and 7").parts[0]
    assert isinstance(sweep, Picture)
    panels = sweep.figure.axes
    assert [axes.get_ylabel() for axes in panels] == [
        "accuracy (%)", "consistency with the pivot (rho)", "tr+ from the pivot (%)",
    ]  # fmt: skip
    for axes in panels:
        lines = [line for line in axes.lines if len(line.get_xdata()) == 6]
        assert [line.get_label() for line in lines] == ["2", "6"]
        assert list(lines[0].get_xdata()) == [-2, -1, 0, 1, 2, 3]
        assert lines[0].get_ydata()[2] == pytest.approx(lines[1].get_ydata()[2])
    layers = exhibit(held, "Figure 8").parts[0]
    assert isinstance(layers, Picture)
    labels = [text.get_text() for text in layers.figure.legends[0].get_texts()]
    assert labels == ["coefficient +2", "coefficient -2"]
    controls = exhibit(held, "Controls by layer").parts[0]
    assert isinstance(controls, Picture)
    labels = [text.get_text() for text in controls.figure.legends[0].get_texts()]
    assert labels == ["steer", "random", "halves"]


def test_the_nearest_coefficient_is_one_of_the_same_direction() -> None:
    ran = pd.Series([-4.0, -1.0, 0.0, 0.5, 4.0])
    assert nearest(ran, wanted=2.0) == 0.5
    assert nearest(ran, wanted=-2.0) == -1.0
    assert nearest(pd.Series([-2.0, 0.0]), wanted=2.0) is None


def test_vectors_are_set_beside_the_states_and_the_halves() -> None:
    made = vector_rows(["deu_Latn", "fra_Latn"], layers=(2, 6))
    control = vector_rows(["eng_Latn"], layers=(2, 6))
    found = vectors_by_layer(frame_of(made + control))
    assert found["languages"].tolist() == [2, 2]
    assert found["norm"].tolist() == pytest.approx([4.05, 8.05])
    assert found["share"].tolist() == pytest.approx([4.05 / 16, 8.05 / 28])
    assert found["halves"].tolist() == [4.0, 8.0]
    assert found["reliability"].tolist() == pytest.approx([0.605, 0.805])


def test_a_run_without_english_among_the_steered_says_so(held: Material, tmp_path: Path) -> None:
    left = [one for one in held.answers if one.language != "eng_Latn"]
    found = {one.name: one for one in shown(Material(held.rows, answers=left))}
    assert found["Figure 10"].state == "empty" and "--language" in found["Figure 10"].missing
    assert found["Figures 5 and 9"].state == "filled"
    assert answers([write_run(tmp_path / "run", items=[])]) == []
    assert isnan(difference(np.zeros(0, bool), np.zeros(0, bool)).change)
