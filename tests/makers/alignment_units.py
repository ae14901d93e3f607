"""Units of alignment cells over made-up sentences in three languages, and their columns."""

import random
from collections.abc import Sequence
from pathlib import Path

from studies.kinds.alignment import AlignmentGrid
from studies.measures import MEASURES, resolve
from studies.spec import POOLINGS, Cell, ModelFacts, Switches
from studies.texts import Bitext
from studies.unit import Unit
from tests.makers.units import of_cells

WORDS = {
    "eng_Latn": ("the", "cat", "dog", "saw", "a", "house", "red", "and", "ran"),
    "spa_Latn": ("el", "gato", "perro", "vio", "una", "casa", "rojo", "y", "corrió"),
    "rus_Cyrl": ("этот", "кот", "пёс", "видел", "один", "дом", "красный", "и", "бежал"),
}
OTHERS = ("spa_Latn", "rus_Cyrl")


def bitext(language: str, *, pairs: int = 12) -> Bitext:
    def texts(code: str) -> tuple[str, ...]:
        choices = random.Random(0)
        return tuple(
            f"{place**5} " + " ".join(choices.choices(WORDS[code], k=choices.randint(0, 6)))
            for place in range(pairs)
        )

    return Bitext(
        dataset="words",
        language=language,
        pivot="eng_Latn",
        ids=tuple(str(place) for place in range(pairs)),
        pivot_texts=texts("eng_Latn"),
        texts=texts(language),
    )


def cells(
    facts: ModelFacts, languages: Sequence[str], *, switches: Switches | None = None
) -> list[Cell]:
    return [
        Cell(
            table="alignment",
            model=facts.name,
            revision=facts.revision,
            language=language,
            scope="scope",
            dataset="words",
            pivot="eng_Latn",
            measure=measure,
            pooling=pooling,
            layer=layer,
        )
        for language in languages
        for measure in MEASURES
        for pooling in POOLINGS
        for layer in resolve(measure, switches=switches or Switches()).layers(facts.layers)
    ]


def unit(facts: ModelFacts, wanted: Sequence[Cell], *, switches: Switches | None = None) -> Unit:
    languages = tuple(dict.fromkeys(cell.language for cell in wanted))
    parts = [([cell for cell in wanted if cell.language == one], bitext(one)) for one in languages]
    grid = AlignmentGrid(
        dataset="words", languages=languages, pairs=None, switches=switches or Switches()
    )
    return of_cells("alignment", grid, facts, *parts)


def documented(table: str) -> list[str]:
    """The columns that docs/tables.md gives a table."""
    text = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()
    section = text.split(f"## {table}: ")[1].split("\n## ")[0]
    names = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")][1:]
    return [name.strip() for cell in names for name in cell.split(",")]
