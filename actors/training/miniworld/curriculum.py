"""In which order, and of what, the miniworld models are told.

Every document is drawn from one seeded stream: a kind (the same in several languages, lists,
or questions) and a language, by exposure. The stream is a curriculum, as small models learn no
skill whose parts they lack: first, in English, to repeat a list and to find in it what belongs to
whom; then which letter stands for a thing; then both at once, with the list of letters behind the
question at last; then everything in every language.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from actors.training.miniworld.document import Document
from actors.training.miniworld.writer import Passages, Writer
from studies.miniworld.lexicon import LANGUAGES
from studies.miniworld.worlds import Split

# Where all people have things of one kind, only the person says which thing is asked for.
ALIKE: Passages = ((2, 2), (2, 2), (3, 3), (3, 3), (3, 2), (4, 4), (5, 5))
PLAIN: Passages = ((1, 1), (2, 1), (3, 1))
PASSAGES: Passages = (*PLAIN, (2, 2), (3, 2), (3, 2), (3, 3), (4, 4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch of the stream: how many documents (None: all that follow), and of what."""

    documents: int | None
    kinds: Mapping[str, float]
    passages: Passages = PASSAGES
    english: bool = True


EVERYTHING = Stage(
    documents=None,
    english=False,
    kinds={
        "parallel": 0.14,
        "translation": 0.13,
        "dictionary": 0.06,
        "tale": 0.07,
        "recital": 0.01,
        "notes": 0.01,
        "index": 0.01,
        "matching": 0.02,
        "carrying": 0.04,
        "retelling": 0.02,
        "reading": 0.1,
        "reading_across": 0.05,
        "span": 0.04,
        "reading_letters": 0.09,
        "knowledge_answers": 0.05,
        "knowledge_letters": 0.06,
        "inference": 0.03,
        "inference_digits": 0.03,
        "story": 0.04,
    },
)
CURRICULUM: tuple[Stage, ...] = (
    Stage(
        documents=36_000,
        passages=ALIKE,
        kinds={"recital": 0.35, "notes": 0.25, "span": 0.2, "reading": 0.15, "retelling": 0.05},
    ),
    Stage(
        documents=26_000,
        passages=PLAIN,
        kinds={
            "recital": 0.03,
            "notes": 0.06,
            "span": 0.03,
            "reading": 0.08,
            "index": 0.2,
            "reading_letters": 0.6,
        },
    ),
    Stage(
        documents=34_000,
        kinds={
            "matching": 0.85,
            "index": 0.03,
            "notes": 0.03,
            "reading": 0.04,
            "reading_letters": 0.05,
        },
    ),
    Stage(
        documents=42_000,
        kinds={"carrying": 0.78, "matching": 0.12, "reading": 0.05, "reading_letters": 0.05},
    ),
    Stage(
        documents=24_000,
        kinds={
            "notes": 0.05,
            "span": 0.05,
            "carrying": 0.1,
            "reading": 0.12,
            "retelling": 0.05,
            "reading_letters": 0.25,
            "inference": 0.15,
            "inference_digits": 0.08,
            "story": 0.15,
        },
    ),
    EVERYTHING,
)


def documents(
    *, seed: int, split: Split = "train", curriculum: Sequence[Stage] = CURRICULUM
) -> Iterator[Document]:
    """The endless stream of documents of a seed, stage after stage."""
    random = Random(f"miniworld training {seed} {split}")
    for stage in curriculum:
        writer = Writer(random=random, split=split, passages=stage.passages)
        kinds, weights = list(stage.kinds), list(stage.kinds.values())
        written = 0
        while stage.documents is None or written < stage.documents:
            (kind,) = random.choices(kinds, weights=weights)
            language = LANGUAGES[0] if stage.english else writer.language()
            yield writer.write(kind, language=language)
            written += 1
