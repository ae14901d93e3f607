"""Log ratios and latent accuracies: against plain loops, by their oracles, and over languages."""

from math import exp, inf, log, nan, sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.results import latent, log_ratio
from tests.makers.latent_rows import (
    PIVOT,
    Row,
    World,
    accuracies,
    lens_rows,
    write_shard,
)

FEW = ("deu_Latn", "rus_Cyrl", "zho_Hans", "tur_Latn", "fin_Latn")
SMALL = World(accuracy=accuracies(languages=FEW), layers=(2, 4), items=7, options=3)
LENGTHS = {"token": "tokens", "character": "characters", "byte": "bytes"}


def slow(rows: list[Row]) -> dict[str, tuple[float, float]]:
    """Every quantity of one cell as mean and standard error, with loops and math alone."""
    found: dict[str, list[float]] = {}
    for row in rows:
        shares: dict[tuple[str, str], list[float]] = {}
        for unit, length in LENGTHS.items():
            for side in ("native", "pivot"):
                pairs = zip(row[f"{side}_logp"], row[f"{side}_{length}"], strict=True)  # type: ignore[call-overload]
                shares[side, unit] = [exp(logp / size) for logp, size in pairs]
            native, pivot = shares["native", unit], shares["pivot", unit]
            logs = [log(one) - log(other) for one, other in zip(native, pivot, strict=True)]
            found.setdefault(f"mean_of_logs_{unit}", []).append(sum(logs) / len(logs))
            both = log(sum(native)) - log(sum(pivot))
            found.setdefault(f"log_of_sums_{unit}", []).append(both)
        for side in ("native", "pivot"):
            own = shares[side, "token"]
            hit = own.index(max(own)) == row["gold"]
            found.setdefault(f"accuracy_{side}", []).append(float(hit))
    result = {}
    for name, values in found.items():
        mean = sum(values) / len(values)
        square = sum((value - mean) ** 2 for value in values)
        n = len(values)
        result[name] = (mean, sqrt(square / (n - 1) / n) if n > 1 else nan)
    return result


def uneven() -> list[Row]:
    """Rows with different numbers of options, a tie among them."""
    rows = lens_rows(SMALL)
    for number, row in enumerate(rows):
        if number % 3 == 0:
            for name in list(row):
                if isinstance(row[name], list):
                    row[name] = row[name][:2]  # type: ignore[index]
            row["gold"] = number % 2
    rows[0]["native_logp"], rows[0]["native_tokens"] = [-6.0, -4.0], [3, 2]
    return rows


def test_the_fast_reduction_equals_plain_loops(tmp_path: Path) -> None:
    rows = uneven()
    half = len(rows) // 2 - len(rows) // 2 % SMALL.items
    write_shard(tmp_path, "lens", rows[:half], name="a")
    write_shard(tmp_path, "lens", rows[half:], name="b")
    (tmp_path / "run.json").write_text('{"version": 2, "study": "latent-process"}')
    cells = latent.cells([tmp_path])
    assert len(cells) == 6 * 2 * 2
    for cell in cells.to_dict("records"):
        own = [row for row in rows if row["key"] == cell["key"]]
        for name, (mean, error) in slow(own).items():
            assert cell[name] == pytest.approx(mean, abs=1e-12), name
            assert cell[f"{name}_se"] == pytest.approx(error, abs=1e-12), name
        counts = [len(row["native_logp"]) for row in own]  # type: ignore[arg-type]
        assert (cell["n"], cell["options"]) == (7, max(counts))
        assert cell["chance"] == pytest.approx(sum(1 / count for count in counts) / 7)
        assert cell["truncated"] == sum(bool(row["truncated"]) for row in own)
        tokens = sum(sum(row["native_tokens"]) for row in own)  # type: ignore[call-overload]
        letters = sum(sum(row["native_characters"]) for row in own)  # type: ignore[call-overload]
        assert cell["native_fertility"] == pytest.approx(tokens / letters)
    tied = cells.loc[cells["key"] == rows[0]["key"], ["ties_native", "ties_pivot"]]
    assert tied.to_numpy().tolist() == [[1, 0]]


