"""Patching and neuron categories on a model, in brief, before any study of them is run.

    python docs/benchmarks/effects.py [MODEL] [--benchmark mini_belebele] [--prompt latent]

Patching: of the items that the model gets right in English and wrong in another language, the share
that is right once the state of its last prompt token is that of the English prompt, at each layer;
beside it, the state of another item's English prompt. At the last layer the first is 1 by
construction. Neurons: the share whose mean activation over parallel sentences is above zero in no
language, one, some or all. Rows are Markdown.
"""

import argparse
from statistics import mean

from actors.kinds.neurons import MAIN, neurons_of
from actors.model import LoadedModel, load
from actors.model_actor import ModelActor
from actors.neurons.categories import active_in, shares
from actors.prediction.score import Choice
from studies import benchmarks, miniworld, samples
from studies.models.facts import facts
from studies.neuron_options import Sorting
from studies.rows import Source
from studies.spec import Model
from studies.texts import ChoiceItem

PIVOT = "eng_Latn"


def patched(
    actor: ModelActor, *, benchmark: str, prompt: str, limit: int
) -> dict[int, tuple[float, float]]:
    """By layer: the share of failing items that English states correct, own and another's."""
    failing: list[ChoiceItem] = []
    own: list[str] = []
    other: list[str] = []
    english = _items(benchmark, language=PIVOT, prompt=prompt, limit=limit)
    right = _plainly_right(actor, english)
    for language in miniworld.LANGUAGES[1:]:
        items = _items(benchmark, language=language, prompt=prompt, limit=limit)
        for place, answered in enumerate(_plainly_right(actor, items)):
            if right[place] and not answered:
                failing.append(items[place])
                own.append(english[place].context)
                other.append(english[(place + 1) % len(english)].context)
    print(f"\n{len(failing)} items are right in English and wrong in another language\n")
    return {
        layer: (mean(_right(failing, with_own)), mean(_right(failing, with_other)))
        for (layer, with_own), with_other in zip(
            actor.patch(failing, own).items(), actor.patch(failing, other).values(), strict=True
        )
    }


def _items(benchmark: str, *, language: str, prompt: str, limit: int) -> list[ChoiceItem]:
    found = benchmarks.load(
        benchmark, language=language, source=Source(), prompt=prompt, limit=limit
    )
    return list(found.items)


def _plainly_right(actor: ModelActor, items: list[ChoiceItem]) -> list[bool]:
    (choices,) = actor.sweep(items, [()])
    return _right(items, choices)


def _right(items: list[ChoiceItem], choices: list[Choice]) -> list[bool]:
    return [choice.prediction == item.gold for choice, item in zip(choices, items, strict=True)]


def categories(loaded: LoadedModel, *, count: int) -> dict[int, tuple[float, ...]]:
    """By layer: the share of neurons active in no, one, some and all languages."""
    sorting = Sorting()
    sets = samples.load("miniworld", languages=miniworld.LANGUAGES, source=Source(), size=count)
    languages = [
        neurons_of(
            loaded, one, loaded.encode(one.texts, allow_truncation=False).sequences, sorting=sorting
        )
        for one in sets
    ]
    return {
        layer: tuple(shares(active_in(languages, layer, sorting=sorting, blocks=MAIN)).values())
        for layer in languages[0].about.layers
    }


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=miniworld.MODELS[0])
    parser.add_argument("--benchmark", default="mini_belebele")
    parser.add_argument("--prompt", default="latent")
    parser.add_argument("--limit", type=int, default=100)
    arguments = parser.parse_args()
    actor = ModelActor(facts(Model(id=arguments.model)))
    rows = patched(
        actor, benchmark=arguments.benchmark, prompt=arguments.prompt, limit=arguments.limit
    )
    print("| layer | its English state | another item's |\n|---|---|---|")
    for layer, (own, other) in rows.items():
        print(f"| {layer} | {own:.2f} | {other:.2f} |")
    print("\n| layer | no language | one | some | all |\n|---|---|---|---|---|")
    found = categories(load(facts(Model(id=arguments.model))), count=100)
    for layer, each in found.items():
        print(f"| {layer} | {' | '.join(f'{share:.2f}' for share in each)} |")


if __name__ == "__main__":
    main()
