"""The checks of a score, against loops and against what must come out of made-up similarities."""

import math

import pytest
import torch
from torch import Tensor

from actors.measures.alignment import chance_of, mutual_nearest, similarity
from actors.measures.robustness import (
    Check,
    band_sizes,
    by_length,
    checks,
    csls,
    first_of_their_kind,
    hubness,
)
from tests.makers import oracle_similarity as oracle


def matrix(n: int = 40, *, signal: float = 0.4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, n, generator=generator).double() + signal * torch.eye(n)


def of(similarity_NN: Tensor, *, texts: list[tuple[str, str]] | None = None) -> dict[str, Check]:
    named = texts or [(f"p{place}", f"t{place}") for place in range(len(similarity_NN))]
    return {check.name: check for check in checks(similarity_NN, texts=named, seed=3)}


def test_shuffled_partners_score_as_chance_says():
    found = of(matrix(100))["permutation"]
    # Half an aligned pair in a hundred, whatever the matrix: 100 / 199 of them are in their place.
    assert found.value == pytest.approx(1 / 199, abs=0.002)
    assert found.p == 1 / 1001
    observed = mutual_nearest(matrix(100, signal=0))
    chance = of(matrix(100, signal=0))["permutation"]
    assert chance.p == pytest.approx(chance_of(observed.count, items=100), abs=0.1)


def test_shuffles_equal_the_slow_way():
    similarity_NN = matrix(9, signal=0.2)
    found = of(similarity_NN)["permutation"]
    orders = torch.rand(1000, 9, generator=torch.Generator().manual_seed(3)).argsort(dim=1)
    scores = [mutual_nearest(similarity_NN[:, order]).value for order in orders]
    assert found.value == pytest.approx(sum(scores) / 1000)
    observed = mutual_nearest(similarity_NN).value
    assert found.p == (1 + sum(score >= observed for score in scores)) / 1001


def test_the_bootstrap_holds_the_score_and_is_as_wide_as_theory_says():
    similarity_NN = matrix(100, signal=0.6)
    found, score = of(similarity_NN)["bootstrap"], mutual_nearest(similarity_NN).value
    assert found.value == score
    spread = 1.96 * math.sqrt(score * (1 - score) / 100)
    assert found.low == pytest.approx(score - spread, abs=0.02)
    assert found.high == pytest.approx(score + spread, abs=0.02)


def test_halves_are_scores_of_their_own():
    similarity_NN = matrix(11)
    found = of(similarity_NN)
    assert found["half_1"].value == mutual_nearest(similarity_NN[:5, :5]).value
    assert found["half_2"].value == mutual_nearest(similarity_NN[5:, 5:]).value
    assert (found["half_1"].n, found["half_2"].n) == (5, 6)


def test_pairs_that_repeat_a_text_are_left_out():
    texts = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "2"), ("d", "4"), ("d", "4"), ("e", "5")]
    assert first_of_their_kind(texts) == [True, True, False, False, True, False, True]
    vectors_ND = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    vectors_ND[5] = vectors_ND[4]
    similarity_NN = similarity(vectors_ND, vectors_ND)
    found = of(similarity_NN, texts=texts)["distinct"]
    assert (found.n, found.value) == (4, 1.0)
    assert mutual_nearest(similarity_NN).value == 5 / 7


def test_a_hub_is_seen_and_corrected():
    """One item is near to all others: it hides their own partners until it is discounted."""
    similarity_NN = torch.full((30, 30), 0.1).double() + 0.5 * torch.eye(30)
    similarity_NN += 0.01 * torch.rand(30, 30, generator=torch.Generator().manual_seed(0))
    calm = hubness(similarity_NN)
    similarity_NN[:, 4] += 0.6
    assert mutual_nearest(similarity_NN).value <= 1 / 30
    assert mutual_nearest(csls(similarity_NN)).value == 1
    assert hubness(similarity_NN) > calm
    assert of(similarity_NN)["csls"].value == 1
    assert hubness(torch.zeros(5, 5)) == 0


def test_hubness_and_csls_equal_their_definitions():
    similarity_NN = matrix(15)
    counts = [0] * 15
    for row in similarity_NN.tolist():
        for place in sorted(range(15), key=lambda place: -row[place])[:10]:
            counts[place] += 1
    mean = sum(counts) / 15
    spread = math.sqrt(sum((count - mean) ** 2 for count in counts) / 15)
    expected = sum(((count - mean) / spread) ** 3 for count in counts) / 15
    assert hubness(similarity_NN) == pytest.approx(expected)
    corrected_NN = csls(similarity_NN)
    for i, j in ((0, 0), (3, 7), (14, 2)):
        across = sorted(similarity_NN[i].tolist())[-10:]
        down = sorted(similarity_NN[:, j].tolist())[-10:]
        value = 2 * float(similarity_NN[i, j]) - sum(across) / 10 - sum(down) / 10
        assert float(corrected_NN[i, j]) == pytest.approx(value)


