"""States and pictures of rescaled prompts equal those of plain hooks on one prompt at a time."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from actors.model import LoadedModel
from actors.neurons.file import Categories, read_categories
from actors.work import run_unit
from studies.kinds.scaled import ScalingGrid, _OneModel
from studies.neuron_options import PLAIN, Rescaling, Sorting, Strength
from studies.spec import Row
from studies.tuning_split import Split
from tests.makers import planted_neurons, tiny
from tests.makers.planted_neurons import LANGUAGES, questions
from tests.makers.rescaled import sort, split_of, tuned
from tests.makers.rounding import of_model
from tests.makers.units import of_drafts

pytestmark = pytest.mark.numeric
FAMILIES = ("llama", "qwen2", "gemma2", "olmo2")
ANCHOR, *OTHERS = LANGUAGES
CHOSEN = Strength(1.6, -0.8)
HELD_OUT = range(10, 16)
BRIDGE = (1, 2)


class Made(NamedTuple):
    """The rows of the states and of the picture, and what the chosen strength rescales."""

    states: list[Row]
    points: list[Row]
    categories: Categories


@cache
def made(family: str, *, where: str = "all", site: str = "h") -> Made:
    """Both kinds, where tuning has found the strength to be the best."""
    loaded = tiny.loaded(family)
    grid = ScalingGrid(
        benchmark="marks", languages=("all",), sampled="letters", samples=8,
        strengths=(CHOSEN,), tuning=10, bridge=BRIDGE, answers=False,
        sorting=Sorting(clas_site=site), rescaling=Rescaling(clas_pos=where),  # type: ignore[arg-type]
    )  # fmt: skip
    splits: dict[str, Split] = {
        language: split_of(questions(language, range(10)), questions(language, HELD_OUT))
        for language in LANGUAGES
    }
    sets = planted_neurons.samples()
    _, _, artifacts, key = sort(loaded, grid, sets)
    drafts = list(_OneModel(grid, loaded.facts, splits, frozenset(LANGUAGES), key).drafts())
    best = dict.fromkeys(LANGUAGES, (0.0, 1.0))
    artifacts |= tuned(drafts, best, [PLAIN, CHOSEN])
    rows = {
        kind: run_unit(
            loaded, of_drafts(grid, *(d for d in drafts if d.kind == kind)), artifacts=artifacts
        ).rows
        for kind in ("scaled_states", "scaled_points")
    }
    return Made(rows["scaled_states"], rows["scaled_points"], read_categories(artifacts[key]))


def means(
    loaded: LoadedModel, text: str, factors: Mapping[int, Tensor], *, where: str, site: str
) -> dict[tuple[str, int], Tensor]:
    """One prompt's mean activations, with some neurons multiplied by 1 + factor at some tokens."""
    ids = loaded.encode([text], allow_truncation=False).sequences[0]
    chosen = {"all": slice(None), "prompt": slice(None), "last": slice(-1, None)}[where]
    found: dict[tuple[str, int], Tensor] = {}
    handles = []

    def changed(value_1TF: Tensor, layer: int) -> Tensor:
        value_1TF = value_1TF.clone()
        if layer in factors:
            value_1TF[0, chosen] *= 1 + factors[layer]
        found[site, layer] = value_1TF[0].double().mean(dim=0)
        return value_1TF

    def noted(layer: int) -> Any:
        def note(_module: nn.Module, _args: tuple, output: Any) -> None:
            whole = output[0] if isinstance(output, tuple) else output
            found["resid", layer] = whole.reshape(len(ids), -1).double().mean(dim=0)

        return note

    for layer, block in enumerate(loaded.model.model.layers, start=1):
        handles.append(block.register_forward_hook(noted(layer)))
        if site == "h":
            handles.append(
                block.mlp.down_proj.register_forward_pre_hook(
                    lambda _module, args, layer=layer: (changed(args[0], layer),)
                )
            )
        else:
            handles.append(
                block.mlp.act_fn.register_forward_hook(
                    lambda _module, _args, out, layer=layer: changed(out, layer)
                )
            )
    with torch.no_grad():
        loaded.model(input_ids=torch.tensor([list(ids)]), use_cache=False)
    for handle in handles:
        handle.remove()
    return found


def factors_of(categories: Categories) -> dict[int, Tensor]:
    """By what each neuron is multiplied, counting the languages in which it is active."""
    found = {}
    for layer in BRIDGE:
        counts = categories.active[layer].sum(dim=0).tolist()
        by_count = {1: CHOSEN.specific, 2: CHOSEN.shared, 3: CHOSEN.shared}
        found[layer] = torch.tensor([by_count.get(count, 0.0) for count in counts])
        assert set(by_count) & set(counts), "there is nothing to rescale"
    return found


def prompts(language: str) -> list[str]:
    return [item.context for item in questions(language, HELD_OUT).items]


