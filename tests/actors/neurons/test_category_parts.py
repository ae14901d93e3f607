"""What categories come to with other samples, and how activity is read, against plain loops."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from actors.answer import Answer
from actors.neurons.categories import active_in, active_mixed
from actors.neurons.file import AboutStatistics, LanguageNeurons, read_statistics
from actors.work import run_unit
from studies.kinds import neurons as neuron_cells
from studies.kinds.categories import MIXED
from studies.neuron_options import CATEGORIES, Sorting
from studies.samples import Samples
from tests.actors.neurons.test_categories import TEXTS
from tests.makers import oracle, tiny
from tests.makers.rescaled import sort, sorting_grid
from tests.makers.rounding import of_model
from tests.makers.units import of_drafts

pytestmark = pytest.mark.numeric
BLOCKS, WIDTH, SIZE = 4, 40, 8
STATISTICS = {"mean_signed": "mean", "mean_abs": "mean_abs", "freq": "active"}


def neurons(
    blocks: Mapping[tuple[str, int, str], Tensor], *, language: str, counts: Sequence[int]
) -> LanguageNeurons:
    """Statistics made by hand."""
    about = AboutStatistics(
        model="m", identity="i", dataset="mine", language=language, ids=(), size=8,
        counts=tuple(counts), stat_weight="sample", include_bos=True, intmu_site="consistent",
        layers=(1,), width=WIDTH,
    )  # fmt: skip
    return LanguageNeurons(about=about, blocks=blocks, intmu={})


@cache
def noise(*, languages: int = 4) -> tuple[LanguageNeurons, ...]:
    """Three statistics at two sites, each of its own noise, of blocks that weigh differently."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        neurons(
            {
                (site, 1, name): torch.randn(BLOCKS, WIDTH, generator=generator)
                for site in ("h", "act")
                for name in STATISTICS.values()
            },
            language=str(place),
            counts=[1 + (place + 2 * block) % 5 for block in range(BLOCKS)],
        )
        for place in range(languages)
    )


def weighted(one: LanguageNeurons, at: tuple[str, int, str], blocks: Sequence[int]) -> Tensor:
    total = sum(one.about.counts[block] * one.blocks[at][block].double() for block in blocks)
    return total / sum(one.about.counts[block] for block in blocks)  # type: ignore[operator]


@pytest.mark.parametrize("site", ["h", "act"])
@pytest.mark.parametrize("activity", STATISTICS)
@pytest.mark.parametrize("threshold", [0.0, 0.2])
@pytest.mark.parametrize("blocks", [(0, 1, 2, 3), (1, 3)])
def test_each_reading_of_activity_is_its_own_statistic(
    site: str, activity: str, threshold: float, blocks: tuple[int, ...]
) -> None:
    sorting = Sorting(clas_site=site, activity=activity, threshold=threshold)  # type: ignore[arg-type]
    found_KF = active_in(noise(), 1, sorting=sorting, blocks=blocks)
    at = (site, 1, STATISTICS[activity])
    for place, one in enumerate(noise()):
        assert found_KF[place].equal(weighted(one, at, blocks) > threshold)


def marked(*, languages: int) -> list[LanguageNeurons]:
    """Neuron k B + b is active in block b of language k alone."""
    found = []
    for place in range(languages):
        own_BF = torch.zeros(BLOCKS, languages * BLOCKS)
        for block in range(BLOCKS):
            own_BF[block, place * BLOCKS + block] = 1
        found.append(neurons({("h", 1, "mean"): own_BF}, language=str(place), counts=[2] * BLOCKS))
    return found


@pytest.mark.parametrize("languages", [3, 4, 12])
def test_mixed_languages_share_out_every_text_once(languages: int) -> None:
    drawn = []
    for seed in range(MIXED):
        active_KF = active_mixed(
            marked(languages=languages), 1, sorting=Sorting(), blocks=range(BLOCKS), seed=seed
        )
        active_KKB = active_KF.view(languages, languages, BLOCKS)
        assert active_KKB.sum(dim=0).eq(1).all()  # every block of a real one goes to one
        assert active_KKB.sum(dim=1).eq(1).all()  # which has one of each
        # No draw is the real one under other names.
        kept = active_KKB.all(dim=-1).any(dim=-1)
        assert not kept.all()
        drawn.append(active_KKB)
    assert len({tuple(one.flatten().tolist()) for one in drawn}) == MIXED


