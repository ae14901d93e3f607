"""Retrieval by group of languages: planted layers, planted groups, and the paper's lists."""

import numpy as np
import pandas as pd
import pytest

from analysis import published
from analysis.results import retrieval
from tests.makers.analysis_rows import alignment_rows, retrieval_rows

HEADS = ("deu_Latn", "fra_Latn", "rus_Cyrl", "tur_Latn", "hin_Deva")
TAILS = ("yor_Latn", "ace_Latn", "szl_Latn", "bjn_Latn")
BEST = dict(zip((*HEADS, *TAILS), (2, 2, 2, 3, 4, 2, 1, 2, 3), strict=True))
TOP = dict.fromkeys(HEADS, 0.9) | dict.fromkeys(TAILS, 0.5)


def groups(rows: pd.DataFrame) -> pd.DataFrame:
    found = retrieval.by_group(retrieval.by_language(retrieval.found(rows)))
    return found.set_index(["representation", "direction", "rule", "group"])


def test_the_lists_are_the_papers() -> None:
    assert len(retrieval.head_languages("FLORES-200")) == 68
    assert len(retrieval.head_languages("Tatoeba")) == 42
    assert "eng_Latn" in retrieval.head_languages("Tatoeba")
    assert "eng_Latn" not in retrieval.head_languages("FLORES-200")


def test_planted_groups_and_layers_come_out_under_both_rules() -> None:
    rows = retrieval_rows("m", best=BEST, top=TOP)
    found = groups(rows)
    each = found.xs(retrieval.EACH, level="rule")
    assert each.loc[("NAS", "both", "head"), "value"] == pytest.approx(90)
    assert each.loc[("NAS", "pivot->xx", "head"), "value"] == pytest.approx(94)
    assert each.loc[("NAS", "xx->pivot", "long-tail"), "value"] == pytest.approx(52)
    assert each.loc[("NAS", "both", "head"), "layers"] == "2 to 4"
    # Layer 2 is best for most; a language loses ten points for each layer away from its own.
    one = found.xs(retrieval.ONE, level="rule")
    lost = np.mean([10 * abs(BEST[code] - 2) for code in HEADS])
    assert one.loc[("NAS", "both", "head"), "layers"] == "2"
    assert one.loc[("NAS", "both", "head"), "value"] == pytest.approx(90 - lost)
    assert one.loc[("NAS", "both", "head"), "n"] == 5
    assert (each["value"] - one["value"]).min() > -1e-9


def test_both_directions_never_beat_either_and_the_interval_holds_the_mean() -> None:
    random = np.random.default_rng(0)
    rows = retrieval_rows("m", best=BEST, top={code: random.uniform(0.5, 0.9) for code in BEST})
    found = groups(rows).reset_index()
    wide = found.pivot(index=["rule", "group"], columns="direction", values="value")
    assert (wide["both"] <= wide[["pivot->xx", "xx->pivot"]].min(axis="columns")).all()
    assert ((found["low"] <= found["value"]) & (found["value"] <= found["high"])).all()


def test_only_rows_over_all_pairs_count_and_old_rows_have_one_direction() -> None:
    rows = retrieval_rows("m", best=BEST, top=TOP)
    few = alignment_rows("m", scores=dict.fromkeys(BEST, 0.1), measures=("nasca",))
    assert groups(pd.concat([rows, few])).equals(groups(rows))
    assert retrieval.by_group(retrieval.by_language(retrieval.found(few))).empty
    old = rows.assign(forward=np.nan, backward=np.nan)
    assert set(groups(old).index.get_level_values("direction")) == {"both"}


def test_the_printed_tables_obey_the_same_inequality() -> None:
    printed = published.retrieval().pivot(
        index=["representation", "column"], columns="direction", values="published"
    )
    assert (printed["En<->xx"] <= printed[["En->xx", "xx->En"]].min(axis="columns")).all()
    other = published.retrieval_pivots()
    assert len(published.retrieval()) == 24 and len(other) == 36
    assert set(other["column"]) == {
        f"{group} {way}"
        for group in ("head", "long-tail")
        for way in ("src->xx", "xx->src", "both")
    }
