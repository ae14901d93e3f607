"""Table 1 and Figure 1 of the latent-process paper: ours, the printed values, and cautions."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from analysis import published_latent
from analysis.latent.transfer import FIGURE_1, TABLE_1
from analysis.layout.material import Material
from analysis.layout.page import Picture, Sheet, Shown, Text
from analysis.results import transfer
from analysis.results.answers import Answers
from tests.makers.answered import LANGUAGES, World, group


def page_of(answers: list[Answers], *, models: Mapping[str, str] | None = None) -> Material:
    """A page's material of plain answers, under other models' names."""
    named = [
        replace(one, model=model, key=f"{model}/{one.key}", benchmark=benchmark)
        for model, benchmark in (models or {"m/one": "belebele"}).items()
        for one in answers
    ]
    found = transfer.pairs(named)
    return Material(None, answers=named, pairs=found)  # type: ignore[arg-type]


def exhibits(held: Material) -> list[Shown]:
    return [TABLE_1.show(held), FIGURE_1.show(held)]


def test_table_1_has_the_printed_value_beside_ours_for_the_papers_models_alone() -> None:
    answers = group(World(items=200))
    models = {"google/gemma-2-2b-it": "belebele", "mini/world": "belebele"}
    table, _ = exhibits(page_of(answers, models=models))
    joined = table.files["table_1_beside_the_paper"]
    gemma = joined[joined["model"] == "google/gemma-2-2b-it"].set_index("column")
    assert gemma.loc["tr+", "published"] == 0.623
    assert gemma.loc["accuracy", "published"] == pytest.approx(0.471)
    assert gemma.loc["± over languages", "published"] == pytest.approx(0.138)
    assert gemma["published"].notna().sum() == 5
    overall = transfer.overall(answers).squeeze()
    assert gemma.loc["tr+", "value"] == overall["tr_plus"]
    assert gemma.loc["tr+", "difference"] == pytest.approx(overall["tr_plus"] - 0.623)
    assert joined.loc[joined["model"] == "mini/world", "published"].isna().all()
    alone, _ = exhibits(page_of(answers))
    assert alone.state == "partly" and "--model google/gemma-2-2b-it" in alone.missing


def test_a_model_at_chance_is_marked_and_said() -> None:
    guesses = group(World(items=200), skills=dict.fromkeys(LANGUAGES, 0.0))
    table, _ = exhibits(page_of(guesses))
    sheet, said = table.parts
    assert isinstance(sheet, Sheet) and isinstance(said, Text)
    assert sheet.frame["languages above chance"].item().endswith("of 5, not above chance")
    accuracy = np.mean([one.correct.mean() for one in guesses])
    assert (
        said.warning
        and f"accuracy is {accuracy:.3f} on average where chance is 0.250" in (said.lines[0])
    )
    sound, _ = exhibits(page_of(group(World(items=200), skills=dict.fromkeys(LANGUAGES, 1.0))))
    (sheet,) = (part for part in sound.parts if isinstance(part, Sheet))
    assert sheet.frame["languages above chance"].item() == "5 of 5"
    assert not any(isinstance(part, Text) for part in sound.parts)


def test_the_map_has_sources_down_and_scripts_together() -> None:
    held = page_of(group(World(items=40)))
    _, maps = exhibits(held)
    raw, excess = (part for part in maps.parts if isinstance(part, Picture))
    axes = raw.figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["arb_Arab", "deu_Latn", "eng_Latn", "fra_Latn", "swh_Latn"]
    found = held.pairs.set_index(["source", "target"])
    shown = axes.images[0].get_array()
    assert shown[1, 4] == pytest.approx(found.loc[("deu_Latn", "swh_Latn"), "tr_plus"])
    assert shown.mask[2, 2]
    low, high = excess.figure.axes[0].images[0].get_clim()
    assert low == -high
    labels = [text.get_text() for text in axes.texts]
    assert f"{100 * shown[1, 4]:.0f}" in labels and "Latn" in labels


def test_many_languages_are_drawn_without_a_number_in_every_cell() -> None:
    skills = {f"l{number:02d}_{'Latn' if number % 2 else 'Cyrl'}": 0.5 for number in range(40)}
    _, maps = exhibits(page_of(group(World(items=30), skills=skills)))
    raw = maps.parts[0]
    assert isinstance(raw, Picture) and raw.size == "tall"
    axes = raw.figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["Cyrl", "Latn"]
    assert len(axes.get_yticklabels()) == 40


def test_one_language_alone_says_what_is_missing() -> None:
    found = exhibits(page_of(group(World(items=30))[:1]))
    assert [one.state for one in found] == ["empty", "empty"]
    assert all("--part output" in one.missing for one in found)


def test_printed_values_belong_to_the_papers_models_and_benchmarks() -> None:
    names = published_latent.model_name
    assert names("google/gemma-2-9b", revision="main") == "Gemma 2 9B"
    assert names("Qwen/Qwen2.5-32B-Instruct", revision="a" * 40) == "Qwen 2.5 32B"
    assert names("gemma-2-27b-it", revision="main") == "Gemma 2 27B"
    assert names("google/gemma-2-9b", revision="step-100") is None
    assert names("google/gemma-3-4b-it", revision="main") is None
    assert names("Qwen/Qwen2.5-7B-Instruct-AWQ", revision="main") is None
    assert published_latent.benchmark("m_hellaswag") == "mHellaSwag"
    assert published_latent.benchmark("m_mmlu") is None
    printed = published_latent.transfer()
    assert len(printed) == 6 * 3 * 5
    assert set(printed["model"]) == set(published_latent.COLUMNS)
    assert set(printed["benchmark"]) == set(published_latent.BENCHMARKS.values())
    ratios = published_latent.log_ratio()
    assert len(ratios) == 6 * 3 * 3
    assert set(ratios["outcome"]) == {"accuracy", "consistency", "transfer_in"}
