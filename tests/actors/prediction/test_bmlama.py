"""BMLAMA: the candidate whose whole sentence has the lowest mean cross-entropy wins."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from actors.model import LoadedModel, load
from actors.prediction.score import score
from studies import benchmarks
from studies.rows import Source
from tests.makers import tiny
from tests.makers.rounding import of_model
from tests.studies.test_benchmarks import FACT, write

pytestmark = pytest.mark.numeric
FACTS = [
    FACT,
    {"Prompt": "<mask> is in France.", "Ans": "Paris", "Candidate Ans": "Peru, Paris, Rome"},
    {"Prompt": "Рим — <mask>.", "Ans": "город", "Candidate Ans": "Перу, город, река"},
]


def losses(loaded: LoadedModel, sentence: str, candidates: str) -> list[float]:
    """One text at a time, with what the tokenizer adds; its first token is given, not predicted."""
    found = []
    for candidate in candidates.split(", "):
        ids = loaded.tokenizer(sentence.replace("<mask>", candidate), return_tensors="pt").input_ids
        with torch.no_grad():
            logits = loaded.model(ids).logits
        found.append(float(cross_entropy(logits[0, :-1], ids[0, 1:])))
    return found


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2", "bloom"])
def test_sentences_are_ranked_as_the_slow_twin_ranks_them(tmp_path: Path, family: str):
    source = write(tmp_path, "bmlama53/eng_Latn.jsonl", FACTS)
    found = benchmarks.load("bmlama53", language="eng_Latn", source=source)
    loaded = tiny.loaded(family)
    for row, choice in zip(FACTS, score(loaded, found.items, normalise="token"), strict=True):
        expected = losses(loaded, str(row["Prompt"]), str(row["Candidate Ans"]))
        assert [-value for value in choice.scores] == pytest.approx(expected, rel=of_model(loaded))
        assert choice.prediction == expected.index(min(expected))


def test_real_sentences_on_a_real_model(shared: Path):
    loaded = load(tiny.real_llama(shared), device="cpu", threads=1)
    source = Source(data_root=shared / "data")
    for language in ("eng_Latn", "spa_Latn"):
        found = benchmarks.load("bmlama53", language=language, source=source, limit=8)
        answers = score(loaded, found.items, normalise=found.normalise)
        for item, choice in zip(found.items, answers, strict=True):
            expected = [losses(loaded, option, "")[0] for option in item.options]
            assert [-value for value in choice.scores] == pytest.approx(
                expected, rel=of_model(loaded)
            )
            assert choice.prediction == expected.index(min(expected))
