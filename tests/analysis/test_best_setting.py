"""Dose and response, and the best setting: planted effects, noise, halves, and refusals."""

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.questions.best import (
    FEWEST,
    SPLITS,
    Split,
    _Changes,
    _choices,
    _reported,
    best,
    choices,
)
from analysis.questions.compare import compare
from analysis.questions.sweep import sweep
from analysis.statistics import bootstrap

Floats = npt.NDArray[np.float64]
LAYERS, DOSES = (1, 2, 3, 4), (-1.0, 1.0, 2.0)


def swept_rows(changes: Floats, *, plain: Floats | None = None, layers: int = 0) -> pd.DataFrame:
    """Rows of changes [setting, language, item] to a plain model, whose rows have no setting."""
    settings, languages, items = changes.shape
    own = np.zeros((languages, items)) if plain is None else plain
    index = pd.MultiIndex.from_product(
        [[f"l{code:02d}" for code in range(languages)], [f"i{item:03d}" for item in range(items)]],
        names=["language", "item"],
    ).to_frame(index=False)
    per = layers or settings
    parts = [index.assign(layer=np.nan, coefficient=np.nan, value=own.ravel())]
    parts += [
        index.assign(layer=1 + k % per, coefficient=1.0 + k // per, value=(own + one).ravel())
        for k, one in enumerate(changes)
    ]
    return pd.concat(parts, ignore_index=True)


def noise(
    random: np.random.Generator, *, settings: int = 12, languages: int = 6, items: int = 24
) -> Floats:
    """Changes of nothing but items, shared by all languages, and single answers."""
    shared = random.normal(size=(settings, 1, items))
    return shared + random.normal(size=(settings, languages, items))


def in_worlds(worlds: list[Floats], *, split: Split = "items", splits: int = 9) -> pd.DataFrame:
    """What `best` reports of each world's changes, without its tables: those take the time."""
    found = []
    for changes in worlds:
        place, of = np.divmod(np.arange(changes[0].size), changes.shape[2])
        flat = changes.reshape(len(changes), -1)
        held = _Changes(asked={}, settings=[], values=flat, languages=place, items=of, left_out="")
        made = list(_choices(held, split, splits, False, 0))
        found.append(_reported(made, splits=splits)[1] | {"naive": flat.mean(axis=1).max()})
    return pd.DataFrame(found)


def test_every_setting_has_a_row_corrected_over_all() -> None:
    random = np.random.default_rng(0)
    changes, plain = noise(random), random.normal(size=(6, 24))
    changes[7] += 1.5
    found = sweep(swept_rows(changes, plain=plain, layers=4), "value")
    assert found[["layer", "coefficient"]].to_numpy().tolist() == [
        [layer, dose] for layer in (1, 2, 3, 4) for dose in (1, 2, 3)
    ]
    place, of = np.divmod(np.arange(6 * 24), 24)
    for row in found.to_dict("records"):
        own = changes[int(row["layer"]) - 1 + 4 * (int(row["coefficient"]) - 1)]
        said = bootstrap.clustered(own.ravel(), languages=place, items=of)
        assert (row["estimate"], row["low"], row["p"]) == pytest.approx(
            (said.estimate, said.low, said.p)
        )
        assert row["mean_before"] == pytest.approx(plain.mean())
    assert found["p_corrected"].to_numpy() == pytest.approx(
        multipletests(found["p"], method="holm")[1]
    )
    real = found[(found["layer"] == 4) & (found["coefficient"] == 2)].iloc[0]
    assert real["p_corrected"] < 0.01 and (found["p_corrected"] < 0.05).sum() == 1
    assert real["note"].startswith(
        "the highest of 12 settings on the same units, probably too high"
    )
    assert found["note"].str.contains("the lowest of 12").sum() == 1


def test_a_setting_against_the_plain_model_is_two_conditions() -> None:
    rows = swept_rows(noise(np.random.default_rng(1), settings=1))
    asked = {"unit": ("language", "item"), "test": ("clustered t", "hierarchical bootstrap")}
    told = compare(rows.assign(how=rows["layer"].fillna(0)), "value", condition="how", before=0,
                   **asked)  # fmt: skip
    found = sweep(rows, "value", **asked)
    for column in ("estimate", "low", "high", "p", "n", "items"):
        assert found[column].tolist() == told[column].tolist()
    assert found["note"].tolist() == ["", ""]


def test_the_plain_model_may_be_named_and_serves_who_lacks_what_it_lacks() -> None:
    random = np.random.default_rng(2)
    changes = noise(random, settings=4, languages=2, items=8)
    rows = swept_rows(changes, layers=2)
    plain = rows[rows["layer"].isna()]
    expected = sweep(rows, "value")["estimate"].to_numpy()
    named = rows.fillna({"coefficient": 0})
    assert sweep(named, "value", baseline={"coefficient": 0})[
        "estimate"
    ].to_numpy() == pytest.approx(expected)
    # Coefficient 0 at a layer is the plain model of that layer alone.
    at = [plain.assign(layer=layer, coefficient=0, value=layer * 10.0) for layer in (1, 2)]
    each = pd.concat([rows[rows["layer"].notna()], *at])
    found = sweep(each, "value", baseline={"coefficient": 0})
    assert found["estimate"].to_numpy() == pytest.approx(expected - found["layer"] * 10)
    # A plain model without the run's name serves every run; one with it, its own.
    runs = pd.concat([rows.assign(run=np.where(rows["layer"].isna(), None, run)) for run in "ab"])
    runs = runs.drop_duplicates()
    found = sweep(runs, "value", by=("run",))
    assert found["run"].tolist() == ["a"] * 4 + ["b"] * 4
    assert found["estimate"].to_numpy() == pytest.approx([*expected, *expected])
    own = pd.concat([rows.assign(run="a"), rows.assign(run="b", value=2 * rows["value"])])
    found = sweep(own, "value", by="run")
    assert found["estimate"].to_numpy() == pytest.approx([*expected, *2 * expected])


def test_items_of_one_language_and_languages_without_items_have_the_paired_t() -> None:
    changes = noise(np.random.default_rng(3), settings=2)
    rows = swept_rows(changes)
    alone = sweep(rows, "value", unit=("item",), by=("language",))
    assert set(alone["test"]) == {"paired t"} and len(alone) == 12
    assert alone.loc[0, "p"] == pytest.approx(stats.ttest_1samp(changes[0, 0], 0).pvalue)
    means = rows.groupby(["language", "layer", "coefficient"], dropna=False, as_index=False)[
        "value"
    ].mean()
    over = sweep(means, "value", unit="language")
    assert over.loc[1, "p"] == pytest.approx(stats.ttest_1samp(changes[1].mean(axis=1), 0).pvalue)
    assert over.loc[0, "n"] == 6


def test_a_planted_setting_is_chosen_and_reported_where_it_was_not() -> None:
    random = np.random.default_rng(4)
    changes = noise(random)
    changes[5] += 1.0
    found = best(swept_rows(changes), "value").loc[0]
    assert (found["layer"], found["coefficient"], found["frequency"]) == (6, 1, 1)
    # Both halves together are all items: so are both means.
    assert found["naive"] == pytest.approx(changes[5].mean())
    assert found["estimate"] + found["choosing_half"] == pytest.approx(2 * found["naive"])
    assert found["optimism"] == pytest.approx(found["choosing_half"] - found["estimate"])
    assert found["low"] < 1 < found["high"] and found["p"] < 0.01
    assert (found["settings"], found["splits"], found["n"], found["note"]) == (12, 50, 144, "")
    fall = best(swept_rows(-changes), "value", lowest=True).loc[0]
    assert fall["estimate"] == pytest.approx(-found["estimate"])
    assert fall["naive"] == pytest.approx(-found["naive"]) and fall["layer"] == 6


def test_one_split_is_that_of_its_slow_twin() -> None:
    changes = noise(np.random.default_rng(5), settings=6, languages=3, items=11)
    found = best(swept_rows(changes), "value", splits=1, seed=8).loc[0]
    order = np.random.default_rng(8).permutation(11)
    choosing, held = order[:5], order[5:]
    means = changes[:, :, choosing].mean(axis=(1, 2))
    place = int(means.argmax())
    straight = stats.ttest_1samp(changes[place][:, held].mean(axis=0), 0)
    assert (found["layer"], found["frequency"]) == (place + 1, 1)
    assert found["choosing_half"] == pytest.approx(means[place])
    assert found["estimate"] == pytest.approx(changes[place][:, held].mean())
    assert (found["p"], found["low"]) == pytest.approx(
        (straight.pvalue, straight.confidence_interval(0.95).low)
    )
    assert found["test"] == "Student's t on held-out items"


def test_several_splits_are_summed_up_by_twice_the_median_p() -> None:
    rows = swept_rows(noise(np.random.default_rng(6), settings=5, items=12))
    changes = noise(np.random.default_rng(6), settings=5, items=12)
    found = best(rows, "value", splits=7, seed=3).loc[0]
    random, ps, lows, held_means = np.random.default_rng(3), [], [], []
    for _ in range(7):
        order = random.permutation(12)
        place = changes[:, :, order[:6]].mean(axis=(1, 2)).argmax()
        held = changes[place][:, order[6:]].mean(axis=0)
        told = stats.ttest_1samp(held, 0)
        ps.append(told.pvalue)
        lows.append(told.confidence_interval(0.975).low)
        held_means.append(held.mean())
    assert found["p"] == pytest.approx(min(1, 2 * np.median(ps)))
    assert found["low"] == pytest.approx(np.median(lows))
    assert found["estimate"] == pytest.approx(np.mean(held_means))
    assert found["test"].endswith("twice the median p of 7 splits")
    told = choices(rows, "value", splits=7, seed=3)
    assert told["chosen"].sum() == 7 and told["frequency"].sum() == pytest.approx(1)
    assert told["frequency"].max() == found["frequency"] and told["chosen"].is_monotonic_decreasing
    for name, of in (("held_out", "estimate"), ("choosing_half", "choosing_half")):
        assert (told[name] * told["frequency"]).sum() == pytest.approx(found[of])
    assert told["optimism"].to_numpy() == pytest.approx(told["choosing_half"] - told["held_out"])
    pd.testing.assert_frame_equal(
        best(rows.sample(frac=1, random_state=0), "value", splits=7, seed=3),
        best(rows, "value", splits=7, seed=3),
    )


def test_a_parallel_item_is_in_the_same_half_in_every_language() -> None:
    # Luck of an item is the same everywhere: had the halves shared items, they would share it.
    random = np.random.default_rng(7)
    shared = random.normal(size=(8, 1, 20)) + np.zeros((8, 5, 20))
    found = best(swept_rows(shared), "value", splits=40).loc[0]
    means = shared[:, 0]
    highest = means.mean(axis=1).max()
    assert found["naive"] == pytest.approx(highest)
    assert found["choosing_half"] > highest > found["estimate"]


def test_worlds_are_reported_as_tables_are() -> None:
    changes = noise(np.random.default_rng(15), settings=5, items=12)
    table, plain = best(swept_rows(changes), "value", splits=9).loc[0], in_worlds([changes]).loc[0]
    for name in ("estimate", "low", "high", "p", "choosing_half", "optimism", "naive", "frequency"):
        assert table[name] == pytest.approx(plain[name])


def test_on_noise_the_naive_best_shows_a_gain_and_the_held_out_one_does_not() -> None:
    random, worlds = np.random.default_rng(8), 200
    found = in_worlds([noise(random, settings=10, languages=4, items=16) for _ in range(worlds)])
    error = found[["naive", "choosing_half", "estimate", "optimism"]].std() / np.sqrt(worlds)
    for name in ("naive", "choosing_half", "optimism"):
        assert found[name].mean() > 10 * error[name]
    assert found["estimate"].mean() == pytest.approx(0, abs=3 * error["estimate"])
    # Noise of sd s per setting: the highest of ten is 1.54 s above 0 on average.
    s = np.sqrt((1 + 1 / 4) / 16)
    assert found["naive"].mean() == pytest.approx(1.54 * s, abs=3 * error["naive"])
    assert found["choosing_half"].mean() == pytest.approx(
        1.54 * s * np.sqrt(2), abs=3 * error["choosing_half"]
    )
    # The chance of a find is 5 % at most, and so is that of an interval without 0.
    reach = 0.05 + 3 * np.sqrt(0.05 * 0.95 / worlds)
    assert (found["p"] < 0.05).mean() <= reach
    assert ((found["low"] > 0) | (found["high"] < 0)).mean() <= reach


def test_a_single_split_finds_in_5_percent_of_worlds_of_noise() -> None:
    random, worlds = np.random.default_rng(9), 800
    made = [noise(random, settings=4, languages=2, items=12) for _ in range(worlds)]
    found = in_worlds(made, splits=1)
    reach = 3 * np.sqrt(0.05 * 0.95 / worlds)
    assert (found["p"] < 0.05).mean() == pytest.approx(0.05, abs=reach)
    assert ((found["low"] <= 0) & (found["high"] >= 0)).mean() == pytest.approx(0.95, abs=reach)


def test_luck_of_languages_is_seen_by_halving_languages_only() -> None:
    random, worlds = np.random.default_rng(10), 100
    made = [
        random.normal(size=(8, 10, 1)) + random.normal(0, 0.2, size=(8, 10, 6))
        for _ in range(worlds)
    ]
    held = {split: in_worlds(made, split=split, splits=5)["estimate"] for split in SPLITS}
    error = {split: found.std() / np.sqrt(worlds) for split, found in held.items()}
    assert held["items"].mean() > 8 * error["items"]
    for split in ("languages", "both"):
        assert held[split].mean() == pytest.approx(0, abs=3 * error[split])


def test_settings_are_compared_on_the_units_that_all_of_them_have() -> None:
    changes = noise(np.random.default_rng(11), settings=3, items=12)
    rows = swept_rows(changes)
    cut = rows[~((rows["layer"] == 2) & (rows["item"] >= "i010"))]
    found = best(cut, "value").loc[0]
    pd.testing.assert_series_equal(
        found.drop("note"), best(rows[rows["item"] < "i010"], "value").loc[0].drop("note")
    )
    assert found["note"] == (
        "12 units of 72 that some setting lacks left out; "
        "fewest (60) has layer=2.0, coefficient=1.0"
    )


def test_too_little_to_halve_has_a_row_and_a_reason() -> None:
    changes = noise(np.random.default_rng(12), settings=3, languages=3, items=12)
    rows = swept_rows(changes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        few = best(rows[rows["item"] < "i003"], "value").loc[0]
        split = best(rows, "value", split="both").loc[0]
        apart = best(rows[(rows["item"] < "i006") == rows["layer"].isna()], "value").loc[0]
        still = best(rows.assign(value=1.0), "value").loc[0]
        lone = choices(rows[rows["item"] < "i003"], "value")
    assert few["note"].startswith(f"no estimate: 3 items, halves take {FEWEST}")
    assert split["note"].startswith(f"no estimate: 3 languages, halves take {FEWEST}")
    assert apart["note"].startswith("no estimate: no unit has all settings and the plain model")
    assert np.isnan(few[["estimate", "p", "naive"]].astype(float)).all() and few["layer"] is None
    assert still["estimate"] == 0 and still["note"].startswith("no p and no interval")
    assert lone.empty and list(lone.columns[:3]) == ["value", "layer", "coefficient"]


def test_rows_without_a_setting_are_left_out_where_the_plain_model_is_named() -> None:
    rows = swept_rows(noise(np.random.default_rng(13), settings=2, languages=4, items=8))
    zero = rows[rows["layer"].isna()].assign(coefficient=0)
    both = pd.concat([rows, zero])
    found = sweep(both, "value", baseline={"coefficient": 0})
    assert found["n"].tolist() == [32, 32]
    assert found["note"].str.endswith("32 rows without a setting left out").all()
    # The same rows as a dose of their own: the plain model against itself.
    dose = sweep(both, "value")
    assert dose["coefficient"].tolist() == [1, 1, 0]
    assert dose.loc[2, "estimate"] == 0 and "every change is the same" in dose.loc[2, "note"]


def refused(rows: pd.DataFrame, message: str, *, of: object = best, **options: object) -> None:
    """What is refused with which sentence."""
    with pytest.raises(ValueError, match=message):
        of(rows, options.pop("value", "value"), **options)  # type: ignore[operator]


def test_refusals_say_what_was_found_and_what_to_do() -> None:
    rows = swept_rows(noise(np.random.default_rng(14), settings=2, languages=4, items=8))
    steered = rows[rows["layer"].notna()]
    for of in (sweep, best, choices):
        refused(rows, "no column x", of=of, value="x")
        refused(rows.head(0), "there are no rows", of=of)
        refused(steered, "no row is the plain model: all have coefficient; say which", of=of)
        refused(rows, "none has coefficient=7", of=of, baseline={"coefficient": 7})
        refused(rows, "no column dose", of=of, baseline={"dose": 7})
        refused(rows[rows["layer"].isna()], "all rows are of the plain model", of=of)
        refused(rows, "layer is in setting and in unit", of=of, unit=("layer", "item"))
        refused(rows, "layer would stand twice", of=of, by=("layer",))
        refused(rows, "no column tells settings apart", of=of, setting=())
        refused(rows, "of \\(item\\) have several rows at layer=1.0, coefficient=1.0.*language",
                of=of, unit=("item",))  # fmt: skip
        partly = rows.assign(coefficient=rows["coefficient"].where(rows["layer"] != 1))
        refused(partly, "32 rows without coefficient are no plain model, as they have layer", of=of)
    refused(rows, "no test is called 't'", of=sweep, test="t")
    refused(rows, "split is 'half'; choose of items, languages, both", split="half")
    refused(rows.rename(columns={"layer": "naive"}), "naive would stand twice",
            setting=("naive", "coefficient"))  # fmt: skip
    refused(rows, "splits is 0; give 1 or more", splits=0)
    means = rows[rows["item"] == "i000"].drop(columns="item")
    refused(
        means, r"split='items' halves items, and the unit \(language\) has none", unit="language"
    )
    assert not best(means, "value", unit="language", split="languages").empty
