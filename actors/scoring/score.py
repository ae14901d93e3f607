"""The scores of one written text, as a row of the table `generations` carries them."""

from actors.scoring.numbers import number_in, same_number
from actors.scoring.scripts import written_script
from actors.scoring.spans import span_scores
from actors.scoring.translations import translation_scores
from actors.scoring.writing import repetition, written_language
from studies.texts import GenerationItem, GenerationSet

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