def test_the_ratio_is_zero_for_the_pivot_and_turns_its_sign_when_sides_are_swapped(
    tmp_path: Path,
) -> None:
    rows = uneven()
    swapped = [row | {_other(name): row[name] for name in row if _other(name)} for row in rows]
    for folder, held in (("one", rows), ("two", swapped)):
        write_shard(tmp_path / folder, "lens", held, name="a")
    one, two = (latent.cells([tmp_path / folder]) for folder in ("one", "two"))
    english = one[(one["language"] == PIVOT) & (one["key"] != rows[0]["key"])]
    ratios = [name for name in latent.QUANTITIES if name.startswith(latent.RATIOS)]
    assert len(english) == 3 and (english[ratios] == 0).to_numpy().all()
    assert two[ratios].to_numpy() == pytest.approx(-one[ratios].to_numpy(), abs=1e-12)
    assert (two["accuracy_pivot"] == one["accuracy_native"]).all()


def _other(name: str) -> str:
    """The same column of the other side."""
    side, _, part = name.partition("_")
    return {"native": f"pivot_{part}", "pivot": f"native_{part}"}.get(side, "") if part else ""


def test_every_answer_counts_once_and_the_larger_of_two_is_kept(tmp_path: Path) -> None:
    rows = lens_rows(SMALL)
    write_shard(tmp_path / "one", "lens", [*rows, *rows[:40]], name="a")
    write_shard(tmp_path / "one", "lens", rows, name="compact-b")
    fewer = [row | {"key": f"{row['key']}/few"} for row in rows if str(row["item"]) < "0003"]
    write_shard(tmp_path / "two", "lens", fewer, name="a")
    write_shard(tmp_path / "plain", "lens", rows, name="a")
    both = latent.cells([tmp_path / "two", tmp_path / "one"])
    pd.testing.assert_frame_equal(both, latent.cells([tmp_path / "plain"]))
    assert set(both["n"]) == {7}


def test_an_item_without_a_finite_probability_is_dropped_and_counted(tmp_path: Path) -> None:
    rows = lens_rows(SMALL)
    rows[2]["native_logp"] = [-inf, -1.0, -2.0]
    write_shard(tmp_path, "lens", rows, name="a")
    cells = latent.cells([tmp_path])
    cell = cells[cells["key"] == rows[2]["key"]].iloc[0]
    held = [row for row in rows if row["key"] == rows[2]["key"] and row is not rows[2]]
    assert (cell["n"], cell["dropped"], cells["dropped"].sum()) == (6, 1, 1)
    assert cell["mean_of_logs_byte"] == pytest.approx(slow(held)["mean_of_logs_byte"][0])


def test_lists_of_unequal_length_are_refused_with_the_item_named(tmp_path: Path) -> None:
    rows = lens_rows(SMALL)
    rows[4]["pivot_tokens"] = [1]
    write_shard(tmp_path, "lens", rows, name="a")
    with pytest.raises(ValueError, match=r"item '0004'.*1 entries in 'pivot_tokens' and 3"):
        latent.cells([tmp_path])


def test_no_rows_are_an_empty_frame(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"version": 2, "study": "latent-process"}')
    assert latent.cells([tmp_path]).empty


def test_curves_are_means_over_other_languages_with_the_t_interval(tmp_path: Path) -> None:
    write_shard(tmp_path, "lens", lens_rows(SMALL), name="a")
    cells = latent.cells([tmp_path])
    curve = log_ratio.curves(cells, column="mean_of_logs_token")
    row = curve[(curve["measure"] == "latent") & (curve["layer"] == 4)].iloc[0]
    own = cells[(cells["layer"] == 4) & (cells["measure"] == "latent")]
    values = own.loc[own["language"] != PIVOT, "mean_of_logs_token"].to_numpy(float)
    low, high = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert row["n"] == 5
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((values.mean(), low, high))


@pytest.mark.parametrize(
    ("means", "crossing"),
    [([-1, 1, 2], 4), ([1, -1, 2], 6), ([1, 1, 1], 2), ([1, 1, -1], None), ([1, 1, 0], None)],
)
def test_the_crossing_is_the_first_layer_from_which_the_ratio_stays_above_zero(
    means: list[float], crossing: int | None
) -> None:
    place = dict.fromkeys(latent.SERIES, "x") | {"measure": "latent", "n": 3}
    rows = [
        place | {"layer": layer, "mean": mean, "low": mean - 0.5, "high": mean + 0.5}
        for layer, mean in zip((2, 4, 6), means, strict=True)
    ]
    found = log_ratio.crossings(pd.DataFrame(rows).sample(frac=1, random_state=1)).iloc[0]
    assert (None if pd.isna(found["crossing"]) else found["crossing"]) == crossing
    assert found["last"] == means[-1] and found["lowest_mean"] == min(means)


