"""The scores of one written text, as a row of the table `generations` carries them.

Answers: exact match and token F1, as SQuAD's and MLQA's evaluation define them. `exact` and `f1`
are those of SQuAD v1.1 (Rajpurkar et al. 2016): lower case, without ASCII punctuation and English
articles, tokens between spaces. `f1_mixed` is MLQA's F1 (Lewis et al. 2020): without punctuation of
any script and the language's own articles, and with characters as tokens where words are not
spaced. MLQA does so for Chinese alone; here also for Japanese, Thai, Lao, Khmer, Burmese and
Tibetan, marks staying with their letter, and languages that MLQA has not keep all words. All are
from 0 to 1, the best over the right answers; two empty answers match exactly and share no token.

Translations: chrF and BLEU as sacrebleu computes them. BLEU's tokenizer follows from the language
(studies/bleu_tokenizers.csv, which analysis reads as well); a score of one sentence is smoothed and
of effective order, and is no part of a corpus score.
"""

import csv
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import NamedTuple

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from actors.scoring.numbers import number_in, same_number
from actors.scoring.writing import UNSPACED, repetition, script_of, written_language, written_script
from studies.texts import GenerationItem, GenerationSet

# MLQA takes the Arabic article out wherever it stands, inside of words as well.
ARTICLES = {
    "eng": r"\b(a|an|the)\b",
    "spa": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "vie": r"\b(của|là|cái|chiếc|những)\b",
    "deu": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "arb": "ال",
}
SPACED_OUT = frozenset(string.punctuation)


class SpanScores(NamedTuple):
    """How well an answer agrees with the right one it is nearest to."""

    exact: float
    f1: float
    f1_mixed: float


def span_scores(text: str, references: Sequence[str], *, language: str) -> SpanScores:
    """The scores of an answer in a language, such as deu_Latn, against all right answers."""

    def mixed(answer: str) -> list[str]:
        return mixed_tokens(answer, language=language)

    return SpanScores(
        exact=max(float(normalised(text) == normalised(one)) for one in references),
        f1=max(_f1(text, one, tokens=_words) for one in references),
        f1_mixed=max(_f1(text, one, tokens=mixed) for one in references),
    )


def normalised(text: str) -> str:
    """An answer as SQuAD compares it."""
    bare = "".join(letter for letter in text.lower() if letter not in SPACED_OUT)
    return " ".join(re.sub(ARTICLES["eng"], " ", bare).split())


def mixed_tokens(text: str, *, language: str) -> list[str]:
    """The tokens of an answer as MLQA counts them."""
    spoken, _, script = language.partition("_")
    bare = "".join(letter for letter in text.lower() if not _punctuation(letter))
    if spoken in ARTICLES:
        bare = re.sub(ARTICLES[spoken], " ", bare)
    return segments(bare) if script in UNSPACED else bare.split()


def segments(text: str) -> list[str]:
    """Words between spaces, but every letter of a script without spaces by itself."""
    found: list[str] = []
    inside = False  # whether the last token is a word that may go on
    for letter in text:
        if letter.isspace():
            inside = False
        elif found and unicodedata.category(letter).startswith("M"):
            found[-1] += letter
        elif script_of(letter) in UNSPACED:
            found.append(letter)
            inside = False
        elif inside:
            found[-1] += letter
        else:
            found.append(letter)
            inside = True
    return found


def _words(text: str) -> list[str]:
    return normalised(text).split()


def _f1(text: str, reference: str, *, tokens: Callable[[str], list[str]]) -> float:
    """The harmonic mean of the shares of tokens that both have."""
    written, right = tokens(text), tokens(reference)
    shared = (Counter(written) & Counter(right)).total()
    return 2 * shared / (len(written) + len(right)) if shared else 0.0


@cache
def _punctuation(letter: str) -> bool:
    return letter in SPACED_OUT or unicodedata.category(letter).startswith("P")


class TranslationScores(NamedTuple):
    """Both from 0 to 100."""

    chrf: float
    bleu: float


def translation_scores(text: str, references: Sequence[str], *, language: str) -> TranslationScores:
    """The scores of one translation into a language, against all its references."""
    right = list(references)
    return TranslationScores(
        chrf=float(_chrf().sentence_score(text, right).score),
        bleu=float(_bleu(bleu_tokenizer(language)).sentence_score(text, right).score),
    )


@cache
def bleu_tokenizer(language: str) -> str:
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


SCORES = (
    "exact",
    "f1",
    "f1_mixed",
    "chrf",
    "bleu",
    "answer",
    "written_language",
    "written_script",
    "repetition",
)


def scored(asked: GenerationSet, item: GenerationItem, text: str) -> dict[str, object]:
    """Every score of a text, as its task has it; None where one does not apply."""
    script = written_script(text, expected=asked.language.partition("_")[2])
    found: dict[str, object] = dict.fromkeys(SCORES)
    found["written_script"] = script
    found["written_language"] = written_language(
        text, script=script, language=asked.language, pivot=asked.pivot
    )
    found["repetition"] = repetition(text, script=script)
    if item.references and asked.task == "span":
        found |= span_scores(text, item.references, language=asked.language)._asdict()
        found["answer"] = text.strip() or None
    elif item.references and asked.task == "number":
        right = (same_number(text, one, language=asked.language) for one in item.references)
        found["exact"] = float(any(right))
        found["answer"] = number_in(text, language=asked.language)
    elif item.references and asked.task == "translation":
        scores = translation_scores(text, item.references, language=asked.language)
        found |= scores._asdict()
    return found