def test_undefined_similarities_stay_out_of_every_check():
    vectors_ND = torch.eye(12)
    other_ND = vectors_ND.clone()
    other_ND[2] = 0
    found = of(similarity(vectors_ND, other_ND))
    assert found["bootstrap"].value == 11 / 12
    assert found["csls"].value == 11 / 12
    assert found["permutation"].value < 0.2


def test_draws_come_from_the_seed():
    texts = [(str(place), str(place)) for place in range(40)]
    same = [checks(matrix(), texts=texts, seed=5) for _ in range(2)]
    assert repr(same[0]) == repr(same[1])
    assert repr(same[0]) != repr(checks(matrix(), texts=texts, seed=6))


def test_too_few_pairs_are_refused():
    with pytest.raises(ValueError, match="3 sentence pairs: the checks need at least 4"):
        of(matrix(3))


def test_bands_are_of_about_20_pairs_and_never_of_fewer_than_4():
    assert [band_sizes(n) for n in (4, 7, 8, 9)] == [[4], [7], [4, 4], [5, 4]]
    assert band_sizes(100) == [20] * 5
    for n in range(4, 400):
        sizes = band_sizes(n)
        assert sum(sizes) == n and max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 4 and max(sizes) <= 25
    assert len(band_sizes(1012)) == 51


def texts_of(lengths: list[int]) -> list[tuple[str, str]]:
    """Different texts whose pivot sides have these lengths."""
    return [(f"{place:06d}".ljust(length, "x"), "t" * 5) for place, length in enumerate(lengths)]


@pytest.mark.parametrize(("n", "ties_pass"), [(7, False), (50, False), (53, True), (9, True)])
def test_lengths_equal_the_slow_way(n: int, ties_pass: bool):
    generator = torch.Generator().manual_seed(n)
    lengths = torch.randint(6, 30, (n,), generator=generator).tolist()
    similarity_NN = matrix(n, signal=0.8, seed=n)
    similarity_NN[2] = -torch.inf
    if ties_pass:  # the loops below are strict: no tie to decide
        assert mutual_nearest(similarity_NN).ties == 0
    texts = texts_of(lengths)
    found = {
        check.name: check
        for check in checks(similarity_NN, texts=texts, seed=3, ties_pass=ties_pass)
    }
    draws = torch.Generator().manual_seed(3)
    torch.rand(1000, n, generator=draws)
    torch.randint(n, (1000, n), generator=draws)
    orders = torch.rand(100, n, generator=draws).argsort(dim=1).tolist()
    table, sizes = similarity_NN.tolist(), band_sizes(n)
    order = [place for _, place in sorted((length, place) for place, length in enumerate(lengths))]
    matched, random = found["length_matched"], found["length_random"]
    assert matched.value == pytest.approx(oracle.within_bands(table, order=order, sizes=sizes))
    assert (matched.n, matched.samples) == (n, len(sizes))
    drawn = [oracle.within_bands(table, order=order, sizes=sizes) for order in orders]
    assert random.value == pytest.approx(sum(drawn) / 100)
    assert (random.n, random.samples) == (n, 100)
    low, high = torch.tensor(drawn).double().quantile(torch.tensor([0.025, 0.975]).double())
    assert (random.low, random.high) == pytest.approx((float(low), float(high)))
    if n == 7:
        assert matched.value == random.value == random.low == mutual_nearest(similarity_NN).value


def test_equal_competitors_in_a_band_follow_the_rule_for_ties():
    similarity_NN = torch.full((40, 40), 0.5).double()
    texts = texts_of([6] * 40)
    strict = {one.name: one for one in checks(similarity_NN, texts=texts, seed=0)}
    assert strict["length_matched"].value == strict["length_random"].value == 0
    lenient = {one.name: one for one in checks(similarity_NN, texts=texts, seed=0, ties_pass=True)}
    assert lenient["length_matched"].value == lenient["length_random"].value == 1


def test_similarity_by_length_alone_is_seen():
    """Long finds long among random competitors; of like length it is chance, 1 in 2 x 20 - 1."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.arange(10, 210)[torch.randperm(200, generator=generator)]
    kind_N = (lengths - 10) // 20
    apart_NN = (kind_N[:, None] - kind_N[None, :]).abs().double()
    noise_NN = torch.rand(200, 200, generator=generator).double()
    found = of(0.5 * noise_NN - apart_NN, texts=texts_of(lengths.tolist()))
    matched, random = found["length_matched"], found["length_random"]
    assert random.value > 0.3 and matched.value < 0.06
    assert matched.value < random.low
    # More competitors can only take pairs away.
    assert found["bootstrap"].value <= min(matched.value, random.low)
    # Where length says nothing, only the number of competitors counts.
    content = of(matrix(200, signal=0.5), texts=texts_of(lengths))
    assert content["length_random"].value > content["bootstrap"].value
    assert content["length_random"].low <= content["length_matched"].value
    assert content["length_matched"].value <= content["length_random"].high


def test_pairs_go_from_short_to_long():
    texts = [("long text", "a"), ("b", "ccc"), ("b", "d"), ("", "z")]
    assert by_length(texts) == [3, 2, 1, 0]