def cosine(one: Tensor, other: Tensor) -> float:
    return float(one @ other) / float(one.norm() * other.norm())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("where", "site"), [("all", "h"), ("all", "act"), ("prompt", "h"), ("last", "h")]
)
def test_states_equal_those_of_plain_hooks(family: str, where: str, site: str) -> None:
    loaded, found = tiny.loaded(family), made(family, where=where, site=site)
    factors = factors_of(found.categories)
    given: dict[str, Any] = {"where": where, "site": site}
    pivots = [means(loaded, text, {}, **given) for text in prompts(ANCHOR)]
    moved = 0.0
    for language in OTHERS:
        texts = prompts(language)
        sides = {
            "before": [means(loaded, text, {}, **given) for text in texts],
            "after": [means(loaded, text, factors, **given) for text in texts],
        }
        rows = {(row["site"], row["layer"]): row for row in found.states
                if row["language"] == language}  # fmt: skip
        assert set(rows) == set(product((site, "resid"), (0, *BRIDGE)))
        for (at, layer), row in rows.items():
            assert row["n"] == len(texts) and row["shared"] == CHOSEN.shared
            layers = BRIDGE if layer == 0 else (layer,)

            def vector(one: Mapping[Any, Tensor], at: Any = at, layers: Any = layers) -> Tensor:
                return torch.stack([one[at, each] for each in layers]).mean(dim=0)

            there = [vector(one) for one in pivots]
            for name, side in sides.items():
                here = [vector(one) for one in side]
                pairs = zip(here, there, strict=True)
                expected = sum(cosine(one, other) for one, other in pairs) / len(here)
                bound = of_model(loaded) * bent(here, there)
                assert row[name] == pytest.approx(expected, abs=bound)
                own, other = (torch.stack(each).mean(dim=0) for each in (here, there))
                bound = of_model(loaded) * bent([own], [other])
                assert row[f"{name}_of_means"] == pytest.approx(cosine(own, other), abs=bound)
            moved = max(moved, abs(float(str(row["after"])) - float(str(row["before"]))))
    assert moved > 0.01, "the rescaling changes nothing, so the test shows nothing"


def bent(here: Sequence[Tensor], there: Sequence[Tensor]) -> float:
    """How much a cosine moves where every entry moves by a share of the largest one."""
    vectors = [*here, *there]
    return 2 * max(float(one.abs().max()) * len(one) ** 0.5 / float(one.norm()) for one in vectors)


def test_what_acts_on_new_tokens_changes_no_state() -> None:
    found = made("llama", where="generated")
    for row in found.states:
        assert row["before"] == row["after"] and row["before_of_means"] == row["after_of_means"]
    halves = [[row for row in found.points if row["state"] == one] for one in ("before", "after")]
    for one, other in zip(*halves, strict=True):
        assert one["silhouette"] == other["silhouette"] and one["x"] == other["x"]


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_are_of_the_stream_in_front_of_the_last_block(family: str) -> None:
    loaded, found = tiny.loaded(family), made(family)
    factors, last = factors_of(found.categories), max(1, loaded.facts.layers - 1)
    given: dict[str, Any] = {"where": "all", "site": "h"}
    pictures: dict[str, list[float]] = {}
    for state in ("before", "after"):
        sides = {
            language: [
                means(loaded, text, factors if acts else {}, **given)["resid", last]
                for text in prompts(language)
            ]
            for language in LANGUAGES
            for acts in [state == "after" and language != ANCHOR]
        }
        rows = [row for row in found.points if row["state"] == state]
        order = [(language, str(id)) for language in LANGUAGES for id in HELD_OUT]
        assert [(row["side"], row["item"]) for row in rows] == order
        vectors = [one for side in sides.values() for one in side]
        bound = 2 * of_model(loaded) * bent(vectors, [])
        for row, vector in zip(rows, vectors, strict=True):
            own = str(row["side"])
            assert row["silhouette"] == pytest.approx(
                slow_silhouette(vector, sides, own=own), abs=ratio(vector, sides, bound)
            )
            centres = [torch.stack(sides[one]).mean(dim=0) for one in (own, ANCHOR)]
            assert row["distance"] == pytest.approx(1 - cosine(*centres), abs=bound)
        pictures[state] = [float(str(row["silhouette"])) for row in rows]
    assert pictures["before"] != pictures["after"]


def slow_silhouette(vector: Tensor, sides: Mapping[str, list[Tensor]], *, own: str) -> float:
    """How much nearer a prompt is to its language than to the nearest other one."""
    far = {
        language: [1 - cosine(vector, one) for one in side if one is not vector]
        for language, side in sides.items()
    }
    mean = {language: sum(each) / len(each) for language, each in far.items()}
    inside = mean.pop(own)
    outside = min(mean.values())
    return (outside - inside) / max(outside, inside)


def ratio(vector: Tensor, sides: Mapping[str, list[Tensor]], bound: float) -> float:
    """How much a silhouette moves where distances move by `bound`."""
    every = [1 - cosine(vector, one) for side in sides.values() for one in side]
    return 4 * bound / (sum(every) / len(every))


def places(found: Made, *, state: str) -> list[tuple[object, object]]:
    return [(row["x"], row["y"]) for row in found.points if row["state"] == state]


def test_a_picture_is_the_same_again_and_before_is_that_of_the_plain_model() -> None:
    one = made("llama")
    made.cache_clear()
    again, idle = made("llama"), made("llama", where="generated")
    for state in ("before", "after"):
        assert places(one, state=state) == places(again, state=state)
        assert len(set(places(one, state=state))) == len(LANGUAGES) * len(HELD_OUT)
    assert places(one, state="before") == places(idle, state="before")
    assert places(one, state="after") != places(one, state="before")
