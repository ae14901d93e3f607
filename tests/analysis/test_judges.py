"""Translations go out as COMET reads them, and its scores come back with an interval."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import comet, pages, read
from tests.makers.analysis_rows import alignment_rows, generation_rows, write_run

STEPS = ("step-100", "step-200", "step-300", "main")
TEXTS = ["Einn maður.", "Tvær\nkonur ganga.", "Þrír."]


def run(folder: Path) -> Path:
    """Four states of a model, each with its translations and alignment scores."""
    written = [
        generation_rows(
            "m", revision=step, outputs=TEXTS, references=[[text, "other"] for text in TEXTS]
        )
        for step in STEPS
    ]
    scores = [
        alignment_rows("m", revision=step, scores={"isl_Latn": 0.1 + 0.1 * place})
        for place, step in enumerate(STEPS)
    ]
    return write_run(folder / "run", alignment=pd.concat(scores), generations=pd.concat(written))


def judge(folder: Path, *, scores: list[float]) -> None:
    """What `comet-score -t output.txt --to_json comet.json` leaves."""
    read_in = {
        name: (folder / f"{file}.txt").read_text(encoding="utf-8").splitlines()
        for name, file in (("src", "source"), ("mt", "output"), ("ref", "reference"))
    }
    segments = [
        {name: texts[place] for name, texts in read_in.items()} | {"COMET": score}
        for place, score in enumerate(scores)
    ]
    (folder / "comet.json").write_text(json.dumps({"output.txt": segments}))


def test_a_set_goes_out_line_by_line(tmp_path: Path):
    root = run(tmp_path)
    folders = comet.export(read.rows([root]).generations, out=root / comet.FOLDER)
    assert len(folders) == len(STEPS)
    first = folders[0]
    assert (first / "output.txt").read_text(encoding="utf-8") == (
        "Einn maður.\nTvær konur ganga.\nÞrír.\n"
    )
    assert (first / "source.txt").read_text().splitlines()[1] == "Sentence 1."
    assert len((first / "reference.txt").read_text(encoding="utf-8").splitlines()) == 3
    assert json.loads((first / "set.json").read_text())["revision"] in STEPS
    assert read.rows([root]).judged.empty


def test_scores_come_back_and_stand_in_figure_4(tmp_path: Path):
    root = run(tmp_path)
    folders = comet.export(read.rows([root]).generations, out=root / comet.FOLDER)
    for folder in folders:
        revision = json.loads((folder / "set.json").read_text())["revision"]
        middle = 0.5 + 0.1 * STEPS.index(revision)
        judge(folder, scores=[middle - 0.1, middle, middle + 0.1])
    rows = read.rows([root])
    found = rows.judged.set_index("revision")
    assert found.value.to_dict() == pytest.approx(
        {step: 0.5 + 0.1 * place for place, step in enumerate(STEPS)}
    )
    assert (found.low < found.value).all() and (found.value < found.high).all()
    assert found.n.eq(3).all() and set(found.metric) == {"COMET"}
    page = pages.build(rows)
    (sheet,) = [sheet for sheet in page.sheets if sheet.name == "figure_4"]
    frame = sheet.frame
    (found,) = frame[frame.metric == "COMET"].to_dict("records")
    assert found["r"] == pytest.approx(1)
    (quality,) = [sheet for sheet in page.sheets if sheet.name == "translation_quality"]
    assert np.isin(["chrF", "BLEU", "COMET"], quality.frame.metric).all()


def test_scores_of_something_else_are_refused(tmp_path: Path):
    root = run(tmp_path)
    folder = comet.export(read.rows([root]).generations, out=root / comet.FOLDER)[0]
    judge(folder, scores=[0.1, 0.2, 0.3])
    (folder / "output.txt").write_text("Other.\nTexts.\nHere.\n")
    with pytest.raises(ValueError, match="made of other translations than those beside it"):
        read.rows([root])
    (folder / "comet.json").write_text('{"a": 1, "b": 2}')
    with pytest.raises(ValueError, match="does not hold scores of one set"):
        read.rows([root])


def test_nothing_to_export_is_said(tmp_path: Path):
    root = write_run(tmp_path / "run", alignment=alignment_rows("m", scores={"isl_Latn": 0.5}))
    with pytest.raises(ValueError, match="run the part translation first"):
        comet.export(read.rows([root]).generations, out=tmp_path)
    old = generation_rows("m", revision="main", outputs=["a"], references=[["a"]])
    with pytest.raises(ValueError, match="kept without their sources"):
        comet.export(old.assign(source=None), out=tmp_path)
