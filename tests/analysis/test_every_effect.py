"""Effects of steering, computed for many cells at once, are those of every cell by itself."""

from pathlib import Path

import numpy as np
import pytest

from analysis.results import steering
from analysis.results.answers import answers
from analysis.statistics.paired import difference
from tests.makers.answered import World, agree, plain_rows, steered_rows, write_run

SKILLS = {"eng_Latn": 2.2, "deu_Latn": 1.5, "fra_Latn": 1.0, "swh_Latn": 0.6}
GAINS = {"steer": 0.4, "random": 0.0}
WORLD = World(items=120)


def test_every_effect_is_that_of_its_own_two_cells_and_the_pivots(tmp_path: Path) -> None:
    steered = steered_rows(
        WORLD, skills=SKILLS, gains=GAINS, coefficients=(-1.0, 1.0, 2.0), seeds=(0, 1), drawn=20
    )
    items = plain_rows(WORLD, skills=SKILLS) + steered
    run = write_run(tmp_path / "run", items=items)
    # Of the pivot some questions are missing, and others in one language than in the rest.
    found = [
        one.at(np.arange(20, len(one.items))) if one.language == "eng_Latn" and one.seed
        else one.at(np.arange(0, len(one.items), 2)) if one.language == "fra_Latn" and one.seed
        else one
        for one in answers([run])
    ]  # fmt: skip
    effects = steering.effects(found)
    by_place = {(one.language, one.layer, one.coefficient, one.seed, one.intervention): one
                for one in found}  # fmt: skip
    assert len(effects) == 3 * 2 * 2 * (3 + 1)
    for row in effects.to_dict("records"):
        place = tuple(row[name] for name in ("language", "layer", "coefficient", "seed"))
        steered = by_place[*place, row["intervention"]]
        plain, english = (
            by_place[language, None, 0.0, row["seed"], "steer"]
            for language in (row["language"], "eng_Latn")
        )
        half = steering.in_development(plain.items)
        for part, name in (
            (np.ones_like(half), "accuracy"),
            (half, "development"),
            (~half, "held"),
        ):
            change = difference(plain.correct[part], steered.correct[part])
            assert row[f"{name}_change"] == pytest.approx(change.change)
            if part is not half:
                assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(change[1:3])
        assert row["accuracy"] == pytest.approx(steered.correct.mean())
        assert (row["n"], row["n_development"]) == (len(plain.items), half.sum())
        shared = np.isin(plain.items, english.items)
        before, after, pivot = (
            one.at(np.flatnonzero(np.isin(one.items, plain.items[shared])))
            for one in (plain, steered, english)
        )
        old, new = agree(pivot, before), agree(pivot, after)
        for name in ("consistency", "tr_plus"):
            column = {"tr_plus": "transfer"}.get(name, name)
            assert row[f"plain_{column}"] == pytest.approx(old[name])
            assert row[column] == pytest.approx(new[name])
        known = pivot.correct
        change = difference(before.correct[known], after.correct[known])
        ends = [row[f"transfer_{end}"] for end in ("change", "low", "high")]
        assert ends == pytest.approx(change[:3])
        shares = [np.bincount(one.prediction, minlength=4) / len(one.items)
                  for one in (plain, steered)]  # fmt: skip
        assert row["prior_shift"] == pytest.approx(np.abs(shares[0] - shares[1]).sum() / 2)