def test_mixed_activity_is_the_weighted_mean_of_what_was_drawn() -> None:
    sorting = Sorting(threshold=0.2)
    blocks, count = range(BLOCKS), len(noise())
    for seed in range(MIXED):
        given = {"blocks": blocks, "seed": seed}
        found_KF = active_mixed(noise(), 1, sorting=sorting, **given)  # type: ignore[arg-type]
        drawn = active_mixed(marked(languages=count), 1, sorting=Sorting(), **given)  # type: ignore[arg-type]
        for place, own in enumerate(drawn.view(count, count, BLOCKS)):
            total_F, weight = torch.zeros(WIDTH).double(), 0
            for real, block in own.nonzero().tolist():
                one = noise()[real]
                total_F += one.about.counts[block] * one.blocks["h", 1, "mean"][block].double()
                weight += one.about.counts[block]
            assert found_KF[place].equal(total_F / weight > 0.2)


def texts(language: str) -> Samples:
    """Twice as many as count."""
    own = tuple(f"{text}{number}" for number in range(2) for text in TEXTS[language])
    ids = tuple(map(str, range(16)))
    return Samples(dataset="mine", language=language, ids=ids, texts=own, size=SIZE)


@cache
def cells() -> Answer:
    return sort(tiny.loaded("llama"), sorting_grid(), [texts(one) for one in TEXTS])[1]


PLACES = {
    "all": range(8),
    "half_1": (0, 1, 4, 5),
    "half_2": (2, 3, 6, 7),
    "first": range(4),
    "twice": range(16),
}


@cache
def slowly(layer: int) -> dict[str, Tensor]:
    """In which language neurons are active on average [K, F], from whole activations."""
    loaded = tiny.loaded("llama")
    each: dict[str, list[Tensor]] = {part: [] for part in PLACES}
    for language in TEXTS:
        sequences = loaded.encode(texts(language).texts, allow_truncation=False).sequences
        means = [
            oracle.activations(loaded.model, ids)["mlp_hidden", layer].double().mean(dim=0)
            for ids in sequences
        ]
        bound = of_model(loaded) * float(torch.stack(means).abs().max())
        for part, places in PLACES.items():
            mean_F = sum(means[place] for place in places) / len(places)
            assert mean_F.abs().min() > bound, "rounding decides a sign: take other texts"  # type: ignore[attr-defined]
            each[part].append(mean_F > 0)  # type: ignore[operator]
    return {part: torch.stack(own) for part, own in each.items()}


def sets(active_KF: Tensor) -> dict[str, set[int]]:
    """The neurons of every category."""
    found: dict[str, set[int]] = {str(name): set() for name in CATEGORIES}
    for neuron, count in enumerate(active_KF.sum(dim=0).tolist()):
        name = {0: "dead", 1: "specific", len(active_KF): "all_shared"}.get(count, "partial_shared")
        found[name].add(neuron)
    return found


def test_parts_of_the_samples_are_sorted_by_their_own_texts() -> None:
    loaded = tiny.loaded("llama")
    for layer in range(1, loaded.facts.layers + 1):
        rows = {str(row["part"]): row for row in cells().rows if row["layer"] == layer}
        assert rows["twice"]["n"] == 16 and rows["half_1"]["n"] == rows["first"]["n"] == 4
        by_part = {part: sets(active_KF) for part, active_KF in slowly(layer).items()}
        for part, own in by_part.items():
            for name, members in own.items():
                assert rows[part][name] == pytest.approx(len(members) / loaded.facts.neurons)
            other = by_part[{"half_1": "half_2", "half_2": "half_1"}.get(part, "all")]
            for name in ("partial_shared", "specific"):
                both, either = own[name] & other[name], own[name] | other[name]
                assert rows[part][f"jaccard_{name}"] == pytest.approx(len(both) / len(either))
        jaccards = {rows[part]["jaccard_partial_shared"] for part in PLACES}
        assert len(jaccards) > 2, "all parts sort neurons alike, so the test shows nothing"


def test_int_mu_has_the_samples_that_count_alone() -> None:
    loaded = tiny.loaded("llama")
    whole, found = texts("deu_Latn"), []
    counted = replace(whole, ids=whole.ids[:SIZE], texts=whole.texts[:SIZE])
    encoded = loaded.encode(counted.texts, allow_truncation=False).sequences
    for one in (whole, counted):
        draft = neuron_cells.draft(one, model=loaded.facts, sorting=Sorting())
        answer = run_unit(loaded, of_drafts(sorting_grid(), draft))
        found.append(read_statistics(answer.artifacts[draft.cells[0].key]).intmu)
        assert {row["tokens"] for row in answer.rows} == {sum(map(len, encoded))}
    for at, value_F in found[0].items():
        assert value_F.equal(found[1][at]), at