def frame(layers: tuple[int, ...], languages: int = 8) -> pd.DataFrame:
    """A value per layer and language, and the language's fertility."""
    random = np.random.default_rng(1)
    place = dict.fromkeys(latent.SERIES, "x") | {"pivot": PIVOT}
    return pd.DataFrame(
        [
            place | {"language": f"l{number}_Latn", "layer": layer}
            | {"value": random.normal() + number, "native_fertility": (number * 5) % 7}
            for number in range(languages)
            for layer in layers
        ]
    )  # fmt: skip


def test_means_over_layers_are_by_depth_and_leave_out_a_language_that_lacks_one() -> None:
    rows = frame((2, 6, 10, 14, 18, 22, 26))
    rows = rows[~((rows["language"] == "l0_Latn") & (rows["layer"] == 10))]
    found = log_ratio.over_layers(rows, series=latent.SERIES, columns=["value"])
    counts = found.groupby("layers")["language"].nunique().to_dict()
    assert counts == {"all analysed": 7, "middle half": 7, "last quarter": 8}
    for name, layers in (("middle half", (10, 14, 18)), ("last quarter", (22, 26))):
        own = found[(found["layers"] == name) & (found["language"] == "l3_Latn")]
        held = rows[(rows["language"] == "l3_Latn") & rows["layer"].isin(layers)]
        assert own["value"].item() == pytest.approx(held["value"].mean())


def test_a_layer_on_the_border_of_two_parts_counts_once() -> None:
    rows = frame((4, 8, 12, 16)).assign(value=lambda found: found["layer"])
    found = log_ratio.over_layers(rows, series=latent.SERIES, columns=["value"])
    means = found.groupby("layers")["value"].mean().to_dict()
    assert means == {"all analysed": 10, "middle half": 10, "last quarter": 16}


def test_correlations_leave_the_pivot_out_and_adjust_their_p() -> None:
    values = log_ratio.over_layers(
        frame((2, 4)), series=latent.SERIES, columns=["value", "native_fertility"]
    )
    pivot = values.assign(language=PIVOT, value=99.0).drop_duplicates("layers")
    values = pd.concat([values, pivot])
    random = np.random.default_rng(2)
    codes = sorted(set(values["language"]))
    outputs = pd.DataFrame({"language": codes}).assign(
        model="x", revision="x", benchmark="x", prompt="x",
        accuracy=np.arange(len(codes)) + random.normal(size=len(codes)),
        consistency=random.normal(size=len(codes)), transfer_in=random.normal(size=len(codes)),
    )  # fmt: skip
    other = outputs.assign(prompt="other", accuracy=0.5)
    found = log_ratio.correlations(
        values, outputs=pd.concat([outputs, other]), series=latent.SERIES, column="value",
        given="native_fertility",
    )  # fmt: skip
    assert set(found["output_prompt"]) == {"x"} and set(found["n"]) == {8}
    whole = found[found["layers"] == "all analysed"]
    adjusted = multipletests(whole["p"], method="holm")[1]
    assert whole["p_holm"].to_numpy() == pytest.approx(adjusted)
    own = values[(values["layers"] == "all analysed") & (values["language"] != PIVOT)]
    joined = own.merge(outputs, on="language")
    first = whole[whole["outcome"] == "accuracy"].iloc[0]
    assert first["r"] == pytest.approx(stats.pearsonr(joined["value"], joined["accuracy"])[0])
    design = sm.add_constant(joined[["value", "native_fertility"]].astype(float))
    fitted = sm.OLS(joined["accuracy"].astype(float), design).fit()
    assert first["partial_p"] == pytest.approx(fitted.pvalues["value"])
    renamed = log_ratio.correlations(
        values, outputs=other, series=latent.SERIES, column="value"
    )  # fmt: skip
    assert set(renamed["output_prompt"]) == {"other"}
    assert renamed.loc[renamed["outcome"] == "accuracy", "note"].str.contains("the same").all()


def test_stars_are_those_of_the_paper() -> None:
    assert [log_ratio.stars(p) for p in (0.0009, 0.009, 0.049, 0.05, nan)] == [
        "***",
        "**",
        "*",
        "",
        "",
    ]
