"""Which script a text is written in: that of most of its letters.

Scripts go by their ISO 15924 codes, as in language codes.
"""

import unicodedata
from collections import Counter
from functools import cache

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
