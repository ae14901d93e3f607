"""Sentence scores of translations: chrF and BLEU as sacrebleu computes them.

BLEU's tokenizer follows from the language (studies/bleu_tokenizers.csv, which analysis reads as
well); a score of one sentence is smoothed and of effective order, and is no part of a corpus score.
"""

import csv
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import NamedTuple

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF


class TranslationScores(NamedTuple):
    """Both from 0 to 100."""

    chrf: float
    bleu: float


def translation_scores(text: str, references: Sequence[str], *, language: str) -> TranslationScores:
    """The scores of one translation into a language, against all its references."""
    right = list(references)
    return TranslationScores(
        chrf=float(_chrf().sentence_score(text, right).score),
        bleu=float(_bleu(tokenizer(language)).sentence_score(text, right).score),
    )


@cache
def tokenizer(language: str) -> str:
    """sacrebleu's tokenizer for a language: of words where one is installed, else characters."""
    spoken, _, script = language.partition("_")
    table = (files("studies") / "bleu_tokenizers.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(table.splitlines()):
        if row["language"] in ("", spoken) and row["script"] in ("", script):
            there = not row["module"] or find_spec(row["module"])
            return row["tokenizer"] if there else row["otherwise"]
    raise AssertionError("the table's last row is for every language")


@cache
def _chrf() -> CHRF:
    return CHRF()


@cache
def _bleu(kind: str) -> BLEU:
    return BLEU(tokenize=kind, effective_order=True)
