"""A training text: pieces that are told, and pieces that the text before them settles."""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.training.miniworld.questions import JUDGED, Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of a document; `is_answer` marks what follows from the text before it."""

    text: str
    is_answer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One training text: its kind, and its pieces in order."""

    kind: str
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The whole document as the models read it."""
        return "".join(segment.text for segment in self.segments)


def told(text: str) -> Segment:
    """A piece that nothing before it settles."""
    return Segment(text=text, is_answer=False)


def answer(text: str) -> Segment:
    """A piece that the text before it settles."""
    return Segment(text=text, is_answer=True)


def quiz(asked: Sequence[Asked], *, about: str = "") -> tuple[Segment, ...]:
    """Questions about one passage, which only the first repeats, each with its answer."""
    segments: list[Segment] = []
    for number, each in enumerate(asked):
        context = each.context.partition(about)[2] if number else each.context
        first, *others = context.split(JUDGED)
        segments.append(told(first))
        for place, text in enumerate(others):
            segments += [answer(" True" if place == each.gold else " False"), told(text)]
        segments.append(answer(each.right))
    return tuple(segments)
