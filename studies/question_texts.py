"""A benchmark's prompts as parallel text: the same questions in a language and in its pivot.

Their states at the last token are compared as those of parallel sentences are (arXiv 2505.13141,
Figure 3 and its later version).
"""

from dataclasses import dataclass, field

from studies.draws import draw
from studies.prompt_options import Asking
from studies.rows import Source
from studies.texts import Bitext


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """A benchmark's prompts as parallel text: the ones that a draw of `sample` items takes."""

    benchmark: str
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    limit: int | None = None
    sample: int = 50
    seed: int = 0


def bitext(questions: Questions, *, language: str, pivot: str, source: Source) -> Bitext:
    """The drawn questions of one language beside those of the pivot, in the pivot's order.

    An id that the language lacks, or that has other options or another right answer there, is left
    out.

    Raises:
        ValueError: the language has fewer than 2 of those drawn, or the benchmark cannot be loaded.
    """
    found = draw(
        questions.benchmark,
        language=language,
        pivot=pivot,
        source=source,
        limit=questions.limit,
        prompt=questions.prompt,
        asking=questions.asking,
        sample=questions.sample,
        seed=questions.seed,
    )
    pairs = found.pairs()
    return Bitext(
        dataset=f"questions/{questions.benchmark}",
        language=language,
        pivot=pivot,
        ids=tuple(pair.own.id for pair in pairs),
        pivot_texts=tuple(pair.pivot.context for pair in pairs),
        texts=tuple(pair.own.context for pair in pairs),
        commit=found.own.commit,
        chat=questions.asking.chat,
    )
