"""Neurons are sorted as their definition says, on planted and on random models."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from actors.extraction.described import Form
from actors.neurons.categories import jaccard, masks, overlap, shares, shares_by_sample
from actors.neurons.file import (
    STATISTICS_FORM,
    AboutTuning,
    read_categories,
    read_statistics,
)
from actors.work import run_unit
from studies.kinds import neurons
from studies.kinds.categories import bridge_layers
from studies.neuron_options import CATEGORIES, Sorting
from studies.samples import Samples
from tests.makers import oracle, planted_neurons, tiny
from tests.makers.rescaled import sort, sorting_grid
from tests.makers.rounding import assert_near, of_model
from tests.makers.units import of_drafts

pytestmark = pytest.mark.numeric
FAMILIES = ("llama", "qwen2", "gemma2", "olmo2")
TEXTS = {
    "eng_Latn": (
        "The cat sat.",
        "It rained all day.",
        "a",
        "So we read.",
        "zz",
        "No.",
        "Yes!",
        "b",
    ),
    "deu_Latn": ("Die Katze saß.", "Es regnete.", "ä", "Wir lasen.", "zz", "Nein.", "Ja!", "b"),
    "rus_Cyrl": ("Кот сидел.", "Шёл дождь.", "к", "Мы читали.", "яя", "Нет.", "Да!", "б"),
}


def texts_of(language: str, *, size: int = 8) -> Samples:
    texts = TEXTS[language]
    ids = tuple(map(str, range(len(texts))))
    return Samples(dataset="mine", language=language, ids=ids, texts=texts, size=size)


def active(*, languages: int = 5, neurons: int = 300, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    often_F = torch.rand(neurons, generator=generator)
    return torch.rand(languages, neurons, generator=generator) < often_F


def test_the_categories_leave_nothing_out_and_exclude_each_other() -> None:
    active_KF = active()
    found = masks(active_KF)
    assert list(found) == list(CATEGORIES)
    assert torch.stack(list(found.values())).sum(dim=0).eq(1).all()
    assert sum(shares(active_KF).values()) == pytest.approx(1)
    assert min(shares(active_KF).values()) > 0


def test_the_names_of_languages_do_not_matter() -> None:
    active_KF = active()
    order = torch.randperm(len(active_KF), generator=torch.Generator().manual_seed(1))
    other = masks(active_KF[order])
    for name, mask_F in masks(active_KF).items():
        assert mask_F.equal(other[name])


def test_two_languages_cannot_sort_neurons() -> None:
    with pytest.raises(ValueError, match="2 languages: expected at least 3"):
        masks(active(languages=2))


def test_single_samples_are_sorted_anew_and_averaged() -> None:
    one, other = active(seed=1), active(seed=2)
    both = shares_by_sample(torch.stack([one, other], dim=1))
    for name in CATEGORIES:
        assert both[name] == pytest.approx((shares(one)[name] + shares(other)[name]) / 2)


def test_overlap_is_the_jaccard_index() -> None:
    one, other = torch.tensor([1, 1, 0, 0]).bool(), torch.tensor([1, 0, 1, 0]).bool()
    assert jaccard(one, other) == pytest.approx(1 / 3)
    assert jaccard(one, one) == 1 and jaccard(one & ~one, other & ~other) is None
    found = overlap(active(seed=1), active(seed=2))
    sets = [set(masks(active(seed=s))["specific"].nonzero().flatten().tolist()) for s in (1, 2)]
    assert found["jaccard_specific"] == pytest.approx(
        len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    )


@pytest.mark.parametrize("site", ["h", "act"])
@pytest.mark.parametrize("activity", ["mean_signed", "mean_abs", "freq"])
def test_planted_neurons_are_sorted_exactly(site: str, activity: str) -> None:
    loaded = planted_neurons.model()
    sorting = Sorting(clas_site=site, activity=activity)  # type: ignore[arg-type]
    _, _, artifacts, key = sort(loaded, sorting_grid(sorting=sorting), planted_neurons.samples())
    found = read_categories(artifacts[key])
    planted = (*planted_neurons.SERVES, *planted_neurons.DECIDING)
    for layer, active_KF in found.active.items():
        for neuron, serves in enumerate(planted):
            own = {
                language
                for place, language in enumerate(found.about.languages)
                if active_KF[place, neuron]
            }
            assert own == set(serves), (layer, neuron)
        assert not active_KF[:, len(planted) :].any()
    assert found.about.identity == loaded.facts.identity


def test_rows_of_planted_categories() -> None:
    loaded = planted_neurons.model()
    grid = sorting_grid()
    statistics, found, _, _ = sort(loaded, grid, planted_neurons.samples())
    count = loaded.facts.neurons
    planted = (*planted_neurons.SERVES, *planted_neurons.DECIDING)
    languages = len(planted_neurons.LANGUAGES)
    by_size = [sum(len(serves) == size for serves in planted) for size in range(languages + 1)]
    expected = {
        "dead": (count - len(planted) + by_size[0]) / count,
        "specific": by_size[1] / count,
        "partial_shared": sum(by_size[2:-1]) / count,
        "all_shared": by_size[-1] / count,
    }
    parts = {str(row["part"]) for row in found.rows}
    assert parts == {
        *("all", "half_1", "half_2", "first", "twice", "mixed", "instance_last", "instance_any")
    }
    for row in found.rows:
        if row["part"] == "mixed":  # a text of another language makes it active in more
            continue
        for name, share in expected.items():
            assert row[name] == pytest.approx(share), (row["part"], row["layer"], name)
    halves = [row for row in found.rows if row["part"] == "half_1"]
    assert {row["jaccard_specific"] for row in halves} == {1.0}
    mixed = [row for row in found.rows if row["part"] == "mixed"]
    assert all(float(str(row["jaccard_specific"])) < 0.5 for row in mixed)
    alive = sum(1 for serves in planted if "eng_Latn" in serves) / count
    english = [row for row in statistics.rows if row["language"] == "eng_Latn"]
    assert [row["positive"] for row in english] == [pytest.approx(alive)] * len(english)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("weight", ["sample", "token"])
@pytest.mark.parametrize("bos", [True, False])
def test_statistics_in_blocks_equal_the_slow_twin(family: str, weight: str, bos: bool) -> None:
    loaded = tiny.loaded(family)
    sorting = Sorting(stat_weight=weight, stat_bos=bos)  # type: ignore[arg-type]
    asked, grid = texts_of("deu_Latn"), sorting_grid(sorting=sorting)
    draft = neurons.draft(asked, model=loaded.facts, sorting=sorting)
    answer = run_unit(loaded, of_drafts(grid, draft))
    found = read_statistics(answer.artifacts[draft.cells[0].key])
    skip = 0 if bos else len(loaded.prefix)
    sequences = loaded.encode(asked.texts, allow_truncation=False).sequences
    slow = [oracle.activations(loaded.model, ids) for ids in sequences]
    for site, name in (("h", "mlp_hidden"), ("act", "mlp_act")):
        for layer in range(1, loaded.facts.layers + 1):
            for blocks in ((0, 1, 2, 3), (0, 2)):
                places = [p for block in blocks for p in range(*asked.blocks[block])]
                texts = [slow[place][name, layer][skip:] for place in places]
                expected = oracle.neuron_statistics(texts, weight=weight, percentiles=())
                for what in ("mean", "mean_abs", "active"):
                    mine = found.over(site, layer, what, blocks=blocks)
                    slow_F = getattr(expected, what).double()
                    assert_near(mine, slow_F, relative=of_model(loaded), what=what)


def test_a_neuron_counts_single_samples_at_their_last_token_or_at_any() -> None:
    loaded = tiny.loaded("llama")
    sets = [texts_of(language) for language in TEXTS]
    _, found, _, _ = sort(loaded, sorting_grid(), sets)
    slow = [
        [
            oracle.activations(loaded.model, ids)
            for ids in loaded.encode(one.texts, allow_truncation=False).sequences
        ]
        for one in sets
    ]
    for row in found.rows:
        if not str(row["part"]).startswith("instance"):
            continue
        sums, undecided = dict.fromkeys(CATEGORIES, 0.0), 0
        layer, part = int(str(row["layer"])), row["part"]
        for place in range(8):
            each = [own[place]["mlp_act", layer] > 0 for own in slow]
            open_ = [
                oracle.unsure(own[place], "mlp_act", layer, relative=of_model(loaded))
                for own in slow
            ]
            fires, unsure = (
                torch.stack([one[-1] if part == "instance_last" else one.any(dim=0) for one in of])
                for of in (each, open_)
            )
            for name, share in shares(fires).items():
                sums[name] += share / 8  # type: ignore[index]
            undecided += int(unsure.any(dim=0).sum())
        assert undecided < loaded.facts.neurons / 4, "rounding decides too many"
        for name, share in sums.items():
            allowed = undecided / 8 / loaded.facts.neurons
            assert row[name] == pytest.approx(share, rel=1e-12, abs=allowed)


def hill(*scores: float) -> list[dict[str, float]]:
    return [{"partial_shared": score, "dead": 0.0, "specific": 0.0} for score in scores]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        # 8 layers: the window is layers 5 and 6.
        ((9, 9, 9, 9, 0.2, 0.5, 9, 9), (6,)),
        ((9, 9, 9, 9, 0.5, 0.2, 9, 9), (5,)),
        ((9, 9, 9, 9, 0.5, 0.5, 9, 9), (5, 6)),
        # 12: 9 and 10.
        ((9,) * 8 + (0.1, 0.2, 9, 9), (10,)),
        # 16: 13 and 14; the two last are out, however high.
        ((0,) * 12 + (0.1, 0.2, 9, 9), (14,)),
        # 32: 25 to 30 in the paper's manner; the run that is furthest above the median.
        ((0,) * 24 + (0.9, 0.1, 0.5, 0.6, 0.2, 0.1, 9, 9), (25,)),
        ((0,) * 24 + (0.6, 0.1, 0.5, 0.5, 0.1, 0.1, 9, 9), (27, 28)),
        # Of equal runs the first.
        ((0,) * 24 + (0.1, 0.5, 0.1, 0.1, 0.5, 0.1, 9, 9), (26,)),
        ((0.1, 0.9), (1,)),
        ((0.9,), (1,)),
    ],
)
def test_the_rule_of_bridge_layers(scores: tuple[float, ...], expected: tuple[int, ...]) -> None:
    assert bridge_layers(hill(*scores)) == expected


@pytest.mark.parametrize("name", ["dead", "specific"])
def test_dead_and_specific_neurons_count_against_a_layer(name: str) -> None:
    found = hill(*(0,) * 12, 0.5, 0.6, 0, 0)
    found[13] |= {name: 0.2}
    assert bridge_layers(found) == (13,)


def test_blocks_are_quarters_and_twice_as_many() -> None:
    (one, *_) = planted_neurons.samples(count=16, size=8)
    assert one.blocks == tuple(pairwise(range(0, 17, 2)))
    assert replace(one, ids=one.ids[:8], texts=one.texts[:8]).blocks == (
        (0, 2),
        (2, 4),
        (4, 6),
        (6, 8),
    )


def test_files_that_are_none_are_refused() -> None:
    loaded = planted_neurons.model()
    _, _, artifacts, key = sort(loaded, sorting_grid(), planted_neurons.samples())
    with pytest.raises(ValueError, match="saved whole"):
        read_categories(artifacts[key][:-10])
    with pytest.raises(ValueError, match="'format' is 'babelscope neuron categories': expected"):
        read_statistics(artifacts[key])
    newer = Form(
        format="babelscope neuron statistics", version="9", record=AboutTuning, noun="x"
    ).pack(_tuning(), {})
    with pytest.raises(ValueError, match="unknown format version '9'"):
        STATISTICS_FORM.unpack(newer)


def _tuning() -> AboutTuning:
    return AboutTuning(
        identity="", benchmark="", language="", ids=(), metric="", strengths=(), values=()
    )
