"""Translation quality over checkpoints: tokenizers, references, and a planted correlation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sacrebleu import BLEU, corpus_bleu, corpus_chrf

from analysis import read
from analysis.layout.material import Material
from analysis.layout.page import Shown
from analysis.shared.training import FIGURE_3, FIGURE_4
from analysis.statistics import checkpoints, resample, translation
from tests.makers.analysis_rows import alignment_rows, generation_rows, write_run

TEXT = "a small ship sails past green hills while seven birds sing of rain and home"
WORDS = TEXT.split()


def sentences(count: int, *, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.permutation(WORDS)) for _ in range(count)]


def worn(texts: list[str], *, kept: float, seed: int = 0) -> list[str]:
    """Every word kept with a probability, else unknown."""
    random = np.random.default_rng(seed)
    return [" ".join(w if random.random() < kept else "xx" for w in t.split()) for t in texts]


@pytest.mark.parametrize(
    ("revision", "step"),
    [
        ("step-2000", 2000), ("step2000", 2000), ("checkpoint-300", 300), ("global_step_300", 300),
        ("main", None), ("v0.3-base", None), ("a03b1b43561110bc95e9570c5df12305b380f122", None),
        ("d6d1926", None),
    ],
)  # fmt: skip
def test_a_step_is_the_digits_at_the_end(revision: str, step: int | None) -> None:
    assert checkpoints.step(revision) == step


def test_the_last_state_is_main_or_the_highest_step() -> None:
    frame = pd.DataFrame(
        {"model": ["a", "a", "b", "b"], "revision": ["step-9", "main", "step-9", "step-10"]}
    )
    assert checkpoints.last_states(frame)["revision"].tolist() == ["main", "step-10"]
    assert checkpoints.trained(frame) == ["a", "b"]


def test_the_tokenizer_fits_the_language_and_is_said() -> None:
    assert translation.tokenizer("zho_Hans") == "zh"
    assert translation.tokenizer("isl_Latn") == "13a"
    assert translation.tokenizer("tha_Thai") == "char"
    assert translation.tokenizer("jpn_Jpan") in ("ja-mecab", "char")


def test_quality_is_sacrebleus_over_the_corpus_with_all_references() -> None:
    both = sentences(9, seed=1), sentences(9, seed=2)
    references = [[one, other] for one, other in zip(*both, strict=True)]
    references[3] = references[3][:1]
    outputs = worn([texts[0] for texts in references], kept=0.7)
    rows = generation_rows("m", revision="main", outputs=outputs, references=references)
    steered = rows.assign(intervention="add", output="nothing", key="other")
    found = translation.quality(pd.concat([rows, steered])).set_index("metric")
    streams = [[t[0] for t in references], [t[1] if len(t) > 1 else None for t in references]]
    assert found.loc["BLEU", "value"] == pytest.approx(corpus_bleu(outputs, streams).score)
    assert found.loc["chrF", "value"] == pytest.approx(corpus_chrf(outputs, streams).score)
    assert (found["low"] < found["value"]).all() and (found["value"] < found["high"]).all()
    assert found.loc["BLEU", "tokenizer"] == "13a" and set(found["n"]) == {9}


def test_the_interval_is_that_of_corpora_drawn_again_and_zero_is_a_score() -> None:
    references = [sentences(8, seed=5)]
    outputs = [*worn(references[0][:3], kept=0.8), *["nothing"] * 5]
    rows = generation_rows(
        "m", revision="main", outputs=outputs, references=[[text] for text in references[0]]
    )
    found = translation.quality(rows).set_index("metric")
    low, high = found.loc["BLEU", ["low", "high"]]
    draws = np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), size=resample.DRAWS)
    slow = []
    for draw in draws:
        places = np.repeat(np.arange(8), draw)
        again = [outputs[place] for place in places]
        slow.append(BLEU().corpus_score(again, [[references[0][place] for place in places]]).score)
    assert min(slow) == 0
    assert (low, high) == pytest.approx(np.percentile(slow, [2.5, 97.5]))


def over_training(run: Path) -> tuple[Shown, Shown]:
    held = Material(read.rows([run]))
    return FIGURE_3.show(held), FIGURE_4.show(held)


def test_a_planted_course_of_training_comes_out_as_a_correlation(tmp_path: Path) -> None:
    texts = sentences(30, seed=3)
    alignment, written = [], []
    for step, kept in ((100, 0.3), (200, 0.5), (400, 0.7), (800, 0.9)):
        scores = {"isl_Latn": kept, "deu_Latn": 0.5, "fra_Latn": 0.6}
        revision = f"checkpoint-{step}"
        alignment.append(alignment_rows("m", scores=scores, measures=("nasca",), revision=revision))
        outputs = worn(texts, kept=kept, seed=step)
        # The translations go into English; the score has English as its pivot.
        written.append(
            generation_rows(
                "m", revision=revision, outputs=outputs, references=[[text] for text in texts],
                language="eng_Latn", pivot="isl_Latn",
            )
        )  # fmt: skip
    run = write_run(
        tmp_path / "run", alignment=pd.concat(alignment), generations=pd.concat(written)
    )
    three, four = over_training(run)
    assert (three.state, four.state) == ("filled", "filled")
    sheet = four.parts[0]
    found = sheet.frame.set_index("metric")  # type: ignore[union-attr]
    assert set(found["n"]) == {4} and (found["r"] > 0.97).all()
    assert "COMET 0.9635" in sheet.caption  # type: ignore[union-attr]


def test_without_checkpoints_both_figures_say_what_would_fill_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", alignment=alignment_rows("m", scores={"deu_Latn": 0.4}))
    for exhibit in over_training(run):
        assert exhibit.state == "empty" and "--model" in exhibit.missing
