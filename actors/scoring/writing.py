"""How a text is written, whatever it says: in which script and language, and how often it repeats.

The script is that of most letters; scripts go by their ISO 15924 codes, as in language codes. The
language is py3langid's, among the languages of the benchmarks that are answered by writing,
English, and those a prompt is about: among all it knows, a short text is anything. Without
py3langid no language is given.
"""

import unicodedata
from collections import Counter
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from studies import languages

# Written without spaces between words.
UNSPACED = frozenset(("Hans", "Hant", "Hani", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"))
CHINESE = ("Hans", "Hant", "Jpan")
# A Chinese text may have a kana or two; a Japanese one of some length has many.
KANA = 0.1
# The first word of a letter's name in Unicode.
NAMES = {
    "ARABIC": "Arab",
    "ARMENIAN": "Armn",
    "BENGALI": "Beng",
    "CJK": "Hani",
    "CYRILLIC": "Cyrl",
    "DEVANAGARI": "Deva",
    "ETHIOPIC": "Ethi",
    "FULLWIDTH": "Latn",
    "GEORGIAN": "Geor",
    "GREEK": "Grek",
    "GUJARATI": "Gujr",
    "GURMUKHI": "Guru",
    "HALFWIDTH": "Jpan",
    "HANGUL": "Hang",
    "HEBREW": "Hebr",
    "HIRAGANA": "Jpan",
    "KANNADA": "Knda",
    "KATAKANA": "Jpan",
    "KATAKANA-HIRAGANA": "Jpan",
    "KHMER": "Khmr",
    "LAO": "Laoo",
    "LATIN": "Latn",
    "MALAYALAM": "Mlym",
    "MEETEI": "Mtei",
    "MONGOLIAN": "Mong",
    "MYANMAR": "Mymr",
    "NKO": "Nkoo",
    "OL": "Olck",
    "ORIYA": "Orya",
    "SINHALA": "Sinh",
    "TAMIL": "Taml",
    "TELUGU": "Telu",
    "THAI": "Thai",
    "TIBETAN": "Tibt",
    "TIFINAGH": "Tfng",
}


@cache
def script_of(letter: str) -> str | None:
    """The script of one character; None for what belongs to none, such as digits."""
    return NAMES.get(unicodedata.name(letter, "").partition(" ")[0])


def letters(text: str) -> int:
    """How many letters a text has."""
    return sum(map(str.isalpha, text))


def written_script(text: str, *, expected: str = "") -> str | None:
    """The script of most letters, or None where there is no letter of a known one.

    Args:
        text: what was written.
        expected: the script asked for: says which Chinese characters are meant where they are
            alone, `Hans`, `Hant` or `Jpan`; without it they are `Hani`.
    """
    counts = Counter(script for one in text if one.isalpha() and (script := script_of(one)))
    kana, characters = counts.pop("Jpan", 0), counts.pop("Hani", 0)
    if kana > KANA * (kana + characters):
        counts["Jpan"] = kana + characters
    elif characters:
        counts[expected if expected in CHINESE else "Hani"] = kana + characters
    return max(counts, key=lambda script: counts[script]) if counts else None


if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# Fewer letters are too few to tell a language by; one of a script without spaces says more.
FEWEST, FEWEST_UNSPACED = 12, 4
LEAST_PROBABLE = 0.7
# Data sets whose languages are told apart, and those that know a language's two letters.
TOLD_APART = ("xquad", "mgsm")
TWO_LETTERS = (*TOLD_APART, "m_arc", "global_mmlu_lite", "xcopa", "bmlama53")
GRAM = 4


def written_language(
    text: str, *, script: str | None, language: str, pivot: str | None = None
) -> str | None:
    """The language of a text, such as deu_Latn; None where it is too short or could be several.

    Args:
        text: what was written.
        script: what it is written in (`written_script`).
        language: the language asked for; in its own script, one that py3langid does not know is
            never told, as every other would be a guess.
        pivot: a language that is translated from.
    """
    if script is None or letters(text) < (FEWEST_UNSPACED if script in UNSPACED else FEWEST):
        return None
    candidates = _candidates(language, pivot, _family(script))
    asked_for = language.partition("_")[2]
    if not candidates or (_family(asked_for) == _family(script) and language not in candidates):
        return None
    by_letters = {candidates[code]: code for code in candidates}
    identifier = _identifier(tuple(sorted(by_letters)))
    if identifier is None:
        return None
    found, probability = identifier.classify(text)
    return by_letters[found] if probability >= LEAST_PROBABLE else None


def repetition(text: str, *, script: str | None) -> float | None:
    """The share of 4-grams that stand in the text before, None where there is none at all.

    They are of words, or of characters where the script has no spaces.
    """
    parts = [one for one in text if not one.isspace()] if script in UNSPACED else text.split()
    grams = [tuple(parts[start : start + GRAM]) for start in range(len(parts) - GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else None


def _family(script: str) -> str:
    """Chinese characters are of one kind, whoever writes them."""
    return "Hani" if script in CHINESE else script


@cache
def _candidates(language: str, pivot: str | None, script: str) -> dict[str, str]:
    """The two letters of every language that may be meant in a script; the one asked for wins."""
    known = [code for dataset in TOLD_APART for code in languages.known_languages(dataset)]
    found: dict[str, str] = {}
    for code in (language, pivot or language, "eng_Latn", *known):
        short = _two_letters(code)
        here = _family(code.partition("_")[2]) == script
        if here and short in _known() and short not in found.values():
            found[code] = short
    return found


def _two_letters(language: str) -> str:
    """The two letters of a language in any script, "" where no data set has them."""
    spoken = language.partition("_")[0]
    for dataset in TWO_LETTERS:
        for code in languages.known_languages(dataset):
            if code.partition("_")[0] == spoken:
                return languages.source_code(dataset, code)
    return ""


@cache
def _known() -> frozenset[str]:
    """What py3langid can tell."""
    identifier = _identifier(None)
    return frozenset(identifier.labels if identifier else ())


@cache
def _identifier(among: tuple[str, ...] | None) -> "LanguageIdentifier | None":
    """py3langid restricted to some languages, if it is installed."""
    if find_spec("py3langid") is None:
        return None
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if among is not None:
        identifier.set_languages(among)
    return identifier
