"""Tuning splits: which items a strength is chosen on, and which it is reported on.

The items are drawn as those of steering vectors are: by id and seed, among the items of the pivot,
so that none that a strength was chosen on is reported in any language (CLAS, section 3).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from studies.draws import drawn
from studies.neuron_options import Strength
from studies.texts import ChoiceSet, GenerationSet

Asked = TypeVar("Asked", ChoiceSet, GenerationSet)


class Split(NamedTuple):
    """The items of one language to choose a strength on, and those to report."""

    tuning: ChoiceSet | GenerationSet
    held_out: ChoiceSet | GenerationSet


def split(asked: Asked, *, pivot: ChoiceSet | GenerationSet, sample: int, seed: int) -> Split:
    """A language's items in two parts: those that the seed draws of the pivot's, and the others.

    Raises:
        ValueError: one of the parts is empty.
    """
    taken = drawn((item.id for item in pivot.items), sample=sample, seed=seed)
    chosen = tuple(item for item in asked.items if item.id in taken)
    left = tuple(item for item in asked.items if item.id not in taken)
    if not chosen or not left:
        lacks = "report" if chosen else "choose a strength on"
        raise ValueError(
            f"{asked.benchmark}: a tuning split of {len(taken)} of the {len(pivot.items)} items of "
            f"{pivot.language} leaves none of {asked.language} to {lacks}: set another size with "
            "--tuning, or raise --limit"
        )
    return Split(_of(asked, chosen, seed=seed), _of(asked, left, seed=seed))


def _of(asked: Asked, items: tuple[Any, ...], *, seed: int) -> Asked:
    seeded: dict[str, Any] = {"seed": seed} if isinstance(asked, ChoiceSet) else {}
    changed: Asked = replace(asked, items=items, **seeded)
    return changed


def choose(
    values: Mapping[str, Sequence[float]],
    strengths: Sequence[Strength],
    *,
    among: Sequence[Strength],
    languages: Iterable[str],
) -> Strength:
    """The strength with the highest mean value over languages; of equal ones that nearest to none,
    then the larger.

    Args:
        values: by language the value at each of `strengths`.
        strengths: what the values are at.
        among: the strengths to choose from.
        languages: whose values count.
    """
    places = {one: place for place, one in enumerate(strengths)}
    counted = [values[language] for language in languages]

    def rank(one: Strength) -> tuple[float, float, float]:
        # Means of shares of whole items tie exactly once rounding is out of the way.
        mean = round(sum(own[places[one]] for own in counted) / len(counted), 12)
        return mean, -abs(one.shared) - abs(one.specific), one.shared

    return max(among, key=rank)
