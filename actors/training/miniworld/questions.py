"""Items of the miniworld's benchmarks as the studies' own prompts put them."""

from dataclasses import dataclass, replace

from studies import prompts
from studies.benchmarks import BENCHMARKS
from studies.miniworld.benchmarks import Item

# Where a verdict stands in a prompt before it is written.
JUDGED = "\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A rendered question: what the model reads, what could follow it, and which of it should."""

    context: str
    options: tuple[str, ...]
    gold: int

    @property
    def right(self) -> str:
        """What follows."""
        return self.options[self.gold]


def ask(
    item: Item,
    *,
    dataset: str,
    prompt: str,
    language: str,
    number: int = 0,
    told_in: str = "",
    judged: bool = False,
) -> Asked:
    """An item as a benchmark's prompt puts it.

    Args:
        told_in: another language for its passage.
        judged: mark the end of every option that is listed, where a verdict will stand.
    """
    entry = BENCHMARKS[dataset]
    raw = entry.read(item.row(number, language=language))
    assert raw is not None, item
    if told_in:
        row = item.row(number, language=told_in)
        raw = replace(raw, fields={**raw.fields, "flores_passage": str(row["flores_passage"])})
    options = tuple(f"{text}{JUDGED}" for text in raw.options) if judged else raw.options
    rendered = prompts.render(
        entry.prompts[prompt], fields=raw.fields, options=options, language=language
    )
    return Asked(context=rendered.context, options=rendered.options, gold=raw.gold)
