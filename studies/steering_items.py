"""Items for steering: those that vectors are made from, and those that are answered with them.

Which items are drawn depends on benchmark, pivot, sample and seed alone, so that no item that a
vector was made from is answered in any language (arXiv 2505.13141, section 5). Vectors, layers and
coefficients are unknown here.
"""

from dataclasses import replace

from studies.contents import VectorSet
from studies.draws import SMALLEST, Draw, ordered
from studies.spec import ChoiceSet


def vector_set(found: Draw) -> VectorSet:
    """The pairs of prompts of one draw, in the pivot's order, with the pivot's as those toward it.

    Where both are one language, the first half of its drawn prompts, in the order of the seed,
    stands against the second; one too many is left out, and an id is that of both.

    Raises:
        ValueError: there are fewer than 2 pairs.
    """
    own, pivot = found.own, found.pivot
    ids, toward, away = _halves(found) if own.language == pivot.language else _sides(found)
    return VectorSet(
        benchmark=own.benchmark,
        language=own.language,
        pivot=pivot.language,
        prompt=own.prompt,
        seed=found.seed,
        ids=ids,
        toward=toward,
        away=away,
        chat=own.chat,
        commit=own.commit,
    )


def held_out(found: Draw) -> ChoiceSet:
    """The items of a language that a draw leaves, in the language's order.

    Raises:
        ValueError: nothing is left.
    """
    own, pivot = found.own, found.pivot
    left = tuple(item for item in own.items if item.id not in found.ids)
    if not left:
        raise ValueError(
            f"{own.benchmark}: the draw takes {len(found.ids)} of the {len(pivot.items)} items of "
            f"{pivot.language}, and {own.language} has none beside them to answer: draw fewer with "
            "a smaller sample, or raise the limit"
        )
    return replace(own, items=left, seed=found.seed)


Sides = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def _sides(found: Draw) -> Sides:
    """Ids, the pivot's prompts and the language's."""
    pairs = found.pairs()
    return (
        tuple(pair.own.id for pair in pairs),
        tuple(pair.pivot.context for pair in pairs),
        tuple(pair.own.context for pair in pairs),
    )


def _halves(found: Draw) -> Sides:
    """Ids, the prompts of the first half and those of the second."""
    contexts = {item.id: item.context for item in found.pivot.items}
    ids = ordered(found.ids, seed=found.seed)
    size = len(ids) // 2
    if size < SMALLEST:
        raise ValueError(
            f"{found.own.benchmark}: {len(ids)} items are drawn in {found.own.language}, too few "
            f"for two halves of at least {SMALLEST}: draw more with a larger sample"
        )
    first, second = ids[:size], ids[size : 2 * size]
    return (
        tuple(f"{one} | {other}" for one, other in zip(first, second, strict=True)),
        tuple(contexts[id] for id in first),
        tuple(contexts[id] for id in second),
    )
